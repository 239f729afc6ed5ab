"""Every mesh of eight devices gives what one device gives, and moves only what it has to."""

import dataclasses
import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.data.loader import Batch
from mapl_jax.kernels import tiles
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import axes, decoder
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead
from mapl_jax.performance.program import collective_bytes
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import optimizers, sharding, step, trainer
from mapl_jax.training.checkpoints import Checkpoints
from mapl_jax.training.objective import LossSettings, make

MODEL = DecoderConfig(64, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=64)
# Where a gradient is as small as its rounding, Adam with its usual eps makes a whole step of it.
SETTINGS = optimizers.OptimizerSettings(learning_rate=1e-3, warmup=2.0, weight_decay=0.1, eps=1e-4)
# Longer than a tile, so that lists of tiles are used.
ROWS, LENGTH, LEAVES = 8, 160, 4
MESHES = [(d, f, 1, t) for d, f, t in itertools.product((1, 2, 4, 8), repeat=3) if d * f * t == 8]
# Rows in parts, which are no whole tiles.
MESHES += [(1, 1, 8, 1), (2, 1, 4, 1), (1, 2, 2, 2), (1, 1, 2, 4), (1, 1, 2, 2)]
FAST = [(2, 2, 1, 2), (1, 2, 2, 2)]


def objective_of(kind):
    return make(kind, LossSettings(), logp_chunk=16)


def make_batch(seed=0):
    """Two pairs a row, one of them base and one intra; leaves share a prompt of 8 tokens."""
    rng = np.random.default_rng(seed)
    part = LENGTH // 2
    reach, positions = np.zeros((2, LENGTH), np.int32)
    parent = np.arange(-1, LENGTH - 1, dtype=np.int32)
    ends, at = [], []
    for start in (0, part):
        reach[start : start + 8], positions[start : start + 8] = start + part, np.arange(8)
        parent[start] = -1
        half = (part - 8) // 2
        for first in (start + 8, start + 8 + half):
            stop = first + half
            reach[first:stop], positions[first:stop] = stop, 8 + np.arange(half)
            parent[first] = start + 7
            ends.append(stop - 1)
            at += range(first, stop)
    row = {
        "positions": positions,
        "reach": reach,
        "parent": parent,
        "scored_at": np.asarray(at, np.int32),
        "tiles": tiles.seen(reach),
        "leaf_end": np.asarray(ends, np.int32),
        "term_leaf": np.asarray([[0, 1, 0, 0], [2, 3, 0, 0]], np.int32),
        "term_sign": np.asarray([[1, -1, 0, 0]] * 2, np.float32),
        "level": np.asarray([0, 1], np.int32),
        "weight": np.full(2, 1 / ROWS, np.float32),
        "share": np.ones(2, np.float32),
        "tie": np.zeros(2, bool),
        "response_tokens": np.full(LEAVES, 36, np.int32),
        "sft_weight": np.zeros(LEAVES, np.float32),
    }
    batch = {name: np.stack([value] * ROWS)[None] for name, value in row.items()}
    batch["tokens"] = rng.integers(0, 64, (1, ROWS, LENGTH)).astype(np.int32)
    batch["gamma"] = rng.normal(size=(1, ROWS, 2)).astype(np.float32)
    ref_logp = rng.normal(-150, 5, (1, ROWS, LEAVES, 1)) * (1, 0)
    batch["ref_logp"] = ref_logp.astype(np.float32)
    return Batch.of(batch)


def assembled(kind, shape):
    sizes = dict(zip(sharding.MESH_AXES, shape, strict=True))
    mesh = sharding.make_mesh(sizes, jax.devices()[: int(np.prod(shape))])
    compute = Compute(remat="full", spread=sharding.spread(mesh))
    objective = objective_of(kind)
    run = trainer.make_trainer(MODEL, objective, mesh, settings=SETTINGS, steps=4, compute=compute)
    return mesh, objective, run


def train(kind, shape, seeds=(0, 1), folder=None):
    """The state after a step for each seed, on from a checkpoint if there is one, and the log."""
    mesh, objective, run = assembled(kind, shape)
    if folder is None:
        init = functools.partial(objective.head.init, MODEL, jax.random.key(0))
        make = jax.jit(init, out_shardings=run.param_shardings)
        state = step.compile_first_state(run.optimizer, run.state_shardings)(make())
    else:
        with Checkpoints(folder, keep=None) as checkpoints:
            state = checkpoints.restore(1, run.abstract)
    log = []
    for seed in seeds:
        batch = make_batch(seed)
        batch = sharding.to_device(batch.keeping(objective.fields), mesh)
        with jax.transfer_guard("disallow"):
            state, metrics = run.train_step(state, batch, {})
        log.append((float(metrics.loss), float(metrics.grad_norm)))
    assert run.train_step._cache_size() == 1
    return state, log


@functools.cache
def alone(kind):
    return train(kind, (1, 1, 1, 1))


@pytest.mark.parametrize("kind", ["reward", pytest.param("dpo", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "shape",
    [pytest.param(s, marks=() if s in FAST else pytest.mark.slow, id=str(s)) for s in MESHES],
)
def test_a_mesh_gives_what_one_device_gives(kind, shape):
    state, log = train(kind, shape)
    expected, expected_log = alone(kind)
    np.testing.assert_allclose(log, expected_log, rtol=1e-5, atol=1e-5)
    same(state, expected)


def same(state, expected):
    params = jax.device_get((state.params, expected.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), *params)


@pytest.mark.slow
def test_a_checkpoint_goes_on_with_rows_in_parts(tmp_path):
    first, _ = train("reward", (1, 2, 1, 1), seeds=(0,))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, first, {"steps": 1})
    state, _ = train("reward", (1, 2, 2, 2), seeds=(1,), folder=tmp_path)
    same(state, alone("reward")[0])


def test_rows_that_cannot_be_split_are_refused():
    compute = Compute(spread=sharding.spread(sharding.make_mesh({"context": 8})))
    decoder.check_parts(compute, 160)
    with pytest.raises(
        UserError, match=r"mesh\.context=8 splits no row of 164 tokens; choose a multiple"
    ):
        decoder.check_parts(compute, 164)
    with pytest.raises(UserError, match=r"mesh\.context=8 splits them; choose auto or blocks"):
        decoder.check_parts(dataclasses.replace(compute, backend="dense"), 160)


def test_matrices_that_are_rounded_first_give_the_same_in_value_and_gradient():
    mesh = sharding.make_mesh({"data": 1, "fsdp": 8, "tensor": 1})
    params = ScoreHead().init(MODEL, jax.random.key(0))
    places = sharding.parameters(mesh, params, axes.logical_axes(params))
    params = jax.device_put(params, places)
    batch = jax.tree.map(lambda x: x[0], make_batch())
    compute = Compute(jnp.bfloat16)

    def leaves(params, batch):
        return ScoreHead().leaves(MODEL, params, batch, compute)

    rounded = trainer.rounded_first(leaves, places, jnp.bfloat16)

    def both(function):
        return jax.jit(jax.value_and_grad(lambda p: function(p, batch).sum()))(params)

    (expected, slopes), (found, rounded_slopes) = both(leaves), both(rounded)
    np.testing.assert_allclose(found, expected, rtol=1e-2)
    for a, b in zip(jax.tree.leaves(rounded_slopes), jax.tree.leaves(slopes), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=0.02 * float(jnp.abs(b).max()))
    text = jax.jit(lambda p: rounded(p, batch)).lower(params).as_text()
    assert re.search(r"sharding_constraint.*tensor<2x64x32xbf16>", text)


def program(kind, shape):
    mesh, objective, run = assembled(kind, shape)
    structs = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding.rows(mesh)),
        make_batch().keeping(objective.fields),
    )
    return run.train_step.lower(run.abstract, structs, {}).compile().as_text(), run


def gathered(text):
    """Dimensions of the results of all gathers."""
    lines = re.findall(r"= (\S+) all-gather(?:-start)?\(", text)
    return [
        tuple(int(n) for n in dims.split(",") if n)
        for line in lines
        for dims in re.findall(r"\[([\d,]*)\]", line)
    ]


@pytest.mark.parametrize("kind", ["reward", "dpo"])
def test_states_of_tokens_stay_on_the_device_of_their_row(kind):
    text, _ = program(kind, (1, 8, 1, 1))
    found = gathered(text)
    # Layers are brought together; rows of hidden states never are. Ids are, to look them up.
    assert any(np.prod(dims) == 32 * 64 for dims in found)
    states = ROWS * LENGTH * MODEL.width
    assert not [dims for dims in found if np.prod(dims, dtype=int) >= states // 8]


def test_moments_are_updated_where_they_lie():
    _, _, run = assembled("reward", (1, 8, 1, 1))
    update = jax.jit(
        run.optimizer.update,
        in_shardings=(
            run.state_shardings.params,
            run.state_shardings.opt_state,
            run.state_shardings.params,
        ),
        out_shardings=(run.state_shardings.params, run.state_shardings.opt_state),
    )
    params = run.abstract.params
    text = update.lower(params, run.abstract.opt_state, params).compile().as_text()
    assert sum(collective_bytes(text).values()) == 0


def test_what_has_no_room_is_refused_before_it_is_made():
    place = sharding.replicated(sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1}))
    small, huge = (jax.ShapeDtypeStruct((n, 1024), np.float32, sharding=place) for n in (4, 2**36))
    sharding.check_memory({"a": small}, "this model")
    with pytest.raises(UserError, match=r"this model takes at least 281,475 GB of a device's"):
        sharding.check_memory({"a": small, "b": huge}, "this model")
