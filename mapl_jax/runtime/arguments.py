"""Command lines in the one form that absl and ml_collections read."""

import re
import reprlib
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import yaml

from mapl_jax.runtime import config, settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import brief, local

# Suffix of a file of overrides -> what reads its text.
_READERS: Mapping[str, Callable[[str], object]] = {
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}
# Characters of a line of overrides; lines and values of a file; points in the name of a field.
_LONGEST, _MOST, _DEEPEST = 1 << 12, 2000, 10
_FLAG = re.compile(r"(-{0,2})([^=]*)(=.*)?", re.DOTALL)
_PREFIXED = re.compile(r"(no)?config\.")
_NAMED = re.compile(r"-{1,2}(no)?config(\.\w+)+(=.*)?", re.DOTALL)


def normal(arguments: Sequence[str], plain: Collection[str], classes: Sequence[type]) -> list[str]:
    """Arguments with the config first, then what files of overrides say, then the rest.

    Args:
        arguments: `--config NAME`, `--overrides=FILE` and `--SECTION.FIELD=VALUE` are written as
            `--config=FILE`, `--config.FIELD=VALUE` for each field, and `--config.FIELD=VALUE`.
        plain: names of flags that are no fields.
        classes: the settings classes of the command's configs; without one arguments stay as they
            are.
    """
    if not classes:
        return list(arguments)
    fields = {name for cls in classes for name in settings.fields_of(cls)} - set(plain)
    named: list[str] = []
    changes: list[str] = []
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        match = _FLAG.fullmatch(argument)
        assert match is not None  # of any text
        dashes, name, value = match.groups()
        if dashes and name in ("config", "overrides"):
            value = next(left, "") if value is None else value[1:]
            if name == "config":
                named = [f"--config={config.located(value)}"]
            else:
                changes += overrides(value)
            continue
        negated = name.startswith("no") and name.removeprefix("no").partition(".")[0] in fields
        field = name.removeprefix("no") if negated else name
        if dashes and (field in fields or "." in field) and not _PREFIXED.match(field):
            argument = f"--{'no' * negated}config.{field}{value or ''}"
        if dashes and _PREFIXED.match(argument[2:]) and not _NAMED.fullmatch(argument):
            raise UserError(f"{brief(argument)} names no field; write --config.FIELD=VALUE")
        rest.append(argument)
    return named + changes + rest


def own_flags(
    arguments: Sequence[str],
    flags: Collection[str],
    lists: Collection[str],
    classes: Sequence[type],
) -> set[str]:
    """The flags of a command that are no fields of its configs, as it is used here.

    `evaluate --output` is a field, and with --compare, which needs no config, a flag: `lists` names
    those that stand for such a use.
    """
    if {argument.lstrip("-").partition("=")[0] for argument in arguments} & set(lists):
        return set(flags)
    return set(flags) - {name for cls in classes for name in settings.fields_of(cls)}


def fields_in(arguments: Sequence[str]) -> set[str]:
    """The fields that arguments set, as `normal` writes them."""
    names = (argument.lstrip("-").partition("=")[0] for argument in arguments)
    return {_PREFIXED.sub("", name) for name in names if _PREFIXED.match(name)}


def overrides(file: str) -> list[str]:
    """What a TOML or YAML file of fields says, as `--config.FIELD=VALUE`."""
    path = local(file)
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UserError(f"--overrides={file}: name a file that ends in {', '.join(_READERS)}")
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no regular file")
        with path.open(encoding="utf-8") as opened:
            lines = [opened.readline(_LONGEST) for _ in range(_MOST)]
            if opened.read(1) or any(len(line) == _LONGEST for line in lines):
                raise ValueError(f"it has more than {_MOST} lines, or {_LONGEST} characters in one")
        found = read("".join(lines))
        if not isinstance(found, Mapping):
            raise ValueError("it must hold fields with values, such as seed: 1")
        texts = _texts(found, f"--overrides={file}: ", iter(range(_MOST)))
        return [f"--config.{name}={text}" for name, text in texts]
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)  # of YAML
        said = getattr(error, "problem", None) or getattr(error, "strerror", None) or str(error)
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"--overrides={file}: {line}{' '.join(said.split())}") from None


def _texts(
    values: Mapping[object, object], where: str, left: Iterator[int], section: str = ""
) -> Iterator[tuple[str, str]]:
    """Full names of fields and their values as a command line has them.

    `left` has an item for each value that may follow: by aliases, a small file of YAML holds more
    than any memory does.
    """
    for key, value in values.items():
        name = f"{section}{key}"
        if next(left, None) is None or name.count(".") > _DEEPEST:
            raise UserError(f"{where}it holds more than {_MOST} fields, or sections in sections")
        if isinstance(value, Mapping):
            yield from _texts(value, where, left, f"{name}.")
        elif isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
            yield name, ",".join(map(str, value))
        elif isinstance(value, str | int | float):
            yield name, str(value)
        else:
            shown = brief(reprlib.repr(value))
            raise UserError(f"{where}{name} is {shown}; it must be text, a number or true, false")
