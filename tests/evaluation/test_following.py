"""Instructions that a policy keeps in its own responses, before and after training."""

import dataclasses

import pytest

from mapl_jax.evaluation import following
from mapl_jax.evaluation.following import Answer, Probe
from mapl_jax.reports import run
from mapl_jax.runtime.errors import UserError

SHORT = {
    "id": "length_constraints:number_words",
    "params": {"relation": "less than", "num_words": 3},
    "text": "Answer with less than 3 words.",
}
PLAIN = {"id": "punctuation:no_comma", "params": {}, "text": "Use no comma <at all>."}


def probe(name, *constraints):
    messages = [{"role": "user", "content": "Why? " + " ".join(c["text"] for c in constraints)}]
    return Probe(name, messages, list(constraints))


def sample(name, *prompts):
    return {
        "id": name,
        "prompts": [{"messages": [], "constraints": list(some)} for some in ((), *prompts)],
    }


BOTH, ONE = probe("a", SHORT, PLAIN), probe("b", PLAIN)


def answers(*texts):
    return [
        following.judge(some, text, True) for some, text in zip((BOTH, ONE), texts, strict=True)
    ]


def test_each_instruction_is_checked_by_its_family():
    assert following.judge(BOTH, "Yes, sure.", True).kept == (True, False)
    # Reasoning is kept as it was answered, and not judged; no answer keeps nothing.
    thought = following.judge(BOTH, "<think>Yes, no.</think>\nYes, sure.", True)
    assert thought.kept == (True, False) and thought.response.startswith("<think>")
    assert following.judge(BOTH, "<think>Yes, sure.", False).kept == (False, False)
    assert following.judge(BOTH, "That is so", False) == Answer(
        BOTH, "That is so", False, (False, True)
    )


def test_shares_and_their_differences():
    before, after = answers("Yes, sure.", "No, never."), answers("Yes.", "No, never.")
    summary = following.summarize(before, after, seed=0, resamples=100)
    assert (summary["prompt_before"], summary["prompt_after"]) == (0, 1 / 2)
    assert summary["prompt_difference"] == 1 / 2
    assert summary["instruction_before"] == pytest.approx(1 / 3)
    assert summary["instruction_after"] == pytest.approx(2 / 3)
    assert summary["prompt_difference_low"] <= 1 / 2 <= summary["prompt_difference_high"]
    assert summary["by_count"]["1"]["prompt_difference"] == 0
    assert summary["by_count"]["2"]["prompt_difference"] == 1
    cells = {row[0]: row[1:] for row in following.table(summary).cells}
    assert cells["prompts, with 2 instructions"][:3] == ["1", "0.0 %", "100.0 %"]
    assert cells["instructions"][3].startswith("+33.3 % [")


def test_the_same_answers_do_not_differ():
    some = answers("Yes.", "No, never.")
    summary = following.summarize(some, some, seed=0, resamples=50)
    for name in ("prompt_difference", "instruction_difference"):
        assert summary[name] == summary[f"{name}_low"] == summary[f"{name}_high"] == 0


def test_answers_are_read_as_they_were_written(tmp_path):
    some = answers("Yes,\u2028sure.", "")
    following.write(tmp_path / "answers.jsonl", some)
    assert following.read(tmp_path / "answers.jsonl") == some


def test_each_sample_is_asked_once_before_any_is_asked_again():
    samples = [sample("a", [SHORT], [PLAIN]), sample("b"), sample("c", [SHORT], [PLAIN])]
    found = following.probes(samples, 9)
    assert [some.id for some in found] == ["a", "c", "a", "c"]
    for name in ("a", "c"):
        asked = [some.constraints for some in found if some.id == name]
        assert sorted(asked, key=str) == sorted([[SHORT], [PLAIN]], key=str)
    assert following.probes(samples, 1) == found[:1]


def test_what_is_asked_does_not_follow_the_order_of_the_data():
    samples = [sample(f"demo-{i}", [SHORT], [PLAIN]) for i in range(400)]
    first = [some.constraints == [SHORT] for some in following.probes(samples, 400)]
    for part in (first[::2], first[1::2], first[:200], first[200:]):
        assert 0.35 < sum(part) / len(part) < 0.65


def test_no_instructions_to_follow_give_one_line():
    with pytest.raises(UserError, match=r"data\.instructions"):
        following.probes([sample("a")], 5)


def test_a_report_shows_responses_side_by_side(tmp_path):
    before, after = answers("Yes, sure.", "No & never"), answers("Yes.", "No")
    after[1] = dataclasses.replace(after[1], ended=False)
    side = {"perplexity": 2.0, "responses": 2, "response_tokens": 9, "loss": 0.7}
    generation = following.summarize(before, after, seed=0, resamples=20)
    run.write_report(
        tmp_path / "report.html",
        {
            "name": "a run",
            "command": "train",
            "eval": {"before": side, "after": side, "generation": generation},
        },
        {},
        metrics=[],
        device="cpu",
        answers=(before, after),
    )
    page = (tmp_path / "report.html").read_text()
    assert "Yes, sure." in page and "No &amp; never" in page and "No …" in page
    assert "Use no comma &lt;at all&gt;." in page
    # Four kept of both sides together, one broken before: "Yes, sure." has a comma.
    assert page.count('title="followed"') == 5 and page.count('title="not followed"') == 1
