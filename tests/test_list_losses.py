"""Lists of responses: ties, rankings, and what a list counts beside pairs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax import losses, pair_losses
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import objective
from mapl_jax.training.objective import LossSettings


def table(*lists, ties=()):
    """One row of lists, each of the leaves named, the best first; ties are pairs of leaves."""
    leaves, share, tie = [], [], []
    for one in lists:
        edges = list(itertools.combinations(one, 2))
        leaves += edges
        share += [losses.share(losses.BASE, len(edges))] * len(edges)
        tie += [edge in ties for edge in edges]
    n = len(leaves)
    term_leaf, sign = np.zeros((1, n, 4), np.int32), np.zeros((1, n, 4), np.float32)
    term_leaf[0, :, :2], sign[0, :, :2] = leaves, [1, -1]
    zeros, share = np.zeros((1, n), np.float32), np.asarray([share], np.float32)
    return losses.Comparisons(
        *map(jnp.asarray, (term_leaf, sign, zeros, zeros.astype(np.int32))),
        weight=jnp.asarray(share / len(lists)),
        share=jnp.asarray(share),
        tie=jnp.asarray([tie]),
    )


def log_chance(r):
    """log of the chance of the ranking r_0 > r_1 > ... of Plackett and Luce, in NumPy."""
    r = np.asarray(r, np.float64)
    return sum(r[i] - np.log(np.exp(r[i:]).sum()) for i in range(len(r) - 1))


# Compiled as one: operation by operation, each would be a program of its own.
preference_loss = jax.jit(losses.preference_loss, static_argnames="rankings")
R = jnp.asarray([[0.3, -0.4, 1.1, 0.2, 0.9]], jnp.float32)


def test_a_list_counts_as_a_pair_does():
    loss, sums = preference_loss(R, table((0, 1, 2), (3, 4)))
    r = np.asarray(R[0], np.float64)
    of_list = np.mean([np.logaddexp(0, r[j] - r[i]) for i, j in [(0, 1), (0, 2), (1, 2)]])
    assert float(loss) == pytest.approx((of_list + np.logaddexp(0, r[4] - r[3])) / 2, rel=1e-6)
    assert float(sums.comparisons[0]) == pytest.approx(2)
    assert float(sums.correct[0]) == pytest.approx(1 / 3)


def test_the_loss_of_a_tie_is_the_mean_of_both_orders_and_least_where_they_are_equal():
    tied = table((0, 1), ties=[(0, 1)])

    def loss(gap):
        return preference_loss(jnp.asarray([[gap, 0.0]]), tied)[0]

    m = 0.7
    expected = -0.5 * (np.log(1 / (1 + np.exp(-m))) + np.log(1 / (1 + np.exp(m))))
    assert float(loss(m)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(-m)) == pytest.approx(expected, rel=1e-6)
    assert float(jax.grad(loss)(0.0)) == 0.0
    assert float(jax.grad(loss)(m)) == pytest.approx(0.5 * np.tanh(m / 2), rel=1e-5)


@pytest.mark.parametrize("name", pair_losses.LOSSES)
def test_a_tie_of_a_policy_is_the_mean_of_both_orders(name):
    smoothing = 0.1 if name == "exo_pair" else 0.0
    of_pair = pair_losses.combine({name: 1.0}, beta=0.2, smoothing=smoothing)
    zeros = jnp.zeros((1, 2))

    def loss(logps, tie):
        comparisons = table((0, 1), ties=[(0, 1)] if tie else [])
        tokens = jnp.asarray([[3, 5]] if logps[0][0] else [[5, 3]])
        logps = jnp.asarray(logps)
        return losses.dpo_loss(
            logps, zeros, comparisons, tokens, zeros, beta=0.2, base_loss=of_pair
        )

    one, other = (float(loss(logps, False)[0]) for logps in ([[2.0, 0.0]], [[0.0, 2.0]]))
    found, sums = loss([[2.0, 0.0]], True)
    assert float(found) == pytest.approx((one + other) / 2, rel=1e-6)
    assert float(sums.levels.ordered[0]) == float(sums.levels.correct[0]) == 0
    assert float(sums.levels.comparisons[0]) == 1


def test_ties_count_in_the_loss_and_not_in_the_accuracy():
    _, sums = preference_loss(R, table((2, 0), (3, 4), ties=[(3, 4)]))
    assert float(sums.comparisons[0]) == 2
    assert float(sums.ordered[0]) == float(sums.correct[0]) == 1
    assert float(sums.gap[0]) == pytest.approx(0.8, rel=1e-6)


def test_a_ranking_has_the_chance_that_plackett_and_luce_give_it():
    loss, sums = preference_loss(R, table((0, 1, 2, 3, 4)), rankings=True)
    assert float(loss) == pytest.approx(-log_chance(R[0]), rel=1e-6)
    assert float(sums.loss[0]) == pytest.approx(-log_chance(R[0]), rel=1e-6)


def test_the_gradient_of_a_ranking_is_that_of_its_closed_form():
    ranking = table((0, 1, 2, 3))
    found = jax.jit(jax.grad(lambda r: preference_loss(r, ranking, rankings=True)[0]))(R)
    r, expected = np.asarray(R[0, :4], np.float64), np.zeros(5)
    for i in range(3):  # each stage: a softmax over what is left, minus the one that comes first
        chance = np.exp(r[i:]) / np.exp(r[i:]).sum()
        expected[i:4] += chance
        expected[i] -= 1
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_rankings_of_a_batch_are_averaged_and_those_of_pairs_are_bradley_and_terry():
    comparisons = table((0, 1, 2), (3, 4))
    ranked, _ = preference_loss(R, comparisons, rankings=True)
    expected = -(log_chance(R[0, :3]) + log_chance(R[0, 3:])) / 2
    assert float(ranked) == pytest.approx(expected, rel=1e-6)
    pairs = table((0, 1), (3, 4))
    one, two = (preference_loss(R, pairs, rankings=yes)[0] for yes in (True, False))
    assert float(one) == pytest.approx(float(two), rel=1e-6)


def test_far_apart_rewards_leave_a_ranking_finite():
    r = jnp.asarray([[300.0, -300.0, 0.0]])
    ranking = table((0, 1, 2))
    of_rewards = jax.value_and_grad(lambda r: preference_loss(r, ranking, rankings=True)[0])
    loss, grad = jax.jit(of_rewards)(r)
    assert float(loss) == pytest.approx(300.0, rel=1e-6)
    assert np.isfinite(grad).all()


def test_a_ranking_is_a_loss_of_its_own():
    with pytest.raises(UserError, match=r"loss\.lists=plackett_luce"):
        objective.make("dpo", LossSettings(lists="plackett_luce", type="hinge"))
    objective.make("dpo", LossSettings(lists="plackett_luce", type="sigmoid,sft"))
    objective.make("reward", LossSettings(lists="plackett_luce"))


@pytest.mark.parametrize(
    ("level", "count", "share"), [(0, 1, 1), (0, 6, 1 / 6), (1, 2, 1), (2, 4, 0.5)]
)
def test_shares(level, count, share):
    assert losses.share(level, count) == pytest.approx(share)
