"""The functions for notebooks check what they are given, by their own annotations.

@checked(Settings, limit=(0, 10**9))
def load(source: Source, *, limit: int = 0, seed: int = 0) -> list[Pair]: ...

load(5)          # UserError: load: source is 5; it must be text, a path or records
load(x, seed=-1) # UserError: load: seed is -1; it must be a whole number, at least 0 and ...
"""

import collections.abc
import functools
import inspect
import math
import os
import reprlib
import types
import typing
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import Setting

P = ParamSpec("P")
R = TypeVar("R")
# What the types of the annotations are called.
_WORDS = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    os.PathLike: "a path",
    type(None): "None",
    collections.abc.Callable: "a function",
    collections.abc.Mapping: "a mapping",
    collections.abc.Iterable: "records",
}
_MANY: dict[object, str] = {
    str: "texts",
    collections.abc.Mapping: "mappings",
    collections.abc.Sequence: "conversations",
}
# How data frames and tables give their records.
_TABLES = ("__iter__", "to_pylist", "to_dicts", "to_dict")


def checked(
    bounds: type | None = None, **numbers: tuple[float, float]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function check its arguments first.

    Args:
        bounds: a settings class; arguments that are called as a field of it have its bounds.
        numbers: argument -> its smallest and largest value.
    """
    known = {} if bounds is None else settings.fields_of(bounds)
    about = {name: field.about for name, field in known.items() if not field.section}
    about |= {name: Setting("", least, most=most) for name, (least, most) in numbers.items()}

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise UserError(f"{function.__name__}: {error}") from None
            hints = typing.get_type_hints(function)
            for name, value in given.items():
                if problem := _problem(value, hints.get(name, object), about.get(name)):
                    shown = reprlib.repr(value)
                    raise UserError(f"{function.__name__}: {name} is {shown}; {problem}")
            return function(*args, **kwargs)

        return call

    return wrap


def _problem(value: object, hint: object, about: Setting | None) -> str | None:
    """What is wrong with a value of an argument; None if nothing is."""
    if not _fits(value, hint):
        return f"it must be {_words(hint)}"
    if about is None or not isinstance(value, int | float | str):
        return None
    return about.problem(type(value), value)


def _fits(value: object, hint: object) -> bool:
    """Whether a value is of an annotated type; what a mapping or records hold is not looked at."""
    kind, inner = _kind(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if kind is collections.abc.Sequence:
        if typing.is_typeddict(inner[0]):
            return isinstance(value, list | tuple)
        return isinstance(value, list | tuple) and all(_fits(each, inner[0]) for each in value)
    if kind is collections.abc.Iterable:
        return not isinstance(value, str | bytes | type) and any(hasattr(value, x) for x in _TABLES)
    if kind is float:
        return type(value) is int or (isinstance(value, float) and math.isfinite(value))
    if kind is int:
        return type(value) is int
    return kind is typing.Any or not isinstance(kind, type) or isinstance(value, kind)


def _kind(hint: object) -> object:
    return typing.get_origin(hint) or hint


def _words(hint: object) -> str:
    """What an annotated type is called."""
    kind, inner = _kind(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        *first, last = [_words(option) for option in inner]
        return f"{', '.join(first)} or {last}" if first else last
    if kind is collections.abc.Sequence:
        if inner[0] is object:
            return "a list"
        each = typing.get_args(inner[0]) or inner
        return f"a list of {' or '.join(_MANY.get(_kind(x), 'messages') for x in each)}"
    return _WORDS.get(typing.cast(type, kind), f"a {getattr(kind, '__name__', kind)}")
