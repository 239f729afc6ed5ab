"""Folders of adapters as PEFT writes them are read again, merged, or refused by name."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mapl_jax.data import tokenization
from mapl_jax.models import lora, peft, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.models.lora import Lora
from mapl_jax.runtime.errors import UserError

from support import random_like

PLAIN = DecoderConfig(64, 16, 2, 4, 2, 8, 24, family="llama", qkv_bias=False)
MODEL = dataclasses.replace(PLAIN, lora=Lora(rank=4, alpha=6.0, targets="q,v,down"))


def same(a, b, **options):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6, **options), a, b)


@pytest.fixture(params=[ScoreHead(), LogpHead()], ids=["reward model", "policy"])
def saved(request, tmp_path):
    """Parameters with adapters, and the folder that they were saved in."""
    params = random_like(request.param.abstract_params(MODEL), 0.3)
    peft.save(tmp_path, MODEL, params, base="org/name")
    return params, tmp_path


def base(params):
    """What the adapters were trained beside: a language model, whatever they are of."""
    return {name: value for name, value in lora.base(params).items() if name != "score"}


def change(folder, tensors=lambda tensors: tensors, **about):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | about))
    path = folder / peft.WEIGHTS
    save_file(tensors(load_file(path)), path)


def test_what_was_saved_is_merged_into_its_base(saved):
    params, folder = saved
    before = base(params)
    same(peft.merged(folder, PLAIN, before), lora.merge(params, MODEL.lora))
    same(before, base(params))


def test_names_and_types_may_be_those_of_other_programs(saved):
    params, folder = saved
    names = {"score.weight": "score.modules_to_save.default.weight", ".model.model.": ".model."}

    def renamed(tensors):
        for old, new in names.items():
            tensors = {name.replace(old, new): x for name, x in tensors.items()}
        return {name: np.asarray(jnp.asarray(x, jnp.bfloat16)) for name, x in tensors.items()}

    change(folder, renamed)
    found, whole = peft.merged(folder, PLAIN, base(params)), lora.merge(params, MODEL.lora)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=0.05), found, whole)


def test_ranks_and_scales_may_differ_between_matrices(saved):
    params, folder = saved
    change(folder, use_rslora=True, alpha_pattern={"q_proj": 3.0, "layers.1.mlp.down_proj": 2.0})
    found, kernels = peft.merged(folder, PLAIN, base(params)), params["layers"]
    for path, alpha in ((("attention", "q"), (3, 3)), (("mlp", "down"), (6, 2))):
        part, merged = (tree[path[0]][path[1]] for tree in (kernels, found["layers"]))
        for i in range(2):
            added = alpha[i] / 2 * part["lora"]["a"][i] @ part["lora"]["b"][i]
            np.testing.assert_allclose(merged["kernel"][i], part["kernel"][i] + added, atol=1e-5)


def test_layers_without_adapters_stay(saved):
    params, folder = saved
    change(folder, lambda t: {name: x for name, x in t.items() if "layers.0" not in name})
    found = peft.merged(folder, PLAIN, base(params))["layers"]["attention"]["q"]["kernel"]
    whole = lora.merge(params, MODEL.lora)["layers"]["attention"]["q"]["kernel"]
    np.testing.assert_array_equal(found[0], params["layers"]["attention"]["q"]["kernel"][0])
    np.testing.assert_allclose(found[1], whole[1], atol=1e-6)


@pytest.mark.parametrize(
    "about",
    [
        {"peft_type": "IA3"},
        {"use_dora": True},
        {"bias": "all"},
        {"init_lora_weights": "pissa_niter_4"},
        {"layer_replication": [[0, 2]]},
    ],
)
def test_what_cannot_be_merged_here_is_refused_by_name(saved, about):
    params, folder = saved
    change(folder, **about)
    ((name, _),) = about.items()
    with pytest.raises(UserError, match=f"adapters with {name} = .*merge with PEFT"):
        peft.merged(folder, PLAIN, base(params))


@pytest.mark.parametrize("side", "AB")
def test_half_of_an_adapter_is_refused_by_name(saved, side):
    params, folder = saved
    lost = f"layers.1.mlp.down_proj.lora_{side}.weight"
    change(folder, lambda t: {name: x for name, x in t.items() if not name.endswith(lost)})
    with pytest.raises(UserError, match=r"has one of .*down_proj.* alone; copy it again"):
        peft.merged(folder, PLAIN, base(params))


@pytest.mark.parametrize(
    "about",
    [
        {"alpha_pattern": {"(.|[a-z_])*[A-Z!]": 3.0}},
        {"alpha_pattern": {"(": 3.0}},
        {"alpha_pattern": ["q_proj"]},
        {"alpha_pattern": {"q_proj": "much"}},
        {"lora_alpha": []},
    ],
)
def test_a_scale_that_cannot_be_read_is_one_line(saved, about, monkeypatch):
    monkeypatch.setattr(peft, "PATIENCE", 0.2)
    params, folder = saved
    change(folder, **about)
    with pytest.raises(UserError, match="alpha_pattern or lora_alpha of the adapters of"):
        peft.merged(folder, PLAIN, base(params))


def test_a_tensor_that_nothing_reads_is_refused_by_name(saved):
    params, folder = saved
    extra = "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector"
    change(folder, lambda tensors: tensors | {extra: np.ones(3, np.float32)})
    with pytest.raises(UserError, match="lora_magnitude_vector is no adapter"):
        peft.merged(folder, PLAIN, base(params))
    (folder / peft.WEIGHTS).write_bytes(b"")
    with pytest.raises(UserError, match="broken or cut off"):
        peft.merged(folder, PLAIN, base(params))
    (folder / peft.WEIGHTS).unlink()
    with pytest.raises(UserError, match="save the adapters anew"):
        peft.merged(folder, PLAIN, base(params))


def test_a_base_is_found_where_peft_finds_it_or_beside_the_adapters(saved, monkeypatch):
    _, folder = saved
    assert peft.base_of(folder) == "org/name"
    change(folder, base_model_name_or_path="/gone/model")
    with pytest.raises(UserError, match="holds adapters for /gone/model, which is not here"):
        peft.base_of(folder)
    change(folder, base_model_name_or_path="~nosuchuser/model")
    with pytest.raises(UserError, match="~nosuchuser/model: no such user"):
        peft.base_of(folder)
    change(folder, base_model_name_or_path="/gone/model")
    (folder / "base").mkdir()
    assert peft.base_of(folder) == str(folder / "base")
    (folder / "other").mkdir()
    change(folder, base_model_name_or_path="other")
    assert peft.base_of(folder) == str(folder / "other")
    change(folder, base_model_name_or_path=None)
    with pytest.raises(UserError, match="names no base"):
        peft.base_of(folder)


def test_a_base_that_pads_otherwise_is_written_beside_the_adapters(tmp_path):
    tokenizer = tokenization.train(["Name two colours. Red and blue."] * 4, 300)
    config = dataclasses.replace(PLAIN, vocab_size=320)
    params = random_like(LogpHead().abstract_params(config), 0.3)
    saving.save_params(tmp_path / "model", config, params, tokenizer=tokenizer)
    source = str(tmp_path / "model")
    assert peft.needs_base(source, tokenizer), "it does not say that there is one label"
    peft.write_base(tmp_path / "base", source, tokenizer)
    assert not peft.needs_base(str(tmp_path / "base"), tokenizer)
    content = json.loads((tmp_path / "base" / "config.json").read_text())
    assert content["pad_token_id"] == tokenizer.pad_token_id and len(content["id2label"]) == 1
    files = [path / "model.safetensors" for path in (tmp_path / "model", tmp_path / "base")]
    assert files[0].samefile(files[1]), "weights are not copied on the same disk"
    tokenizer.pad_token = tokenizer.eos_token
    assert peft.needs_base(str(tmp_path / "base"), tokenizer)
