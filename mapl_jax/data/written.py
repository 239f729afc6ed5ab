"""Values of a record that were written as text: JSON, or what Python prints."""

import ast
import contextlib
import functools
import json
import re
from typing import cast

from mapl_jax.data.meaning import is_spoken
from mapl_jax.data.parse import BadRecord, named_once

# A list of messages, or one, that was written as text: JSON or the printed form of a data frame.
_WRITTEN = re.compile(
    r"""\s*+(?:array\()?\s*+\[?\s*+\{(?=.*['"](?:role|from)['"]\s*:)(?=.*['"](?:content|value)['"]\s*:)""",
    re.DOTALL,
)


def unwritten(value: object, name: str) -> object:
    """Messages that stand as text, as the list they were; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip()[:2] in ('"[', '"{'):  # written twice
        with contextlib.suppress(ValueError, RecursionError):
            value = str(json.loads(value))
    if not _WRITTEN.match(value):
        return value
    if not value.rstrip().endswith(("]", "}", ")", "...", "\N{HORIZONTAL ELLIPSIS}")):
        return value  # a text about messages, which goes on behind them
    if (found := _read_back(value)) is not None:
        some = found if isinstance(found, list) else [found]
        if bad := next((item for item in some if isinstance(item, BadRecord)), None):
            raise BadRecord(bad.reason, f"{name} {bad}")
        if all(isinstance(item, dict) and is_spoken(item) for item in some):
            return found
        inner = found.get("messages") if isinstance(found, dict) else None
        if isinstance(inner, list) and all(isinstance(x, dict) and is_spoken(x) for x in inner):
            return found
        return value  # JSON that was asked for
    raise BadRecord(
        f"messages as text in {name}",
        f"{name} holds messages as text that cannot be read back; store them as lists",
    )


def listed(value: object) -> object:
    """A list that stands as text, as the list it was; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    found = _read_back(value)
    return found if isinstance(found, list) else value


def until_turn(conversations: object, turn: object) -> object:
    """Conversations up to their answer of a turn, counted from 1; what comes later is left out."""
    if not isinstance(conversations, list) or type(turn) not in (int, float):
        return conversations
    found: list[object] = []
    for conversation in conversations:
        messages = listed(conversation)
        if not isinstance(messages, list):
            return conversations
        answers = [
            number
            for number, message in enumerate(messages, 1)
            if isinstance(message, dict) and message.get("role") == "assistant"
        ]
        last = next((x for count, x in enumerate(answers, 1) if count == turn), len(messages))
        found.append(messages[:last])
    return found


def is_list_of_texts(value: str) -> bool:
    """Whether a text is a list of texts, as JSON or as Python prints it."""
    found = listed(value)
    return isinstance(found, list) and bool(found) and all(isinstance(x, str) for x in found)


def single_turns(values: list[object]) -> list[object]:
    """A prompt and its replies; the only turn of each where all are lists of turns, as text.

    Raises:
        BadRecord: they hold several turns.
    """
    lists = [listed(value) for value in values if isinstance(value, str)]
    turns = [value for value in lists if isinstance(value, list) and value]
    if (
        len(turns) < len(values)
        or len({len(turn) for turn in turns}) > 1
        or not all(isinstance(text, str | None) for turn in turns for text in turn)
    ):
        return values
    if len(turns[0]) > 1:
        raise BadRecord(
            "several turns",
            f"holds lists of {len(turns[0])} turns for the prompt and every reply; "
            "only replies to one prompt are compared",
        )
    return [turn[0] for turn in turns]


def _read_back(text: str) -> object:
    """The value that was written as JSON or printed by Python; None if neither reads it."""
    for read in (functools.partial(json.loads, object_pairs_hook=named_once), ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return cast(object, read(text))
    return None
