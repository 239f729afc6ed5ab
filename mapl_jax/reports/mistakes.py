"""The comparisons that a model gets most wrong, as one reads them."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mapl_jax import constraints
from mapl_jax.evaluation import likelihood
from mapl_jax.evaluation.preferences import Scored
from mapl_jax.losses import LEVELS
from mapl_jax.reports.pages import escape, mark, tag

SHOWN = 4  # of a level
_LONGEST = 1500  # characters shown of a text
NAMES = ("chosen", "rejected")
LETTERS = ("x", "x′", "x″", "x‴")
RULES = {
    "base": "The chosen response should have the higher reward.",
    "intra": "One response, two prompts: it keeps the instructions of the first better.",
    "inter": "The instructions of the first prompt should move the gap between the responses.",
}


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A comparison with a margin of 0 or less, and the sample that it belongs to."""

    level: str
    margin: float
    terms: Sequence[tuple[int, int, int, float]]
    sample: Mapping[str, Any]


def worst(scored: Scored, samples: Iterable[Mapping[str, Any]]) -> dict[str, list[Mistake]]:
    """The worst comparisons of each level, no two of one sample.

    Args:
        scored: all comparisons.
        samples: that they come from, in the schema of `mapl_jax.data.samples`; a comparison
            whose sample is not among them is left out.
    """
    chosen: dict[str, list[int]] = {}
    taken: set[str] = set()
    for level in LEVELS:
        wrong = [i for i, name in enumerate(scored.level) if name == level]
        wrong = [i for i in wrong if scored.margin[i] <= 0]
        picked: list[int] = []
        for i in sorted(wrong, key=lambda i: (scored.margin[i], scored.sample_id[i])):
            if scored.sample_id[i] not in taken and len(picked) < SHOWN:
                picked.append(i)
                taken.add(scored.sample_id[i])
        chosen[level] = picked
    known = {name: sample for sample in samples if (name := str(sample["id"])) in taken}
    return {
        level: [
            Mistake(
                level,
                float(scored.margin[i]),
                scored.terms[i],
                known[scored.sample_id[i]],
            )
            for i in picked
            if scored.sample_id[i] in known
        ]
        for level, picked in chosen.items()
        if picked
    }


def card(mistake: Mistake) -> str:
    """A mistake: texts, rewards, and the instructions ticked and crossed for each response."""
    sample = mistake.sample
    prompts = list(dict.fromkeys(term[0] for term in mistake.terms))
    responses = sorted({term[1] for term in mistake.terms})
    rewards = {(term[0], term[1]): term[3] for term in mistake.terms}
    title = f"{mistake.level}, margin {mistake.margin:+.3f}"
    sides = "".join(
        f"<div>{tag('h4', _name(index))}{_text(sample['responses'][index])}</div>"
        for index in responses
    )
    if len(responses) > 1:
        sides = f'<div class="sides">{sides}</div>'
    return (
        f'<section class="card {mistake.level}"><h3>{escape(title)} '
        f"<small>{escape(str(sample['id']))}</small></h3>"
        f"{tag('h4', 'prompt')}{_text(_conversation(sample['prompts'][0]['messages']))}"
        f"{sides}{_marks(sample, prompts, responses, rewards)}</section>"
    )


def _marks(
    sample: Mapping[str, Any],
    prompts: Sequence[int],
    responses: Sequence[int],
    rewards: Mapping[tuple[int, int], float],
) -> str:
    """Rewards of each prompt with each response, and under it its instructions."""
    rows = []
    for prompt in prompts:
        asked = sample["prompts"][prompt].get("constraints", ())
        values = "".join(f"<td>{rewards[prompt, index]:+.3f}</td>" for index in responses)
        name = LETTERS[prompt] if prompt < len(LETTERS) else f"x{prompt}"
        what = "with instructions" if asked else "the bare prompt"
        rows.append(f"<tr>{values}<td><b>reward with {name}</b>, {what}</td></tr>")
        for entry in asked:
            verdicts = "".join(
                f"<td>{_verdict(entry, sample['responses'][index])}</td>" for index in responses
            )
            rows.append(
                f'<tr>{verdicts}<td class="wrap">{escape(str(entry["text"]))} '
                f"<small>{escape(str(entry['id']))}</small></td></tr>"
            )
    head = "".join(tag("th", _name(index)) for index in responses)
    return (
        f'<table class="marks"><thead><tr>{head}<th></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _verdict(entry: Mapping[str, Any], response: str) -> str:
    try:
        return mark(constraints.check(entry["id"], entry["params"], response))
    except (KeyError, TypeError, ValueError):
        # Samples of others may hold instructions that only they can check.
        return '<b class="note" title="not known here">?</b>'


def _name(index: int) -> str:
    return NAMES[index] if index < len(NAMES) else f"response {index}"


def _conversation(messages: Sequence[Mapping[str, Any]]) -> str:
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _text(text: str) -> str:
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters)"
    return tag("pre", cut)


def worst_responses(scored: likelihood.Scored, samples: Iterable[Mapping[str, Any]]) -> list[str]:
    """Cards of the demonstrations that a model finds least likely, by token."""
    loss = -scored.logp / np.maximum(scored.tokens, 1)
    order = np.argsort(-loss, kind="stable")[:SHOWN]
    wanted = {scored.sample_id[i] for i in order}
    known = {name: sample for sample in samples if (name := str(sample["id"])) in wanted}
    return [
        f'<section class="card"><h3>loss {loss[i]:.3f} a token, {scored.tokens[i]:,} tokens '
        f"<small>{escape(scored.sample_id[i])}</small></h3>{tag('h4', 'prompt')}"
        f"{_text(_conversation(known[scored.sample_id[i]]['prompts'][0]['messages']))}"
        f"{tag('h4', 'response')}{_text(known[scored.sample_id[i]]['responses'][0])}</section>"
        for i in order
        if scored.sample_id[i] in known
    ]
