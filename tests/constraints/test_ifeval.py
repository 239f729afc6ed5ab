"""Verdicts are those of IFEval's own checkers."""

import json
from pathlib import Path

import pytest

from mapl_jax.constraints import ifeval, verdict

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "ifeval"
RESPONSES = {
    "gpt-4-20231107": "input_response_data_gpt4_20231107_145030.jsonl",
    "mistralai__Mistral-7B-Instruct-v0.3": "responses_Mistral-7B-Instruct-v0.3.jsonl",
    "Qwen__Qwen2.5-0.5B-Instruct-GPTQ-Int4": "responses_Qwen2.5-0.5B-Instruct-GPTQ-Int4.jsonl",
}


def lines(name):
    return [json.loads(line) for line in (FOLDER / name).read_text().split("\n") if line]


@pytest.mark.skipif(not FOLDER.exists(), reason="needs the recorded verdicts of IFEval")
@pytest.mark.parametrize("mode", ifeval.MODES)
def test_every_stable_verdict_is_that_of_the_original(mode):
    prompts = {record["key"]: record["prompt"] for record in lines("input_data.jsonl")}
    keys = {prompt.strip(): key for key, prompt in prompts.items()}
    responses = {
        (model, record.get("key") or keys.get(record["prompt"].strip())): record["response"]
        for model, name in RESPONSES.items()
        for record in lines(name)
    }
    judged, wrong = 0, []
    for entry in lines("reference_verdicts.jsonl"):
        if not entry[f"stable_{mode}"]:
            continue
        response = responses[entry["model"], entry["key"]]
        found = verdict(
            entry["instruction_id"], entry["kwargs"], prompts[entry["key"]], response, mode
        )
        judged += 1
        if found is not entry[mode]:
            wrong.append((entry["model"], entry["key"], entry["instruction_id"]))
    assert judged > 2400
    assert wrong == []


@pytest.mark.parametrize(
    ("id", "kwargs", "response", "strict", "loose"),
    [
        ("keywords:existence", {"keywords": ["le"]}, "letter", True, True),
        ("keywords:existence", {"keywords": ["c++"]}, "c++", True, True),
        ("keywords:forbidden_words", {"forbidden_words": ["war"]}, "warning", True, True),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a******b", False, False),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "---\n-5", True, True),
        ("detectable_format:number_highlighted_sections",
         {"num_highlights": 2}, "***x***", True, True),
        ("detectable_format:json_format", {}, "NaN", True, True),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, "a P.P.S. b", True, True),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, "PS: b", False, False),
        ("change_case:capital_word_frequency",
         {"capital_frequency": 4, "capital_relation": "at least"}, "I DON'T, U.S.", True, True),
        ("language:response_language", {"language": "en"}, "123", True, True),
        ("startend:quotation", {}, 'Sure:\n"a b"', False, True),
        ("punctuation:no_comma", {}, "Sure, here\nno more", False, True),
        ("punctuation:no_comma", {}, "  \n ", False, False),
        ("combination:repeat_prompt", {}, "say so. and so", True, True),
        ("keywords:letter_frequency",
         {"letter": "e", "let_frequency": 2, "let_relation": "less than"}, "Eve", False, False),
    ],
)  # fmt: skip
def test_quirks_are_kept(id, kwargs, response, strict, loose):
    assert verdict(id, kwargs, "Say so.", response, "strict") is strict
    assert verdict(id, kwargs, "Say so.", response, "loose") is loose


def test_all_25_types_are_there():
    assert len(ifeval.IDS) == 25


@pytest.mark.parametrize(
    ("id", "kwargs", "mode", "message"),
    [
        ("keywords:exist", {}, "strict", "no instruction of IFEval"),
        ("punctuation:no_comma", {}, "lax", "choose strict or loose"),
        ("keywords:existence", {"keywords": None}, "strict", "needs keywords"),
    ],
)
def test_what_cannot_be_judged_is_refused(id, kwargs, mode, message):
    with pytest.raises(ValueError, match=message):
        verdict(id, kwargs, "", "text", mode)
