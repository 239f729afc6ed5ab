"""Data that cannot be used: the file and the record are named, and nothing is left behind.

What other trainers do with some of it: stop with a bare StopIteration or KeyError, train on empty
replies, or end "successfully" with weights that are NaN after one NaN margin.
"""

import gzip
import json

import pytest

from support import PAIR, SAMPLE, USER, parquet

GOOD, BAD = {"role": "assistant", "content": "Fine."}, {"role": "assistant", "content": "Bad."}
LINE = json.dumps(PAIR).encode() + b"\n"
MANY = b"".join(json.dumps({**PAIR, "id": i}).encode() + b"\n" for i in range(2000))


PARQUET = {key: [value] * 500 for key, value in PAIR.items() if key != "id"}

# Name of the file -> its content, and what the message says beside the name.
FILES = {
    "empty": ("a.jsonl", b"", r"a\.jsonl holds no records"),
    "blank lines": ("a.jsonl", b"\n \n\n", r"a\.jsonl holds no records"),
    "unknown ending": (
        "a.txt",
        LINE,
        r"a\.txt has an unknown ending; known endings: \.jsonl",
    ),
    "latin-1": ("a.jsonl", '{"prompt": "café"}'.encode("latin-1"), "record 1: not UTF-8 .*byte"),
    "UTF-16": ("a.jsonl", LINE.decode().encode("utf-16"), "record 1: UTF-16 and not UTF-8 text"),
    "NUL bytes": ("a.jsonl", LINE + b"\0" * 64, r"record 2: not JSON"),
    "a NUL byte in a text": (
        "a.jsonl",
        b'{"prompt": "a\0b", "chosen": "x", "rejected": "y"}',
        r"record 1: not JSON \(Invalid control character",
    ),
    "binary": ("a.jsonl", LINE + bytes(range(128, 256)) * 8, "record 2.*: not UTF-8"),
    "cut off": ("a.jsonl", LINE * 1 + LINE[:-9], r"record 2: .*cut off"),
    "python and not JSON": ("a.jsonl", b"{'prompt': 'q'}", "record 1: not JSON"),
    "nested too deeply": ("a.jsonl", b"[" * 100_000, "record 1: nested too deeply"),
    "a number of 5,000 digits": (
        "a.jsonl",
        b'{"margin": ' + b"1" * 5000 + b"}",
        "record 1: .*number.*digits",
    ),
    "pretty-printed object": ("a.json", b'{\n "prompt": "q"\n}', "record 1: has no 'chosen'"),
    "columns of unequal lengths instead of rows": (
        "a.json",
        json.dumps({"prompt": ["q", "r"], "chosen": ["a"], "rejected": ["b"]}).encode(),
        "record 1: message 1 of prompt must be an object",
    ),
    "array cut off": ("a.json", b"[" + LINE[:-1] + b",", r"a\.json: not JSON .*cut off"),
    "array of numbers": ("a.json", b"[1, 2]", r"a\.json, record 1: must be an object"),
    "empty array": ("a.json", b"[]", r"a\.json holds no records"),
    "array in latin-1": ("a.json", '["é"]'.encode("latin-1"), r"a\.json: not UTF-8"),
    "gzip cut off": ("a.jsonl.gz", gzip.compress(MANY)[:-300], r"a\.jsonl\.gz: cut off or damaged"),
    "gzip with other bytes": (
        "a.jsonl.gz",
        (lambda data: data[:200] + b"\xff" * 50 + data[250:])(gzip.compress(MANY)),
        r"a\.jsonl\.gz: cut off or damaged .*copy it again",
    ),
    "no gzip": ("a.jsonl.gz", LINE, r"a\.jsonl\.gz: cannot read it: .*gzip"),
    "gzip of an archive": (
        "a.jsonl.gz",
        gzip.compress(b"PK\x03\x04" * 20),
        "record 1: a ZIP archive",
    ),
    "csv in latin-1": ("a.csv", "prompt,chosen\né,x\n".encode("latin-1"), r"a\.csv: not readable"),
    "csv with an open quote": (
        "a.csv",
        b'prompt,chosen,rejected\n"q,a,b\n',
        r"a\.csv: not readable as UTF-8 CSV",
    ),
    "csv without a header": ("a.csv", b"q,a,b\nq,c,d\n", "record 1: has no 'chosen'"),
    "csv with a cell too many": (
        "a.csv",
        b"prompt,chosen,rejected\nq,a,b\nq,a,b,c\n",
        "record 2: has more or fewer cells",
    ),
    "csv with a name twice": (
        "a.csv",
        b"prompt,chosen,chosen,rejected\nq,a,b,c\n",
        r"a\.csv: the header names column 'chosen' twice",
    ),
    "csv of a header alone": ("a.csv", b"prompt,chosen,rejected\n", "holds no records"),
    "parquet cut off": ("a.parquet", parquet(PARQUET)[:-40], r"a\.parquet: not readable as Parq"),
    "parquet with other bytes": (
        "a.parquet",
        (lambda data: data[:4] + b"\xff" * 60 + data[64:])(parquet(PARQUET)),
        r"a\.parquet: not readable as Parquet",
    ),
    "no parquet": ("a.parquet", LINE, r"a\.parquet: not readable as Parquet"),
    "empty parquet": ("a.parquet", b"", r"a\.parquet: not readable as Parquet"),
    "parquet of other columns": (
        "a.parquet",
        parquet({"question": ["q"], "answer": ["a"]}),
        r"record 1: has no 'chosen' \(found: answer, question\); rename",
    ),
    "parquet of numbers": (
        "a.parquet",
        parquet({"prompt": [1], "chosen": [2], "rejected": [3]}),
        "record 1: prompt must be",
    ),
    "part of a set of shards": (
        "folder/samples-00001-of-00004.jsonl",
        json.dumps(SAMPLE).encode(),
        "folder holds 1 of 4 shards",
    ),
    "folder of other files": ("folder/readme.md", b"# Pairs", "folder holds no data files"),
    "several splits": ("folder/dataset_dict.json", b"{}", "folder holds several splits"),
    "broken data set on disk": (
        "folder/state.json",
        b"not JSON",
        "folder: not readable as a data set",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_file(name, bench, preset):
    file, content, pattern = FILES[name]
    bench.write(file, content)
    if name == "broken data set on disk":
        bench.write("folder/dataset_info.json", "{}")
    source = file.split("/")[0]
    bench.refuses(
        pattern,
        "train",
        preset("rm:small"),
        f"--config.data.train={source}",
        f"--workdir={bench.out}",
    )


def test_missing_file(bench, preset):
    for name in ("missing.jsonl", "./missing", "/nowhere/pairs.csv", "two/many/parts"):
        bench.refuses(
            rf"no such file or folder: {name.removeprefix('./')}",
            "train",
            preset("rm:small"),
            f"--config.data.train={name}",
            f"--workdir={bench.out}",
        )


def test_empty_folder(bench, preset):
    (bench.path / "pairs").mkdir()
    bench.refuses(
        "pairs holds no data files",
        "train",
        preset("rm:small"),
        "--config.data.train=pairs",
        f"--workdir={bench.out}",
    )


def test_a_folder_named_like_a_file(bench, preset):
    (bench.path / "pairs.jsonl").mkdir()
    bench.refuses(
        "pairs.jsonl holds no data files",
        "synthesize",
        preset("synthesize"),
        "--config.input=pairs.jsonl",
        f"--config.output={bench.out}",
    )


def test_a_link_to_itself(bench, preset):
    (bench.path / "a.jsonl").symlink_to(bench.path / "a.jsonl")
    bench.refuses(
        r"a\.jsonl",
        "train",
        preset("rm:small"),
        "--config.data.train=a.jsonl",
        f"--workdir={bench.out}",
    )


def test_bad_held_out_data_is_found_before_anything_is_made(bench, preset):
    bench.lines("test.jsonl", {**PAIR, "margin": float("nan")})
    bench.refuses(
        r"test\.jsonl, record 1: margin must be a finite number, not nan",
        "train",
        preset("rm:small"),
        f"--config.data.train={bench.shared / 'pairs.jsonl'}",
        "--config.data.test=test.jsonl",
        f"--workdir={bench.out}",
    )


def test_no_data(bench, preset):
    bench.refuses(
        "no training data given; set --config.data.train",
        "train",
        preset("rm:small"),
        f"--workdir={bench.out}",
    )


# Records of pairs; record 1 is a good one.
PAIRS = {
    "a number": (5, "must be an object with named fields, not a number"),
    "null": (None, "must be an object with named fields, not null"),
    "a list": ([PAIR], "must be an object with named fields, not a list"),
    "no rejected": ({"prompt": "q", "chosen": "a"}, "has no 'rejected' .*rename the column"),
    "other case": ({"Prompt": "q", "Chosen": "a", "Rejected": "b"}, "has no 'chosen'"),
    "null reply": ({**PAIR, "chosen": None}, "chosen must be text, not null"),
    "integer reply": ({**PAIR, "rejected": 3}, "rejected must be text, not a number"),
    "empty reply": ({**PAIR, "chosen": ""}, "chosen is empty; fill it in or remove"),
    "blank reply": ({**PAIR, "rejected": " \n\t"}, "rejected is empty"),
    "identical replies": ({**PAIR, "rejected": "Fine. "}, "chosen and rejected are the same"),
    "NaN margin": ({**PAIR, "margin": float("nan")}, "margin must be a finite number, not nan"),
    "infinite margin": ({**PAIR, "margin": float("-inf")}, "margin must be a finite number"),
    "margin beyond floats": ({**PAIR, "margin": 10**400}, "margin must be a finite number"),
    "text margin": ({**PAIR, "margin": "2"}, "margin must be a finite number, not '2'"),
    "list margin": ({**PAIR, "margin": [1]}, "margin must be a finite number, not a list"),
    "float id": ({**PAIR, "id": 1.5}, "id must be text or an integer"),
    "repeated id": (
        {**PAIR, "id": "first"},
        "id 'first' was used before, in record 1 of the source; make",
    ),
    "empty prompt": ({**PAIR, "prompt": "  "}, "prompt is empty"),
    "empty messages": ({**PAIR, "prompt": []}, "prompt is an empty list"),
    "integer prompt": ({**PAIR, "prompt": 3}, "prompt must be text or messages, not a number"),
    "prompt as an object": ({**PAIR, "prompt": {"text": "q"}}, "message 1 of prompt must be an ob"),
    "unknown role": (
        {**PAIR, "prompt": [{"role": "narrator", "content": "Hi"}]},
        "message 1 of prompt has role 'narrator'; known are system, user, assistant",
    ),
    "role of a list": (
        {**PAIR, "prompt": [{"role": ["user"], "content": "Hi"}]},
        r"message 1 of prompt has role \['user'\]",
    ),
    "message without content": ({**PAIR, "prompt": [{"role": "user"}]}, '"role" and "content"'),
    "message of text": ({**PAIR, "prompt": ["Hi"]}, "message 1 of prompt must be an object"),
    "parts of content": (
        {**PAIR, "prompt": [{"role": "user", "content": [{"type": "image"}]}]},
        "message 1 of prompt holds a part of type 'image'; only text is read",
    ),
    "tool call": ({**PAIR, "prompt": [USER, {**GOOD, "tool_calls": [{}]}]}, "has tools or calls"),
    "prompt ends with a system turn": (
        {**PAIR, "prompt": [USER, {"role": "system", "content": "Be kind."}]},
        "prompt ends with a turn of role 'system'; it must end with a user's",
    ),
    "prompt ends with the assistant": ({**PAIR, "prompt": [USER, GOOD]}, "must end with a user's"),
    "reply of the user": ({**PAIR, "chosen": [USER]}, "must end with a turn of role 'assistant'"),
    "another prompt in the reply": (
        {**PAIR, "chosen": [{"role": "user", "content": "Who?"}, GOOD]},
        "chosen has 2 messages that do not begin with the prompt's",
    ),
    "two texts without a prompt": (
        {"chosen": "Q? yes", "rejected": "Q? yes, sir"},
        "where it ends cannot be told from two texts",
    ),
    "mixed forms": ({"chosen": [USER, GOOD], "rejected": "Bad."}, "use one form"),
    "conversations part early": (
        {"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, BAD, USER, BAD]},
        "chosen has 3 turns after the 1 that both share",
    ),
    "no shared turn": ({"chosen": [GOOD], "rejected": [BAD]}, "share no messages"),
    "half a surrogate pair": ({**PAIR, "chosen": "\ud83d"}, "half of a surrogate pair"),
    "dialogue of one speaker": (
        {"chosen": "Human: hi", "rejected": "Human: hello"},
        "chosen|share no messages",
    ),
    "a sample among pairs": (SAMPLE, "holds a synthesized sample, but preference pairs"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_bad_pair(name, bench, preset):
    record, pattern = PAIRS[name]
    bench.lines("a.jsonl", {**PAIR, "id": "first"}, record)
    bench.refuses(
        rf"a\.jsonl, record 2: .*({pattern})",
        "train",
        preset("rm:small"),
        "--config.data.train=a.jsonl",
        f"--workdir={bench.out}",
    )


def test_all_records_bad_and_skipped(bench, preset):
    bench.lines("a.jsonl", *({**PAIR, "id": None, "chosen": ""} for _ in range(3)))
    bench.refuses(
        r"no pair of .*a\.jsonl can be used: 3 records read, 0 kept, 3 dropped \(empty chosen 3\)",
        "train",
        preset("rm:small"),
        "--config.data.train=a.jsonl",
        "--config.data.on_error=skip",
        f"--workdir={bench.out}",
    )


def test_one_prompt_cannot_be_held_out_and_trained_on(bench, preset):
    bench.lines("a.jsonl", PAIR, {**PAIR, "id": "b", "chosen": "Great."})
    bench.refuses(
        r"data\.test_fraction=0\.1 leaves nothing .*--config\.data\.test=FILE",
        "train",
        preset("rm:small"),
        "--config.data.train=a.jsonl",
        f"--workdir={bench.out}",
    )


def test_every_record_too_long(bench, preset):
    long = {**PAIR, "chosen": "word " * 900, "rejected": "other " * 900}
    bench.lines("a.jsonl", *({**long, "id": i, "prompt": f"Question {i}?"} for i in range(30)))
    bench.refuses(
        r"no comparison is left after encoding: 28 samples too long left out.*data\.max_length",
        "train",
        preset("rm:small"),
        "--config.data.train=a.jsonl",
        "--config.data.truncation=drop",
        f"--workdir={bench.out}",
    )


def test_a_record_too_long_where_none_may_be(bench, preset):
    long = {**PAIR, "id": "long one", "chosen": "word " * 900}
    short = [{**PAIR, "id": i, "prompt": f"Question {i}?"} for i in range(30)]
    bench.lines("a.jsonl", *short, long)
    bench.refuses(
        r"sample long one has a leaf of \d+ tokens, over data\.max_length",
        "train",
        preset("rm:small"),
        "--config.data.train=a.jsonl",
        "--config.data.truncation=error",
        f"--workdir={bench.out}",
    )


# Demonstrations.
DEMONSTRATIONS = {
    "no completion": ({"prompt": "q", "answer": "a"}, "has no 'completion', 'messages' or 'cho"),
    "empty completion": ({"prompt": "q", "completion": " "}, "completion is empty"),
    "completion of null": ({"prompt": "q", "completion": None}, "completion must be text"),
    "ends with the user": ({"messages": [USER]}, "messages must end with a turn of role 'assis"),
    "a reply alone": ({"messages": [GOOD]}, "the assistant's reply alone; add what it answers"),
    "messages of text": ({"messages": "Hello"}, "add a prompt column, or give messages"),
    "messages of null": ({"messages": None}, "messages must be text or messages, not null"),
    "the assistant twice": ({"messages": [USER, GOOD, GOOD]}, "it must end with a user's"),
    "a sample among them": (SAMPLE, "holds a synthesized sample among other records"),
}


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_bad_demonstration(name, bench, preset):
    record, pattern = DEMONSTRATIONS[name]
    bench.lines("a.jsonl", {"prompt": "q", "completion": "a"}, record)
    bench.refuses(
        rf"a\.jsonl, record 2: .*{pattern}",
        "train",
        preset("sft"),
        "--config.data.train=a.jsonl",
        f"--workdir={bench.out}",
    )


# Samples.


def compared(**changes):
    return {**SAMPLE, "comparisons": [{**SAMPLE["comparisons"][0], **changes}]}


def constrained(**changes):
    constraint = {**SAMPLE["prompts"][1]["constraints"][0], **changes}
    first, second = SAMPLE["prompts"]
    return {**SAMPLE, "prompts": [first, {**second, "constraints": [constraint]}]}


SAMPLES = {
    "no id": ({k: v for k, v in SAMPLE.items() if k != "id"}, "sample without 'id'"),
    "no prompts": ({k: v for k, v in SAMPLE.items() if k != "prompts"}, "sample without 'prompts'"),
    "integer id": ({**SAMPLE, "id": 3}, "id must be a non-empty string"),
    "repeated id": ({**SAMPLE, "id": "first"}, "id 'first' repeats .*record 1"),
    "one response": ({**SAMPLE, "responses": ["Fine."]}, "responses must be two non-empty"),
    "blank response": ({**SAMPLE, "responses": ["Fine.", " "]}, "responses must be two non-empty"),
    "responses of text": ({**SAMPLE, "responses": "ab"}, "responses must be a non-empty list"),
    "no messages": ({**SAMPLE, "prompts": [{"constraints": []}]}, "prompt 0: .*messages"),
    "prompt ends with the assistant": (
        {**SAMPLE, "prompts": [{"messages": [USER, GOOD], "constraints": []}]},
        "prompt 0: .*must end with a user's",
    ),
    "prompts of text": ({**SAMPLE, "prompts": ["q"]}, "prompt 0 must be an object with messages"),
    "no comparisons": ({**SAMPLE, "comparisons": []}, "comparisons must be a non-empty list"),
    "comparison of text": ({**SAMPLE, "comparisons": ["base"]}, "comparison 0: must be an object"),
    "neutral without a tie": (compared(level="neutral"), "0: a neutral comparison is a tie"),
    "one margin of two": (constrained(margins=[1.0]), "margins of .* for each response"),
    "margin of text": (constrained(margins=[1.0, "2"]), "margins of .* for each response"),
    "unknown level": (compared(level="outer"), "comparison 0: level must be one of base, intra"),
    "missing prompt": (compared(prompt=[0, 2]), "comparison 0: a prompt index is out of range"),
    "negative prompt": (compared(prompt=[0, -1]), "comparison 0: a prompt index is out of range"),
    "missing response": (compared(response=[0, 2]), "a response index is out of range"),
    "fraction of a prompt": (compared(prompt=[0, 0.5]), "must be integers"),
    "true for a prompt": (compared(prompt=[0, True]), "must be integers"),
    "prompt of text": (compared(prompt="00"), "prompt, response and sign must be lists"),
    "three terms": (
        compared(prompt=[0, 0, 0], response=[0, 1, 0], sign=[1, -1, 1]),
        "must have one length, 2 or 4",
    ),
    "columns of two lengths": (compared(sign=[1, -1, 1, -1]), "must have one length, 2 or 4"),
    "both signs +": (compared(sign=[1, 1]), "signs must be as many"),
    "a sign of 2": (compared(sign=[2, -2]), "signs must be as many"),
    "NaN gamma": (compared(gamma=float("nan")), "gamma must be a finite number"),
    "text gamma": (compared(gamma="0"), "gamma must be a finite number"),
    "no gamma": (
        {
            **SAMPLE,
            "comparisons": [{k: v for k, v in SAMPLE["comparisons"][0].items() if k != "gamma"}],
        },
        "gamma must be a finite number",
    ),
    "text k": (compared(k="2"), "comparison 0: k must be a whole number"),
    "negative k": (compared(k=-1), "comparison 0: k must be a whole number"),
    "a leaf against itself": (
        compared(prompt=[0, 0], response=[0, 0]),
        "comparison 0: it compares leaves with themselves",
    ),
    "constraint without text": (constrained(text=None), "a constraint needs id and text"),
    "unknown constraint": (constrained(id="no:such"), "prompt 1: .*'no:such'"),
    "constraint of text": (
        {**SAMPLE, "prompts": [{"messages": [USER], "constraints": ["no comma"]}]},
        "prompt 0: a constraint needs id and text",
    ),
    "constraints of null": (
        {**SAMPLE, "prompts": [{"messages": [USER], "constraints": None}]},
        "prompt 0 must be an object with messages and constraints",
    ),
    "broken parameters": (
        constrained(params="{"),
        "prompt 1: params of 'punctuation:no_comma' must be",
    ),
    "parameters of a list": (constrained(params=[1]), "prompt 1: params of .* must be an object"),
    "unknown parameter": (constrained(params={"commas": 3}), "prompt 1: .*commas"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_bad_sample(name, bench, preset):
    record, pattern = SAMPLES[name]
    bench.lines("a.jsonl", {**SAMPLE, "id": "first"}, record)
    bench.refuses(
        rf"a\.jsonl, record 2: .*{pattern}.*synthesize the samples anew",
        "train",
        preset("rm:small"),
        "--config.data.train=a.jsonl",
        f"--workdir={bench.out}",
    )


def test_pairs_among_samples(bench, preset):
    bench.lines("a.jsonl", {**SAMPLE, "id": "first"}, PAIR)
    bench.refuses(
        r"a\.jsonl, record 2: is no sample, but the records before it are; keep samples and pairs",
        "train",
        preset("rm:small"),
        "--config.data.train=a.jsonl",
        f"--workdir={bench.out}",
    )


# Prompts to answer.
PROMPTS = {
    "no prompt": ({"title": "q"}, "has no 'prompt' and no 'messages'; add one"),
    "empty prompt": ({"prompt": ""}, "prompt is empty"),
    "prompt of null": ({"prompt": None}, "has no 'prompt' and no 'messages'|prompt must be"),
    "ends with the assistant": ({"messages": [USER, GOOD]}, "must end with a user's"),
    "unknown role": ({"messages": [{"role": "critic", "content": "q"}]}, "has role 'critic'"),
    "a number": (3, "must be an object"),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_bad_prompt(name, bench, preset):
    record, pattern = PROMPTS[name]
    bench.lines("a.jsonl", {"prompt": "q"}, record)
    bench.refuses(
        rf"a\.jsonl, record 2: .*{pattern}",
        "generate",
        preset("generate"),
        f"--config.checkpoint={bench.shared / 'policy'}",
        "--config.input=a.jsonl",
        f"--config.output={bench.out}",
    )
