"""The same mistakes through real processes, and --debug: what the other tests rest on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).parents[2]


def run(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_process_says_what_the_helper_says(bench, preset, command):
    bench.lines("a.jsonl", {"prompt": "q", "chosen": "a", "rejected": "a"})
    arguments = (preset("rm:small"), "--config.data.train=a.jsonl", f"--workdir={bench.out}")
    process = run("mapl_jax.train", *arguments, folder=bench.path)
    here = command("train", *arguments)
    assert (process.returncode, process.stderr) == (here.status, here.stderr)
    assert process.returncode == 2
    assert not bench.out.exists()


def test_debug_shows_where_it_was(bench, preset):
    arguments = (preset("rm:small"), "--config.data.train=no.jsonl", f"--workdir={bench.out}")
    process = run("mapl_jax.train", *arguments, "--debug", folder=bench.path)
    assert process.returncode == 2
    assert "Traceback (most recent call last)" in process.stderr
    assert process.stderr.splitlines()[-1].startswith("error: no such file or folder: no.jsonl")
    assert not bench.out.exists()


def test_debug_shows_where_a_config_broke(bench, command):
    bench.write("c.py", "def get_config(preset=''):\n    return 1 / 0\n")
    result = command("train", "--config=c.py", "--debug")
    assert result.status == 2
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: c.py, line 2: ZeroDivisionError")


def test_only_a_run_that_never_began_gives_its_folder_back(tmp_path):
    config = {"seed": 0}
    folder = RunFolder(tmp_path / "runs" / "one")
    with pytest.raises(UserError), folder.undone_on_mistake():
        folder.claim(config)
        (folder.path / "cache").mkdir()
        raise UserError("a mistake")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), folder.undone_on_mistake():
        folder.claim(config)
        raise KeyboardInterrupt
    assert folder.config.exists()
    folder.metrics.touch()
    with pytest.raises(UserError), folder.undone_on_mistake():
        folder.claim(config)
        raise UserError("later")
    assert folder.config.exists()
    mine = RunFolder(tmp_path / "mine")
    mine.path.mkdir()
    with pytest.raises(UserError), mine.undone_on_mistake():
        mine.claim(config)
        raise UserError("a mistake")
    assert list(mine.path.iterdir()) == []
    # What stood there before is the user's: pairs to train on lie in a folder of that name too.
    (mine.path / "data").mkdir()
    (mine.path / "data" / "pairs.jsonl").write_text("{}")
    with pytest.raises(UserError), mine.undone_on_mistake():
        mine.claim(config)
        (mine.path / "cache").mkdir()
        raise UserError("a mistake")
    assert [path.name for path in mine.path.rglob("*")] == ["data", "pairs.jsonl"]


def test_what_others_write_into_a_new_run_stays(tmp_path):
    folder = RunFolder(tmp_path / "run")
    own = ("cache/tries/a", f"data/train-{'0' * 16}.jsonl", ".config.json.part-12")
    others = ("notes.txt", "data/mine.jsonl", ".notes.part-12")
    with pytest.raises(UserError), folder.undone_on_mistake():
        folder.claim({"seed": 0})
        for name in own + others:
            path = folder.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        raise UserError("a mistake")
    left = (path for path in folder.path.rglob("*") if path.is_file())
    assert {path.relative_to(folder.path).as_posix() for path in left} == set(others)


@pytest.mark.slow
def test_a_mended_mistake_goes_through_with_the_same_folder(bench, preset, command):
    """A folder is not taken by a run that never began."""
    small = (
        "--config.train.rows_per_batch=8",
        "--config.train.steps=1",
        "--config.eval.resamples=0",
        "--config.tokenizer.vocab_size=320",
        "--config.model.width=16",
        "--config.model.mlp_width=16",
        "--config.model.layers=1",
    )
    good = [json.loads(line) for line in (bench.shared / "pairs.jsonl").open()]
    bench.lines("a.jsonl", *good, {"prompt": "q", "chosen": "", "rejected": "a"})
    arguments = (preset("rm:small"), *small, f"--workdir={bench.out}")
    bench.refuses("record 25: chosen is empty", "train", *arguments, "--config.data.train=a.jsonl")
    result = command(
        "train", *arguments, "--config.data.train=a.jsonl", "--config.data.on_error=skip"
    )
    assert result.status == 0, result.stderr
    assert (bench.out / "model" / "config.json").exists()


def test_an_accelerator_that_cannot_be_used_is_told_in_one_line(bench, preset, monkeypatch):
    def refuse(*_):
        raise RuntimeError("Unable to initialize backend 'tpu': another process uses it\n(details)")

    monkeypatch.setattr("mapl_jax.training.restore.load", refuse)
    bench.refuses(
        "^Unable to initialize backend 'tpu': another process uses it$",
        "generate",
        preset("generate"),
        f"--config.checkpoint={bench.shared / 'policy'}",
        f"--config.input={bench.lines('q.jsonl', {'prompt': 'a'})}",
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://x", "--workdir is memory://x, which would be lost when the command ends; "),
        ("nosuch://x", "nosuch://x cannot be opened: Protocol not known"),
        ("ftp://127.0.0.1:1/x", "ftp://127.0.0.1:1/x cannot be opened: .*Connection refused"),
        ("zip://x.zip", "zip://x.zip cannot be opened: .*Is a directory"),
        ("data://x", "data://x cannot be read: "),
    ],
)
def test_an_address_that_can_hold_no_run_is_one_line(bench, preset, address, said):
    bench.refuses(said, "train", preset("rm:tiny"), f"--workdir={address}")
