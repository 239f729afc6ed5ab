"""Trains a reward model or a policy: python -m mapl_jax.train --config=configs/rm.py

Config -> mesh -> data -> model -> step -> loop, then the evaluation and the report. Started again
with the same command, a run goes on from its last checkpoint and ends with the same parameters.
"""

import dataclasses
import functools
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from mapl_jax.data import cache, loader, templates, tokenization, trie_set
from mapl_jax.data.loader import eval_batches
from mapl_jax.data.settings import DataSettings, TokenizerSettings
from mapl_jax.data.sources import DEMO, Source
from mapl_jax.data.splits import Split
from mapl_jax.data.tokenization import make_tokenizer
from mapl_jax.data.trie_set import describe
from mapl_jax.evaluation import following, sampler, stored
from mapl_jax.models import hub, initial, lora
from mapl_jax.reports.run import finish
from mapl_jax.runtime import cli, console, distributed, run_folder
from mapl_jax.runtime.console import detail, say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import write_lines
from mapl_jax.runtime.run_folder import RunFolder, _undone_on_mistake, claim, opened
from mapl_jax.runtime.settings import from_section
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings as SynthesisSettings
from mapl_jax.training import loop, restore, sharding, step, trainer
from mapl_jax.training import reference as weights
from mapl_jax.training.checkpoints import Checkpoints, check_record, open_newest
from mapl_jax.training.export import write_model
from mapl_jax.training.loop import write_nonfinite
from mapl_jax.training.metrics import MetricsWriter
from mapl_jax.training.objective import make
from mapl_jax.training.preemption import Preemption
from mapl_jax.training.restore import Trained
from mapl_jax.training.settings import RunSettings
from mapl_jax.training.trainer import make_plan, make_settings


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


def build_model(config: ConfigDict, data: Source | None = None) -> Trained:
    """The model that a config describes, as it is before training.

    Args:
        config: of a run: what it says of `model`, `tokenizer`, `lora`, `mesh` and `seed` counts.
        data: pairs or samples to learn a tokenizer from, where the config names none. With the
            samples of a run this is the very model that the run starts from.

    Raises:
        UserError: there is no such model, or nothing to learn a tokenizer from.

    Example:
        >>> import mapl_jax
        >>> config = mapl_jax.load_config("rm:tiny", {"model.width": 64})
        >>> model = mapl_jax.build_model(config, mapl_jax.load_pairs("demo", limit=10))
        >>> model.model.width, model.head
        (64, True)
    """
    mesh = sharding.make_mesh(config.mesh)
    objective = make(config)
    if data is None and not (config.tokenizer.path or config.model.path):
        raise UserError("no tokenizer is named; give data to learn one from")
    with tempfile.TemporaryDirectory(prefix="mapl-") as folder:
        split = Split((), "", {}) if data is None else prepare.samples_of(data, folder)
        settings = from_section(TokenizerSettings, config.tokenizer.to_dict(), "tokenizer")
        tokenizer = make_tokenizer(settings, config.model.path, split, Path(folder) / "tokenizer")
    source = initial.first(config, tokenizer, objective)
    params = source.make(restore.placement(source.model, mesh, objective.head.scores))
    return Trained(source.model, params, tokenizer)


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
                changed.data[name] = _named(data, folder.given, name)
        return start(changed.lock(), folder, f"mapl_jax.train_model({config.name!r})")


def _named(data: Source, folder: Path, name: str) -> str:
    """Where data lies; what is in memory is written first, under a name made from its content."""
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    records = [dict(record) for record in data]
    lines = "".join(json.dumps(record, sort_keys=True) for record in records)
    digest = hashlib.blake2b(lines.encode(), digest_size=8).hexdigest()
    path = folder / f"{name}-{digest}.jsonl"
    if not path.exists():
        write_lines(path, records)
    return str(path)


def main(arguments: cli.Arguments) -> None:
    """Trains, evaluates, saves."""
    with opened(arguments.config, arguments.workdir) as folder:
        start(arguments.config, folder, arguments.command)


def start(config: ConfigDict, folder: RunFolder, command: str) -> restore.Trained:
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
    for part in [config.sft, run_folder.settled(config)] if makes_start else [config]:
        make_settings(part)
    distributed.check_joined()
    with Preemption() as preemption, _undone_on_mistake(folder):
        claim(folder, config)
        if makes_start:
            first = RunFolder(folder.sft)
            if distributed.agreed((first.model / "config.json").exists()):
                say(f"the model to start from is there: {os.path.relpath(first.model)}")
            else:
                claim(first, config.sft)
                run(config.sft, first, command, preemption)
                say()
            say(f"the demonstration has settings of its own: {_listed(config.get('demo', {}))}")
        return run(folder.with_start(config), folder, command, preemption)


def _listed(settings: Mapping[str, Any], prefix: str = "demo") -> str:
    """Nested settings as they are given on a command line."""
    return " ".join(
        _listed(value, f"{prefix}.{name}")
        if isinstance(value, Mapping | ConfigDict)
        else f"--config.{prefix}.{name}={value}"
        for name, value in settings.items()
    )


def run(
    config: ConfigDict, folder: RunFolder, command: str, preemption: Preemption
) -> restore.Trained:
    """One run, from its data to its report and its model, which it returns.

    Raises:
        Stopped: it was asked for; the same command goes on.
    """
    began = time.perf_counter()
    preemption.where = "before training"
    settings = make_settings(config)
    compute, mesh, objective = settings.compute, settings.mesh, settings.objective
    say(f"run folder: {folder.path}")
    detail(f"jax {jax.__version__} on {jax.default_backend()}, mesh {dict(mesh.shape)}")

    # What is missing of the models shows before hours are spent on the data.
    for path in (config.model.path, config.model.get("reference")):
        if path:
            hub.check(path, head=objective.head.scores)

    # Data: pairs -> samples -> tries -> rows. What one process made the others find.
    data = from_section(DataSettings, config.data.to_dict(), "data")
    load = prepare.samples if objective.comparisons else prepare.demonstrations
    with (
        distributed.first_alone(),
        cache.filling(config.data.cache, folder.cache) as cache_dir,
        console.timed("data"),
    ):
        train_split, test_split = load(
            data, SynthesisSettings(**config.synthesis), config.seed, cache_dir
        )
        tokenizer = make_tokenizer(
            from_section(TokenizerSettings, config.tokenizer.to_dict(), "tokenizer"),
            config.model.path,
            train_split,
            folder.tokenizer,
        )
        if str(tokenizer.chat_template).endswith(templates.PLAIN):
            say("the tokenizer has no chat template; turns are written as plain text (User: ...)")
        encoding = data
        train_tries = trie_set.encode_split(train_split, tokenizer, encoding, cache_dir)
        test_tries = trie_set.encode_split(test_split, tokenizer, encoding, cache_dir)
    preemption.check()
    objective.check(train_tries, config)
    asked = config.eval.get("generate", 0)
    probes = following.probes(test_split.samples(), asked) if asked else []
    plan = make_plan(config, train_tries, objective, mesh)
    say(describe("train", train_tries), describe("held out", test_tries))

    # Model and step. With LoRA, the state holds adapters and head; the base is frozen beside it.
    source = initial.first(config, tokenizer, objective)
    reference = weights.reference(config, source, tokenizer, objective)
    model = source.model
    written = tokenization.closed(tokenizer) if objective.head.scores else tokenizer
    hub.check_tokenizer(dataclasses.replace(model, lora=None), written)
    built = trainer.assemble(
        model, objective, mesh, settings=settings.optimizer, steps=plan.steps, compute=compute
    )
    score_step = step.compile_scoring(
        lambda params, batch: objective.score(built.leaves(params, batch), batch),
        mesh,
        built.places,
    )
    to_device = functools.partial(sharding.to_device, mesh=mesh)
    pad_token = tokenizer.pad_token_id or 0

    start = open_newest(folder.checkpoints)
    with Checkpoints(folder.checkpoints, keep=config.train.keep) as checkpoints:
        first: Any = None
        frozen: Any = {}
        new = distributed.agreed(not stored.has_scores(folder, "before", bool(probes)))
        if not start or model.lora or new:
            first, frozen = lora.split(source.make(built.places), model.lora)
        record = {
            "data": train_tries.fingerprint,
            "held_out": test_tries.fingerprint,
            "steps": plan.steps,
            "model": model.to_dict(),
            "base": source.fingerprint if model.lora else None,
            "reference": reference.fingerprint if reference else None,
        }
        if start:
            check_record(start, checkpoints.record(start), record)
        sizes = [
            sum(x.size for x in jax.tree.leaves(tree))
            for tree in (built.shapes, built.abstract.params)
        ]
        say(
            f"model: {sizes[0] / 1e6:.2f} M parameters"
            + (f" ({sizes[1] / 1e6:.2f} M trained)" if model.lora else "")
            + f"; {plan.steps} steps of {plan.rows_per_batch} rows of {plan.row_length} tokens on "
            f"{mesh.size} x {jax.devices()[0].device_kind}; attention: "
            f"{trainer.attention_of(config, model, compute)}",
        )
        train_reference, test_reference = weights.reference_logps(
            reference,
            objective,
            [train_tries, test_tries],
            params=lora.join(first, frozen) if reference is source and first else None,
            mesh=mesh,
            cache_dir=cache_dir,
            rows_per_batch=config.eval.rows_per_batch,
            pad_token=pad_token,
            compute=compute,
        )
        preemption.check()
        host, hosts = sharding.host_of(mesh)
        batches = loader.Batches(
            train_tries,
            plan,
            weights=objective.weights,
            inter_gamma=objective.inter_gamma,
            joint=objective.joint,
            reference=train_reference,
            pad_token=pad_token,
            accumulation=config.train.accumulation,
            host=host,
            hosts=hosts,
        )

        def score(params: Any, samples: int = 0) -> Any:
            held_out = eval_batches(
                test_tries,
                rows_per_batch=config.eval.rows_per_batch,
                parts=sharding.data_parts(mesh),
                host=(host, hosts),
                pad_token=pad_token,
                samples=samples,
                joint=objective.joint,
                reference=test_reference,
            )
            return objective.evaluate(
                lambda batch: score_step(params, to_device(batch)), held_out, objective.fields
            )

        def evaluate(trainable: Any, _: int) -> Mapping[str, float]:
            scored = score(lora.join(trainable, frozen), config.eval.samples)
            summary = objective.evaluation.summarize(scored, seed=config.seed, resamples=0)
            return {k: v for k, v in summary.items() if isinstance(v, int | float)}

        respond = sampler.of_run(config, model, tokenizer, mesh, compute) if probes else None

        def follow(params: Any, which: str) -> None:
            if respond:
                stored.write_answers(folder, which, sampler.answers(respond, params, probes))

        if new:
            params = lora.join(first, frozen)
            stored.write_scores(folder, "before", score(params), objective.evaluation)
            follow(params, "before")
            del params
        preemption.check()
        if start:
            state = checkpoints.restore(start, built.abstract)
            say(f"going on from the checkpoint at step {start} of {plan.steps}")
        else:
            state = step.compile_first_state(built.optimizer, built.shardings)(first)
        del first
        with MetricsWriter(
            folder.path,
            total_steps=plan.steps,
            resume_step=start,
            enabled=distributed.first(),
            to=settings.loggers,
            name=config.name,
            config=config.to_dict(),
        ) as writer:
            state = loop.train(
                state,
                lambda state, batch: built.train_step(state, batch, frozen),
                loader.stream(
                    batches,
                    start=start,
                    threads=config.data.threads,
                    workers=config.data.workers,
                    fields=objective.fields,
                ),
                loop.Schedule(
                    plan.steps,
                    config.train.log_every,
                    config.train.eval_every,
                    config.train.save_every,
                ),
                start=start,
                to_device=to_device,
                writer=writer,
                evaluate=evaluate,
                save=lambda done, state: checkpoints.save(done, state, record),
                epoch_at=plan.epoch_at,
                preemption=preemption,
                on_nonfinite=functools.partial(
                    write_nonfinite,
                    folder,
                    batches.sample_ids,
                    stops=settings.stops_at_nonfinite,
                    say=say,
                ),
                evaluate_first=bool(distributed.agreed(writer.evaluated < start)),
            )
        preemption.where = "after training"
        preemption.check()
        params = lora.join(state.params, frozen)
        stored.write_scores(folder, "after", score(params), objective.evaluation)
        follow(params, "after")
    del state, frozen  # the moments make room for the check of what is written
    finish(
        folder,
        config=json.loads(json.dumps(config.to_dict())),
        command=command,
        facts={
            "parameters": sizes[0],
            "trained_parameters": sizes[1],
            "steps": plan.steps,
            "train": {**train_split.counts, "encoding": train_tries.counts},
            "test": {**test_split.counts, "encoding": test_tries.counts},
            "device": f"{mesh.size} x {jax.devices()[0].device_kind}",
            "seconds": time.perf_counter() - began,
        },
        say=say,
        evaluation=objective.evaluation,
        answered=bool(probes),
        samples=test_split.samples,
    )
    result = restore.Trained(
        model, params, tokenizer, folder, plan.steps, held_out=test_tries.fingerprint
    )
    write_model(folder.model, result, test_tries, mesh)
    say(f"model: {os.path.relpath(folder.model)}")
    return result


if __name__ == "__main__":
    cli.launch(main, name="train", config="configs/rm.py", distributed=True)
