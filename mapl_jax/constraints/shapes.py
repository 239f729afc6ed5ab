"""The common shapes of families: a count, an exact number, a bound on one, a yes or no."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import AT_LEAST, LESS_THAN, RELATIONS, between, propose
from mapl_jax.constraints.base import Demands, Family, Threshold, Wordings
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Number, Params
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import amount_slot, exact_slot, pick

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


V = TypeVar("V")


class Statistic(Family, Generic[V]):
    """A family whose verdict depends on one statistic of the text.

    Attributes:
        statistic: gives it.
    """

    statistic: Callable[[Text], V]

    def judge(self, params: Params, value: V) -> float:
        """`measure` of a text with this value of the statistic."""
        return -1.0

    def measure(self, params: Params, text: Text) -> float:
        """What `judge` says of the text's statistic."""
        return self.judge(params, self.statistic(text))

    def parts(self, one: Text, other: Text) -> bool:
        """Whether the statistic differs."""
        return self.statistic(one) != self.statistic(other)


class Count(Statistic[int]):
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
        **options: bool,
    ):
        self.threshold = Threshold.of(number_key, relation_key, default_relation)
        self.parameters = (self.threshold.number, self.threshold.relation)
        generic = (_COUNT_TRAIN, _COUNT_HELD_OUT) if generic_wordings else ((), ())
        super().__init__(
            id,
            [Wordings((*generic[0], *train), (*generic[1], *held_out_wordings))],
            {"amount": amount_slot(number_key, relation_key, unit, default_relation)},
            **options,
        )
        self.statistic = statistic
        self.quantity = quantity or id

    def judge(self, params: Params, value: int) -> float:
        """Distance of the count to the threshold."""
        return self.threshold.distance(value, params)

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
        params: Params = {self.threshold.number.name: number}
        if relation != self.threshold.relation.default:
            params[self.threshold.relation.name] = relation
        return params

    def demands(self, params: Params) -> Demands:
        """Bounds of the quantity counted."""
        return Demands(bounds={self.quantity: self.threshold.bounds(params)})


class Flag(Statistic[bool]):
    """Something a response does or does not do.

    Parameters: none, or {"negated": True} for the opposite.
    """

    parameters = (NEGATION,)

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], bool],
        *,
        plain: tuple[Sequence[str], Sequence[str]],
        negated: tuple[Sequence[str], Sequence[str]],
        plain_demands: Demands | None = None,
        negated_demands: Demands | None = None,
        **options: bool,
    ):
        super().__init__(id, [Wordings(*plain), Wordings(*negated, fixed=NEGATED)], **options)
        self.statistic = statistic
        self._demands = (plain_demands or Demands(), negated_demands or Demands())

    def judge(self, params: Params, value: bool) -> float:
        """+1 or -1."""
        return 1.0 if value != NEGATION.of(params) else -1.0

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
        return self._demands[NEGATION.of(params)]


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


class Exact(Statistic[int | None]):
    """A number of something that must be met exactly; the other polarity is another number."""

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], int | None],
        key: str,
        unit: tuple[str, str],
        *,
        least: int = 1,
        quantity: str | None = None,
        train: Sequence[str],
        held_out_wordings: Sequence[str],
        **options: bool,
    ):
        self.number = Number(key, least=least)
        self.parameters = (self.number,)
        super().__init__(
            id, [Wordings(train, held_out_wordings)], {"exactly": exact_slot(key, unit)}, **options
        )
        self.statistic = statistic
        self.quantity = quantity or id

    def judge(self, params: Params, value: int | None) -> float:
        """+1 if met, else minus the difference; a text without a count is far off."""
        number = self.number.of(params)
        if value is None:
            return -float(number + 1)
        return 1.0 if value == number else -float(abs(value - number))

    def derive(self, kept, broken, rng):
        """The count of the texts to keep, or one near those to break."""
        counts = {self.statistic(text) for text in kept}
        others = {self.statistic(text) for text in broken}
        if counts:
            number = counts.pop()
            good = not counts and number is not None and number >= self.number.least
            return {self.number.name: number} if good and number is not None else None
        near = max((count for count in others if count is not None), default=2)
        choices = [n for n in range(max(self.number.least, near - 2), near + 4) if n not in others]
        return {self.number.name: pick(choices, rng)} if choices else None

    def demands(self, params: Params) -> Demands:
        """Bounds of the quantity counted."""
        return Demands(bounds={self.quantity: (self.number.of(params),) * 2})


class Bound(Statistic[int]):
    """A statistic below a number, or at or above it, each with wordings of its own.

    Parameters: a number, and a relation "less than" or "at least".
    """

    threshold = Threshold.of()
    parameters = (threshold.number, threshold.relation)

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], int],
        *,
        less: tuple[Sequence[str], Sequence[str]],
        more: tuple[Sequence[str], Sequence[str]],
        **options: bool,
    ):
        super().__init__(
            id,
            [
                Wordings(*less, {"relation": LESS_THAN}),
                Wordings(*more, {"relation": AT_LEAST}),
            ],
            **options,
        )
        self.statistic = statistic

    def judge(self, params: Params, value: int) -> float:
        """Distance of the statistic to the threshold."""
        return self.threshold.distance(value, params)

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
        return Demands(bounds={self.id: self.threshold.bounds(params)})
