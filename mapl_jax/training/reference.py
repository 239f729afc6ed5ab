"""The reference policy of DPO: its parameters, and its log-probabilities, computed once."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

from mapl_jax.data import cache
from mapl_jax.data.tokenization import Tokenizer, check_tokens
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.models.initial import InitialWeights, from_folder
from mapl_jax.models.parameters import Params
from mapl_jax.runtime import distributed
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import restore, scoring
from mapl_jax.training.objective import Objective
from mapl_jax.training.scoring import LeafFunction
from mapl_jax.training.settings import RunSettings
from mapl_jax.training.trainer import Trainer

FORMAT = 4
LOGPS = "logps.safetensors"


def fingerprint(tries: TrieSet, **decisive: str | bool) -> str:
    """Names the log-probabilities of the leaves of tries.

    Their own fingerprint covers data, instructions, tokenizer, template and truncation; `decisive`
    is what else decides the numbers: weights, which tokens count, type.
    """
    return cache.key(FORMAT, tries.fingerprint, decisive)


def cached(
    name: str, cache_dir: str | os.PathLike[str], compute: Callable[[], Float[np.ndarray, "n ..."]]
) -> Float[np.ndarray, "n ..."]:
    """The log-probabilities from the cache, computed first if they are not there.

    All processes compute them, trie after trie, fp32, if process 0 does, which writes them.
    """
    folder, writes = Path(cache_dir) / f"reference-{name}", distributed.is_main_process()
    usable = cache.is_usable(folder, notify=writes)
    if not distributed.broadcast_from_main(not usable):
        if not usable:
            raise UserError(f"{folder} cannot be read here, but is read by process 0 of this run")
        return load_file(folder / LOGPS)["logps"]
    values = compute()
    if not np.isfinite(values).all():
        raise UserError(
            f"{np.sum(~np.isfinite(values))} of {len(values)} log-probabilities under the "
            "reference are not finite; look at its weights and at train.dtype"
        )
    if writes:
        cache.write(folder, lambda part: save_file({"logps": values}, part / LOGPS))
    return values


def reference_of(
    settings: RunSettings, source: InitialWeights, tokenizer: Tokenizer, objective: Objective
) -> InitialWeights | None:
    """The reference of a policy: the model that the settings name, or the one it starts from.

    Its parameters are not made yet. None where the objective needs no reference.
    """
    if not objective.reference:
        return None
    if not settings.model.reference:
        return source
    check_tokens(settings.model.reference, tokenizer)
    return from_folder(settings.model.reference, tokenizer, objective.head, settings.seed)


def reference_logps(
    trainer: Trainer,
    source: InitialWeights | None,
    sets: list[TrieSet],
    *,
    params: Params | None,
    cache_dir: Path,
    rows_per_batch: int,
) -> list[Float[np.ndarray, "n 2"] | None]:
    """Log-probabilities of all leaves of sets of tries under the reference.

    They are computed as in training. The reference's parameters are loaded only if something is
    missing in the cache, and freed before this returns.

    Args:
        source: of the reference; None for no reference, and so no numbers.
        params: the reference's parameters if they are loaded already; None to make them.
    """
    if source is None:
        return [None] * len(sets)
    objective = trainer.objective
    fields = tuple(name for name in objective.fields if name != "ref_logp")

    @functools.cache
    def ready() -> LeafFunction:
        places = restore.param_shardings(source.model, trainer.mesh, objective.head.scores)
        values = source.make(places) if params is None else params
        score = restore.scorer(source.model, trainer.mesh, objective.head, trainer.compute)
        return lambda batch: score(values, trainer.to_device(batch))

    def of(tries: TrieSet) -> Float[np.ndarray, "n 2"]:
        name = fingerprint(
            tries,
            weights=source.fingerprint,
            joint=objective.joint,
            dtype=np.dtype(trainer.compute.dtype).name,
        )

        def logps() -> Float[np.ndarray, "n 2"]:
            batches = trainer.held_out(tries, rows_per_batch=rows_per_batch)
            return scoring.all_leaves(ready(), batches, fields)

        result = cached(name, cache_dir, logps)
        # Or a slower process could find the file and wait for others to compute with it.
        distributed.wait_for_all(f"reference {name}")
        return result

    return [of(tries) for tries in sets]
