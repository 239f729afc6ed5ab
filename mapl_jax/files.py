"""Files that appear whole or not at all."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mapl_jax.errors import UserError

_Made = TypeVar("_Made")
# What reading a value raises that is of another shape than it should be.
_OTHER_SHAPE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


@contextmanager
def replacing(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a name to write to, and puts what was written in the target's place at the end.

    What an error leaves half-written is removed.
    """
    target = Path(target)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def check_target(path: str | os.PathLike[str]) -> Path:
    """Makes sure, before the work, that a file can be written; makes nothing yet.

    Raises:
        UserError: it cannot.
    """
    target = Path(path).expanduser()
    if target.is_dir():
        raise UserError(f"{path} is a folder; name a file to write")
    there = next(parent for parent in target.absolute().parents if parent.exists())
    if not there.is_dir():
        raise UserError(f"cannot write {path}: {there} is a file and no folder")
    if not os.access(there, os.W_OK):
        raise UserError(f"cannot write {path}: no permission for the folder {there}")
    return target


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a UTF-8 file whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_lines(path: str | os.PathLike[str], records: Iterable[Any]) -> None:
    """Writes a JSONL file, one value a line, whole or not at all."""
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file.

    Raises:
        UserError: it is missing or damaged.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def read_lines(path: str | os.PathLike[str], make: Callable[[Any], _Made]) -> list[_Made]:
    """What `write_lines` wrote, every line made into something.

    Args:
        path: of the file.
        make: from the value of a line; may raise what a value of another shape makes it raise.

    Raises:
        UserError: the file is missing, or a line damaged.
    """
    found = []
    try:
        with Path(path).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    found.append(make(json.loads(line)))
                except _OTHER_SHAPE:
                    raise UserError(
                        f"{path}, line {number} is damaged; remove the file to have it made again"
                    ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    return found
