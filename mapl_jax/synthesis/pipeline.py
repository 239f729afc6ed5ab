"""Synthesis over whole data sets: cut into shards, made one by one, put together.

    cut      one process reads and checks the pairs, writes them into shards, and picks those to
             learn from (`corpus`)
    make     any number of workers turn a shard of pairs into a shard of samples
    publish  the shards go to their place, and the counts of all become one summary

The output folder holds all shards or none, and a run that was stopped goes on with the shards that
are missing. The folder is sealed at the end: one without a seal was never finished.
"""

import contextlib
import gc
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from mapl_jax.data.normalize import Pair
from mapl_jax.data.records import Tally
from mapl_jax.data.samples import Sample
from mapl_jax.runtime import files, outputs
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import read_json, write_json
from mapl_jax.synthesis import build
from mapl_jax.synthesis.runners import SELDOM
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesis.shards import (
    CORPUS,
    FORMATS,
    PLAN,
    SHARD_SIZE,
    WORK,
    Cut,
    Plan,
    Runner,
    Shard,
    lowest,
)
from mapl_jax.synthesis.tally import Counted, Stats

SUMMARY = "summary.json"


class Read(TypedDict):
    """What became of the records of a source, for a summary."""

    read: int
    dropped: dict[str, int]


class Summary(Counted):
    """The summary of a synthesis: counts, times, and where they come from."""

    records: Read
    seconds: float
    pairs_per_second: float
    settings: dict[str, object]
    fingerprint: str
    files: list[str]


class Result(Summary):
    """A summary, and whether anything had to be done."""

    made: bool


# Writes more about finished samples into their folder: from the folder, the summary and samples to
# show.
Report = Callable[[Path, Summary, Sequence[Sample]], None]
Progress = Callable[[int, int], None]


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Meanwhile garbage is collected as seldom as where shards are made."""
    usual = gc.get_threshold()
    gc.set_threshold(SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@_seldom_collected()
def synthesize(
    pairs: Iterable[Pair],
    settings: Settings,
    folder: str | os.PathLike[str],
    *,
    run: Runner,
    format: str = "jsonl",
    shard_size: int = SHARD_SIZE,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
    source: Tally | None = None,
    report: Report | None = None,
) -> Result:
    """Synthesizes samples into a folder, or finishes what an interrupted run left of it.

    Args:
        pairs: normalized pairs with unique ids; read once, never all in memory.
        folder: gets samples-*, reference.json, summary.json and, last, a seal.
        run: makes shards, and gives the number of pairs of each as it is done (see `runners`).
        format: "jsonl" or "parquet".
        shard_size: pairs of a shard.
        overwrite: replace samples that were made from other pairs or settings.
        source: what became of the records behind the pairs, for the summary.
        report: writes more about the samples into the folder.

    Returns:
        The summary, and whether anything had to be done.

    Raises:
        BrokenPromise: a constraint family contradicts itself.
    """
    if format not in FORMATS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    if shard_size < 1:
        raise UserError(f"shard_size must be at least 1, not {shard_size}")
    folder = check_output(folder)
    began = time.monotonic()
    with Cut(folder, settings, format, shard_size) as cut:
        for pair in pairs:
            cut.add(pair)
        plan = cut.finish()
        if not overwrite and not cut.goes_on(plan):
            _check_free(folder, plan)
        return make_samples(cut, plan, run, progress, source, report, began)


def check_output(folder: str | os.PathLike[str], inputs: Iterable[str] = ()) -> Path:
    """Makes sure that samples can be written to a folder.

    Args:
        folder: new, empty, or with samples or unfinished work in it.

    Returns:
        Where it lies.
    """
    return outputs.check_folder(folder, _is_own, inputs)


def _is_own(folder: Path) -> bool:
    known = files.sealed(folder) or {}
    if (folder / WORK / PLAN).is_file():
        return True
    made = {path for name in (SUMMARY, CORPUS, "samples-*") for path in folder.glob(name)}
    return {SUMMARY, CORPUS} <= known.keys() and all(path.name in known for path in made)


def _flaw(folder: Path) -> str | None:
    """What is wrong with a finished folder: all samples there are must be as they were made."""
    there = {path.name for path in folder.glob("samples-*")}
    return files.flaw(folder, sorted({*(files.sealed(folder) or ()), CORPUS, SUMMARY, *there}))


def _check_free(folder: Path, plan: Plan) -> None:
    """Makes sure that a folder holds no samples that would be replaced."""
    summary = summary_of(folder)
    if summary and summary["fingerprint"] == plan["fingerprint"]:
        return
    if not any(folder.glob("samples-*")) and not (folder / SUMMARY).exists():
        return
    if flaw := _flaw(folder):
        raise UserError(
            f"{folder} holds samples that cannot be used ({flaw}); "
            "--config.overwrite=true makes them anew"
        )
    raise UserError(
        f"{folder} holds samples that were made from other pairs or settings; "
        "give another output, or --config.overwrite=true"
    )


@_seldom_collected()
def make_samples(
    cut: Cut,
    plan: Plan,
    run: Runner,
    progress: Progress,
    source: Tally | None = None,
    report: Report | None = None,
    began: float | None = None,
) -> Result:
    """Makes the samples of pairs that are cut, or those of them that are missing.

    Args:
        cut: finished; its folder gets the samples, whatever it holds.
        plan: what finishing it gave.
        run: as in `synthesize`.
        progress: as in `synthesize`.
        source: as in `synthesize`.
        report: as in `synthesize`.
        began: when the reading did, on the monotonic clock, in seconds; None for now.
    """
    began = time.monotonic() if began is None else began
    files.sweep(cut.folder)
    if cut.goes_on(plan):
        cut.renew()
    else:
        summary = summary_of(cut.folder)
        if summary and summary["fingerprint"] == plan["fingerprint"]:
            return {**summary, "made": False}
        cut.keep()
    work, shards = cut.folder / WORK, cut.shards()
    missing = [shard for shard in shards if not shard.is_made]
    if not (work / CORPUS).exists():
        corpus = build.learn(cut.subset.pairs(), cut.settings)
        write_json(work / CORPUS, corpus.to_json())
    total, size = plan["pairs"], cut.shard_size
    done = total - sum(min(size, total - shard.index * size) for shard in missing)
    progress(done, total)
    for made in _frozen(run(missing)):
        done += made
        progress(done, total)
    summary = _publish(cut.folder, shards, source or Tally(total), plan, began, report)
    return {**summary, "made": True}


def _frozen(made: Iterator[int]) -> Iterator[int]:
    """What is read and learned by now stays: collections of garbage need not look through it."""
    gc.freeze()
    try:
        yield from made
    finally:
        gc.unfreeze()


def summary_of(folder: Path) -> Summary | None:
    """The summary of a finished folder; None if it is not finished, or not as it was made."""
    if _flaw(folder) is not None:
        return None
    try:
        summary: Summary = read_json(folder / SUMMARY)
    except UserError:
        return None
    return summary


def _publish(
    folder: Path,
    shards: Sequence[Shard],
    records: Tally,
    plan: Plan,
    began: float,
    report: Report | None,
) -> Summary:
    """Puts finished shards in their place, reports them and seals the folder."""
    work = folder / WORK
    stats = Stats()
    shown: list[tuple[int, Sample]] = []
    for shard in shards:
        counts = shard.read_counts()
        stats.update(counts["stats"])
        shown = lowest([*shown, *((rank, sample) for rank, sample in counts["shown"])])
    # The seal and the summary tell of the samples beside them, so the old ones go before they do.
    for name in (files.SEAL, SUMMARY):
        (folder / name).unlink(missing_ok=True)
    for shard in shards:
        if (work / shard.name).exists():
            os.replace(work / shard.name, folder / shard.name)
    names = [shard.name for shard in shards]
    for old in folder.glob("samples-*"):
        if old.name not in names:
            old.unlink()
    seconds = time.monotonic() - began
    summary: Summary = {
        "records": {"read": records.read, "dropped": dict(records.dropped.most_common())},
        **stats.summary(),
        "seconds": round(seconds, 1),
        "pairs_per_second": round(plan["pairs"] / seconds, 1),
        "settings": plan["settings"],
        "fingerprint": plan["fingerprint"],
        "files": names,
    }
    write_json(folder / CORPUS, read_json(work / CORPUS))
    write_json(folder / SUMMARY, summary)
    if report:
        report(folder, summary, [sample for _, sample in shown])
    files.seal(folder, [*names, CORPUS, SUMMARY])
    shutil.rmtree(work)
    return summary
