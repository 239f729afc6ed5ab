"""What a run watches while it trains: its best checkpoint so far, and whether to stop early."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict, cast

from mapl_jax.losses import LEVELS
from mapl_jax.runtime import distributed
from mapl_jax.runtime.errors import UserError
from mapl_jax.training.callbacks import Callbacks, floats
from mapl_jax.training.objective import Kind
from mapl_jax.training.settings import TrainSettings

# What a checkpoint can be best by: smaller is better, or larger.
SMALLER = ("loss", "perplexity")
METRICS: Mapping[Kind, tuple[str, ...]] = {
    "comparisons": (
        "loss",
        "accuracy",
        "margin",
        *(f"{level}_{name}" for level in LEVELS for name in ("accuracy", "loss", "margin")),
    ),
    "demonstrations": ("loss", "perplexity"),
}
PATIENCE = "train.patience"
_runs = itertools.count()


def check(train: TrainSettings, kind: Kind) -> None:
    """Makes sure that a run can watch what its settings name."""
    if train.best and train.best not in METRICS[kind]:
        raise UserError(
            f"train.best: no metric {train.best!r}; choose one of {', '.join(METRICS[kind])}"
        )
    if train.best and not train.eval_every:
        raise UserError(
            "train.best compares evaluations during training; set train.eval_every to the number "
            "of steps between them"
        )
    if train.patience and not train.best:
        raise UserError(
            f"{PATIENCE} counts evaluations without a better train.best; set train.best as well, "
            f"to {METRICS[kind][0]} for example"
        )


class Progress(TypedDict):
    """What a checkpoint keeps of it."""

    metric: str  # that a checkpoint is best by; empty for none
    best: int  # step of the best evaluation; 0 before there is one
    value: float
    waited: int  # evaluations since then
    evaluated: int  # step of the last evaluation
    by: str  # name of the callback that stopped the training; empty where none did
    why: str  # its reason


START = Progress(metric="", best=0, value=0.0, waited=0, evaluated=0, by="", why="")


@dataclasses.dataclass
class Watch:
    """Sees all metrics of a run's training, and says whether to go on.

    All processes go through it alike; process 0 decides, and where training pauses anyway, to
    evaluate or to save, the others ask it. In between it tells them a step that none has reached.
    """

    metric: str = ""  # that a checkpoint is best by; empty for none
    patience: int = 0  # evaluations without a better one after which training stops; 0 for no limit
    callbacks: Callbacks = dataclasses.field(default_factory=Callbacks)
    # Takes the steps of checkpoints that were completed since it was last called.
    saved: Callable[[], list[int]] = list
    folder: Path = Path()
    progress: Progress = dataclasses.field(default_factory=lambda: START.copy())
    _key: str = dataclasses.field(default_factory=lambda: f"mapl_jax stop {next(_runs)}")
    _last: int | None = None

    def goes_on(self, progress: Mapping[str, object], kept: list[int]) -> bool:
        """Takes over what a checkpoint has kept (one of an older version: nothing).

        Returns:
            Whether the best one is among the checkpoints that are there, if there was one.
        """
        self.progress = cast(Progress, {**START, **progress})
        if self.progress["by"] not in self.callbacks.names:
            self.progress |= {"by": "", "why": ""}
        there = not self.progress["best"] or self.progress["best"] in kept
        if self.progress["metric"] != self.metric or not there:
            self.progress |= {"best": 0, "value": 0.0, "waited": 0}
        return there

    @property
    def active(self) -> bool:
        """Whether there is anything that may stop the training."""
        return bool(self.metric or self.callbacks.names)

    @property
    def reason(self) -> str:
        """Why the training stops; empty where it goes on."""
        now = self.progress
        if now["by"]:
            return f"callback {now['by']}: {now['why']}"
        if not self.patience or now["waited"] < self.patience:
            return ""
        best = f"; its best is {now['value']:.4g}, at step {now['best']}" if now["best"] else ""
        return f"{self.metric} has not improved in {now['waited']} evaluations{best}"

    def ended(self, last: int) -> dict[str, object]:
        """How training ended, for the summary of the run; empty where there is nothing to say."""
        now, summary = self.progress, dict[str, object]()
        if now["best"]:
            summary["best"] = {"metric": self.metric, "step": now["best"], "value": now["value"]}
        if self.reason:
            summary["stopped"] = {"step": last, "why": self.reason}
        return summary

    def stepped(self, step: int, values: Mapping[str, float]) -> None:
        """The metrics of a step have come."""
        if self.callbacks.names:
            self.tell_of_saved()
            self._call("on_step", step, floats(values))

    def tell_of_saved(self) -> None:
        """Tells callbacks of the checkpoints that were completed meanwhile."""
        for at in self.saved():
            self._call("on_save", at, self.folder / str(at))

    def evaluated(self, step: int, values: Mapping[str, float]) -> None:
        """An evaluation has come to an end."""
        now = self.progress
        now["evaluated"] = step
        if self.metric:
            value = float(values.get(self.metric, math.nan))
            sign = -1 if self.metric.endswith(SMALLER) else 1
            better = math.isfinite(value) and (
                not now["best"] or sign * value > sign * now["value"]
            )
            now["metric"] = self.metric
            if distributed.broadcast_from_main(better):
                now |= {"best": step, "value": value, "waited": 0}
            else:
                now["waited"] += 1
        self._call("on_evaluate", step, floats(values))

    def _call(self, hook: str, step: int, about: object) -> None:
        for by, why in self.callbacks.call(hook, step, about):
            if not self.progress["by"]:
                self.progress |= {"by": by, "why": why}

    def agreed(self) -> bool:
        """Whether training stops here; all processes wait for the answer of the first."""
        return self.active and bool(distributed.broadcast_from_main(bool(self.reason)))

    def ends(self, done: int) -> bool:
        """Whether training stops after the step just handed out, as far as known without waiting.

        With several processes that is two steps later than alone: none of them can have begun that
        step, because it needs numbers of all of them from the steps before.
        """
        if self._last is None and self.callbacks.names:
            if distributed.process_count() == 1:
                self._last = done if self.reason else None
            elif not distributed.is_main_process():
                self._last = distributed.published(self._key)
            elif self.reason:
                self._last = done + 2
                distributed.publish(self._key, self._last)
        return self._last is not None and done >= self._last
