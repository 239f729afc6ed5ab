"""Whatever lies where a command writes: refused before any work, and all of it stays."""

import json
import os
import shutil

import pytest

from mapl_jax.runtime import files, outputs

PROMPT = {"key": 1, "prompt": "Hi", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
MINE = b"mine\n"

# Command, its config, its arguments but the output, what it reads, and the flag of the output.
FILES = {
    "responses": (
        "generate",
        "generate",
        ("--config.checkpoint=in/policy", "--config.input=in/prompts.jsonl"),
        "--config.output",
    ),
    "verdicts": (
        "evaluate",
        "evaluate:ifeval",
        ("--config.prompts=in/prompts.jsonl", "--config.responses=in/answers.jsonl"),
        "--config.output",
    ),
    "rewards": (
        "evaluate",
        "evaluate:score",
        ("--config.checkpoint=in/reward", "--config.input=in/answers.jsonl"),
        "--config.output",
    ),
    "scores": (
        "evaluate",
        "evaluate",
        ("--config.checkpoint=in/reward", "--config.data=in/pairs.jsonl"),
        "--config.scores",
    ),
    "compared": ("evaluate", "", ("--compare", "in/reward", "in/policy"), "--output"),
    "measured": ("bench", "rm:tiny", ("--config.data.train=in/pairs.jsonl",), "--output"),
}
# What each of them leaves, as far as it is known by it.
MARKED = {
    "responses": '{"prompt": "a", "response": "b", "finish_reason": "stop"}',
    "verdicts": json.dumps(
        {"key": 1, "follow_instruction_list_strict": [], "follow_instruction_list_loose": []}
    ),
    "rewards": '{"reward": 1.0}',
    "scores": json.dumps(dict.fromkeys(("id", "level", "margin", "terms"))),
    "compared": outputs.PAGE,
    "measured": '{\n  "command": "bench",\n  "device": "cpu"\n}',
}
FOLDERS = {
    "evaluation": (
        "evaluate",
        "evaluate",
        ("--config.checkpoint=in/reward", "--config.data=in/pairs.jsonl"),
        "--config.output",
    ),
    "model": ("export", "", ("--checkpoint=in/reward", "--data=in/pairs.jsonl"), "--output"),
    "samples": ("synthesize", "synthesize", ("--config.input=in/pairs.jsonl",), "--config.output"),
    "run": ("train", "rm:tiny", ("--config.data.train=in/pairs.jsonl",), "--workdir"),
    "study": ("study", "study", ("--config.data.train=in/pairs.jsonl",), "--workdir"),
}


@pytest.fixture
def laid(bench):
    """Inputs in `in/`, and things of the user's around them."""
    for name in ("policy", "reward"):
        shutil.copytree(bench.shared / name, bench.path / "in" / name)
    shutil.copy(bench.shared / "pairs.jsonl", bench.path / "in" / "pairs.jsonl")
    bench.lines("in/prompts.jsonl", PROMPT)
    bench.lines("in/answers.jsonl", {"prompt": "Hi", "response": "Ho"})
    bench.write("thesis.txt", MINE)
    bench.write("project/config.json", b"{}\n")
    bench.write("project/src/code.py", MINE)
    bench.write("project/data/pairs.jsonl", MINE)
    os.symlink("project", bench.path / "link")
    os.symlink("thesis.txt", bench.path / "paper")
    return bench


def refuses(bench, preset, case, output, pattern):
    command, config, arguments, flag = case
    given = [preset(config)] if config else []
    bench.refuses(pattern, command, *given, *arguments, f"{flag}={output}")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_users_stays(name, laid, preset):
    for output, pattern in (
        ("thesis.txt", "thesis.txt is there and was not written by this command"),
        ("paper", "paper is there and was not written by this command"),
        ("new/../thesis.txt", "was not written by this command"),
        ("project", "project is a folder"),
        ("thesis.txt/new", "is a file and no folder"),
        ("in/reward/new.jsonl" if name in ("scores", "compared") else "in/pairs.jsonl", ""),
        ("~nosuchuser/x", "no such user"),
        ("a" * 300, "File name too long"),
    ):
        refuses(laid, preset, FILES[name], output, pattern)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_belongs_to_a_folder_stays(name, laid, preset):
    # Of the very form that the command writes: parts of a run, of a study and of a sealed folder.
    laid.write("run/origin.json", b"{}\n")
    parts = ["run/eval/after.jsonl", "run/sft/new/deep", "sealed/a", "sealed/b/c"]
    parts += ["run/summary.json", "run/report.html", "run/study.html"]
    for part in parts:
        laid.write(part, MARKED[name])
    files.seal(laid.path / "sealed")
    for part in parts:
        refuses(laid, preset, FILES[name], part, f"{part} is a part of .*; name another file")


def test_two_outputs_of_a_command_lie_apart(laid, preset):
    for name, flag in (("scores", "--config.output"), ("measured", "--workdir")):
        command, config, arguments, other = FILES[name]
        for one, two in (("new", "new"), ("new", "new/deep"), ("new/deep", "x/../new")):
            case = (command, config, (*arguments, f"{other}={one}"), flag)
            refuses(laid, preset, case, two, "neither may lie inside the other")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_the_users_stays(name, laid, preset):
    for output, pattern in (
        ("project", "project (is not empty|holds)"),
        ("link", "(is not empty|holds)"),
        ("new/../project", "project (is not empty|holds)"),
        ("project/src/code.py", "is a file"),
        ("thesis.txt/new", "is a file and no folder"),
        (".", "(is not empty|holds)"),
        ("/", "(is not empty|holds)"),
        ("in", "(is not empty|holds)"),
        ("gs://bucket/out" if name in ("samples", "model") else "~nosuchuser/x", ""),
        ("a" * 300, "File name too long"),
    ):
        refuses(laid, preset, FOLDERS[name], output, pattern)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_another_command_wrote_stays(name, laid, preset):
    # Sealed folders: a model, an evaluation, prepared samples, and parts of a run.
    made = {"model": "config.json", "evaluation": "report.html", "samples": "samples-0.jsonl"}
    for other, file in made.items():
        laid.write(f"{other}/{file}", MINE)
        files.seal(laid.path / other)
    laid.write("run/origin.json", b"{}\n")
    for part, file in (("model", "config.json"), ("eval", "report.html")):
        laid.write(f"run/{part}/{file}", MINE)
        files.seal(laid.path / "run" / part)
    for output in ({*made} - {name}) | {"run/model", "run/eval"}:
        refuses(laid, preset, FOLDERS[name], output, output)


@pytest.mark.parametrize("name", FOLDERS)
def test_no_output_lies_within_an_input(name, laid, preset):
    command, config, arguments, flag = FOLDERS[name]
    within = [x.replace("in/pairs.jsonl", "in") for x in arguments]
    refuses(laid, preset, (command, config, within, flag), "in/new", "in/new lies in the input in")


def test_a_mistake_leaves_a_study_and_a_run_as_if_they_had_never_begun(laid, preset):
    for name in ("run", "study"):
        command, config, _, flag = FOLDERS[name]
        case = (command, config, ("--config.data.train=project/data/pairs.jsonl",), flag)
        refuses(laid, preset, case, "new/../out/deep", r"pairs\.jsonl, record 1: not JSON")
