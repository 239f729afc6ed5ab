"""Whole numbers in English words and back."""

import re
from functools import lru_cache

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
