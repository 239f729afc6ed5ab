"""The report of a run: one HTML file that needs nothing else, no script and no network."""

import base64
import html
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mapl_jax.evaluation import following, preferences
from mapl_jax.evaluation.preferences import LEVELS, Scored
from mapl_jax.pages import details, duration, number, table, tag, write_page

# Okabe and Ito's colors, which people with any color vision can tell apart.
COLORS = {"base": "#0072B2", "intra": "#D55E00", "inter": "#009E73"}
GREY, INK, LINE = "#9a9a9a", "#222222", "#d9d9d9"
CHANCE: dict[str, Any] = {
    "color": "#555555",
    "linewidth": 0.9,
    "linestyle": (0, (4, 3)),
    "zorder": 1,
}

Summary = Mapping[str, Any]


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    command: str,
    summary: Summary,
    before: Summary | None,
    after: Summary,
    scored_before: Any,
    scored_after: Any,
    metrics: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
    device: str,
    evaluation: ModuleType = preferences,
    answers: Sequence[Sequence[following.Answer]] = (),
) -> None:
    """Writes the report, whole or not at all.

    Args:
        path: of the HTML file.
        title: name of the run.
        command: that started it.
        summary: facts of the run (parameters, steps, seconds, counts), and its config.
        before: summary of the evaluation before training; None if there was none.
        after: summary of the evaluation after training, or the only one.
        scored_before: what it scored.
        scored_after: what it scored.
        metrics: lines of metrics.jsonl.
        notes: sentences for the reader.
        device: the machine, in words.
        evaluation: the module of the evaluation, `evaluation.preferences` or `.likelihood`.
        answers: of a policy to the same prompts, before and after training; or none.
    """
    parts = [
        tag("h1", title),
        _facts(summary, command, device),
        tag("h2", "Result"),
        table(evaluation.table_cells(before, after)),
        *(tag("p", line, kind="small") for line in evaluation.FOOTNOTES),
    ]
    pictures = [
        _accuracy_by_level(before, after),
        _learning_curves(metrics, before, after),
        _accuracy_by_k(before, after),
        _margins(scored_before, scored_after) if evaluation is preferences else None,
        _accuracy_by_family(after),
    ]
    if answers:
        parts += _following(summary["eval"]["generation"], *answers)
    parts += [_picture(*picture) for picture in pictures if picture is not None]
    parts.append(_counts(summary))
    if notes:
        parts += [tag("h2", "Notes"), *(tag("p", note) for note in notes)]
    parts.append(tag("h2", "Everything"))
    if "config" in summary:
        parts.append(details("Config", summary["config"]))
    rest = {name: value for name, value in summary.items() if name != "config"}
    parts.append(details("All numbers", rest))
    write_page(path, title, parts)


# Text.


def _facts(summary: Summary, command: str, device: str) -> str:
    facts = [("command", tag("code", command)), ("device", html.escape(device))]
    for name in ("checkpoint", "parameters", "steps"):
        if name in summary:
            facts.append((name, html.escape(number(summary[name]))))
    if "seconds" in summary:
        facts.append(("time", html.escape(duration(float(summary["seconds"])))))
    rows = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="wrap">{value}</td></tr>'
        for name, value in facts
    )
    return f"<table>{rows}</table>"


def _counts(summary: Summary) -> str:
    """What was read, kept, cut and dropped, one column a split."""
    names = {"train": "train", "test": "held out", "data": "count"}
    columns = {
        title: dict(_flat(summary[name]))
        for name, title in names.items()
        if isinstance(summary.get(name), Mapping)
    }
    labels = list(dict.fromkeys(label for column in columns.values() for label in column))
    if not labels:
        return ""
    rows = [
        [label, *(number(column[label]) if label in column else "" for column in columns.values())]
        for label in labels
    ]
    return tag("h2", "Data") + table([["", *columns], *rows])


def _flat(counts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in counts.items():
        # By constraint there are dozens; the pictures and "All numbers" have them.
        if name in ("constraint", "kept_by"):
            continue
        if isinstance(value, Mapping):
            inside = prefix if name == "encoding" else f"{prefix}{_words(name)}: "
            yield from _flat(value, inside)
        else:
            yield f"{prefix}{_words(name)}", value


def _words(name: str) -> str:
    return str(name).replace("_", " ")


KEPT, BROKEN = '<b class="yes" title="kept">✓</b>', '<b class="no" title="broken">✗</b>'
EXAMPLES = 12


def _following(
    summary: Summary, before: Sequence[following.Answer], after: Sequence[following.Answer]
) -> list[str]:
    """Instructions kept in responses of the policy's own, and the first of these responses."""
    count = min(EXAMPLES, len(before))
    return [
        tag("h2", "Instructions kept in its own responses"),
        table(following.table_cells(summary)),
        *(tag("p", line, kind="small") for line in following.FOOTNOTES),
        tag("h2", "Responses before and after"),
        tag("p", f"The first {count} of {len(before)} held-out prompts, none left out.", "small"),
        *map(_side_by_side, before[:count], after[:count]),
    ]


def _side_by_side(before: following.Answer, after: following.Answer) -> str:
    question = str(before.probe.messages[-1]["content"])
    rows = "".join(
        f"<tr><td>{KEPT if old else BROKEN}</td><td>{KEPT if new else BROKEN}</td>"
        f'<td class="wrap">{html.escape(str(asked["text"]))}</td></tr>'
        for asked, old, new in zip(before.probe.constraints, before.kept, after.kept, strict=True)
    )
    sides = "".join(
        f"<div>{tag('h3', title)}{tag('pre', side.response + ('' if side.ended else ' …'))}</div>"
        for title, side in (("before", before), ("after", after))
    )
    return (
        f'<section class="card">{tag("h3", "prompt")}{tag("pre", question)}'
        f'<div class="sides">{sides}</div><table class="marks"><thead><tr><th>before</th>'
        f"<th>after</th><th>instruction</th></tr></thead><tbody>{rows}</tbody></table></section>"
    )


# Pictures: each is a title, a sentence on how to read it, and a figure.

Picture = tuple[str, str, Figure]


def _picture(title: str, caption: str, figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=170, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f"{tag('h2', title)}<figure>"
        f'<img alt="{html.escape(f"{title}. {caption}")}" src="data:image/png;base64,{data}">'
        f"{tag('figcaption', caption)}</figure>"
    )


def _figure(height: float) -> Figure:
    return Figure(figsize=(8.6, height), layout="constrained", facecolor="white")


def _style(axes: Axes, *, grid: Literal["x", "y"] = "y") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(axis=grid, color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def _as_percent(axes: Axes, *, horizontal: bool = False) -> None:
    side = axes.xaxis if horizontal else axes.yaxis
    side.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    (axes.set_xlim if horizontal else axes.set_ylim)(0, 1.0)
    (axes.axvline if horizontal else axes.axhline)(0.5, **CHANCE)


def _levels(summary: Summary) -> list[str]:
    return [level for level in LEVELS if f"{level}_accuracy" in summary]


def _accuracy_by_level(before: Summary | None, after: Summary) -> Picture | None:
    levels = _levels(after)
    if not levels:
        return None
    figure = _figure(3.3)
    axes = figure.subplots()
    _style(axes)
    width = 0.3
    middle = 0.0 if before is None else width / 2 + 0.01
    for x, level in enumerate(levels):
        value = after[f"{level}_accuracy"]
        top = value
        axes.bar(x + middle, value, width, color=COLORS[level])
        if f"{level}_accuracy_low" in after:
            low, high = (after[f"{level}_accuracy_{end}"] for end in ("low", "high"))
            axes.vlines(x + middle, low, high, color=INK, linewidth=1.4)
            top = max(value, high)
        _label(axes, x + middle, top, value)
        if before is not None and f"{level}_accuracy" in before:
            value = before[f"{level}_accuracy"]
            axes.bar(x - middle, value, width, color=_pale(level, 0.35))
            _label(axes, x - middle, value, value)
        length = after[f"{level}_length_accuracy"]
        axes.plot(
            x + middle + width / 2 + 0.07, length, "D", color=INK, markersize=6, clip_on=False
        )
    _as_percent(axes)
    axes.set_ylim(0, 1.08)
    axes.set_yticks(np.arange(0, 1.01, 0.25))
    axes.set_xticks(
        range(len(levels)), [f"{level}\nn = {after[f'{level}_count']:,}" for level in levels]
    )
    # One level gets no fatter bars than three.
    room = (len(LEVELS) - len(levels)) / 2
    axes.set_xlim(-0.6 - room, len(levels) - 0.4 + room)
    handles = [Line2D([], [], marker="D", linestyle="", color=INK, label="longer wins")]
    handles.append(Line2D([], [], **CHANCE, label="chance"))
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    pale = "Pale bars are before training, full bars after" if before else "Bars are accuracies"
    caption = (
        f"{pale}, with the 95 % interval as a line; a diamond well below its bar means that the "
        "model does more than prefer what is longer."
    )
    return "Accuracy by level", caption, figure


def _label(axes: Axes, x: float, y: float, value: float) -> None:
    axes.annotate(
        f"{100 * value:.1f}",
        (x, y),
        (0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        zorder=5,
    )


def _pale(level: str, strength: float) -> tuple[float, ...]:
    """The color of a level on white paper, opaque, so that no grid shines through."""
    return tuple(1 - strength * (1 - part) for part in to_rgb(COLORS[level]))


def _learning_curves(
    metrics: Sequence[Mapping[str, Any]], before: Summary | None, after: Summary
) -> Picture | None:
    lines = {
        split: [line for line in metrics if line.get("split") == split]
        for split in ("train", "eval")
    }
    if not lines["train"] and not lines["eval"]:
        return None
    last = max(int(line["step"]) for split in lines.values() for line in split)
    ends = [{"step": 0, **before}] if before is not None else []
    held_out = [*ends, *lines["eval"], {"step": last, **after}]
    levels = [
        level
        for level in LEVELS
        if any(f"{level}_loss" in line for line in (*lines["train"], *held_out))
    ]
    if not levels:
        return _loss_curve(lines["train"], held_out)
    figure = _figure(3.3)
    left, right = figure.subplots(1, 2)
    for axes, name in ((left, "loss"), (right, "accuracy")):
        _style(axes)
        for level in levels:
            _curve(axes, lines["train"], f"{level}_{name}", COLORS[level], held_out=False)
            _curve(axes, held_out, f"{level}_{name}", COLORS[level], held_out=True)
        axes.set_xlabel("step", fontsize=9)
        axes.set_title(name, fontsize=10, loc="left", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    left.axhline(math.log(2), **CHANCE)
    left.set_ylim(bottom=0)
    _as_percent(right)
    handles = [Line2D([], [], color=COLORS[level], label=level) for level in levels]
    handles += [
        Line2D([], [], color=GREY, marker="o", markersize=5, linestyle=":", label="held out"),
        Line2D([], [], **CHANCE, label="no knowledge"),
    ]
    figure.legend(
        handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=9
    )
    caption = (
        "Thin lines are training batches, thick ones their moving average; dots are held-out "
        "comparisons (all of them at both ends, perhaps a part in between), and a dot far on the "
        "worse side of its line means overfitting."
    )
    return "Learning curves", caption, figure


def _loss_curve(
    train: Sequence[Mapping[str, Any]], held_out: Sequence[Mapping[str, Any]]
) -> Picture:
    figure = _figure(3.3)
    axes = figure.subplots()
    _style(axes)
    _curve(axes, train, "loss", INK, held_out=False)
    _curve(axes, held_out, "loss", INK, held_out=True)
    axes.set_xlabel("step", fontsize=9)
    axes.set_title("loss per token", fontsize=10, loc="left", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    caption = (
        "The thin line is training batches, the thick one their moving average; dots are held-out "
        "responses (all of them at both ends, perhaps a part in between)."
    )
    return "Learning curve", caption, figure


def _curve(
    axes: Axes,
    lines: Sequence[Mapping[str, Any]],
    name: str,
    color: str,
    *,
    held_out: bool,
) -> None:
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    if not points:
        return
    steps, values = np.asarray(points, np.float64).T
    if held_out:
        axes.plot(
            steps, values, "o:", color=color, markersize=5, linewidth=1, zorder=4, clip_on=False
        )
        return
    axes.plot(steps, values, color=color, linewidth=0.6, alpha=0.35, zorder=2)
    width = min(len(values), max(1, len(values) // 12))
    # A window that shrinks at the ends, so that both ends are shown.
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - width, 0)
    final = np.minimum(np.arange(len(values)) + width + 1, len(values))
    average = (sums[final] - sums[first]) / (final - first)
    axes.plot(steps, average, color=color, linewidth=1.8, zorder=3)


def _accuracy_by_k(before: Summary | None, after: Summary) -> Picture | None:
    found = {level: cells for level, cells in after.get("by_k", {}).items() if level != "base"}
    found = {level: cells for level, cells in found.items() if cells}
    if not found:
        return None
    ks = sorted({int(k) for cells in found.values() for k in cells})
    figure = _figure(3.0)
    axes = figure.subplots()
    _style(axes)
    for i, (level, cells) in enumerate(found.items()):
        shift = 0.06 * (i - (len(found) - 1) / 2)
        known = [k for k in ks if str(k) in cells]
        axes.plot(
            [k + shift for k in known],
            [cells[str(k)]["accuracy"] for k in known],
            "o-",
            color=COLORS[level],
            label=level if before is None else f"{level}, after",
            clip_on=False,
            zorder=4,
        )
        old = (before or {}).get("by_k", {}).get(level, {})
        known = [k for k in ks if str(k) in old]
        if known:
            axes.plot(
                [k + shift for k in known],
                [old[str(k)]["accuracy"] for k in known],
                "o:",
                color=COLORS[level],
                markerfacecolor="white",
                label=f"{level}, before",
                clip_on=False,
                zorder=3,
            )
    counts = {k: sum(cells.get(str(k), {}).get("count", 0) for cells in found.values()) for k in ks}
    axes.set_xticks(ks, [f"{k}\nn = {counts[k]:,}" for k in ks])
    axes.set_xlim(min(ks) - 0.4, max(ks) + 0.4)
    axes.set_xlabel("instructions added to the prompt", fontsize=9)
    _as_percent(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    caption = (
        "Each point is the accuracy of the comparisons with that many instructions; the dashed "
        "line is chance."
    )
    return "Accuracy by number of instructions", caption, figure


def _accuracy_by_family(after: Summary) -> Picture | None:
    found = {level: cells for level, cells in after.get("by_family", {}).items() if cells}
    if not found:
        return None

    def mean(name: str) -> float:
        cells = [cells[name] for cells in found.values() if name in cells]
        total = sum(cell["count"] for cell in cells)
        return sum(cell["accuracy"] * cell["count"] for cell in cells) / total

    names = sorted({name for cells in found.values() for name in cells}, key=lambda n: (mean(n), n))
    figure = _figure(0.9 + 0.36 * len(names))
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (level, cells) in zip(panels, found.items(), strict=True):
        _style(axes, grid="x")
        for y, name in enumerate(names):
            if name not in cells:
                continue
            cell = cells[name]
            axes.barh(y, cell["accuracy"], 0.64, color=_pale(level, 0.6))
            if "low" in cell:
                axes.hlines(y, cell["low"], cell["high"], color=INK, linewidth=1.1)
            axes.text(1.03, y, f"{cell['count']:,}", va="center", fontsize=8, color=INK)
        axes.text(1.03, len(names) - 0.4, "n", va="bottom", fontsize=8, color=INK)
        axes.set_title(level, fontsize=10, loc="left", color=INK)
        axes.set_yticks(range(len(names)), [_plain_text(name) for name in names])
        axes.tick_params(axis="y", length=0, labelsize=8.5)
        axes.set_ylim(-0.6, len(names) - 0.4)
        _as_percent(axes, horizontal=True)
        axes.set_xticks(np.arange(0, 1.01, 0.25))
    caption = (
        "Each bar is the accuracy of the comparisons that hold an instruction of the family, with "
        "its 95 % interval and their number; with few comparisons the interval says more than "
        "the bar."
    )
    return "Accuracy by constraint family", caption, figure


def _plain_text(name: str) -> str:
    """A name that matplotlib does not read as a formula, short enough for an axis."""
    name = name if len(name) <= 48 else f"{name[:47]}…"
    return name.replace("$", r"\$")


def _margins(before: Scored | None, after: Scored) -> Picture | None:
    kinds = np.asarray(after.level, dtype=str)
    levels = [level for level in LEVELS if (kinds == level).any()]
    if not levels:
        return None
    sides = [("after", after)] if before is None else [("before", before), ("after", after)]
    figure = _figure(0.9 + 1.75 * len(sides))
    panels = figure.subplots(len(sides), len(levels), sharex="col", squeeze=False)
    for column, level in enumerate(levels):
        values = {
            side: scored.margin[np.asarray(scored.level, dtype=str) == level]
            for side, scored in sides
        }
        edges = _edges(np.concatenate(list(values.values())))
        for row, (side, _) in enumerate(sides):
            axes = panels[row, column]
            _style(axes)
            color = COLORS[level] if side == "after" else _pale(level, 0.5)
            axes.hist(values[side], edges, color=color)
            axes.axvline(0, color=INK, linewidth=1)
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            title = level if before is None else f"{level}, {side}"
            axes.set_title(title, fontsize=10, loc="left", color=INK)
        panels[-1, column].set_xlabel("margin", fontsize=9)
    panels[0, 0].set_ylabel("comparisons", fontsize=9)
    caption = (
        "What lies to the right of the line at 0 is right; the further out, the surer the model "
        "is, also where it is wrong."
    )
    return "Margins", caption, figure


def _edges(values: np.ndarray, bins: int = 40) -> np.ndarray:
    """Edges of equal bins, one of them at 0, so that no bin holds both right and wrong."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    width = (high - low) / bins or 1.0
    return width * np.arange(math.floor(low / width) - 1, math.ceil(high / width) + 2)
