"""The demonstration set: varied, made by rule, the same every time."""

import collections

import pytest

from mapl_jax.data import demo

PAIRS = demo.make_pairs(400, seed=0, split="train")


def test_the_same_seed_makes_the_same_pairs():
    assert demo.make_pairs(50, seed=0, split="train") == PAIRS[:50]
    assert demo.make_pairs(50, seed=1, split="train") != PAIRS[:50]


def test_train_and_test_share_no_question():
    def questions(pairs):
        return {pair["prompt"][-1]["content"] for pair in pairs if len(pair["prompt"]) == 1}

    assert not questions(PAIRS) & questions(demo.make_pairs(400, seed=0, split="test"))


def test_prompts_are_varied_and_some_have_several_turns():
    turns = collections.Counter(len(pair["prompt"]) for pair in PAIRS)
    assert 0.1 < 1 - turns[1] / len(PAIRS) < 0.6
    assert set(turns) <= {1, 3, 5}
    assert len({pair["prompt"][0]["content"] for pair in PAIRS}) > 0.5 * len(PAIRS)
    for pair in PAIRS:
        assert [m["role"] for m in pair["prompt"]][::2] == ["user"] * (
            (len(pair["prompt"]) + 1) // 2
        )


def test_ids_are_unique_and_replies_differ():
    assert len({pair["id"] for pair in PAIRS}) == len(PAIRS)
    assert all(pair["chosen"] != pair["rejected"] for pair in PAIRS)


def test_length_alone_does_not_tell_the_better_reply():
    longer = [len(pair["chosen"].split()) > len(pair["rejected"].split()) for pair in PAIRS]
    assert 0.4 < sum(longer) / len(longer) < 0.6


@pytest.mark.parametrize("mark", ["*", "-", "1.", "!", "?", "<<", "P.S.", '"', ",", "\n\n"])
def test_both_sides_take_every_form(mark):
    for side in ("chosen", "rejected"):
        texts = [pair[side] for pair in demo.make_pairs(1500, seed=0, split="train")]
        assert any(mark in text for text in texts)
        assert any(mark not in text for text in texts)
