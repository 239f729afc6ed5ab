"""From what a config names to tries: the part of a command that comes before a model."""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from ml_collections import ConfigDict

from mapl_jax import constraints
from mapl_jax.data import demo, readers
from mapl_jax.data import records as sources
from mapl_jax.data.records import Tally
from mapl_jax.data.samples import (
    Split,
    _demonstration,
    _is_sample,
    base_only,
    given_samples,
    is_samples,
    iter_samples,
    keep_samples,
    load_samples,
    read_samples,
)
from mapl_jax.data.splits import _check_parted, _check_train, _parted, _side
from mapl_jax.runtime import console, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import write_json
from mapl_jax.synthesis import pipeline, runners
from mapl_jax.synthesis.settings import Settings

DEMO = "demo"
# A file, a folder, a hub name, "demo"; or records in memory.
Source = str | os.PathLike[str] | Iterable[Mapping[str, Any]]


@contextlib.contextmanager
def cache_of(config: ConfigDict, own: Path) -> Iterator[Path]:
    """The folder of prepared data, while it is filled.

    One that several runs share is filled by one of them at a time; the others wait.

    Args:
        config: with `data.cache`.
        own: the cache of the run, if the config names none.

    Raises:
        UserError: the folder cannot be made.
    """
    if not config.data.cache:
        yield own
        return
    shared = shared_cache(config.data.cache)
    try:
        shared.mkdir(parents=True, exist_ok=True)
        held = FileLock(shared / "lock").acquire()
    except OSError as error:
        raise UserError(
            f"cannot use the folder {shared} of data.cache: {error.strerror or error}"
        ) from None
    with held:
        yield shared


def shared_cache(name: str) -> Path:
    """The folder that `data.cache` names."""
    return files.local(name).expanduser().absolute()


def synthesis_settings(config: ConfigDict) -> Settings:
    """Settings of synthesis from `config.synthesis`."""
    return Settings(**config.synthesis.to_dict())


def load_split(
    name: str, config: ConfigDict, cache_dir: str | os.PathLike[str], *, split: str
) -> Split:
    """Samples of what a config names: synthesized from pairs, or samples as they are.

    Args:
        name: a file, a folder, a hub name, or "demo".
        config: with `data` and `synthesis`.
        cache_dir: folder of the caches.
        split: "train" or "test"; which part of the demonstration set.

    Raises:
        UserError: the source cannot be read or a record is bad.
    """
    if name != DEMO and is_samples(name):
        return load_samples(name, cache_dir)
    read, settings, tally = _reader(name, config, split), synthesis_settings(config), Tally()
    made_of = pipeline.Fingerprint(settings)
    for pair in read(tally):
        made_of.add_pair(pair)
    return _samples_of(
        read(Tally()), made_of.name(), tally, settings, cache_dir, config.data.num_proc
    )


def load_demonstrations(
    config: ConfigDict, cache_dir: str | os.PathLike[str]
) -> tuple[Split, Split]:
    """The demonstrations to train on and the held-out ones; parted as in `load_splits`.

    They come from demonstrations, or from the chosen responses of pairs or samples. With
    `data.instructions` pairs get instructions first, as for comparisons, and every chosen response
    also answers the prompts whose instructions it keeps.

    Raises:
        UserError: the source cannot be read or a record is bad.
    """
    data = config.data
    _check_train(data)
    if data.instructions:
        train_samples, test_samples = load_splits(config, cache_dir)
        return _kept_by_chosen(train_samples, cache_dir), _kept_by_chosen(test_samples, cache_dir)
    if data.test or data.train == DEMO:
        names = (data.train, data.test or DEMO)
        train, test = (
            _read_demonstrations(name, config, split)
            for name, split in zip(names, ("train", "test"), strict=True)
        )
        return _demonstrations(train, cache_dir), _demonstrations(test, cache_dir)
    whole = _read_demonstrations(data.train, config, "train")
    train, test = (
        dataclasses.replace(whole, records=part)
        for part in _parted(whole.records, lambda record: record["prompt"], data.test_fraction)
    )
    return _demonstrations(train, cache_dir), _demonstrations(test, cache_dir)


def load_splits(config: ConfigDict, cache_dir: str | os.PathLike[str]) -> tuple[Split, Split]:
    """The training samples and the held-out ones.

    Without `data.test`, a part of the training data is held out, by prompt: two pairs with the
    same first user turn are never on both sides. Records are read one by one, so memory does not
    grow with them, and the same files are not read again: what came of them is remembered.
    """
    _check_train(config.data)
    memory = Path(cache_dir) / f"splits-{_sources_name(config)}.json"
    known = _recalled(memory)
    if known is None:
        known = _load_splits(config, cache_dir)
        write_json(memory, [_told(split, memory.parent) for split in known])
    return known


def _load_splits(config: ConfigDict, cache: str | os.PathLike[str]) -> tuple[Split, Split]:
    data = config.data
    if data.test or data.train == DEMO:
        train = load_split(data.train, config, cache, split="train")
        return train, load_split(data.test or DEMO, config, cache, split="test")
    sides = [_side(data.test_fraction, held_out) for held_out in (False, True)]
    if is_samples(data.train):
        train, test = (
            keep_samples(
                (x for x in iter_samples(data.train) if side(x["prompts"][0]["messages"])),
                cache,
            )
            for side in sides
        )
        _check_parted(data.test_fraction, *(s.counts["samples_read"] for s in (train, test)))
        return train, test
    read = _reader(data.train, config, "train")
    counts = [0, 0]
    settings, tally = synthesis_settings(config), Tally()
    names = [pipeline.Fingerprint(settings) for _ in sides]
    for pair in read(tally):
        side = int(sides[1](pair["prompt"]))
        counts[side] += 1
        names[side].add_pair(pair)
    _check_parted(data.test_fraction, *counts)

    def of(side: Callable[[list[Any]], bool], name: pipeline.Fingerprint) -> Split:
        pairs = (pair for pair in read(Tally()) if side(pair["prompt"]))
        return _samples_of(pairs, name.name(), tally, settings, cache, config.data.num_proc)

    return of(sides[0], names[0]), of(sides[1], names[1])


def _sources_name(config: ConfigDict) -> str:
    """Names all that decides what is read and made of it: the config, the files and the code."""
    about = [config.seed, config.data.to_dict(), config.synthesis.to_dict()]
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12)
    package = Path(__file__).parent
    code = [
        file
        for part in ("constraints", "data", "synthesis")
        for file in (package / part).rglob("*.py")
    ]
    for file in (
        Path(__file__),
        *sorted(code),
        *readers.files_of(config.data.train),
        *readers.files_of(config.data.test or DEMO),
    ):
        digest.update(os.fsencode(file.name) + b"\0")
        # A file that cannot be opened is reported where its records are read.
        with contextlib.suppress(OSError), file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "blake2b").digest())
    return digest.hexdigest()


def _told(split: Split, cache: Path) -> dict[str, Any]:
    """A split as JSON; its files by their names in the cache, which may be moved."""
    return {
        "paths": [os.path.relpath(path, cache) for path in split.paths],
        "fingerprint": split.fingerprint,
        "counts": split.counts,
    }


def _recalled(memory: Path) -> tuple[Split, Split] | None:
    """The splits that were loaded before; None if they are not there, or not as they were."""
    try:
        train, test = (
            Split(
                tuple(memory.parent / path for path in told["paths"]),
                told["fingerprint"],
                told["counts"],
            )
            for told in json.loads(memory.read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    paths = {*train.paths, *test.paths}
    inside = all(path.resolve().is_relative_to(memory.parent.resolve()) for path in paths)
    if not inside or not all(path.is_file() for path in paths):
        return None
    given = {path for path in paths if path.name.startswith("given-")}
    # A folder of shards is looked at once, however many of them there are.
    folders = {path.parent for path in paths - given}
    whole = all(map(_whole, given)) and all(pipeline.flaw(folder) is None for folder in folders)
    return (train, test) if whole else None


def _whole(path: Path) -> bool:
    """Whether samples that were given are as they were; what is not is told where it is made."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12))
    return path.name == f"given-{found.hexdigest()}.jsonl"


def load_any(
    source: Source,
    cache_dir: str | os.PathLike[str],
    *,
    on_error: str = "raise",
    seed: int = 0,
    synthesis: Settings | None = None,
) -> Split:
    """Samples as they are, pairs as base comparisons, or with instructions added to them."""
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        if name != DEMO and is_samples(name):
            return load_samples(name, cache_dir)
        pairs = read_pairs(name, on_error, seed)
    else:
        records = list(source)
        if records and all(map(_is_sample, records)):
            return keep_samples(given_samples(records), cache_dir)
        pairs = given_pairs(records, on_error)
    return synthesize(pairs, synthesis, cache_dir) if synthesis else base_only(pairs, cache_dir)


def given_pairs(records: Iterable[Any], on_error: str = "raise") -> sources.Pairs:
    """Pairs that are in memory, checked as those of a file are."""
    named = ((f"record {number}", record) for number, record in enumerate(records, 1))
    return sources.normalize_pairs(named, source="the given records", on_error=on_error)


def read_pairs(
    name: str, on_error: str, seed: int, *, split: str = "test", demo_pairs: int = 4000
) -> sources.Pairs:
    """Pairs of a file, a folder, the hub, or the demonstration set."""
    if name != DEMO:
        return sources.read_pairs(name, on_error=on_error)
    if demo_pairs < 10:
        raise UserError(f"data.demo_pairs must be at least 10, not {demo_pairs}")
    # An eighth as many to test on: enough for intervals of a few points.
    size = demo_pairs if split == "train" else max(demo_pairs // 8, 10)
    records = demo.make_pairs(size, seed, split)
    return sources.Pairs(records, len(records), {})


def synthesize(
    pairs: sources.Pairs,
    settings: Settings,
    cache_dir: str | os.PathLike[str],
    *,
    num_proc: int = 0,
) -> Split:
    """Samples with instructions added to pairs, made once for the same pairs and settings."""
    name = pipeline.fingerprint(pairs.records, settings)
    tally = Tally(pairs.read, Counter(pairs.dropped))
    return _samples_of(pairs.records, name, tally, settings, cache_dir, num_proc)


def _samples_of(
    pairs: Iterable[sources.Pair],
    name: str,
    tally: Tally,
    settings: Settings,
    cache_dir: str | os.PathLike[str],
    num_proc: int,
) -> Split:
    """Samples of pairs with such a fingerprint; the pairs are read only if they are not there."""
    folder = Path(cache_dir) / f"samples-{name}"
    summary = pipeline.summary_of(folder)
    if summary is None:
        if flaw := pipeline.flaw(folder):
            console.notice(f"the cache {folder} cannot be used ({flaw}) and is made anew")
        with console.progress("synthesizing", "pairs") as show:
            summary = pipeline.synthesize(
                pairs,
                settings,
                folder,
                run=runners.local(num_proc),
                overwrite=True,
                progress=show,
                source=tally,
            )
    told = ("pairs_in", "samples_out", "all_five", "comparisons", "uninformative", "dropped")
    counts = {"records": summary["records"], **{key: summary[key] for key in told}}
    return Split(tuple(folder / file for file in summary["files"]), name, counts)


def _reader(name: str, config: ConfigDict, split: str) -> Callable[[Tally], Iterator[sources.Pair]]:
    """Reads the pairs of a source one by one, as often as it is called."""
    if name != DEMO:
        return lambda tally: sources.iter_pairs(name, tally, on_error=config.data.on_error)
    pairs = _read_pairs(name, config, split)

    def made(tally: Tally) -> Iterator[sources.Pair]:
        tally.read = pairs.read
        yield from pairs.records

    return made


def _read_pairs(name: str, config: ConfigDict, split: str) -> sources.Pairs:
    data = config.data
    return read_pairs(
        name, data.on_error, config.seed, split=split, demo_pairs=int(data.demo_pairs)
    )


def _demonstrations(records: sources.Demonstrations, cache_dir: str | os.PathLike[str]) -> Split:
    """Samples without comparisons: one prompt, one response."""
    samples = [
        _demonstration(record["id"], {"messages": record["prompt"]}, record["completion"])
        for record in records.records
    ]
    counts = {"demonstrations_read": records.read, "demonstrations_dropped": dict(records.dropped)}
    return dataclasses.replace(keep_samples(samples, cache_dir), counts=counts)


def _kept_by_chosen(split: Split, cache_dir: str | os.PathLike[str]) -> Split:
    """Chosen responses to the bare prompts, and to those whose instructions they keep."""
    demonstrations = [
        _demonstration(f"{sample['id']}-{number}", prompt, sample["responses"][0])
        for sample in split.samples()
        for number, prompt in enumerate(sample["prompts"])
        if all(
            constraints.check(entry["id"], entry["params"], sample["responses"][0])
            for entry in prompt["constraints"]
        )
    ]
    counts = {**split.counts, "demonstrations": len(demonstrations)}
    return dataclasses.replace(keep_samples(demonstrations, cache_dir), counts=counts)


def _read_demonstrations(name: str, config: ConfigDict, split: str) -> sources.Demonstrations:
    """Demonstrations of a source of any kind."""
    if name == DEMO:
        pairs = _read_pairs(name, config, split)
        chosen = [(pair["id"], pair["prompt"], pair["chosen"]) for pair in pairs.records]
    elif is_samples(name):
        chosen = [
            (sample["id"], sample["prompts"][0]["messages"], sample["responses"][0])
            for sample in read_samples(name)
        ]
    else:
        return sources.read_demonstrations(name, on_error=config.data.on_error)
    records = [
        sources.Demonstration(id=name, prompt=prompt, completion=response)
        for name, prompt, response in chosen
    ]
    return sources.Demonstrations(records, len(records), {})
