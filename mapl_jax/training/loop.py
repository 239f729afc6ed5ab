"""The loop around the step: feeding, logging, evaluating, saving.

It never waits for the device except to read the metrics of the step before, once the next one is
under way.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import jax
import numpy as np

from mapl_jax.data.loader import Batch
from mapl_jax.models import saving
from mapl_jax.models.parameters import Params
from mapl_jax.runtime import console
from mapl_jax.runtime.errors import Stopped, UserError
from mapl_jax.runtime.files import write_json
from mapl_jax.runtime.paths import shown
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.training import sums
from mapl_jax.training.metrics import MetricsWriter
from mapl_jax.training.preemption import Preemption
from mapl_jax.training.step import StepMetrics, TrainState, to_floats
from mapl_jax.training.watch import Watch

# Skipped steps in a row with which a run ends: it learns nothing any more.
MAX_SKIPS = 100


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When a loop does what, in steps: lines of the log, evaluations and checkpoints.

    0 stands for no evaluation in between, and for no checkpoint but the last.
    """

    steps: int
    log_every: int = 1
    eval_every: int = 0
    save_every: int = 0

    def due(self, every: int, step: int) -> bool:
        """Whether something is due once `step` steps are done."""
        return bool(every) and step % every == 0 and step < self.steps

    def evaluates(self, step: int, watch: Watch, last: bool = False) -> bool:
        """Whether there is an evaluation then; the last step has one where it may be the best."""
        last = (last or step == self.steps) and bool(watch.metric)
        return last or self.due(self.eval_every, step)


def train(
    state: TrainState,
    step_function: Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]],
    batches: Iterator[Batch],
    schedule: Schedule,
    *,
    start: int,
    to_device: Callable[[Batch], Batch],
    writer: MetricsWriter,
    evaluate: Callable[[Params, int], Mapping[str, float]],
    save: Callable[[int, TrainState], None],
    epoch_at: Callable[[int], float],
    preemption: Preemption | None = None,
    on_nonfinite: Callable[[int, Mapping[str, float], jax.Array], None],
    evaluate_first: bool = False,
    watch: Watch | None = None,
) -> TrainState:
    """Trains from step `start` to the end, or until the watch says so; gives the last state.

    Args:
        state: donated; do not use it afterwards.
        batches: this host's batches from step `start` on.
        start: steps done so far.
        to_device: makes a global batch of this host's part.
        evaluate: metrics of parameters at a step.
        epoch_at: epochs done after a number of steps.
        preemption: says when to stop; None never does.
        on_nonfinite: called with a step, its metrics and `StepMetrics.rows` where a number was not
            finite and the step changed nothing; raises, or lets training go on.
        evaluate_first: evaluate before the first step, if that is due after step `start`: a run
            that was stopped may have left it out.
        watch: sees all metrics; may stop the training, and asks for checkpoints of its own.

    Raises:
        Stopped: it was asked for; the state is being saved.
    """
    stop, watch = preemption or Preemption(), watch or Watch()
    log = _Log(writer, schedule, epoch_at, on_nonfinite, watch)
    if evaluate_first and schedule.evaluates(start, watch, last=bool(watch.reason)):
        log.evaluated(start, evaluate(state.params, start))
    if watch.agreed():
        return state
    with stop.held():
        for step in range(start, schedule.steps):
            batch = to_device(next(batches))
            sign = log.compiling() if step == start else nullcontext()
            # Nothing else may move between host and device inside a step.
            with sign, jax.transfer_guard("disallow"):
                state, metrics = step_function(state, batch)
            done = step + 1
            log.take(done, metrics)
            stops, ends = stop.reached(), watch.ends(done)
            saves = schedule.due(schedule.save_every, done) or done == schedule.steps
            if not (saves or stops or ends or schedule.evaluates(done, watch)):
                continue
            with log.paused():
                ends = watch.agreed()
                # Evaluated first: a run that goes on from the checkpoint then has both.
                if schedule.evaluates(done, watch, last=ends) and not stops:
                    try:
                        with stop.released():
                            values = evaluate(state.params, done)
                        log.evaluated(done, values)
                    except Stopped:
                        stops = True
                ends = ends or watch.agreed()
                if saves or stops or ends or done == watch.progress["best"]:
                    save(done, state)
            if ends:
                break
            if stops:
                raise Stopped(f"after step {done} of {schedule.steps}", saved=True)
    return state


@dataclasses.dataclass
class _Log:
    """Metrics of steps, read once the next step is under way; times of what lies between them."""

    writer: MetricsWriter
    schedule: Schedule
    epoch_at: Callable[[int], float]
    on_nonfinite: Callable[[int, Mapping[str, float], jax.Array], None]
    watch: Watch
    _pending: tuple[int, StepMetrics] | None = None
    _samples: float = 0.0
    _tokens: float = 0.0
    _skips: int = 0

    def __post_init__(self) -> None:
        self._clock = self._window = time.perf_counter()

    def take(self, done: int, metrics: StepMetrics) -> None:
        """Keeps the metrics of a step, and reads those of the step before."""
        self._read()
        self._pending = (done, metrics)

    def evaluated(self, done: int, values: Mapping[str, float]) -> None:
        """Writes the metrics of an evaluation, and shows them to the watch."""
        self.writer.write(done, values, "eval")
        self.watch.evaluated(done, values)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Reads what is pending; what is done within does not count as training."""
        self._read()
        began = time.perf_counter()
        yield
        self._window += time.perf_counter() - began

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Says that a step is compiled, as the first one is; that does not count as training."""
        began = time.perf_counter()
        with console.waiting("compiling the step", "compiled the step"):
            yield
        self._window += time.perf_counter() - began

    def _read(self) -> None:
        if self._pending is None:
            return
        (done, measured), self._pending = self._pending, None
        # The rows of all devices are not looked at unless something is wrong.
        rows, measured = measured.rows, jax.device_get(measured._replace(rows=measured.finite))
        values = to_floats(measured)
        self._skips = 0 if measured.finite else self._skips + 1
        if not measured.finite:
            self.on_nonfinite(done, values, rows)
        if self._skips == MAX_SKIPS or measured.skipped == self.schedule.steps:
            raise UserError(
                f"the last {self._skips} steps were not finite and were skipped: the model no "
                "longer learns; lower train.learning_rate, look at the samples in nonfinite/, and "
                "begin in another --workdir"
            )
        self.watch.stepped(done, values)
        self._samples += sums.samples(measured.sums)
        self._tokens += values["num_tokens"]
        if done % self.schedule.log_every == 0 or done == self.schedule.steps:
            now = time.perf_counter()
            seconds = now - self._window
            values["epoch"] = self.epoch_at(done)
            values["samples_per_second"] = self._samples / seconds
            values["tokens_per_second"] = self._tokens / seconds
            values["seconds"] = now - self._clock
            self.writer.write(done, values, "train")
            self._samples, self._tokens, self._window = 0.0, 0.0, now
        self.writer.progress(done, values)


def write_nonfinite(
    folder: RunFolder,
    sample_ids: Callable[[int], list[list[str]]],
    step: int,
    values: Mapping[str, float],
    rows: Any,
    *,
    stops: bool,
) -> None:
    """Keeps which samples a step was made of that was not finite, in nonfinite/STEP.json.

    All processes call it; it brings together what they know of their rows.

    Args:
        sample_ids: of the rows of the batch of a step.
        rows: whether the numbers of each row were finite, [A, R].
        stops: whether the run ends; else it goes on without the step.
    """
    finite = saving.gather(rows).reshape(-1)
    members = sample_ids(step - 1)
    # With every row finite on the way forward, any of them may be the cause.
    suspects = np.flatnonzero(~finite) if not finite.all() else np.arange(len(members))
    numbers = {name: str(values[name]) for name in ("loss", "grad_norm", "learning_rate")}
    path = folder.nonfinite / f"{step}.json"
    if jax.process_index() == 0:
        suspected = [{"row": int(row), "samples": members[row]} for row in suspects]
        write_json(
            path, {"step": step, **numbers, "forward": bool(not finite.all()), "rows": suspected}
        )
    of_step = [values["loss"], values["grad_norm"]]
    after = "; the parameters after it" if np.isfinite(of_step).all() else ""
    what = (
        f"step {step} gave numbers that are not finite (loss {numbers['loss']}, gradient norm "
        f"{numbers['grad_norm']}{after}); its samples are listed in {shown(path)}"
    )
    if stops:
        raise UserError(
            f"{what}. The same command would fail at this step again: look at these samples, or "
            "start again with another --workdir and either a lower --config.train.learning_rate or "
            "--config.train.on_nonfinite=skip"
        )
    console.say(f"{what}; the step was skipped")
