"""How two models differ on held-out data, with intervals.

Where both were tested on the same comparisons, the bootstrap draws the same samples for both, and
the interval is of the paired difference; otherwise each side has draws of its own.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapl_jax.evaluation import bootstrap, likelihood
from mapl_jax.evaluation.preferences import LEVELS, Scored


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of one quantity, second minus first.

    Attributes:
        value: the difference.
        low: lower end of its 95 % interval.
        high: upper end.
        paired: whether both sides are of the same comparisons.
        count: comparisons (or responses): of each if paired, of the first and the second if not.
    """

    value: float
    low: float
    high: float
    paired: bool
    count: tuple[int, ...]

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def of_comparisons(
    first: Scored, second: Scored, *, same: Sequence[str], seed: int, resamples: int
) -> dict[tuple[str, str], Difference]:
    """Differences by (level, quantity).

    Quantities are "accuracy", "loss" (mean of -log sigmoid of margin - gamma), and the accuracies
    "family:ID" and "k:NUMBER" of the comparisons with an instruction of a family and with a number
    of instructions.

    Args:
        first: scores of one model.
        second: scores of the other.
        same: levels whose comparisons are the same, text by text.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """
    found: dict[tuple[str, str], Difference] = {}
    for level in LEVELS:
        members = [
            np.flatnonzero(np.asarray(scored.level, dtype=str) == level)
            for scored in (first, second)
        ]
        if not all(map(len, members)):
            continue
        if level in same:
            pairs = _matched(first, second, *members)
            if len(pairs):
                members = [pairs[:, 0], pairs[:, 1]]
            paired = bool(len(pairs))
        else:
            paired = False
        columns = [
            _columns(scored, some) for scored, some in zip((first, second), members, strict=True)
        ]
        names = [name for name in columns[0] if name in columns[1]]
        for name, value in _differences(
            [first, second], members, columns, names, paired, seed, resamples
        ).items():
            found[level, name] = value
    return found


def _matched(first: Scored, second: Scored, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Indices of the comparisons that both have, [n, 2]."""

    def key(scored: Scored, i: int) -> tuple[Any, ...]:
        return scored.sample_id[i], *(term[:3] for term in scored.terms[i])

    places = {key(second, int(j)): int(j) for j in b}
    pairs = [(int(i), places[k]) for i in a if (k := key(first, int(i))) in places]
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def _columns(scored: Scored, members: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> what each comparison adds above and below, [n] each."""
    margin = scored.margin[members]
    right = (margin > 0).astype(np.float64)
    ones = np.ones(len(members))
    loss = np.logaddexp(0.0, scored.gamma[members] - margin)
    found = {"accuracy": (right, ones), "loss": (loss, ones)}
    families = [set(scored.families[i]) for i in members]
    for name in sorted(set().union(*families)):
        holds = np.asarray([name in some for some in families], np.float64)
        found[f"family:{name}"] = (right * holds, holds)
    ks = scored.k[members]
    for k in sorted(set(ks.tolist()) - {0}):
        holds = (ks == k).astype(np.float64)
        found[f"k:{k}"] = (right * holds, holds)
    return found


def _differences(
    scored: Sequence[Any],
    members: Sequence[np.ndarray],
    columns: Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]],
    names: Sequence[str],
    paired: bool,
    seed: int,
    resamples: int,
) -> dict[str, Difference]:
    ratios: list[np.ndarray] = []
    shares: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    spread: list[np.ndarray] = []
    for side in range(2):
        cluster, n = bootstrap.clusters([scored[side].sample_id[i] for i in members[side]])
        top, bottom = (
            np.stack(
                [np.bincount(cluster, columns[side][name][part], minlength=n) for name in names], 1
            )
            for part in (0, 1)
        )
        # The clusters of both sides are sorted by name: paired sides with one seed have the same
        # draws.
        ratios.append(
            bootstrap.ratios(top, bottom, seed=seed + (0 if paired else side), resamples=resamples)
        )
        shares.append(top.sum(0) / bottom.sum(0))
        counts.append(bottom.sum(0).astype(int))
        spread.append((bottom > 0).sum(0))
    found = {}
    for column, name in enumerate(names):
        low, high = bootstrap.interval(ratios[1][:, column] - ratios[0][:, column])
        # A single sample says nothing about others.
        if min(some[column] for some in spread) < 2 or np.isnan(low):
            low, high = -np.inf, np.inf
        sizes = tuple(int(count[column]) for count in counts)
        value = float(shares[1][column] - shares[0][column])
        found[name] = Difference(value, low, high, paired, sizes[:1] if paired else sizes)
    return found


def of_responses(
    first: likelihood.Scored,
    second: likelihood.Scored,
    *,
    same: bool,
    seed: int,
    resamples: int,
) -> dict[tuple[str, str], Difference]:
    """The difference of the loss of demonstrations, in nats a token.

    Args:
        first: scores of one model.
        second: scores of the other.
        same: whether the demonstrations are the same.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """
    members = [np.arange(len(first.sample_id)), np.arange(len(second.sample_id))]
    paired = False
    if same:
        places = {name: i for i, name in enumerate(second.sample_id)}
        both = [(i, places[name]) for i, name in enumerate(first.sample_id) if name in places]
        if both:
            paired = True
            members = list(np.asarray(both, np.int64).T)
    columns = [
        {"loss": (-scored.logp[some], scored.tokens[some].astype(np.float64))}
        for scored, some in zip((first, second), members, strict=True)
    ]
    found = _differences([first, second], members, columns, ["loss"], paired, seed, resamples)
    # What is counted below is tokens; what is told is responses.
    sizes = tuple(map(len, members))
    loss = dataclasses.replace(found["loss"], count=sizes[:1] if paired else sizes)
    return {("responses", "loss"): loss}


def disagreements(first: Scored, second: Scored, level: str) -> tuple[int, int] | None:
    """How many comparisons only the first gets right, and only the second; None if none match."""
    members = [
        np.flatnonzero(np.asarray(scored.level, dtype=str) == level) for scored in (first, second)
    ]
    pairs = _matched(first, second, *members)
    if not len(pairs):
        return None
    a, b = first.margin[pairs[:, 0]] > 0, second.margin[pairs[:, 1]] > 0
    return int((a & ~b).sum()), int((~a & b).sum())
