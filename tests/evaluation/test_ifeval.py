"""IFEval's scores, from its own files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mapl_jax.evaluation import ifeval
from mapl_jax.runtime.errors import UserError

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "ifeval"
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
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mapl_jax.evaluate",
            "--config=configs/evaluate.py:ifeval",
            *list(arguments),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def score(prompts, responses):
    """Verdicts, and the keys of prompts without a response."""
    known, found, missing = ifeval.matched(
        ifeval.read_prompts(prompts), ifeval.read_responses(responses), responses
    )
    return ifeval.judge(known, found, prompts), missing


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
        ([{"key": 1}], RESPONSES, "record 1: has no prompt"),
        (
            PROMPTS,
            [{"prompt": "Say it.", "response": 3}, RESPONSES[0]],
            "key 1: the response is no",
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
