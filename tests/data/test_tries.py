"""A trie holds every leaf's path, shares what is shared, and its mask shows each leaf itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapl_jax.data.tries import TokenPath, build, flat_length


def path(tokens, prompt_length):
    return TokenPath(np.asarray(tokens, np.int32), prompt_length)


# Few tokens and short paths, so that sharing at every depth happens often.
PATHS = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=8).flatmap(
        lambda tokens: st.builds(path, st.just(tokens), st.integers(0, len(tokens)))
    ),
    min_size=1,
    max_size=8,
)


def ancestors(trie, node):
    chain = [node]
    while trie.parent[chain[-1]] >= 0:
        chain.append(trie.parent[chain[-1]])
    return chain[::-1]


@given(PATHS)
def test_every_leaf_reads_back_as_its_path(paths):
    trie = build(paths)
    for leaf, original in enumerate(paths):
        chain = ancestors(trie, trie.leaf_end[leaf])
        np.testing.assert_array_equal(trie.tokens[chain], original.tokens)
        np.testing.assert_array_equal(trie.positions[chain], np.arange(len(original)))
        is_response = np.arange(len(original)) >= original.prompt_length
        np.testing.assert_array_equal(trie.scored[chain], is_response)


@given(PATHS)
def test_a_token_attends_to_its_ancestors_and_itself_only(paths):
    trie = build(paths)
    k = np.arange(len(trie))
    for q in range(len(trie)):
        seen = (k <= q) & (q < trie.reach)
        np.testing.assert_array_equal(np.flatnonzero(seen), ancestors(trie, q))


@given(PATHS)
def test_a_trie_has_one_node_for_every_different_beginning(paths):
    beginnings = set()
    for p in paths:
        flags = [i >= p.prompt_length for i in range(len(p))]
        keys = list(zip(p.tokens.tolist(), flags, strict=True))
        beginnings |= {tuple(keys[: i + 1]) for i in range(len(keys))}
    assert len(build(paths)) == len(beginnings) <= flat_length(paths)


@given(PATHS, st.randoms())
def test_the_order_of_leaves_does_not_matter(paths, random):
    order = list(range(len(paths)))
    random.shuffle(order)
    trie, other = build(paths), build([paths[i] for i in order])
    for name in ("tokens", "positions", "reach", "parent", "scored"):
        np.testing.assert_array_equal(getattr(trie, name), getattr(other, name))
    np.testing.assert_array_equal(trie.leaf_end[order], other.leaf_end)


def test_prompt_text_and_response_text_are_different_nodes():
    trie = build([path([1, 2, 3], 1), path([1, 2, 3], 2)])
    assert trie.tokens.tolist() == [1, 2, 3, 2, 3]


def test_a_small_trie():
    trie = build([path([5, 6, 8], 2), path([5, 6, 7], 2), path([5, 9], 2)])
    assert trie.tokens.tolist() == [5, 6, 7, 8, 9]
    assert trie.reach.tolist() == [5, 4, 3, 4, 5]
    assert trie.parent.tolist() == [-1, 0, 1, 1, 0]
    assert trie.positions.tolist() == [0, 1, 2, 2, 1]
    assert trie.scored.tolist() == [False, False, True, True, False]
    assert trie.leaf_end.tolist() == [3, 2, 4]


@pytest.mark.parametrize("paths", [[], [path([], 0)]])
def test_a_trie_of_nothing_is_refused(paths):
    with pytest.raises(ValueError, match="at least one"):
        build(paths)
