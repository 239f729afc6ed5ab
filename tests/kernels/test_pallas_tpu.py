"""The kernels for TPU: interpreted they give what all pairs give, and they compile for TPUs."""

import importlib.util
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from mapl_jax.data import tries
from mapl_jax.kernels import tiles
from mapl_jax.kernels.attention import attention, choose
from mapl_jax.kernels.compute import Compute, Spread
from mapl_jax.kernels.rows import Row

AXES = ("data", "fsdp", "tensor")


def row_of(rng, length):
    """reach, positions and the loader's list of random tries side by side, and padding."""
    reach, positions = np.zeros((2, length), np.int32)
    at = 0
    while True:
        paths = [tries.TokenPath(rng.integers(0, 3, rng.integers(1, 120)).astype(np.int32), 1)]
        for _ in range(rng.integers(0, 3)):
            kept = paths[0].tokens[: rng.integers(1, 120)]
            fresh = rng.integers(0, 3, rng.integers(1, 90))
            paths.append(tries.TokenPath(np.concatenate([kept, fresh]).astype(np.int32), 1))
        trie = tries.build(paths)
        if at + len(trie) > length:
            break
        reach[at : at + len(trie)] = trie.reach + at
        positions[at : at + len(trie)] = trie.positions
        at += len(trie)
    seen = tiles.seen(reach)
    return reach, positions, np.pad(seen, (0, tiles.most(length) - len(seen)), constant_values=-1)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "options"),
    [
        (4, 2, {}),
        (2, 1, {"window": 40, "softcap": 2.0}),
        (16, 1, {"scale": 0.3}),
    ],
)
def test_kernels_give_what_all_pairs_give_in_value_and_gradient(heads, kv_heads, options):
    length = 600
    rng = np.random.default_rng(heads)
    made = [row_of(rng, length) for _ in range(2)]
    reach, positions, lists = (jnp.asarray([row[i] for row in made]) for i in range(3))
    q, k, v, slope = (
        rng.normal(size=(2, length, n, 8)).astype(np.float32)
        for n in (heads, kv_heads, kv_heads, heads)
    )

    row = Row(reach, positions, reach, lists)

    def values(backend):
        def total(q, k, v):
            out = attention(q, k, v, row, Compute(backend=backend), **options)
            return jnp.sum(out * slope), out

        return jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))(q, k, v)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
        values("pallas_tpu"),
        values("dense"),
    )


def test_padding_attends_to_itself_only():
    v = np.random.default_rng(0).normal(size=(1, 130, 2, 8)).astype(np.float32)
    zeros = jnp.zeros((1, 130), jnp.int32)
    found = attention(v, v, v, Row(zeros, zeros, zeros), Compute(backend="pallas_tpu"))
    np.testing.assert_allclose(found, v, atol=1e-6)


@pytest.mark.parametrize(
    ("backend", "length", "platform", "dtype", "softcap", "expected"),
    [
        ("auto", 4096, "tpu", jnp.bfloat16, False, "pallas_tpu"),
        ("auto", 4096, "tpu", jnp.float32, True, "pallas_tpu"),
        ("auto", 64, "tpu", jnp.bfloat16, False, "dense"),
        ("auto", 4096, "cpu", jnp.float32, False, "blocks"),
        ("auto", 1024, "gpu", jnp.bfloat16, False, "cudnn"),
        ("auto", 1024, "gpu", jnp.bfloat16, True, "blocks"),
        ("auto", 1024, "gpu", jnp.float32, False, "blocks"),
        ("auto", 8192, "gpu", jnp.bfloat16, False, "blocks"),
        ("dense", 8192, "tpu", jnp.bfloat16, False, "dense"),
    ],
)
def test_the_backend_follows_from_hardware_and_model_unless_named(
    backend, length, platform, dtype, softcap, expected
):
    found = choose(backend, length, platform=platform, dtype=dtype, softcap=softcap)
    assert found == expected


def test_cudnn_is_given_the_whole_mask(monkeypatch):
    """There is no GPU here: XLA stands in for cuDNN, behind the same call."""
    plain = jax.nn.dot_product_attention
    given = {}

    def stand_in(*args, implementation, **options):
        given.update(options, implementation=implementation)
        return plain(*args, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    reach, positions, _ = (jnp.asarray(x)[None] for x in row_of(np.random.default_rng(1), 200))
    q = np.random.default_rng(2).normal(size=(1, 200, 4, 8)).astype(np.float32)
    args = (q, q[:, :, :2], q[:, :, :2], Row(reach, positions, reach))
    found = attention(*args, Compute(backend="cudnn"), window=30)
    assert given["implementation"] == "cudnn" and given["mask"].shape == (1, 4, 200, 200)
    np.testing.assert_allclose(
        found, attention(*args, Compute(backend="dense"), window=30), atol=1e-5
    )


@pytest.mark.tpu
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the extra `tpu`")
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5p:2x2x1", "v6e:2x2"])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "width", "softcap"), [(28, 4, 128, None), (8, 4, 256, 50.0)]
)
def test_kernels_compile_for_tpu_forward_and_backward(topology, heads, kv_heads, width, softcap):
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    from jax.experimental import topologies

    devices = topologies.get_topology_desc(topology, platform="tpu").devices
    mesh = jax.make_mesh((1, 2, 2), AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)
    spread = Spread(mesh, AXES[:2], AXES[2])
    places = NamedSharding(mesh, PartitionSpec(AXES[:2]))

    def struct(*shape, dtype=jnp.int32):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=places)

    def total(q, k, v, reach, positions, lists):
        row, compute = Row(reach, positions, reach, lists), Compute(spread=spread)
        out = attention(q, k, v, row, compute, window=4096, softcap=softcap)
        return jnp.sum(out.astype(jnp.float32))

    shapes = [struct(2, 2048, n, width, dtype=jnp.bfloat16) for n in (heads, kv_heads, kv_heads)]
    integers = [struct(2, 2048), struct(2, 2048), struct(2, 160)]
    step = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
    text = step.lower(*shapes, *integers).compile().as_text()
    assert text.count("tpu_custom_call") >= 3
