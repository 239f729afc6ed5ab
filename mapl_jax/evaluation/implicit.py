"""Implicit rewards of a policy, beta * (log pi - log pi_ref) (arXiv 2305.18290, equation 5)."""

import dataclasses
import os
from pathlib import Path

from mapl_jax.data.tokenization import check_tokens
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.evaluation.preferences import Scored, score_comparisons
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import hub
from mapl_jax.models.initial import InitialWeights, from_folder
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import cache_path
from mapl_jax.training import objective, reference, restore, sharding, trainer
from mapl_jax.training.objective import LossSettings, Objective
from mapl_jax.training.optimizers import OptimizerSettings
from mapl_jax.training.restore import Trained
from mapl_jax.training.settings import run_settings


@dataclasses.dataclass(frozen=True)
class Reference:
    """What decides the implicit rewards of a policy; the cache keeps log-probabilities."""

    source: InitialWeights
    objective: Objective
    beta: float
    name: str
    cache: Path

    def __str__(self) -> str:
        return f"rewards are {self.beta:g} * (log pi - log pi_ref); the reference is {self.name}"


def reference_of(policy: Trained, named: str = "", beta: float = 0.0) -> Reference:
    """The reference of a policy: one that is named, or that of the DPO run that made the policy.

    Args:
        named: a run, a checkpoint, a model folder or a hub name; empty for that of the run.
        beta: factor of the rewards; 0 for that of the run, or else 0.1.
    """
    run = policy.run
    config = restore.config_of(run) if run else {}
    loss, kept = LossSettings(), None
    settings = run_settings(config) if config else None
    if settings and settings.objective == "dpo":
        loss = LossSettings(beta=settings.loss.beta, joint_logp=settings.loss.joint_logp)
    elif not named:
        raise UserError(
            "the reward of a policy needs a reference, and this one comes from no DPO run; give "
            "the model that it was trained from: --config.reference=DIR"
        )
    loss = dataclasses.replace(loss, beta=beta or loss.beta)
    dpo = objective.make("dpo", loss)
    if run and os.access(run.cache, os.W_OK):
        kept = run.cache
    if named:
        folder = restore.model_folder(named, cache_path(named, "start"), policy.mesh)
        source = from_folder(folder, policy.tokenizer, dpo.head, 0)
        hub.check(folder, head=False)
        check_tokens(folder, policy.tokenizer)
        name = named
    else:
        assert run and settings
        try:
            settings = run_settings(restore.with_folders(config, run, policy.mesh))
        except UserError as error:
            raise UserError(
                f"the reference of this policy: {error}; if it was moved, give "
                "--config.reference=DIR"
            ) from error
        first = trainer.first_parameters(settings, policy.tokenizer, dpo.head)
        source = reference.reference_of(settings, first, policy.tokenizer, dpo) or first
        name = settings.model.reference or settings.model.path
    return Reference(source, dpo, loss.beta, name, kept or cache_path(name, "references"))


def comparisons(
    policy: Trained,
    tries: TrieSet,
    *,
    against: Reference,
    rows_per_batch: int,
    compute: Compute = Compute(),
) -> Scored:
    """Every comparison of a set of tries, with the implicit rewards of a policy.

    What the reference says of the tries is kept in its cache. How the models lie over devices the
    mesh of the policy decides.
    """
    run = trainer.make_trainer(
        policy.model,
        against.objective,
        policy.mesh,
        settings=OptimizerSettings(),
        steps=1,
        compute=dataclasses.replace(compute, spread=sharding.spread(policy.mesh)),
        pad_token=policy.tokenizer.pad_token_id or 0,
    )
    (logps,) = reference.reference_logps(
        run,
        against.source,
        [tries],
        params=None,
        cache_dir=against.cache,
        rows_per_batch=rows_per_batch,
    )
    batches = run.held_out(tries, rows_per_batch=rows_per_batch, reference=logps)
    return score_comparisons(run.score(policy.params), batches, against.objective.fields)
