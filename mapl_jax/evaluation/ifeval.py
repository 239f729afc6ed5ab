"""IFEval's scores: prompts with instructions in its own form, and a model's responses.

Per prompt, all instructions must be followed; per instruction, each counts by itself; both under
the strict and the loose reading (arXiv 2311.07911, section 2). A prompt may have several responses,
its samples: scores are then means over them, what one response may be expected to follow.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapl_jax import constraints
from mapl_jax.data.readers import BadRecord, as_object, read_entries
from mapl_jax.evaluation import statistics
from mapl_jax.evaluation.sampler import SamplerSettings
from mapl_jax.runtime.console import text_table
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import check_target, write_lines
from mapl_jax.runtime.settings import setting

MODES = ("strict", "loose")
FIELDS = tuple(f"{name}_{mode}" for name in ("prompt", "instruction") for mode in MODES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IfevalSettings(SamplerSettings):
    """What a config says of IFEval's scores, and of the policy that answers."""

    prompts: str = setting("", "JSONL with key, prompt, instruction_id_list, kwargs")
    responses: str = setting(
        "", "JSONL with prompt, response; several to a prompt are its samples; empty: checkpoint"
    )
    selector: str = setting(
        "", "a reward model that chooses among the samples of a prompt; empty: none"
    )
    output: str = setting("", "JSONL of verdicts; empty: print only")
    resamples: int = setting(1000, "resamples of the bootstrap", least=0)


@dataclasses.dataclass(frozen=True)
class Followed:
    """What a response followed.

    Attributes:
        key: of the prompt.
        strict: one verdict an instruction.
        loose: the same under the loose reading.
    """

    key: object
    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


def read_lines(path: str | os.PathLike[str], needed: Sequence[str]) -> list[dict[str, Any]]:
    """Records of any source of data that all have the fields needed.

    Raises:
        UserError: the source cannot be read, or a record is bad; names the record.
    """
    records = []
    for where, value in read_entries(path):
        try:
            record = as_object(value)
        except BadRecord as bad:
            raise UserError(f"{where}: {bad}") from None
        if not isinstance(record.get("prompt", ""), str):
            raise UserError(f"{where}: prompt must be text")
        missing = [name for name in needed if name not in record]
        if missing:
            raise UserError(f"{where}: has no {', '.join(missing)}")
        records.append(record)
    if not records:
        raise UserError(f"{path} holds no records")
    return records


def read_prompts(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Prompts with key, prompt, instruction_id_list and kwargs.

    Raises:
        UserError: the file is bad.
    """
    return read_lines(path, ("key", "prompt", "instruction_id_list", "kwargs"))


def read_responses(path: str | os.PathLike[str]) -> dict[str, list[Any]]:
    """The responses to each prompt, by its text, from lines with prompt and response.

    Raises:
        UserError: the file is bad.
    """
    found: dict[str, list[Any]] = {}
    for record in read_lines(path, ("prompt", "response")):
        found.setdefault(_name(record), []).append(record["response"])
    return found


def matched(
    prompts: Sequence[dict[str, Any]], responses: Mapping[str, list[Any]], path: str
) -> tuple[list[dict[str, Any]], list[list[Any]], list[Any]]:
    """Prompts that have responses, these, and the keys of the other prompts.

    The published responses of GPT-4 lack one of 541.

    Args:
        prompts: as `read_prompts` gives them.
        responses: as `read_responses` gives them.
        path: of the responses, for the message.

    Raises:
        UserError: no prompt has a response.
    """
    known = [record for record in prompts if _name(record) in responses]
    if not known:
        raise UserError(f"{path} has no response to any of the prompts")
    missing = [record["key"] for record in prompts if _name(record) not in responses]
    return known, [responses[_name(record)] for record in known], missing


def judge(
    prompts: Sequence[dict[str, Any]], responses: Sequence[Sequence[Any]], path: str
) -> list[list[Followed]]:
    """Verdicts on every response to every prompt.

    Args:
        prompts: as `read_prompts` gives them.
        responses: to each prompt.
        path: of the prompts, for messages.

    Raises:
        UserError: a response is no text, or an instruction cannot be judged.
    """
    return [
        [_judge(record, response, path) for response in samples]
        for record, samples in zip(prompts, responses, strict=True)
    ]


def picked(samples: Sequence[Sequence[Followed]], choice: Sequence[int]) -> list[list[Followed]]:
    """One sample of each prompt."""
    return [[some[index]] for some, index in zip(samples, choice, strict=True)]


def best(samples: Sequence[Sequence[Followed]]) -> list[list[Followed]]:
    """Of each prompt the sample that follows most, under either reading: no choice does better."""
    return [
        [Followed(some[0].key, *(max((getattr(x, m) for x in some), key=sum) for m in MODES))]
        for some in samples
    ]


def _name(record: Mapping[str, Any]) -> str:
    return str(record["prompt"]).strip()


def _judge(record: dict[str, Any], response: Any, path: str) -> Followed:
    place = f"{path}, key {record['key']}"
    ids, arguments = record["instruction_id_list"], record["kwargs"]
    if not isinstance(response, str):
        raise UserError(f"{place}: the response is no text")
    if not isinstance(ids, list) or not isinstance(arguments, list) or len(ids) != len(arguments):
        raise UserError(f"{place}: instruction_id_list and kwargs must be lists of one length")
    verdicts = []
    for mode in MODES:
        try:
            verdicts.append(
                tuple(
                    constraints.verdict(id, kwargs, record["prompt"], response, mode)
                    for id, kwargs in zip(ids, arguments, strict=True)
                )
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{place}: {error}") from None
    return Followed(record["key"], *verdicts)


def summarize(
    samples: Sequence[Sequence[Followed]], *, seed: int, resamples: int
) -> dict[str, Any]:
    """The four accuracies, `{prompt,instruction}_{strict,loose}`, with 95 % intervals.

    Of all prompts, and under `by_count` of those with one instruction, two, and so on. Intervals
    are percentiles of the bootstrap over prompts, for instructions too, because the instructions of
    a prompt are judged on one response.

    Args:
        samples: verdicts on the responses to each prompt.
        seed: of the bootstrap.
        resamples: of the bootstrap; 0 for no intervals.
    """
    by_count: dict[int, list[Sequence[Followed]]] = {}
    for some in samples:
        by_count.setdefault(len(some[0].strict), []).append(some)
    parts = {str(n): _accuracies(by_count[n], seed, resamples) for n in sorted(by_count)}
    return {**_accuracies(samples, seed, resamples), "by_count": parts}


def _accuracies(
    samples: Sequence[Sequence[Followed]], seed: int, resamples: int
) -> dict[str, float]:
    counts = np.asarray([len(some[0].strict) for some in samples], np.float64)
    found: dict[str, float] = {"prompts": len(samples), "instructions": int(counts.sum())}
    for mode in MODES:
        verdicts = [[getattr(entry, mode) for entry in some] for some in samples]
        kept = np.asarray([np.mean([sum(entry) for entry in some]) for some in verdicts])
        every = np.asarray([np.mean([all(entry) for entry in some]) for some in verdicts])
        for name, part, whole in (
            ("prompt", every, np.ones(len(samples))),
            ("instruction", kept, counts),
        ):
            field = f"{name}_{mode}"
            found |= statistics.shares({field: part}, whole, seed=seed, resamples=resamples)
    return found


def write(
    path: str | os.PathLike[str],
    samples: Sequence[Sequence[Followed]],
    rewards: Sequence[Sequence[float]] | None = None,
) -> None:
    """Writes one JSON line a response, under IFEval's field names, whole or not at all.

    Args:
        path: of the file.
        samples: verdicts on the responses to each prompt.
        rewards: of the same responses, if a reward model judged them.
    """
    lines = []
    for number, some in enumerate(samples):
        for index, entry in enumerate(some):
            line = {
                "key": entry.key,
                "follow_instruction_list_strict": list(entry.strict),
                "follow_instruction_list_loose": list(entry.loose),
            }
            if len(some) > 1:
                line["sample"] = index
            if rewards is not None:
                line["reward"] = rewards[number][index]
            lines.append(line)
    write_lines(check_target(path), lines)


def table(summary: dict[str, Any]) -> str:
    """The accuracies for people: of all prompts, and by the number of their instructions."""
    lines = [f"{summary['prompts']} prompts, {summary['instructions']} instructions", ""]
    lines += [f"{_title(field):<22}{_cell(summary, field)}" for field in FIELDS]
    cells = [["instructions of a prompt", "prompts", *map(_title, FIELDS)]]
    for count, part in summary["by_count"].items():
        cells.append([count, str(part["prompts"]), *(_cell(part, field) for field in FIELDS)])
    return "\n".join([*lines, "", text_table(cells, [])])


def choice_table(summaries: Mapping[str, dict[str, Any]]) -> str:
    """Ways to choose one of several responses, side by side.

    Args:
        summaries: name of the way -> what `summarize` says.
    """
    cells = [["", *map(_title, FIELDS)]]
    for name, summary in summaries.items():
        cells.append([name, *(_cell(summary, field) for field in FIELDS)])
    first = next(iter(summaries.values()))
    by_count = [[f"{_title(FIELDS[0])}, by instructions of a prompt", "prompts", *summaries]]
    for count, part in first["by_count"].items():
        parts = [summary["by_count"][count] for summary in summaries.values()]
        by_count.append([count, str(part["prompts"]), *(_cell(x, FIELDS[0]) for x in parts)])
    count = f"{first['prompts']} prompts, {first['instructions']} instructions"
    return "\n".join([count, "", text_table(cells, []), "", text_table(by_count, [])])


def _title(field: str) -> str:
    return field.replace("_", ", ")


def _cell(summary: Mapping[str, Any], field: str) -> str:
    text = f"{summary[field]:7.1%}"
    if f"{field}_low" in summary:
        text += f"  [{summary[f'{field}_low']:.1%}, {summary[f'{field}_high']:.1%}]"
    return text
