"""A number that is not finite never gets into a run, and its samples are written down."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file


def spoiled(runs, tools, folder, *arguments):
    """A run whose seventh step is not finite, and the last row of that, as it is written down."""
    record = folder.with_name("rows.jsonl")
    running = runs.start(folder, *arguments, record=record)
    status = running.wait()
    rows = tools.rows_of(record)
    last = max(row for step, row in rows if step == 6)
    return status, running.output, {"row": last, "samples": rows[6, last][0]}


def test_a_run_stops_at_a_step_that_is_not_finite_and_writes_down_its_samples(
    runs, undisturbed, tools, tmp_path, monkeypatch
):
    monkeypatch.setenv("SPOILED", "6")
    folder = tmp_path / "run"
    status, said, last = spoiled(runs, tools, folder)
    assert status == 2, said
    (line,) = [x for x in said.splitlines() if x.startswith("error: ")]
    assert "step 7 gave numbers that are not finite (loss nan" in line
    assert "nonfinite/7.json" in line
    found = json.loads((folder / "nonfinite" / "7.json").read_text())
    assert found["step"] == 7
    assert found["rows"] == [last]

    # Without the fault, the same command ends as if there had been none.
    monkeypatch.delenv("SPOILED")
    assert "going on from the checkpoint at step 6" in runs.finish(folder)
    tools.same(undisturbed, folder)


@pytest.mark.slow
def test_a_step_that_is_not_finite_is_left_out_where_that_is_wanted(
    runs, tools, tmp_path, monkeypatch
):
    monkeypatch.setenv("SPOILED", "6")
    folder = tmp_path / "run"
    status, said, last = spoiled(runs, tools, folder, "--config.train.on_nonfinite=skip")
    assert status == 0, said
    assert "step 7 gave numbers that are not finite" in said
    assert json.loads((folder / "nonfinite" / "7.json").read_text())["rows"] == [last]
    lines = [x for x in tools.metrics_of(folder) if x["split"] == "train"]
    assert [x.get("skipped_steps") for x in lines] == [None] * 6 + [1] * 4
    assert [x["loss"] is None for x in lines] == [False] * 6 + [True] + [False] * 3
    weights = load_file(folder / "model" / "model.safetensors")
    assert all(np.isfinite(x).all() for x in weights.values())
