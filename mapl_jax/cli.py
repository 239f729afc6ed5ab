"""What every command shares: flags, the config file, and one clear line for a user's mistake.

A command has a config file (`--config=FILE` and `--config.FIELD=VALUE`), or plain flags
(`--NAME=VALUE`), or a config file and beside it plain flags for what is not of the run.
"""

import dataclasses
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from absl import app
from absl import flags as absl_flags
from ml_collections import ConfigDict, config_flags

from mapl_jax import fields
from mapl_jax.errors import UserError

# transformers tells everyone who imports it that torch is missing; nothing here needs torch.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

EXIT_USER_ERROR = 2


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What a command was called with.

    Attributes:
        config: the locked config, overrides applied; of a command with plain flags, their values.
        workdir: value of `--workdir`, or None where the user left it to the command.
        command: the command line, for the records of a run.
        flags: of a command with a config file, the values of its plain flags.
    """

    config: ConfigDict
    workdir: str | None
    command: str
    flags: ConfigDict = dataclasses.field(default_factory=ConfigDict)


@dataclasses.dataclass(frozen=True)
class Flag:
    """A plain flag: its default, which also says its type, and one line for --help."""

    default: str | int | float | bool
    help: str


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


def launch(
    main: Callable[[Arguments], None],
    *,
    name: str,
    config: str = "",
    flags: Mapping[str, Flag] | None = None,
) -> None:
    """Runs a command: parses flags, loads the config, calls `main`, reports errors in one line.

    Args:
        main: the command.
        name: how the command is called, `mapl_jax.NAME`.
        config: the config file to suggest where none was given.
        flags: plain flags.
    """
    plain = not config
    beside = _define_plain(flags or {})
    holder = beside if plain else _define_config(config)
    absl_flags.DEFINE_bool("debug", False, "Show the traceback of an error.")
    app.define_help_flags()
    debug = any(arg in ("--debug", "--debug=true") for arg in sys.argv[1:])
    if not debug:
        logging.getLogger("absl").setLevel(logging.WARNING)
    try:
        rest = absl_flags.FLAGS(sys.argv)
        values = holder()
        if values is not None:
            # A config file that could not be loaded raises its reason at the first access.
            if not hasattr(values, "to_dict"):
                raise UserError(_no_config(values))
            values.to_dict()
            if not plain:
                fields.check(values)
        elif not plain and _given("config"):
            raise UserError(_no_config(None))
    except Exception as error:
        if debug:
            traceback.print_exc()
        fail(_flag_message(error, config))
    if len(rest) > 1:
        fail(f"unexpected argument {rest[1]!r}; options are written --name=value")
    if values is None:
        fail(f"no config given; try: python -m mapl_jax.{name} --config={config}")
    arguments = Arguments(
        config=values,
        workdir=None if plain else absl_flags.FLAGS.workdir,
        command=" ".join(["python", "-m", f"mapl_jax.{name}", *sys.argv[1:]]),
        flags=ConfigDict() if plain else beside(),
    )
    try:
        main(arguments)
    except (UserError, AttributeError) as error:
        missing = _missing_field(error)
        if missing is None and not isinstance(error, UserError):
            raise
        if debug:
            traceback.print_exc()
        fail(str(error) if missing is None else f"the config has no field {missing}; add it")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)


def _define_config(config: str) -> Callable[[], ConfigDict | None]:
    """Defines --config and --workdir; afterwards gives the config, None if there is none."""
    holder = config_flags.DEFINE_config_file(
        "config", None, f"Config file, e.g. {config} or {config}:preset.", lock_config=True
    )
    absl_flags.DEFINE_string("workdir", None, "Folder for everything the run writes.")
    return lambda: holder.value


def _define_plain(plain: Mapping[str, Flag]) -> Callable[[], ConfigDict]:
    """Defines plain flags; afterwards gives their values."""
    define: dict[type, Callable[..., Any]] = {
        str: absl_flags.DEFINE_string,
        bool: absl_flags.DEFINE_bool,
        int: absl_flags.DEFINE_integer,
        float: absl_flags.DEFINE_float,
    }
    holders = {
        # --help shows the flags of the command's own module.
        name: define[type(flag.default)](name, flag.default, flag.help, module_name=sys.argv[0])
        for name, flag in plain.items()
    }
    return lambda: ConfigDict({name: holder.value for name, holder in holders.items()})


def _no_config(found: Any) -> str:
    return f"{_given('config')}: get_config must give a ConfigDict, not {type(found).__name__}"


def _missing_field(error: Exception) -> str | None:
    """The field that a config lacks, if that is what went wrong."""
    if not isinstance(error, AttributeError):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    inside = bool(frames) and "ml_collections" in Path(frames[-1].filename).parts
    found = re.match(r"\W+(\w+)", str(error))
    return found[1] if inside and found else None


def _flag_message(error: BaseException, config: str) -> str:
    """One line about what flag parsing, or the config file itself, complained of."""
    path = _given("config").partition(":")[0]
    named = any(argument.startswith("--config=") for argument in sys.argv[1:])
    if named and not os.path.isfile(path):
        return f"config file not found: {path or '(no name)'}; try --config={config}"
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    for each in chain:
        if isinstance(each, UserError):
            return str(each)
    for each in chain:
        if isinstance(each, SyntaxError):
            return f"{each.filename or path}, line {each.lineno}: {each.msg}"
        if line := _line_of(each, path):
            return f"{path}, line {line}: {type(each).__name__}: {_flat(each)}"
    for argument in sys.argv[1:]:
        name, given, value = argument.removeprefix("--config.").partition("=")
        if argument.startswith("--config.") and given and (problem := fields.problem(name, value)):
            return problem
    last = chain[-1]
    if "get_config" in str(last):
        return f"{path} has no function get_config; see {config.partition(':')[0]} for one"
    if isinstance(last, KeyError | AttributeError):
        return f"unknown config field: {_flat(last).strip(chr(34))}"
    return _flat(chain[0])


def _flat(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _given(flag: str) -> str:
    """The value of a flag on the command line; empty if it is not there."""
    start = f"--{flag}="
    return next((x.removeprefix(start) for x in sys.argv[1:] if x.startswith(start)), "")


def _line_of(error: BaseException, path: str) -> int | None:
    """The last line of a file that an error came through."""
    if not path:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if os.path.realpath(f.filename) == os.path.realpath(path)]
    return lines[-1] if lines else None
