"""The page of runs side by side."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from mapl_jax.evaluation import compare
from mapl_jax.evaluation.compare import Difference, Key, Run, RunComparison
from mapl_jax.evaluation.differences import disagreements
from mapl_jax.evaluation.preferences import Scored
from mapl_jax.losses import LEVELS
from mapl_jax.reports import charts
from mapl_jax.reports.curves import curves_of_runs
from mapl_jax.reports.families import Strip
from mapl_jax.reports.pages import number, write_page
from mapl_jax.runtime import console
from mapl_jax.runtime.outputs import check_file, page

COLORS = ("base", "intra", "inter", "fourth", "soft")


def compare_runs(
    folders: Sequence[str], output: str | os.PathLike[str], *, seed: int = 0, resamples: int = 1000
) -> str:
    """Compares runs with the first of them, writes the page, and gives the table as text."""
    target = check_file(output, page, folders)
    comparison = compare.compare(folders, seed=seed, resamples=resamples)
    write(target, comparison)
    return str(compare.table(comparison))


@dataclasses.dataclass(frozen=True)
class Forest:
    """Differences of all runs to the first: the end of the strips in points, and named rows."""

    reach: float
    rows: Sequence[tuple[str, Sequence[Strip | None]]]


def write(path: str | os.PathLike[str], comparison: RunComparison) -> None:
    """Writes the page, whole or not at all."""
    first, *others = comparison.runs
    write_page(
        path,
        "comparison.html",
        title=" / ".join(run.name for run in comparison.runs),
        first=first.name,
        others=[run.name for run in others],
        table=compare.table(comparison),
        differences=_by_level(comparison),
        disagreements=_disagreements(comparison),
        curves=curves_of_runs(
            [
                (run.name, COLORS[i % len(COLORS)], run.metrics, run.after)
                for i, run in enumerate(comparison.runs)
            ]
        ),
        families=_by_family(comparison),
        configs=_configs(comparison.runs),
        runs=[_facts(run) for run in comparison.runs],
    )


def _by_level(comparison: RunComparison) -> Forest | None:
    """Differences of accuracy by level and by number of instructions."""
    names = {}
    for level in LEVELS:
        for key in comparison.keys(level):
            if key[1] == "accuracy":
                names[key] = level
            elif key[1].startswith("k:"):
                count = int(key[1].removeprefix("k:"))
                names[key] = f"{level}, {console.counted(count, 'instructions')}"
    return _forest(comparison, names)


def _by_family(comparison: RunComparison) -> dict[str, Forest]:
    """Differences of accuracy by family, for each level that has some, the worst first."""
    forests = {}
    for level in LEVELS:
        keys = [key for key in comparison.keys(level) if key[1].startswith("family:")]
        first = comparison.differences[0]
        keys.sort(key=lambda key: first[key].value if key in first else 0.0)
        forest = _forest(comparison, {key: key[1].removeprefix("family:") for key in keys})
        if forest:
            forests[level] = forest
    return forests


def _forest(comparison: RunComparison, names: Mapping[Key, str]) -> Forest | None:
    """A strip a difference, zero in the middle."""
    shown = [(x[key], key) for x in comparison.differences for key in names if key in x]
    shown = [(x, key) for x, key in shown if math.isfinite(x.low)]
    if not shown:
        return None
    # The widest intervals, of few comparisons, are cut; otherwise all else would look like nothing.
    # Those of whole levels are not.
    ends = [max(abs(x.low), abs(x.high)) for x, _ in shown]
    whole = [
        end if key[1] == "accuracy" else abs(x.value)
        for end, (x, key) in zip(ends, shown, strict=True)
    ]
    reach = max(0.03, min(max(ends), 2 * float(np.median(ends))), *whole)
    rows = [
        (name, [_strip(x.get(key), i + 1, reach) for i, x in enumerate(comparison.differences)])
        for key, name in names.items()
    ]
    return Forest(100 * reach, [row for row in rows if any(row[1])])


def _strip(difference: Difference | None, index: int, reach: float) -> Strip | None:
    if difference is None or not math.isfinite(difference.low):
        return None
    ends = (difference.value, difference.low, difference.high)
    value, low, high = (0.5 + 0.5 * end / reach for end in ends)
    count = " and ".join(f"{n:,}" for n in dict.fromkeys(difference.count))
    note = f"{compare.difference_text(difference, True)} points, n = {count}"
    strip = charts.track(value, low, high, COLORS[index % len(COLORS)], note)
    return Strip(strip, f"{100 * difference.value:+.1f}", f"n = {count}")


def _disagreements(comparison: RunComparison) -> list[list[str]]:
    """How many of the same comparisons only one of two runs gets right."""
    first, *others = comparison.runs
    rows = []
    for run, differences in zip(others, comparison.differences, strict=True):
        for level in LEVELS:
            accuracy = differences.get((level, "accuracy"))
            if accuracy is None or not accuracy.paired:
                continue
            assert isinstance(first.scored, Scored) and isinstance(run.scored, Scored)
            counts = disagreements(first.scored, run.scored, level)
            rows.append([f"{run.name}, {level}", *(f"{count:,}" for count in counts)])
    return [["", f"only {first.name} right", "only the other run right"], *rows] if rows else []


def _configs(runs: Sequence[Run]) -> list[list[str]]:
    """A head and the fields in which configs differ; nothing if a run has none."""
    flat = [_flat(run.config) for run in runs]
    if not all(flat):
        return []
    fields = sorted({field for config in flat for field in config})
    rows = [[field, *(config.get(field, "-") for config in flat)] for field in fields]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    return [["field", *(run.name for run in runs)], *differing]


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        fields: dict[str, str] = {}
        for name, inside in value.items():
            fields |= _flat(inside, f"{prefix}.{name}" if prefix else str(name))
        return fields
    return {prefix: value if isinstance(value, str) else json.dumps(value)}


def _facts(run: Run) -> dict[str, str]:
    told = run.summary
    config = run.config if isinstance(run.config, Mapping) else {}
    facts = [run.path]
    facts += [f"{number(told[name])} {name}" for name in ("parameters", "steps") if name in told]
    facts += [f"seed {config['seed']}"] if "seed" in config else []
    facts += [f"{name} {told[name]}" for name in ("version", "commit", "date") if name in told]
    facts += [str(told["device"])] if "device" in told else []
    command = str(told.get("command", ""))
    return {"name": run.name, "facts": ", ".join(facts), "command": command}
