"""Scores any preference file with any reward model, or responses by IFEval's rules.

python -m mapl_jax.evaluate --config=configs/evaluate.py --config.checkpoint=DIR --config.data=FILE
"""

import functools
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from mapl_jax import cli, inputs, objectives, train
from mapl_jax.data import encode, sources, tokenization
from mapl_jax.errors import UserError
from mapl_jax.evaluation import ifeval, preferences, reports, scoring
from mapl_jax.kernels import attention
from mapl_jax.models import axes, hub, reward
from mapl_jax.models.decoder import DecoderConfig
from mapl_jax.runs import read_json, write_json
from mapl_jax.training import sharding, step
from mapl_jax.training.checkpoints import Checkpoints, saved_steps


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
    dtype = cli.choice("dtype", config.dtype, train.DTYPES)
    cli.choice("attention", config.attention, attention.BACKENDS)
    output = config.output or arguments.workdir
    mesh = sharding.make_mesh(config.mesh)
    model, params, tokenizer, run = load_checkpoint(config.checkpoint, mesh)
    max_length = config.max_length or run.get("max_length", 2048)
    row_length = config.row_length or max(run.get("row_length", 0), 2 * max_length)
    settings = encode.Settings(max_length, row_length, config.truncation)

    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        split = _load(config, cache)
        tries = inputs.encode_split(split, tokenizer, settings, cache)
        print(train.describe(str(config.data), tries), flush=True)
        rewards = functools.partial(
            objectives.rewards_of, model, dtype=dtype, remat="none", backend=config.attention
        )
        places = sharding.parameters(
            mesh, reward.abstract_params(model), axes.logical_axes(reward.abstract_params(model))
        )
        compute = step.compile_scoring(rewards, mesh, places)
        scored = scoring.score_comparisons(
            lambda batch: compute(params, sharding.to_device(batch, mesh)),
            scoring.eval_batches(
                tries,
                rows_per_batch=config.rows_per_batch,
                parts=sharding.data_parts(mesh),
                pad_token=tokenizer.pad_token_id or 0,
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


def load_checkpoint(
    path: str, mesh: Any
) -> tuple[DecoderConfig, Any, tokenization.Tokenizer, dict[str, Any]]:
    """A reward model from a run folder, one of its checkpoints, or a model folder.

    Returns:
        The model's config, its parameters on the mesh, its tokenizer, and the `data` fields of the
        run's config (empty for a model folder).

    Raises:
        UserError: there is nothing of the kind.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"checkpoint {path} is no folder")
    root, at = folder, None
    if re.fullmatch(r"\d+", folder.name) and folder.parent.name == "checkpoints":
        root, at = folder.parent.parent, int(folder.name)
    run = read_json(root / "config.json") if (root / "checkpoints").is_dir() else {}
    if run.get("objective", "reward") != "reward":
        raise UserError(f"{path} holds a policy; only reward models can be scored here")
    if (folder / "model" / "config.json").exists():
        folder = folder / "model"
    elif run:
        at = at if at is not None else max(saved_steps(root / "checkpoints"), default=None)
        if at is None:
            raise UserError(f"{path} has no complete checkpoint yet")
        return _from_step(root, run, at, mesh)
    elif not (folder / "config.json").exists():
        raise UserError(f"{path} holds neither a run nor a model (no config.json)")
    names = read_json(folder / "config.json").get("architectures") or []
    if not any("SequenceClassification" in name for name in names):
        raise UserError(f"{path} holds no reward model ({', '.join(names)}), and so no score")
    model = hub.load_config(folder)
    abstract = reward.abstract_params(model)
    places = sharding.parameters(mesh, abstract, axes.logical_axes(abstract))
    params = jax.device_put(hub.load_params(folder, model, head=True, seed=0), places)
    return model, params, tokenization.load(str(folder)), run.get("data", {})


def _from_step(
    root: Path, run: dict[str, Any], at: int, mesh: Any
) -> tuple[DecoderConfig, Any, tokenization.Tokenizer, dict[str, Any]]:
    with Checkpoints(root / "checkpoints", keep=None) as checkpoints:
        model = DecoderConfig.from_dict(checkpoints.record(at)["model"])
        abstract = reward.abstract_params(model)
        places = sharding.parameters(mesh, abstract, axes.logical_axes(abstract))
        targets = jax.tree.map(
            lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
            abstract,
            places,
        )
        params = checkpoints.restore_params(at, targets)
    return model, params, tokenization.load(str(root / "tokenizer")), run.get("data", {})


def _load(config: ConfigDict, cache: str) -> inputs.Split:
    """The data: samples as they are, pairs as base comparisons, or with instructions added."""
    if config.data != inputs.DEMO and sources.is_samples(config.data):
        return inputs.load_samples(config.data, cache)
    pairs = inputs.read_pairs(config.data, config.on_error, config.seed)
    if config.synthesize:
        return inputs.synthesize(pairs, inputs.synthesis_settings(config), cache)
    return inputs.base_only(pairs, cache)


if __name__ == "__main__":
    cli.launch(main, name="evaluate", config="configs/evaluate.py")
