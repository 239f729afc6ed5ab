"""Model families of `transformers` as tables: config keys and tensor names.

A family is one entry of `FAMILIES`. What a table does not say the decoder cannot do, so a config
that asks for it is refused by name.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mapl_jax.runtime.errors import UserError

PLAIN, TRANSPOSED, ROW = "plain", "transposed", "row"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One parameter and its name in a checkpoint.

    Parameters with the same name are one tensor there, one below the other in the table's order.
    """

    path: tuple[str, ...]  # keys in the parameters
    name: str  # in the checkpoint; `{i}` is the layer and `{e}` the expert, one tensor for each
    # Of the checkpoint's tensor: the same, transposed, or with a first axis of size 1.
    form: str = PLAIN

    @property
    def stacked(self) -> bool:
        """Whether the parameter holds one tensor for each layer."""
        return "{i}" in self.name

    @property
    def by_expert(self) -> bool:
        """Whether the parameter (of one layer) holds one tensor for each expert."""
        return "{e}" in self.name

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape in the checkpoint of a parameter (of one layer) of some shape."""
        return {PLAIN: shape, TRANSPOSED: shape[::-1], ROW: (1, *shape)}[self.form]

    def index(self, index: tuple[slice, ...]) -> tuple[slice, ...]:
        """Where a part of a parameter (of one layer) lies in the checkpoint's tensor."""
        return {PLAIN: index, TRANSPOSED: index[::-1], ROW: (slice(0, 1), *index)}[self.form]

    def view(self, array: np.ndarray) -> np.ndarray:
        """The parameter (of one layer), or a part of it, seen as the checkpoint's tensor."""
        if self.form == TRANSPOSED:
            return array.T
        return array[None] if self.form == ROW else array


# Which layers have a window where the file does not list them: none; all; those from
# `max_window_layers` on, if `use_sliding_window`; every other one from the first on; all but every
# sixth; all but every fourth; none either, if `use_sliding_window` (they must be listed).
NOWHERE, EVERYWHERE, LATER, ALTERNATING, FIVE_OF_SIX, THREE_OF_FOUR, LISTED = range(7)
FULL, SLIDING = "full_attention", "sliding_attention"
# What older files call layers without a window.
OLD_FULL = "attention"


FIELDS = {
    "vocab_size": "vocab_size",
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "intermediate_size": "mlp_width",
    "rms_norm_eps": "norm_eps",
    "tie_word_embeddings": "tie_embeddings",
    "max_position_embeddings": "max_positions",
}
CAPS = {
    "query_pre_attn_scalar": "query_scalar",
    "attn_logit_softcapping": "attention_softcap",
    "final_logit_softcapping": "logit_softcap",
}
MULTIPLIERS = ("embedding_multiplier", "residual_multiplier", "attention_multiplier")
TOKENS = {"pad_token_id": "pad_token", "bos_token_id": "bos_token", "eos_token_id": "eos_tokens"}
BOOLEANS = ("tie_embeddings", "qkv_bias", "output_bias", "mlp_bias", "expert_weights_to_one")
INTEGERS = (
    *("vocab_size", "width", "layers", "heads", "kv_heads", "mlp_width", "max_positions"),
    *("experts", "experts_per_token"),
)
NULLABLE = ("attention_softcap", "logit_softcap")
# Far beyond any model; a number beyond it would only take time and memory.
MOST = {"layers": 10_000, "experts": 10_000}
LAYER = "model.layers.{i}."
EMBED = Tensor(("embed",), "model.embed_tokens.weight")
SCORE = Tensor(("score",), "score.weight", ROW)
# Numbers of xIELU that are the same in all models.
XIELU_BETA, XIELU_EPS = 0.5, -1e-6
LM_HEAD = Tensor(("lm_head",), "lm_head.weight", TRANSPOSED)


def _kernel(module: str, name: str, stored: str | None = None) -> Tensor:
    parent = "self_attn" if module == "attention" else module
    path = ("layers", module, name, "kernel")
    return Tensor(path, f"{LAYER}{parent}.{stored or name}_proj.weight", TRANSPOSED)


def _experts(module: str, **stored: str) -> tuple[Tensor, ...]:
    """The router and the matrices of experts: name here -> name there."""
    router = Tensor(("layers", "mlp", "router"), f"{LAYER}{module}.gate.weight", TRANSPOSED)
    return router, *(
        Tensor(("layers", "mlp", name), f"{LAYER}{module}.experts.{{e}}.{other}.weight", TRANSPOSED)
        for name, other in stored.items()
    )


def _norms(**stored: str) -> tuple[Tensor, ...]:
    """Norms of a layer: name here -> name there."""
    return tuple(
        Tensor(("layers", name, "scale"), f"{LAYER}{other}.weight")
        for name, other in stored.items()
    )


EMBED_AND_NORM = (EMBED, Tensor(("norm", "scale"), "model.norm.weight"))
ATTENTION_KERNELS = tuple(_kernel("attention", name) for name in "qkvo")
KERNELS = (*ATTENTION_KERNELS, *(_kernel("mlp", name) for name in ("gate", "up", "down")))
FUSED_ATTENTION = (
    *(_kernel("attention", name, "qkv") for name in "qkv"),
    _kernel("attention", "o"),
)
FUSED_MLP = (
    *(_kernel("mlp", name, "gate_up") for name in ("gate", "up")),
    _kernel("mlp", "down"),
)
QKV_BIASES = tuple(
    Tensor(("layers", "attention", name, "bias"), f"{LAYER}self_attn.{name}_proj.bias")
    for name in "qkv"
)
OUTPUT_BIAS = (Tensor(("layers", "attention", "o", "bias"), f"{LAYER}self_attn.o_proj.bias"),)
MLP_BIASES = tuple(
    Tensor(("layers", "mlp", name, "bias"), f"{LAYER}mlp.{name}_proj.bias")
    for name in ("gate", "up", "down")
)
QK_NORMS = tuple(
    Tensor(("layers", "attention", f"{name}_norm", "scale"), f"{LAYER}self_attn.{name}_norm.weight")
    for name in "qk"
)
NORMS_BEFORE = _norms(attention_norm="input_layernorm", mlp_norm="post_attention_layernorm")
NORMS_AFTER = _norms(
    attention_out_norm="post_attention_layernorm", mlp_out_norm="post_feedforward_layernorm"
)
NORMS_BOTH = (
    *_norms(attention_norm="input_layernorm", mlp_norm="pre_feedforward_layernorm"),
    *NORMS_AFTER,
)

DEFAULTS = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "max_position_embeddings": 32_768}
ALL_HEADS = {"num_key_value_heads": "num_attention_heads"}
# What no family here can do, whichever of them a file says it is, but for keys that it reads.
NEVER: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("quantization_config", "quantization", "compression_config"), ()),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), ()),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "clip_qkv"), ()),
    **dict.fromkeys(("is_encoder_decoder", "add_cross_attention"), (False,)),
    # With these, `transformers` lets every token attend to all others.
    "is_causal": (True,),
    **dict.fromkeys(("use_bidirectional_attention", "is_bidirectional", "bidirectional"), (False,)),
}
# A loss that balances experts.
UNBALANCED = {"output_router_logits": (False,)}
NO_BIAS = {"attention_bias": (False,)}
ATTENTION_BIAS = {"attention_bias": "qkv_bias"}
BIASES = {**ATTENTION_BIAS, "mlp_bias": "mlp_bias"}
UNBIASED = {"attention_bias": False, "mlp_bias": False}


@dataclasses.dataclass(frozen=True)
class Family:
    """One family, by what it does not have in common with most; the rest is filled in."""

    prefix: str  # of the names of its classes in `transformers`
    tensors: tuple[Tensor, ...]  # without heads; the embedding and the last norm are filled in
    # Config key -> field of `DecoderConfig`, beside those of `FIELDS`, or instead of their keys.
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Values of config keys that a file may leave out, or the key that has the value, beside
    # `DEFAULTS`; other keys of `fields` it must have.
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # Config key -> the values that the decoder can do, beside `NEVER` and the activation; left out
    # or null is one of them.
    fixed: Mapping[str, tuple[object, ...]] = dataclasses.field(default_factory=dict)
    # The same of keys that a file must have.
    needed: Mapping[str, tuple[object, ...]] = dataclasses.field(default_factory=dict)
    # Fields of `DecoderConfig` that are the same for the whole family.
    constants: Mapping[str, object] = dataclasses.field(default_factory=dict)
    windows: int = NOWHERE  # which layers have a window where the file does not list them
    # Whether a file of the family with windows everywhere, or nowhere, lists its layers.
    listed: bool = False
    # Which layers do not turn: none; those of `no_rope_layers`; "full": those without a
    # window, if there are windows; "windowless": those without a window.
    still: str = ""
    rope_theta: float = 10_000.0  # base of rotary angles if the file has none
    # The same for layers with a window, where they have their own; "rope_theta" for that of
    # the model, unscaled.
    local_rope_theta: float | str | None = None
    queries_grow: bool = False  # whether queries grow with their position
    # Tensors of a checkpoint, one a layer, that are no parameters: name -> number.
    written: Mapping[str, float] = dataclasses.field(default_factory=dict)
    causal_prefix: str | None = None  # `prefix` of the language model where it is another
    classifier: bool = True  # whether `transformers` has a reward model of the family

    def __post_init__(self) -> None:
        if EMBED not in self.tensors:
            object.__setattr__(self, "tensors", (*EMBED_AND_NORM, *self.tensors))
        usual = {key: x for key, x in FIELDS.items() if x not in self.fields.values()}
        read = (*self.fields, *self.defaults.values())
        common = {"hidden_act": ("silu",), **NEVER}
        common = {key: known for key, known in common.items() if key not in read}
        object.__setattr__(self, "fields", {**usual, **self.fields})
        object.__setattr__(self, "defaults", {**DEFAULTS, **self.defaults})
        object.__setattr__(self, "fixed", {**common, **self.fixed})

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has a bias where queries have one."""
        return set(OUTPUT_BIAS) <= set(self.tensors) and "output_bias" not in self.fields.values()

    def architecture(self, head: bool) -> str:
        """Name of the class of a reward model, or of a language model without a head."""
        if head and not self.classifier:
            raise UserError(
                f"transformers has no reward model of the family {self.prefix}, only policies; "
                "start from a model of another family"
            )
        if head:
            return f"{self.prefix}ForSequenceClassification"
        return f"{self.causal_prefix or self.prefix}ForCausalLM"


LLAMA = Family(
    prefix="Llama",
    tensors=(*NORMS_BEFORE, *KERNELS, *QKV_BIASES, *OUTPUT_BIAS, *MLP_BIASES),
    fields=BIASES,
    defaults={**ALL_HEADS, **UNBIASED, "max_position_embeddings": 2048},
)
MISTRAL = Family(
    prefix="Mistral",
    tensors=(*NORMS_BEFORE, *KERNELS),
    defaults={"max_position_embeddings": 131_072, "sliding_window": 4096},
    fixed={"layer_types": ()},
    constants={"qkv_bias": False},
    windows=EVERYWHERE,
)
QWEN3 = Family(
    prefix="Qwen3",
    tensors=(*NORMS_BEFORE, *KERNELS, *QK_NORMS, *QKV_BIASES, *OUTPUT_BIAS),
    fields=ATTENTION_BIAS,
    defaults={"head_dim": 128, "sliding_window": 4096, "attention_bias": False},
    constants={"qk_norm": "head"},
    windows=LATER,
)
GEMMA_DEFAULTS = {"tie_word_embeddings": True, "head_dim": 256, "max_position_embeddings": 8192}
GEMMA2 = Family(
    prefix="Gemma2",
    tensors=(*NORMS_BOTH, *KERNELS),
    fields=CAPS,
    defaults={
        **GEMMA_DEFAULTS,
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "sliding_window": 4096,
    },
    fixed={
        **NO_BIAS,
        "hidden_activation": ("gelu_pytorch_tanh",),
        "hidden_act": ("gelu_pytorch_tanh",),
    },
    constants={
        "qkv_bias": False,
        "activation": "gelu_tanh",
        "norm_offset": 1.0,
        "scale_embeddings": True,
        "norms": "both",
    },
    windows=ALTERNATING,
)
OLMO2 = Family(
    prefix="Olmo2",
    tensors=(*NORMS_AFTER, *KERNELS, *QK_NORMS),
    defaults={**ALL_HEADS, "rms_norm_eps": 1e-5, "max_position_embeddings": 2048},
    fixed=NO_BIAS,
    constants={"qkv_bias": False, "norms": "after", "qk_norm": "projection"},
)
COHERE = Family(
    prefix="Cohere",
    tensors=(
        *_norms(attention_norm="input_layernorm"),
        *KERNELS,
        *QKV_BIASES,
        *OUTPUT_BIAS,
    ),
    fields={**ATTENTION_BIAS, "layer_norm_eps": "norm_eps", "logit_scale": "logit_multiplier"},
    defaults={
        **ALL_HEADS,
        "layer_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "max_position_embeddings": 8192,
        "attention_bias": False,
        "logit_scale": 0.0625,
        "sliding_window": 4096,
    },
    fixed={"use_qk_norm": (False,)},
    constants={"norm_centered": True, "norms": "shared", "rotary_pairs": "neighbours"},
    classifier=False,
)
GRANITE = dataclasses.replace(
    LLAMA,
    prefix="Granite",
    fields={**BIASES, **{name: name for name in MULTIPLIERS}, "logits_scaling": "logit_divisor"},
    defaults={**LLAMA.defaults, **dict.fromkeys((*MULTIPLIERS, "logits_scaling"), 1.0)},
    classifier=False,
)
GLM = Family(
    prefix="Glm",
    tensors=(*NORMS_BEFORE, *ATTENTION_KERNELS, *FUSED_MLP, *QKV_BIASES),
    fields=ATTENTION_BIAS,
    defaults={
        "rms_norm_eps": 1.5625e-07,
        "max_position_embeddings": 131_072,
        "attention_bias": True,
        "head_dim": 128,
        "partial_rotary_factor": 0.5,
    },
    constants={"rotary_pairs": "neighbours"},
)

FAMILIES: dict[str, Family] = {
    "llama": LLAMA,
    "mistral": MISTRAL,
    "ministral": dataclasses.replace(MISTRAL, prefix="Ministral", fixed={}, listed=True),
    "ministral3": dataclasses.replace(
        MISTRAL,
        prefix="Ministral3",
        defaults={
            "rms_norm_eps": 1e-5,
            "head_dim": 128,
            "max_position_embeddings": 262_144,
            "sliding_window": None,
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 16.0,
                "original_max_position_embeddings": 16_384,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
                "llama_4_scaling_beta": 0.1,
            },
        },
        rope_theta=1_000_000.0,
        queries_grow=True,
    ),
    "qwen2": Family(
        prefix="Qwen2",
        tensors=(*NORMS_BEFORE, *KERNELS, *QKV_BIASES),
        defaults={"sliding_window": 4096},
        constants={"qkv_bias": True},
        windows=LATER,
    ),
    "qwen3": QWEN3,
    "qwen3_moe": dataclasses.replace(
        QWEN3,
        prefix="Qwen3Moe",
        tensors=(
            *NORMS_BEFORE,
            *ATTENTION_KERNELS,
            *QK_NORMS,
            *QKV_BIASES,
            *OUTPUT_BIAS,
            *_experts("mlp", gate="gate_proj", up="up_proj", down="down_proj"),
        ),
        fields={
            **ATTENTION_BIAS,
            "moe_intermediate_size": "mlp_width",
            "num_experts": "experts",
            "num_experts_per_tok": "experts_per_token",
            "norm_topk_prob": "expert_weights_to_one",
        },
        defaults={
            "head_dim": 128,
            "sliding_window": 4096,
            "attention_bias": False,
            "num_experts": "num_local_experts",
            "norm_topk_prob": False,
        },
        # Layers without experts among the others.
        fixed={**UNBALANCED, "mlp_only_layers": ([],), "decoder_sparse_step": (1,)},
    ),
    "mixtral": Family(
        prefix="Mixtral",
        tensors=(
            *NORMS_BEFORE,
            *ATTENTION_KERNELS,
            *_experts("block_sparse_moe", gate="w1", up="w3", down="w2"),
        ),
        fields={"num_local_experts": "experts", "num_experts_per_tok": "experts_per_token"},
        defaults={
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 131_072,
            "sliding_window": None,
            "num_local_experts": "num_experts",
        },
        fixed={**UNBALANCED, "layer_types": ()},
        constants={"qkv_bias": False, "expert_weights_to_one": True},
        windows=EVERYWHERE,
        rope_theta=1_000_000.0,
    ),
    "olmoe": Family(
        prefix="Olmoe",
        tensors=(
            *NORMS_BEFORE,
            *ATTENTION_KERNELS,
            *QK_NORMS,
            *_experts("mlp", gate="gate_proj", up="up_proj", down="down_proj"),
        ),
        fields={
            "num_experts": "experts",
            "num_experts_per_tok": "experts_per_token",
            "norm_topk_prob": "expert_weights_to_one",
        },
        defaults={
            **ALL_HEADS,
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 4096,
            "num_experts": "num_local_experts",
            "norm_topk_prob": False,
        },
        fixed={**UNBALANCED, **NO_BIAS},
        constants={"qkv_bias": False, "qk_norm": "projection"},
        classifier=False,
    ),
    "gemma": dataclasses.replace(
        GEMMA2,
        prefix="Gemma",
        tensors=(*NORMS_BEFORE, *KERNELS),
        fields={},
        defaults=GEMMA_DEFAULTS,
        # The first files say "gelu" and mean the approximation by tanh all the same.
        fixed={**GEMMA2.fixed, "hidden_act": ("gelu_pytorch_tanh", "gelu")},
        constants={**GEMMA2.constants, "norms": "before"},
        windows=NOWHERE,
    ),
    "gemma2": GEMMA2,
    "gemma3_text": dataclasses.replace(
        GEMMA2,
        prefix="Gemma3Text",
        tensors=(*NORMS_BOTH, *KERNELS, *QK_NORMS),
        defaults={
            **GEMMA2.defaults,
            "vocab_size": 262_208,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "max_position_embeddings": 131_072,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
        },
        constants={**GEMMA2.constants, "qk_norm": "head"},
        windows=FIVE_OF_SIX,
        rope_theta=1_000_000.0,
        local_rope_theta=10_000.0,
        causal_prefix="Gemma3",
    ),
    "olmo2": OLMO2,
    "olmo3": dataclasses.replace(
        OLMO2,
        prefix="Olmo3",
        defaults={**OLMO2.defaults, "sliding_window": 4096},
        windows=THREE_OF_FOUR,
        rope_theta=500_000.0,
        local_rope_theta="rope_theta",
    ),
    "exaone4": Family(
        prefix="Exaone4",
        tensors=OLMO2.tensors,
        defaults={"rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "sliding_window": 4096},
        fixed=NO_BIAS,
        constants={"qkv_bias": False, "norms": "after", "qk_norm": "head"},
        windows=THREE_OF_FOUR,
        still="full",
    ),
    "smollm3": dataclasses.replace(
        LLAMA,
        prefix="SmolLM3",
        defaults={**UNBIASED, "tie_word_embeddings": True, "sliding_window": None},
        windows=LISTED,
        still="no_rope_layers",
        rope_theta=2_000_000.0,
    ),
    "ernie4_5": Family(
        prefix="Ernie4_5",
        tensors=(*NORMS_BEFORE, *KERNELS),
        defaults={
            **ALL_HEADS,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True,
            "max_position_embeddings": 131_072,
            "head_dim": 128,
        },
        fixed={"use_bias": (False,)},
        constants={"qkv_bias": False, "rotary_pairs": "neighbours"},
        rope_theta=500_000.0,
        classifier=False,
    ),
    "seed_oss": dataclasses.replace(
        LLAMA,
        prefix="SeedOss",
        fields={**BIASES, "attention_out_bias": "output_bias"},
        defaults={
            "max_position_embeddings": 524_288,
            "head_dim": 128,
            "attention_bias": True,
            "attention_out_bias": False,
            "mlp_bias": False,
        },
    ),
    "granite": GRANITE,
    # Granite 4 without experts and without layers of state spaces.
    "granitemoehybrid": dataclasses.replace(
        GRANITE,
        prefix="GraniteMoeHybrid",
        tensors=(
            *NORMS_BEFORE,
            *ATTENTION_KERNELS,
            *QKV_BIASES,
            *OUTPUT_BIAS,
            *(
                Tensor(
                    ("layers", "mlp", name, "kernel"),
                    f"{LAYER}shared_mlp.{other}_linear.weight",
                    TRANSPOSED,
                )
                for name, other in (("gate", "input"), ("up", "input"), ("down", "output"))
            ),
        ),
        fields={
            "shared_intermediate_size" if field == "mlp_width" else key: field
            for key, field in GRANITE.fields.items()
            if field != "mlp_bias"
        },
        fixed={"num_local_experts": (0,)},
        needed={"num_local_experts": (0,), "position_embedding_type": ("rope",)},
        listed=True,
    ),
    # GLM-4 of 2024, and of 2025.
    "glm": GLM,
    "glm4": dataclasses.replace(
        GLM,
        prefix="Glm4",
        tensors=(
            *(tensor for tensor in GLM.tensors if tensor not in NORMS_BEFORE),
            *_norms(
                attention_norm="input_layernorm",
                attention_out_norm="post_self_attn_layernorm",
                mlp_norm="post_attention_layernorm",
                mlp_out_norm="post_mlp_layernorm",
            ),
        ),
        constants={**GLM.constants, "norms": "both"},
    ),
    "apertus": Family(
        prefix="Apertus",
        tensors=(
            *_norms(attention_norm="attention_layernorm", mlp_norm="feedforward_layernorm"),
            *ATTENTION_KERNELS,
            *(_kernel("mlp", name) for name in ("up", "down")),
            *(
                Tensor(("layers", "mlp", name), f"{LAYER}mlp.act_fn.{name}")
                for name in ("alpha_p", "alpha_n")
            ),
            *QKV_BIASES,
            *OUTPUT_BIAS,
            *QK_NORMS,
        ),
        fields=ATTENTION_BIAS,
        defaults={
            **ALL_HEADS,
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 65_536,
            "attention_bias": False,
            "rope_parameters": {
                "rope_type": "llama3",
                "factor": 8.0,
                "original_max_position_embeddings": 8192,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
        },
        fixed={"hidden_act": ("xielu",)},
        constants={"activation": "xielu", "qk_norm": "head"},
        rope_theta=12_000_000.0,
        written={f"{LAYER}mlp.act_fn.beta": XIELU_BETA, f"{LAYER}mlp.act_fn.eps": XIELU_EPS},
        classifier=False,
    ),
    "cohere": dataclasses.replace(COHERE, rope_theta=500_000.0),
    "cohere2": dataclasses.replace(
        COHERE, prefix="Cohere2", fixed={}, windows=THREE_OF_FOUR, still="windowless"
    ),
    "phi3": dataclasses.replace(
        MISTRAL,
        prefix="Phi3",
        tensors=(*NORMS_BEFORE, *FUSED_ATTENTION, *FUSED_MLP),
        defaults={
            **ALL_HEADS,
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 4096,
            "sliding_window": None,
        },
    ),
}

# Models of images and text whose language model is one of these (the first where the file does not
# say which): read alone, without the names that begin so.
WRAPPED = {"gemma3": ("gemma3_text",), "mistral3": ("mistral", "ministral3")}
BESIDE = ("vision_tower.", "multi_modal_projector.")


def get(name: str) -> Family:
    """A family by its `model_type`."""
    if name not in FAMILIES:
        raise UserError(f"model family {name!r} is not supported; choose {', '.join(FAMILIES)}")
    return FAMILIES[name]


def by_name(tensors: Iterable[Tensor]) -> dict[str, tuple[Tensor, ...]]:
    """The parameters in each tensor of a checkpoint, one below the other."""
    grouped: dict[str, tuple[Tensor, ...]] = {}
    for tensor in tensors:
        grouped[tensor.name] = (*grouped.get(tensor.name, ()), tensor)
    return grouped
