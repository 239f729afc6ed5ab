"""Log-probabilities of given tokens without the logits of all of them.

The logits of a few tokens at a time are made, used and forgotten, in the backward pass once more.
Memory is then [chunk, V] instead of [tokens, V].
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mapl_jax.kernels.rows import AnyArray
from mapl_jax.kernels.softcap import softcap_grad, softcapped

# What the backward pass reads of the forward pass: states, matrix, targets, log-sum-exp.
_Saved = tuple[Array, Array, Array, Array]


def token_logps(
    states: Float[Array, "R P D"],
    matrix: Float[AnyArray, "D V"],
    targets: Int[AnyArray, "R P"],
    *,
    chunk: int = 256,
    softcap: float | None = None,
) -> Float[Array, "R P"]:
    """Log-probability of each target after the state that predicts it, fp32.

    Products are of the states' type and summed in fp32, as are the log-sum-exp and the gradient of
    the matrix over chunks: rounded after every chunk, it would be biased.

    Args:
        matrix: from states to logits; cast to the states' type.
        chunk: most tokens of a row whose logits are held at once.
        softcap: logits become softcap * tanh(logits / softcap).

    Raises:
        ValueError: the chunk is smaller than 1.
    """
    if chunk < 1:
        raise ValueError(f"a chunk must have at least one token, not {chunk}")
    length = states.shape[1]
    # Chunks of one size, so that the last one is not mostly empty.
    parts = max(1, -(-length // chunk))
    size = -(-length // parts)

    def cut(x: AnyArray) -> Array:
        width = ((0, 0), (0, parts * size - length), *((0, 0),) * (x.ndim - 2))
        return jnp.moveaxis(jnp.pad(x, width).reshape(x.shape[0], parts, size, *x.shape[2:]), 1, 0)

    values = _scan_logps(cut(states), matrix, cut(targets), softcap)
    return jnp.moveaxis(values, 0, 1).reshape(states.shape[0], parts * size)[:, :length]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _scan_logps(states: Array, matrix: Array, targets: Array, softcap: float | None) -> Array:
    return _forward(states, matrix, targets, softcap)[0]


def _forward(
    states: Array, matrix: Array, targets: Array, softcap: float | None
) -> tuple[Array, _Saved]:
    cast = matrix.astype(states.dtype)

    def step(_: None, part: tuple[Array, Array]) -> tuple[None, tuple[Array, Array]]:
        x, target = part
        logits = _logits(x, cast, softcap)
        lse = jax.nn.logsumexp(logits, axis=-1)
        # A sum over the vocabulary stays where its shards are; a gather would bring them together.
        target_logit = jnp.sum(jnp.where(_one_hot(target, logits), logits, 0.0), axis=-1)
        return None, (target_logit - lse, lse)

    _, (values, lses) = jax.lax.scan(step, None, (states, targets))
    return values, (states, matrix, targets, lses)


def _backward(softcap: float | None, saved: _Saved, dlogps: Array) -> tuple[Array, Array, None]:
    states, matrix, targets, lses = saved
    cast = matrix.astype(states.dtype)

    def step(sum_: Array, part: tuple[Array, ...]) -> tuple[Array, Array]:
        x, target, lse, dlogp = part
        logits = _logits(x, cast, softcap)
        dlogits = _one_hot(target, logits) - jnp.exp(logits - lse[..., None])
        dlogits = dlogits * dlogp[..., None]
        dlogits = softcap_grad(dlogits, logits, softcap).astype(x.dtype)
        dx = jnp.einsum("rpv,dv->rpd", dlogits, cast, preferred_element_type=jnp.float32)
        dmatrix = jnp.einsum("rpd,rpv->dv", x, dlogits, preferred_element_type=jnp.float32)
        return sum_ + dmatrix, dx.astype(x.dtype)

    start = jnp.zeros(matrix.shape, jnp.float32)
    dmatrix, dstates = jax.lax.scan(step, start, (states, targets, lses, dlogps))
    return dstates, dmatrix.astype(matrix.dtype), None


_scan_logps.defvjp(_forward, _backward)


def _logits(x: Array, matrix: Array, softcap: float | None) -> Float[Array, "R P V"]:
    logits = jnp.einsum("rpd,dv->rpv", x, matrix, preferred_element_type=jnp.float32)
    return softcapped(logits, softcap)


def _one_hot(target: Array, logits: Array) -> Array:
    return target[..., None] == jax.lax.broadcasted_iota(target.dtype, logits.shape, 2)
