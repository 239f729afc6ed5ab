"""Leaves that share beginnings, laid out as one token trie.

A sample's leaves share almost everything: the prompt, often the response. As a prefix tree every
shared stretch is computed once. Tokens lie in depth-first order, and one integer per token says who
sees whom: `reach[k]` is the index just past the last token that may attend to token k, so that

    token q attends to token k   <=>   k <= q < reach[k]
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int


@dataclasses.dataclass(frozen=True)
class TokenPath:
    """The tokens of one leaf from the first prompt token to the last response token."""

    tokens: Int[np.ndarray, "n"]  # token ids
    prompt_length: int  # how many of them are prompt
    whole: bool = True  # whether the chat template wrote all that the turns say

    def __len__(self) -> int:
        return len(self.tokens)


@dataclasses.dataclass(frozen=True)
class Trie:
    """A prefix tree of token paths in depth-first order; n tokens, m leaves."""

    tokens: Int[np.ndarray, "n"]  # token ids
    # Depth, 0 at a root. What a token's position embedding is computed from.
    positions: Int[np.ndarray, "n"]
    reach: Int[np.ndarray, "n"]  # index just past the last token of the token's subtree
    parent: Int[np.ndarray, "n"]  # index of the token that predicts this one; -1 at a root
    scored: Bool[np.ndarray, "n"]  # whether the token is response text
    # Index of each path's last token, in the order the paths were given.
    leaf_end: Int[np.ndarray, "m"]

    def __len__(self) -> int:
        return len(self.tokens)


def build(paths: Sequence[TokenPath]) -> Trie:
    """Lays out paths as a trie.

    Two tokens are the same node only if all before them are the same and both are prompt or both
    response text: a prompt that quotes an answer must not lend its nodes to the answer.

    Args:
        paths: one per leaf, each with at least one token.

    Raises:
        ValueError: if there is no path, or an empty one.
    """
    if not paths or not all(len(path) for path in paths):
        raise ValueError("a trie needs at least one path, and paths of at least one token")
    keys, order = _sorted(paths)
    longest = max(map(len, keys))
    total = sum(map(len, keys))
    node_at_depth = np.zeros(longest, np.int32)
    tokens, positions = np.zeros(total, np.int32), np.zeros(total, np.int32)
    reach, parent = np.zeros(total, np.int32), np.zeros(total, np.int32)
    scored = np.zeros(total, bool)
    leaf_end = np.zeros(len(paths), np.int32)
    previous = np.zeros(0, np.int64)
    size = 0
    for leaf in order:
        key = keys[leaf]
        shared = _common_prefix(previous, key)
        # Nodes of the previous path below the branching point have all their descendants.
        reach[node_at_depth[shared : len(previous)]] = size
        fresh = len(key) - shared
        new = np.arange(size, size + fresh, dtype=np.int32)
        node_at_depth[shared : len(key)] = new
        tokens[new] = key[shared:] >> 1
        scored[new] = key[shared:] & 1
        positions[new] = np.arange(shared, len(key))
        if fresh:
            parent[new[0]] = node_at_depth[shared - 1] if shared else -1
            parent[new[1:]] = new[:-1]
        leaf_end[leaf] = node_at_depth[len(key) - 1]
        size += fresh
        previous = key
    reach[node_at_depth[: len(previous)]] = size
    return Trie(
        tokens[:size], positions[:size], reach[:size], parent[:size], scored[:size], leaf_end
    )


def arrange(paths: Sequence[TokenPath]) -> Iterator[tuple[int, int]]:
    """Paths in the order in which `build` lays them out, so that neighbours share beginnings.

    Yields:
        The index of a path, and how many of its tokens the one before does not have.
    """
    keys, order = _sorted(paths)
    previous = np.zeros(0, np.int64)
    for index in order:
        yield index, len(keys[index]) - _common_prefix(previous, keys[index])
        previous = keys[index]


def _sorted(paths: Sequence[TokenPath]) -> tuple[list[np.ndarray], list[int]]:
    """What nodes are told apart by, and the depth-first order of the paths."""
    keys = []
    for path in paths:
        key = np.asarray(path.tokens, np.int64) * 2
        key[path.prompt_length :] += 1
        keys.append(key)
    # Big-endian bytes sort like the keys themselves, a prefix before what it is a prefix of.
    return keys, sorted(range(len(keys)), key=lambda i: keys[i].astype(">i8").tobytes())


def flat_length(paths: Sequence[TokenPath]) -> int:
    """Tokens that the same leaves take without sharing."""
    return sum(map(len, paths))


def _common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    n = min(len(a), len(b))
    differs = np.flatnonzero(a[:n] != b[:n])
    return int(differs[0]) if len(differs) else n
