"""Files that appear whole or not at all, and folders whose files are known to be as written."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mapl_jax.runtime.errors import UserError, chain
from mapl_jax.runtime.paths import brief, local

SEAL = "checksums.json"
# Bounds of JSON that describes something; records are read line by line, elsewhere.
LARGEST, _DEEPEST = 1 << 26, 100
_HALF = re.compile(r"[\ud800-\udfff]")
_FULL = "no space left on the disk"
# Libraries tell what the system said in words.
_REFUSED = {
    "No space left on device": _FULL,
    "Disk quota exceeded": _FULL,
    "Read-only file system": "the file system is read-only",
    "File too large": "a file would be larger than the system allows",
    "Too many open files": "too many open files; raise the limit (ulimit -n)",
    "Cannot allocate memory": "too little memory",
}
# What stores and web servers say to whom they do not know or do not serve.
_NO_ACCESS = re.compile(
    r"Forbidden|Unauthorized|Access ?Denied|InvalidAccessKey|SignatureDoesNotMatch"
    "|Anonymous caller",
    re.IGNORECASE,
)
_NO_CREDENTIALS = re.compile(r"(locate|find|no) (\w+ )?credentials", re.IGNORECASE)
_NUMBER = re.compile(r"^\[Errno -?\d+\] ")  # of an error of the system
_Made = TypeVar("_Made")
# What reading a value raises that is of another shape than it should be.
_OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@contextmanager
def replacing(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a name to write to, and puts what was written in the target's place at the end.

    What an error leaves half-written is removed. A link stays, and what it leads to is replaced.
    """
    target = Path(os.path.realpath(local(target)))
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: str | os.PathLike[str], name: str = "") -> None:
    """Removes what killed writers left half-written in a folder: under some name, or anything."""
    own = re.compile(rf"\.{re.escape(name) or '.+'}\.part-\d+")
    for path in Path(folder).glob(".*.part-*"):
        if own.fullmatch(path.name):
            remove(path)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder; what is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a UTF-8 file whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Writes a JSON file whole or not at all, as `as_json` has it."""
    write_text(path, as_json(value, indent=2) + "\n")


def as_json(value: object, indent: int | None = None) -> str:
    """A value as JSON; a number that is not finite, which JSON does not know, becomes null."""
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=False)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_lines(path: str | os.PathLike[str], records: Iterable[object]) -> None:
    """Writes a JSONL file, one value a line, whole or not at all, as `as_json` has them."""
    write_text(path, "".join(as_json(record) + "\n" for record in records))


def content(path: str | os.PathLike[str]) -> bytes:
    """What a regular file holds; a pipe would be waited for, and a device may have no end."""
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    return Path(path).read_bytes()


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a small JSON file."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MB")
        return parse_json(content(path))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def read_object(path: str | os.PathLike[str], fields: Mapping[str, object] = {}) -> dict[str, Any]:
    """Reads a small JSON object.

    Args:
        fields: name -> what the field must be where it is there: a type, or an object's own
            fields, all of which must be there.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged: it holds no object with named fields")
    for name, kind in fields.items():
        if value.get(name) is not None and not _is_like(value[name], kind):
            raise UserError(f"{path} is damaged: {name} is {brief(repr(value[name]))}")
    return value


def _is_like(value: object, kind: object) -> bool:
    """Whether a value is of a type, or an object with fields of theirs."""
    if isinstance(kind, type):
        return isinstance(value, int | float if kind is float else kind)
    assert isinstance(kind, Mapping)
    return isinstance(value, dict) and all(
        name in value and _is_like(value[name], each) for name, each in kind.items()
    )


def parse_json(
    text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """A small JSON value, bounded in size and depth, of text and numbers that can be written again.

    Args:
        pairs: makes an object of its fields and their values; a dict if there is none.

    Raises:
        ValueError: it is none; says why.
    """
    if len(text) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MB")
    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    pending = [(value, 0)]
    while pending:
        each, depth = pending.pop()
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        if isinstance(each, dict):
            pending += [(x, depth + 1) for pair in each.items() for x in pair]
        elif isinstance(each, list):
            pending += [(x, depth + 1) for x in each]
        elif isinstance(each, float) and not math.isfinite(each):
            raise ValueError(f"it holds a number that is not finite ({each})")
        elif isinstance(each, str) and _HALF.search(each):
            raise ValueError("it holds half of a surrogate pair, which is no text")
    return value


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: str | os.PathLike[str], names: Iterable[str] | None = None) -> None:
    """Notes the checksums of files in a folder, to tell later that they are as they were.

    The note, `SEAL`, appears last and whole: a folder without it was never finished. New files
    may be named, beside those that were noted before; else all there are.
    """
    folder = Path(folder)
    if names is None:
        known, new = {}, unsealed(folder, {})
    else:
        known, new = sealed(folder) or {}, list(names)
    write_json(folder / SEAL, known | _checksums(folder, new))


def flaw(folder: str | os.PathLike[str], names: Iterable[str] | None = None) -> str | None:
    """What is wrong with a sealed folder, or some files of it, in a few words; None if nothing is.

    Where none are named, each file there is must be sealed.
    """
    folder = Path(folder)
    known = sealed(folder)
    if known is None:
        return f"{SEAL} is {'damaged' if (folder / SEAL).exists() else 'missing'}"
    if names is None and (unknown := unsealed(folder, known)):
        return f"{SEAL} says nothing of {unknown[0]}"
    wanted = sorted(known) if names is None else list(names)
    for name in wanted:
        if name not in known:
            return f"{name} was never finished"
        if not (folder / name).is_file():
            return f"{name} is missing"
    try:
        found = _checksums(folder, wanted)
    except OSError as error:
        return f"{error.filename} cannot be read: {error.strerror}"
    return next((f"{name} is damaged" for name in wanted if found[name] != known[name]), None)


def check_seal(folder: Path, also: Iterable[str] = (), but: Iterable[str] = ()) -> None:
    """Refuses a folder that a command sealed and in which something was changed since (`changed`).

    Args:
        also: files that its seal must name, where they are there.
        but: files that may change.
    """
    if found := changed(folder, also, but):
        raise UserError(
            f"{folder} is not as it was written ({found}); write it anew, or, if it was changed on "
            f"purpose, remove {SEAL} in it"
        )


def changed(folder: Path, also: Iterable[str] = (), but: Iterable[str] = ()) -> str | None:
    """What was changed in a folder since a command sealed it, in a few words; None if nothing was.

    One without a seal was made by other programs, and nothing is known of it. Arguments are those
    of `check_seal`.
    """
    if not (folder / SEAL).exists():
        return None
    there = (name for name in also if (folder / name).exists())
    names = {*(sealed(folder) or ()), *there} - {*but}
    return flaw(folder, sorted(names))


def sealed(folder: Path) -> dict[str, str] | None:
    """The checksums that a seal notes, by name; None if there is none that can be read.

    What no seal of ours names, a file outside the folder, makes it one that cannot be read.
    """
    try:
        known = read_json(folder / SEAL)
    except UserError:
        return None
    if not isinstance(known, dict) or not all(isinstance(x, str) for x in known.values()):
        return None
    outside = (name for name in known if name.startswith("/") or ".." in name.split("/"))
    return None if next(outside, None) is not None else known


def unsealed(folder: Path, known: Mapping[str, str]) -> list[str]:
    """Files below a folder that its seal does not name."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name not in known and name != SEAL)


def _checksums(folder: Path, names: list[str]) -> dict[str, str]:
    # Several at once: hashing lets go of Python's lock, and disks like company.
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(names, pool.map(lambda name: checksum(folder / name), names), strict=True))


def reason(error: BaseException) -> str:
    """An error of another library in one line; of what the system refused, just that."""
    said = refused(error) or (str(error).strip() or type(error).__name__).splitlines()[0]
    said = _NUMBER.sub("", said)
    if _NO_CREDENTIALS.search(said):
        return f"there are no credentials for it on this machine ({said}); set them up first"
    if _NO_ACCESS.search(said):
        return f"access was refused ({said}); check your credentials and their permissions"
    return said


def refused(error: BaseException | None) -> str | None:
    """What the system refused, by an error or one behind it; None if that is not its cause."""
    errors = list(chain(error))
    for words, said in _REFUSED.items():
        if any(words in str(each) for each in errors):
            return said
    for each in errors:
        if isinstance(each, OSError) and each.errno and each.filename:
            name = os.fsdecode(each.filename) if not isinstance(each.filename, int) else ""
            return f"{brief(name)}: {each.strerror}"
    return None


def full(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, is that of a full disk."""
    return refused(error) == _FULL


def read_lines(path: str | os.PathLike[str], make: Callable[[Any], _Made]) -> list[_Made]:
    """What `write_lines` wrote, every line made into something.

    `make` may raise what a value of another shape makes it raise.
    """
    found = []
    try:
        with Path(path).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    found.append(make(parse_json(line)))
                except _OTHER_SHAPE:
                    raise UserError(
                        f"{path}, line {number} is damaged; remove the file to have it made again"
                    ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    return found
