"""The train and evaluate commands, as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mapl_jax.evaluation import preferences
from mapl_jax.training.metrics import TIMING_KEYS, read_metrics

ROOT = Path(__file__).parents[1]
TINY = [
    "--config.data.demo_pairs=40",
    "--config.tokenizer.vocab_size=512",
    "--config.model.width=32",
    "--config.model.layers=1",
    "--config.model.heads=2",
    "--config.model.kv_heads=1",
    "--config.model.mlp_width=64",
    "--config.train.rows_per_batch=2",
    "--config.train.steps=8",
    "--config.train.log_every=1",
    "--config.train.save_every=2",
    "--config.train.eval_every=4",
    "--config.eval.samples=4",
    "--config.eval.resamples=20",
]


def command(name, *arguments, config="rm"):
    return [
        sys.executable,
        "-m",
        f"mapl_jax.{name}",
        f"--config=configs/{config}.py",
        *map(str, arguments),
    ]


def run(name, *arguments, config="rm"):
    return subprocess.run(
        command(name, *arguments, config=config),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def one_line_error(result):
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run from first to last, and what it printed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    result = run("train", *TINY, f"--workdir={folder}")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_a_run_ends_with_a_table(finished):
    _, output = finished
    for level in ("base", "intra", "inter"):
        (line,) = [line for line in output.splitlines() if line.startswith(f"{level} ")]
        assert line.count("%") >= 3


def test_a_run_leaves_a_summary_with_both_evaluations(finished):
    summary = json.loads((finished[0] / "summary.json").read_text())
    for side in ("before", "after"):
        for level in ("base", "intra", "inter"):
            accuracy = summary["eval"][side][f"{level}_accuracy"]
            low, high = (
                summary["eval"][side][f"{level}_accuracy_{end}"] for end in ("low", "high")
            )
            assert 0 <= low <= accuracy <= high <= 1
            assert f"{level}_length_accuracy" in summary["eval"][side]
    assert summary["steps"] == 8
    assert summary["train"]["samples_out"] == 40


def test_a_run_leaves_curves_and_a_report(finished):
    metrics = read_metrics(finished[0] / "metrics.jsonl")
    steps = [line["step"] for line in metrics if line["split"] == "train"]
    assert steps == list(range(1, 9))
    assert [line["step"] for line in metrics if line["split"] == "eval"] == [4]
    assert all(np.isfinite(line["loss"]) for line in metrics if line["split"] == "train")
    assert list((finished[0] / "tensorboard").iterdir())
    page = (finished[0] / "report.html").read_text()
    assert page.count("data:image/png") >= 4
    assert 'src="http' not in page


def test_a_run_leaves_a_model_folder(finished):
    config = json.loads((finished[0] / "model" / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForSequenceClassification"]
    assert config["problem_type"] == "regression"
    tensors = load_file(finished[0] / "model" / "model.safetensors")
    assert tensors["score.weight"].shape == (1, 32)
    assert (finished[0] / "model" / "tokenizer.json").exists()


def test_the_same_command_again_changes_nothing(finished):
    folder, _ = finished
    before = (folder / "model" / "model.safetensors").read_bytes()
    result = run("train", *TINY, f"--workdir={folder}")
    assert result.returncode == 0, result.stderr
    assert "going on from the checkpoint at step 8 of 8" in result.stdout
    assert (folder / "model" / "model.safetensors").read_bytes() == before


def test_a_killed_run_ends_as_the_one_that_was_not(finished, tmp_path):
    folder = tmp_path / "killed"
    arguments = command("train", *TINY, f"--workdir={folder}")
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    # As soon as the first checkpoint is complete, in the middle of whatever it does then.
    while not (folder / "checkpoints" / "2").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "summary.json").exists()

    result = run("train", *TINY, f"--workdir={folder}")
    assert result.returncode == 0, result.stderr
    assert "going on from the checkpoint" in result.stdout
    uninterrupted, resumed = (
        load_file(path / "model" / "model.safetensors") for path in (finished[0], folder)
    )
    assert uninterrupted.keys() == resumed.keys()
    for name, tensor in uninterrupted.items():
        np.testing.assert_array_equal(resumed[name], tensor)
    lines = [
        [{k: v for k, v in line.items() if k not in TIMING_KEYS} for line in read_metrics(path)]
        for path in (finished[0] / "metrics.jsonl", folder / "metrics.jsonl")
    ]
    assert lines[0] == lines[1]


def test_training_starts_from_a_model_folder_and_from_samples(finished, tmp_path):
    folder, _ = finished
    samples = max((folder / "cache").glob("samples-*.jsonl"), key=lambda path: path.stat().st_size)
    result = run(
        "train",
        *TINY,
        f"--workdir={tmp_path / 'run'}",
        f"--config.model.path={folder / 'model'}",
        f"--config.data.train={samples}",
        "--config.data.test_fraction=0.25",
        "--config.train.steps=2",
        "--config.train.accumulation=2",
        "--config.train.dtype=bfloat16",
        "--config.train.remat=dots",
    )
    assert result.returncode == 0, result.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["parameters"] == json.loads((folder / "summary.json").read_text())["parameters"]
    assert sum(summary[side]["samples_read"] for side in ("train", "test")) == 40


def test_several_devices_take_the_same_steps(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    result = run(
        "train",
        *TINY,
        f"--workdir={tmp_path / 'run'}",
        "--config.mesh.fsdp=2",
        "--config.mesh.tensor=2",
    )
    assert result.returncode == 0, result.stderr
    assert "on 4 x cpu" in result.stdout
    alone, spread = (
        [line["loss"] for line in read_metrics(path / "metrics.jsonl") if line["split"] == "train"]
        for path in (finished[0], tmp_path / "run")
    )
    np.testing.assert_allclose(spread, alone, rtol=0, atol=1e-5)


def test_evaluate_gives_the_numbers_of_the_run(finished, tmp_path):
    folder, _ = finished
    samples = next(
        path
        for path in (folder / "cache").glob("samples-*.jsonl")
        if len(path.read_text().splitlines()) == 10
    )
    expected = json.loads((folder / "summary.json").read_text())["eval"]["after"]
    for checkpoint in (folder, folder / "checkpoints" / "8", folder / "model"):
        result = run(
            "evaluate",
            f"--config.checkpoint={checkpoint}",
            f"--config.data={samples}",
            "--config.max_length=320",
            "--config.row_length=512",
            f"--config.output={tmp_path / checkpoint.name}",
            f"--config.scores={tmp_path / checkpoint.name}.jsonl",
            config="evaluate",
        )
        assert result.returncode == 0, result.stderr
        found = json.loads((tmp_path / checkpoint.name / "summary.json").read_text())
        for name in ("base_accuracy", "intra_accuracy", "inter_accuracy", "loss", "mean_reward"):
            assert found["eval"]["after"][name] == pytest.approx(expected[name], abs=1e-5)
        scored = preferences.read_scores(tmp_path / f"{checkpoint.name}.jsonl")
        assert len(scored.level) == sum(
            expected[f"{level}_count"] for level in ("base", "intra", "inter")
        )


def test_evaluate_takes_raw_pairs(finished, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        "".join(
            json.dumps({"prompt": f"Say {i}", "chosen": f"It is {i}.", "rejected": f"No {i}!"})
            + "\n"
            for i in range(6)
        )
    )
    result = run(
        "evaluate",
        f"--config.checkpoint={finished[0]}",
        f"--config.data={pairs}",
        config="evaluate",
    )
    assert result.returncode == 0, result.stderr
    assert [line for line in result.stdout.splitlines() if line.startswith("base ")]


def test_a_folder_of_another_run_is_left_alone(finished):
    result = run("train", *TINY, f"--workdir={finished[0]}", "--config.seed=1")
    assert "seed was 0, now 1" in one_line_error(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.train.lr=1"], "lr"),
        (["--config.train.schedule=cosinus"], "cosine"),
        (["--config.loss.base=0"], "loss.base"),
        (["--config.mesh.tensor=3"], "mesh"),
        (["--config.data.train=nowhere.jsonl"], "nowhere.jsonl"),
        (["--config.train.rows_per_batch=3", "--config.train.accumulation=2"], "rows_per_batch"),
        (["--config.synthesis.families=none"], "unknown family"),
        (["--config.train.attention=flash"], "flash"),
    ],
)
def test_a_mistake_gives_one_line(tmp_path, arguments, message):
    result = run("train", *TINY, f"--workdir={tmp_path / 'run'}", *arguments)
    assert message in one_line_error(result)


def test_a_bad_record_is_named_with_its_place(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a"}\n')
    result = run("train", *TINY, f"--workdir={tmp_path / 'run'}", f"--config.data.train={path}")
    line = one_line_error(result)
    assert "pairs.jsonl" in line
    assert "record 2" in line
