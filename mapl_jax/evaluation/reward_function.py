"""Rewards as trainers of policies call them: TRL's `reward_funcs`, Tunix's `reward_fns`."""

import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mapl_jax import constraints as families
from mapl_jax.data.fields import encodable
from mapl_jax.data.messages import Message, Prompt, as_messages, last_asked
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.values import plain
from mapl_jax.evaluation import judges
from mapl_jax.evaluation.judges import Judge
from mapl_jax.kernels.compute import Compute
from mapl_jax.models.initial import compute_in
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import parse_json
from mapl_jax.training.restore import Model

RewardFunction = Callable[..., list[float]]
Completion = str | Sequence[Mapping[str, str]]
PROMPT = "prompt"
IFEVAL = "instruction_id_list"
# What keeping instructions is worth where the reward is above the gate, and where it is not.
ABOVE, BELOW = 1.0, -0.5


@checked(rows_per_batch=(1, 2**20))
def reward_function(
    model: Model | Judge | None = None,
    *,
    constraints: str = "",
    gate: float | None = None,
    rows_per_batch: int = 8,
    dtype: str = "float32",
) -> RewardFunction:
    """A reward for TRL's `GRPOTrainer(reward_funcs=...)` and Tunix's `GRPOLearner(reward_fns=...)`.

    With a model alone it is the model's reward; with constraints alone the share of the
    instructions that a completion keeps. With both it is gated (arXiv 2507.02833): where any is
    kept, the share plus 1 if the reward is above the gate, and minus a half if it is not. A prompt
    without instructions counts as kept, with a share of 0.

    Args:
        model: a reward model, where one lies, or a judge (`mapl_jax.evaluation.judges`).
        constraints: where instructions stand: "prompt", in the prompts themselves, in the
            package's wordings or plain ones; or the column of the data set that lists them with
            `id` and `params`, as samples do, also as JSON; `instruction_id_list`, beside
            `kwargs`, is IFEval's and judged by its rules. Empty: there are none.
        gate: the level of the reward, with a model and constraints.
        rows_per_batch: rows of tokens at once, of a reward model.
        dtype: of the reward model's computation, "float32" or "bfloat16".

    Returns:
        From `prompts`, `completions` (texts or lists of messages) and columns to the rewards.

    Raises:
        UserError: there is no reward model, or the arguments do not go together.

    Examples:
        >>> import mapl_jax
        >>> reward = mapl_jax.reward_function(constraints="prompt")
        >>> reward(prompts=["Hi! Use at least one comma."] * 2, completions=["Hello.", "Well, hi."])
        [0.0, 1.0]
        >>> def brief(conversations, responses):
        ...     return [[-len(text) for text in texts] for texts in responses]
        >>> reward = mapl_jax.reward_function(brief, constraints="prompt", gate=-8)
        >>> reward(prompts=["Use at least one comma."] * 2, completions=["Oh, hi.", "Oh, hello."])
        [2.0, 0.5]
    """
    if model is None and not constraints:
        raise UserError("give a model, constraints or both")
    if (gate is None) == bool(model is not None and constraints):
        raise UserError(
            "gate goes with a model and constraints together; give all three, or no gate"
        )
    judge = None
    if model is not None:
        compute: Compute = compute_in(dtype)
        judge = judges.judge_of(model, rows_per_batch=rows_per_batch, compute=compute)

    def reward(
        prompts: Sequence[Prompt], completions: Sequence[Completion], **columns: Sequence[object]
    ) -> list[float]:
        return _rewards(judge, constraints, gate, prompts, completions, columns)

    reward.__name__ = "mapl_reward"
    return reward


def _rewards(
    judge: Judge | None,
    constraints: str,
    gate: float | None,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    columns: Mapping[str, Sequence[object]],
) -> list[float]:
    """What `reward_function` gives; see there."""
    used = columns.keys() & {constraints, "kwargs"}
    given = {"prompts": prompts, "completions": completions, **{x: columns[x] for x in used}}
    for name, values in given.items():
        if isinstance(values, str | Mapping) or not hasattr(values, "__len__"):
            raise UserError(f"{name} is {reprlib.repr(values)}; it must be a list")
        if len(values) != len(prompts):
            raise UserError(f"{len(prompts)} prompts, but {len(values)} {name}")
    conversations = [as_messages(x, f"prompt {number}") for number, x in enumerate(prompts, 1)]
    texts = [_text(each, f"completion {number}") for number, each in enumerate(completions, 1)]
    scores = _grouped(judge, conversations, texts) if judge else []
    if not constraints:
        return scores
    shares = [
        _share(constraints, messages, text, {name: columns[name][place] for name in used})
        for place, (messages, text) in enumerate(zip(conversations, texts, strict=True))
    ]
    if gate is None:
        return [share or 0.0 for share in shares]
    return [
        share if share == 0 else (share or 0.0) + (ABOVE if score > gate else BELOW)
        for share, score in zip(shares, scores, strict=True)
    ]


def _text(completion: Completion, name: str) -> str:
    """The text of a completion, which may be empty."""
    last = completion[-1] if isinstance(completion, list | tuple) and completion else completion
    text = last.get("content") if isinstance(last, Mapping) else last
    if not isinstance(text, str):
        shown = reprlib.repr(completion)
        raise UserError(f"{name} is {shown}; it must be text or a list of messages")
    try:
        return encodable(text, name)
    except BadRecord as bad:
        raise UserError(str(bad)) from None


def _grouped(
    judge: Judge, conversations: Sequence[Sequence[Message]], texts: Sequence[str]
) -> list[float]:
    """What a judge says of each text; those of one conversation are given together."""
    places: dict[str, list[int]] = {}
    for place, messages in enumerate(conversations):
        places.setdefault(json.dumps(messages), []).append(place)
    groups = list(places.values())
    said = judge(
        [conversations[group[0]] for group in groups],
        [[texts[place] for place in group] for group in groups],
    )
    known = {
        place: float(value)
        for group, values in zip(groups, said, strict=True)
        for place, value in zip(group, values, strict=True)
    }
    return [known[place] for place in range(len(texts))]


def _share(
    source: str, messages: Sequence[Message], text: str, row: Mapping[str, object]
) -> float | None:
    """The share of the instructions that a text keeps; None where there are none."""
    if source == PROMPT:
        items = judges.instructions_in(messages)
        return judges.share_kept(items, text) if items else None
    if source not in row:
        raise UserError(f'the data has no column {source!r}; constraints is "prompt" or a column')
    given = row[source]
    try:
        listed = _list(given)
        if source == IFEVAL:
            prompt = last_asked(messages)
            verdicts = [
                families.verdict(id, arguments, prompt, text)
                for id, arguments in zip(listed, _list(row["kwargs"]), strict=True)
            ]
        else:
            # A data set fills parameters that others have with None.
            verdicts = [
                families.check(
                    item["id"], {k: v for k, v in item["params"].items() if v is not None}, text
                )
                for item in listed
            ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"column {source!r}: no instructions in {given!r}: {error}") from None
    return sum(verdicts) / len(verdicts) if verdicts else None


def _list(value: object) -> list[Any]:
    """A list that may stand as JSON, as an array or as nothing."""
    values = parse_json(value) if isinstance(value, str) else plain(value) or []
    if not isinstance(values, list):
        raise ValueError("it is no list")
    return values
