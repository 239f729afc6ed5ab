"""Batches of rows, served by step.

`Batches` is a random-access source: item t is this host's part of global batch t. Grain reads it
ahead in threads or worker processes; a run that resumes at step t starts the same stream at t.
"""

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Array, Float, Int

from mapl_jax import losses, token_losses
from mapl_jax.data.rows import Plan, Shape
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.kernels import tiles
from mapl_jax.kernels.rows import Row
from mapl_jax.runtime.errors import UserError

Arrays = dict[str, np.ndarray]


class Batch(NamedTuple):
    """What a step reads: rows of tries, their leaves and comparisons; a pytree that crosses `jit`.

    The loader serves A parts of this host's rows, [A, R, ...]; a step reads one part at a time,
    [R, ...]. Rows and leaf ends are always there. What nothing reads is None and goes nowhere.
    """

    row: Row  # the tokens and who attends to whom
    leaf_end: Int[Array, "*A R L"]  # index of each leaf's last token; -1 for an unused leaf
    # Index of the token that predicts each token; -1 at a root.
    parent: Int[Array, "*A R S"] | None = None
    # Indices of the tokens whose log-probabilities count; -1 where unused.
    scored_at: Int[Array, "*A R P"] | None = None
    response_tokens: Int[Array, "*A R L"] | None = None  # tokens of the response of each leaf
    # Weight of each leaf's log-probability in the mean over demonstrated tokens; 0 for leaves
    # that are no demonstration.
    sft_weight: Float[Array, "*A R L"] | None = None
    # Log-probability of each leaf under the reference, or its two summands.
    ref_logp: Float[Array, "*A R L"] | Float[Array, "*A R L 2"] | None = None
    comparisons: losses.Comparisons | None = None

    @classmethod
    def of(cls, arrays: Mapping[str, object]) -> Self:
        """A batch of arrays by their names, those of rows and comparisons included."""

        def named(part: type[NamedTuple]) -> dict[str, Any]:
            return {name: arrays[name] for name in part._fields if name in arrays}

        row = Row(**named(Row))
        table = losses.Comparisons(**named(losses.Comparisons)) if "level" in arrays else None
        return cls(row=row, comparisons=table, **named(cls))

    def keeping(self, fields: Collection[str]) -> Self:
        """The batch without the fields that are not named; "tiles" is one of them.

        Rows and leaf ends always stay.
        """
        kept = {name: getattr(self, name) for name in OPTIONAL if name in fields}
        row = self.row if "tiles" in fields else self.row._replace(tiles=None)
        return type(self)(row, self.leaf_end, **kept)


OPTIONAL = tuple(Batch._field_defaults)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Batches:
    """This host's rows of every global batch of a plan.

    An item is a `Batch` of NumPy arrays with leading axes [A, R]: A parts for gradient
    accumulation, R rows of this host in each part.
    """

    tries: TrieSet
    plan: Plan
    _: dataclasses.KW_ONLY
    # lambda of the levels, in the order of `losses.ALL_LEVELS`.
    weights: Sequence[float] = (1.0,) * len(losses.ALL_LEVELS)
    inter_gamma: float = 0.0  # added to gamma of an inter comparison, per added instruction
    graded: float = 0.0  # added to any gamma, times how far apart the instructions are
    joint: bool = False  # score prompt tokens too, all but the first, which nothing predicts
    # Log-probabilities of all leaves under the reference, trie after trie, [n] or in two parts,
    # [n, 2].
    reference: np.ndarray | None = None
    pad_token: int = 0
    host: int = 0
    hosts: int = 1

    def __post_init__(self) -> None:
        for shape in self.plan.shapes:
            if shape.rows // shape.parts % self.hosts:
                raise UserError(
                    f"{shape.rows // shape.parts} rows of {shape.row_length} tokens at once cannot "
                    f"be split over {self.hosts} hosts; change train.rows_per_batch"
                )

    @functools.cached_property
    def first_leaf(self) -> np.ndarray:
        """Index of the first leaf of each trie among all, [n]."""
        return np.cumsum(self.tries.leaves) - self.tries.leaves

    def __len__(self) -> int:
        return self.plan.steps

    def __getitem__(self, step: int) -> Batch:
        rows, shape = self.plan.batch(int(step)), self.plan.shape(int(step))
        tries = np.concatenate([row for row in rows if len(row)])
        count = self.tries.mass[tries].sum(0)
        level_weight = losses.level_weights(np.asarray(self.weights, np.float64), count)
        # The mean over all tokens of the global batch, weighted as the base level is.
        demonstrated = self.tries.demonstrated[tries].sum()
        sft_weight = token_losses.token_weight(self.weights[losses.BASE], demonstrated)
        index = np.arange(len(rows)).reshape(shape.parts, self.hosts, -1)[:, self.host]
        built = [
            [self._row(shape, rows[i], level_weight, sft_weight) for i in part] for part in index
        ]
        return Batch.of(
            {
                name: np.stack([np.stack([row[name] for row in part]) for part in built])
                for name in built[0][0]
            }
        )

    def of_each_shape(self) -> list[Batch]:
        """The first batch of every shape."""
        return [self[step] for step in np.unique(self.plan.kinds, return_index=True)[1]]

    def sample_ids(self, step: int) -> list[list[str]]:
        """Ids of the samples of each row of a step's global batch."""
        return [[str(self.tries[i]["id"]) for i in row] for row in self.plan.batch(step)]

    def _row(
        self, shape: Shape, members: np.ndarray, level_weight: np.ndarray, sft_weight: float
    ) -> Arrays:
        kept = None if self.reference is None else self.reference.shape[1:]
        states = self.tries.states
        row = _empty_row(shape, pad_token=self.pad_token, reference=kept)
        if states is not None:
            row["states"] = np.zeros((shape.row_length, states.width), states.dtype)
        token = leaf = comparison = score = 0
        for member in members:
            trie = self.tries[member]
            n, m, k = len(trie["tokens"]), len(trie["leaf_end"]), len(trie["level"])
            at = slice(token, token + n)
            row["tokens"][at] = trie["tokens"]
            row["positions"][at] = trie["positions"]
            row["reach"][at] = trie["reach"] + token
            if states is not None:
                row["states"][at] = states[member]
            row["parent"][at] = np.where(trie["parent"] < 0, -1, trie["parent"] + token)
            scored = np.flatnonzero((trie["parent"] >= 0) & (self.joint | trie["scored"]))
            row["scored_at"][score : score + len(scored)] = scored + token
            at = slice(leaf, leaf + m)
            row["leaf_end"][at] = trie["leaf_end"] + token
            row["response_tokens"][at] = trie["response_tokens"]
            if self.tries.demonstrated[member]:
                first = (trie["leaf_prompt"] == 0) & (trie["leaf_response"] == 0)
                row["sft_weight"][at] = first * sft_weight
            if self.reference is not None:
                start = self.first_leaf[member]
                row["ref_logp"][at] = self.reference[start : start + m]
            at = slice(comparison, comparison + k)
            sign = trie["term_sign"].reshape(k, 4)
            row["term_leaf"][at] = np.where(sign != 0, trie["term_leaf"].reshape(k, 4) + leaf, 0)
            row["term_sign"][at] = sign
            level = trie["level"]
            fixed = np.where(level == losses.INTER, self.inter_gamma * trie["k"], 0.0)
            row["gamma"][at] = trie["gamma"] + fixed + self.graded * trie["apart"]
            row["level"][at] = level
            row["weight"][at] = level_weight[level] * trie["share"]
            row["share"][at] = trie["share"]
            row["tie"][at] = trie["tie"]
            token, leaf, comparison = token + n, leaf + m, comparison + k
            score += len(scored)
        seen = tiles.seen(row["reach"])
        row["tiles"][: len(seen)] = seen
        return row


def empty_row(shape: Shape, *, reference: tuple[int, ...] | None = None) -> Batch:
    """A row that holds nothing, without leading axes: shapes and types of a batch."""
    return Batch.of(_empty_row(shape, reference=reference))


def _empty_row(
    shape: Shape, *, pad_token: int = 0, reference: tuple[int, ...] | None = None
) -> Arrays:
    """Arrays of an empty row; `reference` is the shape of what is kept of a leaf, if anything."""
    s, l, c = shape.row_length, shape.leaves, shape.comparisons  # noqa: E741
    row: Arrays = {
        "tokens": np.full(s, pad_token, np.int32),
        "positions": np.zeros(s, np.int32),
        "reach": np.zeros(s, np.int32),
        "parent": np.full(s, -1, np.int32),
        "scored_at": np.full(shape.scored, -1, np.int32),
        "tiles": np.full(shape.tiles, tiles.UNUSED, np.int32),
        "leaf_end": np.full(l, -1, np.int32),
        "response_tokens": np.zeros(l, np.int32),
        "sft_weight": np.zeros(l, np.float32),
        "term_leaf": np.zeros((c, 4), np.int32),
        "term_sign": np.zeros((c, 4), np.float32),
        "gamma": np.zeros(c, np.float32),
        "level": np.full(c, losses.UNUSED, np.int32),
        "weight": np.zeros(c, np.float32),
        "share": np.zeros(c, np.float32),
        "tie": np.zeros(c, bool),
    }
    if reference is not None:
        row["ref_logp"] = np.zeros((l, *reference), np.float32)
    return row


def stream(
    batches: Batches,
    *,
    start: int = 0,
    stop: int | None = None,
    threads: int = 2,
    workers: int = 0,
    fields: Collection[str] | None = None,
) -> Iterator[Batch]:
    """Batches of steps [start, stop), read ahead.

    Args:
        start: first step.
        stop: one past the last step; None for all.
        threads: reading threads of this process.
        workers: worker processes; 0 reads in this process.
        fields: which fields of the batches to keep; None for all. See `Batch.keeping`.
    """
    stop = len(batches) if stop is None else stop
    if start >= stop:
        return iter(())
    import grain  # importing it takes a second, Orbax and all

    dataset = grain.MapDataset.source(batches)[start:stop]
    if fields is not None:
        dataset = dataset.map(functools.partial(Batch.keeping, fields=tuple(fields)))
    steps = dataset.to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * max(threads, 1))
    )
    if workers:
        _absl_ready()
        steps = steps.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(steps)


def _absl_ready() -> None:
    """Grain's workers read absl flags, which a notebook has never parsed."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
