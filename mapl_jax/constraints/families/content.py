"""Things that the answer holds or leaves out: placeholders, postscripts, digits, links, persons.

Mended against IFEval: "[]" and Markdown links are no placeholders; a postscript begins a line, and
"P.P.S." is none of "P.S.".
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Unpack

from mapl_jax.constraints.amounts import AT_LEAST
from mapl_jax.constraints.base import Demands, Family, Options, Proposer, Sides, either, in_english
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Choice, Params
from mapl_jax.constraints.shapes import Count, Flag
from mapl_jax.constraints.text import marks, readings
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import AnyCase
from mapl_jax.constraints.wording import Slot, text_slot

_MARKERS = {
    "P.S.": re.compile(r"^[^\S\n]*[*_]*p\.\s?s\b", re.I | re.M),
    "P.P.S": re.compile(r"^[^\S\n]*[*_]*p\.\s?p\.\s?s\b", re.I | re.M),
}
_FIRST_PERSON = ("i", "me", "my", "mine", "myself")
# In another reading these are of the first person as well, and "I" may be a number, "mine" a pit.
_FIRST_PERSONS = (*_FIRST_PERSON, "we", "us", "our", "ours", "ourselves")
_SECOND_PERSON = ("you", "your", "yours", "yourself", "yourselves")
_BEFORE_ROMAN = frozenset(
    "war part chapter section type phase title volume act level class stage book figure elizabeth "
    "henry charles william james george edward richard napoleon step grade unit".split()
)


def _words(words: str) -> AnyCase:
    """A pattern that is found where one of some words is."""
    return AnyCase(rf"\b(?:{'|'.join(words.split())})\b", words)


_CONTRACTION = AnyCase(
    r"\b(?:[a-z]+n['\u2019]t|(?:i|you|he|she|it|we|they|that|there|who|what)['\u2019](?:m|re|ve|ll|d)"
    r"|(?:it|that|he|she|what|there|here|let|who|where|how)['\u2019]s)\b"
)
_APOSTROPHE = AnyCase(r"\w['\u2019]\w|['\u2019](?:s|t|ll|em|cause|til)\b")
# Without an apostrophe they are contractions to some.
_INFORMAL = _words("gonna wanna gotta dont cant im ive youre thats")
# What the sentence names, and what some count as well.
_FILLER = _words("very really just actually")
_FILLERS = _words(
    "very really just actually quite pretty basically literally totally simply super so"
)
_OPINION = AnyCase(r"\bi (?:think|believe)\b|\bin my opinion\b", "think believe opinion")
_OPINIONS = AnyCase(
    r"\bi(?:['\u2019]d| would)? (?:\w+ )?(?:think|believe|feel|guess|suppose|say|recommend|suggest"
    r"|prefer|like|love|hope|find|agree)\b|\bmy (?:\w+ )?(?:opinion|view|favorite|guess|advice)\b",
    "i my",
)
_CONTRAST = _words("but however although")
_CONTRASTS = AnyCase(
    rf"{_CONTRAST.pattern}|\b(?:though|yet|while|whereas|despite|nevertheless|on the other hand)\b",
    "but however although though yet while whereas despite nevertheless hand",
)
_DUTY = AnyCase(r"\b(?:should|must|need to)\b", "should must need")
_DUTIES = AnyCase(
    rf"{_DUTY.pattern}|\b(?:have to|has to|needs? to|ought|shouldn|mustn)\b",
    "should must need needs have has ought shouldn mustn",
)
_HEDGE = _words("maybe perhaps probably possibly might")
_HEDGES = _words("maybe perhaps probably possibly might may probable possible")
_REASON = _words("because since so")
_REASONS = AnyCase(
    rf"{_REASON.pattern}|\b(?:therefore|thus|hence|due to|as a result|cause|'cause|why)\b",
    "because since so therefore thus hence due result cause why",
)
_EXAMPLE = AnyCase(r"\b(?:for example|for instance|such as)\b", "example instance such")
_EXAMPLES = AnyCase(
    rf"{_EXAMPLE.pattern}|\be\.?g\b|\bexamples?\b", "example examples instance such e eg"
)
_MONTHS = "january february april june july september october november december".split()
# Written small, these are other words.
_MONTH = re.compile(r"\b(?:March|August|MARCH|AUGUST)\b")


class Postscript(Family):
    """A postscript at the start of a line; as `negated`, none.

    Parameters: postscript_marker, "P.S." or "P.P.S".
    """

    marker = Choice("postscript_marker", options=tuple(_MARKERS))
    parameters = (marker, NEGATION)
    slots: ClassVar[Mapping[str, Slot]] = {"marker": text_slot("postscript_marker")}

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = self.marker.of(params) in _markers(text)
        return 1.0 if found != NEGATION.of(params) else -1.0

    def proposer(self, sides: Sides) -> Proposer:
        """Gives a marker and a form that fit; which marker, if both do, is drawn."""
        fitting: list[Params] = []
        for marker in sorted(_MARKERS):
            forms: list[Params] = [{"postscript_marker": marker, **form} for form in ({}, NEGATED)]
            fitting += [form for form in forms if self.fits(form, sides.kept, sides.broken)][:1]
        return either(fitting[::-1])

    def demands(self, params: Params) -> Demands:
        """The marker, which is written in capitals."""
        marker = self.marker.of(params)
        if NEGATION.of(params):
            return Demands(values={f"has {marker}": False})
        values = {f"has {marker}": True, "quotation marks around everything": False}
        return Demands(values=values, exact=(marker,))


@readings.cached_per_text
def _markers(text: Text) -> Sequence[str]:
    """The markers with which a postscript of the text begins."""
    return [name for name, marker in _MARKERS.items() if marker.search(text.visible)]


def says(text: Text, pattern: AnyCase, view: str) -> bool:
    """Whether a view of a text holds a pattern; most texts lack the words for it."""
    return not (pattern.needs and text.lacks(pattern.needs)) and pattern.found(view)


def _has_apostrophe(text: Text) -> bool:
    """Whether it may hold a contraction; one without has none."""
    return "'" in text.raw or "\u2019" in text.raw


def _any_word(words: Sequence[str]) -> Callable[[Text], bool]:
    every = frozenset(words)
    return lambda text: not text.spoken.keys().isdisjoint(every)


def _first_person(text: Text) -> bool:
    """Words of the first person; the number of "World War I" is none."""
    counts = text.spoken
    if not counts.keys().isdisjoint(_FIRST_PERSON[1:]):
        return True
    if "i" not in counts:
        return False
    words = ["", *text.segments]
    return any(
        word.partition("'")[0] == "i" and before not in _BEFORE_ROMAN
        for before, word in itertools.pairwise(words)
    )


def _surely_first_person(text: Text) -> bool:
    return _SURELY_ME(text) or " I " in f" {readings.unquoted(text)} "


_SURELY_ME = readings.surely("me", "my", "myself")


def _months(text: Text) -> bool:
    """Names of months; "march" and "august" only where they are."""
    counts = text.word_counts
    named = any(word in text.lower for word in ("march", "august"))
    return not counts.keys().isdisjoint(_MONTHS) or (
        named and _MONTH.search(text.prose) is not None
    )


def _may_date(text: Text) -> bool:
    """Whether it may hold a date; most texts do not, which is told at once."""
    return marks.has_numbers(text.raw) and (
        not text.lacks(marks.MONTHS) or marks.may_be_in_digits(text.raw)
    )


def _flag(
    name: str,
    statistic: Callable[[Text], bool],
    quantity: str,
    readings: Sequence[Callable[[Text], bool]] = (),
    about: tuple[str, ...] = (),
    there: tuple[str, ...] = (),
    **options: Unpack[Options],
) -> Flag:
    """A thing that is there or not; `there` is what only its being there speaks of."""
    return Flag(
        f"detectable_content:{name}",
        statistic,
        readings=readings,
        **options,
        plain_demands=Demands(bounds={quantity: (1, float("inf"))}, about=(*about, *there)),
        negated_demands=Demands(bounds={quantity: (0, 0)}, about=about),
    )


def _said(
    name: str,
    named: AnyCase,
    also: AnyCase,
    about: tuple[str, ...] = (),
    *,
    held_out: bool = False,
) -> Flag:
    """What certain words say; some readers count others as well."""
    return _flag(
        name,
        lambda text: says(text, named, text.marked),
        name,
        (
            lambda text: says(text, named, readings.unquoted(text)),
            lambda text: says(text, also, text.raw),
        ),
        about,
        there=("tone",),  # One is enough.
        suits=in_english,
        held_out=held_out,
    )


def _person(
    who: str, statistic: Callable[[Text], bool], readings: Sequence[Callable[[Text], bool]] = ()
) -> Flag:
    return Flag(
        f"detectable_content:{who}_person",
        statistic,
        readings=readings,
        suits=in_english,
        plain_demands=Demands(values={f"{who} person": True}),
        negated_demands=Demands(values={f"{who} person": False}),
    )


FAMILIES: tuple[Family, ...] = (
    Count(
        "detectable_content:number_placeholders",
        lambda text: marks.placeholders(text.visible),
        number_key="num_placeholders",
        default_relation=AT_LEAST,
        quantity="placeholders",
        beyond_ifeval=False,
    ),
    Postscript("detectable_content:postscript", beyond_ifeval=False),
    _flag(
        "digits",
        lambda text: marks.has_numbers(text.raw),
        "numbers",
        (
            lambda text: marks.has_numbers(text.marked),
            lambda text: marks.has_sure_numbers(text.marked),
        ),
        # Readers found it asked for where there is nothing to count.
        held_out=True,
    ),
    _flag(
        "links",
        lambda text: marks.links(text.visible) > 0,
        "links",
        (lambda text: marks.domains(text.raw) > 0,),
        # "https:" has one.
        about=("character::",),
    ),
    _flag(
        "dates",
        lambda text: _may_date(text) and marks.dates(text.prose) > 0,
        "dates",
        (lambda text: _may_date(text) and marks.dates_of_any_case(text.raw) > 0,),
        suits=in_english,
    ),
    _flag(
        "emoji",
        lambda text: marks.emoji(text.raw) > 0,
        "emoji",
        (lambda text: marks.pictures(text.raw) > 0,),
    ),
    _flag(
        "month", _months, "months", (_any_word((*_MONTHS, "march", "august")),), suits=in_english
    ),
    _flag(
        "contractions",
        lambda text: _has_apostrophe(text) and _CONTRACTION.found(text.marked),
        "contractions",
        (
            lambda text: _has_apostrophe(text) and _CONTRACTION.found(readings.unquoted(text)),
            # "Tom's" is one to some: they have none only where there is no such apostrophe.
            lambda text: (
                (_has_apostrophe(text) and _APOSTROPHE.found(text.raw))
                or says(text, _INFORMAL, text.raw)
            ),
        ),
        about=("apostrophes",),
        suits=in_english,
    ),
    _said(
        "hedges",
        _HEDGE,
        _HEDGES,
        about=tuple(f"word:{word}" for word in "maybe perhaps probably possibly might".split()),
    ),
    _said(
        "fillers",
        _FILLER,
        _FILLERS,
        about=("word:very", "word:really", "word:just", "word:actually"),
        # Left out they are a wish; to use one of them, as the other side has it, is none.
        held_out=True,
    ),
    _said("opinions", _OPINION, _OPINIONS, about=("first person",), held_out=True),
    _said(
        "contrasts",
        _CONTRAST,
        _CONTRASTS,
        about=("word:but", "word:however", "word:although"),
    ),
    _said("reasons", _REASON, _REASONS, about=("word:because", "word:since", "word:so")),
    _said("duties", _DUTY, _DUTIES, about=("word:should", "word:must", "word:need")),
    _flag(
        "examples",
        lambda text: says(text, _EXAMPLE, text.marked),
        "examples",
        (lambda text: says(text, _EXAMPLES, text.raw),),
        suits=in_english,
    ),
    _person("first", _first_person, (_any_word(_FIRST_PERSONS), _surely_first_person)),
    _person("second", _any_word(_SECOND_PERSON), (readings.surely(*_SECOND_PERSON),)),
)
