"""Numbers of leaves of held-out tries: rewards or log-probabilities."""

from collections.abc import Callable, Collection, Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from mapl_jax.data.encode import TrieRecord
from mapl_jax.data.loader import Batch, Batches, stream
from mapl_jax.data.rows import make_plan
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.runtime.console import progress
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import sharding

# (batch) -> a number for each leaf [1, R, L], of the whole global batch on every host.
LeafFunction = Callable[[Batch], jax.Array]


def held_out(
    tries: TrieSet,
    mesh: Mesh,
    *,
    rows_per_batch: int,
    pad_token: int,
    samples: int = 0,
    joint: bool = False,
    reference: np.ndarray | None = None,
) -> Batches:
    """Batches that visit every trie once, in a fixed order; this process brings its share of each.

    Rows of a batch are made a multiple of the mesh's data parts. With `samples`, only the first so
    many tries; with `joint`, prompt tokens are scored too.
    """
    parts, (host, hosts) = sharding.data_parts(mesh), sharding.host_of(mesh)
    count = min(samples or len(tries), len(tries))
    plan = make_plan(
        tries.lengths[:count],
        tries.leaves[:count],
        tries.levels[:count].sum(1),
        scored=(tries.predicted if joint else tries.response)[:count],
        row_length=tries.row_length,
        # A trie takes a row at most; small sets keep the shape that is asked for.
        rows_per_batch=-(-min(max(rows_per_batch, 1), max(count, 64)) // parts) * parts,
        data_parts=parts,
        seed=0,
        shuffle=False,
    )
    return Batches(
        tries,
        plan,
        joint=joint,
        reference=reference,
        pad_token=pad_token,
        host=host,
        hosts=hosts,
    )


def leaf_numbers(
    leaves: LeafFunction, batches: Batches, fields: Collection[str]
) -> Iterator[tuple[int, TrieRecord, np.ndarray]]:
    """Index, record and numbers of the leaves of every trie of a plan.

    Args:
        leaves: numbers of the leaves of a batch, made from this host's part.
        batches: one epoch of the tries, one part a batch.
        fields: fields of a batch that are read; see `Batch.keeping`.
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
                    numbers = row[first : first + count]
                    check_finite(numbers, f"sample {trie['id']}")
                    yield int(member), trie, numbers
                    first += count


def check_finite(numbers: np.ndarray, name: str) -> None:
    """Makes sure that a model gives finite numbers of something."""
    if not np.isfinite(numbers).all():
        raise UserError(
            f"{name}: the model gives {numbers[~np.isfinite(numbers)][0]} instead of a finite "
            "number; its weights may be too large for the type that it computes in"
        )


def all_leaves(leaves: LeafFunction, batches: Batches, fields: Collection[str]) -> np.ndarray:
    """Numbers of all leaves, trie after trie, fp32; arguments as for `leaf_numbers`."""
    result = np.zeros(0)
    for member, _, values in leaf_numbers(leaves, batches, fields):
        if not len(result):
            shape = (int(batches.tries.leaves.sum()), *values.shape[1:])
            result = np.full(shape, np.nan, np.float32)
        first = batches.first_leaf[member]
        result[first : first + len(values)] = values
    return result
