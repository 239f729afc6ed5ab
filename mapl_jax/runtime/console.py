"""Tables for a terminal."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tqdm

from mapl_jax.runtime.errors import UserError


def text_table(cells: Sequence[Sequence[str]], footnotes: Sequence[str]) -> str:
    """A table with its first column to the left and all others to the right.

    Args:
        cells: the header and the rows.
        footnotes: lines below the table.
    """
    header, *rows = cells
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:], rule, *footnotes])


LEVELS = ("quiet", "normal", "verbose")

# Work that is done sooner needs no sign of life.
PATIENCE = 2.0
_LINE_SECONDS = 30.0
_COLUMNS = 100

_level = LEVELS.index("normal")


def set_verbosity(level: str) -> None:
    """Sets how much is said from now on.

    Args:
        level: "quiet" (results alone), "normal" or "verbose".

    Raises:
        UserError: it is none of them.

    Example:
        >>> import mapl_jax
        >>> mapl_jax.set_verbosity("quiet")
    """
    global _level
    if level not in LEVELS:
        raise UserError(f"verbosity is {level!r}; choose one of {', '.join(LEVELS)}")
    _level = LEVELS.index(level)


def verbosity() -> str:
    """How much is said: "quiet", "normal" or "verbose"."""
    return LEVELS[_level]


def result(*lines: Any) -> None:
    """Prints what the user asked for, at every level."""
    _print(lines, sys.stdout)


def say(*lines: Any) -> None:
    """Prints what is going on; quiet leaves it out."""
    if _level >= LEVELS.index("normal"):
        _print(lines, sys.stdout)


def ask(prompt: str) -> None:
    """Prints what someone answers in the same line."""
    print(prompt, end="", flush=True)


def detail(*lines: Any) -> None:
    """Prints what only someone who looks for a reason wants to know."""
    if _level >= LEVELS.index("verbose"):
        _print(lines, sys.stdout)


def warn(text: str) -> None:
    """Prints what may be wrong, to stderr, at every level."""
    _print([f"warning: {text}"], sys.stderr)


def notice(text: str) -> None:
    """Prints what went wrong and was mended, to stderr, at every level."""
    _print([f"notice: {text}"], sys.stderr)


def error(text: str) -> None:
    """Prints what a user has to mend, to stderr, at every level and from every process."""
    print(f"error: {text}", file=sys.stderr, flush=True)


def interrupted() -> None:
    """Says that Ctrl-C ended the command."""
    print("interrupted", file=sys.stderr, flush=True)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """A detail: how long the block took."""
    began = time.perf_counter()
    yield
    detail(f"{what}: {time.perf_counter() - began:.1f} s")


@contextlib.contextmanager
def progress(
    what: str, unit: str = "", *, shown: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """Shows how far something has come, once it has taken two seconds.

    A bar on a terminal; elsewhere a line every half minute.

    Args:
        what: is being done, such as "scoring".
        unit: of what is counted, such as "rows".
        shown: False shows nothing.

    Yields:
        A function of (how many are done, how many there are; 0 if that is not known).
    """
    bar: _Bar | _Lines | None = None
    if shown and speaks() and _level >= LEVELS.index("normal"):
        bar = (_Bar if sys.stderr.isatty() else _Lines)(what, unit)
    try:
        yield bar.show if bar else lambda done, total: None
    finally:
        if bar:
            bar.close()


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows that something goes on which cannot say how far it has come, such as a compiler.

    A line once it has taken two seconds, and one every half minute.

    Args:
        what: is being done, such as "compiling the step".
    """
    ended = threading.Event()
    began = time.perf_counter()

    def show() -> None:
        pause = PATIENCE
        while not ended.wait(pause):
            text = f"{what}: {time.perf_counter() - began:.0f} s"
            tqdm.tqdm.write(text, file=sys.stderr)  # above a bar, if there is one
            sys.stderr.flush()
            pause = _LINE_SECONDS

    shown = speaks() and _level >= LEVELS.index("normal")
    thread = threading.Thread(target=show, daemon=True) if shown else None
    if thread:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread:
            thread.join()


def speaks() -> bool:
    """Whether this is the first process of a run, the one that prints."""
    jax = sys.modules.get("jax")
    # Not before jax has started: asking for the process would start it.
    return jax is None or not jax.distributed.is_initialized() or jax.process_index() == 0


def columns() -> int:
    """Width of a bar on this terminal."""
    return min(shutil.get_terminal_size().columns, _COLUMNS)


def _print(lines: Any, file: Any) -> None:
    if speaks():
        print(*(lines or ("",)), sep="\n", file=file, flush=True)


class _Bar:
    """A bar that appears late and leaves nothing behind."""

    def __init__(self, what: str, unit: str):
        self._what, self._unit = what, unit
        self._due = time.perf_counter() + PATIENCE
        self._bar: tqdm.tqdm | None = None

    def show(self, done: int, total: int) -> None:
        if self._bar is None:
            if time.perf_counter() <= self._due:
                return
            self._bar = tqdm.tqdm(
                desc=self._what,
                unit=f" {self._unit}" if self._unit else "",
                initial=done,
                total=total or None,
                file=sys.stderr,
                ncols=columns(),
                leave=False,
            )
        self._bar.total = total or None
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, what: str, unit: str):
        self._what, self._unit = what, unit
        self._shown = time.perf_counter() + PATIENCE - _LINE_SECONDS

    def show(self, done: int, total: int) -> None:
        now = time.perf_counter()
        if now - self._shown < _LINE_SECONDS or done == total:
            return
        self._shown = now
        of = f" of {total}" if total else ""
        unit = f" {self._unit}" if self._unit else ""
        print(f"{self._what}: {done}{of}{unit}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is held open."""
