"""The policy: a decoder, the logits of the next token, and the log-probabilities of leaves."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mapl_jax.kernels.compute import Spread
from mapl_jax.kernels.logps import token_logps
from mapl_jax.models import decoder
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.decoder import Params

# Of log-probabilities of tokens, nats.
GRID = 2.0**-10


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
    matrix = output_matrix(config, params).astype(states.dtype)
    logits = jnp.einsum("...d,dv->...v", states, matrix, preferred_element_type=jnp.float32)
    return decoder.softcapped(logits, config.logit_softcap)


def leaf_logps(
    config: DecoderConfig,
    params: Mapping[str, Any],
    tokens: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    reach: Int[Array, "R S"],
    parent: Int[Array, "R S"],
    scored_at: Int[Array, "R P"],
    leaf_end: Int[Array, "R L"],
    *,
    logps: Callable[[Array, Array, Array], Array] = token_logps,
    parts: bool = False,
    dtype: Any = jnp.float32,
    remat: str = "none",
    backend: str = "auto",
    tiles: Int[Array, "R Q"] | None = None,
    spread: Spread | None = None,
) -> Float[Array, "R L"] | Float[Array, "R L 2"]:
    """Log-probability of each leaf: the sum over the scored tokens on its path, fp32.

    Tokens that leaves share are predicted once, and a token after a branching point from the
    branching point itself, its parent.

    Args:
        config: of the model.
        params: its parameters, with `lm_head` unless embeddings are tied.
        tokens: ids.
        positions: depth in the trie.
        reach: index just past the last token that may attend to the token; 0 for padding.
        parent: index of the token that predicts each token; -1 at a root.
        scored_at: indices of the tokens that count, none of them a root; -1 where unused.
        leaf_end: index of each leaf's last token; -1 for an unused leaf, whose sum is 0.
        logps: (states [R, P, D], matrix [D, V], targets [R, P]) -> [R, P]; `token_logps` with its
            chunk chosen, or spread over devices.
        parts: give each sum as two summands, one exact and one small, [R, L, 2]: fp32 holds some
            -200 to 1e-5 only, but the difference of two such sums, part by part, to 1e-6.
        dtype: of the computation below the log-probabilities.
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
    used = scored_at >= 0
    at = jnp.where(used, scored_at, 0)
    source = jnp.maximum(jnp.take_along_axis(parent, at, axis=1), 0)
    values = logps(
        jnp.take_along_axis(states, source[..., None], axis=1),
        output_matrix(config, params),
        jnp.take_along_axis(tokens, at, axis=1),
    )
    until = jnp.take_along_axis(reach, at, axis=1)
    end = leaf_end[..., None]
    on_path = (at[:, None] <= end) & (end < until[:, None])
    values = jnp.where(used, values, 0.0)
    if not parts:
        return _sums(on_path, values)
    # Sums of multiples of the grid are exact in any order, as long as they need 24 bits (16,384).
    coarse = jax.lax.stop_gradient(jnp.round(values / GRID) * GRID)
    return jnp.stack([_sums(on_path, coarse), _sums(on_path, values - coarse)], axis=-1)


def _sums(on_path: Bool[Array, "R L P"], values: Float[Array, "R P"]) -> Float[Array, "R L"]:
    path = on_path.astype(jnp.float32)
    return jnp.einsum("rlp,rp->rl", path, values, precision=jax.lax.Precision.HIGHEST)


def output_matrix(config: DecoderConfig, params: Mapping[str, Any]) -> Float[Array, "D V"]:
    """The matrix from hidden states to logits."""
    return params["embed"].T if config.tie_embeddings else params["lm_head"]
