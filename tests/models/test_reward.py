"""A leaf's reward and gradient are those of the leaf alone, whatever lies around it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.data import tries
from mapl_jax.kernels import attention as kernel
from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row
from mapl_jax.models import heads
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead

from support import random_like

CONFIG = DecoderConfig(24, 16, 2, 4, 2, 8, 24)
ROWS, TOKENS, LEAVES, LONGEST = 2, 64, 12, 20


@functools.cache
def parameters():
    """All random, and larger than at the start of training, so that attention is no average."""
    return random_like(ScoreHead().abstract_params(CONFIG), 0.3)


@pytest.fixture(params=["dense", "blocks"])
def backend(request, monkeypatch):
    monkeypatch.setattr(kernel, "TILE", 32)
    return request.param


@functools.cache
def compiled(backend):
    """Rewards [R, L] and the gradient of each of them."""

    def rewards(params, *row):
        return heads.rewards(CONFIG, params, *row, Compute(backend=backend))

    return jax.jit(lambda p, *row: (rewards(p, *row), jax.jacrev(rewards)(p, *row)))


def random_paths(rng, count):
    """Paths that share beginnings: the same start, the same prompt, the same everything."""
    paths = []
    for _ in range(count):
        kept = []
        if paths and rng.random() < 0.8:
            other = paths[rng.integers(len(paths))].tokens
            kept = list(other[: rng.integers(0, len(other) + 1)])
        fresh = rng.integers(0, CONFIG.vocab_size, rng.integers(0 if kept else 1, 8))
        tokens = np.asarray([*kept, *fresh], np.int32)[:LONGEST]
        paths.append(tries.TokenPath(tokens, int(rng.integers(0, len(tokens) + 1))))
    return paths


def row_of(forest, length=TOKENS, leaves=LEAVES, first_leaf=0):
    """tokens, positions, reach, leaf_end of tries side by side."""
    row = {name: np.zeros(length, np.int32) for name in ("tokens", "positions", "reach")}
    leaf_end = np.full(leaves, -1, np.int32)
    at, leaf = 0, first_leaf
    for trie in forest:
        for name in row:
            row[name][at : at + len(trie)] = getattr(trie, name) + at * (name == "reach")
        leaf_end[leaf : leaf + len(trie.leaf_end)] = trie.leaf_end + at
        at, leaf = at + len(trie), leaf + len(trie.leaf_end)
    return row["tokens"], row["positions"], row["reach"], leaf_end


def stack(rows):
    *arrays, leaf_end = (jnp.asarray(np.stack(column)) for column in zip(*rows, strict=True))
    return Row(*arrays), leaf_end


def random_forests(seed):
    rng = np.random.default_rng(seed)
    forests = []
    for _ in range(ROWS):
        paths, size = [], 0
        while len(paths) < 3:
            some = random_paths(rng, int(rng.integers(1, 5)))
            if size + len(tries.build(some)) > TOKENS:
                break
            paths.append(some)
            size += len(tries.build(some))
        forests.append(paths)
    return forests


@pytest.mark.parametrize("seed", range(8))
def test_a_packed_leaf_has_the_reward_and_the_gradient_of_the_leaf_alone(seed, backend):
    forests = random_forests(seed)
    packed = stack([row_of([tries.build(paths) for paths in forest]) for forest in forests])
    found, slopes = compiled(backend)(parameters(), *packed)
    leaves = [(r, path) for r, forest in enumerate(forests) for paths in forest for path in paths]
    alone = [row_of([tries.build([path])], LONGEST, 1) for _, path in leaves]
    alone += [row_of([], LONGEST, 1)] * (2 * LEAVES - len(alone))
    single, single_slopes = compiled("dense")(parameters(), *stack(alone))
    place = dict.fromkeys(range(ROWS), 0)
    for i, (row, _) in enumerate(leaves):
        j = place[row]
        place[row] += 1
        np.testing.assert_allclose(found[row, j], single[i, 0], atol=1e-5)
        jax.tree.map(
            lambda a, b, at=(row, j), i=i: np.testing.assert_allclose(
                a[at], b[i, 0], rtol=1e-5, atol=1e-5
            ),
            slopes,
            single_slopes,
        )


def test_a_leaf_without_any_padding_has_the_same_reward():
    path = tries.TokenPath(np.arange(13, dtype=np.int32), 5)
    trie = tries.build([path])
    score = jax.jit(functools.partial(heads.rewards, CONFIG))
    padded = score(parameters(), *stack([row_of([trie])]))
    bare = score(parameters(), *stack([row_of([trie], 13, 1)]))
    np.testing.assert_allclose(padded[0, 0], bare[0, 0], atol=1e-5)


def test_where_a_trie_lies_and_beside_what_changes_nothing(backend):
    rng = np.random.default_rng(5)
    first, second, third = (tries.build(random_paths(rng, 3)) for _ in range(3))
    score = compiled(backend)
    base = score(parameters(), *stack([row_of([first, second, third])]))[0][0]
    turned = score(parameters(), *stack([row_of([third, first, second])]))[0][0]
    np.testing.assert_allclose(turned[:9], jnp.roll(base[:9], 3), atol=1e-5)


def test_rows_may_come_in_any_order(backend):
    forests = [[tries.build(p) for p in forest] for forest in random_forests(3)]
    score = compiled(backend)
    rows = [row_of(forest) for forest in forests]
    base = score(parameters(), *stack(rows))[0]
    np.testing.assert_allclose(score(parameters(), *stack(rows[::-1]))[0], base[::-1], atol=1e-6)


def test_an_unused_leaf_has_reward_0_and_no_gradient(backend):
    trie = tries.build([tries.TokenPath(np.arange(6, dtype=np.int32), 3)])
    row = stack([row_of([trie], first_leaf=2)])
    found, slopes = compiled(backend)(parameters(), *row)
    unused = np.asarray([leaf != 2 for leaf in range(LEAVES)])
    np.testing.assert_array_equal(np.asarray(found)[0, unused], 0.0)
    assert float(found[0, 2]) != 0.0
    for slope in jax.tree.leaves(slopes):
        np.testing.assert_array_equal(np.asarray(slope)[0, unused], 0.0)


def test_a_row_of_padding_alone_is_finite():
    found, slopes = compiled("dense")(parameters(), *stack([row_of([])]))
    np.testing.assert_array_equal(found, 0.0)
    assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))


def test_the_head_is_fp32_also_when_the_rest_is_bf16():
    forests = [[tries.build(p) for p in forest] for forest in random_forests(1)]
    rows = stack([row_of(forest) for forest in forests])
    score = jax.jit(functools.partial(heads.rewards, CONFIG), static_argnames="compute")
    high, low = (
        score(parameters(), *rows, compute=Compute(dtype)) for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert low.dtype == jnp.float32
    assert np.abs(high - low).max() < 0.2
    used = np.asarray(low)[np.asarray(low) != 0]
    rounded = np.asarray(jnp.asarray(used, jnp.bfloat16), np.float32)
    assert (used != rounded).any(), "rewards are rounded to bf16"
