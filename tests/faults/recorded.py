"""The train command, with what tests want to see of it or to happen in it.

With RECORD=FILE it notes which samples lie in the rows that this process brings, by step. With
SPOILED=STEP, the last row of that batch holds a number that is not finite. With PACE=SECONDS it
rests so long after every line of its log, so that a busy machine misses no moment to kill it.
"""

import json
import os
import sys
import time
import types

from mapl_jax import train
from mapl_jax.data import loader
from mapl_jax.runtime import cli
from mapl_jax.training import fit, metrics, trainer


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


if __name__ == "__main__":
    if os.environ.get("RECORD"):
        # For the trainer alone: what is evaluated has batches of its own.
        trainer.loader = types.SimpleNamespace(**{**vars(loader), "Batches": Recorded})
    if os.environ.get("PACE"):
        fit.MetricsWriter = Paced
    sys.argv[0] = train.__file__
    cli.launch(train.main, name="train", config="configs/rm.py", distributed=True)
