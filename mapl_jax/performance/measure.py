"""How fast a run's steps are here, and how near that is to what the hardware can do.

Model FLOPs are those of the matrix products that the loss needs, and no others: with T real tokens,
P of them predicted (0 in a reward model), A allowed pairs of tokens, and B parameters in the
matrices of all layers,

    forward = 2 B T + 2 D V P + 4 N H A layers        step = 3 forward

With LoRA no frozen matrix has a gradient, and below the adapters nothing runs backward: the step is
forward, once more the products of the layers with adapters and of the output, and twice more those
of the adapters and the attention of their layers.

MFU is step / seconds over the peak of one large matrix product, measured in the same run and in
the same type. What is computed again in the backward pass, padding, and pairs that are not allowed
count as time and not as work.
"""

import dataclasses
import functools
import operator
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from mapl_jax.data import loader
from mapl_jax.data.trie_set import TrieRecord
from mapl_jax.kernels import tiles
from mapl_jax.kernels.attention import attention
from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.products import product
from mapl_jax.kernels.rows import Row
from mapl_jax.models import lora
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.parameters import Params
from mapl_jax.performance import estimate
from mapl_jax.training.step import TrainState, compile_shapes
from mapl_jax.training.trainer import Trainer

MATRIX = 2048


@dataclasses.dataclass(frozen=True)
class Work:
    """What a step has to do; means over the steps of a plan.

    Attributes:
        samples: pairs.
        tokens: of tries, without padding.
        flat_tokens: that one sequence for every term of every comparison would have.
        predicted: tokens whose log-probabilities are needed.
        pairs: of tokens, one of which attends to the other.
        filled: share of the places of rows that hold a token.
    """

    samples: float
    comparisons: float
    tokens: float
    flat_tokens: float
    predicted: float
    pairs: float
    filled: float


def work_of(batches: loader.Batches, steps: int, *, policy: bool) -> Work:
    """Counts what the first steps of a plan hold."""
    totals = np.zeros(6)
    places = 0.0
    for step in range(steps):
        batch = batches[step]
        members = np.concatenate(batches.plan.batch(step)).astype(int)
        reach = np.asarray(batch.row.reach)
        used = reach > 0
        index = np.arange(reach.shape[-1])
        totals += [
            len(members),
            batches.tries.levels[members].sum(),
            used.sum(),
            sum(_flat(batches.tries[i]) for i in members),
            (np.asarray(batch.scored_at) >= 0).sum() if policy else 0,
            np.where(used, reach - index, 0).sum(),
        ]
        places += reach.size
    samples, comparisons, tokens, flat, predicted, pairs = (float(x) for x in totals / steps)
    filled = float(totals[2] / places)
    return Work(samples, comparisons, tokens, flat, predicted, pairs, filled)


def _flat(trie: TrieRecord) -> int:
    """Tokens of one sequence for every term of every comparison."""
    leaf, sign = trie["term_leaf"].reshape(-1, 4), trie["term_sign"].reshape(-1, 4)
    return int((trie["leaf_tokens"][leaf] * (sign != 0)).sum())


def model_flops(model: DecoderConfig, shapes: Params, work: Work) -> float:
    """FLOPs of a step by the formula above."""

    def products(matrices: Params) -> float:
        return 2 * estimate.matrices(model, matrices, policy=False) * work.tokens

    body = products(lora.base(shapes))
    output = 2 * model.width * model.vocab_size * work.predicted
    seen = 4 * model.heads * model.head_dim * model.layers * work.pairs
    if model.lora is None:
        return 3.0 * (body + output + seen)
    thin = products(lora.adapters(shapes))
    forward = body + thin + output + seen
    adapted = 1 - model.frozen_layers / model.layers
    return forward + adapted * (body + 2 * seen) + 2 * thin + output


def matmul_peak(dtype: DTypeLike, repeats: int = 10) -> float:
    """FLOP/s of the fastest of a few large matrix products on all devices of this process."""
    a = jnp.ones((MATRIX, MATRIX), dtype)
    squared = jax.jit(lambda a: product(a[None], a))
    best = min(_seconds(lambda: squared(a)) for _ in range(repeats + 1))
    return 2 * MATRIX**3 / best * jax.local_device_count()


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def loader_seconds(batches: loader.Batches, steps: int, fields: tuple[str, ...]) -> float:
    """Seconds of a step's batch when nothing but the loader runs."""
    stream = loader.stream(batches, stop=steps, fields=fields)
    start = time.perf_counter()
    for _ in stream:
        pass
    return (time.perf_counter() - start) / steps


def attention_seconds(
    model: DecoderConfig, batch: loader.Batch, compute: Compute, repeats: int = 3
) -> float:
    """Seconds of attention in a step, forward and backward, over all layers and parts."""
    row = batch.row
    parts, rows, length = row.reach.shape
    shape = (rows, length)
    keys = jax.random.split(jax.random.key(0), 3)
    heads = (model.heads, model.kv_heads, model.kv_heads)
    q, k, v = (
        jax.random.normal(key, (*shape, n, model.head_dim), compute.dtype)
        for key, n in zip(keys, heads, strict=True)
    )

    both = _both_passes(compute, window=model.window, softcap=model.attention_softcap)
    whole = jax.tree.map(jnp.asarray, Row(row.reach, row.positions, row.reach, row.tiles))
    each = [jax.tree.map(operator.itemgetter(part), whole) for part in range(parts)]

    def once() -> float:
        return sum(_seconds(functools.partial(both, q, k, v, part)) for part in each)

    once()
    return model.layers * statistics.median(once() for _ in range(repeats))


def _both_passes(compute: Compute, **how: Any) -> Callable[..., tuple[Array, ...]]:
    """Attention of q, k and v in a row, forward and backward, compiled."""

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2))
    def both(q: Array, k: Array, v: Array, row: Row) -> Array:
        return jnp.sum(attention(q, k, v, row, compute, **how).astype(jnp.float32))

    return both


def packed_row(length: int, rng: np.random.Generator) -> np.ndarray:
    """reach of a row full of tries: a prompt, and three times two responses, two of them deeper."""
    reach = np.zeros(length, np.int32)
    at = 0
    while True:
        # Tries of 512 tokens, so that rows of both lengths are full.
        prompt, *parts = 64, *(rng.permutation(8) * 8 + 28)
        stop = at + prompt + sum(parts)
        if stop > length:
            return reach
        reach[at : at + prompt] = stop
        at += prompt
        for group in range(3):
            instructions, first, second = (
                (0, *parts[:2]) if not group else parts[3 * group - 1 :][:3]
            )
            below = at + instructions + first + second
            reach[at : at + instructions] = below
            at += instructions
            for response in (first, second):
                reach[at : at + response] = at + response
                at += response


def attention_by_length(lengths: tuple[int, ...], dense: int, repeats: int = 3) -> dict[str, float]:
    """Microseconds a token of attention, forward and backward, in rows packed with short tries.

    Args:
        lengths: S of a row of blocks.
        dense: S of a row where all pairs are scored.
    """
    rng = np.random.default_rng(0)
    microseconds = {}
    for backend, length in [*(("blocks", n) for n in lengths), ("dense", dense)]:
        rows = max(1, 2048 // length)
        reach = jnp.asarray(np.stack([packed_row(length, rng) for _ in range(rows)]))
        lists = tiles.traced(reach)
        q, k = (jnp.ones((rows, length, n, 64)) * 0.1 for n in (8, 2))
        both = _both_passes(Compute(backend=backend))
        call = functools.partial(both, q, k, k, Row(reach, reach, reach, lists))
        call()
        seconds = min(_seconds(call) for _ in range(repeats))
        microseconds[f"{backend} {length}"] = 1e6 * seconds / (rows * length)
    return microseconds


def _memory(compiled: jax.stages.Compiled) -> int:
    """Bytes that a compiled step takes."""
    sizes = compiled.memory_analysis()
    assert sizes is not None  # CPUs, GPUs and TPUs all have one
    new = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return sizes.argument_size_in_bytes + new + sizes.temp_size_in_bytes


def train_seconds(
    run: Trainer,
    state: TrainState,
    frozen: Params,
    batches: loader.Batches,
    *,
    warm: int,
    steps: int,
) -> dict[str, Any]:
    """Compiles the step and takes it again and again, loader and all.

    The state is donated; the first `warm` of at least `warm + steps` batches are not counted.

    Returns:
        compile_seconds, step_seconds (mean over the whole loop), peak_bytes, and the last batch.
    """
    fields = run.objective.fields
    stream = loader.stream(batches, stop=warm + steps, fields=fields)
    batch = run.to_device(next(stream))
    start = time.perf_counter()
    shapes = [run.to_device(each.keeping(fields)) for each in batches.of_each_shape()]
    compiled = compile_shapes(run.train_step, state, shapes, frozen)
    compile_seconds = time.perf_counter() - start
    planned = max(map(_memory, compiled.values()))
    del shapes
    for step in range(warm + steps):
        if step == warm:
            jax.block_until_ready(state)
            start = time.perf_counter()
        batch = run.to_device(next(stream)) if step else batch
        state, metrics = compiled[batch.row.tokens.shape](state, batch, frozen)
    jax.block_until_ready((state, metrics))
    seconds = (time.perf_counter() - start) / steps
    stats = jax.local_devices()[0].memory_stats() or {}
    return {
        "compile_seconds": compile_seconds,
        "step_seconds": seconds,
        "loss": float(metrics.loss),
        "peak_bytes": stats.get("peak_bytes_in_use", planned),
        "process_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "batch": batch,
    }
