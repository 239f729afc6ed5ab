"""What --help prints of flags and of the fields of a config."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mapl_jax.runtime import settings

_COLUMNS = 92
_LONGEST = 60
# What most runs set: which data, which model, how long, how fast, on what.
_FIRST = (
    "data.train",
    "data.test",
    "data.max_length",
    "model.path",
    "lora.rank",
    "train.epochs",
    "train.learning_rate",
    "train.rows_per_batch",
    "train.accumulation",
    "train.dtype",
    "mesh.fsdp",
)


def of_config(config: str, lists: Sequence[str]) -> Iterator[str]:
    """The flags of a command with a config file, which is not needed with those of `lists`."""
    uses = ", ".join(f"--{name}" for name in lists)
    stem = Path(config.partition(":")[0]).stem
    needed = f"required, except with {uses}" if lists else "required"
    text = f"config file, such as {config}, or the name of a config of the package, such as {stem}"
    yield from _entry("config", f"{text}; a preset can follow after a colon; {needed}")
    text = "folder for everything the command writes; for a run, it can be gs:// or s3://"
    yield from _entry("workdir", f"{text} (default: '')")
    text = "TOML or YAML file of fields; fields on the command line override it"
    yield from _entry("overrides", f"{text} (default: none)")


def of_flags(classes: Sequence[type]) -> Iterator[str]:
    """The plain flags of settings classes, and --help."""
    for cls in classes:
        for name, field in settings.fields_of(cls).items():
            default = repr(field.default) if field.default != () else "none"
            text = f"{field.about.help} (default: {default})"
            yield from _entry(name, text, switch=isinstance(field.default, bool))
    yield from _entry("help", "print this (default: False)", switch=True)


def of_fields(cls: type, values: Mapping[str, object]) -> Iterator[str]:
    """The fields of a config with their defaults: the most used ones first, then by section."""
    fields = {field.name: field for field in settings.described(cls, values)}
    # Other commands have few fields of this list, if any.
    trains = "train.epochs" in fields
    first = [fields.pop(name) for name in _FIRST if trains and name in fields]
    if first:
        yield from ("", "most used:")
        yield from _fields(first)
    sections: dict[str, list[settings.Field]] = {"": []}
    for field in fields.values():
        sections.setdefault(field.name.rpartition(".")[0], []).append(field)
    for section, group in sections.items():
        if group:
            yield from ("", f"{section or 'general'}:")
            yield from _fields(group)


def _fields(fields: Iterable[settings.Field]) -> Iterator[str]:
    for field in fields:
        default = repr(field.default)
        if len(default) > _LONGEST:
            default = f"{default[:_LONGEST]}..."
        yield from _entry(f"config.{field.name}", f"{field.about.help} (default: {default})")


def _entry(name: str, text: str, switch: bool = False) -> Iterator[str]:
    yield f"  --[no]{name}" if switch else f"  --{name}="
    margin = " " * 8
    yield from textwrap.wrap(
        text, _COLUMNS, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )
