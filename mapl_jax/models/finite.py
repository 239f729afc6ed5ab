"""Whether numbers on devices are finite, and the name of the first tensor that is not."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

# Weights beyond this overflow fp32 and bf16 as soon as two of them are multiplied.
LARGEST_WEIGHT = 1e18


def first_beyond(tree: PyTree, most: float = float("inf")) -> str | None:
    """The path of the first array with a number that is NaN, infinite or beyond a bound, or None.

    Whole numbers are passed over.
    """
    tensors = [
        (key, x)
        for key, x in jax.tree.leaves_with_path(tree)
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.floating)
    ]
    fine = jax.device_get(_within([x for _, x in tensors], most))
    for (key, _), each in zip(tensors, fine, strict=True):
        if not each:
            return jax.tree_util.keystr(key, simple=True, separator="/")
    return None


@functools.partial(jax.jit, static_argnums=1)
def _within(tensors: list[jax.Array], most: float) -> list[jax.Array]:
    def each(x: jax.Array) -> jax.Array:
        # False for NaN as well.
        return (jnp.abs(x) < most).all()

    # Layer by layer: XLA for CPU (jaxlib 0.10) keeps a mask of all numbers; tests/test_upstream.py
    # fails once it does not.
    return [jax.lax.map(each, x).all() if x.ndim > 2 else each(x) for x in tensors]
