"""Which side of a split a record is on, and the samples of a side.

A record is held out by its first user turn, so that two with the same one are never parted.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mapl_jax.data import cache
from mapl_jax.data.messages import Message
from mapl_jax.data.records import Pairs
from mapl_jax.data.samples import Sample
from mapl_jax.runtime import console, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import parse_json, read_json, write_json
from mapl_jax.runtime.run_folder import Config, RunFolder


@dataclasses.dataclass(frozen=True)
class Split:
    """Samples of one side."""

    paths: tuple[Path, ...]  # files of the samples, in the schema of `mapl_jax.data.samples`
    fingerprint: str  # names their content
    counts: Mapping[str, object]  # what was read, synthesized and dropped
    # Names what is learned from of their content: all but what their subsets are called, so
    # that a part of a mixture may be renamed. Empty where that is their fingerprint.
    learned: str = ""

    @property
    def identity(self) -> str:
        """What a run knows them by."""
        return self.learned or self.fingerprint

    @property
    def origin(self) -> dict[str, str]:
        """What a run that uses it notes: its fingerprint, and how much was read."""
        kinds = {"pairs_in": "pairs", "samples_read": "samples", "demonstrations": "demonstrations"}
        kinds["demonstrations_read"] = "demonstrations"
        size = next((f"{self.counts[k]} {v}" for k, v in kinds.items() if k in self.counts), "")
        return {"fingerprint": self.identity, "size": size}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the records, a line each."""
        notes = self.counts.get("notes", ())
        return tuple(map(str, notes)) if isinstance(notes, list | tuple) else ()

    def samples(self) -> Iterator[Sample]:
        """Reads the samples."""
        for path in self.paths:
            with path.open("rb") as lines:
                for line in lines:
                    yield parse_json(line)

    def beside(self, train: "Split") -> "Split":
        """This held-out side, with a note of how many of its prompts are also trained on."""

        def asked(split: Split) -> Iterator[str]:
            for sample in split.samples():
                prompt = json.dumps(sample["prompts"][0]["messages"], sort_keys=True)
                yield hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()

        held_out = list(asked(self))
        shared = set(held_out).intersection(asked(train))
        if not shared:
            return self
        count = sum(prompt in shared for prompt in held_out)
        note = f"held-out samples whose prompt is also trained on: {count} of {len(held_out)}"
        return dataclasses.replace(self, counts={**self.counts, "notes": [*self.notes, note]})


Splits = tuple[Split, Split]
_SIDES = "splits.json"


class SplitWriter:
    """Writes samples into a file that is named by their content.

    The file appears whole, when this is left as a context manager; an error leaves none.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        """Writes into a folder, which is made if it is not there."""
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._digest, self._learned = (hashlib.blake2b(digest_size=12) for _ in range(2))
        self.count = 0

    def __enter__(self) -> "SplitWriter":
        self._file = tempfile.NamedTemporaryFile(dir=self._folder, prefix=".given-", delete=False)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        if kind is None:
            os.replace(self._file.name, self._path)
        else:
            os.unlink(self._file.name)

    @property
    def _path(self) -> Path:
        return self._folder / f"given-{self._digest.hexdigest()}.jsonl"

    def add(self, sample: Sample) -> None:
        """Takes the next sample: in the schema, or as near to it as `encode_samples` needs."""
        line = _line(sample)
        self._file.write(line)
        self._digest.update(line)
        bare = {name: part for name, part in sample.items() if name != "subset"}
        self._learned.update(_line(bare) if "subset" in sample else line)
        self.count += 1

    def split(self, counts: Mapping[str, object] | None = None) -> Split:
        """What was written, with counts; those of the samples if none are given."""
        if counts is None:
            counts = {"samples_read": self.count}
        digests = self._digest.hexdigest(), self._learned.hexdigest()
        return Split((self._path,), digests[0], counts, digests[1])


def _line(sample: Mapping[str, object]) -> bytes:
    return json.dumps(sample, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def write_split(samples: Iterable[Sample], folder: str | os.PathLike[str]) -> Split:
    """Samples as a split, in a file of a folder that is named by their content."""
    with SplitWriter(folder) as writer:
        for sample in samples:
            writer.add(sample)
    return writer.split()


def write_sides(folder: Path, sides: Splits) -> None:
    """Notes which files in a folder are the two sides, and what was counted."""
    splits = [
        {
            "paths": [path.relative_to(folder).as_posix() for path in split.paths],
            "fingerprint": split.fingerprint,
            "learned": split.learned,
            "counts": split.counts,
        }
        for split in sides
    ]
    write_json(folder / _SIDES, splits)


def read_sides(folder: Path) -> Splits:
    """What `write_sides` noted."""
    train, test = (
        Split(
            tuple(folder / path for path in side["paths"]),
            side["fingerprint"],
            side["counts"],
            side.get("learned", ""),
        )
        for side in read_json(folder / _SIDES)
    )
    return train, test


def beside_training(split: Split, run: RunFolder | None, config: Config) -> Split:
    """A split to judge the model of a run on, which says how much of it the run trained on.

    Args:
        split: what the model is judged on.
        run: that made the model; what it trained on is known as long as it is in its cache.
        config: of the run, which may name a cache that runs share.
    """
    noted = run.read_origin() if run else {}
    if not run or "train" not in noted:
        return split
    shared = config.get("data", {}).get("cache", "")
    for listed in (cache.shared_folder(shared) if shared else run.cache).glob(f"*/{_SIDES}"):
        folder = listed.parent
        if folder.name.startswith("."):
            continue  # in the making
        flaw = files.flaw(folder, [_SIDES])
        if flaw is None:
            train, _ = read_sides(folder)
            if train.identity != noted["train"]["fingerprint"]:
                continue
            flaw = files.flaw(folder)
        if flaw is None:
            found = split.beside(train)
            console.say_each([note for note in found.notes if note not in split.notes])
            return found
        console.notice(
            f"{folder} cannot be used ({flaw}): which of these prompts were trained on is unknown"
        )
    return split


def hold_out(pairs: Pairs, fraction: float) -> tuple[Pairs, Pairs]:
    """Pairs to train on and held-out ones."""
    sides: tuple[list, list] = ([], [])
    for pair in pairs.records:
        sides[is_held_out(pair["prompt"], fraction)].append(pair)
    check_sizes(fraction, *map(len, sides))
    return (
        dataclasses.replace(pairs, records=sides[0]),
        dataclasses.replace(pairs, records=sides[1]),
    )


def is_held_out(messages: Sequence[Message], fraction: float) -> bool:
    """Whether a prompt is held out, where that fraction of all is."""
    if not 0 < fraction < 1:
        raise UserError(f"data.test_fraction must lie between 0 and 1, not {fraction}")
    first = next((m["content"] for m in messages if m["role"] == "user"), "")
    digest = hashlib.blake2b(first.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def check_sizes(fraction: float, *sizes: int) -> None:
    """Makes sure that no side is empty."""
    if not all(sizes):
        raise UserError(
            f"data.test_fraction={fraction} leaves nothing to train or to test on; "
            "give --config.data.test=FILE, or more records"
        )
