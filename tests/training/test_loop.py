"""The loop logs, evaluates, saves and stops when it should."""

import contextlib
import math
import signal
from typing import Any

import numpy as np
import pytest

from mapl_jax import losses
from mapl_jax.runtime.errors import Stopped, UserError
from mapl_jax.training import callbacks, loop
from mapl_jax.training.callbacks import Callbacks
from mapl_jax.training.preemption import Preemption
from mapl_jax.training.step import StepMetrics, TrainState
from mapl_jax.training.watch import Watch

LEVEL = np.zeros(4)
SUMS = losses.LevelSums(
    LEVEL,
    LEVEL,
    LEVEL,
    LEVEL,
    np.asarray([2.0, 0.0, 0.0, 0.0]),
    LEVEL,
    np.zeros(()),
    np.inf,
    -np.inf,
)


class Notes:
    """A writer, an evaluation and a checkpointer that remember what they were asked."""

    def __init__(self, held_out=lambda step: 0.0):
        self.held_out = held_out
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
        return {"loss": self.held_out(step)}

    def save(self, step, _: Any):
        self.events.append(("save", step))


class Bad(Exception):
    """Raised by a run that stops at what is not finite."""


class Asked(Preemption):
    """A request to stop that comes after a step, or during the evaluation at a step."""

    def __init__(self, step=0, evaluation=0):
        super().__init__()
        self.step, self.evaluation, self.done = step, evaluation, 0

    def reached(self):
        self.done += 1
        return super().reached() or self.done == self.step


def run(
    schedule,
    start=0,
    loss=lambda step: 1.0,
    stops=True,
    preemption=None,
    held_out=lambda step: 0.0,
    **options,
):
    notes = Notes(held_out)
    notes.bad = []

    def on_nonfinite(step, values, rows):
        notes.bad.append((step, values["loss"]))
        if stops:
            raise Bad

    def evaluate(params, step):
        if preemption and step == preemption.evaluation:
            signal.raise_signal(signal.SIGTERM)
        return notes.evaluate(params, step)

    def step_function(state, batch):
        at = int(state.step)
        value = loss(at + 1)
        metrics = StepMetrics(
            *(np.float32(x) for x in (value, 1.0, 0.1, 7.0)),
            SUMS,
            skipped=state.skipped + (not np.isfinite(value)),
            finite=np.isfinite(value),
            rows=None,
        )
        return state._replace(step=state.step + 1, skipped=metrics.skipped), metrics

    def trained():
        return loop.train(
            TrainState(np.asarray(start), {}, {}, np.int32(0)),
            step_function,
            iter([{}] * schedule.steps),
            schedule,
            start=start,
            to_device=lambda batch: batch,
            writer=notes,
            evaluate=evaluate,
            save=notes.save,
            epoch_at=lambda step: step / schedule.steps,
            preemption=preemption,
            on_nonfinite=on_nonfinite,
            **options,
        )

    with preemption or contextlib.nullcontext():
        try:
            state = trained()
        except (Stopped, Bad, UserError) as error:
            state = error
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
    state, notes = run(
        loop.Schedule(9, save_every=1), loss=lambda step: value if step == 3 else 1.0
    )
    assert isinstance(state, Bad)
    assert [step for step, _ in notes.bad] == [3]
    assert notes.events == [("save", 1), ("save", 2)]


def test_a_step_that_is_left_out_is_told_of_and_training_goes_on():
    state, notes = run(
        loop.Schedule(9), loss=lambda step: math.nan if step in (3, 9) else 1.0, stops=False
    )
    assert int(state.step) == 9
    assert [step for step, _ in notes.bad] == [3, 9]


@pytest.mark.parametrize(
    ("steps", "fine", "last"),
    [
        pytest.param(9, (), 9, id="every step of a short run"),
        pytest.param(400, (7,), 7 + loop.MAX_SKIPS, id="too many in a row"),
    ],
)
def test_a_run_that_leaves_out_step_after_step_ends_and_says_so(steps, fine, last):
    error, notes = run(
        loop.Schedule(steps), loss=lambda step: 1.0 if step in fine else math.nan, stops=False
    )
    assert isinstance(error, UserError)
    count = len(range(fine[-1] if fine else 0, last))
    assert f"the last {count} steps were not finite" in str(error)
    assert notes.bad[-1][0] == last
    assert ("save", steps) not in notes.events


def test_a_request_to_stop_saves_after_the_step_under_way():
    state, notes = run(loop.Schedule(9, eval_every=2), preemption=Asked(step=4))
    assert isinstance(state, Stopped)
    assert state.where == "after step 4 of 9"
    assert notes.shown == [1, 2, 3, 4]
    assert notes.events == [("eval", 2), ("save", 4)]


def test_a_request_to_stop_ends_an_evaluation_and_the_next_run_makes_up_for_it():
    schedule = loop.Schedule(9, eval_every=2)
    state, notes = run(schedule, preemption=Asked(evaluation=4))
    assert isinstance(state, Stopped)
    assert notes.events == [("eval", 2), ("save", 4)]
    _, notes = run(schedule, start=4, evaluate_first=True)
    assert notes.events == [("eval", step) for step in (4, 6, 8)] + [("save", 9)]
    _, notes = run(schedule, start=5, evaluate_first=True)
    assert notes.events == [("eval", step) for step in (6, 8)] + [("save", 9)]


def test_a_request_to_stop_outside_of_training_stops_there():
    with pytest.raises(Stopped), Preemption():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_request_that_is_held_is_told_of_later():
    with Preemption() as preemption:
        with preemption.held():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            preemption.check()


DOWN_AND_UP = {2: 0.7, 4: 0.5, 6: math.nan, 8: 0.6, 9: 0.4}.__getitem__


def test_every_evaluation_that_is_the_best_so_far_has_a_checkpoint_and_the_last_step_is_one():
    schedule = loop.Schedule(9, eval_every=2, save_every=3)
    state, notes = run(schedule, held_out=DOWN_AND_UP, watch=Watch("loss"))
    assert int(state.step) == 9
    assert [step for event, step in notes.events if event == "save"] == [2, 3, 4, 6, 9]
    assert notes.events[-2:] == [("eval", 9), ("save", 9)]


def test_patience_ends_the_training_and_saves_where_it_ended():
    schedule = loop.Schedule(9, eval_every=2)
    watch = Watch("loss", patience=2)
    state, notes = run(schedule, held_out=DOWN_AND_UP, watch=watch)
    assert int(state.step) == 8
    assert notes.events[-2:] == [("eval", 8), ("save", 8)]
    again, notes = run(schedule, start=8, held_out=DOWN_AND_UP, watch=watch)
    assert int(again.step) == 8
    assert notes.events == notes.shown == []


def test_a_best_evaluation_that_was_made_up_for_counts_though_its_checkpoint_is_there():
    schedule, watch = loop.Schedule(9, eval_every=2), Watch("loss")
    state, notes = run(schedule, held_out=DOWN_AND_UP, watch=watch, preemption=Asked(evaluation=4))
    assert isinstance(state, Stopped)
    assert watch.progress["evaluated"] == 2
    _, notes = run(schedule, start=4, evaluate_first=True, held_out=DOWN_AND_UP, watch=watch)
    assert watch.progress["best"] == 9
    assert notes.events[:2] == [("eval", 4), ("eval", 6)]


class Ends:
    """Ends the training at a moment, after it has noted all moments."""

    def __init__(self, *moment):
        self.moment, self.told = moment, []

    def on_step(self, step, metrics):
        assert {type(value) for value in metrics.values()} == {float}
        assert "seconds" not in metrics
        return self.tell("step", step)

    def on_evaluate(self, step, metrics):
        return self.tell("eval", step)

    def tell(self, *moment):
        self.told.append(moment)
        return "enough" if moment == self.moment else None


@pytest.mark.parametrize(
    ("moment", "last"),
    [
        pytest.param(("step", 3), 4, id="the step under way is the last"),
        pytest.param(("step", 4), 4, id="no step is under way where training pauses"),
        pytest.param(("eval", 4), 4, id="an evaluation ends it at once"),
        pytest.param(("step", 9), 9, id="the last step"),
        pytest.param((), 9, id="never"),
    ],
)
def test_a_callback_sees_every_step_and_evaluation_and_ends_the_training(moment, last):
    ends = Ends(*moment)
    with callbacks.named([ends]) as names:
        watch = Watch(callbacks=Callbacks(names))
        state, notes = run(loop.Schedule(9, eval_every=2, log_every=2), watch=watch)
    assert int(state.step) == last
    assert notes.events[-1] == ("save", last)
    steps = [("step", step) for step in range(1, last + 1)]
    assert [moment for moment in ends.told if moment[0] == "step"] == steps
    assert ends.told.index(("eval", 2)) == 2


def test_the_last_step_of_a_run_that_a_callback_ended_may_be_the_best():
    with callbacks.named([Ends("step", 4)]) as names:
        watch = Watch("loss", callbacks=Callbacks(names))
        _, notes = run(loop.Schedule(9, eval_every=3), held_out=lambda step: -step, watch=watch)
    assert notes.events == [("eval", 3), ("save", 3), ("eval", 5), ("save", 5)]
    assert watch.progress["best"] == 5


def test_a_callback_adds_nothing_to_what_is_fetched_from_the_device(monkeypatch):
    fetched = []
    real = loop.jax.device_get
    monkeypatch.setattr(loop.jax, "device_get", lambda x: fetched.append(1) or real(x))
    counts = []
    for given in ([], [Ends()]):
        with callbacks.named(given) as names:
            run(loop.Schedule(7, eval_every=2), watch=Watch(callbacks=Callbacks(names)))
        counts.append(len(fetched))
        fetched.clear()
    assert counts == [7, 7]


def test_a_callback_that_fails_leaves_the_checkpoints_before_it():
    class Fails:
        def on_step(self, step, metrics):
            if step == 5:
                raise RuntimeError("no space in my database")

    with callbacks.named([Fails()]) as names:
        error, notes = run(loop.Schedule(9, save_every=2), watch=Watch(callbacks=Callbacks(names)))
    assert isinstance(error, UserError)
    assert "callback Fails.on_step failed at step 5 with RuntimeError: no space" in str(error)
    assert notes.events == [("save", 2), ("save", 4)]
