"""Every optimizer goes down, spares norms from decay, and lies where its parameters lie."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mapl_jax.models import axes
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import optimizers, sharding, step
from mapl_jax.training.checkpoints import Checkpoints

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


# So large that adafactor keeps rows and columns of a matrix, and sizes that no axis divides.
LARGE = {
    "embed": jnp.ones((130, 128)),
    "layers": {"up": {"kernel": jnp.ones((2, 128, 256))}},
    "score": jnp.ones(127),
}


def steps_on(devices, name, count, start=None):
    """The state after some steps down a wave of the parameters, and what it looks like.

    Args:
        devices: how many the mesh has.
        name: of the optimizer.
        count: steps.
        start: abstract state -> the state to start from; None for the first one.
    """
    mesh = sharding.make_mesh({"data": 1, "fsdp": -1, "tensor": 2 if devices > 1 else 1},
                              jax.devices()[:devices])  # fmt: skip
    logical = axes.logical_axes(LARGE)
    settings = optimizers.OptimizerSettings(optimizer=name, weight_decay=0.1)
    optimizer = optimizers.make(settings, optax.cosine_decay_schedule(0.01, 9), logical)
    shapes = jax.eval_shape(lambda: LARGE)
    abstract, shardings = step.state_shapes(shapes, optimizer, mesh, logical)

    @functools.partial(jax.jit, in_shardings=(shardings,), out_shardings=shardings)
    def down(state):
        wave = jax.tree.map(
            lambda x: jnp.sin(x * (1 + jnp.arange(x.shape[-1]) + state.step)), state.params
        )
        updates, kept = optimizer.update(wave, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state._replace(step=state.step + 1, params=params, opt_state=kept)

    if start:
        state = start(abstract)
    else:
        params = jax.jit(lambda: LARGE, out_shardings=shardings.params)()
        state = step.compile_first_state(optimizer, shardings)(params)
    for _ in range(count):
        state = down(state)
    return state


# Those whose state has other shapes than the parameters always, the rest among the slow ones.
ODD = ("adafactor", "muon")


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=[] if x in ODD else pytest.mark.slow) for x in optimizers.OPTIMIZERS],
)
def test_eight_devices_take_the_steps_of_one_and_go_on_from_a_checkpoint_bit_for_bit(
    name, tmp_path
):
    whole = steps_on(8, name, 4)
    for ours, theirs in zip(
        jax.tree.leaves(whole.params), jax.tree.leaves(steps_on(1, name, 4).params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)
    with Checkpoints(tmp_path) as kept:
        kept.save(2, steps_on(8, name, 2), {"steps": 4})
    with Checkpoints(tmp_path, keep=None) as kept:
        resumed = steps_on(8, name, 2, lambda abstract: kept.restore(2, abstract))
    assert jax.tree.structure(resumed) == jax.tree.structure(whole)
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert resumed.params["layers"]["up"]["kernel"].sharding.spec[-2:] == ("fsdp", "tensor")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"optimizer": "adam"}, "train.optimizer is 'adam'; choose one of adamw, lion"),
        ({"optimizer": "Muon"}, "choose one of"),
        ({"b1": 1.0}, "train.b1 is 1.0; it must be a finite number, at least 0"),
        ({"eps": 0.0}, "train.eps is 0.0"),
        ({"weight_decay": -0.1}, "train.weight_decay"),
        ({"learning_rate": float("nan")}, "train.learning_rate is nan"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(values, says):
    with pytest.raises(UserError, match=says):
        optimizers.OptimizerSettings(**values)


def test_the_norm_of_a_large_gradient_is_that_in_double_precision():
    """torch's loses 5e-4 of this one: `clip_grad_norm_` adds up its squares one by one in fp32."""
    gradient = np.random.default_rng(0).normal(size=(8, 512, 1408)).astype(np.float32)
    norm = jax.jit(lambda x: optimizers.clip({"x": x}, 1.0)[1])(gradient)
    assert float(norm) == pytest.approx(np.sqrt(np.square(gradient, dtype=np.float64).sum()), 1e-6)
