"""Scores any preference file with any reward model, or responses by IFEval's rules.

python -m mapl_jax.evaluate --config=configs/evaluate.py --config.checkpoint=DIR --config.data=FILE
"""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mapl_jax import cli, generate, inputs, judging, objectives, train, trained, weights
from mapl_jax.data import encode, sources
from mapl_jax.errors import UserError
from mapl_jax.evaluation import ifeval, preferences, reports, scoring
from mapl_jax.files import check_target, write_json, write_lines
from mapl_jax.kernels import attention
from mapl_jax.training import sharding, step


def main(arguments: cli.Arguments) -> None:
    """Loads, scores, prints."""
    config = arguments.config
    if "responses" in config:
        score_ifeval(config)
        return
    if not config.checkpoint:
        raise UserError("no checkpoint given; set --config.checkpoint=DIR")
    if not config.data:
        raise UserError("no data given; set --config.data=FILE")
    dtype = cli.choice("dtype", config.dtype, weights.DTYPES)
    cli.choice("attention", config.attention, attention.BACKENDS)
    output = config.output or arguments.workdir
    if config.scores:
        check_target(config.scores)
    if output:
        check_target(Path(output) / "report.html")
    mesh = sharding.make_mesh(config.mesh)
    found = trained.load(config.checkpoint, mesh)
    if not found.head:
        raise UserError(f"{config.checkpoint} holds a policy, and so no score")
    data = found.config.get("data", {})
    max_length = config.max_length or data.get("max_length", 2048)
    row_length = config.row_length or max(data.get("row_length", 0), 2 * max_length)
    settings = encode.Settings(max_length, row_length, config.truncation)

    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        synthesis = inputs.synthesis_settings(config) if config.synthesize else None
        split = inputs.load_any(
            config.data, cache, on_error=config.on_error, seed=config.seed, synthesis=synthesis
        )
        tries = inputs.encode_split(split, found.tokenizer, settings, cache)
        print(train.describe(str(config.data), tries), flush=True)
        rewards = functools.partial(
            objectives.rewards_of,
            found.model,
            dtype=dtype,
            backend=config.attention,
            spread=sharding.spread(mesh),
        )
        compute = step.compile_scoring(
            rewards, mesh, trained.placement(found.model, mesh, found.head)
        )
        scored = scoring.score_comparisons(
            lambda batch: compute(found.params, sharding.to_device(batch, mesh)),
            scoring.eval_batches(
                tries,
                rows_per_batch=config.rows_per_batch,
                parts=sharding.data_parts(mesh),
                pad_token=found.tokenizer.pad_token_id or 0,
            ),
            objectives.REWARD,
        )
    if jax.process_index() != 0:
        return
    summary = preferences.summarize(scored, seed=config.seed, resamples=config.resamples)
    print()
    print(preferences.table(None, summary))
    if config.scores:
        preferences.write_scores(Path(config.scores), scored)
        print(f"\nscores: {config.scores}")
    if output:
        output = Path(output)
        facts = {
            "command": arguments.command,
            "checkpoint": str(config.checkpoint),
            "data": {**split.counts, "encoding": tries.counts},
            "eval": {"after": summary},
        }
        write_json(output / "summary.json", facts)
        reports.write_report(
            output / "report.html",
            title=f"{config.checkpoint} on {config.data}",
            command=arguments.command,
            summary={**facts, "config": json.loads(json.dumps(config.to_dict()))},
            before=None,
            after=summary,
            scored_before=None,
            scored_after=scored,
            metrics=[],
            notes=[],
            device=f"{mesh.size} x {jax.devices()[0].device_kind}",
        )
        print(f"\nreport: {output / 'report.html'}")


def score_ifeval(config: ConfigDict) -> None:
    """Judges responses as IFEval does: given ones, or those of a policy."""
    if not config.prompts:
        raise UserError("no prompts given; set --config.prompts=FILE")
    if bool(config.responses) == bool(config.checkpoint):
        raise UserError(
            "set either --config.responses=FILE or --config.checkpoint=DIR, which answers itself"
        )
    if config.responses and config.n > 1:
        raise UserError("n is for a checkpoint; a file of responses says itself how many there are")
    if config.selector and config.checkpoint and config.n == 1:
        raise UserError("a selector needs several responses to choose from; set --config.n=8")
    if config.output:
        check_target(config.output)
    prompts = ifeval.read_prompts(config.prompts)
    if config.responses:
        found = ifeval.read_responses(config.responses)
        prompts, texts, missing = ifeval.matched(prompts, found, config.responses)
        if missing:
            print(f"{len(missing)} prompts have no response and are left out; first: {missing[0]}")
        if config.selector and max(map(len, texts)) == 1:
            raise UserError(f"{config.responses} has one response to a prompt, nothing to select")
    else:
        generate.check(config)
        texts = _answered(prompts, config)
    followed = ifeval.judge(prompts, texts, config.prompts)
    rewards = _rewards(prompts, texts, config) if config.selector else None
    if jax.process_index() != 0:
        return
    summarize = functools.partial(ifeval.summarize, seed=config.seed, resamples=config.resamples)
    most = max(map(len, texts))
    if most == 1:
        print(ifeval.table(summarize(followed)))
    else:
        ways = {f"one of {most}, on average": followed}
        if rewards:
            choice = [int(np.argmax(values)) for values in rewards]
            ways["the reward model's choice"] = ifeval.picked(followed, choice)
        ways[f"the best of {most}"] = ifeval.best(followed)
        print(ifeval.choice_table({name: summarize(way) for name, way in ways.items()}))
    if config.output:
        ifeval.write(config.output, followed, rewards)
        print(f"\nverdicts: {config.output}")


def _answered(prompts: list[dict[str, Any]], config: ConfigDict) -> list[list[str]]:
    """What a policy says to IFEval's prompts, kept beside the verdicts."""
    records = [
        (record, [sources.Message(role="user", content=record["prompt"])]) for record in prompts
    ]
    respond = generate.load(config, rows_per_batch=config.rows_per_batch)
    found = respond(
        [messages for _, messages in records],
        samples=config.n,
        names=lambda number: f"{config.prompts}, key {prompts[number]['key']}:",
        progress=True,
    )
    if config.output and jax.process_index() == 0:
        path = Path(config.output).with_suffix(".responses.jsonl")
        write_lines(path, generate.with_responses(records, found))
        print(f"responses: {path}")
    cut = sum(not answer.ended for answers in found for answer in answers)
    if cut:
        print(f"{cut} responses were cut at {config.max_new_tokens} tokens")
    return [[answer.text for answer in answers] for answers in found]


def _rewards(
    prompts: list[dict[str, Any]], texts: list[list[str]], config: ConfigDict
) -> list[list[float]]:
    """What a reward model thinks of responses to IFEval's prompts."""
    mesh = sharding.make_mesh(config.mesh)
    found = trained.load(config.selector, mesh)
    if not found.head:
        raise UserError(f"{config.selector} holds a policy, and so no score to select by")
    return judging.rewards(
        found,
        [[{"role": "user", "content": record["prompt"]}] for record in prompts],
        texts,
        mesh,
        rows_per_batch=config.rows_per_batch,
        dtype=weights.DTYPES[config.dtype],
        backend=config.attention,
    )


if __name__ == "__main__":
    cli.launch(main, name="evaluate", config="configs/evaluate.py")
