"""Before the first update a policy is its reference: every loss is log 2, however it is packed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax import losses
from mapl_jax.kernels.rows import Row
from mapl_jax.models import heads
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead

CONFIG = DecoderConfig(512, 32, 1, 2, 1, 16, 64)
FEW = 0.1


@functools.cache
def parameters():
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: np.asarray(0.3 * rng.normal(size=x.shape), np.float32),
        LogpHead().abstract_params(CONFIG),
    )


def texts(seed, count=8, longest=90):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 512, int(rng.integers(30, longest))) for _ in range(count)]


def row(some, length):
    """Texts side by side in one row; all tokens but the first of each are scored."""
    arrays = {name: np.zeros((1, length), np.int32) for name in ("tokens", "positions", "reach")}
    arrays["parent"] = np.full((1, length), -1, np.int32)
    scored, ends, at = [], [], 0
    for text in some:
        here = slice(at, at + len(text))
        arrays["tokens"][0, here] = text
        arrays["positions"][0, here] = np.arange(len(text))
        arrays["reach"][0, here] = at + len(text)
        arrays["parent"][0, at + 1 : at + len(text)] = np.arange(at, at + len(text) - 1)
        scored += range(at + 1, at + len(text))
        at += len(text)
        ends.append(at - 1)
    arrays["scored_at"] = np.full((1, length), -1, np.int32)
    arrays["scored_at"][0, : len(scored)] = scored
    row = Row(arrays["tokens"], arrays["positions"], arrays["reach"])
    return row, arrays["parent"], arrays["scored_at"], np.asarray([ends], np.int32)


@functools.partial(jax.jit, static_argnames="parts")
def logps(arrays, parts):
    return heads.leaf_logps(CONFIG, parameters(), *arrays, parts=parts)[0]


def apart(parts, seed):
    """How far log-probabilities of texts alone lie from those of the same texts in one row."""
    some = texts(seed)
    alone = np.stack([logps(row([text], 128), parts)[0] for text in some])
    packed = np.asarray(logps(row(some, 768), parts))
    difference = packed - alone
    return np.abs(difference.sum(-1) if parts else difference).max(), alone


@pytest.mark.parametrize("seed", range(4))
def test_sums_in_two_parts_agree_across_packings_where_one_number_cannot(seed):
    found, alone = apart(True, seed)
    assert np.abs(alone.sum(-1)).max() > 256  # beyond which fp32 has steps of 3e-5
    # Of tokens, whose log-probabilities are about 10, rounding is left; of their sums it is not.
    assert found < 1e-5
    plain, whole = apart(False, seed)
    np.testing.assert_allclose(alone.sum(-1), whole, rtol=1e-6)
    assert plain > found


def test_the_two_parts_have_the_gradient_of_the_sum():
    arrays = row(texts(9, 3), 384)

    def total(params, parts):
        return jnp.sum(heads.leaf_logps(CONFIG, params, *arrays, parts=parts) * FEW)

    one, two = (jax.jit(jax.grad(total), static_argnums=1)(parameters(), x) for x in (False, True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one, two)


def test_the_coarse_part_is_exact():
    found = np.asarray(logps(row(texts(3), 768), True))
    np.testing.assert_array_equal(found[:, 0] % heads.GRID, 0)
    assert (np.abs(found[:, 1]) < 90 * heads.GRID).all()


def test_a_sum_is_its_parts_or_itself():
    values = jnp.asarray([[[-3.0, 0.25], [1.0, 0.5]]])
    np.testing.assert_array_equal(losses.joined(values), [[-2.75, 1.5]])
    np.testing.assert_array_equal(losses.joined(values[..., 0]), [[-3.0, 1.0]])
