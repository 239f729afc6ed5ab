"""--help of every command names every flag and every field, with units and defaults."""

import importlib
import re
import runpy
import sys
from pathlib import Path

import pytest

from mapl_jax.runtime import config as configuration

ROOT = Path(__file__).parents[2]
COMMANDS = {
    path.stem: re.search(r'cli\.launch\(\s*main.*?config="([^"]*)"', path.read_text(), re.S)
    for path in sorted((ROOT / "mapl_jax").glob("*.py"))
    if "cli.launch(" in path.read_text()
}
CONFIGS = [
    *("rm", "rm:small", "rm:qwen2.5-7b", "sft", "dpo", "dpo:pretrained", "bench"),
    *("evaluate", "evaluate:ifeval", "generate", "synthesize", "synthesize:held_out", "study"),
]


def help_of(name, monkeypatch, capsys, *arguments, folder=ROOT):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [f"mapl_jax/{name}.py", *arguments, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"mapl_jax.{name}", run_name="__main__", alter_sys=True)
    assert ended.value.code == 0
    return capsys.readouterr().out


def entries(text):
    """Flag -> what is said of it."""
    found = re.findall(r"^  --(\S+)\n((?: {8}.*\n?)+)", text, re.M)
    return {name.rstrip("=").removeprefix("[no]"): " ".join(said.split()) for name, said in found}


def test_every_command_is_known():
    names = {"train", "evaluate", "generate", "export", "synthesize", "plan", "bench"}
    assert names <= COMMANDS.keys()


# A command may have been imported before it runs; nothing it shows depends on that.
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_everything(name, monkeypatch, capsys):
    text = help_of(name, monkeypatch, capsys)
    module = importlib.import_module(f"mapl_jax.{name}")
    assert text.startswith(module.__doc__.strip())
    said = entries(text)
    assert {"quiet", "verbose", "debug", "help"} <= said.keys()
    for flag, about in said.items():
        assert flag == "config" or "(default: " in about, flag
        assert len(about.partition("(default: ")[0]) > 5, flag
    source = (ROOT / "mapl_jax" / f"{name}.py").read_text()
    for flag in re.findall(r'^ {4}"(\w+)": cli\.Flag\(', source, re.M):
        assert flag in said
    if COMMANDS[name]:
        config = configuration.load(COMMANDS[name][1])
        fields = {field for field, _ in configuration.fields(config)}
        # Configs inside this one, which have files of their own.
        fields = {field for field in fields if not field.startswith(("sft.", "reward.", "dpo."))}
        assert {f"config.{field}" for field in fields} <= said.keys()
        assert {"config", "workdir"} <= said.keys()
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_help_shows_the_config_that_is_named(monkeypatch, capsys):
    text = help_of("train", monkeypatch, capsys, "--config=configs/dpo.py:pretrained")
    assert "fields of configs/dpo.py:pretrained" in text
    assert "default: 1e-06" in entries(text)["config.train.learning_rate"]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_configs_are_found_from_anywhere(monkeypatch, capsys, tmp_path):
    def shown(config):
        return help_of("train", monkeypatch, capsys, f"--config={config}", folder=tmp_path)

    assert "default: 32)" in shown("configs/rm.py:tiny")
    (tmp_path / "configs").mkdir()
    own = (ROOT / "configs" / "rm.py").read_text().replace("config.seed = 0", "config.seed = 77")
    (tmp_path / "configs" / "rm.py").write_text(own)
    assert entries(shown("configs/rm.py"))["config.seed"].endswith("(default: 77)")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_of_every_config_is_explained(name):
    for field in configuration.described(name):
        assert field.about, field.name


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_say_their_units(name):
    units = {
        r"(max|row)_length|max_new_tokens|logp_chunk": "token",
        r"(log|eval|save)_every|warmup": "step",
        r"rows_per_batch": "rows|responses",
        r"reference|shard_size": "[Pp]airs|another",
    }
    for field in configuration.described(name):
        for pattern, unit in units.items():
            if re.fullmatch(rf"(.*\.)?({pattern})", field.name):
                assert re.search(unit, field.about), field
