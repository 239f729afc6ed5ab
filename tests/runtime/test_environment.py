"""Variables that JAX or XLA does not take end a command in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mapl_jax.runtime import environment
from mapl_jax.runtime.errors import UserError

ROOT = Path(__file__).parents[2]


def said_by(variables, *arguments):
    """Status and error lines of a training that would have begun otherwise."""
    found = subprocess.run(
        [sys.executable, "-m", "mapl_jax.train", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("JAX_ENABLE_X64", "maybe"), ("JAX_COMPILATION_CACHE_MAX_SIZE", "x")]
)
def test_a_variable_that_jax_does_not_take_is_one_line(name, value):
    line = f"error: the variable {name} is {value!r}, which JAX does not take; change it, or unset"
    status, said = said_by({name: value}, "--config=rm:tiny")
    assert status == 2
    assert said.startswith(line) and said.count("\n") == 1


def test_debug_shows_where_jax_read_it():
    status, said = said_by({"JAX_ENABLE_X64": "maybe"}, "--config=rm:tiny", "--debug")
    assert status == 1
    assert said.startswith("Traceback")


def test_a_flag_that_xla_does_not_know_is_one_line(tmp_path):
    arguments = ["--config=rm:tiny", f"--workdir={tmp_path / 'run'}"]
    status, said = said_by({"XLA_FLAGS": "--xla_nope=1"}, *arguments)
    assert status == 2
    assert said == (
        "error: XLA does not take XLA_FLAGS: Unknown flag in XLA_FLAGS: --xla_nope=1; change the "
        "variable, or unset it\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--xla_force_host_platform_device_count=x", "Couldn't interpret value x for flag xla_fo"),
        ("nowhere", 'Could not open file "nowhere" to read flags for environment variable'),
        ("--xla_nope", "Unknown flag in XLA_FLAGS: --xla_nope"),
    ],
)
def test_what_xla_says_of_flags_is_said(flags, said, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", flags)
    with pytest.raises(UserError, match=said) as error:
        environment.check_flags()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("flags", ["", " ", "--xla_force_host_platform_device_count=2"])
def test_flags_that_xla_takes_are_taken(flags, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", flags)
    environment.check_flags()
