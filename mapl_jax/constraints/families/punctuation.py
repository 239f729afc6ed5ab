"""Punctuation marks: used or avoided, counted."""

import re
from collections.abc import Callable, Sequence

from mapl_jax.constraints.amounts import AT_LEAST, LESS_THAN
from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, either
from mapl_jax.constraints.parameters import Params
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
    most: int = 1,
    held_out: bool = False,
    about: tuple[str, ...] = (),
) -> Count:
    """Marks of punctuation; those of code, of addresses and of Markdown are none.

    Of most marks people ask for none or for one. Those that few people ask for are held out.
    """
    return Count(
        f"punctuation:{name}",
        statistic or (lambda text: marks.count(text.marked, characters)),
        least=least,
        most=most,
        quantity=f"character:{characters[0]}",
        readings=(
            lambda text: marks.count(text.raw, characters),
            *(readings or (lambda text: marks.sure(text.marked, characters),)),
        ),
        held_out=held_out,
        about=about,
    )


class _Pairs(Count):
    """Marks that come in pairs: nobody asks for more than to have some, or none."""

    def proposer(self, sides: Sides) -> Proposer:
        """Draws one pair at least, or none."""
        wanted = [(count, True) for count in self.values(sides.kept)]
        wanted += [(count, False) for count in self.values(sides.broken)]
        some: Params = {"number": 2, "relation": AT_LEAST}
        none: Params = {"number": 1, "relation": LESS_THAN}
        return either(
            [
                form
                for form in (some, none)
                if all((self.judge(form, count) >= 0) == it for count, it in wanted)
            ]
        )


FAMILIES: tuple[Family, ...] = (
    Flag(
        "punctuation:no_comma",
        lambda text: marks.count(text.marked, marks.COMMAS) == 0,
        readings=(
            lambda text: marks.count(text.raw, marks.COMMAS) == 0,
            lambda text: marks.sure(text.marked, marks.COMMAS) == 0,
        ),
        beyond_ifeval=False,
        # Readers found that nobody asks for a comma.
        held_out=True,
        plain_demands=Demands(bounds={"character:,": (0, 0)}),
        negated_demands=Demands(bounds={"character:,": (1, float("inf"))}),
    ),
    _mark("question_marks", marks.QUESTION_MARKS),
    _mark("exclamation_marks", marks.EXCLAMATION_MARKS),
    _mark("colons", marks.COLONS, held_out=True),
    _mark(
        "hyphens",
        marks.HYPHENS,
        statistic=lambda text: marks.hyphens(text.marked),
        readings=(
            lambda text: marks.hyphens_in_words(text.marked),
            lambda text: marks.hyphens_and_dashes(text.raw),
        ),
        held_out=True,
    ),
    _mark(
        "apostrophes",
        "'\u2019",
        statistic=lambda text: marks.apostrophes(text.marked),
        readings=(lambda text: text.raw.count("'") + text.raw.count("\u2019"),),
        held_out=True,
        about=("apostrophes",),  # as contractions are
    ),
    _mark(
        "parentheses",
        marks.PARENTHESES,
        readings=(lambda text: len(_PARENTHESIS.findall(text.marked)),),
        held_out=True,
    ),
    _mark("semicolons", marks.SEMICOLONS, held_out=True),
    _Pairs(
        "punctuation:quotation_marks",
        lambda text: marks.count(text.marked, marks.QUOTATION_MARKS),
        readings=(
            lambda text: marks.count(text.raw, marks.QUOTATION_MARKS),
            lambda text: 2 * marks.quotations(text.marked),
        ),
        quantity="quotation marks",
        held_out=True,
    ),
    # Whether there is any comma is asked above.
    _mark("commas", marks.COMMAS, least=2, most=10, held_out=True),
)
