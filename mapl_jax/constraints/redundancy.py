"""Which constraints say the same thing twice: one follows from the other, or from its negation.

Nobody asks for no commas and for fewer than one comma, or for a last sentence that is a question
and for a question mark. Two constraints that speak of one quantity stand in no prompt together,
nor do two of which one brings the other along.
"""

import functools
import math
import re
from collections.abc import Sequence

from mapl_jax.constraints.base import Demands
from mapl_jax.constraints.conflicts import AT_LEAST_AS_MANY
from mapl_jax.constraints.text import marks
from mapl_jax.constraints.text.statistics import Text

# What measures the length of the whole text, in one unit or another.
_LENGTH = frozenset({"words", "characters", "distinct words"})
# What one brings along: a date names its month, and bold text is highlighted.
_SAME = {
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
        "commas of a sentence",
        "ending",
    ),
    ("paragraphs", "paragraph"): ("length_constraints:longest_paragraph",),
    ("lines", "line"): ("length_constraints:longest_paragraph",),
}
_ON_ONE_LINE = {"characters": 150, "words": 25, "sentences": 2}
_CHARACTERS_OF_A_WORD = 6
_WORDS_OF_A_SENTENCE = 4
_SHARE_OF_A_LETTER = 0.01
_LENGTHS = {"words": lambda text: len(text.words), "characters": lambda text: len(text.stripped)}
_PLACE = re.compile(r"(.*) is ")


def topics(demands: Demands) -> frozenset[str]:
    """What a constraint speaks of, in words that constraints on the same thing share."""
    found = frozenset(map(_topic, (*demands.bounds, *demands.values, *demands.about)))
    # All of "you" and "your" begin with it.
    return found | {"letter y"} if "second person" in found else found


@functools.lru_cache(maxsize=4096)
def _topic(name: str) -> str:
    if name in _LENGTH:
        return "length"
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
    for name, (low, _) in b.bounds.items():
        for fewer in _brings(name) if low > 0 else ():
            if a.bounds.get(fewer, (0, 0))[0] >= low:
                return f"so many {fewer} are so many {name}"
    for name, (_, high) in b.bounds.items():
        for more in _closure(_kind(name)):
            if a.bounds.get(more, (0, float("inf")))[1] <= high < float("inf"):
                return f"with so few {more} there are no more {name}"
    for name, (_, high) in b.bounds.items():
        kind, _, word = name.partition(":")
        of_word = (f"initial:{word[:1]}", *(f"character:{letter}" for letter in word))
        for letters in of_word if kind == "word" and high < math.inf else ():
            if a.bounds.get(letters, (0, math.inf))[1] <= high:
                return f"with so few of {letters} there are no more of {name}"
    most = a.bounds.get("characters", (0, float("inf")))[1]
    for name in _SENTENCE_LENGTHS:
        if most / _CHARACTERS_OF_A_WORD <= b.bounds.get(name, (0, 0))[1] < float("inf"):
            return f"in {most:g} characters there is no room for more words of {name}"
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
    for (whole, part), parts in _SINGLE.items():
        if a.bounds.get(whole, (0, 0))[1] == 1 and not topics(b).isdisjoint(parts):
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
    together = Text(" ".join(texts))
    for name, (low, _) in b.bounds.items():
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
        if count >= low > 0:
            return f"what is required holds enough of {name}"
    return None


# So many of one thing, of so much each, are so much of a third.
_PRODUCTS = (
    ("sentences", "length_constraints:longest_sentence", "words"),
    ("sentences", "length_constraints:shortest_sentence", "words"),
    ("paragraphs", "length_constraints:longest_paragraph", "words"),
)


def brought_together(many: Sequence[Demands]) -> str | None:
    """Why one of several constraints has nothing to add to the others, though to any one it has."""
    bounds = {name: bound for demands in many for name, bound in demands.bounds.items()}
    longest = max((bounds.get(name, (0, 0))[0] for name in _SENTENCE_LENGTHS[:3]), default=0)
    shortest = bounds.get("length_constraints:shortest_sentence", (0, math.inf))[1]
    if shortest < longest and bounds.get("sentences", (0, 0))[0] == 2:
        return "a long sentence and a short one are two"
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
        max(least.get(each, 0) for each in (name, *_brings(name)))
        for name in ("sentences", "words")
    )
    words = max(words, _WORDS_OF_A_SENTENCE * sentences)
    characters = max(least.get("characters", 0), _CHARACTERS_OF_A_WORD * words)
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
