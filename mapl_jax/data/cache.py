"""Folders of prepared data: named by what decides their content, sealed, and never half there."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from mapl_jax.runtime import console, files, outputs
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import local


def key(*parts: object) -> str:
    """A name for all that decides the content of a folder: a hash of values of JSON."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def is_usable(folder: Path, *, notify: bool = True) -> bool:
    """Whether a folder is there as it was made; a notice names one that is damaged."""
    flaw = files.flaw(folder)
    if flaw and notify and folder.exists():
        console.notice(f"the cache {folder} cannot be used ({flaw}) and is made anew")
    return flaw is None


def write(folder: Path, make: Callable[[Path], None], *, goes_on: bool = False) -> None:
    """Makes a folder under a temporary name, seals it, and gives it its own name.

    Args:
        folder: to make; what has its name is replaced.
        make: fills a folder that is there and empty.
        goes_on: leave what an interrupted `make` wrote to the next one, which must know it.
    """
    # `files.sweep` removes those with a number.
    part = folder.with_name(f".{folder.name}.part" + ("" if goes_on else f"-{os.getpid()}"))
    if not goes_on:
        shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True, exist_ok=True)
    try:
        make(part)
        files.seal(part)
        _clear(folder)
        os.replace(part, folder)
    finally:
        if not goes_on:
            shutil.rmtree(part, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Removes a folder that is made anew; keeps it aside if it holds files of others."""
    known = files.sealed(folder)
    if known is None or not files.unsealed(folder, known):
        shutil.rmtree(folder, ignore_errors=True)
        return
    kept = folder.with_name(f"{folder.name}.kept-{os.getpid()}")
    folder.rename(kept)
    console.notice(f"{folder} held files of others; they were moved to {kept}")


def ensure(folder: Path, make: Callable[[Path], None], *, goes_on: bool = False) -> None:
    """Makes a folder as `write` does, unless it is there as it was made."""
    if not is_usable(folder):
        write(folder, make, goes_on=goes_on)


@contextlib.contextmanager
def filling(shared: str, own: Path) -> Iterator[Path]:
    """The folder of prepared data, while it is filled.

    One that several runs share is filled by one of them at a time; the others wait.

    Args:
        shared: what `data.cache` says; empty for none.
        own: the cache of the run, used if none is shared.
    """
    if not shared:
        yield own
        return
    folder = shared_folder(shared)
    lock = folder / "lock"
    try:
        outputs.check_folder(folder, _is_cache)
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock).acquire()
    except UserError as error:
        raise UserError(f"data.cache: {error}") from None
    except OSError as error:
        raise UserError(
            f"cannot use the folder {folder} of data.cache: {error.strerror or error}"
        ) from None
    with held:
        yield folder


def _is_cache(folder: Path) -> bool:
    """Whether a folder holds what a cache does: nothing else, or a lock and other things too."""
    lock = folder / "lock"
    if lock.exists() and (not lock.is_file() or lock.stat().st_size):
        raise UserError(f"{lock} is not of this package, which would write over it; move it")
    rest = [path for path in folder.iterdir() if path != lock and not path.name.startswith(".")]
    own = [path.is_dir() and files.sealed(path) is not None for path in rest]
    return all(own) or (lock.exists() and any(own))


def shared_folder(name: str) -> Path:
    """The folder that `data.cache` names."""
    return local(name).absolute()
