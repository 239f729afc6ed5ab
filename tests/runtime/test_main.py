"""`python -m mapl_jax` lists the commands."""

import importlib.util
import os
import subprocess
import sys

import pytest

import mapl_jax
from mapl_jax import __main__ as commands


def run(*arguments):
    line = [sys.executable, "-m", "mapl_jax", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def test_every_command_has_a_line_of_its_own():
    for arguments in ((), ("--help",)):
        process = run(*arguments)
        assert process.returncode == 0, process.stderr
        lines = process.stdout.splitlines()[2:]
        assert [line.split()[0] for line in lines] == list(commands.COMMANDS)
        assert "  train       Trains a reward model or a policy" in lines
        assert all(len(line.split()) >= 3 and "python -m" not in line for line in lines)
        assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_is_there(name):
    assert importlib.util.find_spec(f"mapl_jax.{name}")


def test_the_version_is_told():
    assert run("--version").stdout == f"mapl_jax {mapl_jax.__version__}\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_an_output_without_room_is_one_line(argument):
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-m", "mapl_jax", argument]
        process = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (process.returncode, process.stderr) == (2, "error: no space left on the disk\n")


@pytest.mark.parametrize(
    "name, hint", [("trian", "did you mean train?"), ("x", "choose one of train, synthesize")]
)
def test_an_unknown_command_is_a_mistake(name, hint):
    process = run(name)
    assert process.returncode == 2
    assert process.stderr.startswith(f"error: unknown command {name}; {hint}")


def test_a_command_runs_by_its_name_with_flags_in_every_form(tmp_path):
    overrides = tmp_path / "my.toml"
    overrides.write_text("k_max = 3\nk_min = 1\n")
    flags = ("--config=synthesize", f"--overrides={overrides}", "--k_min=4")
    process = run("synthesize", *flags)
    assert process.returncode == 2
    assert "k_min (4) must not exceed k_max (3)" in process.stderr
