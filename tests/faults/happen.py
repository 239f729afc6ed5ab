"""What may happen to a process of a run."""

import errno
import os
import signal
import sys

from mapl_jax.runtime.errors import UserError


def happen(kind):
    """A user's mistake, a bug, what the system refuses, an exit, or a signal."""
    if kind == "mistake":
        raise UserError("a file of this process alone is bad")
    if kind == "bug":
        raise RuntimeError("a bug")
    if kind == "refusal":
        raise PermissionError(errno.EACCES, "Permission denied", "/a/file")
    if kind == "exit":
        sys.exit(7)
    os.kill(os.getpid(), getattr(signal, kind))
