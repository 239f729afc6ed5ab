"""Text to token paths: tokenizers, chat templates, and where a response begins.

The response begins where the tokens of prompt and answer first differ from those of the prompt
alone, as in TRL 1.16: a template's tokens are not always a prefix of prompt plus answer. Every leaf
ends in the template's end of turn (or the tokenizer's eos) exactly once, whatever white space the
template puts behind it, because that token is where a reward model is read.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers
import transformers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from mapl_jax import fetch
from mapl_jax.data.tries import Path
from mapl_jax.errors import UserError

Tokenizer = transformers.PreTrainedTokenizerBase
Message = dict[str, str]

CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# Names that Qwen2's tokenizer class knows; it would add those it misses to the vocabulary.
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

# How Qwen2 cuts text before merging bytes: contractions, words with one leading mark or space,
# single digits, runs of marks, line ends, white space. A tokenizer trained with it reads the same
# under the Qwen2 class of `transformers`, which always uses this pattern.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Trains a byte-level BPE tokenizer with the ChatML template.

    The pad token is a token of its own, never the end of a turn.

    Args:
        texts: what to learn merges from.
        vocab_size: size of the vocabulary, the 256 bytes and 3 special tokens included.

    Raises:
        UserError: if the vocabulary has no room for the bytes.
    """
    if vocab_size < 300:
        raise UserError(f"tokenizer.vocab_size is {vocab_size}; the bytes alone need 300")
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in (START, END, PAD)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
    )


def load(name_or_path: str, *, chat_template: str | None = None) -> Tokenizer:
    """Loads a tokenizer from a local directory or by its hub name; runs no code from there.

    Args:
        name_or_path: directory, or hub name `org/name`.
        chat_template: a Jinja template, or the path of a file that holds one; replaces the
            tokenizer's own.

    Raises:
        UserError: if there is no tokenizer, it is not a fast one, or it has no chat template.
    """
    folder = fetch.folder(name_or_path, weights=False)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library raises many kinds, all meaning "not loadable"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"no tokenizer could be loaded from {name_or_path}: {reason}") from error
    if not tokenizer.is_fast:
        raise UserError(f"the tokenizer in {name_or_path} has no tokenizer.json; save a fast one")
    if chat_template:
        tokenizer.chat_template = read_template(chat_template)
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer in {name_or_path} has no chat template; "
            "give one with --config.tokenizer.chat_template=FILE"
        )
    if tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer in {name_or_path} names no eos token")
    return tokenizer


def read_template(text_or_path: str) -> str:
    """A chat template from its file, or as it is.

    Raises:
        UserError: it is neither a file nor a template.
    """
    if os.path.isfile(text_or_path):
        with open(text_or_path, encoding="utf-8") as file:
            return file.read()
    if "{" not in text_or_path:
        raise UserError(f"chat template file not found: {text_or_path}")
    return text_or_path


def fingerprint(tokenizer: Tokenizer) -> str:
    """A hash of everything that decides which tokens a conversation becomes."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(str(tokenizer.chat_template).encode())
    digest.update(str(tokenizer.eos_token_id).encode())
    return digest.hexdigest()


def encode_leaves(
    tokenizer: Tokenizer, leaves: Sequence[tuple[Sequence[Message], str]]
) -> list[Path]:
    """Tokens of (prompt messages, response) leaves, encoded together for speed.

    Raises:
        UserError: if the chat template refuses a conversation, or a text ends with padding.
    """
    prompts: dict[str, int] = {}
    prompt_of, full = [], []
    for messages, response in leaves:
        prompt = _render(tokenizer, messages, add_generation_prompt=True)
        prompt_of.append(prompts.setdefault(prompt, len(prompts)))
        answer = {"role": "assistant", "content": response}
        full.append(_render(tokenizer, [*messages, answer], add_generation_prompt=False))
    encoded = _encode(tokenizer, [*prompts, *full])
    prompt_ids, full_ids = encoded[: len(prompts)], encoded[len(prompts) :]
    special = np.asarray(sorted(tokenizer.all_special_ids), np.int32)
    paths = []
    for index, ids in zip(prompt_of, full_ids, strict=True):
        own = prompt_ids[index]
        n = min(len(own), len(ids))
        differs = np.flatnonzero(own[:n] != ids[:n])
        boundary = int(differs[0]) if len(differs) else n
        tokens = _end_once(ids, boundary, tokenizer, special)
        if tokens[-1] == tokenizer.pad_token_id:
            raise UserError(
                f"a text ends with the padding token {tokenizer.pad_token!r}, so that transformers "
                "would score the token before it; give the tokenizer a padding token of its own"
            )
        paths.append(Path(tokens, boundary))
    return paths


def _end_once(
    ids: np.ndarray, boundary: int, tokenizer: Tokenizer, special: np.ndarray
) -> np.ndarray:
    """Cuts the template's tail behind the last end of turn; adds eos where there is none."""
    marks = np.flatnonzero(np.isin(ids[boundary:], special))
    if len(marks):
        tail = boundary + int(marks[-1]) + 1
        if not str(tokenizer.decode(ids[tail:])).strip():
            return ids[:tail]
    return np.append(ids, np.int32(tokenizer.eos_token_id))


def _render(
    tokenizer: Tokenizer, messages: Sequence[Message], *, add_generation_prompt: bool
) -> str:
    try:
        text = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except Exception as error:  # jinja raises its own kinds; a template may raise any message
        roles = ", ".join(message["role"] for message in messages)
        raise UserError(f"the chat template refuses the roles ({roles}): {error}") from error
    return str(text)


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    batch = tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.asarray(item.ids, np.int32) for item in batch]
