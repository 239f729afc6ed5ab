"""The train command, noting which samples lie in the rows that this process brings, by step.

With SPOILED=STEP, the last row of that batch holds a number that is not finite.
"""

import json
import os
import sys

from mapl_jax import cli, train
from mapl_jax.data import loader


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
            "tokens": [int(row.sum()) for row in batch["tokens"].reshape(size, -1)],
        }
        with open(os.environ["RECORD"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if os.environ.get("SPOILED") == str(step):
            batch["gamma"][-1, -1, 0] = float("nan")
        return batch


if __name__ == "__main__":
    loader.Batches = Recorded
    sys.argv[0] = train.__file__
    cli.launch(train.main, name="train", config="configs/rm.py", distributed=True)
