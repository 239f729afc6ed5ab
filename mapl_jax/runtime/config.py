"""Config files by name: loaded, changed and described."""

import difflib
import importlib.util
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import local

# In the package where it is installed (setup.py puts it there), beside it in a clone.
_PACKAGE = Path(__file__).resolve().parents[1]
FOLDER = next(
    (folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir()),
    _PACKAGE / "configs",
)


@checked()
def load_config(name: str = "rm", values: Mapping[str, object] | None = None) -> ConfigDict:
    """The config of a file of `configs/`, with some fields set.

    Args:
        name: "rm", "sft", "dpo", a preset such as "rm:small", or the path of a config file with
            or without one, "configs/rm.py:small".
        values: field -> value, such as {"train.steps": 100}.

    Raises:
        UserError: there is no such file, preset or field, or a value is of another type.

    Examples:
        >>> import mapl_jax
        >>> config = mapl_jax.load_config("rm:small", {"train.learning_rate": 5e-4})
        >>> config.train.learning_rate, config.data.row_length
        (0.0005, 1024)
    """
    path, preset = file_of(name), name.partition(":")[2]
    if not path.is_file():
        known = ", ".join(sorted(x.stem for x in FOLDER.glob("*.py") if x.stem != "common"))
        raise UserError(f"no config {name!r}; choose one of {known}, or name a file")
    module = _module(path)
    config: ConfigDict = module.get_config(preset)
    change(config, values or {})
    return config.lock()


def presets(name: str) -> tuple[str, ...]:
    """The presets of a config file besides the one without a name."""
    return tuple(getattr(_module(file_of(name)), "PRESETS", ()))


def beside(file: str, name: str) -> object:
    """The config file NAME.py that another builds on: in its folder, or that of this package."""
    path = Path(file).with_name(f"{name}.py")
    return _module(path if path.is_file() else file_of(name))


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"mapl_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def file_of(name: str) -> Path:
    """The file of a config, whether it is there or not; a preset after a colon is left out.

    A name is the path of a file, else `NAME` or `configs/NAME.py` of those of the package.
    """
    file = local(name.partition(":")[0])
    stem = file.as_posix().removeprefix("configs/").removesuffix(".py")
    own = FOLDER / f"{stem}.py"
    return file if file.is_file() or "/" in stem or not own.is_file() else own


def located(name: str) -> str:
    """The name of a config, with or without a preset, as the path of its file."""
    if not name:
        return name
    file = file_of(name)
    if file.exists() and not (file.is_file() or file.is_dir()):  # a pipe would be waited for
        raise UserError(f"{file} is no regular file; name a config file")
    return f"{file}{''.join(name.partition(':')[1:])}"


def change(config: ConfigDict, values: Mapping[str, object]) -> None:
    """Sets fields of a config, as `--config.FIELD=VALUE` does, those of `demo` included."""
    known = dict(fields(config))
    for name, value in values.items():
        if not isinstance(name, str):
            raise UserError(f"the name of a config field must be text, not {name!r}")
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
            kind = type(known[name]).__name__
            article = "an" if kind == "int" else "a"
            raise UserError(
                f"the config field {name} takes {article} {kind}, not {value!r}"
            ) from None
    demo = of_demo(config, values)
    if demo:
        change(config, demo)


def of_demo(config: ConfigDict, given: Collection[str]) -> dict[str, object]:
    """Fields that `demo` has other values for, with those that were given for them by name."""
    known = dict(fields(config))
    names = {f"demo.{name}": name for name in given}
    return {demo: known[name] for demo, name in names.items() if demo in known.keys() - set(given)}


def fields(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every field of a config with its value, sections as `section.field`."""
    for name in config:
        value = config[name]
        if isinstance(value, ConfigDict):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
