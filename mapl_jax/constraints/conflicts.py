"""Which constraints no sensible answer can keep together, and why.

Two sources, both symmetric: the pairs of types that IFEval never asks for together, and what the
parameters demand. A set drawn from one response needs neither, since that response keeps it; sets
that mix demands of several responses do.
"""

import math
from collections.abc import Iterator

from mapl_jax.constraints.base import Demands
from mapl_jax.constraints.text import marks
from mapl_jax.constraints.text.statistics import Text

_JSON = "detectable_format:json_format"
_SET_ANSWER = "detectable_format:constrained_response"
_TWO = "combination:two_responses"
_REPEAT = "combination:repeat_prompt"
_LANGUAGE = "language:response_language"

# A type that takes up the whole answer, with the only IFEval types that go with it.
_NEARLY_ALONE = {
    _SET_ANSWER: frozenset(),
    _JSON: frozenset({"keywords:existence", "keywords:forbidden_words"}),
    _TWO: frozenset(
        {
            "keywords:existence",
            "keywords:forbidden_words",
            _LANGUAGE,
            "detectable_format:title",
            "punctuation:no_comma",
        }
    ),
    _REPEAT: frozenset({"keywords:existence", "detectable_format:title", "punctuation:no_comma"}),
}
_PAIRS = frozenset(
    frozenset(pair)
    for pair in (
        ("change_case:capital_word_frequency", "change_case:english_capital"),
        ("change_case:capital_word_frequency", "change_case:english_lowercase"),
        ("change_case:english_capital", "change_case:english_lowercase"),
        (_LANGUAGE, "change_case:english_capital"),
        (_LANGUAGE, "change_case:english_lowercase"),
        (_LANGUAGE, "detectable_format:multiple_sections"),
        (_LANGUAGE, "keywords:existence"),
        (_LANGUAGE, "keywords:frequency"),
        (_LANGUAGE, "keywords:forbidden_words"),
        (_LANGUAGE, "startend:end_checker"),
        ("detectable_format:multiple_sections", "detectable_format:number_highlighted_sections"),
        ("detectable_format:title", "startend:quotation"),
        ("length_constraints:number_paragraphs", "length_constraints:nth_paragraph_first_word"),
        ("length_constraints:number_paragraphs", "length_constraints:number_sentences"),
    )
)

_ANY = (0, math.inf)

# Groups and ids beyond IFEval that shape the text, and so have no place in JSON.
_SHAPES = (
    "scope:",
    "detectable_format:",
    "startend:",
    "length_constraints:blank_line_paragraphs",
    "length_constraints:first_sentence",
    "length_constraints:longest_paragraph",
    "length_constraints:longest_sentence",
    "length_constraints:shortest_sentence",
)

# Of the second there are at least as many as of the first, in any sensible answer.
AT_LEAST_AS_MANY = {
    "sentences": ("words",),
    "bullets": ("words", "lines"),
    "paragraphs": ("words", "lines", "sentences"),
    "divided paragraphs": ("words",),
    "numbered lines": ("words", "lines", "numbers"),
    "headings": ("words", "lines"),
    "highlights": ("words",),
    "placeholders": ("words",),
    "lines": ("words",),
    "sections": ("words", "numbers"),
    "dates": ("numbers",),
    "distinct words": ("words",),
    "repeated words": ("words",),
    "capital words": ("words",),
    "first sentence": ("words", "length_constraints:longest_sentence"),
    "longest word": ("characters",),
    "length_constraints:longest_sentence": ("words", "length_constraints:longest_paragraph"),
    "last sentence": ("words", "length_constraints:longest_sentence"),
    "sentences of the first paragraph": ("sentences",),
    "sentences of the last paragraph": ("sentences",),
    "sentences of a paragraph": ("sentences",),
    "words of an item": ("words",),
    "length_constraints:shortest_sentence": (
        "first sentence",
        "last sentence",
        "length_constraints:longest_sentence",
    ),
    "length_constraints:longest_paragraph": ("words",),
}
# Two things that may each be asked for, but not together; and why.
_APART = (
    (
        ("divided paragraphs", 2),
        ("highlights", 1),
        "*** between paragraphs and * around highlights get in each other's way",
    ),
)
# What else the bounds of one name are compared with.
_MET = {"words": ("characters",)} | {one: (other,) for (one, _), (other, _), _ in _APART}


def types(a: str, b: str, beyond_ifeval: bool) -> str | None:
    """Why two types never go together whatever their arguments, in their plain forms.

    Args:
        beyond_ifeval: whether one of them is not of IFEval, whose table says nothing of it.
    """
    if frozenset((a, b)) in _PAIRS:
        return f"{a} and {b} are never asked for together in IFEval"
    for one, other in ((a, b), (b, a)):
        allowed = _NEARLY_ALONE.get(one)
        if allowed is None or other in allowed:
            continue
        # The table leaves room only for what it names; of our own types, those that count words or
        # letters of the text go with everything but set answers.
        if not beyond_ifeval or one == _SET_ANSWER or (one == _JSON and other.startswith(_SHAPES)):
            return f"{one} leaves no room for {other}"
    return None


def touches(demands: Demands) -> frozenset[str] | None:
    """Names of all that bounds and values of a constraint have to do with; None: with anything.

    Two constraints with names and none in common cannot be at odds, which spares most comparisons.
    """
    if demands.phrases or demands.exact or demands.letter_case:
        return None
    names = {*demands.bounds, *demands.values}
    for name in demands.bounds:
        kind = "sections" if name.startswith("sections ") else name
        names.update(AT_LEAST_AS_MANY.get(kind, ()))
        names.update(_MET.get(name, ()))
    return frozenset(names)


def demands(a: Demands, b: Demands) -> str | None:
    """Why no text can meet both demands, or None if nothing speaks against it."""
    for one, other in ((a, b), (b, a)):
        reason = next(_reasons(one, other), None)
        if reason:
            return reason
    return None


def _reasons(a: Demands, b: Demands) -> Iterator[str]:
    for name, (low, high) in a.bounds.items():
        if name in b.bounds:
            least, most = max(low, b.bounds[name][0]), min(high, b.bounds[name][1])
            if least > most:
                yield f"{name}: at least {least:g} and at most {most:g} cannot both be"
    for name, value in a.values.items():
        if name in b.values and b.values[name] != value:
            yield f"{name}: {value!r} and {b.values[name]!r} cannot both be"
    yield from _phrases(a, b)
    yield from _letter_case(a, b)
    for name, (least, _) in a.bounds.items():
        # "sections Part" are sections, whatever their name.
        kind = "sections" if name.startswith("sections ") else name
        for more in AT_LEAST_AS_MANY.get(kind, ()):
            most = b.bounds.get(more, _ANY)[1]
            if least > most:
                yield f"at least {least:g} {name} do not fit into at most {most:g} {more}"
    least, most = a.bounds.get("words", _ANY)[0], b.bounds.get("characters", _ANY)[1]
    # A character for each word, and a space between any two.
    if 2 * least - 1 > most:
        yield f"at least {least:g} words do not fit into at most {most:g} characters"
    for (one, few), (other, many), reason in _APART:
        if a.bounds.get(one, _ANY)[0] >= few and b.bounds.get(other, _ANY)[0] >= many:
            yield reason


def _phrases(a: Demands, b: Demands) -> Iterator[str]:
    """Required texts that together hold too much of what the other limits."""
    limits = {name: most for name, (_, most) in b.bounds.items() if most != math.inf}
    if not limits:
        return
    required = [
        text
        for text in (*a.phrases, *a.exact)
        # What stands within another required text comes with it.
        if not any(text != other and text in other for other in (*a.phrases, *a.exact))
    ]
    if not required:
        return
    together = Text(" ".join(required))
    written = Text(" ".join(a.exact))
    counts = {
        "words": lambda: len(together.words),
        "longest word": lambda: together.longest_word,
        "numbers": lambda: marks.numbers(together.raw),
        "characters": lambda: max(len(text.strip()) for text in required),
        "capital words": lambda: written.capital_words,
    }
    for name, most in limits.items():
        kind, _, what = name.partition(":")
        if kind == "character":
            count = together.characters[what]
        elif kind == "word":
            count = together.count_word(what)
        elif kind == "initial":
            count = together.initials[what]
        elif name in counts:
            count = counts[name]()
        else:
            continue
        if count > most:
            shown = ", ".join(map(repr, dict.fromkeys(required)))
            yield f"what is required ({shown}) has {count} of {name}, at most {most:g} allowed"


def _letter_case(a: Demands, b: Demands) -> Iterator[str]:
    if a.letter_case is None:
        return
    if b.letter_case not in (None, a.letter_case):
        yield "all letters small and all letters capital cannot both be"
    low, high = b.bounds.get("capital words", _ANY)
    if a.letter_case == "lower" and low > 0:
        yield f"at least {low:g} words in capitals cannot be where all letters are small"
    if a.letter_case == "upper" and high < max(1, b.bounds.get("words", _ANY)[0]):
        yield f"at most {high:g} words in capitals cannot be where all letters are capital"
    change = str.lower if a.letter_case == "lower" else str.upper
    for phrase in b.exact:
        if change(phrase) != phrase:
            yield f"the required {phrase!r} is not written in {a.letter_case} case"
    for phrase in b.phrases:
        # A word in small letters may as well be written in capitals, but not the other way round.
        if phrase not in (change(phrase), phrase.lower()):
            yield f"the required {phrase!r} is not written in {a.letter_case} case"
