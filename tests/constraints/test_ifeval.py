"""Verdicts are those of IFEval's own checkers."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        ("punctuation:no_comma", {}, None, False, False),
        ("keywords:frequency",
         {"keyword": "(a)(b)", "frequency": 2, "relation": "less than"}, "abab", False, False),
        ("keywords:forbidden_words", {"forbidden_words": ["c++"]}, "in c++ it is", False, False),
        ("detectable_format:multiple_sections",
         {"section_spliter": "(Pa)rt", "num_sections": 2}, "Part 1", True, True),
        ("detectable_format:multiple_sections",
         {"section_spliter": "Part (", "num_sections": 2}, "Part (1 Part ( 2", True, True),
        ("detectable_content:postscript", {"postscript_marker": "n.b"}, "a\nn-b: c", True, True),
        ("detectable_content:number_placeholders", {"num_placeholders": 2},
         "[[a]] [b\nc] [d]", True, True),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "\n \n*\n- a", True, True),
        ("detectable_format:title", {}, "<<<a>> b>>", True, True),
        ("detectable_format:title", {}, "<<>>\n<<  >>", False, False),
        ("length_constraints:nth_paragraph_first_word",
         {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "b"}, "a\n\n\n\nb", False, False),
        ("length_constraints:nth_paragraph_first_word",
         {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "σασ"}, "ΣΑΣ", True, True),
        ("change_case:capital_word_frequency",
         {"capital_frequency": 2, "capital_relation": "at least"}, "AI—BEST", False, False),
        ("change_case:english_capital", {}, "12 !", False, False),
        ("combination:repeat_prompt", {}, "say so. and so", True, True),
        ("keywords:letter_frequency",
         {"letter": "e", "let_frequency": 2, "let_relation": "less than"}, "Eve", False, False),
    ],
)  # fmt: skip
def test_quirks_are_kept(id, kwargs, response, strict, loose):
    assert verdict(id, kwargs, "Say so.", response, "strict") is strict
    assert verdict(id, kwargs, "Say so.", response, "loose") is loose


ARGUMENTS = {
    "keywords:existence": {"keywords": ["tea"]},
    "keywords:frequency": {"keyword": "tea", "frequency": 2, "relation": "at least"},
    "keywords:forbidden_words": {"forbidden_words": ["tea"]},
    "keywords:letter_frequency": {"letter": "q", "let_frequency": 2, "let_relation": "at least"},
    "language:response_language": {"language": "de"},
    "length_constraints:number_sentences": {"num_sentences": 0, "relation": "less than"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_words": {"num_words": 0, "relation": "less than"},
    "length_constraints:nth_paragraph_first_word":
        {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "tea"},
    "detectable_content:number_placeholders": {"num_placeholders": 10**9},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:number_bullet_lists": {"num_bullets": 10**9},
    "detectable_format:number_highlighted_sections": {"num_highlights": 10**9},
    "detectable_format:multiple_sections": {"section_spliter": "Part", "num_sections": 2},
    "combination:repeat_prompt": {"prompt_to_repeat": "tea"},
    "startend:end_checker": {"end_phrase": "tea"},
    "change_case:capital_word_frequency":
        {"capital_frequency": 10**9, "capital_relation": "at least"},
}  # fmt: skip


@pytest.mark.parametrize(
    "unit",
    ["a", "[", "<<", "{", "*", "* ", "**a", " \n", "\n-", "p. ", "A. ", "'a ", '"', "\x1c"],
)
def test_a_hostile_megabyte_is_judged_in_linear_time(unit):
    # A quadratic pattern takes far longer than this on the first, and hours on the second.
    for size, limit in ((50_000, 5), (1_000_000, 60)):
        text = unit * (size // len(unit))
        start = time.process_time()
        for id in ifeval.IDS:
            assert verdict(id, ARGUMENTS.get(id, {}), "", text) in (True, False)
        assert time.process_time() - start < limit


hostile = st.one_of(
    st.text(max_size=80),
    st.text("aA1.,!?*-\n\r\x0b\x1c\x85\u2028 #\"'’<>[](){}`PSps_|\\", max_size=60),
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(text=hostile, word=hostile, id=st.sampled_from(ifeval.IDS))
def test_every_text_and_every_keyword_gets_a_verdict(text, word, id):
    kwargs = dict(ARGUMENTS.get(id, {}))
    for name, value in kwargs.items():
        if word and name in ("keyword", "first_word", "end_phrase", "section_spliter"):
            kwargs[name] = word
        elif word and isinstance(value, list):
            kwargs[name] = [word, word[:1]]
    strict, loose = (verdict(id, kwargs, "tea", text, mode) for mode in ifeval.MODES)
    assert strict in (True, False)
    assert loose or not strict


def test_all_25_types_are_there():
    assert len(ifeval.IDS) == 25


@pytest.mark.parametrize(
    ("id", "kwargs", "mode", "message"),
    [
        ("keywords:exist", {}, "strict", "no instruction of IFEval"),
        ("punctuation:no_comma", {}, "lax", "choose strict or loose"),
        ("keywords:existence", {"keywords": None}, "strict", "needs keywords"),
        ("keywords:existence", None, "strict", "needs keywords"),
        ("keywords:existence", {"keywords": []}, "strict", "must be a list of texts"),
        (
            "keywords:frequency",
            {"keyword": "", "frequency": 1, "relation": "at least"},
            "strict",
            "keyword must be a text",
        ),
        (
            "keywords:letter_frequency",
            {"letter": "ab", "let_frequency": 1, "let_relation": "at least"},
            "strict",
            "letter must be one character",
        ),
        (
            "length_constraints:number_words",
            {"num_words": -1, "relation": "at least"},
            "strict",
            "num_words must be a whole number from 0",
        ),
        (
            "length_constraints:number_words",
            {"num_words": 1, "relation": "at most"},
            "strict",
            "relation must be one of less than, at least",
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 1, "nth_paragraph": 2, "first_word": "a"},
            "strict",
            "must not exceed",
        ),
        ("language:response_language", {"language": "zh"}, "strict", "language must be one of"),
        ("punctuation:no_comma", {"number": 1}, "strict", "takes no number"),
        ("combination:repeat_prompt", {}, "strict", "prompt_to_repeat must be a text"),
    ],
)
def test_what_cannot_be_judged_is_refused(id, kwargs, mode, message):
    with pytest.raises(ValueError, match=message):
        verdict(id, kwargs, "", "text", mode)


def test_a_pattern_that_backtracks_ends(monkeypatch):
    monkeypatch.setattr(ifeval, "PATIENCE", 0.2)
    text = "a" * 40 + "!"

    def keeps(word):
        return verdict("keywords:existence", {"keywords": [word]}, "", text)

    for word in ("(a+)+$", "(a|a)*b", "(a+)+${x}"):
        assert not keeps(word)
    assert keeps("a{3}!") and not keeps("{e<=3}") and keeps("colou?r|!")
    with pytest.raises(ValueError, match=r"the pattern '.*' takes more than 0\.2 seconds"):
        keeps("(?:a|aa)+(?:a|aa)+(?:a|aa)+$")
