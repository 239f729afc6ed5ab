"""IFEval's files: prompts with instructions, and responses to them.

A record is IFEval's own (`key`, `prompt`, `instruction_id_list`, `kwargs`; or `prompt`,
`response`), or a sample of lm-evaluation-harness, which holds both (`doc`, `filtered_resps`). A
response may be what OpenAI's interface answers; one without a prompt names it by its key.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from mapl_jax import constraints
from mapl_jax.constraints.ifeval import IDS
from mapl_jax.data import records
from mapl_jax.data.fields import as_object, kind_of
from mapl_jax.data.form_table import PROMPT
from mapl_jax.data.messages import Message, last_asked
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.readers import plain, read_entries
from mapl_jax.data.records import Tally
from mapl_jax.evaluation.thinking import without_thinking
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import parse_json

# Columns of a response, or of several to one prompt.
RESPONSE = (
    *("response", "responses", "filtered_resps", "resps", "completion", "output"),
    *("outputs", "generated_text", "choices"),
)
# Where answers stand in what OpenAI's interface and vLLM give, from the outside in.
_WITHIN = ("body", "choices", "message", "text", "content")
_KEYS = ("key", "custom_id")


@dataclasses.dataclass(frozen=True)
class Task:
    """A prompt with instructions that can be judged, and their arguments.

    Messages call it by its place, verdicts by its key. Its messages end with a user's turn.
    """

    place: str
    key: object
    messages: list[Message]
    ids: tuple[str, ...]
    kwargs: tuple[Mapping[str, object] | None, ...]
    record: Mapping[str, object]

    @property
    def text(self) -> str:
        """What the user says last: what responses are found by."""
        return last_asked(self.messages)

    def of(self, responses: Mapping[str, Sequence[str | None]]) -> Sequence[str | None] | None:
        """The responses to it, by its text or by its key; None without any."""
        return responses.get(self.text.strip(), responses.get(f"key {self.key}"))


def read_tasks(
    path: str | os.PathLike[str], *, on_error: str = "raise"
) -> tuple[list[Task], list[str]]:
    """Prompts whose instructions can all be judged, and notes on the others.

    One that cannot is an error; with "skip" such prompts are left out, and counted.
    """
    tasks, tally, bad = [], Tally(), []
    places: dict[str, str] = {}
    for where, value in read_entries(path):
        tally.read += 1
        try:
            task = _task(where, value)
            if (earlier := places.setdefault(task.text.strip(), where)) != where:
                raise BadRecord(
                    "repeated prompt",
                    f"the same prompt as {earlier}; responses are told apart by their prompts, so "
                    "keep one of the two",
                )
            tasks.append(task)
        except BadRecord as error:
            bad.append(f"{where}{_key(value)}: {error}")
            tally.dropped[error.reason] += 1
    if not tally.read:
        raise UserError(f"{os.fspath(path)} holds no records")
    if bad and (on_error == "raise" or not tasks):
        more = f" (and {len(bad) - 1} more of {tally.read} prompts)" if len(bad) > 1 else ""
        leave_out = "; --config.on_error=skip leaves such prompts out" if tasks else ""
        raise UserError(bad[0] + more + leave_out)
    return tasks, tally.notes()


def _key(value: object) -> str:
    record = _document(value) if isinstance(value, dict) else {}
    return f", key {record['key']}" if "key" in record else ""


def _document(record: Mapping[str, object]) -> dict[str, object]:
    """The prompt's record; in a sample of lm-evaluation-harness it is a field."""
    inner = record.get("doc")
    return dict(inner if isinstance(inner, Mapping) else record)


def _task(where: str, value: object) -> Task:
    record = _document(as_object(value))
    messages = records.prompt_in_record(record)
    ids, kwargs = _list(record, "instruction_id_list"), _list(record, "kwargs")
    if not ids:
        raise BadRecord("no instructions", "has no instructions (instruction_id_list is empty)")
    if "kwargs" not in record:
        raise BadRecord("no kwargs", "has no kwargs")
    kwargs = [None] * len(ids) if record["kwargs"] is None else kwargs
    if len(ids) != len(kwargs):
        raise BadRecord(
            "bad kwargs",
            f"instruction_id_list and kwargs must be lists of one length, not of {len(ids)} and "
            f"{len(kwargs)}",
        )
    given = tuple(cast(Mapping[str, object] | None, _written(item)) for item in kwargs)
    for number, (name, arguments) in enumerate(zip(ids, given, strict=True), 1):
        try:
            constraints.verdict(cast(str, name), arguments, last_asked(messages), "")
        except (ValueError, TypeError, AttributeError) as error:
            reason = "bad kwargs" if name in IDS else "unknown instruction"
            raise BadRecord(reason, f"instruction {number}: {error}") from None
    key = record.get("key", where)
    return Task(where, key, messages, tuple(cast(list[str], ids)), given, record)


def _list(record: Mapping[str, object], name: str) -> list[object]:
    value = _written(record.get(name))
    if value is None and name == "instruction_id_list":
        raise BadRecord(f"no {name}", f"has no {name}")
    if value is not None and not isinstance(value, list):
        raise BadRecord(f"bad {name}", f"{name} must be a list, not {kind_of(value)}")
    return value or []


def _written(value: object) -> object:
    """A value, also where it stands as JSON text, as tables hold it."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return parse_json(value)
        except ValueError:
            return value
    return plain(value)


def read_responses(path: str | os.PathLike[str]) -> dict[str, list[str | None]]:
    """The responses to each prompt, by its text or as "key ..."; None for one without text."""
    responses: dict[str, list[str | None]] = {}
    answered, first = False, ""
    for where, value in read_entries(path):
        first = first or where
        try:
            record = as_object(value)
            if record.get("response") and record.get("responses"):
                raise BadRecord("several", "has response and responses; keep one of them")
            column = next((name for name in RESPONSE if name in record), None)
            answered = answered or column is not None
            prompt = _asked(_document(record))
            texts = list(_texts(plain(record.get(column or "")), column or ""))
        except BadRecord as bad:
            raise UserError(f"{where}: {bad}") from None
        responses.setdefault(prompt.strip(), []).extend(texts or [None])
    if not responses:
        raise UserError(f"{os.fspath(path)} holds no records")
    if not answered:
        raise UserError(f"{first}: has no response (known columns: {', '.join(RESPONSE)})")
    return responses


def _asked(record: Mapping[str, object]) -> str:
    """What a response answers: the prompt's text or, in a record without a prompt, its key."""
    name = next((record[key] for key in _KEYS if record.get(key) is not None), None)
    if name is None or any(record.get(prompt) for prompt in PROMPT.split("/")):
        return records.asked_in_record(record)
    return f"key {name}"


def _texts(value: object, column: str) -> Iterator[str | None]:
    """Responses, however deep in lists; blank ones are none."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, column)
    elif value is None or isinstance(value, str):
        yield value if value and value.strip() else None
    elif (
        isinstance(value, Mapping)
        and (inner := next((value[x] for x in _WITHIN if x in value), value)) is not value
        and value.get("role", "assistant") == "assistant"
    ):
        yield from _texts(inner, column)
    elif isinstance(value, Mapping) and value.get("error"):
        yield None
    else:
        raise BadRecord("no text", f"{column} must be text, not {kind_of(value)}")


def matched(
    tasks: Sequence[Task], responses: Mapping[str, Sequence[str | None]], path: str
) -> tuple[list[Task], list[list[str | None]], list[str]]:
    """Prompts that have responses, their responses, and notes on what was left out.

    The published responses of GPT-4 lack one of 541.
    """
    known = [task for task in tasks if task.of(responses) is not None]
    if not known:
        raise UserError(f"{path} has no response to any of the prompts")
    notes = []
    if missing := [task for task in tasks if task.of(responses) is None]:
        notes.append(
            f"prompts without a response, which are left out: {len(missing)} "
            f"(first: key {missing[0].key})"
        )
    asked = {name for task in tasks for name in (task.text.strip(), f"key {task.key}")}
    if strange := [text for text in responses if text not in asked]:
        notes.append(
            f"prompts of {path} that were not asked for: {len(strange)} "
            f"(first: {strange[0][:60]!r})"
        )
    texts = [list(task.of(responses) or ()) for task in known]
    counts = sorted(set(map(len, texts)))
    if len(counts) > 1:
        most = next(
            t
            for t, responses_of_task in zip(known, texts, strict=True)
            if len(responses_of_task) == counts[-1]
        )
        notes.append(
            f"prompts have {counts[0]} to {counts[-1]} responses, and each counts as the mean of "
            f"its own; {counts[-1]} has key {most.key}"
        )
    return known, texts, notes


def answers_alone(
    tasks: Sequence[Task], responses: Sequence[Sequence[str | None]]
) -> tuple[list[list[str]], list[str]]:
    """Responses without their reasoning, empty where there is none, and a remark about it."""
    keys: dict[str, list[object]] = {
        "responses without text, which follow nothing": [],
        "responses that begin with reasoning (<think>), which is not judged": [],
        "responses of reasoning (<think>) without an answer, which follow nothing": [],
    }
    empty, thought, endless = keys.values()
    alone: list[list[str]] = []
    for task, texts in zip(tasks, responses, strict=True):
        alone.append([])
        for text in texts:
            answer, reasoned = without_thinking(text or "")
            alone[-1].append(answer)
            if reasoned:
                (thought if answer.strip() else endless).append(task.key)
            elif not answer.strip():
                empty.append(task.key)
    notes = [f"{what}: {len(of)} (first: key {of[0]})" for what, of in keys.items() if of]
    return alone, notes
