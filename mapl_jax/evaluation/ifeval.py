"""IFEval's scores from its own files: prompts with instructions, and a model's responses.

Per prompt, all instructions must be followed; per instruction, each counts by itself; both under
the strict and the loose reading (arXiv 2311.07911, section 2).
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapl_jax import constraints
from mapl_jax.errors import UserError

MODES = ("strict", "loose")


@dataclasses.dataclass(frozen=True)
class Followed:
    """What a response followed.

    Attributes:
        key: of the prompt.
        strict: one verdict an instruction.
        loose: the same under the loose reading.
    """

    key: Any
    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


def read_lines(path: str | os.PathLike[str], needed: Sequence[str]) -> list[dict[str, Any]]:
    """Records of a JSONL file that all have the fields needed.

    Raises:
        UserError: the file cannot be read, or a record is bad; names the record.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{path}, line {number}: no valid JSON; one object a line") from None
        missing = [name for name in needed if not isinstance(record, dict) or name not in record]
        if missing:
            raise UserError(f"{path}, line {number}: has no {', '.join(missing)}")
        records.append(record)
    if not records:
        raise UserError(f"{path} holds no records")
    return records


def score(prompts_path: str, responses_path: str) -> tuple[list[Followed], list[Any]]:
    """Judges every prompt of a file that has a response.

    Args:
        prompts_path: lines with key, prompt, instruction_id_list and kwargs.
        responses_path: lines with prompt and response; found by the prompt's text.

    Returns:
        Verdicts in the order of the prompts, and the keys of prompts without a response: the
        published responses of GPT-4 lack one of 541.

    Raises:
        UserError: a file is bad, no prompt has a response, or an instruction cannot be judged.
    """
    prompts = read_lines(prompts_path, ("key", "prompt", "instruction_id_list", "kwargs"))
    responses = {
        str(record["prompt"]).strip(): record["response"]
        for record in read_lines(responses_path, ("prompt", "response"))
    }
    followed, missing = [], []
    for record in prompts:
        text = str(record["prompt"]).strip()
        if text in responses:
            followed.append(_judge(record, responses[text], prompts_path))
        else:
            missing.append(record["key"])
    if not followed:
        raise UserError(f"{responses_path} has no response to any prompt of {prompts_path}")
    return followed, missing


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


def summarize(followed: Sequence[Followed], *, seed: int, resamples: int) -> dict[str, Any]:
    """The four accuracies, `{prompt,instruction}_{strict,loose}`, with 95 % intervals.

    Intervals are percentiles of the bootstrap over prompts, for instructions too, because the
    instructions of a prompt are judged on one response.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(followed), size=(resamples, len(followed)))
    counts = np.asarray([len(entry.strict) for entry in followed], np.float64)
    summary: dict[str, Any] = {"prompts": len(followed), "instructions": int(counts.sum())}
    for mode in MODES:
        verdicts = [getattr(entry, mode) for entry in followed]
        kept = np.asarray([sum(entry) for entry in verdicts], np.float64)
        every = np.asarray([all(entry) for entry in verdicts], np.float64)
        for name, part, whole in (
            ("prompt", every, np.ones_like(counts)),
            ("instruction", kept, counts),
        ):
            field = f"{name}_{mode}"
            summary[field] = float(part.sum() / whole.sum())
            if resamples:
                values = part[drawn].sum(1) / whole[drawn].sum(1)
                low, high = np.percentile(values, [2.5, 97.5])
                summary[f"{field}_low"], summary[f"{field}_high"] = float(low), float(high)
    return summary


def write(path: str | os.PathLike[str], followed: Sequence[Followed]) -> None:
    """Writes one JSON line a prompt, under IFEval's field names, whole or not at all."""
    target = Path(path).expanduser()
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    lines = [
        json.dumps(
            {
                "key": entry.key,
                "follow_instruction_list_strict": list(entry.strict),
                "follow_instruction_list_loose": list(entry.loose),
            }
        )
        for entry in followed
    ]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {target}: {error.strerror or error}") from None


def table(summary: dict[str, Any]) -> str:
    """The accuracies as a few lines for people."""
    lines = [f"{summary['prompts']} prompts, {summary['instructions']} instructions", ""]
    for name in ("prompt", "instruction"):
        for mode in MODES:
            field = f"{name}_{mode}"
            line = f"{name + ', ' + mode:<22}{summary[field]:7.1%}"
            if f"{field}_low" in summary:
                line += f"  [{summary[f'{field}_low']:.1%}, {summary[f'{field}_high']:.1%}]"
            lines.append(line)
    return "\n".join(lines)
