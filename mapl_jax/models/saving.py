"""Writes model folders that `transformers` opens: config.json, safetensors, tokenizer files."""

import functools
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.typing import ArrayLike, DTypeLike

from mapl_jax.models import families, hf_config, layout, tensors
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.hub import Folder
from mapl_jax.models.layout import CONFIG, GENERATION_CONFIG, Part
from mapl_jax.models.parameters import Params, at_path
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.outputs import replacing
from mapl_jax.runtime.paths import local
from mapl_jax.runtime.tokenizer import Tokenizer

SAMPLE = "It's 12:30, naïve café — 日本語 🙂?\n\n  if x_1 != 0:\n\treturn (x)  "
SHARD_BYTES = 5 * 10**9
# Without "regression", pipelines and servers return sigmoid(score).
ONE_LABEL = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "problem_type": "regression"}


def save_params(
    folder: Folder,
    config: DecoderConfig,
    params: Params,
    *,
    tokenizer: Tokenizer | None = None,
    dtype: DTypeLike = jnp.float32,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a model folder that `transformers` opens: a reward model if `params` has a score.

    All processes take part, the first one writes. The folder appears complete and sealed, or not at
    all; one that this wrote, in which nothing was changed since, is replaced. More weights than fit
    a file of `max_shard_bytes` are written in several, with an index.
    """
    head = "score" in params
    writes = jax.process_index() == 0
    dtype = jnp.dtype(dtype)
    outward = _outward(config, head, params, dtype)
    with replacing(local(folder)) as temporary:
        tensors.write(temporary, outward, max_bytes=max_shard_bytes, writes=writes)
        if writes:
            _save_config(temporary, config, head, tokenizer, dtype.name)
            if tokenizer is not None:
                save_tokenizer(temporary, tokenizer)


def check_tokenizer(config: DecoderConfig, tokenizer: Tokenizer) -> None:
    """Makes sure, before any training, that `save_params` can save this tokenizer."""
    with tempfile.TemporaryDirectory(prefix="mapl-") as folder:
        _save_config(Path(folder), config, True, tokenizer, "float32")
        save_tokenizer(Path(folder), tokenizer)


@jax.jit
def _at(stack: jax.Array, at: tuple[int, ...]) -> jax.Array:
    return stack[at]


def _outward(
    config: DecoderConfig, head: bool, params: Params, dtype: np.dtype
) -> list[tuple[str, int, Callable[[], np.ndarray]]]:
    """Name, bytes and maker of every tensor, those of a layer together."""
    stored = layout.stored_parts(config, head, params)

    def make(parts: tuple[Part, ...], at: tuple[int, ...]) -> np.ndarray:
        arrays = []
        for part in parts:
            value = at_path(params, part.tensor.path)
            array = gather(_at(value, at) if at else value)
            arrays.append(part.tensor.view(array).astype(dtype))
        return np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))

    def entry(name: str, at: tuple[int, ...]) -> tuple[str, int, Callable[[], np.ndarray]]:
        parts = stored[name]
        size = math.prod(layout.stored_shape(parts)) * dtype.itemsize
        return layout.named(name, at), size, functools.partial(make, parts, at)

    tensors = {name: parts[0].tensor for name, parts in stored.items()}
    every = [
        (name, at) for name, tensor in tensors.items() for at in layout.indices(config, tensor)
    ]
    single = [entry(name, at) for name, at in every if not at]
    layers = [entry(name, at) for name, at in sorted(every, key=lambda x: x[1][:1]) if at]
    numbers = [
        (name.format(i=i), dtype.itemsize, functools.partial(np.asarray, value, dtype))
        for name, value in families.get(config.family).written.items()
        for i in range(config.layers)
    ]
    return [single[0], *layers, *numbers, *single[1:]]


def _save_config(
    folder: Path, config: DecoderConfig, head: bool, tokenizer: Tokenizer | None, dtype: str
) -> None:
    special = special_tokens(config, tokenizer)
    content = {
        "architectures": [families.get(config.family).architecture(head)],
        **hf_config.to_hf(config, dtype),
        **special,
    }
    if not head:
        # What `generate` of transformers and vLLM stop at.
        write_json(folder / GENERATION_CONFIG, special)
    else:
        content |= ONE_LABEL
    write_json(folder / CONFIG, content)


def special_tokens(config: DecoderConfig, tokenizer: Tokenizer | None = None) -> tensors.Json:
    """Ids of special tokens by their keys in a config; several that end a text are a list."""
    ids = {key: getattr(config, field) for key, field in families.TOKENS.items()}
    ends = config.eos_tokens
    if tokenizer is not None:
        named = {key: getattr(tokenizer, key, None) for key in ids}
        ids |= {key: token for key, token in named.items() if token is not None}
        also = named["eos_token_id"]
        ends += () if also is None or also in ends else (also,)
    return {**ids, "eos_token_id": list(ends) if len(ends) > 1 else next(iter(ends), None)}


def write_json(path: Path, content: tensors.Json) -> None:
    """A file of a model folder as `transformers` writes it."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def save_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Writes the files of a tokenizer, for older programs too.

    `transformers` 5 names classes and writes lists that 4 does not know.
    """
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    about = tensors.read_json(path)
    if about.get("tokenizer_class") == "TokenizersBackend":
        about["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(about.get("extra_special_tokens"), list):
        about["additional_special_tokens"] = about.pop("extra_special_tokens")
    write_json(path, about)
    _check_saved_tokenizer(folder, tokenizer)


def _check_saved_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """By model_type, `transformers` may open a tokenizer as another class and ignore its rules."""
    import transformers

    reloaded = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    text = SAMPLE + "".join(tokenizer.all_special_tokens)
    before = tokenizer.encode(text, add_special_tokens=False)
    after = reloaded.encode(text, add_special_tokens=False)
    same = all(
        getattr(tokenizer, name) == getattr(reloaded, name)
        for name in ("pad_token_id", "eos_token_id", "chat_template")
    )
    if before != after or not same:
        raise UserError(
            f"saved with this model, the tokenizer would be opened as {type(reloaded).__name__} "
            "and read text differently; use a tokenizer made for the model's family"
        )


def gather(array: ArrayLike) -> np.ndarray:
    """An array whole, on every process."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        array = multihost_utils.process_allgather(array, tiled=True)
    return np.asarray(array)
