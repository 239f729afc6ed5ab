"""Answers that keep all instructions against answers that do not: rewards beside lengths."""

from mapl_jax.evaluation import kept_pairs
from mapl_jax.evaluation.ifeval import Followed

KEPT, BROKEN = (True,), (False,)
HALF = (True, False)


def summary(*prompts, resamples=0):
    """Each prompt is a list of (strict verdicts, words, reward)."""
    return kept_pairs.summarize(
        [[Followed(n, strict, strict) for strict, _, _ in some] for n, some in enumerate(prompts)],
        [["word " * words for _, words, _ in some] for some in prompts],
        [[reward for *_, reward in some] for some in prompts],
        seed=0,
        resamples=resamples,
    )


def test_every_answer_that_keeps_all_meets_every_other_of_its_prompt():
    found = summary([(KEPT, 9, 1.0), (KEPT, 9, 0.0), (BROKEN, 5, 0.5), (BROKEN, 5, 2.0)])
    assert found["all pairs"] == {"pairs": 4, "right": 0.25, "longer": 1.0}


def test_keeping_some_instructions_is_not_keeping_all():
    found = summary([((True, True), 5, 1.0), (HALF, 5, 0.0)], [(HALF, 5, 1.0), (HALF, 5, 0.0)])
    assert found["2 instructions"] == {"pairs": 1, "right": 1.0, "longer": 0.5}
    assert found["all pairs"]["pairs"] == 1


def test_equal_rewards_are_wrong():
    assert summary([(KEPT, 5, 1.0), (BROKEN, 9, 1.0)])["all pairs"]["right"] == 0


def test_pairs_about_as_long_are_shown_by_themselves():
    found = summary([(KEPT, 10, 1.0), (BROKEN, 8, 0.0)], [(KEPT, 10, 1.0), (BROKEN, 7, 3.0)])
    assert found["about as long"]["pairs"] == 1
    assert found["about as long"]["right"] == 1.0
    assert found["all pairs"]["right"] == 0.5


def test_prompts_are_told_apart_by_their_number_of_instructions_with_intervals():
    one = [(KEPT, 5, 1.0), (BROKEN, 5, 0.0)]
    two = [((True, True), 5, 0.0), (HALF, 5, 1.0)]
    found = summary(one, two, one, resamples=50)
    assert [name for name in found if "instruction" in name] == ["1 instruction", "2 instructions"]
    assert found["1 instruction"]["right"] == 1 and found["2 instructions"]["right"] == 0
    assert found["all pairs"]["right_low"] < 2 / 3 < found["all pairs"]["right_high"]


def test_the_table_shows_length_beside_the_model_and_leaves_out_what_is_empty():
    text = kept_pairs.table(summary([(KEPT, 9, 1.0), (BROKEN, 3, 0.0)]))
    assert "selector" in text and "prefer longer" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["1", "instruction", "1", "100.0", "%", "100.0", "%"] in rows
    assert not any(row[:3] == ["about", "as", "long"] for row in rows)


def test_without_any_pair_the_table_says_so():
    found = summary([(KEPT, 9, 1.0), (KEPT, 3, 0.0)])
    assert found["all pairs"] == {"pairs": 0}
    assert kept_pairs.table(found).startswith("no pairs to judge the reward model by: ")
