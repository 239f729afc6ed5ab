"""Log-probabilities in chunks are those of all logits at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.kernels.logps import token_logps

ROWS, TOKENS, WIDTH, VOCAB = 2, 13, 8, 40


def naive(states, matrix, targets, softcap=None):
    """All logits at once."""
    logits = jnp.einsum(
        "rpd,dv->rpv", states, matrix.astype(states.dtype), preferred_element_type=jnp.float32
    )
    logits = logits if softcap is None else softcap * jnp.tanh(logits / softcap)
    logps = jax.nn.log_softmax(logits, axis=-1)
    return jnp.take_along_axis(logps, targets[..., None], axis=-1)[..., 0]


def inputs(seed=0, dtype=jnp.float32):
    rng = np.random.default_rng(seed)
    states = jnp.asarray(rng.normal(size=(ROWS, TOKENS, WIDTH)), dtype)
    matrix = jnp.asarray(rng.normal(size=(WIDTH, VOCAB)), jnp.float32)
    targets = jnp.asarray(rng.integers(0, VOCAB, (ROWS, TOKENS)), jnp.int32)
    slopes = jnp.asarray(rng.normal(size=(ROWS, TOKENS)), jnp.float32)
    return states, matrix, targets, slopes


def both(function, states, matrix, targets, slopes):
    """Values, and the gradients of a weighted sum of them."""

    @jax.jit
    def run(states, matrix):
        values, pull = jax.vjp(lambda x, w: function(x, w, targets), states, matrix)
        return values, *pull(slopes)

    return run(states, matrix)


@pytest.mark.parametrize("chunk", [1, 4, 5, 13, 100])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_chunks_change_nothing(chunk, softcap):
    found = both(functools.partial(token_logps, chunk=chunk, softcap=softcap), *inputs())
    expected = both(functools.partial(naive, softcap=softcap), *inputs())
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_probabilities_of_all_tokens_add_up_to_one():
    states, matrix, _, _ = inputs()
    targets = jnp.broadcast_to(jnp.arange(VOCAB), (1, VOCAB))
    same = jnp.broadcast_to(states[:1, :1], (1, VOCAB, WIDTH))
    total = jnp.exp(token_logps(same, matrix, targets, chunk=7)).sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_large_logits_stay_finite():
    states, matrix, targets, slopes = inputs()
    for part in both(token_logps, 1e3 * states, matrix, targets, slopes):
        assert np.isfinite(part).all()


def test_the_gradient_of_the_matrix_is_summed_in_fp32():
    """In bf16 a sum of a thousand small parts would stop growing long before its end."""
    tokens = 1024
    states = jnp.ones((1, tokens, 1), jnp.bfloat16)
    matrix = jnp.zeros((1, 2), jnp.float32)
    targets = jnp.zeros((1, tokens), jnp.int32)
    slope = jax.grad(lambda w: token_logps(states, w, targets, chunk=1).sum())(matrix)
    assert slope.dtype == jnp.float32
    np.testing.assert_allclose(slope, [[tokens / 2, -tokens / 2]], rtol=1e-6)


def test_an_empty_chunk_is_refused():
    with pytest.raises(ValueError, match="at least one token"):
        token_logps(*inputs()[:3], chunk=0)
