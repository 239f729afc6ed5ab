"""A study's numbers as tables: for a terminal, in Markdown, and as JSON."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from mapl_jax.runtime.console import text_table
from mapl_jax.study.measures import Estimate, Measure

# What the text table and the drawing show; the page has all.
MAIN = (
    "base",
    "intra",
    "inter",
    "intra, new families",
    "inter, new families",
    "raised by kept",
    "raised by broken",
    "moved by kept-by-both",
    "length correlation",
    "prompts kept",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """What is known of an arm under a budget.

    Attributes:
        name: of the arm.
        says: what it is.
        seen: steps, tokens and pairs of a run; empty for what was not trained.
        values: measure -> estimate.
        differences: measure -> estimate of the difference to the arm of base alone.
    """

    name: str
    says: str
    seen: Mapping[str, float]
    values: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]


@dataclasses.dataclass(frozen=True)
class Part:
    """Arms that are compared with one another.

    Attributes:
        title: of the part.
        says: what is the same for all of them.
        measures: all that were taken.
        rows: of the arms.
    """

    title: str
    says: str
    measures: Sequence[Measure]
    rows: Sequence[Row]


def text(part: Part) -> str:
    """The main measures of all arms: mean over seeds with the 95 % interval."""
    shown = [m for m in part.measures if m.name in MAIN]
    cells = [[part.title, *(m.name for m in shown)]]
    for row in part.rows:
        cells.append([row.name, *(cell(row, measure) for measure in shown)])
    return text_table(cells, [part.says, *NOTES])


NOTES = (
    "Means over seeds with 95 % intervals of the bootstrap over held-out samples and seeds; shares",
    "in per cent. + and -: the interval of the difference to base alone is above or below 0.",
)


def cell(row: Row, measure: Measure) -> str:
    """A measure of an arm."""
    found = row.values.get(measure.name)
    if found is None or math.isnan(found.mean):
        return "-"
    scale, form = (100, ".1f") if measure.percent else (1, ".2f")
    value, low, high = (f"{scale * x:{form}}" for x in (found.mean, found.low, found.high))
    return f"{value} [{low}, {high}]{sign(row.differences.get(measure.name)) or ' '}"


def sign(difference: Estimate | None) -> str:
    """Whether a difference is one: "+", "-" or nothing."""
    if difference is None:
        return ""
    return "+" if difference.low > 0 else "-" if difference.high < 0 else ""


def mean(row: Row, measure: Measure) -> float:
    """The mean of a measure over seeds; nan where there is none."""
    found = row.values.get(measure.name)
    return math.nan if found is None else found.mean


def markdown(parts: Sequence[Part], facts: Sequence[str]) -> str:
    """Everything that `text` shows, as Markdown."""
    lines = [*facts, ""]
    for part in parts:
        shown = [m for m in part.measures if m.name in MAIN]
        lines += [f"## {part.title}", "", f"{part.says}", ""]
        lines.append("| arm | " + " | ".join(m.name for m in shown) + " |")
        lines.append("|---" * (len(shown) + 1) + "|")
        for row in part.rows:
            cells = " | ".join(cell(row, measure).strip() for measure in shown)
            lines.append(f"| {row.name} | {cells} |")
        lines.append("")
    return "\n".join([*lines, " ".join(NOTES), ""])


def record(parts: Sequence[Part]) -> list[dict[str, object]]:
    """Everything as plain JSON; null where there is nothing to measure."""

    def plain(found: Mapping[str, Estimate]) -> dict[str, object]:
        return {
            name: {
                field: None if isinstance(value, float) and math.isnan(value) else value
                for field, value in dataclasses.asdict(estimate).items()
            }
            for name, estimate in found.items()
            if not math.isnan(estimate.mean)
        }

    return [
        {
            "title": part.title,
            "says": part.says,
            "rows": [
                {
                    "arm": row.name,
                    "says": row.says,
                    **dict(row.seen),
                    "measures": plain(row.values),
                    "differences": plain(row.differences),
                }
                for row in part.rows
            ],
        }
        for part in parts
    ]
