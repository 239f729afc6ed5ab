"""Files that appear whole or not at all, and folders whose files are known to be as written."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from mapl_jax.runtime.errors import UserError, chain

SEAL = "checksums.json"
_Made = TypeVar("_Made")
# What reading a value raises that is of another shape than it should be.
_OTHER_SHAPE = (
    ValueError,
    OverflowError,
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


@contextmanager
def held(lock: Path, what: str) -> Iterator[None]:
    """Keeps other processes of this machine from what this one works on.

    Where no lock can be written, none is held. The system releases the lock of a process that
    dies.

    Args:
        lock: a file for the lock.
        what: is worked on, for the message.

    Raises:
        UserError: another process is at it.
    """
    note = lock.with_suffix(".pid")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        taken: AbstractContextManager[object] = FileLock(lock, timeout=0).acquire()
        note.write_text(str(os.getpid()))
    except Timeout:
        holder = note.read_text() if note.exists() else ""
        raise UserError(
            f"{what} is in use by another process{f' ({holder})' if holder else ''}; wait for it "
            "to end, or choose another --workdir"
        ) from None
    except (OSError, NotImplementedError):
        taken = nullcontext()
    with taken:
        yield


def sweep(folder: str | os.PathLike[str]) -> None:
    """Removes what writers that were killed left half-written in a folder."""
    for path in Path(folder).glob("*.part-*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the address of something in a bucket, such as gs://NAME/runs/rm."""
    return "://" in os.fspath(path)


def local(path: str | os.PathLike[str]) -> Path:
    """A path of a file system, whatever is mounted there.

    Raises:
        UserError: it is the address of a bucket, such as gs://NAME, which would become a folder of
            that name.
    """
    text = os.fspath(path)
    if is_address(text):
        raise UserError(
            f"{text} is no path, and only runs and models may lie in a bucket; mount the bucket as "
            "a folder (launch/mount_bucket.sh does) and give the folder"
        )
    return Path(text)


def check_target(path: str | os.PathLike[str]) -> Path:
    """Makes sure, before the work, that a file can be written; makes nothing yet.

    Raises:
        UserError: it cannot.
    """
    target = local(path).expanduser()
    if target.is_dir():
        raise UserError(f"{path} is a folder; name a file to write")
    there = next(parent for parent in target.absolute().parents if parent.exists())
    if not there.is_dir():
        raise UserError(f"cannot write {path}: {there} is a file and no folder")
    if not os.access(there, os.W_OK):
        raise UserError(f"cannot write {path}: no permission for the folder {there}")
    return target


def shown(path: Path) -> str:
    """A path as people read it: from the folder they are in, if it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


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


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: str | os.PathLike[str], names: Iterable[str] | None = None) -> None:
    """Notes the checksums of files in a folder, to tell later that they are as they were.

    The note, `SEAL`, appears last and whole: a folder without it was never finished.

    Args:
        folder: of the files.
        names: of the new ones, beside those that were noted before; None for all there are.
    """
    folder = Path(folder)
    if names is None:
        found = (
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        known, new = {}, sorted(name for name in found if name != SEAL)
    else:
        known, new = _known(folder) or {}, list(names)
    write_json(folder / SEAL, known | _checksums(folder, new))


def flaw(folder: str | os.PathLike[str], names: Iterable[str] | None = None) -> str | None:
    """What is wrong with a sealed folder, in a few words; None if nothing is.

    Args:
        folder: with a seal.
        names: files that are wanted; None for all that were sealed.
    """
    folder = Path(folder)
    known = _known(folder)
    if known is None:
        return f"{SEAL} is {'damaged' if (folder / SEAL).exists() else 'missing'}"
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


def _known(folder: Path) -> dict[str, str] | None:
    """What a seal says; None if there is none that can be read."""
    try:
        known = json.loads((folder / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _checksums(folder: Path, names: list[str]) -> dict[str, str]:
    # Several at once: hashing lets go of Python's lock, and disks like company.
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(names, pool.map(lambda name: checksum(folder / name), names), strict=True))


def reason(error: BaseException) -> str:
    """An error of another library in one line; of a full disk, just that."""
    if full(error):
        return "no space left on the disk"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def full(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, is that of a full disk. Libraries tell it in words."""
    words = ("No space left on device", "Disk quota exceeded")
    return any(word in str(each) for each in chain(error) for word in words)


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
