"""What a config says of the data and of the tokenizer."""

import dataclasses

from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting

ON_ERROR = ("raise", "skip")
TRUNCATION = ("truncate", "drop", "error")


@dataclasses.dataclass(frozen=True)
class SourceSettings:
    """Where records come from, and which of them are held out."""

    train: str = setting(
        "demo", 'pairs or samples: a file, a folder, a hub name, or "demo"', compared=False
    )
    test: str = setting(
        "", "held-out data, as train; empty: a part of train is held out", compared=False
    )
    test_fraction: float = setting(
        0.1, "the part of train that is held out, by prompt, where test is empty", above=0, below=1
    )
    demo_pairs: int = setting(3600, "pairs of the demonstration set", least=10, most=10**8)
    on_error: str = setting(
        "raise", 'what a bad record does: "raise" or "skip"', choices=ON_ERROR, compared=False
    )
    format: str = setting(
        "", "a published form of records, as docs/data.md names them", compared=False
    )
    columns: str = setting(
        "",
        'which column is which, "prompt=context,chosen=good,rejected=bad"; empty: by their names',
        compared=False,
    )
    num_proc: int = setting(
        0, "processes that synthesize; 0: one per core", compared=False, least=0, most=1024
    )

    def __post_init__(self) -> None:
        settings.check(self, "data")


@dataclasses.dataclass(frozen=True)
class TrieSettings:
    """What decides how samples become tries."""

    max_length: int = setting(
        320, "longest prompt and response together, tokens", least=32, most=2**20
    )
    row_length: int = setting(512, "tokens of a row", least=1, most=2**20)
    long_rows: int = setting(
        4,
        "how often a row may be as long as row_length, for a trie that needs it; what is longer "
        "still is split",
        least=1,
        most=64,
    )
    truncation: str = setting(
        "truncate",
        'what happens to what is longer than max_length: "truncate" (from the left), "drop" or '
        '"error"',
        choices=TRUNCATION,
    )

    def __post_init__(self) -> None:
        settings.check(self, "data")
        if self.row_length < self.max_length:
            raise UserError(
                f"data.row_length ({self.row_length}) is below data.max_length "
                f"({self.max_length}): the longest leaf would fit no row"
            )


@dataclasses.dataclass(frozen=True)
class DataSettings(TrieSettings, SourceSettings):
    """The section `data` of a run: records, and how they become rows of tokens."""

    instructions: bool = setting(
        False,
        "pairs get instructions, and responses answer the prompts whose instructions they keep "
        "as well",
    )
    threads: int = setting(2, "threads that read ahead", compared=False, least=0, most=1024)
    workers: int = setting(0, "processes that read ahead", compared=False, least=0, most=1024)
    cache: str = setting(
        "", "folder of prepared data, for runs that share it; empty: the run's own", compared=False
    )


TEMPLATE_ARGS = """arguments of the chat template, as JSON: '{"enable_thinking": false}'"""


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """The section `tokenizer` of a run."""

    path: str = setting(
        "", "folder or hub name; empty: the model's, or trained on the data", compared=False
    )
    vocab_size: int = setting(
        2048, "tokens of a tokenizer that is trained on the data", least=300, most=2**22
    )
    chat_template: str = setting(
        "", "replaces the tokenizer's chat template: a template or its file", compared=False
    )
    template_args: str = setting("", TEMPLATE_ARGS, compared=False)

    def __post_init__(self) -> None:
        settings.check(self, "tokenizer")
