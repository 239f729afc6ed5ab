"""The few warnings of a run's page: what a reader should act on and could overlook."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mapl_jax.data.trie_set import left_out
from mapl_jax.evaluation.statistics import Summary, percent
from mapl_jax.losses import LEVELS
from mapl_jax.runtime import console

SPLITS = {"train": "train", "test": "held out", "data": "count"}


def warnings(summary: Summary, after: Summary, metrics: Sequence[Summary]) -> list[str]:
    """Sentences about a run, most important first; none if all is well."""
    return [*_overfitting(after, metrics), *_length(after), *_data(summary)]


def _overfitting(after: Summary, metrics: Sequence[Summary]) -> Iterator[str]:
    """Held-out loss far above the loss of the last tenth of the training batches."""
    train = [line for line in metrics if line.get("split") == "train"]
    last = train[-max(1, len(train) // 10) :]
    parts = []
    for level in LEVELS:
        name = f"{level}_loss"
        values = np.asarray([line[name] for line in last if line.get(name) is not None])
        if not len(values) or name not in after:
            continue
        counts = [line.get(f"{level}_count") or 1 for line in last if line.get(name) is not None]
        mean = float(np.average(values, weights=counts))
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else mean
        if after[name] > mean + max(2 * error, 0.1 * mean):
            parts.append(f"{level} {after[name]:.3f}, trained {mean:.3f}")
    if parts:
        yield (
            "Overfitting: the held-out loss is above that of the last training batches "
            f"({'; '.join(parts)}). Train for fewer steps, or on more data."
        )


def _length(after: Summary) -> Iterator[str]:
    """Accuracy of base comparisons that depends on which response is longer."""
    if "base_longer_accuracy" not in after or "base_shorter_accuracy" not in after:
        return
    longer, shorter = after["base_longer_accuracy"], after["base_shorter_accuracy"]
    n, m = after["base_longer_count"], after["base_shorter_count"]
    error = math.sqrt(longer * (1 - longer) / n + shorter * (1 - shorter) / m)
    gap, half = 100 * (longer - shorter), 196 * error
    low, high = max(gap - half, -100), min(gap + half, 100)
    if abs(gap) > half:
        yield (
            f"Length: {percent(longer)} right where the chosen response is longer (n = {n:,}), "
            f"{percent(shorter)} where it is shorter (n = {m:,}): "
            f"{gap:+.1f} points [{low:+.1f}, {high:+.1f}]."
        )


def _data(summary: Summary) -> Iterator[str]:
    """Records, comparisons and texts that were left out or cut."""
    for key, name in SPLITS.items():
        if isinstance(summary.get(key), Mapping) and (lost := list(_lost(summary[key]))):
            yield f"Data, {name}: {'; '.join(lost)}."


def _lost(counts: Summary) -> Iterator[str]:
    for reason, n in counts.get("records", {}).get("dropped", {}).items():
        yield f"{console.counted(n, 'records')} left out ({reason})"
    for reason, n in counts.get("dropped", {}).items():
        levels, _, why = reason.partition(": ")
        yield f"no {levels} comparisons in {console.counted(n, 'cases')} ({why})"
    yield from left_out({**counts.get("encoding", {}), "samples_split": 0})
