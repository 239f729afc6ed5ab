"""What layers of one decoder differ in: windows and rotary angles."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mapl_jax.kernels.attention import attention
from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import AnyArray, Row
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.rope import Rotary, rotary_angles

# Of a window that is none: no two tokens of a trie lie so far apart.
FAR = 2**30


def layer_kinds(config: DecoderConfig) -> Int[Array, "layers"]:
    """What a layer has: 1 with the window, 2 without rotation, 3 with both, 0 with neither."""
    none = (False,) * config.layers
    pairs = zip(config.sliding or none, config.unrotated or none, strict=True)
    return jnp.asarray([slides + 2 * still for slides, still in pairs])


def by_layer(
    config: DecoderConfig, positions: Int[AnyArray, "R S"]
) -> Callable[[Int[Array, ""]], tuple[Rotary, int | Int[Array, ""] | None]]:
    """From the kind of a layer: its rotary angles, and its window."""
    angles = functools.partial(rotary_angles, positions, config.rotated_dim)
    everywhere = angles(config.rope_theta, config.rope_scaling)
    local = None if config.local_rope_theta is None else angles(config.local_rope_theta)

    def of_layer(kind: Int[Array, ""]) -> tuple[Rotary, int | Int[Array, ""] | None]:
        rotary, slides = everywhere, kind % 2 == 1
        if local is not None:
            rotary = jax.tree.map(functools.partial(jnp.where, slides), local, everywhere)
        if any(config.unrotated):
            still = kind >= 2
            cos, sin = jnp.where(still, 1.0, rotary.cos), jnp.where(still, 0.0, rotary.sin)
            rotary = rotary._replace(cos=cos, sin=sin)
        if config.window is None or all(config.sliding):
            return rotary, config.window
        return rotary, jnp.where(slides, config.window, FAR)

    return of_layer


def attentions(
    config: DecoderConfig, row: Row, compute: Compute, positions: Int[AnyArray, "R S"]
) -> Callable[[Int[Array, ""]], tuple[Rotary, Callable[..., Array]]]:
    """From the kind of a layer: its rotary angles, and attention of q, k and v in a row."""
    of_layer = by_layer(config, positions)

    def of_kind(kind: Int[Array, ""]) -> tuple[Rotary, Callable[..., Array]]:
        rotary, window = of_layer(kind)
        return rotary, functools.partial(
            attention,
            row=row,
            compute=compute,
            window=window,
            softcap=config.attention_softcap,
            scale=config.score_scale,
        )

    return of_kind
