"""Metrics of a run: metrics.jsonl, its loggers, and what the terminal shows."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

from mapl_jax.runtime import console
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import content, parse_json, write_lines
from mapl_jax.training import loggers

# Values that differ between two runs that are otherwise the same.
TIMING_KEYS = frozenset({"samples_per_second", "tokens_per_second", "seconds"})

METRICS = "metrics.jsonl"
SPLITS = ("train", "eval")
_SHOWN = {
    "loss": "loss {:.3f}",
    "base_accuracy": "base {:.2f}",
    "intra_accuracy": "intra {:.2f}",
    "inter_accuracy": "inter {:.2f}",
}
_RATE = "samples_per_second"
_LINE_SECONDS = 300.0


class MetricsWriter:
    """Writes metrics while it is open, and shows how far training has come.

    Args:
        resume_step: step that training goes on from. Lines of later steps, written before an
            interruption, are cut; with 0 the file begins anew.
        enabled: False does nothing at all, for every process but the first.
        to: names of loggers (see `loggers.LOGGERS`), which get name and config of the run.

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
        config: Mapping[str, object] | None = None,
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
        self._bar = contextlib.ExitStack()
        self._show: Callable[..., None] | None = None

    def __enter__(self) -> Self:
        if not self._enabled:
            return self
        self._workdir.mkdir(parents=True, exist_ok=True)
        path = self._workdir / METRICS
        lines = read_metrics(path) if self._resume else []
        kept = [line for line in lines if line["step"] <= self._resume]
        write_lines(path, kept)
        self.evaluated = max((line["step"] for line in kept if line["split"] == "eval"), default=0)
        self._lines = path.open("a", encoding="utf-8")
        self._loggers = [loggers.LOGGERS[name](self._about) for name in self._to]
        self._show = self._bar.enter_context(
            console.progress("step", patience=0.0, pause=_LINE_SECONDS, parts=10, leave=True)
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)
        for part in (self._lines, *self._loggers):
            if part is not None:
                part.close()
        self._lines = self._show = None
        self._loggers = []

    def write(self, step: int, values: Mapping[str, float], split: str) -> None:
        """Appends a line, and a point to each curve of the loggers; null for what is not finite.

        An evaluation that the file has already is left as it is.
        """
        if self._lines is None or (split == "eval" and step <= self.evaluated):
            return
        plain = {name: _plain(value) for name, value in values.items()}
        line = json.dumps({"step": step, "split": split, **plain}, allow_nan=False)
        self._lines.write(line + "\n")
        self._lines.flush()
        self._check_there()
        points = {f"{split}/{name}": value for name, value in plain.items() if value is not None}
        for logger in self._loggers:
            logger.write(step, points)
        if split == "train" and _RATE in values:
            self._last[_RATE] = values[_RATE]

    def _check_there(self) -> None:
        """Writing to a file that was removed raises no error."""
        path = self._workdir / METRICS
        assert self._lines is not None
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(self._lines.fileno())):
            raise UserError(
                f"{path} was removed or replaced while the run wrote to it; the run folder has to "
                "stay as it is until the run ends"
            )

    def progress(self, step: int, values: Mapping[str, float]) -> None:
        """Shows how far training is: a bar on a terminal, else a line every tenth of the way."""
        if self._show is None:
            return
        # A small batch need not hold every level; the last known value stays.
        self._last |= {name: values[name] for name in _SHOWN if name in values}
        self._show(step, self._total, _describe(self._last))


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, without a last one that was cut off; [] if there is no file."""
    try:
        lines = content(path).split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = parse_json(line)
            if type(record["step"]) is not int or record["split"] not in SPLITS:
                raise ValueError
        except (ValueError, LookupError, TypeError):
            if number == len(lines):
                break
            raise UserError(
                f"{path}, line {number} is damaged; remove the line, which only the report reads"
            ) from None
        records.append(record)
    return records


def _plain(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _describe(values: Mapping[str, float]) -> str:
    shown = [form.format(values[name]) for name, form in _SHOWN.items() if name in values]
    if rate := values.get(_RATE):
        shown.append(f"{rate:.0f} samples/s" if rate >= 10 else f"{rate:.2g} samples/s")
    return "  ".join(shown)
