"""What the pages of runs draw of an evaluation: accuracies, margins, length, calibration."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mapl_jax.evaluation import likelihood, preferences, statistics
from mapl_jax.evaluation.statistics import Summary, percent
from mapl_jax.losses import LEVELS
from mapl_jax.reports import charts
from mapl_jax.reports.charts import QUARTERS, Picture, Plot
from mapl_jax.runtime.console import counted

CHANCE = ("chance", "chance")
_CLOUD = 1500  # dots of a cloud
_BINS = 40  # of a histogram of margins


def levels_of(summary: Summary) -> list[str]:
    """Levels that a summary has numbers of."""
    return [level for level in LEVELS if f"{level}_accuracy" in summary]


def without_ties(before: Summary | None) -> Summary | None:
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
        kept[name] = {level: cell for level, cell in cells.items() if level not in tied}
    return kept


# Accuracy.


def accuracy_by_level(before: Summary | None, after: Summary) -> Picture | None:
    """Bars from chance, with intervals, and what length alone would reach."""
    levels = levels_of(after)
    if not levels:
        return None
    before = without_ties(before)
    if before is not None and not levels_of(before):
        before = None
    sides = [("bar pale soft", "before"), ("bar soft", "after")] if before is not None else []
    legend = [*sides, ("diamond", "prefer longer"), CHANCE]
    shown = [after, *([before] if before is not None else [])]
    low, high = charts.share_span(
        [
            side[f"{x}_accuracy{end}"]
            for x in levels
            for side in shown
            for end in ("", "_low", "_high")
            if f"{x}_accuracy{end}" in side
        ]
    )
    plot = Plot(
        (-0.6, len(levels) - 0.4),
        (low, high + 0.06),
        x_ticks=[(i, f"{x}\nn = {after[f'{x}_count']:,}") for i, x in enumerate(levels)],
        y_format=charts.percent,
        y_ticks=charts.ticks(low, high),
        legend=legend,
    )
    plot.level(0.5)
    middle = 0.0 if before is None else 0.17
    words = []
    for i, level in enumerate(levels):
        value = after[f"{level}_accuracy"]
        ends = [after.get(f"{level}_accuracy_{end}", value) for end in ("low", "high")]
        note = f"{level}: {percent(value)}"
        if before is not None and f"{level}_accuracy" in before:
            old = before[f"{level}_accuracy"]
            plot.bar(
                (i - 0.32, i - 0.02),
                (0.5, old),
                f"pale {level}",
                f"{level}, before: {percent(old)}",
            )
            plot.label(i - middle, max(old, 0.5), f"{100 * old:.1f}")
            note += f" (before {percent(old)})"
        plot.bar((i + middle - 0.15, i + middle + 0.15), (0.5, value), level, note)
        plot.whisker(i + middle, (ends[0], ends[1]))
        plot.label(i + middle, max(value, ends[1], 0.5), f"{100 * value:.1f}")
        length = after[f"{level}_length_accuracy"]
        if after[f"{level}_length_ties"] < 1:
            plot.diamond(i + middle + 0.22, length, f"prefer longer: {percent(length)}")
        words.append(note)
    caption = (
        "Bars start at chance and carry 95 % intervals. Diamonds: always preferring the longer "
        "response. A bar whose interval is above its diamond has learned more than length."
    )
    return plot.picture("Accuracy by level", caption, "; ".join(words))


def accuracy_by_k(before: Summary | None, after: Summary) -> Picture | None:
    """Accuracy against the number of instructions."""
    by_level = {
        level: cells for level, cells in after.get("by_k", {}).items() if level != "base" and cells
    }
    if not by_level:
        return None
    before = without_ties(before)
    if before is not None and not any(before.get("by_k", {}).values()):
        before = None
    ks = sorted({int(k) for cells in by_level.values() for k in cells})
    counts = {
        k: sum(cells.get(str(k), {}).get("count", 0) for cells in by_level.values()) for k in ks
    }
    legend = [(f"dot {level}", level) for level in by_level]
    if before is not None:
        legend += [("hollow soft", "before")]
    plot = Plot(
        (ks[0] - 0.5, ks[-1] + 0.5),
        charts.share_span(_shares(by_level.values(), (before or {}).get("by_k", {}).values())),
        x_ticks=[(k, f"{k}\nn = {counts[k]:,}") for k in ks],
        x_label="instructions added to the prompt",
        y_format=charts.percent,
        legend=[*legend, CHANCE],
    )
    plot.level(0.5)
    words = []
    for i, (level, cells) in enumerate(by_level.items()):
        shift = 0.12 * (i - (len(by_level) - 1) / 2)
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
        notes = [
            f"{level}, {counted(k, 'instructions')}: {percent(cells[str(k)]['accuracy'])}"
            for k in known
        ]
        plot.dots(points, level, notes)
        words += notes
    caption = "A line that falls to the right means that many instructions are harder than few."
    return plot.picture("Accuracy by number of instructions", caption, "; ".join(words))


def _shares(*groups: Iterable[Mapping[str, Summary]]) -> list[float]:
    """Every accuracy of cells, with the ends of its interval."""
    cells = [cell for group in groups for by_key in group for cell in by_key.values()]
    return [cell[name] for cell in cells for name in ("accuracy", "low", "high") if name in cell]


# Margins, calibration, length.


def margins(before: preferences.Scored | None, after: preferences.Scored) -> list[Picture]:
    """Histograms, a level each."""
    pictures = []
    for level in LEVELS:
        new = after.margin[after.of(level)]
        if not len(new):
            continue
        old = before.margin[before.of(level)] if before is not None else np.zeros(0)
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
            ends = np.stack([edges[:-1], edges[1:]], 1).ravel()
            plot.curve(np.stack([ends, ghosts.repeat(2)], 1), "ink thin")
        plot.upright(0.0)
        caption = (
            f"{right:,} of {len(new):,} right; median {_signed(np.median(new))}"
            + (f", before {_signed(np.median(old))}" if len(old) else "")
            + "."
        )
        pictures.append(plot.picture(f"Margins: {level}", caption))
    return pictures


def calibration(after: preferences.Scored) -> list[Picture]:
    """Reliability diagrams, a level each."""
    from scipy import stats  # importing it takes a second

    pictures = []
    for level in LEVELS:
        margin = after.margin[after.of(level)]
        if not len(margin):
            continue
        plot = Plot(
            (0.5, 1.0),
            (0.0, 1.0),
            x_label="confidence: sigmoid(|margin|)",
            x_format=charts.percent,
            y_format=charts.percent,
            x_ticks=[(x, charts.percent(x)) for x in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)],
            y_ticks=QUARTERS,
            legend=[(f"dot {level}", "accuracy"), ("chance", "calibrated")],
        )
        plot.diagonal()
        bins = statistics.reliability(margin)
        for each in bins:
            ends = stats.binomtest(each.right, each.count).proportion_ci(method="wilson")
            plot.whisker(each.confidence, (ends.low, ends.high))
        points = [(each.confidence, each.accuracy) for each in bins]
        plot.curve(points, f"{level} thin")
        notes = [
            f"{counted(each.count, 'comparisons')}: confidence {percent(each.confidence)}, "
            f"accuracy {percent(each.accuracy)}"
            for each in bins
        ]
        plot.dots(points, level, notes)
        caption = (
            f"Expected calibration error {100 * statistics.calibration_error(margin):.1f} %, "
            f"Brier score {statistics.brier(margin):.3f} (a guess at 50 %: 0.250)."
        )
        words = f"{caption} {'; '.join(notes)}"
        pictures.append(plot.picture(f"Calibration: {level}", caption, words))
    return pictures


def length(after: preferences.Scored) -> list[Picture]:
    """Margins against differences of length, and rewards against lengths, of base comparisons."""
    base = after.of("base")
    if not len(base):
        return []
    pictures = []
    x, y = after.length_margin[base], after.margin[base]
    plot = _cloud(x, y, "base", "tokens of chosen minus rejected", "margin")
    plot.level(0.0)
    plot.upright(0.0)
    pictures.append(plot.picture("Margin against difference in length", _correlated(x, y)))
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
        pictures.append(
            plot.picture(
                "Reward against length",
                f"{_correlated(tokens, rewards, independent=False)} Rewards of different "
                "prompts are mixed here, though Bradley-Terry compares only those of one prompt.",
            )
        )
    return pictures


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
    for color, _, members in parts or [(kind, "", np.ones(len(x), bool))]:
        plot.cloud(charts.thinned(np.stack([x[members], y[members]], axis=1), _CLOUD), color)
    order = np.argsort(x, kind="stable")
    if len(order) >= 30:
        tenths = np.array_split(order, 10)
        plot.curve([(x[tenth].mean(), y[tenth].mean()) for tenth in tenths], "ink")
    return plot


def _correlated(x: np.ndarray, y: np.ndarray, *, independent: bool = True) -> str:
    r = statistics.correlation(x, y)
    if r is None:
        return "No correlation: one of the two is constant."
    text = f"Correlation r = {_signed(r)}"
    if independent:
        low, high = statistics.correlation_interval(x, y)
        text += f" [{low:+.2f}, {high:+.2f}]"
    return f"{text}, {100 * r * r:.0f} % of the variance."


def losses(scored: likelihood.Scored) -> list[Picture]:
    """The spread of the loss of demonstrations, and their loss against length."""
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


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of equal bins, one of them at 0, so that no bin holds both right and wrong."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    width = (high - low) / _BINS or 1.0
    return width * np.arange(math.floor(low / width) - 1, math.ceil(high / width) + 2)


def by_length(after: Summary) -> list[list[str]]:
    """Accuracy where length is on the right side and where it is not."""
    cells = [
        ["level", "accuracy, better side longer", "n", "accuracy, better side shorter", "n", "r"]
    ]
    for level in levels_of(after):
        if not after.get(f"{level}_longer_count") and not after.get(f"{level}_shorter_count"):
            continue
        row = [level]
        for side in ("longer", "shorter"):
            value = after.get(f"{level}_{side}_accuracy")
            row += ["-" if value is None else percent(value), f"{after[f'{level}_{side}_count']:,}"]
        r = after.get(f"{level}_length_correlation")
        cells.append([*row, "-" if r is None else f"{r:+.2f}"])
    return cells if len(cells) > 1 else []
