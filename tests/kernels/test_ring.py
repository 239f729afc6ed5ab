"""Attention round a ring of devices is dense attention, whatever reaches what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mapl_jax.kernels import attention as kernel
from mapl_jax.kernels.compute import Compute, Spread
from mapl_jax.kernels.rows import Row

ROWS, LENGTH, AXES = 2, 96, ("data", "fsdp", "context", "tensor")
# Parts of whole tiles, of some and a half, and of less than one.
CASES = {
    "2 parts, and heads": ((1, 1, 2, 2), {}),
    "4 parts, and rows": ((2, 1, 4, 1), {}),
    "8 parts": ((1, 1, 8, 1), {"window": 5, "softcap": 2.0}),
}
NUMBERS = arrays.arrays(np.int32, (ROWS, LENGTH), elements=st.integers(0, LENGTH))


def slopes(shape, options):
    """A compiled function of reach and positions: gradients of q, k and v, and the output."""
    spread, count = None, int(np.prod(shape))
    if count > 1:
        types = (jax.sharding.AxisType.Auto,) * 4
        mesh = jax.make_mesh(shape, AXES, axis_types=types, devices=jax.devices()[:count])
        spread = Spread(mesh, AXES[:2], AXES[3], AXES[2])
    compute = Compute(backend="dense" if spread is None else "auto", spread=spread)
    rng = np.random.default_rng(0)
    q, k, v, weight = (jnp.asarray(rng.normal(size=(ROWS, LENGTH, n, 8))) for n in (4, 2, 2, 4))

    def total(q, k, v, reach, positions):
        output = kernel.attention(q, k, v, Row(reach, positions, reach), compute, **options)
        return jnp.sum(output * weight), output

    of = jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))
    return lambda reach, positions: of(q, k, v, reach, positions)


@pytest.fixture(scope="module")
def functions():
    """The same of a ring and of dense attention, by case."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "TILE", 16)
        yield {
            name: (slopes(shape, options), slopes((1, 1, 1, 1), options))
            for name, (shape, options) in CASES.items()
        }


@pytest.mark.parametrize("case", CASES)
def test_a_ring_gives_what_all_pairs_give(functions, case):
    around, dense = functions[case]

    @settings(max_examples=10, deadline=None)
    @given(reach=NUMBERS, positions=NUMBERS, used=st.integers(1, LENGTH))
    def check(reach, positions, used):
        at = np.arange(LENGTH)
        reach = np.where(at < used, np.clip(reach, at + 1, used), 0).astype(np.int32)
        found, expected = around(reach, positions), dense(reach, positions)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, expected)

    check()


def test_what_computes_whole_rows_is_refused():
    with pytest.raises(ValueError, match="split over devices take blocks, not dense"):
        kernel.choose("dense", LENGTH, platform="cpu", parts=2)
    assert kernel.choose("auto", LENGTH, platform="tpu", parts=2) == "blocks"
