"""Words and graphemes by Unicode's own rules (UAX 29), and words as people count them.

The rules are those of the `regex` library, which keeps up with Unicode: `WORD` makes its boundaries
those of UAX 29, and `\\X` is an extended grapheme cluster. "don't", "3.14" and "U.S" are one word
each, vowel signs belong to their letters, and a Chinese character is a word of its own. They know
no dictionary, so families that count words are not offered for scripts without spaces.

A word processor goes by white space instead, and so does a person who counts: "well-known" and a
web address are one word each. `counted` does it that way.
"""

import re
import unicodedata
from functools import lru_cache

import regex

from mapl_jax.constraints.text.cached import cached

_WORD = regex.compile(r"(?V1w)\w(?:\B.)*", regex.DOTALL)
# The same of texts with ASCII letters alone, several times as fast.
_ASCII_WORD = re.compile(
    r"\w++(?:[:,;.'\u2018\u2019](?:(?<=[A-Za-z][:.'\u2018\u2019])(?=[A-Za-z])"
    r"|(?<=[0-9][,;.'\u2018\u2019])(?=[0-9]))\w++)*+",
    re.ASCII,
)
# No ASCII, and no mark that is common in ASCII texts: quotes, dashes, an ellipsis, a bullet.
_FOREIGN = re.compile("[^\0-\x7f\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u2022]")
_VISIBLE = re.compile(r"[^\W_]")
_GRAPHEME = regex.compile(r"\X")
# Characters that join no other, but for a line break of two: Latin letters, quotes, dashes, money.
_SINGLE = re.compile("[\0-\u02ff\u2010-\u2027\u2030-\u205e\u20a0-\u20bf]*")
_RUN = re.compile(r"\w+")
_ASCII_RUN = re.compile(r"\w+", re.ASCII)
_MARKS_TO_SPACES = {code: " " for code in range(128) if not _RUN.match(chr(code))}
_EDGES = (
    " \t\r\n*_#>\"'`()[]{}<>.,;:!?-\u2013\u2014\u2018\u2019\u201c\u201d\u2026\u3002\uff0c\uff01"
    "\uff1f\uff1b\uff1a\u3001\u300c\u300d\u0964\u060c\u061f\u061b\u00ab\u00bb\u00a1\u00bf\u201e"
)
_WIDE_DASHES = "\u2014\u2013\u2026"
_DASHES = re.compile("\u2014|\u2013|--+|\\.{2,}|\u2026")
# Han, Hiragana, Katakana, Thai, Lao, Myanmar, Khmer.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff]"
)
_ENDINGS = tuple("ies ing es ed er s y e".split())
_FORM = re.compile(f"(?:{'|'.join(_ENDINGS)})$")
_CONTRACTION = re.compile(r"(.+)'(?:s|re|ve|ll|d|m)")

# What stands before a noun and behind it; before a verb.
_BEHIND = (
    r"(?=\s*(?:[.,;:!?)\n]|$)|\s+(?:is|are|was|were|and|or|but|of|in|on|at|to|for|from|with|that"
    r"|which|who|can|will|would|may|might|should|has|have|by|as|if|when|because|so|than)\b)"
)
_NOUN = (
    r"\b(?:an?|the|my|your|his|her|its|our|their|some|any|no|each|every|these|those|this|many|more"
    r"|most|few|several|of|about|with|for)\s+(?:[a-z]+\s+)?([a-z]{4,})" + _BEHIND
)
_PLURAL = r"\b([a-z]{3,}[^s\W\d_]s)(?=\s*[.,;:!?)\n]|\s+(?:and|or|are|were)\b)"
_VERB = (
    r"\b(?:to|i|you|we|they|he|she|it|who|can|could|should|would|will|must|may|might|not|please"
    r"|let|lets|[a-z]+n['\u2019]t|['\u2019]s)\s+(?:also\s+)?([a-z]{4,})\b"
)
# Where all letters are ASCII, they are found in half the time.
_USES = {
    ascii: [re.compile(pattern, re.ASCII if ascii else 0) for pattern in (_NOUN, _PLURAL, _VERB)]
    for ascii in (False, True)
}


class AnyCase:
    """A pattern in small letters that is found in letters of any case.

    Where all letters are ASCII, the text is put into small ones first, which is several times as
    fast as `re.I`.

    Attributes:
        pattern: the regular expression.
        needs: words of which every match holds one; none where they are too many. A text without
            them need not be searched.
    """

    def __init__(self, pattern: str, needs: str = ""):
        self.pattern = pattern
        self.needs = frozenset(needs.split())

    @cached
    def _in_ascii(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.ASCII)

    @cached
    def _in_all(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.I)

    def found(self, text: str) -> bool:
        """Whether a text holds it."""
        small = _in_small_ascii(text)
        if small is None:
            return self._in_all.search(text) is not None
        return self._in_ascii.search(small) is not None


def is_ascii(text: str) -> bool:
    """Whether all letters, digits and white space of a text are ASCII."""
    return text.isascii() or not _FOREIGN.search(text)


@lru_cache(maxsize=128)
def _in_small_ascii(text: str) -> str | None:
    """A text in small letters, if all of them are ASCII."""
    return text.lower() if is_ascii(text) else None


def segments(text: str) -> list[str]:
    """The words of a text by UAX 29, those of underscores alone left out."""
    found = (_ASCII_WORD if is_ascii(text) else _WORD).findall(text)
    return [word for word in found if _VISIBLE.search(word)] if "_" in text else found


def stem(word: str) -> str:
    """What a contraction or possessive in small letters begins with: "you" of "you're"."""
    match = _CONTRACTION.fullmatch(word) if "'" in word else None
    return match[1] if match else ""


@lru_cache(maxsize=65536)
def root(word: str) -> str:
    """What a word has in common with its other forms: "cook" of "cooking" and "cooks"."""
    return _FORM.sub("", word.lower()) if len(word) > 4 else word.lower()


@lru_cache(maxsize=8192)
def forms(word: str) -> frozenset[str]:
    """All words that have their root in common with a word: "cook", "cooks", "cooking"."""
    start = root(word)
    return frozenset(it for it in (start, *(start + end for end in _ENDINGS)) if root(it) == start)


def things(text: str) -> frozenset[str]:
    """Words of a text in lower case that are used as nouns, as far as what is around them tells."""
    nouns, plurals, verbs = _USES[is_ascii(text)]
    return frozenset({*nouns.findall(text), *plurals.findall(text)} - {*verbs.findall(text)})


def counted(text: str) -> list[str]:
    """The words of a text as people count them: what stands between spaces and dashes.

    A character of a script without spaces counts as a word, as it does for word processors.
    """
    ascii = is_ascii(text)
    if not ascii or "--" in text or ".." in text or any(map(text.__contains__, _WIDE_DASHES)):
        text = _DASHES.sub(_apart, text)
    if ascii or not _UNSPACED.search(text):
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
    if _SINGLE.fullmatch(text):
        return len(text) - text.count("\r\n")
    return len(_GRAPHEME.findall(text))


def is_unspaced(text: str) -> bool:
    """Whether a text holds letters of a script that is written without spaces."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def word_tokens(text: str) -> list[str]:
    r"""Runs of `\w`, as IFEval counts words: "don't" is two of them, "3.14" is two."""
    # Faster than to search for them.
    if text.isascii():
        return text.translate(_MARKS_TO_SPACES).split()
    return (_ASCII_RUN if is_ascii(text) else _RUN).findall(text)


def unmarked(word: str) -> str:
    """A word without quotes, brackets and punctuation around it."""
    return word.strip(_EDGES)


@lru_cache(maxsize=4096)
def has_digit(word: str) -> bool:
    """Whether it is, or holds, a number: "8-10", "2nd"; nobody speaks of those as words."""
    return any(map(str.isdigit, word))


@lru_cache(maxsize=4096)
def is_simple(word: str) -> bool:
    """Whether all take it for one word: no number, no mark inside ("I'm", "well-known")."""
    return not has_digit(word) and word.replace("\u2019", "'").isalnum()


def bare(word: str) -> str:
    """A word in lower case without quotes, brackets and punctuation around it."""
    return folded(unmarked(word))


def folded(text: str) -> str:
    """A text as it is compared: composed, in lower case, with straight apostrophes."""
    if not is_ascii(text):
        text = unicodedata.normalize("NFC", text)
    return text.lower().replace("\u2019", "'")


@lru_cache(maxsize=8192)
def parts_of(word: str) -> tuple[str, ...]:
    """The parts, in lower case, of a word with a mark inside; none of any other word."""
    if word[:-1].isalnum() and word.isascii():
        return ()
    runs = word_tokens(folded(word))
    return tuple(runs) if len(runs) > 1 else ()


@lru_cache(maxsize=8192)
def initial(word: str) -> str:
    """What a word begins with, in lower case, marks around it left out."""
    return unmarked(word)[:1].lower()


def holds_word(text: str) -> bool:
    """Whether there is a run of word characters in a text."""
    return _RUN.search(text) is not None


def is_capital(word: str) -> bool:
    """Whether a word has two letters or more, and all of them are capitals."""
    return word.isupper() and sum(map(str.isalpha, word)) > 1


@lru_cache(maxsize=4096)
def plain_word(word: str) -> str:
    """A word in lower case if texts count it among their words as it stands, otherwise empty."""
    lower = word.lower()
    return lower if lower.isascii() and lower.isalnum() else ""


@lru_cache(maxsize=1024)
def whole_word(word: str) -> re.Pattern[str]:
    """Pattern of `word` taken literally, with word boundaries where its ends are word-like.

    Scripts written without spaces (Chinese, Japanese, Thai, ...) have no such boundaries.
    """
    before = r"(?<!\w)" if _bounded(word[:1]) else ""
    after = r"(?!\w)" if _bounded(word[-1:]) else ""
    return re.compile(before + re.escape(word) + after)


def _bounded(character: str) -> bool:
    return bool(re.match(r"\w", character)) and not is_unspaced(character)
