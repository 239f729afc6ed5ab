"""Punctuation marks: used or avoided, counted."""

import re
from collections.abc import Callable, Sequence

from mapl_jax.constraints.amounts import AT_LEAST
from mapl_jax.constraints.base import Demands, Family
from mapl_jax.constraints.shapes import Count, Flag
from mapl_jax.constraints.text import marks
from mapl_jax.constraints.text.statistics import Text

_PARENTHESIS = re.compile(r"(?<![:;=-])\((?=[^()]*\))")


def _mark(
    name: str,
    characters: str,
    *,
    statistic: Callable[[Text], int] | None = None,
    readings: Sequence[Callable[[Text], int]] = (),
    least: int = 1,
    held_out: bool = False,
) -> Count:
    """Marks of punctuation; those of code, of addresses and of Markdown are none."""
    return Count(
        f"punctuation:{name}",
        statistic or (lambda text: marks.count(text.marked, characters)),
        least=least,
        quantity=f"character:{characters[0]}",
        readings=(
            lambda text: marks.count(text.raw, characters),
            *(readings or (lambda text: marks.sure(text.marked, characters),)),
        ),
        held_out=held_out,
    )


class _Pairs(Count):
    """Marks that come in pairs: nobody asks for one, or for an odd number of them."""

    def derive(self, kept, broken, rng):
        """A threshold that an even number keeps and the next one breaks, or none at all."""
        params = super().derive(kept, broken, rng)
        if params is None:
            return None
        number = self.threshold.number.of(params)
        odd = number % 2 == 1
        if self.threshold.relation.of(params) == AT_LEAST:
            return {**params, self.threshold.number.name: number + odd}
        return {**params, self.threshold.number.name: number + (not odd)}


FAMILIES: tuple[Family, ...] = (
    Flag(
        "punctuation:no_comma",
        lambda text: marks.count(text.marked, marks.COMMAS) == 0,
        readings=(
            lambda text: marks.count(text.raw, marks.COMMAS) == 0,
            lambda text: marks.sure(text.marked, marks.COMMAS) == 0,
        ),
        beyond_ifeval=False,
        plain_demands=Demands(bounds={"character:,": (0, 0)}),
        negated_demands=Demands(bounds={"character:,": (1, float("inf"))}),
    ),
    _mark("question_marks", marks.QUESTION_MARKS),
    _mark("exclamation_marks", marks.EXCLAMATION_MARKS),
    _mark("colons", marks.COLONS),
    _mark(
        "hyphens",
        marks.HYPHENS,
        statistic=lambda text: marks.hyphens(text.marked),
        readings=(
            lambda text: marks.hyphens_in_words(text.marked),
            lambda text: marks.hyphens_and_dashes(text.raw),
        ),
    ),
    _mark(
        "apostrophes",
        "'\u2019",
        statistic=lambda text: marks.apostrophes(text.marked),
        readings=(lambda text: text.raw.count("'") + text.raw.count("\u2019"),),
    ),
    _mark(
        "parentheses",
        marks.PARENTHESES,
        readings=(lambda text: len(_PARENTHESIS.findall(text.marked)),),
        held_out=True,
    ),
    _mark("semicolons", marks.SEMICOLONS),
    _Pairs(
        "punctuation:quotation_marks",
        lambda text: marks.count(text.marked, marks.QUOTATION_MARKS),
        readings=(lambda text: marks.count(text.raw, marks.QUOTATION_MARKS),),
        quantity="quotation marks",
    ),
    # Whether there is any comma is asked above.
    _mark("commas", marks.COMMAS, least=2),
)
