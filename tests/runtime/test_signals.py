"""A signal ends a command in one line, while it is imported and while it works."""

import signal
import subprocess
import sys

import pytest

# As in a terminal: what starts in the background of a script ignores interrupts.
TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
SLOW = f"""{TERMINAL}
import os, sys, time
sys.argv, sys.orig_argv = ["-m"], ["python", "-m", "mapl_jax.train"]
import mapl_jax
os.write(1, b"imports")
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGINT, 130, "interrupted\n"),
        (
            signal.SIGTERM,
            143,
            "stopped by SIGTERM before anything began; run the same command again",
        ),
    ],
)
def test_a_signal_during_imports_is_answered_in_one_line(number, status, line):
    command = [sys.executable, "-c", SLOW]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(7) == b"imports"
        process.send_signal(number)
        said = process.communicate()[1].decode()
    assert process.returncode == status
    assert said.startswith(line) and said.count("\n") == 1


WORK = f"""{TERMINAL}
import time
from mapl_jax.runtime import cli
def main(_):
    print("working", flush=True)
    time.sleep(60)
cli.launch(main, name="work")
"""


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGINT, 130, "interrupted\n"),
        (
            signal.SIGTERM,
            143,
            "stopped because of SIGTERM; what was finished by then is kept; to continue, run: "
            "python -m mapl_jax.work\n",
        ),
    ],
)
def test_a_signal_while_a_command_works_is_answered_in_one_line(number, status, line):
    command = [sys.executable, "-c", WORK]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        said = process.communicate()[0]
    assert (process.returncode, said) == (status, line)


def test_signals_of_other_programs_are_left_alone():
    code = "import signal, mapl_jax; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "True\n"
