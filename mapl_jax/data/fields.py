"""One record: an object with named fields, of text that can be written again."""

import json
from typing import TypeGuard, cast

import numpy as np

from mapl_jax.data.parse import BadRecord

LARGEST = float(np.finfo(np.float32).max)


def as_object(value: object) -> dict[str, object]:
    """The value of an entry, which must be an object with named fields."""
    if isinstance(value, BadRecord):
        raise value
    if not isinstance(value, dict):
        raise BadRecord(
            "not an object", f"must be an object with named fields, not {kind_of(value)}"
        )
    for name, part in value.items():
        try:
            text = _ENCODER.encode([name, part])
        except BadRecord:
            raise
        except (ValueError, RecursionError):
            continue  # nested without end, which is said elsewhere
        encodable(text, repr(name)[1:-1])
    return value


def _as_text(value: object) -> str:
    if isinstance(value, BadRecord):
        raise value
    return str(value)


# `json.dumps` makes one anew for every field.
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_as_text)


def encodable(text: str, name: str) -> str:
    """Text that UTF-8 can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRecord(
            "broken text", f"{name} holds half of a surrogate pair; save it as valid Unicode"
        ) from None
    return text


def kind_of(value: object) -> str:
    """What a value is, in words for messages."""
    names = {str: "text", list: "a list", dict: "an object", bool: "true/false", float: "a number"}
    names |= {int: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a number, finite in fp32."""
    try:
        return type(value) in (int, float) and abs(cast(float, value)) <= LARGEST
    except OverflowError:
        return False
