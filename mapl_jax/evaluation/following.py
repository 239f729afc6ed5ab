"""How many of its instructions a policy keeps in responses of its own.

Held-out prompts with instructions are answered greedily, and every instruction is checked by its
family. A prompt counts as kept if all of its instructions are.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mapl_jax import constraints
from mapl_jax.data.messages import Message
from mapl_jax.data.samples import Constraint, Sample
from mapl_jax.evaluation import statistics
from mapl_jax.evaluation.statistics import Summary
from mapl_jax.evaluation.thinking import without_thinking
from mapl_jax.runtime.console import Table, counted
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import read_lines, write_lines

FOOTNOTES = (
    "Greedy responses to held-out prompts; a prompt is kept if all of its instructions are.",
)


@dataclasses.dataclass(frozen=True)
class Probe:
    """A prompt to answer: its messages, and its instructions (id, params, text)."""

    id: str
    messages: Sequence[Message]
    constraints: Sequence[Constraint]


@dataclasses.dataclass(frozen=True)
class Answer:
    """A response, whether it came to an end of turn, and which of the instructions it keeps."""

    probe: Probe
    response: str
    ended: bool
    kept: tuple[bool, ...]


def probes(samples: Iterable[Sample], count: int) -> list[Probe]:
    """Prompts with instructions from held-out samples: one of each, then another of each.

    A hash of the sample's id says with which of its prompts to begin: data may have an order, and
    what is asked for should be what chosen and what rejected responses keep, equally often.
    """
    rounds: list[list[Probe]] = []
    for sample in samples:
        first = hashlib.blake2b(str(sample["id"]).encode(), digest_size=1).digest()[0]
        prompts = [prompt for prompt in sample["prompts"] if prompt.get("constraints")]
        for turn in range(len(prompts)):
            prompt = prompts[(first + turn) % len(prompts)]
            if turn == len(rounds):
                rounds.append([])
            rounds[turn].append(Probe(str(sample["id"]), prompt["messages"], prompt["constraints"]))
    if not rounds:
        raise UserError(
            "eval.generate: no held-out prompt has instructions; set it to 0, or (configs/sft.py) "
            "--config.data.instructions=True"
        )
    return [probe for turn in rounds for probe in turn][:count]


def judge(probe: Probe, response: str, ended: bool) -> Answer:
    """The verdicts on a response; reasoning before its answer is not judged, and no answer is kept
    for nothing.
    """
    answer, _ = without_thinking(response)
    kept = tuple(
        bool(answer.strip()) and constraints.check(c["id"], c["params"], answer)
        for c in probe.constraints
    )
    return Answer(probe, response, ended, kept)


def write(path: str | os.PathLike[str], answers: Sequence[Answer]) -> None:
    """Writes one JSON line an answer, whole or not at all."""
    write_lines(path, (dataclasses.asdict(answer) for answer in answers))


def read(path: str | os.PathLike[str]) -> list[Answer]:
    """Reads what `write` wrote."""

    def make(record: Mapping[str, Any]) -> Answer:
        probe, kept = Probe(**record["probe"]), tuple(map(bool, record["kept"]))
        return Answer(probe, str(record["response"]), bool(record["ended"]), kept)

    return read_lines(path, make)


def summarize(
    before: Sequence[Answer], after: Sequence[Answer], *, seed: int, resamples: int
) -> Summary:
    """Shares of prompts and of instructions kept, before and after, and how they differ.

    Intervals (95 %) are percentiles of the bootstrap over prompts; that of a difference draws the
    same prompts for both sides. `by_count` holds the same by number of instructions.
    """
    counts = [len(answer.kept) for answer in before]
    parts = {}
    for k in sorted(set(counts)):
        sides = [
            [x for x, n in zip(side, counts, strict=True) if n == k] for side in (before, after)
        ]
        parts[str(k)] = _shares(*sides, seed=seed, resamples=resamples)
    return {
        **_shares(before, after, seed=seed, resamples=resamples),
        "ended_before": float(np.mean([answer.ended for answer in before])),
        "ended_after": float(np.mean([answer.ended for answer in after])),
        "by_count": parts,
    }


def _shares(
    before: Sequence[Answer], after: Sequence[Answer], *, seed: int, resamples: int
) -> dict[str, float]:
    count = np.asarray([len(answer.kept) for answer in before], np.float64)
    shares: dict[str, float] = {"prompts": len(before), "instructions": int(count.sum())}
    for name, value, whole in (("prompt", all, np.ones(len(before))), ("instruction", sum, count)):
        one, other = (
            np.asarray([value(answer.kept) for answer in side], np.float64)
            for side in (before, after)
        )
        parts = {f"{name}_before": one, f"{name}_after": other, f"{name}_difference": other - one}
        shares |= statistics.shares(parts, whole, seed=seed, resamples=resamples)
    return shares


def table(summary: Summary) -> Table:
    """A summary as a table."""
    rows = [["kept", "of", "before", "after", "difference [95 % interval]"]]
    for kind in ("prompt", "instruction"):
        parts = [(f"{kind}s", summary)]
        for count, part in summary["by_count"].items():
            asked = counted(int(count), "instructions")
            with_count = f"with {asked}" if kind == "prompt" else f"{count} a prompt"
            parts.append((f"{kind}s, {with_count}", part))
        for name, part in parts:
            sides = (f"{100 * part[f'{kind}_{side}']:.1f} %" for side in ("before", "after"))
            difference = statistics.with_interval(
                part, f"{kind}_difference", "+.1f", scale=100, unit=" %"
            )
            rows.append([name, str(part[f"{kind}s"]), *sides, difference])
    return Table(rows, FOOTNOTES)
