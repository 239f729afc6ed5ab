import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.kernels.softcap import softcap_grad, softcapped


@pytest.mark.parametrize("cap", [None, 30.0])
def test_the_gradient_is_the_one_that_jax_finds(cap):
    x = jnp.linspace(-100, 100, 41)
    capped, backward = jax.vjp(lambda x: softcapped(x, cap), x)
    dcapped = jnp.cos(x)
    np.testing.assert_allclose(
        softcap_grad(dcapped, capped, cap), backward(dcapped)[0], rtol=1e-4, atol=1e-6
    )


def test_small_values_stay_and_large_ones_end_at_the_cap():
    x = jnp.array([-1e6, -0.1, 0.0, 0.1, 1e6])
    np.testing.assert_allclose(softcapped(x, 50.0), [-50, -0.1, 0, 0.1, 50], rtol=1e-5)
    np.testing.assert_array_equal(softcapped(x, None), x)
