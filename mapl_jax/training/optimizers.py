"""AdamW, its learning rate, and the clipping of gradients."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mapl_jax.runtime.errors import UserError

SCHEDULES = ("cosine", "linear", "constant")


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """AdamW as TRL and `transformers` name it.

    Attributes:
        learning_rate: its peak.
        schedule: after warm-up, `cosine` or `linear` to `min_ratio` of the peak, or `constant`.
        warmup: steps of linear warm-up; below 1, a fraction of all steps.
        min_ratio: last learning rate over the peak.
        weight_decay: decoupled; for matrices, not for norms, biases and the reward head.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root of the second moment.
        clip: largest norm of the gradient; 0 for none.
    """

    learning_rate: float
    schedule: str = "cosine"
    warmup: float = 0.0
    min_ratio: float = 0.0
    weight_decay: float = 0.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    clip: float = 1.0

    def __post_init__(self):
        if self.schedule not in SCHEDULES:
            raise UserError(
                f"train.schedule is {self.schedule!r}; choose one of {', '.join(SCHEDULES)}"
            )
        for name in ("learning_rate", "warmup", "min_ratio", "weight_decay", "eps", "clip"):
            value = getattr(self, name)
            if not (value >= 0 and value < float("inf")):
                raise UserError(f"train.{name} must be a number of 0 or more, not {value}")
        for name in ("b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"train.{name} must lie in [0, 1), not {getattr(self, name)}")


def schedule(settings: OptimizerSettings, total_steps: int) -> optax.Schedule:
    """Learning rate by step."""
    peak, warmup = settings.learning_rate, settings.warmup
    steps = round(warmup * total_steps) if warmup < 1 else int(warmup)
    rest = max(total_steps - steps, 1)
    if settings.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, rest, settings.min_ratio)
    elif settings.schedule == "linear":
        after = optax.linear_schedule(peak, peak * settings.min_ratio, rest)
    else:
        after = optax.constant_schedule(peak)
    if not steps:
        return after
    # The first step already moves: step 0 has 1/steps of the peak.
    start = optax.linear_schedule(peak / steps, peak, max(steps - 1, 1))
    return optax.join_schedules([start, after], [steps])


def adamw(
    settings: OptimizerSettings, learning_rate: optax.Schedule, logical: Any
) -> optax.GradientTransformation:
    """AdamW.

    Args:
        settings: its numbers.
        learning_rate: by step.
        logical: pytree of logical axis names, which tells matrices from norms and biases.
    """
    matrices = jax.tree.map(
        lambda names: len([name for name in names if name != "layers"]) > 1,
        logical,
        is_leaf=lambda x: isinstance(x, tuple),
    )
    return optax.adamw(
        learning_rate,
        b1=settings.b1,
        b2=settings.b2,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        mask=matrices if settings.weight_decay else None,
    )


def clip(gradients: Any, max_norm: float) -> tuple[Any, jax.Array]:
    """Scales gradients by min(1, max_norm / (norm + 1e-6)), as PyTorch does.

    Returns:
        The scaled gradients and the norm before scaling.
    """
    norm = optax.tree.norm(gradients)
    if not max_norm:
        return gradients, norm
    scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
    return jax.tree.map(lambda g: g * scale, gradients), norm
