"""One training step: numbers of leaves, the loss, gradients summed over parts, the update.

A step changes the trainable parameters, which are the state's. With LoRA the rest, frozen, goes
beside the state into every step and is never donated.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Bool, Float, Int, PyTree

from mapl_jax.data.loader import Batch
from mapl_jax.models import lora
from mapl_jax.models.parameters import Params
from mapl_jax.training import optimizers, sharding, sums
from mapl_jax.training.sums import Sums

# Of a part of a batch: a number for each leaf, such as its reward.
LeafFunction = Callable[[Params, Batch], Float[Array, "R L"]]
# From the numbers of leaves of a part of a batch to its share of the loss and its sums.
LossFunction = Callable[[Float[Array, "R L"], Batch], tuple[Float[Array, ""], Sums]]


class TrainState(NamedTuple):
    """What a step changes; what a checkpoint holds: of the parameters, the trainable ones."""

    step: Int[Array, ""]  # steps done, and so batches seen
    params: Params  # finite in every state
    opt_state: optax.OptState  # of the optimizer, which knows nothing of skipped steps
    skipped: Int[Array, ""]  # steps that changed neither, because a number was not finite


class StepMetrics(NamedTuple):
    """What a step reports; stays on the device until it is read, one step late."""

    loss: Float[Array, ""]
    grad_norm: Float[Array, ""]  # before clipping
    learning_rate: Float[Array, ""]
    tokens: Float[Array, ""]  # in the batch
    sums: Sums  # what else is logged
    skipped: Int[Array, ""]
    # Whether loss, gradient and what comes of them were, and so whether the step changed
    # anything.
    finite: Bool[Array, ""]
    # Whether all numbers of a row were: data and what the model makes of it.
    rows: Bool[Array, "A R"]


# What a part of a batch gives beside its gradient: its share of the loss, its sums, and whether all
# numbers of each of its rows were finite.
PartValues = tuple[Float[Array, ""], tuple[Sums, Bool[Array, "R"]]]


def state_shapes(
    params: Params, optimizer: optax.GradientTransformation, mesh: Mesh, logical: PyTree
) -> tuple[TrainState, TrainState]:
    """The abstract state of a run with its shardings, and the shardings alone."""
    places = sharding.parameters(mesh, params, logical)
    replicated = sharding.replicated(mesh)
    # Left to itself, jit would replicate the moments on every device. What an optimizer keeps for a
    # parameter has its path at the end, whatever is around it, and mostly its shape.
    known = {
        path: (shape.shape, place)
        for (path, shape), place in zip(
            jax.tree.leaves_with_path(params), jax.tree.leaves(places), strict=True
        )
    }

    def place_of(path: jax.tree_util.KeyPath, moment: jax.ShapeDtypeStruct) -> NamedSharding:
        candidates = (known.get(path[start:]) for start in range(len(path)))
        return next(
            (place for shape, place in filter(None, candidates) if shape == moment.shape),
            replicated,
        )

    moments = jax.tree.map_with_path(place_of, jax.eval_shape(optimizer.init, params))
    parts: tuple[PyTree[NamedSharding], ...] = (replicated, places, moments, replicated)
    shardings = TrainState(*parts)
    shapes = jax.eval_shape(lambda values: first_state(values, optimizer), params)
    return sharding.with_shardings(shapes, shardings), shardings


def first_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    zero = jnp.zeros((), jnp.int32)
    return TrainState(zero, params, optimizer.init(params), zero)


def compile_first_state(
    optimizer: optax.GradientTransformation, shardings: TrainState
) -> Callable[[Params], TrainState]:
    """Compiles `first_state`; the parameters are donated to the state."""
    return jax.jit(
        lambda params: first_state(params, optimizer),
        in_shardings=(shardings.params,),
        out_shardings=shardings,
        donate_argnums=0,
    )


def make_train_step(
    leaves: LeafFunction,
    loss: LossFunction,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    *,
    clip: float = 1.0,
) -> Callable[..., tuple[TrainState, StepMetrics]]:
    """The step (state, batch, frozen), not yet compiled; `frozen` may be left out.

    Where the loss, the gradient, a new parameter or a new moment is not finite, parameters and
    moments stay as they were. That is decided on the device, so no state that is not finite ever
    exists, and the host need not wait to know: it reads `finite` when it reads the metrics.

    Args:
        leaves: numbers of the leaves of a part of the batch, from all parameters.
        loss: of those numbers; the losses of all parts add up to that of the batch.
        optimizer: without clipping.
        clip: largest gradient norm; 0 for none.
    """

    def loss_of(trainable: Params, frozen: Params, part: Batch) -> PartValues:
        params = lora.join(trainable, frozen) if frozen else trainable
        numbers = leaves(params, part)
        share, totals = loss(numbers, part)
        return share, (totals, _finite_rows(jax.lax.stop_gradient(numbers), part))

    def step(
        state: TrainState, batch: Batch, frozen: Params | None = None
    ) -> tuple[TrainState, StepMetrics]:
        def of_part(part: Batch) -> tuple[Params, PartValues]:
            values, gradients = jax.value_and_grad(loss_of, has_aux=True)(
                state.params, frozen, part
            )
            return gradients, values

        def of_nothing(part: Batch) -> PartValues:
            params = lora.join(state.params, frozen) if frozen else state.params
            numbers = jnp.zeros_like(jax.eval_shape(leaves, params, part))
            share, totals = loss(numbers, part)
            return share, (totals, _finite_rows(numbers, part))

        zeros = jax.tree.map(jnp.zeros_like, state.params)
        gradients, parts = _summed(of_part, of_nothing, zeros, batch)
        shares, (totals, rows) = parts
        total = jnp.sum(shares)
        gradients, norm = optimizers.clip(gradients, clip)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        finite = jnp.isfinite(total) & jnp.isfinite(norm)
        finite &= _all_finite((params, opt_state))
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, opt_state),
            (state.params, state.opt_state),
        )
        skipped = state.skipped + jnp.where(finite, 0, 1)
        metrics = StepMetrics(
            total,
            norm,
            # The schedule counts what the optimizer counts.
            jnp.asarray(learning_rate(state.step - state.skipped), jnp.float32),
            jnp.sum(batch.row.reach > 0).astype(jnp.float32),
            totals.joined(),
            skipped,
            finite,
            rows,
        )
        return TrainState(state.step + 1, params, opt_state, skipped), metrics

    return step


def _summed(
    of_part: Callable[[Batch], tuple[Params, PartValues]],
    of_nothing: Callable[[Batch], PartValues],
    zeros: Params,
    batch: Batch,
) -> tuple[Params, PartValues]:
    """The sum of the gradients of the parts of a batch, and what else they give, [A, ...].

    Args:
        of_nothing: what a part without a token gives, such as the last batch of an epoch may have,
            beside a gradient of 0.
        zeros: shaped as the gradients.
    """

    def add(total: Params, part: Batch) -> tuple[Params, PartValues]:
        gradients, values = of_part(part)
        return jax.tree.map(jnp.add, total, gradients), values

    if batch.leaf_end.shape[0] == 1:
        gradients, values = add(zeros, jax.tree.map(lambda x: x[0], batch))
        return gradients, jax.tree.map(lambda x: x[None], values)

    def add_held(total: Params, scanned: tuple[Batch, Array]) -> tuple[Params, PartValues]:
        part, held = scanned
        # Added within the branch: else the compiler for TPU holds the gradients once more.
        return jax.lax.cond(held, add, lambda total, part: (total, of_nothing(part)), total, part)

    held = jnp.any(batch.row.reach > 0, axis=(1, 2))
    return jax.lax.scan(add_held, zeros, (batch, held))


def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether all real numbers of a tree are finite."""
    real = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in real]).all()


def _finite_rows(numbers: Array, part: Batch) -> Bool[Array, "R"]:
    """Whether all real numbers of each row are finite: those of its leaves, and its data."""
    real = [x for x in jax.tree.leaves(part) if jnp.issubdtype(x.dtype, jnp.floating)]
    finite = [jnp.isfinite(x).reshape(x.shape[0], -1).all(axis=1) for x in [numbers, *real]]
    return jnp.stack(finite).all(axis=0)


def compile_train_step(
    step: Callable[..., tuple[TrainState, StepMetrics]],
    mesh: Mesh,
    shardings: TrainState,
    frozen: PyTree = None,
) -> jax.stages.Wrapped:
    """Compiles a step for a mesh; the old state is donated to the new one.

    `frozen` are the shardings of the frozen parameters, of a step that is given some.
    """
    beside = () if frozen is None else (frozen,)
    places: dict[str, PyTree] = dict.fromkeys(StepMetrics._fields, sharding.replicated(mesh))
    # Rows stay where they are: nobody looks at them unless something is wrong.
    metrics = StepMetrics(**{**places, "rows": sharding.rows(mesh)})
    return jax.jit(
        step,
        in_shardings=(shardings, sharding.rows(mesh), *beside),
        out_shardings=(shardings, metrics),
        donate_argnums=0,
    )


def compile_shapes(
    step: jax.stages.Wrapped, state: TrainState, batches: Sequence[Batch], frozen: PyTree
) -> dict[tuple[int, ...], jax.stages.Compiled]:
    """A step compiled for each shape of batches, side by side, by the shape of their tokens.

    State and batches, one of each shape, may be given as their shapes.
    """
    lowered = {b.row.tokens.shape: step.lower(state, b, frozen) for b in batches}
    with ThreadPoolExecutor() as pool:
        compiled = pool.map(lambda one: one.compile(), lowered.values())
        return dict(zip(lowered, compiled, strict=True))


def for_shapes(
    step: jax.stages.Wrapped, frozen: PyTree, batches: Sequence[Batch]
) -> Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]:
    """A step that is compiled for all shapes of batches when it is first taken.

    Args:
        batches: one of each shape, as they lie on the devices.
    """

    def described(x: jax.Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)

    like = [jax.tree.map(described, batch) for batch in batches]
    ready: dict[tuple[int, ...], jax.stages.Compiled] = {}

    def take(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        if not ready:
            ready.update(compile_shapes(step, state, like, frozen))
        return ready[batch.row.tokens.shape](state, batch, frozen)

    return take


def compile_scoring(
    leaves: LeafFunction, mesh: Mesh, params: PyTree
) -> Callable[[Params, Batch], Float[Array, "A R L"]]:
    """Compiles numbers of the leaves of a batch [A, R, ...], the same on every device."""

    def score(values: Params, batch: Batch) -> Float[Array, "A R L"]:
        return jax.lax.map(lambda part: leaves(values, part), batch)

    return jax.jit(
        score, in_shardings=(params, sharding.rows(mesh)), out_shardings=sharding.replicated(mesh)
    )


def to_floats(metrics: StepMetrics) -> dict[str, float]:
    """The metrics of a step, fetched from the device, under the names users of TRL know."""
    values = {
        "loss": float(metrics.loss),
        "grad_norm": float(metrics.grad_norm),
        "learning_rate": float(metrics.learning_rate),
        "num_tokens": float(metrics.tokens),
        **sums.metrics(metrics.sums),
    }
    if metrics.skipped:
        values["skipped_steps"] = int(metrics.skipped)
    return values
