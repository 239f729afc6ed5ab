"""Ctrl-C and SIGTERM while a command is imported, which takes seconds, and SIGTERM from then on.

Imports nothing slow.
"""

import contextlib
import functools
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from mapl_jax.runtime.errors import Stopped

INTERRUPTED = 128 + signal.SIGINT
STOPPED = 128 + signal.SIGTERM


def of_command() -> bool:
    """Whether this process runs a command of this package, as far as its command line says."""
    begins = os.path.basename("".join(sys.argv[:1]))
    module = dict(itertools.pairwise(sys.orig_argv)).get("-m", "") if begins == "-m" else begins
    return module.partition(".")[0] in ("mapl_jax", "mapl")


def listen() -> None:
    """Ends a command of this package in one line, unless its signals were arranged by others."""
    if not of_command():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stopped)


def leave() -> None:
    """Gives the signals back to Python: imports are done."""
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is _stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Within, SIGTERM raises `Stopped` once, unless it was arranged by others."""
    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raised)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raised(_: int, __: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def _end(line: str, status: int, *_: object) -> None:
    # Not an exception: what is being imported might take it for one of its own.
    os.write(2, f"{line}\n".encode())
    os._exit(status)


_EARLY = "stopped by SIGTERM before anything began; run the same command again"
_interrupted = functools.partial(_end, "interrupted", INTERRUPTED)
_stopped = functools.partial(_end, _EARLY, STOPPED)
