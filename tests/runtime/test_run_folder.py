"""A run folder belongs to one config, whatever a kill left in it."""

import contextlib
import dataclasses
import json
import os
import re

import pytest

from mapl_jax import train
from mapl_jax.runtime import run_folder, settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.training.settings import EvalSettings, RunSettings


def config(**train):
    return {"name": "x", "seed": 0, "train": {"steps": 3, "rate": 0.1, **train}}


def test_another_config_is_refused_with_every_field_that_differs(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim(config())
    folder.claim(config())
    with pytest.raises(UserError) as refused:
        folder.claim(config(rate=0.2, beta="x" * 200))
    line = str(refused.value)
    assert "train.rate was 0.1, now 0.2" in line and "train.beta was None, now 'xxx" in line
    assert line.endswith("choose another --workdir") and len(line) < 300
    fields = {f"field{i}": i for i in range(8)}
    with pytest.raises(UserError, match=r"field2 was None, now 2; and 5 more\); choose another"):
        folder.claim(config(**fields))


def settings_with(name, value):
    """A config whose field of that full name has a value."""
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


FIELDS = dict(settings.every_field(train.Settings))
# What changes no parameter, or is compared by its content and not by its name.
MAY_CHANGE = {
    *("name", "data.num_proc", "data.threads", "data.workers", "data.cache"),
    *("data.train", "data.test", "data.on_error", "data.format", "data.columns"),
    *("tokenizer.path", "tokenizer.chat_template", "tokenizer.template_args"),
    *("model.path", "model.reference"),
    *("train.accumulation", "train.remat", "train.attention", "train.logp_chunk"),
    *("train.log_every", "train.logger", "train.eval_every", "train.save_every", "train.keep"),
    *("train.best", "train.patience", "train.callbacks"),
    *("train.trunk", "train.on_nonfinite"),
    *("mesh.data", "mesh.fsdp", "mesh.context", "mesh.tensor"),
    *(f"eval.{field.name}" for field in dataclasses.fields(EvalSettings)),
}


def test_other_processes_have_the_settings_of_the_first(tmp_path, monkeypatch):
    first, config = RunFolder(tmp_path / "run"), {"train": {"save_every": 2, "steps": 6}}
    first.claim(config)
    monkeypatch.setattr(run_folder.distributed, "main_process_first", contextlib.nullcontext)
    monkeypatch.setattr(run_folder.distributed, "is_main_process", lambda: False)
    run_folder.claim(first, config, RunSettings)
    before = first.config.read_text()
    for field in config["train"]:
        other = {"train": config["train"] | {field: 3}}
        with pytest.raises(UserError, match=rf"other settings than process 0 \(train\.{field}\)"):
            run_folder.claim(first, other, RunSettings)
    assert first.config.read_text() == before


def test_only_what_decides_parameters_is_compared():
    assert {name for name, field in FIELDS.items() if not field.about.compared} == MAY_CHANGE


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if not field.section])
@pytest.mark.parametrize("inside", ["", "sft.", "demo."])
def test_a_run_goes_on_with_any_value_that_decides_nothing(tmp_path, inside, name, capsys):
    folder = RunFolder(tmp_path / "run")
    before, after = (settings_with(inside + name, value) for value in (1, 2))
    folder.claim(before, RunSettings if inside else train.Settings)
    if name in MAY_CHANGE:
        folder.claim(after, train.Settings)
        assert (
            f"settings changed since the run began: {inside}{name} was 1, now 2"
            in capsys.readouterr().out
        )
        assert json.loads(folder.config.read_text()) == after
    else:
        with pytest.raises(UserError, match=f"{inside}{name} was 1, now 2"):
            folder.claim(after, train.Settings)
        assert json.loads(folder.config.read_text()) == before


def test_a_finished_run_says_how_its_model_is_trained_on(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim(config())
    folder.model.mkdir()
    (folder.model / "config.json").write_text("{}")
    expected = f"a new --workdir with --config.model.path={folder.model}"
    with pytest.raises(UserError, match=rf"train.steps was 3, now 4.*{re.escape(expected)}"):
        folder.claim(config(steps=4))


def test_what_a_run_is_made_from_is_compared_by_content(tmp_path):
    folder = RunFolder(tmp_path)
    data = {"fingerprint": "a", "size": "9 pairs"}
    folder.begins_with(train=data, test=data)
    folder.begins_with(base={"fingerprint": "b"})
    folder.begins_with(train=data)
    with pytest.raises(
        UserError, match=r"not what the run was trained on \(9 pairs then, 10 pairs"
    ):
        folder.begins_with(train={"fingerprint": "c", "size": "10 pairs"})
    with pytest.raises(UserError, match="are not those that the run was trained on"):
        folder.begins_with(base={"fingerprint": "c"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("null", "it holds no object with named fields"),
        ("[1]", "it holds no object with named fields"),
        ('{"best": 5}', "best is 5"),
        ('{"best": {"metric": "loss"}}', "best is {'metric': 'loss'}"),
        ('{"stopped": [1]}', r"stopped is \[1\]"),
        ('{"held_out": 5}', "held_out is 5"),
        ('{"eval": {"after": []}}', r"eval is {'after': \[\]}"),
        ('{"steps": "x"}', "steps is 'x'"),
        ('{"seconds": "x"}', "seconds is 'x'"),
        ('{"train": {"encoding": {"samples": "x"}}}', "train is {'encoding'"),
    ],
)
def test_a_summary_of_another_shape_is_damaged(content, said, tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_summary() == {}
    folder.summary.write_text('{"steps": 3, "seconds": 2, "eval": {"after": {}}, "more": [1]}')
    assert folder.read_summary()["steps"] == 3
    folder.summary.write_text(content)
    with pytest.raises(UserError, match=rf"summary\.json is damaged: {said}"):
        folder.read_summary()


def test_a_summary_that_was_changed_is_refused_until_it_is_written_again(tmp_path):
    folder, summary = RunFolder(tmp_path), {"steps": 30, "eval": {"after": {}}}
    for _ in range(2):
        folder.write_summary(summary)
        assert folder.read_summary() == summary
        folder.summary.write_text(folder.summary.read_text().replace("30", "31"))
        with pytest.raises(
            UserError, match=r"is not as it was written \(summary.json is damaged\)"
        ):
            folder.read_summary()
    folder.seal.unlink()  # changed on purpose, or of an older version
    assert folder.read_summary()["steps"] == 31


@pytest.mark.parametrize("content", ["null", "[1]", '{"train": 5}', '{"train": {"size": "9"}}'])
def test_an_origin_of_another_shape_is_damaged(content, tmp_path):
    folder = RunFolder(tmp_path)
    folder.origin.write_text(content)
    with pytest.raises(UserError, match=r"origin\.json is damaged: "):
        folder.begins_with(train={"fingerprint": "a"})


def test_what_a_kill_left_half_written_is_in_nobodys_way(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    (folder.path / ".config.json.part-1").write_text("{")
    folder.claim(config())
    (folder.cache / ".tries-0.part-7").mkdir(parents=True)
    (folder.cache / ".tries-0.part-7" / "tries.arrow").write_text("")
    (folder.path / ".metrics.jsonl.part-7").write_text("")
    (folder.path / "thesis.part-7").write_text("mine")
    folder.claim(config())
    folder.sweep()
    assert sorted(path.name for path in folder.path.rglob("*")) == [
        "cache",
        "config.json",
        "thesis.part-7",
    ]
    assert json.loads(folder.config.read_text())["seed"] == 0


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.part-1").write_text("")
    with pytest.raises(UserError, match="is not empty and holds no run"):
        RunFolder(tmp_path).claim(config())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.part-1"]


def test_a_folder_that_is_refused_is_not_looked_through(tmp_path, monkeypatch):
    (tmp_path / "notes").write_text("Mine.")
    monkeypatch.setattr("pathlib.Path.rglob", lambda *_: pytest.fail("it may be the whole disk"))
    folder = RunFolder(tmp_path)
    with (
        pytest.raises(UserError, match="is not empty and holds no run"),
        folder.undone_on_mistake(),
    ):
        folder.take()


@pytest.mark.parametrize("name", ["a[1]", "b?", "c*/run"])
def test_a_path_that_checkpoints_could_not_be_restored_from_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="takes for a wildcard; choose another --workdir"):
        RunFolder(tmp_path / name).claim(config())
    assert not list(tmp_path.iterdir())


def test_a_folder_has_a_name():
    said = "the workdir is ' '; give a folder that has a name"
    with pytest.raises(UserError, match=said), run_folder.opened("run", " "):
        pass


def test_another_user_is_told_which_process_works_in_a_folder(tmp_path, monkeypatch):
    place = tmp_path / "run"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    with run_folder.opened("run", place) as first:
        first.claim({"a": 1})
        # Locks of users lie in their caches; this one is of the folder itself.
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        said = rf"{place} is in use by another process \(pid {os.getpid()}\); wait for it to end"
        with pytest.raises(UserError, match=said), run_folder.opened("run", place) as second:
            second.claim({"a": 1})
    with run_folder.opened("run", place) as second:
        second.claim({"a": 1})
    assert [path.name for path in place.iterdir()] == ["config.json"]
