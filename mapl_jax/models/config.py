"""The shape of a decoder."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mapl_jax.models.lora import ALL, Lora
from mapl_jax.models.rope import RopeScaling
from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import changeable, setting

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": jax.nn.silu,
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
}
# Of experts, without adapters.
EXPERT_MATRICES = ("gate", "up", "down")
# Has parameters, and no gate.
XIELU = "xielu"
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
LISTS = ("sliding", "unrotated", "eos_tokens")
CHOICES = {
    "activation": (*ACTIVATIONS, XIELU),
    "norms": ("before", "after", "both", "shared"),
    "qk_norm": (None, "head", "projection"),
    "rotary_pairs": ("halves", "neighbours"),
}


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The section `model` of a config: where the first parameters come from, or their shape."""

    path: str = changeable(
        "", "a model folder, a run, one of its checkpoints/STEP, PEFT adapters, or a hub name"
    )
    reference: str = changeable(
        "", "another reference model than the policy's initial weights: a folder or a hub name"
    )
    shape: str = setting(
        "", "train from scratch, in the shape of a model listed in mapl_jax/models/published.py"
    )
    width: int = setting(
        128,
        "width of the hidden states; this field and the next five count only if path and shape "
        "are empty",
        least=1,
        most=2**20,
    )
    layers: int = setting(2, "number of layers", least=1, most=2**14)
    heads: int = setting(4, "number of query heads", least=1, most=2**16)
    kv_heads: int = setting(2, "number of key and value heads", least=1, most=2**16)
    mlp_width: int = setting(384, "width of the feed-forward layers", least=1, most=2**22)
    rope_theta: float = setting(
        10_000.0, "base of the rotary position embedding", least=1, most=1e12
    )

    def __post_init__(self) -> None:
        settings.check(self, "model")
        if self.path and self.shape:
            raise UserError(
                "model.path names weights to start from and model.shape a shape to start from "
                "scratch; leave one of them empty"
            )
        if self.path or self.shape:
            return
        if self.width % self.heads or self.heads % self.kv_heads:
            raise UserError(
                f"model.width ({self.width}) must be a multiple of model.heads ({self.heads}), "
                f"and that of model.kv_heads ({self.kv_heads})"
            )
        if self.width // self.heads % 2:
            raise UserError(
                f"model.width ({self.width}) over model.heads ({self.heads}) must be even: rotary "
                "angles come in pairs"
            )


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """What a decoder looks like."""

    vocab_size: int  # V
    width: int  # D
    layers: int
    heads: int  # N, query heads
    kv_heads: int  # K, key/value heads
    head_dim: int  # H
    mlp_width: int  # F, of each expert where there are several
    experts: int = 0  # E, number of experts (MoE); 0 for dense layers
    experts_per_token: int = 0  # how many of them a token takes
    expert_weights_to_one: bool = False  # the weights of those are made to sum to 1
    # Of the feed-forward gate, "silu" or "gelu_tanh"; or "xielu" without a gate, with two
    # parameters of its own.
    activation: str = "silu"
    rope_theta: float = 10_000.0  # base of the rotary angles
    rope_scaling: RopeScaling | None = None  # of the rotary angles of layers without a window
    rotary_dim: int | None = None  # how much of a head turns; None for all of it
    # What turns together: "halves" (i, i + H/2) or "neighbours" (2i, 2i + 1).
    rotary_pairs: str = "halves"
    # For each layer, whether nothing turns there; empty if it does everywhere.
    unrotated: tuple[bool, ...] = ()
    # Base in layers with a window, unscaled; None if it is the same there.
    local_rope_theta: float | None = None
    # "before" attention and feed-forward, "after" them (before they are added), or "both";
    # "shared": one before the two, which then stand side by side.
    norms: str = "before"
    norm_eps: float = 1e-6  # added to the mean square in norms
    norm_offset: float = 0.0  # norms multiply by this plus their scale
    norm_centered: bool = False  # norms take off the mean first, as layer norms do
    # Queries and keys are normed by "head" or over the whole "projection"; None: not.
    qk_norm: str | None = None
    qkv_bias: bool = True  # queries, keys and values have biases
    output_bias: bool = False  # what attention gives back has one
    mlp_bias: bool = False  # the feed-forward layers have biases
    query_scalar: float | None = None  # attention scores are divided by its square root; None for H
    # Attention scores are multiplied by it instead; None: see above.
    attention_multiplier: float | None = None
    # The c of c * tanh(score / c) on attention scores; None for no cap.
    attention_softcap: float | None = None
    logit_softcap: float | None = None  # the same on a policy's logits
    # Tokens attend to ancestors fewer than this many positions above them.
    window: int | None = None
    # For each layer, whether it has the window; empty without a window.
    sliding: tuple[bool, ...] = ()
    scale_embeddings: bool = False  # embeddings are multiplied by sqrt(D)
    embedding_multiplier: float = 1.0  # embeddings are multiplied by it
    residual_multiplier: float = 1.0  # what a part of a layer adds is multiplied by it
    logit_divisor: float = 1.0  # a policy's logits are divided by it
    logit_multiplier: float = 1.0  # a policy's logits are multiplied by it
    tie_embeddings: bool = True  # a policy's output matrix is its embedding
    family: str = "qwen2"  # name of the table in `families` the model is read and written by
    max_positions: int = 32_768  # longest sequence the model was made for; written on export
    pad_token: int | None = None  # id of padding, if known; written on export
    bos_token: int | None = None  # id that begins a text, if known; written on export
    # Ids that end a text or a turn, as far as known; written on export.
    eos_tokens: tuple[int, ...] = ()
    lora: Lora | None = None  # adapters among the parameters, if there are any

    def __post_init__(self):
        # JSON has lists; a config is a key of caches, so it holds none.
        for name in LISTS:
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("vocab_size", "width", "layers", "heads", "kv_heads", "head_dim", "mlp_width"):
            if getattr(self, name) < 1:
                raise UserError(f"model: {name} must be at least 1, not {getattr(self, name)}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(
                    f"model: {name} must be one of {choices}, not {getattr(self, name)!r}"
                )
        if self.lora is not None and not self.lora.rank:
            raise UserError("model: lora.rank must be at least 1, not 0")
        if self.experts and not 1 <= self.experts_per_token <= self.experts:
            raise UserError(
                f"model: experts_per_token ({self.experts_per_token}) must be at least 1 and at "
                f"most experts ({self.experts})"
            )
        if self.experts and self.lora is not None and {*self.lora.names} & {*EXPERT_MATRICES}:
            raise UserError(
                "lora.targets: experts cannot have adapters; set lora.targets to q,k,v,o"
            )
        chosen = self.lora.names if self.lora is not None and self.lora.targets != ALL else ()
        if self.activation == XIELU and "gate" in chosen:
            raise UserError("lora.targets has gate, and this model has none; leave it out")
        if self.lora is not None and self.lora.layers > self.layers:
            raise UserError(
                f"lora.layers is {self.lora.layers}, and the model has {self.layers} layers"
            )
        if self.heads % self.kv_heads:
            raise UserError(
                f"model: heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})"
            )
        if self.head_dim % 2:
            raise UserError(f"model: head_dim ({self.head_dim}) must be even; angles come in pairs")
        if self.rotated_dim % 2 or not 0 < self.rotated_dim <= self.head_dim:
            raise UserError(
                f"model: rotary_dim ({self.rotated_dim}) must be even and at most head_dim "
                f"({self.head_dim})"
            )
        if self.unrotated and len(self.unrotated) != self.layers:
            raise UserError(
                f"model: unrotated names {len(self.unrotated)} layers; it must be all {self.layers}"
            )
        if self.rope_scaling is not None:
            self.rope_scaling.check(self.rotated_dim)
        if len(self.sliding) != (self.layers if self.window else 0):
            raise UserError(
                f"model: sliding names {len(self.sliding)} layers; with a window it must be all "
                f"{self.layers}, without one none"
            )

    @property
    def frozen_layers(self) -> int:
        """The first layers, below those with adapters; 0 where every layer is trained."""
        return self.layers - self.lora.layers if self.lora and self.lora.layers else 0

    @property
    def rotated_dim(self) -> int:
        """How much of a head turns."""
        return self.head_dim if self.rotary_dim is None else self.rotary_dim

    @property
    def score_scale(self) -> float:
        """Of the scores of attention."""
        if self.attention_multiplier is not None:
            return self.attention_multiplier
        return (self.head_dim if self.query_scalar is None else self.query_scalar) ** -0.5

    def to_dict(self) -> dict[str, object]:
        """The fields as plain JSON."""
        return {**dataclasses.asdict(self), **{name: list(getattr(self, name)) for name in LISTS}}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "DecoderConfig":
        """A config from `to_dict`."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - set(known)):
            raise UserError(f"model: unknown field {', '.join(unknown)}")
        required = [n for n, field in known.items() if field.default is dataclasses.MISSING]
        if missing := [name for name in required if name not in fields]:
            raise UserError(f"model: missing field {', '.join(missing)}")
        scaling = fields.get("rope_scaling")
        scaling = None if scaling is None else RopeScaling(**scaling)
        adapters = fields.get("lora")
        adapters = None if adapters is None else Lora(**adapters)
        return cls(**{**fields, "rope_scaling": scaling, "lora": adapters})
