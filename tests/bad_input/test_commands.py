"""Flags and files of the other commands: export, generate, evaluate, synthesize, plan, bench."""

import json

import pytest

ASKED = {
    "key": 1,
    "prompt": "Write a line.",
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{}],
}
ANSWER = {"prompt": "Write a line.", "response": "A line."}


def instructed(id, **kwargs):
    return {**ASKED, "instruction_id_list": [id], "kwargs": [kwargs]}


# A second record of IFEval's prompts, and what is said of it.
PROMPTS = {
    "not JSON": (b"{'key': 1}\n", "record 2: not JSON"),
    "latin-1": ('{"key": "é"}\n'.encode("latin-1"), "record 2: not UTF-8 text"),
    "a number": (5, "record 2: .*object"),
    "no kwargs": (
        {k: v for k, v in ASKED.items() if k != "kwargs"},
        "key 1: has no kwargs",
    ),
    "prompt of a number": ({**ASKED, "prompt": 5}, "record 2, key 1: prompt must be text"),
    "unknown instruction": (
        instructed("no:such"),
        "key 1: .*'no:such' is no instruction",
    ),
    "instruction of a number": ({**ASKED, "instruction_id_list": [5]}, "key 1: .*5 is no instruc"),
    "instruction of a list": ({**ASKED, "instruction_id_list": [[5]]}, "key 1: "),
    "instructions of text": ({**ASKED, "instruction_id_list": "no"}, "key 1: .*must be a list"),
    "kwargs missing for one": ({**ASKED, "kwargs": []}, "key 1: .*lists of one length"),
    "kwargs of text": ({**ASKED, "kwargs": ["x"]}, "key 1: "),
    "an argument missing": (
        instructed("length_constraints:number_words", num_words=5),
        "key 1: instruction 1: length_constraints:number_words needs relation",
    ),
    "an argument too many": (instructed("punctuation:no_comma", commas=1), "takes no commas"),
    "a number of text": (
        instructed("length_constraints:number_words", num_words="many", relation="at least"),
        "num_words must be a whole number from 0, not 'many'",
    ),
    "a relation of another kind": (
        instructed("length_constraints:number_words", num_words=5, relation="about"),
        "relation must be one of",
    ),
    "keywords of numbers": (
        instructed("keywords:existence", keywords=[1, 2]),
        "keywords must be a list of texts",
    ),
    "a language nobody speaks": (
        instructed("language:response_language", language="xx"),
        "language must be one of",
    ),
}


def ifeval(bench, preset, pattern, *arguments):
    bench.refuses(
        pattern,
        "evaluate",
        preset("evaluate:ifeval"),
        *arguments,
        f"--config.output={bench.out}",
    )


@pytest.mark.parametrize("name", PROMPTS)
def test_bad_prompts_of_ifeval(name, bench, preset):
    record, pattern = PROMPTS[name]
    second = record if isinstance(record, bytes) else json.dumps(record).encode() + b"\n"
    first = json.dumps({**ASKED, "key": 0}).encode() + b"\n"
    bench.write("prompts.jsonl", first + second)
    bench.lines("responses.jsonl", ANSWER, {"prompt": "5", "response": "x"})
    ifeval(
        bench,
        preset,
        rf"prompts\.jsonl.*{pattern}",
        "--config.prompts=prompts.jsonl",
        "--config.responses=responses.jsonl",
    )


RESPONSES = {
    "response of a number": ({"prompt": "Write a line.", "response": 5}, "must be text, not a nu"),
    "response of an object": ({"prompt": "Write a line.", "response": {}}, "must be text, not an"),
    "a list": ([1], "record 2: .*(object|has no prompt)"),
    "text": ("Write a line.", "record 2: .*(object|has no prompt)"),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_bad_responses_for_ifeval(name, bench, preset):
    record, pattern = RESPONSES[name]
    bench.lines("prompts.jsonl", ASKED)
    bench.lines("responses.jsonl", ANSWER, record)
    ifeval(
        bench,
        preset,
        pattern,
        "--config.prompts=prompts.jsonl",
        "--config.responses=responses.jsonl",
    )


def test_files_of_ifeval_that_do_not_fit(bench, preset):
    bench.lines("prompts.jsonl", ASKED)
    bench.lines("other.jsonl", {"prompt": "Another one.", "response": "x"})
    bench.write("empty.jsonl", "\n")
    given = "--config.prompts=prompts.jsonl"
    for pattern, *arguments in (
        ("no prompts given; set --config.prompts=FILE",),
        ("set either --config.responses=FILE, or --config.checkpoint=DIR", given),
        (
            "set either",
            given,
            "--config.responses=other.jsonl",
            f"--config.checkpoint={bench.shared / 'policy'}",
        ),
        (
            r"no such file or folder: no\.jsonl",
            "--config.prompts=no.jsonl",
            "--config.responses=o.jsonl",
        ),
        (r"no such file or folder: no\.jsonl", given, "--config.responses=no.jsonl"),
        (r"empty\.jsonl holds no records", given, "--config.responses=empty.jsonl"),
        (r"empty\.jsonl holds no", "--config.prompts=empty.jsonl", "--config.responses=o.jsonl"),
        ("has no response to any of the prompts", given, "--config.responses=other.jsonl"),
        ("n goes with a checkpoint", given, "--config.responses=other.jsonl", "--config.n=2"),
        (
            "a selector needs several responses",
            given,
            f"--config.checkpoint={bench.shared / 'policy'}",
            f"--config.selector={bench.shared / 'reward'}",
        ),
        ("unknown preset 'bench'", "--config=UNUSED"),
    ):
        if arguments == ["--config=UNUSED"]:
            bench.refuses(pattern, "evaluate", preset("evaluate:bench"))
        else:
            ifeval(bench, preset, pattern, *arguments)


# Command, its preset, its arguments, and what is said. {good} is the folder of good things.
COMMANDS = {
    "export nothing": ("export", "", (), "no checkpoint given; set --checkpoint=DIR"),
    "export nowhere": ("export", "", ("--checkpoint={good}/reward",), "no output given; set --ou"),
    "export of a missing folder": (
        "export",
        "",
        ("--checkpoint=no-such", "--output={out}"),
        "no such folder: no-such .*hub name",
    ),
    "export of a file": (
        "export",
        "",
        ("--checkpoint={good}/pairs.jsonl", "--output={out}"),
        "pairs.jsonl is a file, and the folder",
    ),
    "export of an unknown type": (
        "export",
        "",
        ("--checkpoint={good}/reward", "--output={out}", "--dtype=float16"),
        "--dtype is 'float16'; choose one of float32, bfloat16",
    ),
    "export with nothing to check by": (
        "export",
        "",
        ("--checkpoint={good}/reward", "--output={out}"),
        "no held-out rows to check with; give some with --data=FILE",
    ),
    "export of adapters that are not there": (
        "export",
        "",
        ("--checkpoint={good}/reward", "--output={out}", "--adapter"),
        "has no adapters; leave out --adapter",
    ),
    "export of adapters in 16 bits": (
        "export",
        "",
        ("--checkpoint={good}/reward", "--output={out}", "--adapter", "--dtype=bfloat16"),
        "adapters are written as float32",
    ),
    "export with a word": (
        "export",
        "",
        ("--checkpoint={good}/reward", "--output={out}", "--adapter=maybe"),
        "adapter.*maybe",
    ),
    "export over something else": (
        "export",
        "",
        ("--checkpoint={good}/reward", "--data={good}/pairs.jsonl", "--output={full}"),
        "full holds other files than those that this command wrote",
    ),
    "export over a file": (
        "export",
        "",
        ("--checkpoint={good}/reward", "--data={good}/pairs.jsonl", "--output={full}/file"),
        "full/file is a file; name a folder to write",
    ),
    "export below a file": (
        "export",
        "",
        ("--checkpoint={good}/reward", "--data={good}/pairs.jsonl", "--output={full}/file/model"),
        "cannot .*file/model",
    ),
    "generate by nothing": ("generate", "generate", (), "no checkpoint given"),
    "generate by a reward model": (
        "generate",
        "generate",
        ("--config.checkpoint={good}/reward", "--config.input={good}/pairs.jsonl"),
        "is a reward model, which cannot answer",
    ),
    "generate to a file from nothing": (
        "generate",
        "generate",
        ("--config.checkpoint={good}/policy", "--config.output={out}"),
        "output is set, but no input; set --config.input=FILE",
    ),
    "generate into a folder": (
        "generate",
        "generate",
        (
            "--config.checkpoint={good}/policy",
            "--config.input={good}/pairs.jsonl",
            "--config.output={full}",
        ),
        "full is a folder; name a file",
    ),
    "generate below a file": (
        "generate",
        "generate",
        (
            "--config.checkpoint={good}/policy",
            "--config.input={good}/pairs.jsonl",
            "--config.output={full}/file/out.jsonl",
        ),
        "cannot write .*file/out.jsonl",
    ),
    "generate at two temperatures": (
        "generate",
        "generate",
        (
            "--config.checkpoint={good}/policy",
            "--config.input={good}/pairs.jsonl",
            "--config.n=2",
            "--config.temperature=0",
        ),
        "at temperature 0 all n=2 responses are the same",
    ),
    "generate more than fits": (
        "generate",
        "generate",
        (
            "--config.checkpoint={good}/policy",
            "--config.input={good}/pairs.jsonl",
            "--config.max_new_tokens=40000",
            "--config.output={out}",
        ),
        "pairs.jsonl, record 1: has .* tokens; with max_new_tokens=40000 the model has room for 0",
    ),
    "evaluate nothing": ("evaluate", "evaluate", (), "no checkpoint given"),
    "evaluate on nothing": (
        "evaluate",
        "evaluate",
        ("--config.checkpoint={good}/reward",),
        "no data given; set --config.data=FILE",
    ),
    "evaluate a policy": (
        "evaluate",
        "evaluate",
        ("--config.checkpoint={good}/policy", "--config.data={good}/pairs.jsonl"),
        "give the model that it was trained from: --config.reference=DIR",
    ),
    "evaluate on a missing file": (
        "evaluate",
        "evaluate",
        ("--config.checkpoint={good}/reward", "--config.data=no.jsonl"),
        "no such file or folder: no.jsonl",
    ),
    "evaluate into a file": (
        "evaluate",
        "evaluate",
        (
            "--config.checkpoint={good}/reward",
            "--config.data={good}/pairs.jsonl",
            "--config.output={full}/file",
        ),
        "full/file is a file|cannot (write|make)",
    ),
    "scores into a folder": (
        "evaluate",
        "evaluate",
        (
            "--config.checkpoint={good}/reward",
            "--config.data={good}/pairs.jsonl",
            "--config.scores={full}",
        ),
        "full is a folder; name a file",
    ),
    "rows shorter than a leaf": (
        "evaluate",
        "evaluate",
        (
            "--config.checkpoint={good}/reward",
            "--config.data={good}/pairs.jsonl",
            "--config.max_length=64",
            "--config.row_length=32",
        ),
        r"row_length \(32\) is below .*max_length \(64\)",
    ),
    "synthesize nothing": (
        "synthesize",
        "synthesize",
        ("--config.output={out}",),
        "no input given; set --config.input",
    ),
    "synthesize to nowhere": (
        "synthesize",
        "synthesize",
        ("--config.input={good}/pairs.jsonl",),
        "no output given; set --config.output",
    ),
    "synthesize an unknown demonstration": (
        "synthesize",
        "synthesize",
        ("--config.input=demo:dev", "--config.output={out}"),
        "input 'demo:dev' is unknown; use demo:train or demo:test",
    ),
    "synthesize another format": (
        "synthesize",
        "synthesize",
        ("--config.input={good}/pairs.jsonl", "--config.output={out}", "--config.format=csv"),
        "format is 'csv'; choose one of jsonl, parquet",
    ),
    "synthesize into a file": (
        "synthesize",
        "synthesize",
        ("--config.input={good}/pairs.jsonl", "--config.output={full}/file"),
        "full/file is a file; name a folder to write",
    ),
    "synthesize from too few families": (
        "synthesize",
        "synthesize",
        (
            "--config.input={good}/pairs.jsonl",
            "--config.output={out}",
            "--config.families=punctuation:no_comma",
        ),
        "gives 1 families, fewer than k_min",
    ),
    "synthesize a misspelt family": (
        "synthesize",
        "synthesize",
        (
            "--config.input={good}/pairs.jsonl",
            "--config.output={out}",
            "--config.families=punctuation:no_coma,punctuation:colons",
        ),
        "unknown family 'punctuation:no_coma'.*did you mean 'punctuation:no_comma'",
    ),
    "synthesize on an unknown runner": (
        "synthesize",
        "synthesize",
        ("--config.input={good}/pairs.jsonl", "--config.output={out}", "--runner=NoSuchRunner"),
        "Apache Beam",
    ),
    "an unknown preset of synthesis": (
        "synthesize",
        "synthesize:huge",
        ("--config.output={out}",),
        "unknown preset 'huge'",
    ),
    "plan for nothing": ("plan", "rm", (), "--topology is missing; write the kind of chip"),
    "plan for an unknown chip": ("plan", "rm", ("--topology=v9:4x4",), "--topology is 'v9:4x4'"),
    "plan for no shape": ("plan", "rm", ("--topology=gpu:many",), "--topology is 'gpu:many'"),
    "two measurements": (
        "bench",
        "bench",
        ("--lengths", "--attention"),
        "--attention and --lengths measure different things; give one of them",
    ),
    "a host that no name can be": (
        "serve",
        "",
        ("--model=x", "--host=\ud800"),
        r"the argument '--host=\\ud800' is no UTF-8 text",
    ),
    "plan for no chips": ("plan", "rm", ("--topology=gpu:0",), "which has no chips"),
    "plan with samples of nothing": (
        "plan",
        "rm",
        ("--topology=gpu:1", "--trie_tokens=0"),
        "--trie_tokens is 0; it must be a whole number, at least 1",
    ),
    "plan of an unknown model": (
        "plan",
        "rm",
        ("--topology=gpu:1", "--trie_tokens=100", "--config.model.path=no/such"),
        "the shape of no/such is not known here",
    ),
    "plan with text for a count": (
        "plan",
        "rm",
        ("--topology=gpu:1", "--trie_tokens=many"),
        "trie_tokens.*many",
    ),
    "bench of no steps": (
        "bench",
        "rm",
        ("--steps=0",),
        "--steps is 0; it must be a whole number, at least 1",
    ),
    "bench against an unknown peer": (
        "bench",
        "rm",
        ("--versus=none",),
        "--versus is 'none'; choose one of trl",
    ),
    "bench on a missing file": (
        "bench",
        "rm",
        ("--config.data.train=no.jsonl",),
        "no such file or folder: no.jsonl",
    ),
    "bench into a folder": ("bench", "rm", ("--output={full}",), "full is a folder; name a file"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_command_line(name, bench, preset):
    command, config, arguments, pattern = COMMANDS[name]
    bench.write("full/file", "mine")
    places = {"good": bench.shared, "out": bench.out, "full": bench.path / "full"}
    bench.refuses(
        pattern,
        command,
        *([preset(config)] if config else []),
        *(argument.format(**places) for argument in arguments),
    )


def test_samples_of_other_pairs_are_not_replaced_unasked(bench, preset, command):
    arguments = (f"--config.output={bench.out}", "--config.num_proc=1")
    first = command(
        "synthesize",
        preset("synthesize"),
        f"--config.input={bench.shared / 'pairs.jsonl'}",
        *arguments,
    )
    assert first.status == 0, first.stderr
    bench.refuses(
        "holds samples that were made from other pairs or settings; .*--config.overwrite=true",
        "synthesize",
        preset("synthesize"),
        f"--config.input={bench.shared / 'pairs.jsonl'}",
        "--config.seed=1",
        *arguments,
    )
