"""What can be counted in a response, computed once per text.

Every pattern here runs in linear time: responses may be long, odd or hostile.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar, overload

from mapl_jax.constraints.text import detection, sentences

_WORD = re.compile(r"\w+")
_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
# A marker, then white space, then something to say: neither a rule "---" nor a number "-5".
_BULLET = re.compile(r"^[^\S\n]*[*+•-][^\S\n]+(?![*_-][*_ -]*$)\S", re.M)
# Inside, neither stars nor line breaks; no space next to the stars, or "2 * 3 * 4" would count.
_HIGHLIGHT = re.compile(r"(?<!\*)(\*{1,3})(?=[^\s*])[^\n*]*(?<=[^\s*])\1(?!\*)")

_LINK = re.compile(r"https?://[^\s)>\]]+|\[[^\[\]\n]+\]\([^()\s]+\)|\bwww\.\w")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
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
_BOLD = re.compile(r"(?<!\*)\*\*(?=[^\s*])[^\n*]*(?<=[^\s*])\*\*(?!\*)")
_STEP = re.compile(r"^[^\S\n]*\d{1,3}[.)][^\S\n]+\S", re.M)
_HEADING = re.compile(r"^#{1,6}[^\S\n]+\S", re.M)
_TABLE_RULE = re.compile(r"^[^\S\n]*\|?[^\S\n]*:?-{2,}:?(?:[^\S\n]*\|[^\S\n]*:?-{2,}:?)*", re.M)
_EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")
_BRACKETS = re.compile(r"\[[^\[\]\n]+\](?!\()")
_EDGES = " \t\r\n*_#>\"'`()[]{}<>.,;:!?-\u2013\u2014\u2018\u2019\u201c\u201d\u2026"

# Words that say little about what a text is about; keywords are not drawn from them.
STOPWORDS = frozenset(
    """
    about above after again against all also although always among and any anyone anything are
    aren around because been before being below between both but can cannot could couldn did didn
    does doesn doing don done down during each either else even ever every few for from further get
    gets getting goes going got had hadn has hasn have haven having her here hers herself him
    himself his how however into isn its itself just let like may maybe might more most much must
    mustn myself neither nor not now off often one once only onto other others ought our ours
    ourselves out over own per perhaps quite rather really said same say says shall shan she should
    shouldn since some someone something still such than that the their theirs them themselves then
    there therefore these they thing things this those though through thus too under until unless
    upon use used using very was wasn well were weren what when where whether which while who whom
    whose why will with within without won would wouldn yes yet you your yours yourself yourselves
    """.split()
)


def word_tokens(text: str) -> list[str]:
    r"""Runs of `\w`, as IFEval counts words: "don't" is two of them, "3.14" is two."""
    return _WORD.findall(text)


def unmarked(word: str) -> str:
    """A word without quotes, brackets and punctuation around it."""
    return word.strip(_EDGES)


def bare(word: str) -> str:
    """A word in lower case without quotes, brackets and punctuation around it."""
    return unmarked(word).lower()


def _first(text: str) -> str:
    """The first piece between white space that holds a letter or a digit."""
    for piece in text.split(maxsplit=8):
        word = piece.split(maxsplit=1)[0]
        if _WORD.search(word):
            return word
    return ""


_Value = TypeVar("_Value")


class _kept(Generic[_Value]):
    """`functools.cached_property` without the lock of Python 3.11, which takes longer than most
    statistics: two threads may work one out twice, and get the same."""

    def __init__(self, compute: Callable[[Any], _Value]):
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, text: None, owner: type) -> "_kept[_Value]": ...

    @overload
    def __get__(self, text: object, owner: type) -> _Value: ...

    def __get__(self, text, owner):
        if text is None:
            return self
        value = text.__dict__[self._name] = self._compute(text)
        return value


class Text:
    """Statistics of one response; each is computed on first use and kept."""

    def __init__(self, raw: str):
        self.raw = raw

    @_kept
    def stripped(self) -> str:
        """The text without white space around it."""
        return self.raw.strip()

    @_kept
    def lower(self) -> str:
        """The text in lower case."""
        return self.raw.lower()

    @_kept
    def opening(self) -> str:
        """The text in lower case from its first visible character on."""
        return self.stripped.lower()

    @_kept
    def ending(self) -> str:
        """The text in lower case up to its last visible character that is no quotation mark."""
        return self.stripped.strip('"').rstrip().lower()

    @_kept
    def words(self) -> list[str]:
        r"""Runs of `\w`."""
        return word_tokens(self.raw)

    @_kept
    def word_counts(self) -> Counter[str]:
        """How often each lower-cased word occurs."""
        return Counter(word_tokens(self.lower))

    @_kept
    def surface(self) -> dict[str, str]:
        """Lower-cased word -> how it is written, in lower case if it is so anywhere."""
        forms: dict[str, str] = {}
        for word in self.words:
            lower = word.lower()
            if lower not in forms or word == lower:
                forms[lower] = word
        return forms

    @_kept
    def content_words(self) -> tuple[str, ...]:
        """Different lower-cased words of three ASCII letters or more, stop words left out."""
        return tuple(
            word
            for word in self.surface
            if len(word) >= 3 and word.isascii() and word.isalpha() and word not in STOPWORDS
        )

    @_kept
    def characters(self) -> Counter[str]:
        """How often each character of the lower-cased text occurs."""
        return Counter(self.lower)

    @_kept
    def language(self) -> str | None:
        """Code of the language, such as "en"; None if that cannot be told."""
        return detection.language(self.lower, self.word_counts, self.characters)

    @_kept
    def sentences(self) -> int:
        """Number of sentences by the Punkt rules."""
        return sentences.count(self.raw)

    @_kept
    def sentence_list(self) -> list[str]:
        """The sentences, each line break ending one too, without those that hold no word."""
        return [
            piece for line in self.lines for piece in sentences.split(line) if _WORD.search(piece)
        ]

    @_kept
    def sentence_lengths(self) -> list[int]:
        """Number of words of each sentence."""
        return [len(word_tokens(sentence)) for sentence in self.sentence_list]

    @_kept
    def longest_paragraph(self) -> int:
        """Words of the longest paragraph."""
        return max((len(word_tokens(part)) for part in self.paragraphs), default=0)

    @_kept
    def sentence_openings(self) -> frozenset[str]:
        """First words of the sentences."""
        return frozenset(unmarked(_first(sentence)) for sentence in self.sentence_list) - {""}

    @_kept
    def first_word(self) -> str:
        """The first word without marks around it; may be empty."""
        return unmarked(_first(self.stripped))

    @_kept
    def last_word(self) -> str:
        """The last word without marks around it; may be empty."""
        parts = self.stripped.rsplit(maxsplit=1)
        return unmarked(parts[-1]) if parts else ""

    @_kept
    def longest_word(self) -> int:
        """Letters of the longest run of letters."""
        return max((len(word) for word in self.surface if word.isalpha()), default=0)

    @_kept
    def initials(self) -> Counter[str]:
        """How many words start with each letter, lower-cased."""
        return Counter(word[0].lower() for word in self.words if word[0].isalpha())

    @_kept
    def numbers(self) -> int:
        """Numbers written in digits: 7, 1,000 and 3.14 are one each."""
        return sum(1 for _ in _DIGITS.finditer(self.raw))

    @_kept
    def dates(self) -> int:
        """Days of a month, in words or in digits."""
        # The pattern is slow, and no date is without a digit.
        return sum(1 for _ in _DATE.finditer(self.raw)) if self.numbers else 0

    @_kept
    def bold(self) -> int:
        """Spans set in two stars on either side, within one line."""
        return sum(1 for _ in _BOLD.finditer(self.raw)) if "**" in self.raw else 0

    @_kept
    def quotation_marks(self) -> int:
        """Double quotation marks, straight or curly."""
        return sum(self.raw.count(mark) for mark in '"\u201c\u201d')

    @_kept
    def repeated_words(self) -> int:
        """Different words of four letters or more that occur more than once."""
        return sum(count > 1 and len(word) > 3 for word, count in self.word_counts.items())

    @_kept
    def links(self) -> int:
        """Web addresses and Markdown links."""
        if not any(mark in self.raw for mark in ("://", "](", "www.")):
            return 0
        return sum(1 for _ in _LINK.finditer(self.raw))

    @_kept
    def emoji(self) -> int:
        """Pictographs and dingbats."""
        return 0 if self.raw.isascii() else sum(1 for _ in _EMOJI.finditer(self.raw))

    @_kept
    def steps(self) -> int:
        """Lines that start with a number and a full stop or bracket: "1. Wash"."""
        return sum(1 for _ in _STEP.finditer(self.raw)) if self.numbers else 0

    @_kept
    def headings(self) -> int:
        """Markdown headings: lines that start with one to six `#` and a space."""
        return sum(1 for _ in _HEADING.finditer(self.raw)) if "#" in self.raw else 0

    @_kept
    def placeholders(self) -> int:
        """Texts in square brackets that are no Markdown links."""
        return sum(1 for _ in _BRACKETS.finditer(self.raw)) if "[" in self.raw else 0

    @_kept
    def fences(self) -> int:
        """Fenced blocks of code, closed or not."""
        marks = sum(line.startswith("```") for line in self.lines)
        return (marks + 1) // 2

    @_kept
    def tables(self) -> frozenset[int]:
        """Numbers of columns of the Markdown tables, two or more."""
        found: set[int] = set()
        if "|" not in self.raw:
            return frozenset()
        for above, rule in zip(self.lines, self.lines[1:], strict=False):
            match = _TABLE_RULE.match(rule)
            if match and match.end() == len(rule.rstrip("| \t")) and "|" in above:
                columns = len(above.strip().strip("|").split("|"))
                if columns >= 2 and columns == len(rule.strip().strip("|").split("|")):
                    found.add(columns)
        return frozenset(found)

    @_kept
    def first_places(self) -> dict[str, int]:
        """Lower-cased word -> index of its first occurrence among the words."""
        places: dict[str, int] = {}
        for place, word in enumerate(word_tokens(self.lower)):
            places.setdefault(word, place)
        return places

    @_kept
    def lines(self) -> list[str]:
        """Lines that are not blank, stripped."""
        return [line for line in map(str.strip, self.raw.split("\n")) if line]

    @_kept
    def paragraphs(self) -> list[str]:
        """Non-blank parts between blank lines."""
        text = self.stripped.replace("\r\n", "\n")
        return [part for part in _BLANK_LINES.split(text) if part]

    @_kept
    def paragraph_openings(self) -> list[str]:
        """First word of each paragraph; empty where there is none."""
        return [unmarked(_first(paragraph)) for paragraph in self.paragraphs]

    @_kept
    def bullets(self) -> int:
        """Lines that start with `*`, `-`, `+` or `•`, a space and some text."""
        return len(_BULLET.findall(self.raw))

    @_kept
    def highlights(self) -> int:
        """Spans set in stars within one line: *one*, **two** or ***three***."""
        return sum(1 for _ in _HIGHLIGHT.finditer(self.raw)) if "*" in self.raw else 0

    @_kept
    def capital_words(self) -> int:
        """Words between white space that have letters, all of them capitals ("I" counts)."""
        return sum(1 for word in self.raw.split() if word.isupper())

    def count_word(self, word: str) -> int:
        """How often `word` (or a phrase) occurs as a whole word, whatever its case."""
        plain = plain_word(word)
        if plain:
            return self.word_counts.get(plain, 0)
        return sum(1 for _ in whole_word(word.lower()).finditer(self.lower))


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
    unspaced = "\u0e00" <= character < "\u0f00" or "\u1000" <= character < "\u10a0"
    unspaced |= "\u1780" <= character < "\u1800" or "\u3040" <= character < "\ua000"
    return bool(re.match(r"\w", character)) and not (unspaced or character >= "\U00020000")


@lru_cache(maxsize=128)
def view(text: str) -> Text:
    """The statistics of `text`, shared by all families that look at it in turn."""
    return Text(text)
