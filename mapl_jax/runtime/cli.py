"""What every command shares: flags, the config file, and one clear line for a user's mistake.

A command has a config (`--config=NAME`, `--config.FIELD=VALUE` or `--FIELD=VALUE`, and files of
them, `--overrides=FILE`), or plain flags (`--NAME=VALUE`), or a config and beside it plain flags
for what is not of the run.
"""

import dataclasses
import functools
import gc
import importlib.metadata
import logging
import os
import platform
import shlex
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from absl import flags as absl_flags
from ml_collections import ConfigDict, config_flags

from mapl_jax.runtime import (
    VERSION,
    arguments,
    compiled,
    config,
    console,
    distributed,
    environment,
    files,
    help,
    mistakes,
    paths,
    plugins,
    settings,
    shutdown,
    signals,
)
from mapl_jax.runtime.errors import (
    EXIT_USER_ERROR,
    Stopped,
    Unjoined,
    Unread,
    Unwritten,
    UserError,
    chain,
)
from mapl_jax.runtime.settings import setting

_UNUSABLE = "Unable to initialize backend"
_HELP = {"--help", "-h", "-help", "--helpshort", "--helpfull"}
F = TypeVar("F")


@dataclasses.dataclass(frozen=True)
class Shared:
    """The flags of every command."""

    quiet: bool = setting(False, "print only results and errors")
    verbose: bool = setting(False, "print more details")
    debug: bool = setting(False, "show the traceback of an error")


@dataclasses.dataclass(frozen=True)
class NoFlags:
    """The plain flags of a command that has none."""


@dataclasses.dataclass(frozen=True)
class Arguments(Generic[F]):
    """What a command was called with."""

    config: ConfigDict  # the locked config, overrides applied; empty where the command needs none
    workdir: str | None  # value of `--workdir`, or None where the user left it to the command
    command: str  # the command line, for the records of a run
    flags: F = NoFlags()  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class _Command(Generic[F]):
    """A command as `launch` is given it."""

    main: Callable[[Arguments[F]], None]
    name: str
    config: str
    settings: Sequence[type]
    flags: type[F]
    distributed: bool

    @property
    def lists(self) -> list[str]:
        """Plain flags that take several values: another way to use the command, without config."""
        known = settings.fields_of(self.flags).values()
        return [field.name for field in known if isinstance(field.default, tuple)]

    def normal(self, given: Sequence[str]) -> list[str]:
        """Arguments in the form that absl and ml_collections read."""
        kinds = [Shared, *([distributed.Together] if self.distributed else [])]
        plain = {"workdir", *(name for kind in kinds for name in settings.fields_of(kind))}
        plain |= arguments.own_flags(
            given, settings.fields_of(self.flags), self.lists, self.settings
        )
        return arguments.normal(given, plain, self.settings)


def launch(
    main: Callable[[Arguments[F]], None],
    *,
    name: str,
    config: str = "",
    settings: Sequence[type] = (),
    flags: type[F] = NoFlags,  # type: ignore[assignment]
    distributed: bool = False,
) -> None:
    """Runs a command: parses flags, loads the config, calls `main`, reports errors in one line.

    Args:
        name: how the command is called, `mapl_jax.NAME`.
        config: the config file to suggest where none was given; empty for a command without one.
        settings: the settings class of its configs, or those of several kinds of config.
        flags: the settings class of its plain flags; one whose default is a tuple takes several
            values, `--NAME A B`, and stands for a use of the command that needs no config.
        distributed: whether several processes may run it together.
    """
    command = _Command(main, name, config, settings, flags, distributed)
    called = shlex.join(["python", "-m", f"mapl_jax.{name}", *sys.argv[1:]])
    debug = any(argument in ("--debug", "--debug=true") for argument in sys.argv[1:])
    if not debug:
        _quiet_libraries()
    try:
        paths.here()
        mistakes.check_text(sys.argv[1:])
        sys.argv[1:] = command.normal(sys.argv[1:])
        mistakes.check_digits(sys.argv[1:], command.settings)
        if _HELP & set(sys.argv[1:]):
            _print_help(command)
        found, shared, together = _parsed(command, called)
    except Unread:
        os._exit(0)  # whoever reads the help, such as `head`, has read enough
    except Exception as error:
        if debug:
            traceback.print_exc()
        fail(mistakes.explain(error, sys.argv[1:], command.config, command.settings))
    console.set_verbosity("quiet" if shared.quiet else "verbose" if shared.verbose else "normal")
    # What is imported by now stays; the collector need not look at it again and again.
    gc.freeze()
    signals.leave()
    with signals.answered():
        _run(command, found, together, debug)


def no_workdir(arguments: Arguments[Any], use: str, instead: str) -> None:
    """Refuses a `--workdir` that a use of a command would not look at."""
    if arguments.workdir:
        raise UserError(f"{use} has no --workdir; {instead}")


def one_of(workdir: str | None, output: str) -> str:
    """Where a command writes that takes `--workdir` or its field `output`; empty if nowhere."""
    if workdir and output:
        one, other = map(paths.brief, (workdir, output))
        raise UserError(f"--workdir is {one} and --config.output {other}; give one of them")
    return output or workdir or ""


def fail(message: str, *, at_once: bool = False) -> None:
    """Prints one line to stderr and ends the process with the status of a user's mistake.

    `at_once` waits for nothing at exit: neither for other processes, nor for a checkpoint that
    cannot be written, nor for TensorBoard, which would write to a full disk.
    """
    console.error(message)
    if at_once:
        shutdown.exit_now(EXIT_USER_ERROR, f"failed: {message}")
    sys.exit(EXIT_USER_ERROR)


def _parsed(command: _Command[F], called: str) -> tuple[Arguments[F], Shared, distributed.Together]:
    """The arguments of the command line `called`, checked."""
    plain = _define(command.flags)
    shared = _define(Shared)
    together = _define(distributed.Together) if command.distributed else distributed.Together
    holder = None
    if command.config:
        suggested = f"Config file, e.g. {command.config} or {command.config}:preset."
        holder = config_flags.DEFINE_config_file("config", None, suggested, lock_config=True)
        absl_flags.DEFINE_string("workdir", None, "Folder for everything the run writes.")
    rest = absl_flags.FLAGS(_one_by_one(sys.argv, command.lists))
    given = ConfigDict() if holder is None else holder.value
    if given is not None or mistakes.given("config", sys.argv[1:]):
        # A config file that could not be loaded raises its reason at the first access.
        if not hasattr(given, "to_dict"):
            kind = type(given).__name__
            raise UserError(
                f"{mistakes.given('config', sys.argv[1:])}: get_config must return a ConfigDict, "
                f"not {kind}"
            )
        config.change(given, config.of_demo(given, arguments.fields_in(sys.argv[1:])))
        values = given.to_dict()
        plugins.load(str(values.get("plugins", "")))
        if command.settings:
            closest = settings.closest(command.settings, values)
            if 2 * len(settings.fields_of(closest).keys() & values.keys()) < len(values):
                raise UserError(
                    f"--config={mistakes.given('config', sys.argv[1:])} is of another command; "
                    f"{command.name} takes one such as --config={command.config}"
                )
            settings.from_section(closest, values)
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; options are written --name=value")
    flags = plain()
    plugins.load(getattr(flags, "plugins", ""))
    if given is None and not any(getattr(flags, name) for name in command.lists):
        raise UserError(
            f"no config given; try: python -m mapl_jax.{command.name} --config={command.config}"
        )
    if shared().quiet and shared().verbose:
        raise UserError("give --quiet or --verbose, not both")
    workdir = absl_flags.FLAGS.workdir if command.config else None
    if workdir and workdir.startswith("memory:"):
        raise UserError(
            f"--workdir is {paths.brief(workdir)}, which would be lost when the command ends; use "
            "a folder, or a bucket (gs://BUCKET/FOLDER)"
        )
    found = Arguments(
        config=ConfigDict() if given is None else given,
        workdir=workdir,
        command=called,
        flags=flags,
    )
    return found, shared(), together()


def _run(
    command: _Command[F], given: Arguments[F], together: distributed.Together, debug: bool
) -> None:
    """Calls a command, and says in one line what a user can mend."""
    several = False
    try:
        compiled.keep()
        if "jax" in sys.modules:
            environment.check_flags()
        several = command.distributed and distributed.start(together, debug=debug)

        def main() -> None:
            console.detail(f"command: {given.command}", _versions())
            with console.timed("the whole command"):
                command.main(given)

        shutdown.run_together(main, given.command) if several else main()
    except UserError as error:
        if debug:
            traceback.print_exc()
        fail(
            str(error),
            at_once=several or isinstance(error, Unwritten | Unjoined) or files.full(error),
        )
    except Exception as error:
        # Another process has the accelerator, or JAX_PLATFORMS names none: JAX says so in one line.
        said = (str(each).partition("\n")[0] for each in chain(error))
        if not debug and (line := next((x for x in said if x.startswith(_UNUSABLE)), "")):
            fail(line, at_once=several)
        refused = files.refused(error)
        if debug or not refused:
            if not several:
                raise
            traceback.print_exc()
            where = f"the traceback is in the output of process {distributed.process_index()}"
            what = f"failed with {type(error).__name__}: {files.reason(error)} ({where})"
            shutdown.exit_now(shutdown.EXIT_BUG, what)
        path = error.filename if isinstance(error, OSError) else None
        where = f" ({path})" if path and str(path) not in refused else ""
        fail(
            f"{refused}{where}; what was finished is as it was; mend that, and run the same "
            "command again",
            at_once=True,
        )
    except Stopped as stopped:
        resume = "to resume from there, run"
        if not stopped.saved:
            resume = "what was finished by then is kept; to continue, run"
        if not several or distributed.is_main_process():
            where = f"stopped {stopped.where}".strip()
            console.result(f"{where} because of SIGTERM; {resume}: {given.command}")
        if not stopped.saved:
            shutdown.exit_now(signals.STOPPED, "was stopped by SIGTERM")
    except KeyboardInterrupt:
        console.interrupted()
        shutdown.exit_now(signals.INTERRUPTED, "was interrupted by Ctrl-C")


def _versions() -> str:
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "transformers")
    installed = (f"{name} {importlib.metadata.version(name)}" for name in names)
    python = platform.python_version()
    return ", ".join([f"mapl_jax {VERSION}", f"Python {python}", *installed])


def _print_help(command: _Command[Any]) -> None:
    """Prints what the command does, its flags and the fields of its config, and ends."""
    about = (sys.modules[command.main.__module__].__doc__ or "").strip()
    chosen = mistakes.given("config", sys.argv[1:]) or command.config
    together = [distributed.Together] if command.distributed else []
    lines = [about, "", "flags:"]
    if command.config:
        lines += help.of_config(command.config, command.lists)
    lines += help.of_flags([command.flags, *together, Shared])
    if command.config:
        lines += ["", f"fields of {chosen}, as --config.FIELD=VALUE or --FIELD=VALUE"]
        lines += ["(those of another config: --config=NAME --help):"]
        values = config.load_config(chosen).to_dict()
        lines += help.of_fields(settings.closest(command.settings, values), values)
    console.result("\n".join(lines))
    sys.exit(0)


class _Whole(absl_flags.IntegerParser):
    """Whole numbers of plain flags: digits from 0 to 9, of all that Python's `int` takes."""

    def convert(self, argument: int | str) -> int:
        if isinstance(argument, str) and not argument.isascii():
            raise ValueError(f"invalid literal for int() with base 10: {argument!r}")
        return super().convert(argument)


def _define(flags: type[F]) -> Callable[[], F]:
    """Defines the plain flags of a class; afterwards gives their values."""
    define: Mapping[type, Callable[..., Any]] = {
        str: absl_flags.DEFINE_string,
        bool: absl_flags.DEFINE_bool,
        int: functools.partial(absl_flags.DEFINE, _Whole()),
        float: absl_flags.DEFINE_float,
        tuple: absl_flags.DEFINE_multi_string,
    }
    holders = {
        name: define[type(field.default)](name, field.default, field.about.help)
        for name, field in settings.fields_of(flags).items()
    }

    def values() -> F:
        given = {name: holder.value for name, holder in holders.items()}
        lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        made = flags(**given | lists)
        settings.check(made, "--")
        return made

    return values


def _one_by_one(arguments: Sequence[str], lists: Sequence[str]) -> list[str]:
    """Arguments with `--NAME A B` written as `--NAME=A --NAME=B`."""
    written: list[str] = []
    name = ""
    for argument in arguments:
        plain = argument.lstrip("-")
        if argument.startswith("-"):
            name = plain if plain in lists else ""
            if not name:
                written.append(argument)
        else:
            written.append(f"--{name}={argument}" if name else argument)
    return written


def _quiet_libraries() -> None:
    """Leaves to the one line of an error what libraries would say about it many times."""
    # What goes wrong in Orbax arrives as an exception too.
    logging.getLogger("absl").setLevel(logging.CRITICAL)

    def in_thread(error: threading.ExceptHookArgs) -> None:
        # The main thread meets a full disk as well, and another process that is gone.
        value = error.exc_value
        if not (files.full(value) or (value and shutdown.is_peer_loss(value))):
            threading.__excepthook__(error)

    def unraisable(error: Any) -> None:
        # Orbax ends the event loop of Tensorstore after the first file that cannot be written,
        # which is an error of its own (0.12; the slow test of a full disk in tests/faults).
        if str(error.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(error)

    threading.excepthook, sys.unraisablehook = in_thread, unraisable
