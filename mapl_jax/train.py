"""Trains a reward model or a policy: python -m mapl_jax.train --config=configs/rm.py

If a run is stopped, the same command continues it and ends with the same parameters.
"""

import dataclasses
import os
import time
from collections.abc import Sequence

from ml_collections import ConfigDict

from mapl_jax.data.sources import Source, as_file
from mapl_jax.evaluation import held_out
from mapl_jax.reports.model_card import card_of
from mapl_jax.reports.pages import duration
from mapl_jax.reports.run import finish
from mapl_jax.runtime import cli, plugins
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.console import detail, say
from mapl_jax.runtime.paths import shown
from mapl_jax.runtime.run_folder import Config, RunFolder, opened
from mapl_jax.runtime.settings import from_section
from mapl_jax.synthesis import run_data
from mapl_jax.synthesis.settings import Settings as SynthesisSettings
from mapl_jax.training import sharding, trainer, trunk
from mapl_jax.training.callbacks import named
from mapl_jax.training.export import check_tokenizer, write_model
from mapl_jax.training.fit import Fit
from mapl_jax.training.preemption import Preemption
from mapl_jax.training.reference import reference_of
from mapl_jax.training.restore import Trained
from mapl_jax.training.settings import RunSettings
from mapl_jax.training.stages import check, stages


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """What a config of a run says, a settings class for each section."""

    synthesis: SynthesisSettings
    sft: "Settings | None" = None


@checked()
def train_model(
    config: ConfigDict,
    train_data: Source | None = None,
    test_data: Source | None = None,
    *,
    workdir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[object] = (),
) -> Trained:
    """Trains a model: what `python -m mapl_jax.train` does, in this process.

    Args:
        config: from `load_config`: "rm" trains a reward model, "sft" and "dpo" a policy.
        train_data: pairs or samples; None for what `config.data.train` says.
        test_data: held-out ones; None for what `config.data.test` says, or a part of the others.
        workdir: run folder, or one in a bucket (s3://), to start or go on in; None: `runs/NAME`.
        callbacks: objects that see metrics and may stop the training; see docs/extending.md.

    Returns:
        The trained model; `model.run` is its folder on this machine.

    Raises:
        UserError: a setting means nothing, the data is bad, or the folder holds something else.

    Examples:
        >>> import mapl_jax, tempfile
        >>> mapl_jax.set_verbosity("quiet")
        >>> config, folder = mapl_jax.load_config("rm:tiny"), tempfile.mkdtemp()
        >>> samples = mapl_jax.make_samples(mapl_jax.load_pairs("demo", limit=20))
        >>> model = mapl_jax.train_model(config, samples[:16], samples[16:], workdir=folder)
        >>> model.step, model.run.report.exists()
        (4, True)
        >>> mapl_jax.set_verbosity("normal")
    """
    plugins.load(str(config.get("plugins", "")))
    from_section(Settings, config.to_dict())
    changed = ConfigDict(config.to_dict())
    with named(callbacks) as own, opened(config.name, workdir) as place, place.undone_on_mistake():
        changed.train.callbacks += own
        for name, data in (("train", train_data), ("test", test_data)):
            if data is not None:
                changed.data[name] = as_file(data, place.take().given, name)
        return start(changed.lock(), place, f"mapl_jax.train_model({config.name!r})")


def main(arguments: cli.Arguments[cli.NoFlags]) -> None:
    """Trains, evaluates, saves."""
    with opened(arguments.config.name, arguments.workdir) as folder:
        start(arguments.config, folder, arguments.command)


def start(config: ConfigDict, folder: RunFolder, command: str) -> Trained:
    """Runs, or resumes, training in a folder; a start that the config lacks is trained first."""
    plugins.load(config.plugins)
    check(from_section(Settings, plain := config.to_dict()))
    with Preemption() as preemption, folder.undone_on_mistake():
        for place, part in stages(folder, plain):
            trained = run(part, place, command, preemption)
    return trained


def run(config: Config, folder: RunFolder, command: str, preemption: Preemption) -> Trained:
    """One run, from its data to its report and its model; asked to stop, it raises `Stopped`."""
    # -------- Settings and mesh -------------------------------------------------------------
    began, preemption.where, preemption.saved = time.perf_counter(), "before training", False
    settings = from_section(Settings, config)
    objective, mesh = trainer.objective_of(settings), sharding.make_mesh(settings.mesh)
    say(f"run folder: {folder.path}")
    detail(sharding.describe(mesh))

    # -------- Data: pairs, samples, tries, rows ---------------------------------------------
    trainer.check_models(settings, objective.head)
    data = run_data.load(folder, settings, settings.model.path, objective.kind)
    preemption.check()
    plan = trainer.make_plan(settings, data.train, objective, mesh)
    say(*data.describe())

    # -------- Model and trainer -------------------------------------------------------------
    source = trainer.first_parameters(settings, data.tokenizer, objective.head)
    check_tokenizer(source.model, data.tokenizer, objective.head)
    reference = reference_of(settings, source, data.tokenizer, objective)
    run_trainer = trainer.of_run(
        settings, source.model, objective, mesh, plan.steps, data.tokenizer
    )
    say(run_trainer.describe(plan))
    run_trainer.check_memory(plan)
    kept = trunk.kept(settings, run_trainer, source, data)

    # -------- Loop --------------------------------------------------------------------------
    evaluations = held_out.of_run(settings, folder, run_trainer, kept)
    fit = Fit(run_trainer, settings, folder, kept, plan, source, reference, evaluations, preemption)
    trained = fit.run()

    # -------- Report and model --------------------------------------------------------------
    facts = {"command": command, **run_trainer.facts(plan), **data.counts}
    facts |= {"device": run_trainer.device, "seconds": time.perf_counter() - began, **trained.ended}
    finish(folder, config, facts, objective.kind, data.test_samples.samples)
    write_model(folder.model, trained, data.test, card=card_of(trained))
    say(f"model: {shown(folder.model)}", f"done in {duration(time.perf_counter() - began)}")
    fit.callbacks.end(folder, trained.step)
    return trained


if __name__ == "__main__":
    cli.launch(main, name="train", config="configs/rm.py", settings=[Settings], distributed=True)
