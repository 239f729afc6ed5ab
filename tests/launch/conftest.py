"""Stand-ins for the programs that launch scripts call; they do on this machine what those do."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"

# A python that makes environments of itself, installs nothing, and trains as FAKE/plan says: each
# line is the exit status of one run, "long" for one that goes on until it is stopped.
PYTHON = """#!/usr/bin/env bash
echo "$@" >>"$FAKE/python"
case "$*" in
"-c import sys; sys.exit(sys.version_info < (3, 11))") exit 0 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip "*) ;;
"-m mapl_jax."*)
    next="$(head -n 1 "$FAKE/plan")"
    sed -i 1d "$FAKE/plan"
    echo "training: $next"
    echo "${HF_TOKEN-}" >>"$FAKE/token"
    case "$next" in
    long)
        trap 'echo saved; exit 0' TERM
        touch "$FAKE/training"
        while true; do sleep 0.05; done
        ;;
    taken)
        echo PREEMPTED >"$FAKE/state"
        exit 1
        ;;
    *) exit "$next" ;;
    esac
    ;;
*) exit 99 ;;
esac
"""


class Fake:
    """A folder of stand-ins at the front of PATH.

    Attributes:
        PYTHON: text of a python that trains by plan.
    """

    PYTHON = PYTHON

    def __init__(self, folder: Path):
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.environment = {
            "FAKE": str(folder),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(folder),
            "MAPL_RESTART_SECONDS": "0",
            "TMPDIR": str(folder),
        }

    def program(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text.replace("#!python", f"#!{sys.executable}"))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def plan(self, *statuses) -> None:
        (self.folder / "plan").write_text("".join(f"{status}\n" for status in statuses))

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def command(self, script: str, *arguments) -> list[str]:
        starter = sys.executable if script.endswith(".py") else "bash"
        return [starter, str(LAUNCH / script), *map(str, arguments)]

    def run(self, script: str, *arguments, timeout=60, **more) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(script, *arguments),
            env={**self.environment, **more},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture
def fake(tmp_path):
    return Fake(tmp_path / "fake")
