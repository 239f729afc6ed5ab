"""Marks and things with a shape of their own: punctuation, links, dates, emoji, highlights, tables.

Functions of a text (a response, or a view of it that `statistics.Text` gives).
"""

import functools
import itertools
import re
import string
from collections.abc import Sequence

import regex

_ADDRESS = re.compile(
    r"https?://[^\s)>\]]+|\bwww\.\w[^\s)>\]]*|\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}"
)
_LINK = re.compile(r"https?://[^\s)>\]]+|(?<!!)\[[^\[\]\n]+\]\([^()\s]+\)|\bwww\.\w")
_ENDINGS = tuple(".com .org .net .edu .gov .io .co".split())
_DOMAIN = re.compile(rf"\b\w{{2,30}}(?:{'|'.join(map(re.escape, _ENDINGS))})\b", re.I)
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_SURE_DIGIT = re.compile(r"(?<![^\W\d_])(?<!\d)\d")
_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    "|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
# 5 March, March 5th, 2024-03-05, 5/3/2024.
_DATE = re.compile(
    rf"(?<!\d)\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\b"
    rf"|\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?\b"
    r"|\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[/.]\d{1,2}[/.]\d{4}\b",
    re.I,
)
# Words of months, and a date in digits: where there is neither, there is no date.
MONTHS = frozenset(
    """
    jan january feb february mar march apr april may jun june jul july aug august sep sept september
    oct october nov november dec december
    """.split()
)
_IN_DIGITS = re.compile(r"\d[-/.]\d")
# As verbs and adjectives these are written small: "may 3 people", "march 10 miles".
_WORDS_TOO = re.compile(r"\b(?:may|march|mar|august)\b")
# Inside, neither stars nor line breaks; no space next to the stars, or "2 * 3 * 4" would count.
_HIGHLIGHT = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])[^\n*]*(?<=[^\s*])\1(?![\w*])")
_BOLD = re.compile(
    r"(?<![\w*])(\*{2,3})(?=[^\s*])[^\n*]*(?<=[^\s*])\1(?![\w*])"
    r"|(?<![\w_])__(?=[^\s_])[^\n_]*(?<=[^\s_])__(?![\w_])"
)
_BRACKETS = re.compile(r"(?<!\w)\[(?=[^\[\]\n]*[^\W\d_]{2})[^\[\]\n^]+\](?![(\[:])")
_EMOJI = regex.compile(
    "\\p{Emoji_Presentation}|[\\p{Emoji}--[0-9#*]]\ufe0f|[0-9#*]\ufe0f?\u20e3", regex.V1
)
# A character without which there is none, found at once.
_HINT_OF_EMOJI = re.compile("[\u20e3\u231a-\U0010ffff]")
_PICTURES = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")
_TABLE_RULE = re.compile(r"^[^\S\n]*\|?[^\S\n]*:?-{2,}:?(?:[^\S\n]*\|[^\S\n]*:?-{2,}:?)*", re.M)

# The marks of other scripts say the same.
COMMAS = ",\uff0c\u3001\u060c"
QUESTION_MARKS = "?\uff1f\u061f"
EXCLAMATION_MARKS = "!\uff01"
COLONS = ":\uff1a"
SEMICOLONS = ";\uff1b\u061b"
HYPHENS = "-\u2010\u2011"
PARENTHESES = "(\uff08"
QUOTATION_MARKS = '"\u201c\u201d\u201e\u201f\uff02'
FULL_STOPS = ".\u3002\uff0e\u0964\u0965\u06d4"
_HYPHEN = re.compile("(?<!-)-(?!-)|[\u2010\u2011]")
_HYPHEN_IN_WORD = re.compile(r"(?<=\w)[-\u2010\u2011](?=\w)")
_QUOTATION = re.compile('["\u201c][^"\u201c\u201d\n]*["\u201d]')
_APOSTROPHE = re.compile(r"['\u2019](?<=\w.)(?=\w)")


def count(text: str, characters: str) -> int:
    """How often any of some characters occurs."""
    if text.isascii():
        return text.count(characters[0])
    return sum(map(text.count, characters))


@functools.lru_cache
def _as_punctuation(characters: str) -> re.Pattern[str]:
    closing = r"\s\"'\u2019\u201d*_?!.,\]" + ("" if characters[0] in ":;" else ")")
    mark, *wide = map(re.escape, characters)
    # Full-width marks need no space behind them.
    return re.compile("|".join([rf"(?<=[^\s:;(]){mark}(?=[{closing}]|$)", *wide]))


def sure(text: str, characters: str) -> int:
    """`count` without marks that are part of a number, a time or a smiley: 1,000, 10:30, ;)."""
    if not count(text, characters):
        return 0
    return sum(1 for _ in _as_punctuation(characters).finditer(text))


def hyphens(text: str) -> int:
    """Hyphens, of which two in a row are a dash."""
    return sum(1 for _ in _HYPHEN.finditer(text)) if "-" in text or not text.isascii() else 0


def hyphens_in_words(text: str) -> int:
    """Hyphens between two letters or digits."""
    return sum(1 for _ in _HYPHEN_IN_WORD.finditer(text))


def hyphens_and_dashes(text: str) -> int:
    """Every horizontal stroke."""
    return sum(map(text.count, HYPHENS + "\u2012\u2013\u2014\u2015\u2212"))


def quotations(text: str) -> int:
    """What stands in double quotation marks within a line."""
    return sum(1 for _ in _QUOTATION.finditer(text)) if count(text, QUOTATION_MARKS) > 1 else 0


def without_quotations(text: str) -> str:
    """A text without what stands in double quotation marks within a line."""
    if '"' in text or "\u201c" in text:
        return _QUOTATION.sub(" ", text)
    return text


def without_addresses(text: str) -> str:
    """A text without web and mail addresses."""
    if "://" in text or "www." in text or "@" in text:
        return _ADDRESS.sub(" ", text)
    return text


def apostrophes(text: str) -> int:
    """Apostrophes within words, straight or curly; single quotation marks are none."""
    if "'" not in text and "\u2019" not in text:
        return 0
    return sum(1 for _ in _APOSTROPHE.finditer(text))


def numbers(text: str) -> int:
    """Numbers written in digits: 7, 1,000 and 3.14 are one each."""
    return sum(1 for _ in _DIGITS.finditer(text))


def has_sure_numbers(text: str) -> bool:
    """Whether there is a digit that is no part of a name such as B2B or MP3."""
    return _SURE_DIGIT.search(text) is not None


def has_numbers(text: str) -> bool:
    """Whether there is a digit."""
    if text.isascii():
        return any(digit in text for digit in string.digits)
    return _DIGITS.search(text) is not None


def may_be_in_digits(text: str) -> bool:
    """Whether there may be a date without the name of a month."""
    return _IN_DIGITS.search(text) is not None


def dates(text: str) -> int:
    """Days of a month, in words or in digits."""
    if not has_numbers(text):
        return 0
    return sum(1 for match in _DATE.finditer(text) if not _WORDS_TOO.search(match[0]))


def dates_of_any_case(text: str) -> int:
    """The same where "may 3" is one."""
    return sum(1 for _ in _DATE.finditer(text)) if has_numbers(text) else 0


def links(text: str) -> int:
    """Web addresses and Markdown links."""
    if not any(mark in text for mark in ("://", "](", "www.")):
        return 0
    return sum(1 for _ in _LINK.finditer(text))


def domains(text: str) -> int:
    """Links, and names such as example.com."""
    lower = text.lower()
    if not any(ending in lower for ending in _ENDINGS):
        return links(text)
    return links(text) + sum(1 for _ in _DOMAIN.finditer(text))


def bold(text: str) -> int:
    """Spans set in two stars or underscores on either side, within one line."""
    return sum(1 for _ in _BOLD.finditer(text)) if "**" in text or "__" in text else 0


def highlights(text: str) -> int:
    """Spans set in stars within one line: *one*, **two** or ***three***."""
    return sum(1 for _ in _HIGHLIGHT.finditer(text)) if "*" in text else 0


def placeholders(text: str) -> int:
    """Texts in square brackets that are no links, no notes such as [1], no boxes such as [x]."""
    return sum(1 for _ in _BRACKETS.finditer(text)) if "[" in text else 0


def emoji(text: str) -> int:
    """Characters that are shown as emoji."""
    if text.isascii() or not _HINT_OF_EMOJI.search(text):
        return 0
    return sum(1 for _ in _EMOJI.finditer(text))


def pictures(text: str) -> int:
    """Emoji, and signs such as ✓ and ★ that some take for them."""
    if text.isascii():
        return 0
    return emoji(text) + sum(1 for _ in _PICTURES.finditer(text))


def tables(lines: Sequence[str]) -> frozenset[int]:
    """Numbers of columns of the Markdown tables, two or more.

    Args:
        lines: those of the response that are not blank, stripped.
    """
    found: set[int] = set()
    for above, rule in itertools.pairwise(lines):
        match = _TABLE_RULE.match(rule) if "|" in above else None
        if match and match.end() == len(rule.rstrip("| \t")):
            columns = len(above.strip().strip("|").split("|"))
            if columns >= 2 and columns == len(rule.strip().strip("|").split("|")):
                found.add(columns)
    return frozenset(found)
