"""A share of a source, for mixtures of several: `a.jsonl:0.7,b.jsonl:0.3`."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 10


def share(items: Iterator[T], weight: float, purpose: str) -> Iterator[T]:
    """Of every ten items as many as the weight says, drawn for the purpose, in their order.

    What is taken depends on nothing but place, weight and purpose, so a source is read once.
    """
    if weight == 1:
        yield from items
        return
    for block in itertools.count():
        found = list(itertools.islice(items, _BLOCK))
        first, last = (round(_BLOCK * weight * end) for end in (block, block + 1))
        digest = hashlib.blake2b(f"{purpose} {block}".encode(), digest_size=8).digest()
        order = np.random.default_rng(int.from_bytes(digest)).permutation(_BLOCK)
        yield from (item for item, place in zip(found, order, strict=False) if place < last - first)
        if len(found) < _BLOCK:
            return
