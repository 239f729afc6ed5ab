"""A leaf's log-probability and gradient are those of the leaf alone, whatever lies around it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.data import tries
from mapl_jax.kernels.rows import Row
from mapl_jax.models import heads
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead

from support import random_like

CONFIG = DecoderConfig(24, 16, 2, 4, 2, 8, 24, tie_embeddings=False)
TOKENS, LEAVES = 64, 8


@functools.cache
def parameters():
    """All random, and larger than at the start of training, so that attention is no average."""
    return random_like(LogpHead().abstract_params(CONFIG), 0.3)


def sample(rng):
    """Leaves of two prompts, one the longer form of the other, and two responses."""
    words = [rng.integers(0, CONFIG.vocab_size, n) for n in (4, 3, 5, 6)]
    prompt, more, chosen, rejected = (x.astype(np.int32) for x in words)
    return [
        tries.TokenPath(np.concatenate([start, response]), len(start))
        for start in (prompt, np.concatenate([prompt, more]))
        for response in (chosen, rejected)
    ]


def row_of(forest, joint, length=TOKENS, leaves=LEAVES):
    """tokens, positions, reach, parent, scored_at, leaf_end of tries side by side."""
    row = {name: np.zeros(length, np.int32) for name in ("tokens", "positions", "reach")}
    row["parent"] = np.full(length, -1, np.int32)
    scored_at, leaf_end = np.full(length, -1, np.int32), np.full(leaves, -1, np.int32)
    at = leaf = score = 0
    for trie in forest:
        for name in row:
            shift = at * ((name == "reach") | ((name == "parent") & (trie.parent >= 0)))
            row[name][at : at + len(trie)] = getattr(trie, name) + shift
        indices = np.flatnonzero((trie.parent >= 0) & (trie.scored | joint)) + at
        scored_at[score : score + len(indices)] = indices
        leaf_end[leaf : leaf + len(trie.leaf_end)] = trie.leaf_end + at
        at, leaf = at + len(trie), leaf + len(trie.leaf_end)
        score += len(indices)
    return *row.values(), scored_at, leaf_end


def stack(rows):
    arrays = [jnp.asarray(np.stack(column)) for column in zip(*rows, strict=True)]
    return Row(*arrays[:3]), *arrays[3:]


def naive(params, paths, joint):
    """The sums of log-probabilities of sequences, one a row, from all of their logits."""
    longest = max(map(len, paths))
    tokens, reach = (np.zeros((len(paths), longest), np.int32) for _ in range(2))
    counts = np.zeros((len(paths), longest - 1), bool)
    for i, path in enumerate(paths):
        tokens[i, : len(path)], reach[i, : len(path)] = path.tokens, len(path)
        counts[i, (0 if joint else path.prompt_length - 1) : len(path) - 1] = True
    positions = np.broadcast_to(np.arange(longest), tokens.shape)
    logits = heads.logits(CONFIG, params, Row(tokens, positions, reach))
    logps = jax.nn.log_softmax(logits[:, :-1], axis=-1)
    of_tokens = jnp.take_along_axis(logps, tokens[:, 1:, None], axis=-1)[..., 0]
    return jnp.sum(jnp.where(counts, of_tokens, 0.0), axis=1)


@pytest.mark.parametrize(("joint", "chunk"), [(False, 10), (True, 256)])
def test_a_packed_leaf_has_the_logp_and_the_gradient_of_the_leaf_alone(joint, chunk):
    rng = np.random.default_rng(1)
    samples = [sample(rng), sample(rng)]
    packed = stack([row_of([tries.build(paths) for paths in samples], joint)])
    paths = [path for sample in samples for path in sample]

    def both(logps):
        return jax.jit(lambda p: (logps(p), jax.jacrev(logps)(p)))(parameters())

    found, slopes = both(lambda p: heads.leaf_logps(CONFIG, p, *packed, chunk=chunk)[0])
    alone, slopes_alone = both(lambda p: naive(p, paths, joint))
    np.testing.assert_allclose(found, alone, rtol=1e-6, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), slopes, slopes_alone
    )


def test_what_lies_beside_a_trie_and_in_which_order_changes_nothing():
    rng = np.random.default_rng(2)
    first, second = (tries.build(sample(rng)) for _ in range(2))
    score = jax.jit(functools.partial(heads.leaf_logps, CONFIG))
    together = score(parameters(), *stack([row_of([first, second], False)]))[0]
    turned = score(parameters(), *stack([row_of([second, first], False)]))[0]
    apart = score(parameters(), *stack([row_of([x], False) for x in (first, second)]))
    np.testing.assert_allclose(together, jnp.roll(turned, 4), atol=1e-5)
    np.testing.assert_allclose(together, apart[:, :4].reshape(-1), atol=1e-5)


def test_an_unused_leaf_has_no_logp_and_no_gradient():
    trie = tries.build(sample(np.random.default_rng(3)))
    packed = stack([row_of([trie], False)])
    found = heads.leaf_logps(CONFIG, parameters(), *packed)[0]
    assert (np.asarray(found[4:]) == 0).all()
    unused = jax.jit(jax.grad(lambda p: heads.leaf_logps(CONFIG, p, *packed)[0, 4:].sum()))
    slope = unused(parameters())
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(slope))


def test_prompt_tokens_cancel_between_the_responses_of_a_prompt():
    rows = [row_of([tries.build(sample(np.random.default_rng(4)))], joint) for joint in (0, 1)]
    alone, joint = (
        heads.leaf_logps(CONFIG, parameters(), *stack([row]))[0, :4].reshape(2, 2) for row in rows
    )
    np.testing.assert_allclose(
        joint[:, 0] - joint[:, 1], alone[:, 0] - alone[:, 1], rtol=1e-5, atol=1e-4
    )
    # Between two prompts they do not: that is what intra learns from.
    assert abs(float((joint[0, 0] - joint[1, 0]) - (alone[0, 0] - alone[1, 0]))) > 1
