"""Reads files, folders and hub names into raw entries, one by one.

An entry is a name to call a record by in messages, and its value as it stands or, where it could
not be read, the `BadRecord` that says why.
"""

import contextlib
import csv
import gzip
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mapl_jax.runtime.errors import UserError

LONGEST_LINE = 2**26  # bytes
SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".json", ".csv", ".parquet")
_SHARD = re.compile(r"samples-\d{5,}-of-(\d{5,})\.(?:jsonl|parquet)")
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?::(.+))?")


class BadRecord(ValueError):
    """One bad record: a short reason to count by and a message that says what to do."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


Entry = tuple[str, object]


class Entries(Iterator[Entry]):
    """The entries of a source, read once and in order.

    Attributes:
        name: of the source, for messages.
    """

    def __init__(self, name: str, entries: Iterable[Entry]):
        self.name = name
        self._entries = iter(entries)

    def __next__(self) -> Entry:
        return next(self._entries)

    def peek(self) -> object:
        """The first value that is left, which stays; None if there is none."""
        for first in self._entries:
            self._entries = itertools.chain([first], self._entries)
            return first[1]
        return None


def read_entries(path: str | os.PathLike[str]) -> Entries:
    """The entries of any source.

    Args:
        path: a .jsonl (or .jsonl.gz), .json, .csv or .parquet file, a folder of such files or
            one written by `datasets.save_to_disk`, or a hub name `org/name` or `org/name:split`.

    Raises:
        UserError: the source cannot be read; while entries are taken.
    """
    name = os.fspath(path)
    return Entries(name, _source_entries(name))


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """The local files that a source consists of; none for one on the hub."""
    local = Path(path)
    if local.is_dir():
        return sorted(file for file in local.iterdir() if file.is_file())
    return [local] if local.is_file() else []


# Records of every kind of source.


def _source_entries(name: str) -> Iterator[Entry]:
    local = Path(name)
    if local.is_dir():
        yield from _folder_entries(local)
    elif local.is_file():
        yield from _file_entries(local)
    elif _looks_like_hub_name(name):
        yield from _hub_entries(name)
    else:
        raise UserError(
            f"no such file or folder: {name} (a dataset on the hub is written org/name)"
        )


def _looks_like_hub_name(name: str) -> bool:
    return bool(_HUB_NAME.fullmatch(name)) and not name.startswith(".") and not _suffix(name)


def _suffix(name: str) -> str:
    """The known ending of a file name, or an empty string."""
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


def _folder_entries(folder: Path) -> Iterator[Entry]:
    if (folder / "dataset_dict.json").is_file():
        raise UserError(f"{folder} holds several splits; give one of its folders")
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        import datasets

        with _read_by_datasets(str(folder), "a data set"):
            yield from _numbered(str(folder), iter(datasets.load_from_disk(str(folder))))
        return
    files = _shards(folder) or sorted(
        file for file in folder.iterdir() if file.is_file() and _suffix(file.name)
    )
    if not files:
        raise UserError(f"{folder} holds no data files; looked for *{', *'.join(SUFFIXES)}")
    for file in files:
        yield from _file_entries(file)


def _shards(folder: Path) -> list[Path]:
    """The files samples-00000-of-00004.jsonl and so on, which stand beside reports and summary."""
    counts = {
        file: int(match[1])
        for file in sorted(folder.iterdir())
        if (match := _SHARD.fullmatch(file.name))
    }
    if counts and set(counts.values()) != {len(counts)}:
        wanted = max(counts.values())
        raise UserError(f"{folder} holds {len(counts)} of {wanted} shards; synthesize it anew")
    return list(counts)


def _file_entries(file: Path) -> Iterator[Entry]:
    suffix = _suffix(file.name)
    if not suffix:
        raise UserError(f"{file} is of no known kind; known endings: {', '.join(SUFFIXES)}")
    try:
        if suffix == ".parquet":
            yield from _parquet_entries(file)
        elif suffix == ".csv":
            yield from _csv_entries(file)
        elif suffix == ".json" and _starts_with_bracket(file):
            yield from _array_entries(file)
        else:
            yield from _line_entries(file)
    except OSError as error:
        raise UserError(f"{file}: cannot read it: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise UserError(f"{file}: cut off or damaged ({error}); copy it again") from None


def _numbered(name: str, values: Iterable[object]) -> Iterator[Entry]:
    for number, value in enumerate(values, 1):
        yield f"{name}, record {number}", value


def _line_entries(file: Path) -> Iterator[Entry]:
    # Bytes, so that one bad line is one bad record, and only "\n" ends a line (text mode and
    # splitlines also break at U+2028, which JSON strings may hold).
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
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
            yield where, parse_json(line)


def parse_json(line: bytes) -> object:
    """The value of a line of JSON, or the `BadRecord` that says what is wrong with it."""
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRecord(
            "not UTF-8", f"not UTF-8 text (byte {error.start} of the line); save it as UTF-8"
        )
    except json.JSONDecodeError as error:
        complete = line.rstrip().endswith((b"}", b"]"))
        hint = "mend or remove the line" if complete else "the line looks cut off"
        return BadRecord("not JSON", f"not JSON ({error.msg}, column {error.colno}); {hint}")
    except ValueError:
        return BadRecord(
            "not JSON", "holds a number of thousands of digits; mend or remove the line"
        )
    except RecursionError:
        return BadRecord("not JSON", "nested too deeply; mend or remove the line")


def _starts_with_bracket(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _array_entries(file: Path) -> Iterator[Entry]:
    value = parse_json(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    if isinstance(value, BadRecord):
        raise UserError(f"{file}: {value}")
    assert isinstance(value, list)
    yield from _numbered(str(file), value)


def _csv_entries(file: Path) -> Iterator[Entry]:
    # The csv module and not `datasets`: type inference there turns a reply "NA" into None and a
    # column of numeric replies into integers.
    csv.field_size_limit(2**31 - 1)
    with file.open(encoding="utf-8-sig", newline="") as opened:
        try:
            reader = csv.DictReader(opened, strict=True)
            names = reader.fieldnames or ()
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise UserError(f"{file}: the header names {twice!r} twice; rename one of the two")
            for number, row in enumerate(reader, 1):
                where = f"{file}, record {number}"
                if None in row or None in row.values():
                    yield (
                        where,
                        BadRecord("wrong columns", "has more or fewer cells than the header"),
                    )
                else:
                    yield where, _csv_values(row)
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{file}: not readable as UTF-8 CSV ({error})") from None


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
            parsed = parse_json(cell.encode())
            values[key] = cell if isinstance(parsed, BadRecord) else parsed
    return values


def _parquet_entries(file: Path) -> Iterator[Entry]:
    import datasets

    with _read_by_datasets(str(file), "Parquet"):
        rows = datasets.load_dataset("parquet", data_files=str(file), split="train", streaming=True)
        yield from _numbered(str(file), rows)


@contextlib.contextmanager
def _read_by_datasets(name: str, kind: str) -> Iterator[None]:
    """Whatever the library says of a file, which is of many kinds, becomes one."""
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except Exception as error:
        raise UserError(f"{name}: not readable as {kind} ({_first_line(error)})") from None


def _hub_entries(name: str) -> Iterator[Entry]:
    import datasets

    match = _HUB_NAME.fullmatch(name)
    assert match is not None
    repository, split = match.group(1), match.group(2) or "train"
    try:
        rows = datasets.load_dataset(repository, split=split)
    except Exception as error:
        raise UserError(
            f"cannot load {repository!r} (split {split!r}) from the hub: {_first_line(error)}; "
            "check name, split and network, or give a local file"
        ) from None
    yield from _numbered(name, rows)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


# One record.


def as_object(value: object) -> dict[str, object]:
    """The value of an entry, which must be an object with named fields.

    Raises:
        BadRecord: it is not, or could not be read.
    """
    if isinstance(value, BadRecord):
        raise value
    if not isinstance(value, dict):
        raise BadRecord(
            "not an object", f"must be an object with named fields, not {kind_of(value)}"
        )
    return value


def kind_of(value: object) -> str:
    """What a value is, in words for messages."""
    names = {str: "text", list: "a list", dict: "an object", bool: "true/false", float: "a number"}
    names |= {int: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
