"""The train command, with what tests want to see of it or to happen in it.

With RECORD=FILE it notes which samples lie in the rows that this process brings, by step. With
SPOILED=STEP, the last row of that batch holds a number that is not finite. With PACE=SECONDS it
rests so long after every line of its log, so that a busy machine misses no moment to kill it. With
KILLED=PATTERN it is killed when a file or a folder of such a path is about to get its name. With
FAULT=PLACE:KIND something happens to it when it comes by one of `PLACES`: see `happen.py`.
"""

import functools
import itertools
import json
import os
import re
import signal
import sys
import time
import types
from pathlib import Path

from faults.happen import happen

from mapl_jax import train
from mapl_jax.data import loader
from mapl_jax.runtime import cli
from mapl_jax.training import fit, metrics, trainer

ROOT = Path(__file__).parents[2]


class Recorded(loader.Batches):
    """Batches that write down what is taken from them."""

    def __getitem__(self, step):
        batch = super().__getitem__(step)
        rows = self.sample_ids(int(step))
        size = len(rows) // self.hosts
        line = {
            "step": int(step),
            "first": self.host * size,
            "rows": rows[self.host * size : (self.host + 1) * size],
            "tokens": [int(row.sum()) for row in batch.row.tokens.reshape(size, -1)],
        }
        with open(os.environ["RECORD"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if os.environ.get("SPOILED") == str(step):
            batch.comparisons.gamma[-1, -1, 0] = float("nan")
        return batch


class Paced(metrics.MetricsWriter):
    """A log that takes its time."""

    def write(self, *arguments):
        super().write(*arguments)
        time.sleep(float(os.environ["PACE"]))


# Where a run comes by: the object and the name of what it calls there, and the how manieth call.
PLACES = {
    "data": (train.run_data, "load", 1),
    "first rows": (trainer.sharding, "to_device", 1),
    "training": (fit.Preemption, "reached", 8),
    "checkpoint": (fit.Checkpoints, "save", 2),
    "last evaluation": (fit.Checkpoints, "wait", 6),
    "report": (train, "finish", 1),
    "model": (train, "write_model", 1),
}


def fault(place, kind):
    """Lets something happen where the run comes by a place."""
    owner, name, calls = PLACES[place]
    plain, count = getattr(owner, name), itertools.count(1)

    @functools.wraps(plain)
    def changed(*arguments, **options):
        if next(count) == calls:
            happen(kind)
        return plain(*arguments, **options)

    setattr(owner, name, changed)


def kill_at(pattern):
    """Kills this process, with the workers it started, when it makes or renames what matches."""

    def seen(event, arguments):
        if event in ("os.mkdir", "os.rename"):
            path = os.fspath(arguments[event == "os.rename"])
            if isinstance(path, str) and re.fullmatch(pattern, path):
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(seen)


def run(arguments, log, environment):
    """The command in a process that was forked off one which has imported everything.

    Args:
        arguments: of the command.
        log: file for what it prints.
        environment: its variables, beside those of the process that it was forked off.
    """
    os.setsid()
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # that process ignores Ctrl-C
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    if environment["RECORD"]:
        # For the trainer alone: what is evaluated has batches of its own.
        trainer.loader = types.SimpleNamespace(**{**vars(loader), "Batches": Recorded})
    if environment["PACE"]:
        fit.MetricsWriter = Paced
    if environment["KILLED"]:
        kill_at(environment["KILLED"])
    if environment["FAULT"]:
        fault(*environment["FAULT"].split(":"))
    sys.argv = [train.__file__, *arguments]
    cli.launch(
        train.main,
        name="train",
        config="configs/rm.py",
        settings=[train.Settings],
        distributed=True,
    )
