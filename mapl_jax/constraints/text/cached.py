"""Values that an object works out on first use and keeps."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Owner = TypeVar("Owner")
Value = TypeVar("Value")

MISSING: Any = object()
"""What a look into a dict of such values gives where there is none yet; None may be one."""


class cached(Generic[Owner, Value]):
    """`functools.cached_property` without the lock of Python 3.11, which takes longer than most
    statistics: two threads may work one out twice, and get the same."""

    def __init__(self, compute: Callable[[Owner], Value]):
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, holder: None, owner: type) -> "cached[Owner, Value]": ...

    @overload
    def __get__(self, holder: Owner, owner: type) -> Value: ...

    def __get__(self, holder, owner):
        if holder is None:
            return self
        value = holder.__dict__[self._name] = self._compute(holder)
        return value
