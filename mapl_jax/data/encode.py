"""Samples to tries, kept on disk as an Arrow file that is mapped into memory.

A record of the file is one trie: the token arrays of `data.tries` and the comparisons that read its
leaves. The file is named by a fingerprint of everything that decides its content, so it is built
once and never wrong.
"""

import collections
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import safetensors.numpy
from ml_collections import ConfigDict

from mapl_jax.data import cache, tokenization, tries
from mapl_jax.data.samples import Comparison, Leaf, Sample, leaves_of, terms_of
from mapl_jax.data.splits import Split
from mapl_jax.losses import LEVELS
from mapl_jax.runtime import files
from mapl_jax.runtime.console import progress
from mapl_jax.runtime.errors import UserError

if TYPE_CHECKING:
    import datasets

FORMAT = 3
SIZES = "sizes.safetensors"
TRUNCATION = ("truncate", "drop", "error")
# A prompt is never cut to fewer tokens than these: what is left must still be the question.
PROMPT_KEPT = 16
# The leaf of a demonstration, and the chosen one of a base comparison: (prompt, response).
DEMONSTRATED = (0, 0)

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        *(
            (name, pa.list_(pa.int32()))
            for name in ("tokens", "positions", "reach", "parent", "leaf_end")
        ),
        ("scored", pa.list_(pa.bool_())),
        *(
            (name, pa.list_(pa.int32()))
            for name in ("leaf_prompt", "leaf_response", "leaf_tokens", "response_tokens")
        ),
        *((name, pa.list_(pa.int32())) for name in ("level", "k", "term_leaf", "term_sign")),
        ("gamma", pa.list_(pa.float32())),
        ("families", pa.list_(pa.string())),
    ]
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides how samples become tries.

    Attributes:
        max_length: longest leaf, in tokens.
        row_length: longest trie, in tokens.
        truncation: what happens to a sample with a longer leaf: `truncate` cuts the beginning of
            the prompt, `drop` leaves the sample out, `error` ends the run.
    """

    max_length: int
    row_length: int
    truncation: str = "truncate"

    def __post_init__(self):
        if self.truncation not in TRUNCATION:
            raise UserError(
                f"data.truncation is {self.truncation!r}; choose one of {', '.join(TRUNCATION)}"
            )
        if self.max_length < 2 * PROMPT_KEPT:
            raise UserError(f"data.max_length is {self.max_length}; it must be at least 32")
        if self.row_length < self.max_length:
            raise UserError(
                f"data.row_length ({self.row_length}) is below data.max_length "
                f"({self.max_length}): the longest leaf would fit no row"
            )


Record = dict[str, Any]


def encode_samples(
    samples: Iterable[Sample],
    tokenizer: tokenization.Tokenizer,
    settings: Settings,
    counts: collections.Counter[str],
    *,
    chunk: int = 256,
) -> Iterator[Record]:
    """The trie records of samples, in order.

    Args:
        samples: in the schema of `mapl_jax.data.samples`; one without comparisons is a
            demonstration, its one leaf the first response to the first prompt.
        tokenizer: with a chat template.
        settings: lengths and truncation.
        counts: receives what was read, cut and dropped.
        chunk: samples tokenized together.

    Raises:
        UserError: for a leaf that is too long under `truncation="error"`.
    """
    pending: list[Sample] = []
    for sample in samples:
        pending.append(sample)
        if len(pending) == chunk:
            yield from _encode_chunk(pending, tokenizer, settings, counts)
            pending = []
    if pending:
        yield from _encode_chunk(pending, tokenizer, settings, counts)


def _encode_chunk(
    samples: Sequence[Sample],
    tokenizer: tokenization.Tokenizer,
    settings: Settings,
    counts: collections.Counter[str],
) -> Iterator[Record]:
    used = [leaves_of(sample["comparisons"]) or [DEMONSTRATED] for sample in samples]
    texts = [
        (sample["prompts"][p]["messages"], sample["responses"][y])
        for sample, leaves in zip(samples, used, strict=True)
        for p, y in leaves
    ]
    paths = iter(tokenization.encode_leaves(tokenizer, texts))
    bos = tokenizer.bos_token_id
    for sample, leaves in zip(samples, used, strict=True):
        of_leaf = {leaf: next(paths) for leaf in leaves}
        counts["samples"] += 1
        yield from _encode_sample(sample, of_leaf, bos, settings, counts)


def _encode_sample(
    sample: Sample,
    of_leaf: dict[Leaf, tries.TokenPath],
    bos: int | None,
    settings: Settings,
    counts: collections.Counter[str],
) -> Iterator[Record]:
    comparisons = list(sample["comparisons"])
    longest = max(map(len, of_leaf.values()))
    if longest > settings.max_length:
        if settings.truncation == "error":
            raise UserError(
                f"sample {sample['id']} has a leaf of {longest} tokens, over data.max_length "
                f"({settings.max_length}); raise it, or set data.truncation to truncate or drop"
            )
        if settings.truncation == "drop":
            counts["samples_dropped_too_long"] += 1
            return
        counts["samples_truncated"] += 1
        kept, whole = _truncate(of_leaf, bos, settings.max_length)
        if kept is None:
            counts["samples_dropped_prompt_too_long"] += 1
            return
        of_leaf = kept
        if not whole:
            # What an instruction promised of a response need not hold for a part of it.
            counts["comparisons_dropped_response_cut"] += sum(
                c["level"] != "base" for c in comparisons
            )
            comparisons = [c for c in comparisons if c["level"] == "base"]
    groups: Iterable[Sequence[Comparison]]
    if sample["comparisons"]:
        groups = _fitting_groups(comparisons, of_leaf, settings.row_length, counts)
    else:
        groups = [()]
        counts["demonstrations"] += 1
    for group in groups:
        record = _record(sample, group, of_leaf)
        counts["tries"] += 1
        counts["trie_tokens"] += len(record["tokens"])
        counts["flat_tokens"] += sum(
            len(of_leaf[leaf])
            for leaves in ([terms_of(c) for c in group] or [[DEMONSTRATED]])
            for leaf in leaves
        )
        for c in group:
            counts[f"comparisons_{c['level']}"] += 1
        yield record


def _truncate(
    of_leaf: dict[Leaf, tries.TokenPath], bos: int | None, max_length: int
) -> tuple[dict[Leaf, tries.TokenPath] | None, bool]:
    """Cuts the same number of tokens from the beginning of every prompt, so that sharing stays.

    Returns:
        The cut paths, None if not even that is enough; and whether all responses are whole.
    """
    paths = of_leaf.values()
    first = int(bos is not None and all(path.tokens[0] == bos for path in paths))
    excess = max(map(len, paths)) - max_length
    room = min(path.prompt_length for path in paths) - first - PROMPT_KEPT
    cut = max(0, min(excess, room))
    whole = cut == excess
    result = {}
    for leaf, path in of_leaf.items():
        tokens = np.concatenate([path.tokens[:first], path.tokens[first + cut :]])
        prompt_length = path.prompt_length - cut
        if len(tokens) > max_length:
            if prompt_length > max_length - 2:
                return None, False
            tokens = np.append(tokens[: max_length - 1], tokens[-1])
        result[leaf] = tries.TokenPath(tokens, prompt_length)
    return result, whole


def _fitting_groups(
    comparisons: Sequence[Comparison],
    of_leaf: Mapping[Leaf, tries.TokenPath],
    row_length: int,
    counts: collections.Counter[str],
) -> Iterator[list[Comparison]]:
    """Splits comparisons, in order, so that the trie of each group fits a row."""

    def fits(group: Sequence[Comparison]) -> bool:
        paths = [of_leaf[leaf] for leaf in leaves_of(group)]
        return (
            tries.flat_length(paths) <= row_length or len(tries.build(paths).tokens) <= row_length
        )

    if comparisons and fits(comparisons):
        yield list(comparisons)
        return
    group: list[Comparison] = []
    parts = 0
    for comparison in comparisons:
        if group and fits([*group, comparison]):
            group.append(comparison)
            continue
        if not fits([comparison]):
            counts["comparisons_dropped_longer_than_row"] += 1
            continue
        if group:
            yield group
            parts += 1
        group = [comparison]
    if group:
        yield group
        parts += 1
    counts["samples_split"] += parts > 1


def _record(
    sample: Sample,
    comparisons: Sequence[Comparison],
    of_leaf: Mapping[Leaf, tries.TokenPath],
) -> Record:
    leaves = leaves_of(comparisons) or [DEMONSTRATED]
    index = {leaf: i for i, leaf in enumerate(leaves)}
    trie = tries.build([of_leaf[leaf] for leaf in leaves])
    term_leaf = np.zeros((len(comparisons), 4), np.int32)
    term_sign = np.zeros((len(comparisons), 4), np.int32)
    families = []
    for row, comparison in enumerate(comparisons):
        terms = terms_of(comparison)
        term_leaf[row, : len(terms)] = [index[leaf] for leaf in terms]
        term_sign[row, : len(terms)] = comparison["sign"]
        names = {
            constraint["id"]
            for p in comparison["prompt"]
            for constraint in sample["prompts"][p]["constraints"]
        }
        families.append(" ".join(sorted(names)) if comparison["level"] != "base" else "")
    return {
        "id": str(sample["id"]),
        "tokens": trie.tokens,
        "positions": trie.positions,
        "reach": trie.reach,
        "parent": trie.parent,
        "leaf_end": trie.leaf_end,
        "scored": trie.scored,
        "leaf_prompt": np.asarray([p for p, _ in leaves], np.int32),
        "leaf_response": np.asarray([y for _, y in leaves], np.int32),
        "leaf_tokens": np.asarray([len(of_leaf[leaf]) for leaf in leaves], np.int32),
        "response_tokens": np.asarray(
            [len(of_leaf[leaf]) - of_leaf[leaf].prompt_length for leaf in leaves], np.int32
        ),
        "level": np.asarray([LEVELS.index(c["level"]) for c in comparisons], np.int32),
        "k": np.asarray([c.get("k", 0) for c in comparisons], np.int32),
        "term_leaf": term_leaf.reshape(-1),
        "term_sign": term_sign.reshape(-1),
        "gamma": np.asarray([c.get("gamma", 0.0) for c in comparisons], np.float32),
        "families": families,
    }


@dataclasses.dataclass(frozen=True)
class TrieSet:
    """Tries on disk, read by index.

    Attributes:
        dataset: one record a trie, memory-mapped, numpy arrays out.
        lengths: tokens of each trie, [n].
        leaves: leaves of each trie, [n].
        response: tokens of each trie that are response text, [n].
        predicted: tokens of each trie that another one predicts: all but the roots, [n].
        demonstrated: response tokens of each trie's demonstration or of the chosen leaf of its
            base comparison; 0 where it has neither, [n].
        has_gamma: whether a base comparison has a gamma other than 0.
        levels: comparisons of each trie by level, [n, 3].
        counts: what happened while encoding.
        fingerprint: names the content.
        row_length: no trie is longer.
    """

    dataset: "datasets.Dataset"
    lengths: np.ndarray
    leaves: np.ndarray
    response: np.ndarray
    predicted: np.ndarray
    demonstrated: np.ndarray
    has_gamma: bool
    levels: np.ndarray
    counts: dict[str, int]
    fingerprint: str
    row_length: int

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Record:
        return self.dataset[int(index)]

    def first(self, n: int) -> "TrieSet":
        """The first tries alone."""
        arrays: dict[str, Any] = {
            field.name: value[:n]
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return dataclasses.replace(
            self,
            dataset=self.dataset.select(range(n)),
            fingerprint=f"{self.fingerprint}-first-{n}",
            **arrays,
        )


def encode_cached(
    samples: Iterable[Sample],
    samples_fingerprint: str,
    tokenizer: tokenization.Tokenizer,
    settings: Settings,
    cache_dir: str | os.PathLike[str],
) -> TrieSet:
    """Tries of samples from the cache, encoded first if they are not there.

    Args:
        samples: read only if the cache has no such tries.
        samples_fingerprint: names the samples' content.
        tokenizer: with a chat template.
        settings: lengths and truncation.
        cache_dir: folder of the caches; this one is a folder in it.

    Raises:
        UserError: if nothing is left to train on, or a leaf is too long under `error`.
    """
    digest = hashlib.blake2b(digest_size=12)
    parts = [FORMAT, samples_fingerprint, tokenization.fingerprint(tokenizer)]
    digest.update(json.dumps([*parts, dataclasses.asdict(settings)]).encode())
    fingerprint = digest.hexdigest()
    folder = Path(cache_dir) / f"tries-{fingerprint}"
    cache.ensure(folder, lambda part: _write(part, samples, tokenizer, settings))
    return _open(folder, fingerprint, settings.row_length)


def open_cached(cache_dir: str | os.PathLike[str], fingerprint: str, row_length: int) -> TrieSet:
    """Tries that were encoded before.

    Args:
        cache_dir: folder of the caches.
        fingerprint: of the tries.
        row_length: no trie is longer.

    Raises:
        UserError: they are not there, or damaged, or none is left to train on.
    """
    folder = Path(cache_dir) / f"tries-{fingerprint}"
    if not folder.exists():
        raise UserError(f"{folder} is gone")
    if flaw := files.flaw(folder):
        raise UserError(f"{folder} cannot be used ({flaw}); the command that trained makes it anew")
    return _open(folder, fingerprint, row_length)


def _open(folder: Path, fingerprint: str, row_length: int) -> TrieSet:
    counts = json.loads((folder / "counts.json").read_text())
    if not counts.get("tries"):
        raise UserError(
            "no comparison is left after encoding: " + json.dumps(counts) + "; look at "
            "data.max_length and data.row_length"
        )
    sizes = safetensors.numpy.load_file(folder / SIZES)
    import datasets  # takes over a second, which no mistake need wait for

    return TrieSet(
        dataset=datasets.Dataset.from_file(str(folder / "tries.arrow")).with_format("numpy"),
        has_gamma=bool(sizes.pop("gamma").any()),
        **sizes,
        counts=counts,
        fingerprint=fingerprint,
        row_length=row_length,
    )


def _sizes(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """What `TrieSet` holds of every trie; read from here, starting takes no look at the tokens."""
    base = LEVELS.index("base")
    levels = np.stack([np.bincount(r["level"], minlength=len(LEVELS)) for r in records])
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
    return {name: np.asarray(column, np.int64) for name, column in columns.items()}


def _write(
    folder: Path,
    samples: Iterable[Sample],
    tokenizer: tokenization.Tokenizer,
    settings: Settings,
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


def describe(name: str, tries: TrieSet) -> str:
    """One line about a split, with everything that was cut or dropped."""
    counts = tries.counts
    line = (
        f"{name}: {counts['samples']} samples, {counts['trie_tokens']} trie tokens for "
        f"{counts['flat_tokens']} flat ones"
    )
    lost = [
        f"{value} {key.replace('_', ' ')}"
        for key, value in sorted(counts.items())
        if value and ("dropped" in key or "truncated" in key or "split" in key)
    ]
    return f"{line}; {', '.join(lost)}" if lost else line


def encode_settings(config: ConfigDict) -> Settings:
    """Settings of the encoding from `config.data`."""
    data = config.data
    return Settings(data.max_length, data.row_length, data.truncation)


def encode_split(
    split: Split,
    tokenizer: tokenization.Tokenizer,
    settings: Settings,
    cache_dir: str | os.PathLike[str],
) -> TrieSet:
    """The tries of a split, from the cache if they are there."""
    return encode_cached(split.samples(), split.fingerprint, tokenizer, settings, cache_dir)
