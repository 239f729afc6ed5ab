"""Trains a reward model: python -m mapl_jax.train --config=configs/rm.py

Config -> mesh -> data -> model -> step -> loop, then the evaluation and the report. Started again
with the same command, a run goes on from its last checkpoint and ends with the same parameters.
"""

import functools
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mapl_jax import cli, inputs, losses, results
from mapl_jax.data import loader, rows
from mapl_jax.data.encode import TrieSet
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.errors import UserError
from mapl_jax.evaluation import preferences, scoring
from mapl_jax.kernels import attention
from mapl_jax.models import axes, hub, reward
from mapl_jax.models.decoder import DecoderConfig
from mapl_jax.runs import RunFolder
from mapl_jax.training import loop, optimizers, sharding, step
from mapl_jax.training.checkpoints import Checkpoints
from mapl_jax.training.metrics import MetricsWriter

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
FIELDS = (*scoring.FIELDS, *step.COMPARISON_FIELDS)


def main(arguments: cli.Arguments) -> None:
    """Trains, evaluates, saves."""
    config = arguments.config
    began = time.perf_counter()
    optimizer_settings = make_optimizer_settings(config)
    dtype = cli.choice("train.dtype", config.train.dtype, DTYPES)
    inter = cli.choice("loss.inter_form", config.loss.inter_form, losses.INTER_FORMS)
    cli.choice("train.attention", config.train.attention, attention.BACKENDS)
    mesh = sharding.make_mesh(config.mesh)
    folder = RunFolder(arguments.workdir or f"runs/{config.name}")
    folder.claim(config)
    say = print if jax.process_index() == 0 else _silent
    say(f"run folder: {folder.path}", flush=True)

    # Data: pairs -> samples -> tries -> rows.
    train_split, test_split = inputs.load_splits(config, folder.cache)
    tokenizer = inputs.make_tokenizer(config, train_split, folder.tokenizer)
    encoding = inputs.encode_settings(config)
    train_tries = inputs.encode_split(train_split, tokenizer, encoding, folder.cache)
    test_tries = inputs.encode_split(test_split, tokenizer, encoding, folder.cache)
    batches = make_batches(config, train_tries, tokenizer, mesh)
    plan = batches.plan
    say(describe("train", train_tries), describe("held out", test_tries), sep="\n", flush=True)

    # Model and step.
    model, make_params = make_model(config, tokenizer)
    hub.check_tokenizer(model, tokenizer)
    rewards = functools.partial(
        rewards_of, model, dtype=dtype, remat=config.train.remat, backend=config.train.attention
    )
    shapes = reward.abstract_params(model)
    logical = axes.logical_axes(shapes)
    learning_rate = optimizers.schedule(optimizer_settings, plan.steps)
    optimizer = optimizers.adamw(optimizer_settings, learning_rate, logical)
    abstract, shardings = step.state_shapes(shapes, optimizer, mesh, logical)
    train_step = step.compile_train_step(
        step.make_train_step(
            rewards,
            optimizer,
            learning_rate,
            inter=inter,
            center=config.loss.center,
            clip=optimizer_settings.clip,
        ),
        mesh,
        shardings,
    )
    score_step = step.compile_scoring(rewards, mesh, shardings.params)
    to_device = functools.partial(sharding.to_device, mesh=mesh)

    def score(params: Any, samples: int = 0) -> preferences.Scored:
        held_out = scoring.eval_batches(
            test_tries,
            rows_per_batch=config.eval.rows_per_batch,
            parts=sharding.data_parts(mesh),
            pad_token=tokenizer.pad_token_id or 0,
            samples=samples,
        )
        return scoring.score(score_step, params, held_out, to_device)

    def evaluate(params: Any, _: int) -> Mapping[str, float]:
        return scoring.flat_metrics(score(params, config.eval.samples), seed=config.seed)

    with Checkpoints(folder.checkpoints, keep=config.train.keep) as checkpoints:
        start = checkpoints.latest or 0
        record = {
            "data": train_tries.fingerprint,
            "steps": plan.steps,
            "model": model.to_dict(),
        }
        if start:
            found = checkpoints.record(start)
            if found != record:
                raise UserError(
                    f"the checkpoint at step {start} was trained on other data "
                    f"({found} instead of {record}); choose another --workdir"
                )
            state = checkpoints.restore(start, abstract)
            say(f"going on from the checkpoint at step {start} of {plan.steps}", flush=True)
        else:
            state = step.compile_first_state(optimizer, shardings)(make_params(shardings.params))
        parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        say(
            f"model: {parameters / 1e6:.2f} M parameters; {plan.steps} steps of "
            f"{plan.rows_per_batch} rows of {plan.row_length} tokens on "
            f"{mesh.size} x {jax.devices()[0].device_kind}",
            flush=True,
        )
        if not results.has_scores(folder, "before"):
            fresh = make_params(shardings.params) if start else state.params
            results.write_scores(folder, "before", score(fresh))
        with MetricsWriter(
            folder.path,
            total_steps=plan.steps,
            resume_step=start,
            enabled=jax.process_index() == 0,
        ) as writer:
            state = loop.train(
                state,
                train_step,
                loader.stream(
                    batches,
                    start=start,
                    threads=config.data.threads,
                    workers=config.data.workers,
                    fields=FIELDS,
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
            )
        results.write_scores(folder, "after", score(state.params))
        hub.save_params(folder.model, model, state.params, tokenizer=tokenizer)
    results.finish(
        folder,
        config=config,
        command=arguments.command,
        facts={
            "parameters": parameters,
            "steps": plan.steps,
            "train": {**train_split.counts, "encoding": train_tries.counts},
            "test": {**test_split.counts, "encoding": test_tries.counts},
            "device": f"{mesh.size} x {jax.devices()[0].device_kind}",
            "seconds": time.perf_counter() - began,
        },
        say=say,
    )


def rewards_of(model: DecoderConfig, params: Any, batch: step.Batch, **options: Any) -> jax.Array:
    """Rewards [R, L] of the leaves of a part of a batch."""
    return reward.rewards(model, params, *(batch[name] for name in scoring.FIELDS), **options)


def make_optimizer_settings(config: ConfigDict) -> optimizers.OptimizerSettings:
    """The numbers of AdamW from `config.train`."""
    names = ("learning_rate", "schedule", "warmup", "min_ratio", "weight_decay", "b1", "b2")
    return optimizers.OptimizerSettings(
        **{name: config.train[name] for name in (*names, "eps", "clip")}
    )


def make_batches(
    config: ConfigDict, tries: TrieSet, tokenizer: Tokenizer, mesh: Any
) -> loader.Batches:
    """The plan of a training run and this host's part of it."""
    train, loss = config.train, config.loss
    parts = train.accumulation * sharding.data_parts(mesh)
    if train.rows_per_batch < 1 or train.accumulation < 1 or train.rows_per_batch % parts:
        raise UserError(
            f"train.rows_per_batch ({train.rows_per_batch}) must be a multiple of "
            f"train.accumulation ({train.accumulation}) times the data parts of the mesh "
            f"({sharding.data_parts(mesh)})"
        )
    if train.epochs < 1 and not train.steps:
        raise UserError("train.epochs must be at least 1")
    plan = rows.make_plan(
        tries.lengths,
        tries.leaves,
        tries.levels.sum(1),
        row_length=config.data.row_length,
        rows_per_batch=train.rows_per_batch,
        seed=config.seed,
        epochs=train.epochs,
        max_steps=train.steps or None,
    )
    if not loss.base > 0 or loss.intra < 0 or loss.inter < 0:
        raise UserError(
            "loss.base must be above 0 and loss.intra and loss.inter at least 0: without base, "
            "rewards of prompt or response alone are not determined"
        )
    return loader.Batches(
        tries,
        plan,
        weights=(loss.base, loss.intra, loss.inter),
        inter_gamma=loss.inter_gamma if loss.inter_form == "fixed" else 0.0,
        pad_token=tokenizer.pad_token_id or 0,
        accumulation=train.accumulation,
        host=jax.process_index(),
        hosts=jax.process_count(),
    )


def make_model(config: ConfigDict, tokenizer: Tokenizer) -> tuple[DecoderConfig, Any]:
    """The model's config, and a function that puts its first parameters where they belong."""
    fields = config.model
    if fields.path:
        model = hub.load_config(fields.path)
        if len(tokenizer) > model.vocab_size:
            raise UserError(
                f"the tokenizer has {len(tokenizer)} tokens and the model in {fields.path} "
                f"only {model.vocab_size}; they do not belong together"
            )

        def load(places: Any) -> Any:
            return hub.load_params(fields.path, model, head=True, seed=config.seed, places=places)

        return model, load
    if fields.width % fields.heads or fields.heads % fields.kv_heads:
        raise UserError(
            f"model.width ({fields.width}) must be a multiple of model.heads ({fields.heads}), "
            f"and that of model.kv_heads ({fields.kv_heads})"
        )
    model = DecoderConfig(
        # A multiple of 64 shards evenly and fills whole tiles.
        vocab_size=-(-len(tokenizer) // 64) * 64,
        width=fields.width,
        layers=fields.layers,
        heads=fields.heads,
        kv_heads=fields.kv_heads,
        head_dim=fields.width // fields.heads,
        mlp_width=fields.mlp_width,
        rope_theta=fields.rope_theta,
        norm_eps=1e-6,
        tie_embeddings=True,
        qkv_bias=True,
    )

    def init(places: Any) -> Any:
        # Made shard by shard, never whole on one device.
        make = functools.partial(reward.init, model, jax.random.key(config.seed))
        return jax.jit(make, out_shardings=places)()

    return model, init


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


def _silent(*_: Any, **__: Any) -> None:
    """Says nothing: every process but the first."""


if __name__ == "__main__":
    cli.launch(main, name="train", config="configs/rm.py")
