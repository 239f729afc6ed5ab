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
from collections.abc import Mapping
from typing import Any

from mapl_jax.data.sources import Message, check_sample


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
