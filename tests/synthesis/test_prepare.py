"""One folder of prepared data for several runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from mapl_jax.data import cache
from mapl_jax.runtime.errors import UserError

ROOT = Path(__file__).parents[2]


def test_a_run_has_a_cache_of_its_own(tmp_path):
    with cache.filling("", tmp_path / "own") as found:
        assert found == tmp_path / "own"
    assert not found.exists()


def test_a_shared_cache_is_filled_by_one_run_at_a_time(tmp_path):
    shared = tmp_path / "some" / "shared"
    with cache.filling(str(shared), tmp_path / "own") as found:
        assert found == shared
        with pytest.raises(Timeout):
            FileLock(shared / "lock", timeout=0).acquire()
    with FileLock(shared / "lock", timeout=0):
        pass


def test_the_cache_is_free_after_an_error(tmp_path):
    with pytest.raises(KeyError), cache.filling(str(tmp_path), tmp_path / "own"):
        raise KeyError
    with cache.filling(str(tmp_path), tmp_path / "own"):
        pass


def test_a_cache_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    config = str(tmp_path / "file" / "shared")
    with pytest.raises(UserError, match=r"data\.cache"), cache.filling(config, tmp_path / "own"):
        pass
    with (
        pytest.raises(UserError, match="bucket"),
        cache.filling("gs://bucket/cache", tmp_path / "own"),
    ):
        pass


@pytest.mark.slow
def test_a_second_run_prepares_nothing_that_the_first_one_did(tmp_path):
    made = []
    for seed in (0, 1):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mapl_jax.train", "--config=configs/rm.py:tiny"),
                f"--config.data.train={pairs(tmp_path)}",
                f"--config.data.cache={tmp_path / 'shared'}",
                f"--config.tokenizer.path={tmp_path / 'run-0' / 'tokenizer' if seed else ''}",
                f"--config.train.learning_rate={1e-3 * (1 + seed)}",
                f"--workdir={tmp_path / f'run-{seed}'}",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / f"run-{seed}" / "cache").exists()
        made.append(
            {
                path: (path.stat().st_ino, path.stat().st_mtime_ns)
                for path in (tmp_path / "shared").rglob("*")
                if path.is_file() and path.suffix != ".lock"
            }
        )
    assert len(list((tmp_path / "shared").glob("tries-*"))) == 2
    assert made[0] == made[1]
    # An export checks itself with the held-out rows, wherever they are.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mapl_jax.export", f"--checkpoint={tmp_path / 'run-0'}"),
            f"--output={tmp_path / 'exported'}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def pairs(folder):
    """A file of a few pairs."""
    path = folder / "pairs.jsonl"
    lines = (
        json.dumps({"prompt": f"Say {i}", "chosen": f"It is {i}, I say.", "rejected": f"No {i}!"})
        for i in range(40)
    )
    path.write_text("\n".join(lines) + "\n")
    return path
