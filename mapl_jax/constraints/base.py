"""What every family of constraints has."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, TypedDict

import numpy as np

from mapl_jax.constraints.amounts import (
    AT_LEAST,
    LESS_THAN,
    RELATIONS,
    Random,
    distance,
    is_natural,
)
from mapl_jax.constraints.families.wordings import FORMS
from mapl_jax.constraints.parameters import (
    NEGATED,
    Character,
    Choice,
    Number,
    Parameter,
    Params,
    Phrase,
    Switch,
)
from mapl_jax.constraints.templates import Sentences
from mapl_jax.constraints.text.cached import MISSING, cached
from mapl_jax.constraints.text.statistics import Text, view
from mapl_jax.constraints.wording import Slot, pick, slots_of

Conditions = Sequence[tuple[str, bool]]
Bounds = tuple[float, float]
Fact = str | bool
Proposer = Callable[[np.random.Generator], Params | None]
"""Draws parameters for texts that it knows, or None."""


@dataclass(frozen=True)
class Demands:
    """What keeping a constraint asks of a text, for finding pairs that cannot both be kept.

    Attributes:
        phrases: Texts that must appear, in capitals or not.
        bounds: Smallest and largest allowed value of named quantities ("words",
            "character:,", "keyword:war", ...), both inclusive.
        letter_case: "lower" or "upper" if the whole text must be so.
        values: Things that can have one value only, such as {"first word": "the"}.
        exact: Texts that must appear as they are written here.
        about: Other things that it speaks of, without a bound or a value.
    """

    phrases: tuple[str, ...] = ()
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    letter_case: str | None = None
    values: Mapping[str, Fact] = field(default_factory=dict)
    exact: tuple[str, ...] = ()
    about: tuple[str, ...] = ()

    @cached
    def wanted(self) -> frozenset[str]:
        """What there has to be, or has to be so."""
        quantities = [name for name, (low, _) in self.bounds.items() if low > 0]
        return frozenset([*quantities, *(it for it, fact in self.values.items() if fact is True)])

    @cached
    def of_a_topic(self) -> bool:
        """Whether it names words that mean something beside a request only."""
        return bool(self.phrases) or MENTIONED in self.about


MENTIONED = "things mentioned"
"""What constraints on things that are mentioned or left out are about."""


@dataclass(frozen=True)
class Threshold:
    """A number and the relation of a count to it, two parameters that go together."""

    number: Number
    relation: Choice

    @classmethod
    def of(
        cls,
        number: str = "number",
        relation: str = "relation",
        default: str | None = None,
        least: int = 1,
    ) -> "Threshold":
        """The two parameters by their names.

        Args:
            number: name of the number.
            relation: name of the relation.
            default: the relation that may be left out.
            least: the smallest number.
        """
        return cls(Number(number, least=least), Choice(relation, default, options=RELATIONS))

    def distance(self, count: int, params: Params) -> float:
        """Signed distance of a count; >= 0 exactly when the relation holds."""
        return distance(count, self.relation.of(params), self.number.of(params))

    def bounds(self, params: Params) -> Bounds:
        """The counts for which the relation holds."""
        number = self.number.of(params)
        if self.relation.of(params) == AT_LEAST:
            return (number, math.inf)
        return (0, number - 1)


def everywhere(text: Text) -> bool:
    """Families that suit every text."""
    return True


def spaced(text: Text) -> bool:
    """Families of words that are found by the spaces between them."""
    return not text.unspaced


def in_english(text: Text) -> bool:
    """Families that go by English words."""
    return text.english


class Sides:
    """Texts that are to keep a constraint, and texts that are to break it.

    Attributes:
        kept: the former.
        broken: the latter.
        prompt: what they answer, if that is known.
    """

    def __init__(self, conditions: Conditions, prompt: str | None = None):
        """From responses, each with whether it is to keep the constraint."""
        self.kept = tuple(view(response) for response, wanted in conditions if wanted)
        self.broken = tuple(view(response) for response, wanted in conditions if not wanted)
        self.prompt = None if prompt is None else view(prompt)
        self._proposers: dict[Family, Proposer | None] = {}

    def proposer(self, family: "Family") -> Proposer | None:
        """What draws parameters of a family for them, or None where it cannot part them.

        Made once, however often parameters are drawn.
        """
        found = self._proposers.get(family, MISSING)
        if found is MISSING:
            found = family.proposer(self) if self._suit(family) else None
            self._proposers[family] = found
        return found

    def _suit(self, family: "Family") -> bool:
        for one in self.kept:
            for other in self.broken:
                if not family.parts(one, other):
                    return False
        return family.suits is everywhere or all(map(family.suits, (*self.kept, *self.broken)))


_NO_LISTS = (Character, Choice, Number, Phrase, Switch)


class Options(TypedDict, total=False):
    """What every family may be given; see `Family`."""

    held_out: bool
    beyond_ifeval: bool
    suits: Callable[[Text], bool]


class Family:
    """One kind of constraint.

    Attributes:
        id: "group:name".
        held_out: Kept for evaluation, never synthesized for training.
        beyond_ifeval: Not one of IFEval's 25 types.
        suits: Says of which texts something is asked; `check` judges all.
        parameters: Declared; `validate` and the slots of templates follow from them.
        takes_lists: Whether some of them may be lists.
        drawn: Whether chance has a say in what it proposes.
        slots: Further slots of templates.
    """

    parameters: Sequence[Parameter] = ()
    drawn: ClassVar[bool] = True
    slots: ClassVar[Mapping[str, Slot]] = MappingProxyType({})

    def __init__(
        self,
        id: str,
        *,
        held_out: bool = False,
        beyond_ifeval: bool = True,
        suits: Callable[[Text], bool] = everywhere,
    ):
        self.id = id
        self._names = {parameter.name for parameter in self.parameters}
        self.takes_lists = not all(isinstance(each, _NO_LISTS) for each in self.parameters)
        self._numbers = [each for each in self.parameters if isinstance(each, Number)]
        self.held_out = held_out
        self.beyond_ifeval = beyond_ifeval
        self.suits = suits

    @property
    def group(self) -> str:
        """The part of the id before the colon."""
        return self.id.partition(":")[0]

    # For each family to fill in ---------------------------------------------------------------

    def agree(self, params: Params) -> bool:
        """Whether parameters that are each possible go together."""
        return True

    def measure(self, params: Params, text: Text) -> float:
        """Signed distance to the threshold; >= 0 exactly when the text keeps the constraint."""
        raise NotImplementedError(f"{type(self).__name__} has no `measure`")

    def parts(self, one: Text, other: Text) -> bool:
        """False only where no parameters let one text keep the constraint and the other break it.

        Quick, since most pairs of texts differ in few things.
        """
        return True

    def proposer(self, sides: Sides) -> Proposer | None:
        """What draws parameters that part two sides, or None if there is nothing to draw.

        Whatever it gives must fit (`fits`): by the way it is drawn, or because it is `checked`.
        What does not hang on chance is best done before, as much is drawn for the same texts.
        """
        return None

    def demands(self, params: Params) -> Demands:
        """What keeping the constraint asks of a text."""
        return Demands()

    def about(self, params: Params) -> Sequence[str]:
        """Words, if any, without which a text has the same verdict as the empty one.

        Keys of `Text.word_counts`; they spare looking at the texts that hold none of them.
        """
        return ()

    # The same for all -------------------------------------------------------------------------

    def validate(self, params: Params) -> None:
        """Makes sure that `params` are parameters of this family."""
        good = isinstance(params, dict) and params.keys() <= self._names
        for parameter in self.parameters if good else ():
            if parameter.name in params:
                good = good and parameter.fits(params[parameter.name])
            else:
                good = good and parameter.default is not None
        if not good or not self.agree(params):
            raise ValueError(f"bad parameters for {self.id}: {params}")

    def check(self, params: Params, response: str) -> bool:
        """Says whether the response keeps the constraint."""
        self.validate(params)
        return self.measure(params, view(response)) >= 0

    def margin(self, params: Params, response: str) -> float:
        """Signed distance to the threshold; >= 0 exactly when `check` is true."""
        self.validate(params)
        return float(self.measure(params, view(response)))

    def is_natural(self, params: Params) -> bool:
        """Whether its numbers, if it has any, are such as people would choose."""
        relation = LESS_THAN if LESS_THAN in params.values() else AT_LEAST
        return all(is_natural(relation, each.of(params)) for each in self._numbers)

    def propose(self, sides: Sides, rng: np.random.Generator) -> Params | None:
        """Parameters that give each text its wanted verdict, or None."""
        proposer = sides.proposer(self)
        return None if proposer is None else proposer(rng)

    def fits(self, params: Params, kept: Sequence[Text], broken: Sequence[Text]) -> bool:
        """Whether all of `kept` keep the constraint and none of `broken` does."""
        for text in kept:
            if self.measure(params, text) < 0:
                return False
        return all(self.measure(params, text) < 0 for text in broken)

    def checked(self, sides: Sides, draw: Proposer) -> Proposer:
        """Gives what is drawn if it fits, else None."""

        def propose(rng: np.random.Generator) -> Params | None:
            params = draw(rng)
            fits = params is not None and self.fits(params, sides.kept, sides.broken)
            return params if fits else None

        return propose

    def form_proposer(self, sides: Sides) -> Proposer:
        """Gives the plain form of a constraint without other parameters, or the negated one;
        drawn where both fit.
        """
        return either([f for f in ({}, NEGATED) if self.fits(f, sides.kept, sides.broken)])

    @functools.cached_property
    def forms(self) -> Sequence[Sentences]:
        """The sentences for each kind of parameters, the most special ones first."""
        names: dict[str, Parameter] = {}
        for it in reversed(self.parameters):
            if isinstance(it, Number):
                names["number"] = it
            elif isinstance(it, Choice) and it.options == RELATIONS:
                names["relation"] = it
        slots = {**slots_of(self.parameters), **self.slots}
        forms = [Sentences.of(form, slots, names) for form in FORMS[self.id]]
        return sorted(forms, key=lambda form: -len(form.fixed))

    def form(self, params: Params) -> Sentences:
        """The sentences for these parameters."""
        return next(form for form in self.forms if form.fits(params))

    def render(
        self,
        params: Params,
        rng: Random,
        *,
        held_out: bool = False,
        terse: bool = False,
        answer: str = "",
    ) -> str:
        """Puts the constraint into an English sentence; see `registry.render`."""
        self.validate(params)
        return self.write(params, rng, held_out, terse, answer)

    def write(self, params: Params, rng: Random, held_out: bool, terse: bool, answer: str) -> str:
        """`render` without validation, for parameters that are known to be its own."""
        templates = self.form(params).choices(params, held_out, terse)
        return pick(templates, rng).write(params, rng, answer)


def either(forms: Sequence[Params]) -> Proposer:
    """Draws the first or the last of some forms, or None where there are none."""

    def propose(rng: np.random.Generator) -> Params | None:
        place = 0 if rng.random() >= 0.5 else -1
        return dict(forms[place]) if forms else None

    return propose


def word_at(place: str, word: str) -> dict[str, Fact]:
    """Demanded values for a word at a place that one word can have, such as "first word"."""
    return {place: word, f"{place} is {word}": True} if word else {}
