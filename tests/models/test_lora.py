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
    x = rng.normal(size=(1, 3, 5)).astype(np.float32)
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
    plain = jax.eval_shape(lambda: decoder.init(PLAIN, jax.random.key(0)))
    assert jax.tree.structure(frozen) == jax.tree.structure(plain)


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
        ({"rank": 4, "alpha": 1.0, "targets": "q,query"}, "'query'; choose from q, k, v"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Lora(**options)


DEEP = dataclasses.replace(PLAIN, layers=3)
EVERY, LAST = (
    dataclasses.replace(DEEP, lora=Lora(rank=3, alpha=6.0, layers=layers)) for layers in (0, 1)
)


def widened(params):
    """Parameters with adapters of the last layer, as those of a model with adapters everywhere."""

    def zeros_below(pair):
        return {
            name: jnp.concatenate([jnp.zeros((2, *x.shape[1:])), x]) for name, x in pair.items()
        }

    return {
        name: zeros_below(value)
        if name == "lora"
        else widened(value)
        if isinstance(value, dict)
        else value
        for name, value in params.items()
    }


@pytest.fixture(scope="module")
def last():
    return random(LAST)


def test_adapters_of_the_last_layers_are_those_of_all_with_zeros_below(last):
    assert last["layers"]["mlp"]["up"]["lora"]["a"].shape == (1, 32, 3)
    np.testing.assert_allclose(score(LAST, last), score(EVERY, widened(last)), atol=1e-5)
    np.testing.assert_allclose(
        score(DEEP, lora.merge(last, LAST.lora)), score(LAST, last), atol=2e-4
    )


def test_their_gradients_are_those_of_the_whole_computation(last):
    def slopes(model, params):
        trainable, frozen = lora.split(params, model.lora)

        def total(trainable):
            return jnp.sum(jnp.sin(heads.rewards(model, lora.join(trainable, frozen), ROW, ENDS)))

        return jax.jit(jax.grad(total))(trainable)

    whole = jax.tree.map(lambda x: x[-1:], slopes(EVERY, widened(last))["layers"])
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4),
        slopes(LAST, last)["layers"],
        whole,
    )


def test_states_of_the_layers_below_may_be_given(last):
    states = jax.jit(functools.partial(decoder.hidden, LAST, trunk=True))(last, ROW)
    garbled = ROW._replace(tokens=0 * TOKENS, states=states)
    given = jax.jit(functools.partial(heads.rewards, LAST))(last, garbled, ENDS)
    np.testing.assert_allclose(given, score(LAST, last), atol=1e-6)
    with pytest.raises(ValueError, match="no layer lies below"):
        heads.rewards(DEEP, lora.merge(last, LAST.lora), garbled, ENDS)


def compiled(layers, adapted=0, states=False, backward=True, tokens=64):
    """The program of a gradient, or of rewards alone."""
    model = dataclasses.replace(PLAIN, layers=layers, lora=Lora(rank=1, alpha=1.0, layers=adapted))
    trainable, frozen = lora.split(ScoreHead().abstract_params(model), model.lora)
    ids = jax.ShapeDtypeStruct((1, tokens), jnp.int32)
    below = jax.ShapeDtypeStruct((1, tokens, model.width), jnp.float32) if states else None

    def total(trainable, frozen, ids, below):
        row = Row(ids, ids, ids, states=below)
        return jnp.sum(heads.rewards(model, lora.join(trainable, frozen), row, ids[:, :1]))

    function = jax.grad(total) if backward else total
    return jax.jit(function).lower(trainable, frozen, ids, below).compile()


def test_layers_below_the_adapters_are_computed_forward_only_and_not_from_given_states():
    # XLA counts a loop of layers once, so that a part has one here.
    one, forward, two, given = (
        program.cost_analysis()["flops"]
        for program in (
            compiled(1),
            compiled(1, backward=False),
            compiled(2, adapted=1),
            compiled(2, adapted=1, states=True),
        )
    )
    assert two == pytest.approx(one + forward, rel=0.05)
    assert given == pytest.approx(one, rel=0.05)


def test_no_activations_are_kept_below_the_adapters():
    whole, last = (
        compiled(12, adapted, tokens=1024).memory_analysis().temp_size_in_bytes
        for adapted in (0, 2)
    )
    assert last < 0.4 * whole


def test_a_model_has_the_layers_that_adapters_are_asked_for():
    with pytest.raises(UserError, match=r"lora\.layers is 3, and the model has 2 layers"):
        dataclasses.replace(PLAIN, lora=Lora(rank=3, layers=3))
