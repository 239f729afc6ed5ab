"""IFEval's scores: prompts with instructions in its own form, and a model's responses.

Per prompt, all instructions must be followed; per instruction, each counts by itself; both under
the strict and the loose reading (arXiv 2311.07911, section 2). A prompt may have several responses,
its samples: scores are then means over them, what one response may be expected to follow.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from mapl_jax import constraints
from mapl_jax.data.settings import ON_ERROR
from mapl_jax.evaluation import statistics
from mapl_jax.evaluation.ifeval_files import Task
from mapl_jax.evaluation.sampler import SamplerSettings
from mapl_jax.evaluation.statistics import Summary, percent_with_interval
from mapl_jax.runtime import outputs
from mapl_jax.runtime.console import Table
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import write_lines
from mapl_jax.runtime.settings import setting

MODES = ("strict", "loose")
# The mark of a file of verdicts, for `runtime.outputs`.
VERDICTS = outputs.lines("key", *(f"follow_instruction_list_{mode}" for mode in MODES))
FIELDS = tuple(f"{name}_{mode}" for name in ("prompt", "instruction") for mode in MODES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IfevalSettings(SamplerSettings):
    """What a config says of IFEval's scores, and of the policy that answers."""

    prompts: str = setting(
        "", "records with key, prompt, instruction_id_list and kwargs; empty: those in responses"
    )
    responses: str = setting(
        "",
        "records with prompt and response (several for a prompt are samples), or samples files of "
        "lm-evaluation-harness; empty: checkpoint answers",
    )
    on_error: str = setting(
        "raise",
        'what to do with a prompt that cannot be judged: "raise" an error or "skip" it',
        choices=ON_ERROR,
    )
    selector: str = setting(
        "",
        "reward model, or name of a judge, that chooses among the samples of a prompt; empty: none",
    )
    max_length: int = setting(
        0,
        "longest prompt and response that the selector reads, in tokens; longer ones are "
        "truncated from the left; 0: as in its run",
        least=0,
        most=10**6,
    )
    output: str = setting("", "JSONL file for the verdicts; empty: print only")
    resamples: int = setting(1000, "number of bootstrap resamples", least=0, most=10**6)


@dataclasses.dataclass(frozen=True)
class Followed:
    """What a response followed: a verdict an instruction, under both readings."""

    key: object
    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


def judge(tasks: Sequence[Task], responses: Sequence[Sequence[str]]) -> list[list[Followed]]:
    """Verdicts on every response to every prompt, without their reasoning."""
    return [
        [_judge(task, response) for response in samples]
        for task, samples in zip(tasks, responses, strict=True)
    ]


def picked(samples: Sequence[Sequence[Followed]], choice: Sequence[int]) -> list[list[Followed]]:
    """One sample of each prompt."""
    return [[entries[index]] for entries, index in zip(samples, choice, strict=True)]


def best(samples: Sequence[Sequence[Followed]]) -> list[list[Followed]]:
    """Of each prompt the sample that follows most, under either reading: no choice does better."""
    return [
        [Followed(entries[0].key, *(max((getattr(x, m) for x in entries), key=sum) for m in MODES))]
        for entries in samples
    ]


def _judge(task: Task, response: str) -> Followed:
    instructions = list(zip(task.ids, task.kwargs, strict=True))
    try:
        strict, loose = (
            tuple(
                constraints.verdict(id, kwargs, task.text, response, mode)
                for id, kwargs in instructions
            )
            for mode in MODES
        )
    except ValueError as error:
        raise UserError(f"key {task.key}: {error}") from None
    return Followed(task.key, strict, loose)


def summarize(samples: Sequence[Sequence[Followed]], *, seed: int, resamples: int) -> Summary:
    """The four accuracies, `{prompt,instruction}_{strict,loose}`, with 95 % intervals.

    Of all prompts, and under `by_count` of those with one instruction, two, and so on. Intervals
    are percentiles of the bootstrap over prompts, for instructions too, because the instructions of
    a prompt are judged on one response.
    """
    by_count: dict[int, list[Sequence[Followed]]] = {}
    for entries in samples:
        by_count.setdefault(len(entries[0].strict), []).append(entries)
    parts = {str(n): _accuracies(by_count[n], seed, resamples) for n in sorted(by_count)}
    return {**_accuracies(samples, seed, resamples), "by_count": parts}


def _accuracies(
    samples: Sequence[Sequence[Followed]], seed: int, resamples: int
) -> dict[str, float]:
    counts = np.asarray([len(entries[0].strict) for entries in samples], np.float64)
    accuracies: dict[str, float] = {"prompts": len(samples), "instructions": int(counts.sum())}
    for mode in MODES:
        verdicts = [[getattr(entry, mode) for entry in entries] for entries in samples]
        kept = np.asarray([np.mean([sum(entry) for entry in entries]) for entries in verdicts])
        every = np.asarray([np.mean([all(entry) for entry in entries]) for entries in verdicts])
        for name, part, whole in (
            ("prompt", every, np.ones(len(samples))),
            ("instruction", kept, counts),
        ):
            field = f"{name}_{mode}"
            accuracies |= statistics.shares({field: part}, whole, seed=seed, resamples=resamples)
    return accuracies


def write(
    path: str | os.PathLike[str],
    samples: Sequence[Sequence[Followed]],
    rewards: Sequence[Sequence[float]] | None = None,
) -> None:
    """Writes one JSON line a response, under IFEval's field names, whole or not at all."""
    lines = []
    for number, entries in enumerate(samples):
        for index, entry in enumerate(entries):
            line = {
                "key": entry.key,
                "follow_instruction_list_strict": list(entry.strict),
                "follow_instruction_list_loose": list(entry.loose),
            }
            if len(entries) > 1:
                line["sample"] = index
            if rewards is not None:
                line["reward"] = rewards[number][index]
            lines.append(line)
    write_lines(path, lines)


def table(summary: Summary) -> str:
    """The accuracies for people: of all prompts, and by the number of their instructions."""
    lines = [f"{summary['prompts']} prompts, {summary['instructions']} instructions", ""]
    lines += [f"{_title(field):<22}{percent_with_interval(summary, field)}" for field in FIELDS]
    cells = [["instructions of a prompt", "prompts", *map(_title, FIELDS)]]
    for count, part in summary["by_count"].items():
        cells.append(
            [count, str(part["prompts"]), *(percent_with_interval(part, field) for field in FIELDS)]
        )
    return "\n".join([*lines, "", str(Table(cells))])


def choice_table(summaries: Mapping[str, Summary]) -> str:
    """Ways to choose one of several responses, by name, side by side."""
    cells = [["", *map(_title, FIELDS)]]
    for name, summary in summaries.items():
        cells.append([name, *(percent_with_interval(summary, field) for field in FIELDS)])
    first = next(iter(summaries.values()))
    by_count = [[f"{_title(FIELDS[0])}, by instructions of a prompt", "prompts", *summaries]]
    for count, part in first["by_count"].items():
        parts = [summary["by_count"][count] for summary in summaries.values()]
        by_count.append(
            [count, str(part["prompts"]), *(percent_with_interval(x, FIELDS[0]) for x in parts)]
        )
    count = f"{first['prompts']} prompts, {first['instructions']} instructions"
    return "\n".join([count, "", str(Table(cells)), "", str(Table(by_count))])


def _title(field: str) -> str:
    return field.replace("_", ", ")
