"""Metrics survive interruptions: a resumed run leaves the file that a whole one leaves."""

import io
import json
import math
import shutil

import numpy as np
import pytest

from mapl_jax.runtime.errors import UserError
from mapl_jax.training.metrics import TIMING_KEYS, MetricsWriter, read_metrics


def writer(path, *, resume=0, total=10, enabled=True):
    return MetricsWriter(path, total_steps=total, resume_step=resume, enabled=enabled)


def steps(path):
    return [record["step"] for record in read_metrics(path / "metrics.jsonl")]


def fill(path, first, last, resume=0):
    with writer(path, resume=resume) as metrics:
        for step in range(first, last + 1):
            metrics.write(step, {"loss": 1 / step}, "train")


def points(path, tag):
    """(step, value) of TensorBoard's events, and where a purge was asked for."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    found, purged = [], []
    for file in sorted((path / "tensorboard").iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "little")
            event = proto.Event.FromString(data[at + 12 : at + 12 + size])
            at += 16 + size
            if event.HasField("session_log"):
                purged.append(event.step)
            found += [(event.step, x.simple_value) for x in event.summary.value if x.tag == tag]
    return found, purged


def test_a_line_holds_its_step_split_and_values(tmp_path):
    with writer(tmp_path / "new") as metrics:
        metrics.write(1, {"loss": 0.5, "base_count": 3}, "train")
        metrics.write(1, {"loss": np.float32(0.25)}, "eval")
        # Whoever follows the file sees a line as soon as it is written.
        assert read_metrics(tmp_path / "new" / "metrics.jsonl") == [
            {"step": 1, "split": "train", "loss": 0.5, "base_count": 3},
            {"step": 1, "split": "eval", "loss": 0.25},
        ]


def test_values_come_back_bit_for_bit(tmp_path):
    value = 0.1 + 0.2
    with writer(tmp_path) as metrics:
        metrics.write(1, {"loss": value}, "train")
    assert read_metrics(tmp_path / "metrics.jsonl")[0]["loss"] == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null(tmp_path, value):
    with writer(tmp_path) as metrics:
        metrics.write(1, {"loss": value, "margin": 1.0}, "train")
    line = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    assert points(tmp_path, "train/loss")[0] == []
    assert points(tmp_path, "train/margin")[0] == [(1, 1.0)]


def test_tensorboard_has_the_same_points(tmp_path):
    fill(tmp_path, 1, 4)
    found, _ = points(tmp_path, "train/loss")
    assert found == [(step, pytest.approx(1 / step)) for step in range(1, 5)]


def test_resuming_cuts_what_came_after_the_checkpoint(tmp_path):
    fill(tmp_path, 1, 8)
    fill(tmp_path, 6, 10, resume=5)
    whole = tmp_path / "whole"
    fill(whole, 1, 10)
    names = [path / "metrics.jsonl" for path in (tmp_path, whole)]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert points(tmp_path, "train/loss")[1] == [0, 6]


def test_resuming_at_the_end_keeps_everything(tmp_path):
    fill(tmp_path, 1, 10)
    fill(tmp_path, 1, 0, resume=10)
    assert steps(tmp_path) == list(range(1, 11))


def test_starting_over_starts_a_new_file(tmp_path):
    fill(tmp_path, 1, 8)
    fill(tmp_path, 1, 2)
    assert steps(tmp_path) == [1, 2]


@pytest.mark.parametrize("torn", ['{"step": 3, "sp', '{"step": 3, "split": "train"', "{"])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    fill(tmp_path, 1, 2)
    path = tmp_path / "metrics.jsonl"
    with path.open("a", encoding="utf-8") as lines:
        lines.write(torn)
    assert steps(tmp_path) == [1, 2]
    fill(tmp_path, 4, 4, resume=3)
    assert steps(tmp_path) == [1, 2, 4]
    assert path.read_text(encoding="utf-8").count("\n") == 3


def test_a_line_that_only_lacks_its_end_is_kept(tmp_path):
    fill(tmp_path, 1, 2)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    fill(tmp_path, 3, 3, resume=2)
    assert steps(tmp_path) == [1, 2, 3]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    line = '{"step": 1, "split": "train"}\n'
    path.write_text(f"{line}rubbish\n{line}", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 2 is damaged; remove the line"):
        read_metrics(path)


def test_the_last_evaluation_in_the_log_is_known(tmp_path):
    with writer(tmp_path) as metrics:
        assert metrics.evaluated == 0
        for step in (1, 2, 3):
            metrics.write(step, {"loss": 1.0}, "train")
            if step != 1:
                metrics.write(step, {"loss": 1.0}, "eval")
    with writer(tmp_path, resume=2) as metrics:
        assert metrics.evaluated == 2


def test_no_file_is_no_metrics(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_disabled_writes_nothing(tmp_path, capsys):
    with writer(tmp_path / "new", enabled=False) as metrics:
        metrics.write(1, {"loss": 1.0}, "train")
        metrics.progress(1, {"loss": 1.0})
    assert not (tmp_path / "new").exists()
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_vanishes_is_noticed_at_the_next_line(tmp_path):
    for again in (False, True):
        with writer(tmp_path / "run") as metrics:
            metrics.write(1, {"loss": 1.0}, "train")
            shutil.rmtree(tmp_path / "run")
            if again:
                (tmp_path / "run").mkdir()
                (tmp_path / "run" / "metrics.jsonl").touch()
            with pytest.raises(UserError, match="was removed or replaced while the run wrote"):
                metrics.write(2, {"loss": 1.0}, "train")


def test_an_error_inside_goes_on_and_leaves_the_lines(tmp_path):
    with pytest.raises(KeyError), writer(tmp_path) as metrics:
        metrics.write(1, {"loss": 1.0}, "train")
        raise KeyError
    assert steps(tmp_path) == [1]


def test_a_log_gets_a_line_now_and_then(tmp_path, capsys):
    with writer(tmp_path, total=1000) as metrics:
        metrics.write(1, {"samples_per_second": 123.4}, "train")
        for step in range(1, 1001):
            metrics.progress(step, {"loss": 1.0, "base_accuracy": 0.5})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("step 1/1000")
    assert all("loss 1.000" in line and "123 samples/s" in line for line in lines)
    assert "left" in lines[5]
    assert "left" not in lines[-1]


def test_a_level_missing_from_a_batch_keeps_its_last_value(tmp_path, capsys):
    with writer(tmp_path, total=2) as metrics:
        metrics.progress(1, {"loss": 1.0, "inter_accuracy": 0.5})
        metrics.progress(2, {"loss": 0.9})
    assert "loss 0.900  inter 0.50" in capsys.readouterr().err.splitlines()[-1]


def test_a_terminal_gets_one_bar_that_fits(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "240")
    values = {f"{level}_accuracy": 1.0 for level in ("base", "intra", "inter")}
    with writer(tmp_path, total=123456) as metrics:
        metrics.write(1, {"samples_per_second": 12345.6}, "train")
        for step in (1, 60000, 123456):
            metrics.progress(step, {"loss": 12.345, **values})
    shown = [line for line in terminal.getvalue().replace("\n", "\r").split("\r") if line.strip()]
    assert max(map(len, shown)) <= 100
    assert "123456/123456" in shown[-1]
    for part in ("loss 12.345", "base 1.00", "intra 1.00", "inter 1.00", "12346 samples/s"):
        assert part in shown[-1]


def test_timing_is_named_apart():
    assert {"samples_per_second", "tokens_per_second", "seconds"} <= TIMING_KEYS
