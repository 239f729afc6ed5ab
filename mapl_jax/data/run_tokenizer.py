"""The tokenizer of a run: the one its settings name, its model's, or one trained on its samples."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mapl_jax.data import cache
from mapl_jax.data.samples import Sample
from mapl_jax.data.settings import TokenizerSettings
from mapl_jax.data.splits import Split
from mapl_jax.data.templates import CHATML, check_template, read_template, with_arguments
from mapl_jax.data.tokenization import Tokenizer, fingerprint, load, train


def make_tokenizer(
    settings: TokenizerSettings, model_path: str, split: Split, folder: Path
) -> Tokenizer:
    """The tokenizer of a run: the one named, the model's, or one trained on the training samples.

    Args:
        split: the training samples; never the held-out ones.
        folder: where the run keeps it; read back if it is there already.
    """

    def make(part: Path) -> None:
        tokenizer = named(settings, model_path)
        if tokenizer is None:
            tokenizer = trained(settings, _texts(split.samples()), settings.vocab_size)
        tokenizer.save_pretrained(str(part))

    cache.ensure(folder, make)
    return load(str(folder))


def named(settings: TokenizerSettings, model_path: str) -> Tokenizer | None:
    """The tokenizer that settings name, or the model's; None where one is trained."""
    path = settings.path or model_path
    template, arguments = settings.chat_template or None, settings.template_args
    return load(path, chat_template=template, template_args=arguments) if path else None


def trained(
    settings: TokenizerSettings, texts: Iterable[str] = (), vocab_size: int = 300
) -> Tokenizer:
    """A tokenizer trained on texts, with the chat template of a run.

    Without texts it is good for nothing but that template.
    """
    tokenizer = train(texts, vocab_size)
    template = read_template(settings.chat_template) if settings.chat_template else CHATML
    tokenizer.chat_template = with_arguments(template, settings.template_args)
    check_template(tokenizer)
    return tokenizer


def origin(settings: TokenizerSettings, known: Tokenizer | None) -> dict[str, str]:
    """What a run notes of its tokenizer: a fingerprint of what settings name (`named`)."""
    if known:
        return {"fingerprint": fingerprint(known)}
    template, arguments = settings.chat_template, settings.template_args
    given = (read_template(template) if template else "", *([arguments] if arguments else []))
    return {"fingerprint": cache.key(*given)}


def _texts(samples: Iterable[Sample]) -> Iterator[str]:
    for sample in samples:
        for message in sample["prompts"][0]["messages"]:
            yield message["content"]
        for prompt in sample["prompts"][1:]:
            yield from (constraint["text"] for constraint in prompt["constraints"])
        yield from sample["responses"]
