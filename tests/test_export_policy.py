"""A policy from demonstrations to adapters to a folder for others, as a reward model goes."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from mapl_jax import train
from mapl_jax.runtime import cli
from mapl_jax.runtime.errors import UserError
from mapl_jax.training.metrics import read_metrics

from support import config_of, run_export, write_lines
from support import run as run_command

pytestmark = pytest.mark.slow

TINY = {
    "data.demo_pairs": 60,
    "train.rows_per_batch": 4,
    "train.steps": 3,
    "train.log_every": 1,
    "eval.samples": 4,
    "eval.resamples": 20,
}


def run_training(name, folder, **changes):
    config = config_of(name, {**TINY, **changes})
    train.main(cli.Arguments(config, str(folder), "python -m mapl_jax.train ..."))
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A policy from demonstrations."""
    return run_training(
        "sft",
        tmp_path_factory.mktemp("taught") / "run",
        **{
            "tokenizer.vocab_size": 512,
            "model.width": 32,
            "model.mlp_width": 64,
            "mesh.fsdp": 2,
            "mesh.tensor": 2,
        },
    )


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, taught):
    """Adapters trained on preferences beside it."""
    return run_training(
        "dpo",
        tmp_path_factory.mktemp("adapted") / "run",
        **{
            "model.path": str(taught / "model"),
            "lora.rank": 4,
            "lora.targets": "q,v",
            "train.learning_rate": 0.05,
            "mesh.fsdp": 2,
            "mesh.tensor": 2,
        },
    )


def test_an_export_is_the_model_of_the_run(taught, tmp_path):
    out = run_export(taught, tmp_path / "out")
    for path in (taught / "model").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    assert "score.weight" not in load_file(out / "model.safetensors")
    assert "AutoModelForCausalLM" in (out / "README.md").read_text()


def test_a_policy_in_bf16(taught, tmp_path):
    out = run_export(taught, tmp_path / "out", dtype="bfloat16")
    tensors = load_file(out / "model.safetensors").values()
    assert {str(tensor.dtype) for tensor in tensors} == {"bfloat16"}


def test_the_frozen_base_is_the_reference(adapted):
    first = next(x for x in read_metrics(adapted / "metrics.jsonl") if x["split"] == "train")
    levels = [level for level in ("base", "intra", "inter") if f"{level}_count" in first]
    assert first["loss"] == pytest.approx(len(levels) * np.log(2), abs=1e-5)
    summary = json.loads((adapted / "summary.json").read_text())
    assert summary["trained_parameters"] < summary["parameters"] / 2


def test_merging_changes_the_targets_and_nothing_else(taught, adapted):
    before, after = (load_file(f / "model" / "model.safetensors") for f in (taught, adapted))
    assert before.keys() == after.keys()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {
        f"model.layers.{i}.self_attn.{name}_proj.weight" for i in (0, 1) for name in "qv"
    }


def test_adapters_alone(adapted, tmp_path):
    out = run_export(adapted, tmp_path / "out", adapter=True)
    content = json.loads((out / "adapter_config.json").read_text())
    assert content["task_type"] == "CAUSAL_LM" and not content.get("modules_to_save")
    assert content["target_modules"] == ["q_proj", "v_proj"]
    assert len(load_file(out / "adapter_model.safetensors")) == 2 * 2 * 2
    assert "PeftModel.from_pretrained" in (out / "README.md").read_text()


def test_a_policy_without_adapters_has_none_to_export(taught, tmp_path):
    with pytest.raises(UserError, match="has no adapters"):
        run_export(taught, tmp_path / "out", adapter=True)
    assert not (tmp_path / "out").exists()


def largest(folder, pattern):
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def flip(content):
    """With one bit in the middle changed."""
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


DAMAGE = {
    "flipped": flip,
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "of another shape": lambda _: b'[{"a": null}]',
}


@pytest.mark.parametrize("damage", [*DAMAGE, "gone"])
@pytest.mark.parametrize(
    "name",
    [
        "adapters",
        "seal of the checkpoint",
        "tokenizer/tokenizer.json",
        "tokenizer/chat_template.jinja",
        "tokenizer/checksums.json",
        "config.json",
        "frozen base",
    ],
)
def test_a_damaged_run_answers_as_before_or_says_in_one_line_what_is_damaged(
    adapted, taught, tmp_path, name, damage
):
    run, base = tmp_path / "run", tmp_path / "base"
    shutil.copytree(adapted, run)
    shutil.copytree(taught / "model", base)
    config = json.loads((run / "config.json").read_text())
    config["model"]["path"] = str(base)
    (run / "config.json").write_text(json.dumps(config))
    checkpoint = largest(run, "checkpoints/*")
    path = {
        "adapters": lambda: largest(checkpoint, "params/**/d/*"),
        "seal of the checkpoint": lambda: checkpoint / "checksums.json",
        "frozen base": lambda: base / "model.safetensors",
    }.get(name, lambda: run / name)()
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(DAMAGE[damage](content))
    prompts = write_lines(tmp_path / "prompts.jsonl", {"prompt": "Why?"})

    def answers(checkpoint):
        arguments = (f"--checkpoint={checkpoint}", f"--input={prompts}", "--max_new_tokens=4")
        return run_command("generate", *arguments, config="generate")

    told = answers(run)
    if told.returncode == 0:
        assert told.stdout == answers(adapted).stdout
    else:
        errors = [line for line in told.stderr.splitlines() if line.startswith("error: ")]
        assert told.returncode == 2 and len(errors) == 1, told.stderr
        assert "Traceback" not in told.stderr
