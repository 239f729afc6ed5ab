"""Things that the answer holds or leaves out: placeholders, postscripts, digits, links, persons.

Mended against IFEval: "[]" and Markdown links are no placeholders; a postscript begins a line, and
"P.P.S." is none of "P.S.".
"""

import re
from collections.abc import Sequence

from mapl_jax.constraints.amounts import AT_LEAST
from mapl_jax.constraints.base import Demands, Family, Wordings
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Choice, Params
from mapl_jax.constraints.shapes import Count, Flag
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import text_slot

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


def _flag(
    name: str, statistic, what: str, negated: str, *, quantity: str, held_out: bool = False
) -> Flag:
    """A thing that is there or not, with the wordings that fit anything of the kind."""
    return Flag(
        f"detectable_content:{name}",
        statistic,
        held_out=held_out,
        plain=(
            (
                f"Include {what} in {{answer}}.",
                f"{{Answer}} should contain {what}.",
                f"Make sure that there is {what} in {{answer}}.",
                f"Write {{answer}} with {what} in it.",
                f"{{Answer}} must have {what} somewhere.",
                f"Do not forget to put in {what}.",
            ),
            (f"I expect {what} in {{answer}}.", f"See to it that {what} comes up."),
        ),
        negated=(
            (
                f"Do not include {negated} in {{answer}}.",
                f"{{Answer}} should not contain {negated}.",
                f"Make sure that there are no {negated} in {{answer}}.",
                f"Write {{answer}} without {negated} in it.",
                f"{{Answer}} must not have {negated} anywhere.",
                f"Take care to leave out {negated}.",
            ),
            (f"I do not expect {negated} in {{answer}}.", f"See to it that no {negated} come up."),
        ),
        plain_demands=Demands(bounds={quantity: (1, float("inf"))}),
        negated_demands=Demands(bounds={quantity: (0, 0)}),
    )


def _person(name: str, words: Sequence[str], who: str, example: str) -> Flag:
    return Flag(
        f"detectable_content:{name}",
        _any_word(words),
        plain=(
            (
                f"Write in the {who} person, with words such as {example}.",
                f"Use the {who} person ({example}) in {{answer}}.",
                f"{{Answer}} should use {who}-person pronouns such as {example}.",
                f"Let the {who} person ({example}) occur in {{answer}}.",
                f"Include {who}-person words such as {example}.",
                f"{{Answer}} must contain the {who} person, as in {example}.",
            ),
            (
                f"I want to see the {who} person ({example}) at work.",
                f"Do not do without the {who} person ({example}).",
            ),
        ),
        negated=(
            (
                f"Do not write in the {who} person, with words such as {example}.",
                f"Do not use the {who} person ({example}) in {{answer}}.",
                f"{{Answer}} should not use {who}-person pronouns such as {example}.",
                f"Let the {who} person ({example}) never occur in {{answer}}.",
                f"Avoid {who}-person words such as {example}.",
                f"{{Answer}} must not contain the {who} person, as in {example}.",
            ),
            (
                f"I do not want to see the {who} person ({example}) at work.",
                f"Do without the {who} person ({example}).",
            ),
        ),
        plain_demands=Demands(values={f"{who} person": True}),
        negated_demands=Demands(values={f"{who} person": False}),
    )


FAMILIES: tuple[Family, ...] = (
    Count(
        "detectable_content:number_placeholders",
        lambda text: text.placeholders,
        (
            "placeholder in square brackets, such as [address]",
            "placeholders in square brackets, such as [address]",
        ),
        number_key="num_placeholders",
        default_relation=AT_LEAST,
        quantity="placeholders",
        beyond_ifeval=False,
    ),
    Postscript(
        "detectable_content:postscript",
        [
            Wordings(
                (
                    "Add a postscript that starts with {marker} at the end of {answer}.",
                    "End {answer} with a postscript marked {marker}.",
                    "{Answer} should have a postscript beginning with {marker}.",
                    "Include a postscript introduced by {marker}.",
                    "After {answer}, write a postscript with the marker {marker}.",
                    "There must be a postscript starting with {marker}.",
                ),
                (
                    "I would like a postscript opened by {marker}.",
                    "Let a postscript under the mark {marker} follow.",
                ),
            ),
            Wordings(
                (
                    "Do not add a postscript that starts with {marker}.",
                    "Do not end {answer} with a postscript marked {marker}.",
                    "{Answer} should not have a postscript beginning with {marker}.",
                    "Leave out any postscript introduced by {marker}.",
                    "Write no postscript with the marker {marker}.",
                    "There must be no postscript starting with {marker}.",
                ),
                (
                    "I would not like a postscript opened by {marker}.",
                    "Let no postscript under the mark {marker} follow.",
                ),
                NEGATED,
            ),
        ],
        {"marker": text_slot("postscript_marker")},
        beyond_ifeval=False,
    ),
    _flag(
        "digits",
        lambda text: text.numbers > 0,
        "a number written in digits",
        "numbers written in digits",
        quantity="numbers",
    ),
    _flag(
        "links",
        lambda text: text.links > 0,
        "a link to a web page",
        "links to web pages",
        quantity="links",
    ),
    _flag(
        "dates",
        lambda text: text.dates > 0,
        "a date with day and month",
        "dates with day and month",
        quantity="dates",
    ),
    _flag("emoji", lambda text: text.emoji > 0, "an emoji", "emoji", quantity="emoji"),
    _flag(
        "month",
        _any_word(_MONTHS),
        "the name of a month other than May",
        "names of months other than May",
        quantity="months",
    ),
    _person("first_person", _FIRST_PERSON, "first", '"I" or "my"'),
    _person("second_person", _SECOND_PERSON, "second", '"you" or "your"'),
)
