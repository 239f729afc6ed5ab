"""What every command shares: flags, the config file, and one clear line for a user's mistake.

A command has a config file (`--config=FILE` and `--config.FIELD=VALUE`), or plain flags
(`--NAME=VALUE`), or a config file and beside it plain flags for what is not of the run.
"""

import dataclasses
import gc
import importlib.metadata
import logging
import os
import platform
import re
import shlex
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags as absl_flags
from ml_collections import ConfigDict, config_flags

import mapl_jax
from mapl_jax.runtime import console, fields, files
from mapl_jax.runtime import distributed as processes
from mapl_jax.runtime.config import FOLDER, table
from mapl_jax.runtime.errors import Stopped, UserError

EXIT_USER_ERROR = 2
_HELP = {"--help", "-h", "-help", "--helpshort", "--helpfull"}


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
    """A plain flag: its default, which also says its type, and one line for --help.

    A flag whose default is a tuple takes several values, `--NAME A B`, and stands for another way
    to use a command, which needs no config.
    """

    default: str | int | float | bool | tuple[str, ...]
    help: str


# What one of several processes is told; see `mapl_jax.runtime.distributed.start`.
_PROCESSES = {
    "coordinator": Flag(
        "", "Of several processes: address of process 0 and a free port, HOST:PORT."
    ),
    "num_processes": Flag(-1, "Of several processes: how many there are."),
    "process_id": Flag(-1, "Of several processes: which one this is, from 0."),
    "distributed": Flag(False, "One of several processes; the cluster knows the rest."),
    "lost_after": Flag(100, "Seconds without a sign of life after which a process counts as lost."),
}


_SHARED = {
    "quiet": Flag(False, "Print results and errors alone."),
    "verbose": Flag(False, "Print details as well."),
    "debug": Flag(False, "Show the traceback of an error."),
    "help": Flag(False, "Print this."),
}


def fail(message: str) -> None:
    """Prints one line to stderr and ends the process with the status of a user's mistake."""
    console.error(message)
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
        console.error(message)
        os._exit(EXIT_USER_ERROR)
    fail(message)


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
    sys.argv[1:] = map(_found, sys.argv[1:])
    if _HELP & set(sys.argv[1:]):
        known = {**(flags or {}), **(_PROCESSES if distributed else {})}
        console.result(_help_text(main, config, known))
        sys.exit(0)
    plain = not config
    beside = _define_plain(flags or {})
    holder = beside if plain else _define_config(config)
    together = _define_plain(_PROCESSES if distributed else {})
    for flag in ("quiet", "verbose", "debug"):
        absl_flags.DEFINE_bool(flag, False, _SHARED[flag].help)
    lists = [name for name, flag in (flags or {}).items() if isinstance(flag.default, tuple)]
    debug = any(arg in ("--debug", "--debug=true") for arg in sys.argv[1:])
    if not debug:
        # What goes wrong in Orbax arrives as an exception too; its threads would log it many times.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        threading.excepthook, sys.unraisablehook = _of_thread, _unraisable
    try:
        rest = absl_flags.FLAGS(_one_by_one(sys.argv, lists))
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
    if values is None and any(absl_flags.FLAGS[name].value for name in lists):
        values = ConfigDict()
    if values is None:
        fail(f"no config given; try: python -m mapl_jax.{name} --config={config}")
    arguments = Arguments(
        config=values,
        workdir=None if plain else absl_flags.FLAGS.workdir,
        command=shlex.join(["python", "-m", f"mapl_jax.{name}", *sys.argv[1:]]),
        flags=ConfigDict() if plain else beside(),
    )
    if absl_flags.FLAGS.quiet and absl_flags.FLAGS.verbose:
        fail("--quiet and --verbose exclude each other")
    quiet, verbose = absl_flags.FLAGS.quiet, absl_flags.FLAGS.verbose
    console.set_verbosity("quiet" if quiet else "verbose" if verbose else "normal")
    # What is imported by now stays; the collector need not look at it again and again.
    gc.freeze()
    several = False
    try:
        several = distributed and processes.start(**together())
        console.detail(f"command: {arguments.command}", _versions())
        if several:
            processes.run_together(lambda: main(arguments), arguments.command)
        else:
            with console.timed("the whole command"):
                main(arguments)
    except UserError as error:
        if debug:
            traceback.print_exc()
        _end(str(error), several or files.full(error))
    except Exception as error:
        missing = _missing_field(error)
        if missing:
            if debug:
                traceback.print_exc()
            _end(f"the config has no field {missing}; add it", several)
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
            console.result(
                f"stopped {stopped.where}, as asked to by SIGTERM; the same command goes on from "
                f"there: {arguments.command}"
            )
    except KeyboardInterrupt:
        console.interrupted()
        os._exit(130)


def _versions() -> str:
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "transformers")
    found = (f"{name} {importlib.metadata.version(name)}" for name in names)
    python = platform.python_version()
    return ", ".join([f"mapl_jax {mapl_jax.__version__}", f"Python {python}", *found])


def _found(argument: str) -> str:
    """`--config=configs/FILE.py` where there is no checkout: the file of the installation."""
    start = "--config=configs/"
    path, _, preset = argument.removeprefix(start).partition(":")
    installed = FOLDER / path
    if not argument.startswith(start) or os.path.isfile(f"configs/{path}"):
        return argument
    if not installed.is_file():
        return argument
    return f"--config={installed}" + (f":{preset}" if preset else "")


def _help_text(main: Callable[..., None], config: str, flags: Mapping[str, Flag]) -> str:
    """What --help prints: what the command does, its flags, and the fields of its config."""
    about = (sys.modules[main.__module__].__doc__ or "").strip()
    shown = {**flags, **_SHARED}
    if config:
        chosen = next((x[9:] for x in sys.argv[1:] if x.startswith("--config=")), config)
        chosen = _found(f"--config={chosen}")[9:]
        lists = [f"--{name}" for name, flag in flags.items() if isinstance(flag.default, tuple)]
        needed = f"needed except with {', '.join(lists)}" if lists else "always needed"
        shown = {
            "config": Flag("", f"Config file, such as {config} or {config}:PRESET; {needed}."),
            "workdir": Flag(
                "", "Folder for everything the command writes; of a run it may be gs:// or s3://."
            ),
            **shown,
        }
    lines = [about, "", "flags:"]
    for name, flag in shown.items():
        lines.append(f"  --{name}=" if not isinstance(flag.default, bool) else f"  --[no]{name}")
        default = "none" if isinstance(flag.default, tuple) else repr(flag.default)
        text = flag.help if name == "config" else f"{flag.help} (default: {default})"
        lines += textwrap.wrap(text, 92, initial_indent=" " * 8, subsequent_indent=" " * 8)
    if config:
        lines += ["", f"fields of {chosen} (another file with --config=FILE --help):"]
        try:
            lines.append(table(chosen))
        except UserError as error:
            fail(str(error))
    return "\n".join(lines)


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
        tuple: absl_flags.DEFINE_multi_string,
    }
    holders = {
        # --help shows the flags of the command's own module.
        name: define[type(flag.default)](name, flag.default, flag.help, module_name=sys.argv[0])
        for name, flag in plain.items()
    }
    return lambda: ConfigDict({name: holder.value for name, holder in holders.items()})


def _one_by_one(arguments: Sequence[str], lists: Collection[str]) -> list[str]:
    """Arguments with `--NAME A B` written as `--NAME=A --NAME=B`."""
    found: list[str] = []
    name = ""
    for argument in arguments:
        plain = argument.lstrip("-")
        if argument.startswith("-"):
            name = plain if plain in lists else ""
            if not name:
                found.append(argument)
        else:
            found.append(f"--{name}={argument}" if name else argument)
    return found


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
