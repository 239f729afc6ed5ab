"""What a terminal shows: messages, tables, and how far work has come."""

import contextlib
import os
import re
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TextIO

with warnings.catch_warnings():
    # Libraries import this one, which warns in a notebook without ipywidgets (tqdm 4.67).
    warnings.simplefilter("ignore")
    import tqdm.auto

from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.errors import Unread, UserError
from mapl_jax.runtime.paths import OBEYED


class Table(NamedTuple):
    """Rows of cells, the first of which is the header, and what is said below them."""

    cells: Sequence[Sequence[str]]
    footnotes: Sequence[str] = ()

    def __str__(self) -> str:
        """As text, with the first column to the left and all others to the right."""
        widths = [max(map(len, column)) for column in zip(*self.cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in self.cells
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self.footnotes])


_OBEYED = re.compile(rf"(?![\t\n])[{OBEYED}]")
LEVELS = ("quiet", "normal", "verbose")

# Work that is done sooner needs no sign of life.
PATIENCE = 2.0
_LINE_SECONDS = 30.0
_COLUMNS = 100

_level = LEVELS.index("normal")


@checked()
def set_verbosity(level: str) -> None:
    """Sets how much is said from now on.

    Args:
        level: "quiet" (results alone), "normal" or "verbose".

    Raises:
        UserError: it is none of them.

    Examples:
        >>> import mapl_jax
        >>> mapl_jax.set_verbosity("quiet")
    """
    global _level
    if level not in LEVELS:
        raise UserError(f"verbosity is {level!r}; choose one of {', '.join(LEVELS)}")
    _level = LEVELS.index(level)


def result(*lines: object) -> None:
    """Prints what the user asked for, at every level."""
    _print(lines, sys.stdout)


def say(*lines: object) -> None:
    """Prints what is going on; quiet leaves it out."""
    if _level >= LEVELS.index("normal"):
        _print(lines, sys.stdout)


def say_each(lines: Iterable[object]) -> None:
    """Prints lines, and nothing where there are none."""
    for line in lines:
        say(line)


def ask(prompt: str) -> None:
    """Prints what someone answers in the same line."""
    with _reading(sys.stdout):
        print(prompt, end="", flush=True)


def detail(*lines: object) -> None:
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
    with contextlib.suppress(OSError):  # nobody reads it
        print(f"error: {plain(text)}".replace("\n", "\\n"), file=sys.stderr, flush=True)


def interrupted() -> None:
    """Says that Ctrl-C ended the command."""
    print("interrupted", file=sys.stderr, flush=True)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """A detail: how long the block took."""
    began = time.perf_counter()
    yield
    detail(f"{what}: {time.perf_counter() - began:.1f} s")


def progress(
    what: str, unit: str = "", *, shown: bool = True, **how: Any
) -> contextlib.AbstractContextManager[Callable[..., None]]:
    """Shows how far something ("scoring") has come in some unit ("rows"), by `Progress.show`.

    A bar on a terminal and in a notebook; elsewhere a line every half minute; nothing before two
    seconds are over. `how` is for `Progress`.
    """
    if shown and speaks() and _level >= LEVELS.index("normal"):
        return Progress(what, unit, **how)
    return contextlib.nullcontext(lambda done, total, note="": None)


class Progress:
    """A bar on a terminal and in a notebook, and elsewhere a line now and then, within a block."""

    def __init__(
        self,
        what: str,
        unit: str = "",
        *,
        patience: float | None = None,
        pause: float = _LINE_SECONDS,
        parts: int = 0,
        leave: bool = False,
    ):
        """Shows nothing yet.

        Args:
            patience: seconds before anything is shown; None for the usual two.
            pause: seconds between two lines.
            parts: a line also when another of so many parts of the whole is done; 0 for none.
            leave: whether the bar stays at the end, as far as it came.
        """
        self._what, self._unit = what, f" {unit}" if unit else ""
        self._pause, self._parts, self._leave = pause, parts, leave
        self._due = time.perf_counter() + (PATIENCE if patience is None else patience)
        # How many were done at the first call, and when: the start may have been slow.
        self._first: tuple[int, float] | None = None
        self._last = ""  # the line that was shown last
        self._now = (0, 0, "")
        self._bar: tqdm.tqdm | None = None

    def show(self, done: int, total: int, note: str = "") -> None:
        """Shows how far it is, and a note, if that is due; a total of 0 is not known."""
        now = time.perf_counter()
        self._now = (done, total, note)
        self._first = self._first or (done, now)
        if in_notebook() or sys.stderr.isatty():
            if now > self._due:
                self._draw(*self._now)
        elif self._is_due(now):
            self._write(now)

    def __enter__(self) -> Callable[..., None]:
        return self.show

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        done, total, note = self._now
        self._now = (done if self._leave else total or done, total, note)
        if self._last and kind is None:  # it was shown that it began
            self._write(time.perf_counter())
        if self._bar is not None:
            self._bar.close()

    def _is_due(self, now: float) -> bool:
        done, total, _ = self._now
        if not done:
            return False
        of_part = self._parts and (
            not self._last or done == total or done % max(1, total // self._parts) == 0
        )
        return bool(of_part) or (now >= self._due and done != total)

    def _write(self, now: float) -> None:
        done, total, note = self._now
        began, clock = self._first or (0, now)
        of = f"/{total}" if total else ""
        pieces = [f"{self._what} {done}{of}{self._unit}", note]
        if began < done < total:
            left = (now - clock) / (done - began) * (total - done)
            pieces.append(f"{tqdm.tqdm.format_interval(left)} left")
        line = "  ".join(filter(None, pieces))
        if line != self._last:
            _print([line], sys.stderr)
        self._last, self._due = line, now + self._pause

    def _draw(self, done: int, total: int, note: str) -> None:
        if self._bar is None:
            counted = "{n_fmt}/{total_fmt}{unit} {remaining} left" if total else "{n_fmt}{unit}"
            bar = "{percentage:3.0f}%|{bar}| " if total else ""
            self._bar = tqdm.tqdm(
                desc=self._what,
                unit=self._unit,
                bar_format=f"{bar}{self._what} {counted}{{postfix}}",
                initial=done,
                total=total or None,
                file=sys.stdout if in_notebook() else sys.stderr,
                ncols=columns(),
                leave=self._leave and not in_notebook(),
            )
        self._bar.total = total or None
        self._bar.set_postfix_str(note.replace("  ", " "), refresh=False)
        self._bar.update(done - self._bar.n)


@contextlib.contextmanager
def waiting(doing: str, done: str) -> Iterator[None]:
    """Shows that something goes on which cannot say how far it has come, such as a compiler.

    A line ("compiling ...") once it has taken two seconds, one every half minute, and one at its
    end ("compiled in 9 s"); in a notebook one that is gone at the end.
    """
    ended = threading.Event()
    began = time.perf_counter()
    shown = False

    def show() -> None:
        nonlocal shown
        if ended.wait(PATIENCE):
            return
        shown = True
        detail_of = ""
        while True:
            if in_notebook():
                print(f"\r{doing} ...{detail_of}", end="", flush=True)
            else:
                _print([f"{doing} ...{detail_of}"], sys.stderr)
            if ended.wait(_LINE_SECONDS):
                return
            detail_of = f" {time.perf_counter() - began:.0f} s so far"

    thread = None
    if speaks() and _level >= LEVELS.index("normal"):
        thread = threading.Thread(target=show, daemon=True)
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread:
            thread.join()
    if shown and in_notebook():
        print(f"\r{'':{_COLUMNS}}\r", end="", flush=True)
    elif shown:
        _print([f"{done} in {time.perf_counter() - began:.0f} s"], sys.stderr)


def speaks() -> bool:
    """Whether this is the first process of a run, the one that prints."""
    jax = sys.modules.get("jax")
    # Not before jax has started: asking for the process would start it.
    return jax is None or not jax.distributed.is_initialized() or jax.process_index() == 0


def in_notebook() -> bool:
    """Whether a notebook shows what is printed; it shows stderr in red, as what went wrong."""
    return type(sys.stdout).__module__.startswith("ipykernel.")


def counted(count: int, words: str) -> str:
    """A count and what is counted, as in "1 sample cut" and "2 samples cut"; `words` is plural."""
    noun, *rest = words.split(" ", 1)
    return " ".join([f"{count:,}", noun.removesuffix("s") if count == 1 else noun, *rest])


def columns() -> int:
    """Width of a bar on this terminal."""
    return _COLUMNS if in_notebook() else min(shutil.get_terminal_size().columns, _COLUMNS)


def plain(text: str) -> str:
    """A text with its control characters written out, so that a terminal obeys only line ends."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _print(lines: Sequence[object], file: TextIO | None) -> None:
    if file is not None and speaks():  # None where it was closed (`>&-`)
        text = plain("\n".join(map(str, lines or ("",))))
        encoding = file.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        with _reading(file):
            tqdm.tqdm.write(text, file=file)  # above a bar, if there is one
            file.flush()


@contextlib.contextmanager
def _reading(file: TextIO) -> Iterator[None]:
    """Within, a stream that nobody reads any more is `Unread`."""
    try:
        yield
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # what is left, also at exit, goes nowhere
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, file.fileno())
            os.close(nothing)
        raise Unread(
            "nobody reads any more what this command prints; what was finished is as it was"
        ) from None
