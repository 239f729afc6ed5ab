"""A study's numbers for people: a table as text, a page, and a drawing."""

import dataclasses
import html
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mapl_jax.reports import charts
from mapl_jax.reports.pages import COLOR_STYLE, DRAWING_STYLE, LIGHT, section, tag, write_page
from mapl_jax.runtime.console import text_table
from mapl_jax.runtime.files import write_text
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
_COLORS = {"base": "base", "intra": "intra", "inter": "inter"}


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


def write_html(
    path: str | os.PathLike[str],
    title: str,
    parts: Sequence[Part],
    facts: Sequence[str],
    commands: Sequence[str],
    settings: str,
) -> None:
    """Writes the page, whole or not at all."""
    body = [tag("h1", title), *(tag("p", fact) for fact in facts)]
    for part in parts:
        drawing = _svg(part)
        inside = [tag("p", part.says), f'<div class="wide">{drawing}</div>', _arms(part)]
        for measure in part.measures:
            inside.append(_forest(part, measure))
        body.append(section(part.title, inside))
    body.append(section("Commands", [tag("pre", "\n".join(commands))]))
    body.append(section("Settings", [tag("pre", settings)]))
    body.append(tag("p", " ".join(NOTES), "small"))
    write_page(path, title, body)


def _arms(part: Part) -> str:
    rows = [
        "<tr>"
        + tag("th", row.name)
        + tag("td", row.says, "wrap")
        + "".join(tag("td", f"{row.seen[key]:,.0f}" if row.seen else "-") for key in _SEEN)
        + "</tr>"
        for row in part.rows
    ]
    head = tag("th", "arm") + tag("th", "what it is", "wrap")
    head += "".join(tag("th", name) for name in _SEEN)
    return (
        f'<div class="wide"><table class="full"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


_SEEN = ("steps", "tokens", "pairs")


def _forest(part: Part, measure: Measure) -> str:
    """A measure of all arms, a strip each."""
    known = [row for row in part.rows if not math.isnan(_mean(row, measure))]
    if not known:
        return ""
    lines = []
    for row in known:
        found = row.values[measure.name]
        difference = row.differences.get(measure.name)
        note = f"{row.name}: {cell(row, measure)}"
        strip = (
            charts.track(found.mean, found.low, found.high, _color(measure), note)
            if measure.percent
            else ""
        )
        each = ", ".join(_number(x, measure) for x in found.seeds)
        lines.append(
            f"<tr>{tag('th', row.name)}<td>{html.escape(_number(found.mean, measure))} "
            f"<small>[{_number(found.low, measure)}, {_number(found.high, measure)}]</small></td>"
            f'<td class="track">{strip}</td>{tag("td", _difference(difference, measure))}'
            f"<td><small>{html.escape(each)}</small></td></tr>"
        )
    head = "".join(
        tag("th", name)
        for name in ("arm", "mean [95 %]", "", "difference to base alone", "each seed")
    )
    better = {"high": "higher is better", "low": "lower is better", "": "neither is better"}
    return (
        tag("h3", measure.name)
        + tag("p", f"{measure.says}; {better[measure.better]}", "small")
        + f'<div class="wide"><table class="forest"><thead><tr>{head}</tr></thead>'
        + f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _mean(row: Row, measure: Measure) -> float:
    found = row.values.get(measure.name)
    return math.nan if found is None else found.mean


def _number(value: float, measure: Measure) -> str:
    return f"{100 * value:.1f} %" if measure.percent else f"{value:.3f}"


def _difference(found: Estimate | None, measure: Measure) -> str:
    if found is None:
        return ""
    scale, form = (100, "+.1f") if measure.percent else (1, "+.3f")
    value, low, high = (f"{scale * x:{form}}" for x in (found.mean, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _color(measure: Measure) -> str:
    return _COLORS.get(measure.name.split(",")[0], "fourth")


# The drawing: arms below one another, a panel for each measure.

_ROW, _HEAD, _NAMES, _PANEL, _GAP, _NUMBER = 20, 44, 144, 118, 16, 36


def write_figure(path: str | os.PathLike[str], part: Part) -> None:
    """Draws shares among the main measures of a part; an SVG file of its own."""
    colors = " ".join(f"--{name}: {color};" for name, color in LIGHT.items())
    style = f"<style>svg {{ {colors} }}\n{COLOR_STYLE}{DRAWING_STYLE}</style>"
    write_text(path, _svg(part, style + '<rect width="100%" height="100%" fill="#fff"/>') + "\n")


def _svg(part: Part, first: str = "") -> str:
    """The drawing, with something before what is drawn."""
    shown = [
        m
        for m in part.measures
        if m.name in MAIN and m.percent and any(not math.isnan(_mean(r, m)) for r in part.rows)
    ]
    width = _NAMES + len(shown) * (_PANEL + _GAP)
    height = _HEAD + _ROW * len(part.rows) + 12
    found = []
    for index, row in enumerate(part.rows):
        y = _HEAD + _ROW * index + _ROW / 2
        found.append(f'<text x="{_NAMES - 10}" y="{y + 4}" text-anchor="end">{_e(row.name)}</text>')
    for column, measure in enumerate(shown):
        left = _NAMES + column * (_PANEL + _GAP)
        found.append(_panel(part, measure, left, height))
    label = _e(f"{part.title}: " + ", ".join(m.name for m in shown))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" role="img" aria-label="{label}">{first}{"".join(found)}</svg>'
    )


def _panel(part: Part, measure: Measure, left: float, height: float) -> str:
    values = [
        x
        for row in part.rows
        if (found := row.values.get(measure.name)) and not math.isnan(found.mean)
        for x in (found.low, found.high, 0.5)
    ]
    low, high = max(min(values) - 0.02, 0.0), min(max(values) + 0.02, 1.0)

    def at(value: float) -> float:
        return left + _PANEL * (min(max(value, low), high) - low) / (high - low)

    top = _HEAD - 6
    parts = [
        f'<text x="{left}" y="14">{_e(measure.name)}</text>',
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
        found = row.values.get(measure.name)
        if found is None or math.isnan(found.mean):
            continue
        y = _HEAD + _ROW * index + _ROW / 2
        parts.append(
            f'<line class="whisker" x1="{at(found.low):.1f}" x2="{at(found.high):.1f}" '
            f'y1="{y}" y2="{y}"/><circle class="dot {_color(measure)}" '
            f'cx="{at(found.mean):.1f}" cy="{y}" r="4.5"/>'
        )
    return "".join(parts)


_e = html.escape


def record(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Everything as plain JSON; null where there is nothing to measure."""

    def plain(found: Mapping[str, Estimate]) -> dict[str, Any]:
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
