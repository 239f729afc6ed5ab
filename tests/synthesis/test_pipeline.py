"""Data sets of samples: the same whoever makes them, whole or not at all, and never made twice."""

import errno
import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mapl_jax.data import demo
from mapl_jax.data.readers import read_entries
from mapl_jax.data.records import read_pairs
from mapl_jax.data.samples import is_sample, read_samples
from mapl_jax.reports import synthesis as report
from mapl_jax.runtime import files
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis import pipeline, runners, shards
from mapl_jax.synthesis.build import build
from mapl_jax.synthesis.corpus import Corpus
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesize import REPORT

import support

command = functools.partial(support.command, "synthesize", config="synthesize")
run = functools.partial(support.run, "synthesize", config="synthesize")
PAIRS = demo.make_pairs(150, seed=1, split="train")
SETTINGS = Settings(reference=50)


def make(folder, pairs=PAIRS, settings=SETTINGS, num_proc=1, **options):
    options = {"shard_size": 40, **options}
    return pipeline.synthesize(pairs, settings, folder, run=runners.local(num_proc), **options)


def content(folder):
    """Everything in a folder that is not about time."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    summary = json.loads(found.pop(pipeline.SUMMARY))
    found.pop(REPORT, None)
    found.pop(files.SEAL)
    return found, {key: value for key, value in summary.items() if "second" not in key}


def test_the_number_of_workers_changes_no_byte(tmp_path):
    for num_proc in (1, 2):
        make(tmp_path / f"{num_proc}", num_proc=num_proc)
    assert content(tmp_path / "1") == content(tmp_path / "2")


def flip(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


def test_damaged_samples_are_named_and_made_anew_where_that_is_wanted(tmp_path):
    make(tmp_path / "out")
    expected = content(tmp_path / "out")
    for name in (*expected[1]["files"], pipeline.SUMMARY):
        flip(tmp_path / "out" / name)
        assert pipeline.summary_of(tmp_path / "out") is None
        with pytest.raises(UserError, match=rf"cannot be used \({name} is damaged\).*overwrite"):
            make(tmp_path / "out")
        assert make(tmp_path / "out", overwrite=True)["made"]
        assert content(tmp_path / "out") == expected
        assert not make(tmp_path / "out")["made"]


def test_damage_to_unfinished_work_changes_nothing(tmp_path):
    make(tmp_path / "whole")
    out = tmp_path / "out"

    def interrupted(missing):
        yield shards.make(missing[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.synthesize(PAIRS, SETTINGS, out, run=interrupted, shard_size=40)
    for name in ("pairs-00001.jsonl", "samples-00000-of-*"):
        (path,) = (out / shards.WORK).glob(name)
        flip(path)
    make(out)
    assert content(out) == content(tmp_path / "whole")


def test_samples_are_those_of_the_pairs_in_their_order(tmp_path):
    make(tmp_path / "out")
    records = read_samples(tmp_path / "out")
    corpus = Corpus.from_json(json.loads((tmp_path / "out" / shards.CORPUS).read_text()))
    # Any of them can be made again alone.
    for pair, record in zip(PAIRS, records, strict=True):
        assert record == build(pair, SETTINGS, corpus).sample


def test_parquet_holds_the_same_samples(tmp_path):
    make(tmp_path / "lines")
    make(tmp_path / "columns", format="parquet")
    assert is_sample(read_entries(tmp_path / "columns").peek())
    assert read_samples(tmp_path / "columns") == read_samples(tmp_path / "lines")


def test_tools_are_kept_in_every_format(tmp_path):
    call = {"type": "function", "function": {"name": "tide", "arguments": {"place": "Brest"}}}
    prompt = [
        {**PAIRS[0]["prompt"][0], "tools": [{"type": "function", "function": {"name": "tide"}}]},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "6 m", "name": "tide", "tool_call_id": "1"},
    ]
    for format in shards.FORMATS:
        make(tmp_path / format, [{**PAIRS[0], "prompt": prompt}], format=format)
        (sample,) = read_samples(tmp_path / format)
        assert sample["prompts"][0]["messages"] == prompt


@pytest.mark.parametrize("format", shards.FORMATS)
def test_datasets_reads_the_files(tmp_path, format):
    import datasets

    made = make(tmp_path / "out", format=format)
    files = [str(tmp_path / "out" / name) for name in made["files"]]
    kind = "json" if format == "jsonl" else format
    rows = datasets.load_dataset(
        kind, data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows["id"] == [pair["id"] for pair in PAIRS]
    constraint = rows[0]["prompts"][1]["constraints"][0]
    params = constraint["params"]
    assert isinstance(json.loads(params) if isinstance(params, str) else params, dict)


def test_what_is_there_already_is_not_made_again(tmp_path):
    assert make(tmp_path / "out")["made"]

    def refuse(missing):
        raise AssertionError("nothing is missing")

    again = pipeline.synthesize(PAIRS, SETTINGS, tmp_path / "out", run=refuse, shard_size=40)
    assert not again["made"]


def test_other_pairs_or_settings_replace_samples_only_when_told_to(tmp_path):
    make(tmp_path / "out")
    before = content(tmp_path / "out")
    for change in ({"pairs": PAIRS[:90]}, {"settings": Settings(seed=1)}, {"format": "parquet"}):
        with pytest.raises(UserError, match="overwrite=true"):
            make(tmp_path / "out", **change)
        assert content(tmp_path / "out") == before
    make(tmp_path / "out", pairs=PAIRS[:90], overwrite=True)
    assert len(read_samples(tmp_path / "out")) == 90


def test_a_run_that_stopped_goes_on_with_the_shards_that_are_missing(tmp_path):
    made = []

    def stop_after_two(missing):
        for shard in missing[:2]:
            made.append(shard.index)
            yield shards.make(shard)
        raise KeyboardInterrupt

    def go_on(missing):
        for shard in missing:
            made.append(shard.index)
            yield shards.make(shard)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        pipeline.synthesize(PAIRS, SETTINGS, out, run=stop_after_two, shard_size=40)
    # Nothing that looks finished lies there meanwhile.
    assert [path.name for path in out.iterdir()] == [shards.WORK]
    pipeline.synthesize(PAIRS, SETTINGS, out, run=go_on, shard_size=40)
    assert made == [0, 1, 2, 3]
    make(tmp_path / "undisturbed")
    assert content(out) == content(tmp_path / "undisturbed")


def test_a_run_killed_again_and_again_ends_as_one_that_was_not(tmp_path):
    arguments = ("--config.input=demo", "--config.demo_pairs=200", "--config.shard_size=20")
    arguments = (*arguments, "--config.num_proc=2", "--config.reference=100")
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run(*arguments, f"--config.output={whole}").returncode == 0
    seen = 0
    for kill in range(2):
        process = subprocess.Popen(
            command(*arguments, f"--config.output={out}"),
            cwd=support.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            done = len(list(out.glob(f"{shards.WORK}/counts-*.json")))
            if done > seen + kill:
                break
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen = len(list(out.glob(f"{shards.WORK}/counts-*.json")))
    assert run(*arguments, f"--config.output={out}").returncode == 0
    assert content(out) == content(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_nothing_is_left_of_a_shard_that_failed(tmp_path, monkeypatch):
    made = iter(range(30))

    def full(*arguments):
        if next(made, None) is None:
            raise OSError(28, "No space left on device")
        return build(*arguments)

    monkeypatch.setattr("mapl_jax.synthesis.build.build", full)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path / "out")
    names = {path.name for path in (tmp_path / "out" / shards.WORK).iterdir()}
    assert not any("samples" in name for name in names)


def test_a_full_disk_leaves_nothing_of_the_pairs_that_were_cut(tmp_path):
    class Full:
        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"), shards.Cut(tmp_path / "out", Settings()) as cut:
        cut.add(demo.make_pairs(1, 0, "train")[0])
        cut._file.close()
        cut._file = Full()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_lacks_a_shard_is_refused(tmp_path):
    make(tmp_path / "out")
    (tmp_path / "out" / "samples-00001-of-00004.jsonl").unlink()
    with pytest.raises(UserError, match="3 of 4 shards"):
        read_samples(tmp_path / "out")


def test_the_fingerprint_follows_pairs_and_settings():
    first = shards.fingerprint(PAIRS, Settings())
    assert first == shards.fingerprint(iter(PAIRS), Settings())
    assert first != shards.fingerprint(PAIRS[1:], Settings())
    assert first != shards.fingerprint(PAIRS, Settings(k_max=3))
    code = {file.parent.name + "/" + file.name for file in shards.code_files()}
    assert {"data/samples.py", "synthesis/build.py", "text/words.py"} <= code


def test_counts_add_up(tmp_path):
    summary = make(tmp_path / "out")
    records = read_samples(tmp_path / "out")
    assert summary["pairs_in"] == summary["samples_out"] == len(PAIRS)
    comparisons = [entry for record in records for entry in record["comparisons"]]
    counted = summary["comparisons"]
    assert sum(counted["level"].values()) == len(comparisons)
    assert sum(counted["k"].values()) == sum(entry["k"] > 0 for entry in comparisons)
    used = [c for record in records for prompt in record["prompts"] for c in prompt["constraints"]]
    assert sum(counted["constraint"].values()) == len(used)
    assert sum(summary["kept_by_chosen"].values()) == sum(c["margins"][0] >= 0 for c in used)
    assert summary["all_five"] == sum(len(record["comparisons"]) == 5 for record in records)


def test_the_report_shows_samples_with_every_instruction_ticked_or_crossed(tmp_path):
    pairs = [{**PAIRS[0], "id": "<script>alert(1)</script>"}, *PAIRS[1:]]
    pairs[1] = {**pairs[1], "chosen": "<img src=x onerror=alert(2)> " + pairs[1]["chosen"]}
    make(
        tmp_path / "out",
        pairs=pairs[:15],
        report=lambda folder, *made: report.write(folder / REPORT, *made),
    )
    page = (tmp_path / "out" / REPORT).read_text()
    assert page.count('<section class="card">') == 15
    assert page.count("✓") == page.count("✗") > 60
    assert page.count("<script") == 1
    assert "<img src=x" not in page


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path):
    def peak(pairs):
        path = tmp_path / f"{pairs}.jsonl"
        with path.open("w") as file:
            for i in range(pairs):
                pair = PAIRS[i % len(PAIRS)]
                file.write(
                    json.dumps({**pair, "id": str(i), "chosen": f"{i} {pair['chosen']}"}) + "\n"
                )
        program = (
            "import resource, sys;"
            "from mapl_jax.data.readers import read_entries;"
            "from mapl_jax.data.records import Tally, iter_pairs;"
            "from mapl_jax.synthesis import pipeline, runners;"
            "from mapl_jax.synthesis.settings import Settings;"
            "pairs = iter_pairs(read_entries(sys.argv[1]), Tally());"
            "pipeline.synthesize(pairs, Settings(reference=100),"
            "sys.argv[2], run=runners.local(1), shard_size=256);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        out = tmp_path / f"out-{pairs}"
        result = subprocess.run(
            [sys.executable, "-c", program, str(path), str(out)],
            cwd=support.ROOT, capture_output=True, text=True, check=True, timeout=600,
        )  # fmt: skip
        return int(result.stdout) / 1024

    small, large = peak(2_000), peak(20_000)
    # The pairs alone would be 18 MB of JSON more, and several times that as objects.
    assert large - small < 12


@pytest.mark.beam
def test_a_beam_pipeline_makes_the_same_bytes(tmp_path):
    pytest.importorskip("apache_beam")
    here, there = tmp_path / "here", tmp_path / "there"
    make(here)
    beam = runners.beam("DirectRunner", [])
    pipeline.synthesize(PAIRS, SETTINGS, there, run=beam, shard_size=40)
    assert content(there) == content(here)


@pytest.mark.beam
def test_the_command_takes_a_runner_of_beam_and_its_options(tmp_path):
    pytest.importorskip("apache_beam")
    arguments = ("--config.input=demo", "--config.demo_pairs=60", "--config.shard_size=20")
    here, there = tmp_path / "here", tmp_path / "there"
    assert run(*arguments, f"--config.output={here}").returncode == 0
    options = ("--runner=DirectRunner", "--beam=--direct_num_workers=2")
    result = run(*arguments, f"--config.output={there}", *options)
    assert result.returncode == 0, result.stderr
    assert content(there) == content(here)
    result = run(*arguments, f"--config.output={tmp_path / 'x'}", "--runner=NoSuchRunner")
    assert result.returncode == 2
    assert "NoSuchRunner" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "x").exists()


def test_without_beam_a_runner_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(UserError, match="pip install"):
        runners.beam("DirectRunner", [])


def test_the_command_writes_samples_and_a_summary(tmp_path):
    out = tmp_path / "out"
    arguments = ("--config.input=demo", f"--config.output={out}")
    result = run(*arguments, "--config.demo_pairs=30")
    assert result.returncode == 0, result.stderr
    assert len(read_samples(out)) == 30
    summary = json.loads((out / pipeline.SUMMARY).read_text())
    assert {"pairs_in", "samples_out", "pairs_per_second", "comparisons", "dropped"} <= set(summary)
    again = run(*arguments, "--config.demo_pairs=30")
    assert again.returncode == 0
    assert "up to date" in again.stdout
    other = run(*arguments, "--config.demo_pairs=40")
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
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--config.format=csv", "format is 'csv'; choose one of jsonl, parquet"),
        ("--config.shard_size=0", "shard_size"),
        ("--config.num_proc=-1", "num_proc"),
        ("--config.output=setup.cfg", "is a file"),
        ("--config.input=demo:nowhere", "demo:train"),
    ],
)
def test_impossible_arguments_give_one_line(tmp_path, setting, message):
    output = f"--config.output={tmp_path / 'out'}"
    result = run("--config.input=demo", "--config.demo_pairs=10", output, setting)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_records_can_be_skipped_and_are_counted(tmp_path):
    path = tmp_path / "pairs.jsonl"
    good = {"prompt": "How?", "chosen": "Like this, I think.", "rejected": "No idea!"}
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "chosen": ""}) + "\n")
    out = tmp_path / "out"
    result = run(f"--config.input={path}", f"--config.output={out}", "--config.on_error=skip")
    assert result.returncode == 0, result.stderr
    summary = json.loads((out / pipeline.SUMMARY).read_text())
    assert summary["records"] == {"read": 2, "dropped": {"empty chosen": 1}}
    assert summary["samples_out"] == 1


def test_a_repeated_id_is_named_with_the_record_that_had_it(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in (*PAIRS[:3], PAIRS[1])))
    with pytest.raises(UserError, match=r"record 4.*record 2"):
        read_pairs(path)


def test_synthesis_begins_at_once_without_jax():
    code = "import sys, mapl_jax.synthesize; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
