"""Markdown: bullets, highlights, headings, numbered lines, tables, bold text, blocks of code."""

from mapl_jax.constraints.amounts import AT_LEAST
from mapl_jax.constraints.base import Demands, Family
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Number, Params
from mapl_jax.constraints.shapes import Count, Exact, presence
from mapl_jax.constraints.text.statistics import Text


class Table(Family):
    """A Markdown table with a number of columns; as `negated`, none with so many."""

    columns = Number("columns", least=2)
    parameters = (columns, NEGATION)

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = self.columns.of(params) in text.tables
        return 1.0 if found != NEGATION.of(params) else -1.0

    def parts(self, one: Text, other: Text) -> bool:
        """Whether their tables differ in size."""
        return one.tables != other.tables

    def derive(self, kept, broken, rng):
        """Columns of a table that one side has, or a number neither has."""
        columns = sorted({n for text in (*kept, *broken) for n in text.tables}) or [2, 3, 4]
        for form in ({}, NEGATED) if rng.random() < 0.5 else (NEGATED, {}):
            for place in rng.permutation(len(columns)):
                params: Params = {"columns": columns[int(place)], **form}
                if self.fits(params, kept, broken):
                    return params
        return None

    def demands(self, params: Params) -> Demands:
        """Whether there is such a table."""
        return Demands(values={f"table of {self.columns.of(params)}": not NEGATION.of(params)})


FAMILIES: tuple[Family, ...] = (
    Exact(
        "detectable_format:number_bullet_lists",
        lambda text: text.bullets,
        "num_bullets",
        least=0,
        quantity="bullets",
        beyond_ifeval=False,
    ),
    Count(
        "detectable_format:number_highlighted_sections",
        lambda text: text.highlights,
        number_key="num_highlights",
        default_relation=AT_LEAST,
        quantity="highlights",
        beyond_ifeval=False,
    ),
    Count(
        "detectable_format:numbered_steps",
        lambda text: text.steps,
        quantity="numbered lines",
    ),
    Count(
        "detectable_format:headings",
        lambda text: text.headings,
        quantity="headings",
    ),
    Table(
        "detectable_format:table",
    ),
    presence(
        "detectable_format:bold",
        lambda text: text.bold > 0,
        "bold text",
    ),
    presence(
        "detectable_format:code_block",
        lambda text: text.fences > 0,
        "code block",
    ),
)
