"""Presets say what they do, and their shapes are those of the published models."""

import functools
import importlib.util
import math
import re
from pathlib import Path

import jax
import pytest

from mapl_jax import constraints
from mapl_jax.data import tokenization
from mapl_jax.models import families, lora, published
from mapl_jax.models.heads import ScoreHead
from mapl_jax.runtime.config import load_config
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import trainer
from mapl_jax.training.settings import run_settings

ROOT = Path(__file__).parents[1]


@functools.cache
def configs():
    spec = importlib.util.spec_from_file_location("rm_config", ROOT / "configs" / "rm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Parameters of the published models without an output matrix of their own, in millions: what their
# model cards say, less vocab_size * hidden_size where embeddings are not tied.
PUBLISHED = {
    "smollm2-135m": 134.5,
    "qwen2.5-0.5b": 494.0,
    "qwen2.5-1.5b": 1543.7,
    "qwen2.5-7b": 7615.6 - 152.064 * 3.584,
    "llama-3.2-1b": 1235.8,
    "llama-3.1-8b": 8030.3 - 128.256 * 4.096,
    "gemma-2-2b": 2614.3,
}
supported = pytest.mark.parametrize(
    "preset",
    [
        pytest.param(
            preset,
            marks=pytest.mark.skipif(
                published.SHAPES[path]["model_type"] not in families.FAMILIES,
                reason=f"the family {published.SHAPES[path]['model_type']} is not supported",
            ),
        )
        for preset, (path, _) in configs().PRETRAINED.items()
    ],
)


def parameters(preset):
    model = published.config(configs().PRETRAINED[preset][0])
    return sum(math.prod(x.shape) for x in jax.tree.leaves(ScoreHead().abstract_params(model)))


@supported
def test_shapes_are_those_of_the_published_models(preset):
    assert parameters(preset) / 1e6 == pytest.approx(PUBLISHED[preset], rel=2e-4)


@supported
def test_the_memory_in_the_docstring_is_what_the_formula_gives(preset):
    path, devices = configs().PRETRAINED[preset]
    (line,) = re.findall(rf"^    {re.escape(preset)} .*$", configs().__doc__, re.MULTILINE)
    assert path in line and f"{devices} device" in line
    assert float(line.split()[-1]) == round(20 * parameters(preset) / devices / 1e9, 1)
    room = float(re.search(r"(\d+) GB", line).group(1))
    assert float(line.split()[-1]) < 0.8 * room


@pytest.mark.parametrize("preset", configs().PRETRAINED)
def test_a_pretrained_preset_has_the_settings_of_the_paper(preset):
    config = configs().get_config(preset)
    path, devices = configs().PRETRAINED[preset]
    assert config.model.path == path and path in published.SHAPES
    assert config.train.learning_rate == 1e-5
    assert config.train.schedule == "cosine" and config.train.warmup == 10
    assert config.train.dtype == "bfloat16" and config.synthesis.families == "train"
    assert config.train.rows_per_batch * config.data.row_length == 64 * 1024
    assert config.train.rows_per_batch % (config.train.accumulation * devices) == 0
    assert (config.train.b1, config.train.b2) != (0.9, 0.98)


def first(config, tokenizer):
    settings = run_settings(config.to_dict())
    return trainer.first_parameters(settings, tokenizer, trainer.objective_of(settings).head)


def leaves(tree):
    for key, value in tree.items():
        yield from leaves(value) if isinstance(value, dict) else [key]


def test_every_field_is_named_where_configs_are_read():
    source = "\n".join(path.read_text() for path in (ROOT / "mapl_jax").rglob("*.py"))
    for name in leaves(configs().get_config().to_dict()):
        assert re.search(rf"(\w\.|\[?\"){name}\b", source), name


def test_the_frozen_base_has_the_type_of_the_computation():
    config = configs().get_config()
    config.update_from_flattened_dict(
        {"model.width": 16, "model.layers": 1, "lora.rank": 2, "train.dtype": "bfloat16"}
    )
    source = first(config, tokenization.train(["a b c"] * 3, 300))
    model, make = source.model, source.make
    alone = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    params = make(jax.tree.map(lambda _: alone, ScoreHead().abstract_params(model)))
    trainable, frozen = lora.split(params, model.lora)
    assert {str(x.dtype) for x in jax.tree.leaves(trainable)} == {"float32"}
    assert {str(x.dtype) for x in jax.tree.leaves(frozen)} == {"bfloat16"}


def test_presets_differ_from_the_demonstration_in_values_only():
    def names(tree, prefix=""):
        return {
            name
            for key, value in tree.items()
            for name in (
                names(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
            )
        }

    fields = [names(configs().get_config(preset).to_dict()) for preset in configs().PRESETS]
    assert all(found == fields[0] for found in fields)


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(UserError, match="choose one of demo, small, tiny, smollm2-135m"):
        configs().get_config("gpt-2")


def test_a_shape_without_weights_starts_from_scratch(monkeypatch):
    tiny = {**published.SHAPES["Qwen/Qwen2.5-0.5B"], "num_hidden_layers": 1, "vocab_size": 512}
    tiny |= {"hidden_size": 56, "intermediate_size": 64}
    monkeypatch.setitem(published.SHAPES, "org/tiny", tiny)
    tokenizer = tokenization.train(["a b c"] * 3, 300)
    config = configs().get_config("qwen2.5-0.5b")
    config.model.shape = "org/tiny"
    with pytest.raises(UserError, match="leave one of them empty"):
        first(config, tokenizer)
    config.model.path = ""
    source = first(config, tokenizer)
    model, make = source.model, source.make
    assert (model.vocab_size, model.width, model.rope_theta) == (512, 56, 1e6)
    shapes = ScoreHead().abstract_params(model)
    alone = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    params = make(jax.tree.map(lambda _: alone, shapes))
    assert jax.tree.map(lambda x: x.shape, params) == jax.tree.map(lambda x: x.shape, shapes)
    config.model.shape = "org/other"
    with pytest.raises(UserError, match="no model shape is called 'org/other'"):
        first(config, tokenizer)


@pytest.mark.parametrize("name", ["rm", "rm:small", "dpo", "study:smollm2", "study"])
def test_presets_train_on_no_family_that_is_held_out(name):
    families = load_config(name).synthesis.families.split(",")
    assert not set(families) & set(constraints.ids(held_out=True))
