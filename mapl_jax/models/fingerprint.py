"""A name for weights: equal for equal weights, however they are spread over devices."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32


def fingerprint(params: Any) -> str:
    """A hash of names, shapes, types and values; the arrays stay on their devices.

    Every value is mixed with its place into 32 bits (as MurmurHash3 ends), and these are added up,
    which is exact in any order.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    sums = jax.device_get(_checksums([leaf for _, leaf in leaves]))
    digest = hashlib.blake2b(digest_size=12)
    for (path, leaf), checksum in zip(leaves, sums, strict=True):
        name = jax.tree_util.keystr(path)
        digest.update(f"{name} {leaf.shape} {leaf.dtype} {int(checksum)};".encode())
    return digest.hexdigest()


@jax.jit
def _checksums(leaves: list[Array]) -> list[UInt32[Array, ""]]:
    return [_checksum(leaf) for leaf in leaves]


def _checksum(values: Array) -> UInt32[Array, ""]:
    width = {2: jnp.uint16, 4: jnp.uint32}[values.dtype.itemsize]
    mixed = jax.lax.bitcast_convert_type(values, width).astype(jnp.uint32)
    place = jnp.zeros((), jnp.uint32)
    for axis, size in enumerate(values.shape):
        place = place * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, values.shape, axis)
    mixed = mixed ^ (place * jnp.uint32(0x9E3779B1))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
    return jnp.sum(mixed ^ (mixed >> 16), dtype=jnp.uint32)
