"""Lists the commands and runs them: `mapl COMMAND`, or python -m mapl_jax COMMAND"""

import ast
import difflib
import runpy
import sys
from pathlib import Path

import mapl_jax
from mapl_jax.runtime import cli, console, files
from mapl_jax.runtime.errors import Unread

# Command -> the file whose docstring says what it does.
COMMANDS = {
    "train": "train.py",
    "synthesize": "synthesize.py",
    "evaluate": "evaluate.py",
    "generate": "generate.py",
    "export": "export.py",
    "serve": "serve.py",
    "plan": "plan.py",
    "bench": "bench.py",
    "study": "study/command.py",
}


def about(command: str) -> str:
    """What a command does: the first line of its docstring, without how it is called."""
    source = (Path(__file__).parent / COMMANDS[command]).read_text(encoding="utf-8")
    line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return line.partition(": ")[0].rstrip(".")


def main() -> None:
    """Runs the command that the first argument names, or prints the commands or the version."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        sys.argv[1:] = rest
        # As `python -m mapl_jax.NAME`, which processes that it starts read again.
        runpy.run_module(f"mapl_jax.{name}", run_name="__main__", alter_sys=True)
    elif name == "--version":
        _print(f"mapl_jax {mapl_jax.__version__}")
    elif name in ("--help", "-h", "help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {command:<{width}}  {about(command)}" for command in COMMANDS]
        _print(
            "mapl COMMAND, or python -m mapl_jax COMMAND; mapl COMMAND --help explains its flags:",
            "",
            *lines,
        )
    else:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(COMMANDS)}"
        cli.fail(f"unknown command {name}; {hint}")


def _print(*lines: str) -> None:
    try:
        console.result(*lines)
    except Unread:
        pass  # `mapl | head` has read enough
    except OSError as error:
        cli.fail(files.reason(error), at_once=True)


if __name__ == "__main__":
    main()
