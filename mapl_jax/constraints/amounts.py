"""Whole numbers in English words and back."""

import re
from collections.abc import Sequence
from functools import lru_cache
from math import ceil, inf
from typing import Protocol

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_NUMBER_WORD = "(?:" + "|".join([*sorted(_VALUES, key=len, reverse=True), "hundred", "thousand"])
_NUMBER_WORD += ")"

LIMIT = 1_000_000
"""Numbers from this one on are written in digits only."""

PATTERN = rf"(?:[0-9]+|{_NUMBER_WORD}(?:[ -](?:and )?{_NUMBER_WORD})*)"
"""Regular expression of everything `read` may understand."""


def spell(number: int) -> str:
    """Writes 0 <= number < LIMIT in words: 342 -> "three hundred forty-two".

    Raises:
        ValueError: the number is outside that range.
    """
    if not 0 <= number < LIMIT:
        raise ValueError(f"cannot spell {number}")
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    many, rest = divmod(number, size)
    return f"{spell(many)} {name}" + (f" {spell(rest)}" if rest else "")


@lru_cache(maxsize=4096)
def read(text: str) -> int:
    """Reads a number written in digits or in words.

    Raises:
        ValueError: the text is no such number.
    """
    text = text.strip().lower()
    if re.fullmatch("[0-9]{1,18}", text):
        return int(text)
    total = part = 0
    for word in re.split("[ -]+", text):
        if word == "hundred":
            part *= 100
        elif word == "thousand":
            total, part = total + 1000 * part, 0
        elif word in _VALUES:
            part += _VALUES[word]
        elif word != "and":
            raise ValueError(f"no number: {text!r}")
    number = total + part
    # Reading is lenient word by word, so only the one right spelling is let through.
    if number >= LIMIT or spell(number) != re.sub(" and ", " ", text):
        raise ValueError(f"no number: {text!r}")
    return number


AT_LEAST = "at least"
LESS_THAN = "less than"
RELATIONS = (LESS_THAN, AT_LEAST)

_SMALL = 10
_STEPS = (100, 50, 20, 10, 5)


class Random(Protocol):
    """A source of random numbers: numpy's Generator, or one that gives the same again."""

    def random(self) -> float:
        """The next number in [0, 1)."""
        ...


def _step(number: int) -> int:
    """Of what people choose multiples, about so far up."""
    if number <= 100:
        return 1 if number <= _SMALL else 5
    return 10 if number <= 200 else 50 if number <= 1000 else 100


def is_round(number: int) -> bool:
    """Whether people would choose such a number."""
    return number % _step(number) == 0


def is_natural(relation: str, number: int) -> bool:
    """Whether people would choose such a threshold: "at most 50" is "fewer than 51"."""
    return is_round(number) or (relation == LESS_THAN and is_round(number - 1))


def holds(count: float, relation: str, number: float) -> bool:
    """Says whether `count` is `relation` ("less than", strictly, or "at least") `number`."""
    return count >= number if relation == AT_LEAST else count < number


def distance(count: float, relation: str, number: float) -> float:
    """Signed distance of a whole count to its threshold; >= 0 exactly when it holds."""
    return float(count - number if relation == AT_LEAST else number - 1 - count)


def between(low: int, high: int, rng: Random) -> int:
    """Draws a number in [low, high] that people would choose, away from the ends where possible.

    Round numbers come before others, and up to ten every number is round.
    """
    levels, chosen = _levels(low, high)
    for level in levels:
        if rng.random() < 0.6:
            chosen = level
            break
    return chosen[int(rng.random() * len(chosen))]


@lru_cache(maxsize=4096)
def _levels(low: int, high: int) -> tuple[Sequence[range], range]:
    """Numbers in [low, high] that people would choose, the roundest first; and the last resort."""
    ranges = [(low, high)]
    if high - low >= 6:
        # A threshold hugging one of the two counts is hard to tell from its neighbor.
        inset = int(0.15 * (high - low))
        ranges.insert(0, (low + inset, high - inset))
    for (first, last), finest in [*((ends, _step(ends[1])) for ends in ranges), (ranges[-1], 1)]:
        levels = [
            level
            for step in _STEPS
            if step >= finest and (level := range(-(-first // step) * step, last + 1, step))
        ]
        if first <= _SMALL and finest <= _STEPS[-1]:
            return levels, range(first, min(last, _SMALL) + 1)
        if levels:
            return levels, levels[-1]
    return (), range(low, high + 1)


Choice = tuple[str, int, int]
"""A relation, and the smallest and the largest number for it."""


def propose(
    kept: Sequence[int], broken: Sequence[int], rng: Random, least: int = 1, most: float = inf
) -> tuple[str, int] | None:
    """Draws (relation, number >= `least`) that all of `kept` satisfy and none of `broken`.

    With both kinds given, the number lies between them; with one kind it lies within 30 % of it.

    Args:
        kept: counts of the texts to keep; several of one text where it can be read in several ways.
        broken: the same of those to break.
        rng: decides between the possible thresholds.
        least: the smallest threshold that is worth asking for.
        most: the largest.
    """
    possible = choices_of(kept, broken, least, most)
    return draw(possible, rng) if possible else None


def choices_of(
    kept: Sequence[int], broken: Sequence[int], least: int = 1, most: float = inf
) -> list[Choice]:
    """What `propose` draws from."""
    choices: list[Choice] = []
    if kept and broken:
        least_kept, most_broken = min(kept), max(broken)
        if most_broken < least_kept:
            choices.append((AT_LEAST, most_broken + 1, least_kept))
        else:
            most_kept, least_broken = max(kept), min(broken)
            if most_kept < least_broken:
                choices.append((LESS_THAN, most_kept + 1, least_broken))
    elif kept or broken:
        low, high = min(kept or broken), max(kept or broken)
        under = (max(1, ceil(0.7 * low)), low)
        over = (high + 1, max(high + 1, int(1.3 * high) + 1))
        choices.append((AT_LEAST, *(under if kept else over)))
        choices.append((LESS_THAN, *(over if kept else under)))
    # "At most three" is "fewer than four".
    possible = []
    for relation, low, high in choices:
        highest = most + 1 if relation == LESS_THAN and most > 1 else most
        low, high = max(low, least), int(min(high, highest))
        if high >= low:
            possible.append((relation, low, high))
    return possible


def draw(possible: Sequence[Choice], rng: Random) -> tuple[str, int]:
    """Draws a relation and a number for it; some of either are more natural than others."""
    relation, low, high = possible[int(rng.random() * len(possible))]
    if relation == LESS_THAN and low > _SMALL and rng.random() < 0.5:
        # "At most 50" rather than "fewer than 50".
        return relation, between(low - 1, high - 1, rng) + 1
    return relation, between(low, high, rng)
