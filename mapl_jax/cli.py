"""What every command shares: flags, the config file, and one clear line for a user's mistake."""

import dataclasses
import logging
import os
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any

from absl import app, flags
from ml_collections import ConfigDict, config_flags

from mapl_jax.errors import UserError

# transformers tells everyone who imports it that torch is missing; nothing here needs torch.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

EXIT_USER_ERROR = 2


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What a command was called with.

    Attributes:
        config: the locked config, overrides applied.
        workdir: value of `--workdir`, or None where the user left it to the command.
        command: the command line, for the records of a run.
    """

    config: ConfigDict
    workdir: str | None
    command: str


def fail(message: str) -> None:
    """Prints one line to stderr and ends the process with the status of a user's mistake."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(EXIT_USER_ERROR)


def choice(name: str, value: str, allowed: Collection[str] | Mapping[str, Any]) -> Any:
    """A config value that must be one of a few; with a mapping, what it stands for.

    Raises:
        UserError: it is none of them.
    """
    if value not in allowed:
        raise UserError(f"{name} is {value!r}; choose one of {', '.join(allowed)}")
    return allowed[value] if isinstance(allowed, Mapping) else value


def launch(main: Callable[[Arguments], None], *, name: str, config: str) -> None:
    """Runs a command: parses flags, loads the config, calls `main`, reports errors in one line.

    Args:
        main: the command.
        name: how the command is called, `mapl_jax.NAME`.
        config: the config file to suggest where none was given.
    """
    flag_values = flags.FLAGS
    holder = config_flags.DEFINE_config_file(
        "config", None, f"Config file, e.g. {config} or {config}:preset.", lock_config=True
    )
    flags.DEFINE_string("workdir", None, "Folder for everything the run writes.")
    flags.DEFINE_bool("debug", False, "Show the traceback of an error.")
    app.define_help_flags()
    debug = any(arg in ("--debug", "--debug=true") for arg in sys.argv[1:])
    if not debug:
        logging.getLogger("absl").setLevel(logging.WARNING)
    try:
        rest = flag_values(sys.argv)
        if holder.value is not None:
            # A config file that could not be loaded raises its reason at the first access.
            holder.value.to_dict()
    except Exception as error:
        if debug:
            raise
        fail(_flag_message(error, config))
    if len(rest) > 1:
        fail(f"unexpected argument {rest[1]!r}; options are written --name=value")
    if holder.value is None:
        fail(f"no config given; try: python -m mapl_jax.{name} --config={config}")
    arguments = Arguments(
        config=holder.value,
        workdir=flag_values.workdir,
        command=" ".join(["python", "-m", f"mapl_jax.{name}", *sys.argv[1:]]),
    )
    try:
        main(arguments)
    except UserError as error:
        if debug:
            traceback.print_exc()
        fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)


def _flag_message(error: Exception, config: str) -> str:
    """The first line of what flag parsing or the config file itself complained about."""
    for argument in sys.argv[1:]:
        if argument.startswith("--config="):
            path = argument.removeprefix("--config=").split(":")[0]
            if not os.path.isfile(path):
                return f"config file not found: {path}; try --config={config}"
    while (inner := error.__cause__ or error.__context__) is not None and isinstance(
        inner, Exception
    ):
        error = inner
    if isinstance(error, FileNotFoundError | IsADirectoryError):
        return f"config file not found: {error.filename or error}; try --config={config}"
    if isinstance(error, UserError):
        return str(error)
    text = str(error).strip() or type(error).__name__
    first = text.splitlines()[0]
    if isinstance(error, KeyError | AttributeError):
        return f"unknown config field: {first.strip(chr(34))}"
    return first
