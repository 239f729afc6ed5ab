"""Differences between the scores of two models, paired where both scored the same texts."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mapl_jax import losses
from mapl_jax.evaluation import likelihood, statistics
from mapl_jax.evaluation.preferences import Scored
from mapl_jax.losses import LEVELS

Key = tuple[str, str]  # level and quantity
# Quantity -> what each comparison adds above and below the line of a ratio, [n] each.
Columns = Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of one quantity, second minus first, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    paired: bool  # whether both sides are of the same comparisons
    # Comparisons (or responses): of each if paired, of the first and the second if not.
    count: tuple[int, ...]

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def of_comparisons(
    first: Scored, second: Scored, *, same: Sequence[str], seed: int, resamples: int
) -> dict[Key, Difference]:
    """Differences by (level, quantity).

    Quantities are "accuracy", "loss" (mean of -log sigmoid of margin - gamma), and the accuracies
    "family:ID" and "k:NUMBER" of the comparisons with an instruction of a family and with a number
    of instructions. Levels in `same` are of the same comparisons, text by text.
    """
    differences: dict[Key, Difference] = {}
    for level in LEVELS:
        members = [scored.of(level) for scored in (first, second)]
        if not all(map(len, members)):
            continue
        paired = False
        if level in same and len(pairs := _matched(first, second, *members)):
            members, paired = [pairs[:, 0], pairs[:, 1]], True
        sides = [
            _Side([scored.sample_id[i] for i in at], _columns(scored, at))
            for scored, at in zip((first, second), members, strict=True)
        ]
        values = _differences(*sides, paired=paired, seed=seed, resamples=resamples)
        differences |= {(level, name): value for name, value in values.items()}
    return differences


@dataclasses.dataclass(frozen=True)
class _Side:
    """One model's part of a difference: the sample of each entry, and its columns."""

    samples: list[str]
    columns: Columns


def _matched(first: Scored, second: Scored, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Indices of the comparisons that both have, [n, 2]."""

    def key(scored: Scored, i: int) -> tuple[object, ...]:
        return scored.sample_id[i], *(term[:3] for term in scored.terms[i])

    index = {key(second, int(j)): int(j) for j in b}
    pairs = [(int(i), index[k]) for i in a if (k := key(first, int(i))) in index]
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def _columns(scored: Scored, members: np.ndarray) -> Columns:
    margin, share = scored.margin[members], scored.share[members]
    right = losses.is_right(margin) * share
    loss = losses.margin_loss(margin - scored.gamma[members]) * share
    columns = {"accuracy": (right, share), "loss": (loss, share)}
    families = [set(scored.families[i]) for i in members]
    for name in sorted(set().union(*families)):
        holds = np.asarray([name in names for names in families], np.float64)
        columns[f"family:{name}"] = (right * holds, share * holds)
    ks = scored.k[members]
    for k in sorted(set(ks.tolist()) - {0}):
        holds = (ks == k).astype(np.float64)
        columns[f"k:{k}"] = (right * holds, share * holds)
    return columns


def _differences(
    first: _Side, second: _Side, *, paired: bool, seed: int, resamples: int
) -> dict[str, Difference]:
    """The difference of every quantity that both sides have."""
    names = [name for name in first.columns if name in second.columns]
    drawn, shares, counts, spread = [], [], [], []
    for number, side in enumerate((first, second)):
        cluster, n = statistics.clusters(side.samples)
        top, bottom = (
            np.stack([np.bincount(cluster, side.columns[name][part], n) for name in names], 1)
            for part in (0, 1)
        )
        # Clusters are sorted by name: paired sides with one seed have the same draws.
        own = seed + (0 if paired else number)
        drawn.append(statistics.ratios(top, bottom, seed=own, resamples=resamples))
        shares.append(top.sum(0) / bottom.sum(0))
        counts.append(np.ceil(bottom.sum(0) - 1e-6).astype(int))
        spread.append((bottom > 0).sum(0))
    differences = {}
    for column, name in enumerate(names):
        low, high = statistics.interval(drawn[1][:, column] - drawn[0][:, column])
        # A single sample says nothing about others.
        if min(counts_of_side[column] for counts_of_side in spread) < 2 or np.isnan(low):
            low, high = -np.inf, np.inf
        sizes = tuple(int(count[column]) for count in counts)
        value = float(shares[1][column] - shares[0][column])
        differences[name] = Difference(value, low, high, paired, sizes[:1] if paired else sizes)
    return differences


def of_responses(
    first: likelihood.Scored, second: likelihood.Scored, *, same: bool, seed: int, resamples: int
) -> dict[Key, Difference]:
    """The difference of the loss of demonstrations, in nats a token, which may be the same ones."""
    members = [np.arange(len(first.sample_id)), np.arange(len(second.sample_id))]
    paired = False
    if same:
        index = {name: i for i, name in enumerate(second.sample_id)}
        both = [(i, index[name]) for i, name in enumerate(first.sample_id) if name in index]
        if both:
            members, paired = list(np.asarray(both, np.int64).T), True
    sides = [
        _Side(
            [scored.sample_id[i] for i in at],
            {"loss": (-scored.logp[at], scored.tokens[at].astype(np.float64))},
        )
        for scored, at in zip((first, second), members, strict=True)
    ]
    differences = _differences(*sides, paired=paired, seed=seed, resamples=resamples)
    # The ratio counts tokens; readers are told the number of responses.
    sizes = tuple(map(len, members))
    loss = dataclasses.replace(differences["loss"], count=sizes[:1] if paired else sizes)
    return {("responses", "loss"): loss}


def disagreements(first: Scored, second: Scored, level: str) -> tuple[int, int]:
    """How many comparisons that both have only the first gets right, and only the second."""
    pairs = _matched(first, second, first.of(level), second.of(level))
    a = losses.is_right(first.margin[pairs[:, 0]])
    b = losses.is_right(second.margin[pairs[:, 1]])
    return int((a & ~b).sum()), int((~a & b).sum())
