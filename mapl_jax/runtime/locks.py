"""Locks: one process works in a place, and others are told which one. The system releases them."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from mapl_jax.runtime.errors import UserError


@contextmanager
def held(lock: Path, what: str, option: str = "--workdir") -> Iterator[None]:
    """Keeps other processes of this machine from what this one works on, which an option names.

    Where no lock can be written, none is held. The system releases the lock of a process that
    dies.
    """
    note = lock.with_suffix(".pid")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        taken: AbstractContextManager[object] = FileLock(lock, timeout=0).acquire()
        note.write_text(str(os.getpid()))
    except Timeout:
        raise _in_use(what, note.read_text() if note.exists() else "", option) from None
    except (OSError, NotImplementedError):
        taken = nullcontext()
    with taken:
        yield


def _in_use(what: str, holder: str, option: str) -> UserError:
    return UserError(
        f"{what} is in use by another process{f' (pid {holder})' if holder else ''}; wait for "
        f"it to end, or choose another {option}"
    )


class Sole:
    """Keeps other processes of this machine from a folder, those of other users too.

    As a context manager it lets go at its end, and the system does if the process dies.
    """

    def __init__(self) -> None:
        """Holds nothing yet."""
        self._descriptor: int | None = None

    def __enter__(self) -> "Sole":
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def take(self, folder: Path) -> None:
        """Takes the folder, once; where the system has no such lock, nothing is held."""
        if self._descriptor is not None:
            return
        try:
            import fcntl  # not on Windows

            descriptor = os.open(folder, os.O_RDONLY)
        except (ImportError, OSError):
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise _in_use(str(folder), holder, "--workdir") from None
        except OSError:
            os.close(descriptor)
        else:
            self._descriptor = descriptor


def _holder(descriptor: int) -> str:
    """Number of the process that has locked a folder; empty where the system does not say it."""
    end = f":{os.fstat(descriptor).st_ino}"
    try:
        locks = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    held = (line.split() for line in locks)  # 1: FLOCK ADVISORY WRITE 4711 fe:01:4242 0 EOF
    return next((it[4] for it in held if it[1] == "FLOCK" and it[5].endswith(end)), "")
