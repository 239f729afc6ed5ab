"""The bootstrap over whole samples, because what belongs to one sample is not independent."""

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
