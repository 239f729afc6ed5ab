"""The policy: a decoder and the logits of the next token."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mapl_jax.models import decoder
from mapl_jax.models.decoder import DecoderConfig, Params


def init(config: DecoderConfig, key: Array) -> Params:
    """Random parameters."""
    body, head = jax.random.split(key)
    params = decoder.init(config, body)
    if config.tie_embeddings:
        return params
    shape = (config.width, config.vocab_size)
    return {**params, "lm_head": decoder.INIT_SCALE * jax.random.normal(head, shape, jnp.float32)}


def abstract_params(config: DecoderConfig) -> Any:
    """Shapes of the parameters."""
    return jax.eval_shape(lambda: init(config, jax.random.key(0)))


def logits(
    config: DecoderConfig,
    params: Mapping[str, Any],
    tokens: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    reach: Int[Array, "R S"],
    *,
    dtype: Any = jnp.float32,
    remat: str = "none",
    backend: str = "auto",
) -> Float[Array, "R S V"]:
    """Logits of the token that follows each token, summed in fp32.

    Args:
        config: of the model.
        params: its parameters, with `lm_head` unless embeddings are tied.
        tokens: ids.
        positions: depth in the trie.
        reach: index just past the last token that may attend to the token; 0 for padding.
        dtype: of the computation.
        remat: what the backward pass computes again; see `decoder.hidden`.
        backend: of attention.
    """
    states = decoder.hidden(
        config, params, tokens, positions, reach, dtype=dtype, remat=remat, backend=backend
    )
    return project(config, params, states)


def project(
    config: DecoderConfig, params: Mapping[str, Any], states: Float[Array, "... D"]
) -> Float[Array, "... V"]:
    """Logits of hidden states, fp32, in the precision of the states, capped where a model is."""
    matrix = params["embed"].T if config.tie_embeddings else params["lm_head"]
    logits = jnp.einsum(
        "...d,dv->...v", states, matrix.astype(states.dtype), preferred_element_type=jnp.float32
    )
    return decoder.softcapped(logits, config.logit_softcap)
