"""Hidden states of tokens, kept on disk: what frozen layers give for one run they give for all.

A state depends on the tokens from the root of its trie down to its own and on nothing else, so it
is kept under a hash of these. Tries of other samples, other comparisons or other rows find it
again, as long as they share the texts.
"""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Float, UInt64
from numpy.lib.format import open_memmap

from mapl_jax.data import cache
from mapl_jax.data.encode import TrieRecord

KEYS, STATES = "keys.npy", "states.npy"


class States:
    """Hidden states of the tokens of a set of tries, read by the index of a trie."""

    def __init__(
        self, folders: Sequence[Path], tries: Sequence[UInt64[np.ndarray, "n"]], dtype: DTypeLike
    ):
        """Finds what is kept.

        Args:
            folders: what `write` made.
            tries: keys of the tokens of each trie, all of which are kept.
        """
        self._files = [folder / STATES for folder in folders]
        keys = [open_memmap(folder / KEYS, mode="r") for folder in folders]
        self._starts = np.cumsum([0, *map(len, keys)])
        order = np.argsort(known := np.concatenate(keys))
        ends = np.cumsum([len(trie) for trie in tries])
        places = order[np.searchsorted(known, np.concatenate(tries), sorter=order)]
        self._places = np.split(places, ends[:-1])
        self.width, self.dtype = self._mapped[0].shape[1], np.dtype(dtype)

    @functools.cached_property
    def _mapped(self) -> list[np.ndarray]:
        return [open_memmap(file, mode="r") for file in self._files]

    def __getstate__(self) -> dict[str, object]:
        # Another process, such as one that loads data, maps the files itself.
        return {name: value for name, value in vars(self).items() if name != "_mapped"}

    def __getitem__(self, trie: int) -> Float[np.ndarray, "n D"]:
        places = self._places[trie]
        found = np.empty((len(places), self.width), self.dtype)
        files = np.searchsorted(self._starts, places, "right") - 1
        for file in np.unique(files):
            at = files == file
            kept = self._mapped[file][places[at] - self._starts[file]]
            # NumPy writes types that it does not know, bf16 among them, without their names.
            found[at] = kept.view(self.dtype)
        return found


def keys(trie: TrieRecord) -> UInt64[np.ndarray, "n"]:
    """A hash of the tokens on the way to each token of a trie, with its own."""
    found: list[bytes] = []
    for token, parent in zip(trie["tokens"].tolist(), trie["parent"].tolist(), strict=True):
        above = found[parent] if parent >= 0 else b""
        found.append(hashlib.blake2b(above + token.to_bytes(4), digest_size=8).digest())
    return np.frombuffer(b"".join(found), np.uint64)


def usable(place: Path) -> list[Path]:
    """What `write` made in a place."""
    return [path for path in sorted(place.glob("*[0-9a-f]")) if cache.is_usable(path)]


def known(folders: Sequence[Path]) -> UInt64[np.ndarray, "n"]:
    """Keys of the states in folders."""
    return np.concatenate(
        [np.zeros(0, np.uint64), *(open_memmap(f / KEYS, mode="r") for f in folders)]
    )


def write(place: Path, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> Path:
    """Keeps states by their keys, in a folder of a place that is named by these."""
    some, states = map(np.concatenate, zip(*parts, strict=True))
    some, first = np.unique(some, return_index=True)
    states = states[first]

    def fill(folder: Path) -> None:
        np.save(folder / KEYS, some)
        np.save(folder / STATES, states)

    folder = place / cache.key(some.tolist())
    cache.write(folder, fill)
    return folder
