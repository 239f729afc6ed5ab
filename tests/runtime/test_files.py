"""Errors are read to their end, and a folder is worked on by one process at a time."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from mapl_jax.runtime import files
from mapl_jax.runtime.errors import UserError, chain


def circle(*texts):
    """Errors of which each is the context of the one before, the first that of the last."""
    errors = [OSError(text) for text in texts]
    for error, behind in zip(errors, [*errors[1:], errors[0]], strict=True):
        error.__context__ = behind
    return errors[0]


def test_a_chain_of_errors_that_is_a_circle_ends():
    first, second = OSError("first"), ValueError("second")
    first.__context__, second.__cause__ = second, first
    assert list(chain(second)) == [second, first]
    assert not files.full(second)
    assert files.full(circle("one", "No space left on device", "three"))
    assert not files.full(circle("alone"))


HOLDS = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from mapl_jax.runtime.errors import UserError
    from mapl_jax.runtime.files import held
    try:
        with held(Path(sys.argv[1]), "runs/rm"):
            print("held", flush=True)
            sys.stdin.read()
    except UserError as error:
        print(error, flush=True)
    """
)


@contextlib.contextmanager
def holding(lock):
    """A process that tries to hold a lock until it is told to end, and what it says."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(lock)], **pipes) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path):
    lock = tmp_path / "locks" / "a.lock"
    with holding(lock) as (first, said):
        assert said == "held"
        for _ in range(2):
            with holding(lock) as (_, refused):
                assert f"runs/rm is in use by another process ({first.pid});" in refused
        with pytest.raises(UserError, match=str(first.pid)), files.held(lock, "runs/rm"):
            raise AssertionError
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with files.held(lock, "runs/rm"), holding(lock) as (_, refused):
            assert f"({os.getpid()})" in refused
        with holding(lock) as (_, said):
            assert said == "held"


def test_where_no_lock_can_be_written_none_is_held(tmp_path):
    (tmp_path / "file").touch()
    with files.held(tmp_path / "file" / "a.lock", "runs/rm"):
        pass
