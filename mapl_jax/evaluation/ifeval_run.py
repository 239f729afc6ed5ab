"""IFEval's scores, from settings to the table: of given responses, or of those of a policy."""

import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from mapl_jax.data.sources import local_names
from mapl_jax.evaluation import best_of, ifeval, ifeval_files, judges, kept_pairs, sampler
from mapl_jax.evaluation.answers import RESPONSES, with_responses
from mapl_jax.evaluation.ifeval import IfevalSettings
from mapl_jax.evaluation.ifeval_files import Task
from mapl_jax.runtime.console import result, say, say_each
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.outputs import check_file
from mapl_jax.runtime.paths import local
from mapl_jax.training import sharding


def score(config: IfevalSettings) -> None:
    """Judges responses as IFEval does: given ones, or those of a policy."""
    if not config.prompts and not config.responses:
        raise UserError("no prompts given; set --config.prompts=FILE")
    if bool(config.responses) == bool(config.checkpoint):
        raise UserError(
            "set either --config.responses=FILE, or --config.checkpoint=DIR for a policy to answer"
        )
    if config.responses and config.n > 1:
        raise UserError(
            "n goes with a checkpoint; a file of responses already says how many there are"
        )
    if config.selector and config.checkpoint and config.n == 1:
        raise UserError("a selector needs several responses to choose from; set --config.n=8")
    if config.output:
        models = [config.checkpoint, config.selector]
        inputs = [*local_names(config.prompts, config.responses), *models]
        check_file(config.output, ifeval.VERDICTS, inputs)
        if config.checkpoint:
            check_file(_answers_path(config), RESPONSES, inputs)
    source = config.prompts or config.responses
    tasks, notes = ifeval_files.read_tasks(source, on_error=config.on_error)
    say_each(notes)
    texts: Sequence[Sequence[str | None]]
    if config.responses:
        responses = ifeval_files.read_responses(config.responses)
        tasks, texts, notes = ifeval_files.matched(tasks, responses, config.responses)
        say_each(notes)
        if config.selector and max(map(len, texts)) == 1:
            raise UserError(
                f"{config.responses} has one response to each prompt: nothing to select"
            )
    else:
        texts = _answered(tasks, config)
    answers, notes = ifeval_files.answers_alone(tasks, texts)
    say_each(notes)
    followed = ifeval.judge(tasks, answers)
    rewards = _rewards(tasks, answers, config) if config.selector else None
    if jax.process_index() != 0:
        return
    summarize = functools.partial(ifeval.summarize, seed=config.seed, resamples=config.resamples)
    most = max(map(len, texts))
    if most == 1:
        result(ifeval.table(summarize(followed)))
    else:
        ways = {f"one of {most}, on average": followed}
        if rewards:
            choice = [int(np.argmax(values)) for values in rewards]
            ways["the selector's choice"] = ifeval.picked(followed, choice)
        ways[f"the best of {most}"] = ifeval.best(followed)
        result(ifeval.choice_table({name: summarize(way) for name, way in ways.items()}))
        kept = [[all(one.strict) for one in samples] for samples in followed]
        result("", best_of.table(best_of.curve(kept, rewards)))
        if rewards:
            pairs = kept_pairs.summarize(
                followed, answers, rewards, seed=config.seed, resamples=config.resamples
            )
            result("", kept_pairs.table(pairs))
    if config.output:
        ifeval.write(config.output, followed, rewards)
        say("", f"verdicts: {config.output}")


def _answers_path(config: IfevalSettings) -> Path:
    return local(config.output).with_suffix(".responses.jsonl")


def _answered(tasks: list[Task], config: IfevalSettings) -> list[list[str]]:
    """What a policy says to IFEval's prompts, kept beside the verdicts."""
    output = _answers_path(config) if config.output else ""
    respond, kept = sampler.load(config, rows_per_batch=config.rows_per_batch, output=output)
    responses = respond(
        [task.messages for task in tasks],
        samples=config.n,
        names=lambda number: f"{tasks[number].place}, key {tasks[number].key}:",
        progress=True,
    )
    if kept and jax.process_index() == 0:
        kept.finish(list(with_responses([(t.record, t.messages) for t in tasks], responses)))
        say(f"responses: {output}")
    cut = sum(not answer.ended for answers in responses for answer in answers)
    if cut:
        say(f"{cut} responses were cut at {config.max_new_tokens} tokens")
    return [[answer.text for answer in answers] for answers in responses]


def _rewards(
    tasks: list[Task], texts: list[list[str]], config: IfevalSettings
) -> list[list[float]]:
    """What a judge says of responses to IFEval's prompts."""
    judge = judges.judge_of(
        config.selector,
        mesh=sharding.make_mesh(config.mesh),
        rows_per_batch=config.rows_per_batch,
        compute=config.compute,
        max_length=config.max_length,
    )
    return judge([task.messages for task in tasks], texts)
