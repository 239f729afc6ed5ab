"""How many of its instructions a policy keeps in responses of its own.

Held-out prompts with instructions are answered greedily, and every instruction is checked by its
family. A prompt counts as kept if all of its instructions are.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapl_jax import constraints
from mapl_jax.errors import UserError
from mapl_jax.evaluation.tables import text_table
from mapl_jax.files import write_lines

FOOTNOTES = (
    "kept: all instructions of a prompt, or each by itself, in greedy responses to held-out "
    "prompts; difference: of the same prompts.",
)


@dataclasses.dataclass(frozen=True)
class Probe:
    """A prompt to answer: its messages, and its instructions (id, params, text)."""

    id: str
    messages: Sequence[Mapping[str, str]]
    constraints: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Answer:
    """A response, and which of the instructions it keeps.

    Attributes:
        probe: what it answers.
        response: its text.
        ended: whether it came to an end of turn.
        kept: one verdict an instruction.
    """

    probe: Probe
    response: str
    ended: bool
    kept: tuple[bool, ...]


def probes(samples: Iterable[Mapping[str, Any]], count: int) -> list[Probe]:
    """Prompts with instructions from held-out samples, one of each sample until there are enough.

    Of the prompts of a sample, those of both responses are taken in turn, so that what is asked for
    is what a chosen and what a rejected response kept equally often.

    Raises:
        UserError: no prompt has instructions.
    """
    found: list[Probe] = []
    for sample in samples:
        if len(found) == count:
            break
        some = [prompt for prompt in sample["prompts"] if prompt.get("constraints")]
        if some:
            prompt = some[len(found) % len(some)]
            found.append(Probe(str(sample["id"]), prompt["messages"], prompt["constraints"]))
    if not found:
        raise UserError(
            "eval.generate: no held-out prompt has instructions; set it to 0, or (configs/sft.py) "
            "--config.data.instructions=True"
        )
    return found


def judge(probe: Probe, response: str, ended: bool) -> Answer:
    """The verdicts on a response."""
    kept = tuple(constraints.check(c["id"], c["params"], response) for c in probe.constraints)
    return Answer(probe, response, ended, kept)


def write(path: str | os.PathLike[str], answers: Sequence[Answer]) -> None:
    """Writes one JSON line an answer, whole or not at all."""
    write_lines(path, (dataclasses.asdict(answer) for answer in answers))


def read(path: str | os.PathLike[str]) -> list[Answer]:
    """Reads what `write` wrote."""
    with Path(path).open("rb") as lines:
        records = [json.loads(line) for line in lines]
    return [
        Answer(Probe(**record["probe"]), record["response"], record["ended"], tuple(record["kept"]))
        for record in records
    ]


def summarize(
    before: Sequence[Answer], after: Sequence[Answer], *, seed: int, resamples: int
) -> dict[str, Any]:
    """Shares of prompts and of instructions kept, before and after, and how they differ.

    Intervals (95 %) are percentiles of the bootstrap over prompts; that of a difference draws the
    same prompts for both sides. `by_count` holds the same by number of instructions.

    Args:
        before: answers before training.
        after: answers to the same prompts afterwards.
        seed: of the bootstrap.
        resamples: of the bootstrap; 0 for no intervals.
    """
    counts = np.asarray([len(answer.kept) for answer in before])
    parts = {
        str(k): _summarize(before, after, np.flatnonzero(counts == k), seed, resamples)
        for k in sorted(set(counts.tolist()))
    }
    whole = _summarize(before, after, np.arange(len(before)), seed, resamples)
    return {
        **whole,
        "ended_before": float(np.mean([answer.ended for answer in before])),
        "ended_after": float(np.mean([answer.ended for answer in after])),
        "by_count": parts,
    }


def _summarize(
    before: Sequence[Answer],
    after: Sequence[Answer],
    members: np.ndarray,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    sides = {"before": [before[i] for i in members], "after": [after[i] for i in members]}
    count = np.asarray([len(answer.kept) for answer in sides["before"]], np.float64)
    drawn = np.random.default_rng(seed).integers(len(members), size=(resamples, len(members)))
    summary: dict[str, Any] = {"prompts": len(members), "instructions": int(count.sum())}
    for name, whole in (("prompt", np.ones(len(members))), ("instruction", count)):
        part = {
            side: np.asarray(
                [all(x.kept) if name == "prompt" else sum(x.kept) for x in answers], np.float64
            )
            for side, answers in sides.items()
        }
        part["difference"] = part["after"] - part["before"]
        for side, values in part.items():
            field = f"{name}_{side}"
            summary[field] = float(values.sum() / whole.sum())
            if resamples:
                shares = values[drawn].sum(1) / whole[drawn].sum(1)
                low, high = np.percentile(shares, [2.5, 97.5])
                summary[f"{field}_low"], summary[f"{field}_high"] = float(low), float(high)
    return summary


def table(summary: Mapping[str, Any]) -> str:
    """A summary as a text table."""
    return text_table(table_cells(summary), FOOTNOTES)


def table_cells(summary: Mapping[str, Any]) -> list[list[str]]:
    """The header and the rows of the table, cell by cell."""
    sides = ("before", "after", "difference")
    head = ["instructions of a prompt", "prompts"]
    for name in ("prompt", "instruction"):
        head += [f"{name}s kept before", "after", "difference [95 % interval]"]
    rows = [("all", summary), *summary["by_count"].items()]
    return [
        head,
        *(
            [
                name,
                str(part["prompts"]),
                *(
                    _cell(part, f"{kind}_{side}", signed=side == "difference")
                    for kind in ("prompt", "instruction")
                    for side in sides
                ),
            ]
            for name, part in rows
        ),
    ]


def _cell(summary: Mapping[str, Any], field: str, *, signed: bool) -> str:
    if not signed:
        return f"{100 * summary[field]:.1f} %"
    text = f"{100 * summary[field]:+.1f} %"
    if f"{field}_low" in summary:
        low, high = (100 * summary[f"{field}_{end}"] for end in ("low", "high"))
        text += f" [{low:+.1f}, {high:+.1f}]"
    return text
