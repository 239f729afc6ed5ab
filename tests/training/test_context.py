"""Rows that do not fit one device, split over four: they train as they do on one device."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from mapl_jax.data.loader import Batch
from mapl_jax.kernels import tiles
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import lora
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.lora import Lora
from mapl_jax.training import optimizers, sharding, trainer
from mapl_jax.training.checkpoints import Checkpoints
from mapl_jax.training.objective import LossSettings, make

from support import random_like

SHORT, LONG, PARTS, STEPS = 256, 1024, 4, 3
# Where each trie of a row begins: one takes a whole row, others lie across the borders of devices.
ROWS = [[0], [0, 300], [0, 200, 700], []]
MODEL = DecoderConfig(64, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=64)
# Without moments, what a step changes is its gradient.
SETTINGS = optimizers.OptimizerSettings(
    optimizer="sgd", learning_rate=0.1, schedule="constant", b1=0.0
)
CASES = {
    "reward": ("reward", None),
    "reward with adapters": ("reward", Lora(rank=2, layers=1)),
    "dpo": ("dpo", None),
}
SLOW = ("reward with adapters",)
SOME = [pytest.param(x, marks=pytest.mark.slow if x in SLOW else ()) for x in CASES]
ALONE, SPLIT = {"data": 1}, {"context": PARTS}
OTHERS = [{"data": 2, "context": 2, "tensor": 2}, {"fsdp": 2, "context": PARTS}, ALONE]


def row_of(starts, length):
    """Arrays of a row of tries, each a prompt with two responses that fill its place."""
    row = {
        "positions": np.zeros(length, np.int32),
        "reach": np.zeros(length, np.int32),
        "parent": np.arange(-1, length - 1, dtype=np.int32),
        "leaf_end": np.full(8, -1, np.int32),
        "response_tokens": np.zeros(8, np.int32),
        "sft_weight": np.zeros(8, np.float32),
        "scored_at": np.full(length, -1, np.int32),
        "term_leaf": np.zeros((4, 4), np.int32),
        "term_sign": np.zeros((4, 4), np.float32),
        "level": np.full(4, -1, np.int32),
    }
    scored = []
    for at, (start, stop) in enumerate(zip(starts, [*starts[1:], length], strict=False)):
        prompt = start + (stop - start) // 4
        middle = (prompt + stop) // 2
        row["reach"][start:prompt] = stop
        row["positions"][start:prompt] = np.arange(prompt - start)
        row["parent"][start] = -1
        for leaf, (first, end) in enumerate(((prompt, middle), (middle, stop)), 2 * at):
            row["reach"][first:end] = end
            row["positions"][first:end] = prompt - start + np.arange(end - first)
            row["parent"][first] = prompt - 1
            row["leaf_end"][leaf], row["response_tokens"][leaf] = end - 1, end - first
            scored += range(first, end)
        row["term_leaf"][at, :2], row["term_sign"][at, :2] = (2 * at, 2 * at + 1), (1, -1)
        row["level"][at] = 0
    row["scored_at"][: len(scored)] = scored
    return row


def make_batch(seed, parts=2, length=LONG, rows=ROWS):
    """A batch in parts, whose gradients are summed."""
    rng = np.random.default_rng(seed)
    made = [row_of(starts, length) for starts in rows]
    seen = [tiles.seen(row["reach"]) for row in made]
    for row, pairs in zip(made, seen, strict=True):
        row["tiles"] = np.full(max(map(len, seen)), tiles.UNUSED, np.int32)
        row["tiles"][: len(pairs)] = pairs
    batch = {
        name: np.stack([row[name] for row in made]).reshape(parts, -1, *made[0][name].shape)
        for name in made[0]
    }
    used = batch["level"] == 0
    batch["share"] = used.astype(np.float32)
    batch["weight"] = (used / max(used.sum(), 1)).astype(np.float32)
    batch["tie"] = np.zeros(used.shape, bool)
    batch["gamma"] = rng.normal(size=used.shape).astype(np.float32)
    batch["tokens"] = rng.integers(0, 64, batch["reach"].shape).astype(np.int32)
    joint = rng.normal(-1500, 50, (*batch["leaf_end"].shape, 1)) * (1, 0)
    batch["ref_logp"] = joint.astype(np.float32)
    return Batch.of(batch)


def trainer_of(case, sizes):
    kind, adapters = CASES[case]
    mesh = sharding.make_mesh(sizes, jax.devices()[: int(np.prod(list(sizes.values())))])
    return trainer.make_trainer(
        dataclasses.replace(MODEL, lora=adapters),
        make(kind, LossSettings(), logp_chunk=64),
        mesh,
        settings=SETTINGS,
        steps=STEPS,
        compute=Compute(remat="full", spread=sharding.spread(mesh)),
    )


def parameters(made):
    """Trainable and frozen parameters, the same on every mesh, where they lie."""
    adapters = made.model.lora
    values = lora.split(random_like(made.shapes, 0.1), adapters)
    return jax.device_put(values, lora.split(made.param_shardings, adapters))


def train(made, state, frozen, steps):
    """The state after some steps, and the log of each."""
    log = []
    for seed in steps:
        batch = made.to_device(make_batch(seed).keeping(made.objective.fields))
        state, metrics = made.train_step(state, batch, frozen)
        log.append((float(metrics.loss), float(metrics.grad_norm)))
    return state, log


@functools.cache
def alone(case):
    """Parameters before the first step, and after some steps on one device, with their log."""
    made = trainer_of(case, ALONE)
    trained, frozen = parameters(made)
    first = jax.device_get(trained)
    state, log = train(made, made.first_state(trained), frozen, range(STEPS))
    return first, jax.device_get(state.params), log


def same(found, case):
    """Makes sure that what some steps change, which is their gradients, is that of one device."""
    first, expected, _ = alone(case)
    changes = [
        jax.tree.map(np.subtract, jax.device_get(after), first) for after in (found, expected)
    ]
    size = max(float(np.abs(x).max()) for x in jax.tree.leaves(changes[1]))
    assert size > 1e-3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5 * size), *changes
    )


@pytest.mark.parametrize("case", SOME)
def test_split_rows_train_as_whole_ones_do_and_go_on_so_on_another_mesh(case, tmp_path):
    made = trainer_of(case, SPLIT)
    trained, frozen = parameters(made)
    state, log = train(made, made.first_state(trained), frozen, range(STEPS - 1))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(STEPS - 1, state, {"steps": STEPS})
    for sizes in OTHERS:
        made = trainer_of(case, sizes)
        with Checkpoints(tmp_path) as checkpoints:
            state = checkpoints.restore(STEPS - 1, made.abstract)
        state, rest = train(made, state, parameters(made)[1], [STEPS - 1])
        np.testing.assert_allclose(log + rest, alone(case)[2], rtol=1e-5)
        same(state.params, case)


def temporaries(case, sizes, length):
    """Bytes of a device beside the state, in a step with a row of a length."""
    made = trainer_of(case, sizes)
    batch = make_batch(0, parts=1, length=length, rows=[[0]]).keeping(made.objective.fields)
    place = sharding.rows(made.mesh)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), batch)
    frozen = sharding.with_shardings(
        lora.split(made.shapes, made.model.lora)[1], made.frozen_shardings
    )
    step = made.train_step.lower(made.abstract, shapes, frozen).compile()
    return step.memory_analysis().temp_size_in_bytes


def test_four_devices_hold_a_row_that_one_cannot():
    whole = temporaries("reward", ALONE, SHORT)
    split = temporaries("reward", SPLIT, SHORT * PARTS)
    assert split < 1.1 * whole < temporaries("reward", ALONE, SHORT * PARTS)
