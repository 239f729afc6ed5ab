"""Where data comes from: pairs, demonstrations and samples, read and checked row by row.

Every record is checked before anything is built from it, and a message about a bad one names the
file, the record and what to do. A prompt is told from its replies by message or by column, never
by the characters that two replies happen to share (TRL's `extract_prompt` turns "yes" and
"yes, sir" into the prompt "Q? ye").
"""

import contextlib
import csv
import dataclasses
import gzip
import hashlib
import itertools
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

import numpy as np

from mapl_jax import constraints
from mapl_jax.data.places import ids_on_disk
from mapl_jax.errors import UserError

ROLES = ("system", "user", "assistant")
LEVELS = ("base", "intra", "inter")
LARGEST = float(np.finfo(np.float32).max)
LONGEST_LINE = 2**26  # bytes
SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".json", ".csv", ".parquet")

_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_SHARD = re.compile(r"samples-\d{5,}-of-(\d{5,})\.(?:jsonl|parquet)")
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?::(.+))?")


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


class Pair(TypedDict):
    """A preference: the prompt's messages, the better and the worse reply, and how far apart."""

    id: str
    prompt: list[Message]
    chosen: str
    rejected: str
    margin: float


@dataclasses.dataclass
class Tally:
    """What became of the records of one source.

    Attributes:
        read: number of records read.
        dropped: reason -> number of records left out (only with `on_error="skip"`).
    """

    read: int = 0
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)

    def describe(self) -> str:
        """One line for people: how many records were read, kept and dropped, and why."""
        lost = self.dropped.total()
        line = f"{self.read} records read, {self.read - lost} kept"
        if lost:
            reasons = ", ".join(f"{reason} {n}" for reason, n in self.dropped.most_common())
            line += f", {lost} dropped ({reasons})"
        return line


class Demonstration(TypedDict):
    """A reply to learn from, and its prompt's messages."""

    id: str
    prompt: list[Message]
    completion: str


_Record = TypeVar("_Record", Pair, Demonstration)


@dataclasses.dataclass(frozen=True)
class Records(Generic[_Record]):
    """The records of one source, with what became of every one.

    Attributes:
        records: those kept, in the order of the source.
        read: number of records read.
        dropped: reason -> number of records left out (only with `on_error="skip"`).
    """

    records: list[_Record]
    read: int
    dropped: dict[str, int]

    @property
    def kept(self) -> int:
        """Number of records kept."""
        return len(self.records)

    def describe(self) -> str:
        """One line for people: how many records were read, kept and dropped, and why."""
        return Tally(self.read, Counter(self.dropped)).describe()


Pairs = Records[Pair]
Demonstrations = Records[Demonstration]


class _Bad(Exception):
    """One bad record: a short reason to count by and a message that says what to do."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


# A record as read: where it stands, and its value or what is wrong with it.
_Entry = tuple[str, Any]


def read_pairs(path: str | os.PathLike[str], *, on_error: str = "raise") -> Pairs:
    """Reads preference pairs and brings them to one form.

    Accepted rows are TRL's: `prompt` as text or messages, `chosen` and `rejected` as text or
    messages; without `prompt`, whole conversations as messages (the shared leading messages are
    the prompt) or as HH-RLHF's "Human: ... Assistant: ..." text. `id` and `margin` are optional.
    A missing id is made from the content; a pair that occurs again then gets "-2", "-3", ...
    An id that is given must be unique.

    Args:
        path: a .jsonl (or .jsonl.gz), .json, .csv or .parquet file, a folder of such files or
            one written by `datasets.save_to_disk`, or a hub name `org/name` or `org/name:split`.
        on_error: "raise" stops at the first bad record; "skip" leaves it out and counts it.

    Returns:
        The pairs, with counts of what was read and dropped.

    Raises:
        UserError: the source cannot be read, a record is bad, or no pair is left.
    """
    return _collected(Tally(), lambda tally: iter_pairs(path, tally, on_error=on_error))


def read_demonstrations(path: str | os.PathLike[str], *, on_error: str = "raise") -> Demonstrations:
    """Reads prompts with a reply to learn from.

    Accepted rows are TRL's: `prompt` and `completion`, or `messages` that end with the assistant's
    reply; of preference pairs in any form that `read_pairs` takes, the chosen reply. Only the last
    reply of a conversation is learned; what comes before it is the prompt.

    Args:
        path: any source that `read_pairs` takes.
        on_error: "raise" stops at the first bad record; "skip" leaves it out and counts it.

    Raises:
        UserError: the source cannot be read, a record is bad, or none is left.
    """
    return _collected(
        Tally(),
        lambda tally: _checked(
            _entries(path),
            _normalize_demonstration,
            str(path),
            on_error,
            "demonstration",
            {},
            tally,
        ),
    )


def normalize_pairs(
    entries: Iterable[tuple[str, Any]], *, source: str, on_error: str = "raise"
) -> Pairs:
    """`read_pairs` for records already in memory, each with the name to call it by in messages."""
    return _collected(
        Tally(), lambda tally: _checked(entries, _normalize, source, on_error, "pair", {}, tally)
    )


def iter_pairs(
    path: str | os.PathLike[str], tally: Tally, *, on_error: str = "raise"
) -> Iterator[Pair]:
    """`read_pairs` one by one: memory does not grow with the data.

    Ids, which must not repeat, are kept in a temporary file.

    Args:
        path: as in `read_pairs`.
        tally: counts what is read and dropped.
        on_error: as in `read_pairs`.

    Raises:
        UserError: as in `read_pairs`, at the record where the error stands.
    """
    with ids_on_disk() as places:
        yield from _checked(_entries(path), _normalize, str(path), on_error, "pair", places, tally)


def _collected(tally: Tally, read: Callable[[Tally], Iterator[_Record]]) -> Records[_Record]:
    records = list(read(tally))
    return Records(records, tally.read, dict(tally.dropped.most_common()))


def _checked(
    entries: Iterable[_Entry],
    normalize: Callable[[Any], _Record],
    source: str,
    on_error: str,
    kind: str,
    places: MutableMapping[str, str],
    tally: Tally,
) -> Iterator[_Record]:
    """Every record in one form, with an id of its own; `places` remembers where ids stand."""
    if on_error not in ("raise", "skip"):
        raise UserError(f'on_error must be "raise" or "skip", not {on_error!r}')
    kept = 0
    for where, value in entries:
        tally.read += 1
        try:
            record = normalize(value)
            if not record["id"]:
                record["id"] = _content_id(record, places)
            elif record["id"] in places:
                raise _Bad(
                    "repeated id",
                    f"id {record['id']!r} was used before, in {places[record['id']]}; "
                    "make ids unique, or leave them out to have them made",
                )
        except _Bad as bad:
            if on_error == "raise":
                raise UserError(f"{where}: {bad}") from None
            tally.dropped[bad.reason] += 1
            continue
        places[record["id"]] = where
        kept += 1
        yield record
    if not tally.read:
        needed = "preference pairs" if kind == "pair" else f"{kind}s"
        raise UserError(f"{source} holds no records; {needed} are needed")
    if not kept:
        raise UserError(f"no {kind} of {source} can be used: {tally.describe()}")


def read_prompts(path: str | os.PathLike[str]) -> list[tuple[dict[str, Any], list[Message]]]:
    """Reads what is to be answered: `prompt` as text or messages, or `messages`.

    Args:
        path: any source that `read_pairs` takes.

    Returns:
        Every record as it stands, and its prompt's messages, which end with a user's turn.

    Raises:
        UserError: the source cannot be read, a record is bad, or there is none.
    """
    found = []
    for where, value in _entries(path):
        try:
            record = _object(value)
            name = "prompt" if record.get("prompt") is not None else "messages"
            if name not in record:
                raise _Bad("no prompt", "has no 'prompt' and no 'messages'; add one of them")
            found.append((record, _prompt(record[name])))
        except _Bad as bad:
            raise UserError(f"{where}: {bad}") from None
    if not found:
        raise UserError(f"{os.fspath(path)} holds no records; prompts are needed")
    return found


def read_records(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The records of any source as they stand, without checking more than that they are objects."""
    for where, value in _entries(path):
        try:
            yield _object(value)
        except _Bad as bad:
            raise UserError(f"{where}: {bad}") from None


def is_samples(path: str | os.PathLike[str]) -> bool:
    """Whether the source holds synthesized samples; False means raw pairs."""
    first = next(iter(read_records(path)), None)
    return first is not None and "comparisons" in first


def read_samples(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads synthesized samples and checks every one against the schema.

    Args:
        path: any source that `read_pairs` takes.

    Returns:
        The samples as plain dicts: id, prompts, responses, comparisons.

    Raises:
        UserError: the source cannot be read, is empty, or a sample breaks the schema.
    """
    return list(iter_samples(path))


def iter_samples(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """`read_samples` one by one: memory does not grow with the data."""
    with ids_on_disk() as places:
        for where, value in _entries(path):
            try:
                sample = check_sample(_object(value))
                if sample["id"] in places:
                    raise _Bad("repeated id", f"id {sample['id']!r} repeats {places[sample['id']]}")
            except (_Bad, ValueError) as bad:
                raise UserError(f"{where}: {bad}; synthesize the samples anew") from None
            places[sample["id"]] = where
            yield sample
        if not len(places):
            raise UserError(f"{path} holds no samples; synthesize them with mapl_jax.synthesize")


def check_sample(sample: dict[str, Any]) -> dict[str, Any]:
    """Checks one sample and returns it.

    Parameters that are None are left out: Parquet gives every constraint all others' fields.

    Raises:
        ValueError: says which part breaks the schema.
    """
    for key in ("id", "prompts", "responses", "comparisons"):
        if key not in sample:
            raise ValueError(f"sample without {key!r}")
    if not isinstance(sample["id"], str) or not sample["id"]:
        raise ValueError("id must be a non-empty string")
    _encodable(sample["id"], "id")
    responses = _list(sample["responses"], "responses")
    if len(responses) != 2 or not all(isinstance(text, str) and text.strip() for text in responses):
        raise ValueError("responses must be two non-empty strings")
    for text in responses:
        _encodable(text, "a response")
    prompts = []
    for number, prompt in enumerate(_list(sample["prompts"], "prompts")):
        if not isinstance(prompt, dict) or not isinstance(prompt.get("constraints"), list):
            raise ValueError(f"prompt {number} must be an object with messages and constraints")
        try:
            messages = _prompt(prompt.get("messages"))
            found = [_constraint(item) for item in prompt["constraints"]]
        except (_Bad, ValueError) as error:
            raise ValueError(f"prompt {number}: {error}") from None
        prompts.append({"messages": messages, "constraints": found})
    for number, comparison in enumerate(_list(sample["comparisons"], "comparisons")):
        problem = _comparison_problem(comparison, len(prompts))
        if problem:
            raise ValueError(f"comparison {number}: {problem}")
    return {**sample, "prompts": prompts}


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a non-empty list")
    return value


def _constraint(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict) or not all(isinstance(item.get(k), str) for k in ("id", "text")):
        raise ValueError("a constraint needs id and text")
    params = item.get("params")
    if isinstance(params, str):
        # Parquet has one type a column, so parameters stand there as JSON.
        params = _parse_json(params.encode("utf-8", "replace"))
    if not isinstance(params, dict):
        raise ValueError(f"params of {item['id']!r} must be an object")
    params = {key: value for key, value in params.items() if value is not None}
    constraints.validate(item["id"], params)
    return {**item, "params": params}


def _comparison_problem(comparison: Any, prompts: int) -> str | None:
    """What is wrong with a comparison, or None."""
    if not isinstance(comparison, dict):
        return "must be an object"
    if comparison.get("level") not in LEVELS:
        return f"level must be one of {', '.join(LEVELS)}, not {comparison.get('level')!r}"
    columns: list[Any] = [comparison.get(key) for key in ("prompt", "response", "sign")]
    if not all(isinstance(column, list) for column in columns):
        return "prompt, response and sign must be lists"
    if len({len(column) for column in columns}) != 1 or len(columns[0]) not in (2, 4):
        return "prompt, response and sign must have one length, 2 or 4"
    if not all(type(value) is int for column in columns for value in column):
        return "prompt, response and sign must be integers"
    for name, column, size in zip(("prompt", "response"), columns, (prompts, 2), strict=False):
        if not all(0 <= value < size for value in column):
            return f"a {name} index is out of range"
    if sorted(columns[2]) != sorted([-1, 1] * (len(columns[2]) // 2)):
        return "signs must be as many +1 as -1"
    if not _is_finite(comparison.get("gamma")):
        return "gamma must be a finite number"
    added = comparison.get("k", 0)
    if type(added) is not int or not 0 <= added < 2**31:
        return "k must be a whole number of 0 or more"
    weights: Counter[tuple[int, int]] = Counter()
    for prompt, response, sign in zip(*columns, strict=True):
        weights[prompt, response] += sign
    if not any(weights.values()):
        return "it compares leaves with themselves; what is + in it is - as well"
    return None


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """The local files that a source consists of; none for one on the hub."""
    place = Path(path)
    if place.is_dir():
        return sorted(file for file in place.iterdir() if file.is_file())
    return [place] if place.is_file() else []


# Records of every kind of source.


def _entries(path: str | os.PathLike[str]) -> Iterator[_Entry]:
    """Every record of a source with the name to call it by."""
    name = os.fspath(path)
    place = Path(name)
    if place.is_dir():
        yield from _folder_entries(place)
    elif place.is_file():
        yield from _file_entries(place)
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


def _folder_entries(folder: Path) -> Iterator[_Entry]:
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


def _file_entries(file: Path) -> Iterator[_Entry]:
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


def _numbered(name: str, values: Iterable[Any]) -> Iterator[_Entry]:
    for number, value in enumerate(values, 1):
        yield f"{name}, record {number}", value


def _line_entries(file: Path) -> Iterator[_Entry]:
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
            yield where, _parse_json(line)


def _parse_json(line: bytes) -> Any:
    """The value of a line of JSON, or the `_Bad` that says what is wrong with it."""
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return _Bad(
            "not UTF-8", f"not UTF-8 text (byte {error.start} of the line); save it as UTF-8"
        )
    except json.JSONDecodeError as error:
        complete = line.rstrip().endswith((b"}", b"]"))
        hint = "mend or remove the line" if complete else "the line looks cut off"
        return _Bad("not JSON", f"not JSON ({error.msg}, column {error.colno}); {hint}")
    except ValueError:
        return _Bad("not JSON", "holds a number of thousands of digits; mend or remove the line")
    except RecursionError:
        return _Bad("not JSON", "nested too deeply; mend or remove the line")


def _starts_with_bracket(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _array_entries(file: Path) -> Iterator[_Entry]:
    value = _parse_json(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    if isinstance(value, _Bad):
        raise UserError(f"{file}: {value}")
    yield from _numbered(str(file), value)


def _csv_entries(file: Path) -> Iterator[_Entry]:
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
                    yield where, _Bad("wrong columns", "has more or fewer cells than the header")
                else:
                    yield where, _csv_values(row)
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{file}: not readable as UTF-8 CSV ({error})") from None


def _csv_values(row: dict[str, str]) -> dict[str, Any]:
    """Cells hold text; margins are numbers, messages and the parts of samples are JSON."""
    values: dict[str, Any] = dict(row)
    for key in ("id", "prompt", "margin"):
        if key in values and not values[key].strip():
            del values[key]
    if "margin" in values:
        with contextlib.suppress(ValueError):  # What is no number is refused with the others.
            values["margin"] = float(values["margin"])
    for key, cell in row.items():
        if key in values and re.match(r'\[\s*\{\s*"', cell):
            parsed = _parse_json(cell.encode())
            values[key] = cell if isinstance(parsed, _Bad) else parsed
    return values


def _parquet_entries(file: Path) -> Iterator[_Entry]:
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


def _hub_entries(name: str) -> Iterator[_Entry]:
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


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, _Bad):
        raise value
    if not isinstance(value, dict):
        raise _Bad("not an object", f"must be an object with named fields, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    """What a value is, in words for messages."""
    names = {str: "text", list: "a list", dict: "an object", bool: "true/false", float: "a number"}
    names |= {int: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _normalize(value: Any) -> Pair:
    """A record of any accepted form as a pair; the id is empty where none is given."""
    record = _object(value)
    if "comparisons" in record:
        raise _Bad("a sample", "holds a synthesized sample, but preference pairs are needed")
    for key in ("chosen", "rejected"):
        if key not in record:
            found = ", ".join(sorted(map(str, record))) or "nothing"
            raise _Bad(
                f"no {key}", f"has no {key!r} (found: {found}); rename the column to {key!r}"
            )
    chosen, rejected = record["chosen"], record["rejected"]
    if record.get("prompt") is None:
        prompt, chosen, rejected = _split_conversations(chosen, rejected)
    else:
        prompt = _prompt(record["prompt"])
        chosen = _reply(chosen, "chosen", prompt)
        rejected = _reply(rejected, "rejected", prompt)
    if chosen.strip() == rejected.strip():
        raise _Bad("identical replies", "chosen and rejected are the same; remove the record")
    return Pair(
        id=_given_id(record.get("id")),
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=_margin(record.get("margin")),
    )


def _normalize_demonstration(value: Any) -> Demonstration:
    """A record of any accepted form as a demonstration; the id is empty where none is given."""
    record = _object(value)
    if "comparisons" in record:
        raise _Bad("a sample", "holds a synthesized sample among other records; keep them apart")
    name = next((key for key in ("completion", "chosen", "messages") if key in record), None)
    if name is None:
        found = ", ".join(sorted(map(str, record))) or "nothing"
        raise _Bad(
            "no completion",
            f"has no 'completion', 'messages' or 'chosen' (found: {found}); "
            "rename the column of the reply to 'completion'",
        )
    if name == "messages" or record.get("prompt") is None:
        prompt, completion = _split_reply(record[name], name)
    else:
        prompt = _prompt(record["prompt"])
        completion = _reply(record[name], name, prompt)
    return Demonstration(id=_given_id(record.get("id")), prompt=prompt, completion=completion)


def _split_reply(value: Any, name: str) -> tuple[list[Message], str]:
    """Prompt and reply of one whole conversation."""
    if isinstance(value, str):
        if not _text(value, name).lstrip().startswith("Human:"):
            raise _Bad("no prompt", "has no 'prompt'; add a prompt column, or give messages")
        value = _dialogue(value, name)
    messages = _messages(value, name)
    if messages[-1]["role"] != "assistant":
        raise _Bad(f"bad {name}", f"{name} must end with a turn of role 'assistant'")
    if len(messages) == 1:
        raise _Bad("no prompt", f"{name} holds the assistant's reply alone; add what it answers")
    return _prompt(messages[:-1]), messages[-1]["content"]


def _given_id(value: Any) -> str:
    if value is None or value == "":
        return ""
    if type(value) not in (str, int):
        raise _Bad("bad id", f"id must be text or an integer, not {_kind(value)}")
    return _encodable(str(value), "id")


def _content_id(record: Mapping[str, Any], places: Mapping[str, str]) -> str:
    """An id from the content, made unique by a count where the same record occurs again."""
    keys = ("prompt", "chosen", "rejected", "completion")
    content = json.dumps([record[key] for key in keys if key in record], ensure_ascii=True)
    stem = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    name, count = stem, 1
    while name in places:
        count += 1
        name = f"{stem}-{count}"
    return name


def _margin(value: Any) -> float:
    if value is None:
        return 0.0
    if not _is_finite(value):
        shown = repr(value) if isinstance(value, str | float) else _kind(value)
        raise _Bad("bad margin", f"margin must be a finite number, not {shown}; mend or remove it")
    return float(value)


def _is_finite(value: Any) -> bool:
    """Whether it is a number, finite in fp32."""
    try:
        return type(value) in (int, float) and abs(value) <= LARGEST
    except OverflowError:
        return False


def _encodable(text: str, name: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _Bad(
            "broken text", f"{name} holds half of a surrogate pair; save it as valid Unicode"
        ) from None
    return text


def _text(value: Any, name: str) -> str:
    """Text with something in it."""
    if not isinstance(value, str):
        raise _Bad(f"{name} is not text", f"{name} must be text, not {_kind(value)}")
    if not value.strip():
        raise _Bad(f"empty {name}", f"{name} is empty; fill it in or remove the record")
    return _encodable(value, name)


def _messages(value: Any, name: str) -> list[Message]:
    """Checks a list of messages; keeps role and content."""
    if not isinstance(value, list):
        raise _Bad(f"bad {name}", f"{name} must be text or messages, not {_kind(value)}")
    if not value:
        raise _Bad(f"empty {name}", f"{name} is an empty list; fill it in or remove the record")
    messages: list[Message] = []
    for number, item in enumerate(value, 1):
        part = f"message {number} of {name}"
        if not isinstance(item, dict) or "role" not in item or "content" not in item:
            raise _Bad(f"bad {name}", f'{part} must be an object with "role" and "content"')
        if item["role"] not in ROLES:
            known = ", ".join(ROLES)
            raise _Bad("unknown role", f"{part} has role {item['role']!r}; known are {known}")
        if item.get("tool_calls"):
            raise _Bad("tool calls", f"{part} calls tools, which are not supported; remove it")
        try:
            messages.append(Message(role=item["role"], content=_text(item["content"], "content")))
        except _Bad as bad:
            raise _Bad(bad.reason, f"{part}: {bad}") from None
    return messages


def _prompt(value: Any) -> list[Message]:
    """The messages of a prompt, which must end with a user's turn."""
    if isinstance(value, str):
        text = _text(value, "prompt")
        if not text.lstrip().startswith("Human:") or "\n\nAssistant:" not in text:
            return [Message(role="user", content=text)]
        messages = _dialogue(text, "prompt")
        if messages[-1]["role"] == "assistant" and not messages[-1]["content"]:
            messages.pop()  # "\n\nAssistant:" invites the reply.
        messages = _messages(messages, "prompt")
    else:
        messages = _messages(value, "prompt")
    if messages[-1]["role"] != "user":
        raise _Bad(
            "prompt ends with no user turn",
            f"prompt ends with a turn of role {messages[-1]['role']!r}; it must end with a user's",
        )
    return messages


def _reply(value: Any, name: str, prompt: list[Message]) -> str:
    """The text of a reply that stands beside its prompt, repeating that prompt or not."""
    if not isinstance(value, list):
        return _text(value, name)
    messages = _messages(value, name)
    if messages[-1]["role"] != "assistant":
        raise _Bad(f"bad {name}", f"{name} must end with a turn of role 'assistant'")
    if len(messages) > 1 and messages[:-1] != prompt:
        raise _Bad(
            f"bad {name}",
            f"{name} has {len(messages)} messages that do not begin with the prompt's; "
            "give the last reply only, or leave prompt out",
        )
    return messages[-1]["content"]


def _split_conversations(chosen: Any, rejected: Any) -> tuple[list[Message], str, str]:
    """Prompt and replies of two whole conversations: their shared leading messages and the rest."""
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(side, str | list):
            raise _Bad(f"{name} is not text", f"{name} must be text or messages, not {_kind(side)}")
        if isinstance(side, str):
            _text(side, name)
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise _Bad("mixed forms", "one reply is text and the other messages; use one form")
    if isinstance(chosen, str):
        if not all(side.lstrip().startswith("Human:") for side in (chosen, rejected)):
            raise _Bad(
                "no prompt",
                "has no 'prompt', and where it ends cannot be told from two texts; "
                "add a prompt column, or give conversations as messages",
            )
        chosen, rejected = _dialogue(chosen, "chosen"), _dialogue(rejected, "rejected")
    sides = {"chosen": _messages(chosen, "chosen"), "rejected": _messages(rejected, "rejected")}
    shared = 0
    for left, right in zip(*sides.values(), strict=False):
        if left != right:
            break
        shared += 1
    if shared == len(sides["chosen"]) == len(sides["rejected"]):
        raise _Bad("identical replies", "chosen and rejected are the same; remove the record")
    for name, messages in sides.items():
        if len(messages) - shared != 1 or messages[-1]["role"] != "assistant":
            raise _Bad(
                "conversations part early",
                f"{name} has {len(messages) - shared} messages after the {shared} that both "
                "share; each side needs exactly one, the assistant's reply",
            )
    prompt: Any = sides["chosen"][:shared]
    if not prompt:
        raise _Bad("no prompt", "the two conversations share no messages, so there is no prompt")
    return _prompt(prompt), sides["chosen"][-1]["content"], sides["rejected"][-1]["content"]


def _dialogue(text: str, name: str) -> list[Message]:
    """The turns of HH-RLHF's text form: "Human: ... Assistant: ..." set apart by blank lines."""
    pieces = _TURN.split(text)
    if pieces[0].strip():
        raise _Bad(f"bad {name}", f"{name} does not begin with a turn 'Human:'")
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        Message(role=roles[speaker], content=content.strip())
        for speaker, content in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
