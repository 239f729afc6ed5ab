"""Where to put a threshold between counts."""

from collections.abc import Sequence
from math import ceil
from typing import Protocol

AT_LEAST = "at least"
LESS_THAN = "less than"
RELATIONS = (LESS_THAN, AT_LEAST)

_STEPS = (100, 50, 20, 10, 5)


class Random(Protocol):
    """A source of random numbers: numpy's Generator, or one that gives the same again."""

    def random(self) -> float:
        """The next number in [0, 1)."""
        ...


def holds(count: float, relation: str, number: float) -> bool:
    """Says whether `count` is `relation` ("less than", strictly, or "at least") `number`."""
    return count >= number if relation == AT_LEAST else count < number


def distance(count: float, relation: str, number: float) -> float:
    """Signed distance of a whole count to its threshold; >= 0 exactly when it holds."""
    return float(count - number if relation == AT_LEAST else number - 1 - count)


def between(low: int, high: int, rng: Random) -> int:
    """Draws a number in [low, high], away from the ends and round where possible."""
    if high - low >= 6:
        # A threshold hugging one of the two counts is hard to tell from its neighbour.
        inset = int(0.15 * (high - low))
        low, high = low + inset, high - inset
    for step in _STEPS:
        first = -(-low // step)
        multiples = high // step - first + 1
        if multiples > 0 and rng.random() < 0.6:
            return step * (first + int(rng.random() * multiples))
    return low + int(rng.random() * (high - low + 1))


def propose(kept: Sequence[int], broken: Sequence[int], rng: Random) -> tuple[str, int] | None:
    """Draws (relation, number >= 1) that all of `kept` satisfy and none of `broken`.

    With both kinds given, the number lies between them; with one kind it lies within 30 % of it.
    """
    choices = []
    if kept and broken:
        if max(broken) < min(kept):
            choices.append((AT_LEAST, max(broken) + 1, min(kept)))
        if max(kept) < min(broken):
            choices.append((LESS_THAN, max(kept) + 1, min(broken)))
    elif kept or broken:
        low, high = min(kept or broken), max(kept or broken)
        under = (max(1, ceil(0.7 * low)), low)
        over = (high + 1, max(high + 1, int(1.3 * high) + 1))
        choices.append((AT_LEAST, *(under if kept else over)))
        choices.append((LESS_THAN, *(over if kept else under)))
        choices = [choice for choice in choices if choice[2] >= choice[1]]
    if not choices:
        return None
    relation, low, high = choices[int(rng.random() * len(choices))]
    return relation, between(low, high, rng)
