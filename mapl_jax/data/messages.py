"""Messages: prompts and replies as text, as lists of messages or as dialogues, all in one form.

A prompt is told from its replies by message or by column, never by the characters that two replies
happen to share (TRL's `extract_prompt` turns "yes" and "yes, sir" into the prompt "Q? ye").
"""

import re
from collections.abc import Sequence
from typing import TypedDict

from mapl_jax.data.readers import BadRecord, kind_of

ROLES = ("system", "user", "assistant")

_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


Prompt = str | Sequence[Message]


def as_messages(prompt: Prompt) -> list[Message]:
    """The messages of a prompt."""
    if isinstance(prompt, str):
        return [Message(role="user", content=prompt)]
    return list(prompt)


def encodable(text: str, name: str) -> str:
    """Text that UTF-8 can hold.

    Raises:
        BadRecord: it cannot.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRecord(
            "broken text", f"{name} holds half of a surrogate pair; save it as valid Unicode"
        ) from None
    return text


def text_of(value: object, name: str) -> str:
    """Text with something in it.

    Raises:
        BadRecord: it is no text, or empty.
    """
    if not isinstance(value, str):
        raise BadRecord(f"{name} is not text", f"{name} must be text, not {kind_of(value)}")
    if not value.strip():
        raise BadRecord(f"empty {name}", f"{name} is empty; fill it in or remove the record")
    return encodable(value, name)


def messages_of(value: object, name: str) -> list[Message]:
    """A checked list of messages, of which role and content are kept.

    Raises:
        BadRecord: it is no such list.
    """
    if not isinstance(value, list):
        raise BadRecord(f"bad {name}", f"{name} must be text or messages, not {kind_of(value)}")
    if not value:
        raise BadRecord(
            f"empty {name}", f"{name} is an empty list; fill it in or remove the record"
        )
    messages: list[Message] = []
    for number, item in enumerate(value, 1):
        part = f"message {number} of {name}"
        if not isinstance(item, dict) or "role" not in item or "content" not in item:
            raise BadRecord(f"bad {name}", f'{part} must be an object with "role" and "content"')
        if item["role"] not in ROLES:
            known = ", ".join(ROLES)
            raise BadRecord("unknown role", f"{part} has role {item['role']!r}; known are {known}")
        if item.get("tool_calls"):
            raise BadRecord("tool calls", f"{part} calls tools, which are not supported; remove it")
        try:
            messages.append(Message(role=item["role"], content=text_of(item["content"], "content")))
        except BadRecord as bad:
            raise BadRecord(bad.reason, f"{part}: {bad}") from None
    return messages


def prompt_of(value: object) -> list[Message]:
    """The messages of a prompt, which must end with a user's turn.

    Args:
        value: text, a dialogue in the text form of HH-RLHF, or messages.

    Raises:
        BadRecord: it is none of them.
    """
    if isinstance(value, str):
        text = text_of(value, "prompt")
        if not text.lstrip().startswith("Human:") or "\n\nAssistant:" not in text:
            return [Message(role="user", content=text)]
        messages = _turns(text, "prompt")
        if messages[-1]["role"] == "assistant" and not messages[-1]["content"]:
            messages.pop()  # "\n\nAssistant:" invites the reply.
        messages = messages_of(messages, "prompt")
    else:
        messages = messages_of(value, "prompt")
    if messages[-1]["role"] != "user":
        raise BadRecord(
            "prompt ends with no user turn",
            f"prompt ends with a turn of role {messages[-1]['role']!r}; it must end with a user's",
        )
    return messages


def reply_of(value: object, name: str, prompt: list[Message]) -> str:
    """The text of a reply that stands beside its prompt, repeating that prompt or not.

    Raises:
        BadRecord: it is neither text nor messages that end with the assistant's turn.
    """
    if not isinstance(value, list):
        return text_of(value, name)
    messages = messages_of(value, name)
    if messages[-1]["role"] != "assistant":
        raise BadRecord(f"bad {name}", f"{name} must end with a turn of role 'assistant'")
    if len(messages) > 1 and messages[:-1] != prompt:
        raise BadRecord(
            f"bad {name}",
            f"{name} has {len(messages)} messages that do not begin with the prompt's; "
            "give the last reply only, or leave prompt out",
        )
    return messages[-1]["content"]


def split_conversation(value: object, name: str) -> tuple[list[Message], str]:
    """Prompt and reply of one whole conversation.

    Raises:
        BadRecord: it is none, or lacks one of the two.
    """
    if isinstance(value, str):
        if not text_of(value, name).lstrip().startswith("Human:"):
            raise BadRecord("no prompt", "has no 'prompt'; add a prompt column, or give messages")
        value = _turns(value, name)
    messages = messages_of(value, name)
    if messages[-1]["role"] != "assistant":
        raise BadRecord(f"bad {name}", f"{name} must end with a turn of role 'assistant'")
    if len(messages) == 1:
        raise BadRecord(
            "no prompt", f"{name} holds the assistant's reply alone; add what it answers"
        )
    return prompt_of(messages[:-1]), messages[-1]["content"]


def split_conversations(chosen: object, rejected: object) -> tuple[list[Message], str, str]:
    """Prompt and replies of two whole conversations: their shared leading messages and the rest.

    Raises:
        BadRecord: they are none, or differ in more than the last reply.
    """
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(side, str | list):
            raise BadRecord(
                f"{name} is not text", f"{name} must be text or messages, not {kind_of(side)}"
            )
        if isinstance(side, str):
            text_of(side, name)
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise BadRecord("mixed forms", "one reply is text and the other messages; use one form")
    if isinstance(chosen, str) and isinstance(rejected, str):
        if not all(side.lstrip().startswith("Human:") for side in (chosen, rejected)):
            raise BadRecord(
                "no prompt",
                "has no 'prompt', and where it ends cannot be told from two texts; "
                "add a prompt column, or give conversations as messages",
            )
        chosen, rejected = _turns(chosen, "chosen"), _turns(rejected, "rejected")
    sides = {"chosen": messages_of(chosen, "chosen"), "rejected": messages_of(rejected, "rejected")}
    shared = 0
    for left, right in zip(*sides.values(), strict=False):
        if left != right:
            break
        shared += 1
    if shared == len(sides["chosen"]) == len(sides["rejected"]):
        raise BadRecord("identical replies", "chosen and rejected are the same; remove the record")
    for name, messages in sides.items():
        if len(messages) - shared != 1 or messages[-1]["role"] != "assistant":
            raise BadRecord(
                "conversations part early",
                f"{name} has {len(messages) - shared} messages after the {shared} that both "
                "share; each side needs exactly one, the assistant's reply",
            )
    prompt = sides["chosen"][:shared]
    if not prompt:
        raise BadRecord(
            "no prompt", "the two conversations share no messages, so there is no prompt"
        )
    return prompt_of(prompt), sides["chosen"][-1]["content"], sides["rejected"][-1]["content"]


def _turns(text: str, name: str) -> list[Message]:
    """The turns of HH-RLHF's text form: "Human: ... Assistant: ..." set apart by blank lines."""
    pieces = _TURN.split(text)
    if pieces[0].strip():
        raise BadRecord(f"bad {name}", f"{name} does not begin with a turn 'Human:'")
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        Message(role=roles[speaker], content=content.strip())
        for speaker, content in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
