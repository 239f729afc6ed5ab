"""The reference policy of DPO: its parameters, and its log-probabilities, computed once."""

import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Float
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from mapl_jax.data import loader
from mapl_jax.data.encode import TrieSet
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.models import axes
from mapl_jax.models.initial import Source, from_folder
from mapl_jax.runtime import console, distributed, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import scoring, sharding, step
from mapl_jax.training.objective import Objective

FORMAT = "3"


def fingerprint(tries: TrieSet, **decisive: str | bool) -> str:
    """Names the log-probabilities of the leaves of tries.

    Args:
        tries: their fingerprint covers data, instructions, tokenizer, template and truncation.
        decisive: what else decides the numbers: weights, which tokens count, type.
    """
    parts = [FORMAT, tries.fingerprint, sorted(decisive.items())]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()


def cached(
    tries: TrieSet,
    name: str,
    cache_dir: str | os.PathLike[str],
    compute: Callable[[], Float[np.ndarray, "n ..."]],
    *,
    writes: bool = True,
    agreed: Callable[[bool], bool] = bool,
) -> Float[np.ndarray, "n ..."]:
    """The log-probabilities from the cache, computed first if they are not there.

    Args:
        tries: whose leaves.
        name: what `fingerprint` says.
        cache_dir: folder of the caches.
        compute: makes them, trie after trie, fp32.
        writes: False leaves writing to another process.
        agreed: whether all processes compute, from whether this one would.

    Raises:
        UserError: the file belongs to something else, or a number is not finite.
    """
    path = Path(cache_dir) / f"reference-{name}.safetensors"
    kept = _read(path, tries, name, tells=writes) if path.exists() else None
    if not agreed(kept is None):
        if kept is None:
            raise UserError(f"{path} cannot be read here, but is read by process 0 of this run")
        return kept
    values = compute()
    if not np.isfinite(values).all():
        raise UserError(
            f"{np.sum(~np.isfinite(values))} of {len(values)} log-probabilities under the "
            "reference are not finite; look at its weights and at train.dtype"
        )
    if writes:
        arrays = {"logps": values, "leaves": tries.leaves.astype(np.int32)}
        about = {"format": FORMAT, "fingerprint": name, "samples": _samples(tries)}
        with files.replacing(path) as part:
            save_file(arrays, part, metadata={**about, "checksum": _checksum(arrays, about)})
    return values


def _read(
    path: Path, tries: TrieSet, name: str, *, tells: bool
) -> Float[np.ndarray, "n ..."] | None:
    """What a file holds; None if it is damaged."""

    def damaged(why: object) -> None:
        if tells:
            console.notice(f"the cache {path} cannot be used ({why}) and is computed again")

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 no dict
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        damaged(error)
        return None
    if arrays.keys() != {"logps", "leaves"} or about.get("checksum") != _checksum(arrays, about):
        damaged("its checksum is another")
        return None
    expected = {"format": FORMAT, "fingerprint": name, "samples": _samples(tries)}
    differing = [key for key, value in expected.items() if about.get(key) != value]
    if differing or not np.array_equal(arrays["leaves"], tries.leaves):
        what = ", ".join(differing) or "leaves"
        raise UserError(f"{path} belongs to other data or weights (by its {what}); {_REMEDY}")
    return arrays["logps"]


_REMEDY = "delete it to have the reference computed again"


def _checksum(arrays: dict[str, np.ndarray], about: dict[str, str]) -> str:
    """Of everything in a file; a damaged name must not pass for another file's."""
    digest = hashlib.blake2b(digest_size=16)
    known = sorted((key, value) for key, value in about.items() if key != "checksum")
    digest.update(json.dumps(known).encode())
    for key in sorted(arrays):
        array = arrays[key]
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _samples(tries: TrieSet) -> str:
    """A hash of the ids in order."""
    ids = "\n".join(map(str, tries.dataset["id"]))
    return hashlib.blake2b(ids.encode(), digest_size=16).hexdigest()


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
) -> list[Float[np.ndarray, "n 2"] | None]:
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

    def of(tries: TrieSet) -> Float[np.ndarray, "n 2"]:
        name = fingerprint(
            tries,
            weights=source.fingerprint,
            joint=objective.joint,
            dtype=np.dtype(options["dtype"]).name,
        )

        def compute() -> Float[np.ndarray, "n 2"]:
            batches = loader.eval_batches(
                tries,
                rows_per_batch=rows_per_batch,
                parts=sharding.data_parts(mesh),
                host=sharding.host_of(mesh),
                pad_token=pad_token,
                joint=objective.joint,
            )
            return scoring.all_leaves(ready(), batches, fields)

        found = cached(
            tries,
            name,
            cache,
            compute,
            writes=distributed.first(),
            agreed=lambda computes: bool(distributed.agreed(computes)),
        )
        if jax.process_count() > 1:
            # Or a slower process could find the file and wait for others to compute with it.
            multihost_utils.sync_global_devices(f"reference {name}")
        return found

    return [of(tries) for tries in sets]
