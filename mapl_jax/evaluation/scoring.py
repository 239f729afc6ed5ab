"""Rewards of a set of tries, brought back to the comparisons they belong to."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mapl_jax.data.encode import TrieSet
from mapl_jax.data.loader import Batches, stream
from mapl_jax.data.rows import make_plan
from mapl_jax.evaluation.preferences import Scored, summarize

LEVELS = ("base", "intra", "inter")
FIELDS = ("tokens", "positions", "reach", "leaf_end")


def score(
    rewards: Callable[[Any, Any], Any],
    params: Any,
    batches: Batches,
    to_device: Callable[[Any], Any],
) -> Scored:
    """Scores every comparison of a plan.

    Args:
        rewards: (params, batch) -> rewards [1, R, L], the whole global batch on every host.
        params: of the model.
        batches: one epoch of the tries, one part a batch.
        to_device: makes a global batch of this host's part.
    """
    waiting = []
    for batch in stream(batches, fields=FIELDS):
        # Results are fetched after all batches are under way.
        waiting.append(rewards(params, to_device(batch)))
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("sample_id", "level", "margin", "gamma", "length_margin", "k", "families")
    }
    terms: list[Any] = []
    for step, result in enumerate(waiting):
        values = np.asarray(result)[0]
        for row, members in zip(values, batches.plan.batch(step), strict=True):
            first = 0
            for member in members:
                trie = batches.tries[member]
                leaves = len(trie["leaf_end"])
                _add(columns, terms, trie, row[first : first + leaves].astype(np.float64))
                first += leaves
    return Scored(
        sample_id=columns["sample_id"],
        level=columns["level"],
        margin=np.asarray(columns["margin"], np.float64),
        gamma=np.asarray(columns["gamma"], np.float64),
        length_margin=np.asarray(columns["length_margin"], np.float64),
        k=np.asarray(columns["k"], np.int64),
        families=columns["families"],
        terms=terms,
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
    pad_token: int,
    samples: int = 0,
) -> Batches:
    """Batches that visit every trie once, in a fixed order.

    Args:
        tries: what to score.
        rows_per_batch: rows of a batch; made a multiple of `parts`.
        parts: over how many data parts of the mesh the rows are split.
        pad_token: what unused places hold.
        samples: only the first that many tries; 0 for all.
    """
    count = min(samples or len(tries), len(tries))
    plan = make_plan(
        tries.lengths[:count],
        tries.leaves[:count],
        tries.levels[:count].sum(1),
        row_length=tries.row_length,
        rows_per_batch=-(-max(rows_per_batch, 1) // parts) * parts,
        seed=0,
        shuffle=False,
    )
    return Batches(
        tries, plan, pad_token=pad_token, host=jax.process_index(), hosts=jax.process_count()
    )


def flat_metrics(scored: Scored, *, seed: int) -> dict[str, float]:
    """The numbers of an evaluation during training, without intervals."""
    summary = summarize(scored, seed=seed, resamples=0)
    return {name: value for name, value in summary.items() if isinstance(value, int | float)}
