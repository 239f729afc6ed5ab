"""The train and evaluate commands, as a user runs them."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from safetensors.numpy import load, load_file

from mapl_jax import evaluate as evaluation
from mapl_jax import evaluate_model, load_pairs
from mapl_jax.evaluation import preferences
from mapl_jax.losses import LEVELS
from mapl_jax.reports.comparison import compare_runs
from mapl_jax.runtime import cli
from mapl_jax.runtime.errors import UserError
from mapl_jax.training.metrics import TIMING_KEYS, read_metrics

from support import ROOT, command, config_of, run

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


def one_line_error(result):
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def kill_after_checkpoint(arguments, checkpoint):
    """Starts a command, and kills it as soon as a checkpoint is there."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    # As soon as the checkpoint is complete, in the middle of whatever it does then.
    while not checkpoint.exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def same_runs(uninterrupted, resumed):
    """Checks that two runs end with the same model and the same metrics, bit for bit."""
    tensors, others = (
        load_file(path / "model" / "model.safetensors") for path in (uninterrupted, resumed)
    )
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(others[name], tensor)
    lines = [
        [{k: v for k, v in line.items() if k not in TIMING_KEYS} for line in read_metrics(path)]
        for path in (uninterrupted / "metrics.jsonl", resumed / "metrics.jsonl")
    ]
    assert lines[0] == lines[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run from first to last, and what it printed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    result = run("train", *TINY, f"--workdir={folder}", config="rm")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


@pytest.mark.smoke
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
    assert page.count("<svg viewBox") >= 10
    assert "Worst mistakes" in page
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
    result = run("train", *TINY, f"--workdir={folder}", config="rm")
    assert result.returncode == 0, result.stderr
    assert "going on from the checkpoint at step 8 of 8" in result.stdout
    assert (folder / "model" / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_a_killed_run_ends_as_the_one_that_was_not(finished, tmp_path):
    folder = tmp_path / "killed"
    arguments = [*TINY, f"--workdir={folder}"]
    kill_after_checkpoint(command("train", *arguments, config="rm"), folder / "checkpoints" / "2")
    assert not (folder / "summary.json").exists()

    result = run("train", *arguments, config="rm")
    assert result.returncode == 0, result.stderr
    assert "going on from the checkpoint" in result.stdout
    same_runs(finished[0], folder)


@pytest.mark.slow
def test_training_starts_from_a_model_folder_and_from_samples(finished, tmp_path):
    folder, _ = finished
    samples = max(
        (folder / "cache").glob("samples-*/*/*.jsonl"), key=lambda path: path.stat().st_size
    )
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
        config="rm",
    )
    assert result.returncode == 0, result.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["parameters"] == json.loads((folder / "summary.json").read_text())["parameters"]
    assert sum(summary[side]["samples_read"] for side in ("train", "test")) == 40


@pytest.mark.slow
def test_several_devices_take_the_same_steps(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    result = run(
        "train",
        *TINY,
        f"--workdir={tmp_path / 'run'}",
        "--config.mesh.fsdp=2",
        "--config.mesh.tensor=2",
        config="rm",
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
        for path in (folder / "cache").glob("samples-*/*/*.jsonl")
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
    result = run("train", *TINY, f"--workdir={finished[0]}", "--config.seed=1", config="rm")
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
    result = run("train", *TINY, f"--workdir={tmp_path / 'run'}", *arguments, config="rm")
    assert message in one_line_error(result)


def test_a_bad_record_is_named_with_its_place(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a"}\n')
    result = run(
        "train", *TINY, f"--workdir={tmp_path / 'run'}", f"--config.data.train={path}", config="rm"
    )
    line = one_line_error(result)
    assert "pairs.jsonl" in line
    assert "record 2" in line


# Policies: demonstrations first, then preferences.

TINY_SFT = [*TINY, "--config.train.logp_chunk=64"]
TINY_DPO = [
    argument
    for argument in TINY_SFT
    if not argument.startswith(("--config.tokenizer.vocab_size", "--config.model."))
] + ["--config.train.rows_per_batch=6", "--config.eval.generate=0"]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """An SFT run from first to last, and what it printed."""
    folder = tmp_path_factory.mktemp("taught") / "run"
    result = run("train", *TINY_SFT, f"--workdir={folder}", config="sft")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


@pytest.fixture(scope="module")
def preferring(taught, tmp_path_factory):
    """A DPO run from the SFT run's model."""
    folder = tmp_path_factory.mktemp("preferring") / "run"
    model = f"--config.model.path={taught[0] / 'model'}"
    result = run("train", *TINY_DPO, model, f"--workdir={folder}", config="dpo")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_sft_ends_with_the_perplexity_before_and_after(taught):
    folder, output = taught
    assert "perplexity before" in output
    sides = json.loads((folder / "summary.json").read_text())["eval"]
    assert sides["after"]["perplexity"] < sides["before"]["perplexity"]
    assert sides["after"]["perplexity"] == pytest.approx(np.exp(sides["after"]["loss"]))
    page = (folder / "report.html").read_text()
    assert "perplexity" in page and "<svg viewBox" in page


def test_a_policy_is_exported_as_a_language_model(taught, preferring):
    for folder, _ in (taught, preferring):
        config = json.loads((folder / "model" / "config.json").read_text())
        assert config["architectures"] == ["Qwen2ForCausalLM"]
        tensors = load_file(folder / "model" / "model.safetensors")
        assert "score.weight" not in tensors


def test_dpo_starts_from_log_2_and_logs_under_the_names_of_trl(preferring):
    lines = [x for x in read_metrics(preferring[0] / "metrics.jsonl") if x["split"] == "train"]
    assert [line["step"] for line in lines] == list(range(1, 9))
    # Of every level of which the first batch has comparisons.
    levels = sum(f"{level}_count" in lines[0] for level in LEVELS)
    assert levels >= 2
    assert lines[0]["loss"] == pytest.approx(levels * np.log(2), abs=3e-6)
    # A row may hold no comparison of the base level, and then nothing is chosen.
    shown = [line for line in lines if "base_count" in line]
    assert len(shown) > len(lines) / 2
    for name in ("rewards/chosen", "rewards/margins", "rewards/accuracies", "logps/rejected"):
        assert all(name in line for line in shown)
    # One batch holds few comparisons of the base level; together they show what was learnt.
    counts = [line["base_count"] for line in shown[1:]]
    assert np.average([line["rewards/margins"] for line in shown[1:]], weights=counts) > 0


def test_dpo_ends_with_a_table_whose_left_side_is_the_reference(preferring):
    folder, output = preferring
    for level in ("base", "intra", "inter"):
        (line,) = [line for line in output.splitlines() if line.startswith(f"{level} ")]
        assert "all tied" in line
    sides = json.loads((folder / "summary.json").read_text())["eval"]
    assert sides["before"]["base_ties"] == 1
    assert sides["after"]["base_ties"] < 1


def test_the_reference_is_kept_for_both_splits_and_read_again(taught, preferring):
    folder, _ = preferring
    files = sorted((folder / "cache").glob("reference-*/*.safetensors"))
    assert len(files) == 2
    before = [path.stat().st_mtime_ns for path in files]
    model = f"--config.model.path={taught[0] / 'model'}"
    result = run("train", *TINY_DPO, model, f"--workdir={folder}", config="dpo")
    assert result.returncode == 0, result.stderr
    assert [path.stat().st_mtime_ns for path in files] == before

    content = bytearray(files[0].read_bytes())
    content[-1] ^= 1
    files[0].write_bytes(content)
    mended = run("train", *TINY_DPO, model, f"--workdir={folder}", config="dpo")
    assert mended.returncode == 0, mended.stderr
    assert f"{files[0].parent} cannot be used" in mended.stderr
    content[-1] ^= 1
    # The header's order of fields is no promise of the format.
    made, known = load_file(files[0]), load(bytes(content))
    assert made.keys() == known.keys()
    for name, values in known.items():
        np.testing.assert_array_equal(made[name], values)


def held_out_samples(folder):
    """The file of a run's held-out samples."""
    (listed,) = (folder / "cache").glob("samples-*/splits.json")
    (name,) = json.loads(listed.read_text())[1]["paths"]
    return listed.parent / name


def evaluate(model, data, **settings):
    changes = {"checkpoint": str(model), "data": str(data), "rows_per_batch": 16, **settings}
    config = config_of("evaluate", changes).lock()
    evaluation.main(cli.Arguments(config, None, "evaluate", evaluation.Flags()))


@pytest.mark.parametrize("part", ["", "checkpoints/8", "model"])
def test_a_policy_is_judged_by_the_reward_that_its_run_gives_it(preferring, tmp_path, part, capsys):
    folder, _ = preferring
    out = tmp_path / "found"
    rows = json.loads((folder / "config.json").read_text())["data"]["row_length"]
    evaluate(folder / part, held_out_samples(folder), output=str(out), row_length=rows)
    printed = capsys.readouterr().out
    assert "rewards are 0.1 * (log pi - log pi_ref); the reference is " in printed
    # Two of the training, and one of this data, however often it is scored.
    assert len(list((folder / "cache").glob("reference-*"))) == 3
    kept, made = (preferences.read_scores(path / "eval" / "after.jsonl") for path in (folder, out))
    assert (kept.sample_id, kept.level) == (made.sample_id, made.level)
    np.testing.assert_allclose(made.margin, kept.margin, atol=2e-6)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["beta"] == 0.1 and summary["reference"].endswith("model")
    assert summary["held_out"] == json.loads((folder / "summary.json").read_text())["held_out"]
    assert "Accuracy by level" in (out / "report.html").read_text()
    if part == "model":
        table = compare_runs([str(folder), str(out)], tmp_path / "page.html")
        (line,) = [line for line in table.splitlines() if line.startswith("base accuracy")]
        assert "+0.0 [+0.0, +0.0]" in line and not line.endswith("*")


def test_a_policy_of_no_dpo_run_needs_a_reference(
    taught, preferring, finished, tmp_path, monkeypatch
):
    data = held_out_samples(preferring[0])
    with pytest.raises(UserError, match=r"needs a reference.*--config\.reference=DIR"):
        evaluate(taught[0], data)
    with pytest.raises(UserError, match="this is a reward model"):
        evaluate(finished[0], data, beta=0.3)
    with pytest.raises(UserError, match="reward model"):
        evaluate(taught[0], data, reference=str(finished[0]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pairs = load_pairs("demo", limit=4)
    found = [
        evaluate_model(str(preferring[0]), pairs, reference=reference, beta=beta).scored.margin
        for reference, beta in (("", 0.0), (taught[0] / "model", 0.3), (preferring[0], 0.0))
    ]
    np.testing.assert_allclose(found[1], 3 * found[0], atol=1e-5)
    assert not found[2].any()  # against itself


@pytest.mark.slow
def test_a_killed_dpo_run_ends_as_the_one_that_was_not(taught, preferring, tmp_path):
    folder = tmp_path / "killed"
    model = f"--config.model.path={taught[0] / 'model'}"
    arguments = [*TINY_DPO, model, f"--workdir={folder}"]
    kill_after_checkpoint(command("train", *arguments, config="dpo"), folder / "checkpoints" / "2")
    result = run("train", *arguments, config="dpo")
    assert result.returncode == 0, result.stderr
    assert "going on from the checkpoint" in result.stdout
    same_runs(preferring[0], folder)


@pytest.mark.slow
def test_dpo_takes_another_reference_and_several_devices(taught, preferring, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    result = run(
        "train",
        *TINY_DPO,
        f"--workdir={tmp_path / 'run'}",
        f"--config.model.path={preferring[0] / 'model'}",
        f"--config.model.reference={taught[0] / 'model'}",
        "--config.loss.type=ipo,sft",
        "--config.loss.weights=1,0.1",
        "--config.mesh.fsdp=2",
        "--config.mesh.tensor=2",
        "--config.train.dtype=bfloat16",
        config="dpo",
    )
    assert result.returncode == 0, result.stderr
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert abs(lines[0]["rewards/margins"]) > 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.loss.beta=0"], "beta is 0"),
        (["--config.loss.type=simpo"], "unknown loss 'simpo'"),
        (["--config.model.path=nowhere"], "--config=configs/sft.py"),
    ],
)
def test_a_mistake_about_a_policy_gives_one_line(tmp_path, arguments, message):
    folder = f"--config.model.path={tmp_path}"
    result = run(
        "train", *TINY_DPO, folder, f"--workdir={tmp_path / 'run'}", *arguments, config="dpo"
    )
    assert message in one_line_error(result)
