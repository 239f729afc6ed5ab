"""Model folders and tokenizer files that cannot be used, as every command meets them."""

import json
import shutil
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mapl_jax.data import tokenization
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import SEAL

WEIGHTS = "model.safetensors"


def edit(path, **changes):
    """Changes a JSON file; a value of ... leaves the key out."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        if value is ...:
            content.pop(key, None)
        else:
            content[key] = value
    path.write_text(json.dumps(content))


def config(**changes):
    return lambda folder: edit(folder / "config.json", **changes)


def text(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def without(name):
    return lambda folder: (folder / name).unlink()


def tensors(change):
    """Changes the tensors of a folder, on purpose: its seal goes with them."""

    def damage(folder):
        (folder / SEAL).unlink(missing_ok=True)
        found = load_file(folder / WEIGHTS)
        change(found)
        save_file(found, folder / WEIGHTS, metadata={"format": "pt"})

    return damage


def header(change):
    """Changes the header of the weights and leaves the rest."""

    def damage(folder):
        raw = (folder / WEIGHTS).read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        content = json.loads(raw[8 : 8 + size])
        change(content)
        new = json.dumps(content).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(new)) + new + raw[8 + size :])

    return damage


def index(**weight_map):
    """Sharded weights: an index, and the tensors in the first of two files."""

    def damage(folder):
        found = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        save_file(found, folder / "model-00001-of-00002.safetensors")
        where = dict.fromkeys(found, "model-00001-of-00002.safetensors") | {
            name: file for name, file in weight_map.items() if file is not ...
        }
        content = {"metadata": {}, "weight_map": where}
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(content))

    return damage


def both(*damages):
    def damage(folder):
        for each in damages:
            each(folder)

    return damage


def pickled(folder):
    (folder / WEIGHTS).unlink()
    # The first bytes of a zip, as torch.save writes them, with a pickle inside that must not run.
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + b"cos\nsystem\n(S'touch out'\ntR.")


NORM = "model.norm.weight"
LAST = "model.layers.1.mlp.up_proj.weight"
MODELS = {
    "no config": (without("config.json"), r"holds neither a run nor a model \(no config\.json\)"),
    "empty config": (text("config.json", b""), r"config\.json is not JSON"),
    "config of a list": (text("config.json", b"[]"), r"config\.json holds no JSON object"),
    "config in UTF-16": (text("config.json", "{}".encode("utf-16")), "model_type None is not"),
    "deep config": (text("config.json", b"[" * 100_000), r"config\.json is not JSON"),
    "no model_type": (config(model_type=...), "model_type None is not supported; choose llama"),
    "another family": (config(model_type="bert"), "model_type 'bert' is not supported; choose"),
    "model_type of a list": (config(model_type=["llama"]), "model_type .* is not supported"),
    "quantized": (config(quantization_config={"bits": 4}), "quantization_config = .*not supported"),
    "mixture of experts": (config(num_experts=8), "num_experts = 8 is not supported"),
    "another activation": (config(hidden_act="gelu"), "hidden_act = 'gelu' is not supported"),
    "no width": (config(hidden_size=...), "the key hidden_size is missing"),
    "width of text": (config(hidden_size="16"), "hidden_size must be a positive integer, not '16'"),
    "width of 0": (config(hidden_size=0), "hidden_size must be a positive integer, not 0"),
    "layers of -1": (config(num_hidden_layers=-1), "num_hidden_layers must be a positive integer"),
    "billions of layers": (
        config(num_hidden_layers=10**9),
        "num_hidden_layers is 1000000000; no model has so many",
    ),
    "thousands of layers": (config(num_hidden_layers=9999), "says 9999 layers, and there are 27"),
    "heads that do not divide": (
        config(num_attention_heads=3, head_dim=None),
        "hidden_size is no multiple of num_attention_heads",
    ),
    "heads that do not divide among keys": (
        config(num_attention_heads=3, num_key_value_heads=2),
        "num_attention_heads is no multiple of num_key_value_heads",
    ),
    "odd heads": (config(head_dim=7), r"config\.json: head_dim is 7, and must be even"),
    "epsilon of text": (config(rms_norm_eps="small"), "rms_norm_eps must be a number"),
    "NaN epsilon": (config(rms_norm_eps=float("nan")), r"config\.json .*not finite"),
    "tied of text": (config(tie_word_embeddings="yes"), "tie_word_embeddings must be"),
    "theta of text": (
        config(rope_parameters={"rope_theta": "x", "rope_type": "default"}),
        "rope_theta must be a positive number",
    ),
    "unknown rope": (
        config(rope_parameters={"rope_theta": 1e4, "rope_type": "ntk", "factor": 2}),
        "'ntk'.* is not supported; RoPE may be default, linear, llama3",
    ),
    "rope of text": (config(rope_parameters="default"), "rope_parameters must be an object"),
    "pad token of text": (config(pad_token_id="<pad>"), "pad_token_id must be"),
    "negative end token": (config(eos_token_id=-5), "eos_token_id must be"),
    "architectures of a number": (config(architectures=5), "architectures must be a list"),
    "another vocabulary": (
        config(vocab_size=640),
        r"model\.embed_tokens\.weight has shape \(320, 16\), but config\.json makes it \(640, 16\)",
    ),
    "one layer too few": (config(num_hidden_layers=1), r"unexpected tensors model\.layers\.1"),
    "one layer too many": (config(num_hidden_layers=3), r"missing tensors model\.layers\.2"),
    "no weights": (without(WEIGHTS), "no model.safetensors and no .*only safetensors are read"),
    "pickle only": (pickled, r"only safetensors are read, and pytorch_model\.bin is a pickle"),
    "empty weights": (text(WEIGHTS, b""), r"model\.safetensors is broken or cut off"),
    "weights of text": (
        text(WEIGHTS, b"version https://git-lfs.github.com/spec/v1\n"),
        "broken or",
    ),
    "a header of 2**62 bytes": (
        text(WEIGHTS, struct.pack("<Q", 2**62) + b"{}"),
        "broken or cut off",
    ),
    "weights cut off": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-99]),
        "broken or cut off .*copy it again",
    ),
    "weights too long": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes() + b"\0" * 9),
        "broken or cut off",
    ),
    "a tensor missing": (tensors(lambda t: t.pop(NORM)), rf"missing tensor {NORM}"),
    "a tensor too many": (
        tensors(lambda t: t.update(extra=np.zeros(3, np.float32))),
        "unexpected tensor extra; a .* model has no such tensor",
    ),
    "a bias too many": (
        tensors(lambda t: t.update({"score.bias": np.zeros(1, np.float32)})),
        "unexpected tensor score.bias",
    ),
    "a tensor transposed": (
        tensors(lambda t: t.update({LAST: np.ascontiguousarray(t[LAST].T)})),
        rf"{LAST} has shape \(16, 24\), but config\.json makes it \(24, 16\)",
    ),
    "whole numbers": (
        tensors(lambda t: t.update({NORM: np.ones(16, np.int64)})),
        rf"{NORM} is of type I64, not fp32, bf16 or fp16",
    ),
    "two labels": (
        tensors(lambda t: t.update({"score.weight": np.zeros((2, 16), np.float32)})),
        r"score\.weight has shape \(2, 16\), but config\.json makes it \(1, 16\)",
    ),
    "NaN weights": (
        tensors(lambda t: t.update({NORM: np.full(16, np.nan, np.float32)})),
        "weights of norm/scale are not finite",
    ),
    "a header that lies of a shape": (
        header(lambda h: h[NORM].update(shape=[8])),
        "broken or cut off",
    ),
    "a header that lies of a place": (
        header(lambda h: h[NORM].update(data_offsets=[0, 2**40])),
        "broken or cut off",
    ),
    "two tensors in one place": (
        header(lambda h: h[NORM].update(data_offsets=h["score.weight"]["data_offsets"])),
        "broken or cut off",
    ),
    "a header of another type": (header(lambda h: h[NORM].update(dtype="F128")), "broken or cut"),
    "an index that leads out": (
        index(**{NORM: "../model.safetensors"}),
        r"index\.json: '\.\./model\.safetensors' is no file name; weights lie beside the index",
    ),
    "an index of an absolute path": (index(**{NORM: "/etc/passwd"}), "'/etc/passwd' is no file na"),
    "an index of a missing file": (
        index(**{NORM: "model-00002-of-00002.safetensors"}),
        r"model-00002-of-00002\.safetensors is missing, which .*index\.json names",
    ),
    "an index that places a tensor elsewhere": (
        both(
            index(**{NORM: "model-00002-of-00002.safetensors"}),
            lambda folder: save_file(
                {"other": np.zeros(1, np.float32)}, folder / "model-00002-of-00002.safetensors"
            ),
        ),
        f"missing tensor {NORM}, which .*index.json places here",
    ),
    "an index of numbers": (index(**{NORM: 5}), "weight_map does not say which file"),
    "an index without a map": (
        both(index(), text(f"{WEIGHTS}.index.json", b"{}")),
        "weight_map does not say which file",
    ),
    "an index of text": (
        both(index(), text(f"{WEIGHTS}.index.json", b"{")),
        r"index\.json is not JSON",
    ),
    "weights that are a folder": (
        both(without(WEIGHTS), lambda folder: (folder / WEIGHTS).mkdir()),
        "no model.safetensors and no",
    ),
}


def damaged(bench, damage, name="reward"):
    """A copy of a good folder with something wrong in it."""
    folder = bench.path / "model"
    shutil.copytree(bench.shared / name, folder)
    damage(folder)
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_bad_model_folder(name, bench):
    damage, pattern = MODELS[name]
    folder = damaged(bench, damage)
    bench.refuses(
        pattern,
        "export",
        f"--checkpoint={folder}",
        f"--data={bench.shared / 'pairs.jsonl'}",
        f"--output={bench.out}",
    )


TOKENIZERS = {
    "no tokenizer": (
        both(without("tokenizer.json"), without("tokenizer_config.json")),
        "no tokenizer could be loaded from .*model: it has no tokenizer.json",
    ),
    "empty": (text("tokenizer.json", b""), "no tokenizer could be loaded from .*model"),
    "cut off": (
        lambda folder: (folder / "tokenizer.json").write_bytes(
            (folder / "tokenizer.json").read_bytes()[:-200]
        ),
        "no tokenizer could be loaded from .*model",
    ),
    "of a list": (text("tokenizer.json", b"[]"), "no tokenizer could be loaded from .*model"),
    "broken config": (text("tokenizer_config.json", b"{"), "no tokenizer could be loaded"),
    "no end token": (
        lambda folder: edit(folder / "tokenizer_config.json", eos_token=None, tokenizer_class=...),
        "names no eos token",
    ),
    "a token missing in the model": (
        lambda folder: edit(
            folder / "tokenizer_config.json", extra_special_tokens=[f"<{i}>" for i in range(400)]
        ),
        r"the tokenizer has \d+ tokens and the model .* only 320; they do not belong",
    ),
    "template of broken jinja": (
        text("chat_template.jinja", b"{% for m in messages %}{{ m }"),
        "the chat template",
    ),
    "template that raises": (
        text("chat_template.jinja", b"{{ raise_exception('no ' + 'chats') }}"),
        "the chat template refuses the roles .*no chats",
    ),
    "template that leaves the sandbox": (
        text("chat_template.jinja", b"{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        "the chat template refuses .*(unsafe|undefined|not)",
    ),
    "template without end": (
        text("chat_template.jinja", b"{% for i in range(10**12) %}{{ i }}{% endfor %}"),
        "the chat template refuses",
    ),
    "template that forgets the answer": (
        text("chat_template.jinja", b"{{ messages[0]['content'] }}<|im_end|>"),
        "the chat template leaves out the answer; it makes 'Why",
    ),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_bad_tokenizer(name, bench):
    damage, pattern = TOKENIZERS[name]
    folder = damaged(bench, damage)
    bench.refuses(
        pattern,
        "export",
        f"--checkpoint={folder}",
        f"--data={bench.shared / 'pairs.jsonl'}",
        f"--output={bench.out}",
    )


def test_bad_end_tokens_of_generation(bench, preset):
    bench.lines("prompts.jsonl", {"prompt": "Why?"})
    for value in ("2", -1, [True]):
        folder = damaged(
            bench,
            lambda folder, value=value: (folder / "generation_config.json").write_text(
                json.dumps({"eos_token_id": value})
            ),
            "policy",
        )
        bench.refuses(
            r"generation_config\.json: eos_token_id must be an id or a list of ids",
            "generate",
            preset("generate"),
            f"--config.checkpoint={folder}",
            "--config.input=prompts.jsonl",
            f"--config.output={bench.out}",
        )
        shutil.rmtree(folder)


def test_training_meets_the_same_folders_before_it_makes_anything(bench, preset):
    for name in ("pickle only", "a tensor missing", "weights cut off", "another family"):
        damage, pattern = MODELS[name]
        folder = damaged(bench, damage, "policy")
        bench.refuses(
            pattern.replace("neither a run nor", "config.json is missing|"),
            "train",
            preset("rm:small"),
            f"--config.data.train={bench.shared / 'pairs.jsonl'}",
            f"--config.model.path={folder}",
            "--config.train.rows_per_batch=8",
            "--config.eval.resamples=0",
            f"--workdir={bench.out}",
        )
        shutil.rmtree(folder)


def test_a_model_larger_than_memory_is_refused_by_its_files(bench):
    """Sizes from a config are compared with the files before anything of these sizes is made."""
    folder = damaged(bench, config(hidden_size=10**7, intermediate_size=10**8))
    bench.refuses(
        r"has shape .* but config\.json makes it",
        "export",
        f"--checkpoint={folder}",
        f"--data={bench.shared / 'pairs.jsonl'}",
        f"--output={bench.out}",
    )


def test_a_tokenizer_without_a_vocabulary(bench):
    shutil.copytree(bench.shared / "reward", bench.path / "model")
    path = bench.path / "model" / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["model"].update(vocab={}, merges=[])
    path.write_text(json.dumps(raw))
    with pytest.raises(UserError, match="makes no tokens of text: its vocabulary is empty"):
        tokenization.load(str(path.parent))
