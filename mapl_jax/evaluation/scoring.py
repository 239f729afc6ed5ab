"""Numbers of the leaves of a set of tries, brought back to what they belong to."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mapl_jax.data.encode import TrieSet
from mapl_jax.data.loader import Batches, stream
from mapl_jax.data.rows import make_plan
from mapl_jax.evaluation import likelihood, preferences
from mapl_jax.messages import progress

LEVELS = ("base", "intra", "inter")

# (batch) -> a number for each leaf [1, R, L], of the whole global batch on every host.
LeafFunction = Callable[[Any], Any]


def leaf_numbers(
    leaves: LeafFunction, batches: Batches, fields: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any], np.ndarray]]:
    """Index, record and numbers of the leaves of every trie of a plan.

    Args:
        leaves: numbers of the leaves of a batch, made from this host's part.
        batches: one epoch of the tries, one part a batch.
        fields: arrays of a batch that are read.
    """
    # Results are fetched after all batches are under way.
    waiting = [leaves(batch) for batch in stream(batches, fields=fields)]
    with progress("scoring", "batches") as show:
        for step, result in enumerate(waiting):
            show(step, len(waiting))
            values = np.asarray(result)[0]
            for row, members in zip(values, batches.plan.batch(step), strict=True):
                first = 0
                for member in members:
                    trie = batches.tries[member]
                    count = len(trie["leaf_end"])
                    yield int(member), trie, row[first : first + count]
                    first += count


def all_leaves(leaves: LeafFunction, batches: Batches, fields: Sequence[str]) -> np.ndarray:
    """Numbers of all leaves, trie after trie, fp32; arguments as for `leaf_numbers`."""
    result = np.zeros(0)
    for member, _, values in leaf_numbers(leaves, batches, fields):
        if not len(result):
            shape = (int(batches.tries.leaves.sum()), *values.shape[1:])
            result = np.full(shape, np.nan, np.float32)
        first = batches.first_leaf[member]
        result[first : first + len(values)] = values
    return result


def score_responses(
    logps: LeafFunction, batches: Batches, fields: Sequence[str]
) -> likelihood.Scored:
    """Scores every demonstration of a plan; arguments as for `leaf_numbers`."""
    found = [
        (str(trie["id"]), float(values[0]), int(trie["response_tokens"][0]))
        for _, trie, values in leaf_numbers(logps, batches, fields)
    ]
    names, logp, tokens = zip(*found, strict=True)
    return likelihood.Scored(
        list(names), np.asarray(logp, np.float64), np.asarray(tokens, np.int64)
    )


def score_comparisons(
    rewards: LeafFunction, batches: Batches, fields: Sequence[str]
) -> preferences.Scored:
    """Scores every comparison of a plan; arguments as for `leaf_numbers`."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "sample_id",
            "level",
            "margin",
            "gamma",
            "length_margin",
            "k",
            "families",
            "tokens",
        )
    }
    terms: list[Any] = []
    for _, trie, values in leaf_numbers(rewards, batches, fields):
        _add(columns, terms, trie, values.astype(np.float64))
    return preferences.Scored(
        sample_id=columns["sample_id"],
        level=columns["level"],
        margin=np.asarray(columns["margin"], np.float64),
        gamma=np.asarray(columns["gamma"], np.float64),
        length_margin=np.asarray(columns["length_margin"], np.float64),
        k=np.asarray(columns["k"], np.int64),
        families=columns["families"],
        terms=terms,
        tokens=columns["tokens"],
    )


def _add(
    columns: dict[str, list[Any]],
    terms: list[Any],
    trie: dict[str, Any],
    reward: np.ndarray,
) -> None:
    leaf = trie["term_leaf"].reshape(-1, 4)
    sign = trie["term_sign"].reshape(-1, 4)
    margin = (reward[leaf] * sign).sum(1)
    length = (trie["leaf_tokens"][leaf] * sign).sum(1)
    for i in range(len(leaf)):
        columns["sample_id"].append(str(trie["id"]))
        columns["level"].append(LEVELS[int(trie["level"][i])])
        columns["margin"].append(float(margin[i]))
        columns["gamma"].append(float(trie["gamma"][i]))
        columns["length_margin"].append(float(length[i]))
        columns["k"].append(int(trie["k"][i]))
        columns["families"].append(tuple(str(trie["families"][i]).split()))
        columns["tokens"].append(
            tuple(int(trie["response_tokens"][leaf[i, t]]) for t in range(4) if sign[i, t])
        )
        terms.append(
            [
                (
                    int(trie["leaf_prompt"][leaf[i, t]]),
                    int(trie["leaf_response"][leaf[i, t]]),
                    int(sign[i, t]),
                    float(reward[leaf[i, t]]),
                )
                for t in range(4)
                if sign[i, t]
            ]
        )


def eval_batches(
    tries: TrieSet,
    *,
    rows_per_batch: int,
    parts: int,
    host: tuple[int, int] = (0, 1),
    pad_token: int,
    samples: int = 0,
    joint: bool = False,
    reference: np.ndarray | None = None,
) -> Batches:
    """Batches that visit every trie once, in a fixed order.

    Args:
        tries: what to score.
        rows_per_batch: rows of a batch; made a multiple of `parts`.
        parts: over how many data parts of the mesh the rows are split.
        host: which share of the rows this process brings, of how many.
        pad_token: what unused places hold.
        samples: only the first that many tries; 0 for all.
        joint: score prompt tokens too.
        reference: log-probabilities of all leaves under the reference.
    """
    count = min(samples or len(tries), len(tries))
    plan = make_plan(
        tries.lengths[:count],
        tries.leaves[:count],
        tries.levels[:count].sum(1),
        scored=(tries.predicted if joint else tries.response)[:count],
        row_length=tries.row_length,
        rows_per_batch=-(-max(rows_per_batch, 1) // parts) * parts,
        seed=0,
        shuffle=False,
    )
    return Batches(
        tries,
        plan,
        joint=joint,
        reference=reference,
        pad_token=pad_token,
        host=host[0],
        hosts=host[1],
    )
