"""A run folder belongs to one config, whatever a kill left in it."""

import json

import pytest

from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder


def config(**train):
    return {"name": "x", "seed": 0, "train": {"steps": 3, "rate": 0.1, **train}}


def test_another_config_is_refused_with_every_field_that_differs(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim(config())
    folder.claim(config())
    fields = {f"field{i}": i for i in range(8)}
    with pytest.raises(UserError) as refused:
        folder.claim(config(rate=0.2, **fields))
    assert "train.rate was 0.1, now 0.2" in str(refused.value)
    assert all(
        f"train.{name} was None, now {value}" in str(refused.value)
        for name, value in fields.items()
    )


def test_what_a_kill_left_half_written_is_in_nobodys_way(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    (folder.path / ".config.json.part-1").write_text("{")
    folder.claim(config())
    (folder.cache / "tries-0.part-7").mkdir(parents=True)
    (folder.cache / "tries-0.part-7" / "tries.arrow").write_text("")
    (folder.path / "metrics.jsonl.part-7").write_text("")
    folder.claim(config())
    folder.sweep()
    assert sorted(path.name for path in folder.path.rglob("*")) == ["cache", "config.json"]
    assert json.loads(folder.config.read_text())["seed"] == 0


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.part-1").write_text("")
    with pytest.raises(UserError, match="is not empty and holds no run"):
        RunFolder(tmp_path).claim(config())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.part-1"]
