"""Six steps of TRL's own reward trainer, taken again: no torch is needed.

Recorded with TRL 1.16.0 on a tiny Qwen2: fp32, AdamW, margins, centering 0.01, clipping 1.0.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.data.loader import Batch
from mapl_jax.kernels.compute import Compute
from mapl_jax.losses import BASE
from mapl_jax.models import hub
from mapl_jax.models.heads import ScoreHead
from mapl_jax.training import sharding
from mapl_jax.training.objective import reward_loss

from support import SHARED

RECORDED = SHARED / "data" / "parity" / "rm"
pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="needs the recorded steps of TRL")

WIDTH = 256  # of a row; one width for all steps compiles once


def batch_of(recorded, number):
    """A recorded batch [chosen; rejected], each pair in one row, as a batch of one part."""
    ids, mask, margin = (
        recorded[f"{number}/{name}"] for name in ("input_ids", "attention_mask", "margin")
    )
    pairs = len(ids) // 2
    assert 2 * ids.shape[1] <= WIDTH
    shape = (pairs, WIDTH)
    tokens, positions, reach = (np.zeros(shape, np.int32) for _ in range(3))
    leaf_end = np.zeros((pairs, 2), np.int32)
    for row in range(pairs):
        start = 0
        for side in range(2):
            length = int(mask[row + side * pairs].sum())
            stop = start + length
            tokens[row, start:stop] = ids[row + side * pairs, :length]
            positions[row, start:stop] = np.arange(length)
            reach[row, start:stop] = stop
            leaf_end[row, side] = stop - 1
            start = stop
    batch = {
        "tokens": tokens,
        "positions": positions,
        "reach": reach,
        "leaf_end": leaf_end,
        "term_leaf": np.tile(np.asarray([0, 1, 0, 0], np.int32), (pairs, 1, 1)),
        "term_sign": np.tile(np.asarray([1, -1, 0, 0], np.float32), (pairs, 1, 1)),
        "gamma": margin[:, None].astype(np.float32),
        "level": np.full((pairs, 1), BASE, np.int32),
        "weight": np.full((pairs, 1), 1 / pairs, np.float32),
        "share": np.ones((pairs, 1), np.float32),
        "tie": np.zeros((pairs, 1), bool),
    }
    return Batch.of({name: jnp.asarray(value)[None] for name, value in batch.items()})


@pytest.fixture(scope="module")
def replayed(replay):
    """The steps as taken here, and the parameters after them."""
    config = hub.load_config(RECORDED / "init")
    recorded = np.load(RECORDED / "batches.npz")

    def rewards(params, batch):
        return ScoreHead().leaves(config, params, batch, Compute())

    params, log = replay(
        rewards,
        functools.partial(reward_loss, center=0.01),
        ScoreHead().abstract_params(config),
        hub.load_params(RECORDED / "init", config, head=True, seed=0),
        lambda mesh, *_: [
            jax.device_put(batch_of(recorded, number), sharding.rows(mesh)) for number in range(6)
        ],
    )
    return config, params, log


def test_losses_are_those_of_trl(replayed, recorded_log):
    for ours, theirs in zip(replayed[2], recorded_log, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)


def test_gradient_norms_are_those_of_trl(replayed, recorded_log):
    for ours, theirs in zip(replayed[2], recorded_log, strict=True):
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)


@pytest.mark.parametrize(
    "name", ["accuracy", "margin", "mean_reward", "min_reward", "max_reward", "learning_rate"]
)
def test_metrics_mean_what_they_mean_in_trl(replayed, recorded_log, name):
    for ours, theirs in zip(replayed[2], recorded_log, strict=True):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-5)


def test_tokens_add_up_to_those_of_trl(replayed, recorded_log):
    counted = np.cumsum([ours["num_tokens"] for ours in replayed[2]])
    np.testing.assert_array_equal(counted, [theirs["num_tokens"] for theirs in recorded_log])


def test_weights_end_where_those_of_trl_end(replayed):
    config, params, _ = replayed
    expected = hub.load_params(RECORDED / "final", config, head=True, seed=0)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5), params, expected)
