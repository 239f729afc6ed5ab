"""The records in one value: a list of them, one, or an object that holds them in some other way."""

from collections.abc import Mapping
from typing import cast

from mapl_jax.data.folders import OTHER_SPLITS
from mapl_jax.data.meaning import is_spoken
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.values import by_rows

_KNOWN = {"chosen", "rejected", "comparisons", "prompt"}
_COLUMNS = {"prompt", "chosen", "rejected", "responses", "scores", "ranks", "completion"}
_SPLIT = {"columns", "data", "index"}


def records_in(value: object) -> list[object]:
    """The records of a value of JSON.

    An object may hold a list of them, perhaps beside a version or a name; one list for each split,
    of which that of train is read; records by their ids; or columns, as data frames are written.
    """
    if not isinstance(value, dict):
        return value if isinstance(value, list) else [value]
    if (rows := by_columns(value)) is not None:
        return rows
    if _KNOWN & value.keys():
        return [value]
    if all(isinstance(x, dict) and _KNOWN & x.keys() for x in value.values()) and value:
        return [{"id": name, **record} for name, record in value.items()]
    lists = {name: _rows(inner) for name, inner in value.items() if isinstance(inner, list)}
    held = {
        name: inner
        for name, inner in lists.items()
        if (first := next((x for x in inner if isinstance(x, dict)), {}))
        and (len(value) == 1 or _KNOWN & first.keys())
    }
    if held.keys() <= {"train", *OTHER_SPLITS} and "train" in held:
        return held["train"]
    return next(iter(held.values())) if len(held) == 1 else [value]


def by_columns(value: Mapping[str, object]) -> list[object] | None:
    """The records of an object of columns; None if it is none.

    Columns are lists of one length, or objects by number, as pandas writes them; and what it calls
    orient="split".
    """
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and value.keys() <= _SPLIT:
        rows = [dict(zip(map(str, names), row, strict=False)) for row in data]
        return [*rows] if all(len(row) == len(names) for row in data) else None
    if not has_columns(value):
        return None
    columns = list(value.values())
    if isinstance(first := columns[0], dict) and "0" in first:
        if not all(isinstance(x, dict) and x.keys() == first.keys() for x in columns):
            return None
        columns = [list(cast(dict[str, object], x).values()) for x in columns]
    # Lists of messages may be the turns of a single record.
    for column in columns:
        if not isinstance(column, list) or any(map(_is_turn, column)):
            return None
    found = by_rows(dict(zip(value, columns, strict=True)))
    return found if isinstance(found, list) else None  # of one length


def _is_turn(value: object) -> bool:
    return isinstance(value, dict) and is_spoken(value)


def has_columns(value: Mapping[str, object]) -> bool:
    """Whether two names of an object or more are those of columns."""
    return len(_COLUMNS & value.keys()) > 1


def _rows(found: list[object]) -> list[object]:
    """Records, each of which the hub's server of rows wraps once more: `{"row": ...}`."""
    rows: list[object] = []
    for item in found:
        if not isinstance(item, dict) or not isinstance(item.get("row"), dict):
            return found
        cut = ", ".join(map(str, item.get("truncated_cells") or ()))
        bad = BadRecord("cut cells", f"was cut by the server that gave it ({cut}); download it")
        rows.append(bad if cut else item["row"])
    return rows
