"""What a report says first is what the numbers say."""

import numpy as np
import pytest

from mapl_jax.evaluation.preferences import Scored, summarize
from mapl_jax.reports import findings


def scored(margin, length):
    n = len(margin)
    return Scored(
        sample_id=[f"s{i}" for i in range(n)],
        level=["base"] * n,
        margin=np.asarray(margin, np.float64),
        gamma=np.zeros(n),
        length_margin=np.asarray(length, np.float64),
        k=np.zeros(n, np.int64),
        families=[()] * n,
        terms=[[(0, 0, 1, float(m)), (0, 1, -1, 0.0)] for m in margin],
    )


def found(margin, length, metrics=()):
    summary = summarize(scored(margin, length), seed=0, resamples=200)
    return findings.of_preferences(None, summary, metrics)


def the(results, start):
    (one,) = [x for x in results if start in x.text]
    return one


def test_what_is_better_than_chance_and_than_length_is_good_news():
    rng = np.random.default_rng(0)
    results = found(rng.normal(1, 1, 300), rng.normal(0, 9, 300))
    assert the(results, "base:").news == "good"
    assert "better than chance" in the(results, "base:").text
    assert the(results, "Length:").news == "good"


def test_chance_is_called_chance():
    rng = np.random.default_rng(0)
    results = found(rng.normal(0, 1, 200), rng.normal(0, 9, 200))
    assert the(results, "base:").news == "bad"
    assert "cannot be told from chance" in the(results, "base:").text


@pytest.mark.parametrize(("way", "word"), [(1, "longer"), (-1, "shorter")])
def test_a_model_of_length_is_found_out(way, word):
    rng = np.random.default_rng(0)
    length = rng.normal(way * 5, 9, 400).round()
    results = found(way * length / 5 + rng.normal(0, 0.1, 400), length)
    assert the(results, "Length:").news == "bad"
    assert f"leans towards {word}" in the(results, "Length:").text
    assert the(results, "base:").news == "bad"
    assert f"always preferring the {word}" in the(results, "base:").text


def test_memorizing_is_found_out():
    rng = np.random.default_rng(0)
    margin, length = rng.normal(0.3, 1, 200), rng.normal(0, 9, 200)
    lines = [
        {"step": i, "split": "train", "base_loss": 0.01 + 0.001 * (i % 2), "base_count": 8}
        for i in range(40)
    ]
    assert "memorizes" in the(found(margin, length, lines), "Held-out loss").text
    same = [{**line, "base_loss": line["base_loss"] + 0.7} for line in lines]
    assert the(found(margin, length, same), "overfitting").news == "good"


def test_what_is_lost_is_named():
    results = findings.of_data(
        {
            "train": {"pairs_dropped": {"empty": 2}, "encoding": {"samples_truncated": 3}},
            "held out": {"pairs_read": 5, "encoding": {"tries": 5}},
        }
    )
    assert "2 pairs dropped (empty); 3 samples truncated" in results[0].text
    assert results[1].news == "good"
