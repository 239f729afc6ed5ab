"""The same numbers as `transformers`, and folders that open in it; needs torch."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from mapl_jax.data import tries
from mapl_jax.models import hub, policy, reward
from mapl_jax.models.decoder import DecoderConfig

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.peers

PAD = 0
LENGTHS = (1, 7, 19, 12)


def peer_config(**changes):
    fields = {
        "vocab_size": 96,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "rope_theta": 5e4,
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "eos_token_id": 1,
        "num_labels": 1,
    }
    return transformers.Qwen2Config(**{**fields, **changes})


def peer(kind, seed=0, **changes):
    """A model whose every tensor is random: biases and norms too."""
    torch.manual_seed(seed)
    model = kind(peer_config(**changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (parameter.ndim == 1) * 0.5)
    return model


CLASSIFIER, CAUSAL = transformers.Qwen2ForSequenceClassification, transformers.Qwen2ForCausalLM


def texts(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 96, length).astype(np.int32) for length in LENGTHS]


def padded(rows, side="right"):
    """Ids and mask as a tokenizer pads them."""
    longest = max(map(len, rows))
    ids, mask = np.full((2, len(rows), longest), PAD)
    mask[:] = 0
    for i, row in enumerate(rows):
        at = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[i, at], mask[i, at] = row, 1
    return torch.tensor(ids), torch.tensor(mask)


def packed(rows, length=64):
    """All texts side by side in one row: tokens, positions, reach, leaf_end [1, ...]."""
    row = {name: np.zeros((1, length), np.int32) for name in ("tokens", "positions", "reach")}
    ends, at = [], 0
    for text in rows:
        trie = tries.build([tries.Path(text, 1)])
        row["tokens"][0, at : at + len(text)] = trie.tokens
        row["positions"][0, at : at + len(text)] = trie.positions
        row["reach"][0, at : at + len(text)] = trie.reach + at
        at += len(text)
        ends.append(at - 1)
    return *map(jnp.asarray, row.values()), jnp.asarray([ends])


def one_a_row(rows):
    """Each text in its own row, padded on the right."""
    parts = [packed([row], max(map(len, rows))) for row in rows]
    return [jnp.concatenate(column) for column in zip(*parts, strict=True)]


def parameters(config, model):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), jnp.float32),
        model.abstract_params(config),
    )


def load(folder, head):
    config = hub.load_config(folder)
    return config, hub.load_params(folder, config, head=head, seed=0)


def scores(config, params, *row):
    return jax.jit(functools.partial(reward.rewards, config))(params, *row)


@pytest.mark.parametrize("side", ["right", "left"])
def test_scores_are_those_of_transformers(tmp_path, side):
    model = peer(CLASSIFIER)
    model.save_pretrained(tmp_path)
    ids, mask = padded(texts(), side)
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits[:, 0].numpy()
    config, params = load(tmp_path, head=True)
    np.testing.assert_allclose(scores(config, params, *packed(texts()))[0], expected, atol=1e-4)
    rows = scores(config, params, *one_a_row(texts()))
    np.testing.assert_allclose(rows[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("shards", [False, True])
def test_logits_are_those_of_transformers(tmp_path, tie, shards):
    model = peer(CAUSAL, tie_word_embeddings=tie)
    model.save_pretrained(tmp_path, max_shard_size="20KB" if shards else "1GB")
    assert (tmp_path / "model.safetensors.index.json").exists() == shards
    ids, mask = padded(texts())
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits.numpy()
    config, params = load(tmp_path, head=False)
    assert config.tie_embeddings == tie
    rows = one_a_row(texts())[:3]
    found = jax.jit(functools.partial(policy.logits, config))(params, *rows)
    for i, length in enumerate(LENGTHS):
        np.testing.assert_allclose(found[i, :length], expected[i, :length], atol=1e-4)


def test_a_checkpoint_in_bf16_scores_as_its_rounded_weights_do(tmp_path):
    model = peer(CLASSIFIER).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    ids, mask = padded(texts())
    with torch.no_grad():
        expected = model.float()(input_ids=ids, attention_mask=mask).logits[:, 0].numpy()
    config, params = load(tmp_path, head=True)
    np.testing.assert_allclose(scores(config, params, *packed(texts()))[0], expected, atol=1e-4)


def test_a_head_of_another_size_than_width_over_heads(tmp_path):
    model = peer(CLASSIFIER, head_dim=16)
    model.save_pretrained(tmp_path)
    ids, mask = padded(texts())
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits[:, 0].numpy()
    config, params = load(tmp_path, head=True)
    assert config.head_dim == 16
    np.testing.assert_allclose(scores(config, params, *packed(texts()))[0], expected, atol=1e-4)


def test_gradients_are_those_of_torch(tmp_path):
    model = peer(CLASSIFIER)
    model.save_pretrained(tmp_path / "in")
    ids, mask = padded(texts())
    model(input_ids=ids, attention_mask=mask).logits[:, 0].sin().sum().backward()
    config, params = load(tmp_path / "in", head=True)

    def total(params):
        return jnp.sum(jnp.sin(reward.rewards(config, params, *packed(texts()))))

    # Gradients have the forms of parameters, so a folder of them has the names of torch.
    hub.save_params(tmp_path / "slopes", config, jax.jit(jax.grad(total))(params))
    slopes = load_file(tmp_path / "slopes" / "model.safetensors")
    for name, parameter in model.named_parameters():
        expected = parameter.grad.numpy()
        scale = max(np.abs(expected).max(), 1.0)
        np.testing.assert_allclose(slopes[name] / scale, expected / scale, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("kind", "tie"), [(CLASSIFIER, True), (CLASSIFIER, False), (CAUSAL, True), (CAUSAL, False)]
)
def test_what_comes_in_goes_out_bit_for_bit(tmp_path, kind, tie):
    peer(kind, tie_word_embeddings=tie).save_pretrained(tmp_path / "in")
    config, params = load(tmp_path / "in", head=kind is CLASSIFIER)
    hub.save_params(tmp_path / "out", config, params)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("in", "out"))
    assert set(before) == set(after)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    old, new = (transformers.AutoConfig.from_pretrained(tmp_path / name) for name in ("in", "out"))
    differ = {k for k, v in old.to_dict().items() if new.to_dict().get(k) != v}
    assert differ <= {"_name_or_path", "problem_type", "id2label", "label2id"}
    assert new.num_labels == 1 or kind is CAUSAL


def test_an_exported_reward_model_opens_in_transformers(tmp_path):
    config = DecoderConfig(96, 32, 2, 4, 2, 8, 48, pad_token=PAD, eos_token=1)
    params = parameters(config, reward)
    hub.save_params(tmp_path / "model", config, params)
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert model.config.num_labels == 1 and model.config.problem_type == "regression"
    ids, mask = padded(texts())
    with torch.no_grad():
        found = model.eval()(input_ids=ids, attention_mask=mask).logits[:, 0].numpy()
    expected = scores(config, params, *packed(texts()))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("tie", [True, False])
def test_an_exported_policy_opens_in_transformers(tmp_path, tie):
    config = DecoderConfig(96, 32, 2, 4, 2, 8, 48, tie_embeddings=tie)
    params = parameters(config, policy)
    hub.save_params(tmp_path / "model", config, params)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    ids, _ = padded(texts()[2:3])
    with torch.no_grad():
        found = model.eval()(input_ids=ids).logits.numpy()
    logits = jax.jit(functools.partial(policy.logits, config))
    expected = logits(params, *one_a_row(texts()[2:3])[:3])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_classifier_with_two_labels_is_refused(tmp_path):
    peer(CLASSIFIER, num_labels=2).save_pretrained(tmp_path)
    with pytest.raises(hub.UserError, match=r"score\.weight has shape \(2, 32\)"):
        load(tmp_path, head=True)


def test_the_config_written_by_transformers_4_is_read(tmp_path):
    peer(CLASSIFIER).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    content["rope_theta"] = content.pop("rope_parameters")["rope_theta"]
    content.pop("layer_types")
    content |= {"torch_dtype": content.pop("dtype"), "sliding_window": 4096, "rope_scaling": None}
    path.write_text(json.dumps(content))
    assert hub.load_config(tmp_path).rope_theta == 5e4
