"""The report of a run: one HTML file that needs nothing else, and no network.

What one wants to know first comes first: whether it worked, where it fails, whether that is only
length, whether the data is sane.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import jax

from mapl_jax.data import trie_set
from mapl_jax.data.samples import Sample
from mapl_jax.evaluation import evaluator_of, following, likelihood, preferences, stored
from mapl_jax.evaluation.evaluators import kind_of
from mapl_jax.evaluation.statistics import Summary, ends_of, percent, with_interval
from mapl_jax.evaluation.stored import SIDES, digests
from mapl_jax.reports import figures, findings, mistakes
from mapl_jax.reports.charts import Gallery, Picture
from mapl_jax.reports.curves import curves
from mapl_jax.reports.families import by_family
from mapl_jax.reports.findings import SPLITS
from mapl_jax.reports.pages import duration, number, write_page
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.console import say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import shown
from mapl_jax.runtime.provenance import stamp
from mapl_jax.runtime.run_folder import Config, RunFolder
from mapl_jax.training.metrics import read_metrics
from mapl_jax.training.objective import Kind
from mapl_jax.training.restore import Model, Trained

Scored = preferences.Scored | likelihood.Scored


@checked()
def report_pictures(model: Model) -> dict[str, Gallery]:
    """The pictures of a finished run's report; a notebook shows one, or some side by side.

    Args:
        model: from `train_model`, or the folder of a run.

    Returns:
        "curves", and of comparisons "accuracy", "margins", "length" and "calibration".

    Raises:
        UserError: there is no finished run.

    Examples:
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
    folder = model.run if isinstance(model, Trained) else RunFolder(model)
    if folder is None:
        raise UserError("this model comes from no run, so it has no report")
    before, after = (stored.read_summary(folder)["eval"].get(side) for side in SIDES)
    kind = kind_of(after)
    scores = {
        which: stored.read_scores(folder, which, evaluator_of(kind))
        for which in SIDES
        if which == "after" or (folder.eval / f"{which}.jsonl").exists()
    }
    pictures = {"curves": Gallery(curves(read_metrics(folder.metrics), before, after))}
    if kind == "demonstrations":
        return {**pictures, "length": Gallery(figures.losses(scores["after"]))}
    return {
        **pictures,
        "accuracy": Gallery(_accuracy(before, after)),
        "margins": Gallery(figures.margins(scores.get("before"), scores["after"])),
        "length": Gallery(figures.length(scores["after"])),
        "calibration": Gallery(figures.calibration(scores["after"])),
    }


# Of a run's page, to what lies beside it.
LINKS = {
    "model": "model/",
    "config": "config.json",
    "metrics": "metrics.jsonl",
    "scores": "eval/after.jsonl",
    "summary": "summary.json",
}


# Counts of the data, in words where their names are not.
COUNT_NAMES = {
    "pairs_in": "pairs",
    "samples_out": "samples made",
    "all_five": "pairs that gave all five comparisons",
    "families_applied": "families of instructions",
    "dropped": "left out",
    **trie_set.COUNTS,
}
# Groups of counts, as the beginning of their names; others end with a colon.
GROUPS = {
    "encoding": "",
    "records": "records ",
    "comparisons": "comparisons ",
    "level": "of level ",
}


@dataclasses.dataclass(frozen=True)
class Tile:
    """One of the few numbers that a run is about: class of its color, value, and lines below."""

    kind: str
    value: str
    lines: Sequence[str]


def write_report(
    path: str | os.PathLike[str],
    summary: Summary,
    scored: Mapping[str, Scored],
    *,
    metrics: Sequence[Summary] = (),
    device: str = "",
    answers: Sequence[Sequence[following.Answer]] = (),
    samples: Iterable[Sample] = (),
    links: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Writes the report, whole or not at all.

    Args:
        summary: name and command of the run, its evaluations, other facts (parameters, steps,
            seconds, counts), and its config.
        scored: the scores behind the evaluations "before" and "after" training; without those after
            it what shows single comparisons is left out.
        answers: of a policy to the same prompts, before and after training; or none.
        samples: held-out samples, for the texts of mistakes; read once.
        links: names and places, from the page, of what belongs to it.
    """
    before, after = (summary["eval"].get(side) for side in SIDES)
    scored_before, scored_after = (scored.get(side) for side in SIDES)
    kind = kind_of(after)
    table, *lists = evaluator_of(kind).tables(before, after)
    values: dict[str, object] = {
        "curves": curves(metrics, before, after),
        **dict.fromkeys(("accuracy", "families", "margins", "length", "lengths"), ()),
        **dict.fromkeys(("calibration", "mistakes", "unlikely"), ()),
    }
    if kind == "comparisons":
        values |= {"accuracy": _accuracy(before, after), "families": by_family(after, summary)}
    if isinstance(scored_after, preferences.Scored):
        assert not isinstance(scored_before, likelihood.Scored)
        values["margins"] = figures.margins(scored_before, scored_after)
        values["length"] = figures.length(scored_after)
        values["lengths"] = figures.by_length(after)
        values["calibration"] = figures.calibration(scored_after)
        values["mistakes"] = mistakes.worst(scored_after, samples)
    elif scored_after is not None:
        values["length"] = figures.losses(scored_after)
        values["unlikely"] = mistakes.unlikely(scored_after, samples)
    write_page(
        path,
        "run.html",
        title=summary["name"],
        facts=_facts(summary, device),
        tiles=_tiles(before, after, summary),
        warnings=findings.warnings(summary, after, metrics),
        table=table,
        lists=lists[0] if lists else (),
        rules=mistakes.RULES,
        kept=following.table(summary["eval"]["generation"]) if answers else None,
        answers=list(zip(*answers, strict=True)),
        counts=_counts(summary),
        command=summary["command"],
        config=summary.get("config"),
        links=links,
        numbers={name: value for name, value in summary.items() if name != "config"},
        **values,
    )


def _facts(summary: Summary, device: str) -> list[str]:
    facts = []
    if "parameters" in summary:
        facts.append(f"{number(summary['parameters'])} parameters")
    trained = summary.get("trained_parameters")
    if trained is not None and trained != summary.get("parameters"):
        facts.append(f"{number(trained)} trained")
    if "steps" in summary:
        facts.append(f"{number(summary['steps'])} steps")
    if "stopped" in summary:
        facts.append("ended early, after step {step}: {why}".format(**summary["stopped"]))
    if "best" in summary:
        facts.append("best checkpoint by {metric}: step {step}".format(**summary["best"]))
    if "seconds" in summary:
        facts.append(duration(float(summary["seconds"])))
    facts.append(device)
    if "seed" in summary.get("config", {}):
        facts.append(f"seed {summary['config']['seed']}")
    if "version" in summary:
        commit = f", commit {summary['commit']}" if "commit" in summary else ""
        facts.append(f"made {summary['date']} by version {summary['version']}{commit}")
    if "checkpoint" in summary:
        facts.append(f"checkpoint: {summary['checkpoint']}")
    return facts


def _tiles(before: Summary | None, after: Summary, summary: Summary) -> list[Tile]:
    """The few numbers that a run is about."""
    tiles = []
    for level in figures.levels_of(after):
        lines = [f"accuracy, {level}"]
        if ends := ends_of(after, f"{level}_accuracy", 100):
            lines.append("95 % interval {:.1f} to {:.1f}".format(*ends))
        if before is not None and f"{level}_accuracy" in before:
            tied = before.get(f"{level}_ties") == 1
            accuracy = "all tied" if tied else percent(before[f"{level}_accuracy"])
            lines.append(f"before: {accuracy}")
        tiles.append(Tile(level, percent(after[f"{level}_accuracy"]), lines))
    if "perplexity" in after:
        lines = ["perplexity, held out"]
        if ends := ends_of(after, "perplexity"):
            lines.append("95 % interval {:.2f} to {:.2f}".format(*ends))
        if before is not None:
            lines.append(f"before: {before['perplexity']:.2f}")
        tiles.append(Tile("base", f"{after['perplexity']:.2f}", lines))
    generation = summary.get("eval", {}).get("generation")
    if generation:
        lines = [
            "instructions followed in its own responses",
            f"before: {percent(generation['instruction_before'])}",
        ]
        if "instruction_difference_low" in generation:
            change = with_interval(generation, "instruction_difference", "+.1f", scale=100)
            lines.append(f"difference {change} points")
        tiles.append(Tile("fourth", percent(generation["instruction_after"]), lines))
    return tiles


def _accuracy(before: Summary | None, after: Summary) -> list[Picture]:
    pictures = (figures.accuracy_by_level(before, after), figures.accuracy_by_k(before, after))
    return [picture for picture in pictures if picture is not None]


def _counts(summary: Summary) -> list[list[str]]:
    """What was read, made, cut and left out, a column a split."""
    columns = {
        title: dict(_flat(summary[name]))
        for name, title in SPLITS.items()
        if isinstance(summary.get(name), Mapping)
    }
    labels: list[str] = []
    for column in columns.values():
        place = 0
        for label in column:  # one that only this column has comes after its neighbor here
            if label not in labels:
                labels.insert(place, label)
            place = labels.index(label) + 1
    if not labels:
        return []
    rows = [
        [label, *(number(column[label]) if label in column else "" for column in columns.values())]
        for label in labels
    ]
    return [["", *columns], *rows]


def _flat(counts: Summary, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in counts.items():
        # By constraint there are dozens; the pictures and "All numbers" have them.
        if name in ("constraint", "kept_by_chosen", "uninformative"):
            continue
        words = COUNT_NAMES.get(name, str(name).replace("_", " "))
        if name == "k":
            for k, count in value.items():
                yield f"{prefix}with {k} instruction{'s' if int(k) != 1 else ''}", count
        elif isinstance(value, Mapping):
            yield from _flat(value, prefix + GROUPS.get(name, f"{words}: "))
        else:
            yield f"{prefix}{words}", value


def finish(
    folder: RunFolder,
    config: Config,
    facts: Config,
    kind: Kind,
    samples: Callable[[], Iterable[Sample]],
) -> None:
    """Writes summary.json and report.html, and prints the table.

    Args:
        folder: of the run, with the scores before and after training in it.
        facts: the command that started it, and what else is worth keeping: counts, sizes, times.
    """
    if jax.process_index() != 0:
        return
    evaluator, answered = evaluator_of(kind), config["eval"].get("generate", 0) > 0
    resampling = {"seed": config["seed"], "resamples": config["eval"]["resamples"]}
    scored = {which: stored.read_scores(folder, which, evaluator) for which in SIDES}
    sides = {which: evaluator.summarize(values, **resampling) for which, values in scored.items()}
    answers = []
    if answered:
        answers = [stored.read_answers(folder, which) for which in SIDES]
        sides["generation"] = following.summarize(*answers, **resampling)
    held_out = digests(samples())
    summary = {"name": config["name"], **stamp(), **facts, "held_out": held_out, "eval": sides}
    folder.write_summary(summary)
    write_report(
        folder.report,
        {**summary, "config": config},
        scored,
        metrics=read_metrics(folder.metrics),
        device=str(facts["device"]),
        answers=answers,
        samples=samples(),
        links=LINKS,
    )
    say()
    say("\n\n".join(map(str, evaluator.tables(sides["before"], sides["after"]))))
    if answered:
        say()
        say(following.table(sides["generation"]))
    say()
    say(f"report: {shown(folder.report)}")
