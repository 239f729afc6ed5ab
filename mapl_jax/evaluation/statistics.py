"""The bootstrap over whole samples, because what belongs to one sample is not independent."""

import dataclasses

import numpy as np

# Resampled samples held in memory at once.
_CHUNK = 4_000_000


def clusters(names: list[str]) -> tuple[np.ndarray, int]:
    """The number of the sample that each entry belongs to, [n], and how many samples there are."""
    found, cluster = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    return cluster, len(found)


def ratios(top: np.ndarray, bottom: np.ndarray, *, seed: int, resamples: int) -> np.ndarray:
    """Ratios of sums over resampled samples; all columns are of the same draws.

    Args:
        top: what each sample adds above, [samples, columns].
        bottom: what it adds below, [samples, columns].
        seed: of the draws.
        resamples: how many.

    Returns:
        [resamples, columns]; nan where nothing below was drawn.
    """
    n, columns = top.shape
    both = np.concatenate([top, bottom], axis=1).astype(np.float64)
    rng = np.random.default_rng(seed)
    found = []
    chunk = max(1, _CHUNK // n)
    for first in range(0, resamples, chunk):
        size = min(chunk, resamples - first)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.reshape(-1), minlength=size * n).reshape(size, n)
        sums = times.astype(np.float64) @ both
        above, below = sums[:, :columns], sums[:, columns:]
        found.append(np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0))
    return np.concatenate(found)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of what is known of resampled values; (nan, nan) of nothing."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


BINS = 10


@dataclasses.dataclass(frozen=True)
class Bin:
    """Comparisons of which a model is about equally sure.

    Attributes:
        confidence: mean of sigmoid(|margin|), between 0.5 and 1.
        accuracy: share with a margin above 0.
        count: how many.
    """

    confidence: float
    accuracy: float
    count: int


def confidence(margin: np.ndarray) -> np.ndarray:
    """How sure a model is of its verdicts, sigmoid(|margin|), [n]."""
    return 1.0 / (1.0 + np.exp(-np.abs(margin)))


def reliability(margin: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Confidence and accuracy in bins of equal width between 0.5 and 1; without empty ones."""
    sure, right = confidence(margin), margin > 0
    place = np.minimum(((sure - 0.5) * 2 * bins).astype(int), bins - 1)
    return [
        Bin(float(sure[some].mean()), float(right[some].mean()), int(some.sum()))
        for some in (place == i for i in range(bins))
        if some.any()
    ]


def calibration_error(margin: np.ndarray) -> float:
    """Expected calibration error: mean of |confidence - accuracy| over bins, by their counts."""
    found = reliability(margin)
    return sum(x.count * abs(x.confidence - x.accuracy) for x in found) / len(margin)


def brier(margin: np.ndarray) -> float:
    """Mean of (1 - sigmoid(margin))^2: 0 for the sure and right, 0.25 for who knows nothing."""
    # As 1 / (1 + exp(margin)), without overflow.
    wrong = np.exp(-np.logaddexp(0.0, margin))
    return float(np.mean(wrong**2))


def correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's r; None where one of them does not vary."""
    if len(x) < 3:
        return None
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / norm if norm > 0 else None


def correlation_interval(r: float, count: int) -> tuple[float, float]:
    """95 % interval of Pearson's r by Fisher's transformation, for independent pairs."""
    if count < 4 or abs(r) >= 1:
        return -1.0, 1.0
    middle, half = np.arctanh(r), 1.96 / np.sqrt(count - 3)
    return float(np.tanh(middle - half)), float(np.tanh(middle + half))


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
            numbers[f"{name}_accuracy"] = float((margin[members] > 0).mean())
    return numbers
