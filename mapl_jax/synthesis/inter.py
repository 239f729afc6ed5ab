"""Inter-sample comparisons: two preference pairs, one of which gains by its instructions.

    x'  holds instructions that y_w keeps and y_l breaks:   [r(x', y_w) - r(x', y_l)] exceeds
        [r(x, y_w) - r(x, y_l)]
    x'' holds the same families the other way round:        its gap falls short of that of x

The published pages of MAPL (arXiv 2505.12845) do not print this loss in any copy we could read; the
form follows its abstract and arXiv 2502.00814, appendix E.2. The loss can be told to use another.
"""

import dataclasses

from mapl_jax import constraints
from mapl_jax.constraints import Sides
from mapl_jax.data.samples import Comparison, comparison
from mapl_jax.synthesis.corpus import Arguments
from mapl_jax.synthesis.draw import Draw, Twins

# How to draw again where too few have come about: with which strictness, and whether on any side.
_AGAIN = (
    *((constraints.STRICTEST, False),) * 2,
    *((constraints.STRICT, False),) * 2,
    *((constraints.STRICT, True),) * 2,
)


def instructions(chosen: str, rejected: str, k: int, draw: Draw, least: int = 0) -> Twins:
    """Instructions of x' (the chosen response keeps all) and x'' (the rejected one keeps all).

    Where fewer than k come about, they are drawn once more. Where fewer than `least` do, they are
    drawn again, and at last those that lean to the more frequent side are taken, too; where none
    does, one that few would ask for with the request.
    """

    for_chosen, for_rejected = sides(chosen, rejected, draw)
    impossible: set[str] = set()

    def attempt(count: int, strictness: int, any_side: bool = False) -> Twins:
        """Draws up to so many; on any side, or on none more often than on the other."""
        of_strictness = dataclasses.replace(draw, strictness=strictness)

        def propose(id: str, _: bool) -> Arguments | None:
            family = constraints.family_of(id)
            if for_chosen.proposer(family) is None:
                impossible.add(id)
                return None
            arguments = opposed(family, for_chosen, for_rejected, of_strictness)
            if arguments is None or any_side or draw.corpus.takes(id, arguments, draw.rng):
                return arguments
            return None

        return draw.twins(count, propose, impossible)

    twins = attempt(k, constraints.STRICTEST)
    if len(twins[0]) < k:
        twins = _fuller(twins, attempt(k, constraints.STRICTEST))
    for strictness, any_side in _AGAIN:
        if len(twins[0]) >= least:
            return twins
        twins = _fuller(twins, attempt(least, strictness, any_side))
    return twins if twins[0] else attempt(1, constraints.LENIENT, any_side=True)


def _fuller(one: Twins, other: Twins) -> Twins:
    """The one with more instructions; the first where both have as many."""
    return max(one, other, key=lambda twins: len(twins[0]))


def sides(chosen: str, rejected: str, draw: Draw) -> tuple[Sides, Sides]:
    """The sides of x' (chosen keeps, rejected breaks), and those of x'' (the other way round)."""
    for_chosen = draw.sides((chosen, True), (rejected, False))
    for_rejected = draw.sides((rejected, True), (chosen, False))
    return for_chosen, for_rejected


def opposed(
    family: constraints.Family, for_chosen: Sides, for_rejected: Sides, draw: Draw
) -> Arguments | None:
    """An instruction that chosen alone keeps and one that rejected alone keeps, or None."""
    first = draw.instruction(family, for_chosen)
    if first is None:
        return None
    second = draw.instruction(family, for_rejected)
    return None if second is None else (first, second)


def comparisons(first: int, second: int, k: int) -> tuple[Comparison, Comparison]:
    """The comparison of x' with x and its mirror, that of x'' with x.

    Args:
        first: index of prompt x'.
        second: index of prompt x''.
        k: number of instructions of either.
    """
    return (
        comparison("inter", [first, first, 0, 0], [0, 1, 0, 1], [1, -1, -1, 1], k=k),
        comparison("inter", [second, second, 0, 0], [0, 1, 0, 1], [-1, 1, 1, -1], k=k),
    )
