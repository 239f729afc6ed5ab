"""The common shapes of families: a count, an exact number, a bound on one, a yes or no."""

from collections.abc import Callable, Sequence
from typing import Any

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import AT_LEAST, LESS_THAN, RELATIONS, between, distance, propose
from mapl_jax.constraints.base import (
    NEGATED,
    Demands,
    Family,
    Wordings,
    count_bounds,
    is_count,
    only_keys,
)
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import Params, amount_slot, exact_slot, number_slot, pick

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


def presence(
    id: str,
    statistic: Callable[[Text], bool],
    plain: tuple[Sequence[str], Sequence[str]],
    negated: tuple[Sequence[str], Sequence[str]],
    value: str,
    *,
    beyond_ifeval: bool = True,
) -> Flag:
    """A thing that is there, or as `negated` is not.

    Args:
        id: of the family.
        statistic: whether a text has it.
        plain: wordings that ask for it, for training and held out.
        negated: the same for those that forbid it.
        value: what the demands call it.
        beyond_ifeval: not one of IFEval's types.
    """
    return Flag(
        id,
        statistic,
        beyond_ifeval=beyond_ifeval,
        plain=plain,
        negated=negated,
        plain_demands=Demands(values={value: True}),
        negated_demands=Demands(values={value: False}),
    )


class Exact(Statistic):
    """A number of something that must be met exactly; the other polarity is another number."""

    def __init__(
        self,
        id,
        statistic,
        key,
        unit,
        *,
        least=1,
        quantity=None,
        train,
        held_out_wordings,
        **options,
    ):
        super().__init__(
            id, [Wordings(train, held_out_wordings)], {"exactly": exact_slot(key, unit)}, **options
        )
        self.statistic = statistic
        self.key = key
        self.least = least
        self.quantity = quantity or id

    def validate(self, params: Params) -> None:
        """Wants a number."""
        good = only_keys(params, self.key) and is_count(params.get(self.key), self.least)
        self.require(good, params)

    def judge(self, params: Params, value: int | None) -> float:
        """+1 if met, else minus the difference; a text without a count is far off."""
        if value is None:
            return -float(params[self.key] + 1)
        return 1.0 if value == params[self.key] else -float(abs(value - params[self.key]))

    def derive(self, kept, broken, rng):
        """The count of the texts to keep, or one near those to break."""
        counts = {self.statistic(text) for text in kept}
        others = {self.statistic(text) for text in broken}
        if counts:
            number = counts.pop()
            return None if counts or number is None or number < self.least else {self.key: number}
        near = max((count for count in others if count is not None), default=2)
        choices = [n for n in range(max(self.least, near - 2), near + 4) if n not in others]
        return {self.key: pick(choices, rng)} if choices else None

    def demands(self, params: Params) -> Demands:
        """Bounds of the quantity counted."""
        return Demands(bounds={self.quantity: (params[self.key], params[self.key])})


class Bound(Statistic):
    """A statistic below a number, or at or above it, each with wordings of its own.

    Parameters: a number, and a relation "less than" or "at least".
    """

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], int],
        *,
        less: tuple[Sequence[str], Sequence[str]],
        more: tuple[Sequence[str], Sequence[str]],
        **options: Any,
    ):
        super().__init__(
            id,
            [
                Wordings(*less, {"relation": LESS_THAN}),
                Wordings(*more, {"relation": AT_LEAST}),
            ],
            {"number": number_slot("number")},
            **options,
        )
        self.statistic = statistic

    def validate(self, params: Params) -> None:
        """Wants a number of 1 or more and a relation."""
        good = only_keys(params, "number", "relation") and is_count(params.get("number"))
        self.require(good and params.get("relation") in RELATIONS, params)

    def judge(self, params: Params, value: int) -> float:
        """Distance of the statistic to the threshold."""
        return distance(value, params["relation"], params["number"])

    def derive(self, kept, broken, rng):
        """A threshold between the two sides."""
        found = propose(
            [self.statistic(text) for text in kept], [self.statistic(text) for text in broken], rng
        )
        if found is None and not kept and not broken:
            found = pick(RELATIONS, rng), between(8, 25, rng)
        return None if found is None else {"number": found[1], "relation": found[0]}

    def demands(self, params: Params) -> Demands:
        """Bounds on the statistic."""
        return Demands(bounds={self.id: count_bounds(params["relation"], params["number"])})
