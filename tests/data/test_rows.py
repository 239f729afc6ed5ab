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


@given(st.lists(st.integers(1, 250), min_size=1, max_size=100))
def test_no_row_overflows(lengths):
    p = plan(lengths)
    for step in range(p.steps):
        shape = p.shape(step)
        for row in p.batch(step):
            assert sum(lengths[i] for i in row) <= shape.row_length
            assert len(row) * 6 <= shape.leaves
            assert len(row) * 5 <= shape.comparisons


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


def test_parts_without_a_row_are_no_padding():
    lengths = [60] * 19  # a row each: the last batch has 3
    whole, parts, spread = (
        plan(lengths, rows_per_batch=16, accumulation=parts, data_parts=devices)
        for parts, devices in [(1, 1), (16, 1), (2, 8)]
    )
    assert whole.steps == parts.steps == spread.steps == 2
    assert whole.filled == 19 * 60 / (2 * 16 * 64)
    assert parts.filled == 60 / 64
    assert spread.filled == 19 * 60 / (3 * 8 * 64)


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


def test_a_trie_longer_than_a_row_gets_a_longer_row_in_a_batch_of_fewer():
    p = plan([16] * 4000 + [65, 120, 125, 128, 250, 256], rows_per_batch=8)
    assert [(shape.row_length, shape.rows) for shape in p.shapes] == [(64, 8), (128, 4), (256, 2)]
    place = {
        int(trie): p.shape(step).row_length
        for step in range(p.steps)
        for row in p.batch(step)
        for trie in row
    }
    assert [place[trie] for trie in range(4000, 4006)] == [128] * 4 + [256] * 2


@pytest.mark.parametrize(
    "rows, parts, devices, expected",
    [
        (16, 16, 1, [(16, 16), (8, 8), (4, 4)]),  # one row at a time, fewer times
        (16, 2, 8, [(16, 2), (8, 1), (8, 1)]),  # a device never has less than one row
        (12, 1, 1, [(12, 1), (6, 1), (3, 1)]),
        (6, 2, 1, [(6, 2), (3, 3), (1, 1)]),
    ],
)
def test_batches_of_longer_rows_hold_no_more_tokens_where_devices_allow(
    rows, parts, devices, expected
):
    lengths = [16] * 4000 + [128] * 24 + [256] * 24
    p = plan(lengths, rows_per_batch=rows, accumulation=parts, data_parts=devices)
    assert [(shape.rows, shape.parts) for shape in p.shapes] == expected


def test_the_same_tries_lie_in_the_same_rows_on_any_devices():
    lengths = np.random.default_rng(0).integers(8, 250, 500)
    alone = plan(lengths, rows_per_batch=24)
    assert len(alone.shapes) > 1
    for devices, parts in [(4, 1), (8, 1), (8, 3), (24, 1), (1, 6), (2, 4), (1, 24)]:
        spread = plan(lengths, rows_per_batch=24, data_parts=devices, accumulation=parts)
        assert spread.steps == alone.steps
        for step in range(alone.steps):
            rows = [row.tolist() for row in spread.batch(step)]
            assert len(rows) % (devices * spread.shape(step).parts) == 0
            expected = [row.tolist() for row in alone.batch(step)]
            assert rows == expected + [[]] * (len(rows) - len(expected))


def test_the_longest_rows_come_first_and_short_tries_fill_them():
    lengths = np.random.default_rng(0).integers(4, 60, 3000)
    lengths[::300] = 200
    for shuffle in (True, False):
        p = plan(lengths, rows_per_batch=8, shuffle=shuffle)
        assert p.shape(0).row_length == 256
        assert p.filled > 0.97
    # Long rows come anywhere in an epoch, not only first.
    assert plan(lengths, rows_per_batch=8, epochs=2).kinds.nonzero()[0].max() > 10


def test_tries_that_fill_short_rows_badly_take_the_longer_ones_that_are_there():
    lengths = np.random.default_rng(0).integers(35, 62, 3000)  # two of them fit no row of 64
    assert plan(lengths).filled < 0.8
    lengths[::300] = 200
    p = plan(lengths, rows_per_batch=8)
    assert p.shapes[0].row_length > 64 and p.filled > 0.94


def test_a_batch_of_nothing_but_empty_rows_is_refused():
    with pytest.raises(UserError, match=r"train.rows_per_batch is 1,048,576, and there are 3 sam"):
        plan([1, 2, 3], rows_per_batch=2**20)
    assert plan([1, 2, 3], rows_per_batch=4096).steps == 1


def test_nothing_to_plan_is_refused():
    with pytest.raises(UserError, match="no trie"):
        plan([])
