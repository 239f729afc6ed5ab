"""What a run leaves for people: scores, summary.json, the report and the printed table."""

import json
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mapl_jax import files, messages
from mapl_jax.errors import UserError
from mapl_jax.evaluation import following, reports
from mapl_jax.files import write_json
from mapl_jax.models import hub
from mapl_jax.runs import RunFolder
from mapl_jax.training.metrics import read_metrics

SIDES = ("before", "after")


def has_scores(folder: RunFolder, which: str, answered: bool = False) -> bool:
    """Whether an evaluation of this run, with answers or not, was written before, and is whole."""
    names = [f"{which}.jsonl", *([f"answers-{which}.jsonl"] if answered else [])]
    if not all((folder.eval / name).exists() for name in names):
        return False
    flaw = files.flaw(folder.eval, names)
    if flaw and jax.process_index() == 0:
        messages.notice(f"{folder.eval} cannot be used ({flaw}) and is made anew")
    return flaw is None


def write_answers(folder: RunFolder, which: str, answers: list[following.Answer]) -> None:
    """Keeps a policy's own responses, "before" or "after" training."""
    if jax.process_index() == 0:
        following.write(folder.eval / f"answers-{which}.jsonl", answers)
        files.seal(folder.eval, [f"answers-{which}.jsonl"])


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
        files.seal(folder.eval, [f"{which}.jsonl"])


def write_nonfinite(
    folder: RunFolder,
    sample_ids: Callable[[int], list[list[str]]],
    step: int,
    values: Mapping[str, float],
    rows: Any,
    *,
    stops: bool,
    say: Callable[..., None],
) -> None:
    """Keeps which samples a step was made of whose loss or gradient was not finite.

    All processes call it; it brings together what they know of their rows.

    Args:
        folder: of the run; gets nonfinite/STEP.json.
        sample_ids: of the rows of the batch of a step.
        step: steps done with it.
        values: its metrics.
        rows: whether the numbers of each row were finite, [A, R].
        stops: whether the run ends; else it goes on without the step.
        say: prints.

    Raises:
        UserError: with `stops`.
    """
    finite = hub.gather(rows).reshape(-1)
    members = sample_ids(step - 1)
    # With every row finite on the way forward, any of them may be the cause.
    suspects = np.flatnonzero(~finite) if not finite.all() else np.arange(len(members))
    numbers = {name: str(values[name]) for name in ("loss", "grad_norm", "learning_rate")}
    path = folder.nonfinite / f"{step}.json"
    if jax.process_index() == 0:
        found = [{"row": int(row), "samples": members[row]} for row in suspects]
        write_json(
            path, {"step": step, **numbers, "forward": bool(not finite.all()), "rows": found}
        )
    what = (
        f"step {step} is not finite (loss {numbers['loss']}, norm of the gradient "
        f"{numbers['grad_norm']}); its samples stand in {os.path.relpath(path)}"
    )
    if stops:
        raise UserError(
            f"{what}. The same command repeats the step from the last checkpoint; look at these "
            "samples, lower train.learning_rate, or leave such steps out from the start with "
            "--config.train.on_nonfinite=skip and another --workdir"
        )
    say(f"{what}; left out")


def finish(
    folder: RunFolder,
    *,
    config: ConfigDict,
    command: str,
    facts: dict[str, Any],
    say: Callable[..., None],
    evaluation: ModuleType,
    answered: bool = False,
) -> None:
    """Writes summary.json and report.html, and prints the table.

    Args:
        folder: of the run, with the scores before and after training in it.
        config: of the run.
        command: that started it.
        facts: everything else worth keeping: counts, sizes, times.
        say: prints.
        evaluation: the module of the scores, `evaluation.preferences` or `.likelihood`.
        answered: whether the policy answered prompts before and after.
    """
    if jax.process_index() != 0:
        return
    if flaw := files.flaw(folder.eval):
        raise UserError(
            f"{folder.eval} cannot be used ({flaw}); the same command makes it anew, from the last "
            "checkpoint"
        )
    scored = {which: evaluation.read_scores(folder.eval / f"{which}.jsonl") for which in SIDES}
    sides = {
        which: evaluation.summarize(values, seed=config.seed, resamples=config.eval.resamples)
        for which, values in scored.items()
    }
    answers = []
    if answered:
        answers = [following.read(folder.eval / f"answers-{which}.jsonl") for which in SIDES]
        resampling = {"seed": config.seed, "resamples": config.eval.resamples}
        sides["generation"] = following.summarize(*answers, **resampling)
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
        answers=answers,
    )
    say()
    say(evaluation.table(sides["before"], sides["after"]))
    if answered:
        say()
        say(following.table(sides["generation"]))
    say()
    say(f"{facts['seconds']:.0f} s in all; report: {os.path.relpath(folder.report)}")
