"""What every constraint family has, and the two common shapes: a count and a yes-or-no."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import AT_LEAST, LESS_THAN, RELATIONS, Random
from mapl_jax.constraints.text.statistics import Text, view
from mapl_jax.constraints.wording import Params, Slot, Template, amount_slot, pick

Conditions = Sequence[tuple[str, bool]]
Bounds = tuple[float, float]

NEGATED: Params = {"negated": True}


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
    """

    phrases: tuple[str, ...] = ()
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    letter_case: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    exact: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wordings:
    """Templates for one form of a family.

    Attributes:
        train: Templates for training.
        held_out: Templates kept for evaluation.
        fixed: Parameters that the form stands for, not shown in any slot.
    """

    train: Sequence[str]
    held_out: Sequence[str]
    fixed: Params = field(default_factory=dict)


class Family:
    """One kind of constraint.

    Attributes:
        id: "group:name".
        held_out: Kept for evaluation, never synthesized for training.
        beyond_ifeval: Not one of IFEval's 25 types.
    """

    def __init__(
        self,
        id: str,
        wordings: Sequence[Wordings],
        slots: Mapping[str, Slot] | None = None,
        held_out: bool = False,
        beyond_ifeval: bool = True,
    ):
        self.id = id
        self.held_out = held_out
        self.beyond_ifeval = beyond_ifeval
        self.templates = [
            (
                form.fixed,
                [Template(text, slots or {}, form.fixed) for text in form.train],
                [Template(text, slots or {}, form.fixed) for text in form.held_out],
            )
            for form in wordings
        ]

    @property
    def group(self) -> str:
        """The part of the id before the colon."""
        return self.id.partition(":")[0]

    # For each family to fill in ---------------------------------------------------------------

    def validate(self, params: Params) -> None:
        """Raises ValueError unless `params` are good parameters of this family."""
        raise ValueError(f"{self.id}: no parameters are known")

    def measure(self, params: Params, text: Text) -> float:
        """Signed distance to the threshold; >= 0 exactly when the text keeps the constraint."""
        return -1.0

    def parts(self, one: Text, other: Text) -> bool:
        """False only where no parameters let one text keep the constraint and the other break it.

        Quick, since most pairs of texts differ in few things.
        """
        return True

    def derive(
        self, kept: Sequence[Text], broken: Sequence[Text], rng: np.random.Generator
    ) -> Params | None:
        """Parameters that fit all of `kept` and none of `broken`, if it finds some."""
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

    def check(self, params: Params, response: str) -> bool:
        """Says whether the response keeps the constraint."""
        self.validate(params)
        return self.measure(params, view(response)) >= 0

    def margin(self, params: Params, response: str) -> float:
        """Signed distance to the threshold; >= 0 exactly when `check` is true."""
        self.validate(params)
        return float(self.measure(params, view(response)))

    def propose(self, conditions: Conditions, rng: np.random.Generator) -> Params | None:
        """Parameters that give each response its wanted verdict, or None."""
        kept = [view(response) for response, wanted in conditions if wanted]
        broken = [view(response) for response, wanted in conditions if not wanted]
        if not all(self.parts(one, other) for one in kept for other in broken):
            return None
        params = self.derive(kept, broken, rng)
        return params if params is not None and self.fits(params, kept, broken) else None

    def fits(self, params: Params, kept: Sequence[Text], broken: Sequence[Text]) -> bool:
        """Whether all of `kept` keep the constraint and none of `broken` does."""
        return all(self.measure(params, text) >= 0 for text in kept) and all(
            self.measure(params, text) < 0 for text in broken
        )

    def render(self, params: Params, rng: Random, held_out: bool = False) -> str:
        """Puts the constraint into an English sentence."""
        self.validate(params)
        for fixed, train, kept_back in self.templates:
            if all(params.get(key) == value for key, value in fixed.items()) and (
                fixed or not params.get("negated")
            ):
                return pick(kept_back if held_out else train, rng).write(params, rng)
        raise ValueError(f"{self.id}: no wording for {params}")

    def require(self, good: bool, params: Params) -> None:
        """Raises ValueError unless `good`."""
        if not good:
            raise ValueError(f"bad parameters for {self.id}: {params}")


def is_count(value: Any, least: int = 1) -> bool:
    """Whether `value` is a whole number from `least` on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_text(value: Any) -> bool:
    """Whether `value` is a string with something to see in it."""
    return isinstance(value, str) and bool(value.strip())


def only_keys(params: Any, *keys: str) -> bool:
    """Whether `params` is a dict with no other keys than these."""
    return isinstance(params, dict) and params.keys() <= set(keys)


def count_bounds(relation: str, number: int) -> Bounds:
    """The counts that a relation allows."""
    return (number, math.inf) if relation == AT_LEAST else (0, number - 1)


def word_at(place: str, word: str) -> dict[str, Any]:
    """Demanded values for a word at a place that one word can have, such as "first word"."""
    return {place: word, f"{place} is {word}": True} if word else {}


_COUNT_TRAIN = (
    "Use {amount} in {answer}.",
    "{Answer} should contain {amount}.",
    "{Answer} must have {amount}.",
    "Include {amount}.",
    "Please give me {amount} in {answer}.",
    "Write {answer} with {amount}.",
)
_COUNT_HELD_OUT = (
    "I would like to see {amount} in {answer}.",
    "Mind the count: {amount} in {answer}.",
    "{Answer} is expected to come with {amount}.",
)


class Statistic(Family):
    """A family whose verdict depends on one statistic of the text.

    Attributes:
        statistic: gives it.
    """

    statistic: Callable[[Text], Any]

    def judge(self, params: Params, value: Any) -> float:
        """`measure` of a text with this value of the statistic."""
        return -1.0

    def measure(self, params: Params, text: Text) -> float:
        """What `judge` says of the text's statistic."""
        return self.judge(params, self.statistic(text))

    def parts(self, one: Text, other: Text) -> bool:
        """Whether the statistic differs."""
        return self.statistic(one) != self.statistic(other)


class Count(Statistic):
    """A number of something, compared with a threshold.

    Parameters: a number, and a relation "less than" or "at least".
    """

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], int],
        unit: tuple[str, str],
        *,
        number_key: str = "number",
        relation_key: str = "relation",
        default_relation: str | None = None,
        quantity: str | None = None,
        train: Sequence[str] = (),
        held_out_wordings: Sequence[str] = (),
        generic_wordings: bool = True,
        **options: Any,
    ):
        generic = (_COUNT_TRAIN, _COUNT_HELD_OUT) if generic_wordings else ((), ())
        super().__init__(
            id,
            [Wordings((*generic[0], *train), (*generic[1], *held_out_wordings))],
            {"amount": amount_slot(number_key, relation_key, unit, default_relation)},
            **options,
        )
        self.statistic = statistic
        self.number_key = number_key
        self.relation_key = relation_key
        self.default_relation = default_relation
        self.quantity = quantity or id

    def validate(self, params: Params) -> None:
        """Wants a number of 1 or more and a relation."""
        good = only_keys(params, self.number_key, self.relation_key)
        good = (
            good and is_count(params.get(self.number_key)) and self._relation(params) in RELATIONS
        )
        self.require(good, params)

    def judge(self, params: Params, value: int) -> float:
        """Distance of the count to the threshold."""
        return amounts.distance(value, self._relation(params), params[self.number_key])

    def derive(self, kept, broken, rng):
        """A threshold between the counts of both sides."""
        found = amounts.propose(
            [self.statistic(text) for text in kept], [self.statistic(text) for text in broken], rng
        )
        if found is None and not kept and not broken:
            found = pick(RELATIONS, rng), amounts.between(1, 5, rng)
        if found is None:
            return None
        relation, number = found
        params: Params = {self.number_key: number}
        if relation != self.default_relation:
            params[self.relation_key] = relation
        return params

    def demands(self, params: Params) -> Demands:
        """Bounds of the quantity counted."""
        bounds = count_bounds(self._relation(params), params[self.number_key])
        return Demands(bounds={self.quantity: bounds})

    def _relation(self, params: Params) -> Any:
        return params.get(self.relation_key, self.default_relation)


class Flag(Statistic):
    """Something a response does or does not do.

    Parameters: none, or {"negated": True} for the opposite.
    """

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], bool],
        *,
        plain: tuple[Sequence[str], Sequence[str]],
        negated: tuple[Sequence[str], Sequence[str]],
        plain_demands: Demands | None = None,
        negated_demands: Demands | None = None,
        **options: Any,
    ):
        super().__init__(id, [Wordings(*plain), Wordings(*negated, fixed=NEGATED)], **options)
        self.statistic = statistic
        self._demands = (plain_demands or Demands(), negated_demands or Demands())

    def validate(self, params: Params) -> None:
        """Wants no parameters but `negated`."""
        good = only_keys(params, "negated") and isinstance(params.get("negated", False), bool)
        self.require(good, params)

    def judge(self, params: Params, value: bool) -> float:
        """+1 or -1."""
        return 1.0 if value != params.get("negated", False) else -1.0

    def derive(self, kept, broken, rng):
        """The form that fits."""
        wanted = {self.statistic(text) for text in kept} | {
            not self.statistic(text) for text in broken
        }
        if len(wanted) == 2:
            return None
        plain = wanted.pop() if wanted else rng.random() < 0.5
        return {} if plain else dict(NEGATED)

    def demands(self, params: Params) -> Demands:
        """Those of the form."""
        return self._demands[params.get("negated", False)]


__all__ = [
    "AT_LEAST",
    "LESS_THAN",
    "NEGATED",
    "RELATIONS",
    "Conditions",
    "Count",
    "Demands",
    "Family",
    "Flag",
    "Params",
    "Statistic",
    "Wordings",
    "count_bounds",
    "is_count",
    "is_text",
    "only_keys",
    "word_at",
]
