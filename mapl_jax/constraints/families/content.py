"""Things that the answer holds or leaves out: placeholders, postscripts, digits, links, persons.

Mended against IFEval: "[]" and Markdown links are no placeholders; a postscript begins a line, and
"P.P.S." is none of "P.S.".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from mapl_jax.constraints.amounts import AT_LEAST
from mapl_jax.constraints.base import Demands, Family
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Choice, Params
from mapl_jax.constraints.shapes import Count, Flag
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import Slot, text_slot

_MARKERS = {
    "P.S.": re.compile(r"^[^\S\n]*[*_]*p\.\s?s\b", re.I | re.M),
    "P.P.S": re.compile(r"^[^\S\n]*[*_]*p\.\s?p\.\s?s\b", re.I | re.M),
}
_FIRST_PERSON = ("i", "me", "my", "mine", "myself")
_SECOND_PERSON = ("you", "your", "yours", "yourself", "yourselves")
_MONTHS = (
    "january february march april june july august september october november december".split()
)


class Postscript(Family):
    """A postscript at the start of a line; as `negated`, none.

    Parameters: postscript_marker, "P.S." or "P.P.S".
    """

    marker = Choice("postscript_marker", options=tuple(_MARKERS))
    parameters = (marker, NEGATION)
    slots: ClassVar[Mapping[str, Slot]] = {"marker": text_slot("postscript_marker")}

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = _MARKERS[self.marker.of(params)].search(text.raw) is not None
        return 1.0 if found != NEGATION.of(params) else -1.0

    def derive(self, kept, broken, rng):
        """A marker and a form that fit."""
        markers = sorted(_MARKERS)
        start = int(rng.random() * 2)
        for marker in (markers[start], markers[1 - start]):
            for form in ({}, NEGATED):
                params = {"postscript_marker": marker, **form}
                if self.fits(params, kept, broken):
                    return params
        return None

    def demands(self, params: Params) -> Demands:
        """The marker, which is written in capitals."""
        marker = self.marker.of(params)
        if NEGATION.of(params):
            return Demands(values={f"has {marker}": False})
        values = {f"has {marker}": True, "quotation marks around everything": False}
        return Demands(values=values, exact=(marker,))


def _any_word(words: Sequence[str]):
    return lambda text: any(word in text.word_counts for word in words)


def _flag(name: str, statistic: Callable[[Text], bool], quantity: str) -> Flag:
    """A thing that is there or not."""
    return Flag(
        f"detectable_content:{name}",
        statistic,
        plain_demands=Demands(bounds={quantity: (1, float("inf"))}),
        negated_demands=Demands(bounds={quantity: (0, 0)}),
    )


def _person(who: str, words: Sequence[str]) -> Flag:
    return Flag(
        f"detectable_content:{who}_person",
        _any_word(words),
        plain_demands=Demands(values={f"{who} person": True}),
        negated_demands=Demands(values={f"{who} person": False}),
    )


FAMILIES: tuple[Family, ...] = (
    Count(
        "detectable_content:number_placeholders",
        lambda text: text.placeholders,
        number_key="num_placeholders",
        default_relation=AT_LEAST,
        quantity="placeholders",
        beyond_ifeval=False,
    ),
    Postscript("detectable_content:postscript", beyond_ifeval=False),
    _flag("digits", lambda text: text.numbers > 0, "numbers"),
    _flag("links", lambda text: text.links > 0, "links"),
    _flag("dates", lambda text: text.dates > 0, "dates"),
    _flag("emoji", lambda text: text.emoji > 0, "emoji"),
    _flag("month", _any_word(_MONTHS), "months"),
    _person("first", _FIRST_PERSON),
    _person("second", _SECOND_PERSON),
)
