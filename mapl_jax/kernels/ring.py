"""Attention in rows whose tokens are split over devices (arXiv 2310.01889).

Every device keeps its queries. Keys and values go round the ring of devices, and the online
softmax goes on from device to device as from tile to tile; in the backward pass the gradients of
keys and values go round with them. A device looks at no tiles but those that its own queries see.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mapl_jax.kernels import blocks, tiles
from mapl_jax.kernels.blocks import MaskInfo, Settings, Window

# Of whole rows: reach, positions, window.
_Rows = tuple[Array, Array, Window | None]
# What the backward pass reads: q, k, v, rows, output, log of the total weight.
_Saved = tuple[Array, Array, Array, _Rows, Array, Array]


class _Ring(NamedTuple):
    """The devices of a row, in the order of its tokens."""

    axis: str
    parts: int
    settings: Settings

    def mask_info(self, hop: Array | int, rows: _Rows) -> MaskInfo:
        """Which of this device's queries see which of the keys that it holds after some hops."""
        reach, positions, window = rows
        tile, length = self.settings.tile, reach.shape[1] // self.parts
        here = jax.lax.axis_index(self.axis)
        source = (here - hop) % self.parts

        def part(x: Array, at: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(x, at * length, length, 1)

        query_offset = (here - source) * length
        of_keys = jnp.maximum(part(reach, source) - source * length, 0)
        keys = part(positions, source)
        query_positions = jnp.where(part(reach, here) > 0, part(positions, here), tiles.FAR)
        lists = tiles.traced(of_keys, tile, query_offset)
        if window is not None:
            lists = tiles.within(lists, of_keys, keys, window, tile, query_positions, query_offset)
        of_keys, keys, query_positions = (
            tiles.whole(x, tile) for x in (of_keys, keys, query_positions)
        )
        return MaskInfo(of_keys, keys, query_positions, window, lists, query_offset)

    def shifted(self, *arrays: Array) -> tuple[Array, ...]:
        """Each array after one hop: every device has that of the one before it."""
        pairs = [(i, (i + 1) % self.parts) for i in range(self.parts)]
        return tuple(jax.lax.ppermute(x, self.axis, pairs) for x in arrays)


def attend(
    q: Float[Array, "R T N H"],
    k: Float[Array, "R T K H"],
    v: Float[Array, "R T K H"],
    reach: Int[Array, "R S"],
    positions: Int[Array, "R S"],
    window: Window | None = None,
    *,
    axis: str,
    parts: int,
    softcap: float | None,
    scale: float,
    tile: int,
) -> Float[Array, "R T N H"]:
    """Attention of the tokens of this device to their ancestors; called within `shard_map`.

    Queries, keys and values are those of this device, reach and positions of the whole row; see
    `blocks.attend`. Tokens are split over an axis of the mesh, in so many parts.
    """
    ring = _Ring(axis, parts, Settings(softcap, scale, tile))
    output = _rows(*tiles.by_head(q, k, v, tile), (reach, positions, window), ring)
    return tiles.by_token(output, q.shape[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _rows(
    q: Float[Array, "R K G T H"],
    k: Float[Array, "R K T H"],
    v: Float[Array, "R K T H"],
    rows: _Rows,
    ring: _Ring,
) -> Float[Array, "R K G T H"]:
    return _forward(q, k, v, rows, ring)[0]


def _forward(q: Array, k: Array, v: Array, rows: _Rows, ring: _Ring) -> tuple[Array, _Saved]:
    def add(hop: Array | int, held: tuple[Array, ...], sums: tuple[Array, ...]) -> tuple:
        return blocks.each_row(
            blocks.add, (q, *held, *sums), ring.mask_info(hop, rows), ring.settings
        )

    def hop(at: Array, carried: tuple[tuple, tuple]) -> tuple[tuple, tuple]:
        held, sums = carried
        return ring.shifted(*held), add(at, held, sums)

    last = ring.parts - 1
    held, sums = jax.lax.fori_loop(0, last, hop, ((k, v), blocks.start(q)))
    output, lse = blocks.finish(blocks.Sums(*add(last, held, sums)), q.dtype)
    return output, (q, k, v, rows, output, lse)


def _backward(ring: _Ring, saved: _Saved, dout: Array) -> tuple[Array, Array, Array, None]:
    q, k, v, rows, output, lse = saved

    def add(hop: Array | int, held: tuple[Array, ...], grads: tuple[Array, ...]) -> tuple:
        arrays = (q, *held, output, lse, dout, *grads)
        mask_info = ring.mask_info(hop, rows)
        return blocks.each_row(blocks.add_grads, arrays, mask_info, ring.settings)

    def hop(at: Array, carried: tuple[tuple, tuple]) -> tuple[tuple, tuple]:
        held, grads = carried
        dq, *dheld = add(at, held, grads)
        return ring.shifted(*held), (dq, *ring.shifted(*dheld))

    zeros = tuple(jnp.zeros(x.shape, jnp.float32) for x in (q, k, v))
    last = ring.parts - 1
    held, grads = jax.lax.fori_loop(0, last, hop, ((k, v), zeros))
    dq, *dheld = add(last, held, grads)
    # One hop more, and the gradients are where their keys and values are.
    grads = (dq, *ring.shifted(*dheld))
    dq, dk, dv = (grad.astype(x.dtype) for grad, x in zip(grads, (q, k, v), strict=True))
    return dq, dk, dv, None


_rows.defvjp(_forward, _backward)
