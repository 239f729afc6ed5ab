"""Config files by name, for who calls functions instead of commands."""

import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mapl_jax.errors import UserError

FOLDER = Path(__file__).resolve().parents[1] / "configs"


def load(name: str, values: Mapping[str, Any] | None = None) -> ConfigDict:
    """The config of a file of `configs/`, with some fields set.

    Args:
        name: "rm", "rm:small", ..., or the path of a config file, with or without a preset.
        values: field -> value, such as {"train.steps": 100}.

    Raises:
        UserError: there is no such file, preset or field, or a value is of another type.
    """
    file, _, preset = name.partition(":")
    path = Path(file).expanduser() if file.endswith(".py") else FOLDER / f"{file}.py"
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in FOLDER.glob("*.py")))
        raise UserError(f"no config {file!r}; choose one of {known}, or name a file")
    spec = importlib.util.spec_from_file_location(f"mapl_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config: ConfigDict = module.get_config(preset)
    change(config, values or {})
    return config.lock()


def change(config: ConfigDict, values: Mapping[str, Any]) -> None:
    """Sets fields of a config, as `--config.FIELD=VALUE` does.

    Raises:
        UserError: there is no such field, or a value is of another type.
    """
    known = dict(fields(config))
    for name, value in values.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(f"unknown config field {name!r}{hint}")
        *parents, last = name.split(".")
        part = config
        for parent in parents:
            part = part[parent]
        try:
            part[last] = value
        except TypeError:
            raise UserError(
                f"the config field {name} is a {type(known[name]).__name__}, and not {value!r}"
            ) from None


def fields(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a config with its value, sections as `section.field`."""
    for name in config:
        value = config[name]
        if isinstance(value, ConfigDict):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
