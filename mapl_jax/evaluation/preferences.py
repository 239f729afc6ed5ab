"""How often, and by how much, comparisons come out the right way.

A comparison is right if its margin is above 0; an exact tie is wrong, so that a model that says the
same of everything scores 0 and not 50 %.
"""

import collections
import dataclasses
import functools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from mapl_jax import losses
from mapl_jax.data.encode import TrieRecord
from mapl_jax.data.loader import Batches
from mapl_jax.evaluation import listwise, statistics
from mapl_jax.evaluation.listwise import Term
from mapl_jax.evaluation.statistics import Summary, percent
from mapl_jax.losses import ALL_LEVELS, LEVELS, NEUTRAL
from mapl_jax.runtime import outputs
from mapl_jax.runtime.console import Table
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import read_lines, write_lines
from mapl_jax.training.scoring import LeafFunction, leaf_numbers


@dataclasses.dataclass(frozen=True)
class Scored:
    """Comparisons of a set of samples with their rewards; lists and arrays of one length, [n].

    Attributes:
        sample_id: the sample that each comparison belongs to.
        level: "base", "intra", "inter" or "neutral".
        margin: signed sum of rewards, float64; without gamma, as in TRL.
        gamma: what the margin should exceed; counts in the loss only.
        length_margin: the same signed sum of token counts of the leaves instead of rewards.
        k: instructions added; 0 for base.
        families: constraint ids of the comparison.
        terms: (prompt index, response index, sign, reward) of each term.
        tokens: of the response of each term; None where files of an older version lack them.
        subset: that the sample of each comparison belongs to, where the data has subsets.
    """

    sample_id: list[str]
    level: list[str]
    margin: np.ndarray
    gamma: np.ndarray
    length_margin: np.ndarray
    k: np.ndarray
    families: list[tuple[str, ...]]
    terms: list[list[Term]]
    tokens: list[tuple[int, ...]] | None = None
    subset: list[str] | None = None

    @functools.cached_property
    def share(self) -> np.ndarray:
        """What each comparison counts, so that a list of responses counts as a pair does."""
        keys = list(zip(self.sample_id, self.level, strict=True))
        counts = collections.Counter(keys)
        shares = [losses.share(ALL_LEVELS.index(key[1]), counts[key]) for key in keys]
        return np.asarray(shares, np.float64)

    def of(self, level: str) -> np.ndarray:
        """Indices of the comparisons of a level."""
        return np.flatnonzero(np.asarray(self.level, dtype=str) == level)


def summarize(scored: Scored, *, seed: int, resamples: int) -> Summary:
    """The numbers of an evaluation, as plain floats, ints and dicts.

    For each level that occurs: `{level}_accuracy`, `_ties` (fraction of exact ties), `_margin`
    (mean), `_loss` (mean of -log sigmoid of margin - gamma), `_count`, `_length_accuracy` and
    `_length_ties` (of preferring what is longer; half of the ties are right), those of
    `statistics.summarize`, and with resamples `_accuracy_low` and `_accuracy_high`. `by_k` and
    `by_family` hold accuracies by number of instructions and by constraint; a comparison counts
    for each of its constraints. `loss` is the sum of the level losses; `accuracy`, `margin` and
    `mean_reward`, `min_reward`, `max_reward` are those of base, under TRL's names.

    Neutral comparisons are ties and have no accuracy: `neutral_margin` is the mean of |margin|, by
    how much instructions move a gap that they should leave alone, beside `_loss` and `_count`.

    Intervals are 95 % percentile intervals of the bootstrap over whole samples, because the
    comparisons of one sample share leaves and so are not independent. Comparisons count by their
    shares. Of lists of responses and of subsets `lists` holds what `listwise.summarize` says.

    Raises:
        NotFiniteError: a margin is not finite.
    """
    _check_finite(scored)
    correct = losses.is_right(scored.margin)
    groups = _groups(scored)
    intervals = _intervals(scored, correct, groups, seed=seed, resamples=resamples)
    loss = losses.margin_loss(scored.margin - scored.gamma)
    levels = [level for level in LEVELS if (level, "", "") in groups]
    summary: dict[str, Any] = {}
    for level in levels:
        members = groups[level, "", ""]
        margin, length = scored.margin[members], scored.length_margin[members]
        means = {
            "accuracy": correct[members],
            "ties": losses.is_tie(margin),
            "margin": margin,
            "loss": loss[members],
            # A rule of length has no opinion where both are equally long.
            "length_accuracy": losses.is_right(length) + losses.is_tie(length) / 2,
            "length_ties": losses.is_tie(length),
        }
        share = scored.share[members]
        summary |= {
            f"{level}_{name}": float(np.average(values, weights=share))
            for name, values in means.items()
        }
        summary[f"{level}_count"] = len(members)
        diagnostics = statistics.summarize(margin, length)
        # "base_length_accuracy" is of a rule; "base_longer_accuracy" is the model's.
        summary |= {f"{level}_{name}": value for name, value in diagnostics.items()}
        if resamples:
            low, high = intervals[level, "", ""]
            summary |= {f"{level}_accuracy_low": low, f"{level}_accuracy_high": high}
    if "base" in levels:
        rewards = np.asarray(
            [term[3] for i in groups["base", "", ""] for term in scored.terms[i]], np.float64
        )
        summary |= {"accuracy": summary["base_accuracy"], "margin": summary["base_margin"]}
        if len(rewards):
            summary |= {
                "mean_reward": float(rewards.mean()),
                "min_reward": float(rewards.min()),
                "max_reward": float(rewards.max()),
            }
    if levels:
        summary["loss"] = sum(summary[f"{level}_loss"] for level in levels)
    summary |= _neutral(scored)
    by_k: dict[str, dict[str, object]] = {level: {} for level in levels}
    by_family: dict[str, dict[str, object]] = {level: {} for level in levels}
    for key, members in groups.items():
        level, kind, name = key
        accuracy = float(np.average(correct[members], weights=scored.share[members]))
        cell: dict[str, object] = {"accuracy": accuracy, "count": len(members)}
        if resamples:
            cell["low"], cell["high"] = intervals[key]
        if kind:
            {"k": by_k, "family": by_family}[kind][level][name] = cell
    if lists := listwise.summarize(ranked(scored), seed=seed, resamples=resamples):
        summary["lists"] = lists
    return {**summary, "by_k": by_k, "by_family": by_family}


def _neutral(scored: Scored) -> Summary:
    """How little the gap moves where it should not, of a set that has neutral comparisons."""
    of_it = scored.of(ALL_LEVELS[NEUTRAL])
    if not len(of_it):
        return {}
    margin, share = scored.margin[of_it], scored.share[of_it]
    loss = (losses.margin_loss(margin) + losses.margin_loss(-margin)) / 2
    return {
        "neutral_margin": float(np.average(np.abs(margin), weights=share)),
        "neutral_loss": float(np.average(loss, weights=share)),
        "neutral_count": len(of_it),
    }


def ranked(scored: Scored) -> list[listwise.Ranked]:
    """The responses of every sample as its base comparisons rank them."""
    subsets = scored.subset or [""] * len(scored.level)
    columns = zip(scored.sample_id, subsets, scored.terms, scored.level, strict=True)
    return listwise.ranked(row[:3] for row in columns if row[3] == "base")


# The mark of a file of scores, for `runtime.outputs`.
SCORES = outputs.lines("id", "level", "margin", "terms")


def write_scores(path: str | os.PathLike[str], scored: Scored) -> None:
    """Writes one JSON line a comparison, or `NotFiniteError` if a margin is not finite."""
    _check_finite(scored)
    write_lines(path, (_record(scored, i) for i in range(len(scored.sample_id))))


def _record(scored: Scored, i: int) -> dict[str, object]:
    """A comparison as a file of scores has it."""
    names = ("prompt", "response", "sign", "reward")
    terms = [dict[str, object](zip(names, term, strict=True)) for term in scored.terms[i]]
    if scored.tokens is not None:
        terms = [term | {"tokens": n} for term, n in zip(terms, scored.tokens[i], strict=True)]
    return {
        "id": scored.sample_id[i],
        "level": scored.level[i],
        "margin": float(scored.margin[i]),
        "gamma": float(scored.gamma[i]),
        "length_margin": float(scored.length_margin[i]),
        "k": int(scored.k[i]),
        "families": list(scored.families[i]),
        "terms": terms,
        **({} if scored.subset is None else {"subset": scored.subset[i]}),
    }


def read_scores(path: str | os.PathLike[str]) -> Scored:
    """Reads what `write_scores` wrote, bit for bit."""

    def make(record: Any) -> tuple[Any, ...]:
        terms = [(t["prompt"], t["response"], t["sign"], t["reward"]) for t in record["terms"]]
        numbers = (float(record[name]) for name in ("margin", "gamma", "length_margin"))
        families = tuple(map(str, record["families"]))
        # Older files do not say how long the leaves are.
        tokens = tuple(t.get("tokens") for t in record["terms"])
        name, level, k = str(record["id"]), str(record["level"]), int(np.int64(record["k"]))
        subset = str(record.get("subset", ""))
        return name, level, *numbers, k, families, terms, tokens, subset

    return _scored(read_lines(path, make))


def _scored(rows: Iterable[tuple[Any, ...]]) -> Scored:
    """Comparisons as the fields of `Scored`, in order."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 10
    names, levels, margin, gamma, length, k, families, terms, tokens, subsets = columns
    known = all(count is not None for each in tokens for count in each)
    return Scored(
        names,
        levels,
        np.asarray(margin, np.float64),
        np.asarray(gamma, np.float64),
        np.asarray(length, np.float64),
        np.asarray(k, np.int64),
        families,
        terms,
        tokens if known else None,
        subsets if any(subsets) else None,
    )


FOOTNOTES = (
    "Chance is 50 %; a tie counts as wrong.",
    "prefer longer: accuracy of always preferring the longer text, a tie as half; - where all tie.",
)


def tables(before: Summary | None, after: Summary) -> list[Table]:
    """Summaries by level, in at most 100 columns (None: without those before), and of lists."""
    has_interval = any(f"{level}_accuracy_low" in after for level in LEVELS)
    accuracy = "accuracy" if before is None else "after"
    header = [
        "level",
        "comparisons",
        *(["accuracy before"] if before is not None else []),
        f"{accuracy} [95 % interval]" if has_interval else accuracy,
        "ties",
        "prefer longer",
        "mean margin",
    ]
    cells = [header]
    for level in LEVELS:
        if f"{level}_count" not in after:
            continue
        score = statistics.percent_with_interval(after, f"{level}_accuracy")
        row = [level, str(after[f"{level}_count"])]
        if before is not None:
            value = before.get(f"{level}_accuracy")
            # A policy that is still its own reference prefers nothing.
            tied = before.get(f"{level}_ties") == 1
            row.append("-" if value is None else "all tied" if tied else percent(value))
        no_lengths = after[f"{level}_length_ties"] == 1
        row += [
            score,
            percent(after[f"{level}_ties"]),
            "-" if no_lengths else percent(after[f"{level}_length_accuracy"]),
            f"{after[f'{level}_margin']:+.3f}",
        ]
        cells.append(row)
    if "neutral_count" in after:
        blank = ["-"] * (len(header) - 3)
        size = f"±{after['neutral_margin']:.3f}"
        cells.append(["neutral", str(after["neutral_count"]), *blank, size])
    lists = [listwise.table(after["lists"])] if "lists" in after else []
    return [Table(cells, FOOTNOTES), *lists]


def _check_finite(scored: Scored) -> None:
    def name(i: int) -> str:
        return f"the {scored.level[i]} margin of sample {scored.sample_id[i]}"

    statistics.check_finite(scored.margin, name, " comparisons")


def _groups(scored: Scored) -> dict[tuple[str, str, str], np.ndarray]:
    """(level, "" | "k" | "family", name) -> indices of its comparisons, in a fixed order."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for i, level in enumerate(scored.level):
        if level not in LEVELS:
            continue
        groups.setdefault((level, "", ""), []).append(i)
        groups.setdefault((level, "k", str(int(scored.k[i]))), []).append(i)
        for name in dict.fromkeys(scored.families[i]):
            groups.setdefault((level, "family", name), []).append(i)

    def order(key: tuple[str, str, str]) -> tuple[int, str, int, str]:
        level, kind, name = key
        return LEVELS.index(level), kind, int(name) if kind == "k" else 0, name

    return {key: np.asarray(groups[key]) for key in sorted(groups, key=order)}


def _intervals(
    scored: Scored,
    correct: np.ndarray,
    groups: Mapping[tuple[str, str, str], np.ndarray],
    *,
    seed: int,
    resamples: int,
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """95 % percentile intervals of the accuracies of groups of comparisons.

    A group from a single sample says nothing about others: its interval is (0, 1).
    """
    keys = list(groups)
    if not resamples or not keys:
        return {}
    cluster, n = statistics.clusters(list(scored.sample_id))
    # Accuracy of a resample is a ratio of sums over samples, so a sample is two numbers a group.
    total, right = (
        np.stack([np.bincount(cluster[m], values[m], n) for m in groups.values()], axis=1)
        for values in (scored.share, scored.share * correct)
    )
    values = statistics.ratios(right, total, seed=seed, resamples=resamples)
    result = {}
    for column, key in enumerate(keys):
        low, high = statistics.interval(values[:, column])
        alone = (total[:, column] > 0).sum() < 2 or np.isnan(low)
        result[key] = (0.0, 1.0) if alone else (low, high)
    return result


def score_comparisons(rewards: LeafFunction, batches: Batches, fields: Collection[str]) -> Scored:
    """Scores every comparison of a plan; arguments as for `leaf_numbers`."""
    scored = _scored(
        row
        for _, trie, values in leaf_numbers(rewards, batches, fields)
        for row in _rows(trie, values.astype(np.float64))
    )
    if not scored.level:
        raise UserError("the data to score holds only ties, and a tie cannot be right or wrong")
    return scored


def _rows(trie: TrieRecord, reward: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """The fields of `Scored` of every comparison of a trie but equally good responses."""
    leaf = trie["term_leaf"].reshape(-1, 4)
    sign = trie["term_sign"].reshape(-1, 4)
    prompt, response = trie["leaf_prompt"], trie["leaf_response"]
    margin = losses.signed_sum(reward[leaf], sign)
    length = losses.signed_sum(trie["leaf_tokens"][leaf], sign)
    for i in np.flatnonzero(~trie["tie"] | (trie["level"] == NEUTRAL)).tolist():
        used = [(leaf[i, t], int(sign[i, t])) for t in range(4) if sign[i, t]]
        yield (
            str(trie["id"]),
            ALL_LEVELS[int(trie["level"][i])],
            float(margin[i]),
            float(trie["gamma"][i]),
            float(length[i]),
            int(trie["k"][i]),
            tuple(str(trie["families"][i]).split()),
            [(int(prompt[at]), int(response[at]), way, float(reward[at])) for at, way in used],
            tuple(int(trie["response_tokens"][at]) for at, _ in used),
            str(trie["subset"]),
        )
