"""Processes that make samples, when one of them or their parent ends too early."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A process of Python's own outlives the others, and may warn after their last word.
LATE = "ignore::UserWarning:multiprocessing.resource_tracker"
SCRIPT = """
from mapl_jax.data import demo
from mapl_jax.synthesis import pipeline, runners
from mapl_jax.synthesis.settings import Settings

def main():
    pairs = demo.make_pairs({pairs}, seed=1, split="train")
    pipeline.synthesize(
        pairs, Settings(reference=50), {out!r}, run=runners.local(2), shard_size=20
    )

{call}
"""
GUARDED = 'if __name__ == "__main__":\n    main()'


def start(tmp_path, pairs, call):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(pairs=pairs, out=str(tmp_path / "out"), call=call))
    return subprocess.Popen(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": LATE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def workers(parent):
    """Processes of the parent's that make samples."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            facts = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            words = (folder / "cmdline").read_text()
        except (OSError, IndexError):
            continue
        if facts[1] == str(parent) and "spawn_main" in words and facts[0] != "Z":
            found.append(int(folder.name))
    return found


def alive(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_script_without_a_guard_ends_and_says_what_it_lacks(tmp_path):
    running = start(tmp_path, 60, "main()")
    said, _ = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "if __name__ ==" in said.splitlines()[-1]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
class TestKilled:
    def test_a_killed_worker_ends_the_run_and_does_not_hang_it(self, tmp_path):
        running = start(tmp_path, 4000, GUARDED)
        wait_for(lambda: len(workers(running.pid)) == 2)
        os.kill(workers(running.pid)[0], signal.SIGKILL)
        said, _ = running.communicate(timeout=60)
        assert running.returncode != 0
        assert "ended too early" in said.splitlines()[-1]

    def test_workers_end_with_a_killed_parent(self, tmp_path):
        running = start(tmp_path, 4000, GUARDED)
        wait_for(lambda: len(workers(running.pid)) == 2)
        orphans = workers(running.pid)
        # Not before they work, and watch.
        wait_for(lambda: list((tmp_path / "out").rglob("samples-*")) != [])
        running.kill()
        running.communicate(timeout=60)
        wait_for(lambda: not [pid for pid in orphans if alive(pid)], 20)
