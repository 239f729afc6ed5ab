"""Scores beside chosen and rejected that say the opposite are counted and said in one line."""

import pytest

from mapl_jax.data.records import Tally, iter_demonstrations, iter_pairs
from mapl_jax.data.settings import DataSettings
from mapl_jax.data.sources import entries_of
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesize import load_pairs

from support import PAIR, run, write_lines

LINE = (
    "records whose chosen reply scores lower than the rejected one: 2 of 5 "
    "(score_chosen < score_rejected)"
)


@pytest.fixture
def pairs(tmp_path):
    """Ten pairs of which five have scores; two of those are the wrong way round."""
    scores = [(9, 3), (2, 7.5), (4, 4), (1, 0), (-5, -3)] + [(None, 3)] * 5
    records = (
        {**PAIR, "id": i, "prompt": f"{i}?", "score_chosen": better, "score_rejected": worse}
        for i, (better, worse) in enumerate(scores)
    )
    return write_lines(tmp_path / "pairs.jsonl", *records)


def test_what_is_read_in_python_is_counted(pairs, capsys):
    load_pairs(pairs)
    assert LINE in capsys.readouterr().out


def test_what_is_evaluated_is_counted(pairs, tmp_path, capsys):
    prepare.samples_of(pairs, tmp_path / "cache")
    assert LINE in capsys.readouterr().out


def test_what_is_synthesized_is_counted(pairs, tmp_path):
    arguments = (f"--input={pairs}", f"--output={tmp_path / 'out'}", "--num_proc=1")
    assert LINE in run("synthesize", *arguments, config="synthesize").stdout


@pytest.mark.parametrize("load", [prepare.samples, prepare.demonstrations])
def test_what_is_trained_on_is_counted_whenever_a_run_begins(load, pairs, tmp_path):
    data = DataSettings(train=str(pairs), num_proc=1, test_fraction=0.3)
    for _ in range(2):  # the second time from the cache
        train, test = load(data, Settings(reference=10), 0, tmp_path / "cache")
        assert LINE in train.notes and LINE in test.notes


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"chosen-rating": 1.0, "rejected-rating": 2.0}, "chosen-rating < rejected-rating"),
        ({"chosenScore": 1, "rejectedScore": 2}, "chosenScore < rejectedScore"),
        ({"meta": {"reward_chosen": "1.5", "reward_rejected": "2"}},
         "meta.reward_chosen < meta.reward_rejected"),
        ({"score_w": 1, "score_l": 2}, "score_w < score_l"),
        ({"chosen": ["So.", "Fine."], "chosen_scores": [4, 2], "rejected_scores": [3]},
         "chosen_scores < rejected_scores"),
        ({"chosen_scores": [4, 2], "rejected_scores": [3, 1]}, ""),  # of two aspects
        ({"margin": -1}, "margin < 0"),
        ({"chosen_rank": 1, "rejected_rank": 2}, ""),
        ({"chosen_harm_score": 1, "rejected_harm_score": 2}, ""),
        ({"chosen_tokens": 1, "rejected_tokens": 2}, ""),
        ({"chosen_score": 2, "rejected_score": 2}, ""),
        ({"chosen_score": 1, "rejected_score": "n/a"}, ""),
        ({"chosen_score": True, "rejected_score": False}, ""),
    ],
)  # fmt: skip
def test_columns_are_compared_by_their_names(columns, said):
    tally = Tally()
    assert list(iter_pairs(entries_of([{**PAIR, **columns}]), tally))
    lines = [line for line in tally.notes() if "scores lower" in line]
    assert [line.partition(": ")[2] for line in lines] == ([f"1 of 1 ({said})"] if said else [])


def test_records_that_are_left_out_do_not_count():
    tally = Tally()
    records = [{**PAIR, "margin": -1, "rejected": ""}, {**PAIR, "id": "b", "margin": 1}]
    assert list(iter_pairs(entries_of(records), tally, on_error="skip"))
    assert not any("scores lower" in line for line in tally.notes())


def test_demonstrations_from_pairs_are_counted():
    tally = Tally()
    record = {**PAIR, "chosen_score": 1, "rejected_score": 2}
    assert list(iter_demonstrations(entries_of([record]), tally))
    assert any("1 of 1 (chosen_score < rejected_score)" in line for line in tally.notes())
