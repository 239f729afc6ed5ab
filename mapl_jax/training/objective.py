"""What a run trains: a reward model, a policy by preferences, or a policy by demonstrations.

An objective is a head, which gives a number for each leaf (its reward or its log-probability), and
a loss of these numbers. Everything else in a run is the same.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from jaxtyping import Array, Float

from mapl_jax import losses, pair_losses, token_losses
from mapl_jax.data.loader import Batch
from mapl_jax.data.trie_set import TrieSet
from mapl_jax.kernels.compute import Compute
from mapl_jax.losses import Leaves, LevelSums, LogProbabilities, PolicySums
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import Head, LogpHead, ScoreHead
from mapl_jax.runtime import errors, settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting
from mapl_jax.token_losses import TokenSums
from mapl_jax.training.step import LossFunction, Params

# What a model learns from, and what its evaluation therefore is of.
Kind = Literal["comparisons", "demonstrations"]
# Fields of a batch, beside rows and leaf ends, that the head of a policy reads.
PATHS = ("parent", "scored_at")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """The section `loss` of a run."""

    base: float = setting(1.0, "weight of the level base", least=1e-6, most=1e6)
    intra: float = setting(1.0, "weight of the level intra", least=0, most=1e6)
    inter: float = setting(1.0, "weight of the level inter", least=0, most=1e6)
    neutral: float = setting(
        1.0, "weight of the level neutral (see synthesis.neutral)", least=0, most=1e6
    )
    inter_form: str = setting(
        "margin",
        'form of the level inter: "margin", "plain", "fixed" or "stopgrad"',
        choices=tuple(losses.INTER_FORMS),
    )
    inter_gamma: float = setting(
        0.0,
        'what inter_form="fixed" subtracts from the margin for each added instruction',
        least=-1e6,
        most=1e6,
    )
    graded: float = setting(
        0.0,
        "required margin of intra and inter comparisons: near this value where the responses are "
        "far from the thresholds of the instructions, near 0 where they are close",
        least=0,
        most=1e6,
    )
    center: float = setting(
        0.0,
        "coefficient of a term that keeps rewards near 0; TRL's center_rewards_coefficient",
        least=0,
        most=1e6,
    )
    beta: float = setting(
        0.1, "scale of a policy's implicit reward (DPO's beta)", least=1e-6, most=1e6
    )
    type: str = setting(
        "sigmoid", "loss of the base level for a policy; several are separated by commas"
    )
    weights: str = setting("", "weights of these losses, separated by commas; empty: 1 each")
    label_smoothing: float = setting(
        0.0,
        "probability that a label is wrong; used by sigmoid, robust and exo_pair",
        least=0,
        most=0.999,
    )
    lists: str = setting(
        "pairs",
        'loss of a list of responses at the level base: "pairs" (mean over its comparisons) or '
        '"plackett_luce" (likelihood of its ranking)',
        choices=("pairs", "plackett_luce"),
    )
    joint_logp: bool = setting(
        False,
        "count prompt tokens in the log-probabilities too (arXiv 2502.00814); changes only intra",
    )

    def __post_init__(self) -> None:
        settings.check(self, "loss")
        if self.inter_gamma and self.inter_form != "fixed":
            raise UserError(
                f"loss.inter_gamma is {self.inter_gamma}, which only loss.inter_form=fixed reads; "
                "set that, or leave it out"
            )

    @property
    def levels(self) -> tuple[float, ...]:
        """Lambda of the levels, in the order of `losses.ALL_LEVELS`."""
        return self.base, self.intra, self.inter, self.neutral

    @property
    def rankings(self) -> bool:
        """Whether lists of responses are learned as rankings."""
        return self.lists == "plackett_luce"


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a run trains.

    Attributes:
        loss: (numbers of the leaves, part of a batch) -> its share of the loss, and sums.
        score: from these numbers to those that an evaluation reads: rewards, log-probabilities.
        fields: fields of a batch that all of this reads; see `Batch.keeping`.
        weights: lambda of the levels, in the order of `losses.ALL_LEVELS`.
        inter_gamma: gamma of an inter comparison, per added instruction.
        graded: gamma of a comparison whose instructions part the responses as far as can be.
        reference: whether the loss needs the log-probabilities of a reference.
        joint: whether prompt tokens count in log-probabilities.
        without_margins: names of the losses to which a margin in the data means nothing.
    """

    kind: Kind
    head: Head
    loss: LossFunction
    score: Callable[[LogProbabilities, Batch], Leaves]
    fields: tuple[str, ...]
    weights: tuple[float, ...] = (1.0,) * len(losses.ALL_LEVELS)
    inter_gamma: float = 0.0
    graded: float = 0.0
    reference: bool = False
    joint: bool = False
    without_margins: tuple[str, ...] = ()

    def leaves(
        self, model: DecoderConfig, params: Params, batch: Batch, compute: Compute
    ) -> LogProbabilities:
        """The number of each leaf of a part of a batch."""
        return self.head.leaves(model, params, batch, compute)

    def check(self, tries: TrieSet) -> None:
        """Makes sure that every number of the data means something to the loss."""
        if self.without_margins and tries.has_gamma:
            raise UserError(
                f"the data has margins, and the loss {', '.join(self.without_margins)} ignores them"
                f"; remove them, or choose from "
                f"{', '.join(pair_losses.OF_MARGIN)}"
            )


def make(name: str, loss: LossSettings, *, logp_chunk: int = 256) -> Objective:
    """The objective of a run.

    Args:
        name: "reward", "dpo" or "sft".
        loss: settings of its loss; those that only other objectives read are as by default.
        logp_chunk: scored tokens of a row whose logits a policy holds at once.
    """
    made: Objective = errors.choice("objective", name, OBJECTIVES)(loss, logp_chunk)
    for field in UNREAD.get(name, settings.fields_of(LossSettings)):
        if (value := getattr(loss, field)) != getattr(LossSettings(), field):
            raise UserError(
                f"loss.{field} is {value!r}, and the objective {name} does not read it; leave it "
                "out, or choose another objective"
            )
    return made


def reward_objective(loss: LossSettings, _: int) -> Objective:
    """The reward of a leaf is a score of its last hidden state."""
    return Objective(
        kind="comparisons",
        head=ScoreHead(),
        loss=functools.partial(
            reward_loss, inter=loss.inter_form, center=loss.center, rankings=loss.rankings
        ),
        score=lambda rewards, _: rewards,
        fields=("tiles", "comparisons"),
        weights=loss.levels,
        inter_gamma=loss.inter_gamma,
        graded=loss.graded,
    )


def dpo_objective(loss: LossSettings, logp_chunk: int) -> Objective:
    """The reward of a leaf is beta * (log pi - log pi_ref) (arXiv 2305.18290, equation 5)."""
    weights = _weights(loss.type, loss.weights)
    sft = weights.pop("sft", 0.0)
    try:
        base_loss = pair_losses.combine(weights, beta=loss.beta, smoothing=loss.label_smoothing)
    except ValueError as error:
        raise UserError(f"loss: {error}") from error
    if not 0 <= sft < float("inf"):
        raise UserError(f"loss: the weight of sft is {sft}; it must be a number of 0 or more")
    if loss.rankings and (list(weights) != ["sigmoid"] or loss.label_smoothing):
        raise UserError(
            "loss.lists=plackett_luce is a loss of its own; with it, loss.type is sigmoid (or "
            "sigmoid,sft), without label smoothing"
        )
    without_margins = tuple(name for name in weights if name not in pair_losses.OF_MARGIN)
    if loss.joint_logp and (without_margins or sft):
        raise UserError(
            "loss.joint_logp counts prompt tokens, which cancel only in a loss of the margin; "
            f"with it, choose from {', '.join(pair_losses.OF_MARGIN)}"
        )
    return Objective(
        kind="comparisons",
        head=LogpHead(logp_chunk, parts=True),
        loss=functools.partial(
            policy_loss,
            beta=loss.beta,
            inter=loss.inter_form,
            base_loss=base_loss,
            sft=sft,
            rankings=loss.rankings,
        ),
        score=lambda logps, batch: losses.dpo_rewards(logps, present(batch.ref_logp), loss.beta),
        fields=("tiles", *PATHS, "comparisons", "ref_logp", "response_tokens", "sft_weight"),
        weights=loss.levels,
        inter_gamma=loss.inter_gamma,
        graded=loss.graded,
        reference=True,
        joint=loss.joint_logp,
        without_margins=without_margins,
    )


def sft_objective(_: LossSettings, logp_chunk: int) -> Objective:
    """The likelihood of demonstrated responses."""
    return Objective(
        kind="demonstrations",
        head=LogpHead(logp_chunk),
        loss=demonstration_loss,
        score=lambda logps, _: logps,
        fields=("tiles", *PATHS, "response_tokens", "sft_weight"),
    )


OBJECTIVES: dict[str, Callable[[LossSettings, int], Objective]] = {
    "reward": reward_objective,
    "dpo": dpo_objective,
    "sft": sft_objective,
}
# Fields of `LossSettings` that an objective does not read; without an entry, none of them.
UNREAD = {
    "reward": ("beta", "type", "weights", "label_smoothing", "joint_logp"),
    "dpo": ("center",),
}


# Losses of a part of a batch.


def reward_loss(rewards: Leaves, batch: Batch, **how: Any) -> tuple[Float[Array, ""], LevelSums]:
    """The loss of a reward model; see `losses.preference_loss`."""
    return losses.preference_loss(rewards, present(batch.comparisons), **how)


def policy_loss(
    logps: LogProbabilities, batch: Batch, **how: Any
) -> tuple[Float[Array, ""], PolicySums]:
    """The loss of a policy by preferences; see `losses.dpo_loss`."""
    return losses.dpo_loss(
        logps,
        present(batch.ref_logp),
        present(batch.comparisons),
        present(batch.response_tokens),
        present(batch.sft_weight),
        **how,
    )


def demonstration_loss(logps: Leaves, batch: Batch) -> tuple[Float[Array, ""], TokenSums]:
    """The loss of a policy by demonstrations; see `token_losses.sft_loss`."""
    return token_losses.sft_loss(logps, present(batch.response_tokens), present(batch.sft_weight))


def present(array: T | None) -> T:
    """An array that a batch must have, because `Objective.fields` names it."""
    if array is None:
        raise ValueError("the batch lacks an array that the objective reads")
    return array


# Lists in settings.


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
            "name every loss once, and give each a weight or none of them (--config.loss.weights=)"
        )
    return dict(zip(keys, values, strict=True))
