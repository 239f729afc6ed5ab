"""Ctrl-C and SIGTERM while a command is imported, which takes seconds; imports nothing slow."""

import itertools
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
_STOPPED = 128 + signal.SIGTERM


def listen() -> None:
    """Ends a command of this package in one line, unless its signals were arranged by others."""
    begins = os.path.basename("".join(sys.argv[:1]))
    module = dict(itertools.pairwise(sys.orig_argv)).get("-m", "") if begins == "-m" else begins
    if module.partition(".")[0] not in ("mapl_jax", "mapl"):
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


def _interrupted(_: int, __: FrameType | None) -> None:
    _end("interrupted", INTERRUPTED)


def _stopped(_: int, __: FrameType | None) -> None:
    _end("stopped before anything began, as asked to by SIGTERM; run the same command", _STOPPED)


def _end(line: str, status: int) -> None:
    # Not an exception: what is being imported might take it for one of its own.
    os.write(2, f"{line}\n".encode())
    os._exit(status)
