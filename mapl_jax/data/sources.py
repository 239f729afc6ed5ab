"""Where data comes from: a file, a folder, the hub, records in memory, or the demonstration."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from mapl_jax.data import demo, folders
from mapl_jax.data.fields import as_object
from mapl_jax.data.parse import BadRecord, refuse_repeated
from mapl_jax.data.readers import Entries, read_entries
from mapl_jax.data.values import plain
from mapl_jax.data.wrapped import by_columns, has_columns
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import write_lines

DEMO = "demo"
# A file, a folder, a hub name, "demo"; or records in memory.
Source = str | os.PathLike[str] | Iterable[Mapping[str, object]]


def entries_of(
    source: Source, *, split: str = "test", demo_pairs: int = 4000, seed: int = 0
) -> Entries:
    """The entries of any source.

    Args:
        source: a name that `read_entries` takes, "demo", or records in memory.
        split: of the demonstration, "train" or "test".
        demo_pairs: of the demonstration to train on; an eighth as many are there to test on,
            enough for intervals of a few points.
        seed: of the demonstration, and of what is drawn from sources with weights.
    """
    if not isinstance(source, str | os.PathLike):
        named = ((f"record {number}", record) for number, record in enumerate(rows_of(source), 1))
        return Entries("the given records", named)
    if source != DEMO:
        return read_entries(source, seed=seed)
    if demo_pairs < 10:
        raise UserError(f"data.demo_pairs must be at least 10, not {demo_pairs}")
    size = demo_pairs if split == "train" else max(demo_pairs // 8, 10)
    pairs = demo.make_pairs(size, seed, split)
    return Entries(DEMO, ((f"record {number}", pair) for number, pair in enumerate(pairs, 1)))


def local_names(*sources: Source) -> list[str]:
    """The names of files and folders among sources, those of patterns and lists one by one."""
    given = [os.fspath(x) for x in sources if isinstance(x, str | os.PathLike)]
    return [
        name
        for source in given
        if source and source.partition(":")[0] != DEMO
        for part, _ in folders.parts(source)
        for name in folders.names(part)
        if os.path.exists(name)
    ]


def as_file(data: Source, folder: Path, name: str) -> str:
    """The path or name of data; what is in memory is written first, into a file of a folder.

    The file is called by a name and its content.
    """
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    records = [_written(record, number) for number, record in enumerate(rows_of(data), 1)]
    lines = "".join(json.dumps(record, sort_keys=True) for record in records)
    digest = hashlib.blake2b(lines.encode(), digest_size=8).hexdigest()
    path = folder / f"{name}-{digest}.jsonl"
    if not path.exists():
        write_lines(path, records)
    return str(path)


def _written(record: object, number: int) -> dict[str, object]:
    """A record in memory that a file can hold."""
    try:
        fields = as_object(record)
    except BadRecord as bad:
        raise UserError(f"record {number}: {bad}") from None
    for name, value in fields.items():
        try:
            json.dumps({name: value}, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            raise UserError(
                f"record {number}: {name!r} cannot be written as JSON ({error}); leave it out"
            ) from None
    return fields


def rows_of(source: object) -> Iterator[Mapping[str, object]]:
    """The records of what is in memory: a list, a data set, a data frame or table."""
    if isinstance(source, Mapping):
        given = plain(source) if has_columns(source) else {}
        if (rows := by_columns(cast(Mapping[str, object], given))) is None:
            hint = "put it into a list" if "chosen" in source else "give a part"
            given = ", ".join(map(str, source))
            raise UserError(f"data must be a list of records, not an object with {given}; {hint}")
        source = rows
    if hasattr(source, "with_format"):  # a data set, whose rows may be made other things
        source = source.with_format(None)
    columns = getattr(source, "columns", None)
    names = getattr(source, "column_names", columns)
    refuse_repeated([] if names is None else list(names), "data")
    if hasattr(source, "to_pylist"):
        source = source.to_pylist()
    elif hasattr(source, "to_dicts"):
        source = source.to_dicts()
    elif columns is not None and hasattr(source, "to_dict"):
        index = getattr(source, "index", None)
        if hasattr(source, "reset_index") and any(getattr(index, "names", ())):
            source = source.reset_index()  # these are columns
        source = source.to_dict("records")
    if not hasattr(source, "__iter__"):
        raise UserError(f"data must be a list of records, not {type(source).__name__}")
    return map(_plain_or_bad, source)


def _plain_or_bad(row: object) -> Mapping[str, object]:
    """A record of plain values; one that has none is reported where it is read."""
    try:
        return cast(Mapping[str, object], plain(row))
    except ValueError as error:
        return cast(Mapping[str, object], BadRecord("nested too deep", str(error)))
