"""Rotary position embeddings (arXiv 2104.09864): angles, scalings, and their names in configs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mapl_jax.kernels.rows import AnyArray
from mapl_jax.runtime.errors import UserError

Rotary = tuple[Float[Array, "R S 1 H/2"], Float[Array, "R S 1 H/2"]]


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How a model that was first trained on shorter texts turns more slowly.

    Attributes:
        kind: "linear" divides every frequency by the factor (arXiv 2306.15595); "llama3" divides
            low ones, leaves high ones, and passes smoothly from one to the other (Llama 3.1).
        factor: how many times longer texts are.
        low: llama3: of `positions` / wavelength; up to it frequencies count as low.
        high: llama3: from it on they count as high.
        positions: llama3: longest text before.
    """

    kind: str
    factor: float
    low: float = 1.0
    high: float = 4.0
    positions: int = 8192


# Keys of each kind in a config.json, and the fields they are.
KEYS = {
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        "low_freq_factor": "low",
        "high_freq_factor": "high",
        "original_max_position_embeddings": "positions",
    },
}


def frequencies(
    head_dim: int, theta: float, scaling: RopeScaling | None = None
) -> Float[Array, "H/2"]:
    """Radians a position for each pair of a head: theta^(-2i/H), scaled."""
    plain = theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    if scaling is None:
        return plain
    slow = plain / scaling.factor
    if scaling.kind == "linear":
        return slow
    turns = scaling.positions * plain / (2 * jnp.pi)
    fast = jnp.clip((turns - scaling.low) / (scaling.high - scaling.low), 0.0, 1.0)
    return (1.0 - fast) * slow + fast * plain


def rotary_angles(
    positions: Int[AnyArray, "R S"], head_dim: int, theta: float, scaling: RopeScaling | None = None
) -> Rotary:
    """Cosine and sine of position times frequency, fp32, for `rotate`."""
    steps = positions[..., None, None].astype(jnp.float32)
    angles = steps * frequencies(head_dim, theta, scaling)
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: Float[Array, "R S N H"], rotary: Rotary) -> Float[Array, "R S N H"]:
    """Turns each pair (i, i + H/2) of a head by its angle, in fp32."""
    cos, sin = rotary
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def from_hf(
    entry: Any, where: str, *, theta: float, positions: int
) -> tuple[float, RopeScaling | None]:
    """Base and scaling from an entry of a `config.json`.

    Args:
        entry: `rope_parameters` of transformers 5, or the older `rope_scaling`.
        where: its place, for messages.
        theta: base if the entry has none.
        positions: longest text before scaling if the entry has none.

    Raises:
        UserError: the entry asks for what `frequencies` cannot do.
    """
    if not isinstance(entry, Mapping):
        raise UserError(f"{where} must be an object, not {entry!r}")
    kind = entry.get("rope_type", entry.get("type", "default"))
    if not isinstance(kind, str):
        raise UserError(f"{where}: rope_type must be a name, not {kind!r}")
    theta = entry.get("rope_theta", theta)
    if not is_positive(theta):
        raise UserError(f"{where}: rope_theta must be a positive number, not {theta!r}")
    keys = KEYS.get(kind, {})
    known = {"rope_type", "type", "rope_theta", "partial_rotary_factor", *keys}
    partial = entry.get("partial_rotary_factor") not in (None, 1)
    if kind not in ("default", *KEYS) or partial or set(entry) - known:
        raise UserError(
            f"{where} = {dict(entry)} is not supported; RoPE may be default, {', '.join(KEYS)}"
        )
    if kind == "default":
        return float(theta), None
    values = {"original_max_position_embeddings": positions, **entry}
    for key in keys:
        value = values.get(key)
        if not is_positive(value):
            raise UserError(
                f"{where} = {dict(entry)} is not supported; {kind} needs a positive number {key}"
            )
    scaling = RopeScaling(kind, **{field: values[key] for key, field in keys.items()})
    if scaling.high <= scaling.low:
        raise UserError(f"{where}: high_freq_factor must be above low_freq_factor")
    return float(theta), scaling


def is_positive(value: Any) -> bool:
    """Whether a value of a config is a number above 0 that a float holds."""
    return type(value) in (int, float) and 0 < value < 1e300


def to_hf(theta: float, scaling: RopeScaling | None) -> dict[str, Any]:
    """An entry that `from_hf` reads back."""
    if scaling is None:
        return {"rope_theta": theta, "rope_type": "default"}
    values = {key: getattr(scaling, field) for key, field in KEYS[scaling.kind].items()}
    return {"rope_theta": theta, "rope_type": scaling.kind, **values}
