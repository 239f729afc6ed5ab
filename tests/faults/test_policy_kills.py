"""The two runs that make a policy end as they should, killed at every kind of write."""

import signal

import pytest

# What is made just when the run is killed, in this order; each start goes on from the one before.
RUN = [
    "config.json",
    "cache/.samples-.*/samples-00000-of-00001.jsonl",
    "cache/samples-[^/]*",
    "tokenizer",
    "cache/tries-[^/]*",
    "eval/before.jsonl",
    "checkpoints/1.orbax-checkpoint-tmp",
    "checkpoints/2",
    "checkpoints/3/checksums.json",
    "eval/after.jsonl",
    "model",
]
MOMENTS = [
    *(f"sft/{path}" for path in RUN),
    *RUN[1:5],
    "cache/reference-[^/]*",
    *RUN[5:7],
    "checkpoints/2.orbax-checkpoint-tmp/params",
    *RUN[7:10],
    "summary.json",
    "report.html",
    r".model.part-\d+",
    "model",
]


@pytest.mark.slow
def test_kills_at_every_kind_of_write_change_nothing(runs, tools, tmp_path):
    alone, folder = tmp_path / "alone", tmp_path / "killed"
    options = {"config": "dpo", "settings": tools.policy_settings()}
    runs.finish(alone, **options)
    for path in MOMENTS:
        running = runs.start(folder, killed=f"{folder}/{path}", **options)
        assert running.wait() == -signal.SIGKILL, (path, running.output)
    runs.finish(folder, **options)
    for part in ("sft", "."):
        tools.same(alone / part, folder / part)
