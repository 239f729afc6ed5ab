"""Runs side by side: the cells of a table, and a page."""

import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mapl_jax.evaluation import likelihood
from mapl_jax.evaluation.compare import (
    Answered,
    Found,
    Run,
    _answers,
    _difference,
    _kind,
    _names,
    _shown_differences,
    disagreements,
    footnotes,
    read,
    table_cells,
)
from mapl_jax.evaluation.preferences import percent
from mapl_jax.losses import LEVELS
from mapl_jax.reports import charts, figures
from mapl_jax.reports.pages import breakable, contents, number, section, table, tag, write_page
from mapl_jax.runtime.console import text_table
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import check_target


def compare(
    folders: Sequence[str], output: str | os.PathLike[str], *, seed: int = 0, resamples: int = 1000
) -> str:
    """Reads runs, writes compare.html, and gives the table as text.

    Args:
        folders: of at least two runs; all others are compared with the first.
        output: of the page.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        UserError: a folder holds no finished run, or runs cannot be compared.
    """
    if len(folders) < 2:
        raise UserError("--compare takes two run folders or more: --compare runs/a runs/b")
    target = check_target(output)
    names = _names(folders)
    runs = [read(folder, name) for folder, name in zip(folders, names, strict=True)]
    kinds = {run.evaluation for run in runs}
    if len(kinds) > 1:
        listed = "; ".join(f"{run.name}: {_kind(run.evaluation)}" for run in runs)
        raise UserError(f"these runs measure different things ({listed}); compare runs of one kind")
    first = runs[0]
    found = [_shown_differences(first, other, seed, resamples) for other in runs[1:]]
    answered = [
        _answers(first, other, seed, resamples) if first.answers and other.answers else None
        for other in runs[1:]
    ]
    write(target, runs, found, answered)
    cells = table_cells(runs, found, answered)
    return text_table(cells, footnotes(runs, found))


COLORS = ("base", "intra", "inter", "fourth", "soft")


def write(
    path: str | os.PathLike[str],
    runs: Sequence[Run],
    found: Sequence[Found],
    answered: Sequence[Answered],
) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the HTML file.
        runs: at least two.
        found: differences of each but the first to the first.
        answered: of each but the first: `following.summarize` of the first's answers and its own.
    """
    title = " / ".join(run.name for run in runs)
    sections = [
        ("Differences", _forest(runs, found)),
        ("Curves", _curves(runs)),
        ("Families", _families(runs, found)),
        ("Config", _configs(runs)),
        ("Runs", _commands(runs)),
    ]
    sections = [(name, parts) for name, parts in sections if parts]
    parts = [
        tag("h1", title),
        tag("p", "Runs side by side; differences are to the first.", "meta"),
        contents([name for name, _ in sections]),
        _sentences(runs, found, answered),
        table(table_cells(runs, found, answered)),
        *(tag("p", line, "small") for line in footnotes(runs, found)),
        *(section(*some) for some in sections),
    ]
    write_page(path, title, parts)


def _sentences(runs: Sequence[Run], found: Sequence[Found], answered: Sequence[Answered]) -> str:
    """What the differences say."""
    first, *others = runs
    lines = []
    for run, some, kept in zip(others, found, answered, strict=True):
        for (level, name), x in some.items():
            if name != ("loss" if first.evaluation is likelihood else "accuracy"):
                continue
            better = (x.value < 0) == (name == "loss")
            if not x.clear:
                news, text = (
                    "",
                    f"no clear difference of {name} between {run.name} and {first.name}",
                )
            else:
                news = "yes" if better else "no"
                text = f"{run.name} is {'better' if better else 'worse'} than {first.name}"
            text = f"{level}: {text}: {_difference(x, name == 'accuracy').removesuffix(' *')}"
            if x.paired and level in LEVELS:
                counts = disagreements(first.scored, run.scored, level)
                if counts is not None:
                    text += (
                        f"; only {first.name} is right {counts[0]:,} times, "
                        f"only {run.name} {counts[1]:,}"
                    )
            lines.append((news, f"{text}."))
        if kept is not None:
            low, high = (kept.get(f"instruction_difference_{end}", 0.0) for end in ("low", "high"))
            news = "yes" if low > 0 else "no" if high < 0 else ""
            lines.append(
                (
                    news,
                    f"Instructions kept in its own responses: {first.name} "
                    f"{percent(kept['instruction_before'])}, {run.name} "
                    f"{percent(kept['instruction_after'])} (difference {100 * low:+.1f} to "
                    f"{100 * high:+.1f} points).",
                )
            )
    marks = {"yes": "✓", "no": "✗", "": "·"}
    items = "".join(
        f'<li><b class="{news or "note"}">{marks[news]}</b>{html.escape(text)}</li>'
        for news, text in lines
    )
    return f'<ul class="findings">{items}</ul>'


def _forest(runs: Sequence[Run], found: Sequence[Found]) -> list[str]:
    """Differences of accuracy by level and by number of instructions."""
    if runs[0].evaluation is likelihood:
        return []
    keys = [
        key
        for level in LEVELS
        for key in dict.fromkeys(key for some in found for key in some)
        if key[0] == level and (key[1] == "accuracy" or key[1].startswith("k:"))
    ]
    names = {
        key: key[0]
        if key[1] == "accuracy"
        else f"{key[0]}, {key[1].removeprefix('k:')} instructions"
        for key in keys
    }
    return _strips(runs, found, keys, names)


def _families(runs: Sequence[Run], found: Sequence[Found]) -> list[str]:
    """Differences of accuracy by family, intra and inter together where both are known."""
    parts = []
    for level in LEVELS:
        keys = [
            key
            for key in dict.fromkeys(key for some in found for key in some)
            if key[0] == level and key[1].startswith("family:")
        ]
        keys.sort(key=lambda key: found[0][key].value if key in found[0] else 0.0)
        if keys:
            names = {key: key[1].removeprefix("family:") for key in keys}
            parts += [tag("h3", level), *_strips(runs, found, keys, names)]
    return parts


def _strips(
    runs: Sequence[Run],
    found: Sequence[Found],
    keys: Sequence[tuple[str, str]],
    names: Mapping[tuple[str, str], str],
) -> list[str]:
    """A strip a difference, zero in the middle."""
    known = [some[key] for some in found for key in keys if key in some]
    known = [x for x in known if math.isfinite(x.low)]
    if not known:
        return []
    reach = max(max(abs(x.low), abs(x.high), 0.05) for x in known)
    heads = "".join(
        f'<th colspan="2">{html.escape(f"{run.name} - {runs[0].name}")}</th>' for run in runs[1:]
    )
    rows = []
    for key in keys:
        cells = []
        for index, some in enumerate(found):
            x = some.get(key)
            if x is None or not math.isfinite(x.low):
                cells.append('<td class="track"></td><td>-</td>')
                continue
            text = _difference(x, True)
            value, low, high = (0.5 + 0.5 * end / reach for end in (x.value, x.low, x.high))
            color = COLORS[(index + 1) % len(COLORS)]
            count = " and ".join(f"{n:,}" for n in dict.fromkeys(x.count))
            drawn = charts.track(value, low, high, color, f"{text} points, n = {count}")
            cells.append(
                f'<td class="track">{drawn}</td>'
                f"<td>{100 * x.value:+.1f} <small>n = {html.escape(count)}</small></td>"
            )
        rows.append(f'<tr><th scope="row">{breakable(names[key])}</th>{"".join(cells)}</tr>')
    return [
        tag(
            "p",
            "Differences of accuracy in points with 95 % intervals; to the right of the dashed "
            f"line the later run is better. The strip reaches from {-100 * reach:.0f} to "
            f"{100 * reach:.0f}.".replace("-", "−"),
            "small",
        ),
        '<div class="wide"><table class="forest"><thead><tr><th></th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>",
    ]


def _curves(runs: Sequence[Run]) -> list[str]:
    found = figures.curves_of_runs(
        [(run.name, COLORS[i % len(COLORS)], run.metrics, run.after) for i, run in enumerate(runs)]
    )
    if not found:
        return []
    return [
        tag("p", "Moving averages of training batches; dots are held-out data.", "small"),
        f'<div class="figures small">{"".join(picture.html() for picture in found)}</div>',
    ]


def _configs(runs: Sequence[Run]) -> list[str]:
    """Fields in which configs differ."""
    flat = [_flat(run.config) for run in runs]
    if not all(flat):
        return []
    fields = list(dict.fromkeys(field for some in flat for field in some))
    rows = [
        [field, *(some.get(field, "-") for some in flat)]
        for field in sorted(fields)
        if len({some.get(field) for some in flat}) > 1
    ]
    if not rows:
        return [tag("p", "The configs are the same.")]
    head = "".join(tag("th", run.name, "wrap") for run in runs)
    body = "".join(
        f'<tr><th scope="row">{breakable(field)}</th>'
        + "".join(f'<td class="wrap">{html.escape(value)}</td>' for value in values)
        + "</tr>"
        for field, *values in rows
    )
    return [
        '<div class="wide"><table class="full configs"><thead><tr><th>field</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for name, inside in value.items():
            found |= _flat(inside, f"{prefix}.{name}" if prefix else str(name))
        return found
    return {prefix: value if isinstance(value, str) else json.dumps(value)}


def _commands(runs: Sequence[Run]) -> list[str]:
    parts = []
    for run in runs:
        facts = [run.path]
        for name in ("parameters", "steps"):
            if name in run.summary:
                facts.append(f"{number(run.summary[name])} {name}")
        if "device" in run.summary:
            facts.append(str(run.summary["device"]))
        parts += [
            tag("h3", run.name),
            tag("p", ", ".join(facts), "small"),
            tag("pre", str(run.summary.get("command", ""))),
        ]
    return parts
