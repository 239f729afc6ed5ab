"""Products of states with matrices, whose gradients are as fast as they are.

XLA for CPU multiplies fast what lies row by row: [n, k] with [k, m]. Differentiation asks for the
other forms, [n, m] with [k, m] transposed and [n, k] transposed with [n, m], which run at a third
of that speed. So on CPU the gradients are taken of transposed copies, a small part of the work.
Other platforms transpose within their matrix units.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def product(x: Float[Array, "R S in"], matrix: Float[Array, "in out"]) -> Float[Array, "R S out"]:
    """x @ matrix, of states and weights of the same type."""
    return jnp.einsum("rsi,io->rso", x, matrix)


def _forward(x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return product(x, matrix), (x, matrix)


def _backward(saved: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    x, matrix = saved
    of_x = jnp.einsum("rso,oi->rsi", slope, _laid_out(jnp.transpose, matrix))
    # The thinner of the two is transposed, so that the wide side of an adapter stays as it lies.
    if x.shape[-1] <= slope.shape[-1]:
        return of_x, jnp.einsum("irs,rso->io", _laid_out(_by_feature, x), slope)
    return of_x, jnp.einsum("ors,rsi->oi", _laid_out(_by_feature, slope), x).T


def _by_feature(x: Float[Array, "R S in"]) -> Float[Array, "in R S"]:
    return x.transpose(2, 0, 1)


def _laid_out(change: Callable[[Array], Array], x: Array) -> Array:
    """A transposed array, on CPU as a copy that no product sees through."""
    return jax.lax.platform_dependent(
        x, cpu=lambda x: jax.lax.optimization_barrier(change(x)), default=change
    )


product.defvjp(_forward, _backward)
