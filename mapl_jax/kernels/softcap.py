"""The soft cap of Gemma 2 on scores and logits, and its gradient for kernels with their own."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def softcapped(x: Float[Array, "..."], cap: float | None) -> Float[Array, "..."]:
    """Values within -cap..cap: cap * tanh(x / cap); unchanged without a cap."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def softcap_grad(
    dcapped: Float[Array, "..."], capped: Float[Array, "..."], cap: float | None
) -> Float[Array, "..."]:
    """The gradient before the cap, from the gradient behind it and the values behind it."""
    return dcapped if cap is None else dcapped * (1.0 - jnp.square(capped / cap))
