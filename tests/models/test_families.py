"""Tables of families: published configs mean the models that they are, and come back."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers

from mapl_jax.kernels.rows import Row
from mapl_jax.models import axes, decoder, families, hf_config, hub, saving
from mapl_jax.models.config import EXPERT_MATRICES, DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.models.rope import (
    RopeScaling,
    Rotary,
    frequencies,
    rotary_angles,
    rotate,
    text_lengths,
)
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import sharding

from support import random_like

every_family = pytest.mark.parametrize("family", families.FAMILIES)
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}


def raw(model_type, vocab, width, layers, heads, kv_heads, mlp_width, **others):
    return {
        "model_type": model_type,
        "vocab_size": vocab,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": mlp_width,
    } | others


# What the config.json of a published model says, and the number of its parameters.
PUBLISHED = {
    "Llama-3.1-8B": (
        raw("llama", 128256, 4096, 32, 32, 8, 14336, rope_theta=5e5, rope_scaling=LLAMA3),
        8_030_261_248,
    ),
    "SmolLM2-135M": (
        raw("llama", 49152, 576, 30, 9, 3, 1536, rope_theta=1e5, tie_word_embeddings=True),
        134_515_008,
    ),
    "Mistral-7B-v0.1": (
        raw("mistral", 32000, 4096, 32, 32, 8, 14336, sliding_window=4096),
        7_241_732_096,
    ),
    "Qwen2.5-0.5B": (
        raw(
            "qwen2",
            151936,
            896,
            24,
            14,
            2,
            4864,
            rope_theta=1e6,
            tie_word_embeddings=True,
            use_sliding_window=False,
            sliding_window=32768,
            max_window_layers=24,
        ),
        494_032_768,
    ),
    "Qwen2.5-7B": (raw("qwen2", 152064, 3584, 28, 28, 4, 18944, rope_theta=1e6), 7_615_616_512),
    "Qwen3-8B": (
        raw("qwen3", 151936, 4096, 36, 32, 8, 12288, head_dim=128, rope_theta=1e6),
        8_190_735_360,
    ),
    "Qwen3-30B-A3B": (
        raw(
            "qwen3_moe",
            151936,
            2048,
            48,
            32,
            4,
            6144,
            head_dim=128,
            rope_theta=1e6,
            decoder_sparse_step=1,
            mlp_only_layers=[],
            moe_intermediate_size=768,
            norm_topk_prob=True,
            num_experts=128,
            num_experts_per_tok=8,
            output_router_logits=False,
            router_aux_loss_coef=0.001,
            max_window_layers=48,
            use_sliding_window=False,
        ),
        30_532_122_624,
    ),
    "gemma-2b": (
        raw("gemma", 256000, 2048, 18, 8, 1, 16384, head_dim=256, hidden_act="gelu"),
        2_506_172_416,
    ),
    "gemma-2-2b": (
        raw(
            "gemma2",
            256000,
            2304,
            26,
            8,
            4,
            9216,
            head_dim=256,
            hidden_act="gelu_pytorch_tanh",
            hidden_activation="gelu_pytorch_tanh",
            query_pre_attn_scalar=256,
            attn_logit_softcapping=50.0,
            final_logit_softcapping=30.0,
            sliding_window=4096,
        ),
        2_614_341_888,
    ),
    "gemma-3-1b": (
        raw(
            "gemma3_text",
            262144,
            1152,
            26,
            4,
            1,
            6912,
            head_dim=256,
            hidden_activation="gelu_pytorch_tanh",
            query_pre_attn_scalar=256,
            attn_logit_softcapping=None,
            rope_theta=1_000_000,
            rope_local_base_freq=10_000,
            rope_scaling=None,
            sliding_window=512,
            sliding_window_pattern=6,
        ),
        999_885_952,
    ),
    "gemma-3-270m": (
        raw(
            "gemma3_text",
            262144,
            640,
            18,
            4,
            1,
            2048,
            head_dim=256,
            hidden_activation="gelu_pytorch_tanh",
            query_pre_attn_scalar=256,
            use_bidirectional_attention=False,
            rope_theta=1_000_000.0,
            rope_local_base_freq=10_000.0,
            rope_scaling=None,
            sliding_window=512,
            _sliding_window_pattern=6,
            layer_types=([families.SLIDING] * 5 + [families.FULL]) * 3,
        ),
        268_098_176,
    ),
    # Of images and text; what is not there is as in all of the family.
    "gemma-3-4b": (
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 2560,
                "intermediate_size": 10240,
                "num_hidden_layers": 34,
                "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                "sliding_window": 1024,
            },
            "vision_config": {"model_type": "siglip_vision_model"},
        },
        3_880_263_168,
    ),
    "Mistral-Small-3.1-24B": (
        {
            "model_type": "mistral3",
            "text_config": raw(
                "mistral", 131072, 5120, 40, 32, 8, 32768, head_dim=128, sliding_window=None
            ),
            "vision_config": {"model_type": "pixtral"},
        },
        23_572_403_200,
    ),
    "Falcon3-1B": (
        raw(
            "llama",
            131072,
            2048,
            18,
            8,
            4,
            8192,
            head_dim=256,
            activation="swiglu",
            rope_theta=1_000_042,
            attention_bias=False,
            mlp_bias=False,
        ),
        1_669_408_768,
    ),
    "Apertus-8B": (
        raw(
            "apertus",
            131072,
            4096,
            32,
            32,
            8,
            21504,
            hidden_act="xielu",
            rope_theta=12_000_000,
            rope_scaling=LLAMA3,
            max_position_embeddings=65536,
        ),
        8_053_338_176,
    ),
    "c4ai-command-r7b": (
        raw(
            "cohere2",
            256000,
            4096,
            32,
            32,
            8,
            14336,
            head_dim=128,
            layer_norm_eps=1e-5,
            logit_scale=0.25,
            order_of_interleaved_layers="local_attn_first",
            position_embedding_type="rope_gptj",
            rope_theta=50_000,
            rotary_pct=1.0,
            sliding_window=4096,
            sliding_window_pattern=4,
            use_parallel_block=True,
        ),
        8_028_033_024,
    ),
    "aya-23-8B": (
        raw("cohere", 256000, 4096, 32, 32, 8, 14336, logit_scale=0.0625, use_qk_norm=False),
        8_028_033_024,
    ),
    "OLMo-2-1124-7B": (
        raw("olmo2", 100352, 4096, 32, 32, 32, 11008, rope_theta=5e5, rms_norm_eps=1e-6),
        7_298_617_344,
    ),
    "Phi-3-mini-4k": (
        raw("phi3", 32064, 3072, 32, 32, 32, 8192, rope_scaling=None, sliding_window=2047),
        3_821_079_552,
    ),
    "Phi-4-mini": (
        raw(
            "phi3",
            200064,
            3072,
            32,
            24,
            8,
            8192,
            tie_word_embeddings=True,
            partial_rotary_factor=0.75,
            max_position_embeddings=131072,
            original_max_position_embeddings=4096,
            rope_scaling={
                "type": "longrope",
                "short_factor": [1.0] * 48,
                "long_factor": [float(i) for i in range(1, 49)],
            },
            sliding_window=262144,
        ),
        3_836_021_760,
    ),
    "SmolLM3-3B": (
        raw("smollm3", 128256, 2048, 36, 16, 4, 11008, rope_theta=5e6, tie_word_embeddings=True),
        3_075_098_624,
    ),
    "OLMo-3-1025-7B": (
        raw(
            "olmo3",
            100278,
            4096,
            32,
            32,
            32,
            11008,
            rope_theta=5e5,
            sliding_window=4096,
            max_position_embeddings=65536,
            rope_scaling={
                "rope_type": "yarn",
                "factor": 8.0,
                "original_max_position_embeddings": 8192,
                "attention_factor": 1.2079441541679836,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
            },
        ),
        7_298_011_136,
    ),
    "EXAONE-4.0-1.2B": (
        raw(
            "exaone4",
            102400,
            2048,
            30,
            32,
            8,
            4096,
            head_dim=64,
            rope_theta=1e6,
            tie_word_embeddings=True,
            sliding_window=None,
            sliding_window_pattern=None,
        ),
        1_279_391_488,
    ),
    "glm-4-9b-chat-hf": (
        raw("glm", 151552, 4096, 40, 32, 2, 13696, attention_bias=True, head_dim=128),
        9_399_951_360,
    ),
    "Ministral-3-8B-2512": (
        {
            "model_type": "mistral3",
            "text_config": raw(
                "ministral3",
                131072,
                4096,
                34,
                32,
                8,
                14336,
                head_dim=128,
                rope_parameters={
                    "rope_type": "yarn",
                    "type": "yarn",
                    "rope_theta": 1e6,
                    "factor": 16.0,
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                    "mscale": 1.0,
                    "mscale_all_dim": 1.0,
                    "llama_4_scaling_beta": 0.1,
                    "original_max_position_embeddings": 16384,
                },
                sliding_window=None,
            ),
            "vision_config": {"model_type": "pixtral"},
        },
        8_489_553_920,
    ),
    "GLM-4-9B-0414": (
        raw("glm4", 151552, 4096, 40, 32, 2, 13696, attention_bias=True, head_dim=128),
        9_400_279_040,
    ),
    "Mixtral-8x7B-v0.1": (
        raw(
            "mixtral",
            32000,
            4096,
            32,
            32,
            8,
            14336,
            rope_theta=1e6,
            num_local_experts=8,
            num_experts_per_tok=2,
            output_router_logits=False,
            sliding_window=None,
        ),
        46_702_792_704,
    ),
    "OLMoE-1B-7B-0924": (
        raw(
            "olmoe",
            50304,
            2048,
            16,
            16,
            16,
            1024,
            clip_qkv=None,
            num_experts=64,
            num_experts_per_tok=8,
            norm_topk_prob=False,
            output_router_logits=False,
        ),
        6_919_161_856,
    ),
    "ERNIE-4.5-0.3B-PT": (
        raw(
            "ernie4_5",
            103424,
            1024,
            18,
            16,
            2,
            3072,
            head_dim=128,
            rope_theta=500000.0,
            tie_word_embeddings=True,
            use_bias=False,
        ),
        360_748_032,
    ),
    "Seed-OSS-36B": (
        raw(
            "seed_oss",
            155136,
            5120,
            64,
            80,
            8,
            27648,
            head_dim=128,
            attention_bias=True,
            attention_out_bias=False,
            mlp_bias=False,
            rope_theta=1e7,
            rope_scaling={"rope_type": "default"},
        ),
        36_151_104_512,
    ),
    "granite-4.0-micro": (
        raw(
            "granitemoehybrid",
            100352,
            2560,
            40,
            40,
            8,
            8192,
            shared_intermediate_size=8192,
            rope_theta=1e7,
            tie_word_embeddings=True,
            embedding_multiplier=12,
            residual_multiplier=0.22,
            attention_multiplier=0.015625,
            logits_scaling=10,
            num_local_experts=0,
            num_experts_per_tok=0,
            position_embedding_type="rope",
            layer_types=["attention"] * 40,
        ),
        3_402_836_480,
    ),
    "granite-3.3-2b": (
        raw(
            "granite",
            49159,
            2048,
            40,
            32,
            8,
            8192,
            rope_theta=1e7,
            tie_word_embeddings=True,
            embedding_multiplier=12.0,
            residual_multiplier=0.22,
            attention_multiplier=0.015625,
            logits_scaling=8.0,
        ),
        2_533_539_840,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_the_parameters_that_they_have(name):
    content, expected = PUBLISHED[name]
    config = hf_config.from_hf(content, name)
    shapes = jax.tree.leaves(LogpHead().abstract_params(config))
    assert sum(leaf.size for leaf in shapes) == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_config_that_goes_out_comes_back(name):
    config = hf_config.from_hf(PUBLISHED[name][0], name)
    out = hf_config.to_hf(config)
    assert hf_config.from_hf(out, name) == config
    assert hf_config.to_hf(hf_config.from_hf(out, name)) == out
    # A reader of transformers 4 knows no rope_parameters, one of transformers 5 needs no others.
    old = {key: value for key, value in out.items() if key != "rope_parameters"}
    new = {k: v for k, v in out.items() if k not in ("rope_theta", "rope_scaling")}
    assert hf_config.from_hf(old, name) == hf_config.from_hf(new, name) == config


def config_of(name, **changes):
    return hf_config.from_hf({**PUBLISHED[name][0], **changes}, name)


@every_family
def test_what_a_file_leaves_out_is_as_in_transformers(family):
    needs = {key: values[0] for key, values in families.get(family).needed.items()}
    if needs:
        needs["layer_types"] = ["full_attention"] * 32
    whole = transformers.AutoConfig.for_model(family, **needs).to_dict()
    # An older name of transformers' own.
    whole["num_experts"] = whole.get("num_experts", whole.get("num_local_experts")) or None
    needed = ("model_type", *needs, *families.get(family).fields)
    defaults = families.get(family).defaults
    short = {key: whole.get(key) for key in needed if key not in defaults or "num_" in key}
    found, expected = (
        dataclasses.replace(
            hf_config.from_hf(raw, family), pad_token=None, bos_token=None, eos_tokens=()
        )
        for raw in (short, whole)
    )
    assert found == expected


def test_windows_are_where_each_family_has_them():
    assert config_of("Llama-3.1-8B").window is None
    assert config_of("Mistral-7B-v0.1").sliding == (True,) * 32
    assert config_of("Mistral-7B-v0.1", sliding_window=None).sliding == ()
    assert config_of("Phi-3-mini-4k").window == 2047
    assert config_of("Qwen2.5-0.5B").window is None
    later = config_of("Qwen2.5-0.5B", use_sliding_window=True, max_window_layers=20)
    assert later.sliding == (False,) * 20 + (True,) * 4
    assert config_of("gemma-2-2b").sliding == (True, False) * 13
    assert config_of("c4ai-command-r7b").sliding == (True, True, True, False) * 8
    assert config_of("c4ai-command-r7b").unrotated == (False, False, False, True) * 8
    full = {"sliding_window": None, "layer_types": ["full_attention"] * 32}
    assert config_of("c4ai-command-r7b", **full).unrotated == (True,) * 32
    assert config_of("gemma-3-1b").sliding == ((True,) * 5 + (False,)) * 4 + (True, True)
    listed = ["full_attention", "sliding_attention"] * 13
    assert config_of("gemma-3-1b", layer_types=listed).sliding == (False, True) * 13


def test_the_text_part_of_a_model_of_images_is_read_as_a_model_of_text():
    config = config_of("gemma-3-4b", eos_token_id=[1, 106])
    assert config.family == "gemma3_text" and config.eos_tokens == (1, 106)
    assert config.rope_scaling == RopeScaling("linear", 8.0) and config.window == 1024
    assert hf_config.to_hf(config)["model_type"] == "gemma3_text"
    assert config_of("Mistral-Small-3.1-24B").family == "mistral"
    assert config_of("Ministral-3-8B-2512").family == "ministral3"


def test_rotary_angles_are_what_each_family_has():
    assert config_of("Llama-3.1-8B").rope_scaling == RopeScaling("llama3", 8.0, 1.0, 4.0, 8192)
    apertus = config_of("Apertus-8B")
    assert apertus == config_of("Apertus-8B", rope_scaling=None, rope_theta=12_000_000.0)
    gemma = config_of("gemma-3-1b", rope_scaling={"rope_type": "linear", "factor": 8.0})
    assert gemma.rope_theta == 1e6 and gemma.local_rope_theta == 1e4
    assert gemma.rope_scaling == RopeScaling("linear", 8.0)


def test_linear_scaling_divides_and_llama3_divides_only_the_slow_ones():
    plain = frequencies(64, 5e5)
    np.testing.assert_allclose(frequencies(64, 5e5, RopeScaling("linear", 4.0)), plain / 4)
    scaled = frequencies(64, 5e5, RopeScaling("llama3", 8.0, 1.0, 4.0, 8192))
    turns = 8192 * np.asarray(plain) / (2 * np.pi)
    np.testing.assert_allclose(scaled[turns > 4], plain[turns > 4], rtol=1e-6)
    np.testing.assert_allclose(scaled[turns < 1], plain[turns < 1] / 8, rtol=1e-6)
    between = (turns > 1) & (turns < 4)
    assert between.any()
    assert (scaled[between] < plain[between]).all() and (scaled[between] > plain[between] / 8).all()


def test_yarn_leaves_the_fast_ones_divides_the_slow_ones_and_passes_between():
    plain = np.asarray(frequencies(64, 1e4))
    scaling = RopeScaling("yarn", 4.0, low=1.0, high=32.0, positions=4096)
    scaled = np.asarray(frequencies(64, 1e4, scaling))
    turns = 4096 * plain / (2 * np.pi)
    np.testing.assert_allclose(scaled[turns > 40], plain[turns > 40], rtol=1e-6)
    np.testing.assert_allclose(scaled[turns < 0.8], plain[turns < 0.8] / 4, rtol=1e-6)
    assert (np.diff(scaled) < 0).all()


def test_dynamic_and_longrope_change_at_the_longest_text_before():
    plain = np.asarray(frequencies(8, 1e4))
    lengths = np.asarray([[16, 17]])[..., None, None]
    dynamic = np.asarray(frequencies(8, 1e4, RopeScaling("dynamic", 2.0, positions=16), lengths))
    np.testing.assert_allclose(dynamic[0, 0, 0], plain, rtol=1e-6)
    base = 1e4 * (2 * 17 / 16 - 1) ** (8 / 6)
    np.testing.assert_allclose(dynamic[0, 1, 0], base ** (-np.arange(0, 8, 2) / 8), rtol=1e-5)
    factors = RopeScaling("longrope", short=(1, 1, 2, 2), long=(2, 4, 8, 16), positions=16)
    found = np.asarray(frequencies(8, 1e4, factors, lengths))
    np.testing.assert_allclose(found[0, 0, 0], plain / [1, 1, 2, 2], rtol=1e-6)
    np.testing.assert_allclose(found[0, 1, 0], plain / [2, 4, 8, 16], rtol=1e-6)


def test_an_older_file_of_yarn_says_what_its_attention_factor_is_computed_from():
    def factor(**changes):
        entry = {"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4096, **changes}
        return config_of("Qwen2.5-7B", rope_scaling=entry).rope_scaling.attention_factor

    def scale(times):
        return 0.1 * times * np.log(8.0) + 1.0

    assert factor() == pytest.approx(scale(1.0))
    assert factor(mscale=0.7, mscale_all_dim=1.3) == pytest.approx(scale(0.7) / scale(1.3))
    assert factor(mscale=0.7, mscale_all_dim=1.3, attention_factor=2.0) == 2.0


def test_queries_of_ministral_3_grow_behind_the_longest_text_before():
    scaling = config_of("Ministral-3-8B-2512").rope_scaling
    assert scaling.growth == 0.1 and scaling.attention_factor == 1.0
    positions = np.asarray([[0, 16383, 16384, 40000]])
    rotary = rotary_angles(positions, 8, 1e6, scaling)
    grown = 1 + 0.1 * np.log([1.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(np.asarray(rotary.growth)[0, :, 0, 0], grown, rtol=1e-6)
    x = np.ones((1, 4, 1, 8), np.float32)
    keys, queries = (np.asarray(rotate(x, rotary, queries=queries)) for queries in (False, True))
    np.testing.assert_allclose(queries, keys * grown[:, None, None], rtol=1e-5)


def test_a_text_is_as_long_as_its_trie_is_deep():
    positions = np.asarray([[0, 1, 2, 3, 2, 0, 1, 0, 0, 0]])
    assert text_lengths(positions).tolist() == [[4, 4, 4, 4, 4, 2, 2, 1, 1, 1]]


def test_what_turns_is_turned_in_pairs_and_the_rest_stays():
    x = np.arange(8, dtype=np.float32).reshape(1, 1, 1, 8)
    rotary = Rotary(np.zeros((1, 1, 1, 2)), np.ones((1, 1, 1, 2)))
    halves = np.asarray(rotate(x, rotary))[0, 0, 0]
    assert halves.tolist() == [-2, -3, 0, 1, 4, 5, 6, 7]
    neighbours = np.asarray(rotate(x, rotary, neighbours=True))[0, 0, 0]
    assert neighbours.tolist() == [-1, 0, -3, 2, 4, 5, 6, 7]


def test_a_family_without_a_reward_model_in_transformers_says_so():
    with pytest.raises(UserError, match="no reward model of the family Granite"):
        families.get("granite").architecture(head=True)
    assert families.get("granite").architecture(head=False) == "GraniteForCausalLM"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        # Kinds of model.
        ("Mistral-7B-v0.1", {"model_type": "gpt_oss"}, "model_type 'gpt_oss' is not supported"),
        ("ERNIE-4.5-0.3B-PT", {"use_bias": True}, "use_bias = True is not supported"),
        ("OLMoE-1B-7B-0924", {"clip_qkv": 8.0}, "clip_qkv = 8.0 is not supported for olmoe"),
        ("granite-4.0-micro", {"num_local_experts": 62}, "num_local_experts = 62"),
        ("granite-4.0-micro", {"num_local_experts": None}, "num_local_experts must be 0 for"),
        ("granite-4.0-micro", {"position_embedding_type": None}, "must be 'rope' for granitemoeh"),
        ("granite-4.0-micro", {"layer_types": None}, "the key layer_types is missing"),
        ("granite-4.0-micro", {"layer_types": ["mamba"] * 40}, "layer_types with 'mamba'"),
        ("Qwen3-30B-A3B", {"mlp_only_layers": [0]}, r"mlp_only_layers = \[0\] is not supported"),
        ("Qwen3-30B-A3B", {"decoder_sparse_step": 2}, "decoder_sparse_step = 2"),
        ("Qwen3-30B-A3B", {"output_router_logits": True}, "output_router_logits = True"),
        ("Qwen3-30B-A3B", {"num_experts": None}, "num_experts must be a positive integer"),
        ("Qwen3-30B-A3B", {"num_experts": 10**6}, "num_experts is 1000000; no model has so many"),
        ("Qwen3-30B-A3B", {"num_experts_per_tok": 129}, "experts_per_token .129. must be at least"),
        ("gemma-3-1b", {"model_type": "gemma3"}, "model_type 'gemma3' is not supported; choose"),
        (
            "gemma-3-4b",
            {"text_config": {"model_type": "gemma3n_text"}},
            "model_type 'gemma3' is not supported",
        ),
        ("gemma-3-4b", {"quantization_config": {"bits": 4}}, "quantization_config = {'bits': 4}"),
        ("gemma-3-4b", {"text_config": {"hidden_size": 8}}, "the key num_hidden_layers is missing"),
        ("aya-23-8B", {"use_qk_norm": True}, "use_qk_norm = True is not supported for cohere"),
        ("c4ai-command-r7b", {"sliding_window": None}, "'sliding_attention' needs a sliding_win"),
        ("c4ai-command-r7b", {"logit_scale": "no"}, "logit_scale must be a number above 0"),
        ("Qwen2.5-7B", {"num_experts": 8}, "num_experts = 8 is not supported for qwen2"),
        ("Llama-3.1-8B", {"num_local_experts": 8}, "num_local_experts = 8"),
        ("Llama-3.1-8B", {"quantization_config": {"bits": 4}}, "quantization_config = {'bits': 4}"),
        # Parts of a layer.
        ("Llama-3.1-8B", {"attention_bias": "yes"}, "attention_bias must be true or false"),
        ("gemma-2-2b", {"attention_bias": True}, "attention_bias = True is not supported"),
        ("Llama-3.1-8B", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("gemma-2-2b", {"hidden_activation": "silu"}, "hidden_activation = 'silu'"),
        ("Apertus-8B", {"hidden_act": "silu"}, "hidden_act = 'silu' is not supported for apertus"),
        ("gemma-3-1b", {"use_bidirectional_attention": True}, "use_bidirectional_attention = True"),
        ("gemma-2-2b", {"attn_logit_softcapping": "no"}, "attn_logit_softcapping must be a number"),
        ("Qwen3-8B", {"head_dim": 0}, "head_dim must be a positive integer"),
        # Windows.
        ("Llama-3.1-8B", {"layer_types": ["sliding_attention"] * 32}, "with 'sliding_attention'"),
        ("Mistral-7B-v0.1", {"layer_types": ["full_attention"] * 32}, "layer_types = "),
        ("Qwen2.5-7B", {"layer_types": "full_attention"}, "layer_types must name 28 layers"),
        ("gemma-2-2b", {"layer_types": ["chunked_attention"] * 26}, "with 'chunked_attention'"),
        ("gemma-2-2b", {"sliding_window": None}, "'sliding_attention' needs a sliding_window"),
        ("gemma-2-2b", {"sliding_window": 0}, "sliding_window must be a positive integer"),
        ("gemma-3-1b", {"sliding_window_pattern": 0}, "sliding_window_pattern must be a positive"),
        # Rotary angles.
        ("Qwen2.5-7B", {"rope_scaling": {"type": "yarn", "factor": -1}}, "rope_scaling = .*yarn"),
        (
            "Qwen2.5-7B",
            {"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 1.0}},
            "mscale.* is not supported",
        ),
        (
            "Qwen2.5-7B",
            {"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 0.5}},
            "beta_fast must be above beta_slow",
        ),
        (
            "Phi-3-mini-4k",
            {"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}},
            r"longrope needs 48 short and as many long factors, not \(1, 1\)",
        ),
        ("Llama-3.1-8B", {"rope_scaling": {"type": "ntk", "factor": 2.0}}, "ntk.*; RoPE may be"),
        ("Llama-3.1-8B", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "low_freq"),
        ("Llama-3.1-8B", {"rope_scaling": {**LLAMA3, "high_freq_factor": 1.0}}, "must be above"),
        ("Llama-3.1-8B", {"rope_scaling": {"type": "linear", "factor": -1}}, "number factor"),
        ("Phi-3-mini-4k", {"partial_rotary_factor": 1.5}, "partial_rotary_factor"),
        ("gemma-3-1b", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is not supported"),
        (
            "Phi-3-mini-4k",
            {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.01}},
            "rotary_dim",
        ),
        ("gemma-3-1b", {"rope_parameters": {"rope_theta": 1e6}}, "an object with full_attention"),
        (
            "gemma-3-1b",
            {"rope_parameters": {"sliding_attention": {"type": "linear", "factor": 2.0}}},
            "sliding_attention is scaled",
        ),
    ],
)
def test_what_the_decoder_cannot_do_is_refused_by_name(name, changes, message):
    content = {**PUBLISHED[name][0], **changes}
    with pytest.raises(UserError, match=message) as raised:
        hf_config.from_hf(content, "config.json")
    assert str(raised.value).startswith(("config.json: ", "model: ")) and "\n" not in str(
        raised.value
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qkv_bias": False}, "a qwen2 model cannot have qkv_bias = False"),
        ({"qk_norm": "head"}, "a qwen2 model cannot have qk_norm = 'head'"),
        ({"logit_softcap": 30.0}, "a qwen2 model cannot have logit_softcap = 30"),
        ({"family": "llama", "window": 4, "sliding": (True, True)}, "a llama model cannot have"),
        ({"family": "mamba"}, "model family 'mamba' is not supported"),
    ],
)
def test_a_config_that_its_family_cannot_have_is_not_written(changes, message):
    with pytest.raises(UserError, match=message):
        hf_config.to_hf(DecoderConfig(48, 16, 2, 4, 2, 8, 24, **changes))


# Small models of every family, with windows shorter than the texts and caps that bite.


def small(name, **changes):
    kind = PUBLISHED[name][0]["model_type"]
    content = {**PUBLISHED[name][0], **raw(kind, 48, 16, 3, 4, 2, 24), "head_dim": 8, **changes}
    return hf_config.from_hf(content, name)


FULL, SLIDING = families.FULL, families.SLIDING
CAPS = {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 5}
SMALL = {
    "llama": small("Llama-3.1-8B"),
    "mistral": small("Mistral-7B-v0.1", sliding_window=3),
    "qwen2": small("Qwen2.5-7B", use_sliding_window=True, sliding_window=3, max_window_layers=1),
    "qwen3": small("Qwen3-8B"),
    "qwen3_moe": small(
        "Qwen3-30B-A3B", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24
    ),
    "gemma": small("gemma-2b"),
    "gemma2": small("gemma-2-2b", sliding_window=3, **CAPS),
    "gemma3_text": small(
        "gemma-3-1b",
        sliding_window=3,
        sliding_window_pattern=2,
        rope_local_base_freq=100.0,
        rope_scaling={"rope_type": "linear", "factor": 2.0},
    ),
    "ministral3": small(
        "Mistral-7B-v0.1",
        sliding_window=3,
        model_type="ministral3",
        rope_scaling={
            "type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 4,
            "llama_4_scaling_beta": 0.5,
        },
    ),
    "olmo2": small("OLMo-2-1124-7B"),
    "phi3": small("Phi-3-mini-4k", sliding_window=3),
    "ministral": small(
        "Mistral-7B-v0.1",
        sliding_window=3,
        layer_types=[SLIDING, FULL, SLIDING],
        model_type="ministral",
    ),
    "olmo3": small("OLMo-3-1025-7B", sliding_window=3, layer_types=[FULL, SLIDING, SLIDING]),
    "exaone4": small("EXAONE-4.0-1.2B", sliding_window=3, layer_types=[SLIDING, FULL, SLIDING]),
    "smollm3": small("SmolLM3-3B", no_rope_layers=[1, 0, 1], attention_bias=True, mlp_bias=True),
    "granite": small("granite-3.3-2b"),
    "granitemoehybrid": small(
        "granite-4.0-micro", shared_intermediate_size=24, layer_types=["attention"] * 3
    ),
    "mixtral": small("Mixtral-8x7B-v0.1", num_local_experts=4),
    "olmoe": small("OLMoE-1B-7B-0924", num_experts=4, num_experts_per_tok=2),
    "ernie4_5": small("ERNIE-4.5-0.3B-PT"),
    "seed_oss": small("Seed-OSS-36B"),
    "cohere": small("aya-23-8B"),
    "apertus": small("Apertus-8B"),
    "cohere2": small("c4ai-command-r7b", sliding_window=3, layer_types=[SLIDING, FULL, SLIDING]),
    "glm": small("glm-4-9b-chat-hf"),
    "glm4": small("GLM-4-9B-0414"),
}


@functools.cache
def parameters(family, head=ScoreHead()):
    return random_like(head.abstract_params(SMALL[family]), 0.3)


@every_family
def test_a_model_of_every_family_comes_back_exactly(tmp_path, family):
    config, params = SMALL[family], parameters(family, LogpHead())
    saving.save_params(tmp_path, config, params)
    assert hub.load_config(tmp_path) == config
    found = hub.load_params(tmp_path, config, head=False, seed=0)
    jax.tree.map(np.testing.assert_array_equal, found, params)


@every_family
def test_matrices_of_every_family_are_spread_over_both_axes_of_a_mesh(family):
    shapes = LogpHead().abstract_params(SMALL[family])
    mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    places = sharding.parameters(mesh, shapes, axes.logical_axes(shapes))
    for path, place in jax.tree_util.tree_leaves_with_path(places):
        matrix = path[-1].key in ("kernel", "embed", "lm_head", *EXPERT_MATRICES)
        assert ({"fsdp", "tensor"} <= set(place.spec)) == matrix


# 0-1-2-3-4-5 and 2-6-7-8 of one trie, then 9-10 of another, and padding.
REACH = np.asarray([[9, 9, 9, 6, 6, 6, 9, 9, 9, 11, 11, 0]])
POSITIONS = np.asarray([[0, 1, 2, 3, 4, 5, 3, 4, 5, 0, 1, 0]])
TOKENS = np.arange(3, 15)[None]
LEAVES = ([0, 1, 2, 3, 4, 5], [0, 1, 2, 6, 7, 8], [9, 10])


@every_family
def test_a_leaf_of_a_trie_is_the_leaf_alone_in_value_and_gradient(family):
    config, params = SMALL[family], parameters(family)
    direction = jnp.asarray(np.random.default_rng(1).normal(size=config.width), jnp.float32)

    def ends(params, tokens, positions, reach, row, end):
        states = decoder.hidden(config, params, Row(tokens, positions, reach))
        return jnp.sum(states[row, end] @ direction), states[row, end]

    compiled = jax.jit(jax.grad(ends, has_aux=True))
    rows = np.arange(3)
    width = TOKENS.shape[1]
    alone = np.zeros((3, 3, width), np.int32)
    for row, leaf in enumerate(LEAVES):
        size = len(leaf)
        alone[:, row, :size] = TOKENS[0, leaf], np.arange(size), np.full(size, size)
    packed = (np.repeat(x, 3, 0) for x in (TOKENS, POSITIONS, REACH))
    slope, found = compiled(params, *packed, rows, np.asarray([leaf[-1] for leaf in LEAVES]))
    last = np.asarray([len(leaf) - 1 for leaf in LEAVES])
    slope_alone, found_alone = compiled(params, *alone, rows, last)
    np.testing.assert_allclose(found, found_alone, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), slope, slope_alone
    )
    assert np.abs(found[0] - found[1]).max() > 1e-2
