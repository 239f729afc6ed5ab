"""Recorded steps of TRL's trainers, taken again."""

import json

import jax
import pytest

from mapl_jax.models import axes
from mapl_jax.training import optimizers, sharding, step

# What TRL was told when its steps were recorded.
SETTINGS = optimizers.OptimizerSettings(
    learning_rate=1e-4, schedule="constant", b1=0.9, b2=0.999, eps=1e-8, clip=1.0
)
STEPS = 6


def replayed_steps(leaves, loss, shapes, params, batches):
    """Takes the recorded steps.

    Args:
        leaves: numbers of the leaves, from parameters and a batch of one part.
        loss: from these numbers and the batch.
        shapes: of the parameters.
        params: before the first step.
        batches: the batches on their devices, from the mesh, shardings and placed parameters.

    Returns:
        The parameters after the last step, and what was logged of each.
    """
    logical = axes.logical_axes(params)
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    learning_rate = optimizers.schedule(SETTINGS, STEPS)
    optimizer = optimizers.make(SETTINGS, learning_rate, logical)
    _, shardings = step.state_shapes(shapes, optimizer, mesh, logical)
    take = step.compile_train_step(
        step.make_train_step(leaves, loss, optimizer, learning_rate, clip=SETTINGS.clip),
        mesh,
        shardings,
    )
    params = jax.device_put(params, shardings.params)
    given = batches(mesh, shardings, params)
    state = step.compile_first_state(optimizer, shardings)(params)
    log = []
    for batch in given:
        state, metrics = take(state, batch)
        log.append(step.to_floats(jax.device_get(metrics)))
    return state.params, log


@pytest.fixture(scope="session")
def replay():
    return replayed_steps


@pytest.fixture(scope="module")
def recorded_log(request):
    """What TRL logged of the steps in the folder that the module calls RECORDED."""
    return json.loads((request.module.RECORDED / "log.json").read_text())
