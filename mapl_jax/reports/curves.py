"""What a run logged, over steps."""

import math
from collections.abc import Sequence

import numpy as np

from mapl_jax.evaluation.statistics import Summary
from mapl_jax.losses import LEVELS
from mapl_jax.reports import charts
from mapl_jax.reports.charts import Picture, Plot
from mapl_jax.reports.figures import without_ties

Lines = Sequence[Summary]  # of metrics.jsonl
# What only training batches have: title -> name, color and text of each line.
_TRAINED = {
    "Implicit rewards": [
        ("rewards/chosen", "inter", "chosen"),
        ("rewards/rejected", "intra", "rejected"),
    ],
    "Log-probabilities of responses": [
        ("logps/chosen", "inter", "chosen"),
        ("logps/rejected", "intra", "rejected"),
    ],
    "Reward of base responses": [
        ("max_reward", "inter", "largest"),
        ("mean_reward", "base", "mean"),
        ("min_reward", "intra", "smallest"),
    ],
    "Drift from the reference, nats a token": [("drift", "base", "drift")],
    "Learning rate": [("learning_rate", "base", "")],
    "Gradient norm, before clipping": [("grad_norm", "base", "")],
    "Tokens per second": [("tokens_per_second", "base", "")],
}


def curves(metrics: Lines, before: Summary | None, after: Summary) -> list[Picture]:
    """Everything of metrics.jsonl that one looks at, over steps."""
    train = [line for line in metrics if line.get("split") == "train"]
    held_out = [line for line in metrics if line.get("split") == "eval"]
    if not train and not held_out:
        return []
    last = max(int(line["step"]) for line in (*train, *held_out))
    held_out = [*_start(before), *held_out, {**after, "step": last}]
    losses, accuracies, margins = (
        [(f"{level}_{name}", level, level) for level in LEVELS]
        for name in ("loss", "accuracy", "margin")
    )
    if any(name in line for name, _, _ in losses for line in (*train, *held_out)):
        pictures = [
            _curve("Loss", train, held_out, losses, chance=math.log(2)),
            _curve("Accuracy", train, held_out, accuracies, share=True),
            _curve("Mean margin", train, held_out, margins),
        ]
    else:
        pictures = [_curve("Loss per token", train, held_out, [("loss", "base", "loss")])]
    is_policy = any("rewards/chosen" in line for line in train)
    pictures += [
        _curve(title, train, [], names, smooth=title != "Learning rate")
        for title, names in _TRAINED.items()
        if not (is_policy and title == "Reward of base responses")
    ]
    return [picture for picture in pictures if picture is not None]


def curves_of_runs(runs: Sequence[tuple[str, str, Lines, Summary]]) -> list[Picture]:
    """What several runs logged, a picture a quantity.

    Args:
        runs: name, color, lines of metrics.jsonl, and the evaluation after training, of each.
    """
    quantities = [
        (f"{level}_{name}", f"{level} {name}") for name in ("loss", "accuracy") for level in LEVELS
    ]
    alone = [(names[0][0], title) for title, names in _TRAINED.items() if len(names) == 1]
    quantities += [("loss", "Loss"), *alone]
    pictures = []
    names = [(str(index), color, name) for index, (name, color, _, _) in enumerate(runs)]
    for quantity, title in quantities:
        train: list[dict[str, float]] = []
        held_out: list[dict[str, float]] = []
        for (key, _, _), (_, _, metrics, after) in zip(names, runs, strict=True):
            for line in metrics:
                if quantity in line:
                    side = held_out if line.get("split") == "eval" else train
                    side.append({"step": line["step"], key: line[quantity]})
            steps = [line["step"] for line in metrics]
            if steps and quantity in after:
                held_out.append({"step": max(steps), key: after[quantity]})
        share = quantity.endswith("accuracy")
        smooth = quantity != "learning_rate"
        pictures.append(
            _curve(title, train, held_out, names, share=share, smooth=smooth, thin=False)
        )
    return [picture for picture in pictures if picture is not None]


def _start(before: Summary | None) -> list[dict[str, float]]:
    """The held-out data before training, as the first line of a curve."""
    return [{**before, "step": 0}] if (before := without_ties(before)) is not None else []


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
    # Single batches may be far off; what they average to is what is looked at.
    shown = [x for line, dots in of.values() for x in (_average(line) if len(line) else line, dots)]
    y = charts.share_span(np.concatenate(shown)[:, 1]) if share else charts.span(every[:, 1])
    if chance is not None:
        y = (min(0.0, y[0]), max(y[1], chance * 1.05))
    elif not share and y[0] < 0 <= every[:, 1].min():
        y = (0.0, y[1])
    legend = [(f"curve {color}", text) for _, color, text in names if text]
    if any(len(of[name][1]) for name, _, _ in names):
        legend.append(("dot soft", "held out"))
    guess = 0.5 if share else chance
    if guess is not None:
        legend.append(("chance", "a guess"))
    plot = Plot(
        (0.0, max(float(every[:, 0].max()), 1.0)),
        y,
        x_label="step",
        y_format=charts.percent if share else charts.plain,
        legend=legend if len(legend) > 1 else (),
    )
    if guess is not None:
        plot.level(guess)
    words = []
    for name, color, text in names:
        line, dots = of[name]
        if len(line):
            if smooth and thin and len(line) > 3:
                plot.curve(charts.thinned(line), f"{color} thin")
                plot.curve(charts.thinned(_average(line)), color)
            else:
                plot.curve(charts.thinned(line), color)
            if len(line) == 1:  # no line, but something to see
                plot.dots(
                    line,
                    f"hollow {color}",
                    [f"{text or title}, step {line[0, 0]:,.0f}: {line[0, 1]:.4g}"],
                )
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
    points = [
        (line["step"], line[name])
        for line in lines
        if isinstance(line.get(name), int | float) and math.isfinite(line[name])
    ]
    return np.asarray(points, np.float64).reshape(-1, 2)


def _average(points: np.ndarray) -> np.ndarray:
    """The moving average, over a window that shrinks at the ends so that both are shown."""
    width = max(1, len(points) // 12)
    sums = np.concatenate([[0.0], np.cumsum(points[:, 1])])
    first = np.maximum(np.arange(len(points)) - width, 0)
    final = np.minimum(np.arange(len(points)) + width + 1, len(points))
    return np.stack([points[:, 0], (sums[final] - sums[first]) / (final - first)], axis=1)
