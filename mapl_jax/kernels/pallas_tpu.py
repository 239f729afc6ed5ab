"""Attention over the tiles that hold an allowed pair, as kernels for TPU.

One program of the grid is one pair of tiles of one row, for all query heads that share a key head.
The lists of all rows, one behind the other, are prefetched as scalars and say which tiles are
fetched next; the grid ends where the lists do. Three kernels (arXiv 2307.08691): the output, the
gradient of the queries, and, over the lists sorted by key tile, those of keys and values.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Ref
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from mapl_jax.kernels import tiles
from mapl_jax.kernels.blocks import MASKED
from mapl_jax.kernels.softcap import softcap_grad, softcapped

# Queries of one program, over all heads that share a key head: their scores must fit into VMEM.
QUERIES = 2048
_FLOAT = jnp.float32
_LAST = jnp.iinfo(jnp.int32).max


# Row, query tile and key tile of every pair of tiles, in the order of the grid.
_Order = tuple[Int[Array, "P"], Int[Array, "P"], Int[Array, "P"]]


class _Pairs(NamedTuple):
    """The pairs of tiles that are visited, and the masks of their tokens."""

    by_query: _Order
    by_key: _Order
    visits: Int[Array, ""]
    window: Int[Array, "1"]
    reach: Int[Array, "R 1 S"]
    query_depth: Int[Array, "R S 1"]
    key_depth: Int[Array, "R 1 S"]


class _Settings(NamedTuple):
    softcap: float | None
    scale: float
    tile: int
    interpret: bool


class _Output(NamedTuple):
    """An array that a kernel writes; it lies as queries do, or as keys."""

    shape: tuple[int, ...]
    dtype: jnp.dtype
    by_query: bool


# Row, query tile, key tile and window of the programs of a grid.
_Prefetched = tuple[Ref, Ref, Ref, Ref]
# reach, query_depth and key_depth of a pair of tiles.
_Masks = tuple[Ref, Ref, Ref]
# Indices of a block.
_Place = tuple[Array | int, ...]
# What the backward pass reads of the forward pass: q, k, v, pairs, output, log of the total weight.
_Saved = tuple[Array, Array, Array, _Pairs, Array, Array]


def tile_of(group: int) -> int:
    """Tokens of a tile, for so many query heads a key head."""
    return 256 if group * 256 <= QUERIES else 128


def attend(
    q: Float[Array, "R S N H"],
    k: Float[Array, "R S K H"],
    v: Float[Array, "R S K H"],
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    lists: Int[Array, "R P"],
    window: int | Int[Array, ""] | None = None,
    *,
    softcap: float | None,
    scale: float,
    tile: int,
    interpret: bool = False,
) -> Float[Array, "R S N H"]:
    """Attention of every token to its ancestors; see `blocks.attend`.

    Args:
        interpret: runs the kernels without a TPU, slowly.
    """
    length = q.shape[1]
    if window is not None:
        lists = tiles.within(lists, reach, positions, window, tile)
    n = tiles.count(length, tile)
    depth = tiles.whole(positions, tile)
    # Keys lie along lanes, queries along sublanes.
    pairs = _Pairs(
        by_query=_flat(lists, n, by_key=False),
        by_key=_flat(lists, n, by_key=True),
        visits=jnp.sum(lists >= 0),
        window=jnp.asarray([2**30 if window is None else window], jnp.int32),
        reach=tiles.whole(reach, tile)[:, None, :],
        query_depth=depth[:, :, None],
        key_depth=depth[:, None, :],
    )
    settings = _Settings(softcap, scale, tile, interpret)
    output = _rows(*tiles.by_head(q, k, v, tile), pairs, settings)
    return tiles.by_token(output, length)


def _flat(lists: Int[Array, "R P"], n: int, *, by_key: bool) -> tuple[Array, Array, Array]:
    """Row, query tile and key tile of all pairs of all rows, in order, unused places last."""
    i, j = lists // n, lists % n
    pairs = (j * n + i) if by_key else lists
    row = jnp.arange(lists.shape[0])[:, None] * n * n
    codes = jnp.sort(jnp.where(lists >= 0, row + pairs, _LAST).reshape(-1))
    codes = jnp.where(codes < _LAST, codes, 0).astype(jnp.int32)
    first, second = codes % (n * n) // n, codes % n
    return (codes // (n * n), second, first) if by_key else (codes // (n * n), first, second)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _rows(
    q: Array, k: Array, v: Array, pairs: _Pairs, settings: _Settings
) -> Float[Array, "R K G S H"]:
    return _forward(q, k, v, pairs, settings)[0]


def _forward(
    q: Array, k: Array, v: Array, pairs: _Pairs, settings: _Settings
) -> tuple[Array, _Saved]:
    group, tile = q.shape[2], settings.tile
    lines = group * tile
    output, lse = _call(
        _forward_kernel,
        "by_query",
        (q, k, v),
        pairs,
        settings,
        outputs=[
            _Output(q.shape, q.dtype, True),
            _Output((*q.shape[:-1], 1), jnp.dtype(_FLOAT), True),
        ],
        scratch=[(lines, 1), (lines, 1), (lines, q.shape[-1])],
    )
    return output, (q, k, v, pairs, output, lse[..., 0])


def _backward(settings: _Settings, saved: _Saved, dout: Array) -> tuple[Array, Array, Array, None]:
    q, k, v, pairs, output, lse = saved
    group, tile, width = q.shape[2], settings.tile, q.shape[-1]
    delta = jnp.sum(dout.astype(_FLOAT) * output.astype(_FLOAT), axis=-1, keepdims=True)
    arrays = (q, k, v, dout, lse[..., None], delta)
    (dq,) = _call(
        _query_kernel,
        "by_query",
        arrays,
        pairs,
        settings,
        outputs=[_Output(q.shape, q.dtype, True)],
        scratch=[(group * tile, width)],
    )
    dk, dv = _call(
        _key_kernel,
        "by_key",
        arrays,
        pairs,
        settings,
        outputs=[_Output(k.shape, k.dtype, False), _Output(v.shape, v.dtype, False)],
        scratch=[(tile, width), (tile, width)],
    )
    return dq, dk, dv, None


_rows.defvjp(_forward, _backward)


def _call(
    kernel: Callable[..., None],
    order: Literal["by_query", "by_key"],
    arrays: tuple[Array, ...],
    pairs: _Pairs,
    settings: _Settings,
    *,
    outputs: list[_Output],
    scratch: list[tuple[int, int]],
) -> list[Array]:
    """Runs a kernel over all pairs.

    Args:
        kernel: what one program does.
        order: order of the pairs.
        arrays: queries, keys and values, and then what lies as queries do.
        pairs: the pairs, their masks and the window.
        outputs: what the kernel writes.
        scratch: shapes of fp32 arrays that stay from one program to the next.
    """
    kv_heads, tile = arrays[1].shape[1], settings.tile

    def at_query(head: Array, at: Array, row: Ref, query: Ref, key: Ref, *_: Ref) -> _Place:
        return row[at], head, 0, query[at], 0

    def at_key(head: Array, at: Array, row: Ref, query: Ref, key: Ref, *_: Ref) -> _Place:
        return row[at], head, key[at], 0

    def spec(shape: tuple[int, ...], by_query: bool) -> pl.BlockSpec:
        if by_query:
            return pl.BlockSpec((1, 1, shape[2], tile, shape[-1]), at_query)
        return pl.BlockSpec((1, 1, tile, shape[-1]), at_key)

    masks = [
        pl.BlockSpec((1, 1, tile), lambda h, p, row, query, key, *_: (row[p], 0, key[p])),
        pl.BlockSpec((1, tile, 1), lambda h, p, row, query, key, *_: (row[p], query[p], 0)),
        pl.BlockSpec((1, 1, tile), lambda h, p, row, query, key, *_: (row[p], 0, key[p])),
    ]
    specs = [spec(x.shape, i not in (1, 2)) for i, x in enumerate(arrays)]
    return pl.pallas_call(
        functools.partial(kernel, settings=settings),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=4,
            grid=(kv_heads, pairs.visits),
            in_specs=[*masks, *specs],
            out_specs=[spec(output.shape, output.by_query) for output in outputs],
            scratch_shapes=[pltpu.VMEM(shape, _FLOAT) for shape in scratch],
        ),
        out_shape=[jax.ShapeDtypeStruct(output.shape, output.dtype) for output in outputs],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        interpret=settings.interpret,
    )(
        *(pairs.by_query if order == "by_query" else pairs.by_key),
        pairs.window,
        pairs.reach,
        pairs.query_depth,
        pairs.key_depth,
        *arrays,
    )


def _ends(own: Ref, row: Ref) -> tuple[Array, Array]:
    """Whether this program is the first, and the last, of its tile."""
    at, count = pl.program_id(1), pl.num_programs(1)
    before, after = jnp.maximum(at - 1, 0), jnp.minimum(at + 1, count - 1)

    def other(to: Array) -> Array:
        return (own[to] != own[at]) | (row[to] != row[at])

    return (at == 0) | other(before), (at == count - 1) | other(after)


def _scores(
    q_ref: Ref, k_ref: Ref, prefetched: _Prefetched, masks: _Masks, settings: _Settings
) -> tuple[Array, Array, Array, Array]:
    """Queries [G * T, H], keys, and scores [G * T, T] before and after the mask."""
    softcap, scale, tile, _ = settings
    _, query, key, window = prefetched
    reach_ref, query_depth, key_depth = masks
    at = pl.program_id(1)
    q = q_ref[0, 0].reshape(-1, q_ref.shape[-1])
    k = k_ref[0, 0]
    raw = softcapped(_product(q, k, 1, 1) * scale, softcap)
    shape = (tile, tile)
    i = query[at] * tile + jax.lax.broadcasted_iota(jnp.int32, shape, 0)
    j = key[at] * tile + jax.lax.broadcasted_iota(jnp.int32, shape, 1)
    reach = reach_ref[0]
    near = query_depth[0] - key_depth[0] < window[0]
    mask = ((j <= i) & (i < reach) & near) | ((i == j) & (reach == 0))
    grouped = raw.reshape(-1, tile, tile)
    return q, k, raw, jnp.where(mask[None], grouped, MASKED).reshape(raw.shape)


def _product(a: Array, b: Array, of_a: int, of_b: int) -> Float[Array, "..."]:
    """A product over one dimension of each, in their type, summed in fp32."""
    return jax.lax.dot_general(
        a, b, (((of_a,), (of_b,)), ((), ())), preferred_element_type=jnp.float32
    )


def _forward_kernel(*refs: Ref, settings: _Settings) -> None:
    row, query, key, window, reach, depth, key_depth, *arrays = refs
    q_ref, k_ref, v_ref, out_ref, lse_ref, running_max, total, summed = arrays
    first, last = _ends(query, row)

    @pl.when(first)
    def begin() -> None:
        running_max[...] = jnp.full_like(running_max, MASKED)
        total[...] = jnp.zeros_like(total)
        summed[...] = jnp.zeros_like(summed)

    _, _, _, scores = _scores(
        q_ref, k_ref, (row, query, key, window), (reach, depth, key_depth), settings
    )
    v = v_ref[0, 0]
    now = jnp.maximum(running_max[...], jnp.max(scores, axis=1, keepdims=True))
    weights = jnp.exp(scores - now)
    rescale = jnp.exp(running_max[...] - now)
    total[...] = total[...] * rescale + jnp.sum(weights, axis=1, keepdims=True)
    summed[...] = summed[...] * rescale + _product(weights.astype(v.dtype), v, 1, 0)
    running_max[...] = now

    @pl.when(last)
    def end() -> None:
        out_ref[0, 0] = (summed[...] / total[...]).reshape(out_ref.shape[2:]).astype(out_ref.dtype)
        lse_ref[0, 0] = (running_max[...] + jnp.log(total[...])).reshape(lse_ref.shape[2:])


def _score_grads(
    refs: tuple[Ref, ...], prefetched: _Prefetched, masks: _Masks, settings: _Settings
) -> tuple[Array, Array, Array, Array, Array]:
    """Queries, keys, grads of the output, weights, and grads of the scores before scaling."""
    q_ref, k_ref, v_ref, dout_ref, lse_ref, delta_ref = refs
    softcap, scale, _, _ = settings
    q, k, raw, scores = _scores(q_ref, k_ref, prefetched, masks, settings)
    dout = dout_ref[0, 0].reshape(q.shape)
    weights = jnp.exp(scores - lse_ref[0, 0].reshape(-1, 1))
    dweights = _product(dout, v_ref[0, 0], 1, 1)
    dscores = weights * (dweights - delta_ref[0, 0].reshape(-1, 1)) * scale
    dscores = softcap_grad(dscores, raw, softcap)
    return q, k, dout, weights, dscores


def _query_kernel(*refs: Ref, settings: _Settings) -> None:
    row, query, key, window, reach, depth, key_depth, *arrays = refs
    *arrays, out_ref, summed = arrays
    first, last = _ends(query, row)

    @pl.when(first)
    def begin() -> None:
        summed[...] = jnp.zeros_like(summed)

    _, k, _, _, dscores = _score_grads(
        tuple(arrays), (row, query, key, window), (reach, depth, key_depth), settings
    )
    summed[...] += _product(dscores.astype(k.dtype), k, 1, 0)

    @pl.when(last)
    def end() -> None:
        out_ref[0, 0] = summed[...].reshape(out_ref.shape[2:]).astype(out_ref.dtype)


def _key_kernel(*refs: Ref, settings: _Settings) -> None:
    row, query, key, window, reach, depth, key_depth, *arrays = refs
    *arrays, dk_ref, dv_ref, dk, dv = arrays
    first, last = _ends(key, row)

    @pl.when(first)
    def begin() -> None:
        dk[...] = jnp.zeros_like(dk)
        dv[...] = jnp.zeros_like(dv)

    q, _, dout, weights, dscores = _score_grads(
        tuple(arrays), (row, query, key, window), (reach, depth, key_depth), settings
    )
    dk[...] += _product(dscores.astype(q.dtype), q, 0, 0)
    dv[...] += _product(weights.astype(dout.dtype), dout, 0, 0)

    @pl.when(last)
    def end() -> None:
        dk_ref[0, 0] = dk[...].astype(dk_ref.dtype)
        dv_ref[0, 0] = dv[...].astype(dv_ref.dtype)
