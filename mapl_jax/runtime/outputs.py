"""What a command may write: one rule, so that nothing of its user is lost.

A command writes a file or a folder that is new, empty, or its own by a mark that it left there.
Where it writes is never what it reads, nor within that, nor around it. Links are followed before
anything is compared, and stay.

Files of lines are known by the fields of the first one, pages by their first line, folders by the
seal (`files.SEAL`) that names all that is in them. A file that such a folder or a run holds is not
replaced alone, whatever it looks like.
"""

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mapl_jax.runtime import distributed, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import is_address, local

Mark = Callable[[Path], bool]
Name = str | os.PathLike[str]
PAGE = '<meta name="generator" content="mapl_jax">'
_HEAD = 1 << 16
# What tells that a folder is that of a run or of a study, and their files that have a mark of ours.
_OF_RUN, _MARKED = "origin.json", {"summary.json", "report.html", "study.html"}


def lines(*fields: str) -> Mark:
    """The mark of a file of JSON lines, or of one JSON object, that has these fields."""

    def is_own(path: Path) -> bool:
        with path.open("rb") as file:
            head = file.readline(_HEAD * 16)
            text = head if head.strip() != b"{" else head + file.read(_HEAD * 16)
        try:
            found = files.parse_json(text)
        except ValueError:
            return False
        return isinstance(found, dict) and found.keys() >= set(fields)

    return is_own


def page(path: Path) -> bool:
    """The mark of a page."""
    with path.open("rb") as file:
        return PAGE.encode() in file.read(_HEAD)


def whole(folder: Path) -> bool:
    """The mark of a folder that was written by `replacing`, and in which nothing was changed."""
    return files.flaw(folder) is None and named(folder)


def made_with(*names: str) -> Mark:
    """The mark of a `whole` folder with one of the files that tell whose it is; not a run's own."""

    def is_own(folder: Path) -> bool:
        of_run = (folder.parent / _OF_RUN).exists()
        return not of_run and any((folder / x).is_file() for x in names) and whole(folder)

    return is_own


def named(folder: Path) -> bool:
    """The mark of a folder whose seal names every file in it, changed or not."""
    known = files.sealed(folder)
    if not known:  # nor does a seal that names nothing tell whose a folder is
        return False
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found} <= {*known, files.SEAL}


def check_file(path: Name, own: Mark, inputs: Iterable[Name] = ()) -> Path:
    """Makes sure, before the work, that a file can be written, and gives where all links lead.

    Args:
        own: tells whether a file that is there is one that this command wrote.
        inputs: what the command reads; names of the hub, addresses and what is not there count for
            nothing.
    """
    target = _free(path, inputs)
    if target.is_dir() or os.fspath(path).endswith(os.sep):
        raise UserError(f"{path} is a folder; name a file to write")
    if target.exists() and not target.is_file():
        raise UserError(f"{path} is no regular file; name another one to write")
    if target.exists() and target.stat().st_size and not own(target):
        raise UserError(
            f"{path} is there and was not written by this command; remove it, or name another file"
        )
    if target.exists() and (whole := _part_of(target)):
        raise UserError(
            f"{path} is a part of {whole}, which is kept as it was written; name another file"
        )
    return target


def check_apart(**places: Name | None) -> None:
    """Makes sure that of the outputs of a command, given by name, none lies inside another."""
    given = {x: Path(os.path.realpath(local(path))) for x, path in places.items() if path}
    for (name, one), (other, two) in itertools.combinations(given.items(), 2):
        if one == two or one in two.parents or two in one.parents:
            raise UserError(
                f"{name} ({places[name]}) and {other} ({places[other]}): neither may lie inside "
                "the other"
            )


def _part_of(file: Path) -> Path | None:
    """The folder that a file belongs to, by a seal that names it or because it is of a run."""
    for folder in file.parents:
        name = file.relative_to(folder)
        if name.as_posix() in (files.sealed(folder) or ()):
            return folder
        if (folder / _OF_RUN).exists() and (len(name.parts) > 1 or name.name in _MARKED):
            return folder
    return None


def check_folder(path: Name, own: Mark, inputs: Iterable[Name] = ()) -> Path:
    """Makes sure, before the work, that a folder can be written, as `check_file` does."""
    target = _free(path, inputs)
    if target.exists() and not target.is_dir():
        raise UserError(f"{path} is a file; name a folder to write")
    if target.is_dir() and any(target.iterdir()) and not own(target):
        raise UserError(
            f"{path} holds other files than those that this command wrote, or they were changed; "
            "name another folder, or empty it"
        )
    return target


def _free(path: Name, inputs: Iterable[Name]) -> Path:
    """Where an output lies, which is no input and can be written."""
    if not os.fspath(path).strip():
        raise UserError("there is no place to write to; give one that has a name")
    target = Path(os.path.realpath(local(path)))
    for name in inputs:
        if not os.fspath(name) or is_address(name):
            continue
        other = Path(os.path.realpath(local(name)))
        if not other.exists():
            continue
        if target == other or (target.exists() and target.samefile(other)):
            raise UserError(f"{path} is an input of this command; name another place to write to")
        if target in other.parents or other in target.parents:
            where = "lies in" if other in target.parents else "holds"
            raise UserError(f"{path} {where} the input {name}; name another place to write to")
    there = next(place for place in (target, *target.parents) if place.exists())
    if there != target and not there.is_dir():
        raise UserError(f"cannot write {path}: {there} is a file and no folder")
    if not os.access(there if there.is_dir() else there.parent, os.W_OK):
        raise UserError(
            f"cannot write {path}: no permission for the folder {there}, or it is on a file system "
            "that is read-only"
        )
    return target


@contextmanager
def replacing(target: Path, own: Mark = whole) -> Iterator[Path]:
    """A folder to fill, which is sealed and takes the target's place at the end.

    Nothing is left after an error. All processes see the same folder; the first one makes it and
    moves it, the others wait until it has its name.
    """
    target = check_folder(target, own)
    # Process 0 may have had much to write before, for which no collective waits.
    distributed.wait_for_all(f"a folder {target.name} to come")
    number = distributed.broadcast_from_main(os.getpid())
    part = target.with_name(f".{target.name}.part-{number}")
    old = target.with_name(f".{target.name}.old-{number}")
    if not distributed.is_main_process():
        yield part
    else:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            files.sweep(target.parent, target.name)
            _bring_back(target)
            part.mkdir()
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror or error}") from error
        try:
            yield part
            files.seal(part)
            if check_folder(target, own).exists():  # what came there meanwhile is not ours
                target.rename(old)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
    distributed.wait_for_all("a folder has its name")


def _bring_back(target: Path) -> None:
    """Gives a folder its name again where a kill came between two, and removes what is left."""
    own = re.compile(rf"\.{re.escape(target.name)}\.old-\d+")
    for path in target.parent.iterdir():
        if own.fullmatch(path.name) and path.is_dir() and named(path):
            if target.exists():
                files.remove(path)
            else:
                path.rename(target)
