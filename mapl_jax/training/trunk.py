"""What the frozen layers below the adapters make of the data, computed once and kept on disk."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from mapl_jax.data import cache, states
from mapl_jax.data.loader import Batch, stream
from mapl_jax.data.run_data import RunData
from mapl_jax.data.states import States
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.models import decoder
from mapl_jax.models.initial import InitialWeights
from mapl_jax.runtime.console import progress, say
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import step
from mapl_jax.training.settings import RunSettings
from mapl_jax.training.step import Params
from mapl_jax.training.trainer import Trainer

FORMAT = 1
# Tokens whose states are written at once; what is written, a run that goes on finds again.
TOKENS = 2**16


def check(settings: RunSettings) -> None:
    """Makes sure that states can be kept, if they are to be."""
    if not settings.train.trunk:
        return
    if not (settings.lora.rank and settings.lora.layers):
        raise UserError(
            "train.trunk keeps the states below the layers with adapters; set lora.rank, and "
            "lora.layers to the number of these layers"
        )
    if settings.model.reference:
        raise UserError("train.trunk keeps the states of one model; leave model.reference empty")
    if jax.process_count() > 1:
        raise UserError("train.trunk works in a run of one process; this run has several")


def kept(settings: RunSettings, trainer: Trainer, source: InitialWeights, data: RunData) -> RunData:
    """The data with the states of its tokens, if the settings ask for them.

    The frozen parameters among the first ones of a run are its last as well.
    """
    if not settings.train.trunk:
        return data
    dtype = np.dtype(trainer.compute.dtype)
    name = cache.key(FORMAT, source.fingerprint, source.model.frozen_layers, dtype.name)
    place = data.cache_dir / f"trunk-{name}"
    folders = states.usable(place)
    params = functools.cache(lambda: source.make(trainer.param_shardings))

    def of(tries: TrieSet) -> TrieSet:
        keys = [states.keys(tries[i]) for i in range(len(tries))]
        is_cached = np.isin(np.concatenate(keys), states.known(folders))
        by_trie = np.split(is_cached, np.cumsum(tries.lengths)[:-1])
        missing = np.asarray([i for i, cached in enumerate(by_trie) if not cached.all()])
        if len(missing):
            say(f"computing states below the adapters for {len(missing)} of {len(tries)} samples")
            uncached = tries.some(missing, "missing")
            parts = computed(trainer, params(), uncached, settings.eval.rows_per_batch)
            folders.extend(_write(place, parts))
        return dataclasses.replace(tries, states=States(folders, keys, dtype))

    return data._replace(train=of(data.train), test=of(data.test))


def _write(place: Path, parts: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator[Path]:
    """Keeps keys and states as they come, some at a time."""
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for part in parts:
        waiting.append(part)
        if sum(len(keys) for keys, _ in waiting) >= TOKENS:
            yield states.write(place, waiting)
            waiting = []
    if waiting:
        yield states.write(place, waiting)


def computed(
    trainer: Trainer, params: Params, tries: TrieSet, rows_per_batch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Keys and states of the tokens of every trie."""

    def below(values: Params, batch: Batch) -> jax.Array:
        return decoder.hidden(trainer.model, values, batch.row, trainer.compute, trunk=True)

    compiled = step.compile_scoring(below, trainer.mesh, trainer.param_shardings)
    batches = trainer.held_out(tries, rows_per_batch=rows_per_batch)
    with progress("states", "batches") as show:
        for number, batch in enumerate(stream(batches, fields=("tiles",))):
            show(number, len(batches))
            rows = np.asarray(compiled(params, trainer.to_device(batch)))[0]
            for row, members in zip(rows, batches.plan.batch(number), strict=True):
                ends = np.cumsum(tries.lengths[members])
                for member, part in zip(members, np.split(row, ends)[:-1], strict=True):
                    yield states.keys(tries[member]), part
