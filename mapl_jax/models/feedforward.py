"""Feed-forward layers: dense, or a mixture of experts with top-k routing (MoE).

The parameters of experts (arXiv 1701.06538), beside which there are no adapters:

    router           [layers, D, E]
    gate, up, down   [layers, E, in, out]

No token is dropped: tokens are sorted by their experts, so that each expert multiplies its own, a
group of any size, by `jax.lax.ragged_dot`. JAX hands such groups to XLA for TPU as they are; for
CPU it makes a product with all experts of them, which does for tests. There is no auxiliary
load-balancing loss, as by default in `transformers`: what is trained here starts from balanced
experts.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from mapl_jax.kernels.compute import Spread
from mapl_jax.models import lora
from mapl_jax.models.config import ACTIVATIONS, XIELU, DecoderConfig
from mapl_jax.models.families import XIELU_BETA, XIELU_EPS

# Of the two parameters: what softplus makes 0.8, and 0.8 less beta.
XIELU_INIT = (math.log(math.expm1(0.8)), math.log(math.expm1(0.8 - XIELU_BETA)))


class Mlp(nnx.Module):
    """A gated feed-forward layer (arXiv 2002.05202), or one with xIELU."""

    def __init__(self, config: DecoderConfig, dtype: DTypeLike, *, rngs: nnx.Rngs):
        linear = functools.partial(lora.linear, dtype=dtype, rngs=rngs)
        self.activation = config.activation
        if self.activation == XIELU:
            self.alpha_p, self.alpha_n = (nnx.Param(jnp.full(1, x)) for x in XIELU_INIT)
        else:
            self.gate = linear(config.width, config.mlp_width, use_bias=config.mlp_bias)
        self.up = linear(config.width, config.mlp_width, use_bias=config.mlp_bias)
        self.down = linear(config.mlp_width, config.width, use_bias=config.mlp_bias)

    def __call__(self, x: Float[Array, "R S D"]) -> Float[Array, "R S D"]:
        """Applies it to every token."""
        if self.activation == XIELU:
            return self.down(xielu(self.up(x), self.alpha_p[...], self.alpha_n[...]))
        return self.down(ACTIVATIONS[self.activation](self.gate(x)) * self.up(x))


def xielu(
    x: Float[Array, "R S F"], alpha_p: Float[Array, "1"], alpha_n: Float[Array, "1"]
) -> Float[Array, "R S F"]:
    """A square above 0, an exponential below (arXiv 2411.13010)."""
    above = jax.nn.softplus(alpha_p.astype(x.dtype))
    below = XIELU_BETA + jax.nn.softplus(alpha_n.astype(x.dtype))
    falling = below * (jnp.expm1(jnp.minimum(x, XIELU_EPS)) - x)
    return jnp.where(x > 0, above * x * x, falling) + XIELU_BETA * x


class Experts(nnx.Module):
    """Gated feed-forward layers; a token takes those that the router finds likeliest for it."""

    def __init__(
        self, config: DecoderConfig, dtype: DTypeLike, spread: Spread | None, *, rngs: nnx.Rngs
    ):
        def matrix(*shape: int) -> nnx.Param:
            return nnx.Param(lora.INIT_SCALE * jax.random.normal(rngs.params(), shape, jnp.float32))

        many, width, inner = config.experts, config.width, config.mlp_width
        self.dtype, self.spread = dtype, spread
        self.take, self.to_one = config.experts_per_token, config.expert_weights_to_one
        self.activation = config.activation
        self.router = matrix(width, many)
        self.gate, self.up = matrix(many, width, inner), matrix(many, width, inner)
        self.down = matrix(many, inner, width)

    def __call__(self, x: Float[Array, "R S D"]) -> Float[Array, "R S D"]:
        """Applies to every token its experts, each on the devices that hold it."""
        mix = functools.partial(
            _mix, take=self.take, to_one=self.to_one, activation=ACTIVATIONS[self.activation]
        )
        matrices = (each[...].astype(self.dtype) for each in (self.gate, self.up, self.down))
        arrays = (x, self.router[...].astype(jnp.float32), *matrices)
        if self.spread is None:
            return mix(*arrays)
        # Devices along the axis of heads have the same tokens, and each a share of the experts.
        axis, states = self.spread.heads, self.spread.states
        split = self.gate.shape[0] % self.spread.mesh.shape[axis] == 0
        share = PartitionSpec(axis) if split else PartitionSpec()
        return jax.shard_map(
            functools.partial(mix, axis=axis if split else None),
            mesh=self.spread.mesh,
            in_specs=(states, PartitionSpec(), share, share, share),
            out_specs=states,
            check_vma=False,
        )(*arrays)


def route(
    tokens: Float[Array, "T D"], router: Float[Array, "D E"], *, take: int, to_one: bool
) -> tuple[Float[Array, "T k"], Int[Array, "T k"]]:
    """Weights and numbers of the k experts that each token takes, in fp32; `to_one` normalizes."""
    logits = jnp.matmul(tokens.astype(jnp.float32), router, precision=jax.lax.Precision.HIGHEST)
    weights, expert_ids = jax.lax.top_k(jax.nn.softmax(logits, axis=-1), take)
    return weights / jnp.sum(weights, -1, keepdims=True) if to_one else weights, expert_ids


def _mix(
    x: Float[Array, "R S D"],
    router: Float[Array, "D E"],
    gate: Float[Array, "e D F"],
    up: Float[Array, "e D F"],
    down: Float[Array, "e F D"],
    *,
    take: int,
    to_one: bool,
    activation: Callable[[Array], Array],
    axis: str | None = None,
) -> Float[Array, "R S D"]:
    """What the experts that are here add to every token; their sum over an axis of the mesh."""
    here, width = len(gate), x.shape[-1]
    tokens = x.reshape(-1, width)
    weights, expert_ids = route(tokens, router, take=take, to_one=to_one)
    if axis is not None:
        expert_ids = expert_ids - here * jax.lax.axis_index(axis)
    # Those of other devices come last, as a group that nothing is computed of.
    group = jnp.where((expert_ids >= 0) & (expert_ids < here), expert_ids, here).ravel()
    order = jnp.argsort(group, stable=True)
    sizes = jnp.bincount(group, length=here + 1)[:here].astype(jnp.int32)
    mine = (jnp.arange(len(order)) < jnp.sum(sizes))[:, None]
    source = order // take
    # What lies beyond the groups is undefined, in products and in their gradients.
    sorted_tokens = jnp.where(mine, tokens[source], 0)
    inner = activation(jax.lax.ragged_dot(sorted_tokens, gate, sizes))
    inner = inner * jax.lax.ragged_dot(sorted_tokens, up, sizes)
    out = jnp.where(mine, jax.lax.ragged_dot(inner, down, sizes), 0).astype(jnp.float32)
    out = out * weights.ravel()[order][:, None]
    total = jnp.zeros(tokens.shape, jnp.float32).at[source].add(out)
    if axis is not None:
        total = jax.lax.psum(total, axis)
    return total.astype(x.dtype).reshape(x.shape)
