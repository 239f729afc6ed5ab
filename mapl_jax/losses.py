"""Every formula of the package, as pure functions of arrays.

A comparison is a signed sum of leaf rewards, and its loss is that of Bradley and Terry (1952):

    margin   m = sum_t sign_t * r(leaf_t) - gamma
    loss     l = -log sigmoid(m)
    L        = sum over comparisons of weight * l

With `weight = lambda_level / (comparisons of that level in the global batch)` the sum is the mean
per level, and stays right under packing, gradient accumulation and sharding, because nothing is
divided afterwards. Levels differ only in their terms (`BASE`, `INTRA`, `INTER`); see MAPL, arXiv
2505.12845, and for the two prompts of `INTRA` the response-conditioned model of arXiv 2502.00814.
`NEUTRAL` has the terms of `INTER` and the label 1/2: instructions that both responses keep, or both
break, should not move the gap (arXiv 2506.16507), and l is -1/2 [log sigmoid(m) + log sigmoid(-m)].

The published text of MAPL does not print the loss of `INTER`; the four readings are `INTER_FORMS`.

The reward of a leaf is the score of a reward model, or beta * (log pi - log pi_ref) of a policy
(`dpo_rewards`). Functions of numbers alone, such as `margin_loss`, take NumPy arrays as well and
then compute in their precision: an evaluation sums in float64 what a step sums in float32.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from mapl_jax import pair_losses

BASE, INTRA, INTER, NEUTRAL = 0, 1, 2, 3
LEVELS = ("base", "intra", "inter")  # whose comparisons come out right or wrong
ALL_LEVELS = (*LEVELS, "neutral")  # and the one whose comparisons are ties
UNUSED = -1

INTER_FORMS = ("margin", "plain", "fixed", "stopgrad")

Leaves = Float[Array, "R L"]
# An array of the device, or of NumPy.
Numbers = TypeVar("Numbers", Array, np.ndarray)


# Of one comparison.


def signed_sum(terms: Numbers, sign: Numbers) -> Numbers:
    """The gap of comparisons: the signed sum of what their terms [..., T] have, [...]."""
    return (terms * sign).sum(-1)


def margin_loss(margin: Numbers) -> Numbers:
    """-log sigmoid(m), the loss of a margin."""
    numpy = jnp if isinstance(margin, jax.Array) else np
    return numpy.logaddexp(-margin, 0.0)


def is_right(gap: Numbers) -> Numbers:
    """Whether a comparison comes out as it should; a tie does not."""
    return gap > 0


def is_tie(gap: Numbers) -> Numbers:
    """Whether both sides of a comparison are the same to the last bit."""
    return gap == 0


# Of a batch.


def level_weights(
    weights: Float[np.ndarray, "V"], counts: Float[np.ndarray, "V"]
) -> Float[np.ndarray, "V"]:
    """The weight of a comparison of each level: lambda / count, and 0 where there is none.

    Args:
        weights: lambda of the levels.
        counts: comparisons of each level in the whole global batch, by their shares.
    """
    return np.where(counts > 0, weights / np.where(counts > 0, counts, 1), 0.0)


def share(level: int, count: int) -> float:
    """Weight of one of a sample's comparisons of a level, of which the sample has `count`.

    A pair has two comparisons of intra and inter and one of the others, each with weight 1. A list
    of responses has more of them, which share that weight: every sample counts alike.
    """
    return min(1.0, (2 if level in (INTRA, INTER) else 1) / count)


class Comparisons(NamedTuple):
    """The comparison table of a batch of rows.

    Attributes:
        term_leaf: index of each term's leaf in its row.
        term_sign: +1, -1, or 0 for an unused term. In an inter or neutral comparison terms 0 and 1
            are the gap with the added instructions, terms 2 and 3 the original gap.
        gamma: subtracted from the signed sum, in units of reward.
        level: `BASE`, `INTRA`, `INTER`, `NEUTRAL`, or `UNUSED`.
        weight: what the comparison's loss counts; 0 where unused.
        share: of the weight of its level; see `share`.
        tie: whether both sides should be equal (`pair_losses.with_ties`).
    """

    term_leaf: Int[Array, "R C 4"]
    term_sign: Float[Array, "R C 4"]
    gamma: Float[Array, "R C"]
    level: Int[Array, "R C"]
    weight: Float[Array, "R C"]
    share: Float[Array, "R C"]
    tie: Bool[Array, "R C"]


class LevelSums(NamedTuple):
    """Sums over comparisons by their shares, by level; divided once, at the very end.

    Attributes:
        loss: unweighted losses.
        correct: comparisons whose signed sum of rewards is positive; 0 is wrong.
        ties: comparisons whose signed sum is exactly 0.
        gap: signed sums of rewards, all terms, without gamma (TRL's `margin` for base).
        comparisons: their number.
        ordered: how many are no ties in the data; `correct`, `ties` and `gap` are of these.
        reward: sum of the rewards of all terms of base comparisons.
        reward_min: smallest of those rewards (+inf where there is none).
        reward_max: largest of those rewards (-inf where there is none).
    """

    loss: Float[Array, "4"]
    correct: Float[Array, "4"]
    ties: Float[Array, "4"]
    gap: Float[Array, "4"]
    comparisons: Float[Array, "4"]
    ordered: Float[Array, "4"]
    reward: Float[Array, ""]
    reward_min: Float[Array, ""]
    reward_max: Float[Array, ""]

    def joined(self) -> "LevelSums":
        """The sums of a whole batch from those of its parts, stacked along a leading axis."""
        total = LevelSums(*(jnp.sum(x, axis=0) for x in self))
        return total._replace(
            reward_min=jnp.min(self.reward_min, axis=0), reward_max=jnp.max(self.reward_max, axis=0)
        )


def term_rewards(
    rewards: Float[Array, "R L"], term_leaf: Int[Array, "R C 4"]
) -> Float[Array, "R C 4"]:
    """The reward of every term."""
    rows, comparisons, terms = term_leaf.shape
    flat = term_leaf.reshape(rows, comparisons * terms)
    return jnp.take_along_axis(rewards, flat, axis=1).reshape(rows, comparisons, terms)


def sides(
    values: Float[Array, "R L"], comparisons: Comparisons
) -> tuple[Float[Array, "R C"], Float[Array, "R C"]]:
    """Sums of a value of leaves over the positive and over the negative terms of each comparison.

    In a base comparison these are the values of the chosen and of the rejected leaf.
    """
    terms = term_rewards(values, comparisons.term_leaf)
    sign = comparisons.term_sign
    return (
        jnp.sum(jnp.where(sign > 0, terms, 0.0), axis=-1),
        jnp.sum(jnp.where(sign < 0, terms, 0.0), axis=-1),
    )


def margins(
    rewards: Float[Array, "R L"], comparisons: Comparisons, *, inter: str = "margin"
) -> Float[Array, "R C"]:
    """Margins as the loss sees them, in units of reward.

    Args:
        rewards: fp32 rewards of the leaves.
        comparisons: the table.
        inter: the form of the inter level.
            `margin`: the new gap minus the original gap (default).
            `plain`: the new gap alone.
            `fixed`: the new gap minus gamma, which the table then holds as a constant per added
            instruction.
            `stopgrad`: as `margin`, with the original gap held constant in the gradient.

    Raises:
        ValueError: for an unknown form.
    """
    if inter not in INTER_FORMS:
        raise ValueError(f"unknown inter form {inter!r}; choose one of {', '.join(INTER_FORMS)}")
    terms = term_rewards(rewards, comparisons.term_leaf) * comparisons.term_sign
    new, original = terms[..., :2].sum(-1), terms[..., 2:].sum(-1)
    if inter in ("plain", "fixed"):
        original = jnp.where(comparisons.level == INTER, 0.0, original)
    elif inter == "stopgrad":
        original = jnp.where(comparisons.level == INTER, jax.lax.stop_gradient(original), original)
    return new + original - comparisons.gamma


def preference_loss(
    rewards: Float[Array, "R L"],
    comparisons: Comparisons,
    *,
    inter: str = "margin",
    center: float = 0.0,
    base_loss: Float[Array, "R C"] | None = None,
    rankings: bool = False,
) -> tuple[Float[Array, ""], LevelSums]:
    """The training loss of a batch and what is to be logged about it.

    Args:
        rewards: fp32 rewards of the leaves; unused leaves may hold anything finite.
        comparisons: the table; its weights make the result a plain sum.
        inter: the form of the inter level, see `margins`.
        center: coefficient of the squared sum of the two rewards of a base comparison (arXiv
            2312.09244, equation 2), which keeps rewards near 0; TRL's
            `center_rewards_coefficient`. It is weighted like the base loss.
        base_loss: losses of the base comparisons where they are others than -log sigmoid of the
            margin; see `mapl_jax.pair_losses`.
        rankings: the base comparisons of a sample are a ranking, whose loss is that of Plackett
            and Luce instead of the mean of theirs.

    Returns:
        The loss, and sums by level. Accuracy and gap are those of all terms whatever `inter` is,
        so that they mean the same in every run.
    """
    rewards = rewards.astype(jnp.float32)
    margin = margins(rewards, comparisons, inter=inter)
    tie, counts = comparisons.tie, comparisons.share
    loss = pair_losses.with_ties(margin_loss, tie, margin, -margin)
    base = comparisons.level == BASE
    if base_loss is not None:
        loss = jnp.where(base, base_loss, loss)
    if rankings:
        winner = jnp.where(comparisons.term_sign > 0, comparisons.term_leaf, 0).sum(-1)
        ranked = pair_losses.plackett_luce(margin, winner, base & ~tie)
        loss = jnp.where(base & ~tie, ranked / jnp.where(counts > 0, counts, 1.0), loss)
    total = jnp.sum(comparisons.weight * loss)
    terms = term_rewards(rewards, comparisons.term_leaf)
    if center:
        spread = jnp.sum(terms * jnp.abs(comparisons.term_sign), axis=-1)
        total += center * jnp.sum(jnp.where(base, comparisons.weight * spread**2, 0.0))
    gap = signed_sum(terms, comparisons.term_sign)
    member = (comparisons.level[None] == jnp.arange(len(ALL_LEVELS))[:, None, None]).astype(
        jnp.float32
    )

    def by_level(values: Array, of: Array = counts * ~tie) -> Array:
        return jnp.einsum("vrc,rc->v", member, of * values.astype(jnp.float32))

    used = base[..., None] & (comparisons.term_sign != 0)
    sums = LevelSums(
        loss=by_level(loss, counts),
        correct=by_level(is_right(gap)),
        ties=by_level(is_tie(gap)),
        gap=by_level(gap),
        comparisons=by_level(jnp.ones_like(counts), counts),
        ordered=by_level(jnp.ones_like(counts)),
        reward=jnp.sum(jnp.where(used, terms, 0.0) * counts[..., None]),
        reward_min=jnp.min(jnp.where(used, terms, jnp.inf), initial=jnp.inf),
        reward_max=jnp.max(jnp.where(used, terms, -jnp.inf), initial=-jnp.inf),
    )
    return total, jax.lax.stop_gradient(sums)


# Policies by preferences.

# As one number a leaf, or as two summands, of which one is exact and one small.
LogProbabilities = Float[Array, "R L"] | Float[Array, "R L 2"]


class PolicySums(NamedTuple):
    """Sums over a part of a batch.

    Attributes:
        levels: of all comparisons.
        rewards: of base comparisons, (chosen, rejected).
        logps: log pi of base comparisons, (chosen, rejected).
        drift: log pi - log pi_ref over the responses of base comparisons.
        tokens: of these responses.
    """

    levels: LevelSums
    rewards: Float[Array, "2"]
    logps: Float[Array, "2"]
    drift: Float[Array, ""]
    tokens: Float[Array, ""]

    def joined(self) -> "PolicySums":
        """The sums of a whole batch from those of its parts, stacked along a leading axis."""
        return PolicySums(self.levels.joined(), *(jnp.sum(x, axis=0) for x in self[1:]))


def dpo_rewards(logps: LogProbabilities, ref_logps: LogProbabilities, beta: float) -> Leaves:
    """Implicit rewards, beta * (log pi - log pi_ref) (arXiv 2305.18290, equation 5), fp32."""
    return beta * joined(logps - ref_logps)


def dpo_loss(
    logps: LogProbabilities,
    ref_logps: LogProbabilities,
    comparisons: Comparisons,
    response_tokens: Int[Array, "R L"],
    sft_weight: Float[Array, "R L"],
    *,
    beta: float,
    inter: str = "margin",
    base_loss: Callable[[pair_losses.Pair], Array] | None = None,
    sft: float = 0.0,
    rankings: bool = False,
) -> tuple[Float[Array, ""], PolicySums]:
    """The loss of a policy by preferences: what a part of a batch adds to it, and sums.

    Args:
        logps: log pi of the leaves, fp32, [R, L], or each as two summands, [R, L, 2]; with these
            and the same weights as the reference, the loss is log 2 at every level, to 1e-6.
        ref_logps: log pi_ref of the leaves, of the same shape.
        comparisons: the table; its weights make the result a plain sum.
        response_tokens: tokens of the response of each leaf.
        sft_weight: what a chosen leaf's log-probability counts, and 0 of all others.
        inter: form of the inter level.
        base_loss: of base comparisons; None for -log sigmoid of the margin.
        sft: weight of the mean of -log pi over all chosen tokens of the global batch, within the
            base level.
        rankings: see `preference_loss`.
    """
    ratios, logps = joined(logps - ref_logps), joined(logps)
    rewards = beta * ratios
    chosen, rejected = sides(rewards, comparisons)
    lengths = sides(response_tokens.astype(jnp.float32), comparisons)
    pair = pair_losses.Pair(chosen, rejected, comparisons.gamma, *lengths)
    of_base = base_loss and pair_losses.with_ties(base_loss, comparisons.tie, pair, pair.swapped)
    loss, levels = preference_loss(
        rewards, comparisons, inter=inter, base_loss=of_base, rankings=rankings
    )
    if sft:
        loss += sft * negative_log_likelihood(logps, sft_weight)
    base = comparisons.level == BASE

    def total(values: Array) -> Array:
        return jnp.sum(jnp.where(base, values, 0.0) * comparisons.share)

    sums = PolicySums(
        levels=levels,
        rewards=jnp.stack([total(chosen), total(rejected)]),
        logps=jnp.stack([total(side) for side in sides(logps, comparisons)]),
        drift=total(jnp.add(*sides(ratios, comparisons))),
        tokens=total(jnp.add(*lengths)),
    )
    return loss, jax.lax.stop_gradient(sums)


def negative_log_likelihood(logps: Leaves, weight: Float[Array, "R L"]) -> Float[Array, ""]:
    """-sum of log pi of the leaves; `token_losses.token_weight` makes it a mean over tokens."""
    return -jnp.sum(weight * logps)


def joined(logps: LogProbabilities) -> Leaves:
    """Sums of log-probabilities from their two summands, or as they are."""
    return jnp.sum(logps, axis=-1) if logps.ndim == 3 else logps
