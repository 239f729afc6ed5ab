"""A signal while a command is imported ends it in one line."""

import signal
import subprocess
import sys

import pytest

SLOW = """
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
            "stopped before anything began, as asked to by SIGTERM; run the same",
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


def test_signals_of_other_programs_are_left_alone():
    code = "import signal, mapl_jax; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "True\n"
