"""What is said goes through one place; how loud, and how far work has come, is decided there."""

import ast
import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mapl_jax
from mapl_jax.runtime import console

PACKAGE = Path(mapl_jax.__file__).parent


@pytest.fixture(autouse=True)
def normal():
    yield
    console.set_verbosity("normal")


def speak():
    console.result("result")
    console.say("note", "and another")
    console.detail("detail")
    console.warn("careful")
    console.error("wrong")


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("quiet", ["result"]),
        ("normal", ["result", "note", "and another"]),
        ("verbose", ["result", "note", "and another", "detail"]),
    ],
)
def test_levels(level, heard, capsys):
    console.set_verbosity(level)
    speak()
    output = capsys.readouterr()
    assert output.out.splitlines() == heard
    assert output.err.splitlines() == ["warning: careful", "error: wrong"]


def test_only_the_first_process_speaks(monkeypatch, capsys):
    monkeypatch.setattr(console, "speaks", lambda: False)
    speak()
    with console.progress("scoring") as show:
        show(1, 2)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == ["error: wrong"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    for name in ("perf_counter", "time"):
        monkeypatch.setattr(f"time.{name}", lambda: now[0])
    return now


def progress_of(seconds, clock):
    with console.progress("scoring", "rows") as show:
        for second in range(seconds):
            clock[0] += 1
            show(second + 1, seconds)


def test_a_bar_appears_on_a_terminal_after_two_seconds(monkeypatch, clock):
    for seconds, seen in ((2, False), (6, True)):
        monkeypatch.setattr(sys, "stderr", Terminal())
        progress_of(seconds, clock)
        assert ("scoring" in sys.stderr.getvalue()) is seen
        assert "\n" not in sys.stderr.getvalue()


def test_a_notebook_shows_what_goes_on_outside_of_stderr_and_takes_it_away(monkeypatch, capsys):
    class Cell(io.StringIO):
        __module__ = "ipykernel.iostream"

    monkeypatch.setattr(console, "PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stdout", Cell())
    with console.waiting("compiling", "compiled"), console.progress("scoring", "rows") as show:
        while not all(word in sys.stdout.getvalue() for word in ("compiling", "scoring")):
            show(1, 2)
    assert not capsys.readouterr().err
    assert not re.sub(r"[^\n]*\r", "", sys.stdout.getvalue())


def test_plain_lines_appear_elsewhere_now_and_then(capsys, clock):
    progress_of(2, clock)
    assert capsys.readouterr().err == ""
    progress_of(70, clock)
    assert capsys.readouterr().err.splitlines() == [
        "scoring 2/70 rows  01:08 left",
        "scoring 32/70 rows  00:38 left",
        "scoring 62/70 rows  00:08 left",
        "scoring 70/70 rows",
    ]


def test_what_ended_is_shown_to_have_ended(capsys, clock):
    with console.progress("synthesizing", "pairs") as show:
        clock[0] += 3
        show(0, 300)
        clock[0] += 3
        show(10, 300)
        show(299, 300)
    with pytest.raises(KeyError), console.progress("encoding", "tries") as show:
        clock[0] += 3
        show(7, 0)
        raise KeyError
    assert capsys.readouterr().err.splitlines() == [
        "synthesizing 10/300 pairs  01:27 left",
        "synthesizing 300/300 pairs",
        "encoding 7 tries",
    ]


def test_quiet_shows_no_progress(monkeypatch, clock):
    console.set_verbosity("quiet")
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress_of(10, clock)
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("level", ["normal", "quiet"])
def test_what_cannot_say_how_far_it_has_come_says_that_it_goes_on(level, monkeypatch, capsys):
    monkeypatch.setattr(console, "PATIENCE", 0.05)
    console.set_verbosity(level)
    with console.waiting("compiling", "compiled"):
        pass
    assert capsys.readouterr().err == ""
    with console.waiting("compiling", "compiled"):
        time.sleep(0.3)
    said = "compiling ...\ncompiled in 0 s\n"
    assert capsys.readouterr().err == (said if level == "normal" else "")


def test_nothing_else_of_the_package_prints():
    # A process that died leaves its last words.
    own = {"runtime/console.py", "runtime/distributed.py"}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        # A model card shows code that prints.
        if name in own | {"reports/model_card.py"}:
            continue
        called = [node.func for node in ast.walk(ast.parse(path.read_text())) if is_call(node)]
        assert not [1 for function in called if getattr(function, "id", "") == "print"], name
        assert "stdout.write" not in path.read_text()


def is_call(node):
    return isinstance(node, ast.Call)


def test_a_terminal_obeys_no_text(capsys):
    console.say("a\x1b[31m\r\x9b\u202eb\ud800", "two\nlines\tand a tab é")
    console.error("one\nline\x07")
    printed = capsys.readouterr()
    shown = r"a\u001b[31m\u000d\u009b\u202eb\ud800"
    assert printed.out == f"{shown}\ntwo\nlines\tand a tab é\n"
    assert printed.err == "error: one\\nline\\u0007\n"


def test_a_closed_output_is_no_error(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    console.result("lost")


def test_who_stopped_reading_is_said_once():
    # A pipe whose reader is gone, such as `head`.
    program = "from mapl_jax.runtime import cli, console\n"
    program += "cli.launch(lambda _: console.result('a'), name='export')"
    for arguments, status, said in (
        ((), 2, ["error: nobody reads any more"]),
        (("--help",), 0, []),
    ):
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdout.close()
        found = process.stderr.read().splitlines()
        assert process.wait() == status, found
        assert [line[:28] for line in found] == said
