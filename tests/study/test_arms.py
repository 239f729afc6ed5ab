"""What arms make of samples, and what a study is tested on."""

import dataclasses
import json
from pathlib import Path

import pytest

from mapl_jax import constraints
from mapl_jax.data import demo
from mapl_jax.data.records import Pairs, Tally
from mapl_jax.data.samples import check_sample
from mapl_jax.runtime.errors import UserError
from mapl_jax.study import arms, corpora
from mapl_jax.study.arms import ARMS, Arm, changed
from mapl_jax.synthesis.build import build
from mapl_jax.synthesis.settings import Settings

SETTINGS = Settings(reference=40)
PAIRS = demo.make_pairs(60)
SAMPLES = [build(pair, SETTINGS).sample for pair in PAIRS]


def named(name):
    return next(arm for arm in ARMS if arm.name == name)


def levels(sample):
    return [comparison["level"] for comparison in sample["comparisons"]]


def test_every_arm_keeps_the_pair_itself_and_makes_samples_that_can_be_read():
    for arm in ARMS:
        for sample in SAMPLES:
            found = changed(sample, arm, 0)
            assert levels(found).count("base") == 1
            check_sample(json.loads(json.dumps(found)))
            assert set(levels(found)) <= {"base", *arm.levels}


def test_arms_of_one_name_of_data_are_of_the_same_data():
    by_data = {}
    for arm in ARMS:
        made = [changed(sample, arm, 0) for sample in SAMPLES]
        assert by_data.setdefault(arm.data, made) == made


def test_base_alone_has_nothing_else():
    assert all(levels(changed(s, named("base"), 0)) == ["base"] for s in SAMPLES)


def test_a_larger_share_holds_the_samples_of_a_smaller_one():
    rich = {
        share: {
            s["id"]
            for s in SAMPLES
            if len(changed(s, Arm("x", "", share=share), 0)["comparisons"]) > 1
        }
        for share in (0.0, 0.1, 0.4, 1.0)
    }
    assert rich[0.0] < rich[0.1] < rich[0.4] < rich[1.0]
    assert 0.25 < len(rich[0.4]) / len(rich[1.0]) < 0.55


def test_one_ended_sets_kept_instructions_against_none():
    for sample in SAMPLES:
        for c in changed(sample, named("one-ended"), 0)["comparisons"][1:]:
            better, worse = c["prompt"]
            assert worse == 0 and better > 0
            (response,) = set(c["response"])
            text = sample["responses"][response]
            asked = sample["prompts"][better]["constraints"]
            assert all(constraints.check(one["id"], one["params"], text) for one in asked)


def test_iopo_is_the_quadruple_of_both_prompts():
    for sample in SAMPLES:
        for c in changed(sample, named("DPO IOPO"), 0)["comparisons"][1:]:
            for prompt, response, sign in zip(c["prompt"], c["response"], c["sign"], strict=True):
                asked = sample["prompts"][prompt]["constraints"]
                kept = {
                    constraints.check(one["id"], one["params"], sample["responses"][response])
                    for one in asked
                }
                # Plus where the response keeps all instructions of the prompt, else minus.
                assert kept == {sign > 0}


def test_neutral_instructions_come_beside_all_that_the_arm_all_has():
    choice = dataclasses.replace(SETTINGS, **corpora.TRAIN[named("all, neutral").corpus])
    found = [changed(build(pair, choice).sample, named("all, neutral"), 0) for pair in PAIRS]
    for sample, other in zip(found, SAMPLES, strict=True):
        beside = [c for c in sample["comparisons"] if c["level"] != "neutral"]
        assert beside == changed(other, named("all"), 0)["comparisons"]
    assert sum("neutral" in levels(sample) for sample in found) > 0.8 * len(found)


def test_arms_are_chosen_by_name():
    assert arms.chosen("") == ARMS
    assert [arm.name for arm in arms.chosen("all; base")] == ["all", "base"]
    assert [arm.name for arm in arms.named("all; base")] == ["all", "base"]
    assert arms.named("") == ()
    with pytest.raises(UserError, match="no arm 'some'"):
        arms.chosen("all; some")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pairs = Pairs(PAIRS[:40], Tally(40)), Pairs(PAIRS[40:], Tally(20))
    return corpora.Corpora(Path(tmp_path_factory.mktemp("data")), SETTINGS, *pairs, num_proc=1)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_tests_are_of_held_out_pairs_and_say_which_test_they_are_of(made):
    records = read(made.tests())
    by_test = {
        name: [r for r in records if r["id"].startswith(f"{name}:")] for name in corpora.TESTS
    }
    assert sum(map(len, by_test.values())) == len(records)
    assert len(by_test["test"]) == 20
    held_out = {
        one["id"]
        for r in by_test["held_out"]
        for prompt in r["prompts"]
        for one in prompt["constraints"]
    }
    assert held_out and held_out <= set(constraints.ids(held_out=True))
    for record in by_test[corpora.KEPT_BY_BOTH]:
        for one in record["prompts"][1]["constraints"]:
            assert all(
                constraints.check(one["id"], one["params"], text) for text in record["responses"]
            )


def test_files_are_made_once(made):
    path = made.of_arm(named("all"))
    before = path.stat().st_mtime_ns
    assert made.of_arm(named("all")) == path
    assert path.stat().st_mtime_ns == before
    assert len(read(path)) == 40


def test_the_length_arm_asks_for_words_alone(made):
    for record in read(made.of_arm(named("length only"))):
        for prompt in record["prompts"]:
            assert {one["id"] for one in prompt["constraints"]} <= {
                "length_constraints:number_words"
            }
