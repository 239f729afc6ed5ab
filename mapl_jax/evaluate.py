"""Scores any preference file with any reward model, or responses by IFEval's rules.

python -m mapl_jax.evaluate --config=configs/evaluate.py --config.checkpoint=DIR --config.data=FILE
"""

import functools
import json
import tempfile
from pathlib import Path

import jax
from ml_collections import ConfigDict

from mapl_jax import cli, inputs, objectives, train, trained, weights
from mapl_jax.data import encode
from mapl_jax.errors import UserError
from mapl_jax.evaluation import ifeval, preferences, reports, scoring
from mapl_jax.files import write_json
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
            objectives.rewards_of, found.model, dtype=dtype, remat="none", backend=config.attention
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
    """Judges responses as IFEval does; needs no model."""
    for field in ("prompts", "responses"):
        if not config[field]:
            raise UserError(f"no {field} given; set --config.{field}=FILE")
    followed, missing = ifeval.score(config.prompts, config.responses)
    if missing:
        print(f"{len(missing)} prompts have no response and are left out; the first: {missing[0]}")
    print(ifeval.table(ifeval.summarize(followed, seed=config.seed, resamples=config.resamples)))
    if config.output:
        ifeval.write(config.output, followed)
        print(f"\nverdicts: {config.output}")


if __name__ == "__main__":
    cli.launch(main, name="evaluate", config="configs/evaluate.py")
