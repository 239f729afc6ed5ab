"""Layers of experts: what each token takes, on one device and on several; never dropped."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row
from mapl_jax.models import axes, decoder, feedforward, heads
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead
from mapl_jax.models.lora import Lora
from mapl_jax.performance import estimate, measure
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import optimizers, sharding

from support import random_like

MODEL = DecoderConfig(
    vocab_size=48,
    width=16,
    layers=2,
    heads=8,
    kv_heads=8,
    head_dim=4,
    mlp_width=24,
    experts=8,
    experts_per_token=3,
    expert_weights_to_one=True,
    family="qwen3_moe",
    qk_norm="head",
    qkv_bias=False,
)
PARAMS = random_like(ScoreHead().abstract_params(MODEL), 0.3)
LAYER = jax.tree.map(lambda x: x[0], PARAMS["layers"]["mlp"])
X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 10, 16)), jnp.float32)
TOKENS = np.random.default_rng(1).integers(0, 48, (8, 12))
ROW = Row(TOKENS, np.tile(np.arange(12), (8, 1)), np.full((8, 12), 12))


def layer(params, x, spread=None):
    model = decoder.bound(MODEL, PARAMS, jnp.float32, spread)
    module = jax.tree.map(lambda leaf: leaf[0], model.layers.mlp)
    for name, value in params.items():
        getattr(module, name)[...] = value
    return module(x)


def one_by_one(params, x):
    """Every token through each of its experts alone."""
    logits = x @ params["router"]
    out = np.zeros(x.shape)
    for at in np.ndindex(x.shape[:2]):
        weights = np.exp(logits[at]) / np.exp(logits[at]).sum()
        taken = np.argsort(-weights)[:3]
        for e in taken:
            gate, up = x[at] @ params["gate"][e], x[at] @ params["up"][e]
            added = (gate / (1 + np.exp(-gate)) * up) @ params["down"][e]
            out[at] += weights[e] / weights[taken].sum() * added
    return out


def test_every_token_gets_the_weighted_sum_of_its_experts():
    expected = one_by_one(jax.tree.map(np.float64, LAYER), np.float64(X))
    np.testing.assert_allclose(layer(LAYER, X), expected, atol=1e-4)


def test_no_token_is_dropped_where_all_want_the_same_experts():
    alike = jnp.tile(X[:1, :1], (2, 10, 1))
    found = layer(LAYER, alike)
    np.testing.assert_allclose(found, jnp.tile(found[:1, :1], (2, 10, 1)), atol=1e-5)
    np.testing.assert_allclose(found[:1, :1], layer(LAYER, X)[:1, :1], atol=1e-5)


def test_the_router_decides_in_fp32():
    router = jnp.asarray([[1.0, 1.001]])  # the same number in bf16
    tokens = jnp.ones((1, 1), jnp.bfloat16)
    weights, chosen = feedforward.route(tokens, router, take=1, to_one=False)
    assert chosen.tolist() == [[1]] and weights.dtype == jnp.float32


@functools.cache
def value_and_slopes(mesh_shape):
    if mesh_shape is None:
        compute, params = Compute(), PARAMS
    else:
        mesh = sharding.make_mesh(dict(zip(("data", "fsdp", "tensor"), mesh_shape, strict=True)))
        places = sharding.parameters(mesh, PARAMS, axes.logical_axes(PARAMS))
        params, compute = jax.device_put(PARAMS, places), Compute(spread=sharding.spread(mesh))
        share = params["layers"]["mlp"]["gate"].addressable_shards[0].data.shape
        assert share[1] == 8 // mesh_shape[2] and share[2] == 16 // mesh_shape[1]

    def total(params):
        found = heads.rewards(MODEL, params, ROW, np.full((8, 1), 11), compute)
        return jnp.sum(jnp.sin(found)), found

    slopes, found = jax.jit(jax.grad(total, has_aux=True))(params)
    return found, slopes


@pytest.mark.parametrize("mesh_shape", [pytest.param((1, 1, 8), marks=pytest.mark.slow), (2, 2, 2)])
def test_experts_over_several_devices_give_what_one_device_gives(mesh_shape):
    found, slopes = value_and_slopes(mesh_shape)
    expected, expected_slopes = value_and_slopes(None)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-4), slopes, expected_slopes
    )


@pytest.mark.parametrize("mesh_shape", [None, (2, 2, 2)])
def test_operations_of_a_step_are_those_of_the_experts_that_tokens_take(mesh_shape):
    names = ("data", "fsdp", "tensor")
    spread = None
    if mesh_shape:
        spread = sharding.spread(sharding.make_mesh(dict(zip(names, mesh_shape, strict=True))))
    x = jnp.zeros((8, 12, 16))
    matrices, router = 3 * 2 * 96 * 3 * 16 * 24, 2 * 96 * 16 * 8
    forward = estimate.product_flops(lambda params: layer(params, x, spread), LAYER)
    routed = router * (2 if mesh_shape else 1)  # every device routes its own rows
    assert forward == matrices + routed
    both = estimate.product_flops(
        jax.grad(lambda p, x: layer(p, x, spread).sum(), (0, 1)), LAYER, x
    )
    assert both == 3 * (matrices + routed)
    work = measure.Work(1, 1, 96, 96, 0, 0, 1.0)
    attention = 2 * 96 * 4 * 16 * 32
    assert measure.model_flops(MODEL, PARAMS, work) == 3 * 2 * (attention + matrices + router)


def test_experts_have_no_adapters_and_say_so():
    for targets in ("all", "q,down"):
        with pytest.raises(UserError, match="experts cannot have adapters"):
            DecoderConfig(**{**MODEL.to_dict(), "lora": Lora(rank=2, targets=targets)})
    DecoderConfig(**{**MODEL.to_dict(), "lora": Lora(rank=2, targets="q,k,v,o")})


def test_muon_takes_the_matrices_of_experts_one_by_one():
    logical = axes.logical_axes(PARAMS)["layers"]["mlp"]
    settings = optimizers.OptimizerSettings(optimizer="muon", weight_decay=0.1)
    optimizer = optimizers.make(settings, lambda _: 1e-2, logical)
    params = PARAMS["layers"]["mlp"]
    both, _ = optimizer.update(params, optimizer.init(params), params)
    alone = jax.tree.map(lambda x: x[:, 2:3], params)
    alone["router"] = params["router"]
    one, _ = optimizer.update(alone, optimizer.init(alone), alone)
    np.testing.assert_allclose(both["gate"][:, 2:3], one["gate"], atol=1e-5)
