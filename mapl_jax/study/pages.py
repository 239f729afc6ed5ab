"""A study's page and its drawings."""

import html
import math
import os
from collections.abc import Sequence

from mapl_jax.evaluation.statistics import percent
from mapl_jax.losses import LEVELS
from mapl_jax.reports import charts
from mapl_jax.reports.pages import drawing_style, write_page
from mapl_jax.runtime.files import write_text
from mapl_jax.study.measures import Measure
from mapl_jax.study.tables import MAIN, NOTES, Part, Row, cell, conclusions, main_table, mean

_BETTER = {"high": "higher is better", "low": "lower is better", "": "neither is better"}
_SEEN = ("steps", "tokens", "pairs")


def write_html(
    path: str | os.PathLike[str],
    title: str,
    parts: Sequence[Part],
    facts: Sequence[str],
    commands: Sequence[str],
    settings: str,
) -> None:
    """Writes the page, whole or not at all."""
    shown = []
    for part in parts:
        arms = [
            [row.name, row.says, *(f"{row.seen[key]:,.0f}" if row.seen else "-" for key in _SEEN)]
            for row in part.rows
        ]
        shown.append(
            {
                "title": part.title,
                "says": part.says,
                "conclusions": conclusions(part),
                "table": main_table(part),
                "drawing": _svg(part),
                "arms": [["arm", "what it is", *_SEEN], *arms],
                "measures": [
                    (measure.name, f"{measure.says}; {_BETTER[measure.better]}", strips)
                    for measure in part.measures
                    if (strips := _strips(part, measure))
                ],
            }
        )
    write_page(
        path,
        "study.html",
        title=title,
        facts=facts,
        parts=shown,
        commands="\n".join(commands),
        settings=settings,
        notes=" ".join(NOTES),
    )


def _strips(part: Part, measure: Measure) -> list[dict[str, str]]:
    """Texts and a drawing of every arm that has the measure."""
    return [_strip(row, measure) for row in part.rows if not math.isnan(mean(row, measure))]


def _strip(row: Row, measure: Measure) -> dict[str, str]:
    estimate, difference = row.values[measure.name], row.differences.get(measure.name)
    drawing = ""
    if measure.percent:
        note = f"{row.name}: {cell(row, measure)}"
        drawing = charts.track(estimate.mean, estimate.low, estimate.high, _color(measure), note)
    form = (100, "+.1f") if measure.percent else (1, "+.3f")
    return {
        "arm": row.name,
        "mean": _number(estimate.mean, measure),
        "interval": f"[{_number(estimate.low, measure)}, {_number(estimate.high, measure)}]",
        "drawing": drawing,
        "difference": difference.text(*form) if difference else "",
        "seeds": ", ".join(_number(value, measure) for value in estimate.seeds),
    }


def _number(value: float, measure: Measure) -> str:
    return percent(value) if measure.percent else f"{value:.3f}"


def _color(measure: Measure) -> str:
    level = measure.name.split(",")[0]
    return level if level in LEVELS else "fourth"


# The drawing: arms below one another, a panel for each measure.

_ROW, _HEAD, _NAMES, _PANEL, _GAP, _NUMBER = 20, 44, 144, 118, 16, 36


def write_figure(path: str | os.PathLike[str], part: Part) -> None:
    """Draws shares among the main measures of a part; an SVG file of its own."""
    paper = '<rect width="100%" height="100%" style="fill: var(--paper)"/>'
    write_text(path, _svg(part, drawing_style(dark=True) + paper) + "\n")


def _svg(part: Part, first: str = "") -> str:
    """The drawing, with something before what is drawn."""
    shown = [
        m
        for m in part.measures
        if m.name in MAIN and m.percent and any(not math.isnan(mean(r, m)) for r in part.rows)
    ]
    width = _NAMES + len(shown) * (_PANEL + _GAP)
    height = _HEAD + _ROW * len(part.rows) + 12
    panels = []
    for index, row in enumerate(part.rows):
        y = _HEAD + _ROW * index + _ROW / 2
        panels.append(
            f'<text x="{_NAMES - 10}" y="{y + 4}" text-anchor="end">{html.escape(row.name)}</text>'
        )
    for column, measure in enumerate(shown):
        left = _NAMES + column * (_PANEL + _GAP)
        panels.append(_panel(part, measure, left, height))
    label = html.escape(f"{part.title}: " + ", ".join(m.name for m in shown))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" role="img" aria-label="{label}">{first}{"".join(panels)}</svg>'
    )


def _panel(part: Part, measure: Measure, left: float, height: float) -> str:
    values = [
        x
        for row in part.rows
        if (estimate := row.values.get(measure.name)) and not math.isnan(estimate.mean)
        for x in (estimate.low, estimate.high, 0.5)
    ]
    low, high = max(min(values) - 0.02, 0.0), min(max(values) + 0.02, 1.0)

    def at(value: float) -> float:
        return left + _PANEL * (min(max(value, low), high) - low) / (high - low)

    top = _HEAD - 6
    parts = [
        f'<text x="{left}" y="14">{html.escape(measure.name)}</text>',
        f'<line class="axis" x1="{left}" x2="{left + _PANEL}" y1="{top}" y2="{top}"/>',
        f'<line class="chance" x1="{at(0.5):.1f}" x2="{at(0.5):.1f}" y1="{top}" y2="{height}"/>',
    ]
    last = -math.inf
    for tick in charts.ticks(low, high, 3):
        x = at(tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 4}" y2="{top}"/>')
        # Over its own panel, as the next one has numbers of its own; and over no other number.
        x = min(max(x, left + _NUMBER / 2), left + _PANEL - _NUMBER / 2)
        if x - last >= _NUMBER:
            last = x
            parts.append(
                f'<text class="soft" x="{x:.1f}" y="{top - 6}" text-anchor="middle">'
                f"{100 * tick:g} %</text>"
            )
    for index, row in enumerate(part.rows):
        estimate = row.values.get(measure.name)
        if estimate is None or math.isnan(estimate.mean):
            continue
        y = _HEAD + _ROW * index + _ROW / 2
        parts.append(
            f'<line class="whisker" x1="{at(estimate.low):.1f}" x2="{at(estimate.high):.1f}" '
            f'y1="{y}" y2="{y}"/><circle class="dot {_color(measure)}" '
            f'cx="{at(estimate.mean):.1f}" cy="{y}" r="4.5"/>'
        )
    return "".join(parts)
