"""Gradients of products are those of a plain product, whichever side is thinner."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.kernels.products import product


@pytest.mark.parametrize(("inner", "outer"), [(24, 3), (3, 24), (8, 8)])
def test_gradients_are_those_of_a_plain_product(inner, outer):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, 5, inner))
    matrix = jax.random.normal(keys[1], (inner, outer))
    slope = jax.random.normal(keys[2], (2, 5, outer))

    ours = jax.jit(jax.grad(lambda *a: jnp.sum(product(*a) * slope), argnums=(0, 1)))(x, matrix)

    np.testing.assert_allclose(ours[0], slope @ matrix.T, rtol=1e-5, atol=1e-5)
    by_hand = np.einsum("rsi,rso->io", x, slope)
    np.testing.assert_allclose(ours[1], by_hand, rtol=1e-5, atol=1e-5)
