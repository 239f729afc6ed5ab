"""Twin sets of instructions: the same families with different arguments.

All synthesized comparisons rest on one principle, contrast: every instruction is kept by one
response of the pair and broken by the other. So neither the prompt alone (does it look strict? do
its parts agree?) nor the response alone says how a comparison comes out; only the two together do.
"""

import dataclasses
import functools
from collections.abc import Callable, Container, Sequence

import numpy as np

from mapl_jax import constraints
from mapl_jax.data.samples import Params
from mapl_jax.synthesis.corpus import Arguments, Corpus, hash_of

Item = tuple[str, Params]
Twins = tuple[list[Item], list[Item]]

_TRIES = 3
# What is to be thought of an instruction.
_GOOD, _UNNATURAL, _UNASKED, _UNINFORMATIVE = "good", "unnatural", "unasked", "uninformative"


class BrokenPromise(RuntimeError):
    """An instruction does not hold what it was drawn for: an error of a constraint family."""


def generator(seed: int, sample_id: str, purpose: str) -> np.random.Generator:
    """Random numbers that depend on nothing but what they are for."""
    # What `np.random.default_rng` gives, in half the time.
    return np.random.Generator(np.random.PCG64(hash_of(seed, sample_id, purpose)))


@dataclasses.dataclass(frozen=True)
class Draw:
    """One draw of instructions.

    Attributes:
        families: ids to draw from.
        corpus: says which families to try first and which arguments to leave out.
        request: what the responses answer, if that is known.
        strictness: how easily an instruction is refused (`constraints.unasked`).
        refused: families whose arguments said nothing, once for every time.
        judged: verdicts by strictness and instruction; redraws propose the same ones again.
    """

    families: Sequence[str]
    rng: np.random.Generator
    corpus: Corpus
    request: constraints.Request | None = None
    strictness: int = constraints.STRICTEST
    refused: list[str] = dataclasses.field(default_factory=list)
    judged: dict[int, dict[constraints.Asked, str]] = dataclasses.field(default_factory=dict)

    def sides(self, *promises: tuple[str, bool]) -> constraints.Sides:
        """Responses, each with whether it is to keep what is drawn for them."""
        return constraints.Sides(promises, None if self.request is None else self.request.said)

    def instruction(
        self, family: constraints.Family, sides: constraints.Sides
    ) -> constraints.Asked | None:
        """An instruction that gives each response its verdict, or None if there is none.

        There is none with a number that nobody would choose. Those that nobody would ask for with
        the request, or that say nothing of responses in general (`Corpus.informative`), are drawn
        anew twice.
        """
        propose = sides.proposer(family)
        if propose is None:
            return None
        for _ in range(_TRIES if family.drawn else 1):
            params = propose(self.rng)
            if params is None:
                return None
            one = constraints.known(family, params)
            verdict = self._verdicts.get(one) or self._judge(one)
            if verdict is _GOOD:
                return one
            if verdict is _UNNATURAL:
                return None
            if verdict is _UNINFORMATIVE:
                self.refused.extend([family.id] * (1 if family.drawn else _TRIES))
        return None

    @functools.cached_property
    def _verdicts(self) -> dict[constraints.Asked, str]:
        """The verdicts at this strictness."""
        return self.judged.setdefault(self.strictness, {})

    def _judge(self, one: constraints.Asked) -> str:
        verdict = _GOOD
        if not one.natural:
            verdict = _UNNATURAL
        elif self.request and constraints.unasked_of(one, self.request, self.strictness):
            verdict = _UNASKED
        elif not self.corpus.informative(one):
            verdict = _UNINFORMATIVE
        self._verdicts[one] = verdict
        return verdict

    def twins(
        self,
        k: int,
        propose: Callable[[str, bool], Arguments | None],
        impossible: Container[str] = (),
    ) -> Twins:
        """Draws up to k families and for each two sets of arguments, one for either twin.

        Args:
            k: how many to draw; fewer are returned where no more are possible.
            propose: (family, is first) -> arguments for both twins, or None if the family cannot.
            impossible: families that cannot in any case.

        Returns:
            Two lists with the same families in the same order, each free of conflicts.
        """
        taken: tuple[list[constraints.Asked], list[constraints.Asked]] = ([], [])
        for family in self.corpus.order(self.families, self.rng):
            if len(taken[0]) == k:
                break
            if family in impossible:
                continue
            arguments = propose(family, not taken[0])
            if arguments is not None and all(map(_go_together, taken, arguments)):
                for one, others in zip(arguments, taken, strict=True):
                    others.append(one)
        order = self.rng.permutation(len(taken[0])).tolist()
        first, second = ([(each[at].family.id, each[at].params) for at in order] for each in taken)
        return first, second


def _go_together(others: Sequence[constraints.Asked], one: constraints.Asked) -> bool:
    """Whether an instruction can stand with others, each of which has something to say."""
    for other in others:
        if constraints.clash(one, other) or constraints.redundant(one, other):
            return False
    return not constraints.redundant_together([*others, one])
