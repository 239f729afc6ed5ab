"""Messages: prompts and replies as text, as lists of messages or as dialogues, all in one form.

A prompt is told from its replies by message or by column, never by the characters that two replies
happen to share (TRL's `extract_prompt` turns "yes" and "yes, sir" into the prompt "Q? ye").
"""

import re
from collections.abc import Sequence
from typing import NotRequired, TypedDict, cast

from mapl_jax.data import tools
from mapl_jax.data.fields import encodable, kind_of
from mapl_jax.data.meaning import changes_meaning, refuse_meaning
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.values import by_rows
from mapl_jax.data.written import unwritten
from mapl_jax.runtime.errors import UserError

ROLES = ("system", "user", "assistant", "tool")

# ShareGPT writes {"from": "human", "value": ...}, Gemini {"role": "user", "parts": [...]}.
_OURS = {"from": "role", "value": "content", "parts": "content"}
_ROLE = {role: role for role in ROLES}
_ROLE |= {"developer": "system", "human": "user", "prompter": "user"}
_ROLE |= dict.fromkeys(
    ("gpt", "chatgpt", "bing", "bard", "bot", "chatbot", "model", "ai", tools.CALL), "assistant"
)
_ROLE |= dict.fromkeys(tools.RESULTS, "tool")
# Kinds of a part of a message that are its text; one without a kind is too.
_TEXTS = (None, "text", "input_text", "output_text")
# A reply in the text form of HH-RLHF that repeats the dialogue, or names its speaker.
_REPEATS = re.compile(r"\s*Human:.*\n\nAssistant:|\n\nAssistant:", re.DOTALL)
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str
    tools: NotRequired[list[dict[str, object]]]
    tool_calls: NotRequired[list[dict[str, object]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


Prompt = str | Sequence[Message]


def as_messages(prompt: Prompt, name: str = "the prompt") -> list[Message]:
    """The messages of a prompt, in any form that files have; `name` is what messages call it."""
    try:
        return prompt_of(prompt)
    except BadRecord as bad:
        raise UserError(f"{name} cannot be read: {bad}") from None


def as_text(value: object, name: str) -> str:
    """Text with something in it, for functions that are given one."""
    try:
        return text_of(value, name)
    except BadRecord as bad:
        raise UserError(str(bad).replace("; fill it in or remove the record", "")) from None


def _content(item: dict[str, object], part: str) -> object:
    """The content of a message; parts that are all text are joined."""
    content = item["content"]
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return content
    texts = []
    for piece in content:
        if isinstance(piece, dict) and piece.get("type") in _TEXTS:
            other = {key: x for key, x in piece.items() if key not in ("text", "type")}
            strange = next((key for key, x in other.items() if changes_meaning(key, x)), None)
            piece = {"type": strange} if strange else piece.get("text", piece)
            piece = "" if piece is None else piece
        if not isinstance(piece, str):
            kind = piece.get("type") if isinstance(piece, dict) else kind_of(piece)
            raise BadRecord(
                f"content with {kind}", f"{part} holds a part of type {kind!r}; only text is read"
            )
        texts.append(piece)
    return "".join(texts)


def text_of(value: object, name: str) -> str:
    """Text with something in it."""
    if not isinstance(value, str):
        raise BadRecord(f"{name} is not text", f"{name} must be text, not {kind_of(value)}")
    if not value.strip():
        raise BadRecord(f"empty {name}", f"{name} is empty; fill it in or remove the record")
    return encodable(value, name)


def messages_of(value: object, name: str) -> list[Message]:
    """A checked list of messages, of which role, content and what they say of tools are kept."""
    value = unwritten(value, name)
    if isinstance(value, dict) and "messages" not in value:
        value = by_rows(value)
    if isinstance(value, dict):
        beside = {key: part for key, part in value.items() if key != "messages"}
        if "messages" in value:
            refuse_meaning(beside, name)
        value = value.get("messages", [value])
    if not isinstance(value, list):
        raise BadRecord(f"bad {name}", f"{name} must be text or messages, not {kind_of(value)}")
    if not value:
        raise BadRecord(
            f"empty {name}", f"{name} is an empty list; fill it in or remove the record"
        )
    messages: list[Message] = []
    for number, item in enumerate(value, 1):
        part = f"message {number} of {name}"
        if isinstance(item, dict):
            given = item
            item = {
                key if (ours := _OURS.get(key, key)) in given else ours: x
                for key, x in given.items()
            }
        if isinstance(item, dict) and item.get("tool_calls"):
            item = {"content": None, **item}
        if not isinstance(item, dict) or "role" not in item or "content" not in item:
            there = ", ".join(map(str, item)) if isinstance(item, dict) else kind_of(item)
            raise BadRecord(
                f"bad {name}",
                f'{part} must be an object with "role" and "content" (found: {there or "nothing"})',
            )
        given_role = str(item["role"]).lower()
        role = _ROLE.get(given_role, item["role"])
        if role not in ROLES:
            known = ", ".join(ROLES)
            raise BadRecord("unknown role", f"{part} has role {item['role']!r}; known are {known}")
        item = {**item, "role": given_role}
        about = tools.fields_of(item, part)
        refuse_meaning({k: v for k, v in item.items() if k not in (*about, tools.CALL)}, part)
        content = None if item["role"] == tools.CALL else _content(item, part)
        if role == "system" and (content is None or not str(content).strip()):
            continue  # it says nothing
        try:
            silent = "tool_calls" in about and (content is None or content == "")
            text = "" if silent else text_of(content, "content")
            messages.append(cast(Message, {"role": role, "content": text, **about}))
        except BadRecord as bad:
            raise BadRecord(bad.reason, f"{part}: {bad}") from None
    if not messages:
        raise BadRecord(f"empty {name}", f"{name} holds no text; fill it in or remove the record")
    return messages


def prompt_of(value: object) -> list[Message]:
    """The messages of a prompt: of a text, of a dialogue as HH-RLHF writes it, or of messages.

    It must end with a user's turn, or with what a tool brought.
    """
    value = unwritten(value, "prompt")
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
    if messages[-1]["role"] == "tool" and any(turn["role"] == "user" for turn in messages):
        return messages
    if messages[-1]["role"] != "user":
        raise BadRecord(
            "prompt ends with no user turn",
            f"prompt ends with a turn of role {messages[-1]['role']!r}; it must end with a user's",
        )
    return messages


def last_asked(prompt: Sequence[Message]) -> str:
    """What the user said last."""
    return next(turn["content"] for turn in reversed(prompt) if turn["role"] == "user")


def replies_of(
    prompt: list[Message], sides: dict[str, object]
) -> tuple[list[Message], dict[str, str]]:
    """The texts of replies that stand beside their prompt, repeating that prompt or not.

    Where the replies repeat more than the prompt column holds (a system message, earlier turns of
    which the column is the first or the last), what they repeat is the prompt.

    Raises:
        BadRecord: one is neither text nor messages that end with the assistant's turn, or answers
            something else.
    """
    leads: dict[str, list[Message]] = {}
    texts: dict[str, str] = {}
    for name, value in sides.items():
        value = unwritten(value, name)
        if isinstance(value, str) and _REPEATS.match(value):
            value = _turns(value, name)
        if not isinstance(value, list | dict):
            texts[name] = text_of(value, name)
            continue
        messages = messages_of(value, name)
        texts[name] = _reply(messages, name)
        if len(messages) > 1:
            leads[name] = messages[:-1]
    whole = prompt
    later = next((lead for lead in leads.values() if lead[0]["role"] == "assistant"), None)
    if later and leads.keys() == texts.keys() and all(_same(x, later) for x in leads.values()):
        return prompt_of([*prompt, *later]), texts  # turns that all sides share
    for name, lead in leads.items():
        if lead[0]["role"] == "assistant":
            raise _several_turns(name, len(lead) + 1, "the prompt")
        if len(lead) > len(whole) and _is_within(prompt, lead):
            whole = lead
    for name, lead in leads.items():
        bare = whole[1:] if lead[0]["role"] != "system" else whole
        if not _same(lead, whole) and not (whole[0]["role"] == "system" and _same(lead, bare)):
            raise BadRecord(
                f"bad {name}",
                f"{name} has {len(lead) + 1} messages that do not begin with the prompt's; "
                "give the last reply only, or leave prompt out",
            )
    return whole, texts


def _same(left: Sequence[Message], right: Sequence[Message]) -> bool:
    """Whether two conversations differ in white space at most."""

    def bare(messages: Sequence[Message]) -> list[tuple[object, ...]]:
        return [(m["role"], m["content"].split(), m.get("tool_calls")) for m in messages]

    return bare(left) == bare(right)


def _reply(messages: Sequence[Message], name: str) -> str:
    """The text of the last turn, which must be the assistant's and no call of a tool."""
    last = messages[-1]
    if last["role"] != "assistant":
        raise BadRecord(f"bad {name}", f"{name} must end with a turn of role 'assistant'")
    if "tool_calls" in last:
        raise BadRecord(
            "tool calls", f"{name} ends with a call of a tool; only replies in text are compared"
        )
    return last["content"]


def _several_turns(name: str, count: int, shared: str) -> BadRecord:
    return BadRecord(
        f"several turns in {name}",
        f"{name} has {count} turns after {shared}; each side may hold one reply only: what comes "
        "before it must be the same on both, and a later reply is a record of its own",
    )


def _is_within(prompt: Sequence[Message], lead: Sequence[Message]) -> bool:
    """Whether a prompt is the end of a conversation, or its first turn of a user."""
    first = next((i for i, message in enumerate(lead) if message["role"] == "user"), 0)
    return _same(prompt, lead[-len(prompt) :]) or _same(prompt, lead[first : first + len(prompt)])


def split_conversation(value: object, name: str) -> tuple[list[Message], str]:
    """Prompt and reply of one whole conversation.

    Raises:
        BadRecord: it is none, or lacks one of the two.
    """
    value = unwritten(value, name)
    if isinstance(value, str):
        if not text_of(value, name).lstrip().startswith("Human:"):
            raise BadRecord("no prompt", "has no 'prompt'; add a prompt column, or give messages")
        value = _turns(value, name)
    messages = messages_of(value, name)
    reply = _reply(messages, name)
    if len(messages) == 1:
        raise BadRecord(
            "no prompt", f"{name} holds the assistant's reply alone; add what it answers"
        )
    return prompt_of(messages[:-1]), reply


def split_conversations(chosen: object, rejected: object) -> tuple[list[Message], str, str]:
    """Prompt and replies of two whole conversations: their shared leading messages and the rest.

    Raises:
        BadRecord: they are none, or differ in more than the last reply.
    """
    chosen, rejected = unwritten(chosen, "chosen"), unwritten(rejected, "rejected")
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(side, str | list | dict):
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
    first = {name: side[0] for name, side in sides.items() if side[0]["role"] == "system"}
    if len(first) == 1:  # it stands on one side alone, and holds for both
        (system,) = first.values()
        sides |= {name: [system, *side] for name, side in sides.items() if name not in first}
    shared, texts = 0, list[str]()
    for left, right in zip(*sides.values(), strict=False):
        if left != right:
            break
        shared += 1
    if shared == len(sides["chosen"]) == len(sides["rejected"]):
        raise BadRecord("identical replies", "chosen and rejected are the same; remove the record")
    for name, messages in sides.items():
        if len(messages) == shared:
            raise BadRecord(
                f"bad {name}", f"{name} ends where the other side goes on; each needs a reply"
            )
        if len(messages) - shared > 1:
            raise _several_turns(name, len(messages) - shared, f"the {shared} that both share")
        texts.append(_reply(messages, name))
    prompt = sides["chosen"][:shared]
    if not prompt:
        raise BadRecord(
            "no prompt", "the two conversations share no messages, so there is no prompt"
        )
    return prompt_of(prompt), texts[0], texts[1]


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
