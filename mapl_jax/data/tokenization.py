"""Text to token paths: tokenizers, chat templates, and where a response begins.

The response begins where the tokens of prompt and answer first differ from those of the prompt
alone, as in TRL 1.16: a template's tokens are not always a prefix of prompt plus answer. Every leaf
ends in the template's end of turn (or the tokenizer's eos) exactly once, whatever white space the
template puts behind it, because that token is where a reward model is read. What a tokenizer lacks
is filled in from what its vocabulary has; no token is ever added, for the model has none to match:

* no chat template, as base models have none: `PLAIN`;
* no padding token, or one that also ends a leaf (`transformers` scores the last token that is not
  padding): another special token that no leaf ends in;
* no system role in the template: the system message goes before the first user message, with an
  empty line between them.
"""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from mapl_jax.data.messages import Message
from mapl_jax.data.templates import (
    BEGINS,
    CHATML,
    PLAIN,
    SAMPLE,
    check_prefix,
    check_template,
    read_template,
    render,
    with_arguments,
    with_date,
)
from mapl_jax.data.tries import TokenPath
from mapl_jax.runtime import storage
from mapl_jax.runtime.console import notice
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.tokenizer import Tokenizer

# What chat templates of other models write around turns, and where a picture or sound stood.
MARKS = (
    *("<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|start_of_role|>", "<|user|>"),
    *("[INST]", "<｜User｜>", "### Response:", "\n\nAssistant:", "<|header_start|>", "<|channel|>"),
    *("<|START_OF_TURN_TOKEN|>", "<|prompter|>", "<|assistant|>", "<extra_id_1>", "### Assistant:"),
    *("<image>", "<|image_pad|>", "<|image|>", "<image_soft_token>"),
)
# What they write at the end of a turn, or before a reply.
ENDS = (
    *("</s>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<|endoftext|>", "<end_of_turn>", "<eos>"),
    *("<|eot|>", "<|return|>", "<|end_of_text|>", "<|END_OF_TURN_TOKEN|>"),
)
# Names of tokens that only pad, best first.
PADS = ("<pad>", "<|pad|>", "[PAD]", "<|finetune_right_pad_id|>", "<unk>")
# Any of these holds a vocabulary; without one, `transformers` makes a tokenizer that knows nothing.
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
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
    """
    import transformers

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


def load(
    name_or_path: str,
    *,
    chat_template: str | None = None,
    template_args: str = "",
    judges: bool = False,
) -> Tokenizer:
    """Loads a tokenizer from a local directory or by its hub name; runs no code from there.

    Args:
        name_or_path: directory, or hub name `org/name`.
        chat_template: a Jinja template, or the path of a file that holds one; replaces the
            tokenizer's own.
        template_args: arguments of the chat template, as an object of JSON.
        judges: whether its model is used as it is; then a template that is not there is told.
    """
    import transformers

    folder = storage.folder(name_or_path, weights=False)
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise UserError(
            f"no tokenizer could be loaded from {name_or_path}: it has no {VOCABULARIES[0]}"
        )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library raises many kinds, all meaning "not loadable"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"no tokenizer could be loaded from {name_or_path}: {reason}") from error
    if not tokenizer.is_fast:
        raise UserError(f"the tokenizer in {name_or_path} has no tokenizer.json; save a fast one")
    if isinstance(tokenizer.chat_template, dict):  # others are for tools and retrieval
        tokenizer.chat_template = tokenizer.chat_template.get("default")
    if chat_template:
        tokenizer.chat_template = read_template(chat_template)
    if tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer in {name_or_path} names no eos token")
    if not tokenizer.encode("Why? Because.", add_special_tokens=False):
        raise UserError(
            f"the tokenizer in {name_or_path} makes no tokens of text: its vocabulary is empty; "
            "copy tokenizer.json again"
        )
    if not tokenizer.chat_template:
        # A model that was trained with a beginning of text has to see it.
        begins = tokenizer.encode("a")[0] == tokenizer.bos_token_id
        tokenizer.chat_template = (BEGINS if begins else "") + PLAIN
        if judges:
            notice(
                f"{name_or_path} has no chat template; turns are written as plain text (User: ...),"
                " which the model may not know"
            )
    tokenizer.chat_template = with_arguments(str(tokenizer.chat_template), template_args)
    check_template(tokenizer)
    _choose_pad(tokenizer, name_or_path)
    return tokenizer


def check_tokens(name_or_path: str, tokenizer: Tokenizer) -> None:
    """Makes sure that a model reads a tokenizer's tokens as they are, where its folder says how."""
    path = storage.folder(name_or_path, weights=False) / VOCABULARIES[0]
    if not path.is_file():
        return
    own = {number: token for token, number in tokenizer.get_vocab().items()}
    other = tokenizers.Tokenizer.from_file(str(path)).get_vocab()
    if differing := [token for token, number in other.items() if own.get(number, token) != token]:
        raise UserError(
            f"{name_or_path} reads other tokens than the tokenizer here ({differing[0]!r} and "
            f"{len(differing) - 1} more); a reference must have the vocabulary of its policy"
        )


def with_template_args(tokenizer: Tokenizer, arguments: str) -> Tokenizer:
    """A copy whose chat template has other arguments; the same one where none are given."""
    if not arguments:
        return tokenizer
    copied = copy.deepcopy(tokenizer)
    copied.chat_template = with_arguments(str(tokenizer.chat_template), arguments)
    check_template(copied)
    return copied


def closed(tokenizer: Tokenizer) -> Tokenizer:
    """A copy whose chat template ends an answered conversation where a leaf ends.

    With it, `apply_chat_template` gives others the text that a reward model was trained on, not one
    with white space behind its end, where they would read the score.
    """
    copied = copy.deepcopy(tokenizer)
    messages, response = SAMPLE
    answered = [*messages, Message(role="assistant", content=response)]
    text = render(tokenizer, answered, add_generation_prompt=False)
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    leaf = _leaves(tokenizer, [SAMPLE])[0].tokens
    if len(leaf) > len(encoding.ids):
        tail, end = "", str(tokenizer.eos_token)
    else:
        tail, end = text[encoding.offsets[len(leaf) - 1][1] :], ""
    # Jinja drops one line end at the end of a template.
    template = str(tokenizer.chat_template).removesuffix("\n")
    date = with_date(template)
    dated = bool(date) and date not in template
    if not tail and not end and not dated:
        return copied
    copied.chat_template = (
        f"{date if dated else ''}{{%- set whole %}}{template}{{%+ endset %}}"
        "{%- if messages[-1]['role'] == 'assistant' and not add_generation_prompt %}"
        f"{{%- set tail = {json.dumps(tail)} %}}"
        "{{- whole[:whole | length - tail | length] if whole.endswith(tail) else whole }}"
        f"{{{{- {json.dumps(end)} }}}}"
        "{%- else %}{{- whole }}{%- endif %}"
    )
    again = render(copied, answered, add_generation_prompt=False)
    prompts = [render(t, messages, add_generation_prompt=True) for t in (tokenizer, copied)]
    if not np.array_equal(_encode(copied, [again])[0], leaf) or prompts[0] != prompts[1]:
        raise UserError(
            "the chat template cannot be made to end where an answer ends; "
            "give another one with --config.tokenizer.chat_template=FILE"
        )
    return copied


def fingerprint(tokenizer: Tokenizer) -> str:
    """A hash of everything that decides which tokens a conversation becomes."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(str(tokenizer.chat_template).encode())
    digest.update(str(tokenizer.eos_token_id).encode())
    return digest.hexdigest()


def encode_leaves(
    tokenizer: Tokenizer, leaves: Sequence[tuple[Sequence[Message], str]]
) -> list[TokenPath]:
    """Tokens of (prompt messages, response) leaves, encoded together for speed."""
    paths = _leaves(tokenizer, leaves)
    if any(path.tokens[-1] == tokenizer.pad_token_id for path in paths):
        raise UserError(
            f"a text ends with the padding token {tokenizer.pad_token!r}, so that transformers "
            "would score the token before it; give the tokenizer a padding token of its own"
        )
    return paths


def encode_prompts(
    tokenizer: Tokenizer,
    conversations: Sequence[Sequence[Message]],
    names: Callable[[int], str] = "prompt {}".format,
) -> list[np.ndarray]:
    """Tokens of conversations up to where an answer begins.

    Args:
        tokenizer: with a chat template.
        conversations: messages of each.
        names: what messages call a conversation, by its number.
    """
    texts = []
    for number, messages in enumerate(conversations):
        try:
            texts.append(render(tokenizer, messages, add_generation_prompt=True))
        except UserError as error:
            raise UserError(f"{names(number)} {error}") from None
    return _encode(tokenizer, texts)


def encode_rendered(
    tokenizer: Tokenizer, texts: Sequence[str], names: Callable[[int], str]
) -> list[TokenPath]:
    """Tokens of conversations with an answer that a chat template has written, as text.

    White space behind the end of the answer counts for nothing. The token that begins a text stands
    there once, whether or not it was sent.

    Args:
        tokenizer: with the template.
        texts: whole conversations.
    """
    leaf = _leaves(tokenizer, [SAMPLE])[0].tokens
    paths = []
    for number, ids in enumerate(_encode(tokenizer, [text.rstrip() for text in texts])):
        if leaf[0] == tokenizer.bos_token_id and not (len(ids) and ids[0] == leaf[0]):
            ids = np.append(leaf[:1], ids)
        if not len(ids) or ids[-1] != leaf[-1]:
            end = tokenizer.convert_ids_to_tokens(int(leaf[-1]))
            raise UserError(
                f"{names(number)} does not end in {end}, where the chat template ends an answer "
                "and the reward is read; apply the template, or give messages"
            )
        paths.append(TokenPath(ids, len(ids) - 1))
    return paths


def end_tokens(tokenizer: Tokenizer) -> set[int]:
    """Tokens that end an answer: the template's end of turn and the eos token."""
    return {int(_leaves(tokenizer, [SAMPLE])[0].tokens[-1]), int(tokenizer.eos_token_id)}


def _leaves(
    tokenizer: Tokenizer, leaves: Sequence[tuple[Sequence[Message], str]]
) -> list[TokenPath]:
    prompts: dict[str, int] = {}
    prompt_of, full = [], []
    for messages, response in leaves:
        prompt = render(tokenizer, messages, add_generation_prompt=True)
        prompt_of.append(prompts.setdefault(prompt, len(prompts)))
        answer = Message(role="assistant", content=response)
        full.append(render(tokenizer, [*messages, answer], add_generation_prompt=False))
    encoded = _encode(tokenizer, [*prompts, *full])
    prompt_ids, full_ids = encoded[: len(prompts)], encoded[len(prompts) :]
    special = np.asarray(sorted(_special_ids(tokenizer)), np.int32)
    paths = []
    for i, (index, ids) in enumerate(zip(prompt_of, full_ids, strict=True)):
        own = prompt_ids[index]
        n = min(len(own), len(ids))
        differs = np.flatnonzero(own[:n] != ids[:n])
        boundary = int(differs[0]) if len(differs) else n
        if boundary < len(own):
            check_prefix(tokenizer, leaves[i][0], full[i])
        tokens = _end_once(ids, boundary, tokenizer, special)
        messages, response = leaves[i]  # what tools brought is `tools.left_out`'s
        said = [*(m["content"] for m in messages if m["role"] != "tool"), response]
        paths.append(TokenPath(tokens, boundary, all(x.strip() in full[i] for x in said)))
    return paths


def _end_once(
    ids: np.ndarray, boundary: int, tokenizer: Tokenizer, special: np.ndarray
) -> np.ndarray:
    """Cuts the template's tail behind the last end of turn; adds eos where there is none."""
    marks = np.flatnonzero(np.isin(ids[boundary:], special))
    if len(marks):
        last = boundary + int(marks[-1])
        if not str(tokenizer.decode(ids[last + 1 :])).strip():
            # A response that was stored with its end has it twice by now.
            while last > boundary and ids[last - 1] == ids[last]:
                last -= 1
            return ids[: last + 1]
    return np.append(ids, np.int32(tokenizer.eos_token_id))


def marks(tokenizer: Tokenizer | None = None) -> re.Pattern[str]:
    """Finds what a text must not hold, because a chat template writes it: special tokens.

    Those of other models as well: a text that was rendered before is wrapped twice.
    """
    known = tokenizer.convert_ids_to_tokens([*_special_ids(tokenizer)]) if tokenizer else ()
    own = {str(token) for token in known}

    def any_of(texts: Iterable[str]) -> str:
        return f"(?:{'|'.join(map(re.escape, sorted(texts))) or '(?!)'})"

    within = any_of(mark for mark in own if len(mark) > 4)  # at its end a reply may hold one
    ends = rf"(?:{any_of({*ENDS} - own)}|(?i:assistant:))\s*\Z"
    begins = r"\A\s*(?:assistant|ASSISTANT|Assistant):\s"
    return re.compile(rf"{any_of({*MARKS} - own)}|{within}(?!\s*\Z)|{ends}|{begins}")


def _special_ids(tokenizer: Tokenizer) -> set[int]:
    """Tokens that no plain text becomes, whether or not they have a role."""
    added = tokenizer.added_tokens_decoder
    return {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}


def _choose_pad(tokenizer: Tokenizer, where: str) -> None:
    """Sees to a padding token that no leaf ends in, one that is in the vocabulary already."""
    leaf = _leaves(tokenizer, [SAMPLE])[0].tokens
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != leaf[-1]:
        return
    taken = {*leaf.tolist(), tokenizer.bos_token_id, tokenizer.eos_token_id}
    free = {str(tokenizer.convert_ids_to_tokens(i)) for i in _special_ids(tokenizer) - taken}
    names = [name for name in PADS if name in free] or sorted(free)
    if not names:
        raise UserError(
            f"the tokenizer in {where} has no special token to pad with but {tokenizer.eos_token!r}"
            ", which ends a text; give it a padding token of its own"
        )
    tokenizer.pad_token = names[0]


def _encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    batch = tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.asarray(item.ids, np.int32) for item in batch]
