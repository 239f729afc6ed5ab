"""Generation equals the dense model asked again for every token, whatever it is batched with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row
from mapl_jax.models import axes, generation, heads, lora
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.generation import Sampling
from mapl_jax.models.heads import LogpHead
from mapl_jax.models.lora import Lora
from mapl_jax.models.rope import RopeScaling
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import sharding

from support import random_like

SHAPE = (48, 16, 3, 4, 2, 8, 24)
CONFIGS = {
    "qwen2": DecoderConfig(*SHAPE),
    "olmo2": DecoderConfig(
        *SHAPE, qkv_bias=False, qk_norm="projection", norms="after", tie_embeddings=False
    ),
    "a window everywhere, scaled angles": DecoderConfig(
        *SHAPE,
        qkv_bias=False,
        tie_embeddings=False,
        rope_scaling=RopeScaling("linear", 4.0),
        window=5,
        sliding=(True,) * 3,
    ),
    "gemma 3": DecoderConfig(
        *SHAPE,
        activation="gelu_tanh",
        qkv_bias=False,
        tie_embeddings=False,
        qk_norm="head",
        norms="both",
        norm_offset=1.0,
        scale_embeddings=True,
        query_scalar=24.0,
        attention_softcap=2.0,
        logit_softcap=3.0,
        window=5,
        sliding=(True, False, True),
        rope_theta=1e5,
        local_rope_theta=1e3,
    ),
    "adapters": DecoderConfig(*SHAPE, lora=Lora(2, 4.0)),
    "adapters of the last layers": DecoderConfig(*SHAPE, lora=Lora(2, 4.0, layers=2)),
}
LENGTHS = (1, 11, 7, 12)
NEVER = (999,)
GREEDY = Sampling(14, NEVER)
SAMPLED = Sampling(14, NEVER, temperature=1.0, top_p=0.9)


@functools.cache
def parameters(config):
    """All random, and larger than at the start of training."""
    return random_like(LogpHead().abstract_params(config), 0.6)


def prompts(seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 48, length).astype(np.int32) for length in LENGTHS]


def batch(rows, width=16, draws=None, filler=0):
    """Prompts padded on the left, as `generate` takes them."""
    tokens = np.full((len(rows), width), filler, np.int32)
    for i, row in enumerate(rows):
        tokens[i, width - len(row) :] = row
    draws = [(i, 0) for i in range(len(rows))] if draws is None else draws
    return (
        tokens,
        np.asarray([len(row) for row in rows], np.int32),
        np.asarray(draws, np.int32),
        np.uint32(0),
    )


@functools.cache
def compiled(config, sampling, **options):
    return jax.jit(functools.partial(generation.generate, config, sampling=sampling, **options))


def generated(config, rows, sampling=GREEDY, **layout):
    return compiled(config, sampling)(parameters(config), *batch(rows, **layout))


def likeliest(config, rows):
    """What the dense model finds likeliest after every token of texts, one a row."""
    tokens, reach = (np.zeros((len(rows), max(map(len, rows))), np.int32) for _ in range(2))
    for i, row in enumerate(rows):
        tokens[i, : len(row)], reach[i, : len(row)] = row, len(row)
    positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    logits = jax.jit(functools.partial(heads.logits, config, compute=Compute(backend="dense")))
    return np.argmax(np.asarray(logits(parameters(config), Row(tokens, positions, reach))), axis=-1)


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_tokens_are_the_likeliest_of_the_dense_model(name):
    config, rows = CONFIGS[name], prompts()
    found = generated(config, rows)
    assert not found.ended.any() and (found.lengths == GREEDY.max_new_tokens).all()
    whole = [np.concatenate(pair) for pair in zip(rows, found.tokens, strict=True)]
    best = likeliest(config, whole)
    for row, prompt in enumerate(rows):
        expected = best[row, len(prompt) - 1 : len(whole[row]) - 1]
        assert len(set(expected)) > 1
        np.testing.assert_array_equal(found.tokens[row], expected)


@pytest.mark.parametrize(
    ("name", "sampling"),
    [("qwen2", GREEDY), ("gemma 3", SAMPLED)],
)
def test_a_response_does_not_depend_on_what_it_is_batched_with(name, sampling):
    config, rows = CONFIGS[name], prompts()
    together = generated(config, rows, sampling).tokens
    turned = generated(
        config, rows[::-1], sampling, draws=[(i, 0) for i in (3, 2, 1, 0)], filler=7
    ).tokens
    np.testing.assert_array_equal(together, turned[::-1])
    for i, row in enumerate(rows):
        alone = generated(config, [row], sampling, width=32, draws=[(i, 0)]).tokens
        np.testing.assert_array_equal(alone[0], together[i])


def test_samples_differ_by_seed_and_number_and_by_nothing_else():
    config, sampling = CONFIGS["gemma 3"], SAMPLED
    row = prompts()[1]
    draws = [(5, 0), (5, 1), (5, 0), (4, 0)]
    found = generated(config, [row] * 4, sampling, draws=draws).tokens
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[0] != found[1]).any() and (found[0] != found[3]).any()
    *inputs, _ = batch([row] * 4, draws=draws)
    other = compiled(config, sampling)(parameters(config), *inputs, np.uint32(1)).tokens
    assert (other[0] != found[0]).any()


def test_the_nucleus_is_the_smallest_set_with_the_probability():
    probability = np.asarray([[0.1, 0.4, 0.05, 0.3, 0.15], [0.96, 0.01, 0.01, 0.01, 0.01]])
    logits = jnp.log(probability.astype(np.float32))
    for top_p, kept in ((0.39, [{1}, {0}]), (0.5, [{1, 3}, {0}]), (0.8, [{1, 3, 4}, {0}])):
        found = np.isfinite(generation.nucleus(logits, top_p))
        assert [set(np.flatnonzero(row)) for row in found] == kept
    np.testing.assert_array_equal(generation.nucleus(logits, 1.0), logits)


def test_tokens_are_drawn_with_the_probabilities_of_temperature_and_nucleus():
    probability = np.asarray([0.1, 0.4, 0.05, 0.3, 0.15])
    count = 20_000
    logits = jnp.broadcast_to(jnp.log(probability.astype(np.float32)), (count, 5))
    keys = jax.random.split(jax.random.key(0), count)
    sampling = Sampling(1, NEVER, temperature=0.5, top_p=0.8)
    drawn = generation.choose(logits, keys, jnp.int32(3), sampling)
    # At half the temperature probabilities are squared: 0.51, 0.28, 0.07 come to 0.86.
    squared = probability**2 / np.sum(probability**2)
    wanted = np.where(np.isin(np.arange(5), (1, 3)), squared, 0)
    wanted /= wanted.sum()
    found = np.bincount(drawn, minlength=5) / count
    assert (found[wanted == 0] == 0).all()
    np.testing.assert_allclose(found, wanted, atol=4 * np.sqrt(0.25 / count))


def test_a_response_stops_at_its_end_and_the_others_go_on():
    config, rows = CONFIGS["qwen2"], prompts()
    free = np.asarray(generated(config, rows).tokens)
    stop = int(free[1, 4])
    found = generated(config, rows, Sampling(14, (stop, 777)))
    for row in range(len(rows)):
        places = np.flatnonzero(free[row] == stop)
        length = int(places[0]) + 1 if len(places) else 14
        assert int(found.lengths[row]) == length
        assert bool(found.ended[row]) == (len(places) > 0)
        np.testing.assert_array_equal(found.tokens[row, :length], free[row, :length])


def test_rows_that_fill_up_a_batch_keep_no_one_waiting():
    config, rows = CONFIGS["qwen2"], prompts()
    empty = np.zeros(0, np.int32)
    free = np.asarray(generated(config, rows).tokens)
    found = generated(config, [empty, rows[1]], Sampling(14, (int(free[1, 2]),)))
    assert np.isfinite(np.asarray(found.tokens)).all()
    assert int(found.lengths[1]) <= 3
    # The loop has ended: what it would have written later is not there.
    assert not np.asarray(found.tokens[:, 3:]).any()


def test_adapters_count():
    config = CONFIGS["adapters"]
    plain = compiled(CONFIGS["qwen2"], GREEDY)(lora.base(parameters(config)), *batch(prompts()))
    assert (np.asarray(plain.tokens) != np.asarray(generated(config, prompts()).tokens)).any()


def test_bfloat16_reads_as_the_dense_model_does():
    config, row = CONFIGS["qwen2"], prompts()[3]
    tokens, lengths, *_ = batch([row])
    start = tokens.shape[1] - lengths
    shape = (config.layers, 1, config.kv_heads, 20, config.head_dim)
    cache = generation.Cache(*(jnp.zeros(shape, jnp.bfloat16) for _ in range(2)))
    read = jax.jit(functools.partial(generation.read, config), static_argnames="compute")
    exact = read(parameters(config), tokens, start, cache)[0]
    states, cache = read(parameters(config), tokens, start, cache, compute=Compute(jnp.bfloat16))
    assert cache.keys.dtype == states.dtype == jnp.bfloat16
    difference = np.abs(np.asarray(states[:, -1], np.float32) - exact[:, -1])
    assert difference.max() < 0.1 * np.abs(exact[:, -1]).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma 3"])
def test_a_mesh_generates_what_one_device_does(name):
    config = CONFIGS[name]
    rows = [*prompts(), *prompts(2)]
    alone = generated(config, rows)
    mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    shapes = LogpHead().abstract_params(config)
    places = sharding.parameters(mesh, shapes, axes.logical_axes(shapes))
    by_row = NamedSharding(mesh, PartitionSpec(sharding.DATA_AXES))
    cache = NamedSharding(mesh, PartitionSpec(None, sharding.DATA_AXES, "tensor"))
    spread = jax.jit(
        functools.partial(
            generation.generate,
            config,
            sampling=GREEDY,
            place=lambda x: jax.lax.with_sharding_constraint(x, cache),
        ),
        in_shardings=(places, by_row, by_row, by_row, sharding.replicated(mesh)),
        out_shardings=sharding.replicated(mesh),
    )
    found = spread(jax.device_put(parameters(config), places), *batch(rows))
    np.testing.assert_array_equal(found.tokens, alone.tokens)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((0, NEVER), "max_new_tokens"),
        ((1, NEVER, -1.0), "temperature"),
        ((1, NEVER, float("nan")), "temperature"),
        ((1, NEVER, 1.0, 0.0), "top_p"),
        ((1, NEVER, 1.0, 1.5), "top_p"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Sampling(*fields)
