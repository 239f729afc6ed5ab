"""The same model on the same pairs, here and in torch: TRL's trainers and a plain loop.

    reward, dpo    base comparisons alone, which is all that TRL can
    all            a reward model on all levels; the plain loop runs one sequence for every term of
                   every comparison, as flat data would

All sides start from the same weights in fp32, see the same tokens, and take AdamW steps. Ours packs
tries into rows; the others pad to the longest of their batch, as TRL does. The reference of DPO is
computed before the clock starts, on every side. Time is that of whole steps, data and all; what TRL
does around its steps, such as saving, is left out.
"""

import dataclasses
import functools
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
from ml_collections import ConfigDict

from mapl_jax.data import loader, rows, tokenization, trie_set
from mapl_jax.data.settings import DataSettings, TokenizerSettings
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.models import hub, initial
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import from_section
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings
from mapl_jax.training import sharding, step, trainer
from mapl_jax.training.objective import Objective
from mapl_jax.training.reference import reference_logps
from mapl_jax.training.settings import RunSettings, run_settings

BETA = 0.1
LEARNING_RATE = 1e-5
# Relative; fp32 sums in other orders.
TOLERANCE = 1e-3

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A pair as the peers read it."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


@dataclasses.dataclass(frozen=True)
class Term:
    """A signed sum of rewards, each of a sequence of its own.

    Attributes:
        level: index of the level.
        sequences: tokens.
        signs: +1 or -1, one for each.
    """

    level: int
    sequences: list[list[int]]
    signs: list[int]


@dataclasses.dataclass
class Side:
    """One contestant.

    Attributes:
        check: loss and gradient norm of the first pairs, before any step.
        epoch: trains on all pairs; seconds and tokens computed, padding included (0: not known).
    """

    check: Callable[[], tuple[float, float]]
    epoch: Callable[[], tuple[float, int]]


def compare(
    config: ConfigDict, *, pairs: int, batch: int, repeats: int, say: Say
) -> dict[str, Any]:
    """Trains on every side, by turns.

    Args:
        config: model shape, data and rows; of a reward model.
        pairs: how many every side trains on in a repeat.
        batch: pairs of a step of the peers, and about as many of ours.
        repeats: how often.
        say: prints a line.

    Returns:
        All numbers; `ratio_rm`, `ratio_dpo` and `ratio_all` are ours over the faster peer, in
        pairs a second.

    Raises:
        UserError: the extra `peers` is missing, or the sides do not compute the same.
    """
    try:
        import torch
        import trl  # noqa: F401
    except ImportError as error:
        raise UserError("--versus=trl needs torch; pip install 'mapl_jax[peers]'") from error
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "pairs": pairs}
    with tempfile.TemporaryDirectory(prefix="mapl-") as name:
        folder = Path(name)
        data = config.data
        cache = folder / "cache"

        def tries_of(synthesis: Any, tokenizer: Any = None) -> tuple[TrieSet, Any]:
            split = prepare.samples_of(
                data.train, cache, on_error=data.on_error, seed=config.seed, synthesis=synthesis
            )
            tokenizer = tokenizer or tokenization.make_tokenizer(
                from_section(TokenizerSettings, config.tokenizer.to_dict(), "tokenizer"),
                config.model.path,
                split,
                folder / "tokenizer",
            )
            settings = from_section(DataSettings, config.data.to_dict(), "data")
            tries = trie_set.encode_split(split, tokenizer, settings, cache)
            if len(tries) < pairs:
                raise UserError(f"--pairs is {pairs}, and the data has {len(tries)}")
            # A reference has to be known of these alone.
            return tries.first(pairs), tokenizer

        base, tokenizer = tries_of(None)
        those = [_pair(base[i]) for i in range(pairs)]
        for kind in ("reward", "dpo"):
            sides = _sides(kind, config, base, those, tokenizer, folder, batch)
            found[kind] = _by_turns(kind, sides, len(those), repeats, say)
        # A quarter of the pairs: each stands for fourteen sequences and not for two.
        few, part = max(1, pairs // 4), max(1, batch // 4)
        tries, _ = tries_of(Settings(**config.synthesis), tokenizer)
        terms = [_terms(tries[i]) for i in range(few)]
        sides = _sides("all", config, tries, terms, tokenizer, folder, part)
        found["all"] = _by_turns("all", sides, few, repeats, say)
    for short, kind in (("rm", "reward"), ("dpo", "dpo"), ("all", "all")):
        found[f"ratio_{short}"] = found[kind]["ratio"]
    say(", ".join(f"{key} {value:.2f}" for key, value in found.items() if "ratio" in key))
    return found


def _by_turns(
    kind: str, sides: dict[str, Side], pairs: int, repeats: int, say: Say
) -> dict[str, Any]:
    checks = {name: side.check() for name, side in sides.items()}
    say(f"\n{kind}: loss and gradient norm of the first pairs, before any step")
    for name, (loss, norm) in checks.items():
        say(f"  {name:<10}{loss:>12.6f}{norm:>12.6f}")
    for name, check in checks.items():
        if not np.allclose(check, checks["ours"], rtol=TOLERANCE):
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
    say(f"{kind}: pairs a second, median of {repeats} (all)")
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


def _pair(trie: Any) -> Pair:
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


def _terms(trie: Any) -> list[Term]:
    """All comparisons of a trie, one sequence for every term."""
    index = np.arange(len(trie["tokens"]))
    leaves = [
        trie["tokens"][(index <= end) & (end < trie["reach"])].tolist() for end in trie["leaf_end"]
    ]
    found = []
    for level, leaf, sign in zip(
        trie["level"],
        trie["term_leaf"].reshape(-1, 4),
        trie["term_sign"].reshape(-1, 4),
        strict=True,
    ):
        used = sign != 0
        found.append(Term(int(level), [leaves[i] for i in leaf[used]], sign[used].tolist()))
    return found


def _sides(
    kind: str,
    config: ConfigDict,
    tries: TrieSet,
    pairs: list[Any],
    tokenizer: Any,
    folder: Path,
    batch: int,
) -> dict[str, Side]:
    config = ConfigDict(config.to_dict())
    config.objective = "dpo" if kind == "dpo" else "reward"
    config.loss = ConfigDict(
        {
            "base": 1.0,
            "intra": float(kind == "all"),
            "inter": float(kind == "all"),
            "inter_form": "margin",
            "inter_gamma": 0.0,
            "center": 0.0,
            "beta": BETA,
            "type": "sigmoid",
            "weights": "",
            "label_smoothing": 0.0,
            "joint_logp": False,
        }
    )
    config.model.reference = ""
    config.train.update({"learning_rate": LEARNING_RATE, "schedule": "constant", "warmup": 0.0})
    config.train.update({"weight_decay": 0.0, "b1": 0.9, "b2": 0.999, "clip": 1.0})
    config.train.logp_chunk = config.train.get("logp_chunk", 256)
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    start = folder / f"start-{kind}"
    # The first weights, from scratch or from the folder that the config names, for all sides.
    plain = ConfigDict(config.to_dict())
    if kind == "dpo":
        config.model.path = str(start)
        config.model.shape = ""
        start.mkdir()
    settings = run_settings(config.to_dict())
    objective = trainer.objective_of(settings)
    source = trainer.first_parameters(run_settings(plain.to_dict()), tokenizer, objective.head)
    shapes = objective.head.abstract_params(source.model)
    places = jax.tree.map(lambda _: sharding.replicated(mesh), shapes)
    model = dataclasses.replace(
        source.model, pad_token=tokenizer.pad_token_id, eos_token=tokenizer.eos_token_id
    )
    params = source.make(places)
    if start.exists():
        start.rmdir()
    hub.save_params(start, model, params)
    ours = _ours(settings, objective, source, params, tries, len(pairs), batch, mesh, folder)
    torch_side = _Torch(kind, start, pairs, batch, tokenizer.pad_token_id or 0)
    sides = {"ours": ours, "torch": Side(torch_side.check, torch_side.epoch)}
    if kind != "all":
        sides["trl"] = _trl(kind, start, pairs, batch, tokenizer, folder)
    return sides


def _ours(
    settings: RunSettings,
    objective: Objective,
    source: initial.Source,
    params: Any,
    tries: TrieSet,
    count: int,
    batch: int,
    mesh: Any,
    folder: Path,
) -> Side:
    compute = trainer.compute_of(settings.train, mesh)
    run = trainer.make_trainer(
        source.model, objective, mesh, settings=settings.train, steps=1, compute=compute
    )
    numbers = None
    if objective.reference:
        (numbers,) = reference_logps(
            source,
            objective,
            [tries],
            params=params,
            mesh=mesh,
            cache_dir=folder / "cache",
            rows_per_batch=4,
            pad_token=0,
            compute=compute,
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
        def both(params: Any, part: Any) -> tuple[jax.Array, Any]:
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
    places = len(every) * in_step * settings.data.row_length
    first = step.compile_first_state(run.optimizer, run.shardings)
    state = first(jax.tree.map(lambda x: x + 0, params))

    def epoch() -> tuple[float, int]:
        nonlocal state
        jax.block_until_ready(state)
        start = time.perf_counter()
        for each in loader.stream(every, fields=objective.fields):
            state, _ = run.train_step(state, sharding.to_device(each, mesh), {})
        jax.block_until_ready(state)
        return time.perf_counter() - start, places

    return Side(check, epoch)


def _load(kind: str, folder: Path) -> Any:
    import transformers

    name = "AutoModelForCausalLM" if kind == "dpo" else "AutoModelForSequenceClassification"
    return getattr(transformers, name).from_pretrained(folder, attn_implementation="sdpa")


class _Torch:
    """A loop with nothing around it."""

    def __init__(self, kind: str, folder: Path, pairs: list[Any], batch: int, pad: int):
        import torch

        self.computed = 0
        self.kind, self.pairs, self.batch, self.pad = kind, pairs, batch, pad
        self.model = _load(kind, folder).eval()  # no dropout, as in TRL
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0
        )
        self.reference: dict[int, Any] = {}
        self.rng = np.random.default_rng(0)
        if kind == "dpo":
            with torch.no_grad():
                for index in range(len(pairs)):
                    self.reference[index] = self._logps([index]).clone()

    def _padded(self, indices: list[int]) -> tuple[Any, Any, Any]:
        """Ids, attention mask and response mask of chosen, then rejected."""
        texts = [(self.pairs[i].prompt, self.pairs[i].chosen) for i in indices]
        texts += [(self.pairs[i].prompt, self.pairs[i].rejected) for i in indices]
        return self._filled(texts)

    def _filled(self, texts: list[tuple[list[int], list[int]]]) -> tuple[Any, Any, Any]:
        """The same of prompts and responses in one list."""
        import torch

        longest = max(len(p) + len(r) for p, r in texts)
        self.computed += len(texts) * longest
        ids = torch.full((len(texts), longest), self.pad)
        mask, scored = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, (prompt, response) in enumerate(texts):
            stop = len(prompt) + len(response)
            ids[row, :stop] = torch.tensor(prompt + response)
            mask[row, :stop] = 1
            scored[row, len(prompt) : stop] = 1
        return ids, mask, scored

    def _logps(self, indices: list[int]) -> Any:
        """Log-probabilities [2, pairs], from the logits of response tokens alone."""
        import torch

        ids, mask, scored = self._padded(indices)
        states = self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        at = scored[:, 1:].bool()
        logits = self.model.lm_head(states[:, :-1][at])
        targets = ids[:, 1:][at]
        values = -torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        sums = torch.zeros(at.shape, dtype=values.dtype).masked_scatter(at, values).sum(1)
        return sums.reshape(2, -1)

    def _rewards(self, ids: Any, mask: Any) -> Any:
        import torch

        states = self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.model.score(states[torch.arange(len(ids)), mask.sum(1) - 1])[:, 0]

    def _loss(self, indices: list[int]) -> Any:
        import torch

        if self.kind == "all":
            terms = [term for i in indices for term in self.pairs[i]]
            ids, mask, _ = self._filled([(s, []) for term in terms for s in term.sequences])
            signs = torch.tensor([sign for term in terms for sign in term.signs])
            whose = [i for i, term in enumerate(terms) for _ in term.signs]
            margins = torch.zeros(len(terms)).index_add(
                0, torch.tensor(whose), self._rewards(ids, mask) * signs
            )
            losses = -torch.nn.functional.logsigmoid(margins)
            levels = torch.tensor([term.level for term in terms])
            return sum(losses[levels == level].mean() for level in levels.unique())
        if self.kind == "reward":
            ids, mask, _ = self._padded(indices)
            chosen, rejected = self._rewards(ids, mask).reshape(2, -1)
        else:
            reference = torch.cat([self.reference[i] for i in indices], dim=1)
            chosen, rejected = BETA * (self._logps(indices) - reference)
        return -torch.nn.functional.logsigmoid(chosen - rejected).mean()

    def check(self) -> tuple[float, float]:
        """Loss and gradient norm of the first pairs."""
        import torch

        loss = self._loss(list(range(self.batch)))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1e9)
        self.optimizer.zero_grad()
        return float(loss), float(norm)

    def epoch(self) -> tuple[float, int]:
        """Trains on all pairs, in another order each time."""
        import torch

        order = self.rng.permutation(len(self.pairs)).tolist()
        self.computed = 0
        start = time.perf_counter()
        for at in range(0, len(order), self.batch):
            self._loss(order[at : at + self.batch]).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start, self.computed


def _trl(
    kind: str, start: Path, pairs: list[Pair], batch: int, tokenizer: Any, folder: Path
) -> Side:
    import datasets
    import torch
    import transformers
    import trl

    class Clock(transformers.TrainerCallback):
        """Seconds from the beginning of the first step to the end of the last."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Starts the clock."""
            if state.global_step == 0:
                self.start = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Reads the clock."""
            self.seconds = time.perf_counter() - self.start

    if kind == "reward":
        records = [
            {"chosen_ids": p.prompt + p.chosen, "rejected_ids": p.prompt + p.rejected}
            for p in pairs
        ]
        settings, trainer_of, own = trl.RewardConfig, trl.RewardTrainer, {}
    else:
        records = [
            {"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected}
            for p in pairs
        ]
        own = {"beta": BETA, "precompute_ref_log_probs": True}

        class Tokenized(trl.DPOTrainer):
            """Takes the tokens as they are, the same as on the other sides."""

            def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
                return dataset

        settings, trainer_of = trl.DPOConfig, Tokenized
    steps = -(-len(pairs) // batch)
    arguments = settings(
        output_dir=str(folder / f"trl-{kind}"),
        per_device_train_batch_size=batch,
        max_steps=steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        log_level="error",
        max_length=None,
        **own,
    )
    clock = Clock()
    trainer = trainer_of(
        model=_load(kind, start),
        args=arguments,
        train_dataset=datasets.Dataset.from_list(records),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    first = functools.partial(_first_batch, trainer, batch)

    def check() -> tuple[float, float]:
        trainer.model.eval()
        loss = trainer.compute_loss(trainer.model, first())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1e9)
        trainer.model.zero_grad()
        return float(loss), float(norm)

    def epoch() -> tuple[float, int]:
        trainer.train()
        return clock.seconds, 0

    return Side(check, epoch)


def _first_batch(trainer: Any, batch: int) -> Any:
    return trainer.data_collator([trainer.train_dataset[i] for i in range(batch)])
