"""Accuracy against the number of responses that one is chosen from.

Of N responses to a prompt the n that happen to be there are any n of them, so the accuracy of n is
the mean over all subsets of that size, exactly (for the best one that is pass@n, arXiv 2107.03374).
"""

from collections.abc import Sequence
from math import comb

import numpy as np

from mapl_jax.evaluation.statistics import percent
from mapl_jax.runtime.console import Table


def chances(right: Sequence[bool], n: int) -> float:
    """The chance that the first of n responses drawn of all, in their order, is right.

    Args:
        right: whether each response is right; the one that would be chosen among all comes first.
        n: responses drawn, at most as many as there are.
    """
    count = len(right)
    first = (comb(count - 1 - place, n - 1) for place in range(count))
    return sum(ways * is_right for ways, is_right in zip(first, right, strict=True)) / comb(
        count, n
    )


def curve(
    right: Sequence[Sequence[bool]], rewards: Sequence[Sequence[float]] | None
) -> dict[int, tuple[float, ...]]:
    """Mean accuracy of one response, of that with the highest reward, and of the best, by n.

    Without rewards, of one response and of the best.
    """
    # Responses in the order in which a way to choose prefers them, for each way.
    preferred = [[sorted(each, reverse=True) for each in right]]
    if rewards is not None:
        orders = [np.argsort(-np.asarray(values), kind="stable") for values in rewards]
        chosen = [[each[i] for i in order] for each, order in zip(right, orders, strict=True)]
        preferred.insert(0, chosen)
    one = float(np.mean([np.mean(each) for each in right]))
    counts = [2**power for power in range(min(map(len, right)).bit_length())]
    return {
        n: (one, *(float(np.mean([chances(each, n) for each in way])) for way in preferred))
        for n in counts
    }


def table(rows: dict[int, tuple[float, ...]]) -> str:
    """`curve` as a text table."""
    names = ("one, on average", "the selector's choice", "the best")
    header = names if len(rows[1]) == len(names) else (names[0], names[2])
    cells = [[str(n), *(percent(value) for value in values)] for n, values in rows.items()]
    return str(Table([["prompt, strict, by number of responses", *header], *cells]))
