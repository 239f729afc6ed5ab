"""Which constraints no sensible answer can keep together, and why.

Two sources, both symmetric: the pairs of types that IFEval never asks for together, and what the
parameters demand. A set drawn from one response needs neither, since that response keeps it; sets
that mix demands of several responses do.
"""

import math
from collections.abc import Iterator

from mapl_jax.constraints.base import Demands
from mapl_jax.constraints.text import Text

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
        (
            "detectable_format:multiple_sections",
            "detectable_format:number_highlighted_sections",
        ),
        ("detectable_format:title", "startend:quotation"),
        (
            "length_constraints:number_paragraphs",
            "length_constraints:nth_paragraph_first_word",
        ),
        ("length_constraints:number_paragraphs", "length_constraints:number_sentences"),
    )
)

# Each of these has a word of its own, so there are at least as many words.
_WITH_WORDS = (
    "sentences",
    "bullets",
    "paragraphs",
    "divided paragraphs",
    "numbered lines",
    "distinct words",
    "capital words",
)


def types(a: str, b: str, beyond_ifeval: bool) -> str | None:
    """Why two types never go together whatever their arguments, in their plain forms.

    Args:
        a: an id.
        b: another.
        beyond_ifeval: whether one of them is not of IFEval, whose table says nothing of it.
    """
    if frozenset((a, b)) in _PAIRS:
        return f"{a} and {b} are never asked for together in IFEval"
    for one, other in ((a, b), (b, a)):
        allowed = _NEARLY_ALONE.get(one)
        if allowed is None or other in allowed:
            continue
        # The table leaves room only for what it names; types of our own that count words or
        # letters of the text go with everything but set answers.
        if not beyond_ifeval or one == _SET_ANSWER:
            return f"{one} leaves no room for {other}"
    return None


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
    words = a.bounds.get("words", (0, math.inf))[1]
    for name in _WITH_WORDS:
        least = b.bounds.get(name, (0, math.inf))[0]
        if least > words:
            yield f"at least {least:g} {name} do not fit into at most {words:g} words"
    characters = a.bounds.get("characters", (0, math.inf))[1]
    least = b.bounds.get("words", (0, math.inf))[0]
    if least > 0 and 2 * least - 1 > characters:
        yield f"at least {least:g} words do not fit into at most {characters:g} characters"


def _phrases(a: Demands, b: Demands) -> Iterator[str]:
    """A required text that holds too much of what the other limits."""
    for phrase in a.phrases:
        text = Text(phrase)
        for name, (_, most) in b.bounds.items():
            if most == math.inf:
                continue
            kind, _, what = name.partition(":")
            if kind == "character":
                count = text.characters[what]
            elif kind == "word":
                count = text.count_word(what)
            elif kind == "initial":
                count = text.initials[what]
            elif name == "words":
                count = len(text.words)
            elif name == "longest word":
                count = text.longest_word
            else:
                continue
            if count > most:
                yield f"the required {phrase!r} has {count} of {name}, at most {most:g} allowed"


def _letter_case(a: Demands, b: Demands) -> Iterator[str]:
    if a.letter_case is None:
        return
    if b.letter_case not in (None, a.letter_case):
        yield "all letters small and all letters capital cannot both be"
    low, high = b.bounds.get("capital words", (0, math.inf))
    if a.letter_case == "lower" and low > 0:
        yield f"at least {low:g} words in capitals cannot be where all letters are small"
    if a.letter_case == "upper" and high < b.bounds.get("words", (1, math.inf))[0]:
        yield f"at most {high:g} words in capitals cannot be where all letters are capital"
    for phrase in (*b.exact, *b.phrases):
        changed = phrase.lower() if a.letter_case == "lower" else phrase.upper()
        if changed != phrase:
            yield f"the required {phrase!r} is not written in {a.letter_case} case"
