"""Which constraints say the same thing twice: one follows from the other, or from its negation.

Nobody asks for no commas and for fewer than one comma, or for a last sentence that is a question
and for a question mark. Two constraints that speak of one quantity stand in no prompt together,
nor do two of which one brings the other along.
"""

import functools
import math
import re
from collections.abc import Sequence

from mapl_jax.constraints.base import MENTIONED, Bounds, Demands
from mapl_jax.constraints.conflicts import AT_LEAST_AS_MANY
from mapl_jax.constraints.text import marks
from mapl_jax.constraints.text.statistics import Text

# What one brings along: a date names its month, and bold text is highlighted. Of one length people
# speak in one unit.
_SAME = {
    **dict.fromkeys(("words", "characters", "distinct words", "sentences"), "length"),
    **dict.fromkeys(
        (
            "first sentence",
            "last sentence",
            "length_constraints:longest_sentence",
            "length_constraints:shortest_sentence",
            "average sentence",
        ),
        "lengths of sentences",
    ),
    "length_constraints:longest_paragraph": "paragraphs",
    "months": "dates",
    "bold text": "highlights",
    # Where there are paragraphs, there are lines; the end of an answer is asked for once.
    "lines": "paragraphs",
    "last word": "ending",
    "ends with .": "ending",
    "ends with ?": "ending",
}
# What bounds the words of a sentence or paragraph; a text too short for as many brings it along.
_SENTENCE_LENGTHS = (
    "first sentence",
    "last sentence",
    "length_constraints:longest_sentence",
    "length_constraints:longest_paragraph",
)
# Of what has one sentence or paragraph only, nothing is said of the first or of each.
_SINGLE = {
    ("sentences", "sentence"): (
        *_SENTENCE_LENGTHS[:3],
        "length_constraints:shortest_sentence",
        "average sentence",
        "commas of a sentence",
        "ending",
    ),
    ("paragraphs", "paragraph"): ("length_constraints:longest_paragraph",),
    ("lines", "line"): ("length_constraints:longest_paragraph",),
}
_ON_ONE_LINE = {"characters": 150, "words": 25, "sentences": 2}
_CHARACTERS_OF_A_WORD = 6
_WORDS_OF_A_SENTENCE = 4
_WORDS_OF_A_LONG_SENTENCE = 25
_HARDLY_MORE = 2  # times what a part may have at most, so that the part is hardly limited
_OF_SO_MANY = 2  # times what a part has at least, so that some part has as many
_MARKS = ("quotation marks", "ends with .", "ends with ?")
_ANY = (0, math.inf)
_WORDS = frozenset(("keyword", MENTIONED, "words left out"))
_SHARE_OF_A_LETTER = 0.01
_LENGTHS = {"words": lambda text: len(text.words), "characters": lambda text: len(text.stripped)}
_PLACE = re.compile(r"(.*) is ")


def topics(demands: Demands) -> frozenset[str]:
    """What a constraint speaks of, in words that constraints on the same thing share."""
    # An exact number leaves room for a limit in another unit (two sentences, under 40 words), and
    # none for another in its own.
    limits = (name for name, (low, high) in demands.bounds.items() if not 0 < low == high)
    found = frozenset(map(_topic, (*limits, *demands.values, *demands.about)))
    found |= demands.bounds.keys()
    # One rule about marks is enough.
    if any(map(_is_mark, (*demands.bounds, *demands.values, *demands.about))):
        found |= {"marks"}
    # All of "you" and "your" begin with it.
    return found | {"letter y"} if "second person" in found else found


def _is_mark(name: str) -> bool:
    kind, _, mark = name.partition(":")
    return (kind == "character" and not mark.isalpha()) or name in _MARKS


@functools.lru_cache(maxsize=4096)
def _topic(name: str) -> str:
    if name.startswith("sections "):
        return "sections"
    if name.startswith("in "):
        return "language"
    # A word that begins with a letter holds it.
    kind, _, letter = name.partition(":")
    if kind in ("initial", "character") and letter.isalpha():
        return f"letter {letter}"
    match = _PLACE.match(name)
    topic = match[1] if match else name
    return _SAME.get(topic, topic)


def _by_bounds(a: Demands, b: Demands) -> str | None:
    """Why the limits of `a` bring those of `b` along, or None."""
    if all(map(a.bounds.keys().isdisjoint, map(_related, b.bounds))):
        return None
    # A word is of no kind of which there are at least as many as of another.
    kinds = [(name, *bound) for name, bound in b.bounds.items() if not name.startswith("word:")]
    for name, low, _ in kinds:
        for fewer in _brings(name) if low > 0 else ():
            if a.bounds.get(fewer, (0, 0))[0] >= low:
                return f"so many {fewer} are so many {name}"
    for name, _, high in kinds:
        for more in _closure(_kind(name)):
            if a.bounds.get(more, (0, float("inf")))[1] <= high < float("inf"):
                return f"with so few {more} there are no more {name}"
    for name, (_, high) in b.bounds.items():
        if high == math.inf or not name.startswith("word:"):
            continue
        word = name.removeprefix("word:")
        for letters in (f"initial:{word[:1]}", *(f"character:{letter}" for letter in word)):
            if a.bounds.get(letters, (0, math.inf))[1] <= high:
                return f"with so few of {letters} there are no more of {name}"
    words, characters = (a.bounds.get(name, _ANY) for name in ("words", "characters"))
    most = min(words[1], characters[1] / _CHARACTERS_OF_A_WORD)
    least = max(words[0], characters[0] / _CHARACTERS_OF_A_WORD)
    for name in _SENTENCE_LENGTHS:
        if name not in b.bounds:
            continue
        low, high = b.bounds[name]
        if most <= _HARDLY_MORE * high < math.inf:
            return f"in {most:g} words there is hardly room for more words of {name}"
        if low > 0 and _HARDLY_MORE * low > most:
            return f"of {most:g} words {name} would have most"
        if 0 < _OF_SO_MANY * low <= least:
            return f"of {least:g} words there are as many in {name} in any case"
    for name in ("lines", "paragraphs"):
        if b.bounds.get(name, (0, 0))[1] == 1 and any(
            a.bounds.get(unit, (0, math.inf))[1] <= most for unit, most in _ON_ONE_LINE.items()
        ):
            return f"so short an answer has few {name}"
    return _nearly(a, b)


def follows(a: Demands, b: Demands) -> str | None:
    """Why every text that meets the demands of `a` meets those of `b`, or None."""
    if a.bounds and b.bounds and (reason := _by_bounds(a, b)):
        return reason
    left_out = [name for name, (_, high) in a.bounds.items() if not high] if b.values else ()
    for kind, _, word in (name.partition(":") for name in left_out):
        if kind == "word" and b.values.get(f"first word is {word}") is False:
            return "a word that is left out begins nothing"
    for (whole, part), parts in _SINGLE.items():
        if a.bounds.get(whole, (0, 0))[1] != 1:
            continue
        if not topics(b).union(b.values, b.about).isdisjoint(parts):
            return f"of a single {part} nobody names one"
    texts = (*a.phrases, *a.exact)
    if not texts:
        return None
    shortest = b.bounds.get("length_constraints:shortest_sentence", (0, math.inf))[1]
    if any(len(Text(text).words) <= shortest < math.inf for text in a.exact):
        return "the required sentence is as short"
    for name, length in _LENGTHS.items():
        low = b.bounds.get(name, (0, 0))[0]
        if 0 < low <= 1.2 * length(Text(" ".join(a.exact))):
            return f"what is required has nearly {low:g} {name}"
    required = {phrase.lower() for phrase in (*b.phrases, *b.exact)}
    if required and all(any(phrase in text.lower() for text in texts) for phrase in required):
        return f"{', '.join(map(repr, sorted(required)))} is part of what is required"
    wanted = {name: low for name, (low, _) in b.bounds.items() if low > 0}
    together = Text(" ".join(texts)) if wanted else Text("")
    for name, low in wanted.items():
        kind, _, what = name.partition(":")
        if kind == "word":
            count = together.count_word(what)
        elif kind == "character":
            count = together.characters[what]
        elif kind == "initial":
            count = together.initials[what]
        elif kind == "numbers":
            count = marks.numbers(together.raw)
        else:
            continue
        if count >= low:
            return f"what is required holds enough of {name}"
    return None


# Of these two at most are limited alike.
_LIMITS = (
    "words",
    "characters",
    "sentences",
    "paragraphs",
    "length_constraints:longest_sentence",
    "length_constraints:longest_paragraph",
    "first sentence",
    "average sentence",
)
# So many of one thing, of so much each, are so much of a third.
_PRODUCTS = (
    ("sentences", "length_constraints:longest_sentence", "words"),
    ("sentences", "length_constraints:shortest_sentence", "words"),
    ("sentences", "average sentence", "words"),
    ("paragraphs", "length_constraints:longest_paragraph", "words"),
)


def brought_together(many: Sequence[Demands]) -> str | None:
    """Why one of several constraints has nothing to add to the others, though to any one it has."""
    if len(many) < 2:
        return None
    bounds: dict[str, Bounds] = {}
    for demands in many:
        bounds.update(demands.bounds)
    longest = max((bounds.get(name, (0, 0))[0] for name in _SENTENCE_LENGTHS[:3]), default=0)
    shortest = bounds.get("length_constraints:shortest_sentence", (0, math.inf))[1]
    if shortest < longest and bounds.get("sentences", (0, 0))[0] == 2:
        return "a long sentence and a short one are two"
    if sum(not _WORDS.isdisjoint(demands.about) for demands in many) > 2:
        return "two rules about words are enough"
    limited = [name for name in _LIMITS if name in bounds]
    for side in (0, 1) if len(limited) > 2 else ():
        limits = [name for name in limited if bounds[name][side] != _ANY[side]]
        if len(limits) > 2:
            return f"{' and '.join(limits)} are limited alike"
    for number, size, whole in _PRODUCTS:
        if number not in bounds or size not in bounds:
            continue
        low, high = (a * b for a, b in zip(bounds[number], bounds[size], strict=True))
        for name in {whole, *_brings(whole)} - {number, size}:
            if name in bounds and high <= bounds[name][1] < float("inf"):
                return f"with so few {number} of so few words there are no more {name}"
        if 0 < bounds.get(whole, (0, 0))[0] <= low:
            return f"so many {number} of so many words are so many {whole}"
    return None


def _nearly(a: Demands, b: Demands) -> str | None:
    """Why hardly any text of the length that `a` asks for breaks `b`."""
    wanted = {name: low for name, (low, _) in b.bounds.items() if low > 0}
    if not wanted or not a.bounds:
        return None
    least = {name: low for name, (low, _) in a.bounds.items()}
    sentences, words = (
        max([0, *(low for each, low in least.items() if each in as_many)])
        for as_many in (_AS_MANY_AS_SENTENCES, _AS_MANY_AS_WORDS)
    )
    words = max(words, _WORDS_OF_A_SENTENCE * sentences)
    characters = max(least.get("characters", 0), _CHARACTERS_OF_A_WORD * words)
    if wanted.get("sentences", math.inf) <= words / _WORDS_OF_A_LONG_SENTENCE:
        return f"{words:g} words have about as many sentences"
    if wanted.get("words", math.inf) <= words and sentences:
        return f"{sentences:g} sentences have nearly as many words"
    if wanted.get("characters", math.inf) <= characters and "characters" not in least:
        return f"{words:g} words have nearly as many characters"
    for name, low in wanted.items():
        is_letter = name.startswith("character:") and name[-1].isalpha()
        if is_letter and low <= _SHARE_OF_A_LETTER * characters:
            return f"{characters:g} characters hold about as many of {name}"
    return None


def _kind(name: str) -> str:
    return "sections" if name.startswith("sections ") else name


@functools.cache
def _closure(name: str) -> frozenset[str]:
    """All of which there are at least as many."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for more in AT_LEAST_AS_MANY.get(waiting.pop(), ()):
            if more not in found:
                found.add(more)
                waiting.append(more)
    return frozenset(found)


@functools.cache
def _brings(name: str) -> tuple[str, ...]:
    """Quantities of which there are no more than of this one."""
    return tuple(fewer for fewer in AT_LEAST_AS_MANY if name in _closure(fewer))


_AS_MANY_AS_SENTENCES = frozenset(("sentences", *_brings("sentences")))
_AS_MANY_AS_WORDS = frozenset(("words", *_brings("words")))


@functools.lru_cache(maxsize=4096)
def _related(name: str) -> frozenset[str]:
    """All whose limits may bring that of this one along."""
    kind, _, what = name.partition(":")
    if kind == "word":
        return frozenset((f"initial:{what[:1]}", *(f"character:{letter}" for letter in what)))
    found = {*_brings(name), *_closure(_kind(name))}
    if name in _SENTENCE_LENGTHS:
        found |= {"words", "characters"}
    if name in ("lines", "paragraphs"):
        found |= _ON_ONE_LINE.keys()
    if name in ("sentences", "words", "characters") or kind == "character":
        found |= {"characters", *_AS_MANY_AS_SENTENCES, *_AS_MANY_AS_WORDS}
    return frozenset(found)
