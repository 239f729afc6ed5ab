"""Finished runs side by side.

A run folder, and the folder that an evaluation wrote (`--config.output`), hold what is needed:
summary.json and eval/after.jsonl. Nothing is loaded or scored anew.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mapl_jax.evaluation import differences, following, likelihood, preferences, stored
from mapl_jax.evaluation.differences import Difference, Key
from mapl_jax.evaluation.evaluators import evaluator_of, kind_of
from mapl_jax.evaluation.statistics import Summary, percent, with_interval
from mapl_jax.losses import LEVELS
from mapl_jax.runtime import storage
from mapl_jax.runtime.console import Table
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import read_object
from mapl_jax.runtime.paths import distinct_ends, is_address, local
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.training.metrics import read_metrics


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, under a name that is short and no other's.

    `after` are the numbers of the evaluation after training, from its scores; a policy has answers.
    """

    name: str
    path: str
    summary: Summary
    after: Summary
    config: Mapping[str, object]
    scored: preferences.Scored | likelihood.Scored
    metrics: Sequence[Summary]
    answers: Sequence[following.Answer]

    @property
    def kind(self) -> str:
        """What was scored: "demonstrations" or "comparisons"."""
        is_likelihood = isinstance(self.scored, likelihood.Scored)
        return "demonstrations" if is_likelihood else "comparisons"


@dataclasses.dataclass(frozen=True)
class RunComparison:
    """At least two runs of one kind, and how all others differ from the first.

    Attributes:
        differences: of each of the others to the first, by level and quantity.
        kept: `following.summarize` of the first's answers and each of the others'; None where
            they are not to the same prompts.
    """

    runs: Sequence[Run]
    differences: Sequence[Mapping[Key, Difference]]
    kept: Sequence[Summary | None]

    def keys(self, level: str) -> list[Key]:
        """Level and quantity of every difference of a level."""
        keys = dict.fromkeys(key for one in self.differences for key in one)
        return [key for key in keys if key[0] == level]


def compare(folders: Sequence[str], *, seed: int = 0, resamples: int = 1000) -> RunComparison:
    """Reads runs and compares all others with the first."""
    if len(folders) < 2:
        raise UserError("--compare takes two run folders or more: --compare runs/a runs/b")
    names = _names(folders)
    runs = [read(folder, name) for folder, name in zip(folders, names, strict=True)]
    if len({run.kind for run in runs}) > 1:
        listed = "; ".join(f"{run.name}: {run.kind}" for run in runs)
        raise UserError(f"these runs measure different things ({listed}); compare runs of one kind")
    first, *others = runs
    return RunComparison(
        runs,
        [_differences(first, other, seed, resamples) for other in others],
        [_kept(first, other, seed, resamples) for other in others],
    )


def read(path: str, name: str) -> Run:
    """What a folder says of its run."""
    folder = RunFolder(storage.fetched(path) if is_address(path) else path)
    if not folder.path.is_dir():
        raise UserError(f"no such folder: {path}")
    scores, answers = (folder.eval / f"{name}.jsonl" for name in ("after", "answers-after"))
    if not folder.summary.exists() or not scores.exists():
        missing = folder.summary if not folder.summary.exists() else scores
        hint = (
            "the run has not ended yet; start it again with the same command"
            if folder.config.exists() and folder.checkpoints.is_dir()
            else "give the folder of a run, or of an evaluation (--config.output)"
        )
        raise UserError(f"{path} has no {missing.relative_to(folder.path)}; {hint}")
    summary = stored.read_summary(folder)
    evaluator = evaluator_of(kind_of(summary["eval"]["after"]))
    try:
        scored = stored.read_scores(folder, "after", evaluator)
        after = evaluator.summarize(scored, seed=0, resamples=0) if scored.sample_id else {}
        answered = stored.read_answers(folder, "after") if answers.exists() else []
        metrics = read_metrics(folder.metrics)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not scored.sample_id:
        raise UserError(f"{scores} holds no scores")
    # An evaluation has its config in its summary.
    config = read_object(folder.config) if folder.config.exists() else summary.get("config", {})
    return Run(name, str(path), summary, after, config, scored, metrics, answered)


def _differences(first: Run, other: Run, seed: int, resamples: int) -> dict[Key, Difference]:
    mine, theirs = first.summary.get("held_out", {}), other.summary.get("held_out", {})
    same = [level for level, digest in mine.items() if theirs.get(level) == digest]
    if isinstance(first.scored, likelihood.Scored):
        assert isinstance(other.scored, likelihood.Scored)
        return differences.of_responses(
            first.scored, other.scored, same="responses" in same, seed=seed, resamples=resamples
        )
    assert isinstance(other.scored, preferences.Scored)
    return differences.of_comparisons(
        first.scored, other.scored, same=same, seed=seed, resamples=resamples
    )


def _kept(first: Run, other: Run, seed: int, resamples: int) -> Summary | None:
    """Instructions kept by both in responses to the same prompts; None if they are not the same."""
    if not first.answers or [x.probe for x in first.answers] != [x.probe for x in other.answers]:
        return None
    return following.summarize(first.answers, other.answers, seed=seed, resamples=resamples)


def _names(folders: Sequence[str]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    paths = [Path(x) if is_address(x) else local(x).absolute() for x in folders]
    # Through links and `..` as well.
    places = [str(path) if is_address(path) else os.path.realpath(local(path)) for path in folders]
    twice = [str(folder) for i, folder in enumerate(folders) if places[i] in places[:i]]
    if twice:
        raise UserError(f"{twice[0] or 'an empty name'} is given twice")
    return distinct_ends([path.parts for path in paths])


# The table.


def table(comparison: RunComparison) -> Table:
    """Numbers of all runs, and differences of all others to the first."""
    first, *others = comparison.runs
    head = ["", *(run.name for run in comparison.runs)]
    head += [f"{run.name} - {first.name} [95 % interval]" for run in others]
    cells = [head]
    for title, field, key, is_share in _rows(first):
        values = [run.after.get(field) for run in comparison.runs]
        if all(value is None for value in values):
            continue
        texts = [
            "-" if value is None else percent(value) if is_share else f"{value:.3f}"
            for value in values
        ]
        if key:
            texts += [difference_text(one.get(key), is_share) for one in comparison.differences]
        else:
            texts += [""] * len(others)
        cells.append([title, *texts])
    if any(run.answers for run in comparison.runs):
        cells.append(_kept_row(comparison))
    return Table(cells, _footnotes(comparison))


def _rows(first: Run) -> list[tuple[str, str, Key | None, bool]]:
    """Title, field of the summary, key of the difference, and whether it is a share."""
    if first.kind == "demonstrations":
        return [
            ("loss per token", "loss", ("responses", "loss"), False),
            ("perplexity", "perplexity", None, False),
        ]
    rows: list[tuple[str, str, Key | None, bool]] = []
    for name, is_share in (("accuracy", True), ("loss", False)):
        rows += [(f"{x} {name}", f"{x}_{name}", (x, name), is_share) for x in LEVELS]
    rows += [(f"{x} calibration error", f"{x}_ece", None, True) for x in LEVELS]
    return [*rows, ("length correlation (base)", "base_length_correlation", None, False)]


def _kept_row(comparison: RunComparison) -> list[str]:
    row = ["instructions kept"]
    for run in comparison.runs:
        verdicts = [kept for answer in run.answers for kept in answer.kept]
        row.append(percent(sum(verdicts) / max(len(verdicts), 1)) if run.answers else "-")
    return row + [
        with_interval(kept, "instruction_difference", "+.1f", scale=100) if kept else "-"
        for kept in comparison.kept
    ]


def difference_text(difference: Difference | None, is_share: bool) -> str:
    """A difference with its interval; shares in points; a star where it is not paired."""
    if difference is None:
        return "-"
    scale, form = (100, "+.1f") if is_share else (1, "+.3f")
    ends = (difference.value, difference.low, difference.high)
    value, low, high = (f"{scale * x:{form}}" for x in ends)
    return f"{value} [{low}, {high}]{'' if difference.paired else ' *'}"


def _footnotes(comparison: RunComparison) -> list[str]:
    """What the table does not say itself."""
    lines = [
        "Differences of shares are in points; intervals are of the bootstrap over held-out samples."
    ]
    first, *others = comparison.runs
    for run, one in zip(others, comparison.differences, strict=True):
        unpaired = list(dict.fromkeys(level for (level, _), x in one.items() if not x.paired))
        if not unpaired:
            continue
        why = (
            "the held-out data are not the same"
            if all("held_out" in other.summary for other in (first, run))
            else "a summary.json of an older version does not say which held-out data it is of"
        )
        lines.append(f"* {run.name}, {', '.join(unpaired)}: {why}; compared unpaired.")
    tokens = {run.after.get("response_tokens") for run in comparison.runs}
    if first.kind == "demonstrations" and len(tokens) > 1:
        lines.append(
            "The runs split texts into different tokens: their losses per token do not compare."
        )
    return lines
