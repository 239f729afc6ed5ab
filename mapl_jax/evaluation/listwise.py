"""How lists of responses are ranked, by subset, as the benchmarks that have lists define it."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from mapl_jax.runtime.console import text_table

Term = tuple[int, int, int, float]  # prompt, response, sign, reward
Summary = dict[str, dict[str, float]]
ALL, MEAN = "all", "mean of subsets"
_OF_TIES = re.compile(r"(ref|tied):\d+")
FOOTNOTES = (
    "best first: the highest reward is that of a response that no other is better than (of n with",
    "the same highest reward each counts 1/n). Kendall's tau: of the preferences within a list.",
)


class Ranked(NamedTuple):
    """A list of responses with their rewards.

    Attributes:
        id: of the sample.
        subset: that it belongs to; empty where the data has none.
        rewards: of each response that is compared.
        edges: (better, worse), indices of responses.
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
    """The lists of samples, in order.

    Args:
        comparisons: of the base level; id and subset of the sample, and the terms: prompt,
            response, sign and reward.
    """
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
    """The score of the subset Ties of RewardBench 2 (arXiv 2506.01937).

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
    score = sum(0.3 * float(np.mean(np.asarray([*x.values()]) > 0)) for x in gap.values() if x)
    both = [number for number in gap["ref"] if number in gap["tied"]]
    if not both:
        return score
    within = np.asarray([spread[number] for number in both])
    of_tied, of_ref = (np.asarray([gap[kind][n] for n in both]) for kind in ("tied", "ref"))
    least = np.minimum(of_tied, of_ref)
    with np.errstate(divide="ignore", invalid="ignore"):
        how_much = np.nan_to_num(np.tanh(least / within - 1), nan=0.0)
    parts = 0.2 * (of_tied > within) + 0.2 * (least > within) + 0.01 * how_much
    return score + float(parts.mean())


def summarize(lists: Sequence[Ranked]) -> Summary:
    """Of every subset, and of their mean, its `samples`, `best_first`, `kendall_tau`, `ties_score`.

    Nothing where there are neither lists nor subsets. The mean of `score` takes the subset Ties by
    its own score, as the leaderboard of RewardBench 2 does.
    """
    if not any(ranked.subset or len(ranked.rewards) > 2 for ranked in lists):
        return {}
    subsets: dict[str, list[Ranked]] = {}
    for ranked in lists:
        subsets.setdefault(ranked.subset or ALL, []).append(ranked)
    summaries = {name: _of_subset(subsets[name]) for name in sorted(subsets)}
    if len(summaries) > 1:
        names = ("score", "kendall_tau")
        mean = {name: float(np.mean([one[name] for one in summaries.values()])) for name in names}
        summaries[MEAN] = {"samples": float(len(lists)), **mean}
    return summaries


def _of_subset(lists: Sequence[Ranked]) -> dict[str, float]:
    first = float(np.mean([best_first(ranked) for ranked in lists]))
    tau = float(np.mean([kendall_tau(ranked) for ranked in lists]))
    summary = {
        "samples": float(len(lists)),
        "best_first": first,
        "kendall_tau": tau,
        "score": first,
    }
    if all(_OF_TIES.fullmatch(ranked.id) for ranked in lists):
        summary["score"] = summary["ties_score"] = ties_score(lists)
    return summary


def table(summary: Summary) -> str:
    """A summary as a text table."""
    has_ties = any("ties_score" in one for one in summary.values())
    names = ["best_first", *(["ties_score"] if has_ties else []), "score"]
    if not has_ties and MEAN not in summary:
        names.remove("score")
    header = ["subset", "samples", *(name.replace("_", " ") for name in names), "Kendall's tau"]
    cells = [
        [
            name,
            f"{one['samples']:.0f}",
            *(f"{100 * one[key]:.1f} %" if key in one else "-" for key in names),
            f"{one['kendall_tau']:+.3f}",
        ]
        for name, one in summary.items()
    ]
    return text_table([header, *cells], FOOTNOTES)
