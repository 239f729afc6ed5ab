"""Forms of records: what others publish reads as it is meant, or is refused by name."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from mapl_jax.data import forms
from mapl_jax.data.messages import as_messages
from mapl_jax.data.records import Tally, iter_pairs
from mapl_jax.data.sources import entries_of
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesize import load_pairs

from support import ROOT, write_lines

ASK = {"role": "user", "content": "How are you?"}
SYSTEM = {"role": "system", "content": "Be kind."}
GOOD, BAD = {"role": "assistant", "content": "Fine."}, {"role": "assistant", "content": "Bad."}
PAIR = {"prompt": "How are you?", "chosen": "Fine.", "rejected": "Bad."}


def turn(role, text):
    return {"role": role, "content": text}


PARTS = [{"type": "text", "text": "How are "}, {"type": "text", "text": "you?"}]
SAME = {
    "system column": {**PAIR, "system": "Be kind."},
    "question": {**{k: PAIR[k] for k in ("chosen", "rejected")}, "question": ASK["content"],
                 "system": "Be kind."},
    "openai": {"input": {"messages": [SYSTEM, ASK], "tools": []}, "preferred_output": [GOOD],
               "non_preferred_output": [BAD]},
    "rejected_response": {"messages": [SYSTEM, ASK, GOOD], "rejected_response": "Bad."},
    "sharegpt": {"conversations": [{"from": "system", "value": "Be kind."},
                                   {"from": "human", "value": ASK["content"]}],
                 "chosen": {"from": "gpt", "value": "Fine."},
                 "rejected": {"from": "gpt", "value": "Bad."}},
    "content in parts": {"prompt": [SYSTEM, {"role": "user", "content": PARTS}],
                         "chosen": [GOOD], "rejected": [BAD]},
    "JSON text": {"prompt": '[{"role": "system", "content": "Be kind."}, '
                            '{"role": "user", "content": "How are you?"}]',
                  "chosen": '[{"role": "assistant", "content": "Fine."}]', "rejected": "Bad."},
    "printed lists": {"prompt": str([SYSTEM, ASK]), "chosen": str([GOOD]), "rejected": str([BAD])},
    "developer": {**PAIR, "prompt": [turn("developer", "Be kind."), ASK]},
    "sides with the system message": {"prompt": [ASK], "chosen": [SYSTEM, ASK, GOOD],
                                      "rejected": [SYSTEM, ASK, BAD]},
    "alpaca's two outputs": {"instruction": ASK["content"], "system": "Be kind.",
                             "output": ["Fine.", "Bad."]},
    "rejected_messages": {"messages": [SYSTEM, ASK, GOOD], "rejected_messages": [SYSTEM, ASK, BAD]},
    "a system message as a column": {**PAIR, "system": SYSTEM},
    "replies that repeat the dialogue": {
        "system": "Be kind.", "prompt": "\n\nHuman: How are you?\n\nAssistant:",
        "chosen": "\n\nHuman: How are you?\n\nAssistant: Fine.",
        "rejected": "\n\nAssistant: Bad."},
    "messages written twice as text": {**PAIR, "system": "Be kind.",
                                       "prompt": json.dumps(json.dumps([ASK]))},
    "names of other chat programs": {
        "system": "Be kind.", "conversations": [{"from": "human", "value": ASK["content"]}],
        "chosen": {"from": "chatgpt", "value": "Fine."},
        "rejected": {"from": "bot", "value": "Bad."}},
    "either name of speaker and words, in capitals": {
        "prompt": [{"role": "System", "value": "Be kind."},
                   {"from": "User", "content": ASK["content"]}],
        "chosen": {"role": "gpt", "content": "Fine."}, "rejected": {"role": "AI", "value": "Bad."}},
    "lists of a column each": {
        "prompt": {"role": ["system", "user"], "content": ["Be kind.", ASK["content"]]},
        "chosen": {"role": ["assistant"], "content": ["Fine."]}, "rejected": "Bad."},
    "nulls among parts and replies": {
        "system": "Be kind.", "chosen": ["Fine."], "rejected": [None, "Bad."],
        "prompt": [{"role": "user", "content": [*PARTS, {"type": "text", "text": None}]}]},
    "an object of messages as JSON text": {
        **PAIR, "prompt": json.dumps({"messages": [SYSTEM, ASK]})},
    "Gemini's messages": {
        "prompt": [SYSTEM, {"role": "user", "parts": PARTS}],
        "chosen": {"role": "model", "parts": [{"text": "Fine."}]}, "rejected": "Bad."},
    "OpenAssistant's role": {
        "system": "Be kind.", "prompt": [turn("prompter", "How are you?")], "chosen": [GOOD],
        "rejected": [BAD]},
    "white space": {"prompt": "How are  you? ", "chosen": [SYSTEM, ASK, GOOD],
                    "rejected": [SYSTEM, ASK, BAD]},
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_every_form_reads_the_same(name):
    (pair,) = load_pairs([SAME[name]])
    assert pair["prompt"] == [SYSTEM, ASK]
    assert (pair["chosen"], pair["rejected"]) == ("Fine.", "Bad.")


# A prompt with a call of a tool and its result, in every form that people write it in.
ARGUMENTS = {"place": "Brest"}
FUNCTION = {"name": "tide", "arguments": ARGUMENTS}
WRITTEN = json.dumps(FUNCTION | {"arguments": json.dumps(ARGUMENTS)})
TOOLS = [{"type": "function", "function": {"name": "tide", "parameters": {}}}]
CALLS = {
    "openai": [{"role": "assistant", "content": None, "tool_calls": [
                    {"type": "function", "function": json.loads(WRITTEN)}]},
               turn("tool", "6 m")],
    "no content": [{"role": "assistant", "tool_calls": [{"function": FUNCTION}]},
                   turn("ipython", "6 m")],
    "before tools had ids": [{"role": "assistant", "content": "", "function_call": FUNCTION},
                             turn("function", "6 m")],
    "sharegpt": [{"from": "function_call", "value": WRITTEN},
                 {"from": "observation", "value": "6 m"}],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("tools", [TOOLS, json.dumps(TOOLS)])
def test_calls_of_tools_and_their_results_stand_in_the_prompt(name, tools):
    (pair,) = load_pairs([{**PAIR, "prompt": [ASK, *CALLS[name]], "tools": tools}])
    called = {"role": "assistant", "content": "",
              "tool_calls": [{"type": "function", "function": FUNCTION}]}  # fmt: skip
    assert pair["prompt"] == [{**ASK, "tools": TOOLS}, called, turn("tool", "6 m")]
    (whole,) = load_pairs(
        [{"chosen": [ASK, *CALLS[name], GOOD], "rejected": [ASK, *CALLS[name], BAD]}]
    )
    assert whole["prompt"] == [ASK, called, turn("tool", "6 m")]


@pytest.mark.parametrize("change", [str.title, str.upper])
def test_roles_of_tools_are_read_in_capitals_too(change):
    result = {**turn("tool", "6 m"), "name": "tide", "tool_call_id": "1"}
    for turns in ([*CALLS["openai"][:1], result], CALLS["sharegpt"]):
        spelled = [
            {key: change(value) if key in ("role", "from") else value for key, value in it.items()}
            for it in turns
        ]
        (pair,) = load_pairs([{**PAIR, "prompt": [ASK, *turns]}])
        assert load_pairs([{**PAIR, "prompt": [ASK, *spelled]}])[0]["prompt"] == pair["prompt"]
        assert "tool_calls" in pair["prompt"][1]


def test_turns_that_both_sides_share_are_of_the_prompt():
    later = [GOOD, turn("user", "And now?")]
    (pair,) = load_pairs([{"prompt": [ASK], "chosen": [*later, GOOD], "rejected": [*later, BAD]}])
    assert pair["prompt"] == [ASK, *later]
    assert (pair["chosen"], pair["rejected"]) == ("Fine.", "Bad.")


def test_a_system_column_stands_before_two_conversations():
    form = "responses=a|b,choice=best,system=how"
    record = {"a": [ASK, GOOD], "b": [ASK, BAD], "best": "a", "how": "Be kind."}
    (pair,) = iter_pairs(entries_of([record]), Tally(), form=forms.requested_form(columns=form))
    assert pair["prompt"] == [SYSTEM, ASK]


def test_a_system_message_of_one_side_is_that_of_both():
    turns = [ASK, GOOD], [SYSTEM, ASK, BAD]
    for chosen, rejected in (turns, [[SYSTEM, *turns[0]], turns[1][1:]]):
        (pair,) = load_pairs([{"chosen": chosen, "rejected": rejected}])
        assert (pair["prompt"], pair["chosen"]) == ([SYSTEM, ASK], "Fine.")


@pytest.mark.parametrize("nothing", ["", "nan", "NaN", "<NA>", "NULL", "None", float("nan")])
def test_what_is_missing_in_a_table_is_missing(nothing):
    (pair,) = load_pairs([{**PAIR, "system": nothing, "context": nothing, "chosen": "None"}])
    assert (pair["prompt"], pair["chosen"]) == ([ASK], "None")


def test_an_empty_system_message_says_nothing():
    (pair,) = load_pairs([{**PAIR, "prompt": [turn("system", ""), ASK]}])
    assert pair["prompt"] == [ASK]


def test_alpaca_input_and_history_stand_in_the_prompt():
    record = {"instruction": "Translate.", "input": "Guten Tag", "history": [["Hi", "Hello"]],
              "chosen": "Good day", "rejected": "No"}  # fmt: skip
    (pair,) = load_pairs([record])
    assert [m["content"] for m in pair["prompt"]] == ["Hi", "Hello", "Translate.\nGuten Tag"]


@pytest.mark.parametrize("text", ["How are you?", "And today?"])
def test_a_prompt_text_may_be_the_first_or_the_last_turn(text):
    turns = [ASK, turn("assistant", "Well."), turn("user", "And today?")]
    (pair,) = load_pairs([{"prompt": text, "chosen": [*turns, GOOD], "rejected": [*turns, BAD]}])
    assert pair["prompt"] == turns


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"tools": [{"what": "f"}]}, "tools has tools or calls that are no objects with a 'name'"),
        ({"tools": "f, g"}, "tools has tools or calls that are no objects with a 'name'"),
        ({"chosen": [{**GOOD, "tool_calls": [{"name": "f"}]}]}, "ends with a call of a tool"),
        ({"functions": [{"name": "f"}]}, "column 'functions'"),
        ({"images": ["a.png"]}, "'images'"),
        ({"reasoning_content": "Hm."}, "'reasoning_content'"),
        ({"context": "In 1900."}, "'context'"),
        ({"chosen": [{**GOOD, "reasoning_content": "Hm."}]}, "'reasoning_content'"),
        ({"chosen": "[{'role': 'assistant', 'content': }]"}, "cannot be read back"),
        ({"chosen": [GOOD, ASK, GOOD]}, "chosen has 3 turns after the prompt; each side may hold"),
        (
            {"prompt": None, "chosen": [ASK, GOOD], "rejected": [ASK, BAD, ASK, BAD]},
            "rejected has 3 turns after the 1 that both share; each side may hold one reply only",
        ),
        ({"prompt": [SYSTEM, ASK], "system": "Be rude."}, "another system message"),
        ({"prompt": "See images.", "images": ["images"]}, "column 'images'"),
        ({"prompt": "The cart.", "context": "car"}, "column 'context'"),
        ({"System": "Be kind."}, "column 'System'"),
        ({"systemmessage": "Be kind."}, "column 'systemmessage'"),
        ({"retrieved_context": ["In 1900."]}, "column 'retrieved_context'"),
        ({"previous_turns": [["Hi", "Hello"]]}, "column 'previous_turns'"),
        ({"prompt_suffix": "In German."}, "column 'prompt_suffix'"),
        ({"systemPrompt": "Be kind."}, "column 'systemPrompt'"),
        ({"image_path": "a.png"}, "column 'image_path'"),
        ({"chosen_reasoning": "Hm."}, "column 'chosen_reasoning'"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "column 'chat_template_kwargs'"),
        ({"chosen_response": "Yes."}, "column 'chosen_response' beside 'chosen' and 'rejected'"),
        ({"response_rejected": "No."}, "column 'response_rejected' beside"),
        ({"rejected_2": "No."}, "column 'rejected_2' beside 'chosen' and 'rejected'"),
        ({"prompt": {"messages": [ASK], "tools": [1]}}, "prompt has 'tools'"),
        ({"chosen": [{**GOOD, "thought": "Hm."}]}, "'thought', which is not read"),
        ({"chosen": [turn("assistant", [{"type": "reasoning", "text": "Hm."}])]}, "'reasoning'"),
        ({"prompt": [turn("user", [{"type": "image", "text": "a cat"}])]}, "type 'image'"),
    ],
)
def test_what_would_change_the_meaning_is_refused_by_name(extra, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_pairs([{**PAIR, **extra}])


def test_columns_that_repeat_the_prompt_are_harmless_and_others_are_named_once():
    tally = Tally()
    records = [{**PAIR, "messages": [ASK, GOOD], "source": "web", "images": []}] * 2
    assert len(list(iter_pairs(entries_of(records), tally))) == 2
    assert tally.notes() == ["columns that are not read: source"]


@pytest.mark.parametrize("name", ["image_count", "instruction_id_list", "tool_choice", "SystemId"])
def test_columns_about_such_columns_are_only_named(name):
    tally = Tally()
    assert list(iter_pairs(entries_of([{**PAIR, name: "x"}]), tally))
    assert tally.unread == {name}


def test_fields_of_messages_that_are_not_read_are_named():
    tally = Tally()
    record = {**PAIR, "prompt": [{**ASK, "name": "Ann", "weight": 0, "tool_calls": None}]}
    assert list(iter_pairs(entries_of([record]), tally))
    assert tally.notes() == ["columns that are not read: name of messages, weight of messages"]


def test_what_openai_keeps_beside_the_messages_is_refused():
    record = {"input": {"messages": [ASK], "system": "Be rude."}, "preferred_output": [GOOD],
              "non_preferred_output": [BAD]}  # fmt: skip
    with pytest.raises(UserError, match=re.escape("column 'input.system'")):
        load_pairs([record])


@pytest.mark.parametrize("reply", ['{"content": "x", "title": "y"}', '[{"name": "A"}] and so on'])
def test_a_reply_may_be_json_that_was_asked_for(reply):
    assert load_pairs([{**PAIR, "chosen": reply}])[0]["chosen"] == reply


def preferences(record, **settings):
    """What a record says: its responses, and which is over which, which are equally good."""
    (pair,) = load_pairs([record], **settings)
    texts = pair["responses"]
    return [
        texts,
        {texts[i] + texts[j] for i, j in pair["over"]},
        {texts[i] + texts[j] for i, j in pair["tied"]},
    ]


def test_several_rejected_are_one_record():
    record = {"id": "q", "prompt": "How are you?", "chosen": ["Fine."], "rejected": ["Bad.", "No."]}
    (pair,) = load_pairs([record])
    assert (pair["id"], pair["chosen"], pair["rejected"]) == ("q", "Fine.", "No.")
    assert preferences(record) == [["Fine.", "Bad.", "No."], {"Fine.Bad.", "Fine.No."}, set()]


def test_several_chosen_are_not_compared_with_each_other():
    record = {"prompt": "Q", "chosen": ["a", "b"], "rejected": ["c", "d"]}
    assert preferences(record)[1:] == [{"ac", "ad", "bc", "bd"}, set()]


@pytest.mark.parametrize("order", [{"scores": [1, 3, 2]}, {"ranks": [3, 1, 2]}])
def test_scored_and_ranked_lists_have_the_best_first(order):
    record = {"prompt": "Q", "responses": ["c", "a", "b"], **order}
    assert preferences(record) == [["a", "b", "c"], {"ab", "ac", "bc"}, set()]


def test_equal_scores_are_ties():
    record = {"prompt": "Q", "responses": ["a", "b", "c", "b"], "scores": [2, 2, 1, 2]}
    assert preferences(record) == [["a", "b", "b", "c"], {"ac", "bc"}, {"ab"}]


@pytest.mark.parametrize(
    ("format", "record"),
    [
        ("arena", {"conversation_a": [ASK, BAD], "conversation_b": [ASK, GOOD], "winner": "tie"}),
        ("helpsteer2", {"prompt": "Q", "response_1": "Bad.", "response_2": "Fine.",
                        "preference_strength": 0}),
    ],
)  # fmt: skip
def test_two_that_are_equally_good_are_a_tie(format, record):
    assert preferences(record, format=format) == [["Bad.", "Fine."], set(), {"Bad.Fine."}]


def test_a_list_of_one_text_prefers_nothing():
    with pytest.raises(UserError, match="prefers none of its responses"):
        load_pairs([{"prompt": "Q", "responses": ["a", "a "], "scores": [2, 1]}])


OF_FOUR = {"id": "12", "prompt": "How are you?", "chosen": ["Fine."],
           "rejected": ["Bad.", "No.", "Why?"], "num_correct": 1, "num_incorrect": 3,
           "total_completions": 4, "models": ["a", "b", "c", "d"], "subset": "Math",
           "additional_metadata": {"category": None, "correct": None}}  # fmt: skip
GRAPH = {"id": 3, "response_generation_model": "m", "instruction_type": "Single_Turn",
         "messages": [SYSTEM, ASK], "checklist": ["Be short."], "constraint_type": [],
         "responses": [{"response_id": 7, "response": "Bad.", "labels": [0, 0]},
                       {"response_id": 8, "response": "Fine.", "labels": [1, 1]},
                       {"response_id": 9, "response": "So.", "labels": [1, 0]}],
         "preference_graph": [
             {"chosen": {"response_id": 9}, "rejected": {"response_id": 7}},
             {"chosen": {"response_id": 8}, "rejected": {"response_id": 7}},
         ]}  # fmt: skip


def test_rewardbench_2_is_read_as_it_is_published():
    (pair,) = load_pairs([OF_FOUR])
    assert (pair["id"], pair["subset"]) == ("12", "Math")
    assert [len(preferences(OF_FOUR)[i]) for i in (0, 1)] == [4, 3]


def test_if_rewardbench_is_read_as_it_is_published():
    (pair,) = load_pairs([GRAPH])
    assert (pair["id"], pair["subset"], pair["prompt"]) == ("3", "Single_Turn", [SYSTEM, ASK])
    assert preferences(GRAPH) == [["Fine.", "So.", "Bad."], {"Fine.Bad.", "So.Bad."}, set()]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ([{"chosen": {"response_id": 1}, "rejected": {"response_id": 7}}], "response 1 that it"),
        ([{"chosen": {"response_id": 9}, "rejected": {}}], "a better and a worse response"),
        ([{"chosen": {"response_id": 9}}], "a better and a worse response"),
    ],
)
def test_a_graph_names_its_own_responses(graph, message):
    with pytest.raises(UserError, match=message):
        load_pairs([{**GRAPH, "preference_graph": graph}])


PUBLISHED = {
    "helpsteer3": {"context": [ASK], "response1": "Bad.", "response2": "Fine.",
                   "overall_preference": 2, "domain": "general", "language": "english",
                   "individual_preference": [{"score": 2, "reasoning": "Kinder.",
                                              "feedback1": "Rude.", "feedback2": "Kind."}]},
    "helpsteer2": {"prompt": ASK["content"], "response_1": "Fine.", "response_2": "Bad.",
                   "preference_strength": -1, "preference_statement": "The first is kind.",
                   "preference_elaboration": "It is.", "split": "train"},
    "shp": {"history": ASK["content"], "human_ref_A": "Bad.", "human_ref_B": "Fine.",
            "score_A": 3, "score_B": 9, "labels": 0, "post_id": "x", "domain": "askculinary"},
    "nectar": {"prompt": "\n\nHuman: How are you?\n\nAssistant: ",
               "answers": [{"answer": "Bad.", "rank": 2.0, "model": "x"},
                           {"answer": "Fine.", "rank": 1.0, "model": "y"}],
               "turns": 1, "num_responses": 2, "source": ["lmsys"], "good_natured": True},
    "ultrafeedback": {"instruction": ASK["content"],
                      "completions": [
                          {"response": "Bad.", "overall_score": 3.5, "principle": "honesty",
                           "custom_system_prompt": "Be honest.", "annotations": {}},
                          {"response": "Fine.", "overall_score": 8.0, "critique": "Good.",
                           "custom_system_prompt": "Be kind."}],
                      "models": ["x", "y"], "correct_answers": ["None"], "source": "sharegpt"},
    "arena": {"conversation_a": [ASK, BAD], "conversation_b": [ASK, GOOD], "winner": "model_b",
              "model_a": "x", "model_b": "y", "turn": 1, "anony": True, "language": "English",
              "openai_moderation": {"flagged": False}, "full_conversation": [{"user": ASK}]},
    "pandalm": {"idx": 0, "motivation_app": "x", "cmp_key": "y", "instruction": ASK["content"],
                "input": "", "response1": "Bad.", "response2": "Fine.", "annotator1": 2,
                "annotator2": 2, "annotator3": 0},
    "prism": {"conversation_id": "c", "conversation_history": [
        {"turn": 0, **ASK},
        {"turn": 0, **BAD, "score": 1, "if_chosen": False, "within_turn_id": 0},
        {"turn": 0, **GOOD, "score": 99, "if_chosen": True, "within_turn_id": 1}]},
    "safe_rlhf": {"prompt": ASK["content"], "response_0": "Fine.", "response_1": "Bad.",
                  "better_response_id": 0, "safer_response_id": 1, "is_response_0_safe": True,
                  "response_0_source": "x", "response_0_harm_category": {"Insult": False}},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_forms_read_by_their_names(name):
    (pair,) = load_pairs([PUBLISHED[name]], format=name)
    assert pair["prompt"] == [ASK]
    assert (pair["chosen"], pair["rejected"]) == ("Fine.", "Bad.")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_form_is_recognized_in_the_error(name):
    with pytest.raises(UserError, match=f"set data.format={name}"):
        load_pairs([PUBLISHED[name]])


def test_every_published_form_is_tried_here():
    assert {n for n, form in forms.FORMS.items() if not form.automatic} == set(PUBLISHED)


def test_columns_may_be_said():
    record = {"q": {"text": "How are you?"}, "good": "Fine.", "bad": "Bad."}
    (pair,) = load_pairs([record], columns="prompt=q.text,chosen=good,rejected=bad")
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ([ASK], "Fine.", "Bad.")


def test_fields_that_are_not_named_are_found_as_ever():
    (pair,) = load_pairs([{**PAIR, "system": "Be kind.", "good": "So.", "bad": "No."}],
                         columns="chosen=good,rejected=bad")  # fmt: skip
    assert (pair["prompt"], pair["chosen"]) == ([SYSTEM, ASK], "So.")


def test_a_column_that_is_named_and_not_there_is_told():
    with pytest.raises(UserError, match=re.escape("has no 'q' to read 'prompt' from (found: ")):
        load_pairs([PAIR], columns="prompt=q,chosen=chosen,rejected=rejected")


@pytest.mark.parametrize(
    ("columns", "choice", "chosen"),
    [
        ("response_0|response_1", 1, "B"),
        ("response_1|response_2", 1, "A"),
        ("response_1|response_2", 2.0, "B"),
        ("response_a|response_b", "b", "B"),
        ("response_a|response_b", 0, "A"),
        ("left|right", "Right", "B"),
        ("a|b", "model_b", "B"),
    ],
)
def test_a_choice_is_meant_as_the_columns_are_named(columns, choice, chosen):
    record = {"prompt": "Q", **dict(zip(columns.split("|"), "AB", strict=True)), "pick": choice}
    (pair,) = load_pairs([record], columns=f"prompt=prompt,responses={columns},choice=pick")
    assert pair["chosen"] == chosen


@pytest.mark.parametrize("choice", [0, 3, True, "first"])
def test_a_choice_that_names_none_is_refused(choice):
    record = {"prompt": "Q", "x_1": "A", "x_2": "B", "pick": choice}
    known = "1, 2, a, b, model_a, model_b, response_a, response_b, left, right, x_1, x_2 or tie"
    with pytest.raises(UserError, match=f"choice must be one of {known}, not"):
        load_pairs([record], columns="prompt=prompt,responses=x_1|x_2,choice=pick")


@pytest.mark.parametrize(
    ("record", "hint"),
    [
        ({"prompt": "Q", "chosen_response": "A", "rejected_response": "B", "chosen_reward": 2},
         "prompt=prompt,chosen=chosen_response,rejected=rejected_response"),
        ({"question": "Q", "better": "A", "worse": "B"},
         "prompt=question,chosen=better,rejected=worse"),
        ({"prompt": "Q", "response_a": "A", "response_b": "B", "winner": "a"},
         "prompt=prompt,responses=response_a|response_b,choice=winner"),
        ({"x": "A"}, "prompt=COLUMN,chosen=COLUMN"),
    ],
)  # fmt: skip
def test_an_error_says_what_would_read_the_record(record, hint):
    with pytest.raises(UserError, match=re.escape(f"data.columns={hint}")):
        load_pairs([record])
    if "COLUMN" not in hint:
        assert load_pairs([record], columns=hint)[0]["chosen"] == "A"


def test_single_replies_with_a_verdict_are_no_pairs():
    with pytest.raises(UserError, match="'label' judges single replies"):
        load_pairs([{"prompt": "Q", "completion": "A", "label": True}])


@pytest.mark.parametrize("columns", ["prompt", "answer=a", "prompt="])
def test_columns_that_cannot_be_are_refused(columns):
    with pytest.raises(UserError, match="write FIELD=COLUMN"):
        load_pairs([PAIR], columns=columns)


def test_an_unknown_format_is_refused():
    with pytest.raises(UserError, match="choose one of openai"):
        load_pairs([PAIR], format="csv")


def test_values_of_numpy_and_pandas_are_read():
    record = {
        **PAIR,
        "prompt": np.array([ASK], object),
        "id": np.int64(7),
        "margin": np.float64(0.5),
    }
    (pair,) = load_pairs([record])
    assert (pair["id"], pair["margin"], pair["prompt"]) == ("7", 0.5, [ASK])
    frame = pd.DataFrame([PAIR, {**PAIR, "prompt": "Why?", "margin": 2.0}])
    assert [pair["margin"] for pair in load_pairs(frame)] == [0.0, 2.0]


def test_prompts_of_python_are_read_as_those_of_files():
    assert as_messages([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]) == [
        turn("user", "Hi")
    ]
    with pytest.raises(UserError, match=r"the prompt cannot be read: .*type 'image'"):
        as_messages([{"role": "user", "content": [{"type": "image"}]}])


def test_the_examples_of_the_page_are_read(tmp_path):
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    examples = re.findall(r"```jsonl( \S+)?\n(.*?)```", page, re.DOTALL)
    assert len(examples) > 12
    for number, (format, lines) in enumerate(examples):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(lines, encoding="utf-8")
        pairs = load_pairs(path, columns=format.strip())
        assert len(pairs) >= 2, lines
        right = r"\W*(?:The (?:river )?)?(?:Nile|North Sea|Baltic|Good day|Six metres|Red)\b"
        assert all(re.match(right, pair["chosen"]) for pair in pairs), pairs
    named = {format.strip() for format, _ in examples if "=" not in format} - {""}
    assert named == {n for n, form in forms.FORMS.items() if not form.automatic}


@pytest.mark.parametrize(("start", "count"), [("How are you? ", 1), ("How ", 0)])
def test_replies_that_repeat_their_prompt_are_counted(start, count):
    tally = Tally()
    record = {**PAIR, "chosen": f"{start}Fine.", "rejected": f"{start}Bad."}
    assert list(iter_pairs(entries_of([record]), tally))
    assert ("begin with the text of their prompt: 1;" in " ".join(tally.notes())) == bool(count)


@pytest.mark.parametrize(
    ("rejected", "count"), [("['Bad.', 'No.']", 1), ('["Bad."]', 1), ("[1, 2]", 0), ("[sic]", 0)]
)
def test_replies_that_are_lists_as_text_are_counted(rejected, count):
    tally = Tally()
    assert list(iter_pairs(entries_of([{**PAIR, "rejected": rejected}]), tally))
    said = "pairs of which a reply is a list, written as text: 1;"
    assert (said in " ".join(tally.notes())) == bool(count)


def test_what_was_left_out_is_counted(tmp_path, capsys):
    path = write_lines(tmp_path / "a.jsonl", PAIR, {**PAIR, "rejected": ""})
    load_pairs(path, on_error="skip")
    assert "2 records read, 1 kept, 1 dropped (empty rejected 1)" in capsys.readouterr().out


def test_what_is_in_memory_is_read_as_rows_whatever_holds_it():
    import datasets

    record = {**PAIR, "margin": 1.5}
    frame = pd.DataFrame([record])
    data = datasets.Dataset.from_list([record])
    for source in (
        frame.set_index("prompt"),  # an index with a name is a column
        {name: [value] for name, value in record.items()},
        data[:1],
        data.with_format("arrow"),
        data.with_format("pandas"),
        frame.to_records(index=False),
        [{name: str(x).encode() if name != "margin" else x for name, x in record.items()}],
    ):
        (pair,) = load_pairs(source)
        assert (pair["prompt"][0]["content"], pair["margin"]) == (PAIR["prompt"], 1.5)
    with pytest.raises(UserError, match="put it into a list"):
        load_pairs(PAIR)


NAMED = [
    ({"response_a": "x", "response_b": "y"}, "A", "B", "responses=response_a|response_b,choice"),
    ({"response_1": "x", "response_2": "y"}, "response_2", "response_1", "choice=chosen"),
    ({"responses": ["x", "y"]}, 1, 0, "responses=responses,choice=chosen"),
    ({"completions": [{"model": "m", "text": "x"}, {"model": "n", "text": "y"}]}, "n", "m", ""),
    ({"answers": {"left": "x", "right": "y"}}, "left", "right", ""),
]


@pytest.mark.parametrize(("columns", "chosen", "rejected", "hint"), NAMED)
def test_names_of_replies_are_not_replies(columns, chosen, rejected, hint):
    record = {"prompt": "q", **columns, "chosen": chosen, "rejected": rejected}
    with pytest.raises(UserError, match="seem to name replies") as raised:
        load_pairs([record])
    assert hint in str(raised.value)
    if "|" in hint:
        (pair,) = load_pairs(
            [record], columns="prompt=prompt," + hint.partition(",")[0] + ",choice=chosen"
        )
        assert pair["chosen"] == "x"


@pytest.mark.parametrize(
    "beside",
    [{"response_a": "x", "response_b": "y"}, {"tags": ["a", "b"]}, {"answers": ["B", "A"]}],
)
def test_short_replies_are_replies(beside):
    (pair,) = load_pairs([{"prompt": "A or C?", "chosen": "C", "rejected": "0", **beside}])
    assert pair["chosen"] == "C"


@pytest.mark.parametrize(
    "name",
    ["knowledge", "past_turns", "options", "attachments", "pre_prompt", "user_profile", "story"],
)
def test_more_names_that_change_what_is_answered(name):
    record = {"prompt": "q", "chosen": "a", "rejected": "b", name: ["the sea is green"]}
    with pytest.raises(UserError, match=f"has a column '{name}' that is not read"):
        load_pairs([record])
    assert load_pairs([{**record, "prompt": "q: the sea is green"}])  # it stands in what is read


READ_AS = [
    ({"prompt": "q", "responses": ["a", "b"], "scores": [1, None]}, "",
     "not None (read as scores: prompt=prompt,responses=responses,scores=scores)"),
    ({"context": "q", "response1": "a", "response2": "b", "overall_preference": "x"}, "helpsteer3",
     "(read as helpsteer3: prompt=context,responses=response1|response2,strength=overall"),
    ({"messages": [ASK], "rejected_response": "x"}, "", "(read as rejected_response: "),
    ({"prompt": "q", "images": ["a.png"], "responses": ["a", "b"], "ranks": [1, 2]}, "",
     "data.columns=ignore=images (read as ranks: "),
]  # fmt: skip


@pytest.mark.parametrize(("record", "form", "said"), READ_AS)
def test_an_error_says_what_the_record_was_read_as(record, form, said):
    with pytest.raises(UserError, match=f"record 1: .*{re.escape(said)}"):
        load_pairs([record], format=form)


BETWEEN = {"prompt": ASK["content"], "response_a": "Fine.", "response_b": "Bad."}


@pytest.mark.parametrize(
    ("record", "columns", "said"),
    [
        (
            {"prompt": "Q", "responses": ["a", "b", "c"], "best": 1},
            "responses=responses,choice=best",
            "choice is between two responses, not 3; give scores or ranks",
        ),
        ({**BETWEEN, "winner": None}, "responses=response_a|response_b,choice=winner", "is empty"),
        (
            BETWEEN,
            "responses=response_a|response_b,choice=winner",
            "has no 'winner' to read 'choice' from",
        ),
        (BETWEEN, "responses=response_a|response_b,scores=s", "has no 's' to read 'scores' from"),
    ],
)
def test_what_says_no_preference_is_refused_by_its_column(record, columns, said):
    with pytest.raises(UserError, match=re.escape(said)):
        load_pairs([record], columns=columns)


def test_a_graph_that_contradicts_itself_is_refused():
    edges = [{"chosen": {"response_id": i}, "rejected": {"response_id": 1 - i}} for i in (0, 1)]
    replies = [{"response_id": i, "response": text} for i, text in enumerate(("Fine.", "Bad."))]
    record = {"prompt": "Q", "responses": replies, "preference_graph": edges}
    with pytest.raises(UserError, match="and the other way round"):
        load_pairs([record])


def test_nan_of_a_table_written_as_json_is_missing(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**PAIR, "input": float("nan"), "system": float("nan")}) + "\n")
    (pair,) = load_pairs(path)
    assert pair["prompt"] == [ASK]
