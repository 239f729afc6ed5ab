"""One line about what went wrong with flags and config files, whoever complained of it."""

import itertools
import os
import traceback
from collections.abc import Sequence

from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError, chain
from mapl_jax.runtime.paths import brief


def explain(
    error: BaseException, arguments: Sequence[str], config: str, classes: Sequence[type]
) -> str:
    """What is wrong with a command line, in one line, whoever raised the error."""
    errors = list(chain(error))
    for each in errors:
        if isinstance(each, UserError):
            return str(each)
    path = given("config", arguments).partition(":")[0]
    named = any(argument.startswith("--config=") for argument in arguments)
    if not named and any(argument.startswith("--config.") for argument in arguments):
        return f"no config given, and fields of one are set; add --config={config}"
    if named and not os.path.isfile(path):
        return f"config file not found: {path or '(no name)'}; try --config={config}"
    for each in errors:
        if isinstance(each, SyntaxError):
            return f"{each.filename or path}, line {each.lineno}: {each.msg}"
        if line := _line_of(each, path):
            return f"{path}, line {line}: {type(each).__name__}: {_flat(each)}"
    return _of_overrides(arguments, classes) or _of_library(errors, path, config)


def check_text(arguments: Sequence[str]) -> None:
    """Refuses bytes that are no text, which could not be noted in the files of a run."""
    for argument in arguments:
        if not settings.is_utf8(argument):
            raise UserError(f"the argument {brief(repr(argument))} is no UTF-8 text")


def check_digits(arguments: Sequence[str], classes: Sequence[type]) -> None:
    """Refuses numbers of a config in other digits than 0 to 9, which Python's `int` would take."""
    pairs = itertools.pairwise(arguments)
    written = [*arguments, *(f"{name}={value}" for name, value in pairs if "=" not in name)]
    others = [each for each in written if not each.partition("=")[2].isascii()]
    if problem := _of_overrides(others, classes):
        raise UserError(problem)


def given(flag: str, arguments: Sequence[str]) -> str:
    """The value of a flag on the command line; empty if it is not there."""
    start = f"--{flag}="
    return next((x.removeprefix(start) for x in arguments if x.startswith(start)), "")


def _of_overrides(arguments: Sequence[str], classes: Sequence[type]) -> str | None:
    """What is wrong with `--config.FIELD=VALUE`; None if nothing is."""
    for argument in arguments:
        name, equals, value = argument.removeprefix("--config.").partition("=")
        if classes and equals and argument.startswith("--config."):
            known = [cls for cls in classes if settings.find(cls, name)]
            if problem := settings.flag_problem((known or list(classes))[0], name, value):
                return problem
    return None


def _of_library(errors: Sequence[BaseException], path: str, config: str) -> str:
    """What absl or ml_collections says, from the error it raised down to the first cause."""
    last = errors[-1]
    if "get_config" in str(last):
        return f"{path} has no function get_config; see {config.partition(':')[0]} for one"
    if isinstance(last, KeyError | AttributeError):
        return f"unknown config field: {_flat(last).strip(chr(34))}"
    said = _flat(errors[0])
    if type(last) is ValueError and len(last.args) > 1:  # absl's, which prints as a tuple
        said = said.replace(str(last), " ".join(map(str, last.args)))
    return said


def _flat(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _line_of(error: BaseException, path: str) -> int | None:
    """The last line of a file that an error came through."""
    if not path:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if os.path.realpath(f.filename) == os.path.realpath(path)]
    return lines[-1] if lines else None
