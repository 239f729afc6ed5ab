"""--help of every command names every flag and every field, with units and defaults."""

import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mapl_jax import evaluate, generate, synthesize, train
from mapl_jax.evaluation import ifeval, scored_file
from mapl_jax.runtime import config, settings
from mapl_jax.study.settings import Settings as StudySettings

ROOT = Path(__file__).parents[2]
COMMANDS = {
    path.stem: re.search(r'cli\.launch\(\s*main.*?config="([^"]*)"', path.read_text(), re.S)
    for path in sorted((ROOT / "mapl_jax").glob("*.py"))
    if "cli.launch(" in path.read_text()
}
RUNS = ("rm", "rm:small", "rm:tiny", "rm:qwen2.5-7b", "sft", "dpo", "dpo:pretrained", "bench")
SYNTHESES = ("synthesize", "synthesize:demo", "synthesize:held_out")
CONFIGS = {
    **dict.fromkeys(RUNS, train.Settings),
    **dict.fromkeys(SYNTHESES, synthesize.CommandSettings),
    "evaluate": evaluate.Settings,
    "evaluate:ifeval": ifeval.IfevalSettings,
    "evaluate:score": scored_file.ScoreSettings,
    "generate": generate.Settings,
    "study": StudySettings,
}


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
    if flags := getattr(module, "Flags", None):
        assert set(settings.fields_of(flags)) <= said.keys()
    if COMMANDS[name]:
        fields = {field for field, _ in config.fields(config.load_config(COMMANDS[name][1]))}
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


def test_a_reader_of_the_help_may_stop_reading():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "mapl_jax.export", "--help"]
    made = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (made.returncode, made.stderr) == (0, b"")


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_help_begins_with_what_most_runs_set_and_goes_on_by_section(monkeypatch, capsys):
    text = help_of("train", monkeypatch, capsys)
    few, rest = text.partition("most used:")[2].split("general:")
    assert 5 < few.count("--config.") < 15
    for name in ("data.train", "model.path", "train.learning_rate"):
        assert f"--config.{name}=" in few and f"--config.{name}=" not in rest
    heads = re.findall(r"^(\w+):$", rest, re.M)
    assert heads[:2] == ["data", "tokenizer"]
    assert len(heads) == len(set(heads))


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_configs_are_found_from_anywhere(monkeypatch, capsys, tmp_path):
    def shown(config):
        return help_of("train", monkeypatch, capsys, f"--config={config}", folder=tmp_path)

    assert entries(shown("configs/rm.py:tiny"))["config.model.width"].endswith("(default: 32)")
    (tmp_path / "configs").mkdir()
    own = (
        (ROOT / "configs" / "rm.py")
        .read_text()
        .replace("config.objective =", "config.seed = 77\n    config.objective =")
    )
    (tmp_path / "configs" / "rm.py").write_text(own)
    assert entries(shown("configs/rm.py"))["config.seed"].endswith("(default: 77)")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_is_what_its_settings_class_takes(name):
    values = config.load_config(name).to_dict()
    settings.from_section(CONFIGS[name], values)
    for field in settings.described(CONFIGS[name], values):
        assert field.about.help, field.name


def test_every_field_stands_in_a_config():
    for cls in set(CONFIGS.values()):
        names = set()
        for name in CONFIGS:
            if CONFIGS[name] is cls:
                fields = settings.described(cls, config.load_config(name).to_dict())
                names |= {field.name.removeprefix("demo.") for field in fields}
        for name, field in settings.every_field(cls):
            assert field.section or field.about.part_of_all or name in names, name


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_say_their_units(name):
    units = {
        r"(max|row)_length|max_new_tokens|logp_chunk": "token",
        r"(log|eval|save)_every|warmup": "step",
        r"rows_per_batch": "rows|responses",
        r"reference|shard_size": "[Pp]airs|another|compared with",
    }
    for field in settings.described(CONFIGS[name], config.load_config(name).to_dict()):
        for pattern, unit in units.items():
            if re.fullmatch(rf"(.*\.)?({pattern})", field.name):
                assert re.search(unit, field.about.help), field


def test_help_waits_for_no_library_that_it_does_not_need():
    heavy = ("datasets", "grain", "orbax", "scipy", "tensorboardX", "torch", "transformers")
    code = f"import sys, mapl_jax.train; print(*[x for x in {heavy} if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
