"""The reward model: a decoder and a score of the hidden state where a leaf ends."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mapl_jax.kernels.compute import Spread
from mapl_jax.models import decoder
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.decoder import Params


def init(config: DecoderConfig, key: Array) -> Params:
    """Random parameters; the head is N(0, 1 / sqrt(D + 1)) (arXiv 2009.01325, p. 11)."""
    body, head = jax.random.split(key)
    score = jax.random.normal(head, (config.width,), jnp.float32) * head_scale(config)
    return {**decoder.init(config, body), "score": score}


def head_scale(config: DecoderConfig) -> float:
    """Standard deviation of a fresh head."""
    return (config.width + 1) ** -0.5


def abstract_params(config: DecoderConfig) -> Any:
    """Shapes of the parameters."""
    return jax.eval_shape(lambda: init(config, jax.random.key(0)))


def rewards(
    config: DecoderConfig,
    params: Mapping[str, Any],
    tokens: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    reach: Int[Array, "R S"],
    leaf_end: Int[Array, "R L"],
    *,
    dtype: Any = jnp.float32,
    remat: str = "none",
    backend: str = "auto",
    tiles: Int[Array, "R Q"] | None = None,
    spread: Spread | None = None,
) -> Float[Array, "R L"]:
    """Rewards of leaves, fp32 from the last hidden state on.

    Args:
        config: of the model.
        params: its parameters, with `score`.
        tokens: ids.
        positions: depth in the trie.
        reach: index just past the last token that may attend to the token; 0 for padding.
        leaf_end: index of each leaf's last token; -1 for an unused leaf, whose reward is 0.
        dtype: of the computation below the head.
        remat: what the backward pass computes again; see `decoder.hidden`.
        backend: of attention.
        tiles: of attention; see `decoder.hidden`.
        spread: of attention over devices.
    """
    states = decoder.hidden(
        config,
        params,
        tokens,
        positions,
        reach,
        dtype=dtype,
        remat=remat,
        backend=backend,
        tiles=tiles,
        spread=spread,
    )
    used = leaf_end >= 0
    ends = jnp.take_along_axis(states, jnp.where(used, leaf_end, 0)[..., None], axis=1)
    scores = jnp.einsum(
        "rld,d->rl",
        ends.astype(jnp.float32),
        params["score"].astype(jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
    return jnp.where(used, scores, 0.0)
