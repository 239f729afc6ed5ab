"""One decoder for all families, described by a config.

Parameters are a plain nested dict of arrays, fp32, with the layers stacked along a leading axis:

    embed [V, D]
    layers
      attention_norm, mlp_norm    scale [layers, D]
      attention  q, k, v, o       kernel [layers, in, out], bias [layers, out]
      mlp        gate, up, down   kernel [layers, in, out]
    norm                          scale [D]
    lm_head [D, V]                of an untied policy
    score [D]                     of a reward model

Flax NNX modules say how they are used; a module is split once, and only plain dicts cross `jit`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from mapl_jax.errors import UserError
from mapl_jax.kernels.attention import attention
from mapl_jax.models import lora
from mapl_jax.models.lora import Linear, Lora

Params = dict[str, Any]
INIT_SCALE = 0.02
REMAT: dict[str, Callable[..., bool] | None] = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """What a decoder looks like.

    Attributes:
        vocab_size: V.
        width: D.
        layers: number of layers.
        heads: N, query heads.
        kv_heads: K, key/value heads.
        head_dim: H.
        mlp_width: F.
        rope_theta: base of the rotary angles.
        norm_eps: added to the mean square in norms.
        tie_embeddings: a policy's output matrix is its embedding.
        qkv_bias: queries, keys and values have biases.
        family: name of the table in `families` the model is read and written by.
        max_positions: longest sequence the model was made for; written on export.
        pad_token: id of padding, if known; written on export.
        eos_token: id that ends a text, if known; written on export.
        lora: adapters among the parameters, if there are any.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    tie_embeddings: bool = True
    qkv_bias: bool = True
    family: str = "qwen2"
    max_positions: int = 32_768
    pad_token: int | None = None
    eos_token: int | None = None
    lora: Lora | None = None

    def __post_init__(self):
        for name in ("vocab_size", "width", "layers", "heads", "kv_heads", "head_dim", "mlp_width"):
            if getattr(self, name) < 1:
                raise UserError(f"model: {name} must be at least 1, not {getattr(self, name)}")
        if self.heads % self.kv_heads:
            raise UserError(
                f"model: heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})"
            )
        if self.head_dim % 2:
            raise UserError(f"model: head_dim ({self.head_dim}) must be even; angles come in pairs")

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "DecoderConfig":
        """A config from `to_dict`.

        Raises:
            UserError: a field is unknown or missing.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - set(known)):
            raise UserError(f"model: unknown field {', '.join(unknown)}")
        required = [n for n, field in known.items() if field.default is dataclasses.MISSING]
        if missing := [name for name in required if name not in fields]:
            raise UserError(f"model: missing field {', '.join(missing)}")
        adapters = fields.get("lora")
        return cls(**{**fields, "lora": None if adapters is None else Lora(**adapters)})


class Attention(nnx.Module):
    """Grouped-query attention under the reach mask."""

    def __init__(self, config: DecoderConfig, dtype: Any, *, rngs: nnx.Rngs):
        linear = functools.partial(_linear, dtype=dtype, rngs=rngs)
        inner, inner_kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.head_dim = config.head_dim
        self.q = linear(config.width, inner, use_bias=config.qkv_bias)
        self.k = linear(config.width, inner_kv, use_bias=config.qkv_bias)
        self.v = linear(config.width, inner_kv, use_bias=config.qkv_bias)
        self.o = linear(inner, config.width)

    def __call__(
        self, x: Float[Array, "R S D"], rotary: "Rotary", attend: Callable[..., Array]
    ) -> Float[Array, "R S D"]:
        """Attends; `attend` maps q, k, v to the output of the heads."""
        heads = (*x.shape[:2], -1, self.head_dim)
        q, k, v = (project(x).reshape(heads) for project in (self.q, self.k, self.v))
        output = attend(rotate(q, rotary), rotate(k, rotary), v)
        return self.o(output.reshape(*x.shape[:2], -1))


class Mlp(nnx.Module):
    """SwiGLU."""

    def __init__(self, config: DecoderConfig, dtype: Any, *, rngs: nnx.Rngs):
        linear = functools.partial(_linear, dtype=dtype, rngs=rngs)
        self.gate = linear(config.width, config.mlp_width)
        self.up = linear(config.width, config.mlp_width)
        self.down = linear(config.mlp_width, config.width)

    def __call__(self, x: Float[Array, "R S D"]) -> Float[Array, "R S D"]:
        """Applies it to every token."""
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


class Layer(nnx.Module):
    """Attention and feed-forward, each on the norm of its input and added to it."""

    def __init__(self, config: DecoderConfig, dtype: Any, *, rngs: nnx.Rngs):
        self.attention_norm = _norm(config, dtype, rngs)
        self.attention = Attention(config, dtype, rngs=rngs)
        self.mlp_norm = _norm(config, dtype, rngs)
        self.mlp = Mlp(config, dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "R S D"], rotary: "Rotary", attend: Callable[..., Array]
    ) -> Float[Array, "R S D"]:
        """One layer."""
        x = x + self.attention(self.attention_norm(x), rotary, attend)
        return x + self.mlp(self.mlp_norm(x))


class Decoder(nnx.Module):
    """Tokens to hidden states."""

    def __init__(self, config: DecoderConfig, dtype: Any = jnp.float32, *, rngs: nnx.Rngs):
        self.dtype = dtype
        embed = jax.random.normal(rngs.params(), (config.vocab_size, config.width), jnp.float32)
        self.embed = nnx.Param(INIT_SCALE * embed)

        def make(key: Array) -> Layer:
            layer_rngs = nnx.Rngs(key)
            layer = Layer(config, dtype, rngs=layer_rngs)
            return lora.adapt(layer, config.lora, dtype, rngs=layer_rngs)

        stack = nnx.vmap(make)
        self.layers = stack(jax.random.split(rngs.params(), config.layers))
        self.norm = _norm(config, dtype, rngs)

    def __call__(
        self,
        tokens: Int[Array, "R S"],
        rotary: "Rotary",
        attend: Callable[..., Array],
        policy: Callable[..., bool] | None,
    ) -> Float[Array, "R S D"]:
        """Runs the layers by scan; `policy` says what the backward pass need not find again."""
        definition, stacked = nnx.split(self.layers)

        def layer(x: Array, params: Any) -> tuple[Array, None]:
            return nnx.merge(definition, params)(x, rotary, attend), None

        if policy is not None:
            layer = jax.checkpoint(layer, policy=policy, prevent_cse=False)
        # Rows are looked up in fp32: tokens that occur often sum their gradients unrounded.
        x = jnp.take(self.embed[...], tokens, axis=0).astype(self.dtype)
        x, _ = jax.lax.scan(layer, x, stacked)
        return self.norm(x)


Rotary = tuple[Float[Array, "R S 1 H/2"], Float[Array, "R S 1 H/2"]]


def rotary_angles(positions: Int[Array, "R S"], head_dim: int, theta: float) -> Rotary:
    """Cosine and sine of position / theta^(2i/H), fp32 (arXiv 2104.09864, in halves)."""
    frequencies = theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angles = positions[..., None, None].astype(jnp.float32) * frequencies
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: Float[Array, "R S N H"], rotary: Rotary) -> Float[Array, "R S N H"]:
    """Turns each pair (i, i + H/2) of a head by its angle, in fp32."""
    cos, sin = rotary
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def init(config: DecoderConfig, key: Array) -> Params:
    """Random parameters without a head: matrices N(0, 0.02), biases 0, norms 1."""
    return nnx.to_pure_dict(nnx.state(Decoder(config, rngs=nnx.Rngs(key))))


def init_adapters(config: DecoderConfig, key: Array) -> Params:
    """The adapters among the random parameters; inside `jit` the others are never made."""
    return lora.adapters(init(config, key))


def hidden(
    config: DecoderConfig,
    params: Mapping[str, Any],
    tokens: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    reach: Int[Array, "R S"],
    *,
    dtype: Any = jnp.float32,
    remat: str = "none",
    backend: str = "auto",
) -> Float[Array, "R S D"]:
    """Hidden states after the last norm.

    Args:
        config: of the model.
        params: its parameters; a head among them is left alone.
        tokens: ids.
        positions: depth in the trie.
        reach: index just past the last token that may attend to the token; 0 for padding.
        dtype: of the computation; norms, angles and softmax are fp32 always.
        remat: what the backward pass computes again: "none", "dots" (all but matrix products with
            weights) or "full" (everything inside a layer).
        backend: of attention.

    Raises:
        UserError: `remat` or `backend` is unknown.
    """
    if remat not in REMAT:
        raise UserError(f"remat is {remat!r}; choose one of {', '.join(REMAT)}")
    definition, empty = _definition(config, jnp.dtype(dtype))
    body = {name: params[name] for name in empty}
    decoder = nnx.merge(definition, nnx.State(body))
    rotary = rotary_angles(positions, config.head_dim, config.rope_theta)

    def attend(q: Array, k: Array, v: Array) -> Array:
        return attention(q, k, v, reach, positions, backend=backend)

    return decoder(tokens, rotary, attend, REMAT[remat])


@functools.cache
def _definition(config: DecoderConfig, dtype: Any) -> tuple[Any, Any]:
    """How a decoder is put together from parameters, and their shapes."""
    abstract = nnx.eval_shape(lambda: Decoder(config, dtype, rngs=nnx.Rngs(0)))
    definition, state = nnx.split(abstract)
    return definition, nnx.to_pure_dict(state)


def _linear(
    inputs: int, outputs: int, *, dtype: Any, rngs: nnx.Rngs, use_bias: bool = False
) -> Linear:
    return Linear(
        inputs,
        outputs,
        use_bias=use_bias,
        dtype=dtype,
        kernel_init=nnx.initializers.normal(INIT_SCALE),
        rngs=rngs,
    )


def _norm(config: DecoderConfig, dtype: Any, rngs: nnx.Rngs) -> nnx.RMSNorm:
    return nnx.RMSNorm(config.width, epsilon=config.norm_eps, dtype=dtype, rngs=rngs)
