"""Model families of `transformers` as tables: config keys and tensor names.

A family is one entry of `FAMILIES`. What a table does not say the decoder cannot do, so a config
that asks for it is refused by name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mapl_jax.errors import UserError
from mapl_jax.models.decoder import DecoderConfig

PLAIN, TRANSPOSED, ROW = "plain", "transposed", "row"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One parameter and its name in a checkpoint.

    Attributes:
        path: keys in the parameters.
        name: in the checkpoint; `{i}` is the layer, one tensor for each.
        form: of the checkpoint's tensor: the same, transposed, or with a first axis of size 1.
    """

    path: tuple[str, ...]
    name: str
    form: str = PLAIN

    @property
    def stacked(self) -> bool:
        """Whether the parameter holds one tensor for each layer."""
        return "{i}" in self.name

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape in the checkpoint of a parameter (of one layer) of some shape."""
        return {PLAIN: shape, TRANSPOSED: shape[::-1], ROW: (1, *shape)}[self.form]

    def outward(self, array: np.ndarray) -> np.ndarray:
        """The checkpoint's tensor from the parameter (of one layer)."""
        if self.form == TRANSPOSED:
            array = array.T
        return np.ascontiguousarray(array[None] if self.form == ROW else array)

    def inward(self, array: np.ndarray) -> np.ndarray:
        """The parameter (of one layer) from the checkpoint's tensor."""
        if self.form == TRANSPOSED:
            return array.T
        return array[0] if self.form == ROW else array


@dataclasses.dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        prefix: of the names of its classes in `transformers`.
        fields: config key -> field of `DecoderConfig`.
        defaults: values of config keys that a file may leave out; the others it must have.
        fixed: config key -> the values that the decoder can do; left out or null is one of them.
        constants: fields of `DecoderConfig` that are the same for the whole family.
        tensors: without heads.
    """

    prefix: str
    fields: Mapping[str, str]
    defaults: Mapping[str, Any]
    fixed: Mapping[str, tuple[Any, ...]]
    constants: Mapping[str, Any]
    tensors: tuple[Tensor, ...]


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
INTEGERS = ("vocab_size", "width", "layers", "heads", "kv_heads", "mlp_width", "max_positions")
LAYER = "model.layers.{i}."
SCORE = Tensor(("score",), "score.weight", ROW)
LM_HEAD = Tensor(("lm_head",), "lm_head.weight", TRANSPOSED)


def _projection(module: str, name: str) -> Tensor:
    parent = "self_attn" if module == "attention" else module
    path = ("layers", module, name, "kernel")
    return Tensor(path, f"{LAYER}{parent}.{name}_proj.weight", TRANSPOSED)


def _bias(name: str) -> Tensor:
    return Tensor(("layers", "attention", name, "bias"), f"{LAYER}self_attn.{name}_proj.bias")


COMMON = (
    Tensor(("embed",), "model.embed_tokens.weight"),
    Tensor(("norm", "scale"), "model.norm.weight"),
    Tensor(("layers", "attention_norm", "scale"), f"{LAYER}input_layernorm.weight"),
    Tensor(("layers", "mlp_norm", "scale"), f"{LAYER}post_attention_layernorm.weight"),
    *(_projection("attention", name) for name in "qkvo"),
    *(_projection("mlp", name) for name in ("gate", "up", "down")),
)

FAMILIES: dict[str, Family] = {
    "qwen2": Family(
        prefix="Qwen2",
        fields=FIELDS,
        defaults={
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": False,
            "max_position_embeddings": 32_768,
        },
        fixed={
            "hidden_act": ("silu",),
            "use_sliding_window": (False,),
            "quantization_config": (),
        },
        constants={"qkv_bias": True},
        tensors=(*COMMON, *(_bias(name) for name in "qkv")),
    ),
}


def get(name: str) -> Family:
    """A family by its `model_type`.

    Raises:
        UserError: it is not supported.
    """
    if name not in FAMILIES:
        raise UserError(f"model family {name!r} is not supported; choose {', '.join(FAMILIES)}")
    return FAMILIES[name]


def from_hf(raw: Mapping[str, Any], where: str) -> DecoderConfig:
    """A config from the content of a `config.json`.

    Args:
        raw: its content.
        where: its path, for messages.

    Raises:
        UserError: a key is missing or has a value the decoder cannot do.
    """
    model_type = raw.get("model_type")
    if model_type not in FAMILIES:
        raise UserError(
            f"{where}: model_type {model_type!r} is not supported; choose {', '.join(FAMILIES)}"
        )
    family = FAMILIES[model_type]
    for key, allowed in family.fixed.items():
        if raw.get(key) is not None and raw[key] not in allowed:
            raise UserError(f"{where}: {key} = {raw[key]!r} is not supported for {model_type}")
    for kind in raw.get("layer_types") or ():
        if kind != "full_attention":
            raise UserError(f"{where}: layer_types with {kind!r} is not supported for {model_type}")
    fields: dict[str, Any] = {}
    for key, field in family.fields.items():
        value = raw.get(key)
        if value is None and key not in family.defaults:
            raise UserError(f"{where}: the key {key} is missing")
        fields[field] = family.defaults[key] if value is None else value
        if field in INTEGERS and (not isinstance(fields[field], int) or fields[field] < 1):
            raise UserError(f"{where}: {key} must be a positive integer, not {value!r}")
    head_dim = raw.get("head_dim")
    if head_dim is None and fields["width"] % fields["heads"]:
        raise UserError(f"{where}: hidden_size is no multiple of num_attention_heads")
    return DecoderConfig(
        **fields,
        **family.constants,
        family=model_type,
        head_dim=fields["width"] // fields["heads"] if head_dim is None else head_dim,
        rope_theta=_rope_theta(raw, where),
        pad_token=_token(raw.get("pad_token_id")),
        eos_token=_token(raw.get("eos_token_id")),
    )


def to_hf(config: DecoderConfig) -> dict[str, Any]:
    """The content of a `config.json`, without what depends on head and tokenizer.

    Older readers know only `rope_theta` and `torch_dtype`, newer ones write `rope_parameters` and
    `dtype`; both are given.
    """
    family = get(config.family)
    for name, value in family.constants.items():
        if getattr(config, name) != value:
            raise UserError(
                f"a {config.family} model has {name} = {value}, not {getattr(config, name)}"
            )
    return {
        "model_type": config.family,
        **{key: getattr(config, field) for key, field in family.fields.items()},
        **{key: allowed[0] for key, allowed in family.fixed.items() if allowed},
        "head_dim": config.head_dim,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "torch_dtype": "float32",
        "dtype": "float32",
        "use_cache": True,
    }


def _rope_theta(raw: Mapping[str, Any], where: str) -> float:
    theta = raw.get("rope_theta", 10_000.0)
    for key in ("rope_scaling", "rope_parameters"):
        rope = raw.get(key)
        if rope is None:
            continue
        if not isinstance(rope, Mapping):
            raise UserError(f"{where}: {key} must be an object, not {rope!r}")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default" or set(rope) - {"rope_type", "type", "rope_theta"}:
            raise UserError(f"{where}: {key} = {dict(rope)} is not supported; only plain RoPE is")
        theta = rope.get("rope_theta", theta)
    if not isinstance(theta, int | float) or theta <= 0:
        raise UserError(f"{where}: rope_theta must be a positive number, not {theta!r}")
    return float(theta)


def _token(value: Any) -> int | None:
    """A token id; of several, the first."""
    if isinstance(value, list):
        value = value[0] if value else None
    return value
