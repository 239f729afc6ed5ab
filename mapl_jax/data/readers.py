"""Reads files, folders and hub names into raw entries, one by one.

An entry is a name to call a record by in messages, and its value as it stands or, where it could
not be read, the `BadRecord` that says why.
"""

import contextlib
import csv
import functools
import io
import itertools
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from mapl_jax.data import hub, mixtures, wrapped
from mapl_jax.data.folders import (
    BUCKET,
    SUFFIXES,
    data_files,
    held_out_among,
    kinds,
    labels,
    looks_like_hub_name,
    names,
    parts,
    reached,
    shards,
    suffix,
    to_train_on,
    unpacked,
)
from mapl_jax.data.parse import BadRecord, refuse_repeated, value_of_json, values_of_json
from mapl_jax.data.values import plain
from mapl_jax.runtime.console import say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.storage import system_of

LONGEST_LINE = 2**26  # bytes


Entry = tuple[str, object]


class Entries(Iterator[Entry]):
    """The entries of a source, read once and in order.

    Attributes:
        name: of the source, for messages.
        part: of a list of sources, the one that the last entry is of.
        parts: those that were read, of which one may have given nothing.
    """

    def __init__(
        self,
        name: str,
        entries: Iterable[Entry] = (),
        parts: Iterable[tuple[str, Iterable[Entry]]] = (),
    ):
        self.name, self.part = name, ""
        self.parts: list[str] = []
        self._entries = itertools.chain(entries, self._of(parts))

    def _of(self, parts: Iterable[tuple[str, Iterable[Entry]]]) -> Iterator[Entry]:
        for self.part, entries in parts:
            self.parts.append(self.part)
            yield from entries

    def subset(self, own: str) -> str:
        """What a record belongs to: its part of the list, and the subset that it names itself."""
        return " / ".join(filter(None, (self.part, own)))

    def __next__(self) -> Entry:
        return next(self._entries)

    def peek(self) -> object:
        """The first value that is left, which stays; None if there is none."""
        for first in self._entries:
            self._entries = itertools.chain([first], self._entries)
            return first[1]
        return None


def read_entries(path: str | os.PathLike[str], *, seed: int = 0) -> Entries:
    """The entries of any source.

    Args:
        path: a .jsonl, .json, .csv, .tsv, .parquet or .arrow file, on the disk or in a bucket; a
            folder of such files or one written by `datasets.save_to_disk`; a data set of the hub,
            as `data.hub` has it; a pattern; or several of these with commas between. Of one with a
            weight behind it, `a.jsonl:0.3`, that share of the records is read.
    """
    name = os.fspath(path)

    def several() -> Iterator[tuple[str, Iterator[Entry]]]:
        found = parts(name)
        own = labels([part for part, _ in found]) if len(found) > 1 else [""]
        for label, (part, weight) in zip(own, found, strict=True):
            files = names(part)
            if others := held_out_among(files):
                say(f"{part} matches what seems to be held out, too ({', '.join(others)})")
            entries = itertools.chain.from_iterable(map(_one_source, files))
            yield label, mixtures.share(entries, weight, str(seed))

    return Entries(name, parts=several())


# Records of every kind of source.


def _one_source(name: str) -> Iterator[Entry]:
    local = Path(name)
    if BUCKET.match(name):
        yield from _bucket_entries(name)
    elif local.is_dir():
        yield from _folder_entries(local)
    elif local.is_file():
        yield from _file_entries(local)
    elif looks_like_hub_name(name):
        yield from _numbered(name, map(plain, hub.rows(name)))
    elif local.exists():
        raise UserError(f"{name} is no regular file; name a file or a folder")
    else:
        raise UserError(
            f"no such file or folder: {name} (a dataset on the hub is written org/name)"
        )


def _folder_entries(folder: Path) -> Iterator[Entry]:
    if (folder / "dataset_dict.json").is_file():
        (folder,) = to_train_on([file.parent for file in folder.glob("*/state.json")], folder)
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        import datasets

        with _read_by_a_library(str(folder), "a data set"):
            yield from _numbered(str(folder), iter(datasets.load_from_disk(str(folder))))
        return
    for file in shards(folder) or data_files(folder):
        yield from _file_entries(file)


def _bucket_entries(address: str) -> Iterator[Entry]:
    """The records of a file in a bucket, read as they come."""
    if not suffix(address):
        raise UserError(f"{address} has an unknown ending; known endings: {kinds()}")
    with reached(address):
        system, path = system_of(address)
        file = system.open(path, "rb")
        # A file of fsspec's own kind has no limit to a line.
        with io.BufferedReader(cast(io.RawIOBase, file)) as opened:
            yield from _opened_entries(address, opened)


def _file_entries(file: Path) -> Iterator[Entry]:
    kind = suffix(file.name)
    if not kind:
        raise UserError(f"{file} has an unknown ending; known endings: {kinds()}")
    try:
        with file.open("rb") as opened:
            yield from _opened_entries(str(file), opened)
    except OSError as error:
        raise UserError(f"{file}: cannot read it: {error.strerror or error}") from None


def _opened_entries(name: str, file: IO[bytes]) -> Iterator[Entry]:
    """The records of an open file of lines, of JSON or of cells, compressed or not."""
    kind = suffix(name)
    try:
        with contextlib.closing(unpacked(name, file)) as lines:
            yield from _READERS[kind](name, lines)
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{name}: cut off or damaged ({error}); copy it again") from None


def _numbered(name: str, values: Iterable[object]) -> Iterator[Entry]:
    for number, value in enumerate(values, 1):
        yield f"{name}, record {number}", value


def _line_entries(file: str, lines: IO[bytes]) -> Iterator[Entry]:
    # Bytes, so that one bad line is one bad record, and only "\n" ends a line (text mode and
    # splitlines also break at U+2028, which JSON strings may hold).
    number = 0
    for line_number in itertools.count(1):
        line = lines.readline(LONGEST_LINE)
        if not line:
            break
        if len(line) == LONGEST_LINE:
            raise UserError(f"{file}, line {line_number} is longer than 64 MiB; is it JSONL?")
        if line_number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        number += 1
        where = f"{file}, record {number}"
        if number != line_number:
            where += f" (line {line_number})"
        yield where, value_of_json(line)


def _json_entries(name: str, file: IO[bytes]) -> Iterator[Entry]:
    """The records of one value, of several that follow each other, or of lines."""
    content = file.read().removeprefix(b"\xef\xbb\xbf")
    value = value_of_json(content)
    if isinstance(value, BadRecord):
        values = values_of_json(content)
        if values is None and content.lstrip().startswith(b"["):
            raise UserError(f"{name}: {value}")
        lines = _line_entries(name, io.BytesIO(content))
        yield from lines if values is None else _numbered(name, values)
        return
    yield from _numbered(name, wrapped.records_in(value))


def _csv_entries(file: str, lines: IO[bytes], delimiter: str) -> Iterator[Entry]:
    # The csv module and not `datasets`: type inference there turns a reply "NA" into None and a
    # column of numeric replies into integers.
    csv.field_size_limit(2**31 - 1)
    kind = "CSV" if delimiter == "," else "TSV"
    with io.TextIOWrapper(lines, encoding="utf-8-sig", newline="") as opened:
        try:
            first = opened.readline()
            if said := re.fullmatch(r"sep=(.)\s*", first):  # as Excel writes it
                delimiter, first = said[1], opened.readline()
            reader = csv.DictReader(
                itertools.chain([first], opened),
                strict=True,
                delimiter=_separator(first, delimiter),
            )
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            refuse_repeated(reader.fieldnames, f"{file}: the header")
            for number, row in enumerate(reader, 1):
                where = f"{file}, record {number}"
                if None in row or None in row.values():
                    bad = BadRecord("wrong columns", "has more or fewer cells than the header")
                    yield where, bad
                elif all(name == cell.strip() for name, cell in row.items()):
                    yield where, BadRecord("repeated header", "is the header again; remove it")
                else:
                    yield where, _csv_values(row)
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(
                f'{file}: not readable as UTF-8 {kind} ({error}); save it as UTF-8, each " in a '
                "cell doubled"
            ) from None


def _separator(header: str, usual: str) -> str:
    """What stands between the cells: the usual sign, or another if that gives one name alone."""
    signs = (usual, ";", "\t", "|", ",")
    return next((x for x in signs if len(next(csv.reader([header], delimiter=x), ())) > 1), usual)


def _csv_values(row: dict[str, str]) -> dict[str, object]:
    """Cells hold text; margins are numbers, messages and the parts of samples are JSON."""
    values: dict[str, object] = dict(row)
    for key in ("id", "prompt", "margin"):
        if key in row and not row[key].strip():
            del values[key]
    if "margin" in values:
        with contextlib.suppress(ValueError):  # What is no number is refused with the others.
            values["margin"] = float(row["margin"])
    for key, cell in row.items():
        if key in values and re.match(r'\[\s*\{\s*"', cell):
            parsed = value_of_json(cell.encode())
            values[key] = cell if isinstance(parsed, BadRecord) else parsed
    return values


def _parquet_entries(name: str, file: IO[bytes]) -> Iterator[Entry]:
    import pyarrow.parquet

    with _read_by_a_library(name, "Parquet"):
        opened = pyarrow.parquet.ParquetFile(file)
        refuse_repeated(opened.schema_arrow.names, name)
        batches = opened.iter_batches(1024)
        yield from _numbered(name, (plain(row) for batch in batches for row in batch.to_pylist()))


def _arrow_entries(name: str, file: IO[bytes]) -> Iterator[Entry]:
    """The rows of a file of Arrow's, which says how many it holds, or of a stream."""
    import pyarrow.ipc

    with _read_by_a_library(name, "Arrow"):
        whole = file.read(6) == b"ARROW1"
        file.seek(0)
        opened = pyarrow.ipc.open_file(file) if whole else pyarrow.ipc.open_stream(file)
        refuse_repeated(opened.schema.names, name)
        batches = map(opened.get_batch, range(opened.num_record_batches)) if whole else opened
        yield from _numbered(name, (plain(row) for batch in batches for row in batch.to_pylist()))


@contextlib.contextmanager
def _read_by_a_library(name: str, kind: str) -> Iterator[None]:
    """Whatever the library says of a file, which is of many kinds, becomes one."""
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except Exception as error:
        lfs = "; if it is a pointer of Git LFS, run git lfs pull" if "magic" in str(error) else ""
        raise UserError(f"{name}: not readable as {kind} ({_first_line(error)}{lfs})") from None


Reader = Callable[[str, IO[bytes]], Iterator[Entry]]
_READERS: dict[str, Reader] = {
    ".jsonl": _line_entries,
    ".ndjson": _line_entries,
    ".json": _json_entries,
    ".csv": functools.partial(_csv_entries, delimiter=","),
    ".tsv": functools.partial(_csv_entries, delimiter="\t"),
    ".parquet": _parquet_entries,
    ".arrow": _arrow_entries,
    ".feather": _arrow_entries,
}
_OWN = frozenset(_READERS)


def register(suffix: str, read: Callable[[IO[bytes]], Iterable[object]]) -> None:
    """Adds a reader of a kind of file, or replaces one that was added.

    Args:
        suffix: the ending of its files, in small letters, such as ".eml".
        read: from an open file, unpacked if it was compressed, to its records as values of JSON. A
            `BadRecord` in their place says what is wrong with one; an exception, with the file.

    Raises:
        ValueError: the ending is read by the package, or is none.

    Examples:
        >>> import json, pathlib, tempfile
        >>> from mapl_jax.data import readers
        >>> readers.register(".deck", lambda file: map(json.loads, file.read().split(b"---")))
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.deck")
        >>> _ = path.write_text('{"a": 1}---{"a": 2}')
        >>> [value for _, value in readers.read_entries(path)]
        [{'a': 1}, {'a': 2}]
        >>> readers.unregister(".deck")
    """
    if suffix in _OWN or not re.fullmatch(r"\.[a-z0-9]+", suffix):
        raise ValueError(f"{suffix!r}: give an ending of its own, such as '.eml'")

    def entries(name: str, file: IO[bytes]) -> Iterator[Entry]:
        with _read_by_a_library(name, suffix):
            yield from _numbered(name, map(plain, read(file)))

    unregister(suffix)
    _READERS[suffix] = entries
    SUFFIXES.append(suffix)


def unregister(suffix: str) -> None:
    """Takes a reader away that was added."""
    if suffix in _READERS.keys() - _OWN:
        del _READERS[suffix]
        SUFFIXES.remove(suffix)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
