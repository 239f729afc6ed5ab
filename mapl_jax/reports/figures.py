"""What the pages of runs draw: curves, accuracies, margins, length, calibration."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from mapl_jax.evaluation import likelihood, preferences, statistics
from mapl_jax.losses import LEVELS
from mapl_jax.reports import charts
from mapl_jax.reports.charts import Picture, Plot

Summary = Mapping[str, Any]
Lines = Sequence[Mapping[str, Any]]
CHANCE = ("chance", "chance")
_POINTS = 600  # of a line
_CLOUD = 1500  # dots of a cloud
_TENTHS = [0.0, 0.25, 0.5, 0.75, 1.0]


def levels_of(summary: Summary) -> list[str]:
    """Levels that a summary has numbers of."""
    return [level for level in LEVELS if f"{level}_accuracy" in summary]


def members(scored: preferences.Scored, level: str) -> np.ndarray:
    """Indices of the comparisons of a level."""
    return np.flatnonzero(np.asarray(scored.level, dtype=str) == level)


# Curves.


def curves(metrics: Lines, before: Summary | None, after: Summary) -> list[Picture]:
    """Everything of metrics.jsonl that one looks at, over steps."""
    train = [line for line in metrics if line.get("split") == "train"]
    held_out = [line for line in metrics if line.get("split") == "eval"]
    if not train and not held_out:
        return []
    last = max(int(line["step"]) for line in (*train, *held_out))
    held_out = [*_start(before), *held_out, {**after, "step": last}]
    of_levels = [
        (level, level)
        for level in LEVELS
        if any(f"{level}_loss" in line for line in (*train, *held_out))
    ]
    found = []
    if of_levels:
        found += [
            _curve(
                "Loss", train, held_out, [(f"{x}_loss", x, x) for x in LEVELS], chance=math.log(2)
            ),
            _curve(
                "Accuracy", train, held_out, [(f"{x}_accuracy", x, x) for x in LEVELS], share=True
            ),
            _curve("Mean margin", train, held_out, [(f"{x}_margin", x, x) for x in LEVELS]),
        ]
    else:
        found.append(_curve("Loss per token", train, held_out, [("loss", "base", "loss")]))
    found += [
        _curve(
            "Implicit rewards",
            train,
            [],
            [("rewards/chosen", "inter", "chosen"), ("rewards/rejected", "intra", "rejected")],
        ),
        _curve(
            "Log-probabilities of responses",
            train,
            [],
            [("logps/chosen", "inter", "chosen"), ("logps/rejected", "intra", "rejected")],
        ),
        _curve(
            "Reward of base responses",
            [] if any("rewards/chosen" in line for line in train) else train,
            [],
            [
                ("max_reward", "inter", "largest"),
                ("mean_reward", "base", "mean"),
                ("min_reward", "intra", "smallest"),
            ],
        ),
        _curve("Drift from the reference, nats a token", train, [], [("drift", "base", "drift")]),
        _curve("Learning rate", train, [], [("learning_rate", "base", "")], smooth=False),
        _curve("Gradient norm, before clipping", train, [], [("grad_norm", "base", "")]),
        _curve("Tokens a second", train, [], [("tokens_per_second", "base", "")]),
    ]
    return [picture for picture in found if picture is not None]


def curves_of_runs(
    runs: Sequence[tuple[str, str, Lines, Summary]],
) -> list[Picture]:
    """What several runs logged, a picture a quantity.

    Args:
        runs: name, color, lines of metrics.jsonl, and the evaluation after training, of each.
    """
    quantities = [
        (f"{level}_{name}", f"{level} {name}") for name in ("loss", "accuracy") for level in LEVELS
    ]
    quantities += [
        ("loss", "Loss"),
        ("drift", "Drift from the reference, nats a token"),
        ("learning_rate", "Learning rate"),
        ("grad_norm", "Gradient norm, before clipping"),
        ("tokens_per_second", "Tokens a second"),
    ]
    found = []
    for quantity, title in quantities:
        train: list[dict[str, Any]] = []
        held_out: list[dict[str, Any]] = []
        names: list[tuple[str, str, str]] = []
        for index, (name, color, metrics, after) in enumerate(runs):
            key = f"{index}"
            for line in metrics:
                if quantity in line:
                    side = held_out if line.get("split") == "eval" else train
                    side.append({"step": line["step"], key: line[quantity]})
            steps = [line["step"] for line in metrics]
            if steps and quantity in after:
                held_out.append({"step": max(steps), key: after[quantity]})
            names.append((key, color, name))
        share = quantity.endswith("accuracy")
        smooth = quantity != "learning_rate"
        found.append(_curve(title, train, held_out, names, share=share, smooth=smooth, thin=False))
    return [picture for picture in found if picture is not None]


def _start(before: Summary | None) -> list[dict[str, Any]]:
    """The held-out data before training, as the first line of a curve."""
    return [{**before, "step": 0}] if (before := _untied(before)) is not None else []


def _untied(before: Summary | None) -> Summary | None:
    """A summary without the accuracies of levels where all is tied, where there are any.

    A policy that is its own reference prefers nothing; an accuracy of 0 would say less than none.
    """
    if before is None:
        return None
    tied = [level for level in LEVELS if before.get(f"{level}_ties") == 1]
    if not tied:
        return before
    dropped = {f"{level}_accuracy" for level in tied}
    kept = {name: value for name, value in before.items() if name not in dropped}
    for name in ("by_k", "by_family"):
        cells = before.get(name, {})
        kept[name] = {level: some for level, some in cells.items() if level not in tied}
    return kept


def _curve(
    title: str,
    train: Lines,
    held_out: Lines,
    names: Sequence[tuple[str, str, str]],
    *,
    chance: float | None = None,
    share: bool = False,
    smooth: bool = True,
    thin: bool = True,
) -> Picture | None:
    """One picture: for each (name, color, text) the training batches and the held-out data."""
    of = {name: (_points(train, name), _points(held_out, name)) for name, _, _ in names}
    if smooth and not thin:
        of = {
            name: (_average(line) if len(line) > 3 else line, dots)
            for name, (line, dots) in of.items()
        }
    names = [entry for entry in names if len(of[entry[0]][0]) or len(of[entry[0]][1])]
    if not names:
        return None
    every = np.concatenate([points for name, _, _ in names for points in of[name]])
    y = (0.0, 1.0) if share else charts.span(every[:, 1])
    if chance is not None:
        y = (min(0.0, y[0]), max(y[1], chance * 1.05))
    elif not share and y[0] < 0 <= every[:, 1].min():
        y = (0.0, y[1])
    legend = [(f"curve {color}", text) for _, color, text in names if text]
    dotted = any(len(of[name][1]) for name, _, _ in names)
    if dotted:
        legend.append(("dot soft", "held out"))
    if chance is not None or share:
        legend.append(("chance", "no knowledge"))
    plot = Plot(
        (0.0, max(float(every[:, 0].max()), 1.0)),
        y,
        x_label="step",
        y_format=charts.percent if share else charts.plain,
        y_ticks=_TENTHS if share else None,
        legend=legend if len(legend) > 1 else (),
    )
    if chance is not None or share:
        plot.level(0.5 if chance is None else chance)
    words = []
    for name, color, text in names:
        line, dots = of[name]
        if len(line):
            if smooth and thin and len(line) > 3:
                plot.curve(_thinned(line), f"{color} thin")
                plot.curve(_thinned(_average(line)), color)
            else:
                plot.curve(_thinned(line), color)
        if len(dots):
            plot.curve(dots, f"{color} dotted")
            plot.dots(
                [(x, y) for x, y in dots],
                color,
                [f"{text}, step {x:,.0f}: {y:.4g} (held out)" for x, y in dots],
            )
        ends = line if len(line) else dots
        words.append(f"{text or title}: from {ends[0, 1]:.3g} to {ends[-1, 1]:.3g}")
    return plot.picture(title, "", "; ".join(words))


def _points(lines: Lines, name: str) -> np.ndarray:
    found = [
        (line["step"], line[name])
        for line in lines
        if isinstance(line.get(name), int | float) and math.isfinite(line[name])
    ]
    return np.asarray(found, np.float64).reshape(-1, 2)


def _average(points: np.ndarray) -> np.ndarray:
    """The moving average, over a window that shrinks at the ends so that both are shown."""
    width = max(1, len(points) // 12)
    sums = np.concatenate([[0.0], np.cumsum(points[:, 1])])
    first = np.maximum(np.arange(len(points)) - width, 0)
    final = np.minimum(np.arange(len(points)) + width + 1, len(points))
    return np.stack([points[:, 0], (sums[final] - sums[first]) / (final - first)], axis=1)


def _thinned(points: np.ndarray, most: int = _POINTS) -> np.ndarray:
    """Evenly chosen points, both ends among them."""
    if len(points) <= most:
        return points
    return points[np.linspace(0, len(points) - 1, most).round().astype(int)]


# Accuracy.


def accuracy_by_level(before: Summary | None, after: Summary) -> Picture | None:
    """Bars with intervals, and what length alone would reach."""
    levels = levels_of(after)
    if not levels:
        return None
    before = _untied(before)
    if before is not None and not levels_of(before):
        before = None
    sides = [("bar pale soft", "before"), ("bar soft", "after")] if before is not None else []
    legend = [*sides, ("diamond", "prefer longer"), CHANCE]
    plot = Plot(
        (-0.6, len(levels) - 0.4),
        (0, 1.06),
        x_ticks=[(i, f"{x}\nn = {after[f'{x}_count']:,}") for i, x in enumerate(levels)],
        y_format=charts.percent,
        y_ticks=_TENTHS,
        legend=legend,
    )
    plot.level(0.5)
    middle = 0.0 if before is None else 0.17
    words = []
    for i, level in enumerate(levels):
        value = after[f"{level}_accuracy"]
        ends = [after.get(f"{level}_accuracy_{end}", value) for end in ("low", "high")]
        note = f"{level}: {100 * value:.1f} %"
        if before is not None and f"{level}_accuracy" in before:
            old = before[f"{level}_accuracy"]
            plot.bar((i - 0.32, i - 0.02), (0, old), f"pale {level}", f"{level}, before: {old:.1%}")
            plot.label(i - middle, old, f"{100 * old:.1f}")
            note += f" (before {100 * old:.1f} %)"
        plot.bar((i + middle - 0.15, i + middle + 0.15), (0, value), level, note)
        plot.whisker(i + middle, (ends[0], ends[1]))
        plot.label(i + middle, max(value, ends[1]), f"{100 * value:.1f}")
        length = after[f"{level}_length_accuracy"]
        if after[f"{level}_length_ties"] < 1:
            plot.diamond(i + middle + 0.22, length, f"prefer longer: {100 * length:.1f} %")
        words.append(note)
    caption = (
        "With 95 % intervals. A diamond well below its bar: the model does more than prefer what "
        "is longer."
    )
    return plot.picture("Accuracy by level", caption, "; ".join(words))


def accuracy_by_k(before: Summary | None, after: Summary) -> Picture | None:
    """Accuracy against the number of instructions."""
    found = {
        level: cells for level, cells in after.get("by_k", {}).items() if level != "base" and cells
    }
    if not found:
        return None
    before = _untied(before)
    if before is not None and not any(before.get("by_k", {}).values()):
        before = None
    ks = sorted({int(k) for cells in found.values() for k in cells})
    counts = {k: sum(cells.get(str(k), {}).get("count", 0) for cells in found.values()) for k in ks}
    legend = [(f"dot {level}", level) for level in found]
    if before is not None:
        legend += [("hollow soft", "before")]
    plot = Plot(
        (ks[0] - 0.5, ks[-1] + 0.5),
        (0, 1),
        x_ticks=[(k, f"{k}\nn = {counts[k]:,}") for k in ks],
        x_label="instructions added to the prompt",
        y_format=charts.percent,
        y_ticks=_TENTHS,
        legend=[*legend, CHANCE],
    )
    plot.level(0.5)
    words = []
    for i, (level, cells) in enumerate(found.items()):
        shift = 0.12 * (i - (len(found) - 1) / 2)
        old = (before or {}).get("by_k", {}).get(level, {})
        known = [k for k in ks if str(k) in old]
        if known:
            points = [(k + shift, old[str(k)]["accuracy"]) for k in known]
            plot.curve(points, f"{level} dotted")
            plot.dots(points, f"hollow {level}")
        known = [k for k in ks if str(k) in cells]
        points = [(k + shift, cells[str(k)]["accuracy"]) for k in known]
        plot.curve(points, level)
        for k, (x, _) in zip(known, points, strict=True):
            if "low" in cells[str(k)]:
                plot.whisker(x, (cells[str(k)]["low"], cells[str(k)]["high"]))
        notes = [f"{level}, {k} instructions: {cells[str(k)]['accuracy']:.1%}" for k in known]
        plot.dots(points, level, notes)
        words += notes
    caption = "A line that falls to the right: many instructions at once are harder than few."
    return plot.picture("Accuracy by number of instructions", caption, "; ".join(words))


# Margins, calibration, length.


def margins(before: preferences.Scored | None, after: preferences.Scored) -> list[Picture]:
    """Histograms, a level each."""
    found = []
    for level in LEVELS:
        new = after.margin[members(after, level)]
        if not len(new):
            continue
        old = before.margin[members(before, level)] if before is not None else np.zeros(0)
        edges = _edges(np.concatenate([old, new]))
        heights = np.histogram(new, edges)[0]
        ghosts = np.histogram(old, edges)[0] if len(old) else None
        right = int((new > 0).sum())
        legend = [(f"bar {level}", f"{level}, right"), ("bar soft", "wrong")]
        if ghosts is not None:
            legend.append(("curve ink thin", "before"))
        # Before training margins crowd at 0; their peak may leave the picture.
        top = 1.08 * float(heights.max())
        plot = Plot((float(edges[0]), float(edges[-1])), (0, top), x_label="margin", legend=legend)
        for left, end, count in zip(edges, edges[1:], heights, strict=False):
            if count:
                kind = level if left >= -1e-12 else "soft"
                plot.bar((left, end), (0, count), kind, f"{left:.2f} to {end:.2f}: {count:,}")
        if ghosts is not None:
            steps = [
                (x, count)
                for left, end, count in zip(edges, edges[1:], ghosts, strict=False)
                for x in (left, end)
            ]
            plot.curve(steps, "ink thin")
        plot.upright(0.0)
        caption = (
            f"{right:,} of {len(new):,} right; median {_signed(np.median(new))}"
            + (f", before {_signed(np.median(old))}" if len(old) else "")
            + "."
        )
        found.append(plot.picture(f"Margins: {level}", caption))
    return found


def calibration(after: preferences.Scored) -> list[Picture]:
    """Reliability diagrams, a level each."""
    found = []
    for level in LEVELS:
        margin = after.margin[members(after, level)]
        if not len(margin):
            continue
        plot = Plot(
            (0.5, 1.0),
            (0.0, 1.0),
            x_label="how sure: sigmoid(|margin|)",
            x_format=charts.percent,
            y_format=charts.percent,
            x_ticks=[(x, charts.percent(x)) for x in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)],
            y_ticks=_TENTHS,
            legend=[(f"dot {level}", "how often right"), ("chance", "calibrated")],
        )
        plot.diagonal()
        bins = statistics.reliability(margin)
        for some in bins:
            ends = stats.binomtest(some.right, some.count).proportion_ci(method="wilson")
            plot.whisker(some.confidence, (ends.low, ends.high))
        plot.curve([(some.confidence, some.accuracy) for some in bins], f"{level} thin")
        notes = [
            f"{some.count:,} comparisons: {some.confidence:.1%} sure, {some.accuracy:.1%} right"
            for some in bins
        ]
        plot.dots([(some.confidence, some.accuracy) for some in bins], level, notes)
        caption = (
            f"Expected calibration error {100 * statistics.calibration_error(margin):.1f} %, "
            f"Brier score {statistics.brier(margin):.3f} (knowing nothing: 0.250)."
        )
        words = f"{caption} {'; '.join(notes)}"
        found.append(plot.picture(f"Calibration: {level}", caption, words))
    return found


def length(after: preferences.Scored) -> list[Picture]:
    """Margins against differences of length, and rewards against lengths, of base comparisons."""
    base = members(after, "base")
    if not len(base):
        return []
    found = []
    x, y = after.length_margin[base], after.margin[base]
    plot = _cloud(x, y, "base", "tokens of chosen minus rejected", "margin")
    plot.level(0.0)
    plot.upright(0.0)
    found.append(plot.picture("Margin against difference of length", _correlated(x, y)))
    if after.tokens is not None:
        leaves = [
            (token, term[3], term[2] > 0)
            for i in base
            for term, token in zip(after.terms[i], after.tokens[i], strict=True)
        ]
        tokens, rewards, chosen = (np.asarray(column) for column in zip(*leaves, strict=True))
        tokens, rewards = tokens.astype(np.float64), rewards.astype(np.float64)
        plot = _cloud(
            tokens,
            rewards,
            "",
            "tokens of the response",
            "reward",
            parts=[("inter", "chosen", chosen), ("intra", "rejected", ~chosen)],
        )
        found.append(
            plot.picture(
                "Reward against length",
                f"{_correlated(tokens, rewards, independent=False)} Rewards of other prompts are "
                "mixed here, which Bradley-Terry does not compare; the picture beside is of pairs.",
            )
        )
    return found


def _cloud(
    x: np.ndarray,
    y: np.ndarray,
    kind: str,
    x_label: str,
    y_label: str,
    parts: Sequence[tuple[str, str, np.ndarray]] = (),
) -> Plot:
    """Dots, and means of tenths of them."""
    legend = [(f"dot {color}", text) for color, text, _ in parts] or [(f"dot {kind}", y_label)]
    plot = Plot(
        charts.span(x),
        charts.span(y),
        x_label=x_label,
        legend=[*legend, ("curve ink", "mean of a tenth")],
    )
    for color, _, some in parts or [(kind, "", np.ones(len(x), bool))]:
        plot.cloud(_thinned(np.stack([x[some], y[some]], axis=1), _CLOUD), color)
    order = np.argsort(x, kind="stable")
    if len(order) >= 30:
        tenths = np.array_split(order, 10)
        plot.curve([(x[some].mean(), y[some].mean()) for some in tenths], "ink")
    return plot


def _correlated(x: np.ndarray, y: np.ndarray, *, independent: bool = True) -> str:
    r = statistics.correlation(x, y)
    if r is None:
        return "No correlation: one of the two does not vary."
    text = f"Correlation r = {_signed(r)}"
    if independent:
        low, high = statistics.correlation_interval(x, y)
        text += f" [{low:+.2f}, {high:+.2f}]"
    return f"{text}, {100 * r * r:.0f} % of the variance."


def losses(scored: likelihood.Scored) -> list[Picture]:
    """Of demonstrations: how their loss spreads, and how it goes with length."""
    loss = -scored.logp / np.maximum(scored.tokens, 1)
    edges = np.histogram_bin_edges(loss, 30)
    heights = np.histogram(loss, edges)[0]
    plot = Plot(
        (float(edges[0]), float(edges[-1])),
        (0, 1.08 * float(heights.max())),
        x_label="loss per token, nats",
    )
    for left, end, count in zip(edges, edges[1:], heights, strict=False):
        if count:
            plot.bar((left, end), (0, count), "base", f"{left:.2f} to {end:.2f}: {count:,}")
    caption = f"Median {np.median(loss):.3f}, worst {loss.max():.3f}."
    pictures = [plot.picture("Loss of held-out responses", caption)]
    tokens = scored.tokens.astype(np.float64)
    plot = _cloud(tokens, loss, "base", "tokens of the response", "loss per token")
    return [*pictures, plot.picture("Loss against length", _correlated(tokens, loss))]


def _signed(value: float) -> str:
    """With a sign, which zero has none of."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text


def _edges(values: np.ndarray, bins: int = 40) -> np.ndarray:
    """Edges of equal bins, one of them at 0, so that no bin holds both right and wrong."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    width = (high - low) / bins or 1.0
    return width * np.arange(math.floor(low / width) - 1, math.ceil(high / width) + 2)
