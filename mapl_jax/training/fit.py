"""A run's training: from its first parameters, or its last checkpoint, to its last step."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import jax
import numpy as np
from jaxtyping import Float

from mapl_jax.data import loader
from mapl_jax.data.rows import Plan
from mapl_jax.data.run_data import RunData
from mapl_jax.models import lora
from mapl_jax.models.initial import InitialWeights
from mapl_jax.runtime import distributed, files
from mapl_jax.runtime.console import notice, say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.training import loggers, loop
from mapl_jax.training.callbacks import Callbacks
from mapl_jax.training.checkpoints import Checkpoints, check_record, open_newest, saved_steps
from mapl_jax.training.metrics import MetricsWriter
from mapl_jax.training.preemption import Preemption
from mapl_jax.training.reference import reference_logps
from mapl_jax.training.restore import Trained
from mapl_jax.training.settings import RunSettings
from mapl_jax.training.step import Params, TrainState, for_shapes
from mapl_jax.training.trainer import Trainer
from mapl_jax.training.watch import METRICS, Watch

Logps = Float[np.ndarray, "n 2"]


class Evaluations(Protocol):
    """What is evaluated before, during and after training."""

    def has(self, which: str) -> bool:
        """Whether the evaluation "before" or "after" training is kept already."""

    def keep(self, which: str, params: Params) -> None:
        """Evaluates all parameters and keeps what comes of it."""

    def metrics(self, params: Params) -> Mapping[str, float]:
        """The numbers of an evaluation during training."""

    def names(self) -> Collection[str]:
        """What the numbers of the evaluation before training are called."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a run trains with; `evaluations` takes log-probabilities under the reference."""

    trainer: Trainer
    settings: RunSettings
    folder: RunFolder
    data: RunData
    plan: Plan
    source: InitialWeights
    reference: InitialWeights | None
    evaluations: Callable[[Logps | None], Evaluations]
    preemption: Preemption

    @functools.cached_property
    def callbacks(self) -> Callbacks:
        """They see metrics, and may end the training."""
        return Callbacks(self.settings.train.callbacks)

    @functools.cached_property
    def record(self) -> dict[str, object]:
        """What a checkpoint says of its run; another run's must not be gone on from."""
        lora_base = self.source.fingerprint if self.trainer.model.lora else None
        return {
            "data": self.data.train.fingerprint,
            "held_out": self.data.test.fingerprint,
            "steps": self.plan.steps,
            "model": self.trainer.model.to_dict(),
            "base": lora_base,
            "reference": self.reference.fingerprint if self.reference else None,
        }

    def run(self) -> Trained:
        """Evaluates, trains, evaluates again; goes on from the last checkpoint if there is one.

        Raises:
            Stopped: it was asked for; the same command goes on.
        """
        trainer, model = self.trainer, self.trainer.model
        if distributed.is_main_process():
            origins = {"base": self.source, "reference": self.reference}
            self.folder.begins_with(
                **{name: {"fingerprint": x.fingerprint} for name, x in origins.items() if x}
            )
        start = open_newest(self.folder.checkpoints)
        with Checkpoints(self.folder.checkpoints, keep=self.settings.train.keep) as checkpoints:
            watch = self._watch(checkpoints, start)
            new = distributed.broadcast_from_main(not self.evaluations(None).has("before"))
            first: Params = {}
            frozen: Params = {}
            if not start or model.lora or new:
                first, frozen = lora.split(self.source.make(trainer.param_shardings), model.lora)
            own = self.reference is self.source and bool(first)
            references = reference_logps(
                trainer,
                self.reference,
                [self.data.train, self.data.test],
                params=lora.join(first, frozen) if own else None,
                cache_dir=self.data.cache_dir,
                rows_per_batch=self.settings.eval.rows_per_batch,
            )
            evaluations = self.evaluations(references[1])
            self.preemption.check()
            if new:
                evaluations.keep("before", lora.join(first, frozen))
            self.preemption.check()
            self._check_best()
            if start:
                state = checkpoints.restore(start, trainer.abstract)
                at = f"step {start} of {self.plan.steps}"
                ended = f"training ended early, after {at}: {watch.reason}"
                say(ended if watch.reason else f"going on from the checkpoint at {at}")
            else:
                state = trainer.first_state(first)
            del first
            state = self._loop(state, frozen, start, references[0], evaluations, checkpoints, watch)
            self.preemption.where, self.preemption.saved = "after training", True
            self.preemption.check()
            last = int(jax.device_get(state.step))
            if watch.reason and last > start:
                say(f"training ends early, after step {last} of {self.plan.steps}: {watch.reason}")
            checkpoints.wait()
            watch.tell_of_saved()
            trained, step = state.params, watch.progress["best"] or last
            if step != last:
                del state, trained
                trained = self._best(checkpoints, step, watch.metric)
            params = lora.join(trained, frozen)
            evaluations.keep("after", params)
        return Trained(
            model,
            params,
            self.data.tokenizer,
            self.folder,
            step,
            held_out=self.data.test.fingerprint,
            ended=watch.ended(last),
        )

    def _watch(self, checkpoints: Checkpoints, start: int) -> Watch:
        """What watches the training, as the checkpoint that it goes on from has left it."""
        train = self.settings.train
        watch = Watch(
            train.best, train.patience, self.callbacks, checkpoints.new, self.folder.checkpoints
        )
        if start:
            record = checkpoints.record(start)
            progress = record.pop("progress", {})
            check_record(start, record, self.record)
            if not watch.goes_on(progress, saved_steps(self.folder.checkpoints)):
                notice(
                    f"the best checkpoint so far, that of step {progress['best']}, is gone; the "
                    "best of the evaluations from here on is kept"
                )
        return watch

    def _check_best(self) -> None:
        """Makes sure that there is the metric that a checkpoint can be best by."""
        best = self.settings.train.best
        if best and distributed.is_main_process():
            names = self.evaluations(None).names()
            known = [name for name in METRICS[self.trainer.objective.kind] if name in names]
            if best not in known:
                raise UserError(
                    f"train.best is {best}, which the held-out data cannot measure; "
                    f"choose one of {', '.join(known)}"
                )

    def _best(self, checkpoints: Checkpoints, step: int, metric: str) -> Params:
        """The parameters of the best checkpoint."""
        if flaw := files.flaw(self.folder.checkpoints / str(step)):
            raise UserError(
                f"the best checkpoint, that of step {step}, cannot be used ({flaw}); bring it "
                "back from a copy, or take the last one with --config.train.best="
            )
        say(f"best checkpoint by {metric}: step {step}")
        return checkpoints.restore_params(step, self.trainer.abstract.params)

    def _loop(
        self,
        state: TrainState,
        frozen: Params,
        start: int,
        reference: Logps | None,
        evaluations: Evaluations,
        checkpoints: Checkpoints,
        watch: Watch,
    ) -> TrainState:
        """The state after the last step."""
        trainer, train = self.trainer, self.settings.train
        seen = watch.progress["evaluated"]
        batches = trainer.batches(self.data.train, self.plan, reference=reference)
        fields, steps = trainer.objective.fields, self.plan.steps
        schedule = loop.Schedule(steps, train.log_every, train.eval_every, train.save_every)
        examples = [trainer.to_device(batch.keeping(fields)) for batch in batches.of_each_shape()]
        with MetricsWriter(
            self.folder.path,
            total_steps=steps,
            resume_step=start,
            enabled=distributed.is_main_process(),
            to=loggers.parse(train.logger),
            name=self.settings.name,
            config=dataclasses.asdict(self.settings),
        ) as writer:
            return loop.train(
                state,
                for_shapes(trainer.train_step, frozen, examples),
                loader.stream(
                    batches,
                    start=start,
                    threads=self.settings.data.threads,
                    workers=self.settings.data.workers,
                    fields=fields,
                ),
                schedule,
                start=start,
                to_device=trainer.to_device,
                writer=writer,
                evaluate=lambda params, _: evaluations.metrics(lora.join(params, frozen)),
                save=lambda done, state: checkpoints.save(
                    done,
                    state,
                    self.record | {"progress": watch.progress.copy()},
                    best=watch.progress["best"],
                ),
                epoch_at=self.plan.epoch_at,
                preemption=self.preemption,
                on_nonfinite=functools.partial(
                    loop.write_nonfinite,
                    self.folder,
                    batches.sample_ids,
                    stops=train.on_nonfinite == "stop",
                ),
                evaluate_first=bool(
                    distributed.broadcast_from_main(
                        min(writer.evaluated, seen if watch.metric else start) < start
                    )
                ),
                watch=watch,
            )
