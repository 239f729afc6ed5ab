"""Trains a reward model or a policy: python -m mapl_jax.train --config=configs/rm.py

Config -> mesh -> data -> model -> step -> loop, then the evaluation and the report. Started again
with the same command, a run goes on from its last checkpoint and ends with the same parameters.
"""

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mapl_jax import (
    assembly,
    buckets,
    cli,
    inputs,
    messages,
    objectives,
    outputs,
    processes,
    responses,
    results,
    runs,
    trained,
    weights,
)
from mapl_jax.data import loader, rows, tokenization
from mapl_jax.data.encode import TrieSet
from mapl_jax.errors import UserError
from mapl_jax.evaluation import following, scoring
from mapl_jax.messages import detail, say
from mapl_jax.models import hub, lora
from mapl_jax.runs import RunFolder
from mapl_jax.training import loggers, loop, optimizers, sharding, step
from mapl_jax.training.checkpoints import Checkpoints, check_keep, open_newest
from mapl_jax.training.metrics import MetricsWriter
from mapl_jax.training.preemption import Preemption


def main(arguments: cli.Arguments) -> None:
    """Trains, evaluates, saves."""
    with opened(arguments.config, arguments.workdir) as folder:
        start(arguments.config, folder, arguments.command)


@contextlib.contextmanager
def opened(config: ConfigDict, workdir: str | os.PathLike[str] | None) -> Iterator[RunFolder]:
    """The folder of a run while it is worked in, which may be in a bucket."""
    place = workdir or f"runs/{config.name}"
    with buckets.working(place, alone=jax.process_count() == 1) as folder:
        yield RunFolder(folder)


def start(config: ConfigDict, folder: RunFolder, command: str) -> trained.Trained:
    """A run in its folder, or the rest of it; makes the model to start from, if it has none.

    Args:
        config: of the run.
        folder: of the run.
        command: that started it, for its records.

    Raises:
        UserError: a setting means nothing, the data is bad, or the folder holds something else.
    """
    makes_start = runs.makes_start(config)
    if makes_start and config.data.train != inputs.DEMO:
        raise UserError(
            "no model to start from, and only the demonstration makes one; set "
            "--config.model.path to a folder (configs/sft.py leaves one) or a hub name"
        )
    # A mistake shows before anything is written.
    for part in [config.sft, runs.settled(config)] if makes_start else [config]:
        make_settings(part)
    processes.check_joined()
    with Preemption() as preemption, _undone_on_mistake(folder):
        claim(folder, config)
        if makes_start:
            first = RunFolder(folder.sft)
            if processes.agreed((first.model / "config.json").exists()):
                say(f"the model to start from is there: {os.path.relpath(first.model)}")
            else:
                claim(first, config.sft)
                run(config.sft, first, command, preemption)
                say()
            say(f"the demonstration has settings of its own: {_listed(config.get('demo', {}))}")
        return run(folder.with_start(config), folder, command, preemption)


def _undone_on_mistake(folder: RunFolder) -> contextlib.AbstractContextManager[None]:
    """Leaves no trace of a new run that a mistake ends, unless other processes write too."""
    return folder.undone_on_mistake() if jax.process_count() == 1 else contextlib.nullcontext()


def claim(folder: RunFolder, config: ConfigDict) -> None:
    """Takes a run folder, once for all processes.

    Raises:
        UserError: it belongs to another config, or this process does not see it.
    """
    with processes.first_alone():
        if not processes.first() and not folder.config.exists():
            raise UserError(
                f"process {jax.process_index()} does not see what process 0 wrote to "
                f"{folder.path}; --workdir must lie on a file system that all processes share"
            )
        folder.claim(config)
        if processes.first():
            folder.sweep()


def _listed(settings: Mapping[str, Any], prefix: str = "demo") -> str:
    """Nested settings as they are given on a command line."""
    return " ".join(
        _listed(value, f"{prefix}.{name}")
        if isinstance(value, Mapping | ConfigDict)
        else f"--config.{prefix}.{name}={value}"
        for name, value in settings.items()
    )


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What a config says of a run, checked."""

    optimizer: optimizers.OptimizerSettings
    options: dict[str, Any]
    mesh: Mesh
    objective: objectives.Objective
    stops_at_nonfinite: bool
    loggers: tuple[str, ...]


def make_settings(config: ConfigDict) -> RunSettings:
    """Checks what a config says.

    Raises:
        UserError: something in it means nothing.
    """
    optimizer = assembly.make_optimizer_settings(config)
    mesh = sharding.make_mesh(config.mesh)
    options = assembly.model_options(config, mesh)
    check_keep(config.train.keep)
    return RunSettings(
        optimizer,
        options,
        mesh,
        objectives.make(config, mesh),
        cli.choice("train.on_nonfinite", config.train.on_nonfinite, {"stop": True, "skip": False}),
        loggers.parse(config.train.logger),
    )


def run(
    config: ConfigDict, folder: RunFolder, command: str, preemption: Preemption
) -> trained.Trained:
    """One run, from its data to its report and its model, which it returns.

    Raises:
        Stopped: it was asked for; the same command goes on.
    """
    began = time.perf_counter()
    preemption.where = "before training"
    settings = make_settings(config)
    options, mesh, objective = settings.options, settings.mesh, settings.objective
    say(f"run folder: {folder.path}")
    detail(f"jax {jax.__version__} on {jax.default_backend()}, mesh {dict(mesh.shape)}")

    # What is missing of the models shows before hours are spent on the data.
    for path in (config.model.path, config.model.get("reference")):
        if path:
            hub.check(path, head=objective.head)

    # Data: pairs -> samples -> tries -> rows. What one process made the others find.
    load = inputs.load_splits if objective.comparisons else inputs.load_demonstrations
    with (
        processes.first_alone(),
        inputs.cache_of(config, folder.cache) as cache,
        messages.timed("data"),
    ):
        train_split, test_split = load(config, cache)
        tokenizer = inputs.make_tokenizer(config, train_split, folder.tokenizer)
        if str(tokenizer.chat_template).endswith(tokenization.PLAIN):
            say("the tokenizer has no chat template; turns are written as plain text (User: ...)")
        encoding = inputs.encode_settings(config)
        train_tries = inputs.encode_split(train_split, tokenizer, encoding, cache)
        test_tries = inputs.encode_split(test_split, tokenizer, encoding, cache)
    preemption.check()
    objective.check(train_tries, config)
    asked = config.eval.get("generate", 0)
    probes = following.probes(test_split.samples(), asked) if asked else []
    plan = make_plan(config, train_tries, objective, mesh)
    say(describe("train", train_tries), describe("held out", test_tries))

    # Model and step. With LoRA, the state holds adapters and head; the base is frozen beside it.
    source = weights.first(config, tokenizer, objective)
    reference = weights.reference(config, source, tokenizer, objective)
    model = source.model
    written = tokenization.closed(tokenizer) if objective.head else tokenizer
    hub.check_tokenizer(dataclasses.replace(model, lora=None), written)
    built = assembly.assemble(
        model, objective, mesh, settings=settings.optimizer, steps=plan.steps, options=options
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
        new = processes.agreed(not results.has_scores(folder, "before", bool(probes)))
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
            f"{assembly.attention_of(config, model, options)}",
        )
        train_reference, test_reference = weights.reference_logps(
            reference,
            objective,
            [train_tries, test_tries],
            params=lora.join(first, frozen) if reference is source and first else None,
            mesh=mesh,
            cache=cache,
            rows_per_batch=config.eval.rows_per_batch,
            pad_token=pad_token,
            options=options,
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
            held_out = scoring.eval_batches(
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

        respond = responses.of_run(config, model, tokenizer, mesh, options) if probes else None

        def follow(params: Any, which: str) -> None:
            if respond:
                results.write_answers(folder, which, responses.answers(respond, params, probes))

        if new:
            params = lora.join(first, frozen)
            results.write_scores(folder, "before", score(params), objective.evaluation)
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
            enabled=processes.first(),
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
                    results.write_nonfinite,
                    folder,
                    batches.sample_ids,
                    stops=settings.stops_at_nonfinite,
                    say=say,
                ),
                evaluate_first=bool(processes.agreed(writer.evaluated < start)),
            )
        preemption.where = "after training"
        preemption.check()
        params = lora.join(state.params, frozen)
        results.write_scores(folder, "after", score(params), objective.evaluation)
        follow(params, "after")
    del state, frozen  # the moments make room for the check of what is written
    results.finish(
        folder,
        config=config,
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
    result = trained.Trained(
        model, params, tokenizer, folder, plan.steps, held_out=test_tries.fingerprint
    )
    outputs.write_model(folder.model, result, test_tries, mesh)
    say(f"model: {os.path.relpath(folder.model)}")
    return result


def make_plan(
    config: ConfigDict, tries: TrieSet, objective: objectives.Objective, mesh: Any
) -> rows.Plan:
    """The plan of a training run."""
    train = config.train
    parts = train.accumulation * sharding.data_parts(mesh)
    if train.rows_per_batch < 1 or train.accumulation < 1 or train.rows_per_batch % parts:
        raise UserError(
            f"train.rows_per_batch ({train.rows_per_batch}) must be a multiple of "
            f"train.accumulation ({train.accumulation}) times the data parts of the mesh "
            f"({sharding.data_parts(mesh)})"
        )
    if train.epochs < 1 and not train.steps:
        raise UserError("train.epochs must be at least 1")
    return rows.make_plan(
        tries.lengths,
        tries.leaves,
        tries.levels.sum(1),
        scored=tries.predicted if objective.joint else tries.response,
        row_length=config.data.row_length,
        rows_per_batch=train.rows_per_batch,
        seed=config.seed,
        epochs=train.epochs,
        max_steps=train.steps or None,
    )


def check_record(at: int, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Makes sure that a checkpoint is one of this very run.

    Raises:
        UserError: it is of other data, another model, base or reference.
    """
    kinds = {
        "base": "another base",
        "reference": "another reference",
        "model": "another model",
        "data": "other data",
    }
    if found == wanted:
        return
    kind = next(
        (kind for key, kind in kinds.items() if found.get(key) != wanted[key]), "other data"
    )
    raise UserError(
        f"the checkpoint at step {at} was trained on {kind} ({found} instead of {wanted}); "
        "choose another --workdir"
    )


def describe(name: str, tries: TrieSet) -> str:
    """One line about a split, with everything that was cut or dropped."""
    counts = tries.counts
    line = (
        f"{name}: {counts['samples']} samples, {counts['trie_tokens']} trie tokens for "
        f"{counts['flat_tokens']} flat ones"
    )
    lost = [
        f"{value} {key.replace('_', ' ')}"
        for key, value in sorted(counts.items())
        if value and ("dropped" in key or "truncated" in key or "split" in key)
    ]
    return f"{line}; {', '.join(lost)}" if lost else line


if __name__ == "__main__":
    cli.launch(main, name="train", config="configs/rm.py", distributed=True)
