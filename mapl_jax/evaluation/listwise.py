"""How lists of responses are ranked, by subset, as the benchmarks that have lists define it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mapl_jax.evaluation import statistics
from mapl_jax.runtime.console import Table

Term = tuple[int, int, int, float]  # prompt, response, sign, reward
Summary = dict[str, dict[str, float]]
ALL, MEAN = "all", "mean of subsets"
_OF_TIES = re.compile(r"(ref|tied):\d+")
FOOTNOTES = (
    "best first: the highest reward is that of a response that no other is better than (of n with",
    "the same highest reward each counts 1/n). Kendall's tau: of the preferences within a list.",
    "In brackets: 95 % intervals of the bootstrap over lists.",
)


class Ranked(NamedTuple):
    """A list of responses with their rewards, of a subset where the data has some.

    Edges are (better, worse), indices of responses that are compared.
    """

    id: str
    subset: str
    rewards: dict[int, float]
    edges: list[tuple[int, int]]

    @property
    def best(self) -> list[int]:
        """The responses that no other is better than."""
        beaten = {worse for _, worse in self.edges}
        return [response for response in self.rewards if response not in beaten]


def ranked(comparisons: Iterable[tuple[str, str, Sequence[Term]]]) -> list[Ranked]:
    """The lists of samples, in order, from id, subset and terms of their base comparisons."""
    lists: dict[str, Ranked] = {}
    for name, subset, terms in comparisons:
        one = lists.setdefault(name, Ranked(name, subset, {}, []))
        one.rewards.update({response: reward for _, response, _, reward in terms})
        better, worse = (next((t[1] for t in terms if t[2] == sign), -1) for sign in (1, -1))
        one.edges.append((better, worse))
    return list(lists.values())


def best_first(ranked: Ranked) -> float:
    """Whether one of the best has the highest reward; of n with the same, 1/n for each best one."""
    highest = max(ranked.rewards.values())
    first = [response for response, reward in ranked.rewards.items() if reward == highest]
    return sum(response in ranked.best for response in first) / len(first)


def kendall_tau(ranked: Ranked) -> float:
    """(C - D) / sqrt((C + D) (C + D + T)): right, wrong and tied preferences (arXiv 2603.04738).

    Of a ranking without ties in it this is the tau-b of `scipy.stats.kendalltau`.
    """
    gaps = np.asarray([ranked.rewards[i] - ranked.rewards[j] for i, j in ranked.edges])
    parted = np.count_nonzero(gaps)
    return float(np.sign(gaps).sum() / max(1.0, np.sqrt(parted * len(gaps))))


def ties_score(lists: Sequence[Ranked]) -> float:
    """The score of the subset Ties of RewardBench 2 (arXiv 2506.01937); see `_of_ties`."""
    return float(_sum_of_ratios(_of_ties(lists).sum(0)))


def _of_ties(lists: Sequence[Ranked]) -> np.ndarray:
    """What each number of the subset Ties adds above and below to three ratios, [numbers, 3, 2].

    0.3 of it is for prompts with several right answers ("tied:ID"), 0.3 for those with one
    ("ref:ID"), whose right answers all stand above all wrong ones; 0.2 where the gap between right
    and wrong answers of a tied prompt exceeds the spread of its right ones, and 0.2 where the gap
    of its reference does, too. A hundredth goes by how much.
    """
    spread: dict[str, float] = {}
    gap: dict[str, dict[str, float]] = {"ref": {}, "tied": {}}
    for ranked in lists:
        kind, number = ranked.id.split(":")
        right = [ranked.rewards[i] for i in ranked.best]
        wrong = [ranked.rewards[j] for j in {worse for _, worse in ranked.edges}]
        gap[kind][number] = min(right) - max(wrong)
        if kind == "tied":
            spread[number] = max(right) - min(right)
    numbers = list(dict.fromkeys([*gap["ref"], *gap["tied"]]))
    of_ref, of_tied = (np.asarray([gap[x].get(n, np.nan) for n in numbers]) for x in gap)
    within = np.asarray([spread.get(number, np.nan) for number in numbers])
    least = np.minimum(of_tied, of_ref)  # nan where one of the two is missing
    with np.errstate(divide="ignore", invalid="ignore"):
        how_much = np.nan_to_num(np.tanh(least / within - 1), nan=0.0)
    parts = 0.2 * (of_tied > within) + 0.2 * (least > within) + 0.01 * how_much
    there = [~np.isnan(values) for values in (of_ref, of_tied, least)]
    above = [0.3 * (of_ref > 0), 0.3 * (of_tied > 0), np.where(there[2], parts, 0.0)]
    return np.stack([np.stack(above, 1), np.stack(there, 1).astype(float)], 2)


def _sum_of_ratios(sums: np.ndarray) -> np.ndarray:
    """The sum over ratios of sums above and below, [..., ratios, 2]; of nothing a ratio is 0."""
    return np.nansum(statistics.ratio(sums[..., 0], sums[..., 1]), axis=-1)


def summarize(lists: Sequence[Ranked], *, seed: int = 0, resamples: int = 0) -> Summary:
    """Of every subset, and of their mean, its `samples`, `best_first`, `kendall_tau`, `ties_score`.

    Nothing where there are neither lists nor subsets. The mean of `score` takes the subset Ties by
    its own score, as the leaderboard of RewardBench 2 does. With resamples each has `_low` and
    `_high`, the 95 % interval of the bootstrap over the lists of each subset (of Ties: over its
    numbers).
    """
    if not any(ranked.subset or len(ranked.rewards) > 2 for ranked in lists):
        return {}
    subsets: dict[str, list[Ranked]] = {}
    for ranked in lists:
        subsets.setdefault(ranked.subset or ALL, []).append(ranked)
    columns = {name: _of_subset(subsets[name]) for name in sorted(subsets)}
    drawn = {
        name: {
            key: _sum_of_ratios(
                statistics.resampled_sums(values, seed=seed + number, resamples=resamples)
            )
            for key, values in one.items()
        }
        for number, (name, one) in enumerate(columns.items())
    }
    summaries = {
        name: {
            "samples": float(len(subsets[name])),
            **{key: float(_sum_of_ratios(values.sum(0))) for key, values in one.items()},
        }
        for name, one in columns.items()
    }
    if len(summaries) > 1:
        names = ("score", "kendall_tau")
        mean = {name: float(np.mean([one[name] for one in summaries.values()])) for name in names}
        drawn[MEAN] = {key: np.mean([one[key] for one in drawn.values()], axis=0) for key in names}
        summaries[MEAN] = {"samples": float(len(lists)), **mean}
    for name, one in drawn.items() if resamples else ():
        for key, values in one.items():
            low, high = statistics.interval(values)
            summaries[name] |= {f"{key}_low": low, f"{key}_high": high}
    return summaries


def _of_subset(lists: Sequence[Ranked]) -> dict[str, np.ndarray]:
    """What each list, or number of Ties, adds to each quantity: see `_sum_of_ratios`."""

    def mean_of(quantity: Callable[[Ranked], float]) -> np.ndarray:
        return np.asarray([[(quantity(ranked), 1.0)] for ranked in lists])

    first = mean_of(best_first)
    columns = {"best_first": first, "kendall_tau": mean_of(kendall_tau), "score": first}
    if all(_OF_TIES.fullmatch(ranked.id) for ranked in lists):
        columns["score"] = columns["ties_score"] = _of_ties(lists)
    return columns


def table(summary: Summary) -> Table:
    """A summary as a table, a subset a row."""
    has_ties = any("ties_score" in one for one in summary.values())
    names = ["best_first", *(["ties_score"] if has_ties else []), "score"]
    if not has_ties and MEAN not in summary:
        names.remove("score")
    header = ["subset", "samples", *(name.replace("_", " ") for name in names), "Kendall's tau"]
    cells = [
        [
            name,
            f"{one['samples']:.0f}",
            *(_cell(one, key, 100, ".1f", " %", key == names[-1]) for key in names),
            _cell(one, "kendall_tau", 1, "+.3f", "", True),
        ]
        for name, one in summary.items()
    ]
    return Table([header, *cells], FOOTNOTES)


def _cell(
    one: Mapping[str, float], key: str, scale: int, form: str, unit: str, interval: bool
) -> str:
    """A number, with its interval where it has one and the line has room."""
    if key not in one:
        return "-"
    numbers = one if interval else {key: one[key]}
    return statistics.with_interval(numbers, key, form, scale=scale, unit=unit)
