"""A warning appears when its numbers call for it, and not otherwise."""

import re

import numpy as np
import pytest

from mapl_jax.evaluation.preferences import Scored, summarize
from mapl_jax.reports import findings


def after(margin, length):
    n = len(margin)
    scored = Scored(
        sample_id=[f"s{i}" for i in range(n)],
        level=["base"] * n,
        margin=np.asarray(margin, np.float64),
        gamma=np.zeros(n),
        length_margin=np.asarray(length, np.float64),
        k=np.zeros(n, np.int64),
        families=[()] * n,
        terms=[[(0, 0, 1, float(m)), (0, 1, -1, 0.0)] for m in margin],
    )
    return summarize(scored, seed=0, resamples=0)


def test_a_sound_run_has_no_warning():
    rng = np.random.default_rng(0)
    summary = {"train": {"pairs_read": 5, "encoding": {"tries": 5}}}
    assert not findings.warnings(summary, after(rng.normal(1, 1, 300), rng.normal(0, 9, 300)), [])


@pytest.mark.parametrize("way", [1, -1])
def test_a_model_of_length_is_found_out(way):
    rng = np.random.default_rng(0)
    length = rng.normal(way * 5, 9, 400).round()
    margin = way * length / 5 + rng.normal(0, 0.1, 400)
    (text,) = findings.warnings({}, after(margin, length), [])
    assert text.startswith("Length: ")
    longer = (margin > 0)[length > 0].mean()
    assert f"{100 * longer:.1f} % right where the chosen response is longer" in text
    gap, low, high = map(float, re.findall(r"[+-][\d.]+", text.rpartition(": ")[2]))
    shorter = (margin > 0)[length < 0].mean()
    assert gap == pytest.approx(100 * (longer - shorter), abs=0.051)
    assert low * high > 0 and low <= gap <= high


def test_overfitting_is_found_out():
    rng = np.random.default_rng(0)
    summary = after(rng.normal(0.3, 1, 200), rng.normal(0, 9, 200))
    lines = [
        {"step": i, "split": "train", "base_loss": 0.01 + 0.001 * (i % 2), "base_count": 8}
        for i in range(40)
    ]
    (text,) = findings.warnings({}, summary, lines)
    assert text.startswith("Overfitting: ")
    assert f"base {summary['base_loss']:.3f}, trained 0.01" in text
    same = [{**line, "base_loss": line["base_loss"] + 0.7} for line in lines]
    assert not findings.warnings({}, summary, same)


def test_lost_data_is_named():
    summary = {
        "train": {
            "records": {"dropped": {"empty": 2}},
            "encoding": {"samples_truncated": 3, "samples_split": 9},
        },
        "test": {"pairs_read": 5, "encoding": {"tries": 5}},
    }
    assert findings.warnings(summary, {}, []) == [
        "Data, train: 2 records left out (empty); 3 samples cut to max_length."
    ]
