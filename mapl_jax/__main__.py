"""Lists the commands: python -m mapl_jax"""

import ast
import sys
from pathlib import Path

import mapl_jax
from mapl_jax.runtime import cli, console

# Command -> the file whose docstring says what it does.
COMMANDS = {
    "train": "train.py",
    "synthesize": "synthesize.py",
    "evaluate": "evaluate.py",
    "generate": "generate.py",
    "export": "export.py",
    "plan": "plan.py",
    "bench": "bench.py",
    "study": "study/command.py",
}


def about(command: str) -> str:
    """What a command does: the first line of its docstring, without how it is called."""
    source = (Path(__file__).parent / COMMANDS[command]).read_text(encoding="utf-8")
    line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return line.partition(": ")[0].rstrip(".")


def main(arguments: list[str]) -> None:
    """Prints the commands, or with --version the version."""
    if arguments == ["--version"]:
        console.result(f"mapl_jax {mapl_jax.__version__}")
        return
    if arguments and arguments != ["--help"]:
        cli.fail(
            f"unknown: {' '.join(arguments)}; commands are python -m mapl_jax.COMMAND, and "
            "python -m mapl_jax lists them"
        )
    width = max(map(len, COMMANDS))
    console.result(
        "Commands, each python -m mapl_jax.COMMAND, with --help for its flags:",
        "",
        *(f"  {name:<{width}}  {about(name)}" for name in COMMANDS),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
