"""Objective, model and mesh joined to the compiled steps of a run."""

import dataclasses
import functools
from collections.abc import Callable, Sized

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Float

from mapl_jax.data import loader, rows
from mapl_jax.data.loader import Batch, Batches
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.kernels import attention
from mapl_jax.kernels.compute import Compute
from mapl_jax.losses import LogProbabilities
from mapl_jax.models import axes, decoder, hub, initial, lora
from mapl_jax.models.config import DTYPES, EXPERT_MATRICES, DecoderConfig
from mapl_jax.models.heads import Head
from mapl_jax.models.initial import InitialWeights
from mapl_jax.runtime import storage
from mapl_jax.runtime.console import counted
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import is_address, local
from mapl_jax.training import callbacks, loggers, optimizers, scoring, sharding, step, watch
from mapl_jax.training import objective as objectives
from mapl_jax.training.checkpoints import check_keep
from mapl_jax.training.objective import Objective
from mapl_jax.training.scoring import LeafFunction
from mapl_jax.training.settings import RunSettings, TrainSettings
from mapl_jax.training.step import Params, TrainState


@dataclasses.dataclass(frozen=True)
class Trainer:
    """What lies between the settings of a run and its compiled steps."""

    model: DecoderConfig
    objective: Objective
    mesh: Mesh
    compute: Compute
    pad_token: int
    # (parameters, part of a batch) -> a number for each leaf.
    leaves: Callable[[Params, Batch], LogProbabilities]
    shapes: Params  # of all parameters; sharded as in `param_shardings`
    param_shardings: Params
    optimizer: optax.GradientTransformation  # of the trainable ones
    abstract: TrainState  # shapes of the state, sharded as in `state_shardings`
    state_shardings: TrainState
    frozen_shardings: Params  # empty without LoRA
    train_step: jax.stages.Wrapped  # (state, batch, frozen) -> (state, metrics), jitted

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of parameters, and of those that are trained."""
        count = [
            sum(x.size for x in jax.tree.leaves(tree))
            for tree in (self.shapes, self.abstract.params)
        ]
        return count[0], count[1]

    def facts(self, plan: rows.Plan) -> dict[str, object]:
        """How much is trained in how many steps, for the summary of a run."""
        size, trained = self.sizes
        return {
            "parameters": size,
            "trained_parameters": trained,
            "steps": plan.steps,
            "row_lengths": [shape.row_length for shape in plan.shapes],
            "padding": 1 - plan.filled,
        }

    @property
    def device(self) -> str:
        """How many devices of which kind."""
        return f"{self.mesh.size} x {jax.devices()[0].device_kind}"

    def activations(self, plan: rows.Plan) -> jax.ShapeDtypeStruct:
        """Activations of the trained layers, which a step holds until its backward pass."""
        layers = self.model.layers - self.model.frozen_layers
        largest = max(plan.shapes, key=lambda shape: shape.places // shape.parts)
        return jax.ShapeDtypeStruct(
            (1, largest.rows // largest.parts, largest.row_length, layers * self.model.width),
            self.compute.dtype,
            sharding=sharding.states(self.mesh),
        )

    def check_memory(self, plan: rows.Plan) -> None:
        """Makes sure that state, gradients and activations of a step have room on each device."""
        layers = self.activations(plan)
        sharding.check_memory([self.abstract, self.abstract.params, layers], "training this model")

    def describe(self, plan: rows.Plan) -> str:
        """What is trained, on what, in how many steps, in words."""
        size, trained = self.sizes
        batches = [
            f"{counted(shape.rows, 'rows')} of {shape.row_length} tokens" for shape in plan.shapes
        ]
        attentions = dict.fromkeys(
            attention_of(self.model, self.compute, shape.row_length) for shape in plan.shapes
        )
        return (
            f"model: {size / 1e6:.2f} M parameters"
            + (f" ({trained / 1e6:.2f} M trained)" if self.model.lora else "")
            + f"; {counted(plan.steps, 'steps')} of {' or '.join(batches)} "
            f"({100 * (1 - plan.filled):.1f} % padding) on {self.device}; "
            f"attention: {' and '.join(attentions)}"
        )

    def first_state(self, params: Params) -> TrainState:
        """The state before the first step; the trainable parameters are donated to it."""
        return step.compile_first_state(self.optimizer, self.state_shardings)(params)

    def to_device(self, batch: Batch) -> Batch:
        """Puts this host's part of a global batch on its devices."""
        return sharding.to_device(batch, self.mesh)

    @functools.cached_property
    def _score_step(self) -> Callable[[Params, Batch], jax.Array]:
        def score(params: Params, batch: Batch) -> jax.Array:
            return self.objective.score(self.leaves(params, batch), batch)

        return step.compile_scoring(score, self.mesh, self.param_shardings)

    def score(self, params: Params) -> LeafFunction:
        """(this host's part of a batch) -> what an evaluation reads of its leaves."""
        return lambda batch: self._score_step(params, self.to_device(batch))

    def batches(
        self,
        tries: TrieSet,
        plan: rows.Plan,
        *,
        reference: Float[np.ndarray, "n 2"] | None,
    ) -> Batches:
        """This host's part of the batches of a plan."""
        host, hosts = sharding.host_of(self.mesh)
        return loader.Batches(
            tries,
            plan,
            weights=self.objective.weights,
            inter_gamma=self.objective.inter_gamma,
            graded=self.objective.graded,
            joint=self.objective.joint,
            reference=reference,
            pad_token=self.pad_token,
            host=host,
            hosts=hosts,
        )

    def held_out(
        self,
        tries: TrieSet,
        *,
        rows_per_batch: int,
        reference: Float[np.ndarray, "n 2"] | None = None,
        samples: int = 0,
    ) -> Batches:
        """Batches that visit every trie once."""
        return scoring.held_out(
            tries,
            self.mesh,
            rows_per_batch=rows_per_batch,
            pad_token=self.pad_token,
            samples=samples,
            joint=self.objective.joint,
            reference=reference,
        )


def make_trainer(
    model: DecoderConfig,
    objective: Objective,
    mesh: Mesh,
    *,
    settings: optimizers.OptimizerSettings,
    steps: int,
    compute: Compute,
    pad_token: int = 0,
) -> Trainer:
    """Joins what makes a step; nothing is computed."""
    shapes = objective.head.abstract_params(model)
    logical = axes.logical_axes(shapes)
    param_shardings = sharding.parameters(mesh, shapes, logical)
    leaves = rounded_first(
        functools.partial(objective.leaves, model, compute=compute), param_shardings, compute.dtype
    )
    trainable, _ = lora.split(shapes, model.lora)
    trainable_logical, _ = lora.split(logical, model.lora)
    frozen_shardings = lora.split(param_shardings, model.lora)[1]
    learning_rate = optimizers.schedule(settings, steps)
    optimizer = optimizers.make(settings, learning_rate, trainable_logical)
    abstract, state_shardings = step.state_shapes(trainable, optimizer, mesh, trainable_logical)
    train_step = step.make_train_step(
        leaves, objective.loss, optimizer, learning_rate, clip=settings.clip
    )
    return Trainer(
        model=model,
        objective=objective,
        mesh=mesh,
        compute=compute,
        pad_token=pad_token,
        leaves=leaves,
        shapes=shapes,
        param_shardings=param_shardings,
        optimizer=optimizer,
        abstract=abstract,
        state_shardings=state_shardings,
        frozen_shardings=frozen_shardings,
        train_step=step.compile_train_step(train_step, mesh, state_shardings, frozen_shardings),
    )


# From settings.


def of_run(
    settings: RunSettings,
    model: DecoderConfig,
    objective: Objective,
    mesh: Mesh,
    steps: int,
    tokenizer: Tokenizer | None = None,
) -> Trainer:
    """The trainer of a run; with LoRA its state holds adapters and head, the base lies beside it.

    Args:
        tokenizer: of the run, for the unused places of rows.
    """
    return make_trainer(
        model,
        objective,
        mesh,
        settings=settings.train,
        steps=steps,
        compute=compute_of(settings.train, mesh),
        pad_token=(tokenizer.pad_token_id or 0) if tokenizer else 0,
    )


def check(settings: RunSettings) -> None:
    """Makes sure that what several settings together say means something, before any work."""
    mesh = sharding.make_mesh(dataclasses.asdict(settings.mesh))
    decoder.check_parts(compute_of(settings.train, mesh), settings.data.row_length)
    check_keep(settings.train.keep)
    loggers.parse(settings.train.logger)
    callbacks.names_in(settings.train.callbacks)
    watch.check(settings.train, objective_of(settings).kind)


def objective_of(settings: RunSettings) -> Objective:
    """The objective of a run."""
    path = settings.model.path
    if settings.objective == "dpo" and not settings.makes_start:
        there = bool(path) and (is_address(path) or local(path).is_dir())
        if not there and not storage.HUB_NAME.fullmatch(path):
            raise UserError(
                f"no such folder: {path or '(none)'}, to start from; make one with "
                "--config=configs/sft.py, or set --config.model.path to a folder or hub name"
            )
    return objectives.make(settings.objective, settings.loss, logp_chunk=settings.train.logp_chunk)


def check_models(settings: RunSettings, head: Head) -> None:
    """Makes sure that the models that a run starts from can be loaded, without their weights."""
    for path in filter(None, (settings.model.path, settings.model.reference)):
        hub.check(path, head=head.scores)


def first_parameters(settings: RunSettings, tokenizer: Sized, head: Head) -> InitialWeights:
    """The parameters that a run starts from."""
    return initial.first(
        settings.model,
        settings.lora,
        tokenizer,
        head,
        seed=settings.seed,
        dtype=DTYPES[settings.train.dtype],
    )


def compute_of(train: TrainSettings, mesh: Mesh) -> Compute:
    """How a run computes its model."""
    return Compute(
        dtype=DTYPES[train.dtype],
        remat=train.remat,
        backend=train.attention,
        spread=sharding.spread(mesh),
    )


def attention_of(model: DecoderConfig, compute: Compute, row_length: int) -> str:
    """The backend of attention that rows of a length take."""
    return attention.choose(
        compute.backend,
        row_length,
        platform=compute.platform,
        dtype=compute.dtype,
        width=model.head_dim,
        softcap=model.attention_softcap is not None,
        parts=compute.parts,
    )


def make_plan(settings: RunSettings, tries: TrieSet, objective: Objective, mesh: Mesh) -> rows.Plan:
    """The plan of a training run: which tries lie in which row of which step."""
    objective.check(tries)
    train = settings.train
    return rows.make_plan(
        tries.lengths,
        tries.leaves,
        tries.levels.sum(1),
        scored=tries.predicted if objective.joint else tries.response,
        row_length=settings.data.row_length,
        rows_per_batch=train.rows_per_batch,
        accumulation=train.accumulation,
        data_parts=sharding.data_parts(mesh),
        seed=settings.seed,
        epochs=train.epochs,
        max_steps=train.steps or None,
    )


def rounded_first(
    leaves: Callable[[Params, Batch], LogProbabilities], places: Params, dtype: DTypeLike
) -> Callable[[Params, Batch], LogProbabilities]:
    """Rounds the matrices of layers to the type of the computation where they lie.

    They are rounded anyway before they are multiplied. Done first, the parts that come together on
    a device, and their gradients, take half the memory.
    """

    def change(path: tuple[object, ...], x: jax.Array, place: object) -> jax.Array:
        names = [getattr(key, "key", None) for key in path]
        matrix = names[-1] in ("kernel", *EXPERT_MATRICES)
        if names[0] != "layers" or not matrix or x.dtype == dtype:
            return x
        return jax.lax.with_sharding_constraint(x.astype(dtype), place)

    def rounded(params: Params, batch: Batch) -> LogProbabilities:
        return leaves(jax.tree_util.tree_map_with_path(change, params, places), batch)

    return rounded
