"""Synthesis over whole data sets: workers, counts, files, and a cache.

A sample depends on its pair and the settings only, so workers change nothing but the time.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mapl_jax import constraints
from mapl_jax.data.sources import Pair
from mapl_jax.synthesis.build import Outcome, build
from mapl_jax.synthesis.samples import Sample, to_json
from mapl_jax.synthesis.settings import Settings

_CHUNK = 64


@dataclasses.dataclass
class Stats:
    """Counts that `synthesize` fills in as it goes.

    Attributes:
        pairs_in: pairs taken.
        samples_out: samples given; every pair gives one.
        seconds: time since the first pair.
        by_level: comparisons of each level.
        by_k: synthesized comparisons by number of instructions.
        by_constraint: synthesized prompts that hold an instruction of the family.
        polarity: family -> how many of its instructions the chosen (rejected) response keeps.
        dropped: reason -> comparisons, or groups of them, that could not be built.
    """

    pairs_in: int = 0
    samples_out: int = 0
    seconds: float = 0.0
    by_level: Counter[str] = dataclasses.field(default_factory=Counter)
    by_k: Counter[int] = dataclasses.field(default_factory=Counter)
    by_constraint: Counter[str] = dataclasses.field(default_factory=Counter)
    polarity: dict[str, Counter[str]] = dataclasses.field(
        default_factory=lambda: defaultdict(Counter)
    )
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def pairs_per_second(self) -> float:
        """Pairs over the whole time, workers' start included."""
        return self.pairs_in / self.seconds if self.seconds else 0.0

    def add(self, outcome: Outcome) -> None:
        """Counts one pair's outcome."""
        sample = outcome.sample
        self.pairs_in += 1
        self.samples_out += 1
        self.dropped.update(outcome.dropped)
        for comparison in sample.comparisons:
            self.by_level[comparison.level] += 1
            if comparison.k:
                self.by_k[comparison.k] += 1
        for prompt in sample.prompts:
            for item in prompt.constraints:
                self.by_constraint[item.id] += 1
                # Contrast: exactly one of the two responses keeps an instruction.
                kept = constraints.check(item.id, item.params, sample.responses[0])
                self.polarity[item.id]["chosen" if kept else "rejected"] += 1

    def to_json(self) -> dict[str, Any]:
        """The counts as plain dicts, the largest first."""
        return {
            "pairs_in": self.pairs_in,
            "samples_out": self.samples_out,
            "pairs_per_second": round(self.pairs_per_second, 1),
            "comparisons": {
                "level": dict(self.by_level),
                "k": {str(k): self.by_k[k] for k in sorted(self.by_k)},
                "constraint": dict(self.by_constraint.most_common()),
            },
            "kept_by": {name: dict(self.polarity[name]) for name in sorted(self.polarity)},
            "dropped": dict(self.dropped.most_common()),
        }


def synthesize(
    pairs: Sequence[Pair],
    settings: Settings,
    *,
    workers: int = 0,
    stats: Stats | None = None,
) -> Iterator[Sample]:
    """Synthesizes samples in the order of the pairs.

    Args:
        pairs: normalized pairs with unique ids, as `read_pairs` gives them.
        settings: what to build.
        workers: number of processes; 0 works in this one. Changes nothing in the samples.
        stats: filled in while the samples are taken.

    Yields:
        One sample for each pair; a pair that separates too few constraints keeps only `base`.

    Raises:
        BrokenPromise: a constraint family contradicts itself.
    """
    start = time.monotonic()
    for outcome in _outcomes(pairs, settings, workers):
        if stats is not None:
            stats.add(outcome)
            stats.seconds = time.monotonic() - start
        yield outcome.sample


def _outcomes(pairs: Sequence[Pair], settings: Settings, workers: int) -> Iterator[Outcome]:
    if workers < 1:
        for pair in pairs:
            yield build(pair, settings)
        return
    chunks = ((pairs[at : at + _CHUNK], settings) for at in range(0, len(pairs), _CHUNK))
    # Spawned and not forked: JAX has threads running in the process that calls this.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for chunk in pool.imap(_build_chunk, chunks):
            yield from chunk


def _build_chunk(task: tuple[Sequence[Pair], Settings]) -> list[Outcome]:
    pairs, settings = task
    return [build(pair, settings) for pair in pairs]


def write_samples(samples: Iterable[Sample], path: str | os.PathLike[str]) -> int:
    """Writes samples as JSON lines; the file appears whole or not at all.

    Returns:
        The number of samples.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    count = 0
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            for sample in samples:
                file.write(json.dumps(to_json(sample), ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def write_json(value: Any, path: str | os.PathLike[str]) -> None:
    """Writes a JSON file for people; it appears whole or not at all."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, target)


def fingerprint(pairs: Iterable[Pair], settings: Settings) -> str:
    """A name for everything that samples depend on: pairs, settings, and the code that makes them.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    package = Path(__file__).parent.parent
    for folder in ("constraints", "synthesis"):
        for file in sorted((package / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.relative_to(package).as_posix().encode() + b"\0")
                digest.update(hashlib.blake2b(file.read_bytes()).digest())
    digest.update(json.dumps(dataclasses.asdict(settings), sort_keys=True).encode())
    for pair in pairs:
        digest.update(json.dumps(pair, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def synthesize_cached(
    pairs: Sequence[Pair],
    settings: Settings,
    cache_dir: str | os.PathLike[str],
    *,
    workers: int = 0,
) -> Path:
    """The file of samples for these pairs, synthesized unless it is there already.

    Args:
        pairs: normalized pairs.
        settings: what to build.
        cache_dir: folder to keep samples in; made if missing.
        workers: number of processes.

    Returns:
        Path of a JSONL file named by the fingerprint; its counts lie beside it in .summary.json.
    """
    name = fingerprint(pairs, settings)
    path = Path(cache_dir) / f"samples-{name}.jsonl"
    if not path.is_file():
        stats = Stats()
        write_samples(synthesize(pairs, settings, workers=workers, stats=stats), path)
        write_json(stats.to_json(), path.with_suffix(".summary.json"))
    return path
