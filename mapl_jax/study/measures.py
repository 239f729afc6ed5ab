"""What a study reads off a trained model.

Every measure is a function of sums over samples, so that its bootstrap over samples is a product of
matrices: `moments` gives what each sample adds, and `value` turns sums into the measure.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mapl_jax.evaluation import statistics
from mapl_jax.evaluation.following import Answer
from mapl_jax.evaluation.preferences import Scored
from mapl_jax.study.corpora import KEPT_BY_BOTH

Test = Scored | list[Answer]  # what a measure is taken of
Moments = tuple[list[str], np.ndarray]
ANSWERED = "answers"


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of a trained model."""

    name: str
    says: str  # what it is, for the reader
    test: str  # where it is taken: one of `corpora.TESTS`, or `ANSWERED` for a policy's own answers
    # Scores or answers -> the sample of each entry, and what it adds, [n, moments].
    moments: Callable[[Any], Moments]
    # Sums [..., moments] -> measure [...]; nan where there is nothing to measure.
    value: Callable[[np.ndarray], np.ndarray]
    better: str = "high"  # "high", "low" or "" where neither is
    percent: bool = True  # whether it is a share


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A measure of an arm: its mean over the seeds, each on all samples, and the 95 % interval."""

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]

    def text(self, scale: int, form: str) -> str:
        """The mean with its interval."""
        value, low, high = (f"{scale * x:{form}}" for x in (self.mean, self.low, self.high))
        return f"{value} [{low}, {high}]"


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first sum over the second."""
    return statistics.ratio(sums[..., 0], sums[..., 1])


def correlation(sums: np.ndarray) -> np.ndarray:
    """Pearson's, of sums of 1, x, y, xx, yy, xy."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    top = n * xy - x * y
    bottom = np.sqrt(np.maximum((n * xx - x * x) * (n * yy - y * y), 0.0))
    return statistics.ratio(top, bottom)


def right(scored: Scored, level: str, k: int = 0) -> Moments:
    """Comparisons of a level, perhaps with k instructions, that came out right."""
    at = [i for i in scored.of(level) if k in (0, scored.k[i])]
    return _of(scored, at, np.stack([scored.margin[at] > 0, np.ones(len(at))], 1))


def longer(scored: Scored) -> Moments:
    """Base comparisons whose chosen response is the longer one; a tie is half of one."""
    at = scored.of("base")
    right = (1 + np.sign(scored.length_margin[at])) / 2
    return _of(scored, at, np.stack([right, np.ones(len(at))], 1))


def by_length(scored: Scored) -> Moments:
    """Ranks of margins and of differences in length of base comparisons (Spearman's rho)."""
    at = scored.of("base")
    x, y = _ranks(scored.margin[at]), _ranks(scored.length_margin[at])
    return _of(scored, at, np.stack([np.ones(len(at)), x, y, x * x, y * y, x * y], 1))


def raised(scored: Scored, kept: bool) -> Moments:
    """Responses whose reward rises when instructions are added that they all keep, or all break."""
    whose: list[str] = []
    rises: list[bool] = []
    for name, level, terms in zip(scored.sample_id, scored.level, scored.terms, strict=True):
        if level != "inter":
            continue
        plain = {response: reward for prompt, response, _, reward in terms if prompt == 0}
        for prompt, response, sign, reward in terms:
            if prompt and (sign > 0) is kept:
                whose.append(name)
                rises.append(reward > plain[response])
    return whose, np.stack([np.asarray(rises, float), np.ones(len(rises))], 1)


def moved(scored: Scored) -> Moments:
    """How far gaps move by instructions that both responses keep, over the gaps themselves."""
    levels, sizes = np.asarray(scored.level, str), np.abs(scored.margin)
    parts = [np.where(levels == level, sizes, 0) for level in ("inter", "base")]
    return _of(scored, range(len(sizes)), np.stack(parts, 1))


def prompts_kept(answers: Sequence[Answer]) -> Moments:
    """Prompts all of whose instructions a policy's answer keeps."""
    return (
        [answer.probe.id for answer in answers],
        np.asarray([[all(answer.kept), 1.0] for answer in answers], float).reshape(-1, 2),
    )


def instructions_kept(answers: Sequence[Answer]) -> Moments:
    """Instructions that a policy's answers keep."""
    return (
        [answer.probe.id for answer in answers],
        np.asarray([[sum(a.kept), len(a.kept)] for a in answers], float).reshape(-1, 2),
    )


def _accuracy(name: str, says: str, test: str, level: str, k: int = 0) -> Measure:
    return Measure(name, says, test, functools.partial(right, level=level, k=k), ratio)


SHARED = (
    _accuracy("base", "pairs as they are", "test", "base"),
    _accuracy("intra", "one response, two prompts", "test", "intra"),
    _accuracy("inter", "two pairs", "test", "inter"),
    _accuracy("intra, new families", "families and wordings never seen", "held_out", "intra"),
    _accuracy("inter, new families", "the same of two pairs", "held_out", "inter"),
    *(
        _accuracy(f"{level}, k = {k}", f"with {k} instructions", "test", level, k)
        for level in ("intra", "inter")
        for k in (2, 3, 4, 5)
    ),
    Measure(
        "raised by kept",
        "responses rated higher once instructions are added that they keep",
        "test",
        functools.partial(raised, kept=True),
        ratio,
    ),
    Measure(
        "raised by broken",
        "the same with instructions that they break; 100 % if their presence alone counts",
        "test",
        functools.partial(raised, kept=False),
        ratio,
        better="low",
    ),
    Measure(
        "moved by kept-by-both",
        "size of the change of a gap by instructions both responses keep, over that of the gap",
        KEPT_BY_BOTH,
        moved,
        ratio,
        better="low",
        percent=False,
    ),
    Measure(
        "length correlation",
        "Spearman's rho of margin and difference in length, base",
        "test",
        by_length,
        correlation,
        better="",
        percent=False,
    ),
)
ANSWERS = (
    Measure("prompts kept", "all instructions, own answers", ANSWERED, prompts_kept, ratio),
    Measure("instructions kept", "of own answers", ANSWERED, instructions_kept, ratio),
)
LONGER = Measure("base", "preferring the longer response", "test", longer, ratio)
MEASURES = {"reward": SHARED, "dpo": (*SHARED, *ANSWERS)}


def of_test(scored: Scored, test: str) -> Scored:
    """The comparisons of one test."""
    at = [i for i, name in enumerate(scored.sample_id) if name.startswith(f"{test}:")]

    def part(values: Any) -> Any:
        if values is None:
            return None
        return values[at] if isinstance(values, np.ndarray) else [values[i] for i in at]

    return Scored(**{f.name: part(getattr(scored, f.name)) for f in dataclasses.fields(scored)})


def sums_by_sample(moments: Moments, names: Sequence[str]) -> np.ndarray:
    """What each of the named samples adds, [names, moments]."""
    whose, values = moments
    place = {name: index for index, name in enumerate(names)}
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, [place[name] for name in whose], values)
    return sums


def resampled(
    measure: Measure, runs: Sequence[Moments], *, seed: int, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """A measure of each run, [runs], and of resampled samples and runs, [resamples].

    Samples and seeds are drawn with replacement, the same for every arm of the same samples and
    number of seeds, so that arms can be compared draw by draw. Runs are one a seed.
    """
    names = sorted({name for whose, _ in runs for name in whose})
    if not names:
        return np.full(len(runs), np.nan), np.full(resamples, np.nan)
    sums = np.stack([sums_by_sample(moments, names) for moments in runs])
    whole = measure.value(sums.sum(1))
    # [resamples, runs, moments]; the seeds are drawn apart from the samples.
    drawn = statistics.resampled_sums(np.moveaxis(sums, 0, 1), seed=seed, resamples=resamples)
    values = measure.value(drawn)
    rng = np.random.default_rng((seed, len(runs)))
    seeds = rng.integers(len(runs), size=(resamples, len(runs)))
    return whole, np.take_along_axis(values, seeds, axis=1).mean(1)


def estimate(whole: np.ndarray, values: np.ndarray) -> Estimate:
    """Mean over seeds with the percentile interval of the resampled means."""
    low, high = statistics.interval(values)
    return Estimate(float(whole.mean()), low, high, tuple(map(float, whole)))


def _of(scored: Scored, at: Iterable[int], values: np.ndarray) -> Moments:
    return [scored.sample_id[i] for i in at], np.asarray(values, float)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1, ties at their mean."""
    from scipy import stats  # importing it takes a second

    return np.asarray((stats.rankdata(values) - 1) / max(len(values) - 1, 1))
