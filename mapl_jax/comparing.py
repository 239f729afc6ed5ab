"""Finished runs side by side: a table, and a page.

A run folder, and the folder that an evaluation wrote (`--config.output`), hold what is needed:
summary.json and eval/after.jsonl. Nothing is loaded or scored anew.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mapl_jax import buckets
from mapl_jax.errors import UserError
from mapl_jax.evaluation import differences, following, likelihood, preferences, side_by_side
from mapl_jax.evaluation.side_by_side import Run
from mapl_jax.evaluation.tables import text_table
from mapl_jax.files import check_target, is_address, read_json
from mapl_jax.runs import RunFolder
from mapl_jax.training.metrics import read_metrics


def compare(
    folders: Sequence[str], output: str | os.PathLike[str], *, seed: int = 0, resamples: int = 1000
) -> str:
    """Reads runs, writes compare.html, and gives the table as text.

    Args:
        folders: of at least two runs; all others are compared with the first.
        output: of the page.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        UserError: a folder holds no finished run, or runs cannot be compared.
    """
    if len(folders) < 2:
        raise UserError("--compare takes two run folders or more: --compare runs/a runs/b")
    target = check_target(output)
    names = _names(folders)
    runs = [read(folder, name) for folder, name in zip(folders, names, strict=True)]
    kinds = {run.evaluation for run in runs}
    if len(kinds) > 1:
        listed = "; ".join(f"{run.name}: {_kind(run.evaluation)}" for run in runs)
        raise UserError(f"these runs measure different things ({listed}); compare runs of one kind")
    first = runs[0]
    found = [_shown_differences(first, other, seed, resamples) for other in runs[1:]]
    answered = [
        _answers(first, other, seed, resamples) if first.answers and other.answers else None
        for other in runs[1:]
    ]
    side_by_side.write(target, runs, found, answered)
    cells = side_by_side.table_cells(runs, found, answered)
    return text_table(cells, side_by_side.footnotes(runs, found))


def read(path: str, name: str) -> Run:
    """What a folder says of its run.

    Raises:
        UserError: it holds no finished run.
    """
    folder = RunFolder(buckets.fetched(path) if is_address(path) else path)
    if not folder.path.is_dir():
        raise UserError(f"no such folder: {path}")
    scores = folder.eval / "after.jsonl"
    if not folder.summary.exists() or not scores.exists():
        missing = folder.summary if not folder.summary.exists() else scores
        hint = (
            "the run has not ended yet; start it again with the same command"
            if folder.config.exists() and folder.checkpoints.is_dir()
            else "give the folder of a run, or of an evaluation (--config.output)"
        )
        raise UserError(f"{path} has no {missing.relative_to(folder.path)}; {hint}")
    summary = read_json(folder.summary)
    if not isinstance(summary, Mapping) or "after" not in summary.get("eval", {}):
        raise UserError(f"{folder.summary} is not the summary of a run")
    evaluation = likelihood if "perplexity" in summary["eval"]["after"] else preferences
    answers = folder.eval / "answers-after.jsonl"
    try:
        scored = evaluation.read_scores(scores)
        after = evaluation.summarize(scored, seed=0, resamples=0) if scored.sample_id else {}
        answered = following.read(answers) if answers.exists() else []
        metrics = read_metrics(folder.metrics)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not scored.sample_id:
        raise UserError(f"{scores} holds no scores")
    # An evaluation has its config in its summary.
    config = read_json(folder.config) if folder.config.exists() else summary.get("config", {})
    return Run(name, str(path), evaluation, summary, after, config, scored, metrics, answered)


def _shown_differences(
    first: Run, other: Run, seed: int, resamples: int
) -> dict[tuple[str, str], differences.Difference]:
    mine, theirs = first.summary.get("held_out", {}), other.summary.get("held_out", {})
    same = [level for level, digest in mine.items() if theirs.get(level) == digest]
    options = {"seed": seed, "resamples": resamples}
    if first.evaluation is likelihood:
        return differences.of_responses(
            first.scored, other.scored, same="responses" in same, **options
        )
    return differences.of_comparisons(first.scored, other.scored, same=same, **options)


def _answers(first: Run, other: Run, seed: int, resamples: int) -> dict[str, Any] | None:
    """Instructions kept by both in responses to the same prompts; None if they are not the same."""
    if [x.probe for x in first.answers] != [x.probe for x in other.answers]:
        return None
    return following.summarize(first.answers, other.answers, seed=seed, resamples=resamples)


def _kind(evaluation: ModuleType) -> str:
    return "demonstrations" if evaluation is likelihood else "comparisons"


def _names(folders: Sequence[str]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    paths = [Path(folder).expanduser().absolute() for folder in folders]
    twice = [str(folder) for i, folder in enumerate(folders) if paths[i] in paths[:i]]
    if twice:
        raise UserError(f"{twice[0]} is given twice")
    longest = max(len(path.parts) for path in paths)
    for count in range(1, longest + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
