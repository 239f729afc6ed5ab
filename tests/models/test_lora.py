"""Adapters: nothing at first, low-rank afterwards, and the same once merged."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row
from mapl_jax.models import decoder, heads, lora
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.models.lora import Lora
from mapl_jax.runtime.errors import UserError

from support import random_like

PLAIN = DecoderConfig(64, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=48)
MODEL = dataclasses.replace(PLAIN, lora=Lora(rank=3, alpha=6.0))
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 64, (2, 9)), jnp.int32)
ROW = Row(TOKENS, jnp.tile(jnp.arange(9), (2, 1)), jnp.full((2, 9), 9))
ENDS = jnp.full((2, 1), 8)


def score(model, params, **options):
    score = functools.partial(heads.rewards, model, compute=Compute(**options))
    return jax.jit(score)(params, ROW, ENDS)


def random(model, seed=0):
    """Parameters with every adapter moved from zero."""
    return random_like(ScoreHead().abstract_params(model), 0.3, seed)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_fresh_model_is_its_base():
    params, plain = (
        jax.jit(functools.partial(ScoreHead().init, model))(jax.random.key(0))
        for model in (MODEL, PLAIN)
    )
    same(lora.base(params), plain)
    np.testing.assert_array_equal(score(MODEL, params), score(PLAIN, lora.base(params)))


def test_a_begins_as_in_peft_and_b_at_zero():
    wide = dataclasses.replace(MODEL, width=1024, lora=Lora(rank=16, alpha=1.0, targets="q"))
    make = jax.jit(functools.partial(decoder.init_adapters, wide))
    pair = make(jax.random.key(0))["layers"]["attention"]["q"]["lora"]
    assert float(jnp.abs(pair["a"]).max()) <= 1024**-0.5
    assert float(jnp.std(pair["a"])) == pytest.approx((3 * 1024) ** -0.5, rel=0.02)
    assert not pair["b"].any()


def test_an_adapted_matrix_adds_a_scaled_product_of_thin_ones():
    layer = lora.Linear(5, 7, rngs=decoder.nnx.Rngs(0))
    settings = Lora(rank=2, alpha=8.0)
    layer.lora = lora.Adapter(5, 7, settings, jnp.float32, rngs=decoder.nnx.Rngs(1))
    rng = np.random.default_rng(0)
    layer.lora.b[...] = jnp.asarray(rng.normal(size=(2, 7)), jnp.float32)
    x = rng.normal(size=(3, 5)).astype(np.float32)
    matrix = layer.kernel[...] + 4.0 * layer.lora.a[...] @ layer.lora.b[...]
    np.testing.assert_allclose(layer(x), x @ matrix + layer.bias[...], atol=1e-5)


@pytest.mark.parametrize("targets", ["all", "k, o"])
def test_merged_it_scores_the_same(targets):
    model = dataclasses.replace(PLAIN, lora=Lora(rank=3, alpha=6.0, targets=targets))
    params = random(model)
    merged = lora.merge(params, model.lora)
    assert jax.tree.structure(merged) == jax.tree.structure(ScoreHead().abstract_params(PLAIN))
    np.testing.assert_allclose(score(PLAIN, merged), score(model, params), atol=2e-4)
    gap = jnp.abs(score(PLAIN, lora.base(params)) - score(model, params))
    assert float(gap.max()) > 0.01, "adapters that do nothing would pass this test"


@pytest.mark.parametrize("targets", ["all", "q,v"])
def test_only_adapters_and_the_head_are_trainable(targets):
    model = dataclasses.replace(PLAIN, lora=Lora(rank=3, alpha=6.0, targets=targets))
    trainable, frozen = lora.split(random(model), model.lora)
    names = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(trainable)
    }
    assert "score" in names and all("lora" in name for name in names - {"score"})
    assert len(names) == 1 + 2 * len(model.lora.names)
    assert jax.tree.structure(frozen) == jax.tree.structure(decoder.init(PLAIN, jax.random.key(0)))


def test_what_was_split_is_joined_without_a_copy():
    params = random(MODEL)
    joined = lora.join(*lora.split(params, MODEL.lora))
    assert jax.tree.structure(joined) == jax.tree.structure(params)
    assert all(a is b for a, b in zip(*map(jax.tree.leaves, (joined, params)), strict=True))
    assert lora.split(params, None) == (params, {})


def test_the_base_of_a_policy_is_its_reference_and_the_same_arrays():
    params = jax.jit(functools.partial(LogpHead().init, MODEL))(jax.random.key(0))
    trained = jax.tree.map(lambda x: x + 0.1, lora.adapters(params))
    reference = lora.base(params)
    moved = lora.join(trained, reference)
    assert moved["embed"] is reference["embed"]
    logits = [
        jax.jit(functools.partial(heads.logits, model))(values, ROW)
        for model, values in ((MODEL, params), (PLAIN, lora.base(moved)), (MODEL, moved))
    ]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert float(jnp.abs(logits[2] - logits[0]).max()) > 1e-3


def test_gradients_are_those_of_the_merged_matrices():
    params = random(MODEL)
    trainable, frozen = lora.split(params, MODEL.lora)

    def total(trainable, merge):
        values = lora.join(trainable, frozen)
        model, values = (PLAIN, lora.merge(values, MODEL.lora)) if merge else (MODEL, values)
        return jnp.sum(jnp.sin(heads.rewards(model, values, ROW, ENDS, Compute(remat="full"))))

    slopes = [jax.jit(jax.grad(functools.partial(total, merge=m)))(trainable) for m in (0, 1)]
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-3, rtol=1e-3), *slopes)


def test_a_frozen_base_needs_no_gradient():
    """The products that make gradients of matrices are a third of a step; none may be left."""
    big = dataclasses.replace(PLAIN, width=128, head_dim=32, mlp_width=256)
    adapted = dataclasses.replace(big, lora=Lora(rank=1, alpha=1.0, targets="q"))

    def flops(model):
        trainable, frozen = lora.split(ScoreHead().abstract_params(model), model.lora)

        def total(trainable, frozen):
            return jnp.sum(heads.rewards(model, lora.join(trainable, frozen), ROW, ENDS))

        return jax.jit(jax.grad(total)).lower(trainable, frozen).compile().cost_analysis()["flops"]

    assert flops(adapted) < 0.75 * flops(big)


def test_in_bf16_the_base_may_be_kept_in_bf16():
    params = random(MODEL)
    trainable, frozen = lora.split(params, MODEL.lora)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), frozen)
    exact, kept = (
        score(MODEL, lora.join(trainable, base), dtype=jnp.bfloat16)
        for base in (jax.tree.map(lambda x: x.astype(jnp.float32), half), half)
    )
    np.testing.assert_allclose(kept, exact, rtol=2e-2, atol=2e-2)


def test_settings_survive_json():
    assert DecoderConfig.from_dict(MODEL.to_dict()) == MODEL
    assert DecoderConfig.from_dict(PLAIN.to_dict()) == PLAIN


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": -1, "alpha": 1.0}, "rank"),
        ({"rank": 4, "alpha": 0.0}, "alpha"),
        ({"rank": 4, "alpha": 1.0, "targets": "q,query"}, "'query'; choose of q, k, v"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Lora(**options)
