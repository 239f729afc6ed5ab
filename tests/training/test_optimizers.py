"""Every optimizer goes down, spares norms from decay, and lies where its parameters lie."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mapl_jax.models import axes
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead
from mapl_jax.training import optimizers, sharding, step

MODEL = DecoderConfig(24, 16, 2, 4, 2, 8, 24)
SHAPES = ScoreHead().abstract_params(MODEL)
LOGICAL = axes.logical_axes(SHAPES)
PARAMS = {"layers": {"up": {"kernel": jnp.full((2, 3, 4), 0.5)}}, "score": jnp.full(3, 0.5)}


def make(name, **numbers):
    settings = optimizers.OptimizerSettings(optimizer=name, learning_rate=0.05, **numbers)
    return optimizers.make(settings, optax.constant_schedule(0.05), axes.logical_axes(PARAMS))


def after(optimizer, gradient, steps):
    """Parameters after some steps down the gradient of the parameters."""
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        updates, state = optimizer.update(jax.tree.map(gradient, params), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_it_goes_down(name):
    params = after(make(name, b1=0.0 if name == "sgd" else 0.9), lambda x: x, 5)
    for now, then in zip(jax.tree.leaves(params), jax.tree.leaves(PARAMS), strict=True):
        assert np.all(np.abs(now) < np.abs(then))


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_decay_is_for_matrices_alone(name):
    params = after(make(name, weight_decay=0.1), jnp.zeros_like, 1)
    np.testing.assert_allclose(params["score"], 0.5)
    kernel = params["layers"]["up"]["kernel"]
    assert np.all(kernel < 0.5)
    if name != "adafactor":  # which, in optax, does not scale its decay by the learning rate
        np.testing.assert_allclose(kernel, 0.5 * (1 - 0.05 * 0.1), rtol=1e-6)


def test_muon_makes_the_update_of_each_matrix_orthogonal():
    rng = np.random.default_rng(0)
    gradient = {"layers": {"up": {"kernel": jnp.asarray(rng.normal(size=(2, 3, 4)))}}}
    gradient["score"] = jnp.ones(3)
    optimizer = make("muon")
    updates, _ = optimizer.update(gradient, optimizer.init(PARAMS), PARAMS)
    for matrix in updates["layers"]["up"]["kernel"]:
        values = np.linalg.svd(matrix / 0.05, compute_uv=False)
        assert values.max() / values.min() < 2  # five steps of Newton and Schulz come near 1


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_what_it_keeps_of_a_parameter_lies_where_the_parameter_lies(name):
    mesh = sharding.make_mesh({"data": 1, "fsdp": 4, "tensor": 2})
    settings = optimizers.OptimizerSettings(optimizer=name)
    optimizer = optimizers.make(settings, optax.constant_schedule(0.1), LOGICAL)
    abstract, shardings = step.state_shapes(SHAPES, optimizer, mesh, LOGICAL)
    places = {x.sharding.spec for x in jax.tree.leaves(abstract.params)}
    kept = jax.tree.leaves(abstract.opt_state)
    assert {x.sharding.spec for x in kept} <= places | {jax.sharding.PartitionSpec()}
    large = [x for x in kept if x.shape == abstract.params["embed"].shape]
    assert all(x.sharding == shardings.params["embed"] for x in large)
    assert len(large) == {"adamw": 2, "muon": 2, "lion": 1, "sgd": 1, "adafactor": 1}[name]
