"""The report of a run: one HTML file that needs nothing else, no script and no network.

What one wants to know first comes first: whether it worked, where it fails, whether that is only
length, whether the data is sane.
"""

import html
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
from ml_collections import ConfigDict

from mapl_jax import constraints
from mapl_jax.evaluation import following, likelihood, preferences
from mapl_jax.evaluation.preferences import percent
from mapl_jax.evaluation.stored import SIDES, digests
from mapl_jax.reports import charts, findings, mistakes
from mapl_jax.reports.charts import Gallery, Picture
from mapl_jax.reports.figures import (
    accuracy_by_k,
    accuracy_by_level,
    calibration,
    curves,
    length,
    levels_of,
    losses,
    margins,
)
from mapl_jax.reports.findings import SPLITS
from mapl_jax.reports.pages import (
    breakable,
    contents,
    details,
    duration,
    mark,
    number,
    section,
    table,
    tag,
    write_page,
)
from mapl_jax.runtime import files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import read_json, write_json
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.training.metrics import read_metrics
from mapl_jax.training.restore import Model, Trained


def report_pictures(model: Model) -> dict[str, Gallery]:
    """The pictures of a finished run's report; a notebook shows one, or some side by side.

    Args:
        model: from `train_model`, or the folder of a run.

    Returns:
        "curves", and of comparisons "accuracy", "margins", "length" and "calibration".

    Raises:
        UserError: there is no finished run.

    Example:
        >>> import mapl_jax, tempfile
        >>> mapl_jax.set_verbosity("quiet")
        >>> samples = mapl_jax.make_samples(mapl_jax.load_pairs("demo", limit=20))
        >>> model = mapl_jax.train_model(
        ...     mapl_jax.load_config("rm:tiny"), samples[:16], samples[16:],
        ...     workdir=tempfile.mkdtemp(),
        ... )
        >>> [picture.title for picture in mapl_jax.report_pictures(model)["accuracy"]]
        ['Accuracy by level', 'Accuracy by number of instructions']
        >>> mapl_jax.set_verbosity("normal")
    """
    run = model.run if isinstance(model, Trained) else RunFolder(model)
    if run is None:
        raise UserError("this model comes from no run, and so has no report")
    return read_pictures(run)


Summary = Mapping[str, Any]
EXAMPLES = 12


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    command: str,
    summary: Summary,
    before: Summary | None,
    after: Summary,
    scored_before: Any,
    scored_after: Any,
    metrics: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
    device: str,
    evaluation: ModuleType = preferences,
    answers: Sequence[Sequence[following.Answer]] = (),
    samples: Iterable[Mapping[str, Any]] = (),
) -> None:
    """Writes the report, whole or not at all.

    Args:
        path: of the HTML file.
        title: name of the run.
        command: that started it.
        summary: facts of the run (parameters, steps, seconds, counts), and its config.
        before: summary of the evaluation before training; None if there was none.
        after: summary of the evaluation after training, or the only one.
        scored_before: what it scored.
        scored_after: what it scored; None shows no pictures of single comparisons.
        metrics: lines of metrics.jsonl.
        notes: sentences for the reader.
        device: the machine, in words.
        evaluation: the module of the evaluation, `evaluation.preferences` or `.likelihood`.
        answers: of a policy to the same prompts, before and after training; or none.
        samples: held-out samples, for the texts of mistakes; read once.
    """
    compares = evaluation is preferences
    sections: list[tuple[str, Sequence[str]]] = [
        ("Curves", _grid(curves(metrics, before, after), kind="small", text=CURVES)),
    ]
    if compares:
        sections += [
            ("Accuracy", _accuracy(before, after)),
            ("Families", _families(after, summary)),
        ]
    if scored_after is not None and compares:
        sections += [
            (
                "Margins",
                _grid(margins(scored_before, scored_after), kind="small", text=MARGINS),
            ),
            ("Length", [*_grid(length(scored_after)), *_by_length(after)]),
            (
                "Calibration",
                _grid(calibration(scored_after), kind="small", text=CALIBRATION),
            ),
        ]
        sections.append(("Worst mistakes", _mistakes(mistakes.worst(scored_after, samples))))
    elif scored_after is not None:
        worst = mistakes.worst_responses(scored_after, samples)
        sections += [
            ("Length", _grid(losses(scored_after))),
            ("Least likely responses", worst),
        ]
    if answers:
        sections.append(("Its own responses", _following(summary["eval"]["generation"], *answers)))
    sections.append(("Data", _counts(summary)))
    if notes:
        sections.append(("Notes", [tag("p", note) for note in notes]))
    sections.append(("Reproduce", _reproduce(summary, command)))
    sections = [(name, parts) for name, parts in sections if parts]
    head = [
        tag("h1", title),
        _facts(summary, device),
        contents([name for name, _ in sections]),
        _tiles(before, after, summary),
        _warnings(after, summary, metrics),
        table(evaluation.table_cells(before, after)),
        *(tag("p", line, kind="small") for line in evaluation.FOOTNOTES),
    ]
    write_page(path, title, [*head, *(section(*some) for some in sections)])


# The head.


def _facts(summary: Summary, device: str) -> str:
    facts = []
    if "parameters" in summary:
        facts.append(f"{number(summary['parameters'])} parameters")
    trained = summary.get("trained_parameters")
    if trained is not None and trained != summary.get("parameters"):
        facts.append(f"{number(trained)} trained")
    if "steps" in summary:
        facts.append(f"{number(summary['steps'])} steps")
    if "seconds" in summary:
        facts.append(duration(float(summary["seconds"])))
    facts.append(device)
    if "checkpoint" in summary:
        facts.append(f"checkpoint: {summary['checkpoint']}")
    return f'<p class="meta">{" ".join(tag("span", fact) for fact in facts)}</p>'


def _tiles(before: Summary | None, after: Summary, summary: Summary) -> str:
    """The few numbers that a run is about."""
    tiles = []
    for level in levels_of(after):
        lines = [f"accuracy, {level}"]
        if f"{level}_accuracy_low" in after:
            low, high = (100 * after[f"{level}_accuracy_{end}"] for end in ("low", "high"))
            lines.append(f"95 % interval {low:.1f} to {high:.1f}")
        if before is not None and f"{level}_accuracy" in before:
            tied = before.get(f"{level}_ties") == 1
            lines.append(
                "before: all tied" if tied else f"before: {percent(before[f'{level}_accuracy'])}"
            )
        tiles.append((level, percent(after[f"{level}_accuracy"]), lines))
    if "perplexity" in after:
        lines = ["perplexity, held out"]
        if "perplexity_low" in after:
            ends = (after[f"perplexity_{end}"] for end in ("low", "high"))
            lines.append("95 % interval {:.2f} to {:.2f}".format(*ends))
        if before is not None:
            lines.append(f"before: {before['perplexity']:.2f}")
        tiles.append(("base", f"{after['perplexity']:.2f}", lines))
    generation = summary.get("eval", {}).get("generation")
    if generation:
        lines = [
            "instructions kept in its own responses",
            f"before: {percent(generation['instruction_before'])}",
        ]
        if "instruction_difference_low" in generation:
            ends = (
                100 * generation[f"instruction_difference{end}"] for end in ("", "_low", "_high")
            )
            lines.append("difference {:+.1f} [{:+.1f}, {:+.1f}] points".format(*ends))
        tiles.append(("fourth", percent(generation["instruction_after"]), lines))
    items = "".join(
        f'<li class="{kind}"><b>{html.escape(value)}</b>'
        f"{''.join(tag('small', line) for line in lines)}</li>"
        for kind, value, lines in tiles
    )
    return f'<ul class="tiles">{items}</ul>'


def _warnings(after: Summary, summary: Summary, metrics: Sequence[Mapping[str, Any]]) -> str:
    items = "".join(tag("li", text) for text in findings.warnings(summary, after, metrics))
    return f'<ul class="warnings">{items}</ul>' if items else ""


# Sections.

CURVES = (
    "Thin lines are training batches, thick ones their moving average; dots are held-out data (all "
    "of it at both ends, perhaps a part in between). A dot far on the worse side of its line means "
    "overfitting."
)
MARGINS = (
    "What lies to the right of the dashed line is right; the further out, the surer the model is, "
    "also where it is wrong."
)
CALIBRATION = (
    "How often verdicts are right among those of which the model is equally sure, with 95 % "
    "intervals. Dots below the dashed line: surer than it is right. A margin m stands for the "
    "probability sigmoid(m) (Bradley-Terry)."
)


def _grid(found: Sequence[Picture], *, kind: str = "", text: str = "") -> list[str]:
    if not found:
        return []
    figures = "".join(picture.html() for picture in found)
    return [
        *([tag("p", text, "small")] if text else []),
        f'<div class="figures {kind}">{figures}</div>',
    ]


def _accuracy(before: Summary | None, after: Summary) -> list[str]:
    found = [accuracy_by_level(before, after), accuracy_by_k(before, after)]
    return _grid([picture for picture in found if picture is not None])


def _by_length(after: Summary) -> list[str]:
    """Accuracy where length is on the right side and where it is not."""
    cells = [["level", "longer side right", "n", "shorter side right", "n", "r"]]
    for level in levels_of(after):
        if not after.get(f"{level}_longer_count") and not after.get(f"{level}_shorter_count"):
            continue
        row = [level]
        for side in ("longer", "shorter"):
            value = after.get(f"{level}_{side}_accuracy")
            row += ["-" if value is None else percent(value), f"{after[f'{level}_{side}_count']:,}"]
        r = after.get(f"{level}_length_correlation")
        cells.append([*row, "-" if r is None else f"{r:+.2f}"])
    if len(cells) == 1:
        return []
    return [
        table(cells),
        tag(
            "p",
            "Accuracy of the comparisons whose positive side has more tokens, and fewer; both "
            "columns alike: no bias. r: correlation of margin and difference of tokens. Of intra "
            "the lengths are those of prompts; both sides of inter are equally long.",
            "small",
        ),
    ]


def _families(after: Summary, summary: Summary) -> list[str]:
    """Accuracy by family, the worst first, trained and held-out families apart."""
    by_level = {
        level: cells
        for level, cells in after.get("by_family", {}).items()
        if any("low" in cell for cell in cells.values())
    }
    if not by_level:
        return []
    names = list(dict.fromkeys(name for cells in by_level.values() for name in cells))
    trained = _trained_families(summary)
    groups = {
        "trained on": [name for name in names if name in trained],
        "held out: never trained on": [name for name in names if name not in trained],
    }

    def order(name: str) -> float:
        found = [cells[name] for cells in by_level.values() if name in cells]
        total = sum(cell["count"] for cell in found)
        return sum(cell["accuracy"] * cell["count"] for cell in found) / total

    heads = "".join(f'<th colspan="2">{html.escape(level)}</th>' for level in by_level)
    rows = []
    for title, some in groups.items():
        if not some:
            continue
        span = 1 + 2 * len(by_level)
        rows.append(f'<tr class="head"><th colspan="{span}">{title} ({len(some)})</th></tr>')
        for name in sorted(some, key=order):
            cells = "".join(_family_cell(level, by_level[level].get(name)) for level in by_level)
            rows.append(f'<tr><th scope="row">{breakable(name)}</th>{cells}</tr>')
    return [
        tag(
            "p",
            "Accuracy of the comparisons that hold an instruction of the family, with 95 % "
            "intervals on a strip from 0 to 100 %; the dashed line is chance. The worst come "
            "first. With few comparisons the interval says more than the dot.",
            "small",
        ),
        f'<div class="wide"><table class="forest"><thead><tr><th>family</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>",
    ]


def _family_cell(level: str, cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return '<td class="track"></td><td></td>'
    low, high = cell.get("low", cell["accuracy"]), cell.get("high", cell["accuracy"])
    note = (
        f"{percent(cell['accuracy'])}, 95 % interval {100 * low:.1f} to {100 * high:.1f}, "
        f"n = {cell['count']:,}"
    )
    return (
        f'<td class="track">{charts.track(cell["accuracy"], low, high, level, note)}</td>'
        f"<td>{100 * cell['accuracy']:.0f} % <small>n = {cell['count']:,}</small></td>"
    )


def _trained_families(summary: Summary) -> set[str]:
    """Those that the training data has; without it, those that are not kept for evaluation."""
    if summary.get("trained_on"):
        return set(summary["trained_on"])
    made = summary.get("train", {}).get("comparisons", {})
    if isinstance(made, Mapping) and made.get("constraint"):
        return set(made["constraint"])
    return set(constraints.ids(held_out=False))


def _mistakes(worst: Mapping[str, Sequence[mistakes.Mistake]]) -> list[str]:
    found = {level: some for level, some in worst.items() if some}
    if not found:
        return []
    parts = [
        tag(
            "p",
            "The comparisons with the smallest margins, no two of one sample. ✓ and ✗ say whether "
            "the response keeps the instruction.",
            "small",
        )
    ]
    for level, some in found.items():
        parts += [tag("h3", level), tag("p", mistakes.RULES[level], "small")]
        parts += [mistakes.card(mistake) for mistake in some]
    return parts


def _following(
    summary: Summary, before: Sequence[following.Answer], after: Sequence[following.Answer]
) -> list[str]:
    """Instructions kept in responses of the policy's own, and the first of these responses."""
    count = min(EXAMPLES, len(before))
    return [
        table(following.table_cells(summary)),
        *(tag("p", line, kind="small") for line in following.FOOTNOTES),
        tag("h3", "Before and after"),
        tag("p", f"The first {count} of {len(before)} held-out prompts, none left out.", "small"),
        *map(_side_by_side, before[:count], after[:count]),
    ]


def _side_by_side(before: following.Answer, after: following.Answer) -> str:
    question = str(before.probe.messages[-1]["content"])
    rows = "".join(
        f"<tr><td>{mark(old)}</td><td>{mark(new)}</td>"
        f'<td class="wrap">{html.escape(str(asked["text"]))}</td></tr>'
        for asked, old, new in zip(before.probe.constraints, before.kept, after.kept, strict=True)
    )
    sides = "".join(
        f"<div>{tag('h3', title)}{tag('pre', side.response + ('' if side.ended else ' …'))}</div>"
        for title, side in (("before", before), ("after", after))
    )
    return (
        f'<section class="card">{tag("h3", "prompt")}{tag("pre", question)}'
        f'<div class="sides">{sides}</div><table class="marks"><thead><tr><th>before</th>'
        f"<th>after</th><th>instruction</th></tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _counts(summary: Summary) -> list[str]:
    """What was read, kept, cut and dropped, one column a split."""
    columns = {
        title: dict(_flat(summary[name]))
        for name, title in SPLITS.items()
        if isinstance(summary.get(name), Mapping)
    }
    labels = list(dict.fromkeys(label for column in columns.values() for label in column))
    if not labels:
        return []
    rows = [
        [label, *(number(column[label]) if label in column else "" for column in columns.values())]
        for label in labels
    ]
    return [table([["", *columns], *rows])]


def _flat(counts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in counts.items():
        # By constraint there are dozens; the pictures and "All numbers" have them.
        if name in ("constraint", "kept_by", "uninformative"):
            continue
        if isinstance(value, Mapping):
            inside = prefix if name == "encoding" else f"{prefix}{_words(name)}: "
            yield from _flat(value, inside)
        else:
            yield f"{prefix}{_words(name)}", value


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _reproduce(summary: Summary, command: str) -> list[str]:
    parts = [tag("pre", command)]
    if "config" in summary:
        parts.append(details("Config", summary["config"]))
    rest = {name: value for name, value in summary.items() if name != "config"}
    return [*parts, details("All numbers", rest)]


def read_pictures(folder: RunFolder) -> dict[str, Gallery]:
    """The pictures of the report of a finished run.

    Raises:
        UserError: the run has not ended.
    """
    summary = read_json(folder.summary)
    before, after = (summary["eval"].get(side) for side in SIDES)
    found = {"curves": Gallery(curves(read_metrics(folder.metrics), before, after))}
    if "perplexity" in after:
        scored = likelihood.read_scores(folder.eval / "after.jsonl")
        return {**found, "length": Gallery(losses(scored))}
    sides = {which: folder.eval / f"{which}.jsonl" for which in SIDES}
    scores = {
        which: preferences.read_scores(path) for which, path in sides.items() if path.exists()
    }
    accuracy = [accuracy_by_level(before, after), accuracy_by_k(before, after)]
    return {
        **found,
        "accuracy": Gallery(picture for picture in accuracy if picture is not None),
        "margins": Gallery(margins(scores.get("before"), scores["after"])),
        "length": Gallery(length(scores["after"])),
        "calibration": Gallery(calibration(scores["after"])),
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
    write_report(
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
