"""What every command shares: flags, the config file, and one clear line for a user's mistake.

A command has a config file (`--config=FILE` and `--config.FIELD=VALUE`), or plain flags
(`--NAME=VALUE`), or a config file and beside it plain flags for what is not of the run.
"""

import dataclasses
import logging
import os
import shlex
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any

from absl import app
from absl import flags as absl_flags
from ml_collections import ConfigDict, config_flags

from mapl_jax import files, processes
from mapl_jax.errors import Stopped, UserError

# transformers tells everyone who imports it that torch is missing; nothing here needs torch.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

EXIT_USER_ERROR = 2
# What one of several processes is told; see `mapl_jax.processes.start`.
_PROCESS_FLAGS: dict[str, tuple[str | int | bool, str]] = {
    "coordinator": ("", "Of several processes: address of process 0 and a free port, HOST:PORT."),
    "num_processes": (-1, "Of several processes: how many there are."),
    "process_id": (-1, "Of several processes: which one this is, from 0."),
    "distributed": (False, "One of several processes; the cluster knows the rest."),
    "lost_after": (100, "Seconds without a sign of life after which a process counts as lost."),
}


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


def _of_thread(arguments: threading.ExceptHookArgs) -> None:
    """Shows an error in a thread, but that of a full disk, which the main thread meets as well."""
    if not files.full(arguments.exc_value):
        threading.__excepthook__(arguments)


def _unraisable(arguments: Any) -> None:
    """Shows an error that nobody can catch, but what Tensorstore says to a loop that has ended.

    Orbax ends it after the first of its files that cannot be written, which is an error of its own.
    """
    if str(arguments.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(arguments)


def _end(message: str, at_once: bool) -> None:
    """`fail`, at once where the way out is barred.

    JAX would wait there for the other processes of a run, and TensorBoard write to a full disk.
    """
    if at_once:
        print(f"error: {message}", file=sys.stderr, flush=True)
        os._exit(EXIT_USER_ERROR)
    fail(message)


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
    distributed: bool = False,
) -> None:
    """Runs a command: parses flags, loads the config, calls `main`, reports errors in one line.

    Args:
        main: the command.
        name: how the command is called, `mapl_jax.NAME`.
        config: the config file to suggest where none was given.
        flags: plain flags.
        distributed: whether several processes may run it together.
    """
    plain = not config
    beside = _define_plain(flags or {})
    holder = beside if plain else _define_config(config)
    together = _define_plain(
        {key: Flag(*about) for key, about in _PROCESS_FLAGS.items()} if distributed else {}
    )
    absl_flags.DEFINE_bool("debug", False, "Show the traceback of an error.")
    app.define_help_flags()
    debug = any(arg in ("--debug", "--debug=true") for arg in sys.argv[1:])
    if not debug:
        # What goes wrong in Orbax arrives as an exception too; its threads would log it many times.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        threading.excepthook, sys.unraisablehook = _of_thread, _unraisable
    try:
        rest = absl_flags.FLAGS(sys.argv)
        values = holder()
        if values is not None:
            # A config file that could not be loaded raises its reason at the first access.
            values.to_dict()
    except Exception as error:
        if debug:
            raise
        fail(_flag_message(error, config))
    if len(rest) > 1:
        fail(f"unexpected argument {rest[1]!r}; options are written --name=value")
    if values is None:
        fail(f"no config given; try: python -m mapl_jax.{name} --config={config}")
    arguments = Arguments(
        config=values,
        workdir=None if plain else absl_flags.FLAGS.workdir,
        command=shlex.join(["python", "-m", f"mapl_jax.{name}", *sys.argv[1:]]),
        flags=ConfigDict() if plain else beside(),
    )
    several = False
    try:
        several = distributed and processes.start(**together())
        if several:
            processes.run_together(lambda: main(arguments), arguments.command)
        else:
            main(arguments)
    except UserError as error:
        if debug:
            traceback.print_exc()
        _end(str(error), several or files.full(error))
    except Exception as error:
        if debug or not files.full(error):
            if not several:
                raise
            traceback.print_exc()
            os._exit(1)
        path = error.filename if isinstance(error, OSError) else None
        _end(
            f"no space left on the disk{f' for {path}' if path else ''}; what was finished is as "
            "it was; free some, and run the same command again",
            True,
        )
    except Stopped as stopped:
        if not several or processes.first():
            print(
                f"stopped {stopped.where}, as asked to by SIGTERM; the same command goes on from "
                f"there: {arguments.command}",
                flush=True,
            )
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
