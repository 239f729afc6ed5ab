"""Sets of tries, kept on disk as an Arrow file that is mapped into memory.

A record of the file is one trie: the token arrays of `data.tries` and the comparisons that read its
leaves. The file is named by a fingerprint of everything that decides its content, so it is built
once and never wrong.
"""

import collections
import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import safetensors.numpy
from jaxtyping import Int

from mapl_jax.data import cache, tokenization
from mapl_jax.data.encode import DEMONSTRATED, TrieRecord, encode_samples
from mapl_jax.data.samples import Sample
from mapl_jax.data.settings import TrieSettings
from mapl_jax.data.splits import Split
from mapl_jax.data.states import States
from mapl_jax.losses import ALL_LEVELS
from mapl_jax.runtime import console, files
from mapl_jax.runtime.console import progress
from mapl_jax.runtime.errors import UserError

if TYPE_CHECKING:
    import datasets

FORMAT = 6
SIZES = "sizes.safetensors"

# What encoding counts, in words.
_LEFT_OUT = {
    "samples": {
        "samples_dropped_too_long": "too long",
        "samples_dropped_prompt_too_long": "with a prompt that leaves no room for a response",
    },
    "comparisons": {
        "comparisons_dropped_longer_than_row": "longer than a row",
        "comparisons_dropped_response_cut": "with a cut response",
        "comparisons_dropped_alike": "whose two sides became the same tokens",
    },
}
_CUT = {
    "samples_split": "samples split into several tries",
    "tokens_again": "tokens that come twice because of that",
    "samples_truncated": "samples cut to max_length",
    "samples_shortened_by_template": "samples of which the chat template leaves out a part",
    "samples_with_marks": "samples whose text holds marks of a chat template and is used as it is",
}
# Every count by its name, for a table.
COUNTS = {
    "trie_tokens": "tokens",
    "flat_tokens": "tokens without shared prefixes",
    **{f"comparisons_{level}": f"{level} comparisons encoded" for level in ALL_LEVELS},
    **{
        key: f"{what} left out: {why}"
        for what, reasons in _LEFT_OUT.items()
        for key, why in reasons.items()
    },
    **_CUT,
}

_KINDS = {
    **dict.fromkeys(("id", "subset"), pa.string()),
    **dict.fromkeys(("scored", "tie"), pa.list_(pa.bool_())),
    **dict.fromkeys(("gamma", "share", "apart"), pa.list_(pa.float32())),
    "families": pa.list_(pa.string()),
}
SCHEMA = pa.schema(
    [(name, _KINDS.get(name, pa.list_(pa.int32()))) for name in TrieRecord.__annotations__]
)


@dataclasses.dataclass(frozen=True)
class TrieSet:
    """Tries on disk, read by index."""

    dataset: "datasets.Dataset"  # one record a trie, memory-mapped, numpy arrays out
    lengths: np.ndarray  # tokens of each trie, [n]
    leaves: np.ndarray  # leaves of each trie, [n]
    response: np.ndarray  # tokens of each trie that are response text, [n]
    predicted: np.ndarray  # tokens of each trie that another one predicts: all but the roots, [n]
    # Response tokens of each trie's demonstration or of the chosen leaf of its base
    # comparison; 0 where it has neither, [n].
    demonstrated: np.ndarray
    has_gamma: bool  # whether a base comparison has a gamma other than 0
    levels: np.ndarray  # comparisons of each trie by level of `losses.ALL_LEVELS`, [n, levels]
    mass: np.ndarray  # what these come to by their shares, [n, levels]
    counts: dict[str, int]  # what happened while encoding
    fingerprint: str  # names the content
    row_length: int  # tokens of a row; a longer trie takes one of 2, 4, ... times the length
    # Hidden states below the layers with adapters, where they are kept.
    states: States | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> TrieRecord:
        return self.dataset[int(index)]

    def first(self, n: int) -> "TrieSet":
        """The first tries alone."""
        return self.some(np.arange(n), f"first-{n}")

    def some(self, which: Int[np.ndarray, "n"], name: str) -> "TrieSet":
        """Some tries, by index, without kept states; their name goes into the fingerprint."""
        arrays: dict[str, Any] = {
            field.name: value[which]
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return dataclasses.replace(
            self,
            dataset=self.dataset.select(which),
            fingerprint=f"{self.fingerprint}-{name}",
            states=None,
            **arrays,
        )


def encode_cached(
    samples: Iterable[Sample],
    samples_fingerprint: str,
    tokenizer: tokenization.Tokenizer,
    settings: TrieSettings,
    cache_dir: str | os.PathLike[str],
    *,
    learned: str = "",
) -> TrieSet:
    """Tries of samples from the cache, encoded first if they are not there.

    Args:
        samples: read only if the cache has no such tries.
        samples_fingerprint: names the samples' content.
        tokenizer: with a chat template.
        settings: lengths and truncation.
        cache_dir: folder of the caches; this one is a folder in it.
        learned: names what of their content is learned from, if not all.
    """
    names = ("max_length", "row_length", "long_rows", "truncation")
    lengths = {name: getattr(settings, name) for name in names}
    # Checkpoints know their data by this name.
    fingerprint = cache.key(
        FORMAT,
        learned or samples_fingerprint,
        tokenization.fingerprint(tokenizer),
        lengths,
        False,  # whether comparisons stay whose two sides became the same tokens
    )
    own = f"-{samples_fingerprint}" if learned not in ("", samples_fingerprint) else ""
    folder = Path(cache_dir) / f"tries-{fingerprint}{own}"
    cache.ensure(folder, lambda part: _write(part, samples, tokenizer, settings))
    return _open(folder, fingerprint, settings.row_length)


def open_cached(cache_dir: str | os.PathLike[str], fingerprint: str, row_length: int) -> TrieSet:
    """Tries that were encoded before.

    Args:
        row_length: tokens of a row.
    """
    found = sorted(Path(cache_dir).glob(f"tries-{fingerprint}*"))
    folder = found[0] if found else Path(cache_dir) / f"tries-{fingerprint}"
    if not found:
        raise UserError(f"{folder} is gone")
    if flaw := files.flaw(folder):
        raise UserError(f"{folder} cannot be used ({flaw}); the command that trained makes it anew")
    return _open(folder, fingerprint, row_length)


def _open(folder: Path, fingerprint: str, row_length: int) -> TrieSet:
    counts = files.read_json(folder / "counts.json")
    if not counts.get("tries"):
        lost = "; ".join(left_out(counts)) or counts
        raise UserError(
            f"no comparison is left after encoding: {lost}; look at data.max_length, "
            "data.row_length and the chat template"
        )
    sizes = safetensors.numpy.load_file(folder / SIZES)
    if "mass" not in sizes or sizes["mass"].shape[1:] != (len(ALL_LEVELS),):
        raise UserError(f"{folder} was written by another version of mapl_jax")
    import datasets  # takes over a second, which no mistake need wait for

    return TrieSet(
        dataset=datasets.Dataset.from_file(str(folder / "tries.arrow")).with_format("numpy"),
        has_gamma=bool(sizes.pop("gamma").any()),
        **sizes,
        counts=counts,
        fingerprint=fingerprint,
        row_length=row_length,
        states=None,
    )


def _sizes(records: Sequence[TrieRecord]) -> dict[str, np.ndarray]:
    """What `TrieSet` holds of every trie; read from here, starting takes no look at the tokens."""
    base = ALL_LEVELS.index("base")
    levels = np.stack([np.bincount(r["level"], minlength=len(ALL_LEVELS)) for r in records])
    mass = [np.bincount(r["level"], r["share"], minlength=len(ALL_LEVELS)) for r in records]
    shown = (levels[:, base] > 0) | (levels.sum(1) == 0)
    leaf = [
        (r["leaf_prompt"] == DEMONSTRATED[0]) & (r["leaf_response"] == DEMONSTRATED[1])
        for r in records
    ]
    columns = {
        "lengths": [len(r["tokens"]) for r in records],
        "leaves": [len(r["leaf_end"]) for r in records],
        "response": [np.count_nonzero(r["scored"]) for r in records],
        "predicted": [np.count_nonzero(r["parent"] >= 0) for r in records],
        "demonstrated": shown
        * [(r["response_tokens"] * first).sum() for r, first in zip(records, leaf, strict=True)],
        "gamma": [r["gamma"][r["level"] == base].any() for r in records],
        "levels": levels,
    }
    found = {name: np.asarray(column, np.int64) for name, column in columns.items()}
    return {**found, "mass": np.stack(mass).astype(np.float64)}


def _write(
    folder: Path,
    samples: Iterable[Sample],
    tokenizer: tokenization.Tokenizer,
    settings: TrieSettings,
) -> None:
    counts: collections.Counter[str] = collections.Counter()
    with (
        pa.OSFile(str(folder / "tries.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, SCHEMA) as writer,
        progress("encoding", "tries") as show,
    ):
        records = encode_samples(samples, tokenizer, settings, counts)
        sizes: list[dict[str, np.ndarray]] = []
        done = 0
        while pending := list(itertools.islice(records, 512)):
            done += len(pending)
            show(done, 0)
            writer.write_batch(pa.RecordBatch.from_pylist(pending, SCHEMA))
            sizes.append(_sizes(pending))
    if sizes:
        columns = {name: np.concatenate([part[name] for part in sizes]) for name in sizes[0]}
        safetensors.numpy.save_file(columns, folder / SIZES)
    (folder / "counts.json").write_text(json.dumps(counts, indent=2, sort_keys=True))


def flaws(counts: Mapping[str, int]) -> list[str]:
    """What was left out or cut while encoding, in one line; none where nothing was."""
    parts = left_out(counts)
    return ["; ".join(parts)] if parts else []


def describe(name: str, tries: TrieSet) -> str:
    """One line about a split, with everything that was cut or left out."""
    counts = tries.counts
    samples = console.counted(counts["samples"], "samples")
    first = f"{name}: {samples}, {counts['trie_tokens']:,} tokens"
    if counts["flat_tokens"] != counts["trie_tokens"]:
        first += f" ({counts['flat_tokens']:,} without shared prefixes)"
    return "; ".join([first, *left_out(counts)])


def left_out(counts: Mapping[str, int]) -> list[str]:
    """What was left out or cut while encoding, in words."""
    parts = []
    for what, reasons in _LEFT_OUT.items():
        lost = {words: counts[key] for key, words in reasons.items() if counts.get(key)}
        if len(lost) == 1:
            ((words, count),) = lost.items()
            parts.append(f"{console.counted(count, f'{what} {words}')} left out")
        elif lost:
            why = ", ".join(f"{count:,} {words}" for words, count in lost.items())
            parts.append(f"{console.counted(sum(lost.values()), what)} left out: {why}")
    cut = []
    for key, words in _CUT.items():
        if counts.get(key):
            first = counts.get(f"{key}_first")
            cut.append(
                console.counted(counts[key], words) + (f" (first: sample {first})" if first else "")
            )
    return [*parts, *([", ".join(cut)] if cut else [])]


def encode_split(
    split: Split,
    tokenizer: tokenization.Tokenizer,
    settings: TrieSettings,
    cache_dir: str | os.PathLike[str],
) -> TrieSet:
    """The tries of a split, from the cache if they are there."""
    return encode_cached(
        split.samples(),
        split.fingerprint,
        tokenizer,
        settings,
        cache_dir,
        learned=split.learned,
    )
