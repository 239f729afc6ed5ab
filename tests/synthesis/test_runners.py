"""Files of samples: the same whatever the workers, whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mapl_jax.data import demo
from mapl_jax.data.sources import read_samples
from mapl_jax.synthesis import runners
from mapl_jax.synthesis.settings import Settings

ROOT = Path(__file__).parents[2]
PAIRS = demo.make_pairs(150, seed=1, split="train")


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "mapl_jax.synthesize", "--config=configs/synthesize.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_workers_change_nothing_in_the_file(tmp_path):
    for workers in (0, 2):
        made = runners.synthesize(PAIRS, Settings(), workers=workers)
        assert runners.write_samples(made, tmp_path / f"{workers}.jsonl") == len(PAIRS)
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_nothing_is_left_of_a_file_that_failed(tmp_path):
    def broken():
        yield from runners.synthesize(PAIRS[:3], Settings())
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        runners.write_samples(broken(), tmp_path / "samples.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_follows_pairs_and_settings():
    first = runners.fingerprint(PAIRS, Settings())
    assert first == runners.fingerprint(PAIRS, Settings())
    assert first != runners.fingerprint(PAIRS[1:], Settings())
    assert first != runners.fingerprint(PAIRS, Settings(k_max=4))


def test_the_cache_synthesizes_once(tmp_path, monkeypatch):
    path = runners.synthesize_cached(PAIRS[:5], Settings(), tmp_path)
    monkeypatch.setattr(runners, "synthesize", None)
    assert runners.synthesize_cached(PAIRS[:5], Settings(), tmp_path) == path
    assert json.loads(path.with_suffix(".summary.json").read_text())["pairs_in"] == 5


def test_counts_add_up():
    stats = runners.Stats()
    made = list(runners.synthesize(PAIRS, Settings(), stats=stats))
    summary = stats.to_json()
    assert summary["pairs_in"] == summary["samples_out"] == len(PAIRS)
    comparisons = [entry for sample in made for entry in sample.comparisons]
    assert sum(summary["comparisons"]["level"].values()) == len(comparisons)
    assert sum(summary["comparisons"]["k"].values()) == sum(entry.k > 0 for entry in comparisons)


def test_the_command_writes_samples_and_a_summary(tmp_path):
    out = tmp_path / "out"
    result = run("--config.input=demo", "--config.demo_pairs=30", f"--config.output={out}")
    assert result.returncode == 0, result.stderr
    assert len(read_samples(str(out / "samples.jsonl"))) == 30
    summary = json.loads((out / "summary.json").read_text())
    assert {"pairs_in", "samples_out", "pairs_per_second", "comparisons", "dropped"} <= set(summary)
    again = run("--config.input=demo", "--config.demo_pairs=30", f"--config.output={out}")
    assert again.returncode == 0
    assert "up to date" in again.stdout
    other = run("--config.input=demo", "--config.demo_pairs=40", f"--config.output={out}")
    assert other.returncode == 2
    assert "--config.overwrite=true" in other.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "a", "chosen": "b"}\n', "record 1"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a", "chos', "record 2"),
        ("", "no "),
    ],
)
def test_bad_input_gives_one_line_and_no_files(tmp_path, content, message):
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    result = run(f"--config.input={path}", f"--config.output={tmp_path / 'out'}")
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_bad_records_can_be_skipped_and_are_counted(tmp_path):
    path = tmp_path / "pairs.jsonl"
    good = {"prompt": "How?", "chosen": "Like this, I think.", "rejected": "No idea!"}
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "chosen": ""}) + "\n")
    out = tmp_path / "out"
    result = run(f"--config.input={path}", f"--config.output={out}", "--config.on_error=skip")
    assert result.returncode == 0, result.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["records_read"] == 2
    assert summary["samples_out"] == 1
    assert sum(summary["dropped"]["records"].values()) == 1
