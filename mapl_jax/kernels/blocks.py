"""Attention over the tiles that hold an allowed pair, in plain XLA.

One tile of queries meets one tile of keys at a time, as the list of a row says, with an online
softmax (arXiv 2205.14135). The loop ends with the list, so time follows the pairs that there are,
memory is that of the inputs, and the backward pass finds the weights again from their log-sum.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mapl_jax.kernels import tiles
from mapl_jax.kernels.softcap import softcap_grad, softcapped

# Finite, so that a masked score less a masked maximum is no NaN.
MASKED = -1e30


Window = int | Int[Array, ""]


class Settings(NamedTuple):
    """What scores are made with, and the tokens of a tile."""

    softcap: float | None
    scale: float
    tile: int


class MaskInfo(NamedTuple):
    """Which queries see which keys, in whole tiles.

    Attributes:
        reach: of the keys, counted from the first of them; 0 for padding.
        positions: of the keys.
        query_positions: positions of the queries.
        window: see `attend`.
        lists: pairs of a tile of queries and a tile of keys.
        query_offset: how many tokens after the first key the first query comes.
    """

    reach: Int[Array, "R S"]
    positions: Int[Array, "R S"]
    query_positions: Int[Array, "R S"]
    window: Window | None
    lists: Int[Array, "R P"]
    query_offset: int | Int[Array, ""] = 0


class Sums(NamedTuple):
    """What an online softmax carries: highest score, sum of weights, and of weighted values."""

    running_max: Float[Array, "*R K G S"]
    total: Float[Array, "*R K G S"]
    output: Float[Array, "*R K G S H"]


# What the backward pass reads: q, k, v, who sees whom, output, log of the total weight.
_Saved = tuple[Array, Array, Array, MaskInfo, Array, Array]


def attend(
    q: Float[Array, "R S N H"],
    k: Float[Array, "R S K H"],
    v: Float[Array, "R S K H"],
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    lists: Int[Array, "R P"],
    window: Window | None = None,
    *,
    softcap: float | None,
    scale: float,
    tile: int,
) -> Float[Array, "R S N H"]:
    """Attention of every token to its ancestors.

    Args:
        reach: index just past the last token that may attend to the token; 0 for padding.
        positions: depth in the trie.
        lists: of tiles of `tile` tokens.
    """
    if window is not None:
        lists = tiles.within(lists, reach, positions, window, tile)
    query_positions = tiles.whole(positions, tile)
    mask_info = MaskInfo(tiles.whole(reach, tile), query_positions, query_positions, window, lists)
    output = _rows(*tiles.by_head(q, k, v, tile), mask_info, softcap, scale, tile)
    return tiles.by_token(output, q.shape[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _rows(
    q: Float[Array, "R K G S H"],
    k: Float[Array, "R K S H"],
    v: Float[Array, "R K S H"],
    mask_info: MaskInfo,
    softcap: float | None,
    scale: float,
    tile: int,
) -> Float[Array, "R K G S H"]:
    return _forward(q, k, v, mask_info, softcap, scale, tile)[0]


def _forward(
    q: Array,
    k: Array,
    v: Array,
    mask_info: MaskInfo,
    softcap: float | None,
    scale: float,
    tile: int,
) -> tuple[Array, _Saved]:
    settings = Settings(softcap, scale, tile)
    output, lse = each_row(_forward_row, (q, k, v), mask_info, settings)
    return output, (q, k, v, mask_info, output, lse)


def _backward(
    softcap: float | None, scale: float, tile: int, saved: _Saved, dout: Array
) -> tuple[Array, Array, Array, None]:
    q, k, v, mask_info, output, lse = saved
    arrays = (q, k, v, output, lse, dout)
    settings = Settings(softcap, scale, tile)
    dq, dk, dv = each_row(_backward_row, arrays, mask_info, settings)
    return dq, dk, dv, None


_rows.defvjp(_forward, _backward)


def each_row(
    row: Callable[..., tuple[Array, ...]],
    arrays: tuple[Array, ...],
    mask_info: MaskInfo,
    settings: Settings,
) -> tuple[Array, ...]:
    """Runs a function of a row over all rows, one after the other: their lists differ in length."""

    def of(values: tuple[Array, ...]) -> tuple[Array, ...]:
        reach, positions, query_positions, codes, *own = values
        known = Row(
            reach,
            positions,
            query_positions,
            codes,
            mask_info.window,
            mask_info.query_offset,
            settings,
        )
        return row(known, *own)

    return jax.lax.map(
        of,
        (mask_info.reach, mask_info.positions, mask_info.query_positions, mask_info.lists, *arrays),
    )


class Row(NamedTuple):
    """What a row knows of its tiles; see `MaskInfo`."""

    reach: Int[Array, "S"]
    positions: Int[Array, "S"]
    query_positions: Int[Array, "S"]
    codes: Int[Array, "P"]
    window: Window | None
    query_offset: int | Int[Array, ""]
    settings: Settings

    @property
    def pairs(self) -> Int[Array, ""]:
        """How many pairs of tiles are visited."""
        return jnp.sum(self.codes >= 0)

    def pair(self, at: Array) -> tuple[Array, Array, Bool[Array, "Q P"]]:
        """A query tile, a key tile, and their mask."""
        tile = self.settings.tile
        n = self.reach.shape[0] // tile
        i, j = self.codes[at] // n, self.codes[at] % n
        query, key = (
            self.query_offset + i * tile + jnp.arange(tile)[:, None],
            j * tile + jnp.arange(tile),
        )
        reach = self.take(self.reach, j, 0)
        mask = (key <= query) & (query < reach)
        if self.window is not None:
            depth = self.take(self.query_positions, i, 0)[:, None]
            mask &= depth - self.take(self.positions, j, 0) < self.window
        itself = (query == key) & (reach == 0)
        return i, j, mask | (itself & (self.query_offset == 0))

    def scores(self, q: Array, k: Array, mask: Array) -> tuple[Array, Array]:
        """Of a pair of tiles, [K, G, Q, P], before and after the mask."""
        softcap, scale, _ = self.settings
        raw = jnp.einsum("kgqh,kph->kgqp", q, k, preferred_element_type=jnp.float32) * scale
        raw = softcapped(raw, softcap)
        return raw, jnp.where(mask, raw, MASKED)

    def take(self, x: Array, tile: Array, axis: int) -> Array:
        """A tile of an array."""
        size = self.settings.tile
        return jax.lax.dynamic_slice_in_dim(x, tile * size, size, axis)

    def put(self, x: Array, part: Array, tile: Array, axis: int) -> Array:
        """An array with a tile replaced."""
        return jax.lax.dynamic_update_slice_in_dim(x, part, tile * self.settings.tile, axis)


def _forward_row(row: Row, q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    return finish(add(row, q, k, v, *start(q)), q.dtype)


def start(q: Float[Array, "*R K G S H"]) -> Sums:
    """The sums of queries that have mask_info nothing."""
    zeros = jnp.zeros(q.shape, jnp.float32)
    return Sums(jnp.full(q.shape[:-1], MASKED), zeros[..., 0], zeros)


def finish(sums: Sums, dtype: DTypeLike) -> tuple[Array, Array]:
    """The output of queries that have mask_info everything, and the log of their total weight."""
    output = (sums.output / sums.total[..., None]).astype(dtype)
    return output, sums.running_max + jnp.log(sums.total)


def add(row: Row, q: Array, k: Array, v: Array, *sums: Array) -> Sums:
    """The sums of a row with what its queries see of these keys."""
    take, put = row.take, row.put

    def visit(at: Array, carry: Sums) -> Sums:
        running_max, total, output = carry
        i, j, mask = row.pair(at)
        _, scores = row.scores(take(q, i, 2), take(k, j, 1), mask)
        before = take(running_max, i, 2)
        now = jnp.maximum(before, jnp.max(scores, axis=-1))
        weights = jnp.exp(scores - now[..., None])
        rescale = jnp.exp(before - now)
        summed = take(total, i, 2) * rescale + jnp.sum(weights, axis=-1)
        added = _product("kgqp,kph->kgqh", weights, take(v, j, 1))
        joined = take(output, i, 2) * rescale[..., None] + added
        return Sums(
            put(running_max, now, i, 2), put(total, summed, i, 2), put(output, joined, i, 2)
        )

    return jax.lax.fori_loop(0, row.pairs, visit, Sums(*sums))


def _backward_row(row: Row, *arrays: Array) -> tuple[Array, ...]:
    zeros = (jnp.zeros(x.shape, jnp.float32) for x in arrays[:3])
    grads = add_grads(row, *arrays, *zeros)
    return tuple(grad.astype(x.dtype) for grad, x in zip(grads, arrays, strict=False))


def add_grads(
    row: Row,
    q: Array,
    k: Array,
    v: Array,
    output: Array,
    lse: Array,
    dout: Array,
    *grads: Array,
) -> tuple[Array, ...]:
    """The gradients of q, k and v of a row with what its queries saw of these keys, fp32."""
    take, put = row.take, row.put
    softcap, scale, _ = row.settings
    delta = jnp.sum(dout.astype(jnp.float32) * output.astype(jnp.float32), axis=-1)

    def visit(at: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        dq, dk, dv = carry
        i, j, mask = row.pair(at)
        query, key, value, by = take(q, i, 2), take(k, j, 1), take(v, j, 1), take(dout, i, 2)
        raw, scores = row.scores(query, key, mask)
        weights = jnp.exp(scores - take(lse, i, 2)[..., None])
        dweights = jnp.einsum("kgqh,kph->kgqp", by, value, preferred_element_type=jnp.float32)
        dscores = weights * (dweights - take(delta, i, 2)[..., None]) * scale
        dscores = softcap_grad(dscores, raw, softcap)
        return (
            put(dq, take(dq, i, 2) + _product("kgqp,kph->kgqh", dscores, key), i, 2),
            put(dk, take(dk, j, 1) + _product("kgqp,kgqh->kph", dscores, query), j, 1),
            put(dv, take(dv, j, 1) + _product("kgqp,kgqh->kph", weights, by), j, 1),
        )

    return jax.lax.fori_loop(0, row.pairs, visit, grads)


def _product(equation: str, weights: Array, values: Array) -> Float[Array, "..."]:
    """A product in the precision of `values`, summed in fp32."""
    return jnp.einsum(
        equation, weights.astype(values.dtype), values, preferred_element_type=jnp.float32
    )
