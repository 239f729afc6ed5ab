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


def test_bfloat16_is_summed_in_fp32_on_cpu():
    x = jax.random.normal(jax.random.key(0), (1, 3, 4096)).astype(jnp.bfloat16)
    matrix = jax.random.normal(jax.random.key(1), (4096, 5)).astype(jnp.bfloat16)

    found, backward = jax.vjp(product, x, matrix)
    slopes = backward(jnp.ones_like(found))

    exact = np.asarray(x, np.float64)[0] @ np.asarray(matrix, np.float64)
    # Rounded once, at the end; bfloat16 has 8 bits.
    np.testing.assert_allclose(np.asarray(found, np.float64)[0], exact, rtol=2**-8, atol=1e-3)
    assert [slope.dtype for slope in (found, *slopes)] == [jnp.bfloat16] * 3


@pytest.mark.parametrize(("platform", "result"), [("cpu", "xf32>"), ("tpu", "xbf16>")])
def test_a_product_of_bfloat16_asks_for_fp32_on_cpu_alone(platform, result):
    shapes = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in ((1, 3, 8), (8, 5))]

    exported = jax.export.export(jax.jit(product), platforms=[platform])(*shapes)

    lines = str(exported.mlir_module()).splitlines()
    (line,) = [line for line in lines if "= stablehlo.dot_general" in line]
    assert line.rsplit("->", 1)[1].split(" loc")[0].strip().endswith(result)
