"""From sources to samples: what comes before tokens in every command."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mapl_jax import constraints
from mapl_jax.data import cache, folders, forms, sources
from mapl_jax.data.messages import Message
from mapl_jax.data.readers import Entries
from mapl_jax.data.records import Accept, Pairs, Tally, collect, iter_demonstrations, iter_pairs
from mapl_jax.data.samples import (
    Prompt,
    Sample,
    base_sample,
    demonstration,
    is_sample,
    iter_samples,
)
from mapl_jax.data.settings import DataSettings, SourceSettings
from mapl_jax.data.sources import DEMO, Source
from mapl_jax.data.splits import (
    Split,
    Splits,
    SplitWriter,
    check_sizes,
    is_held_out,
    read_sides,
    write_sides,
    write_split,
)
from mapl_jax.data.templates import acceptance
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.runtime import console, plugins
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis import pipeline, runners, shards
from mapl_jax.synthesis.settings import Settings

_SIDES = ("train", "test")


def samples(
    data: SourceSettings,
    synthesis: Settings,
    seed: int,
    cache_dir: str | os.PathLike[str],
    tokenizer: Tokenizer | None = None,
) -> Splits:
    """The training samples and the held-out ones: synthesized from pairs, or samples as they are.

    Without `data.test`, a part of the training data is held out, by prompt: two pairs with the
    same first user turn are never on both sides. Every source is read once, record by record, so
    memory does not grow with it; samples of the same files and settings are not made again.

    Args:
        seed: of the run; decides the demonstration set.
    """

    def make(folder: Path) -> Splits:
        fill = functools.partial(_samples, data, synthesis, acceptance(tokenizer))
        return _from_sources(data, seed, fill, folder)

    return _cached("samples", data, synthesis, seed, cache_dir, tokenizer, make)


def demonstrations(
    data: DataSettings,
    synthesis: Settings,
    seed: int,
    cache_dir: str | os.PathLike[str],
    tokenizer: Tokenizer | None = None,
) -> Splits:
    """The demonstrations to train on and the held-out ones; parted as `samples` are.

    They come from demonstrations, or from the chosen responses of pairs or samples. With
    `data.instructions` pairs get instructions first, as for comparisons, and every chosen response
    also answers the prompts whose instructions it keeps.

    Args:
        synthesis: of the run; used with `data.instructions`.
        seed: of the run; decides the demonstration set.
    """
    if data.instructions:
        sides = samples(data, synthesis, seed, cache_dir, tokenizer)

        def make(folder: Path) -> Splits:
            train, test = (
                _kept_by_chosen(split, folder / side)
                for split, side in zip(sides, _SIDES, strict=True)
            )
            return train, test
    else:

        def make(folder: Path) -> Splits:
            fill = functools.partial(_demonstrations, data, acceptance(tokenizer))
            return _from_sources(data, seed, fill, folder)

    kind = "answers" if data.instructions else "demonstrations"
    return _cached(kind, data, synthesis, seed, cache_dir, tokenizer, make)


def samples_of(
    source: Source,
    cache_dir: str | os.PathLike[str],
    *,
    on_error: str = "raise",
    seed: int = 0,
    synthesis: Settings | None = None,
    split: str = "test",
    num_proc: int = 0,
    columns: str = "",
    tokenizer: Tokenizer | None = None,
) -> Split:
    """Samples as they are, pairs as base comparisons, or with instructions added to them.

    Args:
        source: pairs or samples; with instructions, the pairs are held in memory.
        cache_dir: folder of the caches; samples of the same pairs and settings are not made again.
        on_error: what a bad pair does, "raise" or "skip".
        synthesis: of the instructions; None for none.
        num_proc: processes that synthesize; 0 for one per core.
        columns: which column is which, or the name of a form; empty where their names say it.
    """
    form = forms.requested_form(columns=columns)
    entries = sources.entries_of(source, split=split, seed=seed)
    if is_sample(entries.peek()):
        tally = Tally()
        given = write_split(_counted(entries, tally), cache_dir)
        console.say_each(tally.notes())
        return given
    if synthesis is None:
        tally = Tally()
        pairs = iter_pairs(
            entries, tally, on_error=on_error, form=form, accept=acceptance(tokenizer)
        )
        base = write_split(map(base_sample, pairs), cache_dir)
        counts = {"pairs_read": tally.read, "pairs_dropped": dict(tally.dropped.most_common())}
        console.say_each(tally.notes())
        return dataclasses.replace(base, counts={**counts, **base.counts})
    accept = acceptance(tokenizer)
    held = collect(iter_pairs, entries, on_error=on_error, form=form, accept=accept)
    console.say_each(held.tally.notes())
    return _synthesized(held, synthesis, cache_dir, num_proc)


# Reads all of a source into the folders of its sides; side_of says which, from the prompt.
_Fill = Callable[[Entries, Sequence[Path], Callable[[Sequence[Message]], int]], list[Split]]


def _from_sources(data: SourceSettings, seed: int, fill: _Fill, folder: Path) -> Splits:
    """Both sides, from a source each or from one that is parted."""
    folders = [folder / side for side in _SIDES]
    if data.test or data.train == DEMO:
        names = (data.train, data.test or DEMO)
        ((train,), (test,)) = (
            fill(_entries(name, data, seed, side), [target], lambda _: 0)
            for name, side, target in zip(names, _SIDES, folders, strict=True)
        )
        return train, test.beside(train) if data.test else test
    entries = _entries(data.train, data, seed, "train")
    train, test = fill(entries, folders, lambda messages: is_held_out(messages, data.test_fraction))
    return train, test


def _entries(name: str, data: SourceSettings, seed: int, split: str) -> Entries:
    return sources.entries_of(name, split=split, demo_pairs=data.demo_pairs, seed=seed)


def _samples(
    data: SourceSettings,
    synthesis: Settings,
    accept: Accept,
    entries: Entries,
    folders: Sequence[Path],
    side_of: Callable[[Sequence[Message]], int],
) -> list[Split]:
    """A `_Fill` of samples."""
    with contextlib.ExitStack() as stack:
        if is_sample(entries.peek()):
            writers = [stack.enter_context(SplitWriter(_emptied(folder))) for folder in folders]
            tally = Tally()
            for sample in _counted(entries, tally):
                writers[side_of(sample["prompts"][0]["messages"])].add(sample)
            check_sizes(data.test_fraction, *(writer.count for writer in writers))
            counts = [{"samples_read": writer.count, **_notes(tally)} for writer in writers]
            return [writer.split(each) for writer, each in zip(writers, counts, strict=True)]
        cuts = [stack.enter_context(shards.Cut(folder, synthesis)) for folder in folders]
        tally = Tally()
        form = forms.requested_form(data.format, data.columns)
        pairs = iter_pairs(entries, tally, on_error=data.on_error, form=form, accept=accept)
        for pair in pairs:
            cuts[side_of(pair["prompt"])].add(pair)
        check_sizes(data.test_fraction, *(cut.pairs for cut in cuts))
        run = runners.local(data.num_proc)
        splits = []
        for cut in cuts:
            with console.progress("synthesizing", "pairs") as show:
                summary = pipeline.make_samples(cut, cut.finish(), run, show, tally)
            made = _split_of(summary, cut.folder, tally)
            splits.append(dataclasses.replace(made, learned=cut.learned))
        return splits


def _counted(entries: Entries, tally: Tally) -> Iterator[Sample]:
    """The samples of a source, counted by the part of a list that they are of."""
    for sample in iter_samples(entries):
        tally.count(entries.part)
        yield sample


def _demonstrations(
    data: SourceSettings,
    accept: Accept,
    entries: Entries,
    folders: Sequence[Path],
    side_of: Callable[[Sequence[Message]], int],
) -> list[Split]:
    """A `_Fill` of demonstrations."""
    tally = Tally()
    form = forms.requested_form(data.format, data.columns)

    def records() -> Iterator[Sample]:
        if is_sample(entries.peek()):
            for tally.read, sample in enumerate(iter_samples(entries), 1):
                bare = Prompt(messages=sample["prompts"][0]["messages"], constraints=[])
                yield demonstration(sample["id"], bare, sample["responses"][0])
            return
        found = iter_demonstrations(
            entries, tally, on_error=data.on_error, form=form, accept=accept
        )
        for record in found:
            bare = Prompt(messages=record["prompt"], constraints=[])
            yield demonstration(record["id"], bare, record["completion"])

    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(SplitWriter(_emptied(folder))) for folder in folders]
        for sample in records():
            writers[side_of(sample["prompts"][0]["messages"])].add(sample)
        check_sizes(data.test_fraction, *(writer.count for writer in writers))
    counts = {
        "demonstrations_read": tally.read,
        "demonstrations_dropped": dict(tally.dropped.most_common()),
        **_notes(tally),
    }
    return [writer.split(counts) for writer in writers]


def _kept_by_chosen(split: Split, folder: Path) -> Split:
    """Chosen responses to the bare prompts, and to those whose instructions they keep."""
    kept = (
        demonstration(f"{sample['id']}-{number}", prompt, sample["responses"][0])
        for sample in split.samples()
        for number, prompt in enumerate(sample["prompts"])
        if all(
            constraints.check(entry["id"], entry["params"], sample["responses"][0])
            for entry in prompt["constraints"]
        )
    )
    with SplitWriter(_emptied(folder)) as writer:
        for sample in kept:
            writer.add(sample)
    return writer.split({**split.counts, "demonstrations": writer.count})


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _synthesized(
    pairs: Pairs, settings: Settings, cache_dir: str | os.PathLike[str], num_proc: int
) -> Split:
    """Samples of pairs in memory."""
    folder = Path(cache_dir) / f"samples-{shards.fingerprint(pairs.records, settings)}"
    with console.progress("synthesizing", "pairs") as show:
        summary = pipeline.synthesize(
            pairs.records,
            settings,
            folder,
            run=runners.local(num_proc),
            overwrite=True,
            progress=show,
            source=pairs.tally,
        )
    return _split_of(summary, folder, pairs.tally)


def _notes(tally: Tally) -> dict[str, object]:
    """What was left out of the records, where anything was."""
    notes = tally.notes()
    return {"notes": notes} if notes else {}


def _split_of(summary: pipeline.Summary, folder: Path, tally: Tally) -> Split:
    counts = {
        "records": summary["records"],
        "pairs_in": summary["pairs_in"],
        "samples_out": summary["samples_out"],
        "all_five": summary["all_five"],
        "comparisons": summary["comparisons"],
        "uninformative": summary["uninformative"],
        "dropped": summary["dropped"],
        **_notes(tally),
    }
    paths = tuple(folder / name for name in summary["files"])
    return Split(paths, summary["fingerprint"], counts)


# The cache.


def _cached(
    kind: str,
    data: SourceSettings,
    synthesis: Settings,
    seed: int,
    cache_dir: str | os.PathLike[str],
    tokenizer: Tokenizer | None,
    make: Callable[[Path], Splits],
) -> Splits:
    """Both sides from the cache; `make` first writes what is missing there, or the rest of it."""
    if not data.train:
        raise UserError("no training data given; set --config.data.train=FILE")
    choices: tuple[object, ...] = (
        data.train,
        data.test,
        data.test_fraction,
        data.demo_pairs,
        data.on_error,
        data.format,
        data.columns,
    )
    # Which records are left out may depend on the template.
    template = [str(tokenizer.chat_template)] if tokenizer and data.on_error == "skip" else []
    code = [_code_and_files(data), plugins.loaded()]
    name = cache.key(*choices, *template, seed, dataclasses.asdict(synthesis), *code)
    folder = Path(cache_dir) / f"{kind}-{name}"

    def fill(part: Path) -> None:
        write_sides(part, make(part))

    cache.ensure(folder, fill, goes_on=True)
    return read_sides(folder)


def _code_and_files(data: SourceSettings) -> str:
    """A hash of all that is read and of the code that reads it."""
    given = [*folders.files_of(data.train), *folders.files_of(data.test or DEMO)]
    digest = hashlib.blake2b(digest_size=12)
    for file in (*shards.code_files(), *given):
        digest.update(os.fsencode(file.name) + b"\0")
        # A file that cannot be opened is reported where its records are read.
        with contextlib.suppress(OSError), file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "blake2b").digest())
    return digest.hexdigest()
