"""Calibration and length: closed forms, and what is known of known data."""

import numpy as np
import pytest

from mapl_jax.evaluation import statistics


def logit(p):
    return np.log(p / (1 - p))


def test_who_is_as_sure_as_right_is_calibrated():
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.5, 1, 200_000)
    right = rng.random(len(probability)) < probability
    margin = np.where(right, 1, -1) * logit(probability)
    assert statistics.calibration_error(margin) < 0.01
    for some in statistics.reliability(margin):
        assert some.accuracy == pytest.approx(some.confidence, abs=0.02)


def test_who_is_sure_and_wrong_every_other_time_is_off_by_half():
    margin = np.asarray([30.0, -30.0] * 50)
    assert statistics.calibration_error(margin) == pytest.approx(0.5)
    assert statistics.brier(margin) == pytest.approx(0.5)
    (only,) = statistics.reliability(margin)
    assert (only.accuracy, only.count) == (0.5, 100)


def test_who_knows_nothing_has_a_brier_score_of_a_quarter():
    assert statistics.brier(np.zeros(3)) == 0.25
    assert statistics.brier(np.asarray([-1e4])) == 1.0
    assert statistics.brier(np.asarray([1e4])) == 0.0


def test_every_comparison_is_in_a_bin():
    margin = np.asarray([0.0, -1e9, 1e9, 0.3, -0.3, 5.0])
    assert sum(some.count for some in statistics.reliability(margin)) == len(margin)


def test_correlation_is_that_of_pearson_where_there_is_one():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 50))
    assert statistics.correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert statistics.correlation(x, np.ones(50)) is None
    assert statistics.correlation(x[:2], y[:2]) is None


def test_the_interval_of_a_correlation_covers_it_in_19_of_20_cases():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(1000):
        x = rng.normal(size=60)
        y = 0.5 * x + np.sqrt(0.75) * rng.normal(size=60)
        low, high = statistics.correlation_interval(x, y)
        covered += low < 0.5 < high
    assert 930 <= covered <= 970


def test_accuracy_is_told_by_which_side_is_longer():
    found = statistics.summarize(
        np.asarray([1.0, 1.0, -1.0, 1.0]), np.asarray([5.0, 3.0, -2.0, 0.0])
    )
    assert (found["longer_accuracy"], found["longer_count"]) == (1.0, 2)
    assert (found["shorter_accuracy"], found["shorter_count"]) == (0.0, 1)
    alike = statistics.summarize(np.ones(3), np.zeros(3))
    assert "length_correlation" not in alike and "longer_accuracy" not in alike
