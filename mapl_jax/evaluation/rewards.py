"""Rewards of any responses to any prompts."""

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from mapl_jax.data import loader, trie_set
from mapl_jax.data.loader import Batches
from mapl_jax.data.messages import Message
from mapl_jax.data.samples import Prompt, Sample, comparison
from mapl_jax.data.settings import TrieSettings
from mapl_jax.data.splits import write_split
from mapl_jax.data.trie_set import encode_split
from mapl_jax.evaluation import preferences
from mapl_jax.evaluation.preferences import score_comparisons
from mapl_jax.kernels.compute import Compute
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead
from mapl_jax.runtime.console import say_each
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import restore, scoring, sharding, step
from mapl_jax.training.restore import Trained

SHORTEST = 256


def rewards(
    found: Trained,
    conversations: Sequence[Sequence[Message]],
    responses: Sequence[Sequence[str]],
    mesh: Mesh,
    *,
    rows_per_batch: int,
    compute: Compute = Compute(),
    max_length: int = 0,
) -> list[list[float]]:
    """The reward of every response to every conversation.

    All responses to a conversation are one trie, so that it is read once; what is too long is cut
    as in training.

    Args:
        found: the reward model.
        conversations: messages that end with a user's turn.
        responses: to each of them.
        mesh: of the model's parameters.
        rows_per_batch: rows of tokens at once.
        compute: type and attention of the model; how it lies over devices the mesh decides.
        max_length: longest conversation with its response, tokens; 0 for that of its run.

    Raises:
        UserError: a conversation is too long for the model.
    """
    settings = encoding(found, max_length)
    texts = [list(dict.fromkeys(some)) for some in responses]
    samples = [
        Sample(
            id=str(number),
            prompts=[Prompt(messages=list(messages), constraints=[])],
            responses=some,
            comparisons=[
                comparison("base", [0, 0], [0, other], [1, -1]) for other in range(1, len(some))
            ],
        )
        for number, (messages, some) in enumerate(zip(conversations, texts, strict=True))
    ]
    known: dict[tuple[int, str], float] = {}
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        split = write_split(samples, cache)
        tries = encode_split(split, found.tokenizer, settings, cache, keep_alike=True)
        say_each(trie_set.flaws(tries))
        # Rows no longer than needed, but of few lengths.
        needed = max(SHORTEST, 1 << (int(tries.lengths.max()) - 1).bit_length())
        tries = dataclasses.replace(tries, row_length=min(needed, tries.row_length))
        scored = scoring.leaf_numbers(*_scoring(found, tries, mesh, rows_per_batch, compute), ())
        for _, trie, values in scored:
            number = int(trie["id"])
            for index, value in zip(trie["leaf_response"], values, strict=True):
                known[number, texts[number][index]] = float(value)
    for number, some in enumerate(responses):
        if any((number, text) not in known for text in some):
            raise UserError(
                f"prompt {number + 1} with its response does not fit the {settings.max_length} "
                "tokens of the reward model"
            )
    return [[known[number, text] for text in some] for number, some in enumerate(responses)]


def encoding(
    found: Trained, max_length: int = 0, row_length: int = 0, truncation: str = "truncate"
) -> TrieSettings:
    """How texts become tries for a model.

    Args:
        found: the model.
        max_length: longest leaf, tokens; 0 for that of its run, or else 2048.
        row_length: tokens of a row; 0 for that of its run, or else twice the longest leaf.
        truncation: "truncate", "drop" or "error".
    """
    data = found.config.get("data", {})
    max_length = max_length or data.get("max_length", 2048)
    row_length = row_length or max(data.get("row_length", 0), 2 * max_length)
    return TrieSettings(max_length, row_length, truncation)


def comparisons(
    found: Trained,
    tries: trie_set.TrieSet,
    mesh: Mesh,
    *,
    rows_per_batch: int,
    compute: Compute = Compute(),
) -> preferences.Scored:
    """Every comparison of a set of tries, with the rewards that a model gives; see `rewards`."""
    return score_comparisons(*_scoring(found, tries, mesh, rows_per_batch, compute), ())


def _scoring(
    found: Trained, tries: trie_set.TrieSet, mesh: Mesh, rows_per_batch: int, compute: Compute
) -> tuple[scoring.LeafFunction, Batches]:
    """Rewards of the leaves of a batch, and the batches."""
    score = _compiled(found.model, mesh, compute)
    batches = loader.eval_batches(
        tries,
        rows_per_batch=rows_per_batch,
        parts=sharding.data_parts(mesh),
        host=sharding.host_of(mesh),
        pad_token=found.tokenizer.pad_token_id or 0,
    )
    return lambda batch: score(found.params, sharding.to_device(batch, mesh)), batches


@functools.lru_cache(maxsize=8)
def _compiled(
    model: DecoderConfig, mesh: Mesh, compute: Compute
) -> Callable[[Any, step.Batch], jax.Array]:
    """One program for all calls of the same shapes: a notebook scores a text at a time."""
    compute = dataclasses.replace(compute, spread=sharding.spread(mesh))

    def leaves(params: Any, batch: step.Batch) -> jax.Array:
        return ScoreHead().leaves(model, params, batch, compute)

    return step.compile_scoring(leaves, mesh, restore.placement(model, mesh, True))
