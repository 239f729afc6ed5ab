"""Likelihood of demonstrated responses: the loss of a policy by demonstrations, and its numbers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mapl_jax.losses import Leaves, negative_log_likelihood


def token_weight(weight: float, tokens: int | np.integer) -> float:
    """The weight of a demonstrated token, so that a sum over them is `weight` times their mean.

    Args:
        weight: lambda of the base level.
        tokens: demonstrated ones in the whole global batch.
    """
    return weight / max(int(tokens), 1)


class TokenSums(NamedTuple):
    """Sums over a part of a batch.

    Attributes:
        logp: log pi of the demonstrations.
        tokens: of their responses.
        responses: how many demonstrations.
    """

    logp: Float[Array, ""]
    tokens: Float[Array, ""]
    responses: Float[Array, ""]

    def joined(self) -> "TokenSums":
        """The sums of a whole batch from those of its parts, stacked along a leading axis."""
        return TokenSums(*(jnp.sum(x, axis=0) for x in self))


def sft_loss(
    logps: Leaves, response_tokens: Int[Array, "R L"], sft_weight: Float[Array, "R L"]
) -> tuple[Float[Array, ""], TokenSums]:
    """What a part adds to the mean of -log pi over all response tokens of the global batch.

    Args:
        logps: log pi of the leaves.
        response_tokens: tokens of the response of each leaf.
        sft_weight: what a demonstrated leaf's log-probability counts, and 0 of all others.
    """
    shown = sft_weight > 0
    sums = TokenSums(
        logp=jnp.sum(jnp.where(shown, logps, 0.0)),
        tokens=jnp.sum(jnp.where(shown, response_tokens, 0)).astype(jnp.float32),
        responses=jnp.sum(shown).astype(jnp.float32),
    )
    return negative_log_likelihood(logps, sft_weight), jax.lax.stop_gradient(sums)


def token_loss(logp: float, tokens: int | float) -> float:
    """Mean of -log pi over tokens, nats, from the sum of log pi and how many there are."""
    return -logp / tokens


def perplexity(loss: float) -> float:
    """exp of the mean loss of a token; infinite where that is too large."""
    with np.errstate(over="ignore"):
        return float(np.exp(loss))
