"""The numbers of an evaluation are what they say, and scores come back as they went out."""

import dataclasses
import json
import math
import time

import numpy as np
import pytest

from mapl_jax import losses
from mapl_jax.evaluation import preferences
from mapl_jax.evaluation.preferences import Scored, read_scores, summarize, tables, write_scores


def table(before, after):
    """The tables as they are printed."""
    return "\n\n".join(map(str, tables(before, after)))


def scored(margins, *, level="base", ids=None, lengths=None, k=None, families=None, gamma=None):
    n = len(margins)
    levels = [level] * n if isinstance(level, str) else list(level)
    return Scored(
        sample_id=list(ids) if ids is not None else [f"s{i}" for i in range(n)],
        level=levels,
        margin=np.asarray(margins, np.float64),
        gamma=np.asarray(gamma if gamma is not None else np.zeros(n), np.float64),
        length_margin=np.asarray(lengths if lengths is not None else np.ones(n), np.float64),
        k=np.asarray(k if k is not None else [0 if x == "base" else 2 for x in levels], np.int64),
        families=families if families is not None else [()] * n,
        terms=[[(0, 0, 1, float(m)), (0, 1, -1, 0.0)] for m in margins],
        tokens=[(3 + i, 4) for i in range(n)],
    )


def mixed(n, seed=0, shift=0.5):
    rng = np.random.default_rng(seed)
    levels = ["base", "intra", "intra", "inter", "inter"] * n
    return scored(
        rng.normal(shift, 1, 5 * n),
        level=levels,
        ids=[f"s{i}" for i in range(n) for _ in range(5)],
        lengths=rng.integers(-3, 4, 5 * n),
        k=[0 if level == "base" else int(rng.integers(2, 6)) for level in levels],
        families=[
            () if level == "base" else tuple(rng.choice(["a:x", "b:y", "c:z"], 2, replace=False))
            for level in levels
        ],
    )


def width(summary, level="base"):
    return summary[f"{level}_accuracy_high"] - summary[f"{level}_accuracy_low"]


def test_a_tie_is_wrong():
    summary = summarize(scored([0.0, 0.0, 1.0, -1.0]), seed=0, resamples=0)
    assert summary["base_accuracy"] == 0.25
    assert summary["base_ties"] == 0.5


def test_neutral_comparisons_say_how_far_the_gap_moves_and_change_no_accuracy():
    margins, levels = [1.0, -2.0, 2.0, -1.0], ["base", "inter", "neutral", "neutral"]
    alone = summarize(scored(margins[:2], level=levels[:2]), seed=0, resamples=50)
    both = summarize(scored(margins, level=levels), seed=0, resamples=50)
    assert alone == {k: v for k, v in both.items() if not k.startswith("neutral")}
    assert (both["neutral_margin"], both["neutral_count"]) == (1.5, 2)
    loss = [(np.logaddexp(0, m) + np.logaddexp(0, -m)) / 2 for m in (2.0, 1.0)]
    assert both["neutral_loss"] == pytest.approx(np.mean(loss))
    assert "neutral" in table(None, both) and "±1.500" in table(None, both)
    assert "neutral" not in table(None, alone)


def test_preferring_longer_has_its_own_accuracy_and_ties():
    summary = summarize(scored([1.0] * 4, lengths=[3, -3, 0, 0]), seed=0, resamples=0)
    # One of the two pairs of unequal length, and half of the two others.
    assert summary["base_length_accuracy"] == 0.5
    assert summary["base_length_ties"] == 0.5


def test_loss_and_margin_have_closed_forms():
    summary = summarize(scored([0.0, 2.0]), seed=0, resamples=0)
    assert summary["base_margin"] == 1.0
    expected = (math.log(2) + math.log1p(math.exp(-2))) / 2
    assert summary["base_loss"] == pytest.approx(expected, rel=1e-12)
    assert summary["loss"] == summary["base_loss"]


def test_loss_is_stable_far_out():
    summary = summarize(scored([-1e4, 1e4]), seed=0, resamples=0)
    assert summary["base_loss"] == 5e3


def test_loss_is_the_sum_over_levels_and_trl_names_are_those_of_base():
    summary = summarize(mixed(20), seed=0, resamples=0)
    assert summary["loss"] == sum(summary[f"{x}_loss"] for x in ("base", "intra", "inter"))
    assert summary["accuracy"] == summary["base_accuracy"]
    assert summary["margin"] == summary["base_margin"]
    assert (summary["base_count"], summary["intra_count"], summary["inter_count"]) == (20, 40, 40)


def test_rewards_are_those_of_all_base_leaves():
    values = scored([3.0, 1.0, 9.0], level=["base", "base", "inter"])
    summary = summarize(values, seed=0, resamples=0)
    assert summary["mean_reward"] == 1.0
    assert summary["min_reward"] == 0.0
    assert summary["max_reward"] == 3.0


def test_levels_that_do_not_occur_are_not_named():
    summary = summarize(scored([1.0], level="inter"), seed=0, resamples=10)
    assert not [name for name in summary if name.startswith(("base", "intra", "mean_reward"))]
    assert summary["inter_accuracy"] == 1.0


def test_without_resamples_there_are_no_intervals():
    summary = summarize(mixed(5), seed=0, resamples=0)
    assert not [name for name in summary if name.endswith(("_low", "_high"))]
    assert summary["by_family"]["intra"]["a:x"].keys() == {"accuracy", "count"}


def test_the_interval_holds_the_accuracy_and_shrinks_with_n():
    small, large = (summarize(mixed(n), seed=0, resamples=500) for n in (50, 2000))
    for summary in (small, large):
        for level in ("base", "intra", "inter"):
            low, high = (summary[f"{level}_accuracy_{end}"] for end in ("low", "high"))
            assert low <= summary[f"{level}_accuracy"] <= high
    # 40 times the samples, so about a sixth of the width.
    assert width(large) == pytest.approx(width(small) / math.sqrt(40), rel=0.35)


def test_the_interval_is_the_binomial_one_when_samples_are_single_comparisons():
    n, accuracy = 1000, 0.7
    values = scored([1.0] * 700 + [-1.0] * 300)
    expected = 2 * 1.96 * math.sqrt(accuracy * (1 - accuracy) / n)
    assert width(summarize(values, seed=0, resamples=4000)) == pytest.approx(expected, rel=0.1)


def test_whole_samples_are_resampled():
    margins = np.repeat(np.where(np.arange(100) % 2, 1.0, -1.0), 16)
    alone = scored(margins)
    clustered = scored(margins, ids=[f"s{i // 16}" for i in range(1600)])
    wide, narrow = (summarize(x, seed=0, resamples=2000) for x in (clustered, alone))
    # Sixteen copies of a comparison tell no more than one.
    assert width(wide) == pytest.approx(4 * width(narrow), rel=0.15)


def test_one_sample_says_nothing_about_others():
    values = scored([1.0, 1.0], level="intra", ids=["s", "s"], families=[("a:x",), ("a:x",)])
    summary = summarize(values, seed=0, resamples=100)
    assert (summary["intra_accuracy_low"], summary["intra_accuracy_high"]) == (0.0, 1.0)
    cell = summary["by_family"]["intra"]["a:x"]
    assert cell == {"accuracy": 1.0, "count": 2, "low": 0.0, "high": 1.0}


def test_a_comparison_counts_for_each_of_its_families():
    values = scored(
        [1.0, -1.0, 1.0], level="inter", k=[2, 1, 2], families=[("a", "b"), ("a",), ("a", "b")]
    )
    summary = summarize(values, seed=0, resamples=0)
    assert summary["by_family"]["inter"] == {
        "a": {"accuracy": 2 / 3, "count": 3},
        "b": {"accuracy": 1.0, "count": 2},
    }
    assert summary["by_k"]["inter"] == {
        "1": {"accuracy": 0.0, "count": 1},
        "2": {"accuracy": 1.0, "count": 2},
    }


def test_gamma_counts_in_the_loss_and_not_in_the_accuracy():
    summary = summarize(scored([0.5], gamma=[2.0]), seed=0, resamples=0)
    assert summary["base_accuracy"] == 1.0
    assert summary["base_margin"] == 0.5
    assert summary["base_loss"] == pytest.approx(math.log1p(math.exp(1.5)))


def test_neither_the_order_nor_the_time_of_day_matters():
    values = mixed(40)
    order = np.random.default_rng(1).permutation(len(values.margin))
    shuffled = Scored(
        **{
            field.name: column[order]
            if isinstance(column := getattr(values, field.name), np.ndarray)
            else [column[i] for i in order]
            for field in dataclasses.fields(values)
            if getattr(values, field.name) is not None
        }
    )
    first, second = (summarize(x, seed=3, resamples=100) for x in (values, shuffled))
    assert first.keys() == second.keys()
    assert first["by_k"] == second["by_k"]
    assert first["by_family"] == second["by_family"]
    assert first["intra_accuracy_low"] == second["intra_accuracy_low"]


def test_a_summary_is_plain_json():
    summary = summarize(mixed(10), seed=0, resamples=20)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_margin_that_is_not_finite_names_its_sample(value, tmp_path):
    values = scored([1.0, value], ids=["fine", "broken"])
    with pytest.raises(ValueError, match="broken"):
        summarize(values, seed=0, resamples=0)
    with pytest.raises(ValueError, match="broken"):
        write_scores(tmp_path / "scores.jsonl", values)
    assert not list(tmp_path.iterdir())


def test_nothing_scored_gives_no_numbers():
    assert summarize(scored([]), seed=0, resamples=10) == {"by_k": {}, "by_family": {}}


def test_a_thousand_resamples_are_quick():
    values = mixed(1000)
    began = time.perf_counter()
    summarize(values, seed=0, resamples=1000)
    assert time.perf_counter() - began < 2


def test_scores_come_back_bit_for_bit(tmp_path):
    values = mixed(30)
    values.sample_id[0] = 'ü "\u2028"'
    path = tmp_path / "new" / "scores.jsonl"
    write_scores(path, values)
    found = read_scores(path)
    for field in dataclasses.fields(values):
        wanted, got = getattr(values, field.name), getattr(found, field.name)
        if isinstance(wanted, np.ndarray):
            np.testing.assert_array_equal(got, wanted)
            assert got.dtype == wanted.dtype
        else:
            assert got == wanted
    assert [x.name for x in path.parent.iterdir()] == ["scores.jsonl"]
    line = json.loads(path.read_text(encoding="utf-8").split("\n")[1])
    assert line["terms"][0].keys() == {"prompt", "response", "sign", "reward", "tokens"}


@pytest.mark.parametrize("resamples", [0, 50])
@pytest.mark.parametrize("two", [False, True])
def test_the_table_is_aligned_and_fits_a_terminal(two, resamples):
    before, after = (summarize(mixed(300, x), seed=0, resamples=resamples) for x in (0, 1))
    lines = table(before if two else None, after).split("\n")
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines[2:5]] == ["base", "intra", "inter"]
    assert len({len(line) for line in lines[1:6]}) == 1
    assert ("before" in lines[0]) == two
    assert ("interval" in lines[0]) == bool(resamples)
    assert any("50 %" in line for line in lines[5:])


def test_the_table_of_one_level_has_one_row():
    after = summarize(scored([1.0]), seed=0, resamples=10)
    lines = table({}, after).split("\n")
    assert lines[2].split()[:3] == ["base", "1", "-"]
    assert set(lines[3]) == {"-"}


def test_a_level_whose_sides_are_equally_long_has_no_accuracy_of_preferring_longer():
    after = summarize(scored([1.0, 1.0], lengths=[0, 0]), seed=0, resamples=0)
    assert "-" in table(None, after).split("\n")[2].split()
    after = summarize(scored([1.0, 1.0], lengths=[1, 0]), seed=0, resamples=0)
    assert table(None, after).split("\n")[2].count("75.0 %") == 1


def test_neutral_comparisons_of_a_set_are_scored(monkeypatch):
    trie = {
        "id": "s",
        "subset": "",
        "families": ["", "a:x"],
        "leaf_prompt": np.array([0, 0, 1, 1]),
        "leaf_response": np.array([0, 1, 0, 1]),
        "leaf_tokens": np.array([4, 3, 6, 5]),
        "response_tokens": np.array([2, 1, 2, 1]),
        "level": np.array([losses.BASE, losses.NEUTRAL]),
        "k": np.array([0, 1]),
        "term_leaf": np.array([0, 1, 0, 0, 2, 3, 0, 1]),
        "term_sign": np.array([1, -1, 0, 0, 1, -1, -1, 1]),
        "gamma": np.zeros(2, np.float32),
        "tie": np.array([False, True]),
    }
    rewards = np.array([3.0, 1.0, 2.0, 1.5], np.float32)
    monkeypatch.setattr(preferences, "leaf_numbers", lambda *_: [(0, trie, rewards)])
    found = preferences.score_comparisons(None, None, ())
    assert (found.level, found.margin.tolist()) == (["base", "neutral"], [2.0, -1.5])
    assert preferences.summarize(found, seed=0, resamples=0)["neutral_margin"] == 1.5
