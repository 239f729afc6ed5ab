"""What a run leaves for people: scores, summary.json, the report and the printed table."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mapl_jax import files, messages
from mapl_jax.charts import Gallery
from mapl_jax.errors import UserError
from mapl_jax.evaluation import following, likelihood, pictures, preferences, reports
from mapl_jax.files import read_json, write_json
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


def share_scores(of: RunFolder, to: RunFolder, which: str) -> None:
    """Gives one run an evaluation of another that is the same for both, with answers if it has any.

    Args:
        of: the run that has it; what is damaged is not given.
        to: the other run, which belongs to its config already.
        which: "before" or "after".
    """
    names = [f"{which}.jsonl", f"answers-{which}.jsonl"]
    names = [name for name in names if (of.eval / name).exists()]
    if files.flaw(of.eval, names) is not None:
        return
    to.eval.mkdir(exist_ok=True)
    for name in names:
        with files.replacing(to.eval / name) as part:
            shutil.copyfile(of.eval / name, part)
    files.seal(to.eval, names)


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


def digests(samples: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Names what held-out samples say, level by level, whatever tokenizer reads them.

    Two runs with the same digest of a level were tested on the same comparisons, text by text.
    Demonstrations, which have no comparisons, are the level "responses". The order of the samples
    does not matter.
    """
    found: dict[str, list[bytes]] = {}
    for sample in samples:
        prompts = [prompt["messages"] for prompt in sample["prompts"]]
        parts = [
            (
                entry["level"],
                [
                    [prompts[prompt], sample["responses"][response], sign]
                    for prompt, response, sign in zip(
                        entry["prompt"], entry["response"], entry["sign"], strict=True
                    )
                ],
            )
            for entry in sample["comparisons"]
        ] or [("responses", [prompts[0], sample["responses"][0]])]
        for level, part in parts:
            text = json.dumps([str(sample["id"]), part], sort_keys=True)
            found.setdefault(level, []).append(
                hashlib.blake2b(text.encode(), digest_size=16).digest()
            )
    return {
        level: hashlib.blake2b(b"".join(sorted(parts)), digest_size=8).hexdigest()
        for level, parts in sorted(found.items())
    }


def read_pictures(folder: RunFolder) -> dict[str, Gallery]:
    """The pictures of the report of a finished run.

    Raises:
        UserError: the run has not ended.
    """
    summary = read_json(folder.summary)
    before, after = (summary["eval"].get(side) for side in SIDES)
    found = {"curves": Gallery(pictures.curves(read_metrics(folder.metrics), before, after))}
    if "perplexity" in after:
        scored = likelihood.read_scores(folder.eval / "after.jsonl")
        return {**found, "length": Gallery(pictures.losses(scored))}
    sides = {which: folder.eval / f"{which}.jsonl" for which in SIDES}
    scores = {
        which: preferences.read_scores(path) for which, path in sides.items() if path.exists()
    }
    accuracy = [pictures.accuracy_by_level(before, after), pictures.accuracy_by_k(before, after)]
    return {
        **found,
        "accuracy": Gallery(picture for picture in accuracy if picture is not None),
        "margins": Gallery(pictures.margins(scores.get("before"), scores["after"])),
        "length": Gallery(pictures.length(scores["after"])),
        "calibration": Gallery(pictures.calibration(scores["after"])),
    }


def finish(
    folder: RunFolder,
    *,
    config: ConfigDict,
    command: str,
    facts: dict[str, Any],
    say: Callable[..., None],
    evaluation: ModuleType,
    answered: bool = False,
    samples: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
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
        samples: reads the held-out samples.
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
    held_out = digests(samples())
    summary = {
        "name": config.name,
        "command": command,
        **facts,
        "held_out": held_out,
        "eval": sides,
    }
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
        samples=samples(),
    )
    say()
    say(evaluation.table(sides["before"], sides["after"]))
    if answered:
        say()
        say(following.table(sides["generation"]))
    say()
    say(f"{facts['seconds']:.0f} s in all; report: {os.path.relpath(folder.report)}")
