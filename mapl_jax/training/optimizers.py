"""Optimizers by optax's names, their learning rate, and the clipping of gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from mapl_jax.runtime import settings
from mapl_jax.runtime.settings import setting

OPTIMIZERS = ("adamw", "lion", "adafactor", "sgd", "muon")
SCHEDULES = ("cosine", "linear", "constant")


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """An optimizer, with numbers as TRL and `transformers` name them; the decay is decoupled."""

    optimizer: str = setting(
        "adamw",
        '"adamw", "lion", "adafactor" (has no b1, b2, eps), "sgd" (b1 is its momentum) or "muon" '
        "(b1 is its momentum; parameters that are not matrices of a layer use adamw)",
        choices=OPTIMIZERS,
    )
    learning_rate: float = setting(1e-3, "peak learning rate", least=1e-30, most=1e3)
    schedule: str = setting(
        "cosine",
        'learning rate after the warm-up: "cosine" or "linear" decay to min_ratio of the peak, or '
        '"constant"',
        choices=SCHEDULES,
    )
    warmup: float = setting(
        0.0, "steps of linear warm-up; below 1, a fraction of all steps", least=0, most=10**9
    )
    min_ratio: float = setting(
        0.0, "final learning rate as a fraction of the peak", least=0, most=1
    )
    weight_decay: float = setting(
        0.0,
        "weight decay of matrices; norms, biases and the reward head have none",
        least=0,
        most=1e3,
    )
    b1: float = setting(0.9, "Adam's decay rate of the first moment", least=0, most=0.999999)
    b2: float = setting(0.999, "Adam's decay rate of the second moment", least=0, most=0.999999)
    # With 0, Adam divides nothing by nothing where a gradient is 0.
    eps: float = setting(
        1e-8, "Adam's epsilon, added to the square root of the second moment", least=1e-20, most=1.0
    )
    clip: float = setting(
        1.0,
        "largest gradient norm; larger gradients are scaled down to it; 0: no limit",
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


def make(
    numbers: OptimizerSettings, learning_rate: optax.Schedule, logical: PyTree
) -> optax.GradientTransformation:
    """The optimizer of a run; logical axis names tell matrices from norms and biases."""
    n, decay = numbers, numbers.weight_decay
    mask = _matrices(logical) if decay else None
    if n.optimizer == "lion":
        return optax.lion(learning_rate, n.b1, n.b2, weight_decay=decay, mask=mask)
    if n.optimizer == "muon":
        return optax.contrib.muon(
            learning_rate,
            beta=n.b1,
            eps=n.eps,
            weight_decay=decay,
            weight_decay_mask=mask,
            adam_b1=n.b1,
            adam_b2=n.b2,
            muon_weight_dimension_numbers=jax.tree.map(_muon, logical, is_leaf=_is_names),
        )
    if n.optimizer == "adafactor":
        # As in transformers with relative_step=False: learning rates mean what they say.
        return optax.adafactor(
            learning_rate,
            multiply_by_parameter_scale=False,
            weight_decay_rate=decay or None,
            weight_decay_mask=mask,
        )
    if n.optimizer == "sgd":
        decayed = optax.add_decayed_weights(decay, mask) if decay else optax.identity()
        trace = optax.trace(n.b1) if n.b1 else optax.identity()
        return optax.chain(trace, decayed, optax.scale_by_learning_rate(learning_rate))
    return optax.adamw(learning_rate, b1=n.b1, b2=n.b2, eps=n.eps, weight_decay=decay, mask=mask)


def _is_names(value: object) -> bool:
    return isinstance(value, tuple)


def _matrices(logical: PyTree) -> PyTree:
    """Which parameters are matrices, also those that are stacked over layers."""
    return jax.tree.map(
        lambda names: len([name for name in names if name != "layers"]) > 1,
        logical,
        is_leaf=_is_names,
    )


def _muon(names: tuple[str | None, ...]) -> optax.contrib.MuonDimensionNumbers | None:
    """The axes of a hidden matrix: into it, and out of it; None for what is left to AdamW."""
    axes = [axis for axis, name in enumerate(names) if name not in ("layers", "experts")]
    if len(axes) < 2 or "vocab" in names:
        return None
    return optax.contrib.MuonDimensionNumbers(axes[0], tuple(axes[1:]))


def clip(gradients: PyTree, max_norm: float) -> tuple[PyTree, jax.Array]:
    """Gradients times min(1, max_norm / (norm + 1e-6)), as in PyTorch, and the norm before."""
    norm = optax.tree.norm(gradients)
    if not max_norm:
        return gradients, norm
    scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
    return jax.tree.map(lambda g: g * scale, gradients), norm
