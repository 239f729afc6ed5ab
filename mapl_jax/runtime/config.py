"""Config files by name: loaded, changed and described."""

import dataclasses
import difflib
import importlib.util
import re
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError


def load_config(name: str = "rm", values: Mapping[str, Any] | None = None) -> ConfigDict:
    """The config of a file of `configs/`, with some fields set.

    Args:
        name: "rm", "sft", "dpo", a preset such as "rm:small", or the path of a config file.
        values: field -> value, such as {"train.steps": 100}.

    Raises:
        UserError: there is no such file, preset or field, or a value is of another type.

    Example:
        >>> import mapl_jax
        >>> config = mapl_jax.load_config("rm:small", {"train.learning_rate": 5e-4})
        >>> config.train.learning_rate, config.data.row_length
        (0.0005, 1024)
    """
    return load(name, values)


_SETS = re.compile(r"config\.([\w.]+) = (.*)")
_LONGEST = 60
# Beside the package in a checkout; where setup.cfg puts them in an installation.
_CHECKOUT = Path(__file__).resolve().parents[2] / "configs"
_INSTALLED = Path(sys.prefix) / "share" / "mapl_jax" / "configs"
FOLDER = _CHECKOUT if _CHECKOUT.is_dir() else _INSTALLED


def load(name: str, values: Mapping[str, Any] | None = None) -> ConfigDict:
    """The config of a file of `configs/`, with some fields set.

    Args:
        name: "rm", "rm:small", ..., or the path of a config file, with or without a preset.
        values: field -> value, such as {"train.steps": 100}.

    Raises:
        UserError: there is no such file, preset or field, or a value is of another type.
    """
    module, preset = _module(name), name.partition(":")[2]
    config: ConfigDict = module.get_config(preset)
    change(config, values or {})
    return config.lock()


def presets(name: str) -> tuple[str, ...]:
    """The presets of a config file besides the one without a name."""
    return tuple(getattr(_module(name), "PRESETS", ()))


def _module(name: str) -> Any:
    path = file_of(name)
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in FOLDER.glob("*.py")))
        raise UserError(f"no config {name!r}; choose one of {known}, or name a file")
    spec = importlib.util.spec_from_file_location(f"mapl_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def file_of(name: str) -> Path:
    """The file of a config, whether it is there or not."""
    file = name.partition(":")[0]
    return Path(file).expanduser() if file.endswith(".py") else FOLDER / f"{file}.py"


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


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a config file.

    Attributes:
        name: `section.field`.
        default: its value.
        about: the comment beside or above it; empty if there is none.
    """

    name: str
    default: Any
    about: str


_INSIDE = ("sft.", "reward.", "dpo.")


def described(name: str) -> list[Field]:
    """The fields of a config of `configs/`, in the order of the file, with their comments.

    Args:
        name: as `load` takes it.
    """
    values = dict(fields(load(name)))
    comments = _comments(file_of(name), values)
    if not any(comments.values()):
        # It only changes what another config sets.
        comments = _comments(file_of("rm"), values)
    order = {field: place for place, field in enumerate(comments)}
    # What is taken over from another config is described there.
    others = _comments(file_of("rm"), values)

    def about(field: str) -> str:
        return comments.get(field) or others.get(field, "")

    return [
        Field(field, values[field], about(field.removeprefix("demo.")))
        for field in sorted(values, key=lambda field: order.get(field, len(order)))
        # Whole configs inside this one are described in files of their own.
        if not field.startswith(_INSIDE)
    ]


def _comments(path: Path, wanted: Collection[str]) -> dict[str, str]:
    """Field -> the comment of the first line that sets it, in the order of the file.

    Of several functions in the file, that which sets most of the wanted fields counts.
    """
    functions: list[dict[str, str]] = [{}]
    above: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if line.startswith("def "):
            functions.append({})
        if text.startswith("#"):
            above.append(text.lstrip("# "))
            continue
        match = _SETS.match(text)
        if match and "ConfigDict()" not in text:
            beside = match[2].rpartition("  # ")[2] if "  # " in match[2] else ""
            functions[-1].setdefault(match[1], beside or " ".join(above))
        above = []
    return max(functions, key=lambda found: len(found.keys() & set(wanted)))


def table(name: str) -> str:
    """The fields of a config with their defaults and comments, for --help.

    Args:
        name: as `load` takes it.
    """
    lines = []
    for field in described(name):
        default = repr(field.default)
        if len(default) > _LONGEST:
            default = f"{default[:_LONGEST]}..."
        text = f"{field.about} (default: {default})"
        lines.append(f"  --config.{field.name}=")
        lines += textwrap.wrap(text, 92, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join(lines)
