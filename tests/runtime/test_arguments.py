"""Command lines may be written in several ways, and mean the same."""

import pytest

from mapl_jax import evaluate, train
from mapl_jax.runtime import arguments, config
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesize import CommandSettings

RM = config.FOLDER / "rm.py"


def normal(*given, settings=train.Settings):
    return arguments.normal(given, {"workdir", "quiet", "seedling"}, [settings])


@pytest.mark.parametrize("name", ["rm", "rm.py", "configs/rm.py"])
def test_a_config_of_the_package_is_found_by_its_names(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert normal(f"--config={name}") == [f"--config={RM}"]
    assert normal("--config", f"{name}:small") == [f"--config={RM}:small"]
    assert config.load_config(f"{name}:small").name == "rm-small"


def test_a_file_of_ones_own_comes_first(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "rm.py").touch()
    assert normal("--config=configs/rm.py") == ["--config=configs/rm.py"]
    assert normal("--config=rm") == [f"--config={RM}"]


@pytest.mark.parametrize("name", ["no", "no.py", "../configs/rm", "", "."])
def test_any_other_name_stays_and_is_told_by_who_opens_it(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert normal(f"--config={name}") == [f"--config={name}"]


@pytest.mark.parametrize(
    "given, meant",
    [
        ("--train.steps=4", "--config.train.steps=4"),
        ("-train.steps=4", "--config.train.steps=4"),
        ("--train.steps", "--config.train.steps"),
        ("--seed=1", "--config.seed=1"),
        ("--optim.lr=1", "--config.optim.lr=1"),
        ("--data.train=a=b\nc", "--config.data.train=a=b\nc"),
        ("--nodata.instructions", "--noconfig.data.instructions"),
        ("--config.seed=1", "--config.seed=1"),
        ("--noconfig.data.instructions", "--noconfig.data.instructions"),
        ("--quiet", "--quiet"),
        ("--noquiet", "--noquiet"),
        ("--seedling=1", "--seedling=1"),
        ("train.jsonl", "train.jsonl"),
        ("--", "--"),
        ("-", "-"),
    ],
)
def test_fields_need_no_prefix(given, meant):
    assert normal(given) == [meant]


def test_commands_without_a_config_read_their_arguments_as_they_are():
    assert arguments.normal(["--config", "a", "--x.y=1"], (), []) == ["--config", "a", "--x.y=1"]


TOML = """
seed = 5
output = "a b"
overwrite = true
[synthesis]
families = ["punctuation:no_comma", "punctuation:commas"]
places = "before=0.1"
min_share = 1e-4
"""
YAML = """
seed: 5
output: a b
overwrite: true
synthesis:
  families: [punctuation:no_comma, punctuation:commas]
  places: before=0.1
  min_share: 1e-4
"""


@pytest.mark.parametrize("name, text", [("my.toml", TOML), ("my.yaml", YAML), ("my.YML", YAML)])
def test_a_file_of_overrides_stands_between_the_config_and_the_command_line(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    found = normal(
        "--seed=6", f"--overrides={tmp_path / name}", "--config=rm", settings=CommandSettings
    )
    assert found[0] == f"--config={RM}" and found[-1] == "--config.seed=6"
    assert [line.replace("1e-4", "0.0001") for line in found[1:-1]] == [
        "--config.seed=5",
        "--config.output=a b",
        "--config.overwrite=True",
        "--config.synthesis.families=punctuation:no_comma,punctuation:commas",
        "--config.synthesis.places=before=0.1",
        "--config.synthesis.min_share=0.0001",
    ]


def laughs(first, opens, closes):
    """A file of YAML of which aliases make 9 ** 11 values."""
    lines = [f"a0: &a0 {first}"]
    for i in range(1, 12):
        names = ("" if opens == "[" else f"b{j}: " for j in range(9))
        lines.append(
            f"a{i}: &a{i} {opens}{', '.join(f'{name}*a{i - 1}' for name in names)}{closes}"
        )
    return "\n".join(lines)


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.toml", "seed = ", "a.toml: Invalid value"),
        ("a.yaml", "a: 1\nb: [2\n", r"a.yaml: line 3: expected ',' or '\]'"),
        ("a.yaml", "- 1", "a.yaml: it must hold fields"),
        ("a.yaml", "", "a.yaml: it must hold fields"),
        ("a.yaml", "seed:", "a.yaml: seed is None; it must be text, a number or true, false"),
        ("a.yaml", "a: {b: [{}]}", r"a.yaml: a.b is \[{}\]"),
        ("a.yaml", b"\xff", "a.yaml: .*utf-8"),
        ("a.json", "{}", "a.json: name a file that ends in .toml, .yaml, .yml"),
        ("a.toml", "a" + ".a" * 12 + " = 1", "a.toml: it holds .* sections in sections"),
        ("a.yaml", "a: &a {b: *a}", "a.yaml: it holds .* sections in sections"),
        ("a.yaml", laughs("{x: 1}", "{", "}"), "a.yaml: it holds more than 2000 fields"),
        ("a.yaml", laughs("[x]", "[", "]"), r"a.yaml: a1 is \[\['x'\]"),
        ("a.yaml", "a: &a\n  - *a", r"a.yaml: a is \[\[\["),
        ("a.yaml", "seed: 0x" + "f" * 4000, "a.yaml: Exceeds the limit"),
        ("a.toml", "a = " + "[" * 5000, "a.toml: it has more than 2000 lines, or 4096 characters"),
        ("a.yaml", "#\n" * 2001, "a.yaml: it has more than 2000 lines"),
        ("none.toml", None, "none.toml: No such file"),
    ],
)
def test_a_file_that_holds_no_fields_is_named(name, text, message, tmp_path):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        normal(f"--overrides={tmp_path / name}")


def test_what_is_given_goes_before_what_the_demonstration_changes():
    values = {"train.learning_rate": 2e-4, "loss.type": "ipo", "demo.loss.type": "hinge"}
    demo = config.load_config("dpo", values).demo
    assert demo.train.learning_rate == 2e-4
    assert (demo.loss.type, demo.loss.base) == ("hinge", 0.2)
    given = ["--config=x", "--config.loss.type=a=b", "--noconfig.train.trunk", "--lost_after=5"]
    assert arguments.fields_in(given) == {"loss.type", "train.trunk"}


def test_a_name_that_is_field_and_flag_is_what_the_use_of_the_command_takes():
    flags, classes = ("compare", "output"), [evaluate.Settings]
    scoring = ["--config=evaluate", "--output=here"]
    own = arguments.own_flags(scoring, flags, ["compare"], classes)
    assert own == {"compare"}
    assert arguments.normal(scoring, own, classes)[1] == "--config.output=here"
    comparing = ["--compare", "a", "b", "--output=page.html"]
    own = arguments.own_flags(comparing, flags, ["compare"], classes)
    assert arguments.normal(comparing, own, classes) == comparing
