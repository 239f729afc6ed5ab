"""Words and graphemes by Unicode's own rules (UAX 29), and words as people count them.

The rules are those of the `regex` library, which keeps up with Unicode: `WORD` makes its boundaries
those of UAX 29, and `\\X` is an extended grapheme cluster. "don't", "3.14" and "U.S" are one word
each, vowel signs belong to their letters, and a Chinese character is a word of its own. They know
no dictionary, so families that count words are not offered for scripts without spaces.

A word processor goes by white space instead, and so does a person who counts: "well-known" and a
web address are one word each. `counted` does it that way.
"""

import re

import regex

_WORD = regex.compile(r"(?V1w)\w(?:\B.)*", regex.DOTALL)
# The same of ASCII texts, several times as fast.
_ASCII_WORD = re.compile(
    r"[A-Za-z0-9_]+(?:(?:(?<=[A-Za-z])[:.'](?=[A-Za-z])|(?<=[0-9])[,;.'](?=[0-9]))[A-Za-z0-9_]+)*"
)
_VISIBLE = re.compile(r"[^\W_]")
_GRAPHEME = regex.compile(r"\X")
_DASHES = re.compile("\u2014|\u2013|--+|\\.{2,}|\u2026")
# Han, Hiragana, Katakana, Thai, Lao, Myanmar, Khmer.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]"
)
_CONTRACTION = re.compile(r"(.+)'(?:s|re|ve|ll|d|m)")


def segments(text: str) -> list[str]:
    """The words of a text by UAX 29, those of underscores alone left out."""
    found = _ASCII_WORD.findall(text) if text.isascii() else _WORD.findall(text)
    return [word for word in found if _VISIBLE.search(word)] if "_" in text else found


def stem(word: str) -> str:
    """What a contraction or possessive in small letters begins with: "you" of "you're"."""
    match = _CONTRACTION.fullmatch(word) if "'" in word else None
    return match[1] if match else ""


def counted(text: str) -> list[str]:
    """The words of a text as people count them: what stands between spaces and dashes.

    A character of a script without spaces counts as a word, as it does for word processors.
    """
    if not text.isascii() or "--" in text or ".." in text:
        text = _DASHES.sub(_apart, text)
    if text.isascii() or not _UNSPACED.search(text):
        return [piece for piece in text.split() if piece[0].isalnum() or _VISIBLE.search(piece)]
    found: list[str] = []
    for piece in text.split():
        if not piece[0].isalnum() and not _VISIBLE.search(piece):
            continue
        if piece.isascii() or not _UNSPACED.search(piece):
            found.append(piece)
        else:
            found += segments(piece)
    return found


def _apart(match: re.Match[str]) -> str:
    """A dash as a space, but for one between digits: "1990\u20132000" is one word."""
    text, start, stop = match.string, match.start(), match.end()
    digits = (
        match[0] == "\u2013"
        and text[start - 1 : start].isdigit()
        and text[stop : stop + 1].isdigit()
    )
    return match[0] if digits else " "


def graphemes(text: str) -> int:
    """Characters as people see them: an accent or a family of emoji belongs to its letter."""
    if text.isascii():
        return len(text) - text.count("\r\n")
    return len(_GRAPHEME.findall(text))


def is_unspaced(text: str) -> bool:
    """Whether a text holds letters of a script that is written without spaces."""
    return not text.isascii() and _UNSPACED.search(text) is not None
