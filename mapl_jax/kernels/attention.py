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
# Lower than any score, yet its square is no overflow in float32.
MASKED = -1e30


def attention(
    q: Float[Array, "R S N H"],
    k: Float[Array, "R S K H"],
    v: Float[Array, "R S K H"],
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    *,
    window: int | None = None,
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
        window: tokens attend to ancestors fewer than this many positions above them.
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
    scores_to_output = functools.partial(
        _attend, softcap=softcap, scale=q.shape[-1] ** -0.5 if scale is None else scale
    )
    length = q.shape[1]
    tile = length if backend == "dense" else TILE
    outputs = []
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        mask = _mask(reach, positions, start, stop, window)
        outputs.append(scores_to_output(q[:, start:stop], k[:, :stop], v[:, :stop], mask))
    return outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=1)


def reach_mask(
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"] | None = None,
    window: int | None = None,
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
    window: int | None,
) -> Bool[Array, "R Q P"]:
    """The mask of queries [start, stop) and keys [0, stop)."""
    query = jnp.arange(start, stop)[None, :, None]
    key = jnp.arange(stop)[None, None, :]
    mask = (key <= query) & (query < reach[:, None, :stop])
    if window is not None and positions is not None:
        mask &= positions[:, start:stop, None] - positions[:, None, :stop] < window
    return mask | ((query == key) & (reach[:, None, :stop] == 0))


def _attend(
    q: Float[Array, "R Q N H"],
    k: Float[Array, "R P K H"],
    v: Float[Array, "R P K H"],
    mask: Bool[Array, "R Q P"],
    *,
    softcap: float | None,
    scale: float,
) -> Float[Array, "R Q N H"]:
    rows, queries, heads, width = q.shape
    kv_heads = k.shape[2]
    grouped = q.reshape(rows, queries, kv_heads, heads // kv_heads, width)
    scores = jnp.einsum("rqkgh,rpkh->rkgqp", grouped, k, preferred_element_type=jnp.float32)
    scores = scores * scale
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    scores = jnp.where(mask[:, None, None], scores, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    output = jnp.einsum("rkgqp,rpkh->rqkgh", weights, v)
    return output.reshape(q.shape)
