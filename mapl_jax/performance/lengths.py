"""Tokens of a pair by the lengths of its prompt and responses, and the time that they take.

sequences   one for every term of every comparison, as trainers of pairs take them
leaves      one for every prompt with a response, whatever comparisons share it
two by two  the sequences of a comparison in twos, what both begin with once: prefix sharing as
            in arXiv 2410.20305 and the package flash-pref
trie        all leaves of a sample, every shared beginning once
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mapl_jax.data import tries
from mapl_jax.data.samples import Leaf
from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead, rewards
from mapl_jax.models.parameters import Params

# Tokens of a prompt and of each of its two responses.
LENGTHS = ((64, 64), (512, 512), (1024, 64), (4096, 64))
# Tokens of a set of instructions, and of what the chat template writes after them.
INSTRUCTIONS, TURN = 64, 5
# (prompt, response) of the terms of each comparison. Prompts 1 and 2 have instructions.
BASE = [[(0, 0), (0, 1)]]
ALL = [
    *BASE,
    [(1, 0), (2, 0)],
    [(2, 1), (1, 1)],
    [(1, 0), (1, 1), (0, 0), (0, 1)],
    [(2, 0), (2, 1), (0, 0), (0, 1)],
]


class Tokens(NamedTuple):
    """Tokens that are computed for a pair."""

    sequences: int
    leaves: int
    two_by_two: int
    trie: int


def _path(leaf: Leaf, prompt: int, response: int) -> tries.TokenPath:
    """A leaf. Prompts differ where their instructions begin, responses from their first token."""
    which, answer = leaf
    marks = [
        np.zeros(prompt - TURN, int),
        np.full(INSTRUCTIONS * bool(which), 1 + which),
        np.full(TURN, 9),
    ]
    tokens = np.concatenate([*marks, np.full(response, 10 + answer)])
    return tries.TokenPath(tokens.astype(np.int32), len(tokens) - response)


def count(comparisons: list[list[Leaf]], prompt: int, response: int) -> Tokens:
    """Tokens of a pair, however it is computed.

    Args:
        comparisons: the leaves of each.
        prompt: tokens of the prompt without instructions, its last turn included.
        response: tokens of each response.
    """

    def path(leaf: Leaf) -> tries.TokenPath:
        return _path(leaf, prompt, response)

    def length(leaves: list[Leaf]) -> int:
        return len(tries.build([path(leaf) for leaf in leaves]))

    terms = [leaf for leaves in comparisons for leaf in leaves]
    twos = [terms[first : first + 2] for first in range(0, len(terms), 2)]
    leaves = sorted(set(terms))
    flat, once = (sum(len(path(leaf)) for leaf in each) for each in (terms, leaves))
    return Tokens(flat, once, sum(map(length, twos)), length(leaves))


def counts() -> list[tuple[str, int, int, Tokens]]:
    """Levels, tokens of prompt and of response, and what is computed of them."""
    return [
        (name, prompt, response, count(comparisons, prompt, response))
        for name, comparisons in (("base", BASE), ("all", ALL))
        for prompt, response in LENGTHS
    ]


def table() -> str:
    """The counts for their reader."""
    head = ("levels", "prompt", "response", "each term", "each leaf", "shared by two", "trie")
    rows = [
        (
            level,
            *(f"{number:,}" for number in (*lengths, *tokens)),
            *(f"{each / tokens.trie:.3g}" for each in tokens[:2]),
        )
        for level, *lengths, tokens in counts()
    ]
    return _columns([(*head, "terms / trie", "leaves / trie"), *rows])


def _columns(rows: Sequence[Sequence[object]]) -> str:
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


# Time.


class Seconds(NamedTuple):
    """Of the forward and backward pass over a pair, the median of some."""

    sequences: float
    trie: float


def times(model: DecoderConfig, compute: Compute, repeats: int = 3) -> list[Seconds]:
    """Seconds of the cases of `counts`, by turns, with random weights.

    Every sequence is a row, padded to the longest; a trie is one row.
    """
    params = jax.jit(lambda: ScoreHead().init(model, jax.random.key(0)))()
    found = []
    for comparisons in (BASE, ALL):
        for prompt, response in LENGTHS:
            terms = [_path(leaf, prompt, response) for leaves in comparisons for leaf in leaves]
            sides = (
                _pass(model, compute, params, [tries.build([path]) for path in terms]),
                _pass(model, compute, params, [tries.build(terms)]),
            )
            seconds = [[side() for side in sides] for _ in range(repeats + 1)][1:]
            found.append(Seconds(*map(statistics.median, zip(*seconds, strict=True))))
    return found


def _pass(
    model: DecoderConfig, compute: Compute, params: Params, rows: list[tries.Trie]
) -> Callable[[], float]:
    """Rewards of the leaves of tries, one to a row, and their gradient; gives the seconds."""
    length = max(map(len, rows))

    def whole(name: str, size: int, empty: int) -> jax.Array:
        arrays = [getattr(row, name) for row in rows]
        return jnp.asarray([np.pad(x, (0, size - len(x)), constant_values=empty) for x in arrays])

    row = Row(*(whole(name, length, 0) for name in ("tokens", "positions", "reach")))
    ends = whole("leaf_end", max(len(row.leaf_end) for row in rows), -1)

    # The rows are arguments, not constants, which the compiler would work on for minutes.
    @jax.jit
    @jax.grad
    def slope(params: Params, row: Row, ends: jax.Array) -> jax.Array:
        return jnp.sum(rewards(model, params, row, ends, compute))

    def run() -> float:
        start = time.perf_counter()
        jax.block_until_ready(slope(params, row, ends))
        return time.perf_counter() - start

    return run


def time_table(seconds: list[Seconds]) -> str:
    """The times for their reader."""
    head = ("levels", "prompt", "response", "terms, s", "trie, s", "times as fast")
    rows = [
        (
            level,
            *(f"{number:,}" for number in lengths),
            *(f"{x:.3f}" for x in each),
            f"{each.sequences / each.trie:.2f}",
            f"{tokens.sequences / tokens.trie:.3g}",
        )
        for (level, *lengths, tokens), each in zip(counts(), seconds, strict=True)
    ]
    return _columns([(*head, "terms / trie, tokens"), *rows])
