"""One training step: rewards of leaves, the loss, gradients summed over parts, AdamW.

A step changes the trainable parameters, which are the state's. With LoRA the rest, frozen, goes
beside the state into every step and is never given up.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from mapl_jax import losses
from mapl_jax.models import lora
from mapl_jax.training import optimizers, sharding

Params = Any
Batch = dict[str, jax.Array]
RewardFunction = Callable[[Params, Batch], Float[Array, "R L"]]

COMPARISON_FIELDS = ("term_leaf", "term_sign", "gamma", "level", "weight")


class TrainState(NamedTuple):
    """What a step changes; what a checkpoint holds: of the parameters, the trainable ones."""

    step: Int[Array, ""]
    params: Params
    opt_state: Any


class StepMetrics(NamedTuple):
    """What a step reports; stays on the device until it is read, one step late."""

    loss: Float[Array, ""]
    grad_norm: Float[Array, ""]
    learning_rate: Float[Array, ""]
    tokens: Float[Array, ""]
    sums: losses.LevelSums


def state_shapes(
    params: Params, optimizer: optax.GradientTransformation, mesh: Mesh, logical: Any
) -> tuple[TrainState, TrainState]:
    """What the state of a run looks like and where it lies.

    Args:
        params: shapes of the parameters.
        optimizer: of the run.
        mesh: of the run.
        logical: logical axes of the parameters.

    Returns:
        The abstract state with its shardings, and the shardings alone.
    """
    places = sharding.parameters(mesh, params, logical)
    replicated = sharding.replicated(mesh)
    # Left to itself, jit would replicate the moments on every device.
    moments = optax.tree_map_params(
        optimizer,
        lambda _, place: place,
        jax.eval_shape(optimizer.init, params),
        places,
        transform_non_params=lambda _: replicated,
    )
    parts: tuple[Any, Any, Any] = (replicated, places, moments)
    shardings = TrainState(*parts)
    shapes = jax.eval_shape(lambda values: first_state(values, optimizer), params)
    abstract = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, shardings
    )
    return abstract, shardings


def first_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def compile_first_state(
    optimizer: optax.GradientTransformation, shardings: TrainState
) -> Callable[[Params], TrainState]:
    """Compiles `first_state`; the parameters are given up to the state."""
    return jax.jit(
        lambda params: first_state(params, optimizer),
        in_shardings=(shardings.params,),
        out_shardings=shardings,
        donate_argnums=0,
    )


def make_train_step(
    rewards: RewardFunction,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    *,
    inter: str = "margin",
    center: float = 0.0,
    clip: float = 1.0,
) -> Callable[..., tuple[TrainState, StepMetrics]]:
    """The step (state, batch, frozen), not yet compiled; `frozen` may be left out.

    Args:
        rewards: rewards of the leaves of a part of the batch, from all parameters.
        optimizer: without clipping.
        learning_rate: by step, for the record.
        inter: form of the inter level.
        center: coefficient of the centering of rewards.
        clip: largest gradient norm; 0 for none.
    """

    def loss_of(trainable: Params, frozen: Params, part: Batch) -> tuple[Array, losses.LevelSums]:
        comparisons = losses.Comparisons(*(part[name] for name in COMPARISON_FIELDS))
        params = lora.join(trainable, frozen) if frozen else trainable
        return losses.preference_loss(
            rewards(params, part), comparisons, inter=inter, center=center
        )

    def step(
        state: TrainState, batch: Batch, frozen: Params = None
    ) -> tuple[TrainState, StepMetrics]:
        def add_part(carry: Any, part: Batch) -> tuple[Any, None]:
            loss, sums, gradients = carry
            (more, more_sums), more_gradients = jax.value_and_grad(loss_of, has_aux=True)(
                state.params, frozen, part
            )
            total = jax.tree.map(jnp.add, gradients, more_gradients)
            return (loss + more, losses.add_sums(sums, more_sums), total), None

        zeros = jax.tree.map(jnp.zeros_like, state.params)
        start = (jnp.zeros((), jnp.float32), losses.zero_sums(), zeros)
        parts = jax.tree.leaves(batch)[0].shape[0]
        if parts == 1:
            (loss, sums, gradients), _ = add_part(start, jax.tree.map(lambda x: x[0], batch))
        else:
            (loss, sums, gradients), _ = jax.lax.scan(add_part, start, batch)
        gradients, norm = optimizers.clip(gradients, clip)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = StepMetrics(
            loss,
            norm,
            jnp.asarray(learning_rate(state.step), jnp.float32),
            jnp.sum(batch["reach"] > 0).astype(jnp.float32),
            sums,
        )
        return TrainState(state.step + 1, params, opt_state), metrics

    return step


def compile_train_step(
    step: Callable[..., tuple[TrainState, StepMetrics]],
    mesh: Mesh,
    shardings: TrainState,
    frozen: Any = None,
) -> Callable[..., tuple[TrainState, StepMetrics]]:
    """Compiles a step for a mesh; the old state is given up to the new one.

    Args:
        step: the step.
        mesh: of the run.
        shardings: of the state.
        frozen: shardings of the frozen parameters, of a step that is given some.
    """
    beside = () if frozen is None else (frozen,)
    return jax.jit(
        step,
        in_shardings=(shardings, sharding.rows(mesh), *beside),
        out_shardings=(shardings, sharding.replicated(mesh)),
        donate_argnums=0,
    )


def compile_scoring(
    rewards: RewardFunction, mesh: Mesh, params: Any
) -> Callable[[Params, Batch], Float[Array, "A R L"]]:
    """Compiles the rewards of a batch [A, R, ...], the same on every device afterwards."""

    def score(values: Params, batch: Batch) -> Float[Array, "A R L"]:
        return jax.lax.map(lambda part: rewards(values, part), batch)

    return jax.jit(
        score,
        in_shardings=(params, sharding.rows(mesh)),
        out_shardings=sharding.replicated(mesh),
    )


def to_floats(metrics: StepMetrics) -> dict[str, float]:
    """The metrics of a step under the names users of TRL know.

    Reading them waits for the step, so the loop asks one step late.
    """
    host: StepMetrics = jax.device_get(metrics)
    sums = host.sums
    values = {
        "loss": float(host.loss),
        "grad_norm": float(host.grad_norm),
        "learning_rate": float(host.learning_rate),
        "num_tokens": float(host.tokens),
    }
    for index, level in enumerate(losses.LEVELS):
        count = float(sums.comparisons[index])
        if not count:
            continue
        values[f"{level}_loss"] = float(sums.loss[index]) / count
        values[f"{level}_accuracy"] = float(sums.correct[index]) / count
        values[f"{level}_margin"] = float(sums.gap[index]) / count
        values[f"{level}_count"] = count
    if sums.comparisons[losses.BASE]:
        values["accuracy"] = values["base_accuracy"]
        values["margin"] = values["base_margin"]
        values["mean_reward"] = float(sums.reward) / (2 * values["base_count"])
        values["min_reward"] = float(sums.reward_min)
        values["max_reward"] = float(sums.reward_max)
    return values
