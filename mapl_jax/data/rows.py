"""The plan: which tries lie in which row of which batch.

A plan is a function of trie sizes, seed, epochs and row length, and of nothing else. Step t of a
run is rows [tB, (t+1)B) of the plan, so the data order is a function of the step alone: resuming is
exact, on any number of hosts. Every epoch holds every trie once; its last batch is filled up with
empty rows.
"""

import bisect
import dataclasses

import numpy as np
from jaxtyping import Int

from mapl_jax.kernels import tiles
from mapl_jax.runtime.errors import UserError

# Tries are packed within shuffled windows of this many, so that an epoch's order stays random.
WINDOW = 1024
# Rows that may stay open from one window to the next.
OPEN_ROWS = 64


@dataclasses.dataclass(frozen=True)
class Plan:
    """Rows of tries, in the order they are trained on.

    Attributes:
        members: trie indices, row after row.
        offsets: row i holds `members[offsets[i]:offsets[i + 1]]`, [rows + 1].
        rows_per_batch: B.
        row_length: S.
        max_leaves: most leaves of any row, L.
        max_comparisons: most comparisons of any row, C.
        max_scored: most scored tokens of any row, P.
        max_tiles: most pairs of tiles that hold an allowed pair of any row, whatever the branches.
        epoch_steps: batches of each epoch, in order.
    """

    members: Int[np.ndarray, "n"]
    offsets: Int[np.ndarray, "rows_1"]
    rows_per_batch: int
    row_length: int
    max_leaves: int
    max_comparisons: int
    max_scored: int
    max_tiles: int
    epoch_steps: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Batches of the whole plan."""
        return (len(self.offsets) - 1) // self.rows_per_batch

    def row(self, index: int) -> np.ndarray:
        """The tries of a row, from left to right."""
        return self.members[self.offsets[index] : self.offsets[index + 1]]

    def batch(self, step: int) -> list[np.ndarray]:
        """The rows of a step."""
        first = step * self.rows_per_batch
        return [self.row(first + i) for i in range(self.rows_per_batch)]

    def epoch_at(self, step: int) -> float:
        """How many epochs are done once `step` steps are."""
        done = 0.0
        for steps in self.epoch_steps:
            if step < steps:
                return done + step / steps
            step -= steps
            done += 1
        return done


def make_plan(
    lengths: Int[np.ndarray, "n"],
    leaves: Int[np.ndarray, "n"],
    comparisons: Int[np.ndarray, "n"],
    *,
    scored: Int[np.ndarray, "n"] | None = None,
    row_length: int,
    rows_per_batch: int,
    seed: int,
    epochs: int = 1,
    max_steps: int | None = None,
    shuffle: bool = True,
) -> Plan:
    """Packs tries into rows, epoch by epoch.

    Args:
        lengths: tokens of each trie.
        leaves: leaves of each trie.
        comparisons: comparisons of each trie.
        scored: tokens of each trie whose log-probabilities count; None for all.
        row_length: S, tokens.
        rows_per_batch: B, rows of the global batch.
        epochs: passes over all tries. With `max_steps` as many as those steps need.
        max_steps: number of steps, whatever the epochs come to.
        shuffle: False keeps near the given order, for evaluation.
    """
    if not len(lengths):
        raise UserError("there is no trie to plan")
    if int(np.max(lengths)) > row_length:
        raise UserError(
            f"a trie of {int(np.max(lengths))} tokens is longer than a row ({row_length})"
        )
    rows: list[list[int]] = []
    epoch_steps: list[int] = []
    epoch = 0
    while epoch < epochs if max_steps is None else sum(epoch_steps) < max_steps:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(lengths)) if shuffle else np.arange(len(lengths))
        packed = _pack(lengths, order, row_length)
        if shuffle:
            packed = [packed[i] for i in rng.permutation(len(packed))]
        packed += [[] for _ in range(-len(packed) % rows_per_batch)]
        rows += packed
        epoch_steps.append(len(packed) // rows_per_batch)
        epoch += 1
    if max_steps is not None:
        rows = rows[: max_steps * rows_per_batch]
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    members = np.fromiter((i for row in rows for i in row), np.int64, int(counts.sum()))
    offsets = np.concatenate([[0], np.cumsum(counts)])

    def most(sizes: np.ndarray, unit: int = 8) -> int:
        running = np.concatenate([[0], np.cumsum(sizes[members])])
        # Whole units, so that a little more or less data keeps the compiled shape.
        return max(unit, -(-int(np.max(np.diff(running[offsets]))) // unit) * unit)

    return Plan(
        members,
        offsets,
        rows_per_batch,
        row_length,
        most(np.asarray(leaves)),
        most(np.asarray(comparisons)),
        most(np.asarray(lengths if scored is None else scored), 64),
        _most_tiles(lengths, rows, row_length),
        tuple(epoch_steps),
    )


def _most_tiles(lengths: np.ndarray, rows: list[list[int]], row_length: int) -> int:
    """Most pairs of tiles of any row, in whole units of 16."""
    most = 1
    for row in rows:
        stops = np.cumsum(lengths[row])
        most = max(most, tiles.bound(stops - lengths[row], stops, row_length))
    return -(-most // 16) * 16


def _pack(lengths: np.ndarray, order: np.ndarray, row_length: int) -> list[list[int]]:
    """Best fit, longest first, within windows of the given order."""
    rows: list[list[int]] = []
    shortest = int(np.min(lengths))
    open_rows: list[tuple[int, int]] = []  # (room left, row), sorted by room
    for start in range(0, len(order), WINDOW):
        window = order[start : start + WINDOW]
        for trie in window[np.argsort(-lengths[window], kind="stable")]:
            length = int(lengths[trie])
            place = bisect.bisect_left(open_rows, (length, -1))
            if place < len(open_rows):
                room, row = open_rows.pop(place)
            else:
                room, row = row_length, len(rows)
                rows.append([])
            rows[row].append(int(trie))
            if room - length >= shortest:
                bisect.insort(open_rows, (room - length, row))
        open_rows = open_rows[-OPEN_ROWS:]
    return rows
