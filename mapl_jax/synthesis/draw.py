"""Twin sets of instructions: the same families with different arguments.

All synthesized comparisons rest on one principle, contrast: every instruction is kept by one
response of the pair and broken by the other. So neither the prompt alone (does it look strict? do
its parts agree?) nor the response alone says how a comparison comes out; only the two together do.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from mapl_jax import constraints
from mapl_jax.data.samples import Params
from mapl_jax.synthesis.corpus import Arguments, Corpus, hash_of

Item = tuple[str, Params]
Twins = tuple[list[Item], list[Item]]

_TRIES = 3


class BrokenPromise(RuntimeError):
    """An instruction does not hold what it was drawn for: an error of a constraint family."""


def generator(seed: int, sample_id: str, purpose: str) -> np.random.Generator:
    """Random numbers that depend on nothing but what they are for."""
    return np.random.default_rng(hash_of(seed, sample_id, purpose))


@dataclasses.dataclass(frozen=True)
class Draw:
    """One draw of instructions.

    Attributes:
        families: ids to draw from.
        corpus: says which families to try first and which arguments to leave out.
        request: what the responses answer, if that is known.
        taste: how much speaks against an instruction (`constraints.unasked`).
        refused: families whose arguments said nothing, once for every time.
    """

    families: Sequence[str]
    rng: np.random.Generator
    corpus: Corpus
    request: constraints.Request | None = None
    taste: int = constraints.FINEST
    refused: list[str] = dataclasses.field(default_factory=list)

    def contrast(self, family: str, kept_by: str, broken_by: str) -> Params | None:
        """Parameters that one response keeps and the other breaks, or None if there are none."""
        return self.params(family, ((kept_by, True), (broken_by, False)))

    def params(self, family: str, promises: Sequence[tuple[str, bool]]) -> Params | None:
        """Parameters that give each response its verdict, or None if there are none.

        There are none with a number that nobody would choose. Those that nobody would ask for with
        the request, or that say nothing of responses in general (`Corpus.informative`), are drawn
        anew twice.
        """
        said = None if self.request is None else self.request.said
        drawn = constraints.is_drawn(family)
        for _ in range(_TRIES if drawn else 1):
            params = constraints.propose(family, promises, self.rng, said)
            if params is None or not constraints.is_natural(family, params):
                return None
            if self.request is not None and constraints.unasked(
                family, params, self.request, self.taste
            ):
                continue
            if self.corpus.informative(family, params):
                return params
            self.refused.extend([family] * (1 if drawn else _TRIES))
        return None

    def twins(self, k: int, propose: Callable[[str, bool], Arguments | None]) -> Twins:
        """Draws up to k families and for each two sets of arguments, one for either twin.

        Args:
            k: how many to draw; fewer are returned where no more are possible.
            propose: (family, is first) -> arguments for both twins, or None if the family cannot.

        Returns:
            Two lists with the same families in the same order, each free of conflicts.
        """
        twins: Twins = ([], [])
        taken: tuple[list[constraints.Asked], list[constraints.Asked]] = ([], [])
        for family in self.corpus.order(self.families, self.rng):
            if len(twins[0]) == k:
                break
            arguments = propose(family, not twins[0])
            if arguments is None:
                continue
            asked = [constraints.asked(family, params) for params in arguments]
            if any(
                constraints.clash(one, other) or constraints.redundant(one, other)
                for one, others in zip(asked, taken, strict=True)
                for other in others
            ) or any(
                constraints.redundant_together([*others, one])
                for one, others in zip(asked, taken, strict=True)
            ):
                continue
            for params, one, twin, others in zip(arguments, asked, twins, taken, strict=True):
                twin.append((family, params))
                others.append(one)
        order = self.rng.permutation(len(twins[0]))
        return [twins[0][place] for place in order], [twins[1][place] for place in order]
