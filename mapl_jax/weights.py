"""First parameters of a run, from a folder or from scratch, and the reference of a policy."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict

from mapl_jax.data import reference_cache
from mapl_jax.data.encode import TrieSet
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.errors import UserError
from mapl_jax.evaluation import scoring
from mapl_jax.models import axes, hub
from mapl_jax.models.decoder import DecoderConfig
from mapl_jax.objectives import Objective
from mapl_jax.training import sharding, step


@dataclasses.dataclass(frozen=True)
class Source:
    """Where parameters come from.

    Attributes:
        model: the model's config.
        fingerprint: names the parameters.
        make: puts them where their shardings say.
    """

    model: DecoderConfig
    fingerprint: str
    make: Callable[[Any], Any]


def first(config: ConfigDict, tokenizer: Tokenizer, objective: Objective) -> Source:
    """The first parameters of a run: those of `model.path`, or random ones."""
    fields = config.model
    if fields.path:
        return from_folder(fields.path, tokenizer, objective, config.seed)
    if fields.width % fields.heads or fields.heads % fields.kv_heads:
        raise UserError(
            f"model.width ({fields.width}) must be a multiple of model.heads ({fields.heads}), "
            f"and that of model.kv_heads ({fields.kv_heads})"
        )
    model = DecoderConfig(
        # A multiple of 64 shards evenly and fills whole tiles.
        vocab_size=-(-len(tokenizer) // 64) * 64,
        width=fields.width,
        layers=fields.layers,
        heads=fields.heads,
        kv_heads=fields.kv_heads,
        head_dim=fields.width // fields.heads,
        mlp_width=fields.mlp_width,
        rope_theta=fields.rope_theta,
        norm_eps=1e-6,
        tie_embeddings=True,
        qkv_bias=True,
    )

    def make(places: Any) -> Any:
        # Made shard by shard, never whole on one device.
        init = functools.partial(objective.model.init, model, jax.random.key(config.seed))
        return jax.jit(init, out_shardings=places)()

    name = json.dumps([model.to_dict(), config.seed], sort_keys=True)
    return Source(model, hashlib.blake2b(name.encode(), digest_size=16).hexdigest(), make)


def from_folder(path: str, tokenizer: Tokenizer, objective: Objective, seed: int) -> Source:
    """The parameters in a model folder.

    Raises:
        UserError: there are none, or the tokenizer is not theirs.
    """
    model = hub.load_config(path)
    if len(tokenizer) > model.vocab_size:
        raise UserError(
            f"the tokenizer has {len(tokenizer)} tokens and the model in {path} "
            f"only {model.vocab_size}; they do not belong together"
        )

    def make(places: Any) -> Any:
        return jax.device_put(hub.load_params(path, model, head=objective.head, seed=seed), places)

    return Source(model, hub.fingerprint(path), make)


def reference(
    config: ConfigDict, source: Source, tokenizer: Tokenizer, objective: Objective
) -> Source | None:
    """The reference of a policy: `model.reference`, or the first parameters of the run themselves.

    Returns:
        Its source; None where the objective needs no reference.
    """
    if not objective.reference:
        return None
    if not config.model.reference:
        return source
    return from_folder(config.model.reference, tokenizer, objective, config.seed)


def reference_logps(
    source: Source | None,
    objective: Objective,
    sets: list[TrieSet],
    *,
    params: Any,
    mesh: Mesh,
    cache: Path,
    rows_per_batch: int,
    pad_token: int,
    options: dict[str, Any],
) -> list[Float[np.ndarray, "n"] | None]:
    """Log-probabilities of all leaves of sets of tries under the reference.

    They are computed as in training. The reference's parameters are loaded only if something is
    missing in the cache, and given up before this returns.

    Args:
        source: of the reference; None for no reference, and so no numbers.
        objective: of the run.
        sets: the tries.
        params: the reference's parameters if they are loaded already; None to make them.
        mesh: of the run.
        cache: folder of the caches.
        rows_per_batch: rows that are computed at once.
        pad_token: what unused places of a row hold.
        options: of the model: `dtype`, `remat`, `backend`.
    """
    if source is None:
        return [None] * len(sets)
    shapes = objective.model.abstract_params(source.model)
    places = sharding.parameters(mesh, shapes, axes.logical_axes(shapes))
    fields = tuple(name for name in objective.fields if name != "ref_logp")

    @functools.cache
    def ready() -> Callable[[Any], Any]:
        values = source.make(places) if params is None else params
        compute = step.compile_scoring(
            functools.partial(objective.leaves, source.model, **options), mesh, places
        )
        return lambda batch: compute(values, sharding.to_device(batch, mesh))

    def of(tries: TrieSet) -> Float[np.ndarray, "n"]:
        name = reference_cache.fingerprint(
            tries,
            weights=source.fingerprint,
            joint=objective.joint,
            dtype=np.dtype(options["dtype"]).name,
        )

        def compute() -> Float[np.ndarray, "n"]:
            batches = scoring.eval_batches(
                tries,
                rows_per_batch=rows_per_batch,
                parts=sharding.data_parts(mesh),
                pad_token=pad_token,
                joint=objective.joint,
            )
            return scoring.all_leaves(ready(), batches, fields)

        found = reference_cache.cached(tries, name, cache, compute, writes=jax.process_index() == 0)
        if jax.process_count() > 1:
            # Or a slower process could find the file and wait for others to compute with it.
            multihost_utils.sync_global_devices(f"reference {name}")
        return found

    return [of(tries) for tries in sets]
