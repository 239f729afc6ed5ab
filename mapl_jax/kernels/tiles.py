"""Which tiles of the score matrix hold an allowed pair, as lists.

A row of S tokens is cut into n = ceil(S / tile) tiles. A query tile i sees a key tile j < i if some
token of j reaches past the first token of i, and every tile sees itself. A list holds the pairs
(i, j) that are seen as codes i * n + j, in rising order, and then -1 in every unused place.

The loader makes lists of tiles of `TILE` tokens; a kernel with larger tiles joins them.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mapl_jax.kernels.rows import AnyArray

# Tokens. Small, so that little is computed in vain; large enough for fast matrix products on CPU.
TILE = 64
UNUSED = -1
# Below every token of a trie.
FAR = 2**30
_LAST = np.iinfo(np.int32).max


def count(length: int, tile: int = TILE) -> int:
    """Tiles of a row: n."""
    return -(-length // tile)


def most(length: int, tile: int = TILE) -> int:
    """Most pairs that a list can hold: all at or below the diagonal."""
    n = count(length, tile)
    return n * (n + 1) // 2


def seen(reach: Int[AnyArray, "S"], tile: int = TILE) -> Int[np.ndarray, "P"]:
    """The list of a row, no place unused."""
    return np.flatnonzero(_pairs(np, np.asarray(reach)[None], tile)[0]).astype(np.int32)


def bound(starts: Int[np.ndarray, "m"], stops: Int[np.ndarray, "m"], length: int) -> int:
    """Most pairs that a row can hold whose tries lie at [starts, stops), whatever their branches.

    Args:
        starts: first token of each trie, rising.
        stops: one past the last token of each trie.
        length: S.
    """
    if not len(starts):
        return count(length)
    first, last = starts // TILE, (stops - 1) // TILE
    spans = last - first + 1
    inside = spans * (spans + 1) // 2
    # A tile where one trie ends and the next begins counts once, as do the tiles of padding.
    shared = np.sum(first[1:] == last[:-1])
    return int(inside.sum() - shared + count(length) - 1 - last[-1])


def traced(
    reach: Int[AnyArray, "R S"], tile: int = TILE, query_offset: Int[Array, ""] | None = None
) -> Int[Array, "R P"]:
    """The lists of rows inside `jit`, with places for all pairs that there may be.

    Args:
        reach: of the keys; 0 for padding.
        tile: tokens of a tile.
        query_offset: how many tokens after the first key the first query comes; None:
            the same.
    """
    pairs = _pairs(jnp, reach, tile, 0 if query_offset is None else query_offset).reshape(
        reach.shape[0], -1
    )
    codes = jnp.where(pairs, jnp.arange(pairs.shape[1]), UNUSED)
    return _kept(
        codes, pairs, most(reach.shape[1], tile) if query_offset is None else pairs.shape[1]
    )


def coarse(lists: Int[AnyArray, "R P"], length: int, tile: int) -> Int[Array, "R Q"]:
    """Lists of larger tiles, of a multiple of `TILE` tokens, from those of the loader."""
    if tile == TILE:
        return jnp.asarray(lists)
    fine, n, ratio = count(length), count(length, tile), tile // TILE
    codes = lists // fine // ratio * n + lists % fine // ratio
    codes = jnp.sort(jnp.where(lists >= 0, codes, _LAST), axis=-1)
    again = jnp.pad(codes[:, 1:] == codes[:, :-1], ((0, 0), (1, 0)))
    return _kept(codes, ~again & (codes < _LAST), most(length, tile))


def within(
    lists: Int[Array, "R P"],
    reach: Int[AnyArray, "R S"],
    positions: Int[AnyArray, "R S"],
    window: int | Int[Array, ""],
    tile: int = TILE,
    query_positions: Int[AnyArray, "R S"] | None = None,
    query_offset: int | Int[Array, ""] = 0,
) -> Int[Array, "R P"]:
    """Lists without the pairs whose tokens are all too far apart for a window.

    Args:
        lists: of tiles of `tile` tokens.
        reach: of the keys; 0 for padding, which has no position.
        positions: of the keys: depth in the trie.
        window: tokens attend to ancestors fewer than this many positions above them.
        tile: tokens of a tile.
        query_positions: positions of the queries, padding far below all others; None: those of
            the keys.
        query_offset: how many tokens after the first key the first query comes.
    """
    length = reach.shape[1]
    n = count(length, tile)
    padding = ((0, 0), (0, n * tile - length))

    def cut(values: AnyArray, fill: int) -> Array:
        return jnp.pad(values, padding, constant_values=fill).reshape(-1, n, tile)

    query_positions = (
        jnp.where(reach > 0, positions, FAR) if query_positions is None else query_positions
    )
    least = jnp.min(cut(query_positions, FAR), axis=-1)
    greatest = jnp.max(cut(jnp.where(reach > 0, positions, -1), -1), axis=-1)
    used = lists >= 0
    i, j = jnp.where(used, lists // n, 0), jnp.where(used, lists % n, 0)
    apart = jnp.take_along_axis(least, i, axis=1) - jnp.take_along_axis(greatest, j, axis=1)
    return _kept(lists, used & ((i == j) & (query_offset == 0) | (apart < window)), lists.shape[1])


def whole(x: Array, tile: int) -> Array:
    """An array [R, S, ...] with zeros behind its tokens, until they are whole tiles."""
    edge = -x.shape[1] % tile
    return jnp.pad(x, ((0, 0), (0, edge), *((0, 0),) * (x.ndim - 2)))


def by_head(
    q: Float[Array, "R S N H"], k: Float[Array, "R S K H"], v: Float[Array, "R S K H"], tile: int
) -> tuple[Float[Array, "R K G T H"], Float[Array, "R K T H"], Float[Array, "R K T H"]]:
    """Queries by key head, G to each, keys and values, all in whole tiles."""
    q, k, v = (whole(x, tile) for x in (q, k, v))
    rows, length, heads, width = q.shape
    kv_heads = k.shape[2]
    grouped = q.reshape(rows, length, kv_heads, heads // kv_heads, width)
    return grouped.transpose(0, 2, 3, 1, 4), k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)


def by_token(output: Float[Array, "R K G T H"], length: int) -> Float[Array, "R S N H"]:
    """What `by_head` makes of queries, as they were."""
    rows, kv_heads, group, tokens, width = output.shape
    together = output.transpose(0, 3, 1, 2, 4).reshape(rows, tokens, kv_heads * group, width)
    return together[:, :length]


def _pairs(xp, reach, tile: int, query_offset=0):
    """Whether tile i, which comes `query_offset` tokens later, sees tile j, [R, n, n]."""
    length = reach.shape[1]
    n = count(length, tile)
    furthest = xp.pad(reach, ((0, 0), (0, n * tile - length))).reshape(-1, n, tile).max(-1)
    i, j = xp.arange(n)[:, None], xp.arange(n)[None, :]
    first = i * tile + query_offset
    seen = (j * tile < first + tile) & (first < furthest[:, None, :])
    return (seen & (query_offset >= 0)) | ((i == j) & (query_offset == 0))


def _kept(lists: Array, keep: Array, places: int) -> Array:
    """The codes that are kept, moved together, in a number of places."""
    codes = jnp.sort(jnp.where(keep, lists, _LAST), axis=-1)[:, :places]
    return jnp.where(codes < _LAST, codes, UNUSED)
