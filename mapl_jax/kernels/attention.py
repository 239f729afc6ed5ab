"""Attention under the reach mask: causality, sharing and packing in one integer a token.

    token q attends to token k   <=>   k <= q < reach[k]

`reach[k]` is the index just past the last token that may attend to token k. Padding has reach 0 and
attends to itself only, so every row of the softmax has something to sum over.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mapl_jax.kernels import blocks, ring, tiles
from mapl_jax.kernels.blocks import MASKED
from mapl_jax.kernels.compute import Compute, Spread
from mapl_jax.kernels.rows import AnyArray, Row
from mapl_jax.kernels.softcap import softcapped
from mapl_jax.kernels.tiles import TILE

BACKENDS = ("auto", "dense", "blocks", "pallas_tpu", "cudnn")
# cuDNN takes the mask as a bias, whole: [R, N, S, S].
CUDNN_LENGTH = 2048
CUDNN_WIDTH = 128


def attention(
    q: Float[Array, "R S N H"],
    k: Float[Array, "R S K H"],
    v: Float[Array, "R S K H"],
    row: Row,
    compute: Compute = Compute(),
    *,
    window: int | Int[Array, ""] | None = None,
    softcap: float | None = None,
    scale: float | None = None,
) -> Float[Array, "R S N H"]:
    """Attention of every token to its ancestors; scores and softmax in fp32.

    Args:
        q: queries; N is a multiple of K, and query heads share key heads in order.
        k: keys.
        v: values.
        row: who may attend to whom; positions are read only with a window, tokens never.
        compute: the backend, and how rows and heads lie over devices; dtype and remat are not read.
        window: tokens attend to ancestors fewer than this many positions above them. May be traced,
            so that one scanned layer serves models whose layers differ in it.
        softcap: scores become softcap * tanh(scores / softcap).
        scale: factor of the scores; None for 1 / sqrt(H).

    Raises:
        ValueError: if the backend is unknown or N is no multiple of K.
    """
    if q.shape[2] % k.shape[2]:
        raise ValueError(f"{q.shape[2]} query heads are no multiple of {k.shape[2]} key heads")
    backend = choose(
        compute.backend,
        q.shape[1],
        platform=compute.platform,
        dtype=q.dtype,
        width=q.shape[-1],
        softcap=softcap is not None,
        parts=compute.parts,
    )
    reach, positions = row.reach, row.positions
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if backend == "dense":
        return _dense(q, k, v, reach_mask(reach, positions, window), softcap, scale)
    if backend == "cudnn":
        mask = reach_mask(reach, positions, window)[:, None]
        mask = jnp.broadcast_to(mask, (q.shape[0], q.shape[2], *mask.shape[2:]))
        return jax.nn.dot_product_attention(q, k, v, mask=mask, scale=scale, implementation="cudnn")
    spread, of_window = compute.spread, () if window is None else (window,)
    if spread is not None and spread.tokens is not None and spread.parts > 1:
        around = functools.partial(
            ring.attend,
            axis=spread.tokens,
            parts=spread.parts,
            softcap=softcap,
            scale=scale,
            tile=TILE,
        )
        return _over(spread, around, q, k, v, reach, positions, *of_window)
    tile, kernel = TILE, functools.partial(blocks.attend, softcap=softcap, scale=scale, tile=TILE)
    if backend == "pallas_tpu":
        from mapl_jax.kernels import pallas_tpu  # importing it takes half a second, for TPUs alone

        tile = pallas_tpu.tile_of(q.shape[2] // k.shape[2])
        kernel = functools.partial(
            pallas_tpu.attend,
            softcap=softcap,
            scale=scale,
            tile=tile,
            interpret=compute.platform != "tpu",
        )
    if row.tiles is None:
        lists = tiles.traced(reach, tile)
    else:
        lists = tiles.coarse(row.tiles, q.shape[1], tile)
    arrays = (q, k, v, reach, positions, lists, *of_window)
    return kernel(*arrays) if spread is None else _over(spread, kernel, *arrays)


def choose(
    backend: str,
    length: int,
    *,
    platform: str,
    dtype: DTypeLike = jnp.float32,
    width: int = 64,
    softcap: bool = False,
    parts: int = 1,
) -> str:
    """The backend that "auto" stands for, or the one that is named.

    "dense" scores all pairs of a row; "blocks" the tiles that hold an allowed pair, in plain XLA;
    "pallas_tpu" the same in kernels for TPU, interpreted elsewhere; "cudnn" all pairs, on a GPU.
    "auto" is dense for a row of one tile, and otherwise pallas_tpu on TPU, cudnn on a GPU where it
    takes the model and the row is short, and blocks everywhere else. Rows in parts take blocks.

    Args:
        length: S.
        platform: "cpu", "gpu" or "tpu".
        width: H.

    Raises:
        ValueError: if the backend is unknown, or takes no rows in parts.
    """
    if backend not in BACKENDS:
        raise ValueError(
            f"unknown attention backend {backend!r}; choose one of {', '.join(BACKENDS)}"
        )
    if parts > 1 and backend not in ("auto", "blocks"):
        raise ValueError(f"rows whose tokens are split over devices take blocks, not {backend}")
    if backend != "auto":
        return backend
    if parts > 1:
        return "blocks"
    if length <= TILE:
        return "dense"
    if platform == "tpu":
        return "pallas_tpu"
    half = jnp.dtype(dtype) in (jnp.bfloat16, jnp.float16)
    fits = half and not softcap and width <= CUDNN_WIDTH and width % 8 == 0
    if platform == "gpu" and fits and length <= CUDNN_LENGTH:
        return "cudnn"
    return "blocks"


def _over(
    spread: Spread,
    function: Callable[..., Array],
    q: Array,
    k: Array,
    v: Array,
    *rest: AnyArray | int,
) -> Array:
    """A function of q, k, v, arrays [R, ...] and scalars, on each device's rows, tokens and heads.

    Only q, k and v are split by tokens.
    """
    parts = spread.mesh.shape[spread.heads]
    # Key heads are repeated until every device has whole ones.
    shared = math.lcm(k.shape[2], parts)
    heads = None if q.shape[2] % shared else spread.heads
    if heads and shared > k.shape[2]:
        k, v = (jnp.repeat(x, shared // x.shape[2], axis=2) for x in (k, v))
    by_head = PartitionSpec(*spread.states, heads)
    others = tuple(PartitionSpec(spread.rows) if jnp.ndim(x) else PartitionSpec() for x in rest)
    return jax.shard_map(
        function,
        mesh=spread.mesh,
        in_specs=(by_head, by_head, by_head, *others),
        out_specs=by_head,
        check_vma=False,
    )(q, k, v, *rest)


def reach_mask(
    reach: Int[AnyArray, "R S"],
    positions: Int[AnyArray, "R S"] | None = None,
    window: int | Int[Array, ""] | None = None,
) -> Bool[Array, "R S S"]:
    """Which token (second axis) attends to which (third axis).

    Raises:
        ValueError: if there is a window but no positions to count by.
    """
    if window is not None and positions is None:
        raise ValueError("a window counts by positions; give them")
    index = jnp.arange(reach.shape[1])
    mask = (index <= index[:, None]) & (index[:, None] < reach[:, None, :])
    if window is not None and positions is not None:
        mask &= positions[:, :, None] - positions[:, None, :] < window
    return mask | (jnp.eye(reach.shape[1], dtype=bool) & (reach[:, None, :] == 0))


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
    scores = softcapped(scores * scale, softcap)
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, MASKED), axis=-1)
    output = jnp.einsum("rkgqp,rpkh->rqkgh", weights.astype(v.dtype), v)
    return output.reshape(q.shape)
