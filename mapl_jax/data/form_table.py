"""The published forms of records, a table: which columns each has, and what those are here.

Paths are those of `data.forms`. A new form is a line of `FORMS`.
"""

import dataclasses
from collections.abc import Mapping

PROMPT = "prompt/messages/conversations/instruction/question/query/input"
ASKED = {"prompt": PROMPT, "input": "input", "system": "system/system_prompt", "history": "history"}


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of records."""

    columns: Mapping[str, str]  # path of each of our fields
    needs: tuple[str, ...]  # columns that a record must have to be of this form
    # Whether the columns alone say what they mean; others are asked for by name.
    automatic: bool = False
    beside: tuple[str, ...] = ()  # columns that are not read, whatever their names
    turn: str = ""  # the column that says which turn of two conversations is compared
    ties: tuple[str, ...] = ()  # what a choice says where neither is better, beside "tie"
    # The list of messages in which every turn of a user is answered several times, with scores.
    branches: str = ""


FORMS = {
    "openai": Form(
        {
            "prompt": "input.messages/input",
            "tools": "input.tools",
            "chosen": "preferred_output",
            "rejected": "non_preferred_output",
        },
        ("input", "preferred_output", "non_preferred_output"),
        True,
    ),
    "rejected_response": Form(
        {"conversation": "messages", "rejected": "rejected_response", "system": "system"},
        ("messages", "rejected_response"),
        True,
    ),
    "rejected_messages": Form(
        {"chosen": "messages", "rejected": "rejected_messages", "system": "system"},
        ("messages", "rejected_messages"),
        True,
    ),
    "alpaca": Form(  # the best output comes first
        {**ASKED, "chosen": "output[0]", "rejected": "output[1:]"},
        ("instruction", "output[1:]"),
        True,
    ),
    "scores": Form(
        {**ASKED, "responses": "responses", "scores": "scores"}, ("responses", "scores"), True
    ),
    "ranks": Form(
        {**ASKED, "responses": "responses", "ranks": "ranks"}, ("responses", "ranks"), True
    ),
    "preference_graph": Form(
        {
            **ASKED,
            "responses": "responses[].response",
            "names": "responses[].response_id",
            "better": "preference_graph[].chosen.response_id",
            "worse": "preference_graph[].rejected.response_id",
            "subset": "instruction_type/subset",
        },
        ("responses", "preference_graph"),
        True,
    ),
    "helpsteer3": Form(
        {"prompt": "context", "responses": "response1|response2", "strength": "overall_preference"},
        ("context", "response1", "response2", "overall_preference"),
    ),
    "helpsteer2": Form(
        {
            "prompt": "prompt",
            "responses": "response_1|response_2",
            "strength": "preference_strength",
        },
        ("response_1", "response_2", "preference_strength"),
    ),
    "shp": Form(
        {"prompt": "history", "responses": "human_ref_A|human_ref_B", "scores": "score_A|score_B"},
        ("history", "human_ref_A", "human_ref_B", "score_A", "score_B"),
    ),
    "nectar": Form(
        {"prompt": "prompt", "responses": "answers[].answer", "ranks": "answers[].rank"},
        ("prompt", "answers[].answer", "answers[].rank"),
    ),
    "ultrafeedback": Form(
        {
            "prompt": "instruction",
            "responses": "completions[].response",
            "scores": "completions[].overall_score",
        },
        ("instruction", "completions[].response", "completions[].overall_score"),
        beside=(
            "completions[].custom_system_prompt",
        ),  # how a model was asked; ratings know nothing of it
    ),
    "arena": Form(
        {"responses": "conversation_a|conversation_b", "choice": "winner"},
        ("conversation_a", "conversation_b", "winner"),
        turn="turn",
    ),
    "safe_rlhf": Form(
        {"prompt": "prompt", "responses": "response_0|response_1", "choice": "better_response_id"},
        ("response_0", "response_1", "better_response_id"),
    ),
    "pandalm": Form(
        {
            **ASKED,
            "prompt": "instruction",
            "responses": "response1|response2",
            "choice": "annotator1|annotator2|annotator3",
        },
        ("instruction", "response1", "response2", "annotator1"),
        ties=("0",),
    ),
    "prism": Form(
        {"prompt": "prompt", "responses": "responses", "scores": "scores"},
        ("conversation_history[].within_turn_id",),
        branches="conversation_history",
    ),
}
_AROUND = {"system": ASKED["system"], "history": "history"}
PAIR = Form({**ASKED, "chosen": "chosen", "rejected": "rejected"}, ("chosen", "rejected"), True)
DEMONSTRATIONS = (
    Form({**ASKED, "completion": "completion"}, ("completion",), True),
    Form({**ASKED, "completion": "chosen"}, ("chosen",), True),
    Form({**_AROUND, "conversation": "messages"}, ("messages",), True),
    Form({**_AROUND, "conversation": "conversations"}, ("conversations",), True),
    Form({**ASKED, "completion": "output"}, ("output",), True),
    Form({**ASKED, "completion": "response"}, ("response",), True),
)
