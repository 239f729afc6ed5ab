"""Trains a reward model or a policy: python -m mapl_jax.train --config=configs/rm.py

Config -> mesh -> data -> model -> step -> loop, then the evaluation and the report. Started again
with the same command, a run goes on from its last checkpoint and ends with the same parameters.
"""

import dataclasses
import json
import os
import time

import jax
from ml_collections import ConfigDict

from mapl_jax.data import tokenization, trie_set
from mapl_jax.data.sources import DEMO, Source, as_file
from mapl_jax.evaluation import evaluator_of, following, sampler
from mapl_jax.evaluation.held_out import HeldOut
from mapl_jax.models import hub, saving
from mapl_jax.reports.model_card import card_of
from mapl_jax.reports.pages import duration
from mapl_jax.reports.run import finish
from mapl_jax.runtime import cli, distributed, run_folder
from mapl_jax.runtime.console import detail, say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import shown
from mapl_jax.runtime.run_folder import RunFolder, claim, opened, undone_on_mistake
from mapl_jax.runtime.settings import from_section
from mapl_jax.synthesis import run_data
from mapl_jax.synthesis.settings import Settings as SynthesisSettings
from mapl_jax.training import reference, sharding, trainer
from mapl_jax.training.export import write_model
from mapl_jax.training.fit import Fit
from mapl_jax.training.preemption import Preemption
from mapl_jax.training.restore import Trained
from mapl_jax.training.settings import RunSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """What a config of a run says, a settings class for each section."""

    synthesis: SynthesisSettings
    sft: "Settings | None" = None


def settings_of(config: ConfigDict) -> Settings:
    """The settings that a config of a run stands for.

    Raises:
        UserError: a field is unknown, or its value means nothing.
    """
    return from_section(Settings, config.to_dict())


def train_model(
    config: ConfigDict,
    train_data: Source | None = None,
    test_data: Source | None = None,
    *,
    workdir: str | os.PathLike[str] | None = None,
) -> Trained:
    """Trains a model: what `python -m mapl_jax.train` does, in this process.

    The same call again goes on where the last one stopped.

    Args:
        config: from `load_config`: "rm" trains a reward model, "sft" and "dpo" a policy.
        train_data: pairs or samples; None for what `config.data.train` says.
        test_data: held-out ones; None for what `config.data.test` says, or else a part of the
            training data.
        workdir: run folder, for checkpoints, report and model; it may be in a bucket (gs://,
            s3://). None for `runs/NAME`.

    Returns:
        The trained model; `model.run` is its folder on this machine.

    Raises:
        UserError: a setting means nothing, the data is bad, or the folder holds something else.

    Example:
        >>> import mapl_jax, tempfile
        >>> mapl_jax.set_verbosity("quiet")
        >>> samples = mapl_jax.make_samples(mapl_jax.load_pairs("demo", limit=20))
        >>> model = mapl_jax.train_model(
        ...     mapl_jax.load_config("rm:tiny"), samples[:16], samples[16:],
        ...     workdir=tempfile.mkdtemp(),
        ... )
        >>> model.step, model.run.report.exists()
        (4, True)
        >>> mapl_jax.set_verbosity("normal")
    """
    changed = ConfigDict(config.to_dict())
    with run_folder.opened(config, workdir) as folder:
        for name, data in (("train", train_data), ("test", test_data)):
            if data is not None:
                changed.data[name] = as_file(data, folder.given, name)
        return start(changed.lock(), folder, f"mapl_jax.train_model({config.name!r})")


def main(arguments: cli.Arguments[cli.NoFlags]) -> None:
    """Trains, evaluates, saves."""
    with opened(arguments.config, arguments.workdir) as folder:
        start(arguments.config, folder, arguments.command)


def start(config: ConfigDict, folder: RunFolder, command: str) -> Trained:
    """A run in its folder, or the rest of it; makes the model to start from, if it has none.

    Args:
        config: of the run.
        folder: of the run.
        command: that started it, for its records.

    Raises:
        UserError: a setting means nothing, the data is bad, or the folder holds something else.
    """
    makes_start = run_folder.makes_start(config)
    if makes_start and config.data.train != DEMO:
        raise UserError(
            "no model to start from, and only the demonstration makes one; set "
            "--config.model.path to a folder (configs/sft.py leaves one) or a hub name"
        )
    # A mistake shows before anything is written.
    settings = settings_of(config)
    for part in [settings.sft, settings.settled()] if settings.sft and makes_start else [settings]:
        trainer.check(part)
    distributed.check_joined()
    with Preemption() as preemption, undone_on_mistake(folder):
        claim(folder, config)
        if makes_start:
            first = RunFolder(folder.sft)
            if distributed.broadcast_from_main((first.model / "config.json").exists()):
                say(f"the model to start from is there: {shown(first.model)}")
            else:
                claim(first, config.sft)
                run(config.sft, first, command, preemption)
                say()
            if "demo" in config:
                say(f"settings of the demonstration: demo in {shown(folder.config)}")
        return run(folder.with_start(config), folder, command, preemption)


def run(config: ConfigDict, folder: RunFolder, command: str, preemption: Preemption) -> Trained:
    """One run, from its data to its report and its model, which it returns.

    Raises:
        Stopped: it was asked for; the same command goes on.
    """
    began = time.perf_counter()
    preemption.where = "before training"

    # Settings, mesh, objective. What is missing of the models shows before the work on the data.
    settings = settings_of(config)
    mesh = sharding.make_mesh(config.mesh)
    compute = trainer.compute_of(settings.train, mesh)
    objective = trainer.objective_of(settings)
    say(f"run folder: {folder.path}")
    detail(f"jax {jax.__version__} on {jax.default_backend()}, mesh {dict(mesh.shape)}")
    for path in filter(None, (settings.model.path, settings.model.reference)):
        hub.check(path, head=objective.head.scores)

    # Data: pairs -> samples -> tries -> rows.
    data = run_data.load(
        folder,
        settings.data,
        settings.synthesis,
        settings.tokenizer,
        model=settings.model.path,
        seed=settings.seed,
        demonstrations=objective.kind == "demonstrations",
    )
    preemption.check()
    objective.check(data.train)
    plan = trainer.make_plan(settings, data.train, objective, mesh)
    asked = settings.eval.generate
    probes = following.probes(data.test_samples.samples(), asked) if asked else []
    say(trie_set.describe("train", data.train), trie_set.describe("held out", data.test))

    # Model.
    source = trainer.first_parameters(settings, data.tokenizer, objective.head)
    model = source.model
    written = tokenization.closed(data.tokenizer) if objective.head.scores else data.tokenizer
    saving.check_tokenizer(dataclasses.replace(model, lora=None), written)
    respond = sampler.of_run(settings, model, data.tokenizer, mesh, compute) if probes else None

    # Trainer. With LoRA, the state holds adapters and head; the base is frozen beside it.
    made = trainer.make_trainer(
        model,
        objective,
        mesh,
        settings=settings.train,
        steps=plan.steps,
        compute=compute,
        pad_token=data.tokenizer.pad_token_id or 0,
    )
    say(made.describe(plan))

    # Loop.
    params = Fit(
        trainer=made,
        settings=settings,
        folder=folder,
        train=data.train,
        held_out=data.test,
        plan=plan,
        source=source,
        reference=reference.reference(
            settings.model.reference, source, data.tokenizer, objective, settings.seed
        ),
        cache_dir=data.cache_dir,
        evaluations=lambda logps: HeldOut(
            folder, made, data.test, logps, settings.eval, settings.seed, probes, respond
        ),
        preemption=preemption,
    ).run()

    # Report and model.
    finish(
        folder,
        config=json.loads(json.dumps(config.to_dict())),
        command=command,
        facts={
            "parameters": made.sizes[0],
            "trained_parameters": made.sizes[1],
            "steps": plan.steps,
            "train": {**data.train_samples.counts, "encoding": data.train.counts},
            "test": {**data.test_samples.counts, "encoding": data.test.counts},
            "device": made.device,
            "seconds": time.perf_counter() - began,
        },
        say=say,
        evaluator=evaluator_of(objective.kind),
        answered=bool(probes),
        samples=data.test_samples.samples,
    )
    result = Trained(
        model, params, data.tokenizer, folder, plan.steps, held_out=data.test.fingerprint
    )
    write_model(folder.model, result, data.test, mesh, card=card_of(result))
    say(f"model: {shown(folder.model)}", f"done in {duration(time.perf_counter() - began)}")
    return result


if __name__ == "__main__":
    cli.launch(main, name="train", config="configs/rm.py", settings=[Settings], distributed=True)
