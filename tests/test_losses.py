"""The loss says what the formula says, whatever the packing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax import losses, token_losses

# Leaves of a compact sample: (x,w) (x,l) (x',w) (x',l) (x'',w) (x'',l)
XW, XL, PW, PL, QW, QL = range(6)
TABLE = [
    (losses.BASE, [XW, XL], [1, -1]),
    (losses.INTRA, [PW, QW], [1, -1]),
    (losses.INTRA, [QL, PL], [1, -1]),
    (losses.INTER, [PW, PL, XW, XL], [1, -1, -1, 1]),
    (losses.INTER, [QW, QL, XW, XL], [-1, 1, 1, -1]),
]
# As if x' held instructions that both responses keep, or both break.
NEUTRAL = [(losses.NEUTRAL, [PW, PL, XW, XL], [1, -1, -1, 1])]


def compact(rows=1, gamma=0.0, weights=(1.0, 1.0, 1.0, 1.0), entries=TABLE):
    leaf = np.zeros((rows, len(entries), 4), np.int32)
    sign = np.zeros((rows, len(entries), 4), np.float32)
    level = np.zeros((rows, len(entries)), np.int32)
    for c, (name, leaves, signs) in enumerate(entries):
        leaf[:, c, : len(leaves)] = leaves
        sign[:, c, : len(signs)] = signs
        level[:, c] = name
    count = np.asarray([1, 2, 2, 1]) * rows
    weight = (np.asarray(weights) / count)[level].astype(np.float32)
    gammas, share = np.full(level.shape, gamma, np.float32), np.ones(level.shape, np.float32)
    tie = level == losses.NEUTRAL
    return losses.Comparisons(*map(jnp.asarray, (leaf, sign, gammas, level, weight, share, tie)))


def rewards(seed=0, rows=1, scale=2.0):
    return jnp.asarray(np.random.default_rng(seed).normal(0, scale, (rows, 6)), jnp.float32)


def numpy_loss(rewards, table, inter="margin", center=0.0):
    """The formula once more, in float64 and with loops."""
    r = np.asarray(rewards, np.float64)
    total = 0.0
    for row in range(r.shape[0]):
        for c in range(table.level.shape[1]):
            level = int(table.level[row, c])
            if level < 0:
                continue
            terms = [
                float(table.term_sign[row, c, t]) * r[row, int(table.term_leaf[row, c, t])]
                for t in range(4)
            ]
            if level == losses.INTER and inter in ("plain", "fixed"):
                terms = terms[:2]
            margin = sum(terms) - float(table.gamma[row, c])
            value = np.logaddexp(0.0, -margin)
            if level == losses.BASE and center:
                value += center * sum(_pair(r, table, row, c)) ** 2
            total += float(table.weight[row, c]) * value
    return total


def _pair(r, table, row, c):
    return [r[row, int(table.term_leaf[row, c, t])] for t in range(2)]


def test_equal_rewards_cost_log_2_per_level():
    loss, _ = losses.preference_loss(jnp.zeros((3, 6)), compact(3))
    assert float(loss) == pytest.approx(3 * np.log(2), abs=1e-6)


def test_base_is_bradley_terry():
    table = compact(weights=(1.0, 0.0, 0.0, 0.0))
    r = rewards()
    loss, _ = losses.preference_loss(r, table)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-(float(r[0, XW] - r[0, XL])))), rel=1e-6)


@pytest.mark.parametrize("inter", losses.INTER_FORMS)
@pytest.mark.parametrize("center", [0.0, 0.01])
def test_agrees_with_float64(inter, center):
    loss_of = jax.jit(functools.partial(losses.preference_loss, inter=inter, center=center))
    for seed in range(20):
        table, r = compact(4, gamma=0.3, weights=(1.0, 0.7, 0.4, 1.0)), rewards(seed, 4)
        loss, _ = loss_of(r, table)
        assert float(loss) == pytest.approx(numpy_loss(r, table, inter, center), rel=1e-6)


loss_and_slope = jax.jit(jax.value_and_grad(lambda r, table: losses.preference_loss(r, table)[0]))


@settings(deadline=None, max_examples=50)
@given(st.floats(-80, 80), st.floats(-80, 80))
def test_large_margins_stay_finite(a, b):
    r = np.zeros((1, 6), np.float32)
    r[0, XW], r[0, PL] = a, b
    loss, slope = loss_and_slope(r, compact())
    assert np.isfinite(loss) and np.isfinite(slope).all()
    assert float(loss) == pytest.approx(numpy_loss(r, compact()), rel=1e-6, abs=1e-6)


def shift(leaves):
    return jnp.zeros((1, 6)).at[0, jnp.asarray(leaves)].set(3.5)


def level_margins(r, level, **options):
    table = compact()
    return np.asarray(losses.margins(r, table, **options))[np.asarray(table.level) == level]


PROMPT_SHIFTS = [[XW, XL], [PW, PL], [QW, QL]]
RESPONSE_SHIFTS = [[XW, PW, QW], [XL, PL, QL]]


@pytest.mark.parametrize("leaves", PROMPT_SHIFTS)
@pytest.mark.parametrize("level", [losses.BASE, losses.INTER])
def test_a_reward_of_the_prompt_alone_changes_neither_base_nor_inter(leaves, level):
    r = rewards()
    moved = level_margins(r + shift(leaves), level)
    np.testing.assert_allclose(moved, level_margins(r, level), atol=1e-5)


@pytest.mark.parametrize("leaves", RESPONSE_SHIFTS)
@pytest.mark.parametrize("level", [losses.INTRA, losses.INTER])
def test_a_reward_of_the_response_alone_changes_neither_intra_nor_inter(leaves, level):
    r = rewards()
    moved = level_margins(r + shift(leaves), level)
    np.testing.assert_allclose(moved, level_margins(r, level), atol=1e-5)


def test_only_base_sees_a_reward_of_the_response():
    r = rewards()
    moved = level_margins(r + shift(RESPONSE_SHIFTS[0]), losses.BASE)
    np.testing.assert_allclose(moved, level_margins(r, losses.BASE) + 3.5, atol=1e-5)


def test_inter_is_the_sum_of_two_intra_margins():
    r = rewards()[0]
    first, mirror = level_margins(r[None], losses.INTER)
    assert first == pytest.approx(float((r[PW] - r[XW]) + (r[XL] - r[PL])), abs=1e-5)
    assert mirror == pytest.approx(float((r[XW] - r[QW]) + (r[QL] - r[XL])), abs=1e-5)


def test_inter_is_the_logit_of_iopo():
    """arXiv 2411.06208: of the four (x', y_w) and (x, y_l) against (x', y_l) and (x, y_w)."""
    r = rewards()[0]
    logit = float((r[PW] + r[XL]) - (r[PL] + r[XW]))
    assert level_margins(r[None], losses.INTER)[0] == pytest.approx(logit, abs=1e-5)


def test_stopgrad_has_the_value_of_margin_and_the_gradient_of_plain_terms():
    r, table = rewards(), compact(weights=(0.0, 0.0, 1.0, 0.0))

    def loss(x, form):
        return losses.preference_loss(x, table, inter=form)[0]

    assert float(loss(r, "stopgrad")) == pytest.approx(float(loss(r, "margin")))
    slope, full = jax.grad(loss)(r, "stopgrad"), jax.grad(loss)(r, "margin")
    np.testing.assert_array_equal(slope[0, :2], 0.0)
    np.testing.assert_allclose(slope[0, 2:], full[0, 2:], rtol=1e-6)


@pytest.mark.parametrize("inter", losses.INTER_FORMS)
def test_neutral_is_a_tie_of_two_gaps_whatever_the_form_of_inter(inter):
    r = rewards()
    change = float(r[0, PW] - r[0, PL] - r[0, XW] + r[0, XL])
    loss, sums = losses.preference_loss(r, compact(entries=NEUTRAL), inter=inter)
    expected = (np.logaddexp(0, -change) + np.logaddexp(0, change)) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert sums.comparisons.tolist() == [0, 0, 0, 1] and not sums.ordered.any()


def test_neutral_draws_the_change_of_the_gap_to_0():
    table = compact(entries=NEUTRAL)
    r = rewards()
    change = float(r[0, PW] - r[0, PL] - r[0, XW] + r[0, XL])
    gradient = jax.grad(lambda x: losses.preference_loss(x, table)[0])(r)
    # Of -1/2 [log s(d) + log s(-d)] it is tanh(d / 2) / 2, and 0 where the gap stays.
    expected = np.tanh(change / 2) / 2 * np.asarray([-1, 1, 1, -1, 0, 0])
    np.testing.assert_allclose(gradient[0], expected, rtol=1e-5, atol=1e-7)
    still = jnp.asarray([[3.0, 1.0, 5.0, 3.0, 0.0, 0.0]])
    assert not jax.grad(lambda x: losses.preference_loss(x, table)[0])(still).any()


def test_plain_ignores_the_original_gap():
    r = rewards()
    moved = r.at[0, XW].add(5.0)
    np.testing.assert_allclose(
        level_margins(moved, losses.INTER, inter="plain"),
        level_margins(r, losses.INTER, inter="plain"),
    )


def test_gradient_is_that_of_finite_differences():
    r, table = rewards(), compact(gamma=0.2)
    slope = np.asarray(jax.grad(lambda x: losses.preference_loss(x, table, center=0.01)[0])(r))
    for leaf in range(6):
        step = np.zeros((1, 6))
        step[0, leaf] = 1e-6
        up = numpy_loss(np.asarray(r, np.float64) + step, table, center=0.01)
        down = numpy_loss(np.asarray(r, np.float64) - step, table, center=0.01)
        assert slope[0, leaf] == pytest.approx((up - down) / 2e-6, abs=1e-5)


def test_parts_of_a_batch_add_up():
    table, r = compact(4), rewards(1, 4)
    whole, sums = losses.preference_loss(r, table)
    parts = [
        losses.preference_loss(r[i : i + 2], losses.Comparisons(*(x[i : i + 2] for x in table)))
        for i in (0, 2)
    ]
    assert float(whole) == pytest.approx(sum(float(loss) for loss, _ in parts), rel=1e-6)
    joined = jax.tree.map(lambda *x: jnp.stack(x), *(sums for _, sums in parts)).joined()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), joined, sums)


def test_unused_comparisons_and_leaves_count_nothing():
    table, r = compact(), rewards()
    wide = losses.Comparisons(
        jnp.pad(table.term_leaf, ((0, 0), (0, 3), (0, 0))),
        jnp.pad(table.term_sign, ((0, 0), (0, 3), (0, 0))),
        jnp.pad(table.gamma, ((0, 0), (0, 3))),
        jnp.pad(table.level, ((0, 0), (0, 3)), constant_values=losses.UNUSED),
        jnp.pad(table.weight, ((0, 0), (0, 3))),
        jnp.pad(table.share, ((0, 0), (0, 3))),
        jnp.pad(table.tie, ((0, 0), (0, 3))),
    )
    loss, sums = losses.preference_loss(r, table)
    padded, padded_sums = losses.preference_loss(jnp.pad(r, ((0, 0), (0, 5))), wide)
    assert float(loss) == pytest.approx(float(padded), rel=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), sums, padded_sums)


def test_ties_are_wrong_and_counted():
    _, sums = losses.preference_loss(jnp.zeros((2, 6)), compact(2))
    np.testing.assert_array_equal(sums.correct, 0)
    np.testing.assert_array_equal(sums.ties, [2, 4, 4, 0])
    np.testing.assert_array_equal(sums.comparisons, [2, 4, 4, 0])


def test_reward_statistics_are_those_of_base_leaves():
    r = rewards()
    _, sums = losses.preference_loss(r, compact())
    pair = np.asarray(r)[0, :2]
    assert float(sums.reward) == pytest.approx(pair.sum(), rel=1e-6)
    assert float(sums.reward_min) == pytest.approx(pair.min())
    assert float(sums.reward_max) == pytest.approx(pair.max())


def test_gamma_is_subtracted_from_the_margin_but_not_from_the_gap():
    r = rewards()
    np.testing.assert_allclose(
        losses.margins(r, compact(gamma=0.5)), losses.margins(r, compact()) - 0.5, atol=1e-6
    )
    _, with_gamma = losses.preference_loss(r, compact(gamma=0.5))
    _, without = losses.preference_loss(r, compact())
    np.testing.assert_array_equal(with_gamma.gap, without.gap)


def test_an_unknown_inter_form_is_refused():
    with pytest.raises(ValueError, match="margin, plain, fixed, stopgrad"):
        losses.margins(rewards(), compact(), inter="other")


def test_an_evaluation_has_the_losses_of_a_step():
    """Of NumPy's numbers in their precision, and even far out without overflow."""
    margins = np.asarray([-800.0, -3.0, 0.0, 0.5, 800.0])
    ours = losses.margin_loss(margins)
    assert isinstance(ours, np.ndarray) and ours.dtype == np.float64
    np.testing.assert_allclose(ours[1:4], np.log1p(np.exp(-margins[1:4])), rtol=1e-15)
    np.testing.assert_array_equal(ours[[0, 4]], [800.0, 0.0])
    on_device = losses.margin_loss(jnp.asarray(margins, jnp.float32))
    np.testing.assert_array_equal(on_device, -jax.nn.log_sigmoid(jnp.asarray(margins, jnp.float32)))
    np.testing.assert_allclose(on_device, ours, rtol=1e-6)


def test_gaps_are_the_same_on_both_sides():
    r, table = rewards(), compact()
    terms = np.asarray(losses.term_rewards(r, table.term_leaf))
    np.testing.assert_array_equal(
        losses.signed_sum(terms, np.asarray(table.term_sign)),
        losses.margins(r, table),
    )


def test_weights_make_a_sum_the_mean_of_each_level():
    weights = losses.level_weights(np.asarray([1.0, 0.5, 0.25]), np.asarray([4, 0, 10]))
    np.testing.assert_allclose(weights, [0.25, 0.0, 0.025])
    assert token_losses.token_weight(0.5, 10) == 0.05
    assert token_losses.token_weight(0.5, 0) == 0.5


def test_perplexity_is_that_of_the_mean_token_and_may_be_infinite():
    assert token_losses.perplexity(token_losses.token_loss(-4 * np.log(8.0), 4)) == pytest.approx(
        8.0
    )
    assert token_losses.perplexity(1e4) == np.inf
