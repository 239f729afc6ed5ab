"""Whatever bytes come, a reader gives a value or says what is wrong with them; nothing else."""

import contextlib
import gzip
import json
import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mapl_jax.data import encode, records, tokenization
from mapl_jax.data.readers import Entries, read_entries
from mapl_jax.data.samples import read_samples
from mapl_jax.data.settings import TrieSettings
from mapl_jax.evaluation import following, ifeval, ifeval_files, likelihood, preferences
from mapl_jax.models import hf_config, hub
from mapl_jax.models.published import SHAPES
from mapl_jax.models.tensors import TensorFiles
from mapl_jax.runtime import files
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis import pipeline
from mapl_jax.training.metrics import read_metrics

import support
from support import USER

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
VERY_FEW = settings(FEW, max_examples=12)

REPLY = {"role": "assistant", "content": "Because."}
PAIR = {"id": "a", "prompt": [USER], "chosen": [REPLY], "rejected": "No.", "margin": 1.0}
INTER = {
    "level": "inter",
    "prompt": [1, 1, 0, 0],
    "response": [0, 1, 0, 1],
    "sign": [1, -1, -1, 1],
    "gamma": 0.0,
    "k": 1,
}
SAMPLE = {**support.SAMPLE, "comparisons": [INTER]}
PARQUET = support.parquet({"prompt": ["q"], "chosen": ["a"]})
PROMPT = {
    "key": 1,
    "prompt": "Write.",
    "instruction_id_list": ["length_constraints:number_words", "keywords:existence"],
    "kwargs": [{"num_words": 3, "relation": "at least"}, {"keywords": ["line"]}],
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**30, max_value=10**400),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["user", "assistant", "base", "at least", "\ud800", "", " ", "\0", "Human:"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["role", "content", "id", "text", "params", "x"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


def paths(value, path=()):
    """The places of everything inside a value, itself included."""
    yield path
    inside = value.items() if isinstance(value, dict) else ()
    for key, part in enumerate(value) if isinstance(value, list) else inside:
        yield from paths(part, (*path, key))


def replaced(value, path, new):
    """A copy with something else in one place."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


def changed(good):
    """The good value with up to two places replaced by anything."""

    @st.composite
    def strategy(draw):
        found = good
        for _ in range(draw(st.integers(1, 2))):
            place = draw(st.sampled_from(list(paths(found))))
            found = replaced(found, place, draw(values))
        return found

    return strategy()


@st.composite
def damaged(draw, good):
    """Good bytes, cut off, with some replaced, some put in or some taken out."""
    start = draw(st.integers(0, len(good)))
    stop = draw(st.integers(start, min(len(good), start + 12)))
    new = draw(st.binary(max_size=12))
    kept = good[:start] + new + good[stop:]
    return kept[: draw(st.integers(0, len(kept)))] if draw(st.booleans()) else kept


allowed = contextlib.suppress(UserError)


def line(value):
    return json.dumps(value).encode() + b"\n"


# Data.


@FEW
@given(record=changed(PAIR))
def test_a_pair(record):
    with allowed:
        (pair,) = records.collect(records.iter_pairs, Entries("here", [("here", record)])).records
        assert pair["chosen"].strip() and pair["rejected"].strip()
        assert pair["prompt"][-1]["role"] == "user"
        assert np.isfinite(pair["margin"])
        json.dumps(pair, ensure_ascii=False).encode()


@FEW
@given(record=changed({"prompt": [USER], "completion": [REPLY], "messages": [USER, REPLY]}))
def test_a_demonstration(record, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(line(record))
    with allowed:
        records.collect(records.iter_demonstrations, read_entries(tmp_path / "a.jsonl"))
    with allowed:
        records.read_prompts(tmp_path / "a.jsonl")


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train(["Why? Because. No commas."], 300)


@FEW
@given(record=changed(SAMPLE))
def test_a_sample_and_its_trie(record, tmp_path, tokenizer):
    (tmp_path / "a.jsonl").write_bytes(line(record))
    with allowed:
        samples = read_samples(tmp_path / "a.jsonl")
        size = TrieSettings(128, 512)
        import collections

        list(encode.encode_samples(samples, tokenizer, size, collections.Counter()))


CSV = b'prompt,chosen,rejected,margin\n"Why?","Because, you see.",No.,1\nHow?,So.,"N""o",\n'


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
@FEW
@given(data=st.data())
def test_a_file_of_pairs(name, data, tmp_path):
    good = {
        "a.jsonl": line(PAIR) + line({**PAIR, "id": "b"}),
        "a.json": b"[" + line(PAIR) + b"," + line({**PAIR, "id": "b"}) + b"]",
        "a.csv": CSV,
    }[name]
    content = data.draw(st.one_of(st.binary(max_size=64), damaged(good)))
    (tmp_path / name).write_bytes(content)
    for on_error in ("raise", "skip"):
        with allowed:
            assert records.read_pairs(tmp_path / name, on_error=on_error).records


@FEW
@given(content=damaged(gzip.compress(line(PAIR) * 40)))
def test_a_compressed_file_of_pairs(content, tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(content)
    with allowed:
        records.read_pairs(tmp_path / "a.jsonl.gz", on_error="skip")


@VERY_FEW
@given(data=st.data())
def test_a_parquet_file_of_pairs(data, tmp_path):
    (tmp_path / "a.parquet").write_bytes(data.draw(damaged(PARQUET)))
    with allowed:
        records.read_pairs(tmp_path / "a.parquet")


def test_a_bomb_takes_no_memory_before_its_first_line(tmp_path):
    """Gzip makes a thousand bytes of one; a line of it that never ends is refused, not held."""
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(80):
            file.write(b" " * 2**20)
    with pytest.raises(UserError, match=r"line 1.* longer than 64 MiB"):
        records.read_pairs(path)


# IFEval.


@FEW
@given(prompt=changed(PROMPT), response=st.one_of(st.text(max_size=20), values))
def test_prompts_and_responses_of_ifeval(prompt, response, tmp_path):
    (tmp_path / "prompts.jsonl").write_bytes(line(prompt))
    (tmp_path / "responses.jsonl").write_bytes(line({"prompt": "Write.", "response": response}))
    with allowed:
        tasks, _ = ifeval_files.read_tasks(tmp_path / "prompts.jsonl")
        found = ifeval_files.read_responses(tmp_path / "responses.jsonl")
        known, texts, _ = ifeval_files.matched(tasks, found, "responses.jsonl")
        answers, _ = ifeval_files.answers_alone(known, texts)
        ifeval.summarize(ifeval.judge(known, answers), seed=0, resamples=2)


@FEW
@given(content=damaged(line(PROMPT) * 2))
def test_a_file_of_ifeval(content, tmp_path):
    (tmp_path / "prompts.jsonl").write_bytes(content)
    with allowed:
        ifeval_files.read_tasks(tmp_path / "prompts.jsonl")


# Models.


@pytest.mark.parametrize(
    "name", ["Qwen/Qwen2.5-0.5B", "meta-llama/Llama-3.2-1B", "google/gemma-2-2b"]
)
@FEW
@given(data=st.data())
def test_a_model_config(name, data):
    raw = data.draw(changed(SHAPES[name]).filter(lambda raw: isinstance(raw, dict)))
    with allowed:
        model = hf_config.from_hf(raw, "config.json")
        assert model.heads % model.kv_heads == 0 and model.head_dim % 2 == 0


TENSORS = {"model.norm.weight": np.ones(4, np.float32), "b": np.zeros((2, 3), np.float16)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(TENSORS, path, metadata={"format": "pt"})
    return path.read_bytes()


def read_all(folder: Path):
    found = TensorFiles(folder)
    found.check({name: tensor.shape for name, tensor in TENSORS.items()})
    for name, tensor in TENSORS.items():
        out = np.empty(tensor.shape, jnp.float32)
        found.read(name, tuple(slice(0, n) for n in tensor.shape), out)


@FEW
@given(data=st.data())
def test_weights(data, weights, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(data.draw(damaged(weights)))
    with contextlib.suppress(UserError, KeyError):  # A good file may lack a name that is asked for.
        read_all(tmp_path)


@FEW
@given(data=st.data())
def test_headers_of_weights(data, weights, tmp_path):
    (size,) = struct.unpack("<Q", weights[:8])
    content = data.draw(changed(json.loads(weights[8 : 8 + size])))
    new = json.dumps(content).encode()
    (tmp_path / "model.safetensors").write_bytes(
        struct.pack("<Q", len(new)) + new + weights[8 + size :]
    )
    with contextlib.suppress(UserError, KeyError):
        read_all(tmp_path)


@FEW
@given(content=changed({"metadata": {}, "weight_map": {"b": "model-1.safetensors"}}))
def test_an_index_of_weights(content, tmp_path):
    save_file(TENSORS, tmp_path / "model-1.safetensors")
    (tmp_path / "model.safetensors.index.json").write_bytes(line(content))
    with allowed:
        # What it names, and nothing where it names nothing.
        assert TensorFiles(tmp_path).files == sorted(set(content["weight_map"].values()))


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.json", "chat_template.jinja"])
@VERY_FEW
@given(data=st.data())
def test_tokenizer_files(name, data, tokenizer_folder, tmp_path):
    for file in tokenizer_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(data.draw(damaged((tokenizer_folder / name).read_bytes())))
    with allowed:
        loaded = tokenization.load(str(tmp_path))
        tokenization.encode_leaves(loaded, [([USER], "Because.")])


pieces = st.sampled_from(
    [
        *("{%", "%}", "{{", "}}", "{#", "#", " for m in messages ", " endfor ", " if ", " endif "),
        *("messages", "m['content']", "m.role", "+", "|", "(", ")", "1/0", "range(9)", "'x'"),
        *("raise_exception(1)", "[0]", "eos_token", " set x = ", "-"),
    ]
)


@FEW
@given(template=st.lists(pieces, max_size=12).map("".join))
def test_chat_templates(template, tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    with allowed:
        tokenization.encode_prompts(other, [[USER]])


# What runs leave.

SUMMARY = {"files": ["samples-00000-of-00001.jsonl"], "fingerprint": "x"}


@FEW
@given(
    content=st.one_of(st.binary(max_size=40), damaged(line(SUMMARY)), changed(SUMMARY).map(line))
)
def test_a_summary_and_any_json(content, tmp_path):
    (tmp_path / "summary.json").write_bytes(content)
    assert pipeline.summary_of(tmp_path) is None
    with allowed:
        files.read_json(tmp_path / "summary.json")
    (tmp_path / "config.json").write_bytes(content)
    with allowed:
        hub.load_config(tmp_path)
    with allowed:
        hub.is_reward_model(tmp_path)


METRICS = {"step": 1, "split": "train", "loss": 0.7}


@FEW
@given(
    content=st.one_of(damaged(line(METRICS) * 3), changed(METRICS).map(line).map(lambda x: x * 2))
)
def test_metrics(content, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with allowed:
        for record in read_metrics(tmp_path / "metrics.jsonl"):
            assert record["step"] >= 0


SCORE = {
    "id": "a",
    "level": "base",
    "margin": 0.5,
    "gamma": 0.0,
    "length_margin": 1,
    "k": 0,
    "families": [],
    "terms": [],
}
ANSWER = {
    "probe": {"id": "a", "messages": [USER], "constraints": []},
    "response": "x",
    "ended": True,
    "kept": [True],
}


@pytest.mark.parametrize(
    ("read", "good"),
    [
        (preferences.read_scores, SCORE),
        (likelihood.read_scores, {"id": "a", "logp": -1.0, "tokens": 3}),
        (following.read, ANSWER),
    ],
    ids=["preferences", "likelihood", "answers"],
)
@FEW
@given(data=st.data())
def test_kept_scores(read, good, data, tmp_path):
    content = data.draw(st.one_of(damaged(line(good) * 2), changed(good).map(line)))
    (tmp_path / "scores.jsonl").write_bytes(content)
    with allowed:
        read(tmp_path / "scores.jsonl")
