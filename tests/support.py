"""What tests of several folders share: records, configs, commands, random weights."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import forked
import jax
import jax.numpy as jnp
import numpy as np
from forked import ROOT
from ml_collections import ConfigDict

from mapl_jax import export
from mapl_jax.runtime import cli
from mapl_jax.runtime.config import load_config

# Recorded steps and data sets beside the repository, where they are there.
SHARED = ROOT.parent / "shared"

USER = {"role": "user", "content": "How are you?"}
PAIR = {"id": "a", "prompt": "How are you?", "chosen": "Fine.", "rejected": "Bad.", "margin": 1.5}
SAMPLE = {
    "id": "a",
    "prompts": [
        {"messages": [USER], "constraints": []},
        {
            "messages": [USER],
            "constraints": [{"id": "punctuation:no_comma", "params": {}, "text": "No commas."}],
        },
    ],
    "responses": ["Fine.", "Bad, sir."],
    "comparisons": [
        {"level": "base", "prompt": [0, 0], "response": [0, 1], "sign": [1, -1], "gamma": 0.0}
    ],
}


def write_lines(path: Path, *values: object) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def parquet(columns: Mapping[str, list[Any]]) -> bytes:
    """A Parquet file's content."""
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def config_of(name: str, changes: Mapping[str, Any] | None = None) -> ConfigDict:
    """The config "rm", "rm:tiny", ... with changes as {"train.steps": 2}; it can be changed on."""
    return load_config(name, changes).unlock()


def command(name: str, *arguments: object, config: str = "") -> list[str]:
    """What a shell runs as `python -m mapl_jax.NAME --config=configs/CONFIG.py ARGUMENTS`."""
    named = [f"--config=configs/{config}.py"] if config else []
    return [sys.executable, "-m", f"mapl_jax.{name}", *named, *map(str, arguments)]


def run(
    name: str, *arguments: object, config: str = "", typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a command in the repository's folder to its end, well or not."""
    named = [f"--config=configs/{config}.py"] if config else []
    return forked.run(name, *named, *map(str, arguments), typed=typed)


def run_export(checkpoint: Path, output: Path, **flags: object) -> Path:
    """Exports a checkpoint in this process."""
    given = export.Flags(checkpoint=str(checkpoint), output=str(output), **flags)
    export.main(cli.Arguments(ConfigDict(), None, "", given))
    return Path(output)


def random_like(tree: Any, scale: float, seed: int = 0) -> Any:
    """Random arrays of given shapes, larger than at the start of training."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(scale * rng.normal(size=x.shape), jnp.float32), tree)
