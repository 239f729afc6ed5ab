"""The common shapes of families: a count, an exact number, a bound on one, a yes or no."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar, Unpack

import numpy as np

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import RELATIONS
from mapl_jax.constraints.base import Demands, Family, Options, Proposer, Sides, Threshold
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Number, Params
from mapl_jax.constraints.text.cached import MISSING
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import pick

V = TypeVar("V")


class Statistic(Family, Generic[V]):
    """A family whose verdict depends on one statistic of the text.

    Attributes:
        statistic: gives it.
        readings: other ways to read the same of a text. What is proposed holds in every one of
            them: whether code counts, or a hyphen parts words, decides no verdict.
    """

    statistic: Callable[[Text], V]
    readings: Sequence[Callable[[Text], V]] = ()

    def values(self, texts: Sequence[Text]) -> list[V]:
        """The statistic of each text, in every reading."""
        found: list[V] = []
        for text in texts:
            found.append(self.value(text))
            if self.readings:
                found += self._others(text)
        return found

    def value(self, text: Text) -> V:
        """The statistic of a text, which the text keeps."""
        found = text.values.get(self, MISSING)
        if found is MISSING:
            found = text.values[self] = self.statistic(text)
        return found

    def _others(self, text: Text) -> Sequence[V]:
        """The other readings of it, which the text keeps as well."""
        found = text.values.get(self.readings, MISSING)
        if found is MISSING:
            found = text.values[self.readings] = [read(text) for read in self.readings]
        return found

    def judge(self, params: Params, value: V) -> float:
        """`measure` of a text with this value of the statistic."""
        raise NotImplementedError(f"{type(self).__name__} has no `judge`")

    def measure(self, params: Params, text: Text) -> float:
        """What `judge` says of the text's statistic."""
        return self.judge(params, self.value(text))

    def keepers(self, params: Params, values: Mapping[V, int]) -> int:
        """How many texts keep the constraint, given how many have each value of the statistic."""
        return sum(times for value, times in values.items() if self.judge(params, value) >= 0)

    def parts(self, one: Text, other: Text) -> bool:
        """Whether the statistic differs."""
        return self.value(one) != self.value(other)


class Count(Statistic[int]):
    """A number of something, compared with a threshold.

    Parameters: a number, and a relation "less than" or "at least".
    """

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], int],
        *,
        number_key: str = "number",
        relation_key: str = "relation",
        default_relation: str | None = None,
        least: int = 1,
        quantity: str | None = None,
        worth: int = 1,
        most: float = math.inf,
        about: tuple[str, ...] = (),
        readings: Sequence[Callable[[Text], int]] = (),
        **options: Unpack[Options],
    ):
        self.threshold = Threshold.of(number_key, relation_key, default_relation, least)
        self.parameters = (self.threshold.number, self.threshold.relation)
        super().__init__(id, **options)
        self.statistic = statistic
        self.quantity = quantity or id
        self.worth = worth
        self.most = most
        self.about_too = about
        self.readings = tuple(readings)

    def judge(self, params: Params, value: int) -> float:
        """Distance of the count to the threshold."""
        return self.threshold.distance(value, params)

    def keepers(self, params: Params, values: Mapping[int, int]) -> int:
        """The same as for any statistic, by the bounds of the count."""
        low, high = self.threshold.bounds(params)
        return sum(times for value, times in values.items() if low <= value <= high)

    def proposer(self, sides: Sides) -> Proposer | None:
        """Draws a threshold between the counts of both sides."""
        counts, others = self.values(sides.kept), self.values(sides.broken)
        least = max(self.worth, self.threshold.number.least)
        choices = amounts.choices_of(counts, others, least, self.most)
        if not choices and (counts or others):
            return None
        number_key, relation_key = self.threshold.number.name, self.threshold.relation.name
        default = self.threshold.relation.default

        def propose(rng: np.random.Generator) -> Params:
            if choices:
                relation, number = amounts.draw(choices, rng)
            else:
                relation, number = pick(RELATIONS, rng), amounts.between(least, least + 4, rng)
            if relation == default:
                return {number_key: number}
            return {number_key: number, relation_key: relation}

        return propose

    def demands(self, params: Params) -> Demands:
        """Bounds of the quantity counted."""
        bounds = {self.quantity: self.threshold.bounds(params)}
        return Demands(bounds=bounds, about=self.about_too)


class Flag(Statistic[bool]):
    """Something a response does or does not do.

    Parameters: none, or {"negated": True} for the opposite.
    """

    parameters = (NEGATION,)
    drawn = False

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], bool],
        *,
        plain_demands: Demands | None = None,
        negated_demands: Demands | None = None,
        readings: Sequence[Callable[[Text], bool]] = (),
        **options: Unpack[Options],
    ):
        super().__init__(id, **options)
        self.statistic = statistic
        self.readings = tuple(readings)
        self._demands = (plain_demands or Demands(), negated_demands or Demands())

    def judge(self, params: Params, value: bool) -> float:
        """+1 or -1."""
        return 1.0 if value != NEGATION.of(params) else -1.0

    def proposer(self, sides: Sides) -> Proposer | None:
        """Gives the form that fits."""
        wanted = {*self.values(sides.kept)} | {not value for value in self.values(sides.broken)}
        if len(wanted) == 2:
            return None
        if not wanted:
            return lambda rng: {} if rng.random() < 0.5 else dict(NEGATED)
        return (lambda rng: {}) if wanted.pop() else (lambda rng: dict(NEGATED))

    def demands(self, params: Params) -> Demands:
        """Demands of the plain form, or of the negated one."""
        return self._demands[NEGATION.of(params)]


def presence(
    id: str, statistic: Callable[[Text], bool], value: str, *, beyond_ifeval: bool = True
) -> Flag:
    """A thing that is there, or as `negated` is not.

    Args:
        statistic: whether a text has it.
        value: what the demands call it.
        beyond_ifeval: not one of IFEval's types.
    """
    return Flag(
        id,
        statistic,
        beyond_ifeval=beyond_ifeval,
        plain_demands=Demands(values={value: True}),
        negated_demands=Demands(values={value: False}),
    )


class Exact(Statistic[int | None]):
    """A number of something that must be met exactly; the other polarity is another number."""

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], int | None],
        key: str,
        *,
        least: int = 1,
        most: float = math.inf,
        quantity: str | None = None,
        readings: Sequence[Callable[[Text], int | None]] = (),
        **options: Unpack[Options],
    ):
        self.number = Number(key, least=least)
        self.parameters = (self.number,)
        super().__init__(id, **options)
        self.statistic = statistic
        self.quantity = quantity or id
        self.most = most
        self.readings = tuple(readings)

    def judge(self, params: Params, value: int | None) -> float:
        """+1 if met, else minus the difference; a text without a count is far off."""
        number = self.number.of(params)
        if value is None:
            return -float(number + 1)
        return 1.0 if value == number else -float(abs(value - number))

    def proposer(self, sides: Sides) -> Proposer | None:
        """Gives the count of the texts to keep; without any, draws one near those to break."""
        counts, others = {*self.values(sides.kept)}, {*self.values(sides.broken)}
        least = self.number.least
        if counts:
            number = counts.pop()
            if counts or number is None or number in others or not least <= number <= self.most:
                return None
            return lambda rng: {self.number.name: number}
        near = max((count for count in others if count is not None), default=2)
        choices = [n for n in range(max(least, near - 2), near + 4) if n not in others]
        return (lambda rng: {self.number.name: pick(choices, rng)}) if choices else None

    def demands(self, params: Params) -> Demands:
        """Bounds of the quantity counted."""
        return Demands(bounds={self.quantity: (self.number.of(params),) * 2})
