"""The one exception that a command turns into a single line for its user."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

EXIT_USER_ERROR = 2  # the status of a command that its user can mend


def choice(name: str, value: str, allowed: Collection[str] | Mapping[str, object]) -> Any:
    """A config value that must be one of a few; with a mapping, what it stands for."""
    if value not in allowed:
        raise UserError(f"{name} is {value!r}; choose one of {', '.join(allowed)}")
    return allowed[value] if isinstance(allowed, Mapping) else value


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it, each once: some libraries raise chains that are circles."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class UserError(Exception):
    """Something the user can mend: the message says where it is and what to do.

    Commands print the message and end with status 2; `--debug` shows the traceback.
    """


class Unwritten(UserError):
    """A checkpoint could not be written; Orbax (0.12) then waits for it in threads that do not
    end, as the slow test of a full disk in tests/faults shows.

    A command ends its process at once.
    """


class Unjoined(UserError):
    """The other processes of a run could not be joined, and JAX would still wait for them at exit.

    A command ends its process at once.
    """


class Unread(UserError):
    """Whatever read what a command prints is gone, such as `head`, which has read enough."""


class Stopped(BaseException):
    """A command ends early because it was asked to; nothing is lost.

    No `Exception`, so that nothing on the way takes it for a failure of its own.

    Attributes:
        where: how far it is; empty where a command does not say.
        saved: whether that is a checkpoint, or the end of the training.
    """

    def __init__(self, where: str = "", *, saved: bool = False):
        super().__init__(where)
        self.where, self.saved = where, saved
