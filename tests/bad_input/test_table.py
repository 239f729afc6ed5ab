"""Every malformed input of the table ends in its line, with status 2 and nothing written."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

import mapl_jax
from mapl_jax.__main__ import COMMANDS

spec = importlib.util.spec_from_file_location("table", Path(__file__).with_name("table.py"))
table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(table)


WITH_WORKDIR = ("train", "synthesize", "study")


def lines():
    """Command, config, argument and what is said of it."""
    for (name, config), fields in table.SETTINGS.items():
        for field, (said, values) in fields.items():
            for value in values:
                shown = f"{field} is .*; it must be {re.escape(said)}$"
                yield name, config, f"--config.{field}={value}", shown
    for (name, config), fields in table.CHOICES.items():
        for field, said in fields.items():
            yield name, config, f"--config.{field}=nonsense", f"{field} is 'nonsense'; {said}"
    yield from table.FLAGS


def test_there_are_hundreds():
    assert len(list(lines())) + len(list(places())) + len(table.PLAIN) > 480
    assert len(list(table.calls())) > 200
    assert {name for name, *_ in [*lines(), *table.PLAIN]} == set(COMMANDS)
    assert {name for name, *_ in table.calls()} == set(mapl_jax.__all__) - {
        "Evaluation",
        "UserError",
    }


@pytest.mark.parametrize("command_name", ["train", "evaluate", "generate", "synthesize", "other"])
def test_a_command_says_its_line(command_name, bench, preset):
    known = ("train", "evaluate", "generate", "synthesize")
    wrong = []
    for name, config, argument, said in lines():
        if (name if name in known else "other") == command_name:
            more = [f"--workdir={bench.out}"] if name in WITH_WORKDIR else []
            try:
                bench.refuses(said, name, preset(config), argument, *more)
            except AssertionError as error:
                wrong.append(f"{name} {argument[:80]}: {str(error)[:200]}, not {said}")
    assert not wrong, "\n".join(wrong)


def places():
    """Command, config, a field with what is no place, what else is given, and what is said."""
    for (name, config), (fields, more) in table.PLACES.items():
        for field in fields.split():
            rest = [f"--config.{x}" for x in more.split() if not x.startswith(f"{field}=")]
            for value, said in table.NO_PLACES.items():
                yield name, config, f"--config.{field}={value}", rest, said


def test_what_is_no_place_is_said(bench, preset):
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    wrong = []
    for name, config, argument, rest, said in places():
        rest = [text.replace("SHARED", str(bench.shared)) for text in rest]
        if name in WITH_WORKDIR:
            rest.append(f"--workdir={bench.out}")
        try:
            bench.refuses(said, name, preset(config), argument, *rest)
        except AssertionError as error:
            wrong.append(f"{name} {argument[:80]}: {str(error)[:300]}, not {said}")
    assert not wrong, "\n".join(wrong)


def test_a_command_without_a_config_says_its_line(bench):
    wrong = []
    for name, given, said in table.PLAIN:
        try:
            # Whatever else listens on this machine.
            port = ["--port=0"] if name == "serve" and "--port" not in given else []
            bench.refuses(said, name, *given.replace("SHARED", str(bench.shared)).split(), *port)
        except AssertionError as error:
            wrong.append(f"{name} {given}: {str(error)[:300]}, not {said}")
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def models(shared):
    named = {table.REWARD: "reward", table.POLICY: "policy"}
    loaded = {words: mapl_jax.load_model(shared / name) for words, name in named.items()}
    configs = {table.CONFIG: "rm:tiny", table.OTHER: "evaluate"}
    return loaded | {words: mapl_jax.load_config(name) for words, name in configs.items()}


def test_a_function_says_its_line(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = []
    for name, arguments, options, said in table.calls():
        given = [models.get(x, x) if isinstance(x, str) else x for x in arguments]
        try:
            named = {
                key: models.get(x, x) if isinstance(x, str) else x for key, x in options.items()
            }
            found = f"returned {getattr(mapl_jax, name)(*given, **named)!r}"
        except mapl_jax.UserError as error:
            found = str(error)
            if "\n" not in found and re.search(said, found):
                continue
        except Exception as error:
            found = repr(error)
        wrong.append(f"{name}{arguments!r:.80} {options}: {found:.200}, not {said}")
    assert not wrong, "\n".join(wrong)
    assert not list(tmp_path.iterdir())
