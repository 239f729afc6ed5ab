"""Tokens of a pair by the lengths of its prompt and responses, counted and not measured.

sequences   one for every term of every comparison, as trainers of pairs take them
leaves      one for every prompt with a response, whatever comparisons share it
two by two  the sequences of a comparison in twos, what both begin with once: prefix sharing as
            in arXiv 2410.20305 and the package flash-pref
trie        all leaves of a sample, every shared beginning once
"""

from typing import NamedTuple

import numpy as np

from mapl_jax.data import tries
from mapl_jax.data.samples import Leaf

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


def count(comparisons: list[list[Leaf]], prompt: int, response: int) -> Tokens:
    """Tokens of a pair, however it is computed.

    Args:
        comparisons: the leaves of each.
        prompt: tokens of the prompt without instructions, its last turn included.
        response: tokens of each response.
    """

    def path(leaf: Leaf) -> tries.TokenPath:
        which, answer = leaf
        # Prompts differ where their instructions begin, responses from their first token on.
        marks = [
            np.zeros(prompt - TURN, int),
            np.full(INSTRUCTIONS * bool(which), 1 + which),
            np.full(TURN, 9),
        ]
        tokens = np.concatenate([*marks, np.full(response, 10 + answer)])
        return tries.TokenPath(tokens.astype(np.int32), len(tokens) - response)

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
    head = "levels prompt response sequences leaves two_by_two trie saved of_leaves".split()
    rows = [
        (*lengths, *tokens, *(f"{each / tokens.trie:.2f} x" for each in tokens[:2]))
        for *lengths, tokens in counts()
    ]
    return "\n".join("".join(f"{cell:>12}" for cell in row) for row in (head, *rows))
