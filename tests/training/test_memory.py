"""A step of DPO needs a fraction of the memory of all logits, and sends none between devices."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.data.loader import Batch
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import axes, heads
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead
from mapl_jax.training import objective, optimizers, sharding, step

# The vocabulary and the row are what count; a body of this size compiles in seconds.
MODEL = DecoderConfig(151_936, width=32, layers=1, heads=2, kv_heads=1, head_dim=16, mlp_width=64)
TOKENS, LEAVES, COMPARISONS = 4096, 48, 40


def all_at_once(model, params, batch):
    """Log-probabilities of leaves from the logits of every token of the row."""
    tokens, reach, scored_at = batch.row.tokens, batch.row.reach, batch.scored_at
    logits = heads.logits(model, params, batch.row)
    logps = jax.nn.log_softmax(logits, axis=-1)
    rows = jnp.arange(len(tokens))[:, None]
    of_tokens = logps[rows, jnp.maximum(batch.parent, 0), tokens]
    picked = jnp.where(scored_at >= 0, of_tokens[rows, scored_at], 0.0)
    end, until = batch.leaf_end[..., None], reach[rows, scored_at]
    on_path = (scored_at[:, None] <= end) & (end < until[:, None])
    return jnp.einsum("rlp,rp->rl", on_path.astype(jnp.float32), picked)


def in_chunks(mesh, chunk):
    """Log-probabilities of leaves from the logits of a few tokens at a time."""
    head, compute = LogpHead(chunk), Compute(spread=sharding.spread(mesh))
    return lambda model, params, batch: head.leaves(model, params, batch, compute)


def compiled(leaves, model, shape=(1, 1, 1, 1), rows=1, tokens=TOKENS):
    """A step of DPO with its parameters and batch as shapes alone."""
    mesh = mesh_of(shape)
    shapes = LogpHead().abstract_params(model)
    logical = axes.logical_axes(shapes)
    settings = optimizers.OptimizerSettings(learning_rate=1e-5)
    rate = optimizers.schedule(settings, 10)
    optimizer = optimizers.make(settings, rate, logical)
    abstract, shardings = step.state_shapes(shapes, optimizer, mesh, logical)
    loss = functools.partial(objective.policy_loss, beta=0.1)
    take = step.compile_train_step(
        step.make_train_step(functools.partial(leaves, model), loss, optimizer, rate),
        mesh,
        shardings,
    )

    def array(*shape, dtype=np.int32):
        return jax.ShapeDtypeStruct((1, rows, *shape), dtype, sharding=sharding.rows(mesh))

    of_tokens = ("tokens", "positions", "reach", "parent", "scored_at")
    arrays = {name: array(tokens) for name in of_tokens} | {
        "leaf_end": array(LEAVES),
        "response_tokens": array(LEAVES),
        "sft_weight": array(LEAVES, dtype=np.float32),
        "ref_logp": array(LEAVES, dtype=np.float32),
        "term_leaf": array(COMPARISONS, 4),
        "term_sign": array(COMPARISONS, 4, dtype=np.float32),
        "gamma": array(COMPARISONS, dtype=np.float32),
        "level": array(COMPARISONS),
        "weight": array(COMPARISONS, dtype=np.float32),
        "share": array(COMPARISONS, dtype=np.float32),
        "tie": array(COMPARISONS, dtype=bool),
    }
    return take.lower(abstract, Batch.of(arrays)).compile()


def mesh_of(shape):
    devices = jax.devices()[: int(np.prod(shape))]
    return sharding.make_mesh(dict(zip(sharding.MESH_AXES, shape, strict=True)), devices)


def temporary_bytes(leaves):
    return compiled(leaves, MODEL).memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("shape", [(2, 2, 1, 1), (1, 2, 1, 2)])
def test_no_logits_travel_between_devices(shape):
    """However parameters are spread: only the matrix comes together, and its gradient."""
    model = dataclasses.replace(MODEL, vocab_size=1024)
    program = compiled(in_chunks(mesh_of(shape), 16), model, shape, rows=4, tokens=64).as_text()
    sent = re.findall(r"= (.*?) (?:all-gather|all-reduce|reduce-scatter|all-to-all)\(", program)
    assert sent
    per_device = {1024 // shape[3], 1024}
    logits = [
        dims
        for result in sent
        for dims in re.findall(r"\[([\d,]+)\]", result)
        if dims.count(",") >= 2 and int(dims.split(",")[-1]) in per_device
    ]
    assert not logits


@pytest.mark.parametrize(
    "shape", [pytest.param((8, 1, 1, 1), marks=pytest.mark.slow), (1, 8, 1, 1), (2, 4, 1, 1)]
)
def test_parameters_travel_and_states_stay(shape):
    """With rows of 8 times as many numbers as the largest matrix, nothing that big is sent."""
    model = dataclasses.replace(MODEL, vocab_size=1024, layers=2)
    program = compiled(in_chunks(mesh_of(shape), 16), model, shape, rows=8, tokens=1024).as_text()
    sizes = [
        int(np.prod([int(size) for size in dims.split(",") if size]))
        for sent in re.findall(
            r"= (.*?) (?:all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)\(",
            program,
        )
        for dims in re.findall(r"\[([\d,]*)\]", sent)
    ]
    assert 1 < max(sizes) <= model.vocab_size * model.width


@pytest.mark.slow
def test_a_step_needs_less_than_a_fifth_of_the_memory_of_all_logits():
    # Every token of the row is scored, the worst case for chunks.
    chunked = in_chunks(mesh_of((1, 1, 1, 1)), 256)
    assert 5 * temporary_bytes(chunked) < temporary_bytes(all_at_once)


@pytest.mark.slow
def test_a_quarter_of_a_row_needs_about_a_quarter_of_the_memory():
    model = dataclasses.replace(MODEL, vocab_size=512, width=64, mlp_width=128, layers=2)

    def needed(parts):
        shape = (1, 1, parts, 1)
        step_of = compiled(in_chunks(mesh_of(shape), 64), model, shape)
        return step_of.memory_analysis().temp_size_in_bytes

    assert 3.5 * needed(4) < needed(1)
