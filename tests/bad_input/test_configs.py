"""Configs and overrides that mean nothing: the field is named, and what it may be."""

import json

import pytest

NAN, INF = "nan", "inf"

# What would be accepted ends soon.
SMALL = (
    "--config.data.demo_pairs=16",
    "--config.tokenizer.vocab_size=300",
    "--config.model.width=16",
    "--config.model.layers=1",
    "--config.model.mlp_width=16",
    "--config.train.rows_per_batch=8",
    "--config.train.steps=1",
    "--config.eval.resamples=0",
)
POLICY = SMALL[5:]

# Config files: their text, and what is said of it.
FILES = {
    "syntax error": ("def get_config(:\n", r"c\.py, line 1: invalid syntax"),
    "not UTF-8": (b"x = 'caf\xe9'\n", r"c\.py, line 1: .*utf-8"),
    "NUL bytes": (b"x = 1\0\n", r"c\.py.*null bytes"),
    "empty": ("", r"c\.py.*get_config"),
    "an unknown import": ("import no_such_module\n", r"c\.py, line 1: .*no_such_module"),
    "an error of its own": (
        "def get_config(preset=''):\n    return 1 / 0\n",
        r"c\.py, line 2: ZeroDivisionError: division by zero",
    ),
    "no config": ("def get_config(preset=''):\n    return None\n", r"c\.py.*ConfigDict"),
    "a list": ("def get_config(preset=''):\n    return [1]\n", r"c\.py.*ConfigDict"),
    "of no fields": (
        "from ml_collections import ConfigDict\n\n\ndef get_config(preset=''):\n"
        "    return ConfigDict()\n",
        "the config has no field data; add it",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_config_file(name, bench):
    text, pattern = FILES[name]
    bench.write("c.py", text)
    bench.refuses(pattern, "train", "--config=c.py", f"--workdir={bench.out}")


UNTYPED = "with config.ignore_type(): "
# Lines after those of configs/rm.py: a config of one's own.
CHANGES = {
    "a field nobody reads": (
        "config.train.lerning_rate = 1e-3",
        r"unknown field train\.lerning_rate; did you mean train\.learning_rate\?",
    ),
    "a part nobody reads": ("config.optimizer = ConfigDict()", "unknown field optimizer"),
    "another type": ("config.train.epochs = 1.5", r"c\.py, line 12: TypeError: .*'epochs'"),
    "text for a number": (UNTYPED + "config.train.clip = '1'", r"train\.clip is '1'; .*number"),
    "a fraction for a count": (UNTYPED + "config.train.epochs = 1.5", r"train\.epochs is 1\.5"),
    "true for a count": (UNTYPED + "config.train.epochs = True", r"train\.epochs is True"),
    "a number for text": (UNTYPED + "config.data.train = 5", r"data\.train is 5; .*text"),
    "a number for a part": (UNTYPED + "config.train = 5", r"train is 5; it has fields of its own"),
    "a part for a number": (UNTYPED + "config.seed = ConfigDict()", r"seed .*a single value"),
    "nothing for text": (
        "config.data.truncation = None",
        r"data\.truncation is None; choose one of truncate, drop, error",
    ),
    "a part left out": ("del config.train", "the config has no field train"),
    "not a number": ("config.loss.base = float('nan')", r"loss\.base is nan"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_bad_config_of_ones_own(name, bench, preset):
    line, pattern = CHANGES[name]
    rm = preset("rm").removeprefix("--config=")
    bench.write(
        "c.py",
        "import importlib.util\n\nfrom ml_collections import ConfigDict\n\n\n"
        "def get_config(preset=''):\n"
        f"    spec = importlib.util.spec_from_file_location('rm', {rm!r})\n"
        "    module = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(module)\n"
        "    config = module.get_config(preset)\n"
        "    config.data.train = 'demo'\n"
        f"    {line}\n"
        "    return config\n",
    )
    bench.refuses(
        pattern,
        "train",
        "--config=c.py:small",
        f"--workdir={bench.out}",
    )


ARGUMENTS = {
    "no config": ((), "no config given; try: python -m mapl_jax.train --config=configs/rm.py"),
    "fields without a config": (("--train.steps=2",), "no config given, and fields of one are set"),
    "no such config": (("--config=no.py",), r"config file not found: no\.py; try --config=configs"),
    "config is a folder": (("--config=.",), "config file not found: "),
    "no name": (("--config=",), "config file not found: "),
    "unknown preset": (
        ("{rm}:huge",),
        "unknown preset 'huge' of configs/rm.py; choose one of demo",
    ),
    "unknown field": (("{rm}", "--config.train.lr=1"), r"unknown field train\.lr; did"),
    "unknown part": (("{rm}", "--config.optim.lr=1"), r"unknown field optim\.lr"),
    "a part as a value": (("{rm}", "--config.train=5"), r"train is '5'; it has fields of its own"),
    "value forgotten": (("{rm}", "--config.train.steps"), r"train\.steps"),
    "text for a count": (("{rm}", "--config.train.steps=many"), r"train\.steps.*many"),
    "fraction for a count": (("{rm}", "--config.train.steps=1.5"), r"train\.steps.*1\.5"),
    "text for a number": (("{rm}", "--config.train.eps=small"), r"train\.eps.*small"),
    "no such file of overrides": (
        ("--config=rm:tiny", "--overrides=no.yaml"),
        r"--overrides=no\.yaml: No such file",
    ),
    "a word without dashes": (("{rm}", "train.jsonl"), "unexpected argument 'train.jsonl'"),
    "unknown flag": (("{rm}", "--work_dir=x"), "(?i)unknown .*flag.*work_dir"),
    "one dash, one letter": (("{rm}", "-w", "x"), "(?i)unknown .*flag.*w"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments(name, bench, preset):
    arguments, pattern = ARGUMENTS[name]
    rm = preset("rm")
    bench.refuses(
        pattern,
        "train",
        *(argument.format(rm=rm) for argument in arguments),
        *([f"--workdir={bench.out}"] if arguments else []),
    )


# Field of configs/rm.py -> values that it cannot have.
NUMBERS = {
    "seed": ("-1", "4294967296"),
    "data.test_fraction": ("0", "1", "-0.1", NAN, INF),
    "data.demo_pairs": ("9", "0", "-1"),
    "data.max_length": ("31", "0", "-1"),
    "data.row_length": ("0", "-512", "300"),
    "data.threads": ("-1",),
    "data.workers": ("-1",),
    "data.num_proc": ("-1",),
    "synthesis.k_min": ("0", "-1", "6"),
    "synthesis.k_max": ("-1", "0"),
    "synthesis.seed": ("-1",),
    "synthesis.reference": ("-1",),
    "synthesis.neutral": ("-0.1", "1.5", NAN),
    "synthesis.min_share": ("-0.1", "0.95", "2", NAN),
    "synthesis.min_share_named": ("-1", NAN),
    "synthesis.max_share": ("0", "1.5", NAN, INF),
    "tokenizer.vocab_size": ("0", "-1", "299"),
    "model.width": ("0", "-128", "130"),
    "model.layers": ("0", "-1"),
    "model.heads": ("0", "-4", "3"),
    "model.kv_heads": ("0", "3"),
    "model.mlp_width": ("0", "-1"),
    "model.rope_theta": ("0", "-1", NAN, INF),
    "lora.rank": ("-1",),
    "lora.alpha": ("0", "-1", NAN, INF),
    "loss.base": ("0", "-1", NAN, INF),
    "loss.intra": ("-1", NAN, INF),
    "loss.inter": ("-1", NAN, INF),
    "loss.neutral": ("-1", NAN, INF),
    "loss.graded": ("-1", NAN, INF),
    "loss.inter_gamma": (NAN, INF),
    "loss.center": ("-1", NAN, INF),
    "train.epochs": ("0", "-1", "1.5"),
    "train.steps": ("-1",),
    "train.rows_per_batch": ("0", "-8", "7"),
    "train.accumulation": ("0", "-1", "5"),
    "train.learning_rate": ("0", "-1", NAN, INF),
    "train.warmup": ("-1", NAN, INF),
    "train.min_ratio": ("-1", "2", NAN, INF),
    "train.weight_decay": ("-1", NAN, INF),
    "train.b1": ("1", "-0.1", NAN),
    "train.b2": ("1", "-0.1", NAN),
    "train.eps": ("0", "-1", NAN, INF),
    "train.clip": ("-1", NAN, INF),
    "train.log_every": ("0", "-1"),
    "train.eval_every": ("-1",),
    "train.save_every": ("-1",),
    "train.keep": ("0", "-1"),
    "eval.rows_per_batch": ("0", "-1"),
    "eval.samples": ("-1",),
    "eval.resamples": ("-1",),
    "mesh.data": ("0", "-2", "3", "16"),
    "mesh.fsdp": ("0", "-2", "-1", "3"),
    "mesh.context": ("0", "-1", "5"),
    "mesh.tensor": ("0", "-1", "5"),
}


@pytest.mark.parametrize("field", NUMBERS)
def test_bad_number(field, bench, preset):
    last = field.split(".")[-1]
    named = "mesh" if field.startswith("mesh") else last
    extra = ("--config.lora.rank=4",) if field == "lora.alpha" else ()
    if field == "loss.inter_gamma":
        extra = ("--config.loss.inter_form=fixed",)
    for value in NUMBERS[field]:
        bench.refuses(
            rf"\b{named}\b",
            "train",
            preset("rm"),
            *SMALL,
            f"--config.{field}={value}",
            *extra,
            f"--workdir={bench.out}",
        )


NAMES = {
    "objective": "policy",
    "data.on_error": "ignore",
    "data.truncation": "right",
    "synthesis.mode": "small",
    "synthesis.families": "no_such:family",
    "synthesis.wordings": "all",
    "tokenizer.chat_template": "no-such-file",
    "tokenizer.path": "no-such-folder",
    "model.path": "no-such-folder",
    "model.shape": "no/shape",
    "loss.inter_form": "sum",
    "train.schedule": "step",
    "train.dtype": "float16",
    "train.remat": "some",
    "train.attention": "flash",
}


@pytest.mark.parametrize("field", NAMES)
def test_unknown_name(field, bench, preset):
    value = NAMES[field]
    bench.refuses(
        value,
        "train",
        preset("rm"),
        *SMALL,
        f"--config.{field}={value}",
        f"--workdir={bench.out}",
    )


OF_POLICIES = {
    "loss.beta": ("0", "-1", NAN, INF),
    "loss.label_smoothing": ("-0.1", "0.5", "1", NAN),
    "loss.type": ("sigmod", "sigmoid,sigmoid", ""),
    "loss.weights": ("x", "1,2", "-1", NAN),
    "train.logp_chunk": ("0", "-1"),
    "eval.generate": ("-1",),
    "eval.generate_rows": ("0",),
    "eval.max_new_tokens": ("0", "-1"),
}


@pytest.mark.parametrize("field", OF_POLICIES)
def test_bad_number_of_a_policy(field, bench, preset):
    last = field.split(".")[-1]
    for value in OF_POLICIES[field]:
        extra = ("--config.loss.type=robust",) if last == "label_smoothing" else ()
        bench.refuses(
            rf"\b({last}|loss)\b",
            "train",
            preset("dpo:pretrained"),
            f"--config.data.train={bench.shared / 'pairs.jsonl'}",
            f"--config.model.path={bench.shared / 'policy'}",
            *POLICY,
            f"--config.{field}={value}",
            *extra,
            f"--workdir={bench.out}",
        )


def test_heads_of_an_odd_width(bench, preset):
    bench.refuses(
        r"model\.width.*12.*model\.heads.*even",
        "train",
        preset("rm"),
        *SMALL,
        "--config.model.width=12",
        f"--workdir={bench.out}",
    )


def test_a_policy_needs_a_model(bench, preset):
    bench.refuses(
        "no model to start from, .*--config.model.path|no such folder: .none., to start from",
        "train",
        preset("dpo:pretrained"),
        f"--config.data.train={bench.shared / 'pairs.jsonl'}",
        f"--workdir={bench.out}",
    )


def test_margins_that_mean_nothing_to_a_loss(bench, preset):
    pairs = [json.loads(line) for line in (bench.shared / "pairs.jsonl").open()]
    bench.lines("a.jsonl", *({**pair, "margin": 1.0} for pair in pairs))
    bench.refuses(
        "the data has margins, and the loss ipo ignores them",
        "train",
        preset("dpo:pretrained"),
        "--config.data.train=a.jsonl",
        f"--config.model.path={bench.shared / 'policy'}",
        "--config.loss.type=ipo",
        *POLICY,
        f"--workdir={bench.out}",
    )


# The folder of a run.


def test_the_folder_is_a_file(bench, preset):
    bench.write("out", "mine")
    bench.refuses("out", "train", preset("rm"), f"--workdir={bench.out}")


def test_the_folder_holds_something_else(bench, preset):
    bench.write("out/diary.txt", "mine")
    bench.refuses(
        "out is not empty and holds no run; choose another --workdir",
        "train",
        preset("rm"),
        f"--workdir={bench.out}",
    )


def test_the_folder_holds_a_broken_config(bench, preset):
    bench.write("out/config.json", "{")
    bench.refuses(
        r"out/config\.json cannot be read", "train", preset("rm"), f"--workdir={bench.out}"
    )


def test_the_folder_holds_a_run_of_another_config(bench, preset):
    bench.write("out/config.json", '{"seed": 1}')
    bench.refuses(
        "holds a run of another config .*choose another --workdir",
        "train",
        preset("rm"),
        f"--workdir={bench.out}",
    )
