"""Who influences whom, read from gradients; the same result however it is computed."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapl_jax.kernels import attention as kernel
from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row
from mapl_jax.models import axes, decoder, heads, rope
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import optimizers, sharding

from support import random_like

CONFIG = DecoderConfig(48, 16, 2, 4, 2, 8, 24)
UNTIED = DecoderConfig(48, 16, 2, 4, 2, 8, 24, tie_embeddings=False)
# 0-1-2-3, 1-4-5 ; a second trie 6-7, 6-8 ; padding 9, 10, 11
REACH = jnp.asarray([[6, 6, 4, 4, 6, 6, 9, 8, 9, 0, 0, 0]])
POSITIONS = jnp.asarray([[0, 1, 2, 3, 2, 3, 0, 1, 1, 0, 0, 0]])
TOKENS = jnp.arange(12)[None]
ROW = Row(TOKENS, POSITIONS, REACH)


@functools.cache
def parameters(config=CONFIG, head=ScoreHead()):
    """All random, and larger than at the start of training, so that attention is no average."""
    return random_like(head.abstract_params(config), 0.2)


@functools.partial(jax.jit, static_argnames=("dtype", "remat", "backend"))
def hidden(params, tokens, positions, reach, **options):
    return decoder.hidden(CONFIG, params, Row(tokens, positions, reach), Compute(**options))


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(kernel, "TILE", 8)


@pytest.mark.parametrize("backend", ["dense", "blocks"])
def test_a_token_depends_on_its_ancestors_and_on_nothing_else(backend):
    params = parameters()
    direction = jax.random.normal(jax.random.key(1), (CONFIG.width,))

    def outputs(embed):
        row = {**params, "embed": embed}, TOKENS, POSITIONS, REACH
        states = hidden(*row, backend=backend)
        return states[0] @ direction

    # Every token is another row of the embedding, so its gradient names the token.
    slopes = jax.jit(jax.jacrev(outputs))(params["embed"])
    influence = np.abs(slopes).max(-1)[:, : TOKENS.shape[1]] > 0
    expected = np.eye(12, dtype=bool)
    for token, ancestors in {1: [0], 2: [0, 1], 3: [0, 1, 2], 4: [0, 1], 5: [0, 1, 4]}.items():
        expected[token, ancestors] = True
    expected[[7, 8], 6] = True
    np.testing.assert_array_equal(influence, expected)


def test_what_padding_holds_changes_nothing():
    params = parameters()
    base = hidden(params, TOKENS, POSITIONS, REACH)
    other = hidden(params, TOKENS.at[0, 9:].set(40), POSITIONS, REACH)
    np.testing.assert_array_equal(base[0, :9], other[0, :9])


def test_positions_count_only_by_their_differences():
    params = parameters()
    base = hidden(params, TOKENS, POSITIONS, REACH)
    moved = hidden(params, TOKENS, POSITIONS + 7, REACH)
    np.testing.assert_allclose(base, moved, atol=1e-4)
    spread = hidden(params, TOKENS, 2 * POSITIONS, REACH)
    assert np.abs(base - spread).max() > 1e-2


def test_scan_is_one_layer_after_the_other():
    params = parameters()
    layer = nnx.eval_shape(lambda: decoder.Layer(CONFIG, jnp.float32, None, rngs=nnx.Rngs(0)))
    definition = nnx.graphdef(layer)
    rotary = rope.rotary_angles(POSITIONS, CONFIG.head_dim, CONFIG.rope_theta)
    x = params["embed"][TOKENS]
    for i in range(CONFIG.layers):
        layer = nnx.merge(
            definition, nnx.State(jax.tree.map(lambda p, i=i: p[i], params["layers"]))
        )
        x = layer(x, rotary, lambda q, k, v: kernel.attention(q, k, v, ROW))
    norm = jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + CONFIG.norm_eps)
    expected = x / norm * params["norm"]["scale"]
    found = hidden(params, TOKENS, POSITIONS, REACH)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def loss(params, **options):
    weight = np.random.default_rng(2).normal(size=(1, 12, CONFIG.width))
    states = decoder.hidden(CONFIG, params, ROW, Compute(**options))
    return jnp.sum(states.astype(jnp.float32) * weight)


@functools.cache
def loss_and_slope(remat):
    return jax.jit(jax.value_and_grad(functools.partial(loss, remat=remat)))(parameters())


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_remat_changes_no_number(remat):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        loss_and_slope(remat),
        loss_and_slope("none"),
    )


def test_bf16_is_close_and_its_gradient_fp32():
    params = parameters()
    base = hidden(params, TOKENS, POSITIONS, REACH)
    low = hidden(params, TOKENS, POSITIONS, REACH, dtype=jnp.bfloat16)
    assert low.dtype == jnp.bfloat16
    assert np.abs(base - low.astype(jnp.float32)).mean() < 0.03
    slope = jax.eval_shape(jax.grad(functools.partial(loss, dtype=jnp.bfloat16)), params)
    assert {leaf.dtype for leaf in jax.tree.leaves(slope)} == {jnp.dtype("float32")}


def test_an_unknown_remat_is_refused_with_the_choices():
    with pytest.raises(UserError, match="none, dots, full"):
        decoder.hidden(CONFIG, parameters(), ROW, Compute(remat="some"))


@pytest.mark.parametrize("tie", [True, False])
def test_logits_are_products_with_the_embedding_or_the_head(tie):
    config = CONFIG if tie else UNTIED
    params = parameters(config, LogpHead())
    states = hidden(params, TOKENS, POSITIONS, REACH)
    matrix = params["embed"].T if tie else params["lm_head"]
    assert ("lm_head" in params) != tie
    logits = functools.partial(heads.logits, config)
    found = jax.jit(logits)(params, ROW)
    np.testing.assert_allclose(found, states @ matrix, atol=1e-4)
    low = functools.partial(logits, compute=Compute(jnp.bfloat16))
    assert jax.eval_shape(low, params, ROW).dtype == jnp.float32


def test_the_config_is_plain_json_and_comes_back():
    shape = (48, 16, 2, 4, 2, 8, 24)
    config = DecoderConfig(*shape, rope_theta=1e6, eos_tokens=(3, 4), max_positions=99)
    assert DecoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "unknown field depth"),
        ({"width": None}, "missing field width"),
        ({"kv_heads": 3}, "multiple of kv_heads"),
        ({"head_dim": 7}, "must be even"),
        ({"layers": 0}, "layers must be at least 1"),
    ],
)
def test_an_impossible_config_is_refused(change, message):
    fields = {k: v for k, v in {**CONFIG.to_dict(), **change}.items() if k != "width" or v}
    if change.get("width", 1) is None:
        fields.pop("width", None)
    with pytest.raises(UserError, match=message):
        DecoderConfig.from_dict(fields)


@functools.cache
def initializer(head):
    """Compiled once: random numbers are what takes longest to compile."""
    return jax.jit(functools.partial(head.init, UNTIED))


def test_parameters_are_a_plain_nested_dict_and_the_seed_decides_them():
    first, again, other = (initializer(ScoreHead())(jax.random.key(seed)) for seed in (0, 0, 1))
    assert type(first) is type(first["layers"]) is type(first["layers"]["mlp"]) is dict
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(first))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.abs(first["embed"] - other["embed"]).max() > 0
    layers = first["layers"]["mlp"]["up"]["kernel"]
    assert np.abs(layers[0] - layers[1]).max() > 0


@pytest.mark.parametrize("head", [ScoreHead(), LogpHead()])
def test_abstract_parameters_have_the_shapes_of_real_ones(head):
    params = initializer(head)(jax.random.key(0))
    jax.tree.map(
        lambda a, b: np.testing.assert_equal((a.shape, a.dtype), (b.shape, b.dtype)),
        head.abstract_params(UNTIED),
        params,
    )


def test_a_fresh_model_has_the_scales_it_names():
    params = initializer(ScoreHead())(jax.random.key(0))
    assert params["embed"].std() == pytest.approx(0.02, rel=0.1)
    assert params["layers"]["mlp"]["up"]["kernel"].std() == pytest.approx(0.02, rel=0.1)
    assert params["score"].std() == pytest.approx((CONFIG.width + 1) ** -0.5, rel=0.5)
    assert np.abs(params["layers"]["attention"]["q"]["bias"]).max() == 0
    assert (params["norm"]["scale"] == 1).all()


def test_every_dimension_has_a_name_and_only_matrices_decay():
    abstract = ScoreHead().abstract_params(CONFIG)
    logical = axes.logical_axes(abstract)
    assert logical["layers"]["mlp"]["down"]["kernel"] == ("layers", "mlp", "embed")
    assert logical["score"] == ("embed",)
    places = sharding.parameters(
        sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1]),
        abstract,
        logical,
    )
    assert jax.tree.structure(places) == jax.tree.structure(abstract)

    settings = optimizers.OptimizerSettings(learning_rate=1.0, weight_decay=0.5)
    optimizer = optimizers.make(settings, optimizers.schedule(settings, 1), logical)
    ones = jax.tree.map(lambda x: jnp.ones(x.shape), abstract)
    zeros = jax.tree.map(jnp.zeros_like, ones)
    updates, _ = jax.jit(optimizer.update)(zeros, jax.jit(optimizer.init)(ones), ones)
    decayed = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, update in jax.tree_util.tree_leaves_with_path(updates)
        if np.abs(update).max() > 0
    }
    kernels = {f"layers/attention/{n}/kernel" for n in "qkvo"}
    assert decayed == kernels | {f"layers/mlp/{n}/kernel" for n in ("gate", "up", "down")} | {
        "embed"
    }


def test_a_parameter_without_names_is_refused():
    with pytest.raises(ValueError, match="layers/extra"):
        axes.logical_axes({"layers": {"extra": jnp.zeros((2, 3))}})
