"""One record of JSON from its bytes, or what is wrong with it."""

import json
import re
from collections import Counter
from collections.abc import Sequence

from mapl_jax.runtime.errors import UserError

# How files begin that are something else than their name says.
_NOT_JSON = {
    b"version https://git-lfs.": "a pointer of Git LFS and not the data; run git lfs pull",
    b"\x1f\x8b": "compressed by gzip; name it .jsonl.gz",
    b"BZh": "compressed by bzip2; name it .jsonl.bz2",
    b"\xfd7zXZ": "compressed by xz; name it .jsonl.xz",
    b"PAR1": "Parquet; name it .parquet",
    b"PK\x03\x04": "a ZIP archive; unpack it",
    b"\xff\xfe": "UTF-16 and not UTF-8 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 and not UTF-8 text; save it as UTF-8",
    b"<": "a page of HTML or XML and not JSON; was it downloaded right?",
}


class BadRecord(ValueError):
    """One bad record: a short reason to count by and a message that says what to do."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


def value_of_json(line: bytes) -> object:
    """The value of a line of JSON, or the `BadRecord` that says what is wrong with it."""
    try:
        return json.loads(line.decode("utf-8"), object_pairs_hook=named_once)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        for start, hint in _NOT_JSON.items():
            if line.startswith(start):
                return BadRecord("not JSON", hint)
        if isinstance(error, UnicodeDecodeError):
            return BadRecord(
                "not UTF-8", f"not UTF-8 text (byte {error.start} of the line); save it as UTF-8"
            )
        complete = line.rstrip().endswith((b"}", b"]"))
        hint = "mend or remove the line" if complete else "the line looks cut off"
        if line.strip() in (b"[", b"{"):
            hint = "a file that is one JSON value is named .json"
        return BadRecord("not JSON", f"not JSON ({error.msg}, column {error.colno}); {hint}")
    except ValueError:
        return BadRecord(
            "not JSON", "holds a number of thousands of digits; mend or remove the line"
        )
    except RecursionError:
        return BadRecord("not JSON", "nested too deeply; mend or remove the line")


def values_of_json(content: bytes) -> list[object] | None:
    """Values of JSON that follow each other, of several lines each; None if there is more."""
    found, end = [], 0
    decoder, visible = json.JSONDecoder(object_pairs_hook=named_once), re.compile(r"\S")
    try:
        text = content.decode("utf-8")
        while (next_one := visible.search(text, end)) is not None:
            value, end = decoder.raw_decode(text, next_one.start())
            found.append(value)
    except (ValueError, RecursionError):
        return None
    return found


def named_once(fields: list[tuple[str, object]]) -> object:
    """An object of JSON; one that names a field twice is a `BadRecord`, as either may be meant."""
    found = dict(fields)
    if len(found) < len(fields):
        name = _twice([name for name, _ in fields])
        return BadRecord("repeated field", f"names {name!r} twice; remove one of the two")
    return found


def refuse_repeated(names: Sequence[object], source: str) -> None:
    """Refuses columns of which two have one name.

    Raises:
        UserError: there are such.
    """
    if (name := _twice(names)) is not None:
        raise UserError(f"{source} names column {name!r} twice; rename one of the two")


def _twice(names: Sequence[object]) -> object:
    return next((name for name, count in Counter(names).items() if count > 1), None)
