"""Judges: whatever gives responses numbers, by which one is chosen or a policy is trained.

A judge takes conversations and the responses to each, and gives a number for every response: a
reward model, the verifiers of the instructions in the prompts, or a function of one's own.
"""

import functools
import itertools
import math
import reprlib
from collections.abc import Callable, Sequence

from jax.sharding import Mesh

from mapl_jax import constraints
from mapl_jax.constraints.registry import Item
from mapl_jax.data.messages import Message
from mapl_jax.evaluation.rewards import rewards
from mapl_jax.kernels.compute import Compute
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import restore
from mapl_jax.training.restore import Model, loaded

Judge = Callable[[Sequence[Sequence[Message]], Sequence[Sequence[str]]], list[list[float]]]


def share_kept(items: Sequence[Item], response: str) -> float:
    """The share of instructions that a response keeps; 0 of none."""
    return sum(constraints.check(*item, response) for item in items) / max(len(items), 1)


def instructions_in(messages: Sequence[Message]) -> list[Item]:
    """The instructions that a conversation asks for, in the package's wordings or plain ones."""
    asked = (message["content"] for message in messages if message["role"] != "assistant")
    return [item for text in asked for item in constraints.read(text)]


def instructions(
    conversations: Sequence[Sequence[Message]], responses: Sequence[Sequence[str]]
) -> list[list[float]]:
    """The share of the instructions in its prompt that a response keeps."""
    asked = map(instructions_in, conversations)
    return [
        [share_kept(items, text) for text in texts]
        for items, texts in zip(asked, responses, strict=True)
    ]


JUDGES: dict[str, Judge] = {"instructions": instructions}


def register(name: str, judge: Judge) -> None:
    """Adds a judge under a name, or replaces one that was added.

    Raises:
        ValueError: the name is one of the package's.

    Examples:
        >>> from mapl_jax.evaluation import judges
        >>> judges.register("short", lambda _, responses: [[-len(x) for x in y] for y in responses])
        >>> judges.judge_of("short")([[]], [["No.", "Not at all."]])
        [[-3.0, -11.0]]
        >>> judges.unregister("short")
    """
    if name == "instructions":
        raise ValueError(f"{name} is a judge of mapl_jax; give yours another name")
    if not name or not callable(judge):
        raise ValueError(f"{judge!r} as {name!r}: give a function and a name")
    JUDGES[name] = judge


def unregister(name: str) -> None:
    """Takes a judge away that was added."""
    if name != "instructions":
        JUDGES.pop(name, None)


def _numbers_of(judge: Judge) -> Judge:
    """A user's judge, checked to give a finite number for every response."""

    def checked(
        conversations: Sequence[Sequence[Message]], responses: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        values = judge(conversations, responses)
        try:
            numbers = [[float(x) for x in group] for group in values]
        except (TypeError, ValueError, OverflowError):
            numbers = []
        counts = [len(texts) for texts in responses]
        finite = all(map(math.isfinite, itertools.chain(*numbers)))
        if [len(group) for group in numbers] != counts or not finite:
            raise UserError(
                f"the judge {getattr(judge, '__name__', judge)} must give a finite number for "
                f"every response, {counts}, not {reprlib.repr(values)}"
            )
        return numbers

    return checked


def judge_of(
    model: Model | Judge,
    *,
    mesh: Mesh | None = None,
    rows_per_batch: int = 8,
    compute: Compute = Compute(),
    max_length: int = 0,
) -> Judge:
    """A judge by its name, or what a reward model or a function says.

    A model is loaded on the mesh; None spreads it over all devices. `max_length` is the longest
    prompt and response that it reads, tokens; 0 is that of its run.
    """
    if isinstance(model, str) and model in JUDGES:
        return _numbers_of(JUDGES[model])
    if callable(model):
        return _numbers_of(model)
    reward_model = (
        restore.load(str(model), mesh) if mesh and isinstance(model, str) else loaded(model)
    )
    reward_model.as_reward_model("this" if isinstance(model, restore.Trained) else model)

    return functools.partial(
        rewards,
        reward_model,
        rows_per_batch=rows_per_batch,
        compute=compute,
        max_length=max_length,
    )
