"""A run that is killed anywhere, again and again, ends as the one that was not."""

import os
import signal

import pytest


def test_three_kills_and_a_request_to_stop_change_nothing(runs, undisturbed, tools, tmp_path):
    folder = tmp_path / "run"
    rng = tools.random(0)
    soon = {"pace": 0.5, "delays": [0.0, 0.01, 0.1]}
    assert tools.killed(runs, folder, "a good checkpoint", rng, **soon)

    # Before the first step is compiled, so that there is something left to kill.
    running = runs.start(folder, pace=0.5)
    said = "going on from the checkpoint at step"
    assert running.wait_for(lambda: "\n" in running.output.partition(said)[2]), running.output
    os.kill(running.process.pid, signal.SIGTERM)
    assert running.wait() == 0, running.output
    last = running.output.splitlines()[-1]
    assert last.startswith("stopped "), running.output
    assert "python -m mapl_jax.train --config=configs/rm.py" in last
    assert "Traceback" not in running.output

    assert tools.killed(runs, folder, "evaluation", rng, **soon)
    assert tools.killed(runs, folder, "a checkpoint", rng, **soon)
    runs.finish(folder)
    tools.same(undisturbed, folder)


@pytest.mark.slow
def test_a_request_to_stop_saves_after_the_step_under_way(runs, undisturbed, tools, tmp_path):
    folder = tmp_path / "run"
    running = runs.start(folder)
    assert running.wait_for(tools.moments(running, folder)["training"])
    os.kill(running.process.pid, signal.SIGTERM)
    assert running.wait() == 0, running.output
    last = running.output.splitlines()[-1]
    assert last.startswith("stopped after step"), running.output
    step = int(last.split()[3])
    assert (folder / "checkpoints" / str(step) / "checksums.json").exists()
    assert f"going on from the checkpoint at step {step} of 10" in runs.finish(folder)
    tools.same(undisturbed, folder)


@pytest.mark.slow
@pytest.mark.parametrize("aim", ["before training", "evaluation after"])
def test_a_request_to_stop_outside_of_training_ends_in_good_order(
    aim, runs, undisturbed, tools, tmp_path
):
    folder = tmp_path / "run"
    running = runs.start(folder)
    assert running.wait_for(tools.moments(running, folder)[aim])
    os.kill(running.process.pid, signal.SIGTERM)
    assert running.wait() == 0, running.output
    assert running.output.splitlines()[-1].startswith("stopped ")
    assert "Traceback" not in running.output
    runs.finish(folder)
    tools.same(undisturbed, folder)


BEGINNING = ["synthesis", "tokenizer", "encoding", "before training", "a checkpoint"]
MOMENTS = [
    *(("sft", aim) for aim in [*BEGINNING, "its checksums", "evaluation", "the model"]),
    *((".", aim) for aim in [*BEGINNING[:4], "before training", "before training"]),
    *((".", aim) for aim in [BEGINNING[4], "its checksums", "evaluation", "training"]),
    *((".", aim) for aim in ["evaluation after", "the model"]),
]


@pytest.mark.slow
def test_twenty_kills_change_nothing(runs, tools, tmp_path):
    alone, folder = tmp_path / "alone", tmp_path / "killed"
    settings = tools.policy_settings()
    runs.finish(alone, config="dpo", settings=settings)
    rng = tools.random(1)
    hits = 0
    assert len(MOMENTS) == 20
    for part, aim in MOMENTS:
        hits += tools.killed(
            runs,
            folder,
            aim,
            rng,
            folder=folder / part,
            where={"evaluates": 2, "steps": 4},
            config="dpo",
            settings=settings,
        )
    # Every one of the twenty was killed, most of them where they were meant to be.
    assert hits >= 14
    assert not (folder / "model").exists()
    runs.finish(folder, config="dpo", settings=settings)
    for part in (".", "sft"):
        tools.same(alone / part, folder / part)
