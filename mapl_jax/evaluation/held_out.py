"""The evaluations of a run on its held-out tries: before, during and after training."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from mapl_jax.data.run_data import RunData
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.evaluation import following, sampler, stored
from mapl_jax.evaluation.evaluators import Evaluator, evaluator_of
from mapl_jax.evaluation.following import Probe
from mapl_jax.evaluation.sampler import Responder
from mapl_jax.evaluation.statistics import NotFiniteError
from mapl_jax.runtime import distributed
from mapl_jax.runtime.console import notice
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.training.settings import EvalSettings, RunSettings
from mapl_jax.training.step import Params
from mapl_jax.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What a run evaluates itself on: tries, and prompts that a policy answers, if there are any.

    The folder keeps the scores. `reference` are log-probabilities of the leaves, None without one.
    """

    folder: RunFolder
    trainer: Trainer
    tries: TrieSet
    reference: Float[np.ndarray, "n 2"] | None
    settings: EvalSettings
    seed: int
    probes: Sequence[Probe] = ()
    respond: Responder | None = None

    @property
    def evaluator(self) -> Evaluator[object]:
        """The evaluation of what the run trains."""
        return evaluator_of(self.trainer.objective.kind)

    def has(self, which: str) -> bool:
        """Whether the folder keeps the scores, and the answers if there are any, of a moment."""
        return stored.has_scores(self.folder, which, bool(self.probes))

    def keep(self, which: str, params: Params) -> None:
        """Scores all held-out tries and answers all prompts, "before" or "after" training."""
        stored.write_scores(self.folder, which, self._score(params, 0), self.evaluator)
        if self.respond:
            answers = sampler.answers(self.respond, params, list(self.probes))
            stored.write_answers(self.folder, which, answers)

    def metrics(self, params: Params) -> Mapping[str, float]:
        """The numbers of an evaluation during training, of as many tries as the settings say.

        None at all where they are not finite, which a notice says.
        """
        scored = self._score(params, self.settings.samples)
        try:
            summary = self.evaluator.summarize(scored, seed=self.seed, resamples=0)
        except NotFiniteError as error:
            if distributed.is_main_process():
                notice(f"an evaluation during training failed: {error}")
            return {}
        return {name: value for name, value in summary.items() if isinstance(value, int | float)}

    def names(self) -> Collection[str]:
        """What the numbers of the evaluation before training are called."""
        scored = stored.read_scores(self.folder, "before", self.evaluator)
        return self.evaluator.summarize(scored, seed=self.seed, resamples=0).keys()

    def _score(self, params: Params, samples: int) -> object:
        batches = self.trainer.held_out(
            self.tries,
            rows_per_batch=self.settings.rows_per_batch,
            reference=self.reference,
            samples=samples,
        )
        return self.evaluator.score(
            self.trainer.score(params), batches, self.trainer.objective.fields
        )


def of_run(
    settings: RunSettings, folder: RunFolder, trainer: Trainer, data: RunData
) -> Callable[[Float[np.ndarray, "n 2"] | None], HeldOut]:
    """From the reference's log-probabilities of held-out leaves, or None, to what a run evaluates.

    A policy answers held-out prompts if the settings say so.
    """
    asked, respond = settings.eval.generate, None
    probes = following.probes(data.test_samples.samples(), asked) if asked else []
    if probes:
        respond = sampler.of_run(
            settings, trainer.model, data.tokenizer, trainer.mesh, trainer.compute
        )
    return lambda reference: HeldOut(
        folder, trainer, data.test, reference, settings.eval, settings.seed, probes, respond
    )
