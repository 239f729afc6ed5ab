"""Neutral comparisons: instructions that both responses keep, or both break, leave the gap alone.

    x_o  holds instructions that do not part the responses:  [r(x_o, y_w) - r(x_o, y_l)] equals
         [r(x, y_w) - r(x, y_l)]

The terms are those of `inter`, and the comparison is a tie. The idea is that of the neutral pairs
of arXiv 2506.16507: what changes beside the causes of quality should not change the preference.
"""

from mapl_jax import constraints
from mapl_jax.data import samples
from mapl_jax.data.samples import Comparison
from mapl_jax.synthesis.corpus import Arguments
from mapl_jax.synthesis.draw import Draw, Item


def instructions(chosen: str, rejected: str, k: int, draw: Draw) -> list[Item]:
    """Instructions of x_o, each kept by both responses or broken by both."""

    both = {kept: draw.sides((chosen, kept), (rejected, kept)) for kept in (False, True)}

    def propose(family: str, _: bool) -> Arguments | None:
        kept = bool(draw.rng.random() < 0.5)
        one = draw.instruction(constraints.family_of(family), both[kept])
        return None if one is None else (one, one)

    return draw.twins(k, propose)[0]


def comparison(prompt: int, k: int) -> Comparison:
    """The comparison of x_o, which has k instructions and this index, with x."""
    gaps = [prompt, prompt, 0, 0], [0, 1, 0, 1], [1, -1, -1, 1]
    return Comparison(**samples.comparison("neutral", *gaps, k=k), tie=True)
