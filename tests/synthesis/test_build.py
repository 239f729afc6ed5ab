"""What synthesis promises of every sample."""

import collections
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapl_jax import constraints
from mapl_jax.data import demo, samples
from mapl_jax.data.records import read_pairs
from mapl_jax.data.samples import check_sample
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis import intra
from mapl_jax.synthesis.build import Outcome, build, learn
from mapl_jax.synthesis.corpus import Corpus
from mapl_jax.synthesis.draw import BrokenPromise, Draw
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesis.tally import Stats

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "preferences"
PAIRS = demo.make_pairs(60, seed=3, split="train")
MODES = ("compact", "full")


def kept(prompt, response):
    """The verdicts on a response of the instructions of a prompt."""
    return [constraints.check(c["id"], c["params"], response) for c in prompt["constraints"]]


def of_level(sample, level):
    return [entry for entry in sample["comparisons"] if entry["level"] == level]


@pytest.fixture(scope="module", params=MODES)
def made(request):
    mode = Settings(mode=request.param)
    return request.param, [build(pair, mode) for pair in PAIRS]


def test_nearly_every_pair_gives_all_five_comparisons(made):
    _, outcomes = made
    complete = [outcome for outcome in outcomes if len(outcome.sample["comparisons"]) == 5]
    assert len(complete) >= 0.95 * len(outcomes)
    assert all(not outcome.dropped for outcome in complete)


def test_base_is_the_pair_itself(made):
    _, outcomes = made
    for pair, outcome in zip(PAIRS, outcomes, strict=True):
        sample = outcome.sample
        assert sample["id"] == pair["id"]
        assert sample["prompts"][0]["messages"] == pair["prompt"]
        assert sample["responses"] == [pair["chosen"], pair["rejected"]]
        (base,) = of_level(sample, "base")
        assert (base["prompt"], base["response"], base["sign"]) == ([0, 0], [0, 1], [1, -1])


def test_compact_has_six_leaves_and_full_ten(made):
    mode, outcomes = made
    leaves = {
        len(samples.leaves_of(o.sample["comparisons"]))
        for o in outcomes
        if len(o.sample["comparisons"]) == 5
    }
    assert leaves == {6 if mode == "compact" else 10}


def test_intra_sets_two_prompts_of_the_same_families_side_by_side(made):
    _, outcomes = made
    for outcome in outcomes:
        for entry in of_level(outcome.sample, "intra"):
            better, worse = (outcome.sample["prompts"][i] for i in entry["prompt"])
            response = outcome.sample["responses"][entry["response"][0]]
            assert entry["response"][0] == entry["response"][1]
            assert [c["id"] for c in better["constraints"]] == [
                c["id"] for c in worse["constraints"]
            ]
            assert len(better["constraints"]) == entry["k"]
            c1 = all(kept(better, response)) and not all(kept(worse, response))
            c2 = not any(kept(worse, response)) and any(kept(better, response))
            assert c1 or c2


def test_both_cases_of_intra_come_up():
    cases = collections.Counter()
    for pair, seed in itertools.product(PAIRS, range(3)):
        sample = build(pair, Settings(mode="full", seed=seed)).sample
        for entry in of_level(sample, "intra"):
            better, worse = (sample["prompts"][i] for i in entry["prompt"])
            response = sample["responses"][entry["response"][0]]
            cases[all(kept(better, response)), any(kept(worse, response))] += 1
    # All of x_w kept and some of x_l too: c1 alone. Some of x_w broken and none of x_l kept: c2.
    assert cases[True, True] > 5
    assert cases[False, False] > 5


def test_inter_adds_what_one_response_keeps_and_the_other_breaks(made):
    _, outcomes = made
    for outcome in outcomes:
        sample = outcome.sample
        entries = of_level(sample, "inter")
        if not entries:
            continue
        first, mirror = entries
        assert first["sign"] == [1, -1, -1, 1]
        assert mirror["sign"] == [-1, 1, 1, -1]
        for entry, keeper in ((first, 0), (mirror, 1)):
            prompt = sample["prompts"][entry["prompt"][0]]
            assert entry["prompt"][2:] == [0, 0]
            assert entry["response"] == [0, 1, 0, 1]
            assert all(kept(prompt, sample["responses"][keeper]))
            assert not any(kept(prompt, sample["responses"][1 - keeper]))


@pytest.mark.parametrize("mode", MODES)
def test_neutral_adds_what_both_responses_keep_or_both_break(mode):
    verdicts = collections.Counter()
    for pair in PAIRS:
        sample = build(pair, Settings(mode=mode, neutral=1.0)).sample
        assert sample["comparisons"][:-1] == build(pair, Settings(mode=mode)).sample["comparisons"]
        (entry,) = of_level(sample, "neutral")
        place = len(sample["prompts"]) - 1
        assert entry["prompt"] == [place, place, 0, 0] and entry["response"] == [0, 1, 0, 1]
        assert entry["sign"] == [1, -1, -1, 1] and entry["tie"]
        prompt = sample["prompts"][place]
        first, second = (kept(prompt, response) for response in sample["responses"])
        assert first == second and 2 <= len(first) == entry["k"] <= 5
        verdicts.update(first)
        assert check_sample(sample) == sample
    assert 0.3 < verdicts[True] / verdicts.total() < 0.7


def test_what_neutral_draws_in_vain_is_counted_with_the_rest():
    corpus = learn(PAIRS, Settings(reference=40))
    without, neutral = (
        [build(pair, Settings(neutral=share), corpus).refused for pair in PAIRS]
        for share in (0.0, 1.0)
    )
    assert all(one <= other for one, other in zip(without, neutral, strict=True))
    assert sum(map(collections.Counter.total, without)) < sum(
        map(collections.Counter.total, neutral)
    )


def test_a_neutral_comparison_stands_for_none_of_the_five():
    stats = Stats()
    sample = build(PAIRS[0], Settings(neutral=1.0)).sample
    intra = next(entry for entry in sample["comparisons"] if entry["level"] == "intra")
    sample["comparisons"].remove(intra)
    stats.add(Outcome(sample))
    assert len(sample["comparisons"]) == 5 and stats.summary()["all_five"] == 0


def test_a_share_of_the_pairs_has_neutral_comparisons():
    count = sum(len(of_level(build(p, Settings(neutral=0.5)).sample, "neutral")) for p in PAIRS)
    assert 15 <= count <= 45


def test_most_instructions_stand_behind_the_request_and_all_of_them_in_the_prompt(made):
    _, outcomes = made
    behind = []
    for outcome in outcomes:
        original, *others = outcome.sample["prompts"]
        for prompt in others:
            before, after = (p["messages"][-1]["content"] for p in (original, prompt))
            same = prompt["messages"][:-1] == original["messages"][:-1]
            behind.append(same and after.startswith(before))
            texts = "\n".join(message["content"] for message in prompt["messages"])
            added = texts.replace(before, "") if before in texts else texts
            assert all(constraint["text"][1:-1] in added for constraint in prompt["constraints"])
    assert np.mean(behind) > 0.6


def test_every_instruction_records_how_far_either_response_is_from_its_threshold(made):
    _, outcomes = made
    for outcome in outcomes:
        sample = outcome.sample
        for prompt in sample["prompts"]:
            for entry in prompt["constraints"]:
                for response, margin in zip(sample["responses"], entry["margins"], strict=True):
                    assert margin == constraints.margin(entry["id"], entry["params"], response)
                    assert (margin >= 0) is constraints.check(
                        entry["id"], entry["params"], response
                    )


def test_every_sample_says_what_its_instructions_were_drawn_from():
    for families, wordings in (("train", "train"), ("held_out", "held_out")):
        settings = Settings(families=families, wordings=wordings, seed=4, mode="full")
        record = build(PAIRS[0], settings).sample
        assert record["synthesis"] == {
            "mode": "full",
            "seed": 4,
            "families": families,
            "wordings": wordings,
        }


def test_every_sentence_reads_back(made):
    _, outcomes = made
    for outcome in outcomes:
        for prompt in outcome.sample["prompts"]:
            for constraint in prompt["constraints"]:
                assert constraints.parse(constraint["text"]) == (
                    constraint["id"],
                    constraint["params"],
                )


def test_no_prompt_has_conflicts_or_repeats(made):
    _, outcomes = made
    for outcome in outcomes:
        for prompt in outcome.sample["prompts"]:
            items = [(c["id"], c["params"]) for c in prompt["constraints"]]
            for i, a in enumerate(items):
                for b in items[:i]:
                    assert constraints.conflict(a, b) is None


def test_samples_survive_the_way_to_disk_and_back(made):
    _, outcomes = made
    for outcome in outcomes:
        record = json.loads(json.dumps(outcome.sample))
        assert check_sample(record) == outcome.sample


def test_a_sample_depends_on_its_pair_and_the_seed_alone():
    alone = build(PAIRS[7], Settings())
    assert alone == build(PAIRS[7], Settings())
    assert alone != build(PAIRS[7], Settings(seed=1))


def test_the_number_of_instructions_is_spread_as_asked():
    ks = collections.Counter(
        entry["k"]
        for pair in PAIRS
        for entry in of_level(build(pair, Settings(k_min=2, k_max=3)).sample, "inter")
    )
    # A pair that can carry no more has one: here many answer a question for a fact in a line.
    assert set(ks) - {1} == {2, 3}
    assert abs(ks[2] - ks[3]) < 0.5 * sum(ks.values())
    assert ks[1] < 0.15 * sum(ks.values())


@pytest.mark.parametrize("mode", ["compact", "full"])
def test_along_with_thanks_there_is_one_rule_and_it_is_for_each_answer(mode):
    talk = [
        *PAIRS[0]["prompt"][:1],
        {"role": "assistant", "content": "It takes a week."},
        {"role": "user", "content": "Thanks, that is all I wanted to know."},
    ]
    texts = []
    for pair in PAIRS[:40]:
        for wordings in ("train", "held_out"):
            settings = Settings(mode=mode, wordings=wordings)
            for prompt in build({**pair, "prompt": talk}, settings).sample["prompts"][1:]:
                assert len(prompt["constraints"]) == 1
                texts += [entry["text"].lower() for entry in prompt["constraints"]]
                system, *turns = prompt["messages"]
                assert system["role"] == "system"
                assert turns == talk
    assert any("each answer" in text for text in texts)
    assert not any(re.search(r"\b(?:the|your) (?:answer|response|reply)\b", text) for text in texts)


def test_held_out_families_and_wordings_are_kept_apart():
    held_out = set(constraints.ids(held_out=True))
    for families, wordings, inside in (("train", "train", False), ("held_out", "held_out", True)):
        choice = Settings(families=families, wordings=wordings)
        for pair in PAIRS[:20]:
            for prompt in build(pair, choice).sample["prompts"]:
                assert all((c["id"] in held_out) is inside for c in prompt["constraints"])


def test_a_pair_that_separates_nothing_keeps_base_and_says_so():
    pair = {**PAIRS[0], "chosen": "Yes.", "rejected": "Yes. "}
    outcome = build(pair, Settings(families="punctuation:no_comma,startend:quotation"))
    assert [entry["level"] for entry in outcome.sample["comparisons"]] == ["base"]
    assert outcome.dropped


def test_a_family_that_breaks_its_promise_is_caught(monkeypatch):
    family = constraints.family_of("punctuation:no_comma")
    monkeypatch.setattr(family, "proposer", lambda *_: lambda rng: {})
    pair = {**PAIRS[0], "chosen": "a, b", "rejected": "a b"}
    for mode in MODES:
        one = Settings(families="punctuation:no_comma", k_min=1, k_max=1, mode=mode)
        with pytest.raises(BrokenPromise, match="no_comma"):
            build(pair, one)


@settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    st.text(min_size=1, max_size=120).filter(str.strip),
    st.text(min_size=1, max_size=120).filter(str.strip),
    st.sampled_from(MODES),
)
def test_any_two_texts_make_a_sample(chosen, rejected, mode):
    pair = {"id": "x", "prompt": [{"role": "user", "content": "Q?"}], "chosen": chosen,
            "rejected": rejected, "margin": 0.5}  # fmt: skip
    sample = build(pair, Settings(mode=mode)).sample
    assert sample["comparisons"][0]["gamma"] == 0.5
    check_sample(json.loads(json.dumps(sample)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "tiny"}, "mode is 'tiny'; choose one of compact, full"),
        ({"wordings": "all"}, "wordings"),
        ({"k_min": 0}, "k_min"),
        ({"k_min": 4, "k_max": 3}, "must not exceed"),
        ({"families": "punctuation:no_coma"}, "did you mean 'punctuation:no_comma'"),
        ({"families": "punctuation:no_comma"}, "fewer than k_min"),
        ({"reference": -1}, "reference is -1; it must be a whole number, at least 0"),
        ({"min_share": 0.95}, "0 <= min_share < max_share"),
        ({"max_share": 1.5}, "max_share"),
        ({"places": "before"}, "places is 'before'; it must be shares"),
        ({"places": "above=0.1"}, "of before, inside, system, turns"),
        ({"places": "before=0.7,system=0.7"}, "add up to at most 1"),
        ({"lists": 1.5}, "lists"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        Settings(**wrong)


def test_twins_have_the_same_families_in_the_same_order():
    pair = PAIRS[0]
    draw = Draw(constraints.ids(), np.random.default_rng(0), Corpus())
    first, second = intra.instructions(pair["chosen"], pair["rejected"], 5, draw)
    assert [family for family, _ in first] == [family for family, _ in second]
    assert len(first) == 5


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared preference data")
def test_real_pairs_yield_all_five_comparisons():
    pairs = read_pairs(str(SHARED / "hh_helpful_test.jsonl")).records
    complete = [len(build(pair, Settings()).sample["comparisons"]) == 5 for pair in pairs]
    assert np.mean(complete) >= 0.98


def test_groups_and_ids_of_families_go_together():
    groups = {name: set(Settings(families=name).family_ids) for name in ("train", "held_out")}
    assert set(Settings(families="train,held_out").family_ids) == set.union(*groups.values())
    one = min(groups["held_out"])
    assert set(Settings(families=f"train, {one}").family_ids) == {*groups["train"], one}


def test_words_to_use_stand_with_the_request_and_leads_introduce_no_question():
    for places in ("system=1", "turns=1"):
        for pair in PAIRS[:20]:
            talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
            pair = {**pair, "prompt": [*talk, *pair["prompt"]]}
            chosen = Settings(places=places, k_min=2)
            for prompt in build(pair, chosen).sample["prompts"][1:]:
                before = "".join(message["content"] for message in prompt["messages"][:-1])
                for made in prompt["constraints"]:
                    if made["id"] == "keywords:existence":
                        assert made["text"] not in before
                    assert made["text"] not in before or not made["text"].endswith("?")
