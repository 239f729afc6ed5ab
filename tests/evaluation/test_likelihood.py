"""Perplexity is that of all tokens together, and its interval is over responses."""

import numpy as np
import pytest

from mapl_jax.evaluation import likelihood
from mapl_jax.reports import run


def scored(logp=(-10.0, -60.0, -6.0), tokens=(10, 20, 3)):
    names = [f"s{i}" for i in range(len(logp))]
    return likelihood.Scored(names, np.asarray(logp, np.float64), np.asarray(tokens, np.int64))


def test_perplexity_is_that_of_all_tokens_together():
    summary = likelihood.summarize(scored(), seed=0, resamples=0)
    assert summary["loss"] == pytest.approx(76 / 33)
    assert summary["perplexity"] == pytest.approx(np.exp(76 / 33))
    assert (summary["responses"], summary["response_tokens"]) == (3, 33)


def test_the_interval_holds_the_value_and_shrinks_with_more_responses():
    rng = np.random.default_rng(0)
    widths = []
    for n in (20, 2000):
        many = scored(-rng.uniform(5, 50, n), rng.integers(5, 20, n))
        summary = likelihood.summarize(many, seed=0, resamples=200)
        low, high = summary["perplexity_low"], summary["perplexity_high"]
        assert low < summary["perplexity"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_scores_come_back_bit_for_bit(tmp_path):
    values = scored(tuple(np.random.default_rng(0).normal(-50, 20, 3)))
    likelihood.write_scores(tmp_path / "new" / "scores.jsonl", values)
    found = likelihood.read_scores(tmp_path / "new" / "scores.jsonl")
    assert found.sample_id == values.sample_id
    np.testing.assert_array_equal(found.logp, values.logp)
    np.testing.assert_array_equal(found.tokens, values.tokens)


def test_what_is_not_finite_is_named():
    with pytest.raises(ValueError, match="of s1 is nan"):
        likelihood.summarize(scored((-1.0, np.nan, -2.0)), seed=0, resamples=0)


@pytest.mark.parametrize("two", [False, True])
def test_the_table_and_the_report_have_both_sides(tmp_path, two):
    before, after = (
        likelihood.summarize(scored(logp), seed=0, resamples=10)
        for logp in ((-90.0, -90.0, -90.0), (-10.0, -60.0, -6.0))
    )
    text = str(likelihood.tables(before if two else None, after)[0])
    assert ("perplexity before" in text) == two
    assert "10.00" in text
    path = tmp_path / "report.html"
    run.write_report(
        path,
        {
            "name": "run",
            "command": "train",
            "steps": 2,
            "eval": {"before": before if two else None, "after": after},
        },
        {side: scored() for side in ("before", "after")[1 - two :]},
        metrics=[{"step": i, "split": "train", "loss": 3.0 - i} for i in (1, 2)],
        device="cpu",
    )
    page = path.read_text()
    assert "10.00" in page and page.count("<svg viewBox") == 3
