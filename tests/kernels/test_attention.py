"""Every backend is the softmax over ancestors, in value and in gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.kernels import attention as kernel
from mapl_jax.kernels.attention import reach_mask
from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row


@functools.partial(jax.jit, static_argnames=("window", "softcap", "scale", "backend"))
def attention(q, k, v, reach, positions, backend="auto", **options):
    return kernel.attention(
        q, k, v, Row(reach, positions, reach), Compute(backend=backend), **options
    )


def random_rows(seed, rows, length, used=0.9):
    """reach and positions of random forests: every token's subtree ends within its parent's."""
    rng = np.random.default_rng(seed)
    reach, positions = np.zeros((2, rows, length), np.int32)

    def grow(row, start, stop, depth):
        while start < stop:
            end = int(rng.integers(start + 1, stop + 1))
            reach[row, start], positions[row, start] = end, depth
            if end - start > 1 and rng.random() < 0.8:
                chain = min(end - start - 1, int(rng.integers(0, 12)))
                for step in range(1, chain + 1):
                    reach[row, start + step] = end
                    positions[row, start + step] = depth + step
                grow(row, start + 1 + chain, end, depth + 1 + chain)
            else:
                reach[row, start] = start + 1
                end = start + 1
            start = end

    for row in range(rows):
        grow(row, 0, int(used * length) if row % 2 == 0 else length, 0)
    return jnp.asarray(reach), jnp.asarray(positions)


def inputs(seed=0, rows=2, length=40, heads=4, kv_heads=2, width=8, dtype=jnp.float32):
    rng = np.random.default_rng(seed)
    q, k, v = (
        jnp.asarray(rng.normal(size=(rows, length, n, width)), dtype)
        for n in (heads, kv_heads, kv_heads)
    )
    return q, k, v, *random_rows(seed, rows, length)


def by_hand(q, k, v, reach, positions, window=None, softcap=None, scale=None):
    q, k, v, reach, positions = (np.asarray(x, np.float64) for x in (q, k, v, reach, positions))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    out = np.zeros_like(q)
    group = q.shape[2] // k.shape[2]
    for row, token, head in np.ndindex(q.shape[:3]):
        seen = [
            i
            for i in range(token + 1)
            if token < reach[row, i]
            and (window is None or positions[row, token] - positions[row, i] < window)
        ] or [token]
        scores = k[row, seen, head // group] @ q[row, token, head] * scale
        if softcap is not None:
            scores = softcap * np.tanh(scores / softcap)
        weights = np.exp(scores - scores.max())
        out[row, token, head] = weights / weights.sum() @ v[row, seen, head // group]
    return out


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(kernel, "TILE", 16)


OPTIONS = [{}, {"window": 3}, {"softcap": 1.5}, {"window": 5, "softcap": 2.0, "scale": 0.7}]


@pytest.mark.parametrize("backend", ["dense", "blocks"])
@pytest.mark.parametrize("options", OPTIONS)
def test_is_the_softmax_over_ancestors(backend, options):
    args = inputs()
    found = attention(*args, **options, backend=backend)
    np.testing.assert_allclose(found, by_hand(*args, **options), atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("length", [1, 16, 33])
def test_blocks_have_the_gradient_of_dense(options, length):
    q, k, v, reach, positions = inputs(1, length=length)
    weight = jnp.asarray(np.random.default_rng(2).normal(size=q.shape), jnp.float32)

    def slopes(backend):
        def total(q, k, v):
            out = attention(q, k, v, reach, positions, **options, backend=backend)
            return jnp.sum(out * weight)

        return jax.jit(jax.grad(total, argnums=(0, 1, 2)))(q, k, v)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), slopes("blocks"), slopes("dense")
    )


@pytest.mark.parametrize("backend", ["dense", "blocks"])
def test_a_traced_window_is_the_same_in_value_and_gradient(backend):
    q, k, v, reach, positions = inputs(3)

    def total(q, k, v, window):
        row, compute = Row(reach, positions, reach), Compute(backend=backend)
        out = kernel.attention(q, k, v, row, compute, window=window)
        return jnp.sum(jnp.sin(out)), out

    traced = jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))
    for window in (1, 4, 2**30):
        slopes, out = traced(q, k, v, jnp.asarray(window))
        expected = by_hand(q, k, v, reach, positions, window=window)
        np.testing.assert_allclose(out, expected, atol=1e-5)
        dense = jax.grad(
            lambda *a, window=window: jnp.sum(
                jnp.sin(attention(*a, reach, positions, window=window, backend="dense"))
            ),
            argnums=(0, 1, 2),
        )(q, k, v)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), slopes, dense)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_query_heads_share_key_heads_in_order(kv_heads):
    args = inputs(kv_heads=kv_heads)
    for backend in ("dense", "blocks"):
        np.testing.assert_allclose(attention(*args, backend=backend), by_hand(*args), atol=1e-5)


@pytest.mark.parametrize("backend", ["dense", "blocks"])
def test_bf16_is_close(backend):
    args = inputs(dtype=jnp.bfloat16)
    found = attention(*args, backend=backend)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found, np.float32), by_hand(*args), atol=0.03)


@pytest.mark.parametrize("backend", ["dense", "blocks"])
def test_padding_attends_to_itself_only(backend):
    q, k, v, _, positions = inputs(kv_heads=4)
    reach = jnp.zeros_like(positions)
    found = attention(q, k, v, reach, positions, backend=backend)
    np.testing.assert_allclose(found, v, atol=1e-6)


def test_large_scores_stay_finite():
    q, k, v, reach, positions = inputs()
    for backend in ("dense", "blocks"):
        slope = jax.jit(
            jax.grad(
                lambda q, backend=backend: jnp.sum(
                    attention(q, 1e4 * k, v, reach, positions, backend=backend)
                )
            )
        )(1e4 * q)
        assert np.isfinite(slope).all()


def test_auto_is_one_of_the_others():
    args = inputs()
    np.testing.assert_array_equal(attention(*args), attention(*args, backend="blocks"))
    short = inputs(length=8)
    np.testing.assert_array_equal(attention(*short), attention(*short, backend="dense"))


def test_the_mask_of_a_small_trie():
    # 0 - 1 - 2      and a padding token 4
    #       \ 3
    mask = reach_mask(jnp.asarray([[4, 4, 3, 4, 0]]))
    expected = [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    np.testing.assert_array_equal(mask[0], np.asarray(expected, bool))


def test_a_window_counts_positions_not_indices():
    reach, positions = jnp.asarray([[4, 4, 3, 4]]), jnp.asarray([[0, 1, 2, 2]])
    mask = reach_mask(reach, positions, window=2)
    np.testing.assert_array_equal(mask[0, 3], [False, True, False, True])
    with pytest.raises(ValueError, match="positions"):
        reach_mask(reach, window=2)


def test_an_unknown_backend_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="auto, dense, blocks"):
        attention(*inputs(), backend="flash")
    with pytest.raises(ValueError, match="multiple"):
        attention(*inputs(heads=3))
