"""Lists of tiles: what they hold, and that time follows them and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax.data import rows, tries
from mapl_jax.kernels import tiles
from mapl_jax.kernels.attention import attention, reach_mask
from mapl_jax.kernels.compute import Compute, Spread
from mapl_jax.kernels.rows import Row
from mapl_jax.kernels.tiles import TILE


def forest(rng, length):
    """Tries of random paths that share beginnings, side by side, with padding after them.

    Returns:
        reach, positions [S], and the first token of each trie and the one past its last.
    """
    reach, positions = np.zeros((2, length), np.int32)
    starts, stops, at = [], [], 0
    while True:
        prompt = rng.integers(0, 9, rng.integers(1, 90))
        paths = []
        for _ in range(rng.integers(1, 5)):
            shared = paths[-1].tokens[: rng.integers(1, 150)] if paths else prompt
            fresh = rng.integers(0, 9, rng.integers(1, 70))
            paths.append(tries.TokenPath(np.concatenate([shared, fresh]).astype(np.int32), 1))
        trie = tries.build(paths)
        if at + len(trie) > length:
            return reach, positions, np.asarray(starts, int), np.asarray(stops, int)
        reach[at : at + len(trie)] = trie.reach + at
        positions[at : at + len(trie)] = trie.positions
        starts.append(at)
        at += len(trie)
        stops.append(at)


def list_of(reach, places=None):
    seen = [tiles.seen(row) for row in np.asarray(reach)]
    places = places or max(map(len, seen))
    return jnp.asarray([np.pad(row, (0, places - len(row)), constant_values=-1) for row in seen])


def by_mask(mask, tile):
    """The codes of tiles that hold an allowed pair, one by one."""
    n = tiles.count(len(mask), tile)
    return [
        i * n + j
        for i in range(n)
        for j in range(n)
        if i == j or mask[i * tile : (i + 1) * tile, j * tile : (j + 1) * tile].any()
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 64, 65, 700]))
def test_a_list_holds_the_tiles_of_allowed_pairs_and_no_others(seed, length):
    reach, _, starts, stops = forest(np.random.default_rng(seed), length)
    mask = np.asarray(reach_mask(jnp.asarray(reach[None]))[0])
    seen = tiles.seen(reach)
    assert seen.tolist() == by_mask(mask, TILE)
    traced = np.asarray(tiles.traced(jnp.asarray(reach[None]))[0])
    np.testing.assert_array_equal(traced[traced >= 0], seen)
    assert len(seen) <= tiles.bound(starts, stops, length) <= tiles.most(length)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_larger_tiles_are_joined_from_smaller_ones(seed):
    reach, _, _, _ = forest(np.random.default_rng(seed), 700)
    mask = np.asarray(reach_mask(jnp.asarray(reach[None]))[0])
    coarse = np.asarray(tiles.coarse(list_of(reach[None], 90), 700, 4 * TILE)[0])
    assert coarse[coarse >= 0].tolist() == by_mask(mask, 4 * TILE)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_a_window_leaves_out_tiles_that_are_too_far_away(seed, window):
    reach, positions, _, _ = forest(np.random.default_rng(seed), 700)
    arrays = jnp.asarray(reach[None]), jnp.asarray(positions[None])
    needed = by_mask(np.asarray(reach_mask(*arrays, window)[0]), TILE)
    kept = np.asarray(tiles.within(list_of(reach[None]), *arrays, window)[0])
    kept = kept[kept >= 0]
    assert set(needed) <= set(kept.tolist()) <= set(tiles.seen(reach).tolist())


def test_a_window_over_a_long_trie_leaves_the_tiles_beside_the_diagonal():
    positions = jnp.arange(10 * TILE)[None]
    reach = jnp.full_like(positions, 10 * TILE)
    kept = np.asarray(tiles.within(tiles.traced(reach), reach, positions, TILE // 2)[0])
    i, j = np.divmod(kept[kept >= 0], 10)
    assert sorted(i - j) == [0] * 10 + [1] * 9


@dataclasses.dataclass(frozen=True)
class Case:
    heads: int
    kv_heads: int
    window: int | None
    softcap: float | None


CASES = [
    Case(4, 2, None, None),
    Case(3, 1, None, 1.5),
    Case(2, 2, 40, None),
    Case(4, 1, 90, 2.0),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_listed_tiles_give_what_all_pairs_give_in_value_and_gradient(case):
    def values(arrays, backend):
        *qkv, reach, positions, lists, slope = arrays
        options = {"window": case.window, "softcap": case.softcap}
        row = Row(reach, positions, reach, lists)

        def total(q, k, v):
            out = attention(q, k, v, row, Compute(backend=backend), **options)
            return jnp.sum(out * slope), out

        slopes, out = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(*qkv)
        return out, *slopes

    compiled = {name: jax.jit(lambda a, n=name: values(a, n)) for name in ("dense", "blocks")}

    @settings(max_examples=8, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        made = [forest(rng, 300) for _ in range(2)]
        reach, positions = (jnp.asarray([row[i] for row in made]) for i in range(2))
        sizes = (case.heads, case.kv_heads, case.kv_heads, case.heads)
        q, k, v, slope = (rng.normal(size=(2, 300, n, 8)).astype(np.float32) for n in sizes)
        arrays = (q, k, v, reach, positions, list_of(reach, tiles.most(300)), slope)
        for found, expected in zip(
            compiled["blocks"](arrays), compiled["dense"](arrays), strict=True
        ):
            np.testing.assert_allclose(found, expected, atol=2e-5)

    check()


def test_a_pair_that_is_not_listed_is_not_visited():
    """What a tile holds comes from the visit of its pair: without it, nothing does."""
    q, k, v = (jnp.ones((1, 3 * TILE, 1, 4)) for _ in range(3))
    v = v.at[:, :TILE].set(jnp.nan)
    reach = jnp.full((1, 3 * TILE), 3 * TILE)
    without = [i * 3 + j for i in range(3) for j in range(i + 1) if j or not i]
    row, compute = Row(reach, reach, reach), Compute(backend="blocks")
    assert np.isnan(attention(q, k, v, row, compute)).all()
    found = attention(q, k, v, row._replace(tiles=jnp.asarray([[*without, -1]])), compute)
    np.testing.assert_allclose(found[0, TILE:], 1.0, atol=1e-6)


def packed(length, rng):
    reach, positions, _, _ = forest(rng, length)
    return jnp.asarray(reach[None]), jnp.asarray(positions[None])


def test_work_a_token_does_not_grow_with_the_row():
    rng = np.random.default_rng(0)
    visits = {s: len(tiles.seen(packed(s, rng)[0][0])) / s for s in (1024, 8192)}
    assert visits[8192] == pytest.approx(visits[1024], rel=0.35)
    # All pairs up to the diagonal would be 8 times as many.
    assert visits[8192] < 0.12 * tiles.most(8192) / 8192


@pytest.mark.parametrize("backward", [False, True])
def test_compiled_operations_of_a_visit_are_the_same_for_any_row(backward):
    """XLA counts the body of the loop once: what one visit costs, which no row length changes."""

    def operations(length, backend):
        q, kv = jnp.zeros((1, length, 4, 32)), jnp.zeros((1, length, 2, 32))
        seen = jnp.zeros((1, length), jnp.int32)

        def total(q, k, v):
            return jnp.sum(attention(q, k, v, Row(seen, seen, seen), Compute(backend=backend)))

        function = jax.grad(total, argnums=(0, 1, 2)) if backward else total
        compiled = jax.jit(function).lower(q, kv, kv).compile()
        return compiled.cost_analysis()["flops"] / length

    products = 2 * (2 if not backward else 7) * TILE * TILE * 32 * 4
    one = {s: operations(s, "blocks") * s for s in (1024, 4096)}
    # What is not in the loop grows with the row and no faster.
    around = (one[4096] - one[1024]) / 3072
    visit = one[1024] - 1024 * around
    assert products < visit < 1.5 * products
    assert around < 100 * 4 * 32
    # Per token at 8,192 and 1,024: the visits of packed tries times the cost of one.
    rng = np.random.default_rng(1)
    cost = {s: around + visit * len(tiles.seen(packed(s, rng)[0][0])) / s for s in (1024, 8192)}
    assert cost[8192] < 1.35 * cost[1024]
    assert operations(4096, "dense") > 3.5 * operations(1024, "dense")


def test_rows_of_a_plan_have_places_for_all_their_tiles():
    rng = np.random.default_rng(2)
    lengths = rng.integers(20, 900, 200)
    ones = np.ones_like(lengths)
    plan = rows.make_plan(lengths, ones, ones, row_length=1024, rows_per_batch=4, seed=0)
    assert plan.shapes[0].tiles <= -(-tiles.most(1024) // 16) * 16
    for index in range(plan.steps * 4):
        stops = np.cumsum(lengths[plan.row(index)])
        reach = np.zeros(1024, int)
        for start, stop in zip(stops - lengths[plan.row(index)], stops, strict=True):
            reach[start:stop] = stop
        assert len(tiles.seen(reach)) <= plan.shapes[0].tiles


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 2, 4), (2, 2, 2)])
def test_over_devices_it_is_the_same(shape):
    names = ("data", "fsdp", "tensor")
    mesh = jax.make_mesh(shape, names, axis_types=(jax.sharding.AxisType.Auto,) * 3)
    spread = Spread(mesh, ("data", "fsdp"), "tensor")
    rng = np.random.default_rng(3)
    made = [forest(rng, 150) for _ in range(8)]
    reach, positions = (jnp.asarray([row[i] for row in made]) for i in range(2))
    q, k, v = (rng.normal(size=(8, 150, n, 8)).astype(np.float32) for n in (8, 2, 2))

    def total(q, k, v, spread):
        row, compute = Row(reach, positions, reach), Compute(backend="blocks", spread=spread)
        out = attention(q, k, v, row, compute, window=30)
        return jnp.sum(jnp.sin(out)), out

    both = [
        jax.jit(jax.grad(lambda *a, s=s: total(*a, s), argnums=(0, 1, 2), has_aux=True))(q, k, v)
        for s in (None, spread)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *both)
