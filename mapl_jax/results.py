"""What a run leaves for people: scores, summary.json, the report and the printed table."""

import json
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
from ml_collections import ConfigDict

from mapl_jax.evaluation import reports
from mapl_jax.files import write_json
from mapl_jax.runs import RunFolder
from mapl_jax.training.metrics import read_metrics

SIDES = ("before", "after")


def has_scores(folder: RunFolder, which: str) -> bool:
    """Whether an evaluation of this run was written before it was interrupted."""
    return (folder.eval / f"{which}.jsonl").exists()


def write_scores(folder: RunFolder, which: str, scored: Any, evaluation: ModuleType) -> None:
    """Keeps an evaluation, so that the report of a resumed run has both ends of it.

    Args:
        folder: of the run.
        which: "before" or "after".
        scored: what was scored.
        evaluation: the module it belongs to, `evaluation.preferences` or `.likelihood`.
    """
    if jax.process_index() == 0:
        evaluation.write_scores(folder.eval / f"{which}.jsonl", scored)


def finish(
    folder: RunFolder,
    *,
    config: ConfigDict,
    command: str,
    facts: dict[str, Any],
    say: Callable[..., None],
    evaluation: ModuleType,
) -> None:
    """Writes summary.json and report.html, and prints the table.

    Args:
        folder: of the run, with the scores before and after training in it.
        config: of the run.
        command: that started it.
        facts: everything else worth keeping: counts, sizes, times.
        say: prints.
        evaluation: the module of the scores, `evaluation.preferences` or `.likelihood`.
    """
    if jax.process_index() != 0:
        return
    scored = {which: evaluation.read_scores(folder.eval / f"{which}.jsonl") for which in SIDES}
    sides = {
        which: evaluation.summarize(values, seed=config.seed, resamples=config.eval.resamples)
        for which, values in scored.items()
    }
    summary = {"name": config.name, "command": command, **facts, "eval": sides}
    write_json(folder.summary, summary)
    metrics = read_metrics(folder.metrics)
    reports.write_report(
        folder.report,
        title=config.name,
        command=command,
        summary={**summary, "config": json.loads(json.dumps(config.to_dict()))},
        before=sides["before"],
        after=sides["after"],
        scored_before=scored["before"],
        scored_after=scored["after"],
        metrics=metrics,
        notes=[],
        device=str(facts["device"]),
        evaluation=evaluation,
    )
    say()
    say(evaluation.table(sides["before"], sides["after"]))
    say()
    say(f"{facts['seconds']:.0f} s in all; report: {os.path.relpath(folder.report)}", flush=True)
