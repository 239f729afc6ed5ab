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
        "",
        "held-out data, in the same forms as train; empty: a part of train is held out",
        compared=False,
    )
    test_fraction: float = setting(
        0.1, "fraction of train that is held out, by prompt, if test is empty", above=0, below=1
    )
    demo_pairs: int = setting(
        3600, "number of pairs of the demonstration data", least=10, most=10**8
    )
    on_error: str = setting(
        "raise",
        'what to do with a bad record: "raise" an error or "skip" it',
        choices=ON_ERROR,
        compared=False,
    )
    format: str = setting(
        "", "the name of a published form of records, listed in docs/data.md", compared=False
    )
    columns: str = setting(
        "",
        'which column is which, such as "prompt=context,chosen=good,rejected=bad"; empty: by '
        "their names",
        compared=False,
    )
    num_proc: int = setting(
        0, "number of processes for synthesis; 0: one per core", compared=False, least=0, most=1024
    )

    def __post_init__(self) -> None:
        settings.check(self, "data")


@dataclasses.dataclass(frozen=True)
class TrieSettings:
    """What decides how samples become tries."""

    max_length: int = setting(
        320, "longest prompt and response together, in tokens", least=32, most=2**20
    )
    row_length: int = setting(
        512, "tokens in a row; a row holds as many samples as fit", least=1, most=2**20
    )
    long_rows: int = setting(
        4,
        "a sample that does not fit a row gets a row of up to this many times row_length; longer "
        "ones are split",
        least=1,
        most=64,
    )
    truncation: str = setting(
        "truncate",
        'what to do with texts longer than max_length: "truncate" (from the left), "drop" or '
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
        "add instructions to pairs, and train responses as answers to the prompts whose "
        "instructions they follow as well",
    )
    threads: int = setting(
        2, "number of threads that load batches ahead", compared=False, least=0, most=1024
    )
    workers: int = setting(
        0, "number of processes that load batches ahead", compared=False, least=0, most=1024
    )
    cache: str = setting(
        "",
        "folder for prepared data, which runs can share; empty: inside the run folder",
        compared=False,
    )


TEMPLATE_ARGS = """arguments of the chat template, as JSON: '{"enable_thinking": false}'"""


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """The section `tokenizer` of a run."""

    path: str = setting(
        "",
        "folder or hub name; empty: the model's tokenizer, or one trained on the data",
        compared=False,
    )
    vocab_size: int = setting(
        2048, "number of tokens of a tokenizer that is trained on the data", least=300, most=2**22
    )
    chat_template: str = setting(
        "",
        "chat template to use instead of the tokenizer's: a template, or a file that holds one",
        compared=False,
    )
    template_args: str = setting("", TEMPLATE_ARGS, compared=False)

    def __post_init__(self) -> None:
        settings.check(self, "tokenizer")
