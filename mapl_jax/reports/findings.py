"""What the numbers of a run say, in sentences: did it work, where not, is it length, is it sane."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from mapl_jax.evaluation import statistics
from mapl_jax.evaluation.preferences import LEVELS, percent

Summary = Mapping[str, Any]
Z = 1.96  # of a 95 % interval


class Finding(NamedTuple):
    """A sentence, and whether it is good news, bad news, or neither."""

    news: Literal["good", "bad", ""]
    text: str


def of_preferences(
    before: Summary | None, after: Summary, metrics: Sequence[Mapping[str, Any]]
) -> list[Finding]:
    """Findings on comparisons, most important first."""
    found = [*_learned(before, after), *_length(after), *_families(after)]
    return [*found, *_calibration(after), *_overfitting(after, metrics)]


def of_likelihood(before: Summary | None, after: Summary) -> list[Finding]:
    """Findings on demonstrations."""
    if before is None:
        return []
    better = after["perplexity"] < before["perplexity"]
    return [
        Finding(
            "good" if better else "bad",
            f"Perplexity of held-out responses {'fell' if better else 'did not fall'}: "
            f"{before['perplexity']:.2f} before, {after['perplexity']:.2f} after.",
        )
    ]


def of_answers(generation: Summary) -> Finding:
    """Finding on the policy's own responses."""
    difference = generation["instruction_difference"]
    low = generation.get("instruction_difference_low", difference)
    high = generation.get("instruction_difference_high", difference)
    news: Literal["good", "bad", ""] = "good" if low > 0 else "bad" if high < 0 else ""
    words = {"good": "It keeps more instructions", "bad": "It keeps fewer instructions"}
    return Finding(
        news,
        f"{words.get(news, 'No clear change in the instructions that it keeps')} in its own "
        f"responses: {percent(generation['instruction_before'])} before, "
        f"{percent(generation['instruction_after'])} after (difference "
        f"{100 * difference:+.1f} points, 95 % interval {100 * low:+.1f} to {100 * high:+.1f}).",
    )


def of_data(counts: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Findings on what was dropped and cut.

    Args:
        counts: of each split, by its name.
    """
    found = []
    for name, values in counts.items():
        lost = list(_lost(values))
        if not lost:
            found.append(Finding("good", f"Data, {name}: nothing was dropped or cut."))
            continue
        found.append(Finding("", f"Data, {name}: {'; '.join(lost)}."))
    return found


def _lost(counts: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    for name, value in counts.items():
        words = str(name).replace("_", " ")
        if isinstance(value, Mapping):
            if "dropped" in name:
                yield from (
                    f"{count:,} {words} ({reason})" for reason, count in value.items() if count
                )
            elif name in ("records", "encoding"):
                yield from _lost(value, name)
        elif value and isinstance(value, int) and ("dropped" in name or "truncated" in name):
            yield f"{value:,} {words}"


def _learned(before: Summary | None, after: Summary) -> Iterator[Finding]:
    for level in LEVELS:
        if f"{level}_accuracy" not in after:
            continue
        accuracy = after[f"{level}_accuracy"]
        low = after.get(f"{level}_accuracy_low", accuracy)
        high = after.get(f"{level}_accuracy_high", accuracy)
        text = f"{level}: {percent(accuracy)} right"
        if f"{level}_accuracy_low" in after:
            text += f" (95 % interval {100 * low:.1f} to {100 * high:.1f})"
        if low > 0.5:
            text += ", better than chance"
        elif high < 0.5:
            text += ", worse than chance"
        else:
            text += ", which cannot be told from chance"
        if before is not None and f"{level}_accuracy" in before:
            if before.get(f"{level}_ties") == 1:
                text += "; before training all were tied"
            else:
                text += f"; {percent(before[f'{level}_accuracy'])} before training"
        length, ties = after[f"{level}_length_accuracy"], after[f"{level}_length_ties"]
        rule = max(length, 1 - length - ties)
        if rule > 0.5:
            way = "longer" if length >= 1 - length - ties else "shorter"
            beats = "more than" if low > rule else "not clearly more than"
            text += f"; {beats} the {percent(rule)} of always preferring the {way}"
        good = low > max(0.5, rule)
        yield Finding("good" if good else "bad", f"{text}.")


def _length(after: Summary) -> Iterator[Finding]:
    """Whether the model does better where length is on its side, and whether margins follow it."""
    if "base_longer_accuracy" not in after or "base_shorter_accuracy" not in after:
        return
    p, q = after["base_longer_accuracy"], after["base_shorter_accuracy"]
    n, m = after["base_longer_count"], after["base_shorter_count"]
    gap = p - q if abs(p - q) > Z * math.sqrt(p * (1 - p) / n + q * (1 - q) / m) else 0.0
    text = (
        f"{percent(p)} right where chosen is longer (n = {n:,}), {percent(q)} where it is shorter "
        f"(n = {m:,})"
    )
    r = after.get("base_length_correlation")
    follows = 0.0
    if r is not None:
        low, high = statistics.correlation_interval(r, after["base_count"])
        follows = r if low > 0 or high < 0 else 0.0
        text += f"; margin and difference of length: r = {r:+.2f} ({low:+.2f} to {high:+.2f})"
    if gap or follows:
        way = "longer" if (gap or follows) > 0 else "shorter"
        yield Finding("bad", f"Length: it leans towards {way} responses: {text}.")
    else:
        yield Finding("good", f"Length: no sign of a bias: {text}.")


def _families(after: Summary) -> Iterator[Finding]:
    for level, cells in after.get("by_family", {}).items():
        known = {name: cell for name, cell in cells.items() if "low" in cell}
        if len(known) < 2:
            continue
        weak = sorted(
            (name for name, cell in known.items() if cell["low"] <= 0.5),
            key=lambda name: known[name]["accuracy"],
        )
        if not weak:
            yield Finding("good", f"{level}: every family is better than chance.")
            continue
        shown = ", ".join(
            f"{name} ({100 * known[name]['accuracy']:.0f} %, n = {known[name]['count']:,})"
            for name in weak[:4]
        )
        more = f" and {len(weak) - 4} more" if len(weak) > 4 else ""
        yield Finding(
            "bad",
            f"{level}: {len(weak)} of {len(known)} families cannot be told from chance: "
            f"{shown}{more}.",
        )


def _calibration(after: Summary) -> Iterator[Finding]:
    """Whether a margin is the probability that it stands for."""
    parts, calibrated = [], True
    for level in LEVELS:
        if f"{level}_ece" not in after:
            continue
        error = after[f"{level}_ece"]
        sure, right = after[f"{level}_confidence"], after[f"{level}_accuracy"]
        parts.append(
            f"{level} {100 * error:.1f} ({percent(sure)} sure on average, {percent(right)} right)"
        )
        # What sampling alone makes of a share near one half.
        calibrated &= error <= max(0.05, 1 / math.sqrt(after[f"{level}_count"]))
    if parts:
        start = "Calibrated" if calibrated else "Not calibrated"
        yield Finding(
            "good" if calibrated else "",
            f"{start}. Calibration error in points: {', '.join(parts)}.",
        )


def _overfitting(after: Summary, metrics: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Loss of the last tenth of the training batches beside that of the held-out data."""
    train = [line for line in metrics if line.get("split") == "train"]
    last = train[-max(1, len(train) // 10) :]
    parts = []
    worse = False
    for level in LEVELS:
        name = f"{level}_loss"
        pairs = [
            (line[name], line.get(f"{level}_count") or 1)
            for line in last
            if line.get(name) is not None
        ]
        if not pairs or name not in after:
            continue
        values, counts = (np.asarray(column, np.float64) for column in zip(*pairs, strict=True))
        mean = float((values * counts).sum() / counts.sum())
        # A level's loss is about as uncertain as its values are spread.
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else mean
        worse |= after[name] > mean + max(2 * error, 0.1 * mean)
        parts.append(f"{level} {mean:.3f} and {after[name]:.3f}")
    if parts:
        start = (
            "Held-out loss is above that of training: it memorizes"
            if worse
            else "No sign of overfitting"
        )
        yield Finding(
            "bad" if worse else "good",
            f"{start}. Loss of the last tenth of training batches and of held-out data: "
            f"{', '.join(parts)}.",
        )
