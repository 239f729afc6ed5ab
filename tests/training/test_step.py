"""A step gives the same however the batch is cut, packed or spread over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mapl_jax import losses
from mapl_jax.data.loader import Batch
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import axes
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead
from mapl_jax.training import optimizers, sharding, step
from mapl_jax.training.objective import reward_loss

pytestmark = pytest.mark.smoke

MODEL = DecoderConfig(64, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=64)
# Devices add up gradients in other orders, which agree to 1e-6 of the largest. Where a gradient is
# as small as that, Adam with its usual eps makes a whole step of the rounding.
SETTINGS = optimizers.OptimizerSettings(learning_rate=1e-3, warmup=2.0, weight_decay=0.1, eps=1e-4)
ROWS, LENGTH, LEAVES = 16, 24, 4


def batches(count, rows=ROWS, seed=0):
    """Random batches [1, R, ...]: two pairs a row, one of them base and one intra."""
    rng = np.random.default_rng(seed)
    half = LENGTH // 4
    for _ in range(count):
        leaf = np.tile(np.asarray([[0, 1, 0, 0], [2, 3, 0, 0]], np.int32), (rows, 1, 1))
        ends = np.tile(np.arange(1, LEAVES + 1) * half - 1, (rows, 1))
        reach = np.repeat(ends + 1, half, axis=1)
        yield Batch.of(
            {
                "tokens": rng.integers(0, 64, (1, rows, LENGTH)).astype(np.int32),
                "positions": np.tile(np.arange(half), (1, rows, LEAVES)).astype(np.int32),
                "reach": reach[None].astype(np.int32),
                "leaf_end": ends[None].astype(np.int32),
                "term_leaf": leaf[None],
                "term_sign": np.tile(np.asarray([1, -1, 0, 0], np.float32), (1, rows, 2, 1)),
                "gamma": rng.normal(size=(1, rows, 2)).astype(np.float32),
                "level": np.tile(np.asarray([0, 1], np.int32), (1, rows, 1)),
                "weight": np.full((1, rows, 2), 1 / rows, np.float32),
                "share": np.ones((1, rows, 2), np.float32),
                "tie": np.zeros((1, rows, 2), bool),
            }
        )


def rewards_of(params, batch):
    return ScoreHead().leaves(MODEL, params, batch, Compute())


def run(
    shape,
    *,
    parts=1,
    steps=4,
    rows=ROWS,
    spoil=lambda _, batch: batch,
    optimizer=None,
    rewards=rewards_of,
):
    """Metrics of a few steps on a mesh, and the last state.

    Args:
        shape: of the mesh.
        parts: of a batch.
        steps: how many.
        rows: of a batch.
        spoil: (number, batch) -> the batch that is trained on, None for none.
        optimizer: in place of AdamW.
        rewards: in place of those of the model.
    """
    devices = jax.devices()[: int(np.prod(list(shape.values())))]
    mesh = sharding.make_mesh(shape, devices)
    shapes = ScoreHead().abstract_params(MODEL)
    logical = axes.logical_axes(shapes)
    learning_rate = optimizers.schedule(SETTINGS, steps)
    optimizer = optimizer or optimizers.make(SETTINGS, learning_rate, logical)
    _, shardings = step.state_shapes(shapes, optimizer, mesh, logical)

    take = step.compile_train_step(
        step.make_train_step(rewards, reward_loss, optimizer, learning_rate), mesh, shardings
    )
    make = jax.jit(
        lambda: ScoreHead().init(MODEL, jax.random.key(0)), out_shardings=shardings.params
    )
    state = step.compile_first_state(optimizer, shardings)(make())
    log = []
    for number, clean in enumerate(batches(steps, rows)):
        batch = spoil(number, clean)
        if batch is None:
            continue
        cut = jax.tree.map(lambda x: x.reshape(parts, rows // parts, *x.shape[2:]), batch)
        state, metrics = take(state, sharding.to_device(cut, mesh))
        metrics = jax.device_get(metrics)
        log.append({**step.to_floats(metrics), "finite": metrics.finite, "rows": metrics.rows})
    return state, log


def pairs(ours, theirs):
    """Numbers of two logs that should agree."""
    for one, other in zip(ours, theirs, strict=True):
        yield from ((name, one[name], value) for name, value in other.items() if name != "rows")


@pytest.fixture(scope="module")
def alone():
    return run({"data": 1, "fsdp": 1, "tensor": 1})


# Every shape of a mesh is in test_sharding.py.
MESHES = [pytest.param((8, 1, 1, 1), marks=pytest.mark.slow), (2, 2, 1, 2)]


@pytest.mark.parametrize("shape", MESHES)
def test_eight_devices_give_what_one_gives(alone, shape):
    state, log = run(dict(zip(sharding.MESH_AXES, shape, strict=True)))
    for name, ours, theirs in pairs(log, alone[1]):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5), name
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5),
        jax.device_get(state.params),
        jax.device_get(alone[0].params),
    )


def test_parameters_and_moments_are_really_spread():
    state, _ = run({"data": 2, "fsdp": 2, "tensor": 2}, steps=1)
    moments = state.opt_state[0].mu
    for tree in (state.params, moments):
        kernel = tree["layers"]["mlp"]["up"]["kernel"]
        assert kernel.addressable_shards[0].data.size == kernel.size // 4
        assert tree["embed"].addressable_shards[0].data.size == tree["embed"].size // 4


@pytest.mark.parametrize("parts", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_accumulation_gives_what_the_whole_batch_gives(alone, parts):
    _, log = run({"data": 1, "fsdp": 1, "tensor": 1}, parts=parts)
    for name, ours, theirs in pairs(log, alone[1]):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5), name


ALONE = {"data": 1, "fsdp": 1, "tensor": 1}


def emptied(_, batch):
    """The last five of eight rows hold nothing, as in the last batch of an epoch."""
    for x, empty in [
        (batch.row.reach, 0),
        (batch.leaf_end, -1),
        (batch.comparisons.level, losses.UNUSED),
        (batch.comparisons.weight, 0),
        (batch.comparisons.share, 0),
        (batch.comparisons.term_sign, 0),
    ]:
        x[0, 3:] = empty
    return batch


@pytest.mark.parametrize("shape", [ALONE, {"data": 2, "fsdp": 1, "tensor": 1}])
def test_parts_without_a_row_are_not_computed(shape):
    def spoiled(params, batch):
        found = rewards_of(params, batch)
        return jnp.where(jnp.any(batch.row.reach > 0), found, jnp.nan)

    whole, expected = run(ALONE, steps=2, spoil=emptied)
    state, log = run(shape, parts=4, steps=2, spoil=emptied, rewards=spoiled)
    assert all(line["finite"] and line["rows"].all() for line in log)
    for name, ours, theirs in pairs(log, expected):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5), name
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5),
        *jax.device_get((state.params, whole.params)),
    )


def without_second(number, batch):
    return None if number == 1 else batch


def test_a_step_whose_parameters_would_not_be_finite_changes_nothing():
    state, log = run(ALONE, steps=2, optimizer=optax.chain(*[optax.scale(-3e38)] * 2))
    assert [bool(x["finite"]) for x in log] == [False, False]
    assert all(np.isfinite([x["loss"], x["grad_norm"]]).all() for x in log)
    assert log[1]["skipped_steps"] == 2
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(jax.device_get(state.params)))


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (np.nan, ALONE),
        pytest.param(np.inf, {"data": 2, "fsdp": 2, "tensor": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_step_that_is_not_finite_changes_nothing_and_names_its_row(value, shape):
    def spoil(number, batch):
        if number == 1:
            batch.comparisons.gamma[0, 5, 0] = value
        return batch

    state, log = run(shape, parts=2, steps=3, spoil=spoil)
    assert [bool(line["finite"]) for line in log] == [True, False, True]
    assert [line.get("skipped_steps") for line in log] == [None, 1, 1]
    assert not np.isfinite(log[1]["loss"])
    rows = np.stack([line["rows"].reshape(-1) for line in log])
    assert np.argwhere(~rows).tolist() == [[1, 5]]

    expected, _ = run(shape, parts=2, steps=3, spoil=without_second)
    assert int(state.step) == 3
    assert int(state.skipped) == 1
    for ours, theirs in ((state.params, expected.params), (state.opt_state, expected.opt_state)):
        jax.tree.map(np.testing.assert_array_equal, *jax.device_get((ours, theirs)))


def test_a_gradient_that_overflows_changes_nothing_though_the_loss_is_finite():
    def spoil(_, batch):
        # The loss is some 1e36, and the square of a slope is beyond fp32.
        batch.comparisons.weight[0, 0, 0] = 1e36
        return batch

    state, (line,) = run(ALONE, steps=1, spoil=spoil)
    assert np.isfinite(line["loss"])
    assert not np.isfinite(line["grad_norm"])
    assert not line["finite"]
    assert line["rows"].all()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(jax.device_get(state)))


def test_the_second_step_compiles_nothing():
    mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2}, jax.devices()[:8])
    shapes = ScoreHead().abstract_params(MODEL)
    logical = axes.logical_axes(shapes)
    rate = optimizers.schedule(SETTINGS, 3)
    optimizer = optimizers.make(SETTINGS, rate, logical)
    _, shardings = step.state_shapes(shapes, optimizer, mesh, logical)

    take = step.compile_train_step(
        step.make_train_step(rewards_of, reward_loss, optimizer, rate), mesh, shardings
    )
    make = jax.jit(
        lambda: ScoreHead().init(MODEL, jax.random.key(0)), out_shardings=shardings.params
    )
    state = step.compile_first_state(optimizer, shardings)(make())
    for batch in batches(3):
        state, _ = take(state, sharding.to_device(batch, mesh))
    assert take._cache_size() == 1


def test_the_old_state_is_given_up():
    state, _ = run({"data": 1, "fsdp": 1, "tensor": 1}, steps=1)
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    logical = axes.logical_axes(state.params)
    optimizer = optimizers.make(SETTINGS, optimizers.schedule(SETTINGS, 1), logical)
    params = jax.tree.map(jnp.copy, state.params)
    _, shardings = step.state_shapes(jax.eval_shape(lambda: params), optimizer, mesh, logical)
    step.compile_first_state(optimizer, shardings)(params)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
    ],
)
def test_learning_rates_are_those_of_the_closed_form(schedule, expected):
    settings = optimizers.OptimizerSettings(learning_rate=1.0, schedule=schedule, warmup=2.0)
    rate = optimizers.schedule(settings, 6)
    np.testing.assert_allclose([float(rate(i)) for i in range(6)], expected, atol=1e-5)


def test_weight_decay_spares_norms_biases_and_the_head():
    shapes = ScoreHead().abstract_params(MODEL)
    logical = axes.logical_axes(shapes)
    settings = optimizers.OptimizerSettings(
        learning_rate=0.1, schedule="constant", weight_decay=0.5
    )
    optimizer = optimizers.make(settings, optimizers.schedule(settings, 1), logical)
    ones = jax.tree.map(lambda x: jnp.ones(x.shape), shapes)
    zeros = jax.tree.map(jnp.zeros_like, ones)
    updates, _ = optimizer.update(zeros, optimizer.init(ones), ones)
    assert float(jnp.abs(updates["layers"]["mlp"]["up"]["kernel"]).max()) > 0
    for spared in (
        updates["score"],
        updates["norm"]["scale"],
        updates["layers"]["attention_norm"]["scale"],
        updates["layers"]["attention"]["q"]["bias"],
    ):
        assert float(jnp.abs(spared).max()) == 0


def test_a_step_is_compiled_for_all_shapes_when_it_is_first_taken():
    traced = []

    @jax.jit
    def double(state, batch, frozen):
        traced.append(batch.row.tokens.shape)
        return state + frozen * batch.row.tokens.sum(), None

    long, short = (
        jax.tree.map(jnp.asarray, Batch.of({n: np.ones((1, *shape), np.int32) for n in NAMES}))
        for shape in ((1, 16), (2, 4))
    )
    take = step.for_shapes(double, 2, [long, short])
    assert traced == []
    state = jnp.zeros((), jnp.int32)
    for batch in (short, long, short):
        state, _ = take(state, batch)
        assert len(traced) == 2
    assert state == 2 * (8 + 16 + 8) and double._cache_size() == 0


NAMES = ("tokens", "positions", "reach", "tiles", "leaf_end")
