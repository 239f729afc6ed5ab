"""The sample: what synthesis writes and training reads.

    {"id": "...",
     "prompts": [{"messages": [{"role", "content"}, ...],
                  "constraints": [{"id", "params", "text", "margins": [2.0, -5.0]}, ...]}, ...],
     "responses": ["chosen", "rejected"],
     "comparisons": [{"level": "inter", "prompt": [1, 1, 0, 0], "response": [0, 1, 0, 1],
                      "sign": [1, -1, -1, 1], "gamma": 0.0, "k": 3}, ...],
     "synthesis": {"mode", "seed", "families", "wordings"}}

Prompt 0 is the pair's own. A comparison is the sum of sign * r(prompt, response) over its terms,
which should exceed gamma; k is the number of instructions behind it, 0 for `base`. The margins of a
constraint are the distances of the two responses to its threshold, >= 0 where it is kept.
`synthesis` tells which families and wordings the instructions were drawn from.
"""

import dataclasses
import functools
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mapl_jax import constraints
from mapl_jax.data.places import ids_on_disk
from mapl_jax.data.readers import _Bad, _entries, _object, _parse_json, read_records
from mapl_jax.data.records import Message, Pairs, _encodable, _is_finite, _prompt
from mapl_jax.runtime.errors import UserError


def is_samples(path: str | os.PathLike[str]) -> bool:
    """Whether the source holds synthesized samples; False means raw pairs."""
    first = next(iter(read_records(path)), None)
    return first is not None and "comparisons" in first


def read_samples(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads synthesized samples and checks every one against the schema.

    Args:
        path: any source that `read_pairs` takes.

    Returns:
        The samples as plain dicts: id, prompts, responses, comparisons.

    Raises:
        UserError: the source cannot be read, is empty, or a sample breaks the schema.
    """
    return list(iter_samples(path))


def iter_samples(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """`read_samples` one by one: memory does not grow with the data."""
    with ids_on_disk() as places:
        for where, value in _entries(path):
            try:
                sample = check_sample(_object(value))
                if sample["id"] in places:
                    raise _Bad("repeated id", f"id {sample['id']!r} repeats {places[sample['id']]}")
            except (_Bad, ValueError) as bad:
                raise UserError(f"{where}: {bad}; synthesize the samples anew") from None
            places[sample["id"]] = where
            yield sample
        if not len(places):
            raise UserError(f"{path} holds no samples; synthesize them with mapl_jax.synthesize")


def check_sample(sample: dict[str, Any]) -> dict[str, Any]:
    """Checks one sample and returns it.

    Parameters that are None are left out: Parquet gives every constraint all others' fields.

    Raises:
        ValueError: says which part breaks the schema.
    """
    for key in ("id", "prompts", "responses", "comparisons"):
        if key not in sample:
            raise ValueError(f"sample without {key!r}")
    if not isinstance(sample["id"], str) or not sample["id"]:
        raise ValueError("id must be a non-empty string")
    _encodable(sample["id"], "id")
    responses = _list(sample["responses"], "responses")
    if len(responses) != 2 or not all(isinstance(text, str) and text.strip() for text in responses):
        raise ValueError("responses must be two non-empty strings")
    for text in responses:
        _encodable(text, "a response")
    prompts = []
    for number, prompt in enumerate(_list(sample["prompts"], "prompts")):
        if not isinstance(prompt, dict) or not isinstance(prompt.get("constraints"), list):
            raise ValueError(f"prompt {number} must be an object with messages and constraints")
        try:
            messages = _prompt(prompt.get("messages"))
            found = [_constraint(item) for item in prompt["constraints"]]
        except (_Bad, ValueError) as error:
            raise ValueError(f"prompt {number}: {error}") from None
        prompts.append({"messages": messages, "constraints": found})
    for number, comparison in enumerate(_list(sample["comparisons"], "comparisons")):
        problem = _comparison_problem(comparison, len(prompts))
        if problem:
            raise ValueError(f"comparison {number}: {problem}")
    return {**sample, "prompts": prompts}


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a non-empty list")
    return value


def _constraint(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict) or not all(isinstance(item.get(k), str) for k in ("id", "text")):
        raise ValueError("a constraint needs id and text")
    params = item.get("params")
    if isinstance(params, str):
        # Parquet has one type a column, so parameters stand there as JSON.
        params = _parse_json(params.encode("utf-8", "replace"))
    if not isinstance(params, dict):
        raise ValueError(f"params of {item['id']!r} must be an object")
    params = {key: value for key, value in params.items() if value is not None}
    constraints.validate(item["id"], params)
    return {**item, "params": params}


@functools.cache
def level_names() -> tuple[str, ...]:
    """Names of the levels, in the order of their numbers."""
    # It brings JAX, which synthesis does without.
    from mapl_jax.losses import LEVELS

    return LEVELS


def _comparison_problem(comparison: Any, prompts: int) -> str | None:
    """What is wrong with a comparison, or None."""
    if not isinstance(comparison, dict):
        return "must be an object"
    if comparison.get("level") not in level_names():
        return f"level must be one of {', '.join(level_names())}, not {comparison.get('level')!r}"
    columns: list[Any] = [comparison.get(key) for key in ("prompt", "response", "sign")]
    if not all(isinstance(column, list) for column in columns):
        return "prompt, response and sign must be lists"
    if len({len(column) for column in columns}) != 1 or len(columns[0]) not in (2, 4):
        return "prompt, response and sign must have one length, 2 or 4"
    if not all(type(value) is int for column in columns for value in column):
        return "prompt, response and sign must be integers"
    for name, column, size in zip(("prompt", "response"), columns, (prompts, 2), strict=False):
        if not all(0 <= value < size for value in column):
            return f"a {name} index is out of range"
    if sorted(columns[2]) != sorted([-1, 1] * (len(columns[2]) // 2)):
        return "signs must be as many +1 as -1"
    if not _is_finite(comparison.get("gamma")):
        return "gamma must be a finite number"
    added = comparison.get("k", 0)
    if type(added) is not int or not 0 <= added < 2**31:
        return "k must be a whole number of 0 or more"
    weights: Counter[tuple[int, int]] = Counter()
    for prompt, response, sign in zip(*columns, strict=True):
        weights[prompt, response] += sign
    if not any(weights.values()):
        return "it compares leaves with themselves; what is + in it is - as well"
    return None


@dataclasses.dataclass(frozen=True)
class Split:
    """Samples of one split.

    Attributes:
        paths: files of the samples, in the schema of `mapl_jax.data.samples`.
        fingerprint: names their content.
        counts: what was read, synthesized and dropped.
    """

    paths: tuple[Path, ...]
    fingerprint: str
    counts: dict[str, Any]

    def samples(self) -> Iterator[Mapping[str, Any]]:
        """Reads the samples."""
        for path in self.paths:
            with path.open("rb") as lines:
                for line in lines:
                    yield json.loads(line)


def load_samples(name: str, cache_dir: str | os.PathLike[str]) -> Split:
    """Samples that were synthesized before."""
    return keep_samples(read_samples(name), cache_dir)


def given_samples(records: Iterable[Any]) -> list[dict[str, Any]]:
    """Samples that are in memory, checked as those of a file are.

    Raises:
        UserError: one breaks the schema.
    """
    checked = []
    for number, record in enumerate(records, 1):
        try:
            checked.append(check_sample(record))
        except ValueError as error:
            raise UserError(f"record {number}: {error}") from None
    return checked


def _is_sample(record: Any) -> bool:
    return isinstance(record, Mapping) and "prompts" in record and "comparisons" in record


def base_only(pairs: Pairs, cache_dir: str | os.PathLike[str]) -> Split:
    """Samples with the base comparison alone."""
    samples = [
        {
            "id": pair["id"],
            "prompts": [{"messages": pair["prompt"], "constraints": []}],
            "responses": [pair["chosen"], pair["rejected"]],
            "comparisons": [
                {
                    "level": "base",
                    "prompt": [0, 0],
                    "response": [0, 1],
                    "sign": [1, -1],
                    "gamma": pair["margin"],
                    "k": 0,
                }
            ],
        }
        for pair in pairs.records
    ]
    split = keep_samples(samples, cache_dir)
    counts = {"pairs_read": pairs.read, "pairs_dropped": dict(pairs.dropped), **split.counts}
    return dataclasses.replace(split, counts=counts)


def keep_samples(samples: Iterable[Mapping[str, Any]], cache_dir: str | os.PathLike[str]) -> Split:
    """Samples that were made before, in the one form that is read later."""
    folder = Path(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    digest, count = hashlib.blake2b(digest_size=12), 0
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".given-", delete=False) as part:
        try:
            for sample in samples:
                line = json.dumps(sample, ensure_ascii=False, sort_keys=True).encode() + b"\n"
                part.write(line)
                digest.update(line)
                count += 1
            part.flush()
            os.fsync(part.fileno())
            path = folder / f"given-{digest.hexdigest()}.jsonl"
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise
    return Split((path,), digest.hexdigest(), {"samples_read": count})


def _demonstration(name: str, prompt: Mapping[str, Any], response: str) -> dict[str, Any]:
    return {
        "id": name,
        "prompts": [{"messages": prompt["messages"], "constraints": prompt.get("constraints", [])}],
        "responses": [response],
        "comparisons": [],
    }


@dataclasses.dataclass(frozen=True)
class Constraint:
    """One instruction of a prompt: which check, with what parameters, in what words.

    `margins` holds the distance of either response to the threshold, in the family's own unit.
    """

    id: str
    params: dict[str, Any]
    text: str
    margins: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Prompt:
    """Messages that end with a user's turn, and the instructions written into that turn."""

    messages: tuple[Message, ...]
    constraints: tuple[Constraint, ...] = ()


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A signed sum of rewards that should exceed gamma."""

    level: str
    prompt: tuple[int, ...]
    response: tuple[int, ...]
    sign: tuple[int, ...]
    gamma: float = 0.0
    k: int = 0


@dataclasses.dataclass(frozen=True)
class Sample:
    """Prompts, the two responses (chosen first), and the comparisons between their leaves.

    `synthesis` names the choices behind the instructions (see `Settings.record`).
    """

    id: str
    prompts: tuple[Prompt, ...]
    responses: tuple[str, str]
    comparisons: tuple[Comparison, ...]
    synthesis: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def leaves(self) -> list[tuple[int, int]]:
        """Every (prompt, response) that some comparison uses, without repeats."""
        terms = (
            leaf
            for entry in self.comparisons
            for leaf in zip(entry.prompt, entry.response, strict=True)
        )
        return list(dict.fromkeys(terms))


def base(gamma: float) -> Comparison:
    """r(x, y_w) - r(x, y_l): the pair itself."""
    return Comparison("base", prompt=(0, 0), response=(0, 1), sign=(1, -1), gamma=gamma)


def to_json(sample: Sample) -> dict[str, Any]:
    """The sample as plain dicts and lists, as written to disk."""
    return {
        "id": sample.id,
        "prompts": [
            {
                "messages": [dict(message) for message in prompt.messages],
                "constraints": [
                    {
                        "id": entry.id,
                        "params": entry.params,
                        "text": entry.text,
                        "margins": list(entry.margins),
                    }
                    for entry in prompt.constraints
                ],
            }
            for prompt in sample.prompts
        ],
        "responses": list(sample.responses),
        "comparisons": [
            {
                "level": entry.level,
                "prompt": list(entry.prompt),
                "response": list(entry.response),
                "sign": list(entry.sign),
                "gamma": entry.gamma,
                "k": entry.k,
            }
            for entry in sample.comparisons
        ],
        "synthesis": dict(sample.synthesis),
    }


def from_json(record: dict[str, Any]) -> Sample:
    """The inverse of `to_json`, for a record straight from disk.

    Raises:
        ValueError: the record breaks the schema.
    """
    record = check_sample(record)
    return Sample(
        id=record["id"],
        prompts=tuple(
            Prompt(
                messages=tuple(prompt["messages"]),
                constraints=tuple(
                    Constraint(entry["id"], entry["params"], entry["text"], tuple(entry["margins"]))
                    for entry in prompt["constraints"]
                ),
            )
            for prompt in record["prompts"]
        ),
        responses=(record["responses"][0], record["responses"][1]),
        comparisons=tuple(
            Comparison(
                level=entry["level"],
                prompt=tuple(entry["prompt"]),
                response=tuple(entry["response"]),
                sign=tuple(entry["sign"]),
                gamma=float(entry["gamma"]),
                k=entry.get("k", 0),
            )
            for entry in record["comparisons"]
        ),
        synthesis=record.get("synthesis", {}),
    )
