"""Prepared data: read once, kept, made anew where it is damaged, shared by several runs."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from mapl_jax.data import cache, demo, sources
from mapl_jax.data.settings import DataSettings
from mapl_jax.data.splits import beside_training
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.synthesis import prepare, shards
from mapl_jax.synthesis.settings import Settings

ROOT = Path(__file__).parents[2]

SETTINGS = Settings(reference=20)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in demo.make_pairs(60)))
    return DataSettings(train=str(path), num_proc=1)


@pytest.fixture
def reads(monkeypatch):
    """The names of the sources that are read from now on."""
    names = []

    def entries_of(source, **options):
        names.append(Path(source).name)
        return read(source, **options)

    read = sources.entries_of
    monkeypatch.setattr(sources, "entries_of", entries_of)
    return names


def ids(split):
    return [sample["id"] for sample in split.samples()]


@pytest.mark.parametrize("load", [prepare.samples, prepare.demonstrations])
def test_both_sides_come_from_one_reading_and_are_kept(load, data, reads, tmp_path):
    train, test = load(data, SETTINGS, 0, tmp_path / "cache")
    assert sorted(ids(train) + ids(test)) == sorted(pair["id"] for pair in demo.make_pairs(60))
    assert ids(train) and ids(test)
    again = load(data, SETTINGS, 0, tmp_path / "cache")
    assert again == (train, test)
    assert reads == ["pairs.jsonl"]


def test_a_damaged_side_is_named_and_made_anew(data, reads, tmp_path, capsys):
    train, test = prepare.samples(data, SETTINGS, 0, tmp_path / "cache")
    before = [list(side.samples()) for side in (train, test)]
    (path,) = test.paths
    path.write_bytes(path.read_bytes()[:-9])
    again = prepare.samples(data, SETTINGS, 0, tmp_path / "cache")
    assert [list(side.samples()) for side in again] == before
    assert f"test/{path.name} is damaged" in capsys.readouterr().err
    assert reads == ["pairs.jsonl"] * 2


def test_what_was_synthesized_before_a_kill_is_not_made_again(data, tmp_path, monkeypatch):
    expected = prepare.samples(data, SETTINGS, 0, tmp_path / "whole")
    made, make = [], shards.make

    def stops(shard):
        if made:
            raise KeyboardInterrupt
        made.append(shard.name)
        return make(shard)

    monkeypatch.setattr("mapl_jax.synthesis.runners.make", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare.samples(data, SETTINGS, 0, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("samples-*[!t]"))

    def goes_on(shard):
        made.append(Path(shard.folder).name)
        return make(shard)

    monkeypatch.setattr("mapl_jax.synthesis.runners.make", goes_on)
    found = prepare.samples(data, SETTINGS, 0, tmp_path / "cache")
    assert made[1:] == ["test"]
    for side, other in zip(found, expected, strict=True):
        assert list(side.samples()) == list(other.samples())
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_demonstrations_with_instructions_are_others_than_those_without(data, tmp_path):
    bare, _ = prepare.demonstrations(data, SETTINGS, 0, tmp_path)
    asked = dataclasses.replace(data, instructions=True)
    more, _ = prepare.demonstrations(asked, SETTINGS, 0, tmp_path)
    assert len(ids(more)) > len(ids(bare))
    assert {sample["responses"][0] for sample in more.samples()} == {
        sample["responses"][0] for sample in bare.samples()
    }


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


def test_files_of_others_in_a_shared_cache_are_kept(tmp_path, capsys):
    (tmp_path / "lock").write_text("mine")
    with pytest.raises(UserError, match=r"lock is not of this package.*move it"):
        cache.filling(str(tmp_path), tmp_path / "own").__enter__()
    assert (tmp_path / "lock").read_text() == "mine"
    folder = tmp_path / "samples-0"

    def make(part):
        (part / "a").write_text("a")

    cache.ensure(folder, make)
    (folder / "notes").write_text("mine")
    cache.ensure(folder, make)
    assert [path.name for path in folder.iterdir() if path.name != "checksums.json"] == ["a"]
    (kept,) = tmp_path.glob("samples-0.kept-*")
    assert (kept / "notes").read_text() == "mine"
    assert f"they were moved to {kept}" in capsys.readouterr().err


def test_a_cache_lies_in_no_folder_of_something_else(tmp_path):
    (tmp_path / "mine" / "notes").mkdir(parents=True)
    for name in (str(tmp_path / "mine"), str(tmp_path / "mine" / "notes" / "..")):
        with pytest.raises(UserError, match=r"data\.cache: .* holds other files than"):
            cache.filling(name, tmp_path / "own").__enter__()
    # A file that happens to have the name of a lock makes no cache of a folder.
    (tmp_path / "mine" / "lock").touch()
    with pytest.raises(UserError, match=r"data\.cache: .* holds other files than"):
        cache.filling(str(tmp_path / "mine"), tmp_path / "own").__enter__()
    # What a study prepares has no lock yet.
    cache.write(tmp_path / "study" / "samples-0", lambda part: None)
    with cache.filling(str(tmp_path / "study"), tmp_path):
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


def test_what_a_run_trained_on_is_counted_where_its_model_is_judged(data, tmp_path, capsys):
    run = RunFolder(tmp_path / "run")
    run.cache.mkdir(parents=True)
    train, _ = prepare.samples(data, SETTINGS, 0, run.cache)
    run.begins_with(train=train.origin)
    seen = list(train.samples())[:3]
    new = demo.make_pairs(10, 5, "test")
    pairs = [{**pair, "id": f"new-{i}"} for i, pair in enumerate(new)]
    pairs += [
        {"prompt": x["prompts"][0]["messages"], "chosen": "Yes.", "rejected": "No."} for x in seen
    ]
    split = prepare.samples_of(pairs, tmp_path / "other")
    found = beside_training(split, run, {})
    note = "held-out samples whose prompt is also trained on: 3 of 13"
    assert found.counts["notes"] == [note]
    assert note in capsys.readouterr().out
    for spoil, flaw in (
        (lambda folder: train.paths[0].unlink(), "is missing"),
        (lambda folder: (folder / "splits.json").write_text("[]"), "splits.json is damaged"),
        (lambda folder: (folder / "checksums.json").write_text("{}"), "was never finished"),
    ):
        spoil(train.paths[0].parent.parent)
        assert beside_training(split, run, {}) is split
        assert flaw in capsys.readouterr().err
