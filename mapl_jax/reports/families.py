"""Accuracy by family of instructions."""

import dataclasses
from collections.abc import Mapping, Sequence

from mapl_jax import constraints
from mapl_jax.evaluation.statistics import Summary, percent
from mapl_jax.reports import charts


@dataclasses.dataclass(frozen=True)
class Strip:
    """A cell of a forest: a drawing, the value beside it, and a note."""

    strip: str
    value: str
    note: str


@dataclasses.dataclass(frozen=True)
class Families:
    """Accuracy by family: the levels, for each title rows of (family, a cell a level), and what the
    strips span, in percent."""

    levels: Sequence[str]
    groups: Mapping[str, Sequence[tuple[str, Sequence[Strip | None]]]]
    span: tuple[float, float]


def by_family(after: Summary, summary: Summary) -> Families | None:
    """Accuracy by family, the worst first, trained and held-out families apart."""
    by_level = {
        level: cells
        for level, cells in after.get("by_family", {}).items()
        if any("low" in cell for cell in cells.values())
    }
    if not by_level:
        return None
    trained = _trained_families(summary)

    def order(name: str) -> float:
        cells_of_family = [cells[name] for cells in by_level.values() if name in cells]
        total = sum(cell["count"] for cell in cells_of_family)
        return float(sum(cell["accuracy"] * cell["count"] for cell in cells_of_family) / total)

    names = list(dict.fromkeys(name for cells in by_level.values() for name in cells))
    ends = charts.share_span([c["accuracy"] for cells in by_level.values() for c in cells.values()])
    rows = [
        (name, [_family_cell(level, cells.get(name), ends) for level, cells in by_level.items()])
        for name in sorted(names, key=order)
    ]
    groups = {
        "trained on": [row for row in rows if row[0] in trained],
        "held out: never trained on": [row for row in rows if row[0] not in trained],
    }
    return Families(list(by_level), groups, (100 * ends[0], 100 * ends[1]))


def _family_cell(level: str, cell: Summary | None, ends: charts.Span) -> Strip | None:
    if cell is None:
        return None
    value, count = cell["accuracy"], f"n = {cell['count']:,}"
    low, high = cell.get("low", value), cell.get("high", value)
    note = f"{percent(value)}, 95 % interval {100 * low:.1f} to {100 * high:.1f}, {count}"
    width = ends[1] - ends[0]
    at = [(x - ends[0]) / width for x in (value, low, high, 0.5)]
    return Strip(
        charts.track(at[0], at[1], at[2], level, note, at[3]), f"{100 * value:.0f} %", count
    )


def _trained_families(summary: Summary) -> set[str]:
    """The families in the training data; where that is unknown, all that are not held out."""
    if summary.get("trained_on"):
        return set(summary["trained_on"])
    comparisons = summary.get("train", {}).get("comparisons", {})
    if isinstance(comparisons, Mapping) and comparisons.get("constraint"):
        return set(comparisons["constraint"])
    return set(constraints.ids(held_out=False))
