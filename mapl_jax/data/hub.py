"""Data sets on the hub: `org/name:split?config=NAME&data_dir=FOLDER&revision=NAME`."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from mapl_jax.data.folders import HUB_NAME
from mapl_jax.runtime.errors import UserError

# Rows of a split by number, which a stream is not asked for by this name.
_PART = re.compile(r"(.+)\[([0-9]*):([0-9]*)\]")
OPTIONS = ("split", "config", "data_dir", "revision", "streaming")


def rows(name: str) -> Iterator[Mapping[str, object]]:
    """The rows of a data set; the same with `streaming=true`, which keeps nothing on the disk.

    Of `split[A:B]` those rows are read, and with streaming none behind them.
    """
    import datasets

    match = HUB_NAME.fullmatch(name)
    assert match is not None
    options: dict[str, Any] = {"split": match[2] or "train", **dict(parse_qsl(match[3] or ""))}
    if match[2] and "split=" in f"&{match[3]}":
        raise UserError(f"{name} names its split twice; write it once, as {match[1]}:{match[2]}")
    for key in options:
        if key not in OPTIONS:
            raise UserError(f"{name}: unknown option {key!r}; known are {', '.join(OPTIONS)}")
    if "config" in options:
        options["name"] = options.pop("config")
    first, last, asked = 0, None, options["split"]
    if "streaming" in options:
        given = options["streaming"].lower()
        if given not in ("true", "1", "false", "0"):
            raise UserError(f"{name}: streaming is {given!r}; it must be true or false")
        options["streaming"] = given in ("true", "1")
    if options.get("streaming") and (part := _PART.fullmatch(asked)):
        options["split"], first = part[1], int(part[2] or 0)
        last = int(part[3]) if part[3] else None
    try:
        found = datasets.load_dataset(match[1], **options)
        yield from itertools.islice(found.skip(first) if first else found, last and last - first)
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"cannot load {match[1]!r} (split {asked!r}) from the hub: {said}; "
            "check name, split and network, or give a local file"
        ) from None
