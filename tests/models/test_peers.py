"""The same numbers as `transformers`, and folders that open in it; needs torch."""

import copy
import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mapl_jax.data import tries
from mapl_jax.kernels.rows import Row
from mapl_jax.models import heads, hub, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead

from support import random_like

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.peers

PAD = 0
LENGTHS = (1, 7, 33, 12)
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e4}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e2,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 5e2,
    "factor": 4.0,
    "beta_fast": 2.0,
    "beta_slow": 0.5,
    "attention_factor": 1.25,
    "truncate": True,
    "original_max_position_embeddings": 16,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 5e2, "factor": 4.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 5e2,
    "factor": 4.0,
    "short_factor": [1.0, 1.1, 1.3],
    "long_factor": [1.5, 2.5, 4.0],
    "attention_factor": 1.2,
    "original_max_position_embeddings": 16,
    "partial_rotary_factor": 0.75,
}
# A model type and what is not its default; windows are shorter than most texts, caps low.
CASES = {
    "llama": ("llama", {"rope_theta": 5e4}),
    "llama linear": ("llama", {"rope_parameters": LINEAR, "tie_word_embeddings": True}),
    "llama 3": ("llama", {"rope_parameters": LLAMA3}),
    "mistral": ("mistral", {"sliding_window": 5, "head_dim": 16}),
    "mistral without window": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {"rope_theta": 5e4, "tie_word_embeddings": True}),
    "qwen2 with windows": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "gemma": ("gemma", {"head_dim": 16}),
    "gemma2": (
        "gemma2",
        {
            "head_dim": 16,
            "sliding_window": 5,
            "query_pre_attn_scalar": 24,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
    ),
    "gemma3": (
        "gemma3_text",
        {
            "head_dim": 16,
            "sliding_window": 5,
            "sliding_window_pattern": 2,
            "query_pre_attn_scalar": 24,
            "rope_parameters": {
                "full_attention": LINEAR,
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
            },
        },
    ),
    "olmo2": ("olmo2", {}),
    "phi3": ("phi3", {"sliding_window": 5}),
    # Texts of 1 to 33 tokens, with another form from the 17th on.
    "phi3 longrope": (
        "phi3",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 16},
    ),
    "qwen2 yarn": ("qwen2", {"rope_parameters": YARN}),
    "llama dynamic": (
        "llama",
        {"rope_parameters": DYNAMIC, "max_position_embeddings": 16},
    ),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "ministral": (
        "ministral",
        {
            "sliding_window": 5,
            "head_dim": 16,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "ministral3": (
        "ministral3",
        {
            "sliding_window": 5,
            "head_dim": 16,
            "rope_parameters": {
                **YARN,
                "original_max_position_embeddings": 8,
                "llama_4_scaling_beta": 0.5,
            },
        },
    ),
    "olmo3": (
        "olmo3",
        {
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": YARN,
                "sliding_attention": {"rope_type": "default", "rope_theta": 5e2},
            },
        },
    ),
    "exaone4": (
        "exaone4",
        {
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_theta": 5e2,
        },
    ),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0, 1], "rope_theta": 5e2}),
    "granite": (
        "granite",
        {
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.3,
            "logits_scaling": 8.0,
        },
    ),
    "glm": ("glm", {"head_dim": 16, "partial_rotary_factor": 0.5}),
    "glm4": ("glm4", {"head_dim": 16, "partial_rotary_factor": 0.5}),
    "falcon 3": ("llama", {"head_dim": 16, "rope_theta": 1_000_042, "num_key_value_heads": 1}),
    "cohere": ("cohere", {"logit_scale": 0.3, "rope_theta": 5e2}),
    "cohere2": (
        "cohere2",
        {
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "logit_scale": 0.3,
            "rope_theta": 5e2,
        },
    ),
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "head_dim": 16}
CASES["qwen3 experts"] = ("qwen3_moe", EXPERTS)
CASES["qwen3 experts to 1"] = ("qwen3_moe", {**EXPERTS, "norm_topk_prob": True})
CASES["mixtral"] = ("mixtral", {"num_local_experts": 4, "sliding_window": 5, "head_dim": 16})
CASES["olmoe"] = ("olmoe", {"num_experts": 4, "num_experts_per_tok": 2})
CASES["ernie 4.5"] = ("ernie4_5", {"head_dim": 16, "rope_theta": 5e2})
SEED = {"head_dim": 16, "attention_dropout": 0.0}
CASES["seed-oss"] = ("seed_oss", SEED)
CASES["seed-oss with biases"] = ("seed_oss", {**SEED, "attention_out_bias": True, "mlp_bias": True})
CASES["granite 4"] = (
    "granitemoehybrid",
    {
        **CASES["granite"][1],
        "shared_intermediate_size": 40,
        "attention_bias": True,
        "num_local_experts": 0,
        "position_embedding_type": "rope",
        "layer_types": ["full_attention"] * 3,
        "hidden_size": 64,  # twice this has to be a multiple of the default of mamba_n_heads
    },
)
CASES["apertus"] = ("apertus", {"rope_parameters": LLAMA3, "attention_bias": True})
# Of which transformers has no classifier.
POLICIES = {"apertus", "granite", "granite 4", "cohere", "cohere2", "ernie 4.5", "olmoe"}
BY_LENGTH = {"phi3 longrope", "llama dynamic"}
# Of which transformers reads a text that is padded on the left as one that begins later.
BY_PLACE = {"ministral3"}
every_case = pytest.mark.parametrize("case", CASES)


def peer_config(case="qwen2", **changes):
    model_type, special = CASES[case]
    fields = {
        "vocab_size": 96,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "num_labels": 1,
    }
    # transformers puts defaults into the objects that it is given.
    return transformers.AutoConfig.for_model(
        model_type, **copy.deepcopy({**fields, **special, **changes})
    )


def peer(kind, case="qwen2", seed=0, **changes):
    """A model whose every tensor is random: biases and norms too."""
    torch.manual_seed(seed)
    config = peer_config(case, **changes)
    # The only form of attention that knows soft caps.
    model = kind.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (parameter.ndim == 1) * 0.5)
    return model


CLASSIFIER = transformers.AutoModelForSequenceClassification
CAUSAL = transformers.AutoModelForCausalLM


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


def row_of(forest, length=64):
    """Tries side by side in one row: tokens, positions, reach, leaf_end [1, ...]."""
    row = {name: np.zeros((1, length), np.int32) for name in ("tokens", "positions", "reach")}
    ends, at = [], 0
    for trie in forest:
        for name, values in row.items():
            part = getattr(trie, name) + at * (name == "reach")
            values[0, at : at + len(trie)] = part
        ends.extend(trie.leaf_end + at)
        at += len(trie)
    return *map(jnp.asarray, row.values()), jnp.asarray([ends])


def packed(rows, length=64):
    """All texts side by side in one row."""
    return row_of([tries.build([tries.TokenPath(text, 1)]) for text in rows], length)


def one_a_row(rows):
    """Each text in its own row, padded on the right."""
    parts = [packed([row], max(map(len, rows))) for row in rows]
    return [jnp.concatenate(column) for column in zip(*parts, strict=True)]


def parameters(config, head):
    return random_like(head.abstract_params(config), 0.3)


def load(folder, head):
    config = hub.load_config(folder)
    return config, hub.load_params(folder, config, head=head, seed=0)


def scores(config, params, *arrays):
    *row, leaf_end = arrays
    return jax.jit(functools.partial(heads.rewards, config))(params, Row(*row), leaf_end)


def logits(config, params, *row):
    return np.asarray(jax.jit(functools.partial(heads.logits, config))(params, Row(*row)))


def logits_alone(model, text):
    with torch.no_grad():
        return model(input_ids=torch.tensor(np.asarray(text)[None])).logits[0].numpy()


def sample_trie():
    """Leaves that share a prompt longer than the window, or nothing."""
    rng = np.random.default_rng(3)
    prompt, other = rng.integers(2, 96, 11), rng.integers(2, 96, 4)
    paths = [
        np.concatenate([prompt, rng.integers(2, 96, 9)]),
        np.concatenate([prompt, rng.integers(2, 96, 3)]),
        np.concatenate([prompt[:6], rng.integers(2, 96, 8)]),
        other,
    ]
    return [path.astype(np.int32) for path in paths]


@every_case
def test_logits_are_those_of_transformers_alone_padded_packed_and_in_a_trie(tmp_path, case):
    model = peer(CAUSAL, case)
    model.save_pretrained(tmp_path)
    config, params = load(tmp_path, head=False)

    trie = tries.build([tries.TokenPath(path, 1) for path in sample_trie()])
    rows = [packed([text]) for text in texts()] + [packed(texts()), row_of([trie])]
    columns = list(zip(*rows, strict=True))[:3]
    found = logits(config, params, *map(jnp.concatenate, columns))

    at = 0
    for i, text in enumerate(texts()):
        expected = logits_alone(model, text)
        np.testing.assert_allclose(found[i, : len(text)], expected, atol=1e-4)
        np.testing.assert_allclose(found[-2, at : at + len(text)], expected, atol=1e-4)
        at += len(text)

    for path, end in zip(sample_trie(), trie.leaf_end, strict=True):
        if case in BY_LENGTH and len(path) <= 16:
            continue  # turned as the longest leaf is
        nodes = np.arange(len(trie))
        nodes = nodes[(nodes <= end) & (end < trie.reach)]
        np.testing.assert_allclose(found[-1, nodes], logits_alone(model, path), atol=1e-4)


@pytest.mark.parametrize(
    ("case", "off"),
    [
        ("llama linear", {"rope_scaling": None}),
        ("llama 3", {"rope_scaling": None}),
        ("mistral", {"window": None, "sliding": ()}),
        ("qwen2 with windows", {"sliding": (True, True, True)}),
        ("gemma2", {"attention_softcap": None}),
        ("gemma2", {"logit_softcap": None}),
        ("gemma2", {"query_scalar": None}),
        ("gemma2", {"sliding": (False, True, False)}),
        ("gemma3", {"rope_scaling": None}),
        ("gemma3", {"local_rope_theta": None}),
        ("gemma", {"activation": "silu"}),
        ("cohere2", {"unrotated": ()}),
        ("qwen3 experts to 1", {"expert_weights_to_one": False}),
        ("qwen3 experts", {"experts_per_token": 1}),
        ("cohere2", {"norm_centered": False}),
        ("mixtral", {"expert_weights_to_one": False}),
        ("mixtral", {"window": None, "sliding": ()}),
        ("ernie 4.5", {"rotary_pairs": "halves"}),
        ("granite 4", {"residual_multiplier": 1.0}),
    ],
)
def test_the_special_features_of_these_models_matter_to_their_logits(tmp_path, case, off):
    peer(CAUSAL, case).save_pretrained(tmp_path)
    config, params = load(tmp_path, head=False)
    row = packed(texts())[:3]
    without = logits(dataclasses.replace(config, **off), params, *row)
    assert np.abs(logits(config, params, *row) - without).max() > 1e-2


@pytest.mark.parametrize("case", sorted(set(CASES) - POLICIES))
def test_scores_are_those_of_transformers_alone_padded_and_packed(tmp_path, case):
    model = peer(CLASSIFIER, case)
    model.save_pretrained(tmp_path)
    config, params = load(tmp_path, head=True)
    packed_scores = scores(config, params, *packed(texts()))[0]
    if case in BY_LENGTH:  # where transformers turns every text as the longest beside it
        with torch.no_grad():
            alone = [model(input_ids=torch.tensor(x[None])).logits[0, 0] for x in texts()]
        np.testing.assert_allclose(packed_scores, np.asarray(alone), atol=1e-4)
        return
    padded_scores = scores(config, params, *one_a_row(texts()))[:, 0]
    for side in ("right",) if case in BY_PLACE else ("right", "left"):
        ids, mask = padded(texts(), side)
        with torch.no_grad():
            expected = model(input_ids=ids, attention_mask=mask).logits[:, 0].numpy()
        np.testing.assert_allclose(packed_scores, expected, atol=1e-4)
        np.testing.assert_allclose(padded_scores, expected, atol=1e-4)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("shards", [False, True])
def test_tied_or_not_in_one_file_or_in_shards(tmp_path, tie, shards):
    model = peer(CAUSAL, tie_word_embeddings=tie)
    model.save_pretrained(tmp_path, max_shard_size="20KB" if shards else "1GB")
    assert (tmp_path / "model.safetensors.index.json").exists() == shards
    config, params = load(tmp_path, head=False)
    assert config.tie_embeddings == tie
    text = texts()[2]
    found = logits(config, params, *one_a_row([text])[:3])[0]
    np.testing.assert_allclose(found, logits_alone(model, text), atol=1e-4)


def test_a_checkpoint_in_bf16_scores_as_its_rounded_weights_do(tmp_path):
    model = peer(CLASSIFIER).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    ids, mask = padded(texts())
    with torch.no_grad():
        expected = model.float()(input_ids=ids, attention_mask=mask).logits[:, 0].numpy()
    config, params = load(tmp_path, head=True)
    np.testing.assert_allclose(scores(config, params, *packed(texts()))[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    "case",
    ["qwen2", "gemma2", "gemma3", "olmo2", "cohere2", "qwen3 experts", "apertus", "granite 4"],
)
def test_gradients_are_those_of_torch(tmp_path, case):
    model = peer(CAUSAL if case in POLICIES else CLASSIFIER, case)
    model.save_pretrained(tmp_path / "in")
    ids, mask = padded(texts())
    at = mask.bool() if case in POLICIES else (slice(None), 0)
    model(input_ids=ids, attention_mask=mask).logits[at].sin().sum().backward()
    config, params = load(tmp_path / "in", head=case not in POLICIES)

    def total(params):
        if case not in POLICIES:
            return jnp.sum(jnp.sin(scores(config, params, *packed(texts()))))
        row = Row(*packed(texts())[:3])
        every = heads.logits(config, params, row)[0, : sum(LENGTHS)]
        return jnp.sum(jnp.sin(every))

    # Gradients have the forms of parameters, so folders of them have the same names.
    saving.save_params(tmp_path / "slopes", config, jax.jit(jax.grad(total))(params))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.grad)
    model.save_pretrained(tmp_path / "expected")
    found, slopes = (load_file(tmp_path / x / "model.safetensors") for x in ("slopes", "expected"))
    assert found.keys() == slopes.keys()
    for name, expected in slopes.items():
        scale = max(np.abs(expected).max(), 1.0)
        np.testing.assert_allclose(found[name] / scale, expected / scale, atol=1e-4, err_msg=name)


def bits(folder):
    """Every tensor of a folder as bytes, with type and shape."""
    return {
        name: (tensor.dtype, tensor.shape, tensor.tobytes())
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


@pytest.mark.parametrize(
    ("case", "kind", "dtype"),
    [(case, CLASSIFIER, "bfloat16") for case in sorted(set(CASES) - POLICIES)]
    + [(case, CAUSAL, "float32") for case in sorted(CASES)],
)
def test_what_comes_in_goes_out_bit_for_bit(tmp_path, case, kind, dtype):
    model = peer(kind, case).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "in", max_shard_size="20KB")
    config, params = load(tmp_path / "in", head=kind is CLASSIFIER)
    saving.save_params(tmp_path / "out", config, params, dtype=dtype, max_shard_bytes=30_000)
    assert bits(tmp_path / "in") == bits(tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()
    old, new = (transformers.AutoConfig.from_pretrained(tmp_path / name) for name in ("in", "out"))
    assert new.num_labels == 1 or kind is CAUSAL
    # Of no model's concern: where it came from, and whether a head's loss would be that of a class.
    unlike = {"_name_or_path", "problem_type", "id2label", "label2id"}
    # A pattern is written as the list of layers that it stands for.
    unlike |= {"sliding_window_pattern", "_sliding_window_pattern"}
    if config.experts or config.family == "granitemoehybrid":
        unlike |= {"intermediate_size"}  # of layers without experts, or with; there are none
    differ = {k: v for k, v in old.to_dict().items() if new.to_dict().get(k) != v}
    assert not set(differ) - unlike

    text = torch.tensor(texts()[2][None])
    with torch.no_grad():
        before, after = (
            kind.from_pretrained(tmp_path / name, attn_implementation="eager")(input_ids=text)
            for name in ("in", "out")
        )
    assert before.logits.dtype == after.logits.dtype == getattr(torch, dtype)
    # The same weights; torch sums in another order where they lie otherwise in memory.
    tolerance = {"float32": 1e-5, "bfloat16": 0.05}[dtype]
    np.testing.assert_allclose(before.logits.float(), after.logits.float(), atol=tolerance)


def test_an_exported_reward_model_opens_in_transformers(tmp_path):
    config = DecoderConfig(96, 32, 2, 4, 2, 8, 48, pad_token=PAD, eos_tokens=(1,))
    params = parameters(config, ScoreHead())
    saving.save_params(tmp_path / "model", config, params)
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
    params = parameters(config, LogpHead())
    saving.save_params(tmp_path / "model", config, params)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    ids, _ = padded(texts()[2:3])
    with torch.no_grad():
        found = model.eval()(input_ids=ids).logits.numpy()
    expected = logits(config, params, *one_a_row(texts()[2:3])[:3])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", [CAUSAL, CLASSIFIER])
def test_the_text_part_of_gemma_3_is_read_and_comes_out_as_a_model_of_text(tmp_path, kind, older):
    text = peer_config("gemma3").to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 8, "patch_size": 4}
    whole = transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=95
    )
    whole.num_labels, whole.pad_token_id, whole.eos_token_id = 1, PAD, [1, 7]
    name = "ForConditionalGeneration" if kind is CAUSAL else "ForSequenceClassification"
    torch.manual_seed(0)
    model = getattr(transformers, f"Gemma3{name}")._from_config(whole, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    model.eval().save_pretrained(tmp_path / "in")
    if older:  # as the published folders name their tensors
        path = tmp_path / "in" / "model.safetensors"
        renamed = {
            name.replace("model.language_model.", "language_model.model.")
            .replace("model.vision_tower.", "vision_tower.")
            .replace("model.multi_modal", "multi_modal"): tensor
            for name, tensor in load_file(path).items()
        }
        save_file(renamed, path, metadata={"format": "pt"})
    head = kind is CLASSIFIER
    assert hub.is_reward_model(tmp_path / "in") == head
    config, params = load(tmp_path / "in", head=head)
    assert config.eos_tokens[:2] == (1, 7)
    saving.save_params(tmp_path / "out", config, params)
    opened = kind.from_pretrained(tmp_path / "out", attn_implementation="eager").eval()
    assert opened.config.model_type == "gemma3_text"
    for text in texts():
        ids = torch.tensor(text[None])
        with torch.no_grad():
            expected, after = (x(input_ids=ids).logits[0].numpy() for x in (model, opened))
        np.testing.assert_allclose(after, expected, atol=1e-4)
        if head:
            found = scores(config, params, *one_a_row([text]))[0]
        else:
            found = logits(config, params, *one_a_row([text])[:3])[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_numbers_of_an_activation_that_are_not_those_of_all_models_are_refused(tmp_path):
    peer(CAUSAL, "apertus").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    name = "model.layers.1.mlp.act_fn.beta"
    save_file(
        {**load_file(path), name: np.asarray(0.7, np.float32)}, path, metadata={"format": "pt"}
    )
    with pytest.raises(hub.UserError, match=r"layers\.1\.mlp\.act_fn\.beta is 0\.7; only 0\.5 is"):
        load(tmp_path, head=False)


def test_a_classifier_with_two_labels_is_refused(tmp_path):
    peer(CLASSIFIER, num_labels=2).save_pretrained(tmp_path)
    with pytest.raises(hub.UserError, match=r"score\.weight has shape \(2, 32\)"):
        load(tmp_path, head=True)


OLDER = {
    "llama 3": {"rope_theta": 5e2, "rope_scaling": {**LLAMA3, "rope_theta": None}},
    "qwen2": {"rope_theta": 5e4, "sliding_window": 4096, "rope_scaling": None},
    "gemma3": {
        "rope_theta": 5e4,
        "rope_local_base_freq": 1e3,
        "rope_scaling": {"type": "linear", "factor": 4.0},
        "sliding_window_pattern": 2,
    },
}


@pytest.mark.parametrize("case", OLDER)
def test_the_config_written_by_transformers_4_is_read(tmp_path, case):
    peer(CLASSIFIER, case).save_pretrained(tmp_path)
    expected = hub.load_config(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    for key in ("rope_parameters", "layer_types"):
        content.pop(key, None)
    content |= {"torch_dtype": content.pop("dtype"), **OLDER[case]}
    if content["rope_scaling"]:
        content["rope_scaling"].pop("rope_theta", None)
    path.write_text(json.dumps(content))
    assert hub.load_config(tmp_path) == expected
