"""The data of a run: pairs become samples, samples tries."""

from pathlib import Path
from typing import NamedTuple

from mapl_jax.data import cache, templates, tokenization, trie_set
from mapl_jax.data.settings import DataSettings, TokenizerSettings
from mapl_jax.data.splits import Split
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.runtime import console, distributed
from mapl_jax.runtime.console import say
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings


class RunData(NamedTuple):
    """The data of a run.

    Attributes:
        train_samples: training samples.
        test_samples: held-out samples.
        tokenizer: tokenizer of the run.
        train: training samples as tries.
        test: held-out samples as tries.
        cache_dir: folder of the caches.
    """

    train_samples: Split
    test_samples: Split
    tokenizer: Tokenizer
    train: TrieSet
    test: TrieSet
    cache_dir: Path


def load(
    folder: RunFolder,
    data: DataSettings,
    synthesis: Settings,
    tokenizer: TokenizerSettings,
    *,
    model: str,
    seed: int,
    demonstrations: bool,
) -> RunData:
    """Reads and prepares the data of a run; what one process made the others find.

    Args:
        folder: folder of the run.
        data: where the data lies, and how it becomes rows.
        synthesis: how pairs get instructions.
        tokenizer: which tokenizer, or how large one is trained.
        model: folder or hub name of the model to start from, which has a tokenizer; or empty.
        seed: seed of the run.
        demonstrations: whether the run learns from demonstrations; else from comparisons.

    Raises:
        UserError: the data is bad, or there is none.
    """
    samples = prepare.demonstrations if demonstrations else prepare.samples
    with (
        distributed.main_process_first(),
        cache.filling(data.cache, folder.cache) as cache_dir,
        console.timed("data"),
    ):
        train, test = samples(data, synthesis, seed, cache_dir)
        made = tokenization.make_tokenizer(tokenizer, model, train, folder.tokenizer)
        if str(made.chat_template).endswith(templates.PLAIN):
            say("the tokenizer has no chat template; turns are written as plain text (User: ...)")
        train_tries = trie_set.encode_split(train, made, data, cache_dir)
        test_tries = trie_set.encode_split(test, made, data, cache_dir)
    return RunData(train, test, made, train_tries, test_tries, cache_dir)
