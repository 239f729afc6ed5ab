"""The parameters of a family, declared: the name, the kind and the limits of each.

A family's `validate` and the plain slots of its sentences follow from the declaration, and a
declared parameter reads its value, typed, from the parameters of a constraint.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

Value = str | int | bool | list[str]
Params = dict[str, Value]
T = TypeVar("T", bound=Value)


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """One parameter of a family.

    Attributes:
        name: its key.
        default: its value where a constraint leaves it out; None if it must not.
        slot: its name in templates, if that differs from the key.
    """

    name: str
    default: T | None = None
    slot: str = ""

    def of(self, params: Params) -> T:
        """The value that the parameters of a constraint give it."""
        return params.get(self.name, self.default)  # type: ignore[return-value]

    def fits(self, value: object) -> bool:
        """Whether this can be its value."""
        raise NotImplementedError


@dataclass(frozen=True)
class Number(Parameter[int]):
    """A whole number from `least` on."""

    least: int = 1

    def fits(self, value: object) -> bool:
        """Whether it is one."""
        return isinstance(value, int) and not isinstance(value, bool) and value >= self.least


@dataclass(frozen=True)
class Phrase(Parameter[str]):
    """A text with something to see in it."""

    def fits(self, value: object) -> bool:
        """Whether it is one."""
        return isinstance(value, str) and bool(value.strip())


@dataclass(frozen=True)
class Character(Parameter[str]):
    """A single character to see."""

    def fits(self, value: object) -> bool:
        """Whether it is one."""
        return isinstance(value, str) and len(value) == 1 and bool(value.strip())


@dataclass(frozen=True)
class Phrases(Parameter[list[str]]):
    """One text or more, each with something to see in it."""

    def fits(self, value: object) -> bool:
        """Whether it is a list of them."""
        return (
            isinstance(value, list)
            and bool(value)
            and all(isinstance(each, str) and each.strip() for each in value)
        )


@dataclass(frozen=True)
class Choice(Parameter[str]):
    """One of several texts."""

    options: tuple[str, ...] = ()

    def fits(self, value: object) -> bool:
        """Whether it is among them."""
        return isinstance(value, str) and value in self.options


@dataclass(frozen=True)
class Switch(Parameter[bool]):
    """True or false; false where it is left out."""

    default: bool | None = False

    def fits(self, value: object) -> bool:
        """Whether it is one of the two."""
        return isinstance(value, bool)


NEGATION = Switch("negated")
NEGATED: Params = {"negated": True}
