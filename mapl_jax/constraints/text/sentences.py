"""Where sentences end: the decisions of the Punkt algorithm with hand-written word lists.

The algorithm is that of Kiss and Strunk (2006), as IFEval uses it through NLTK 3.8. NLTK's trained
English model states no license and its later releases decide otherwise about curly quotes, so the
word lists and the code are our own. A candidate is a `.`, `?` or `!` with white space or
punctuation behind it. A question or exclamation mark ends a sentence; a full stop does unless it
belongs to an initial, to an abbreviation or ellipsis before anything but a word that often begins
sentences, or to a number before a small letter. Line breaks end nothing.
"""

import itertools
import re
import string
from collections.abc import Iterator
from functools import lru_cache

from mapl_jax.constraints.text import words
from mapl_jax.constraints.text.common_words import COMMON_WORDS

# Those of newspapers, on which Punkt's English model was trained.
NEWSPAPER_ABBREVIATIONS = frozenset(
    """
    adm a.m apr assn assoc aug ave b.a b.c b.sc blvd bros c.e calif capt cmdr co
    col conn corp d.c dec dept dist dr ed est ext feb fla fri ft gen gov hon hwy inc
    jan jr lt ltd m.a m.d mass maj mar messrs mich minn mon mr mrs ms mt n.y nov oct p.m p.o
    pa ph.d prof rep rev sat sen sens sept sgt sr st tues u.k u.n u.s u.s.a v va vol vs wash
    wed wis
    """.split()
)
ABBREVIATIONS = NEWSPAPER_ABBREVIATIONS | frozenset(
    "adj adv approx c.f cf e.g eg esp etc fig i.e ie pp viz".split()
)

# Initials; most single vowels are words.
INITIALS = frozenset("bcdfghjklmnpqrstvwxyz")
# Words that begin sentences far more often than they follow an abbreviation within one.
STARTERS = frozenset("and but for he i if in it she that the there these they this we".split())

# Marks that are never part of a word, and so may follow the end of a sentence at once.
_OUTSIDE = r"[)\";}\]*:@'({\[?!]"
_RUN = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"
_CANDIDATE = re.compile(rf"[.?!](?=(?P<after>{_OUTSIDE}|\s+(?P<next>\S+)))")
_WORD_END = rf"(?:\s|$|{_OUTSIDE}|{_RUN}|,(?:$|\s|{_OUTSIDE}|{_RUN}))"
_PIECE = re.compile(rf"{_RUN}|[^\s(\"`{{\[:;&#*@)}}\]\-,](?:(?!{_WORD_END})\S)*|\S")
_ELLIPSIS = re.compile(r"\.\.+$")
_INITIAL = re.compile(r"[^\W\d]\.$")
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*\.?$")
# Closing marks belong to the sentence before them.
_CLOSING = re.compile(r"[\"')\]}]+?(?:\s+|(?=--)|$)", re.M)
_ENDS_OF_OTHER_SCRIPTS = re.compile(
    "(?<=[\u3002\uff0e\uff01\uff1f\u0964\u0965\u061f\u06d4])(?![\u3002\uff0e\uff01\uff1f\u0964\u0965\u061f\u06d4"
    "\"'\u201d\u2019\u300d\u300f\uff09)]|\\s*$)"
)
_END_MARKS = tuple(".?!\u2026\u3002\uff0e\uff01\uff1f\u0964\u0965\u061f\u06d4")
_MARKER_ALONE = re.compile(r"\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]")


def split(text: str, abbreviations: frozenset[str] = ABBREVIATIONS) -> list[str]:
    """The sentences of a text.

    Args:
        abbreviations: in small letters, without the full stop; NEWSPAPER_ABBREVIATIONS for IFEval.
    """
    return [text[start:stop] for start, stop in _realigned(text, abbreviations)]


@lru_cache(maxsize=512)
def with_words(text: str) -> list[str]:
    """The sentences of a text that hold a word; "2." within a line opens the next one."""
    parts = [text]
    if not text.isascii():
        text = text.replace("\u2026", "...")
        parts = [text] if words.is_ascii(text) else _ENDS_OF_OTHER_SCRIPTS.split(text)
    found: list[str] = []
    marker = ""
    for part in parts:
        # Curly quotation marks close a sentence as straight ones do.
        straight = part if part.isascii() else _straight(part)
        for start, stop in _realigned(straight, ABBREVIATIONS):
            sentence = part[start:stop]
            if _MARKER_ALONE.fullmatch(sentence):
                marker = sentence + " "
            elif words.holds_word(sentence):
                found.append(marker + sentence)
                marker = ""
    return found


def _straight(text: str) -> str:
    for curly, straight in zip("\u201c\u201d\u2018\u2019", "\"\"''", strict=True):
        text = text.replace(curly, straight)
    return text


_FEW, _MANY = 2, 14  # words
_PERSONAL = re.compile(r"\b(?:I|me|my|mine|sorry|sure|okay|ok|hmm)\b", re.I)


def may_be_given(sentence: str) -> bool:
    """Whether a person could ask for a sentence word for word.

    Nobody dictates what the assistant says of itself or asks the person, nor what has
    quotation marks or line breaks of its own, is a word or two, or longer than a phrase.
    """
    marks = set('"\u201c\u201d\n\t\r\\?:')
    return (
        is_ended(sentence)
        and _FEW <= len(sentence.split()) <= _MANY
        and not marks & set(sentence)
        and not _PERSONAL.search(sentence)
    )


def is_ended(sentence: str) -> bool:
    """Whether a sentence has the mark that ends it: no heading, no scrap, not broken off."""
    return sentence.rstrip("\"')*_]\u201d\u2019\u00bb\u300d\u300f\uff09")[-1:] in _END_MARKS


def count(text: str, abbreviations: frozenset[str] = ABBREVIATIONS) -> int:
    """Number of sentences that `split` gives."""
    return sum(1 for _ in _realigned(text, abbreviations))


def _realigned(text: str, abbreviations: frozenset[str]) -> Iterator[tuple[int, int]]:
    moved = 0
    spans = list(_spans(text, abbreviations))
    for place, (start, stop) in enumerate(spans):
        start += moved
        moved = 0
        if place + 1 < len(spans):
            following, end = spans[place + 1]
            match = _CLOSING.match(text, following, end)
            if match:
                moved = match.end() - following
                yield start, following + len(match[0].rstrip())
                continue
        if start < stop:
            yield start, stop


def _spans(text: str, abbreviations: frozenset[str]) -> Iterator[tuple[int, int]]:
    start = 0
    for match, word in _candidates(text):
        if _ends(word + match[0], match["after"], abbreviations):
            yield start, match.end()
            start = match.end() if match["next"] is None else match.start("next")
    yield start, len(text.rstrip())


def _candidates(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Candidates with the word before them; of several in one word only the last."""
    held: re.Match[str] | None = None
    begin = end = 0
    for match in _CANDIDATE.finditer(text):
        space = _last_space(text, end, match.start())
        first = begin if space <= end else space + 1
        if held is not None and end <= first:
            yield held, text[begin:end]
        held, begin, end = match, first, match.start()
    if held is not None:
        yield held, text[begin:end]


def _last_space(text: str, start: int, stop: int) -> int:
    """Index of the last ASCII white space in a part of a text; `start` if there is none."""
    for place in range(stop - 1, start, -1):
        if text[place] in string.whitespace:
            return place
    return start


def _ends(word: str, after: str, abbreviations: frozenset[str]) -> bool:
    """Whether a sentence ends in `word`, judged by the piece that follows each of its pieces."""
    stem = word[:-1]
    # Most are plain words before a mark.
    if stem.isalpha() and (
        word[-1] != "." or (len(stem) > 1 and stem.lower() not in abbreviations)
    ):
        return True
    pieces = [piece for line in (word + after).split("\n") for piece in _PIECE.findall(line)]
    return any(
        _is_end(piece, following, abbreviations) for piece, following in itertools.pairwise(pieces)
    )


def _is_end(piece: str, following: str, abbreviations: frozenset[str]) -> bool:
    if piece in (".", "?", "!"):
        return True
    if not piece.endswith("."):
        return False
    stem = piece[:-1].lower()
    if stem in INITIALS:
        return False
    tail = stem.rpartition("-")[2]
    short = stem in abbreviations or tail in abbreviations or tail in INITIALS
    if short or _ELLIPSIS.match(piece):
        return following[0].isupper() and _stem(following) in STARTERS
    if piece.endswith(".."):
        return False
    initial = _INITIAL.match(piece) is not None
    if initial or _NUMBER.match(piece):
        if following in (";", ":", ",", ".", "!", "?") or following[0].islower():
            return False
        # "É. Smith", but "point A. The rest".
        if initial and following[0].isupper() and _stem(following) not in COMMON_WORDS:
            return False
    return True


def _stem(piece: str) -> str:
    """The letters a piece begins with, in small ones: "let" of "Let's"."""
    return "".join(itertools.takewhile(str.isalpha, piece)).lower()
