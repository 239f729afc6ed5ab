"""Where curves go besides metrics.jsonl: TensorBoard, Weights & Biases, Trackio.

Names are `train/loss`, `eval/loss`, ..., which TRL's users know; quantities that TRL logs as well
have its names (see `mapl_jax.training.sums`).
"""

import dataclasses
import hashlib
import importlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import comma_separated

PROJECT = "mapl_jax"
STEP = "train/global_step"


class Logger(NamedTuple):
    """Keeps curves: `write` adds a point to each, `close` writes what is left."""

    write: Callable[[int, Mapping[str, float]], object]
    close: Callable[[], object]


@dataclasses.dataclass(frozen=True)
class About:
    """What a logger gets to know of a run; `resume_step` is 0 at its beginning."""

    workdir: Path
    resume_step: int
    name: str = ""
    config: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same whenever the run goes on in its folder."""
        return hashlib.blake2b(str(self.workdir).encode(), digest_size=8).hexdigest()


def tensorboard(about: About) -> Logger:
    """Event files in the run folder.

    They are written at once: tensorboardX's SummaryWriter has a thread for it, and when a full disk
    ends that thread, the run waits for it for ever.
    """
    # tensorboardX imports torch where it is installed, for seconds.
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.summary import scalar

    folder = about.workdir / "tensorboard"
    folder.mkdir(parents=True, exist_ok=True)
    # Files are named by the second; two starts within one must not share a file.
    file = EventsWriter(str(folder / "events"), f".{about.resume_step}")
    # TensorBoard hides what an interrupted run wrote from this step on.
    start = about.resume_step + 1 if about.resume_step else 0
    began = SessionLog(status=SessionLog.START)
    file.write_event(Event(step=start, wall_time=time.time(), session_log=began))

    def write(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            point = Event(step=step, wall_time=time.time(), summary=scalar(name, value))
            file.write_event(point)
        file.flush()

    return Logger(write, file.close)


def wandb(about: About) -> Logger:
    """A run of Weights & Biases, as the user is logged in there; WANDB_PROJECT and so on count."""
    run = _module("wandb").init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        name=about.name,
        id=about.id,
        resume="allow",
        dir=str(about.workdir),
        config=dict(about.config),
    )
    # Its own count of steps never goes back, which a run that is resumed has to.
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP)
    return Logger(lambda step, values: run.log({**values, STEP: step}), run.finish)


def trackio(about: About) -> Logger:
    """A run of Trackio, kept on this machine unless TRACKIO_SPACE_ID names a place."""
    module, space = _module("trackio"), os.environ.get("TRACKIO_SPACE_ID")
    module.init(
        project=os.environ.get("TRACKIO_PROJECT") or PROJECT,
        name=about.name or about.id,
        resume="allow",
        config=dict(about.config),
        **({"space_id": space} if space else {}),
    )
    return Logger(lambda step, values: module.log(dict(values), step=step), module.finish)


LOGGERS: dict[str, Callable[[About], Logger]] = {
    "tensorboard": tensorboard,
    "wandb": wandb,
    "trackio": trackio,
}
_OPTIONAL = ("wandb", "trackio")


def parse(text: str) -> tuple[str, ...]:
    """Names of loggers, checked."""
    names = tuple(comma_separated(text))
    for name in names:
        if name not in LOGGERS:
            raise UserError(
                f"train.logger is {text!r}; name any of {', '.join(LOGGERS)}, with commas between"
            )
        if name in _OPTIONAL:
            _module(name)
    return names


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"train.logger asks for {name}, which is not installed ({error}); pip install {name}, "
            "or leave it out"
        ) from None
