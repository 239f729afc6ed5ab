"""Rewards of any responses to any prompts."""

import collections
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from mapl_jax.data import encode, tokenization, trie_set
from mapl_jax.data.loader import Batch
from mapl_jax.data.messages import Message
from mapl_jax.data.settings import TrieSettings
from mapl_jax.data.tries import TokenPath, arrange, build
from mapl_jax.evaluation import preferences
from mapl_jax.evaluation.preferences import score_comparisons
from mapl_jax.kernels.compute import Compute
from mapl_jax.models.heads import ScoreHead
from mapl_jax.runtime import console
from mapl_jax.runtime.console import say_each
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import restore, scoring, sharding
from mapl_jax.training.restore import Trained

# Rows have this many tokens, or twice, four times, ... as many: few shapes to compile.
SHORTEST = 256
# Tokens of a row to each of its leaves: a row with more leaves is closed before it is full.
_TOKENS_A_LEAF = 8


def load(path: str, mesh: Mesh, template_args: str = "") -> Trained:
    """The reward model at a path, as `restore.load` finds it."""
    return restore.load(path, mesh, template_args).as_reward_model(path)


class Scorer:
    """Rewards of any texts, in batches of few shapes, each of which is compiled once.

    Texts that share a beginning lie beside each other, and the beginning is read once. What a text
    gets does not depend on what lies beside it.
    """

    def __init__(
        self,
        trained: Trained,
        *,
        max_length: int,
        rows_per_batch: int = 1,
        compute: Compute = Compute(),
    ):
        """Prepares; compiles nothing. Rows are made a multiple of the mesh's data parts."""
        parts = sharding.data_parts(trained.mesh)
        self.rows = -(-max(rows_per_batch, 1) // parts) * parts
        # The length of a row grows with what there is to score, up to that of the longest text.
        doublings = max(0, (max_length - 1).bit_length() - (SHORTEST - 1).bit_length())
        self.lengths = [SHORTEST << i for i in range(doublings + 1)]
        self._trained, self._mesh = trained, trained.mesh
        self._score = restore.scorer(trained.model, trained.mesh, ScoreHead(), compute)
        self._pad = trained.tokenizer.pad_token_id or 0

    @property
    def tokens(self) -> int:
        """Tokens of the largest batch."""
        return self.rows * self.lengths[-1]

    def warm_up(self) -> None:
        """Compiles all shapes."""
        for length in self.lengths:
            np.asarray(self._start([], [], length))

    def __call__(self, paths: Sequence[TokenPath], *, progress: bool = False) -> list[float]:
        """The reward of each text; what the model says, also where that is no finite number."""
        if not paths:
            return []
        order = list(arrange(paths))
        length, rows = self._pack(paths, order)
        batches = [rows[i : i + self.rows] for i in range(0, len(rows), self.rows)]
        # Results are fetched after all batches are under way.
        waiting = [self._start(paths, batch, length) for batch in batches]
        values: dict[int, float] = {}
        with console.progress("scoring", "batches", shown=progress) as show:
            for number, (batch, result) in enumerate(zip(batches, waiting, strict=True)):
                show(number, len(batches))
                for row, members in zip(np.asarray(result)[0], batch, strict=False):
                    values |= zip(members, map(float, row), strict=False)
        return [values[i] for i in range(len(paths))]

    def _pack(
        self, paths: Sequence[TokenPath], order: Sequence[tuple[int, int]]
    ) -> tuple[int, list[list[int]]]:
        """The shortest row length at which one batch holds all, else the longest; rows of paths."""
        longest = max(map(len, paths))
        least = max(longest, -(-sum(fresh for _, fresh in order) // self.rows))
        rows: list[list[int]] = []
        for length in self.lengths:
            if length < min(least, self.lengths[-1]):
                continue
            rows, room = [], 0
            for index, fresh in order:
                if not rows or fresh > room or len(rows[-1]) == length // _TOKENS_A_LEAF:
                    rows.append([])
                    room, fresh = length, len(paths[index])
                rows[-1].append(index)
                room -= fresh
            if len(rows) <= self.rows:
                break
        return length, rows

    def _start(
        self, paths: Sequence[TokenPath], rows: Sequence[Sequence[int]], length: int
    ) -> jax.Array:
        """Puts a batch on its way; the result is [1, R, L]."""
        tokens = np.full((1, self.rows, length), self._pad, np.int32)
        positions, reach = np.zeros_like(tokens), np.zeros_like(tokens)
        ends = np.full((1, self.rows, length // _TOKENS_A_LEAF), -1, np.int32)
        for row, members in enumerate(rows):
            trie = build([paths[index] for index in members])
            for array, part in ((tokens, trie.tokens), (positions, trie.positions)):
                array[0, row, : len(trie)] = part
            reach[0, row, : len(trie)] = trie.reach
            ends[0, row, : len(members)] = trie.leaf_end
        share, shares = sharding.host_of(self._mesh)
        own = slice(share * self.rows // shares, (share + 1) * self.rows // shares)
        arrays = {"tokens": tokens, "positions": positions, "reach": reach, "leaf_end": ends}
        batch = Batch.of({name: array[:, own] for name, array in arrays.items()})
        return self._score(self._trained.params, sharding.to_device(batch, self._mesh))


def rewards(
    trained: Trained,
    conversations: Sequence[Sequence[Message]],
    responses: Sequence[Sequence[str]],
    *,
    rows_per_batch: int,
    compute: Compute = Compute(),
    max_length: int = 0,
) -> list[list[float]]:
    """The reward of every response to every conversation.

    What is too long loses the beginning of its prompt, as in training.

    Args:
        compute: type and attention of the model; how it lies over devices the mesh decides.
        max_length: longest conversation with its response, tokens; 0 for that of its run.
    """
    longest = encoding(trained, max_length).max_length
    leaves = [(number, text) for number, group in enumerate(responses) for text in group]
    texts = [(conversations[number], text) for number, text in leaves]

    def names(place: int) -> str:
        return f"prompt {leaves[place][0] + 1}"

    paths = encode_texts(trained, texts, longest, names)
    scorer = Scorer(trained, max_length=longest, rows_per_batch=rows_per_batch, compute=compute)
    given = iter(finite(scorer(paths, progress=True), names))
    return [[next(given) for _ in group] for group in responses]


def encode_texts(
    trained: Trained,
    texts: Sequence[tuple[Sequence[Message], str]],
    max_length: int,
    names: Callable[[int], str],
) -> list[TokenPath]:
    """Conversations with a response to each as tokens; says how many are cut, and how.

    Each is cut by itself: how much is cut of one does not hang on the others.
    """
    paths = tokenization.encode_leaves(trained.tokenizer, texts)
    counts: collections.Counter[str] = collections.Counter()
    marks, bos = tokenization.marks(trained.tokenizer), trained.tokenizer.bos_token_id
    for place, (messages, response) in enumerate(texts):
        counts["samples"] += 1
        encode.count_flaws(messages, [response], [paths[place]], marks, counts)
        if len(paths[place]) > max_length:
            kept, _ = encode.truncate({(0, 0): paths[place]}, bos, max_length)
            if kept is None:
                raise UserError(
                    f"{names(place)} with its response does not fit the {max_length} tokens of the "
                    "reward model"
                )
            paths[place] = kept[0, 0]
            counts["samples_truncated"] += 1
    say_each(trie_set.flaws(counts))
    return paths


def finite(values: Sequence[float], names: Callable[[int], str]) -> Sequence[float]:
    """Rewards, which are all finite numbers."""
    for place, value in enumerate(values):
        scoring.check_finite(np.asarray([value]), names(place))
    return values


def encoding(
    trained: Trained, max_length: int = 0, row_length: int = 0, truncation: str = "truncate"
) -> TrieSettings:
    """How texts become tries for a model.

    Args:
        max_length: longest leaf, tokens; 0 for that of its run, or else 2048 or the
            model's positions.
        row_length: tokens of a row; 0 for that of its run, or else twice the longest leaf.
        truncation: "truncate", "drop" or "error".
    """
    data = trained.config.get("data", {})
    max_length = max_length or data.get("max_length", min(2048, trained.model.max_positions))
    row_length = row_length or max(data.get("row_length", 0), 2 * max_length)
    return TrieSettings(max_length, row_length, truncation=truncation)


def comparisons(
    trained: Trained,
    tries: trie_set.TrieSet,
    *,
    rows_per_batch: int,
    compute: Compute = Compute(),
) -> preferences.Scored:
    """Every comparison of a set of tries, with the rewards that a model gives; see `rewards`."""
    mesh, pad_token = trained.mesh, trained.tokenizer.pad_token_id or 0
    score = restore.scorer(trained.model, mesh, ScoreHead(), compute)
    batches = scoring.held_out(tries, mesh, rows_per_batch=rows_per_batch, pad_token=pad_token)
    return score_comparisons(
        lambda batch: score(trained.params, sharding.to_device(batch, mesh)), batches, ()
    )
