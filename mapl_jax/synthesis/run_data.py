"""Reads and prepares the data of a run: pairs become samples, samples tries."""

from typing import Protocol

from mapl_jax.data import cache, run_tokenizer, templates, trie_set
from mapl_jax.data.run_data import RunData
from mapl_jax.data.settings import DataSettings, TokenizerSettings
from mapl_jax.runtime import console, distributed
from mapl_jax.runtime.console import say
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings


class RunSettings(Protocol):
    """What is read of the settings of a run."""

    @property
    def data(self) -> DataSettings:
        """Where the data lies, and how it becomes rows."""

    @property
    def synthesis(self) -> Settings:
        """How pairs get instructions."""

    @property
    def tokenizer(self) -> TokenizerSettings:
        """Which tokenizer, or how large one is trained."""

    @property
    def seed(self) -> int:
        """Seed of the run."""


def load(folder: RunFolder, settings: RunSettings, model: str, kind: str) -> RunData:
    """Reads and prepares the data of a run; what one process made the others find.

    Args:
        model: folder or hub name of the model to start from, which has a tokenizer; or empty.
        kind: what the run learns from, "comparisons" or "demonstrations".
    """
    samples = prepare.demonstrations if kind == "demonstrations" else prepare.samples
    with (
        distributed.main_process_first(),
        cache.filling(settings.data.cache, folder.cache) as cache_dir,
        console.timed("data"),
    ):
        known = run_tokenizer.named(settings.tokenizer, model)
        rendering = known or run_tokenizer.trained(settings.tokenizer)
        train, test = samples(
            settings.data, settings.synthesis, settings.seed, cache_dir, rendering
        )
        origin = run_tokenizer.origin(settings.tokenizer, known)
        folder.begins_with(train=train.origin, test=test.origin, tokenizer=origin)
        made = run_tokenizer.make_tokenizer(settings.tokenizer, model, train, folder.tokenizer)
        if str(made.chat_template).endswith(templates.PLAIN):
            say("the tokenizer has no chat template; turns are written as plain text (User: ...)")
        train_tries = trie_set.encode_split(train, made, settings.data, cache_dir)
        test_tries = trie_set.encode_split(test, made, settings.data, cache_dir)
    return RunData(train, test, made, train_tries, test_tries, cache_dir)
