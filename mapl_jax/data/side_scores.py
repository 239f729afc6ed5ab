"""Scores in columns of their own beside chosen and rejected: where they say the opposite."""

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mapl_jax.data.fields import is_finite

# Records of which by chance not all prefer the same side.
_MANY = 20
# What the columns of the better and of the worse side are called, word by word ...
_OTHER_SIDE = {
    "chosen": "rejected",
    "accepted": "rejected",
    "preferred": "dispreferred",
    "better": "worse",
    "good": "bad",
    "winner": "loser",
    "winning": "losing",
    "win": "lose",
    "positive": "negative",
    "pos": "neg",
    "w": "l",
    "j": "k",
}
# ... those that say how good a side is, and those that say how bad.
_GOOD = re.compile(r"score|rating|reward|grade|quality|upvote", re.IGNORECASE)
_BAD = re.compile(r"harm|toxic|loss|perplex|rank|model|confidence", re.IGNORECASE)


def contradicted(record: Mapping[str, object]) -> Iterator[tuple[str, bool]]:
    """For every two columns that score both sides, or a margin: whether the worse side wins.

    Yields what was compared, in words, and whether it says the opposite of the sides.
    """
    some = (x for x in record.values() if isinstance(x, list))
    replies = {1, *(len(x) for x in some if all(isinstance(part, str | list) for part in x))}
    numbers = {
        path: found
        for path, value in _columns(record)
        if (found := _numbers(value)) and len(found) in replies  # others score several aspects
    }
    for better, worse in _sides(tuple(numbers)):
        yield f"{better} < {worse}", min(numbers[better]) < max(numbers[worse])
    if "margin" in numbers:
        yield "margin < 0", min(numbers["margin"]) < 0


def described(compared: Counter[str], opposite: Counter[str]) -> list[str]:
    """One line on how many records contradict themselves; none where none does.

    Records are counted by what is compared in them, and those of them that say the opposite.
    """
    if not opposite:
        return []
    counts = ", ".join(f"{n} of {compared[what]} ({what})" for what, n in opposite.items())
    return [f"records whose chosen reply scores lower than the rejected one: {counts}"]


def one_sided(strengths: Counter[tuple[str, int]]) -> list[str]:
    """One line where a strength prefers the same response in every record of many.

    Args:
        strengths: records by the column of the strength, and its sign.
    """
    lines = []
    for path in sorted({path for path, _ in strengths}):
        below, above = strengths[path, -1], strengths[path, 1]
        if below + above >= _MANY and not (below and above):
            lines.append(
                f"{path} is {'above' if above else 'below'} 0 in all records where it is not 0 "
                f"({below + above}), which prefers the {'second' if above else 'first'} response "
                "in all of them; if it only says how much better one is, name the column that says "
                "which one with choice=COLUMN"
            )
    return lines


def _columns(record: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Every column, and those of the objects that columns hold."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", part) for key, part in value.items())
        else:
            yield str(name), value


def _numbers(value: object) -> Sequence[float]:
    """A number, as text too, or a list of such."""
    found = [_number(x) for x in (value if isinstance(value, list) else [value])]
    return [x for x in found if x is not None] if None not in found else []


def _number(value: object) -> float | None:
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", value):
        value = float(value)
    return value if is_finite(value) else None


@functools.lru_cache(maxsize=64)
def _sides(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The columns that score the better side, each with that of the worse one."""
    worded = {_words(name): name for name in names}
    found = []
    for words, name in worded.items():
        if not _GOOD.search(name) or _BAD.search(name):
            continue
        for place, word in enumerate(words):
            other = (*words[:place], _OTHER_SIDE.get(word, ""), *words[place + 1 :])
            if other in worded:
                found.append((name, worded[other]))
    return found


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name))
