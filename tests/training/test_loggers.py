"""Curves go where they are asked to go, under the names that TRL's users know."""

import sys
import types

import pytest

from mapl_jax.runtime.errors import UserError
from mapl_jax.training import loggers
from mapl_jax.training.metrics import MetricsWriter


class Recorder(types.ModuleType):
    """A module of a logger that notes how it is called; what `init` returns is itself."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def note(*arguments, **named):
            self.calls.append((name, arguments, named))
            return self

        return note

    def called(self, name):
        return [(arguments, named) for called, arguments, named in self.calls if called == name]


@pytest.fixture
def module(monkeypatch):
    def put(name):
        monkeypatch.setitem(sys.modules, name, Recorder(name))
        return sys.modules[name]

    return put


def fill(path, to, resume=0):
    about = {"name": "rm-demo", "config": {"seed": 3}}
    with MetricsWriter(path, total_steps=4, resume_step=resume, to=to, **about) as metrics:
        metrics.write(resume + 1, {"loss": 0.5, "accuracy": 1, "grad_norm": float("nan")}, "train")
        metrics.write(resume + 1, {"loss": 0.25}, "eval")


def test_wandb_gets_the_run_its_config_and_the_points(tmp_path, module):
    wandb = module("wandb")
    fill(tmp_path, ["wandb"])
    ((_, init),) = wandb.called("init")
    assert init["project"] == "mapl_jax"
    assert init["name"] == "rm-demo"
    assert init["config"] == {"seed": 3}
    assert init["dir"] == str(tmp_path)
    assert wandb.called("log") == [
        (({"train/loss": 0.5, "train/accuracy": 1, "train/global_step": 1},), {}),
        (({"eval/loss": 0.25, "train/global_step": 1},), {}),
    ]
    assert len(wandb.called("finish")) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_wandb_goes_on_in_the_same_run(tmp_path, module, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    wandb = module("wandb")
    fill(tmp_path, ["wandb"])
    fill(tmp_path, ["wandb"], resume=2)
    (_, first), (_, second) = wandb.called("init")
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"
    assert second["project"] == "mine"
    assert wandb.called("log")[-1] == (({"eval/loss": 0.25, "train/global_step": 3},), {})


def test_trackio_gets_the_points_with_their_steps(tmp_path, module):
    trackio = module("trackio")
    fill(tmp_path, ["trackio", "tensorboard"])
    ((_, init),) = trackio.called("init")
    assert init["project"] == "mapl_jax"
    assert init["config"] == {"seed": 3}
    assert trackio.called("log") == [
        (({"train/loss": 0.5, "train/accuracy": 1},), {"step": 1}),
        (({"eval/loss": 0.25},), {"step": 1}),
    ]
    assert len(trackio.called("finish")) == 1
    assert list((tmp_path / "tensorboard").iterdir())


def test_what_is_asked_for_is_checked_before_a_run(module, monkeypatch):
    module("wandb")
    assert loggers.parse(" tensorboard, wandb,tensorboard") == ("tensorboard", "wandb")
    assert loggers.parse("") == ()
    with pytest.raises(UserError, match="name any of tensorboard, wandb, trackio"):
        loggers.parse("mlflow")
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(UserError, match="trackio, which is not installed"):
        loggers.parse("tensorboard,trackio")
