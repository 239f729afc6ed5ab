"""Finished runs side by side: a table, and a page.

A run folder, and the folder that an evaluation wrote (`--config.output`), hold what is needed:
summary.json and eval/after.jsonl. Nothing is loaded or scored anew.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mapl_jax import losses
from mapl_jax.evaluation import following, likelihood, preferences, statistics
from mapl_jax.evaluation.preferences import Scored, percent
from mapl_jax.evaluation.statistics import Summary
from mapl_jax.losses import LEVELS
from mapl_jax.runtime import storage
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import is_address, read_json
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.training.metrics import read_metrics


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of one quantity, second minus first.

    Attributes:
        value: the difference.
        low: lower end of its 95 % interval.
        high: upper end.
        paired: whether both sides are of the same comparisons.
        count: comparisons (or responses): of each if paired, of the first and the second if not.
    """

    value: float
    low: float
    high: float
    paired: bool
    count: tuple[int, ...]

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


Found = Mapping[tuple[str, str], Difference]
Answered = Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: short, and no other run's.
        path: of its folder.
        evaluation: the module of its scores, `evaluation.preferences` or `.likelihood`.
        summary: summary.json.
        after: numbers of the evaluation after training, from its scores.
        config: of the run, or of the evaluation.
        scored: eval/after.jsonl.
        metrics: lines of metrics.jsonl.
        answers: of a policy after training; or none.
    """

    name: str
    path: str
    evaluation: ModuleType
    summary: Mapping[str, Any]
    after: Mapping[str, Any]
    config: Mapping[str, Any]
    scored: Any
    metrics: Sequence[Mapping[str, Any]]
    answers: Sequence[following.Answer]


def read(path: str, name: str) -> Run:
    """What a folder says of its run.

    Raises:
        UserError: it holds no finished run.
    """
    folder = RunFolder(storage.fetched(path) if is_address(path) else path)
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
) -> dict[tuple[str, str], Difference]:
    mine, theirs = first.summary.get("held_out", {}), other.summary.get("held_out", {})
    same = [level for level, digest in mine.items() if theirs.get(level) == digest]
    options = {"seed": seed, "resamples": resamples}
    if first.evaluation is likelihood:
        return of_responses(first.scored, other.scored, same="responses" in same, **options)
    return of_comparisons(first.scored, other.scored, same=same, **options)


def _answers(first: Run, other: Run, seed: int, resamples: int) -> Summary | None:
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


def of_comparisons(
    first: Scored, second: Scored, *, same: Sequence[str], seed: int, resamples: int
) -> dict[tuple[str, str], Difference]:
    """Differences by (level, quantity).

    Quantities are "accuracy", "loss" (mean of -log sigmoid of margin - gamma), and the accuracies
    "family:ID" and "k:NUMBER" of the comparisons with an instruction of a family and with a number
    of instructions.

    Args:
        first: scores of one model.
        second: scores of the other.
        same: levels whose comparisons are the same, text by text.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """
    found: dict[tuple[str, str], Difference] = {}
    for level in LEVELS:
        members = [
            np.flatnonzero(np.asarray(scored.level, dtype=str) == level)
            for scored in (first, second)
        ]
        if not all(map(len, members)):
            continue
        if level in same:
            pairs = _matched(first, second, *members)
            if len(pairs):
                members = [pairs[:, 0], pairs[:, 1]]
            paired = bool(len(pairs))
        else:
            paired = False
        columns = [
            _columns(scored, some) for scored, some in zip((first, second), members, strict=True)
        ]
        names = [name for name in columns[0] if name in columns[1]]
        for name, value in _differences(
            [first, second], members, columns, names, paired, seed, resamples
        ).items():
            found[level, name] = value
    return found


def _matched(first: Scored, second: Scored, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Indices of the comparisons that both have, [n, 2]."""

    def key(scored: Scored, i: int) -> tuple[Any, ...]:
        return scored.sample_id[i], *(term[:3] for term in scored.terms[i])

    places = {key(second, int(j)): int(j) for j in b}
    pairs = [(int(i), places[k]) for i in a if (k := key(first, int(i))) in places]
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def _columns(scored: Scored, members: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> what each comparison adds above and below, [n] each."""
    margin = scored.margin[members]
    right = losses.is_right(margin).astype(np.float64)
    ones = np.ones(len(members))
    loss = losses.margin_loss(margin - scored.gamma[members])
    found = {"accuracy": (right, ones), "loss": (loss, ones)}
    families = [set(scored.families[i]) for i in members]
    for name in sorted(set().union(*families)):
        holds = np.asarray([name in some for some in families], np.float64)
        found[f"family:{name}"] = (right * holds, holds)
    ks = scored.k[members]
    for k in sorted(set(ks.tolist()) - {0}):
        holds = (ks == k).astype(np.float64)
        found[f"k:{k}"] = (right * holds, holds)
    return found


def _differences(
    scored: Sequence[Any],
    members: Sequence[np.ndarray],
    columns: Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]],
    names: Sequence[str],
    paired: bool,
    seed: int,
    resamples: int,
) -> dict[str, Difference]:
    ratios: list[np.ndarray] = []
    shares: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    spread: list[np.ndarray] = []
    for side in range(2):
        cluster, n = statistics.clusters([scored[side].sample_id[i] for i in members[side]])
        top, bottom = (
            np.stack(
                [np.bincount(cluster, columns[side][name][part], minlength=n) for name in names], 1
            )
            for part in (0, 1)
        )
        # The clusters of both sides are sorted by name: paired sides with one seed have the same
        # draws.
        ratios.append(
            statistics.ratios(top, bottom, seed=seed + (0 if paired else side), resamples=resamples)
        )
        shares.append(top.sum(0) / bottom.sum(0))
        counts.append(bottom.sum(0).astype(int))
        spread.append((bottom > 0).sum(0))
    found = {}
    for column, name in enumerate(names):
        low, high = statistics.interval(ratios[1][:, column] - ratios[0][:, column])
        # A single sample says nothing about others.
        if min(some[column] for some in spread) < 2 or np.isnan(low):
            low, high = -np.inf, np.inf
        sizes = tuple(int(count[column]) for count in counts)
        value = float(shares[1][column] - shares[0][column])
        found[name] = Difference(value, low, high, paired, sizes[:1] if paired else sizes)
    return found


def of_responses(
    first: likelihood.Scored,
    second: likelihood.Scored,
    *,
    same: bool,
    seed: int,
    resamples: int,
) -> dict[tuple[str, str], Difference]:
    """The difference of the loss of demonstrations, in nats a token.

    Args:
        first: scores of one model.
        second: scores of the other.
        same: whether the demonstrations are the same.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """
    members = [np.arange(len(first.sample_id)), np.arange(len(second.sample_id))]
    paired = False
    if same:
        places = {name: i for i, name in enumerate(second.sample_id)}
        both = [(i, places[name]) for i, name in enumerate(first.sample_id) if name in places]
        if both:
            paired = True
            members = list(np.asarray(both, np.int64).T)
    columns = [
        {"loss": (-scored.logp[some], scored.tokens[some].astype(np.float64))}
        for scored, some in zip((first, second), members, strict=True)
    ]
    found = _differences([first, second], members, columns, ["loss"], paired, seed, resamples)
    # What is counted below is tokens; what is told is responses.
    sizes = tuple(map(len, members))
    loss = dataclasses.replace(found["loss"], count=sizes[:1] if paired else sizes)
    return {("responses", "loss"): loss}


def disagreements(first: Scored, second: Scored, level: str) -> tuple[int, int] | None:
    """How many comparisons only the first gets right, and only the second; None if none match."""
    members = [
        np.flatnonzero(np.asarray(scored.level, dtype=str) == level) for scored in (first, second)
    ]
    pairs = _matched(first, second, *members)
    if not len(pairs):
        return None
    a = losses.is_right(first.margin[pairs[:, 0]])
    b = losses.is_right(second.margin[pairs[:, 1]])
    return int((a & ~b).sum()), int((~a & b).sum())


def table_cells(
    runs: Sequence[Run], found: Sequence[Found], answered: Sequence[Answered]
) -> list[list[str]]:
    """Numbers of all runs, and differences of all others to the first."""
    first, *others = runs
    head = ["", *(run.name for run in runs)]
    head += [f"{run.name} - {first.name} [95 % interval]" for run in others]
    cells = [head]
    for title, field, key, shares in _rows(first):
        values = [run.after.get(field) for run in runs]
        if all(value is None for value in values):
            continue
        cells.append(
            [
                title,
                *("-" if value is None else _value(value, shares) for value in values),
                *(_difference(some.get(key), shares) if key else "" for some in found),
            ]
        )
    if any(run.answers for run in runs):
        cells.append(_kept(runs, answered))
    return cells


def _rows(first: Run) -> list[tuple[str, str, tuple[str, str] | None, bool]]:
    """Title, field of the summary, key of the difference, and whether it is a share."""
    if first.evaluation is likelihood:
        return [
            ("loss per token", "loss", ("responses", "loss"), False),
            ("perplexity", "perplexity", None, False),
        ]
    rows: list[tuple[str, str, tuple[str, str] | None, bool]] = []
    for name, shares in (("accuracy", True), ("loss", False)):
        rows += [(f"{x} {name}", f"{x}_{name}", (x, name), shares) for x in LEVELS]
    rows += [(f"{x} calibration error", f"{x}_ece", None, True) for x in LEVELS]
    return [*rows, ("length correlation (base)", "base_length_correlation", None, False)]


def _kept(runs: Sequence[Run], answered: Sequence[Answered]) -> list[str]:
    shares = [
        sum(sum(answer.kept) for answer in run.answers)
        / max(sum(len(answer.kept) for answer in run.answers), 1)
        if run.answers
        else None
        for run in runs
    ]
    row = ["instructions kept", *("-" if x is None else percent(x) for x in shares)]
    for some in answered:
        if some is None:
            row.append("-")
            continue
        value, low, high = (
            100 * some[f"instruction_difference{end}"] for end in ("", "_low", "_high")
        )
        row.append(f"{value:+.1f} [{low:+.1f}, {high:+.1f}]")
    return row


def _value(value: float, shares: bool) -> str:
    return percent(value) if shares else f"{value:.3f}"


def _difference(some: Difference | None, shares: bool) -> str:
    if some is None:
        return "-"
    scale, form = (100, "+.1f") if shares else (1, "+.3f")
    value, low, high = (f"{scale * x:{form}}" for x in (some.value, some.low, some.high))
    return f"{value} [{low}, {high}]{'' if some.paired else ' *'}"


def footnotes(runs: Sequence[Run], found: Sequence[Found]) -> list[str]:
    """What the table does not say itself."""
    lines = [
        "Differences of shares are in points; intervals are of the bootstrap over held-out "
        "samples.",
    ]
    for run, some in zip(runs[1:], found, strict=True):
        unpaired = list(dict.fromkeys(level for (level, _), x in some.items() if not x.paired))
        if not unpaired:
            continue
        known = all("held_out" in other.summary for other in (runs[0], run))
        why = (
            "the held-out data are not the same"
            if known
            else "a summary.json of an older version does not say which held-out data it is of"
        )
        lines.append(f"* {run.name}, {', '.join(unpaired)}: {why}; compared unpaired.")
    if runs[0].evaluation is likelihood:
        tokens = {run.after.get("response_tokens") for run in runs}
        if len(tokens) > 1:
            lines.append("The runs count other tokens: their losses per token do not compare.")
    return lines
