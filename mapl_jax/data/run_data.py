"""The data of a run: its samples, and their tries."""

from pathlib import Path
from typing import NamedTuple

from mapl_jax.data import trie_set
from mapl_jax.data.splits import Split
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.data.trie_set import TrieSet


class RunData(NamedTuple):
    """The data of a run: training samples and held-out ones, and both as tries."""

    train_samples: Split
    test_samples: Split
    tokenizer: Tokenizer
    train: TrieSet
    test: TrieSet
    cache_dir: Path

    @property
    def counts(self) -> dict[str, object]:
        """What was read, made and dropped, for the summary of a run."""
        return {
            "train": {**self.train_samples.counts, "encoding": self.train.counts},
            "test": {**self.test_samples.counts, "encoding": self.test.counts},
        }

    def describe(self) -> tuple[str, ...]:
        """What was left out of the records, and both parts, in words."""
        notes = dict.fromkeys((*self.train_samples.notes, *self.test_samples.notes))
        parts = trie_set.describe("train", self.train), trie_set.describe("held out", self.test)
        return (*notes, *parts)
