"""A study from its config to its tables."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from mapl_jax import train
from mapl_jax.runtime.config import fields, load_config
from mapl_jax.runtime.errors import UserError
from mapl_jax.study import command as study

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def config_of(**values):
    return load_config("study", values)


def small(arms, seeds=1, once=""):
    config = study.quick(config_of(arms=arms, seeds=seeds, once=once))
    with config.unlocked():
        config.reward.train.rows_per_batch = 32  # fewer for some arms, on eight devices
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "one"
    config = small("base; all; one-ended", seeds=2, once="all; one-ended")
    return config, folder, study.study(config, folder, "the command")


def test_a_study_gives_every_arm_under_both_budgets(finished):
    _, folder, parts = finished
    assert [part.title for part in parts] == [
        "Reward models, equal tokens",
        "Reward models, equal pairs",
    ]
    for part in parts:
        assert [row.name for row in part.rows] == ["prefer longer", "base", "all", "one-ended"]
        for row in part.rows[1:]:
            assert 0 <= row.values["base"].mean <= 1
            assert row.seen["steps"] == 4
    tokens, pairs = ({row.name: row.seen for row in part.rows if row.seen} for part in parts)
    assert len({seen["tokens"] for seen in tokens.values()}) == 1
    # Base alone has few leaves: more pairs in the same tokens, or fewer tokens for as many pairs.
    assert tokens["base"]["pairs"] > 1.5 * tokens["all"]["pairs"]
    assert pairs["base"]["tokens"] < tokens["base"]["tokens"]
    assert pairs["all"] == tokens["all"]
    # An arm of one seed is compared with that seed of the first.
    base, other = (next(r for r in parts[0].rows if r.name == name) for name in ("base", "all"))
    values = [row.values["intra"].seeds for row in (base, other)]
    assert [len(seeds) for seeds in values] == [2, 1]
    assert other.differences["intra"].mean == pytest.approx(values[1][0] - values[0][0])
    results = json.loads((folder / "results.json").read_text())
    assert len(results["parts"]) == 2
    for name in ("study.md", "study.html", "study-1.svg", "study-2.svg"):
        assert "one-ended" in (folder / name).read_text()


def test_a_finished_study_trains_nothing_again(finished, monkeypatch):
    config, folder, _ = finished
    before = (folder / "results.json").read_bytes()
    monkeypatch.setattr(train, "start", lambda *_: pytest.fail("it trains again"))
    study.study(config, folder, "the command")
    assert (folder / "results.json").read_bytes() == before


def test_a_lost_run_is_made_again_with_the_same_numbers(finished):
    config, folder, _ = finished
    run = folder.absolute() / "runs" / "one-ended-tokens-0"
    scores = (run / "eval" / "after.jsonl").read_bytes()
    (run / "summary.json").unlink()
    study.study(config, folder, "the command")
    assert (run / "eval" / "after.jsonl").read_bytes() == scores


def damaged(path, damage):
    """What a file holds once it is cut, emptied, of another shape, or gone."""
    if damage == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        kinds = {"cut": content[: len(content) // 2], "empty": b"", "shape": b'[{"a": null}]'}
        path.write_bytes(kinds[damage])


# File of a finished study -> what is said where it is damaged; nothing where no number hangs on it.
DAMAGED = {
    "config.json": "config.json (cannot be read|is damaged)|holds no run",
    "origin.json": "origin.json (cannot be read|is damaged)",
    "runs/all-tokens-0/eval/after.jsonl": r"eval cannot be used \(after.jsonl is ",
    "runs/all-tokens-0/eval/checksums.json": r"eval cannot be used \(checksums.json is ",
    "runs/all-tokens-0/summary.json": "summary.json (cannot be read|is damaged)",
    "runs/all-tokens-0/metrics.jsonl": "metrics.jsonl is damaged: it does not reach step 4; ",
    "results.json": "",
    "data/tokenizer/tokenizer.json": "",
    "runs/all-tokens-0/report.html": "",
}
MADE_AGAIN = ("origin.json", "runs/all-tokens-0/summary.json")  # where they are gone


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in DAMAGED
        for damage in ("cut", "empty", "shape", "gone")
        if damage != "gone" or name not in MADE_AGAIN
    ],
)
def test_damage_in_a_finished_study_is_said_or_changes_no_number(
    finished, tmp_path, monkeypatch, name, damage
):
    config, folder, _ = finished
    said = DAMAGED[name]
    kept, copy = (folder / "results.json").read_bytes(), tmp_path / "study"
    shutil.copytree(folder, copy)
    damaged(copy / name, damage)
    monkeypatch.setattr(train, "start", lambda *_: pytest.fail("it trains again"))
    if said:
        with pytest.raises(UserError, match=said):
            study.study(config, copy, "the command")
    else:
        study.study(config, copy, "the command")
        assert json.loads((copy / "results.json").read_text()) == json.loads(kept)


def test_the_commands_written_down_are_those_of_the_runs(finished):
    _, folder, _ = finished
    lines = (folder / "commands.txt").read_text().splitlines()
    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "mapl_jax.train"]
        given = dict(word.removeprefix("--").split("=", 1) for word in words[3:])
        preset = given.pop("config").removeprefix("configs/").replace(".py", "")
        run = Path(given.pop("workdir"))
        usual = load_config(preset)
        known = dict(fields(usual))
        values = {}
        for field, text in given.items():
            name = field.removeprefix("config.")
            kind = type(known[name])
            values[name] = text == "True" if kind is bool else kind(text)
        config = load_config(preset, values)
        assert json.loads((run / "config.json").read_text()) == json.loads(
            json.dumps(ConfigDict(config.to_dict()).to_dict())
        )


def test_another_study_does_not_get_the_folder(finished):
    _, folder, _ = finished
    with pytest.raises(UserError, match="another config"):
        study.study(small("base"), folder, "the command")


def test_nonsense_is_refused_before_anything_is_written(tmp_path):
    for config in (small("basis"), study.quick(config_of(seeds=0))):
        with pytest.raises(UserError):
            study.study(config, tmp_path / "study", "the command")
        assert not (tmp_path / "study").exists()


def test_the_quick_form_has_every_arm(tmp_path):
    command = [
        sys.executable,
        "-m",
        "mapl_jax.study",
        "--config=configs/study.py",
        "--quick",
    ]
    done = subprocess.run(
        [*command, f"--workdir={tmp_path / 'study'}", "--config.seeds=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "study" / "results.json").read_text())
    arms = [row["arm"] for part in found["parts"] for row in part["rows"]]
    for name in ("base", "all, independent", "length only", "DPO all, joint", "DPO IOPO"):
        assert name in arms
    kept = [
        row["measures"]["prompts kept"]["mean"]
        for part in found["parts"]
        for row in part["rows"]
        if "prompts kept" in row["measures"]
    ]
    assert len(kept) >= 4 and all(0 <= value <= 1 for value in kept)


def test_two_processes_share_the_runs(tmp_path):
    folder = tmp_path / "study"
    command = [
        sys.executable,
        "-m",
        "mapl_jax.study",
        "--config=configs/study.py",
        "--quick",
    ]
    command += ["--config.arms=base; all", "--config.seeds=2", f"--workdir={folder}"]
    both = [
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    says = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], says
    made = [line for text in says for line in text.splitlines() if line.startswith("run folder: ")]
    runs = [path for path in (folder / "runs").iterdir() if path.is_dir()]
    # None was made twice, and both did some.
    assert sorted(made) == sorted(f"run folder: {path}" for path in runs)
    assert len(runs) >= 4
    assert all("run folder: " in text for text in says)
    assert (folder / "study.html").exists()
