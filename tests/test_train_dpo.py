"""configs/dpo.py with nothing given makes a model, trains it, and both of them answer prompts."""

import json

import numpy as np
import pytest

from mapl_jax.evaluation import following
from mapl_jax.training import restore, sharding
from mapl_jax.training.metrics import read_metrics

from support import run

TINY = [
    "--config.data.demo_pairs=40",
    "--config.sft.data.demo_pairs=40",
    # Enough that the first batch holds comparisons of every level.
    "--config.train.rows_per_batch=12",
    "--config.train.steps=3",
    "--config.train.log_every=1",
    "--config.eval.resamples=20",
    "--config.eval.generate=4",
    "--config.eval.max_new_tokens=6",
    "--config.sft.tokenizer.vocab_size=512",
    "--config.sft.model.width=32",
    "--config.sft.model.layers=1",
    "--config.sft.model.heads=2",
    "--config.sft.model.kv_heads=1",
    "--config.sft.model.mlp_width=64",
    "--config.sft.train.rows_per_batch=2",
    "--config.sft.train.steps=3",
    "--config.sft.eval.resamples=20",
]


def train(*arguments):
    return run("train", *arguments, config="dpo")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run from first to last, and what it printed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    result = train(*TINY, f"--workdir={folder}")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_the_model_is_made_by_a_run_of_its_own_inside(finished):
    folder, output = finished
    for path in (folder, folder / "sft"):
        assert (path / "model" / "config.json").exists()
        assert (path / "report.html").exists()
    assert output.index("perplexity before") < output.index("base ")
    config = json.loads((folder / "sft" / "config.json").read_text())
    assert config["objective"] == "sft" and config["data"]["demo_pairs"] == 40


def test_settings_of_both_stages_go_together(finished):
    whole = json.loads((finished[0] / "config.json").read_text())
    assert whole["model"]["path"] == ""
    assert whole["sft"]["synthesis"] == whole["synthesis"] | whole["demo"]["synthesis"]
    assert whole["sft"]["mesh"] == whole["mesh"]


def test_the_demonstration_has_settings_of_its_own_and_says_so(finished):
    folder, output = finished
    assert "settings that the demonstration changes: `demo` in " in output
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    loss = restore.load(str(folder), mesh).config["loss"]
    assert (loss["base"], loss["type"], loss["intra"]) == (0.2, "sigmoid,sft", 1.0)


def test_both_models_answer_the_same_held_out_prompts(finished):
    folder, output = finished
    before, after = (
        following.read(folder / "eval" / f"answers-{side}.jsonl") for side in ("before", "after")
    )
    assert [a.probe for a in before] == [a.probe for a in after]
    assert len(before) == 4 and all(len(a.probe.constraints) >= 1 for a in before)
    for answer in (*before, *after):
        assert answer.kept == following.judge(answer.probe, answer.response, answer.ended).kept
    summary = json.loads((folder / "summary.json").read_text())["eval"]["generation"]
    assert summary["prompts"] == 4
    assert following.FOOTNOTES[0] in output
    page = (folder / "report.html").read_text()
    assert page.count("<h3>before</h3>") == 4


def test_the_first_loss_is_log_2_a_level(finished):
    lines = read_metrics(finished[0] / "metrics.jsonl")
    assert lines[0]["step"] == 1
    for level in ("base", "intra", "inter"):
        assert lines[0][f"{level}_loss"] == pytest.approx(np.log(2), abs=1e-6)


def test_a_run_that_made_its_start_is_loaded_like_any_other(finished):
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    found = restore.load(str(finished[0]), mesh)
    assert not found.head and found.step == 3
    assert found.config["model"]["path"] == str(finished[0] / "sft" / "model")


@pytest.mark.slow
def test_a_model_that_is_there_is_not_made_again(finished):
    folder, _ = finished
    files = [folder / "sft" / name for name in ("model/model.safetensors", "summary.json")]
    before = [path.stat().st_mtime_ns for path in files]
    result = train(*TINY, f"--workdir={folder}")
    assert result.returncode == 0, result.stderr
    assert "starting from the model in" in result.stdout
    assert "going on from the checkpoint at step 3 of 3" in result.stdout
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.data.train=pairs.jsonl"], "no model to start from"),
        (["--config.sft.train.schedule=cosinus"], "cosine"),
        (["--config.sft.model.path=nowhere"], "nowhere"),
        (["--config.train.schedule=cosinus"], "cosine"),
    ],
)
def test_a_mistake_gives_one_line_before_anything_is_made(tmp_path, arguments, message):
    result = train(*TINY, f"--workdir={tmp_path / 'run'}", *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "run" / "checkpoints").exists()
