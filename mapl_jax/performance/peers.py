"""The same model on the same pairs, here and in torch: TRL's trainers and a plain loop.

    reward, dpo    base comparisons alone, which is all that TRL can
    all            a reward model on all levels; the plain loop runs one sequence for every term of
                   every comparison, as flat data would

All sides start from the same weights in fp32, see the same tokens, and take AdamW steps; with
train.dtype=bfloat16 all multiply in bf16 (torch by autocast, TRL by its bf16). Ours packs tries
into rows; the others pad to the longest of their batch, as TRL does. The reference of DPO is
computed before the clock starts, on every side. Time is that of whole steps, data and all; what TRL
does around its steps, such as saving, is left out.
"""

import dataclasses
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from mapl_jax.data import loader, rows, run_tokenizer, trie_set
from mapl_jax.data.loader import Batch
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.data.trie_set import TrieRecord, TrieSet
from mapl_jax.models import initial, saving
from mapl_jax.models.parameters import Params
from mapl_jax.performance.torch_sides import (
    BETA,
    LEARNING_RATE,
    Pair,
    Side,
    Term,
    TorchLoop,
    trl_side,
)
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import replace
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings
from mapl_jax.training import sharding, trainer
from mapl_jax.training.objective import LossSettings, Objective
from mapl_jax.training.reference import reference_logps
from mapl_jax.training.settings import RunSettings

# Relative: sums in other orders, and in bf16 other roundings.
TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}

Say = Callable[[str], None]


def compare(
    settings: RunSettings, synthesis: Settings, *, pairs: int, batch: int, repeats: int, say: Say
) -> dict[str, object]:
    """Trains on every side, by turns.

    Args:
        settings: model shape, data and rows; of a reward model.
        synthesis: how instructions are made for the comparison on all levels.
        pairs: how many every side trains on in a repeat.
        batch: pairs of a step of the peers, and about as many of ours.

    Returns:
        All numbers; each `ratio_...` is ours over the faster peer, in pairs per second.
    """
    try:
        import torch
        import trl  # noqa: F401
    except ImportError as error:
        raise UserError("--versus=trl needs torch; pip install 'mapl_jax[peers]'") from error
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "pairs": pairs}
    tolerance = TOLERANCE[settings.train.dtype]
    with tempfile.TemporaryDirectory(prefix="mapl-") as name:
        folder = Path(name)
        data, cache = settings.data, folder / "cache"

        def tries_of(
            made: Settings | None, tokenizer: Tokenizer | None = None
        ) -> tuple[TrieSet, Tokenizer]:
            split = prepare.samples_of(
                data.train, cache, on_error=data.on_error, seed=settings.seed, synthesis=made
            )
            tokenizer = tokenizer or run_tokenizer.make_tokenizer(
                settings.tokenizer, settings.model.path, split, folder / "tokenizer"
            )
            tries = trie_set.encode_split(split, tokenizer, data, cache)
            if len(tries) < pairs:
                raise UserError(f"--pairs is {pairs}, and the data has {len(tries)}")
            # A reference has to be known of these alone.
            return tries.first(pairs), tokenizer

        base, tokenizer = tries_of(None)
        chosen_pairs = [_pair(base[i]) for i in range(pairs)]
        for kind in ("reward", "dpo"):
            sides = _sides(kind, settings, base, chosen_pairs, tokenizer, folder, batch)
            result[kind] = _by_turns(kind, sides, len(chosen_pairs), repeats, tolerance, say)
        # A quarter of the pairs: each stands for fourteen sequences and not for two.
        few, part = max(1, pairs // 4), max(1, batch // 4)
        tries, _ = tries_of(synthesis, tokenizer)
        terms = [_terms(tries[i]) for i in range(few)]
        sides = _sides("all", settings, tries, terms, tokenizer, folder, part)
        result["all"] = _by_turns("all", sides, few, repeats, tolerance, say)
    for short, kind in (("rm", "reward"), ("dpo", "dpo"), ("all", "all")):
        result[f"ratio_{short}"] = result[kind]["ratio"]
    say(", ".join(f"{key} {value:.2f}" for key, value in result.items() if "ratio" in key))
    return result


def _by_turns(
    kind: str, sides: dict[str, Side], pairs: int, repeats: int, tolerance: float, say: Say
) -> dict[str, object]:
    checks = {name: side.check() for name, side in sides.items()}
    say(f"\n{kind}: loss and gradient norm of the first pairs, before any step")
    for name, (loss, norm) in checks.items():
        say(f"  {name:<10}{loss:>12.6f}{norm:>12.6f}")
    for name, check in checks.items():
        if not np.allclose(check, checks["ours"], rtol=tolerance):
            raise UserError(f"{name} and ours do not compute the same; no speed is comparable")
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    tokens: dict[str, list[int]] = {name: [] for name in sides}
    sides["ours"].epoch()  # compiles; the others are warm from the check
    for _ in range(repeats):
        for name, side in sides.items():
            used = time.process_time()
            spent, computed = side.epoch()
            seconds[name].append(spent)
            tokens[name].append(computed)
            processor[name].append(time.process_time() - used)
    speed = {name: pairs / statistics.median(values) for name, values in seconds.items()}
    places = {name: statistics.mean(values) for name, values in tokens.items()}
    say(f"{kind}: pairs per second, median of {repeats} (all)")
    for name, values in seconds.items():
        each = ", ".join(f"{pairs / value:.2f}" for value in values)
        cores = sum(processor[name]) / sum(values)
        count = f"; {places[name] / pairs:.0f} tokens a pair" if places[name] else ""
        say(f"  {name:<10}{speed[name]:>8.2f}   ({each}; {cores:.1f} cores busy{count})")
    peer = max((name for name in sides if name != "ours"), key=speed.__getitem__)
    say(f"  ours is {speed['ours'] / speed[peer]:.2f} times as fast as {peer}")
    return {
        "checks": checks,
        "seconds": seconds,
        "processor_seconds": processor,
        "pairs_per_second": speed,
        "tokens_computed": places,
        "faster_peer": peer,
        "ratio": speed["ours"] / speed[peer],
    }


def _pair(trie: TrieRecord) -> Pair:
    """The two leaves of a base comparison, token by token."""
    index = np.arange(len(trie["tokens"]))
    paths = []
    for end in trie["leaf_end"][trie["term_leaf"].reshape(-1, 4)[0, :2]]:
        path = (index <= end) & (end < trie["reach"])
        paths.append((trie["tokens"][path], trie["scored"][path]))
    (chosen, is_chosen), (rejected, is_rejected) = paths
    return Pair(
        chosen[~is_chosen].tolist(), chosen[is_chosen].tolist(), rejected[is_rejected].tolist()
    )


def _terms(trie: TrieRecord) -> list[Term]:
    """All comparisons of a trie, one sequence for every term."""
    index = np.arange(len(trie["tokens"]))
    leaves = [
        trie["tokens"][(index <= end) & (end < trie["reach"])].tolist() for end in trie["leaf_end"]
    ]
    terms = []
    for level, leaf, sign in zip(
        trie["level"],
        trie["term_leaf"].reshape(-1, 4),
        trie["term_sign"].reshape(-1, 4),
        strict=True,
    ):
        used = sign != 0
        terms.append(Term(int(level), [leaves[i] for i in leaf[used]], sign[used].tolist()))
    return terms


def _settings_of(kind: str, settings: RunSettings) -> RunSettings:
    """What all sides train with."""
    others = float(kind == "all")
    return replace(
        settings,
        {
            "objective": "dpo" if kind == "dpo" else "reward",
            "loss": {
                **dataclasses.asdict(LossSettings(intra=others, inter=others)),
                **({"beta": BETA} if kind == "dpo" else {}),
            },
            "model": {"reference": ""},
            "train": {
                "learning_rate": LEARNING_RATE,
                "schedule": "constant",
                "warmup": 0.0,
                "weight_decay": 0.0,
                "b1": 0.9,
                "b2": 0.999,
                "clip": 1.0,
            },
        },
    )


def _sides(
    kind: str,
    settings: RunSettings,
    tries: TrieSet,
    pairs: list[Any],
    tokenizer: Tokenizer,
    folder: Path,
    batch: int,
) -> dict[str, Side]:
    # The first weights, from scratch or from the folder that the settings name, for all sides.
    plain = settings = _settings_of(kind, settings)
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    start = folder / f"start-{kind}"
    if kind == "dpo":
        settings = replace(settings, {"model": {"path": str(start), "shape": ""}})
        start.mkdir()
    objective, half = trainer.objective_of(settings), settings.train.dtype == "bfloat16"
    source = trainer.first_parameters(plain, tokenizer, objective.head)
    shapes = objective.head.abstract_params(source.model)
    places = jax.tree.map(lambda _: sharding.replicated(mesh), shapes)
    model = dataclasses.replace(
        source.model, pad_token=tokenizer.pad_token_id, eos_tokens=(tokenizer.eos_token_id,)
    )
    params = source.make(places)
    if start.exists():
        start.rmdir()
    saving.save_params(start, model, params)
    ours = _ours(settings, objective, source, params, tries, len(pairs), batch, mesh, folder)
    torch_side = TorchLoop(kind, start, pairs, batch, tokenizer.pad_token_id or 0, half)
    sides = {"ours": ours, "torch": Side(torch_side.check, torch_side.epoch)}
    if kind != "all":
        sides["trl"] = trl_side(kind, start, pairs, batch, tokenizer, folder, half)
    return sides


def _ours(
    settings: RunSettings,
    objective: Objective,
    source: initial.InitialWeights,
    params: Params,
    tries: TrieSet,
    count: int,
    batch: int,
    mesh: Mesh,
    folder: Path,
) -> Side:
    compute = trainer.compute_of(settings.train, mesh)
    run = trainer.make_trainer(
        source.model, objective, mesh, settings=settings.train, steps=1, compute=compute
    )
    numbers = None
    if objective.reference:
        (numbers,) = reference_logps(
            run, source, [tries], params=params, cache_dir=folder / "cache", rows_per_batch=4
        )
    mean = float(tries.lengths[:count].mean())

    def batches(count: int, in_step: int) -> loader.Batches:
        plan = rows.make_plan(
            tries.lengths[:count],
            tries.leaves[:count],
            tries.levels[:count].sum(1),
            scored=tries.response[:count],
            row_length=settings.data.row_length,
            rows_per_batch=in_step,
            seed=settings.seed,
        )
        return loader.Batches(tries, plan, weights=objective.weights, reference=numbers)

    def check() -> tuple[float, float]:
        first = batches(batch, max(1, -(-int(2 * batch * mean) // settings.data.row_length)))
        if len(first) != 1:
            raise UserError("--batch pairs do not fit one step; choose fewer")
        part = jax.tree.map(lambda x: x[0], first[0].keeping(objective.fields))

        @jax.jit
        def both(params: Params, part: Batch) -> tuple[jax.Array, Params]:
            return jax.value_and_grad(lambda p: objective.loss(run.leaves(p, part), part)[0])(
                params
            )

        loss, slopes = both(params, part)
        return float(loss), float(optax.tree.norm(slopes))

    # As many rows a step as hold about as many pairs as a step of the peers does; of the two
    # numbers next to that the one that leaves fewer rows of the last step empty.
    about = batch * mean / settings.data.row_length
    in_step = min(
        (max(1, math.ceil(about)), max(1, math.floor(about))),
        key=lambda rows: rows * len(batches(count, rows)),
    )
    every = batches(count, in_step)
    places = sum(every.plan.shape(step).places for step in range(len(every)))
    state = run.first_state(jax.tree.map(lambda x: x + 0, params))

    def epoch() -> tuple[float, int]:
        nonlocal state
        jax.block_until_ready(state)
        start = time.perf_counter()
        for each in loader.stream(every, fields=objective.fields):
            state, _ = run.train_step(state, sharding.to_device(each, mesh), {})
        jax.block_until_ready(state)
        return time.perf_counter() - start, places

    return Side(check, epoch)
