"""The bootstrap over whole samples, calibration and correlation: numpy in, plain numbers out."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mapl_jax import losses
from mapl_jax.runtime.errors import UserError

# The numbers of an evaluation as summary.json holds them: plain floats, ints, texts and mappings.
Summary = Mapping[str, Any]

# Resampled samples held in memory at once.
_CHUNK = 4_000_000


class NotFiniteError(UserError, ValueError):
    """What was scored is not finite, so that nothing can be said of it."""


def check_finite(values: np.ndarray, name: Callable[[int], str], what: str) -> None:
    """Makes sure that what was scored is finite; a name for each value, and a word for all."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        i = int(bad[0])
        raise NotFiniteError(
            f"{name(i)} is {values[i]} ({len(bad)} of {len(values)}{what} are not finite)"
        )


def clusters(names: list[str]) -> tuple[np.ndarray, int]:
    """The number of the sample that each entry belongs to, [n], and how many samples there are."""
    samples, cluster = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    return cluster, len(samples)


def resampled_sums(values: np.ndarray, *, seed: int, resamples: int) -> np.ndarray:
    """Sums over samples that are drawn with replacement; the one bootstrap of the package.

    Args:
        values: what each sample adds, [samples, ...]; all that belongs to it has the same draws.

    Returns:
        float64 [resamples, ...].
    """
    n, *rest = values.shape
    flat = values.reshape(n, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, flat.shape[1]))
    chunk = max(1, _CHUNK // n)
    for first in range(0, resamples, chunk):
        size = min(chunk, resamples - first)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.reshape(-1), minlength=size * n).reshape(size, n)
        sums[first : first + size] = times.astype(np.float64) @ flat
    return sums.reshape(resamples, *rest)


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom, nan where bottom is 0."""
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def ratios(top: np.ndarray, bottom: np.ndarray, *, seed: int, resamples: int) -> np.ndarray:
    """Ratios of sums over resampled samples, [resamples, columns]; nan where the lower is 0.

    What a sample adds above and below are [samples, columns]; all columns are of the same draws.
    """
    sums = resampled_sums(np.stack([top, bottom], 1), seed=seed, resamples=resamples)
    return ratio(sums[:, 0], sums[:, 1])


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of resampled values without nan; (nan, nan) of nothing else."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


def percent(value: float) -> str:
    """A fraction as people read it."""
    return f"{100 * value:.1f} %"


def with_interval(
    numbers: Mapping[str, float], name: str, form: str, *, scale: float = 1, unit: str = ""
) -> str:
    """A number as people read it; with `{name}_low` and `{name}_high`, its interval in brackets."""
    text = f"{scale * numbers[name]:{form}}{unit}"
    if ends := ends_of(numbers, name, scale):
        text += f" [{ends[0]:{form}}, {ends[1]:{form}}]"
    return text


def percent_with_interval(numbers: Mapping[str, float], name: str) -> str:
    """A fraction in per cent, with its interval if there is one."""
    return with_interval(numbers, name, ".1f", scale=100, unit=" %")


def ends_of(
    numbers: Mapping[str, float], name: str, scale: float = 1
) -> tuple[float, float] | None:
    """The interval of a number; None where it has none."""
    if f"{name}_low" not in numbers:
        return None
    return scale * numbers[f"{name}_low"], scale * numbers[f"{name}_high"]


def shares(
    parts: Mapping[str, np.ndarray], whole: np.ndarray, *, seed: int, resamples: int
) -> dict[str, float]:
    """Sums of parts, [n] each, over the sum of the whole, by name.

    With resamples `{name}_low` and `{name}_high` too, 95 % intervals over resampled entries.
    """
    top = np.stack(list(parts.values()), 1).astype(np.float64)
    bottom = np.broadcast_to(whole[:, None], top.shape)
    summary: dict[str, float] = {}
    drawn = ratios(top, bottom, seed=seed, resamples=resamples) if resamples else None
    for column, name in enumerate(parts):
        summary[name] = float(top[:, column].sum() / whole.sum())
        if drawn is not None:
            summary[f"{name}_low"], summary[f"{name}_high"] = interval(drawn[:, column])
    return summary


BINS = 10


@dataclasses.dataclass(frozen=True)
class Bin:
    """Comparisons about which a model is equally sure.

    Confidence is the mean of sigmoid(|margin|), between 0.5 and 1; right is a margin above 0.
    """

    confidence: float
    right: int
    count: int

    @property
    def accuracy(self) -> float:
        """Share with a margin above 0."""
        return self.right / self.count


def _sigmoid(x: np.ndarray) -> np.ndarray:
    from scipy import special  # importing it takes half a second

    return np.asarray(special.expit(x))


def confidence(margin: np.ndarray) -> np.ndarray:
    """How sure a model is of its verdicts, sigmoid(|margin|), [n]."""
    return _sigmoid(np.abs(margin))


def reliability(margin: np.ndarray) -> list[Bin]:
    """Confidence and accuracy in bins of equal width between 0.5 and 1; without empty ones."""
    sure, right = confidence(margin), losses.is_right(margin)
    place = np.minimum(((sure - 0.5) * 2 * BINS).astype(int), BINS - 1)
    return [
        Bin(float(sure[members].mean()), int(right[members].sum()), int(members.sum()))
        for members in (place == i for i in range(BINS))
        if members.any()
    ]


def calibration_error(margin: np.ndarray) -> float:
    """Expected calibration error: mean of |confidence - accuracy| over bins, by their counts."""
    bins = reliability(margin)
    return sum(x.count * abs(x.confidence - x.accuracy) for x in bins) / len(margin)


def brier(margin: np.ndarray) -> float:
    """Mean of (1 - sigmoid(margin))^2: 0 for the sure and right, 0.25 for who knows nothing."""
    return float(np.mean(_sigmoid(-margin) ** 2))


def correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's r; None where one of them does not vary."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    from scipy import stats  # importing it takes a second

    return float(stats.pearsonr(x, y).statistic)


def correlation_interval(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """95 % interval of Pearson's r by Fisher's transformation, for independent pairs."""
    if len(x) < 4:
        return -1.0, 1.0
    from scipy import stats

    interval = stats.pearsonr(x, y).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def summarize(margin: np.ndarray, length_margin: np.ndarray) -> dict[str, float | int]:
    """The numbers of one level, without those that are not defined.

    `brier`, `ece`, `confidence` (mean); `length_correlation` of margin and difference of tokens;
    `longer_accuracy` and `shorter_accuracy` of comparisons whose positive side has more or fewer
    tokens, and their `_count`.
    """
    numbers: dict[str, float | int] = {
        "brier": brier(margin),
        "ece": calibration_error(margin),
        "confidence": float(confidence(margin).mean()),
    }
    r = correlation(margin, length_margin)
    if r is not None:
        numbers["length_correlation"] = r
    for name, members in (("longer", length_margin > 0), ("shorter", length_margin < 0)):
        numbers[f"{name}_count"] = int(members.sum())
        if members.any():
            numbers[f"{name}_accuracy"] = float(losses.is_right(margin[members]).mean())
    return numbers
