"""A study's numbers as tables: for a terminal, in Markdown, and as JSON."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from mapl_jax.losses import LEVELS
from mapl_jax.runtime.console import Table
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
    """What is known of an arm under a budget: estimates by measure, differences to base alone.

    Steps, tokens and pairs that a run has seen are empty for what was not trained.
    """

    name: str
    says: str
    seen: Mapping[str, float]
    values: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]


@dataclasses.dataclass(frozen=True)
class Part:
    """Arms that are compared with one another, and what is the same for all of them."""

    title: str
    says: str
    measures: Sequence[Measure]
    rows: Sequence[Row]


def text(part: Part) -> str:
    """The main measures of all arms: mean over seeds with the 95 % interval."""
    head, *rows = main_table(part)
    return str(Table([[part.title, *head[1:]], *rows], [part.says, *NOTES]))


def conclusions(part: Part) -> list[str]:
    """A sentence an arm: in which accuracies it differs from base alone, and in which not."""
    lines = []
    for row in part.rows:
        differs: list[str] = []
        alike: list[str] = []
        for measure in part.measures:
            difference = row.differences.get(measure.name)
            if measure.name.split(",")[0] not in LEVELS or measure.name not in MAIN:
                continue
            if difference is None or math.isnan(difference.mean):
                continue
            line = f"{measure.name} {difference.text(100, '+.1f')}"
            (differs if sign(difference) else alike).append(line)
        if differs or alike:
            parts = [", ".join(differs) + " points"] if differs else []
            parts += ["no difference shown in " + ", ".join(alike)] if alike else []
            lines.append(f"{row.name} against base alone: {'; '.join(parts)}.")
    return lines


def main_table(part: Part) -> list[list[str]]:
    """A head and a row an arm, of the main measures."""
    shown = [m for m in part.measures if m.name in MAIN]
    cells = [[row.name, *(cell(row, measure) for measure in shown)] for row in part.rows]
    return [["arm", *(m.name for m in shown)], *cells]


NOTES = (
    "Means over seeds with 95 % intervals of the bootstrap over held-out samples and seeds; shares",
    "in per cent. + and -: the interval of the difference to base alone is above or below 0.",
)


def cell(row: Row, measure: Measure) -> str:
    """A measure of an arm."""
    estimate = row.values.get(measure.name)
    if estimate is None or math.isnan(estimate.mean):
        return "-"
    text = estimate.text(*((100, ".1f") if measure.percent else (1, ".2f")))
    return text + (sign(row.differences.get(measure.name)) or " ")


def sign(difference: Estimate | None) -> str:
    """Whether a difference is one: "+", "-" or nothing."""
    if difference is None:
        return ""
    return "+" if difference.low > 0 else "-" if difference.high < 0 else ""


def mean(row: Row, measure: Measure) -> float:
    """The mean of a measure over seeds; nan where there is none."""
    estimate = row.values.get(measure.name)
    return math.nan if estimate is None else estimate.mean


def markdown(parts: Sequence[Part], facts: Sequence[str]) -> str:
    """Everything that `text` shows, as Markdown."""
    lines = [*facts, ""]
    for part in parts:
        head, *rows = main_table(part)
        lines += [f"## {part.title}", "", f"{part.says}", ""]
        lines.append("| " + " | ".join(head) + " |")
        lines.append("|---" * len(head) + "|")
        lines += ["| " + " | ".join(map(str.strip, row)) + " |" for row in rows]
        lines.append("")
    return "\n".join([*lines, " ".join(NOTES), ""])


def record(parts: Sequence[Part]) -> list[dict[str, object]]:
    """Everything as plain JSON; null where there is nothing to measure."""

    def plain(estimates: Mapping[str, Estimate]) -> dict[str, object]:
        return {
            name: {
                field: None if isinstance(value, float) and math.isnan(value) else value
                for field, value in dataclasses.asdict(estimate).items()
            }
            for name, estimate in estimates.items()
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
