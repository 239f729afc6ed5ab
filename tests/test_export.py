"""From a run to a folder for others: complete, checked, or not there at all."""

import dataclasses
import json
import re
import shutil

import fake_hub
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from huggingface_hub import ModelCard
from ml_collections import ConfigDict
from safetensors.numpy import load_file, save_file

import mapl_jax
from mapl_jax import train
from mapl_jax.data import tokenization
from mapl_jax.models import hub, lora
from mapl_jax.runtime import cli
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import export as outputs
from mapl_jax.training import restore, sharding

from support import config_of, run, run_export


def make_config(**changes):
    """The demonstration, made tiny; changes as "train.steps": 2."""
    tiny = {
        "data.demo_pairs": 60,
        "tokenizer.vocab_size": 512,
        "model.width": 32,
        "model.layers": 2,
        "model.mlp_width": 64,
        "train.rows_per_batch": 4,
        "train.steps": 2,
        "train.save_every": 1,
        "train.keep": 9,
        "eval.samples": 4,
        "eval.resamples": 20,
        "mesh.fsdp": 2,
        "mesh.tensor": 2,
    }
    return config_of("rm", {**tiny, **changes})


def run_training(folder, **changes):
    train.main(cli.Arguments(make_config(**changes), str(folder), "python -m mapl_jax.train ..."))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run from scratch."""
    return run_training(tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, trained):
    """A run that trained adapters beside the model of the other one."""
    return run_training(
        tmp_path_factory.mktemp("adapted") / "run",
        **{
            "model.path": str(trained / "model"),
            "lora.rank": 4,
            "lora.targets": "q,v,down",
            "train.learning_rate": 0.05,
        },
    )


def test_the_end_of_a_run_and_an_export_write_the_same(trained, tmp_path):
    out = run_export(trained, tmp_path / "out")
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    for path in (trained / "model").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_checkpoint_by_its_step(trained, tmp_path):
    first = run_export(trained / "checkpoints" / "1", tmp_path / "first")
    tensors = [load_file(f / "model.safetensors") for f in (first, trained / "model")]
    assert tensors[0].keys() == tensors[1].keys()
    assert any(not np.array_equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    card = (first / "README.md").read_text()
    assert "| Steps | 1 |" in card
    assert "Results" not in card, "the results of the run are those of its last step"


def test_bf16_is_written_as_bf16(trained, tmp_path):
    out = run_export(trained, tmp_path / "out", dtype="bfloat16")
    tensors = load_file(out / "model.safetensors")
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"bfloat16"}
    content = json.loads((out / "config.json").read_text())
    assert content["dtype"] == content["torch_dtype"] == "bfloat16"


def test_the_card_says_what_the_model_is(trained):
    card = (trained / "model" / "README.md").read_text()
    summary = json.loads((trained / "summary.json").read_text())
    for level, weight in (("base", "0.2"), ("intra", "1"), ("inter", "1")):
        assert f"| Level `{level}` | weight {weight}:" in card
        accuracy = 100 * summary["eval"]["after"][f"{level}_accuracy"]
        (row,) = re.findall(rf"^\| {level} \|.*$", card, re.MULTILINE)
        assert f"{accuracy:.1f} %" in row
    assert "none, trained from scratch" in card and "| Training data | demo |" in card
    assert "python -m mapl_jax.train ..." in card
    assert 'pipeline("text-classification"' in card
    assert card.startswith("---\nlibrary_name: transformers\n")


def test_an_exported_template_writes_what_was_trained(trained):
    ours = tokenization.load(str(trained / "tokenizer"))
    theirs = tokenization.load(str(trained / "model"))
    prompt = [{"role": "user", "content": "Name a colour."}]
    (leaf,) = tokenization.encode_leaves(ours, [(prompt, "Red.")])
    text = theirs.apply_chat_template(
        [*prompt, {"role": "assistant", "content": "Red."}], tokenize=False
    )
    assert theirs.encode(text, add_special_tokens=False) == leaf.tokens.tolist()


def test_adapters_are_all_that_a_lora_run_stores(adapted, trained):
    def size(folder):
        return sum(p.stat().st_size for p in (folder / "checkpoints" / "2").rglob("*"))

    assert size(adapted) < size(trained) / 2
    summary = json.loads((adapted / "summary.json").read_text())
    assert summary["trained_parameters"] < summary["parameters"] / 2


def test_merging_changes_the_targets_and_nothing_else(adapted, trained):
    before, after = (load_file(f / "model" / "model.safetensors") for f in (trained, adapted))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    modules = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
    assert changed == {
        "score.weight",
        *(f"model.layers.{i}.{name}.weight" for i in (0, 1) for name in modules),
    }


def test_adapters_alone(adapted, tmp_path):
    out = run_export(adapted, tmp_path / "out", adapter=True)
    content = json.loads((out / "adapter_config.json").read_text())
    assert content["target_modules"] == ["down_proj", "q_proj", "v_proj"]
    assert content["task_type"] == "SEQ_CLS" and content["modules_to_save"] == ["score"]
    assert content["base_model_name_or_path"].endswith("model")
    tensors = load_file(out / "adapter_model.safetensors")
    assert len(tensors) == 1 + 2 * 2 * 3
    name = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"
    assert tensors[name].shape == (4, 64)
    assert "PeftModel.from_pretrained" in (out / "README.md").read_text()
    run_export(adapted, out, adapter=True)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6), a, b)


def test_adapters_alone_are_read_again(adapted, tmp_path):
    out = run_export(adapted, tmp_path / "out", adapter=True)
    found, run = mapl_jax.load_model(out), mapl_jax.load_model(adapted)
    assert found.head and found.model == dataclasses.replace(run.model, lora=None)
    same(found.params, lora.merge(run.params, run.model.lora))
    assert found.fingerprint() != run.fingerprint()


def test_what_a_model_can_start_from(trained, adapted, tmp_path):
    mesh, kept = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1}), tmp_path / "start"
    assert restore.model_folder("", kept, mesh) == ""
    for path in (trained, trained / "checkpoints", trained / "checkpoints" / "2"):
        assert restore.model_folder(str(path), kept, mesh) == str(trained / "model")
    assert restore.model_folder(str(trained / "model"), kept, mesh) == str(trained / "model")
    assert not kept.exists(), "a model folder is read where it lies"
    out = run_export(adapted, tmp_path / "out", adapter=True)
    first = trained / "checkpoints" / "1"
    for path, model in (
        (first, restore.load(str(first), mesh)),
        (out, restore.load(str(out), mesh)),
    ):
        folder = restore.model_folder(str(path), kept, mesh)
        assert folder == restore.model_folder(str(path), kept, mesh), "it is written once"
        hub.check(folder, head=True)
        same(hub.load_params(folder, model.model, head=True, seed=0), model.params)
    assert len(list(kept.iterdir())) == 2


def test_a_folder_of_something_else_says_what_it_holds(trained, tmp_path):
    with pytest.raises(UserError, match=r"give one of the folders in it: .*model"):
        restore.find(str(shutil.copytree(trained / "model", tmp_path / "all" / "model").parent))
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "m.gguf").touch()
    with pytest.raises(UserError, match=r"neither a run nor a model.*GGUF"):
        restore.find(str(tmp_path / "gguf"))


def test_a_lora_run_goes_on_bit_for_bit(adapted, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(adapted, folder)
    shutil.rmtree(folder / "checkpoints" / "2")
    shutil.rmtree(folder / "model")
    config = json.loads((adapted / "config.json").read_text())
    train.main(cli.Arguments(ConfigDict(config), str(folder), "again"))
    for tensors in zip(
        *(sorted(load_file(f / "model" / "model.safetensors").items()) for f in (adapted, folder)),
        strict=True,
    ):
        np.testing.assert_array_equal(tensors[0][1], tensors[1][1], err_msg=tensors[0][0])


@pytest.fixture
def another_base(trained):
    """For the time of a test, the base has other weights."""
    path = trained / "model" / "model.safetensors"
    kept = path.read_bytes()
    tensors = load_file(path)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + 1e-3
    save_file(tensors, path, metadata={"format": "pt"})
    yield
    path.write_bytes(kept)


def test_another_base_is_refused(adapted, another_base, tmp_path):
    config = ConfigDict(json.loads((adapted / "config.json").read_text()))
    with pytest.raises(UserError, match="are not those that the run was trained on"):
        train.main(cli.Arguments(config, str(adapted), "again"))
    with pytest.raises(UserError, match="does not have the weights that the adapters"):
        run_export(adapted, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_does_not_score_the_same_does_not_appear(trained, tmp_path, monkeypatch):
    load = hub.load_params

    def damaged(*args, **options):
        params = load(*args, **options)
        up = params["layers"]["mlp"]["up"]
        up["kernel"] = jnp.asarray(up["kernel"]).at[1].set(0.5)
        return params

    monkeypatch.setattr(outputs.hub, "load_params", damaged)
    with pytest.raises(UserError, match="gives other numbers"):
        run_export(trained / "checkpoints" / "2", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_reads_text_differently_does_not_appear(trained, tmp_path, monkeypatch):
    load = tokenization.load

    def other(path):
        tokenizer = load(path)
        if ".out" in path:
            tokenizer.backend_tokenizer.normalizer = outputs.tokenization.normalizers.Lowercase()
        return tokenizer

    monkeypatch.setattr(outputs.tokenization, "load", other)
    with pytest.raises(UserError, match="differently"):
        run_export(trained, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_rows_to_check_with_may_be_given(trained, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    record = {"prompt": "Say it.", "chosen": "It is said.", "rejected": "No!"}
    pairs.write_text(json.dumps(record) + "\n")
    folder = shutil.copytree(trained / "model", tmp_path / "folder")
    with pytest.raises(UserError, match="give some with --data"):
        run_export(folder, tmp_path / "out")
    out = run_export(folder, tmp_path / "out", data=str(pairs))
    np.testing.assert_equal(
        load_file(out / "model.safetensors"), load_file(folder / "model.safetensors")
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"checkpoint": ""}, "no checkpoint given; set --checkpoint=DIR"),
        ({"output": ""}, "no output given"),
        ({"checkpoint": "nowhere"}, "no such folder: nowhere"),
        ({"dtype": "int8"}, "--dtype is 'int8'; choose one of float32, bfloat16"),
        ({"adapter": True}, "has no adapters"),
        ({"adapter": True, "dtype": "bfloat16"}, "leave out --dtype"),
    ],
)
def test_a_mistake_is_said(trained, tmp_path, flags, message):
    values = {"checkpoint": str(trained), "output": str(tmp_path / "out"), **flags}
    with pytest.raises(UserError, match=message):
        run_export(**values)
    assert not (tmp_path / "out").exists()


def test_a_model_goes_to_the_hub_with_its_evaluation(trained, tmp_path, monkeypatch, capsys):
    with fake_hub.running(monkeypatch) as hub:
        run_export(trained, "", push="org/rm")
        assert f"on the hub: {hub.address}/org/rm" in capsys.readouterr().out
        files = hub.repos["org/rm"]
        assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files.keys()
        data = ModelCard(files["README.md"].decode()).data
        summary = json.loads((trained / "summary.json").read_text())["eval"]["after"]
        found = {result.metric_name: result.metric_value for result in data.eval_results}
        assert found == {
            f"accuracy, {level}": pytest.approx(summary[f"{level}_accuracy"], abs=1e-4)
            for level in ("base", "intra", "inter")
        }
        mapl_jax.export_model(str(trained), push="org/python", private=True)
        assert hub.private["org/python"] and hub.repos["org/python"].keys() == files.keys()
        # Nothing is loaded for a hub that does not take it.
        hub.answers["/api/whoami-v2"] = 401
        with pytest.raises(UserError, match="does not accept the token"):
            run_export("nowhere", tmp_path / "out", push="org/rm")
        with pytest.raises(UserError, match="does not accept the token"):
            mapl_jax.export_model("nowhere", push="org/rm")
    with pytest.raises(UserError, match="--private is for the hub"):
        run_export(trained, tmp_path / "out", private=True)
    with pytest.raises(UserError, match="set folder, or push=org/name"):
        mapl_jax.export_model(str(trained))


def test_a_folder_of_other_things_is_left_alone(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        run_export(trained, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_command_explains_itself_and_fails_in_one_line():
    text = run("export", "--help").stdout
    assert all(f"--{name}=" in text for name in ("checkpoint", "output", "dtype", "data"))
    result = run("export", "--chekpoint=nowhere")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "chekpoint" in line
