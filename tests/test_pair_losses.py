"""Each loss of a pair is its formula, in value and slope, and takes no number without a meaning."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax import pair_losses
from mapl_jax.pair_losses import LOSSES, OF_MARGIN, Pair, combine

BETA, SMOOTHING = 0.1, 0.2
SIDES = ("chosen", "rejected")


def s(x):
    return 1 / (1 + math.exp(-x))


def log_s(x):
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


# The formulas of TRL 1.16 once more, in float64, of log-ratios u, v and lengths n, k.
FORMULAS = {
    "sigmoid": lambda u, v, n, k, b, e: -(1 - e) * log_s(b * (u - v)) - e * log_s(-b * (u - v)),
    "sigmoid_norm": lambda u, v, n, k, b, e: -log_s(b * (u / n - v / k)),
    "hinge": lambda u, v, n, k, b, e: max(0.0, 1 - b * (u - v)),
    "ipo": lambda u, v, n, k, b, e: (u / n - v / k - 1 / (2 * b)) ** 2,
    "robust": lambda u, v, n, k, b, e: (
        (-(1 - e) * log_s(b * (u - v)) + e * log_s(-b * (u - v))) / (1 - 2 * e)
    ),
    "exo_pair": lambda u, v, n, k, b, e: (
        s(b * (u - v)) * (log_s(b * (u - v)) - math.log(1 - e))
        + s(-b * (u - v)) * (log_s(-b * (u - v)) - math.log(e))
    ),
    "nca_pair": lambda u, v, n, k, b, e: -log_s(b * u) - 0.5 * log_s(-b * u) - 0.5 * log_s(-b * v),
    "bco_pair": lambda u, v, n, k, b, e: -log_s(b * u) - log_s(-b * v),
    "sppo_hard": lambda u, v, n, k, b, e: (u - 0.5 / b) ** 2 + (v + 0.5 / b) ** 2,
    "apo_zero": lambda u, v, n, k, b, e: 1 - s(b * u) + s(b * v),
    "apo_down": lambda u, v, n, k, b, e: s(b * u) + 1 - s(b * (u - v)),
}


def pair(u, v, n=7.0, k=3.0, gamma=0.0):
    """A pair of log-ratios, as rewards."""
    values = (BETA * np.asarray(u), BETA * np.asarray(v), gamma, n, k)
    return Pair(*(jnp.asarray(x, jnp.float32) for x in values))


def draws(count=25):
    """Log-ratios and lengths, [4, count]."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 15, (2, count)), rng.integers(1, 60, (2, count))])


def formula(name, u, v, n, k):
    return [FORMULAS[name](*point, BETA, SMOOTHING) for point in zip(u, v, n, k, strict=True)]


def test_every_loss_has_a_formula():
    assert LOSSES.keys() == FORMULAS.keys()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_its_formula(name):
    found = LOSSES[name](pair(*draws()), BETA, SMOOTHING)
    np.testing.assert_allclose(found, formula(name, *draws()), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("side", SIDES)
def test_a_gradient_is_that_of_finite_differences(name, side):
    slope = jax.grad(lambda p: LOSSES[name](p, BETA, SMOOTHING).sum())(pair(*draws()))
    step = np.zeros((4, 1))
    step[SIDES.index(side)] = 1e-5
    up, down = (np.asarray(formula(name, *(draws() + d))) for d in (step, -step))
    # Rewards are beta times log-ratios.
    expected = (up - down) / 2e-5 / BETA
    np.testing.assert_allclose(getattr(slope, side), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sigmoid", math.log(2)),
        ("sigmoid_norm", math.log(2)),
        ("hinge", 1.0),
        ("ipo", 25.0),
        ("nca_pair", 2 * math.log(2)),
        ("bco_pair", 2 * math.log(2)),
        ("sppo_hard", 50.0),
        ("apo_zero", 1.0),
        ("apo_down", 1.0),
    ],
)
def test_at_the_start_every_pair_costs_the_same(name, value):
    loss = combine({name: 1.0}, beta=BETA)
    assert float(loss(pair(0.0, 0.0))) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", OF_MARGIN)
def test_a_loss_of_the_margin_does_not_see_what_both_sides_share(name):
    loss = combine({name: 1.0}, beta=BETA, smoothing=SMOOTHING * (name != "hinge"))
    assert float(loss(pair(5.0, 2.0))) == pytest.approx(float(loss(pair(25.0, 22.0))), rel=1e-5)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(OF_MARGIN)))
def test_every_other_loss_sees_it(name):
    loss = combine({name: 1.0}, beta=BETA)
    assert abs(float(loss(pair(5.0, 2.0))) - float(loss(pair(25.0, 22.0)))) > 1e-3


@pytest.mark.parametrize("name", OF_MARGIN)
def test_gamma_is_subtracted_from_the_margin(name):
    with_gamma = LOSSES[name](pair(5.0, 2.0, gamma=0.3), BETA, SMOOTHING)
    assert float(with_gamma) == pytest.approx(
        float(LOSSES[name](pair(2.0, 2.0), BETA, SMOOTHING)), rel=1e-5
    )


def test_smoothing_mixes_the_two_labels():
    right, wrong = (
        float(combine({"sigmoid": 1.0}, beta=BETA)(p)) for p in (pair(9, 2), pair(2, 9))
    )
    smooth = combine({"sigmoid": 1.0}, beta=BETA, smoothing=0.1)(pair(9, 2))
    assert float(smooth) == pytest.approx(0.9 * right + 0.1 * wrong, rel=1e-6)


def test_robust_is_right_on_average_under_flipped_labels():
    loss = combine({"robust": 1.0}, beta=BETA, smoothing=0.3)
    clean = combine({"sigmoid": 1.0}, beta=BETA)
    noisy = 0.7 * float(loss(pair(9, 2))) + 0.3 * float(loss(pair(2, 9)))
    assert noisy == pytest.approx(float(clean(pair(9, 2))), rel=1e-5)


def test_exo_is_least_where_the_smoothed_label_is_met():
    best = math.log((1 - SMOOTHING) / SMOOTHING) / BETA
    loss = combine({"exo_pair": 1.0}, beta=BETA, smoothing=SMOOTHING)
    assert float(loss(pair(best, 0.0))) == pytest.approx(0.0, abs=1e-6)
    assert float(loss(pair(best + 5, 0.0))) > 0 and float(loss(pair(best - 5, 0.0))) > 0


def test_several_losses_add_up_by_weight():
    point = pair(4.0, 1.0)
    both = combine({"sigmoid": 1.0, "hinge": 0.25}, beta=BETA)(point)
    parts = [float(combine({name: 1.0}, beta=BETA)(point)) for name in ("sigmoid", "hinge")]
    assert float(both) == pytest.approx(parts[0] + 0.25 * parts[1], rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.sampled_from(sorted(LOSSES)))
def test_far_out_nothing_overflows(u, v, name):
    value, slope = jax.value_and_grad(lambda p: LOSSES[name](p, BETA, SMOOTHING))(pair(u, v))
    assert np.isfinite(value)
    assert all(np.isfinite(x) for x in slope)


def test_a_place_without_a_pair_has_no_nan():
    for loss in LOSSES.values():
        value, slope = jax.value_and_grad(lambda p, loss=loss: loss(p, BETA, SMOOTHING))(
            pair(0.0, 0.0, 0.0, 0.0)
        )
        assert np.isfinite(value) and all(np.isfinite(x) for x in slope)


@pytest.mark.parametrize(
    ("weights", "beta", "smoothing", "message"),
    [
        ({"sigmoid": 1.0}, 0.0, 0.0, "beta is 0"),
        ({"sigmoid": 1.0}, -1.0, 0.0, "beta is -1"),
        ({"sigmoid": 1.0}, math.nan, 0.0, "beta is nan"),
        ({"sigmoid": 0.0}, 0.1, 0.0, "weight of sigmoid"),
        ({"sigmoid": math.inf}, 0.1, 0.0, "weight of sigmoid"),
        ({"sigmoyd": 1.0}, 0.1, 0.0, "sigmoyd"),
        ({}, 0.1, 0.0, "no preference loss"),
        ({"sigmoid": 1.0}, 0.1, 0.5, r"\[0, 0.5\)"),
        ({"sigmoid": 1.0}, 0.1, -0.1, r"\[0, 0.5\)"),
        ({"robust": 1.0}, 0.1, 0.5, r"\[0, 0.5\)"),
        ({"exo_pair": 1.0}, 0.1, 0.0, r"exo_pair needs it in \(0, 1\)"),
        ({"hinge": 1.0}, 0.1, 0.1, "hinge does not use it"),
    ],
)
def test_what_means_nothing_is_refused(weights, beta, smoothing, message):
    with pytest.raises(ValueError, match=message):
        pair_losses.combine(weights, beta=beta, smoothing=smoothing)
