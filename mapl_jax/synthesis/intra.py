"""Intra-sample comparisons: one response, two prompts of which the first fits it better.

Both prompts hold the same families with different arguments (arXiv 2505.12845). Two cases:

    c1   y keeps all instructions of x_w and breaks at least one of x_l
    c2   y breaks all instructions of x_l and keeps at least one of x_w

With the pair's other response as the contrast, all of x_w (c1) or of x_l (c2) describe one
response, and the other prompt may describe a mixture. Each case comes up half of the time, so that
a prompt that agrees with itself is as often the better as the worse one.
"""

import dataclasses

from mapl_jax import constraints
from mapl_jax.data import samples
from mapl_jax.data.samples import Comparison
from mapl_jax.synthesis import inter
from mapl_jax.synthesis.corpus import Arguments
from mapl_jax.synthesis.draw import BrokenPromise, Draw, Twins


def instructions(response: str, partner: str, k: int, draw: Draw) -> Twins:
    """Instructions of x_w and x_l for one response.

    Args:
        response: the response that x_w must fit better.
        partner: the pair's other response.
        k: how many instructions to aim for.
    """
    rng = draw.rng
    all_kept = bool(rng.random() < 0.5)
    fine = dataclasses.replace(draw, strictness=constraints.STRICT)
    own, other = inter.sides(response, partner, draw)

    def contrast(family: str, sides: constraints.Sides) -> constraints.Asked | None:
        one = fine.instruction(constraints.family_of(family), sides)
        (text,) = sides.kept
        if one is not None and one.family.measure(one.params, text) < 0:
            raise BrokenPromise(f"{family} {one.params} was to be kept by: {text.raw}")
        return one

    def propose(family: str, is_first: bool) -> Arguments | None:
        kept = contrast(family, own)
        broken = contrast(family, other) if kept is not None else None
        if kept is None or broken is None:
            return None
        if is_first or rng.random() < 0.5:
            return kept, broken
        # The mixed prompt agrees with the other here, so its arguments are drawn once more.
        if all_kept:
            again = contrast(family, own)
            return (kept, broken) if again is None or again.params == kept.params else (kept, again)
        again = contrast(family, other)
        return (kept, broken) if again is None or again.params == broken.params else (again, broken)

    return draw.twins(k, propose)


def comparison(better: int, worse: int, response: int, k: int) -> Comparison:
    """r(x_w, y) - r(x_l, y).

    Args:
        better: index of prompt x_w.
        worse: index of prompt x_l.
        response: index of y.
        k: number of instructions of either prompt.
    """
    return samples.comparison("intra", [better, worse], [response, response], [1, -1], k=k)
