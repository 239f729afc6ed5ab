"""A step with adapters: the base is not touched, and devices and parts make no difference."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.data import loader, rows
from mapl_jax.data.loader import Batch
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import axes, lora
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead
from mapl_jax.performance import estimate, program
from mapl_jax.training import optimizers, sharding, step, trainer
from mapl_jax.training.checkpoints import Checkpoints
from mapl_jax.training.objective import LossSettings, make, reward_loss

PLAIN = DecoderConfig(64, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=64)
MODEL = dataclasses.replace(PLAIN, lora=lora.Lora(rank=4, alpha=8.0))
SETTINGS = optimizers.OptimizerSettings(learning_rate=1e-2, weight_decay=0.1)
ROWS, LENGTH = 8, 12


def batch(parts, seed):
    """One pair a row, [A, R, ...]."""
    rng = np.random.default_rng(seed)
    half = LENGTH // 2
    values = {
        "tokens": rng.integers(0, 64, (ROWS, LENGTH)),
        "positions": np.tile(np.arange(half), (ROWS, 2)),
        "reach": np.tile(np.repeat([half, LENGTH], half), (ROWS, 1)),
        "leaf_end": np.tile([half - 1, LENGTH - 1], (ROWS, 1)),
        "term_leaf": np.tile([[0, 1, 0, 0]], (ROWS, 1, 1)),
        "term_sign": np.tile([[1.0, -1.0, 0.0, 0.0]], (ROWS, 1, 1)),
        "gamma": np.zeros((ROWS, 1)),
        "level": np.zeros((ROWS, 1), int),
        "weight": np.full((ROWS, 1), 1 / ROWS),
        "share": np.ones((ROWS, 1)),
        "tie": np.zeros((ROWS, 1), bool),
    }
    return Batch.of(
        {
            name: value.reshape(parts, ROWS // parts, *value.shape[1:]).astype(
                np.float32 if value.dtype == float else np.int32
            )
            for name, value in values.items()
        }
    )


def run(shape, parts=1, steps=3):
    """The state after a few steps, the base before and after, the log and the abstract state."""
    sizes = dict(zip(sharding.MESH_AXES, shape, strict=True))
    mesh = sharding.make_mesh(sizes, jax.devices()[: int(np.prod(shape))])
    shapes = ScoreHead().abstract_params(MODEL)
    logical = axes.logical_axes(shapes)
    places = sharding.parameters(mesh, shapes, logical)
    rate = optimizers.schedule(SETTINGS, steps)
    trainable = lora.split(logical, MODEL.lora)[0]
    optimizer = optimizers.make(SETTINGS, rate, trainable)
    abstract, shardings = step.state_shapes(
        lora.split(shapes, MODEL.lora)[0], optimizer, mesh, trainable
    )

    def rewards(params, part):
        compute = Compute(remat="dots", spread=sharding.spread(mesh))
        return ScoreHead().leaves(MODEL, params, part, compute)

    take = step.compile_train_step(
        step.make_train_step(rewards, reward_loss, optimizer, rate),
        mesh,
        shardings,
        lora.split(places, MODEL.lora)[1],
    )
    params = jax.jit(lambda: ScoreHead().init(MODEL, jax.random.key(0)), out_shardings=places)()
    first, frozen = lora.split(params, MODEL.lora)
    before = jax.device_get(frozen)
    state, log = step.compile_first_state(optimizer, shardings)(first), []
    for seed in range(steps):
        state, metrics = take(state, sharding.to_device(batch(parts, seed), mesh), frozen)
        log.append(step.to_floats(jax.device_get(metrics)))
    assert take._cache_size() == 1
    # The base must neither change nor be given up.
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(frozen), before)
    return state, frozen, log, abstract


@pytest.fixture(scope="module")
def alone():
    return run((1, 1, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 2, 1, 2), (1, 2, 2, 2)])
def test_devices_and_parts_make_no_difference(alone, shape):
    state, _, log, _ = run(shape, parts=2)
    for ours, theirs in zip(log, alone[2], strict=True):
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=5e-5),
        jax.device_get(state.params),
        jax.device_get(alone[0].params),
    )
    pair = state.params["layers"]["mlp"]["up"]["lora"]
    assert pair["a"].sharding.spec == jax.sharding.PartitionSpec(None, "fsdp", None)
    assert pair["b"].sharding.spec == jax.sharding.PartitionSpec(None, None, "tensor")


def test_adapters_and_the_head_learn_and_nothing_else_has_moments(alone):
    state, _, log, _ = alone
    fresh = lora.split(jax.jit(lambda: ScoreHead().init(MODEL, jax.random.key(0)))(), MODEL.lora)[0]
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), state.params, fresh)
    assert min(jax.tree.leaves(moved)) > 0
    assert jax.tree.structure(state.opt_state[0].mu) == jax.tree.structure(fresh)
    assert log[0]["loss"] > 0


def test_a_checkpoint_holds_what_is_trained(alone, tmp_path):
    state, _, _, abstract = alone
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state, {"steps": 3})
    with Checkpoints(tmp_path, keep=None) as checkpoints:
        found = checkpoints.restore(3, abstract)
    jax.tree.map(np.testing.assert_array_equal, found, state)


# What is not trained costs nothing but its forward pass.

TOKENS, WIDTH = 64, 32
BODY = 2 * WIDTH**2 + WIDTH**2 + 3 * WIDTH * 2 * WIDTH  # of a layer below

# Gradients of what goes into the lowest layer with adapters: by q, k and v and their adapters.
UNREAD = TOKENS * 2 * (2 * WIDTH**2 + 3 * 2 * WIDTH)


def traced(layers, adapted, dtype=jnp.float32):
    """A step on one row with adapters beside the last layers; the trainer and its arguments."""
    adapters = lora.Lora(rank=2, layers=adapted)
    heads = {"heads": 4, "kv_heads": 2, "head_dim": WIDTH // 4}
    model = DecoderConfig(64, WIDTH, layers, mlp_width=2 * WIDTH, lora=adapters, **heads)
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    reward = make("reward", LossSettings(), logp_chunk=64)
    compute = Compute(dtype, backend="dense")
    run = trainer.make_trainer(model, reward, mesh, settings=SETTINGS, steps=3, compute=compute)
    row = loader.empty_row(rows.Shape(TOKENS, 1)).keeping(reward.fields)
    given = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, 1, *x.shape), x.dtype), row)
    frozen = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, dtype), lora.split(run.shapes, adapters)[1]
    )
    return run, (run.abstract, given, frozen)


@pytest.fixture(scope="module")
def steps():
    """Compiled steps of 3 and of 6 layers, the last of which has adapters."""
    made = [traced(layers, 1) for layers in (3, 6)]
    return [run.train_step.lower(*arguments).compile() for run, arguments in made]


def test_of_frozen_layers_nothing_is_kept_for_the_backward_pass(steps):
    few, many = (step.memory_analysis().temp_size_in_bytes for step in steps)
    assert many - few < 4 * TOKENS * WIDTH, "less than the states of one layer"


def test_frozen_matrices_have_no_gradients(steps):
    few, many = (program.product_flops(step.as_text()) for step in steps)
    attention = 4 * TOKENS * WIDTH  # scores and their sums, dense
    forward = TOKENS * (2 * BODY + attention)
    assert many - few == 3 * forward
    # Backward: gradients of the states, of attention, and of the adapters alone.
    thin = 2 * (4 * 2 * WIDTH - WIDTH + 3 * 3 * WIDTH)
    backward = TOKENS * (2 * BODY + 2 * attention + 6 * thin) - UNREAD
    assert few - 3 * forward == pytest.approx(backward, rel=1e-3)


def test_a_plan_counts_the_operations_that_the_compiled_step_has(steps):
    run, arguments = traced(3, 1)
    counted = estimate.product_flops(run.train_step, *arguments)
    compiled = program.product_flops(steps[0].as_text())
    assert counted == pytest.approx(compiled + UNREAD, rel=1e-3)


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from equations(getattr(inner, "jaxpr", inner))


def test_no_copy_of_a_frozen_matrix_has_another_type():
    run, arguments = traced(3, 1, jnp.bfloat16)
    shapes = {x.shape for x in jax.tree.leaves(arguments[2]["layers"]) if x.ndim == 3}
    shapes |= {shape[1:] for shape in shapes}
    found = list(equations(jax.make_jaxpr(run.train_step)(*arguments).jaxpr))
    # What is summed in fp32 and rounded is a product, and no copy of a matrix of its shape.
    products = set()
    for equation in found:
        name = equation.primitive.name
        if name == "dot_general" or (name == "transpose" and equation.invars[0] in products):
            products.add(equation.outvars[0])
    conversions = [x for x in found if x.primitive.name == "convert_element_type"]
    copies = [x for x in conversions if x.invars[0] not in products]
    assert copies and not [x for x in copies if x.outvars[0].aval.shape in shapes]
