"""Products of states with matrices, whose gradients are as fast as they are.

XLA for CPU multiplies fast what lies row by row: [n, k] with [k, m]. Differentiation asks for the
other forms, [n, m] with [k, m] transposed and [n, k] transposed with [n, m], which run at a third
of that speed. So on CPU the gradients are taken of transposed copies, a small part of the work.
Other platforms transpose within their matrix units.

A product of bfloat16 arrays is also fast on CPU only if its result is asked for in fp32: the matrix
units of a CPU (AMX) sum in fp32, and XLA does not use them for another result.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def product(x: Float[Array, "R S in"], matrix: Float[Array, "in out"]) -> Float[Array, "R S out"]:
    """x @ matrix, of states and weights of the same type."""
    return _summed("rsi,io->rso", x, matrix)


def _forward(x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return product(x, matrix), (x, matrix)


def _backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, matrix = saved
    dx = _summed("rso,oi->rsi", dy, _laid_out(jnp.transpose, matrix))
    # The thinner of the two is transposed, so that the wide side of an adapter stays as it lies.
    if x.shape[-1] <= dy.shape[-1]:
        return dx, _summed("irs,rso->io", _laid_out(_by_feature, x), dy)
    return dx, _summed("ors,rsi->oi", _laid_out(_by_feature, dy), x).T


def _summed(equation: str, x: Array, y: Array) -> Array:
    """A product of arrays of one type, and of that type; on CPU it is summed in fp32."""

    def plain(x: Array, y: Array) -> Array:
        return jnp.einsum(equation, x, y)

    def fp32(x: Array, y: Array) -> Array:
        return jnp.einsum(equation, x, y, preferred_element_type=jnp.float32).astype(x.dtype)

    if x.dtype == jnp.float32:
        return plain(x, y)
    return jax.lax.platform_dependent(x, y, cpu=fp32, default=plain)


def _by_feature(x: Float[Array, "R S in"]) -> Float[Array, "in R S"]:
    return x.transpose(2, 0, 1)


def _laid_out(change: Callable[[Array], Array], x: Array) -> Array:
    """A transposed array, on CPU as a copy that no product sees through."""
    return jax.lax.platform_dependent(
        x, cpu=lambda x: jax.lax.optimization_barrier(change(x)), default=change
    )


product.defvjp(_forward, _backward)
