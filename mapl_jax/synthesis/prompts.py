"""Writing instructions into a prompt, where and how people write them (`placement`)."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from mapl_jax import constraints
from mapl_jax.constraints.wording import ANSWERS, EACH_ANSWER, pick
from mapl_jax.data.messages import Message
from mapl_jax.data.samples import Constraint, Prompt
from mapl_jax.synthesis.draw import Item
from mapl_jax.synthesis.placement import SYSTEM, TURNS, can_weave, draw_style
from mapl_jax.synthesis.settings import Settings


class _Choices:
    """Random numbers that can be had again from the first on, so that sets are worded alike."""

    def __init__(self, rng: constraints.Random):
        self._rng = rng
        self._drawn: list[float] = []
        self._next = 0

    def again(self) -> None:
        self._next = 0

    def random(self) -> float:
        if self._next == len(self._drawn):
            self._drawn.append(self._rng.random())
        self._next += 1
        return self._drawn[self._next - 1]


def write_instructions(
    messages: Sequence[Message],
    twins: Sequence[Sequence[Item]],
    responses: tuple[str, str],
    rng: np.random.Generator,
    settings: Settings,
) -> list[Prompt]:
    """Writes sets of instructions into a prompt, each set giving one new prompt.

    The sets get the same place and style and, family by family, the same wording, as far as their
    arguments allow: prompts that are set side by side differ in what they ask and in nothing else.

    Args:
        messages: the original prompt; its last turn is the user's.
        twins: sets of instructions with the same families in the same order.
        responses: of the pair; the margins recorded are theirs.
        rng: decides place, style and wordings.
        settings: how often which place and form are used, and which wordings.

    Returns:
        One prompt for each set.
    """
    held_out = settings.wordings == "held_out"
    count = len(twins[0])
    shares = settings.shares
    ready = [
        [constraints.known(constraints.family_of(id), params) for id, params in items]
        for items in twins
    ]
    if any(one.demands.of_a_topic for one in itertools.chain.from_iterable(ready)):
        # Words to use are of what is asked last; before that they would speak of nothing.
        shares = {place: 0.0 if place in (SYSTEM, TURNS) else s for place, s in shares.items()}
    style = draw_style(
        messages, count, shares, settings.lists, settings.woven, rng, held_out=held_out
    )
    # In a system message "the answer" would be one that is there already.
    answer = pick(ANSWERS[:3] if style.place == SYSTEM else ANSWERS, rng)
    # "The response" would be one of them only.
    to_come = count if style.standing else style.earlier[0]
    # People ask for the first thing politely and state the others; in a list they state them all,
    # as they do where something introduces them.
    stated = style.is_list or style.woven or style.lead or style.place in (SYSTEM, TURNS)
    polite = 0 if not stated and rng.random() < 0.5 else -1
    written: list[list[Constraint]] = [[] for _ in twins]
    for place, entries in enumerate(zip(*ready, strict=True)):
        choices = _Choices(rng)
        named = EACH_ANSWER if place < to_come else answer
        for one, made in zip(entries, written, strict=True):
            choices.again()
            family, params = one.family, one.params
            text = family.write(params, choices, held_out, place != polite, named)
            margins = one.margins(responses)
            made.append(Constraint(id=family.id, params=params, text=text, margins=margins))
    texts = [[entry["text"] for entry in made] for made in written]
    if not all(map(can_weave, texts)):
        style = dataclasses.replace(style, woven=False)
    return [
        Prompt(messages=style.put(messages, text), constraints=made)
        for text, made in zip(texts, written, strict=True)
    ]
