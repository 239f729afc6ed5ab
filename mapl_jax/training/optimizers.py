"""AdamW, its learning rate, and the clipping of gradients."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mapl_jax.runtime import settings
from mapl_jax.runtime.settings import setting

SCHEDULES = ("cosine", "linear", "constant")


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """AdamW as TRL and `transformers` name its numbers; the decay is decoupled."""

    learning_rate: float = setting(1e-3, "peak of the learning rate", least=1e-30, most=1e3)
    schedule: str = setting(
        "cosine",
        'learning rate after warm-up: "cosine" or "linear" to min_ratio of the peak, or "constant"',
        choices=SCHEDULES,
    )
    warmup: float = setting(
        0.0, "steps of linear warm-up; below 1, a fraction of all steps", least=0, most=10**9
    )
    min_ratio: float = setting(0.0, "last learning rate over the peak", least=0, most=1)
    weight_decay: float = setting(
        0.0, "weight decay of matrices, not of norms, biases and the reward head", least=0, most=1e3
    )
    b1: float = setting(0.9, "Adam's decay of the first moment", least=0, most=0.999999)
    b2: float = setting(0.999, "Adam's decay of the second moment", least=0, most=0.999999)
    # With 0, Adam divides nothing by nothing where a gradient is 0.
    eps: float = setting(
        1e-8, "Adam's epsilon, added to the root of the second moment", least=1e-20, most=1.0
    )
    clip: float = setting(
        1.0,
        "largest norm of a gradient, longer ones are scaled down; 0: any",
        least=1e-20,
        most=1e20,
        besides=0,
    )

    def __post_init__(self) -> None:
        settings.check(self, "train")


def schedule(numbers: OptimizerSettings, total_steps: int) -> optax.Schedule:
    """Learning rate by step."""
    peak, warmup = numbers.learning_rate, numbers.warmup
    steps = round(warmup * total_steps) if warmup < 1 else int(warmup)
    rest = max(total_steps - steps, 1)
    if numbers.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, rest, numbers.min_ratio)
    elif numbers.schedule == "linear":
        after = optax.linear_schedule(peak, peak * numbers.min_ratio, rest)
    else:
        after = optax.constant_schedule(peak)
    if not steps:
        return after
    # The first step already moves: step 0 has 1/steps of the peak.
    start = optax.linear_schedule(peak / steps, peak, max(steps - 1, 1))
    return optax.join_schedules([start, after], [steps])


def adamw(
    numbers: OptimizerSettings, learning_rate: optax.Schedule, logical: Any
) -> optax.GradientTransformation:
    """AdamW.

    Args:
        numbers: its settings.
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
        b1=numbers.b1,
        b2=numbers.b2,
        eps=numbers.eps,
        weight_decay=numbers.weight_decay,
        mask=matrices if numbers.weight_decay else None,
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
