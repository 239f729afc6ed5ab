"""Paths as people write them: expanded, checked, and shown. Nothing else expands a path."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mapl_jax.runtime.errors import UserError

# Control characters, what turns the direction of text, and halves of surrogate pairs.
OBEYED = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(f"[{OBEYED}]")
_LONG = 120


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the address of something in a bucket, such as gs://NAME/runs/rm."""
    return "://" in os.fspath(path)


def local(path: str | os.PathLike[str]) -> Path:
    """A path of a file system, with `~` expanded and `..` gone, whatever is there."""
    text = os.fspath(path)
    if is_address(text):
        raise UserError(
            f"{text} is no path, and only runs and models may lie in a bucket; mount the bucket as "
            "a folder (launch/mount_bucket.sh does) and give the folder"
        )
    _check(text)
    try:
        found = Path(text).expanduser()
        found.stat()
        return found
    except RuntimeError:
        raise UserError(f"{brief(text)}: no such user") from None
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UserError(f"{brief(text)} cannot be used: {error.strerror}") from None
    # By the system alone, `new/..` is nothing before `new` is there.
    shorter = len(Path(os.path.normpath(found)).parts) < len(found.parts)
    return Path(os.path.realpath(found)) if shorter else found


def cache_path(address: str | os.PathLike[str], kind: str) -> Path:
    """The folder of this machine for an address.

    Raises:
        UserError: it holds a control character, or nobody knows where the user's files lie.
    """
    _check(os.fspath(address))
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise UserError("this user has no home folder; set HOME or XDG_CACHE_HOME") from None
    name = hashlib.sha256(os.fspath(address).rstrip("/").encode()).hexdigest()[:24]
    return cache / "mapl_jax" / kind / name


def lock_of(path: str | os.PathLike[str]) -> Path:
    """The lock of a folder that one process of this machine works in."""
    name = os.fspath(path) if is_address(path) else os.path.realpath(local(path))
    return cache_path(name, "locks").with_suffix(".lock")


def _check(text: str) -> None:
    if _CONTROL.search(text):
        raise UserError(f"{brief(text)!r} holds a control character; give it another name")


def brief(text: str) -> str:
    """A path that fits into a message."""
    return text if len(text) <= _LONG else f"{text[: _LONG // 2]}...{text[-_LONG // 2 :]}"


def distinct_ends(paths: Sequence[Sequence[str]]) -> list[str]:
    """As much of the end of each path, given by its parts, as sets it apart from the others."""
    longest = max(map(len, paths))
    ends = [["/".join(path[-count:]) for path in paths] for count in range(1, longest + 1)]
    return next((some for some in ends if len({*some}) == len(paths)), ends[-1])


def here() -> Path:
    """The folder that this process works in."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UserError("the folder this was started in was removed; go to another one") from None


def shown(path: Path) -> str:
    """A path as people read it: from the folder they are in, if it is below that."""
    return str(path.relative_to(here()) if path.is_relative_to(here()) else path)
