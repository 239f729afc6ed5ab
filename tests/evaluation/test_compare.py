"""Runs side by side: paired where the data is the same, and said where it is not."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from mapl_jax.evaluation import differences, following, likelihood, preferences, stored
from mapl_jax.evaluation.evaluators import PREFERENCES
from mapl_jax.evaluation.preferences import Scored
from mapl_jax.reports import comparison
from mapl_jax.runtime import files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder

EVIL = "<script>alert(1)</script>"


def scored(n, seed=0, shift=0.0, noise=0.3):
    """Comparisons that are alike for all seeds but for a little noise."""
    rng = np.random.default_rng(7)
    level = ["base", "intra", "inter"] * n
    margin = rng.normal(0.4, 1, len(level))
    margin += shift + noise * np.random.default_rng(seed).normal(size=len(level))
    return Scored(
        sample_id=[f"s{i}" for i in range(n) for _ in range(3)],
        level=level,
        margin=margin,
        gamma=np.zeros(len(level)),
        length_margin=rng.normal(0, 1, len(level)),
        k=np.asarray([0, 2, 3] * n),
        families=[(), ("a:x",), (f"b:{EVIL}",)] * n,
        terms=[[(0, 0, 1, float(m)), (0, 1, -1, 0.0)] for m in margin],
    )


def folder(path, values, held_out=None, config=None, **summary):
    path.mkdir(parents=True)
    preferences.write_scores(path / "eval" / "after.jsonl", values)
    files.seal(path / "eval")
    after = preferences.summarize(values, seed=0, resamples=0)
    facts = {"command": f"train {EVIL}", "eval": {"after": after}, **summary}
    if held_out is not None:
        facts["held_out"] = held_out
    (path / "summary.json").write_text(json.dumps(facts))
    (path / "config.json").write_text(json.dumps(config or {}))
    lines = [{"step": i, "split": "train", "base_loss": 1.0 / (1 + i)} for i in range(9)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


SAME = {"base": "1", "intra": "2", "inter": "3"}


def test_pairing_narrows_the_interval_and_leaves_the_difference():
    first, second = scored(300), scored(300, seed=1, shift=0.2)
    options = {"seed": 0, "resamples": 400}
    paired = differences.of_comparisons(first, second, same=["base"], **options)
    loose = differences.of_comparisons(first, second, same=[], **options)
    one, other = paired["base", "accuracy"], loose["base", "accuracy"]
    assert one.paired and not other.paired
    assert one.count == (300,) and other.count == (300, 300)
    assert one.value == pytest.approx(other.value)
    assert one.high - one.low < 0.7 * (other.high - other.low)
    assert one.low < one.value < one.high


def test_a_run_does_not_differ_from_itself():
    values = scored(50)
    found = differences.of_comparisons(values, values, same=list(SAME), seed=0, resamples=50)
    assert {(x.value, x.low, x.high) for x in found.values()} == {(0.0, 0.0, 0.0)}
    assert {name for _, name in found} == {"accuracy", "loss", "k:2", "k:3", "family:a:x"} | {
        f"family:b:{EVIL}"
    }
    assert not any(x.clear for x in found.values())


def test_a_single_sample_says_nothing_about_others(tmp_path):
    found = differences.of_comparisons(
        scored(1), scored(1, seed=1, shift=5.0), same=list(SAME), seed=0, resamples=20
    )
    assert not any(x.clear for x in found.values())
    paths = [folder(tmp_path / name, scored(1), SAME) for name in ("a", "b")]
    assert "-inf" in comparison.compare_runs(paths, tmp_path / "compare.html")


def test_only_what_both_have_is_paired():
    values = scored(50)
    order = np.random.default_rng(0).permutation(120)
    part = Scored(
        **{
            name: value[order] if isinstance(value, np.ndarray) else [value[i] for i in order]
            for name, value in values.__dict__.items()
            if value is not None
        }
    )
    found = differences.of_comparisons(values, part, same=list(SAME), seed=0, resamples=20)
    assert found["base", "accuracy"].count == (40,)
    assert found["base", "loss"].value == pytest.approx(0.0)


def test_the_interval_covers_the_truth():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sides = [scored(80, seed=100 + seed), scored(80, seed=500 + seed)]
        for side, rate in zip(sides, (0.6, 0.7), strict=True):
            side.margin[:] = np.where(rng.random(240) < rate, 1.0, -1.0)
        found = differences.of_comparisons(*sides, same=["base"], seed=0, resamples=200)
        x = found["base", "accuracy"]
        covered += x.low <= 0.1 <= x.high
    assert covered >= 51


def test_the_table_and_the_page_say_the_same(tmp_path):
    first, second = scored(80), scored(80, seed=1, shift=0.3)
    a = folder(tmp_path / "a", first, SAME, {"train": {"lr": 0.1, "b": EVIL}, "seed": 0})
    b = folder(tmp_path / "b", second, {**SAME, "inter": "4"}, {"train": {"lr": 0.2}, "seed": 0})
    text = comparison.compare_runs([a, b], tmp_path / "new" / "compare.html")
    page = (tmp_path / "new" / "compare.html").read_text()
    value = (second.margin > 0)[::3].mean() - (first.margin > 0)[::3].mean()
    (line,) = [line for line in text.split("\n") if line.startswith("base accuracy")]
    assert f"{100 * value:+.1f} [" in line and "*" not in line
    (line,) = [line for line in text.split("\n") if line.startswith("inter accuracy")]
    assert line.endswith("*")
    assert "* b, inter: the held-out data are not the same; compared unpaired." in text
    assert f"{100 * value:+.1f} [" in page and "compared unpaired" in page
    assert "train.<wbr>lr" in page or "train.lr" in page
    assert "0.2" in page and ">seed<" not in page
    assert page.count("<script") == 1 and "http:" not in page and "https:" not in page
    for word in ("Differences", "Curves", "Families", "Config", "Runs"):
        assert f"<h2>{word}</h2>" in page


def test_three_runs_and_data_of_unknown_origin(tmp_path):
    paths = [folder(tmp_path / f"x{i}" / "run", scored(20, seed=i)) for i in range(3)]
    text = comparison.compare_runs(paths, tmp_path / "compare.html")
    assert "x1/run - x0/run" in text and "x2/run - x0/run" in text
    assert "older version" in text


def test_answers_and_demonstrations_are_compared_too(tmp_path):
    held_out = {"responses": "9"}
    paths = []
    for name, loss in (("a", 2.0), ("b", 1.0)):
        path = tmp_path / name
        path.mkdir()
        rng = np.random.default_rng(0)
        tokens = rng.integers(5, 50, 40)
        values = likelihood.Scored([f"s{i}" for i in range(40)], -loss * tokens, tokens)
        likelihood.write_scores(path / "eval" / "after.jsonl", values)
        after = likelihood.summarize(values, seed=0, resamples=0)
        (path / "summary.json").write_text(
            json.dumps({"eval": {"after": after}, "held_out": held_out})
        )
        comma = {"id": "punctuation:no_comma", "params": {}, "text": "No comma."}
        answers = [
            following.judge(
                following.Probe(f"s{i}", [{"role": "user", "content": "?"}], [comma]),
                "yes" if name == "b" or i % 2 else "well, yes",
                True,
            )
            for i in range(40)
        ]
        following.write(path / "eval" / "answers-after.jsonl", answers)
        files.seal(path / "eval")
        paths.append(str(path))
    text = comparison.compare_runs(paths, tmp_path / "compare.html")
    assert "-1.000 [-1.000, -1.000]" in text
    (line,) = [line for line in text.split("\n") if line.startswith("instructions kept")]
    assert "50.0 %" in line and "100.0 %" in line and "+50.0 [" in line
    page = (tmp_path / "compare.html").read_text()
    assert "-1.000 [-1.000, -1.000]" in page
    mixed = folder(tmp_path / "c", scored(5))
    with pytest.raises(UserError, match="different things"):
        comparison.compare_runs([paths[0], mixed], tmp_path / "no.html")


def test_scores_that_are_not_as_they_were_written_are_refused(tmp_path):
    paths = [folder(tmp_path / name, scored(5), SAME) for name in ("a", "b")]
    comparison.compare_runs(paths, tmp_path / "compare.html")
    scores = tmp_path / "b" / "eval" / "after.jsonl"
    scores.write_text(scores.read_text().replace('"margin": ', '"margin": 1', 1))
    for flaw, content in (
        ("after.jsonl is damaged", None),
        ("checksums.json is damaged", "[" * 200_000),
        ("after.jsonl was never finished", "{}"),
        ("checksums.json is missing", ""),
    ):
        seal = tmp_path / "b" / "eval" / files.SEAL
        if content is not None:
            seal.write_text(content) if content else seal.unlink()
        with pytest.raises(UserError, match=rf"cannot be used \({flaw}\)"):
            comparison.compare_runs(paths, tmp_path / "compare.html")
    with pytest.raises(UserError, match=r"checksums\.json is missing"):
        stored.read_scores(RunFolder(paths[1]), "after", PREFERENCES)


def test_folders_that_hold_no_finished_run_are_named(tmp_path):
    good = folder(tmp_path / "good", scored(5))
    (tmp_path / "empty").mkdir()
    half = tmp_path / "half"
    (half / "checkpoints").mkdir(parents=True)
    (half / "config.json").write_text("{}")
    bad = folder(tmp_path / "bad", scored(5))
    (tmp_path / "bad" / "eval" / "after.jsonl").write_text('{"id": "s"}\n')
    files.seal(tmp_path / "bad" / "eval")
    none = folder(tmp_path / "none", scored(5))
    (tmp_path / "none" / "eval" / "after.jsonl").write_text("")
    files.seal(tmp_path / "none" / "eval")
    (tmp_path / "link").symlink_to(good)
    strange = folder(tmp_path / "strange", scored(5), held_out=5)
    listed = folder(tmp_path / "listed", scored(5), config=[1])
    for other, words in (
        (strange, "summary.json is damaged: held_out is 5"),
        (listed, "config.json is damaged: it holds no object"),
        (str(tmp_path / "missing"), "no such folder"),
        (str(tmp_path / "empty"), "has no summary.json; give the folder"),
        (str(half), "has not ended yet"),
        (bad, "is damaged"),
        (none, "holds no scores"),
        (good, "given twice"),
        (f"{good}/../good", "given twice"),
        (str(tmp_path / "link"), "given twice"),
    ):
        with pytest.raises(UserError, match=words):
            comparison.compare_runs([good, other], tmp_path / "compare.html")
    with pytest.raises(UserError, match="two run folders"):
        comparison.compare_runs([good], tmp_path / "compare.html")
    assert not (tmp_path / "compare.html").exists()


def test_the_command_prints_the_table_and_says_what_is_wrong_in_one_line(tmp_path):
    a, b, c = (folder(tmp_path / name, scored(20, seed=i), SAME) for i, name in enumerate("abc"))

    def run(*arguments):
        command = [sys.executable, "-m", "mapl_jax.evaluate", "--compare", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    result = run(a, b, "--output", "new/page.html", f"--compare={c}", "--debug")
    assert result.returncode == 0, result.stderr
    assert "base accuracy" in result.stdout
    page = (tmp_path / "new" / "page.html").read_text()
    assert all(str(run) in page for run in "abc")
    assert "c" in result.stdout.splitlines()[0].split()
    result = run(a, "nowhere")
    assert result.returncode == 2
    assert result.stderr.strip() == "error: no such folder: nowhere"


def test_a_digest_names_what_samples_say_and_not_their_order():
    def sample(name, text="yes", level="base"):
        return {
            "id": name,
            "prompts": [{"messages": [{"role": "user", "content": "?"}], "constraints": []}],
            "responses": [text, "no"],
            "comparisons": [{"level": level, "prompt": [0, 0], "response": [0, 1], "sign": [1, -1]}]
            if level
            else [],
        }

    one = stored.digests([sample("a"), sample("b")])
    assert one == stored.digests([sample("b"), sample("a")])
    assert one != stored.digests([sample("a"), sample("b", "maybe")])
    assert one != stored.digests([sample("a")])
    both = stored.digests([sample("a"), sample("b"), sample("a", level="intra")])
    assert both["base"] == one["base"] and set(both) == {"base", "intra"}
    assert set(stored.digests([sample("a", level="")])) == {"responses"}


def test_a_gap_of_three_points_is_drawn_with_its_whole_interval(tmp_path):
    # All intervals are about as wide, so none is cut at the ends of the scale.
    first, second = scored(300, noise=0), scored(300, noise=0, shift=0.08)
    runs = [folder(tmp_path / name, x, held_out=SAME) for name, x in (("a", first), ("b", second))]
    comparison.compare_runs(runs, tmp_path / "compare.html", resamples=200)
    page = (tmp_path / "compare.html").read_text()
    reach = float(re.search(r"on a scale from −([\d.]+) to", page)[1])
    intervals = re.findall(r"<title>[+-][\d.]+ \[([-+\d.]+), ([-+\d.]+)\] points", page)
    assert intervals
    assert max(abs(float(end)) for pair in intervals for end in pair) <= reach + 0.05 < 10
