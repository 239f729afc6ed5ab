"""Settings: frozen dataclasses whose fields say what they mean and what they may be.

A section of a config becomes one of them where a command reads it, and goes no further:

    @dataclasses.dataclass(frozen=True)
    class TrainSettings:
        epochs: int = setting(1, "passes over the training data", least=1)

        def __post_init__(self) -> None:
            settings.check(self, "train")

    settings.from_section(TrainSettings, {"epochs": 0}, "train")
    # UserError: train.epochs is 0; it must be a whole number, at least 1

What only several fields together decide belongs in `__post_init__` as well. `--help` and
docs/configuration.md show the same names and texts.
"""

import ast
import dataclasses
import difflib
import functools
import math
import types
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import brief

S = TypeVar("S")
T = TypeVar("T")
_KEY = "setting"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is known of a field beside its name, type and default."""

    help: str  # what the field says, as a phrase that stands alone
    least: float | None = None  # the smallest number
    above: float | None = None  # a number that the value must exceed
    most: float | None = None  # the largest number
    below: float | None = None  # a number that the value must stay under
    besides: tuple[float, ...] = ()  # numbers outside of these bounds with a meaning of their own
    choices: tuple[str, ...] = ()  # the texts to choose from; empty where every text is one
    # Whether a run folder belongs to one value. Not so where it decides no parameter, and
    # where it only says where something lies whose content is compared.
    compared: bool = True
    # The field is a mapping that holds some fields of the class it stands in.
    part_of_all: bool = False

    def problem(self, kind: object, value: object) -> str | None:
        """What is wrong with a value of a field of some type; None if nothing is."""
        if self.choices:
            names = ", ".join(self.choices)
            return None if value in self.choices else f"choose one of {names}"
        if kind is str:
            return _text_problem(value)
        if kind is bool:
            return None if isinstance(value, bool) else "it must be True or False"
        if kind not in (int, float):
            return None
        numbers = (int,) if kind is int else (int, float)
        number = cast(float, value)
        if type(value) in numbers and (number in self.besides or self._holds(number)):
            return None
        return f"it must be {self._numbers(whole=kind is int)}"

    def _holds(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
            and (isinstance(value, int) or math.isfinite(value))
        )

    def _numbers(self, whole: bool) -> str:
        """The numbers within the bounds, in words."""
        bounds = [
            f"{word} {bound}" if isinstance(bound, int) else f"{word} {bound:g}"
            for word, bound in (
                ("at least", self.least),
                ("above", self.above),
                ("at most", self.most),
                ("below", self.below),
            )
            if bound is not None
        ]
        kind = "a whole number" if whole else "a finite number"
        text = f"{kind}, {' and '.join(bounds)}" if bounds else kind
        return ", or ".join([text, *(f"{value:g}" for value in self.besides)])


def _text_problem(value: object) -> str | None:
    if not isinstance(value, str):
        return "it must be text"
    return None if is_utf8(value) else "it holds half of a surrogate pair, which is no text"


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold a text; Python takes bytes of a command line that are none for halves
    of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def setting(
    default: T,
    help: str,
    *,
    besides: float | tuple[float, ...] = (),
    choices: Collection[str] = (),
    **more: Any,
) -> T:
    """A field of a settings class; see `Setting` for the arguments."""
    others = besides if isinstance(besides, tuple) else (besides,)
    about = Setting(help, besides=others, choices=tuple(choices), **more)
    field: T = dataclasses.field(default=default, metadata={_KEY: about})
    return field


def changeable(default: T, help: str, **bounds: Any) -> T:
    """A field that may change while a run goes on in its folder; see `Setting.compared`."""
    return setting(default, help, compared=False, **bounds)


# Metadata of a field that holds other values for some fields of the class it stands in.
OVERRIDES = {_KEY: Setting("other values for fields of the same names", part_of_all=True)}


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a settings class."""

    name: str  # of the field; `section.field` inside a section
    kind: Any  # its type, or the settings class of a section
    default: object  # its default; `dataclasses.MISSING` if it has none
    about: Setting

    @property
    def section(self) -> bool:
        """Whether it has fields of its own."""
        return dataclasses.is_dataclass(self.kind)


def fields_of(cls: object) -> Mapping[str, Field]:
    """The fields of a settings class by name, sections as one field each."""
    return _fields_of(cls)


@functools.cache
def _fields_of(cls: Any) -> Mapping[str, Field]:
    # A command's own classes stand in `__main__`, wherever that is.
    hints = typing.get_type_hints(cls, localns={base.__name__: base for base in cls.__mro__})
    found = {}
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        if isinstance(kind, types.UnionType):
            kind = next(option for option in typing.get_args(kind) if option is not type(None))
        about = field.metadata.get(_KEY, Setting(""))
        if about.part_of_all:
            kind = cls
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory
        found[field.name] = Field(field.name, kind, default, about)
    return found


def find(cls: type, name: str) -> Field | None:
    """The field of a settings class by its full name, `section.field`; None if there is none."""
    first, _, rest = name.partition(".")
    field = fields_of(cls).get(first)
    if field is None or not rest:
        return field
    return find(field.kind, rest) if field.section else None


def check(settings: object, section: str) -> None:
    """Makes sure that every field means something by itself; for `__post_init__`.

    The section is that of a config; empty for fields without one, "--" for plain flags.
    """
    for name, field in fields_of(type(settings)).items():
        if not field.section and not field.about.part_of_all:
            _check_one(field, getattr(settings, name), _joined(section, name))


def check_values(
    cls: type, values: Mapping[str, object], section: str = "", whole: type | None = None
) -> None:
    """Makes sure that every value belongs to a field and means something by itself.

    Args:
        values: field -> value, sections as mappings; fields may be missing.
        section: where the values stand in a config; empty for the config itself.
    """
    fields = fields_of(cls)
    for key, value in values.items():
        name = _joined(section, key)
        field = fields.get(key)
        if field is None:
            raise UserError(_unknown(whole or cls, name))
        if field.section:
            if value is None and field.default is None:
                continue
            if not isinstance(value, Mapping):
                raise UserError(_is_section(name, value))
            check_values(field.kind, value, name, whole or cls)
        elif isinstance(value, Mapping):
            raise UserError(f"{name} has fields of its own; it must be a single value")
        else:
            _check_one(field, value, name)


def _check_one(field: Field, value: object, name: str) -> None:
    if problem := field.about.problem(field.kind, value):
        raise UserError(f"{name} is {brief(repr(value))}; {problem}")


def from_section(cls: type[S], section: Mapping[str, object], name: str = "") -> S:
    """Settings from the section of a config, sections as mappings; a missing field has its default.

    The name of the section is for errors; it is empty for the config itself.
    """
    check_values(cls, section, name)
    return _made(cls, section, name)


def _made(cls: type[S], section: Mapping[str, Any], name: str) -> S:
    values = {}
    for key, field in fields_of(cls).items():
        full = _joined(name, key)
        if key not in section:
            if field.default is dataclasses.MISSING:
                raise UserError(f"the config has no field {full}; add it")
            continue
        value = section[key]
        nested = field.section and not field.about.part_of_all and value is not None
        values[key] = _made(field.kind, value, full) if nested else value
    return cls(**values)


def needed(settings: object, **what: str) -> None:
    """Makes sure that fields are set: field -> what to set it to, for the message."""
    for name, value in what.items():
        if not getattr(settings, name):
            raise UserError(f"no {name} given; set --config.{name}={value}")


def replace(settings: S, values: Mapping[str, object]) -> S:
    """The same settings with other values, those of sections as mappings."""
    check_values(type(settings), values)
    return _replaced(settings, values)


def _replaced(settings: Any, values: Mapping[str, object]) -> Any:
    fields = fields_of(type(settings))
    changed = {
        key: _replaced(getattr(settings, key), value)
        if fields[key].section and isinstance(value, Mapping)
        else value
        for key, value in values.items()
    }
    return dataclasses.replace(settings, **changed)


def flag_problem(cls: type, name: str, text: str) -> str | None:
    """What is wrong with name or value of `section.field` on a command line; None if nothing is."""
    field = find(cls, name)
    if field is None:
        return _unknown(cls, name)
    if field.section:
        return _is_section(name, text)
    if field.kind is str and not field.about.choices:
        return None
    value: object = text
    if field.kind is not str:
        try:
            value = ast.literal_eval(text.title() if field.kind is bool else text)
        except (ValueError, SyntaxError):
            value = float(text) if text.lower().strip("+-") in ("nan", "inf") else text
    problem = field.about.problem(field.kind, value)
    return problem and f"{name} is {brief(repr(text))}; {problem}"


def described(cls: type, values: Mapping[str, Any], section: str = "") -> Iterator[Field]:
    """The fields of a config in the order of its settings class, with the config's values.

    Whole configs inside it are left out; they have files of their own.
    """
    for key, field in fields_of(cls).items():
        if key not in values or (field.section and not field.about.part_of_all and _whole(field)):
            continue
        name = _joined(section, key)
        if isinstance(values[key], Mapping):
            yield from described(field.kind, values[key], name)
        else:
            yield dataclasses.replace(field, name=name, default=values[key])


def _whole(field: Field) -> bool:
    """Whether a section is a config with sections of its own."""
    return any(inner.section for inner in fields_of(field.kind).values())


def defaults(cls: type) -> dict[str, object]:
    """A config with every field of a settings class at its default; sections as mappings.

    Whole configs inside it, and fields without a default, are left out.
    """
    return {
        name: defaults(field.kind) if field.section else field.default
        for name, field in fields_of(cls).items()
        if (not _whole(field) if field.section else field.default is not dataclasses.MISSING)
    }


def closest(classes: Sequence[type], values: Collection[str]) -> type:
    """The settings class that has most of the fields of a config."""
    return max(classes, key=lambda cls: len(fields_of(cls).keys() & set(values)))


def comma_separated(text: str) -> list[str]:
    """The names in a text with commas between, each once."""
    return list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def _joined(section: str, name: str) -> str:
    """The full name of a field; plain flags stand in the section "--"."""
    return f"{section}{name}" if section in ("", "--") else f"{section}.{name}"


def _is_section(name: str, value: object) -> str:
    return f"{name} is {value!r}; it has fields of its own, {name}.NAME"


def _unknown(whole: type, name: str) -> str:
    known = dict(every_field(whole))
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else "nothing reads it; leave it out"
    return f"unknown field {name}; {hint}"


def every_field(cls: type, section: str = "") -> Iterator[tuple[str, Field]]:
    """Full names of the fields of a class, of sections and of what is in them.

    Whole configs inside it are left out, but for their own names.
    """
    for key, field in fields_of(cls).items():
        name = _joined(section, key)
        yield name, field
        if field.section and not _whole(field):
            yield from every_field(field.kind, name)
