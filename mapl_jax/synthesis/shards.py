"""Shards: pairs are cut into them, and each is turned into a shard of samples on its own.

A shard depends on its pairs, the settings and the corpus alone: neither the number of workers nor
their order changes a byte. Everything unfinished lies in OUTPUT/.work.
"""

import dataclasses
import functools
import hashlib
import heapq
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypedDict, cast

from mapl_jax.data.messages import Message
from mapl_jax.data.normalize import Pair
from mapl_jax.data.samples import Sample
from mapl_jax.runtime import plugins
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import checksum, read_json, replacing, sweep, write_json
from mapl_jax.synthesis import build
from mapl_jax.synthesis.corpus import Corpus, Subset, hash_of
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesis.tally import Stats

FORMATS = ("jsonl", "parquet")
SHARD_SIZE = 1024
SHOWN = 20  # samples in the report
WORK, PLAN, CORPUS = ".work", "plan.json", "reference.json"

_PACKAGE = Path(__file__).parent.parent
# `json.dumps` makes one anew for every record.
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class Plan(TypedDict):
    """What a synthesis is of.

    `fingerprint` names everything that the samples depend on, `pairs` is their number, `settings`
    are the fields of `Settings`, `plugins` the versions of those that are loaded.
    """

    fingerprint: str
    pairs: int
    settings: dict[str, object]
    plugins: dict[str, str]


class Counts(TypedDict):
    """The record of a finished shard."""

    stats: dict[str, dict[str, int]]
    shown: list[tuple[int, Sample]]
    checksum: str


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard to make; all that a worker on another machine needs to know.

    Attributes:
        index: from 0.
        count: number of shards.
        format: "jsonl" or "parquet".
    """

    folder: str
    index: int
    count: int
    format: str

    @property
    def work(self) -> Path:
        """Where unfinished things lie."""
        return Path(self.folder) / WORK

    @property
    def name(self) -> str:
        """Name of the file of samples."""
        return f"samples-{self.index:05d}-of-{self.count:05d}.{self.format}"

    @property
    def counts(self) -> Path:
        """Written last: tells that the shard is done."""
        return self.work / f"counts-{self.index:05d}.json"

    @property
    def is_made(self) -> bool:
        """Whether it is there, in its place or on the way to it, as it was made."""
        try:
            counts = read_json(self.counts)
            files = (self.work / self.name, Path(self.folder) / self.name)
            return any(path.is_file() and checksum(path) == counts["checksum"] for path in files)
        except (OSError, UserError, KeyError, TypeError):
            return False

    def read_counts(self) -> Counts:
        """Its record, once it is made."""
        counts: Counts = read_json(self.counts)
        return counts


Runner = Callable[[Sequence[Shard]], Iterator[int]]


def make(shard: Shard) -> int:
    """Turns one shard of pairs into samples; the file appears whole or not at all.

    Returns:
        The number of pairs.
    """
    plan = read_json(shard.work / PLAN)
    plugins.load_as(plan["plugins"])
    settings = Settings(**plan["settings"])
    corpus = _corpus(str(shard.work / CORPUS), plan["fingerprint"])
    stats = Stats()
    shown: list[tuple[int, Sample]] = []

    def samples() -> Iterator[Sample]:
        with pairs_file(shard.work, shard.index).open("rb") as lines:
            for line in lines:
                outcome = build.build(json.loads(line), settings, corpus)
                sample = outcome.sample
                stats.add(outcome)
                if len(sample["prompts"]) > 1:
                    shown.append((hash_of(settings.seed, sample["id"], "shown"), sample))
                if len(shown) > 5 * SHOWN:  # memory stays flat, whatever the size of the shard
                    shown[:] = lowest(shown)
                yield sample

    with replacing(shard.work / shard.name) as part:
        (_write_parquet if shard.format == "parquet" else _write_lines)(part, samples())
    made = checksum(shard.work / shard.name)
    write_json(shard.counts, {"stats": stats.to_json(), "shown": lowest(shown), "checksum": made})
    return stats.pairs["in"]


def lowest(shown: Iterable[tuple[int, Sample]]) -> list[tuple[int, Sample]]:
    """The samples to show: those whose hashes are smallest."""
    return heapq.nsmallest(SHOWN, shown, key=lambda entry: entry[0])


def pairs_file(work: Path, index: int) -> Path:
    """The file of the pairs of a shard."""
    return work / f"pairs-{index:05d}.jsonl"


def code_files() -> list[Path]:
    """The files of this package that samples depend on."""
    folders = (_PACKAGE / name for name in ("constraints", "data", "synthesis"))
    return [file for folder in folders for file in sorted(folder.rglob("*.py"))]


class Fingerprint:
    """A name for all that samples depend on: the pairs, the settings and the code.

    Pairs are added one by one, in order.
    """

    def __init__(self, settings: Settings, format: str = FORMATS[0], shard_size: int = SHARD_SIZE):
        self._digest = hashlib.blake2b(digest_size=16)
        for file in code_files():
            self._digest.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0")
            self._digest.update(hashlib.blake2b(file.read_bytes()).digest())
        choices = [dataclasses.asdict(settings), format, shard_size, plugins.loaded()]
        self._digest.update(json.dumps(choices, sort_keys=True).encode() + b"\n")
        self._learned = self._digest.copy()

    def add(self, pair: Pair, line: bytes) -> None:
        """Takes a pair into account, and the line that `line_of` writes of it."""
        self._digest.update(line)
        if "subset" in pair:
            bare = cast(Pair, {name: part for name, part in pair.items() if name != "subset"})
            line = line_of(bare)
        self._learned.update(line)

    def name(self) -> str:
        """32 hexadecimal digits."""
        return self._digest.hexdigest()

    def learned(self) -> str:
        """A name for the same but what subsets are called, which decides nothing."""
        return self._learned.hexdigest()


def fingerprint(pairs: Iterable[Pair], settings: Settings) -> str:
    """The fingerprint of samples in the format and with the size of shards that are usual."""
    digest = Fingerprint(settings)
    for pair in pairs:
        digest.add(pair, line_of(pair))
    return digest.name()


def line_of(pair: Pair) -> bytes:
    """A pair as a line of JSON."""
    return _ENCODER.encode(pair).encode() + b"\n"


class Cut:
    """Pairs written into shards as they come, in a folder of their own until they are kept.

    Leaving it as a context manager removes what was not kept.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        format: str = FORMATS[0],
        shard_size: int = SHARD_SIZE,
    ):
        """Begins to cut.

        Args:
            folder: of the output; the cut lies beside it.
            shard_size: pairs of a shard.
        """
        self.folder, self.settings = folder, settings
        self.format, self.shard_size = format, shard_size
        self.subset = Subset(settings.reference, settings.seed)
        self.pairs = 0
        sweep(folder.parent, folder.name)
        self._own = folder.with_name(f".{folder.name}.part-{os.getpid()}")
        self._work = folder / WORK
        self._fingerprint = Fingerprint(settings, format, shard_size)
        self._own.mkdir(parents=True)
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Cut":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._file:
                self._file.close()  # which fails again where the disk is full
        finally:
            shutil.rmtree(self._own, ignore_errors=True)

    def add(self, pair: Pair) -> None:
        """Takes the next pair."""
        if self.pairs % self.shard_size == 0:
            if self._file:
                self._file.close()
            self._file = pairs_file(self._own, self.pairs // self.shard_size).open("wb")
        assert self._file
        line = line_of(pair)
        self._file.write(line)
        self._fingerprint.add(pair, line)
        self.subset.add(pair)
        self.pairs += 1

    def finish(self) -> Plan:
        """Ends it after the last pair; says what was cut."""
        if self._file:
            self._file.close()
        plan = Plan(
            fingerprint=self._fingerprint.name(),
            pairs=self.pairs,
            settings=dataclasses.asdict(self.settings),
            plugins=plugins.loaded(),
        )
        write_json(self._own / PLAN, plan)
        return plan

    @property
    def learned(self) -> str:
        """Names what of the pairs decides what is learned."""
        return self._fingerprint.learned()

    def goes_on(self, plan: Plan) -> bool:
        """Whether the output folder holds unfinished work on just these pairs."""
        try:
            return bool(read_json(self._work / PLAN) == plan)
        except UserError:
            return False

    def keep(self) -> None:
        """Begins the work: the shards of pairs go to the output folder."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._own, self._work)

    def renew(self) -> None:
        """Goes on; its pairs are as they were just read, whatever happened to the disk."""
        for file in self._own.glob("pairs-*"):
            os.replace(file, self._work / file.name)

    def shards(self) -> list[Shard]:
        """The shards to make."""
        count = -(-self.pairs // self.shard_size)
        return [Shard(str(self.folder), index, count, self.format) for index in range(count)]


@functools.lru_cache(maxsize=1)
def _corpus(path: str, fingerprint: str) -> Corpus:
    """What was learned for the data of this fingerprint."""
    return Corpus.from_json(read_json(path))


def _write_lines(path: Path, samples: Iterable[Sample]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for sample in samples:
            file.write(_ENCODER.encode(sample) + "\n")


def _write_parquet(path: Path, samples: Iterable[Sample]) -> None:
    # Imported on use: it takes a second, and most workers write lines.
    import pyarrow as pa
    import pyarrow.parquet

    text, number, real = pa.string(), pa.int32(), pa.float64()
    # One type a column: parameters, which differ from family to family, and tools are JSON.
    message = pa.struct(
        dict.fromkeys(("role", "content", "tools", "tool_calls", "tool_call_id", "name"), text)
    )
    constraint = pa.struct({"id": text, "params": text, "text": text, "margins": pa.list_(real)})
    prompt = pa.struct({"messages": pa.list_(message), "constraints": pa.list_(constraint)})
    comparison = pa.struct(
        {
            "level": text,
            **{name: pa.list_(number) for name in ("prompt", "response", "sign")},
            "gamma": real,
            "k": number,
            "tie": pa.bool_(),
        }
    )
    synthesis = pa.struct({"mode": text, "seed": pa.int64(), "families": text, "wordings": text})
    schema = pa.schema(
        {
            "id": text,
            "prompts": pa.list_(prompt),
            "responses": pa.list_(text),
            "comparisons": pa.list_(comparison),
            "synthesis": synthesis,
            "subset": text,
        }
    )
    rows: list[Mapping[str, object]] = []
    for sample in samples:
        prompts = [
            {
                "messages": [_with_tools_as_json(message) for message in prompt["messages"]],
                "constraints": [
                    {**entry, "params": json.dumps(entry["params"], ensure_ascii=False)}
                    for entry in prompt["constraints"]
                ],
            }
            for prompt in sample["prompts"]
        ]
        rows.append({**sample, "prompts": prompts})
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def _with_tools_as_json(message: Message) -> dict[str, object]:
    return {
        name: json.dumps(value, ensure_ascii=False) if name in ("tools", "tool_calls") else value
        for name, value in message.items()
    }
