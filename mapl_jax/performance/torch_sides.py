"""The sides of a comparison that run in torch: TRL's trainers, and a plain loop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.runtime.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

BETA = 0.1
LEARNING_RATE = 1e-5


@dataclasses.dataclass(frozen=True)
class Pair:
    """A pair as the peers read it."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


@dataclasses.dataclass(frozen=True)
class Term:
    """A sum of rewards of a level, each of a sequence of its own, with a sign, +1 or -1."""

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


def device() -> str:
    """Where torch computes: where JAX does, on a GPU or on CPUs."""
    import torch

    gpu = jax.default_backend() == "gpu"
    if gpu and not torch.cuda.is_available():
        raise UserError("JAX sees a GPU and torch does not; install torch for CUDA")
    return "cuda" if gpu else "cpu"


def _rounded(half: bool) -> Any:
    """Products in bf16, with weights in fp32; or everything in fp32."""
    import torch

    return torch.autocast(device(), torch.bfloat16, enabled=half)


def _load(kind: str, folder: Path) -> Any:
    import transformers

    name = "AutoModelForCausalLM" if kind == "dpo" else "AutoModelForSequenceClassification"
    model = getattr(transformers, name).from_pretrained(folder, attn_implementation="sdpa")
    return model.to(device())


def _gradient_norm(model: Any) -> float:
    """Norm of a model's gradients, summed in fp64.

    torch sums the squares of a tensor one after the other in fp32: of eight million numbers, the
    gradient of an embedding, `clip_grad_norm_` loses 1e-4 to 1e-3.
    """
    gradients = (p.grad for p in model.parameters() if p.grad is not None)
    return float(sum(g.double().square().sum() for g in gradients)) ** 0.5


class TorchLoop:
    """A loop with nothing around it."""

    def __init__(self, kind: str, folder: Path, pairs: list[Any], batch: int, pad: int, half: bool):
        import torch

        self.computed, self.half = 0, half
        self.kind, self.pairs, self.batch, self.pad = kind, pairs, batch, pad
        self.model = _load(kind, folder).eval()  # no dropout, as in TRL
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0
        )
        self.reference: dict[int, Tensor] = {}
        self.rng = np.random.default_rng(0)
        if kind == "dpo":
            with torch.no_grad(), _rounded(half):
                for index in range(len(pairs)):
                    self.reference[index] = self._logps([index]).clone()

    def _padded(self, indices: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, attention mask and response mask of chosen, then rejected."""
        texts = [(self.pairs[i].prompt, self.pairs[i].chosen) for i in indices]
        texts += [(self.pairs[i].prompt, self.pairs[i].rejected) for i in indices]
        return self._filled(texts)

    def _filled(self, texts: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
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
        here = device()
        return ids.to(here), mask.to(here), scored.to(here)

    def _logps(self, indices: list[int]) -> Tensor:
        """Log-probabilities [2, pairs], from the logits of response tokens alone."""
        import torch

        ids, mask, scored = self._padded(indices)
        states = self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        at = scored[:, 1:].bool()
        logits = self.model.lm_head(states[:, :-1][at])
        targets = ids[:, 1:][at]
        values = -torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
        sums = torch.zeros(at.shape, device=values.device).masked_scatter(at, values).sum(1)
        return sums.reshape(2, -1)

    def _rewards(self, ids: Tensor, mask: Tensor) -> Tensor:
        import torch

        states = self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        ends = torch.arange(len(ids), device=ids.device), mask.sum(1) - 1
        return self.model.score(states[ends])[:, 0].float()

    def _loss(self, indices: list[int]) -> Tensor:
        import torch

        if self.kind == "all":
            terms = [term for i in indices for term in self.pairs[i]]
            ids, mask, _ = self._filled([(s, []) for term in terms for s in term.sequences])
            rewards = self._rewards(ids, mask)
            signs = rewards.new_tensor([sign for term in terms for sign in term.signs])
            whose = ids.new_tensor([i for i, term in enumerate(terms) for _ in term.signs])
            margins = rewards.new_zeros(len(terms)).index_add(0, whose, rewards * signs)
            losses = -torch.nn.functional.logsigmoid(margins)
            levels = ids.new_tensor([term.level for term in terms])
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
        with _rounded(self.half):
            loss = self._loss(list(range(self.batch)))
        loss.backward()
        norm = _gradient_norm(self.model)
        self.optimizer.zero_grad()
        return float(loss), norm

    def epoch(self) -> tuple[float, int]:
        """Trains on all pairs, in another order each time."""
        import torch

        order = self.rng.permutation(len(self.pairs)).tolist()
        self.computed = 0
        start = time.perf_counter()
        for at in range(0, len(order), self.batch):
            with _rounded(self.half):
                loss = self._loss(order[at : at + self.batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        if device() == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start, self.computed


def trl_side(
    kind: str,
    start: Path,
    pairs: list[Pair],
    batch: int,
    tokenizer: Tokenizer,
    folder: Path,
    half: bool,
) -> Side:
    """TRL's trainer of rewards or of DPO, from the weights of a folder."""
    import datasets
    import trl

    clock = _clock()
    own: dict[str, object] = {}
    if kind == "reward":
        records = [
            {"chosen_ids": p.prompt + p.chosen, "rejected_ids": p.prompt + p.rejected}
            for p in pairs
        ]
        settings, trainer_of = trl.RewardConfig, trl.RewardTrainer
    else:
        records = [
            {"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected}
            for p in pairs
        ]
        settings, trainer_of = trl.DPOConfig, _dpo_trainer()
        own = {"beta": BETA, "precompute_ref_log_probs": True}
    arguments = settings(
        output_dir=str(folder / f"trl-{kind}"),
        per_device_train_batch_size=batch,
        max_steps=-(-len(pairs) // batch),
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        bf16=half,
        use_cpu=device() == "cpu",
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        log_level="error",
        max_length=None,
        **own,
    )
    trainer = trainer_of(
        model=_load(kind, start),
        args=arguments,
        train_dataset=datasets.Dataset.from_list(records),
        processing_class=tokenizer,
        callbacks=[clock],
    )

    def check() -> tuple[float, float]:
        trainer.model.eval()
        first = trainer.data_collator([trainer.train_dataset[i] for i in range(batch)])
        first = {name: x.to(device()) for name, x in first.items()}
        with _rounded(half):
            loss = trainer.compute_loss(trainer.model, first)
        loss.backward()
        norm = _gradient_norm(trainer.model)
        trainer.model.zero_grad()
        return float(loss), norm

    def epoch() -> tuple[float, int]:
        trainer.train()
        return clock.seconds, 0

    return Side(check, epoch)


def _clock() -> Any:
    import torch
    import transformers

    class Clock(transformers.TrainerCallback):
        """Seconds from the beginning of the first step to the end of the last."""

        def on_step_begin(self, args: object, state: Any, control: object, **_: object) -> None:
            """Starts the clock."""
            if state.global_step == 0:
                self.start = time.perf_counter()

        def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
            """Reads the clock."""
            if device() == "cuda":
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.start

    return Clock()


def _dpo_trainer() -> object:
    import trl

    class Tokenized(trl.DPOTrainer):
        """Takes the tokens as they are, the same as on the other sides."""

        def _prepare_dataset(self, dataset: object, *_: object) -> object:
            return dataset

    return Tokenized
