"""What a run watches: its best checkpoint, its patience, and callbacks that end it."""

import math

import jax.numpy as jnp
import pytest

from mapl_jax.runtime.errors import UserError
from mapl_jax.training import callbacks, watch
from mapl_jax.training.callbacks import Callbacks
from mapl_jax.training.checkpoints import Checkpoints, saved_steps
from mapl_jax.training.settings import TrainSettings
from mapl_jax.training.step import TrainState
from mapl_jax.training.watch import START, Watch


class Spy:
    """Notes what it is told, and gives back what it was made with."""

    def __init__(self, **says):
        self.says, self.told = says, []

    def on_step(self, step, metrics):
        self.told.append(("step", step, metrics))
        return self.says.get(f"step {step}")

    def on_evaluate(self, step, metrics):
        self.told.append(("evaluate", step, metrics))
        return self.says.get(f"evaluate {step}")

    def on_save(self, step, folder):
        self.told.append(("save", step, folder.name))


class Failing:
    """A callback that fails."""

    def on_step(self, step, metrics):
        raise KeyError(metrics["nothing"])


@pytest.fixture
def spy():
    """A callback that can be named, and ends what comes by step 3."""
    made = Spy(**{"step 3": "three is enough"})
    callbacks.register("spy", lambda: made)
    yield made
    callbacks.unregister("spy")


def after(values, metric="inter_accuracy", **options):
    """A watch that has seen evaluations with these values of its metric, one a step."""
    made = Watch(metric, **options)
    for step, value in enumerate(values, 1):
        made.evaluated(step, {} if value is None else {metric: value})
    return made


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("inter_accuracy", [0.5, 0.7, 0.6], 2),
        ("inter_loss", [0.5, 0.7, 0.4], 3),
        ("perplexity", [9, 8, 8], 2),
        ("margin", [-1, 0, -2], 2),
        ("loss", [math.nan, 3.0, math.nan, None], 2),
        ("loss", [-math.inf, math.inf], 0),
        ("accuracy", [0.5, 0.5, 0.5], 1),
    ],
)
def test_the_best_is_the_first_that_none_is_better_than_and_never_what_is_not_finite(
    metric, values, best
):
    assert after(values, metric).progress["best"] == best


def test_patience_counts_evaluations_since_the_best():
    assert not after([0.5, 0.4, 0.6, 0.5], patience=2).reason
    found = after([0.5, 0.6, 0.5, math.nan], patience=2)
    assert found.agreed()
    assert found.reason == (
        "inter_accuracy has not improved in 2 evaluations; its best is 0.6, at step 2"
    )
    assert after([math.nan] * 2, patience=2).reason == (
        "inter_accuracy has not improved in 2 evaluations"
    )


def test_a_run_that_goes_on_has_waited_as_long_as_before():
    kept = after([0.6, 0.5], patience=2).progress
    again = Watch("inter_accuracy", 2)
    assert again.goes_on(kept, [1, 2])
    assert not again.reason
    again.evaluated(3, {"inter_accuracy": 0.6})
    assert again.progress == after([0.6, 0.5, 0.6]).progress
    assert again.reason


def test_more_patience_lets_a_run_go_on():
    kept = after([0.6, 0.5, 0.5], patience=2).progress
    for patience, ends in ((2, True), (3, False), (0, False)):
        again = Watch("inter_accuracy", patience)
        again.goes_on(kept, [1, 3])
        assert again.agreed() == ends


def test_another_metric_begins_anew_and_so_does_a_best_checkpoint_that_is_gone():
    kept = after([0.6, 0.5]).progress
    other = Watch("loss")
    assert other.goes_on(kept, [1, 2])
    assert other.progress["best"] == 0
    same = Watch("inter_accuracy")
    assert not same.goes_on(kept, [2])
    assert same.progress["best"] == same.progress["waited"] == 0


def test_a_checkpoint_of_an_older_version_has_no_progress():
    made = Watch("loss")
    assert made.goes_on({}, [])
    assert made.progress == START


@pytest.mark.parametrize(
    ("settings", "kind", "says"),
    [
        ({"best": "acc"}, "comparisons", "no metric 'acc'; choose one of loss, accuracy, margin"),
        ({"best": "accuracy"}, "demonstrations", "choose one of loss, perplexity$"),
        ({"best": "loss", "eval_every": 0}, "comparisons", "set train.eval_every"),
        ({"patience": 2}, "comparisons", "set train.best"),
    ],
)
def test_what_cannot_be_watched_is_refused(settings, kind, says):
    with pytest.raises(UserError, match=says):
        watch.check(TrainSettings(**{"eval_every": 1} | settings), kind)


def test_a_callback_sees_floats_and_checkpoints_that_are_complete(spy, tmp_path):
    made = Watch(callbacks=Callbacks("spy"), saved=[[], [1]].pop, folder=tmp_path)
    made.stepped(2, {"loss": 1, "by_k": {}})
    made.saved = list
    made.evaluated(4, {"loss": jnp.float32(0.5).item()})
    assert spy.told == [
        ("save", 1, "1"),
        ("step", 2, {"loss": 1.0}),
        ("evaluate", 4, {"loss": 0.5}),
    ]
    assert not made.reason


def test_what_a_callback_does_to_its_metrics_changes_nothing():
    class Clears:
        def on_step(self, step, metrics):
            metrics.clear()

    values = {"loss": 1.0}
    with callbacks.named([Clears(), Clears()]) as names:
        assert names == ",Clears,Clears-2"
        Watch(callbacks=Callbacks(names)).stepped(1, values)
    assert values == {"loss": 1.0}
    assert not callbacks.CALLBACKS.keys() & {"Clears", "Clears-2"}


def test_a_text_of_a_callback_ends_the_training_and_a_resumed_run_stays_ended(spy):
    made = Watch(callbacks=Callbacks("spy"))
    made.stepped(2, {})
    assert not made.ends(3)
    made.stepped(3, {})
    assert made.ends(4)
    assert made.agreed()
    assert made.ended(4) == {"stopped": {"step": 4, "why": "callback spy: three is enough"}}
    for names, ends in (("spy", True), ("", False)):
        again = Watch(callbacks=Callbacks(names))
        again.goes_on(made.progress, [4])
        assert again.agreed() == ends


def test_a_callback_that_fails_is_one_line_that_names_it():
    with (
        callbacks.named([Failing()]) as names,
        pytest.raises(
            UserError,
            match=r"^callback Failing.on_step failed at step 3 with KeyError: 'nothing' .* resumes",
        ),
    ):
        Watch(callbacks=Callbacks(names)).stepped(3, {})


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (Spy, "is a class; give an object"),
        (print, "is no callback: it needs some of the methods on_step"),
        (type("Typo", (), {"on_eval": print})(), "nothing calls on_eval; did you mean on_evaluate"),
    ],
)
def test_what_is_no_callback_is_refused(thing, says):
    with pytest.raises(UserError, match=says), callbacks.named([thing]):
        pass


def test_a_name_that_nothing_registered_and_one_that_cannot_be_made_are_refused(spy):
    with pytest.raises(UserError, match=r"no callback 'spi'; there are: spy \(a module of"):
        Callbacks("spy, spi")
    callbacks.register("spy", lambda: 1 / 0)
    with pytest.raises(UserError, match="callback spy: ZeroDivisionError: division by zero"):
        Callbacks("spy")


def test_the_best_checkpoint_stays_beside_the_newest(tmp_path):
    zero = jnp.zeros(())
    state = TrainState(zero, {"a": zero}, {"b": zero}, zero)
    with Checkpoints(tmp_path, keep=2) as kept:
        for step, best in ((1, 0), (2, 2), (3, 2), (4, 2), (5, 5), (6, 5)):
            kept.save(step, state, {"steps": 6}, best=best)
            kept.wait()
            assert kept.new() == [step]
            assert set(saved_steps(tmp_path)) >= {best, step} - {0}
            if step == 4:
                assert saved_steps(tmp_path) == [2, 3, 4]
    assert saved_steps(tmp_path) == [5, 6]
