"""Attention under the reach mask: causality, sharing and packing in one integer a token.

    token q attends to token k   <=>   k <= q < reach[k]

`reach[k]` is the index just past the last token that may attend to token k. Padding has reach 0 and
attends to itself only, so every row of the softmax has something to sum over.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

BACKENDS = ("auto", "dense", "blocks")
TILE = 128
# Finite, so that a masked score less a masked maximum is no NaN.
MASKED = -1e30


def attention(
    q: Float[Array, "R S N H"],
    k: Float[Array, "R S K H"],
    v: Float[Array, "R S K H"],
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    *,
    window: int | Int[Array, ""] | None = None,
    softcap: float | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> Float[Array, "R S N H"]:
    """Attention of every token to its ancestors; scores and softmax in fp32.

    Args:
        q: queries; N is a multiple of K, and query heads share key heads in order.
        k: keys.
        v: values.
        reach: index just past the last token that may attend to the token; 0 for padding.
        positions: depth of the token in its trie; read only with a window.
        window: tokens attend to ancestors fewer than this many positions above them. May be traced,
            so that one scanned layer serves models whose layers differ in it.
        softcap: scores become softcap * tanh(scores / softcap).
        scale: of the scores; None for 1 / sqrt(H).
        backend: "dense" scores all pairs, "blocks" leaves out tiles above the diagonal, "auto"
            takes blocks as soon as the row has more than one tile.

    Raises:
        ValueError: if the backend is unknown or N is no multiple of K.
    """
    if backend not in BACKENDS:
        raise ValueError(
            f"unknown attention backend {backend!r}; choose one of {', '.join(BACKENDS)}"
        )
    if q.shape[2] % k.shape[2]:
        raise ValueError(f"{q.shape[2]} query heads are no multiple of {k.shape[2]} key heads")
    if backend == "auto":
        backend = "blocks" if q.shape[1] > TILE else "dense"
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if backend == "dense":
        return _dense(q, k, v, reach_mask(reach, positions, window), softcap, scale)
    return _blocks(q, k, v, reach, positions, window, softcap, scale)


def reach_mask(
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"] | None = None,
    window: int | Int[Array, ""] | None = None,
) -> Bool[Array, "R S S"]:
    """Which token (second axis) attends to which (third axis).

    Raises:
        ValueError: if there is a window but no positions to count by.
    """
    if window is not None and positions is None:
        raise ValueError("a window counts by positions; give them")
    return _mask(reach, positions, 0, reach.shape[1], window)


def _mask(
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"] | None,
    start: int,
    stop: int,
    window: int | Int[Array, ""] | None,
) -> Bool[Array, "R Q P"]:
    """The mask of queries [start, stop) and keys [0, stop)."""
    query = jnp.arange(start, stop)[None, :, None]
    key = jnp.arange(stop)[None, None, :]
    mask = (key <= query) & (query < reach[:, None, :stop])
    if window is not None and positions is not None:
        mask &= positions[:, start:stop, None] - positions[:, None, :stop] < window
    return mask | ((query == key) & (reach[:, None, :stop] == 0))


def _dense(
    q: Float[Array, "R S N H"],
    k: Float[Array, "R S K H"],
    v: Float[Array, "R S K H"],
    mask: Bool[Array, "R S S"],
    softcap: float | None,
    scale: float,
) -> Float[Array, "R S N H"]:
    """All pairs at once, differentiated by JAX: short rows, and what the blocks must equal."""
    grouped = q.reshape(*q.shape[:2], k.shape[2], -1, q.shape[3])
    scores = jnp.einsum("rqkgh,rpkh->rkgqp", grouped, k, preferred_element_type=jnp.float32)
    scores = scores * scale
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, MASKED), axis=-1)
    output = jnp.einsum("rkgqp,rpkh->rqkgh", weights.astype(v.dtype), v)
    return output.reshape(q.shape)


def _blocks(
    q: Float[Array, "R S N H"],
    k: Float[Array, "R S K H"],
    v: Float[Array, "R S K H"],
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    window: int | Int[Array, ""] | None,
    softcap: float | None,
    scale: float,
) -> Float[Array, "R S N H"]:
    """A tile of queries at a time, over the keys up to its end."""
    rows, length, heads, width = q.shape
    kv_heads = k.shape[2]
    grouped = q.reshape(rows, length, kv_heads, heads // kv_heads, width).transpose(0, 2, 3, 1, 4)
    k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
    outputs = []
    for start in range(0, length, TILE):
        stop = min(start + TILE, length)
        mask = _mask(reach, positions, start, stop, window)
        queries = grouped[:, :, :, start:stop]
        outputs.append(_tile(queries, k[:, :, :stop], v[:, :, :stop], mask, softcap, scale))
    output = jnp.concatenate(outputs, axis=3)
    return output.transpose(0, 3, 1, 2, 4).reshape(q.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _tile(
    q: Float[Array, "R K G Q H"],
    k: Float[Array, "R K P H"],
    v: Float[Array, "R K P H"],
    mask: Bool[Array, "R Q P"],
    softcap: float | None,
    scale: float,
) -> Float[Array, "R K G Q H"]:
    return _tile_forward(q, k, v, mask, softcap, scale)[0]


def _tile_scores(
    q: Array, k: Array, mask: Array, softcap: float | None, scale: float
) -> tuple[Float[Array, "R K G Q P"], Float[Array, "R K G Q P"]]:
    """Scores before and after the mask."""
    scores = jnp.einsum("rkgqh,rkph->rkgqp", q, k, preferred_element_type=jnp.float32) * scale
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    return scores, jnp.where(mask[:, None, None], scores, MASKED)


def _tile_forward(
    q: Array, k: Array, v: Array, mask: Array, softcap: float | None, scale: float
) -> tuple[Array, tuple[Array, ...]]:
    _, scores = _tile_scores(q, k, mask, softcap, scale)
    highest = jnp.max(scores, axis=-1, keepdims=True)
    weights = jnp.exp(scores - highest)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    output = _product("rkgqp,rkph->rkgqh", weights, v) / total
    # The backward pass finds the weights again from their log-sum: cheaper than to keep them.
    return output.astype(q.dtype), (q, k, v, mask, output, highest + jnp.log(total))


def _tile_backward(
    softcap: float | None, scale: float, kept: tuple[Array, ...], slope: Array
) -> tuple[Array, Array, Array, None]:
    q, k, v, mask, output, log_total = kept
    raw, scores = _tile_scores(q, k, mask, softcap, scale)
    weights = jnp.exp(scores - log_total)
    of_weights = jnp.einsum("rkgqh,rkph->rkgqp", slope, v, preferred_element_type=jnp.float32)
    mean = jnp.sum(slope.astype(jnp.float32) * output, axis=-1, keepdims=True)
    of_scores = weights * (of_weights - mean) * scale
    if softcap is not None:
        of_scores = of_scores * (1.0 - jnp.square(raw / softcap))
    of_q = _product("rkgqp,rkph->rkgqh", of_scores, k)
    of_k = _product("rkgqp,rkgqh->rkph", of_scores, q)
    of_v = _product("rkgqp,rkgqh->rkph", weights, slope)
    return of_q.astype(q.dtype), of_k.astype(k.dtype), of_v.astype(v.dtype), None


_tile.defvjp(_tile_forward, _tile_backward)


def _product(equation: str, weights: Array, values: Array) -> Float[Array, "..."]:
    """A product in the precision of `values`, summed in fp32."""
    return jnp.einsum(
        equation, weights.astype(values.dtype), values, preferred_element_type=jnp.float32
    )
