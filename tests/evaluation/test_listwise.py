"""Lists of responses are scored as RewardBench 2 and IF-RewardBench define it."""

import itertools

import numpy as np
import pytest
from evaluation.test_preferences import scored, table
from scipy.stats import kendalltau

from mapl_jax.evaluation import listwise
from mapl_jax.evaluation.listwise import Ranked, best_first, kendall_tau, ties_score
from mapl_jax.evaluation.preferences import ranked, read_scores, summarize, write_scores


def of_four(rewards, name="q", subset=""):
    """One chosen response, the first, and three rejected ones."""
    return Ranked(name, subset, dict(enumerate(rewards)), [(0, 1), (0, 2), (0, 3)])


def of_answers(name, right, wrong):
    """A prompt of the subset Ties."""
    edges = [(i, len(right) + j) for i in range(len(right)) for j in range(len(wrong))]
    return Ranked(name, "Ties", dict(enumerate([*right, *wrong])), edges)


@pytest.mark.parametrize(
    ("rewards", "value"),
    [([3, 1, 2, 0], 1), ([1, 3, 2, 0], 0), ([2, 2, 1, 0], 1 / 2), ([0, 0, 0, 0], 1 / 4)],
)
def test_the_chosen_of_four_comes_first_or_shares_the_first_place(rewards, value):
    assert best_first(of_four(rewards)) == value


def test_tau_of_a_ranking_is_that_of_scipy():
    rng = np.random.default_rng(0)
    for n in range(2, 7):
        rewards = rng.integers(0, 4, n).astype(float)
        edges = list(itertools.combinations(range(n), 2))
        expected = kendalltau(-np.arange(n), rewards).statistic
        found = kendall_tau(Ranked("q", "", dict(enumerate(rewards)), edges))
        assert found == pytest.approx(np.nan_to_num(expected))


def test_tau_of_a_graph_counts_what_is_preferred_alone():
    graph = Ranked("q", "", {0: 2.0, 1: 5.0, 2: 1.0, 3: 1.0}, [(0, 2), (1, 2), (2, 3), (0, 1)])
    assert kendall_tau(graph) == pytest.approx((2 - 1) / np.sqrt(3 * 4))


def test_the_score_of_ties_is_that_of_its_definition():
    lists = [
        of_answers("ref:1", [3.0], [1.0, 0.0]),  # gap 2
        of_answers("tied:1", [4.0, 3.0], [0.0, 0.5]),  # gap 2.5, spread 1
        of_answers("ref:2", [1.0], [0.5]),  # gap 0.5
        of_answers("tied:2", [4.0, 3.0, 2.0], [-1.0]),  # gap 3, spread 2
        of_answers("ref:3", [0.0], [1.0]),  # wrong
        of_answers("tied:3", [1.0, 0.0], [2.0]),  # wrong
    ]
    how_much = np.tanh([2 / 1 - 1, 0.5 / 2 - 1, -2 / 1 - 1]).mean()
    expected = 0.3 * 2 / 3 + 0.3 * 2 / 3 + 0.2 * 2 / 3 + 0.2 * 1 / 3 + 0.01 * how_much
    assert ties_score(lists) == pytest.approx(expected)


def test_right_answers_without_a_spread_count_nothing_by_how_much():
    lists = [of_answers("ref:1", [0.0], [0.0]), of_answers("tied:1", [0.0, 0.0], [0.0])]
    assert ties_score(lists) == 0.0


def test_subsets_stand_alone_and_their_mean_takes_ties_by_its_score():
    math = [of_four([1, 0, 0, 0], subset="Math"), of_four([0, 1, 0, 0], "r", "Math")]
    ties = [of_answers("ref:1", [3.0], [1.0]), of_answers("tied:1", [4.0, 3.9], [0.0])]
    summary = listwise.summarize([*math, *ties])
    assert list(summary) == ["Math", "Ties", listwise.MEAN]
    assert summary["Math"]["score"] == summary["Math"]["best_first"] == 0.5
    assert summary["Ties"]["score"] == pytest.approx(ties_score(ties))
    assert summary[listwise.MEAN]["score"] == pytest.approx((0.5 + ties_score(ties)) / 2)
    shown = str(listwise.table(summary))
    assert "50.0 %" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_lists_and_their_mean_have_intervals():
    math = [of_four([i % 2, 1 - i % 2, 0, 0], f"m{i}", "Math") for i in range(40)]
    ties = [
        answers
        for i in range(20)
        for answers in (
            of_answers(f"ref:{i}", [3.0], [1.0 + i % 4]),
            of_answers(f"tied:{i}", [4.0, 3.9], [0.1 * i + i % 3]),
        )
    ]
    summary = listwise.summarize([*math, *ties], seed=1, resamples=200)
    for name, part in summary.items():
        for key in {"score", "kendall_tau", "ties_score"} & part.keys():
            low, high = part[f"{key}_low"], part[f"{key}_high"]
            assert low < part[key] < high, (name, key)
    # Of 40 even draws: half, and 1.96 standard deviations of a mean of 40.
    ends = [summary["Math"][f"score_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx([0.345, 0.655], abs=0.05)
    width = [summary[name]["score_high"] - summary[name]["score_low"] for name in summary]
    assert width[2] < max(width[:2])  # a mean of two
    shown = str(listwise.table(summary))
    assert "50.0 % [" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_pairs_have_no_lists():
    assert "lists" not in summarize(scored([1.0, -1.0]), seed=0, resamples=0)


def of_list(subset=None):
    """Scores of a list of three responses, with rewards 3, 1, 2, and of a pair."""
    found = scored([2.0, 1.0, -1.0, 5.0], ids=["q", "q", "q", "p"])
    rewards, edges = {0: 3.0, 1: 1.0, 2: 2.0}, [(0, 1), (0, 2), (1, 2)]
    found.terms[:3] = [[(0, i, 1, rewards[i]), (0, j, -1, rewards[j])] for i, j in edges]
    object.__setattr__(found, "subset", subset)
    return found


def test_a_list_counts_as_one_sample():
    summary = summarize(of_list(), seed=0, resamples=20)
    assert summary["base_count"] == 4
    assert summary["base_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert summary["base_margin"] == pytest.approx((2 / 3 + 5) / 2)
    assert summary["lists"][listwise.ALL]["samples"] == 2
    assert summary["lists"][listwise.ALL]["best_first"] == 1.0
    assert "best first" in table(None, summary)


def test_subsets_come_back_from_a_file(tmp_path):
    write_scores(tmp_path / "a.jsonl", of_list(["x"] * 3 + ["y"]))
    found = read_scores(tmp_path / "a.jsonl")
    assert found.subset == ["x", "x", "x", "y"]
    assert [(one.id, one.subset, len(one.edges)) for one in ranked(found)] == [
        ("q", "x", 3),
        ("p", "y", 1),
    ]
