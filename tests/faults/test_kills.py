"""A run that is killed anywhere, again and again, ends as the one that was not."""

import json

import pytest

from mapl_jax.training import restore


@pytest.mark.slow
def test_three_kills_another_run_and_a_request_to_stop_change_nothing(
    runs, undisturbed, tools, tmp_path
):
    folder = tmp_path / "run"
    rng = tools.random(0)
    soon = {"pace": 0.5, "delays": [0.0, 0.01, 0.1]}
    assert tools.killed(runs, folder, "a good checkpoint", rng, **soon)

    # Slower, so that training goes on while the other run is refused.
    running = runs.start(folder, pace=3)
    assert running.wait_for(tools.moments(running, folder)["training"]), running.output
    with pytest.raises(
        AssertionError, match=f"is in use by another process .pid {running.process.pid}"
    ):
        runs.finish(folder)
    running.stop()
    assert running.wait() == 0, running.output
    last = running.output.splitlines()[-1]
    assert last.startswith("stopped after step "), running.output
    assert "python -m mapl_jax.train --config=configs/rm.py" in last
    assert "Traceback" not in running.output

    assert tools.killed(runs, folder, "evaluation", rng, where={"evaluates": 8}, **soon)
    assert tools.killed(runs, folder, "a checkpoint", rng, **soon)
    runs.finish(folder)
    tools.same(undisturbed, folder)


# Where a run is asked to stop -> its exit status, and what it says of how far it is.
ASKED = {
    "synthesis": (143, "stopped before training because of SIGTERM; what was "),
    "tokenizer": (143, "stopped before training because of SIGTERM; what was "),
    "encoding": (143, "stopped before training because of SIGTERM; what was "),
    "before training": (143, "stopped before training because of SIGTERM; what was "),
    "training": (0, "stopped after step "),
    "evaluation after": (0, "stopped after training because of SIGTERM; "),
}


@pytest.mark.slow
def test_a_request_to_stop_is_answered_wherever_it_comes(runs, undisturbed, tools, tmp_path):
    folder = tmp_path / "run"
    for aim, (status, begins) in ASKED.items():
        running = runs.start(folder, pace=0.2)
        assert running.wait_for(tools.moments(running, folder)[aim]), aim
        running.stop()
        assert running.wait() == status, running.output
        last = running.output.splitlines()[-1]
        assert last.startswith(begins), running.output
        assert "python -m mapl_jax.train --config=configs/rm.py" in last
        assert "Traceback" not in running.output
        if aim == "training":
            step = int(last.split()[3])
            assert (folder / "checkpoints" / str(step) / "checksums.json").exists()
    assert f"going on from the checkpoint at step {step} of 10" in running.output
    runs.finish(folder)
    tools.same(undisturbed, folder)


# Small, and stopped early, so that the best checkpoint is none of the newest.
WATCHED = [
    "train.best=inter_accuracy",
    "train.patience=2",
    "train.eval_every=2",
    "train.save_every=3",
]


@pytest.mark.slow
def test_a_killed_run_keeps_and_uses_the_same_best_checkpoint(runs, tools, tmp_path):
    alone, folder = tmp_path / "alone", tmp_path / "killed"
    arguments = [f"--config.{setting}" for setting in WATCHED]
    said = runs.finish(alone, *arguments)
    assert "training ends early, after step " in said
    summary = json.loads((alone / "summary.json").read_text())
    best, stopped = summary["best"]["step"], summary["stopped"]["step"]
    assert best < stopped < summary["steps"]

    rng = tools.random(2)
    options = {"settings": [*runs.tiny, *arguments], "pace": 0.5, "delays": [0.0, 0.1]}
    for aim in ("a good checkpoint", "evaluation", "a checkpoint"):
        tools.killed(runs, folder, aim, rng, where={"evaluates": best + 1}, **options)
    runs.finish(folder, *arguments)
    tools.same(alone, folder)
    killed = json.loads((folder / "summary.json").read_text())
    assert [killed[key] for key in ("best", "stopped")] == [summary["best"], summary["stopped"]]
    steps = [{path.name for path in (x / "checkpoints").iterdir()} for x in (alone, folder)]
    assert steps[0] == steps[1] >= {str(best), str(stopped)}

    again = runs.finish(folder, *arguments)
    assert f"training ended early, after step {stopped} of 10: " in again
    assert "compiling the step" not in again
    tools.same(alone, folder)
    assert restore.find(str(folder)).step == best
