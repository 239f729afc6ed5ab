"""Commands as processes of their own, each forked off one that has imported what they import.

A new interpreter would spend seconds on imports before it does anything.
"""

import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[1]
# What commands import, some of it only where they need it.
PRELOADED = [
    "forked",
    "faults.recorded",
    "mapl_jax.synthesize",
    "mapl_jax.evaluate",
    "mapl_jax.generate",
    "mapl_jax.export",
    "datasets",
    "grain.python",
    "transformers.tokenization_utils_tokenizers",
]
# However busy the machine is, nothing takes so long unless it hangs.
PATIENCE = 900


@functools.cache
def context() -> ForkServerContext:
    """Starts the processes."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    changes = {
        # Before Python 3.14 it looks for what to import nowhere else.
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        # The same small programs are compiled by start after start.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    with mock.patch.dict(os.environ, changes):
        forkserver.ensure_running()
    return found


def run(name: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """What `python -m mapl_jax.NAME ARGUMENTS` does in the repository's folder, well or not."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, stream) for stream in ("in", "out", "err")]
        streams[0].write_text(typed)
        process = context().Process(target=_run, args=(name, arguments, streams, dict(os.environ)))
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
        said = (path.read_text() if path.exists() else "" for path in streams[1:])
        return subprocess.CompletedProcess([name, *arguments], process.exitcode, *said)


def _run(name: str, arguments: list[str], streams: list[Path], env: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(ROOT)
    for number, path in enumerate(streams):
        with path.open("wb" if number else "rb") as file:
            os.dup2(file.fileno(), number)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.argv[1:] = arguments
    # As in a new interpreter, where no other module has imported it.
    sys.modules.pop(f"mapl_jax.{name}", None)
    runpy.run_module(f"mapl_jax.{name}", run_name="__main__", alter_sys=True)
