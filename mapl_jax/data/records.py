"""Where data comes from: pairs, demonstrations and samples, read and checked row by row.

Every record is checked before anything is built from it, and a message about a bad one names the
file, the record and what to do. A prompt is told from its replies by message or by column, never
by the characters that two replies happen to share (TRL's `extract_prompt` turns "yes" and
"yes, sir" into the prompt "Q? ye").
"""

import dataclasses
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Generic, TypedDict, TypeVar

import numpy as np

from mapl_jax.data.places import ids_on_disk
from mapl_jax.data.readers import _Bad, _entries, _Entry, _kind, _object
from mapl_jax.runtime.errors import UserError

ROLES = ("system", "user", "assistant")
LARGEST = float(np.finfo(np.float32).max)

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


class Pair(TypedDict):
    """A preference: the prompt's messages, the better and the worse reply, and how far apart."""

    id: str
    prompt: list[Message]
    chosen: str
    rejected: str
    margin: float


@dataclasses.dataclass
class Tally:
    """What became of the records of one source.

    Attributes:
        read: number of records read.
        dropped: reason -> number of records left out (only with `on_error="skip"`).
    """

    read: int = 0
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)

    def describe(self) -> str:
        """One line for people: how many records were read, kept and dropped, and why."""
        lost = self.dropped.total()
        line = f"{self.read} records read, {self.read - lost} kept"
        if lost:
            reasons = ", ".join(f"{reason} {n}" for reason, n in self.dropped.most_common())
            line += f", {lost} dropped ({reasons})"
        return line


class Demonstration(TypedDict):
    """A reply to learn from, and its prompt's messages."""

    id: str
    prompt: list[Message]
    completion: str


_Record = TypeVar("_Record", Pair, Demonstration)


@dataclasses.dataclass(frozen=True)
class Records(Generic[_Record]):
    """The records of one source, with what became of every one.

    Attributes:
        records: those kept, in the order of the source.
        read: number of records read.
        dropped: reason -> number of records left out (only with `on_error="skip"`).
    """

    records: list[_Record]
    read: int
    dropped: dict[str, int]

    @property
    def kept(self) -> int:
        """Number of records kept."""
        return len(self.records)

    def describe(self) -> str:
        """One line for people: how many records were read, kept and dropped, and why."""
        return Tally(self.read, Counter(self.dropped)).describe()


Pairs = Records[Pair]
Demonstrations = Records[Demonstration]


def read_pairs(path: str | os.PathLike[str], *, on_error: str = "raise") -> Pairs:
    """Reads preference pairs and brings them to one form.

    Accepted rows are TRL's: `prompt` as text or messages, `chosen` and `rejected` as text or
    messages; without `prompt`, whole conversations as messages (the shared leading messages are
    the prompt) or as HH-RLHF's "Human: ... Assistant: ..." text. `id` and `margin` are optional.
    A missing id is made from the content; a pair that occurs again then gets "-2", "-3", ...
    An id that is given must be unique.

    Args:
        path: a .jsonl (or .jsonl.gz), .json, .csv or .parquet file, a folder of such files or
            one written by `datasets.save_to_disk`, or a hub name `org/name` or `org/name:split`.
        on_error: "raise" stops at the first bad record; "skip" leaves it out and counts it.

    Returns:
        The pairs, with counts of what was read and dropped.

    Raises:
        UserError: the source cannot be read, a record is bad, or no pair is left.
    """
    return _collected(Tally(), lambda tally: iter_pairs(path, tally, on_error=on_error))


def read_demonstrations(path: str | os.PathLike[str], *, on_error: str = "raise") -> Demonstrations:
    """Reads prompts with a reply to learn from.

    Accepted rows are TRL's: `prompt` and `completion`, or `messages` that end with the assistant's
    reply; of preference pairs in any form that `read_pairs` takes, the chosen reply. Only the last
    reply of a conversation is learned; what comes before it is the prompt.

    Args:
        path: any source that `read_pairs` takes.
        on_error: "raise" stops at the first bad record; "skip" leaves it out and counts it.

    Raises:
        UserError: the source cannot be read, a record is bad, or none is left.
    """
    return _collected(
        Tally(),
        lambda tally: _checked(
            _entries(path),
            _normalize_demonstration,
            str(path),
            on_error,
            "demonstration",
            {},
            tally,
        ),
    )


def normalize_pairs(
    entries: Iterable[tuple[str, Any]], *, source: str, on_error: str = "raise"
) -> Pairs:
    """`read_pairs` for records already in memory, each with the name to call it by in messages."""
    return _collected(
        Tally(), lambda tally: _checked(entries, _normalize, source, on_error, "pair", {}, tally)
    )


def iter_pairs(
    path: str | os.PathLike[str], tally: Tally, *, on_error: str = "raise"
) -> Iterator[Pair]:
    """`read_pairs` one by one: memory does not grow with the data.

    Ids, which must not repeat, are kept in a temporary file.

    Args:
        path: as in `read_pairs`.
        tally: counts what is read and dropped.
        on_error: as in `read_pairs`.

    Raises:
        UserError: as in `read_pairs`, at the record where the error stands.
    """
    with ids_on_disk() as places:
        yield from _checked(_entries(path), _normalize, str(path), on_error, "pair", places, tally)


def _collected(tally: Tally, read: Callable[[Tally], Iterator[_Record]]) -> Records[_Record]:
    records = list(read(tally))
    return Records(records, tally.read, dict(tally.dropped.most_common()))


def _checked(
    entries: Iterable[_Entry],
    normalize: Callable[[Any], _Record],
    source: str,
    on_error: str,
    kind: str,
    places: MutableMapping[str, str],
    tally: Tally,
) -> Iterator[_Record]:
    """Every record in one form, with an id of its own; `places` remembers where ids stand."""
    if on_error not in ("raise", "skip"):
        raise UserError(f'on_error must be "raise" or "skip", not {on_error!r}')
    kept = 0
    for where, value in entries:
        tally.read += 1
        try:
            record = normalize(value)
            if not record["id"]:
                record["id"] = _content_id(record, places)
            elif record["id"] in places:
                raise _Bad(
                    "repeated id",
                    f"id {record['id']!r} was used before, in {places[record['id']]}; "
                    "make ids unique, or leave them out to have them made",
                )
        except _Bad as bad:
            if on_error == "raise":
                raise UserError(f"{where}: {bad}") from None
            tally.dropped[bad.reason] += 1
            continue
        places[record["id"]] = where
        kept += 1
        yield record
    if not tally.read:
        needed = "preference pairs" if kind == "pair" else f"{kind}s"
        raise UserError(f"{source} holds no records; {needed} are needed")
    if not kept:
        raise UserError(f"no {kind} of {source} can be used: {tally.describe()}")


def read_prompts(path: str | os.PathLike[str]) -> list[tuple[dict[str, Any], list[Message]]]:
    """Reads what is to be answered: `prompt` as text or messages, or `messages`.

    Args:
        path: any source that `read_pairs` takes.

    Returns:
        Every record as it stands, and its prompt's messages, which end with a user's turn.

    Raises:
        UserError: the source cannot be read, a record is bad, or there is none.
    """
    found = []
    for where, value in _entries(path):
        try:
            record = _object(value)
            name = "prompt" if record.get("prompt") is not None else "messages"
            if name not in record:
                raise _Bad("no prompt", "has no 'prompt' and no 'messages'; add one of them")
            found.append((record, _prompt(record[name])))
        except _Bad as bad:
            raise UserError(f"{where}: {bad}") from None
    if not found:
        raise UserError(f"{os.fspath(path)} holds no records; prompts are needed")
    return found


def _normalize(value: Any) -> Pair:
    """A record of any accepted form as a pair; the id is empty where none is given."""
    record = _object(value)
    if "comparisons" in record:
        raise _Bad("a sample", "holds a synthesized sample, but preference pairs are needed")
    for key in ("chosen", "rejected"):
        if key not in record:
            found = ", ".join(sorted(map(str, record))) or "nothing"
            raise _Bad(
                f"no {key}", f"has no {key!r} (found: {found}); rename the column to {key!r}"
            )
    chosen, rejected = record["chosen"], record["rejected"]
    if record.get("prompt") is None:
        prompt, chosen, rejected = _split_conversations(chosen, rejected)
    else:
        prompt = _prompt(record["prompt"])
        chosen = _reply(chosen, "chosen", prompt)
        rejected = _reply(rejected, "rejected", prompt)
    if chosen.strip() == rejected.strip():
        raise _Bad("identical replies", "chosen and rejected are the same; remove the record")
    return Pair(
        id=_given_id(record.get("id")),
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=_margin(record.get("margin")),
    )


def _normalize_demonstration(value: Any) -> Demonstration:
    """A record of any accepted form as a demonstration; the id is empty where none is given."""
    record = _object(value)
    if "comparisons" in record:
        raise _Bad("a sample", "holds a synthesized sample among other records; keep them apart")
    name = next((key for key in ("completion", "chosen", "messages") if key in record), None)
    if name is None:
        found = ", ".join(sorted(map(str, record))) or "nothing"
        raise _Bad(
            "no completion",
            f"has no 'completion', 'messages' or 'chosen' (found: {found}); "
            "rename the column of the reply to 'completion'",
        )
    if name == "messages" or record.get("prompt") is None:
        prompt, completion = _split_reply(record[name], name)
    else:
        prompt = _prompt(record["prompt"])
        completion = _reply(record[name], name, prompt)
    return Demonstration(id=_given_id(record.get("id")), prompt=prompt, completion=completion)


def _split_reply(value: Any, name: str) -> tuple[list[Message], str]:
    """Prompt and reply of one whole conversation."""
    if isinstance(value, str):
        if not _text(value, name).lstrip().startswith("Human:"):
            raise _Bad("no prompt", "has no 'prompt'; add a prompt column, or give messages")
        value = _dialogue(value, name)
    messages = _messages(value, name)
    if messages[-1]["role"] != "assistant":
        raise _Bad(f"bad {name}", f"{name} must end with a turn of role 'assistant'")
    if len(messages) == 1:
        raise _Bad("no prompt", f"{name} holds the assistant's reply alone; add what it answers")
    return _prompt(messages[:-1]), messages[-1]["content"]


def _given_id(value: Any) -> str:
    if value is None or value == "":
        return ""
    if type(value) not in (str, int):
        raise _Bad("bad id", f"id must be text or an integer, not {_kind(value)}")
    return _encodable(str(value), "id")


def _content_id(record: Mapping[str, Any], places: Mapping[str, str]) -> str:
    """An id from the content, made unique by a count where the same record occurs again."""
    keys = ("prompt", "chosen", "rejected", "completion")
    content = json.dumps([record[key] for key in keys if key in record], ensure_ascii=True)
    stem = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    name, count = stem, 1
    while name in places:
        count += 1
        name = f"{stem}-{count}"
    return name


def _margin(value: Any) -> float:
    if value is None:
        return 0.0
    if not _is_finite(value):
        shown = repr(value) if isinstance(value, str | float) else _kind(value)
        raise _Bad("bad margin", f"margin must be a finite number, not {shown}; mend or remove it")
    return float(value)


def _is_finite(value: Any) -> bool:
    """Whether it is a number, finite in fp32."""
    try:
        return type(value) in (int, float) and abs(value) <= LARGEST
    except OverflowError:
        return False


def _encodable(text: str, name: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _Bad(
            "broken text", f"{name} holds half of a surrogate pair; save it as valid Unicode"
        ) from None
    return text


def _text(value: Any, name: str) -> str:
    """Text with something in it."""
    if not isinstance(value, str):
        raise _Bad(f"{name} is not text", f"{name} must be text, not {_kind(value)}")
    if not value.strip():
        raise _Bad(f"empty {name}", f"{name} is empty; fill it in or remove the record")
    return _encodable(value, name)


def _messages(value: Any, name: str) -> list[Message]:
    """Checks a list of messages; keeps role and content."""
    if not isinstance(value, list):
        raise _Bad(f"bad {name}", f"{name} must be text or messages, not {_kind(value)}")
    if not value:
        raise _Bad(f"empty {name}", f"{name} is an empty list; fill it in or remove the record")
    messages: list[Message] = []
    for number, item in enumerate(value, 1):
        part = f"message {number} of {name}"
        if not isinstance(item, dict) or "role" not in item or "content" not in item:
            raise _Bad(f"bad {name}", f'{part} must be an object with "role" and "content"')
        if item["role"] not in ROLES:
            known = ", ".join(ROLES)
            raise _Bad("unknown role", f"{part} has role {item['role']!r}; known are {known}")
        if item.get("tool_calls"):
            raise _Bad("tool calls", f"{part} calls tools, which are not supported; remove it")
        try:
            messages.append(Message(role=item["role"], content=_text(item["content"], "content")))
        except _Bad as bad:
            raise _Bad(bad.reason, f"{part}: {bad}") from None
    return messages


def _prompt(value: Any) -> list[Message]:
    """The messages of a prompt, which must end with a user's turn."""
    if isinstance(value, str):
        text = _text(value, "prompt")
        if not text.lstrip().startswith("Human:") or "\n\nAssistant:" not in text:
            return [Message(role="user", content=text)]
        messages = _dialogue(text, "prompt")
        if messages[-1]["role"] == "assistant" and not messages[-1]["content"]:
            messages.pop()  # "\n\nAssistant:" invites the reply.
        messages = _messages(messages, "prompt")
    else:
        messages = _messages(value, "prompt")
    if messages[-1]["role"] != "user":
        raise _Bad(
            "prompt ends with no user turn",
            f"prompt ends with a turn of role {messages[-1]['role']!r}; it must end with a user's",
        )
    return messages


def _reply(value: Any, name: str, prompt: list[Message]) -> str:
    """The text of a reply that stands beside its prompt, repeating that prompt or not."""
    if not isinstance(value, list):
        return _text(value, name)
    messages = _messages(value, name)
    if messages[-1]["role"] != "assistant":
        raise _Bad(f"bad {name}", f"{name} must end with a turn of role 'assistant'")
    if len(messages) > 1 and messages[:-1] != prompt:
        raise _Bad(
            f"bad {name}",
            f"{name} has {len(messages)} messages that do not begin with the prompt's; "
            "give the last reply only, or leave prompt out",
        )
    return messages[-1]["content"]


def _split_conversations(chosen: Any, rejected: Any) -> tuple[list[Message], str, str]:
    """Prompt and replies of two whole conversations: their shared leading messages and the rest."""
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(side, str | list):
            raise _Bad(f"{name} is not text", f"{name} must be text or messages, not {_kind(side)}")
        if isinstance(side, str):
            _text(side, name)
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise _Bad("mixed forms", "one reply is text and the other messages; use one form")
    if isinstance(chosen, str):
        if not all(side.lstrip().startswith("Human:") for side in (chosen, rejected)):
            raise _Bad(
                "no prompt",
                "has no 'prompt', and where it ends cannot be told from two texts; "
                "add a prompt column, or give conversations as messages",
            )
        chosen, rejected = _dialogue(chosen, "chosen"), _dialogue(rejected, "rejected")
    sides = {"chosen": _messages(chosen, "chosen"), "rejected": _messages(rejected, "rejected")}
    shared = 0
    for left, right in zip(*sides.values(), strict=False):
        if left != right:
            break
        shared += 1
    if shared == len(sides["chosen"]) == len(sides["rejected"]):
        raise _Bad("identical replies", "chosen and rejected are the same; remove the record")
    for name, messages in sides.items():
        if len(messages) - shared != 1 or messages[-1]["role"] != "assistant":
            raise _Bad(
                "conversations part early",
                f"{name} has {len(messages) - shared} messages after the {shared} that both "
                "share; each side needs exactly one, the assistant's reply",
            )
    prompt: Any = sides["chosen"][:shared]
    if not prompt:
        raise _Bad("no prompt", "the two conversations share no messages, so there is no prompt")
    return _prompt(prompt), sides["chosen"][-1]["content"], sides["rejected"][-1]["content"]


def _dialogue(text: str, name: str) -> list[Message]:
    """The turns of HH-RLHF's text form: "Human: ... Assistant: ..." set apart by blank lines."""
    pieces = _TURN.split(text)
    if pieces[0].strip():
        raise _Bad(f"bad {name}", f"{name} does not begin with a turn 'Human:'")
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        Message(role=roles[speaker], content=content.strip())
        for speaker, content in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
