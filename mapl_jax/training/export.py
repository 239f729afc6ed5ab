"""A model folder for others: weights, tokenizer, card, and the check that all of it holds.

What is written is read back and must give the same: the same rewards (or, of a policy, the same
log-probabilities) of held-out rows, to the tolerance of the type it was written in, and the same
tokens. Only then does the folder appear.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from mapl_jax.data import tokenization
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import hub, layout, lora, peft, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import Head, LogpHead, ScoreHead
from mapl_jax.models.parameters import Params
from mapl_jax.runtime import outputs
from mapl_jax.runtime.console import say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import local
from mapl_jax.training import objective, restore, scoring, sharding
from mapl_jax.training.restore import Trained

# Largest difference of a number, over the largest number (at least 1): rounding of sums alone in
# fp32, and of every weight to 8 bits in bf16.
TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}
CHECKED_TRIES = 16


def check_tokenizer(model: DecoderConfig, tokenizer: Tokenizer, head: Head) -> None:
    """Makes sure, before any training, that the tokenizer can be written with the trained model."""
    written = tokenization.closed(tokenizer) if head.scores else tokenizer
    saving.check_tokenizer(dataclasses.replace(model, lora=None), written)


def write_model(
    folder: Path,
    result: Trained,
    tries: TrieSet,
    *,
    card: str,
    dtype: str = "float32",
    adapter: bool = False,
) -> float:
    """Writes a model, checked, or nothing; gives the largest difference that the check found.

    Args:
        folder: where to; a model that this wrote is replaced.
        tries: some of them are scored before and after.
        card: text of README.md, which is read on the hub.
        adapter: write the adapters alone, as PEFT does, instead of merging them.
    """
    # A score is read where a leaf ends; a policy goes on where the template says so.
    tokenizer = tokenization.closed(result.tokenizer) if result.head else result.tokenizer
    ends = dict.fromkeys((*result.model.eos_tokens, *sorted(tokenization.end_tokens(tokenizer))))
    result = dataclasses.replace(
        result, model=dataclasses.replace(result.model, eos_tokens=tuple(ends))
    )
    mesh = result.mesh
    expected = _numbers(result.model, result.params, tries, mesh, tokenizer)
    with outputs.replacing(local(folder), outputs.named) as part:
        if adapter:
            assert result.run is not None  # who else has adapters
            config = restore.with_folders(result.config, result.run, mesh)
            _write_adapters(
                part, local(folder).resolve(), result, config["model"]["path"], tokenizer
            )
            model, params = result.model, peft.load(part, result.model)
            params = lora.join(params, lora.split(result.params, result.model.lora)[1])
            params = jax.device_put(params, restore.param_shardings(model, mesh, result.head))
        else:
            merged = lora.merge(result.params, result.model.lora)
            plain = dataclasses.replace(result.model, lora=None)
            saving.save_params(part, plain, merged, tokenizer=tokenizer, dtype=dtype)
            del merged
            model = hub.load_config(part)
            places = restore.param_shardings(model, mesh, result.head)
            params = hub.load_params(part, model, head=result.head, seed=0, places=places)
        written = _numbers(model, params, tries, mesh, tokenizer)
        difference = _check_numbers(expected, written, dtype)
        if jax.process_index() == 0:
            _check_tokens(part, tokenizer, tries)
            (part / "README.md").write_text(card, encoding="utf-8")
    return difference


def _write_adapters(
    part: Path, target: Path, result: Trained, base: str, tokenizer: Tokenizer
) -> None:
    """Adapters, and for a reward model the base as its rewards need it.

    The config of a base says which token is padding and how many labels there are, and PEFT can
    correct neither: with another padding token the score is read elsewhere, without a word.
    """
    peft.check_base(base)
    corrected = result.head and peft.needs_base(base, tokenizer)
    name = str(target / layout.BASE) if corrected else base
    peft.save(part, result.model, result.params, base=name, tokenizer=tokenizer)
    if corrected and jax.process_index() == 0:
        peft.write_base(part / layout.BASE, base, tokenizer)
        say(
            f"{target.name}/{layout.BASE}: the base, with the padding and the label of the adapters"
        )


def _numbers(
    model: DecoderConfig, params: Params, tries: TrieSet, mesh: Mesh, tokenizer: Tokenizer
) -> np.ndarray:
    """Rewards of the leaves of the first tries, or log-probabilities, fp32."""
    head: Head = ScoreHead() if "score" in params else LogpHead()
    batches = scoring.held_out(
        tries, mesh, rows_per_batch=1, pad_token=tokenizer.pad_token_id or 0, samples=CHECKED_TRIES
    )
    # What the config says of special tokens is for others.
    plain = dataclasses.replace(model, pad_token=None, bos_token=None, eos_tokens=())
    score = restore.scorer(plain, mesh, head, Compute())
    numbers = scoring.leaf_numbers(
        lambda batch: score(params, sharding.to_device(batch, mesh)),
        batches,
        () if head.scores else objective.PATHS,
    )
    return np.concatenate([values for _, _, values in numbers])


def _check_numbers(expected: np.ndarray, written: np.ndarray, dtype: str) -> float:
    difference = float(np.abs(written - expected).max())
    allowed = TOLERANCE[dtype] * max(1.0, float(np.abs(expected).max()))
    if not difference <= allowed:
        raise UserError(
            f"the model as written gives other numbers than the one in memory: they differ by "
            f"{difference:.2g}, more than the {allowed:.2g} that {dtype} explains; it was removed"
        )
    return difference


def _check_tokens(folder: Path, tokenizer: Tokenizer, tries: TrieSet) -> None:
    reloaded = tokenization.load(str(folder))
    for text in itertools.islice(_texts(tokenizer, tries), CHECKED_TRIES):
        before, after = (t.encode(text, add_special_tokens=False) for t in (tokenizer, reloaded))
        if before != after:
            raise UserError(
                f"the tokenizer as written reads {text[:40]!r} differently; it was removed"
            )


def _texts(tokenizer: Tokenizer, tries: TrieSet) -> Iterator[str]:
    """The first leaf of every trie."""
    for index in range(len(tries)):
        trie = tries[index]
        end, node = trie["leaf_end"][0], np.arange(len(trie["tokens"]))
        path = trie["tokens"][(node <= end) & (end < trie["reach"])]
        yield str(tokenizer.decode(path.tolist()))
