"""Inter-sample comparisons: two preference pairs, one of which gains by its instructions.

    x'  holds instructions that y_w keeps and y_l breaks:   [r(x', y_w) - r(x', y_l)] exceeds
        [r(x, y_w) - r(x, y_l)]
    x'' holds the same families the other way round:        its gap falls short of that of x

The published pages of MAPL (arXiv 2505.12845) do not print this loss in any copy we could read; the
form follows its abstract and arXiv 2502.00814, appendix E.2. The loss can be told to use another.
"""

from collections.abc import Sequence

import numpy as np

from mapl_jax.synthesis.reference import Arguments, Reference
from mapl_jax.synthesis.samples import Comparison
from mapl_jax.synthesis.sets import Twins, contrast, draw_twins


def draw(
    chosen: str,
    rejected: str,
    families: Sequence[str],
    k: int,
    rng: np.random.Generator,
    reference: Reference,
) -> Twins:
    """Instructions of x' (the chosen response keeps all) and x'' (the rejected one keeps all)."""

    def propose(family: str, _: bool) -> Arguments | None:
        arguments = opposed(family, chosen, rejected, rng, reference)
        taken = arguments is not None and reference.taken(family, arguments, rng)
        return arguments if taken else None

    return draw_twins(families, k, rng, propose, reference)


def opposed(
    family: str, chosen: str, rejected: str, rng: np.random.Generator, reference: Reference
) -> Arguments | None:
    """Arguments that the chosen response alone keeps, and those that the rejected alone keeps."""
    first = contrast(family, chosen, rejected, rng, reference)
    if first is None:
        return None
    second = contrast(family, rejected, chosen, rng, reference)
    return None if second is None else (first, second)


def comparisons(first: int, second: int, k: int) -> tuple[Comparison, Comparison]:
    """The comparison of x' with x and its mirror, that of x'' with x.

    Args:
        first: index of prompt x'.
        second: index of prompt x''.
        k: number of instructions of either.
    """
    responses = (0, 1, 0, 1)
    return (
        Comparison("inter", (first, first, 0, 0), responses, (1, -1, -1, 1), k=k),
        Comparison("inter", (second, second, 0, 0), responses, (-1, 1, 1, -1), k=k),
    )
