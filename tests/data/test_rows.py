"""The plan visits everything once, wastes little, and depends on seed and sizes alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapl_jax.data.rows import make_plan
from mapl_jax.runtime.errors import UserError

SIZES = st.lists(st.integers(1, 64), min_size=1, max_size=200)


def plan(lengths, **options):
    lengths = np.asarray(lengths)
    chosen = {"row_length": 64, "rows_per_batch": 4, "seed": 0} | options
    return make_plan(lengths, np.full(len(lengths), 6), np.full(len(lengths), 5), **chosen)


@given(SIZES, st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_visits_every_trie_once(lengths, rows, seed):
    p = plan(lengths, rows_per_batch=rows, seed=seed, epochs=2)
    first = p.epoch_steps[0]
    for steps in (range(first), range(first, p.steps)):
        seen = np.concatenate([row for step in steps for row in p.batch(step)])
        assert sorted(seen.tolist()) == list(range(len(lengths)))


@given(SIZES)
def test_no_row_overflows(lengths):
    p = plan(lengths)
    for row in range(p.steps * 4):
        assert sum(lengths[i] for i in p.row(row)) <= 64
        assert len(p.row(row)) * 6 <= p.max_leaves
        assert len(p.row(row)) * 5 <= p.max_comparisons


@given(SIZES)
def test_the_same_seed_gives_the_same_plan(lengths):
    a, b = plan(lengths, epochs=2), plan(lengths, epochs=2)
    np.testing.assert_array_equal(a.members, b.members)
    np.testing.assert_array_equal(a.offsets, b.offsets)


def test_epochs_and_seeds_differ():
    lengths = np.random.default_rng(0).integers(1, 64, 100)
    p = plan(lengths, epochs=2)
    half = p.epoch_steps[0]
    first = [row.tolist() for step in range(half) for row in p.batch(step)]
    second = [row.tolist() for step in range(half, p.steps) for row in p.batch(step)]
    assert first != second
    assert plan(lengths, seed=1).members.tolist() != plan(lengths, seed=0).members.tolist()


def test_rows_are_full():
    lengths = np.random.default_rng(0).integers(8, 400, 5000)
    p = plan(lengths, row_length=1024)
    assert lengths.sum() / (p.steps * 4 * 1024) > 0.97


def test_max_steps_takes_as_many_epochs_as_it_needs():
    lengths = [30] * 20
    per_epoch = plan(lengths).steps
    p = plan(lengths, max_steps=2 * per_epoch + 1)
    assert p.steps == 2 * per_epoch + 1
    assert len(p.epoch_steps) == 3
    assert p.epoch_at(0) == 0 and p.epoch_at(per_epoch) == 1


def test_longer_plans_begin_like_shorter_ones():
    lengths = np.random.default_rng(0).integers(1, 64, 100)
    short, long = plan(lengths, epochs=1), plan(lengths, epochs=3)
    for step in range(short.steps):
        assert [r.tolist() for r in short.batch(step)] == [r.tolist() for r in long.batch(step)]


def test_without_shuffling_the_seed_is_nothing():
    lengths = np.random.default_rng(0).integers(1, 64, 100)
    a, b = plan(lengths, shuffle=False, seed=1), plan(lengths, shuffle=False, seed=2)
    np.testing.assert_array_equal(a.members, b.members)


def test_a_trie_longer_than_a_row_is_refused():
    with pytest.raises(UserError, match="longer than a row"):
        plan([65])


def test_nothing_to_plan_is_refused():
    with pytest.raises(UserError, match="no trie"):
        plan([])
