"""Rows of packed tries, as attention and the decoder read them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

# Arrays of the host and of the device alike: the loader fills rows, a compiled step reads them.
AnyArray = Array | np.ndarray


class Row(NamedTuple):
    """R rows of S tokens each; a pytree that crosses `jit` as it is.

    A token q attends to a token k of its row if and only if k <= q < reach[k]. Padding has reach 0
    and attends to itself alone.

    Attributes:
        tokens: ids; attention does not read them.
        positions: depth of each token in its trie.
        reach: index just past the last token that may attend to the token; 0 for padding.
        tiles: the tiles of the score matrix that hold an allowed pair, as `kernels.tiles` lists
            them; None to derive them from `reach`.
        states: hidden states below the layers with adapters, computed before; None to compute them
            from the tokens.
    """

    tokens: Int[AnyArray, "R S"]
    positions: Int[AnyArray, "R S"]
    reach: Int[AnyArray, "R S"]
    tiles: Int[AnyArray, "R P"] | None = None
    states: Float[AnyArray, "R S D"] | None = None
