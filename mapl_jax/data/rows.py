"""The plan: which tries lie in which row of which batch.

A plan is a function of trie sizes, seed, epochs and row length, and of nothing else. Step t of a
run is batch t of the plan, so the data order is a function of the step alone: resuming is exact, on
any number of hosts. Every epoch holds every trie once; its last batch is filled up with empty rows,
and a step computes no part of a batch that has no other rows.

A trie that is longer than a row gets a row of 2, 4, ... times the length, in a batch of half, a
quarter, ... as many rows. Shorter tries fill what is left of such rows.
"""

import bisect
import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from mapl_jax.kernels import tiles
from mapl_jax.runtime.errors import UserError

# Tries are packed within shuffled windows of this many, so that an epoch's order stays random.
WINDOW = 1024
# Rows that may stay open from one window to the next.
OPEN_ROWS = 64
# Rows of a whole run: a list of them is some ten gigabytes.
MOST_ROWS = 10**8
# Most rows of a step where there are fewer tries than rows.
MOST_EMPTY = 4096
# Where short rows are less full than this, and longer ones are needed anyway, all take longer ones.
FULL = 0.97

# How often the length of its rows is doubled, and the tries of each row.
Batch = tuple[int, list[list[int]]]


@dataclasses.dataclass(frozen=True)
class Shape:
    """What batches look like that are compiled alike."""

    row_length: int  # S
    rows: int  # of a batch, over all devices
    parts: int = 1  # A, whose gradients are summed; each has rows / A rows
    leaves: int = 8  # most leaves of any row, L
    comparisons: int = 8  # most comparisons of any row, C
    scored: int = 64  # most scored tokens of any row, P
    # Most pairs of tiles that hold an allowed pair of any row, whatever the branches.
    tiles: int = 16
    # Rows that may hold tries; further ones only make their number one that devices share evenly.
    held: int = 0

    @property
    def places(self) -> int:
        """Tokens that a batch has room for."""
        return self.rows * self.row_length


@dataclasses.dataclass(frozen=True)
class Plan:
    """Rows of tries, in the order they are trained on."""

    members: Int[np.ndarray, "n"]  # trie indices, row after row
    # Row i holds `members[offsets[i]:offsets[i + 1]]`, [rows + 1].
    offsets: Int[np.ndarray, "rows_1"]
    shapes: tuple[Shape, ...]  # of batches, that of the shortest rows first
    kinds: Int[np.ndarray, "steps"]  # index of the shape of each batch, [steps]
    epoch_steps: tuple[int, ...]  # batches of each epoch, in order
    filled: float  # share of all places that a step computes which hold a token

    @property
    def steps(self) -> int:
        """Batches of the whole plan."""
        return len(self.kinds)

    def shape(self, step: int) -> Shape:
        """The shape of the batch of a step."""
        return self.shapes[self.kinds[step]]

    def row(self, index: int) -> np.ndarray:
        """The tries of a row, from left to right."""
        return self.members[self.offsets[index] : self.offsets[index + 1]]

    def batch(self, step: int) -> list[np.ndarray]:
        """The rows of a step."""
        first, shape = self._first_row[step], self.shape(step)
        empty = [self.members[:0]] * (shape.rows - shape.held)
        return [self.row(first + i) for i in range(shape.held)] + empty

    @functools.cached_property
    def _first_row(self) -> np.ndarray:
        rows = np.asarray([shape.held for shape in self.shapes])[self.kinds]
        return np.cumsum(rows) - rows

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
    accumulation: int = 1,
    data_parts: int = 1,
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
        accumulation: A, parts of a batch whose gradients are summed.
        data_parts: parts of the mesh over which rows are split.
        epochs: passes over all tries. With `max_steps` as many as those steps need.
        max_steps: number of steps, whatever the epochs come to.
        shuffle: False keeps near the given order, for evaluation.
    """
    if not len(lengths):
        raise UserError("there is no trie to plan")
    if rows_per_batch % (accumulation * data_parts):
        raise UserError(
            f"train.rows_per_batch ({rows_per_batch}) must be a multiple of train.accumulation "
            f"({accumulation}) times the data parts of the mesh ({data_parts})"
        )
    _check_size(lengths, row_length, rows_per_batch, epochs, max_steps)
    # How often the row length is doubled for each trie, and what batches there are.
    doublings = np.ceil(np.log2(np.maximum(-(-lengths // row_length), 1))).astype(int)
    shapes = {
        int(n): shape_of(row_length, rows_per_batch, accumulation, data_parts, int(n))
        for n in np.unique(doublings)
    }

    def epoch(number: int, least: int) -> list[Batch]:
        rng = np.random.default_rng([seed, number]) if shuffle else None
        return _batches(lengths, np.maximum(doublings, least), shapes, rng)

    least = 0
    if len(shapes) > 1:
        # By what holds tries, so that it is the same on any devices.
        held = {n: shape.row_length * shape.held for n, shape in shapes.items()}
        filled = {n: lengths.sum() / sum(held[kind] for kind, _ in epoch(0, n)) for n in shapes}
        best = max(filled, key=filled.__getitem__)
        least = next((n for n in shapes if filled[n] >= FULL), best)
    batches: list[Batch] = []
    epoch_steps: list[int] = []
    while len(epoch_steps) < epochs if max_steps is None else sum(epoch_steps) < max_steps:
        packed = epoch(len(epoch_steps), least)
        batches += packed
        epoch_steps.append(len(packed))
    batches = batches[:max_steps]
    sizes = {"leaves": leaves, "comparisons": comparisons}
    sizes["scored"] = lengths if scored is None else scored
    return _plan(batches, shapes, lengths, sizes, tuple(epoch_steps))


def _check_size(
    lengths: np.ndarray, row_length: int, rows_per_batch: int, epochs: int, max_steps: int | None
) -> None:
    """A plan of more rows would take all memory, and hours, before the first step."""
    steps = max_steps or epochs * -(-int(np.sum(lengths)) // (row_length * rows_per_batch))
    if steps * rows_per_batch > MOST_ROWS:
        raise UserError(
            f"{steps:,} steps of {rows_per_batch:,} rows are more than the {MOST_ROWS:,} rows "
            "that can be planned; take less of train.steps, train.epochs or train.rows_per_batch"
        )
    if rows_per_batch > max(MOST_EMPTY, len(lengths)):
        raise UserError(
            f"train.rows_per_batch is {rows_per_batch:,}, and there are {len(lengths):,} samples: "
            "almost all rows would be empty; take less"
        )


def _plan(
    batches: list[Batch],
    shapes: Mapping[int, Shape],
    lengths: np.ndarray,
    sizes: Mapping[str, np.ndarray],
    epoch_steps: tuple[int, ...],
) -> Plan:
    """The plan of batches, whose shapes get room for what their rows hold."""
    used = sorted({n for n, _ in batches})
    kinds = np.asarray([used.index(n) for n, _ in batches])
    rows = [row for _, batch in batches for row in batch]
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    members = np.fromiter((i for row in rows for i in row), np.int64, int(counts.sum()))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    kind_of_row = np.repeat(kinds, [len(batch) for _, batch in batches])

    def with_room(kind: int, shape: Shape) -> Shape:
        mine = np.flatnonzero(kind_of_row == kind)
        room = {"tiles": _most_tiles(lengths, [rows[i] for i in mine], shape.row_length)}
        for name, size in sizes.items():
            running = np.concatenate([[0], np.cumsum(np.asarray(size)[members])])
            # Whole units, so that a little more or less data keeps the compiled shape.
            unit = 64 if name == "scored" else 8
            most = -(-int(np.diff(running[offsets])[mine].max()) // unit) * unit
            room[name] = max(unit, most)
        return dataclasses.replace(shape, **room)

    return Plan(
        members,
        offsets,
        tuple(with_room(kind, shapes[n]) for kind, n in enumerate(used)),
        kinds,
        epoch_steps,
        float(lengths[members].sum() / sum(_computed(shapes[n], batch) for n, batch in batches)),
    )


def _computed(shape: Shape, batch: list[list[int]]) -> int:
    """Places of the parts of a batch in which some row holds a trie; of one part, all of them."""
    size = shape.rows // shape.parts
    starts = range(0, len(batch), size)
    held = sum(any(batch[start : start + size]) for start in starts) if shape.parts > 1 else 1
    return held * size * shape.row_length


def shape_of(
    length: int, rows: int, accumulation: int, data_parts: int, doublings: int = 0
) -> Shape:
    """Batches of rows that are so often twice as long: about as many tokens, in all and in a part.

    Where a part has but one row on each device, it has one long row, and there are fewer parts. The
    rows that hold tries are as many on any devices, in any parts.
    """
    held = max(1, rows >> doublings)
    in_part = data_parts * max(1, rows // data_parts // accumulation >> doublings)
    parts = -(-held // in_part)
    return Shape(length << doublings, parts * in_part, parts, held=held)


def _batches(
    lengths: np.ndarray,
    doublings: np.ndarray,
    shapes: dict[int, Shape],
    rng: np.random.Generator | None,
) -> list[Batch]:
    """Every trie once: batches, each with how often its row length is doubled.

    One of the longest rows comes first, so that a step that is too large fails at once.
    """
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    batches: list[Batch] = []
    for n, rows in _pack(lengths, doublings, shapes, order).items():
        if rng is not None:
            rows = [rows[i] for i in rng.permutation(len(rows))]
        size = shapes[n].held
        rows += [[] for _ in range(-len(rows) % size)]
        batches += [(n, rows[first : first + size]) for first in range(0, len(rows), size)]
    if rng is not None and len(shapes) > 1:
        batches[1:] = [batches[1 + i] for i in rng.permutation(len(batches) - 1)]
    return batches


def _most_tiles(lengths: np.ndarray, rows: list[list[int]], row_length: int) -> int:
    """Most pairs of tiles of any row, in whole units of 16."""
    most = 1
    for row in rows:
        stops = np.cumsum(lengths[row])
        most = max(most, tiles.bound(stops - lengths[row], stops, row_length))
    return -(-most // 16) * 16


def _pack(
    lengths: np.ndarray, doublings: np.ndarray, shapes: dict[int, Shape], order: np.ndarray
) -> dict[int, list[list[int]]]:
    """Rows by how often their length is doubled, the longest first.

    Best fit, longest first, within windows of the given order; what is longer than a row before
    all others, and in whole batches, which the others fill.
    """
    rows: dict[int, list[list[int]]] = {n: [] for n in sorted(shapes, reverse=True)}
    least = int(np.min(doublings))
    shortest = int(np.min(lengths))
    open_rows: list[tuple[int, int, int]] = []  # (room left, doublings, row), sorted by room

    def put(tries: np.ndarray) -> None:
        for trie in tries[np.argsort(-lengths[tries], kind="stable")]:
            length = int(lengths[trie])
            place = bisect.bisect_left(open_rows, (length, -1, -1))
            if place < len(open_rows):
                room, n, row = open_rows.pop(place)
            else:
                n = int(doublings[trie])
                room, row = shapes[n].row_length, len(rows[n])
                rows[n].append([])
            rows[n][row].append(int(trie))
            if room - length >= shortest:
                bisect.insort(open_rows, (room - length, n, row))

    for n, mine in rows.items():
        those = order[doublings[order] == n]
        if n == least:
            for start in range(0, len(those), WINDOW):
                put(those[start : start + WINDOW])
                long = [row for row in open_rows if row[1] > n]
                open_rows = sorted(long + [row for row in open_rows if row[1] == n][-OPEN_ROWS:])
            break
        put(those)
        for _ in range(-len(mine) % shapes[n].held):
            bisect.insort(open_rows, (shapes[n].row_length, n, len(mine)))
            mine.append([])
    return rows
