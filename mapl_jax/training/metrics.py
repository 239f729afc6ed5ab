"""Metrics of a run: metrics.jsonl, its loggers, and what the terminal shows."""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import tqdm

from mapl_jax.runtime import console
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import loggers

# Values that differ between two runs that are otherwise the same.
TIMING_KEYS = frozenset({"samples_per_second", "tokens_per_second", "seconds"})

_SHOWN = {
    "loss": "loss {:.3f}",
    "base_accuracy": "base {:.2f}",
    "intra_accuracy": "intra {:.2f}",
    "inter_accuracy": "inter {:.2f}",
    "samples_per_second": "{:.0f}/s",
}
_LINE_SECONDS = 300.0


class MetricsWriter:
    """Writes metrics while it is open, and shows how far training has come.

    Args:
        workdir: folder of metrics.jsonl.
        total_steps: last step of the run.
        resume_step: step that training goes on from. Lines of later steps, written before an
            interruption, are cut; with 0 the file begins anew.
        enabled: False does nothing at all, for every process but the first.
        to: names of loggers (see `loggers.LOGGERS`).
        name: of the run, for loggers.
        config: of the run, for loggers.

    Attributes:
        evaluated: step of the last evaluation in the log when it was opened; 0 for none.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        total_steps: int,
        resume_step: int,
        enabled: bool = True,
        to: Sequence[str] = ("tensorboard",),
        name: str = "",
        config: Mapping[str, Any] | None = None,
    ):
        self._workdir = Path(workdir)
        self._total = total_steps
        self._resume = resume_step
        self._enabled = enabled
        self.evaluated = 0
        self._last: dict[str, float] = {}
        self._lines: TextIO | None = None
        self._about = loggers.About(self._workdir, resume_step, name, config or {})
        self._to = tuple(to)
        self._loggers: list[loggers.Logger] = []
        self._progress: _Bar | _Lines | None = None

    def __enter__(self) -> Self:
        if not self._enabled:
            return self
        self._workdir.mkdir(parents=True, exist_ok=True)
        path = self._workdir / "metrics.jsonl"
        kept = _cut(path, self._resume)
        self.evaluated = max((line["step"] for line in kept if line["split"] == "eval"), default=0)
        self._lines = path.open("a", encoding="utf-8")
        self._loggers = [loggers.LOGGERS[name](self._about) for name in self._to]
        if console.verbosity() != "quiet":
            shown = _Bar if sys.stderr.isatty() else _Lines
            self._progress = shown(self._total, self._resume)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for part in (self._progress, self._lines, *self._loggers):
            if part is not None:
                part.close()
        self._progress = self._lines = None
        self._loggers = []

    def write(self, step: int, values: Mapping[str, float], split: str) -> None:
        """Appends a line, and a point to each curve of the loggers.

        Args:
            step: steps done.
            values: a value that is not finite is written as null.
            split: "train" or "eval".
        """
        if self._lines is None:
            return
        plain = {name: _plain(value) for name, value in values.items()}
        line = json.dumps({"step": step, "split": split, **plain}, allow_nan=False)
        self._lines.write(line + "\n")
        self._lines.flush()
        points = {f"{split}/{name}": value for name, value in plain.items() if value is not None}
        for logger in self._loggers:
            logger.write(step, points)
        if split == "train" and "samples_per_second" in values:
            self._last["samples_per_second"] = values["samples_per_second"]

    def progress(self, step: int, values: Mapping[str, float]) -> None:
        """Shows how far training is: a bar on a terminal, else a line every tenth of the way."""
        if self._progress is None:
            return
        # A small batch need not hold every level; the last known value stays.
        self._last |= {name: values[name] for name in _SHOWN if name in values}
        self._progress.show(step, self._last)


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, without a last one that was cut off while being written.

    Returns:
        One dict a line; an empty list if there is no such file.

    Raises:
        UserError: a line other than the last is damaged.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    while lines and not lines[-1].strip():
        lines.pop()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or type(record.get("step")) is not int:
            if number == len(lines):
                break
            raise UserError(
                f"{path}, line {number} is damaged; remove the line, which only the report reads"
            )
        records.append(record)
    return records


def _cut(path: Path, step: int) -> list[dict[str, Any]]:
    """Keeps the lines up to a step, none for step 0, and returns them."""
    kept = [record for record in read_metrics(path) if record["step"] <= step] if step else []
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    part.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    os.replace(part, path)
    return kept


def _plain(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _describe(values: Mapping[str, float], separator: str) -> str:
    return separator.join(
        form.format(values[name]) for name, form in _SHOWN.items() if name in values
    )


class _Bar:
    """A bar on a terminal."""

    def __init__(self, total: int, initial: int):
        self._bar = tqdm.tqdm(
            total=total,
            initial=initial,
            file=sys.stderr,
            ncols=console.columns(),
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {remaining} left{postfix}",
        )

    def show(self, step: int, values: Mapping[str, float]) -> None:
        self._bar.set_postfix_str(_describe(values, " "), refresh=False)
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, total: int, initial: int):
        self._total = total
        self._every = max(1, total // 10)
        self._first: tuple[int, float] | None = None
        self._shown = time.perf_counter()

    def show(self, step: int, values: Mapping[str, float]) -> None:
        now = time.perf_counter()
        first = self._first is None
        if self._first is None:
            # The first step compiles, so the clock starts after it.
            self._first = (step, now)
        due = first or step % self._every == 0 or step == self._total
        if not due and now - self._shown < _LINE_SECONDS:
            return
        self._shown = now
        line = f"step {step}/{self._total}  {_describe(values, '  ')}"
        began, clock = self._first
        if began < step < self._total:
            left = (now - clock) / (step - began) * (self._total - step)
            line += f"  {tqdm.tqdm.format_interval(left)} left"
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is held open."""
