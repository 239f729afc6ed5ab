"""Markdown: bullets, highlights, headings, numbered lines, tables, bold text, blocks of code."""

import re

import numpy as np

from mapl_jax.constraints.amounts import AT_LEAST
from mapl_jax.constraints.base import Demands, Family, Proposer, Sides
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Number, Params
from mapl_jax.constraints.shapes import Count, Exact, presence
from mapl_jax.constraints.text import markdown, marks
from mapl_jax.constraints.text.statistics import Text


class Table(Family):
    """A Markdown table with a number of columns; as `negated`, none with so many."""

    columns = Number("columns", least=2)
    parameters = (columns, NEGATION)

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = self.columns.of(params) in _tables(text)
        return 1.0 if found != NEGATION.of(params) else -1.0

    def parts(self, one: Text, other: Text) -> bool:
        """Whether their tables differ in size."""
        return _tables(one) != _tables(other)

    def proposer(self, sides: Sides) -> Proposer:
        """Draws columns of a table that one side has, or a number neither has."""
        texts = (*sides.kept, *sides.broken)
        columns = sorted({n for text in texts for n in _tables(text)}) or [2, 3, 4]

        def propose(rng: np.random.Generator) -> Params | None:
            for form in ({}, NEGATED) if rng.random() < 0.5 else (NEGATED, {}):
                for place in rng.permutation(len(columns)):
                    params: Params = {"columns": columns[int(place)], **form}
                    if self.fits(params, sides.kept, sides.broken):
                        return params
            return None

        return propose

    def demands(self, params: Params) -> Demands:
        """Whether there is such a table."""
        return Demands(values={f"table of {self.columns.of(params)}": not NEGATION.of(params)})


_BULLET_OF_ANY_KIND = re.compile(r"^[^\S\n]*(?:[*+-][^\S\n]|[•‣◦▪●○■–—])(?=[^\S\n]*\S)", re.M)


def _tables(text: Text) -> frozenset[int]:
    """Numbers of columns of the tables outside of code."""
    if "|" not in text.raw:
        return frozenset()
    return marks.tables([line for line in map(str.strip, text.visible.split("\n")) if line])


FAMILIES: tuple[Family, ...] = (
    Exact(
        "detectable_format:number_bullet_lists",
        lambda text: text.kinds(markdown.BULLET),
        "num_bullets",
        readings=(lambda text: len(_BULLET_OF_ANY_KIND.findall(text.raw)),),
        least=0,
        quantity="bullets",
        beyond_ifeval=False,
    ),
    Count(
        "detectable_format:number_highlighted_sections",
        lambda text: marks.highlights(text.visible),
        readings=(lambda text: marks.highlights(text.raw),),
        number_key="num_highlights",
        default_relation=AT_LEAST,
        quantity="highlights",
        beyond_ifeval=False,
    ),
    Count(
        "detectable_format:numbered_steps",
        lambda text: text.kinds(markdown.NUMBERED),
        quantity="numbered lines",
    ),
    Count(
        "detectable_format:headings", lambda text: text.kinds(markdown.HEADING), quantity="headings"
    ),
    Table("detectable_format:table"),
    presence("detectable_format:bold", lambda text: marks.bold(text.visible) > 0, "bold text"),
    presence(
        "detectable_format:code_block", lambda text: text.kinds(markdown.FENCE) > 0, "code block"
    ),
)
