"""Objective, model and mesh joined to the compiled steps of a run."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mapl_jax.data import rows
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.kernels import attention
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import axes, decoder, initial, lora
from mapl_jax.models.config import DecoderConfig
from mapl_jax.runtime import errors
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import loggers, optimizers, sharding, step
from mapl_jax.training import objective as objectives
from mapl_jax.training.checkpoints import check_keep
from mapl_jax.training.objective import Objective


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What a config says of a run, checked."""

    optimizer: optimizers.OptimizerSettings
    compute: Compute
    mesh: Mesh
    objective: objectives.Objective
    stops_at_nonfinite: bool
    loggers: tuple[str, ...]


def make_settings(config: ConfigDict) -> RunSettings:
    """Checks what a config says.

    Raises:
        UserError: something in it means nothing.
    """
    optimizer = make_optimizer_settings(config)
    mesh = sharding.make_mesh(config.mesh)
    compute = compute_of(config, mesh)
    check_keep(config.train.keep)
    return RunSettings(
        optimizer,
        compute,
        mesh,
        objectives.make(config),
        errors.choice(
            "train.on_nonfinite", config.train.on_nonfinite, {"stop": True, "skip": False}
        ),
        loggers.parse(config.train.logger),
    )


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


@dataclasses.dataclass(frozen=True)
class Assembly:
    """Everything between a config and a compiled step.

    Attributes:
        leaves: (parameters, part of a batch) -> a number for each leaf.
        shapes: of all parameters.
        places: shardings of all parameters.
        optimizer: of the trainable ones.
        abstract: shapes of the state, with its shardings.
        shardings: of the state.
        frozen: shardings of the frozen parameters; empty without LoRA.
        train_step: (state, batch, frozen) -> (state, metrics), jitted.
    """

    leaves: Callable[..., Any]
    shapes: Any
    places: Any
    optimizer: optax.GradientTransformation
    abstract: step.TrainState
    shardings: step.TrainState
    frozen: Any
    train_step: Any


def compute_of(config: ConfigDict, mesh: Mesh) -> Compute:
    """How a run computes its model.

    Raises:
        UserError: a setting is unknown.
    """
    train = config.train
    return Compute(
        dtype=errors.choice("train.dtype", train.dtype, initial.DTYPES),
        remat=errors.choice("train.remat", train.remat, tuple(decoder.REMAT)),
        backend=errors.choice("train.attention", train.attention, attention.BACKENDS),
        spread=sharding.spread(mesh),
    )


def attention_of(config: ConfigDict, model: DecoderConfig, compute: Compute) -> str:
    """The backend of attention that a run takes, for its log."""
    return attention.choose(
        compute.backend,
        config.data.row_length,
        platform=compute.platform,
        dtype=compute.dtype,
        width=model.head_dim,
        softcap=model.attention_softcap is not None,
    )


def make_optimizer_settings(config: ConfigDict) -> optimizers.OptimizerSettings:
    """The numbers of AdamW from `config.train`."""
    names = ("learning_rate", "schedule", "warmup", "min_ratio", "weight_decay", "b1", "b2")
    return optimizers.OptimizerSettings(
        **{name: config.train[name] for name in (*names, "eps", "clip")}
    )


def assemble(
    model: DecoderConfig,
    objective: Objective,
    mesh: Mesh,
    *,
    settings: optimizers.OptimizerSettings,
    steps: int,
    compute: Compute,
) -> Assembly:
    """Puts a step together; nothing is computed.

    Args:
        model: of the run.
        objective: of the run.
        mesh: of the run.
        settings: of the optimizer.
        steps: of the whole run.
        compute: from `compute_of`.
    """
    shapes = objective.head.abstract_params(model)
    logical = axes.logical_axes(shapes)
    places = sharding.parameters(mesh, shapes, logical)
    leaves = rounded_first(
        functools.partial(objective.leaves, model, compute=compute), places, compute.dtype
    )
    trainable, _ = lora.split(shapes, model.lora)
    trainable_logical, _ = lora.split(logical, model.lora)
    frozen = lora.split(places, model.lora)[1]
    learning_rate = optimizers.schedule(settings, steps)
    optimizer = optimizers.adamw(settings, learning_rate, trainable_logical)
    abstract, shardings = step.state_shapes(trainable, optimizer, mesh, trainable_logical)
    take = step.make_train_step(
        leaves, objective.loss, optimizer, learning_rate, clip=settings.clip
    )
    return Assembly(
        leaves,
        shapes,
        places,
        optimizer,
        abstract,
        shardings,
        frozen,
        step.compile_train_step(take, mesh, shardings, frozen),
    )


def rounded_first(leaves: Callable[..., Any], places: Any, dtype: Any) -> Callable[..., Any]:
    """Rounds the matrices of layers to the type of the computation where they lie.

    They are rounded anyway before they are multiplied. Done first, the parts that come together on
    a device, and their gradients, take half the memory.

    Args:
        leaves: (parameters, part of a batch) -> a number for each leaf.
        places: shardings of the parameters.
        dtype: of the computation.
    """

    def change(path: tuple[Any, ...], x: jax.Array, place: Any) -> jax.Array:
        names = [getattr(key, "key", None) for key in path]
        if names[0] != "layers" or names[-1] != "kernel" or x.dtype == dtype:
            return x
        return jax.lax.with_sharding_constraint(x.astype(dtype), place)

    def rounded(params: Any, batch: Any) -> Any:
        return leaves(jax.tree_util.tree_map_with_path(change, params, places), batch)

    return rounded
