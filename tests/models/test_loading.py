"""Parameters go from disk straight to their shards, whatever mesh, files and types there are."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mapl_jax.models import axes, hub, saving, tensors
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.runtime import files
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import sharding

from support import random_like

CONFIG = DecoderConfig(64, 16, 3, 4, 2, 8, 24, family="phi3", qkv_bias=False, tie_embeddings=False)
MESHES = [
    {"data": 8, "fsdp": 1, "tensor": 1},
    {"data": 1, "fsdp": 8, "tensor": 1},
    {"data": 2, "fsdp": 2, "tensor": 2},
]


def parameters(head=LogpHead()):
    return random_like(head.abstract_params(CONFIG), 1.0)


def places_on(shape, head=LogpHead()):
    shapes = head.abstract_params(CONFIG)
    return sharding.parameters(sharding.make_mesh(shape), shapes, axes.logical_axes(shapes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    saving.save_params(path, CONFIG, parameters(), max_shard_bytes=9_000)
    assert (path / tensors.INDEX).exists()
    return path


@pytest.mark.parametrize("shape", MESHES)
def test_parameters_are_where_they_belong_and_what_they_are(folder, shape):
    places = places_on(shape)
    found = hub.load_params(folder, CONFIG, head=False, seed=0, places=places)
    jax.tree.map(np.testing.assert_array_equal, found, parameters())
    for leaf, place in zip(jax.tree.leaves(found), jax.tree.leaves(places), strict=True):
        assert leaf.sharding == place


def test_a_fresh_head_is_the_same_on_every_mesh(folder):
    plain = hub.load_params(folder, CONFIG, head=True, seed=3)
    places = places_on(MESHES[2], ScoreHead())
    spread = hub.load_params(folder, CONFIG, head=True, seed=3, places=places)
    np.testing.assert_array_equal(plain["score"], spread["score"])
    assert spread["score"].sharding == places["score"]


def test_nothing_is_read_but_what_a_device_holds(folder, monkeypatch):
    sizes = {}
    read = tensors.TensorFiles.read

    def counted(self, name, index, out):
        sizes.setdefault(name, []).append(out.size)
        read(self, name, index, out)

    monkeypatch.setattr(tensors.TensorFiles, "read", counted)
    hub.load_params(folder, CONFIG, head=False, seed=0, places=places_on(MESHES[1]))
    assert sizes["model.embed_tokens.weight"] == [64 * 2] * 8
    assert sizes["model.layers.2.mlp.down_proj.weight"] == [24 * 2] * 8
    assert sizes["model.layers.0.mlp.gate_up_proj.weight"] == [24 * 2] * 16, "two parts"


def test_long_tensors_are_read_in_pieces(folder, monkeypatch):
    monkeypatch.setattr(tensors, "CHUNK_BYTES", 100)
    found = hub.load_params(folder, CONFIG, head=False, seed=0, places=places_on(MESHES[2]))
    jax.tree.map(np.testing.assert_array_equal, found, parameters())


def test_the_type_is_a_choice_but_for_the_head(folder):
    params = hub.load_params(folder, CONFIG, head=True, seed=0, dtype=jnp.bfloat16)
    assert params["score"].dtype == jnp.float32
    del params["score"]
    expected = parameters()
    del expected["lm_head"]
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16), expected)
    jax.tree.map(np.testing.assert_array_equal, params, rounded)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


def test_shards_hold_no_more_than_they_may_and_the_index_names_them_all(folder):
    index = json.loads((folder / tensors.INDEX).read_text())
    names = {path.name for path in folder.glob("*.safetensors")}
    assert set(index["weight_map"].values()) == names
    total = 0
    for name in names:
        held = load_file(folder / name)
        assert all(index["weight_map"][tensor] == name for tensor in held)
        size = sum(tensor.nbytes for tensor in held.values())
        assert size <= 9_000 or len(held) == 1
        total += size
    assert total == index["metadata"]["total_size"]
    count = len(names)
    assert names == {f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sharded_parameters_are_saved_as_whole_ones_are(tmp_path, dtype):
    whole = parameters()
    spread = jax.device_put(whole, places_on(MESHES[2]))
    for name, params in (("whole", whole), ("spread", spread)):
        saving.save_params(tmp_path / name, CONFIG, params, dtype=dtype)
    first, second = (load_file(tmp_path / name / tensors.WEIGHTS) for name in ("whole", "spread"))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert {str(tensor.dtype) for tensor in first.values()} == {dtype}
    content = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert content["dtype"] == content["torch_dtype"] == dtype


def test_queries_keys_and_values_lie_one_below_the_other_in_a_fused_tensor(tmp_path):
    params = parameters()
    saving.save_params(tmp_path, CONFIG, params)
    fused = load_file(tmp_path / tensors.WEIGHTS)["model.layers.1.self_attn.qkv_proj.weight"]
    kernels = [params["layers"]["attention"][name]["kernel"][1] for name in "qkv"]
    np.testing.assert_array_equal(fused, np.concatenate([kernel.T for kernel in kernels]))


def test_a_wrong_shape_is_found_before_anything_is_read(tmp_path, monkeypatch):
    saving.save_params(tmp_path, CONFIG, parameters())
    stored = load_file(tmp_path / tensors.WEIGHTS)
    stored["model.layers.1.self_attn.qkv_proj.weight"] = np.zeros((63, 16), np.float32)
    save_file(stored, tmp_path / tensors.WEIGHTS)
    monkeypatch.setattr(tensors.TensorFiles, "read", lambda *_: pytest.fail("read"))
    message = r"layers\.1\.self_attn\.qkv_proj\.weight has shape \(63, 16\).* \(64, 16\)"
    with pytest.raises(UserError, match=message):
        hub.load_params(tmp_path, CONFIG, head=False, seed=0)


CHANGES = pytest.mark.parametrize(
    ("name", "content", "flaw"),
    [
        (tensors.WEIGHTS, None, "model.safetensors is damaged"),
        ("config.json", None, "config.json is damaged"),
        (files.SEAL, b"{}", "model.safetensors was never finished"),
        (files.SEAL, b"[", "checksums.json is damaged"),
    ],
)


def seal_and_change(folder, name, content):
    """A sealed model, one file of which is another one then."""
    folder.mkdir()
    saving.save_params(folder, CONFIG, parameters())
    (folder / tensors.CARD).write_text("A model.")
    files.seal(folder)
    (folder / tensors.CARD).write_text("A model that its user describes.")
    (folder / "more.txt").write_text("Beside it.")
    hub.load_params(folder, CONFIG, head=False, seed=0)
    kept = (folder / name).read_bytes()
    # The last byte of weights is one of a number, that of JSON is a space.
    spoilt = kept[:-1] + (b" " if name != tensors.WEIGHTS else bytes([kept[-1] ^ 1]))
    (folder / name).write_bytes(content or spoilt)


@CHANGES
def test_the_model_of_a_run_is_read_as_it_was_written_or_not_at_all(tmp_path, name, content, flaw):
    (tmp_path / "origin.json").write_text("{}")
    seal_and_change(tmp_path / "model", name, content)
    said = (
        rf"is not as it was written \({flaw}\); write it anew, or, if it was changed on purpose, "
    )
    with pytest.raises(UserError, match=f"{said}remove checksums.json in it"):
        hub.load_params(tmp_path / "model", CONFIG, head=False, seed=0)


@CHANGES
def test_an_exported_model_that_was_changed_is_used_and_said(tmp_path, capsys, name, content, flaw):
    seal_and_change(tmp_path / "model", name, content)
    assert "as it was written" not in capsys.readouterr().err
    hub.load_params(tmp_path / "model", CONFIG, head=False, seed=0)
    said = capsys.readouterr().err
    assert said.count("notice:") == 1
    assert f"model is not as it was written ({flaw}, or was changed on purpose)" in said


@pytest.mark.parametrize("content", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_an_index_that_names_no_files_is_refused(tmp_path, content):
    saving.save_params(tmp_path, CONFIG, parameters())
    (tmp_path / tensors.WEIGHTS).unlink()
    (tmp_path / tensors.INDEX).write_text(content)
    with pytest.raises(UserError, match="weight_map does not say which file"):
        hub.load_params(tmp_path, CONFIG, head=False, seed=0)


# 1.5 GB in fp32: 24 layers and an embedding that is the largest tensor.
LARGE = DecoderConfig(24_576, 1024, 24, 16, 4, 64, 4096)
LARGEST = 4 * LARGE.vocab_size * LARGE.width
CONSTANT = 64 * 2**20
MEASURE = """
import json, re, sys
import jax
jax.config.update("jax_num_cpu_devices", 8)
from pathlib import Path
from mapl_jax.models import axes, hub
from mapl_jax.models.heads import LogpHead
from mapl_jax.training import sharding

def memory(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def load(folder, shape):
    config = hub.load_config(folder)
    shapes = LogpHead().abstract_params(config)
    mesh = sharding.make_mesh(shape, jax.devices()[:shape["fsdp"] * shape["tensor"]])
    places = sharding.parameters(mesh, shapes, axes.logical_axes(shapes))
    return jax.block_until_ready(
        hub.load_params(folder, config, head=False, seed=0, places=places)
    )

small, large, shape = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
load(small, shape)  # What is there whatever is loaded: compiled code, threads, buffers.
Path("/proc/self/clear_refs").write_text("5")  # The peak starts here.
before = memory("VmRSS")
params = load(large, shape)
shards = [shard for leaf in jax.tree.leaves(params) for shard in leaf.addressable_shards]
held = sum(shard.data.nbytes for shard in shards)
print(json.dumps({"beside": memory("VmHWM") - before - held, "held": held}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("fsdp", "tensor", "dtype"), [(1, 1, "float32"), (1, 1, "bfloat16"), (4, 2, "float32")]
)
def test_loading_takes_two_of_the_largest_tensors_beside_the_parameters(
    tmp_path, fsdp, tensor, dtype
):
    """On a CPU parameters lie in this memory too, so they are taken off the peak."""
    config = DecoderConfig(256, 64, 2, 4, 2, 16, 64)
    saving.save_params(tmp_path / "small", config, random_parameters(config))
    saving.save_params(tmp_path / "large", LARGE, random_parameters(LARGE), dtype=dtype)
    shape = json.dumps({"data": 1, "fsdp": fsdp, "tensor": tensor})
    arguments = [str(tmp_path / "small"), str(tmp_path / "large"), shape]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["held"] > 1.4e9
    assert found["beside"] < 2 * LARGEST + CONSTANT < found["held"] / 4


def random_parameters(config):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.random(x.shape, np.float32)), LogpHead().abstract_params(config)
    )
