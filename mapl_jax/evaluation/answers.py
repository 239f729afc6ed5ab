"""Responses and rewards, kept on the disk as they come: a stopped command loses none of them."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Generic, TypeVar

from mapl_jax.data.messages import Message, last_asked
from mapl_jax.runtime import distributed, outputs
from mapl_jax.runtime.console import say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import parse_json, write_lines
from mapl_jax.runtime.locks import held
from mapl_jax.runtime.paths import lock_of

# The marks of files of them, for `runtime.outputs`.
RESPONSES = outputs.lines("prompt", "response", "finish_reason")
REWARDS = outputs.lines("reward")
MARKS = {"responses": RESPONSES, "rewards": REWARDS}
# The number of a prompt, and that of one of its samples.
Job = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Response:
    """One response, without white space around; it ended, or was cut at the longest length."""

    text: str
    ended: bool


@dataclasses.dataclass(frozen=True)
class Reward:
    """What a reward model says of one response."""

    value: float


T = TypeVar("T", bound=Response | Reward)


class Kept(Generic[T]):
    """Responses so far, or their rewards, in a file beside the one that they end up in.

    Its first line says what decides them; a command that differs in any of it does not go on.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        about: Mapping[str, object],
        kind: type[T],
    ):
        """Prepares; reads and writes nothing yet.

        Args:
            target: the file that the responses end up in.
            about: what decides the responses, by a name for people, as values of JSON.
        """
        self.kind = kind
        self.what = f"{kind.__name__.lower()}s"
        self.target = outputs.check_file(target, MARKS[self.what])
        part = self.target.with_name(f"{self.target.name}.partial")
        self.path = outputs.check_file(part, outputs.lines(*about))
        self.about = dict(about)
        self._file: BinaryIO | None = None
        self._held = contextlib.ExitStack()

    def resume(self, about: Mapping[str, object]) -> dict[Job, T]:
        """What an earlier command left, in the order it was written; all of `about` must agree."""
        about = json.loads(json.dumps({**self.about, **about}))
        content = self.path.read_bytes() if self.path.exists() else b""
        lines = content.splitlines(keepends=True)
        head, size = (_value(lines[0]) if lines else None), 0
        known_responses: dict[Job, T] = {}
        types = [int, int, *(field.type for field in dataclasses.fields(self.kind))]
        if isinstance(head, dict):
            if other := [name for name in about if head.get(name) != about[name]]:
                raise UserError(
                    f"{self.path} holds the {self.what} of a stopped command with another "
                    f"{', '.join(other)}; repeat that command to go on, or remove the file"
                )
            size = len(lines[0])
            for line in lines[1:]:
                value = _value(line)
                if not isinstance(value, list) or [type(x) for x in value] != types:
                    break  # cut off by the end of the command
                number, sample, *fields = value
                known_responses[number, sample] = self.kind(*fields)
                size += len(line)
        first = distributed.broadcast_from_main(len(known_responses))
        if first > len(known_responses):
            raise UserError(f"process 0 reads {self.path}, and this process cannot")
        if distributed.is_main_process():
            self._open(size, about)
            if known_responses:
                say(f"going on after the {len(known_responses)} {self.what} in {self.path}")
        return dict(list(known_responses.items())[:first])

    def _open(self, size: int, about: Mapping[str, object]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(held(lock_of(self.path), str(self.path), "output"))
        file = self.path.open("ab")
        file.truncate(size)
        self._file = file
        if not size:
            self._write(about)

    def add(self, new: Mapping[Job, T]) -> None:
        """Writes responses or rewards; they are on the disk when this returns."""
        lines = [[*job, *dataclasses.astuple(response)] for job, response in new.items()]
        self._write(*lines)

    def _write(self, *values: object) -> None:
        if self._file:
            self._file.writelines(json.dumps(value).encode() + b"\n" for value in values)
            self._file.flush()
            os.fsync(self._file.fileno())

    def finish(self, lines: Sequence[object]) -> None:
        """Writes the file that the responses end up in, and removes the one beside it."""
        write_lines(self.target, lines)
        if self._file:
            self._file.close()
        self.path.unlink(missing_ok=True)
        self._held.close()


def _value(line: bytes) -> object:
    try:
        return parse_json(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def with_responses(
    records: Sequence[tuple[Mapping[str, object], Sequence[Message]]],
    responses: Sequence[Sequence[Response]],
) -> Iterator[dict[str, object]]:
    """A line for every response, with the fields of its prompt's record."""
    for (record, messages), answers in zip(records, responses, strict=True):
        for number, answer in enumerate(answers):
            line = {
                **record,
                "prompt": record.get("prompt") or last_asked(messages),
                "response": answer.text,
                "finish_reason": "stop" if answer.ended else "length",
            }
            yield line | ({"sample": number} if len(answers) > 1 else {})
