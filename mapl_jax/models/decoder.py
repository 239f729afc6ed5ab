"""One decoder for all families, described by a config.

Parameters are a plain nested dict of arrays, fp32, with the layers stacked along a leading axis:

    embed [V, D]
    layers
      attention_norm, mlp_norm            scale [layers, D]: of what goes into the two parts; the
                                          first alone where they stand side by side
      attention_out_norm, mlp_out_norm    scale [layers, D]: of what comes out of them
      attention  q, k, v, o               kernel [layers, in, out], bias [layers, out]
                 q_norm, k_norm           scale [layers, H] or [layers, out]
      mlp        gate, up, down           kernel [layers, in, out], or those of
                                          `feedforward`
    norm                                  scale [D]
    lm_head [D, V]                of an untied policy
    score [D]                     of a reward model

Which of them there are the config says; `families` says which config a checkpoint has. Layers that
differ, in window and rotary angles, differ by one scanned flag, so that all are one compiled layer.

Flax NNX modules say how they are used; a module is split once, and only plain dicts cross `jit`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from mapl_jax.kernels.compute import Compute, Spread
from mapl_jax.kernels.rows import AnyArray, Row
from mapl_jax.models import lora
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.feedforward import Experts, Mlp
from mapl_jax.models.layers import attentions, layer_kinds
from mapl_jax.models.lora import INIT_SCALE
from mapl_jax.models.parameters import Params
from mapl_jax.models.rope import Rotary, rotate
from mapl_jax.runtime.errors import UserError

REMAT: dict[str, Callable[..., bool] | None] = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}

# A loop writes what its backward pass reads into arrays of all layers, and copies every layer out
# of them again. On CPU that is a tenth of a step, so few layers are compiled one after the other;
# many would take minutes to compile.
UNROLLED = 8


class Norm(nnx.Module):
    """Division by the root mean square, in fp32 (arXiv 1910.07467), of what is centered or not."""

    def __init__(self, config: DecoderConfig, width: int, dtype: DTypeLike):
        self.epsilon, self.offset, self.dtype = config.norm_eps, config.norm_offset, dtype
        self.centered = config.norm_centered
        self.scale = nnx.Param(jnp.full(width, 1.0 - config.norm_offset, jnp.float32))

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """Norms the last axis."""
        x = x.astype(jnp.float32)
        if self.centered:
            x = x - jnp.mean(x, -1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + self.epsilon)
        # Scaled first: jaxlib 0.10 for CPU once gave wrong gradients of (x * inverse) * scale in a
        # batch. No small example shows it in 0.10.2; drop this with 0.11 if the parity tests agree.
        return (x * (inverse * (self.offset + self.scale[...]))).astype(self.dtype)


class Attention(nnx.Module):
    """Grouped-query attention under the reach mask."""

    def __init__(self, config: DecoderConfig, dtype: DTypeLike, *, rngs: nnx.Rngs):
        linear = functools.partial(lora.linear, dtype=dtype, rngs=rngs)
        inner, inner_kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.head_dim = config.head_dim
        self.q = linear(config.width, inner, use_bias=config.qkv_bias)
        self.k = linear(config.width, inner_kv, use_bias=config.qkv_bias)
        self.v = linear(config.width, inner_kv, use_bias=config.qkv_bias)
        self.o = linear(inner, config.width, use_bias=config.output_bias)
        self.rotate = functools.partial(rotate, neighbours=config.rotary_pairs == "neighbours")
        self.by_head = config.qk_norm == "head"
        q_width, k_width = (config.head_dim,) * 2 if self.by_head else (inner, inner_kv)
        self.q_norm = Norm(config, q_width, dtype) if config.qk_norm else None
        self.k_norm = Norm(config, k_width, dtype) if config.qk_norm else None

    def __call__(
        self, x: Float[Array, "R S D"], rotary: Rotary, attend: Callable[..., Array]
    ) -> Float[Array, "R S D"]:
        """Attends; `attend` maps q, k, v to the output of the heads."""
        q = self.rotate(self._heads(self.q(x), self.q_norm), rotary, queries=True)
        k = self.rotate(self._heads(self.k(x), self.k_norm), rotary)
        output = attend(q, k, self._heads(self.v(x), None))
        return self.o(output.reshape(*x.shape[:2], -1))

    def _heads(self, x: Float[Array, "R S NH"], norm: Norm | None) -> Float[Array, "R S N H"]:
        split = (*x.shape[:2], -1, self.head_dim)
        if self.by_head:
            return _normed(norm, x.reshape(split))
        return _normed(norm, x).reshape(split)


class Layer(nnx.Module):
    """Attention and feed-forward, each added to its input, with norms before, after or both.

    Or both of one input and norm, added to it together.
    """

    def __init__(
        self, config: DecoderConfig, dtype: DTypeLike, spread: Spread | None, *, rngs: nnx.Rngs
    ):
        def norm(*places: str) -> Norm | None:
            return Norm(config, config.width, dtype) if config.norms in places else None

        self.attention_norm = norm("before", "both", "shared")
        self.attention = Attention(config, dtype, rngs=rngs)
        self.attention_out_norm = norm("after", "both")
        self.mlp_norm = norm("before", "both")
        self.mlp = (
            Experts(config, dtype, spread, rngs=rngs)
            if config.experts
            else Mlp(config, dtype, rngs=rngs)
        )
        self.mlp_out_norm = norm("after", "both")
        self.multiplier = config.residual_multiplier
        self.side_by_side = config.norms == "shared"

    def __call__(
        self, x: Float[Array, "R S D"], rotary: Rotary, attend: Callable[..., Array]
    ) -> Float[Array, "R S D"]:
        """One layer."""
        normed = _normed(self.attention_norm, x)
        seen = self.attention(normed, rotary, attend)
        x = x + self._scaled(_normed(self.attention_out_norm, seen))
        if self.side_by_side:
            return x + self._scaled(self.mlp(normed))
        return x + self._scaled(_normed(self.mlp_out_norm, self.mlp(_normed(self.mlp_norm, x))))

    def _scaled(self, x: Float[Array, "R S D"]) -> Float[Array, "R S D"]:
        return x if self.multiplier == 1 else x * jnp.asarray(self.multiplier, x.dtype)


class Part(NamedTuple):
    """Layers that are scanned together."""

    definition: nnx.GraphDef  # how one of them is put together
    # Their parameters; those of all layers where none is trained, because a part of them
    # would be a copy.
    stacked: nnx.State
    layers: slice  # which of all layers they are
    copied: bool = True  # whether the parameters are theirs alone

    def scanned(self, kinds: Int[Array, "layers"]) -> PyTree:
        """What is scanned over: the parameters of a layer, or its number."""
        return self.stacked if self.copied else jnp.arange(len(kinds))[self.layers]

    def layer(self, scanned: PyTree) -> Layer:
        """A layer from what is scanned over."""
        if not self.copied:
            scanned = jax.tree.map(lambda x: x[scanned], self.stacked)
        return nnx.merge(self.definition, scanned)


class Decoder(nnx.Module):
    """Tokens to hidden states."""

    def __init__(
        self,
        config: DecoderConfig,
        dtype: DTypeLike = jnp.float32,
        spread: Spread | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        self.dtype = dtype
        self.adapted = config.lora.layers if config.frozen_layers and config.lora else 0
        self.embed_scale = config.width**0.5 if config.scale_embeddings else None
        if config.embedding_multiplier != 1:
            self.embed_scale = (self.embed_scale or 1.0) * config.embedding_multiplier
        embed = jax.random.normal(rngs.params(), (config.vocab_size, config.width), jnp.float32)
        self.embed = nnx.Param(INIT_SCALE * embed)

        def make(key: Array) -> Layer:
            layer_rngs = nnx.Rngs(key)
            layer = Layer(config, dtype, spread, rngs=layer_rngs)
            return lora.adapt(layer, config.lora, dtype, rngs=layer_rngs)

        stack = nnx.vmap(make)
        self.layers = stack(jax.random.split(rngs.params(), config.layers))
        if self.adapted:
            lora.adapters_of_last(self.layers, self.adapted)
        self.norm = Norm(config, config.width, dtype)

    def __call__(
        self,
        row: Row,
        kinds: Int[Array, "layers"],
        context: Callable[[Int[Array, ""]], tuple[Rotary, Callable[..., Array]]],
        policy: Callable[..., bool] | None,
        place: Callable[[Array], Array],
        *,
        unrolled: int = 0,
        trunk: bool = False,
    ) -> Float[Array, "R S D"]:
        """Runs the layers by scan.

        Args:
            row: ids, or states below the layers with adapters.
            context: from the kind of a layer, its rotary angles and attention.
            policy: what the backward pass need not find again.
            place: puts states where their rows lie.
            unrolled: up to so many layers that are trained are no loop.
            trunk: ends below the layers with adapters.
        """

        def run(x: Array, part: Part) -> Array:
            def layer(x: Array, scanned: tuple[PyTree, Array]) -> tuple[Array, None]:
                params, kind = scanned
                return place(part.layer(params)(x, *context(kind))), None

            if policy is not None:
                layer = jax.checkpoint(layer, policy=policy, prevent_cse=False)
            own = kinds[part.layers]
            # Of frozen layers nothing is written for a backward pass.
            unroll = part.copied and len(own) <= unrolled
            return jax.lax.scan(layer, x, (part.scanned(kinds), own), unroll=unroll)[0]

        below, above = self._parts()
        if row.states is not None and below is None:
            raise ValueError("states are given, and no layer lies below those with adapters")
        x = place(self._embedded(row.tokens) if row.states is None else jnp.asarray(row.states))
        if below and row.states is None:
            x = run(x, below)
        return x if trunk else place(self.norm(run(x, above)))

    def _parts(self) -> tuple["Part | None", "Part"]:
        """The layers below those with adapters, if there are any, and the others."""

        def part(layers: nnx.Module, at: slice) -> Part:
            definition, stacked = nnx.split(layers)
            return Part(definition, jax.tree.map(lambda x: x[at], stacked), at)

        if not self.adapted:
            return None, part(self.layers, slice(None))
        below = Part(*nnx.split(lora.without_adapters(self.layers)), slice(-self.adapted), False)
        # Counted from the end: the stack of the adapters is that of the last layers alone.
        return below, part(self.layers, slice(-self.adapted, None))

    def with_cache(
        self,
        tokens: Int[AnyArray, "R S"],
        kinds: Int[Array, "layers"],
        context: Callable[..., tuple[Rotary, Callable[..., tuple[Array, PyTree]]]],
        cache: PyTree,
    ) -> tuple[Float[Array, "R S D"], PyTree]:
        """Runs the layers by scan; each reads and updates the KV cache.

        Args:
            kinds: of the layers, from `layer_kinds`.
            context: (kind, number of the layer, cache) -> its rotary angles, and attention that
                returns its output and the updated cache.
            cache: of all layers.

        Returns:
            States after the last norm, and the cache.
        """

        def run(carried: tuple[Array, PyTree], part: Part) -> tuple[Array, PyTree]:
            def layer(
                carried: tuple[Array, PyTree], scanned: tuple[PyTree, Array, Array]
            ) -> tuple[tuple[Array, PyTree], None]:
                x, cache = carried
                params, kind, number = scanned
                rotary, attend = context(kind, number, cache)
                updated = []

                def attend_and_keep(q: Array, k: Array, v: Array) -> Array:
                    output, cache = attend(q, k, v)
                    updated.append(cache)
                    return output

                x = part.layer(params)(x, rotary, attend_and_keep)
                return (x, *updated), None

            numbers = jnp.arange(len(kinds))[part.layers]
            return jax.lax.scan(layer, carried, (part.scanned(kinds), kinds[part.layers], numbers))[
                0
            ]

        carried = (self._embedded(tokens), cache)
        for part in filter(None, self._parts()):
            carried = run(carried, part)
        return self.norm(carried[0]), carried[1]

    def _embedded(self, tokens: Int[AnyArray, "R S"]) -> Float[Array, "R S D"]:
        # Rows are looked up in fp32: tokens that occur often sum their gradients unrounded.
        x = jnp.take(self.embed[...], tokens, axis=0).astype(self.dtype)
        if self.embed_scale is None:
            return x
        # The factor is rounded to the type of the computation, as in the original models.
        return x * jnp.asarray(self.embed_scale, self.dtype)


def init(config: DecoderConfig, key: Array) -> Params:
    """Random parameters without a head: matrices N(0, 0.02), biases 0, norms 1."""
    return nnx.to_pure_dict(nnx.state(Decoder(config, rngs=nnx.Rngs(key))))


def init_adapters(config: DecoderConfig, key: Array) -> Params:
    """The adapters among the random parameters; inside `jit` the others are never made."""
    return lora.adapters(init(config, key))


def hidden(
    config: DecoderConfig,
    params: Params,
    row: Row,
    compute: Compute = Compute(),
    *,
    trunk: bool = False,
) -> Float[Array, "R S D"]:
    """Hidden states after the last norm.

    Args:
        params: parameters; a head among them is ignored.
        trunk: gives those below the layers with adapters instead.

    Raises:
        ValueError: `compute.backend` is unknown.
    """
    if compute.remat not in REMAT:
        raise UserError(f"remat is {compute.remat!r}; choose one of {', '.join(REMAT)}")
    check_parts(compute, row.reach.shape[1])
    decoder = bound(config, params, compute.dtype, compute.spread)
    place = jnp.asarray if compute.spread is None else compute.spread.by_token
    context = attentions(config, row, compute, place(row.positions))
    policy = REMAT[compute.remat]
    # Outside of a loop the compiler would find what is computed again, and keep it.
    unrolled = UNROLLED if compute.platform == "cpu" and policy is None else 0
    kinds = layer_kinds(config)
    return decoder(row, kinds, context, policy, place, unrolled=unrolled, trunk=trunk)


def check_parts(compute: Compute, row_length: int) -> None:
    """Makes sure that the tokens of rows of a length can be split as the mesh says."""
    parts = compute.parts
    if row_length % parts:
        raise UserError(
            f"mesh.context={parts} splits no row of {row_length} tokens; choose a multiple of it"
        )
    if parts > 1 and compute.backend not in ("auto", "blocks"):
        raise UserError(
            f"attention={compute.backend} computes whole rows, and mesh.context={parts} splits "
            "them; choose auto or blocks"
        )


def bound(
    config: DecoderConfig, params: Params, dtype: DTypeLike, spread: Spread | None = None
) -> Decoder:
    """The decoder with its parameters; a head among them is left alone."""
    definition, empty = _definition(config, jnp.dtype(dtype), spread)
    return nnx.merge(definition, nnx.State({name: params[name] for name in empty}))


@functools.cache
def _definition(
    config: DecoderConfig, dtype: DTypeLike, spread: Spread | None
) -> tuple[nnx.GraphDef[Decoder], Params]:
    """How a decoder is put together from parameters, and their shapes."""
    abstract = nnx.eval_shape(lambda: Decoder(config, dtype, spread, rngs=nnx.Rngs(0)))
    definition, state = nnx.split(abstract)
    return definition, nnx.to_pure_dict(state)


def _normed(norm: Norm | None, x: Array) -> Array:
    return x if norm is None else norm(x)
