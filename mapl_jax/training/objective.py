"""What a run trains: a reward model, a policy by preferences, or a policy by demonstrations.

An objective is three things: a number for each leaf (its reward or its log-probability), computed
by a model; a loss of these numbers; and what they say about a held-out comparison. Everything else
in a run is the same.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from jaxtyping import Array
from ml_collections import ConfigDict

from mapl_jax import losses, pair_losses
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.evaluation import likelihood, preferences
from mapl_jax.evaluation.likelihood import score_responses
from mapl_jax.evaluation.preferences import score_comparisons
from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row
from mapl_jax.losses import Comparisons, Leaves, PolicySums
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import Head, LogpHead, ScoreHead
from mapl_jax.runtime import errors, settings, storage
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting
from mapl_jax.training.step import Batch, LossFunction, Params

TRIE = ("tokens", "positions", "reach")
REWARD = (*TRIE, "leaf_end")
LOGP = (*TRIE, "parent", "scored_at", "leaf_end")


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """The section `loss` of a run."""

    base: float = setting(1.0, "weight of the level base", above=0)
    intra: float = setting(1.0, "weight of the level intra", least=0)
    inter: float = setting(1.0, "weight of the level inter", least=0)
    inter_form: str = setting(
        "margin",
        'form of the level inter: "margin", "plain", "fixed" or "stopgrad"',
        choices=tuple(losses.INTER_FORMS),
    )
    inter_gamma: float = setting(0.0, 'margin of inter_form "fixed", for each added instruction')
    center: float = setting(0.0, "keeps rewards near 0; TRL's center_rewards_coefficient", least=0)
    beta: float = setting(0.1, "factor of the rewards of a policy", above=0)
    type: str = setting(
        "sigmoid", "loss of the base level of a policy; several with commas between them"
    )
    weights: str = setting("", "weights of these losses, with commas between them; empty: 1 each")
    label_smoothing: float = setting(
        0.0, "chance that a label is wrong: sigmoid, robust, exo_pair", least=0, below=1
    )
    joint_logp: bool = setting(False, "prompt tokens count too (arXiv 2502.00814), for intra")

    def __post_init__(self) -> None:
        settings.check(self, "loss")


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a run trains.

    Attributes:
        head: head of the model; it gives the number of each leaf.
        loss: of these numbers.
        score: from these numbers to those that a held-out evaluation reads.
        fields: arrays of a batch that all of this reads.
        evaluation: the module of the evaluation, `evaluation.preferences` or `.likelihood`.
        evaluate: from such numbers of all leaves to what the module summarizes.
        comparisons: whether it learns from comparisons; else from demonstrations.
        weights: lambda of the levels base, intra, inter.
        inter_gamma: gamma of an inter comparison, per added instruction.
        reference: whether it needs the log-probabilities of a reference.
        joint: whether prompt tokens count in log-probabilities.
    """

    head: Head
    loss: LossFunction
    score: Callable[[Leaves, Batch], Leaves]
    fields: tuple[str, ...]
    evaluation: ModuleType
    evaluate: Callable[..., Any]
    comparisons: bool = True
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    inter_gamma: float = 0.0
    reference: bool = False
    joint: bool = False

    def leaves(
        self, model: DecoderConfig, params: Params, batch: Batch, compute: Compute
    ) -> Leaves:
        """The number of each leaf of a part of a batch."""
        return self.head.leaves(model, params, paths_of(batch), compute)

    def check(self, tries: TrieSet, config: ConfigDict) -> None:
        """Makes sure that every number of the data means something to the loss.

        Raises:
            UserError: pairs have margins, and the loss knows none.
        """
        if self.reference and tries.has_gamma:
            names = _names(config.loss.type)
            if other := [n for n in names if n not in (*pair_losses.OF_MARGIN, "sft")]:
                raise UserError(
                    f"the data has margins, which mean nothing to the loss {', '.join(other)}; "
                    f"remove them, or choose from {', '.join(pair_losses.OF_MARGIN)}"
                )


def make(config: ConfigDict) -> Objective:
    """The objective that a config names.

    Raises:
        UserError: a setting means nothing.
    """
    return errors.choice("objective", config.objective, OBJECTIVES)(config)


# Reward models.


def reward_objective(config: ConfigDict) -> Objective:
    """The reward of a leaf is a score of its last hidden state."""
    inter, levels = _levels(config)
    return Objective(
        head=ScoreHead(),
        loss=functools.partial(reward_loss, inter=inter, center=config.loss.center),
        score=lambda rewards, _: rewards,
        fields=(*REWARD, "tiles", *Comparisons._fields),
        evaluation=preferences,
        evaluate=score_comparisons,
        **levels,
    )


class BatchPaths(NamedTuple):
    """The arrays of a part of a batch that heads read; `models.heads.Paths`."""

    row: Row
    leaf_end: Array
    parent: Any
    scored_at: Any


def paths_of(batch: Batch) -> BatchPaths:
    """What heads read of a part of a batch."""
    row = Row(batch["tokens"], batch["positions"], batch["reach"], batch.get("tiles"))
    return BatchPaths(row, batch["leaf_end"], batch.get("parent"), batch.get("scored_at"))


def dpo_objective(config: ConfigDict) -> Objective:
    """The reward of a leaf is beta * (log pi - log pi_ref) (arXiv 2305.18290, equation 5)."""
    fields = config.loss
    name = config.model.path
    # The demonstration's run makes the model that it starts from.
    made = not name and "sft" in config
    there = bool(name) and Path(name).expanduser().is_dir()
    if not made and not there and not storage.HUB_NAME.fullmatch(name):
        raise UserError(
            f"no such folder: {name or '(none)'}, to start from; make one with "
            "--config=configs/sft.py, or set --config.model.path to a folder or hub name"
        )
    inter, levels = _levels(config)
    weights = _weights(fields.type, fields.weights)
    sft = weights.pop("sft", 0.0)
    try:
        base_loss = pair_losses.combine(weights, beta=fields.beta, smoothing=fields.label_smoothing)
    except ValueError as error:
        raise UserError(f"loss: {error}") from error
    if not 0 <= sft < float("inf"):
        raise UserError(f"loss: the weight of sft is {sft}; it must be a number of 0 or more")
    if fields.joint_logp and (set(weights) - set(pair_losses.OF_MARGIN) or sft):
        raise UserError(
            "loss.joint_logp counts prompt tokens, which cancel only in a loss of the margin; "
            f"with it, choose from {', '.join(pair_losses.OF_MARGIN)}"
        )
    return Objective(
        head=logp_head(config.train.logp_chunk, parts=True),
        loss=functools.partial(
            policy_loss, beta=fields.beta, inter=inter, base_loss=base_loss, sft=sft
        ),
        score=lambda logps, batch: losses.dpo_rewards(logps, batch["ref_logp"], fields.beta),
        fields=(*LOGP, "tiles", *Comparisons._fields, "ref_logp", "response_tokens", "sft_weight"),
        evaluation=preferences,
        evaluate=score_comparisons,
        **levels,
        reference=True,
        joint=fields.joint_logp,
    )


def sft_objective(config: ConfigDict) -> Objective:
    """The likelihood of demonstrated responses."""
    return Objective(
        head=logp_head(config.train.logp_chunk),
        loss=demonstration_loss,
        score=lambda logps, _: logps,
        fields=(*LOGP, "tiles", "response_tokens", "sft_weight"),
        evaluation=likelihood,
        evaluate=score_responses,
        comparisons=False,
    )


def logp_head(chunk: int, *, parts: bool = False) -> LogpHead:
    """The head of a policy, with the logits of a chunk of each device's own rows at once."""
    if chunk < 1:
        raise UserError(f"train.logp_chunk must be at least 1, not {chunk}")
    return LogpHead(chunk, parts)


OBJECTIVES = {"reward": reward_objective, "dpo": dpo_objective, "sft": sft_objective}


# Losses of a part of a batch.


def comparisons_of(batch: Batch) -> Comparisons:
    """The comparison table of a part of a batch."""
    return Comparisons(*(batch[name] for name in Comparisons._fields))


def reward_loss(rewards: Leaves, batch: Batch, **options: Any) -> tuple[Array, losses.LevelSums]:
    """The loss of a reward model; options as for `losses.preference_loss`."""
    return losses.preference_loss(rewards, comparisons_of(batch), **options)


def policy_loss(logps: Array, batch: Batch, **options: Any) -> tuple[Array, PolicySums]:
    """The loss of a policy by preferences; options as for `losses.dpo_loss`."""
    return losses.dpo_loss(
        logps,
        batch["ref_logp"],
        comparisons_of(batch),
        batch["response_tokens"],
        batch["sft_weight"],
        **options,
    )


def demonstration_loss(logps: Leaves, batch: Batch) -> tuple[Array, losses.TokenSums]:
    """The loss of a policy by demonstrations."""
    return losses.sft_loss(logps, batch["response_tokens"], batch["sft_weight"])


# Settings.


def _levels(config: ConfigDict) -> tuple[str, dict[str, Any]]:
    """The form of the inter level, and what the loader needs to know of all levels."""
    loss = config.loss
    if not loss.base > 0 or loss.intra < 0 or loss.inter < 0:
        raise UserError(
            "loss.base must be above 0 and loss.intra and loss.inter at least 0: without base, "
            "rewards of prompt or response alone are not determined"
        )
    inter = errors.choice("loss.inter_form", loss.inter_form, losses.INTER_FORMS)
    gamma = loss.inter_gamma if inter == "fixed" else 0.0
    return inter, {"weights": (loss.base, loss.intra, loss.inter), "inter_gamma": gamma}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _weights(names: str, weights: str) -> dict[str, float]:
    """Weights by loss, from two lists with commas; no weights at all are ones."""
    keys = _names(names)
    try:
        values = [float(value) for value in _names(weights)] if weights else [1.0] * len(keys)
    except ValueError as error:
        raise UserError(f"loss.weights is {weights!r}; give numbers with commas between") from error
    if len(values) != len(keys) or len(set(keys)) != len(keys):
        raise UserError(
            f"loss.type is {names!r} and loss.weights {weights!r}; "
            "name every loss once, and give each a weight or none of them"
        )
    return dict(zip(keys, values, strict=True))
