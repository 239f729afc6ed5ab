"""Model folders: what is written is what was there, and what is wrong is named."""

import dataclasses
import functools
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
import transformers
from safetensors.numpy import load_file, save_file

from mapl_jax.data import tokenization
from mapl_jax.kernels.rows import Row
from mapl_jax.models import families, heads, hf_config, hub, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import SEAL

from support import random_like

CONFIG = DecoderConfig(512, 16, 2, 4, 2, 4, 24, rope_theta=5e4, max_positions=77, eos_tokens=(1,))
UNTIED = DecoderConfig(**{**CONFIG.to_dict(), "tie_embeddings": False})


def parameters(config=CONFIG, head=ScoreHead()):
    """Every parameter random, norms and biases too."""
    return random_like(head.abstract_params(config), 1.0)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    saving.save_params(path, CONFIG, parameters())
    return path


def by_another_program(folder):
    """Takes the seal away, as where a folder comes from others or was changed on purpose."""
    (folder / SEAL).unlink(missing_ok=True)


def change_config(folder, **changes):
    by_another_program(folder)
    path = folder / "config.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v != "gone"}))


def change_tensors(folder, change):
    by_another_program(folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("head", [ScoreHead(), LogpHead()], ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
def test_a_model_comes_back_exactly(tmp_path, config, head):
    params = parameters(config, head)
    saving.save_params(tmp_path / "model", config, params)
    assert hub.load_config(tmp_path / "model") == config
    found = hub.load_params(tmp_path / "model", config, head=head.scores, seed=0)
    assert_same(found, params)


def test_names_and_forms_are_those_of_transformers(folder):
    tensors, params = load_file(folder / "model.safetensors"), parameters()
    assert {"score.weight", "model.embed_tokens.weight"} < set(tensors)
    assert "lm_head.weight" not in tensors
    assert tensors["score.weight"].shape == (1, CONFIG.width)
    up = params["layers"]["mlp"]["up"]["kernel"][1]
    np.testing.assert_array_equal(tensors["model.layers.1.mlp.up_proj.weight"], up.T)
    assert len(tensors) == 3 + 12 * CONFIG.layers


def test_only_an_untied_policy_has_an_lm_head(tmp_path):
    for config in (CONFIG, UNTIED):
        saving.save_params(tmp_path / "model", config, parameters(config, LogpHead()))
        names = load_file(tmp_path / "model" / "model.safetensors")
        assert ("lm_head.weight" in names) != config.tie_embeddings
        assert "score.weight" not in names


def test_the_config_says_old_and_new_readers_what_they_need(folder):
    content = json.loads((folder / "config.json").read_text())
    assert content["architectures"] == ["Qwen2ForSequenceClassification"]
    assert content["id2label"] == {"0": "LABEL_0"} and content["label2id"] == {"LABEL_0": 0}
    assert content["problem_type"] == "regression"
    assert content["rope_theta"] == content["rope_parameters"]["rope_theta"] == 5e4
    assert content["torch_dtype"] == content["dtype"] == "float32"
    assert content["max_position_embeddings"] == 77


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_read_as_fp32(folder, dtype):
    def halve(tensors):
        tensors.update({name: np.asarray(jnp.asarray(x, dtype)) for name, x in tensors.items()})

    change_tensors(folder, halve)
    params = hub.load_params(folder, CONFIG, head=True, seed=0)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}
    expected = jax.tree.map(lambda x: np.asarray(x.astype(dtype), np.float32), parameters())
    assert_same(params, expected)


def shard(folder):
    by_another_program(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = {}
    for i, (name, tensor) in enumerate(sorted(tensors.items())):
        file = f"model-{i:05}.safetensors"
        save_file({name: tensor}, folder / file, metadata={"format": "pt"})
        files[name] = file
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return files


def test_shards_are_read_through_their_index(folder):
    shard(folder)
    assert_same(hub.load_params(folder, CONFIG, head=True, seed=0), parameters())


def test_a_language_model_gets_a_fresh_head_that_the_seed_decides(tmp_path):
    saving.save_params(tmp_path / "model", UNTIED, parameters(UNTIED, LogpHead()))
    first, again, other = (
        hub.load_params(tmp_path / "model", UNTIED, head=True, seed=seed) for seed in (3, 3, 4)
    )
    assert "lm_head" not in first
    assert_same(first, again)
    assert np.abs(first["score"] - other["score"]).max() > 0
    assert np.abs(first["score"]).mean() < 4 * heads.score_scale(UNTIED)
    assert jax.tree.structure(first) == jax.tree.structure(ScoreHead().abstract_params(UNTIED))


def test_the_base_of_rotary_angles_is_read_where_old_and_new_files_have_it(folder):
    change_config(folder, rope_parameters="gone", rope_theta=7e5, rope_scaling=None)
    assert hub.load_config(folder).rope_theta == 7e5
    change_config(folder, rope_theta="gone", rope_parameters={"rope_theta": 8e5})
    assert hub.load_config(folder).rope_theta == 8e5
    change_config(folder, rope_parameters="gone")
    assert hub.load_config(folder).rope_theta == 1e4


@pytest.mark.smoke
def test_saving_replaces_a_model_and_leaves_nothing_beside_it(folder):
    other = jax.tree.map(lambda x: x + 1, parameters())
    saving.save_params(folder, CONFIG, other)
    assert_same(hub.load_params(folder, CONFIG, head=True, seed=0), other)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_saving_over_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="other files"):
        saving.save_params(tmp_path, CONFIG, parameters())
    with pytest.raises(UserError, match="is a file; name a folder to write"):
        saving.save_params(tmp_path / "notes.txt", CONFIG, parameters())


@pytest.fixture(scope="module")
def tokenizer():
    texts = ["Hello there, how are you?", "I am fine; 12 apples cost 3.50.", "Ça va, naïve café?"]
    return tokenization.train(texts * 3, 400)


@pytest.mark.smoke
def test_a_tokenizer_travels_with_the_model(tmp_path, tokenizer):
    saving.check_tokenizer(CONFIG, tokenizer)
    saving.save_params(tmp_path / "model", CONFIG, parameters(), tokenizer=tokenizer)
    found = tokenization.load(str(tmp_path / "model"))
    text = "Hello, naïve 123 apples'll do\n\n <|im_end|> tail"
    assert found.encode(text) == tokenizer.encode(text)
    config = hub.load_config(tmp_path / "model")
    assert config.pad_token == tokenizer.pad_token_id
    assert config.eos_tokens == (tokenizer.eos_token_id,)


def test_a_tokenizer_that_would_be_opened_as_another_one_is_refused(folder):
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<eos>", "<pad>", "a", "b"])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>"
    )
    with pytest.raises(UserError, match="read text differently"):
        saving.check_tokenizer(CONFIG, words)
    before = (folder / "config.json").read_text()
    with pytest.raises(UserError, match="read text differently"):
        saving.save_params(folder, CONFIG, parameters(), tokenizer=words)
    assert (folder / "config.json").read_text() == before, "a failed save must leave the old model"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "mamba"},
            "config.json: model_type 'mamba' is not supported; choose llama",
        ),
        ({"model_type": "gone"}, "model_type None"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ({"layer_types": ["full_attention"]}, "layer_types must name 2 layers"),
        ({"layer_types": ["sliding_attention"] * 2}, "'sliding_attention' needs a sliding_window"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "with 'linear_attention'"),
        ({"rope_scaling": {"type": "ntk", "factor": 4.0}}, "rope_scaling = .*ntk"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope_parameters = .*llama3"),
        ({"rope_parameters": [1]}, "rope_parameters must be an object"),
        ({"rope_parameters": "gone", "rope_theta": "big"}, "rope_theta must be a positive number"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"hidden_size": "gone"}, "the key hidden_size is missing"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a positive integer"),
        ({"num_key_value_heads": 3}, "multiple of num_key_value_heads"),
        ({"head_dim": "gone", "hidden_size": 18}, "no multiple of num_attention_heads"),
    ],
)
def test_a_config_the_decoder_cannot_do_is_refused_by_name(folder, changes, message):
    change_config(folder, **changes)
    with pytest.raises(UserError, match=message):
        hub.load_config(folder)


NOT_CAUSAL = ("use_bidirectional_attention", "is_bidirectional", "is_encoder_decoder")


@pytest.mark.parametrize("changes", [{"is_causal": False}, *({name: True} for name in NOT_CAUSAL)])
@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_model_that_looks_ahead_is_refused_whatever_its_family(changes, family):
    ((name, value),) = changes.items()
    with pytest.raises(UserError, match=f"{name} = {value} is not supported for {family}"):
        hf_config.from_hf({"model_type": family, **changes}, "config.json")


# What `save_pretrained` of a model without a head, of wrapped models, and of PEFT writes.
PREFIXES = {
    "none": lambda name: name.removeprefix("model."),
    "DataParallel": "module.{}".format,
    "DataParallel without a head": lambda name: "module." + name.removeprefix("model."),
    "torch.compile": "_orig_mod.{}".format,
    "FSDP": lambda name: name.replace("model.", "model._fsdp_wrapped_module."),
    "PEFT": "base_model.model.{}".format,
    "PEFT without a head": lambda name: "base_model.model." + name.removeprefix("model."),
    "several": "module._orig_mod.pretrained_model.{}".format,
    "a text model of a larger one": "language_model.{}".format,
}


def rename(folder, change):
    def renamed(tensors):
        for name in list(tensors):
            tensors[change(name)] = tensors.pop(name)

    change_tensors(folder, renamed)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_stands_before_the_embedding_decides_how_names_are_read(folder, prefix):
    rename(folder, PREFIXES[prefix])
    assert hub.is_reward_model(folder)
    assert_same(hub.load_params(folder, CONFIG, head=True, seed=0), parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda name: f"encoder.{name.replace('embed_tokens', 'wte').replace('o_proj', 'out')}",
            "no tensor is named embed_tokens.weight.*not the weights of a decoder",
        ),
        (
            lambda name: name.replace("q_proj.weight", "q_proj.base_layer.weight"),
            "adapters that are not merged; call merge_and_unload",
        ),
    ],
)
def test_names_of_other_models_are_told_apart(folder, change, message):
    rename(folder, change)
    with pytest.raises(UserError, match=message):
        hub.load_params(folder, CONFIG, head=True, seed=0)


def test_two_models_in_one_file_are_refused(folder):
    change_tensors(folder, lambda t: t.update({"ref.embed_tokens.weight": np.zeros((2, 2))}))
    with pytest.raises(UserError, match="several models"):
        hub.load_config(folder)


def test_a_score_makes_a_reward_model_whatever_its_class_is_called(folder):
    change_config(folder, architectures=["LlamaForRewardModel"])
    assert hub.is_reward_model(folder)
    change_tensors(folder, remove("score.weight"))
    assert not hub.is_reward_model(folder)


@pytest.mark.parametrize("name", hub.HEADS_BESIDE)
def test_a_reward_head_in_a_file_of_its_own_is_not_left_out_in_silence(folder, name):
    (folder / name).write_bytes(b"")
    with pytest.raises(UserError, match=f"{name} is a reward head apart from its model"):
        hub.check(folder, head=True)


@pytest.mark.parametrize("name", ["v_head.summary.weight", "score.bias", "reward_head.0.weight"])
def test_a_head_of_another_kind_is_refused_and_said_to_be_one(folder, name):
    change_tensors(folder, lambda t: t.update({name: np.ones((1, 4), np.float32)}))
    with pytest.raises(UserError, match=rf"unexpected tensor {name};.*is score\.weight alone"):
        hub.check(folder, head=True)


def test_a_file_of_a_model_is_no_model(folder):
    with pytest.raises(UserError, match=r"config\.json is a file, and the folder of a model"):
        hub.check(folder / "config.json", head=True)


def test_an_output_matrix_of_its_own_is_used_and_said(tmp_path, capsys):
    path, params = tmp_path / "model", parameters(UNTIED, LogpHead())
    saving.save_params(path, UNTIED, params)
    change_config(path, tie_word_embeddings=True)
    assert hub.load_config(path) == UNTIED
    assert_same(hub.load_params(path, UNTIED, head=False, seed=0), params)
    said = capsys.readouterr().err.splitlines()
    (line,) = (line for line in said if line.startswith("notice: "))  # beside progress, if slow
    assert "holds an lm_head.weight of its own, which is used as transformers does" in line
    tensors = load_file(path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    assert hub.load_config(path) == CONFIG, "a copy of the embedding is no matrix of its own"


def test_a_tied_model_may_be_stored_under_the_name_of_its_output(tmp_path):
    params = parameters(CONFIG, LogpHead())
    saving.save_params(tmp_path / "model", CONFIG, params)
    rename(tmp_path / "model", lambda x: x.replace("model.embed_tokens", "lm_head"))
    assert_same(hub.load_params(tmp_path / "model", CONFIG, head=False, seed=0), params)


def test_every_end_of_turn_is_kept(tmp_path, tokenizer):
    config = dataclasses.replace(CONFIG, eos_tokens=(7, 9))
    params = parameters(config, LogpHead())
    saving.save_params(tmp_path / "model", config, params, tokenizer=tokenizer)
    for name in ("config.json", "generation_config.json"):
        content = json.loads((tmp_path / "model" / name).read_text())
        assert content["eos_token_id"] == [7, 9, tokenizer.eos_token_id]
        assert content["pad_token_id"] == tokenizer.pad_token_id
    assert hub.load_config(tmp_path / "model").eos_tokens == (7, 9, tokenizer.eos_token_id)


def test_older_programs_know_the_class_of_the_tokenizer(tmp_path, tokenizer):
    saving.save_tokenizer(tmp_path, tokenizer)
    content = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert content["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not isinstance(content.get("extra_special_tokens"), list)


def remove(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("model.norm.weight"), "missing tensor model.norm.weight"),
        (remove("score.weight"), "missing tensor score.weight"),
        (
            lambda t: t.update({"model.layers.2.mlp.up_proj.weight": np.zeros(1)}),
            "unexpected tensor model.layers.2.mlp.up_proj.weight",
        ),
        (
            lambda t: t.update({"score.weight": np.zeros((2, 16), np.float32)}),
            r"score.weight has shape \(2, 16\), but config.json makes it \(1, 16\)",
        ),
        (
            lambda t: t.update({"score.weight": np.zeros((1, 16), np.int8)}),
            "score.weight is of type I8",
        ),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(folder, change, message):
    change_tensors(folder, change)
    with pytest.raises(UserError, match=message):
        hub.load_params(folder, CONFIG, head=True, seed=0)


def test_a_reward_model_is_no_policy(folder):
    with pytest.raises(UserError, match=r"unexpected tensor score\.weight"):
        hub.load_params(folder, CONFIG, head=False, seed=0)


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def lose_a_shard(folder):
    (folder / shard(folder)["model.norm.weight"]).unlink()


def lead_outside(folder):
    files = dict.fromkeys(shard(folder), "../model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def misplace(folder):
    files = dict.fromkeys(shard(folder), "model-00000.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds no JSON object"),
        (lambda folder: (folder / "model.safetensors").unlink(), "only safetensors are read"),
        (cut, "model.safetensors is broken or cut off"),
        (lose_a_shard, "is missing, which model.safetensors.index.json names"),
        (lead_outside, r"'\.\./model\.safetensors' is no file name"),
        (misplace, "missing tensor .* places here"),
    ],
)
def test_a_damaged_folder_is_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(UserError, match=message):
        hub.load_config(folder)
        hub.load_params(folder, CONFIG, head=True, seed=0)


PARITY = Path(__file__).parents[2].parent / "shared" / "data" / "parity" / "rm"


@pytest.mark.skipif(not PARITY.exists(), reason="the recorded run of TRL is not on this machine")
@pytest.mark.smoke
def test_the_first_loss_of_a_recorded_run_of_trl_is_ours():
    config = hub.load_config(PARITY / "init")
    params = hub.load_params(PARITY / "init", config, head=True, seed=0)
    batches = np.load(PARITY / "batches.npz")
    ids, mask, margin = (batches[f"0/{name}"] for name in ("input_ids", "attention_mask", "margin"))
    lengths = mask.sum(1)
    positions = np.where(mask, np.arange(ids.shape[1]), 0)
    reach = np.where(mask, lengths[:, None], 0)
    score = jax.jit(functools.partial(heads.rewards, config))
    scores = score(params, Row(ids, positions, reach), lengths[:, None] - 1)[:, 0]
    chosen, rejected = jnp.split(scores, 2)
    gap = jnp.asarray(chosen - rejected - margin)
    loss = jnp.mean(-jax.nn.log_sigmoid(gap)) + 0.01 * jnp.mean((chosen + rejected) ** 2)
    log = json.loads((PARITY / "log.json").read_text())[0]
    assert float(loss) == pytest.approx(log["loss"], abs=1e-6)
    assert float(scores.mean()) == pytest.approx(log["mean_reward"], abs=1e-6)
