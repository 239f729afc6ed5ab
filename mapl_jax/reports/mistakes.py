"""The samples that a model gets most wrong, ready to be shown."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from mapl_jax import constraints
from mapl_jax.data.samples import Constraint, Sample, response_name
from mapl_jax.evaluation import likelihood
from mapl_jax.evaluation.preferences import Scored
from mapl_jax.losses import LEVELS

SHOWN = 4  # of a level
LETTERS = ("x", "x′", "x″", "x‴")
RULES = {
    "base": "The chosen response should have the higher reward.",
    "intra": "One response to two prompts. The reward should be higher with the first prompt, "
    "whose instructions it follows.",
    "inter": "The chosen response should lead by more with the first prompt than with the second.",
}


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction of a prompt, and whether each response keeps it; None: unknown."""

    text: str
    id: str
    kept: Sequence[bool | None]


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt of a comparison: its name, the reward of each response, and its instructions."""

    name: str
    rewards: Sequence[str]
    instructions: Sequence[Instruction]


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A comparison with a margin of 0 or less."""

    id: str
    level: str
    title: str
    prompt: str
    responses: Sequence[tuple[str, str]]
    prompts: Sequence[Prompt]


@dataclasses.dataclass(frozen=True)
class Unlikely:
    """A demonstration to which a policy gives a low probability."""

    id: str
    title: str
    prompt: str
    response: str


def worst(scored: Scored, samples: Iterable[Sample]) -> dict[str, list[Mistake]]:
    """The worst comparisons of each level that has mistakes, no two of one sample.

    A comparison whose sample is missing is left out.
    """
    chosen: dict[str, list[int]] = {}
    taken: set[str] = set()
    for level in LEVELS:
        wrong = [i for i in scored.of(level).tolist() if scored.margin[i] <= 0]
        chosen[level] = []
        for i in sorted(wrong, key=lambda i: (scored.margin[i], scored.sample_id[i])):
            if scored.sample_id[i] not in taken and len(chosen[level]) < SHOWN:
                chosen[level].append(i)
                taken.add(scored.sample_id[i])
    by_id = _named(samples, taken)
    of_level = {
        level: [
            _mistake(scored, i, by_id[name])
            for i in members
            if (name := scored.sample_id[i]) in by_id
        ]
        for level, members in chosen.items()
    }
    return {level: mistakes for level, mistakes in of_level.items() if mistakes}


def unlikely(scored: likelihood.Scored, samples: Iterable[Sample]) -> list[Unlikely]:
    """The demonstrations with the highest loss per token."""
    loss = -scored.logp / np.maximum(scored.tokens, 1)
    order = np.argsort(-loss, kind="stable")[:SHOWN]
    by_id = _named(samples, {scored.sample_id[i] for i in order})
    return [
        Unlikely(
            name,
            f"loss {loss[i]:.3f} a token, {scored.tokens[i]:,} tokens",
            _conversation(by_id[name]),
            by_id[name]["responses"][0],
        )
        for i in order
        if (name := scored.sample_id[i]) in by_id
    ]


def _named(samples: Iterable[Sample], ids: set[str]) -> dict[str, Sample]:
    return {name: sample for sample in samples if (name := str(sample["id"])) in ids}


def _mistake(scored: Scored, i: int, sample: Sample) -> Mistake:
    terms = scored.terms[i]
    responses = sorted({term[1] for term in terms})
    rewards = {(prompt, response): reward for prompt, response, _, reward in terms}
    prompts = [
        Prompt(
            LETTERS[prompt] if prompt < len(LETTERS) else f"x{prompt}",
            [f"{rewards[prompt, response]:+.3f}" for response in responses],
            [
                Instruction(
                    str(entry["text"]),
                    str(entry["id"]),
                    [_verdict(entry, sample["responses"][response]) for response in responses],
                )
                for entry in sample["prompts"][prompt].get("constraints", ())
            ],
        )
        for prompt in dict.fromkeys(term[0] for term in terms)
    ]
    return Mistake(
        str(sample["id"]),
        scored.level[i],
        f"{scored.level[i]}, margin {scored.margin[i]:+.3f}",
        _conversation(sample),
        [(response_name(n, len(sample["responses"])), sample["responses"][n]) for n in responses],
        prompts,
    )


def _verdict(entry: Constraint, response: str) -> bool | None:
    try:
        return constraints.check(entry["id"], entry["params"], response)
    except (KeyError, TypeError, ValueError):
        return None  # samples of others may hold instructions that only they can check


def _conversation(sample: Sample) -> str:
    """The prompt of a sample without instructions."""
    messages = sample["prompts"][0]["messages"]
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
