"""Values of libraries as values of JSON."""

import contextlib
import datetime
import decimal
from collections.abc import Mapping

import numpy as np

# How deep a record may be nested.
DEEPEST = 100


def by_rows(value: object) -> object:
    """A list of objects that `datasets` keeps as an object of lists; others as they are."""
    if not isinstance(value, Mapping) or not value:
        return value
    columns = list(value.values())
    if not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


def plain(value: object, depth: int = 0) -> object:
    """A value of NumPy, pandas or Arrow as one of JSON; NaN is null, dates are text."""
    if depth > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} deep")
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, np.ndarray):
        return plain(list(value) if value.dtype.names else value.tolist())
    if isinstance(value, np.generic):
        names = value.dtype.names  # of a row with fields
        return plain(dict(zip(names, value.item(), strict=True)) if names else value.item())
    if isinstance(value, Mapping):
        return {str(name): plain(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, depth + 1) for part in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    for method in ("as_py", "to_dict", "to_pylist"):
        if hasattr(value, method):
            return plain(getattr(value, method)(), depth + 1)
    if isinstance(value, bytes):  # as some programs store text in Parquet
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode("utf-8")
    if isinstance(value, decimal.Decimal):
        return plain(float(value))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value
