"""IFEval's scores, from its own files."""

import json

import pytest

from mapl_jax.evaluation import ifeval
from mapl_jax.evaluation import ifeval_files as files_of
from mapl_jax.evaluation.thinking import without_thinking
from mapl_jax.runtime.errors import UserError

import support

SHARED = support.SHARED / "data" / "ifeval"
PROMPTS = [
    {
        "key": 1,
        "prompt": "Say it.",
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
        "kwargs": [{}, {}],
    },
    {
        "key": 2,
        "prompt": "Say more.",
        "instruction_id_list": ["length_constraints:number_words"],
        "kwargs": [{"relation": "at least", "num_words": 2}],
    },
]
RESPONSES = [
    {"prompt": "Say more.", "response": "one two"},
    {"prompt": "Say it.", "response": 'Here, it is:\n"so"'},
]


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "prompts.jsonl", PROMPTS), write(tmp_path / "out.jsonl", RESPONSES)


def run(*arguments):
    return support.run("evaluate", "--config=configs/evaluate.py:ifeval", *arguments)


def score(prompts, responses):
    """Verdicts, and the keys of prompts without a response."""
    tasks, _ = files_of.read_tasks(prompts)
    known, found, _ = files_of.matched(tasks, files_of.read_responses(responses), responses)
    answers, _ = files_of.answers_alone(known, found)
    asked = {task.key for task in known}
    missing = [task.key for task in tasks if task.key not in asked]
    return ifeval.judge(known, answers), missing


def test_verdicts_are_counted_by_prompt_and_by_instruction(files):
    followed, missing = score(*files)
    assert missing == []
    assert followed[0] == [ifeval.Followed(1, (False, False), (True, True))]
    assert followed[1] == [ifeval.Followed(2, (True,), (True,))]
    summary = ifeval.summarize(followed, seed=0, resamples=100)
    assert summary["prompt_strict"] == pytest.approx(1 / 2)
    assert summary["instruction_strict"] == pytest.approx(1 / 3)
    assert summary["prompt_loose"] == summary["instruction_loose"] == 1
    assert summary["prompt_strict_low"] <= 1 / 2 <= summary["prompt_strict_high"]


def test_the_command_writes_ifevals_fields(files, tmp_path):
    output = tmp_path / "verdicts.jsonl"
    result = run(
        f"--config.prompts={files[0]}",
        f"--config.responses={files[1]}",
        f"--config.output={output}",
    )
    assert result.returncode == 0, result.stderr
    assert "prompt, strict" in result.stdout
    assert [json.loads(line) for line in output.read_text().splitlines()] == [
        {
            "key": 1,
            "follow_instruction_list_strict": [False, False],
            "follow_instruction_list_loose": [True, True],
        },
        {
            "key": 2,
            "follow_instruction_list_strict": [True],
            "follow_instruction_list_loose": [True],
        },
    ]


def test_a_prompt_without_a_response_is_left_out_and_said_so(files, tmp_path):
    followed, missing = score(files[0], write(tmp_path / "one.jsonl", RESPONSES[:1]))
    assert [entry.key for (entry,) in followed] == [2]
    assert missing == [1]


def test_a_missing_file_gives_one_line(files):
    result = run(f"--config.prompts={files[0]}", "--config.responses=nowhere.jsonl")
    assert result.returncode == 2
    assert "nowhere.jsonl" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("prompts", "responses", "message"),
    [
        (PROMPTS[:1], RESPONSES[:1], "no response to any of the prompts"),
        ([{"key": 1}], RESPONSES, "record 1, key 1: has no 'prompt'"),
        (
            PROMPTS,
            [{"prompt": "Say it.", "response": 3}, RESPONSES[0]],
            r"r.jsonl, record 1: response must be text, not a number",
        ),
        ([{**PROMPTS[1], "kwargs": []}], RESPONSES, "lists of one length"),
        ([{**PROMPTS[1], "instruction_id_list": ["a:b"]}], RESPONSES, "no instruction of IFEval"),
        ([{**PROMPTS[1], "kwargs": [{"num_words": 2}]}], RESPONSES, "needs relation"),
        ([], RESPONSES, "holds no records"),
    ],
)
def test_bad_files_are_named_with_the_place(tmp_path, prompts, responses, message):
    paths = write(tmp_path / "p.jsonl", prompts), write(tmp_path / "r.jsonl", responses)
    with pytest.raises(UserError, match=message):
        score(*paths)


def strict(tmp_path, prompt=None, response="one two", **fields):
    """Whether the second prompt, or another one, is followed by a response, and what is said."""
    record = prompt or {**PROMPTS[1], **fields}
    prompts = write(tmp_path / "p.jsonl", [record])
    tasks, notes = files_of.read_tasks(prompts)
    line = {"prompt": record.get("prompt"), "response": response}
    found = files_of.read_responses(write(tmp_path / "r.jsonl", [line]))
    tasks, texts, more = files_of.matched(tasks, found, "r.jsonl")
    answers, also = files_of.answers_alone(tasks, texts)
    return ifeval.judge(tasks, answers)[0][0].strict, [*notes, *more, *also]


@pytest.mark.parametrize(
    "kwargs",
    [
        [{"relation": "at least", "num_words": 2.0}],
        [{"relation": "at least", "num_words": 2, "keyword": None, "num_bullets": float("nan")}],
        '[{"relation": "at least", "num_words": 2}]',
        ['{"relation": "at least", "num_words": 2}'],
    ],
)
def test_arguments_are_read_as_tables_hold_them(tmp_path, kwargs):
    assert strict(tmp_path, kwargs=kwargs)[0] == (True,)
    assert strict(tmp_path, response="one", kwargs=kwargs)[0] == (False,)


@pytest.mark.parametrize("kwargs", [None, [None], [{}]])
def test_null_arguments_are_none(tmp_path, kwargs):
    record = {**PROMPTS[0], "instruction_id_list": ["punctuation:no_comma"], "kwargs": kwargs}
    assert strict(tmp_path, prompt=record)[0] == (True,)


@pytest.mark.parametrize(
    "response",
    [
        "<think>a, b</think>\n\none two",
        "a, b\n</think>\none two",
        "<think>a</think>\n<think>b</think>one two",
        "\n<thinking>\na</thinking>\n\none two",
        "[THINK]a[/THINK]one two",
        "<|START_THINKING|>a, b<|END_THINKING|><|START_RESPONSE|>one two<|END_RESPONSE|>",
        "<|channel>thought\na, b<channel|>one two",
        "<|channel|>analysis<|message|>a, b<|end|>"
        "<|start|>assistant<|channel|>final<|message|>one two",
        "<|channel|>final<|message|>one two<|return|>",
        "analysisThe user wants two.assistantfinalone two",
    ],
)
def test_reasoning_is_not_judged(tmp_path, response):
    assert without_thinking(response) == ("one two", True)
    verdicts, notes = strict(tmp_path, response=response)
    assert verdicts == (True,)
    assert notes == [
        "responses that begin with reasoning (<think>), which is not judged: 1 (first: key 2)"
    ]


@pytest.mark.parametrize(
    "text", ["Say <think> and </think>.", "one", "", "a [THINK] b", "analysis of it"]
)
def test_what_only_names_the_tags_stays(text):
    assert without_thinking(text) == (text, False)


@pytest.mark.parametrize(
    ("response", "note"),
    [
        (None, "responses without text, which follow nothing"),
        ("", "responses without text, which follow nothing"),
        ([], "responses without text, which follow nothing"),
        (
            "<think>one two three",
            "responses of reasoning (<think>) without an answer",
        ),
        (
            "<|channel|>analysis<|message|>one two three",
            "responses of reasoning (<think>) without an answer",
        ),
    ],
)
def test_a_response_without_an_answer_follows_nothing(tmp_path, response, note):
    verdicts, notes = strict(tmp_path, response=response)
    assert verdicts == (False,)
    assert len(notes) == 1 and notes[0].startswith(note) and "first: key 2" in notes[0]


def test_samples_of_lm_evaluation_harness_are_prompts_and_responses(tmp_path):
    samples = [
        {"doc_id": 0, "doc": PROMPTS[0], "target": 0, "arguments": [["Say it.", {}]],
         "resps": [["<think>x</think>no"]], "filtered_resps": ["no"], "filter": "none"},
        {"doc_id": 1, "doc": PROMPTS[1], "target": 0, "arguments": [["Say more.", {}]],
         "resps": [["one two", "one"]], "filter": "none"},
    ]  # fmt: skip
    path = write(tmp_path / "samples_ifeval.jsonl", samples)
    followed, missing = score(path, path)
    assert missing == []
    assert [entry.strict for entry in followed[0]] == [(True, False)]
    assert [entry.strict for entry in followed[1]] == [(True,), (False,)]


def answers(name, text="one two"):
    """A response to the second prompt as others write it."""
    choices = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    return {
        "a batch of OpenAI's interface": {
            "id": "x", "custom_id": "2", "error": None,
            "response": {"status_code": 200, "body": choices}},
        "an answer of OpenAI's interface": {"prompt": "Say more.", "response": choices},
        "an answer beside its prompt": {"prompt": "Say more.", "id": "chatcmpl-1", **choices},
        "completions": {"prompt": "Say more.", "response": {"choices": [{"text": text}]}},
        "vLLM": {"prompt": "Say more.", "outputs": [{"index": 0, "text": text}]},
        "a pipeline": {"prompt": "Say more.", "generated_text": text},
        "a message": {"prompt": "Say more.",
                      "response": [{"role": "assistant", "content": text}]},
    }[name]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["a batch of OpenAI's interface", "an answer of OpenAI's interface", "completions", "vLLM",
     "a pipeline", "a message", "an answer beside its prompt"],
)  # fmt: skip
def test_answers_are_read_as_other_programs_write_them(tmp_path, name):
    tasks, _ = files_of.read_tasks(write(tmp_path / "p.jsonl", PROMPTS))
    found = files_of.read_responses(write(tmp_path / "r.jsonl", [answers(name)]))
    known, texts, notes = files_of.matched(tasks, found, "r.jsonl")
    assert ([task.key for task in known], texts) == ([2], [["one two"]])
    assert notes == ["prompts without a response, which are left out: 1 (first: key 1)"]


def test_a_request_that_failed_has_no_answer(tmp_path):
    failed = {"status_code": 400, "body": {"error": {"message": "too long"}}}
    records = [{"custom_id": "1", "response": failed}, {"custom_id": "2", "response": None}]
    found = files_of.read_responses(write(tmp_path / "r.jsonl", records))
    assert found == {"key 1": [None], "key 2": [None]}


@pytest.mark.parametrize("response", [[{"role": "user", "content": "a"}], {"tokens": 3}])
def test_what_is_no_answer_is_named(tmp_path, response):
    path = write(tmp_path / "r.jsonl", [{"prompt": "Say more.", "response": response}])
    with pytest.raises(UserError, match="record 1: response must be text, not an object"):
        files_of.read_responses(path)


def test_one_of_response_and_responses_is_judged(tmp_path):
    record = {"prompt": "Say more.", "response": "one", "responses": ["two"]}
    with pytest.raises(UserError, match="record 1: has response and responses; keep one"):
        files_of.read_responses(write(tmp_path / "r.jsonl", [record]))


BAD = [
    ({"instruction_id_list": ["a:b"]}, "instruction 1: 'a:b' is no instruction of IFEval"),
    ({"instruction_id_list": []}, "has no instructions"),
    ({"instruction_id_list": None}, "has no instruction_id_list"),
    ({"instruction_id_list": "a:b"}, "instruction_id_list must be a list, not text"),
    ({"kwargs": [{"relation": "at least", "num_words": 2.5}]}, "num_words must be a whole number"),
    ({"kwargs": [{"relation": "at least", "num_words": True}]}, "num_words must be a whole number"),
    ({"kwargs": [{"relation": "at least", "num_words": "2"}]}, "num_words must be a whole number"),
    ({"kwargs": [{"relation": "at least"}]}, "needs num_words"),
    ({"kwargs": {}}, "kwargs must be a list, not an object"),
    ({"kwargs": [{}, {}]}, "must be lists of one length, not of 1 and 2"),
    ({"prompt": "Say it."}, "the same prompt as .*p.jsonl, record 1"),
    ({"prompt": ""}, "prompt is empty"),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_a_prompt_that_cannot_be_judged_is_named_or_left_out_and_counted(tmp_path, fields, message):
    path = write(tmp_path / "p.jsonl", [PROMPTS[0], {**PROMPTS[1], **fields}])
    with pytest.raises(UserError, match=rf"p.jsonl, record 2, key 2: .*{message}.*on_error=skip"):
        files_of.read_tasks(path)
    tasks, notes = files_of.read_tasks(path, on_error="skip")
    assert [task.key for task in tasks] == [1]
    assert notes[0].startswith("2 records read, 1 kept, 1 dropped")


def test_prompts_of_which_none_can_be_judged_are_an_error_in_any_case(tmp_path):
    path = write(tmp_path / "p.jsonl", [{**PROMPTS[1], "instruction_id_list": ["a:b"]}])
    with pytest.raises(UserError, match="'a:b' is no instruction"):
        files_of.read_tasks(path, on_error="skip")


def test_missing_strange_and_uneven_responses_are_named(tmp_path):
    tasks, _ = files_of.read_tasks(write(tmp_path / "p.jsonl", PROMPTS))
    found = {"Say it.": ["a", "b"], "Other.": ["c"]}
    _, _, notes = files_of.matched(tasks, found, "r.jsonl")
    assert notes == [
        "prompts without a response, which are left out: 1 (first: key 2)",
        "prompts of r.jsonl that were not asked for: 1 (first: 'Other.')",
    ]
    _, _, notes = files_of.matched(tasks, {"Say it.": ["a", "b"], "Say more.": ["c"]}, "r.jsonl")
    assert notes == [
        "prompts have 1 to 2 responses, and each counts as the mean of its own; 2 has key 1"
    ]


@pytest.mark.skipif(not SHARED.exists(), reason="needs IFEval's files")
def test_published_responses_score_as_with_the_original_checkers():
    followed, missing = score(
        str(SHARED / "input_data.jsonl"),
        str(SHARED / "input_response_data_gpt4_20231107_145030.jsonl"),
    )
    assert len(missing) <= 1
    summary = ifeval.summarize(followed, seed=0, resamples=0)
    judged = {entry.key for (entry,) in followed}
    recorded = [
        json.loads(line)
        for line in (SHARED / "reference_verdicts.jsonl").read_text().splitlines()
        if '"gpt-4' in line
    ]
    for mode in ifeval.MODES:
        expected = [entry[mode] for entry in recorded if entry["key"] in judged]
        # A few of the original's verdicts are random.
        found = summary[f"instruction_{mode}"]
        assert found == pytest.approx(sum(expected) / len(expected), abs=0.004)
