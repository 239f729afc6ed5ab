"""Synthesis over whole data sets: cut into shards, made one by one, put together.

    cut      one process reads and checks the pairs, writes them into shards, and picks those to
             learn from (`reference`)
    make     any number of workers turn a shard of pairs into a shard of samples
    publish  the shards go to their place, and the counts of all become one summary

Everything unfinished lies in OUTPUT/.work, so the output folder holds all shards or none, and a run
that was stopped goes on with the shards that are missing. A shard depends on its pairs, the
settings and the reference alone: neither the number of workers nor their order changes a byte.
"""

import dataclasses
import functools
import hashlib
import heapq
import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mapl_jax.data import samples
from mapl_jax.data.records import Pair, Tally
from mapl_jax.reports.synthesis import write
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import checksum, read_json, replacing, write_json
from mapl_jax.synthesis import build
from mapl_jax.synthesis.corpus import Lowest, Reference, hash_of
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesis.tally import Stats

FORMATS = ("jsonl", "parquet")
SHARD_SIZE = 1024
SHOWN = 20  # samples in the report
WORK, PLAN, REFERENCE, SUMMARY, REPORT = (
    ".work",
    "plan.json",
    "reference.json",
    "summary.json",
    "report.html",
)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard to make; all that a worker on another machine needs to know.

    Attributes:
        folder: of the output.
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


# `json.dumps` makes one anew for every record.
_ENCODER = json.JSONEncoder(ensure_ascii=False)

Runner = Callable[[Sequence[Shard]], Iterator[int]]


def synthesize(
    pairs: Iterable[Pair],
    settings: Settings,
    folder: str | os.PathLike[str],
    *,
    run: Runner,
    format: str = "jsonl",
    shard_size: int = SHARD_SIZE,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    source: Tally | None = None,
) -> dict[str, Any]:
    """Synthesizes samples into a folder, or finishes what an interrupted run left of it.

    Args:
        pairs: normalized pairs with unique ids; read once, never all in memory.
        settings: what to build.
        folder: gets samples-*, reference.json, report.html and, last, summary.json.
        run: makes shards, and gives the number of pairs of each as it is done (see `runners`).
        format: "jsonl" or "parquet".
        shard_size: pairs of a shard.
        overwrite: replace samples that were made from other pairs or settings.
        progress: told how many of how many pairs are done.
        source: what became of the records behind the pairs, for the summary.

    Returns:
        The summary; "made" in it says whether anything had to be done.

    Raises:
        UserError: the folder holds other samples, or an argument is impossible.
        BrokenPromise: a constraint family contradicts itself.
    """
    if format not in FORMATS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    if shard_size < 1:
        raise UserError(f"shard_size must be at least 1, not {shard_size}")
    folder = Path(folder).absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output {folder} is a file; give a folder")
    began = time.monotonic()
    with _cut(pairs, settings, folder, format, shard_size) as cut:
        if not cut.goes_on:
            found = summary_of(folder)
            if found and found["fingerprint"] == cut.plan["fingerprint"]:
                return found | {"made": False}
            if (folder / SUMMARY).exists() and not found and not overwrite:
                raise UserError(
                    f"{folder} holds samples that cannot be used ({flaw(folder)}); "
                    "--config.overwrite=true makes them anew"
                )
            if (found or any(folder.glob("samples-*"))) and not overwrite:
                raise UserError(
                    f"{folder} holds samples that were made from other pairs or settings; "
                    "give another output, or --config.overwrite=true"
                )
            cut.keep()
        else:
            cut.renew()
    total, count = cut.plan["pairs"], -(-cut.plan["pairs"] // shard_size)
    shards = [Shard(str(folder), index, count, format) for index in range(count)]
    missing = [shard for shard in shards if not _made(shard)]
    if not (folder / WORK / REFERENCE).exists():
        known = build.learn(cut.lowest.pairs(), settings)
        write_json(folder / WORK / REFERENCE, known.to_json())
    done = total - sum(min(shard_size, total - shard.index * shard_size) for shard in missing)
    progress(done, total)
    for made in run(missing):
        done += made
        progress(done, total)
    records = source or Tally(total)
    return _publish(folder, shards, records, cut.plan, began) | {"made": True}


def make(shard: Shard) -> int:
    """Turns one shard of pairs into samples; the file appears whole or not at all.

    Returns:
        The number of pairs.
    """
    plan = read_json(shard.work / PLAN)
    settings = Settings(**plan["settings"])
    known = _reference(str(shard.work / REFERENCE), plan["fingerprint"])
    stats = Stats()
    shown: list[tuple[int, dict[str, Any]]] = []

    def records() -> Iterator[dict[str, Any]]:
        with _pairs_file(shard.work, shard.index).open("rb") as lines:
            for line in lines:
                outcome = build.build(json.loads(line), settings, known)
                record = samples.to_json(outcome.sample)
                stats.add(outcome)
                if len(outcome.sample.prompts) > 1:
                    shown.append((hash_of(settings.seed, record["id"], "shown"), record))
                if len(shown) > 5 * SHOWN:  # memory stays flat, whatever the size of the shard
                    shown[:] = _lowest(shown)
                yield record

    with replacing(shard.work / shard.name) as part:
        (_write_parquet if shard.format == "parquet" else _write_lines)(part, records())
    made = checksum(shard.work / shard.name)
    write_json(shard.counts, {"stats": stats.to_json(), "shown": _lowest(shown), "checksum": made})
    return stats.pairs["in"]


def _made(shard: Shard) -> bool:
    """Whether a shard is there, in its place or on the way to it, as it was made."""
    try:
        counts = json.loads(shard.counts.read_text(encoding="utf-8"))
        places = (shard.work / shard.name, Path(shard.folder) / shard.name)
        return any(path.is_file() and checksum(path) == counts["checksum"] for path in places)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def summary_of(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished folder; None if it is not finished, or not as it was made."""
    return (
        None
        if flaw(folder) is not None
        else json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    )


def flaw(folder: Path) -> str | None:
    """What is wrong with a finished folder, in a few words; "" if it is not finished."""
    if not (folder / SUMMARY).exists():
        return ""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        # Names from a file must not lead out of the folder.
        known = {Path(name).name: summary["checksums"][name] for name in summary["files"]}
        if summary["checksum"] != _checksum_of(summary):
            return f"{SUMMARY} is damaged"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"{SUMMARY} is damaged"
    for name, expected in known.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if checksum(folder / name) != expected:
            return f"{name} is damaged"
    return None


def _checksum_of(summary: dict[str, Any]) -> str:
    """Of all that a summary says, but this and times."""
    times = ("checksum", "seconds", "pairs_per_second")
    said = {key: value for key, value in summary.items() if key not in times}
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()


class Fingerprint:
    """A name for all that samples depend on: the pairs, the settings and the code.

    Pairs are added one by one, in order.
    """

    def __init__(self, settings: Settings, format: str = FORMATS[0], shard_size: int = SHARD_SIZE):
        self._digest = hashlib.blake2b(digest_size=16)
        package = Path(__file__).parent.parent
        for folder in ("constraints", "synthesis"):
            for file in sorted((package / folder).rglob("*.py")):
                self._digest.update(file.relative_to(package).as_posix().encode() + b"\0")
                self._digest.update(hashlib.blake2b(file.read_bytes()).digest())
        choices = [dataclasses.asdict(settings), format, shard_size]
        self._digest.update(json.dumps(choices, sort_keys=True).encode() + b"\n")

    def add(self, line: bytes) -> None:
        """Takes a pair into account, as `line_of` writes it."""
        self._digest.update(line)

    def add_pair(self, pair: Pair) -> None:
        """Takes a pair into account."""
        self.add(_line(pair))

    def name(self) -> str:
        """32 hexadecimal digits."""
        return self._digest.hexdigest()


def fingerprint(pairs: Iterable[Pair], settings: Settings) -> str:
    """The fingerprint of samples in the format and with the size of shards that are usual."""
    found = Fingerprint(settings)
    for pair in pairs:
        found.add_pair(pair)
    return found.name()


class _Cut:
    """Pairs in shards, in a folder of their own until they are kept."""

    def __init__(self, place: Path, folder: Path, plan: dict[str, Any], lowest: Lowest):
        self._place, self._work = place, folder / WORK
        self.plan, self.lowest = plan, lowest

    @property
    def goes_on(self) -> bool:
        """Whether the output folder holds unfinished work on just these pairs."""
        try:
            return json.loads((self._work / PLAN).read_text(encoding="utf-8")) == self.plan
        except (OSError, ValueError):
            return False

    def keep(self) -> None:
        """Begins the work: the shards of pairs go to the output folder."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._place, self._work)

    def renew(self) -> None:
        """Goes on with the work: its pairs are as they were just read, whatever befell the disk."""
        for file in self._place.glob("pairs-*"):
            os.replace(file, self._work / file.name)


@contextmanager
def _cut(
    pairs: Iterable[Pair], settings: Settings, folder: Path, format: str, shard_size: int
) -> Iterator[_Cut]:
    place = folder.with_name(f".{folder.name}.cut")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    name = Fingerprint(settings, format, shard_size)
    lowest = Lowest(settings.reference, settings.seed)
    total = 0
    try:
        for index, part in enumerate(_parts(pairs, shard_size)):
            with _pairs_file(place, index).open("wb") as file:
                for pair in part:
                    line = _line(pair)
                    file.write(line)
                    name.add(line)
                    lowest.add(pair)
                    total += 1
        plan = {
            "fingerprint": name.name(),
            "pairs": total,
            "settings": dataclasses.asdict(settings),
        }
        write_json(place / PLAN, plan)
        yield _Cut(place, folder, plan, lowest)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _parts(pairs: Iterable[Pair], size: int) -> Iterator[Iterator[Pair]]:
    """Runs of up to `size` pairs; each must be used up before the next."""
    source = iter(pairs)
    for first in source:
        yield itertools.chain([first], itertools.islice(source, size - 1))


def _line(pair: Pair) -> bytes:
    return _ENCODER.encode(pair).encode() + b"\n"


def _pairs_file(work: Path, index: int) -> Path:
    return work / f"pairs-{index:05d}.jsonl"


@functools.lru_cache(maxsize=1)
def _reference(path: str, fingerprint: str) -> Reference:
    """What was learnt for the data of this fingerprint."""
    return Reference.from_json(read_json(path))


def _lowest(shown: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    return heapq.nsmallest(SHOWN, shown, key=lambda entry: entry[0])


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(_ENCODER.encode(record) + "\n")


def _write_parquet(path: Path, records: Iterable[dict[str, Any]]) -> None:
    # Imported on use: it takes a second, and most workers write lines.
    import pyarrow as pa
    import pyarrow.parquet

    text, number, real = pa.string(), pa.int32(), pa.float64()
    message = pa.struct({"role": text, "content": text})
    # One type a column, and parameters differ from family to family: they are written as JSON.
    constraint = pa.struct({"id": text, "params": text, "text": text, "margins": pa.list_(real)})
    prompt = pa.struct({"messages": pa.list_(message), "constraints": pa.list_(constraint)})
    comparison = pa.struct(
        {
            "level": text,
            **{name: pa.list_(number) for name in ("prompt", "response", "sign")},
            "gamma": real,
            "k": number,
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
        }
    )
    rows = []
    for record in records:
        prompts = [
            {
                "messages": one["messages"],
                "constraints": [
                    entry | {"params": json.dumps(entry["params"], ensure_ascii=False)}
                    for entry in one["constraints"]
                ],
            }
            for one in record["prompts"]
        ]
        rows.append(record | {"prompts": prompts})
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def _publish(
    folder: Path, shards: Sequence[Shard], records: Tally, plan: dict[str, Any], began: float
) -> dict[str, Any]:
    """Puts finished shards in their place, and tells of them."""
    work = folder / WORK
    stats = Stats()
    shown: list[tuple[int, dict[str, Any]]] = []
    checksums = {}
    for shard in shards:
        counts = read_json(shard.counts)
        checksums[shard.name] = counts["checksum"]
        stats.update(counts["stats"])
        shown = _lowest([*shown, *map(tuple, counts["shown"])])
    # A summary tells of the samples beside it, so the old one goes before they do.
    (folder / SUMMARY).unlink(missing_ok=True)
    for shard in shards:
        if (work / shard.name).exists():
            os.replace(work / shard.name, folder / shard.name)
    names = [shard.name for shard in shards]
    for old in folder.glob("samples-*"):
        if old.name not in names:
            old.unlink()
    seconds = time.monotonic() - began
    summary = {
        "records": {"read": records.read, "dropped": dict(records.dropped.most_common())},
        **stats.summary(),
        "seconds": round(seconds, 1),
        "pairs_per_second": round(plan["pairs"] / seconds, 1),
        "settings": plan["settings"],
        "fingerprint": plan["fingerprint"],
        "files": names,
        "checksums": checksums,
    }
    summary["checksum"] = _checksum_of(summary)
    write_json(folder / REFERENCE, read_json(work / REFERENCE))
    write(folder / REPORT, summary, [record for _, record in shown])
    write_json(folder / SUMMARY, summary)
    shutil.rmtree(work)
    return summary
