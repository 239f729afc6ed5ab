"""The loop logs, evaluates and saves when it should, and stops at what is not finite."""

import math
from typing import Any

import numpy as np
import pytest

from mapl_jax import losses
from mapl_jax.errors import UserError
from mapl_jax.training import loop
from mapl_jax.training.step import StepMetrics, TrainState

LEVEL = np.zeros(3)
SUMS = losses.LevelSums(
    LEVEL, LEVEL, LEVEL, LEVEL, np.asarray([2.0, 0.0, 0.0]), np.zeros(()), np.inf, -np.inf
)


class Notes:
    """A writer, an evaluation and a checkpointer that remember what they were asked."""

    def __init__(self):
        self.lines: list[tuple[int, str]] = []
        self.shown: list[int] = []
        self.events: list[tuple[str, int]] = []

    def write(self, step, values, split):
        self.lines.append((step, split))
        self.values = values

    def progress(self, step, values):
        self.shown.append(step)

    def evaluate(self, _: Any, step):
        self.events.append(("eval", step))
        return {"loss": 0.0}

    def save(self, step, _: Any):
        self.events.append(("save", step))


def run(schedule, start=0, loss=lambda step: 1.0):
    notes = Notes()

    def step_function(state, batch):
        at = int(state.step)
        metrics = StepMetrics(*(np.float32(x) for x in (loss(at + 1), 1.0, 0.1, 7.0)), SUMS)
        return state._replace(step=state.step + 1), metrics

    state = loop.train(
        TrainState(np.asarray(start), {}, {}),
        step_function,
        iter([{}] * schedule.steps),
        schedule,
        start=start,
        to_device=lambda batch: batch,
        writer=notes,
        evaluate=notes.evaluate,
        save=notes.save,
        epoch_at=lambda step: step / schedule.steps,
    )
    return state, notes


def test_every_step_is_shown_and_every_nth_logged():
    state, notes = run(loop.Schedule(7, log_every=3))
    assert int(state.step) == 7
    assert notes.shown == [1, 2, 3, 4, 5, 6, 7]
    assert notes.lines == [(3, "train"), (6, "train"), (7, "train")]


def test_the_last_step_is_always_saved_and_evaluation_comes_before_saving():
    _, notes = run(loop.Schedule(5, eval_every=2, save_every=2))
    assert notes.events == [
        ("eval", 2),
        ("save", 2),
        ("eval", 4),
        ("save", 4),
        ("save", 5),
    ]


def test_a_resumed_loop_does_the_rest_alone():
    state, notes = run(loop.Schedule(6, log_every=2), start=4)
    assert int(state.step) == 6
    assert notes.shown == [5, 6]


def test_throughput_counts_samples_and_tokens():
    _, notes = run(loop.Schedule(4, log_every=4))
    ratio = notes.values["tokens_per_second"] / notes.values["samples_per_second"]
    assert ratio == pytest.approx(7 / 2)
    assert notes.values["epoch"] == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(value):
    with pytest.raises(UserError, match=r"loss is (nan|inf) at step 3"):
        run(loop.Schedule(9, save_every=1), loss=lambda step: value if step == 3 else 1.0)
