"""Losses of one chosen and one rejected response, under TRL's names and with TRL's formulas.

Letters of the formulas, all per pair:

    c, r      reward of the chosen and of the rejected response, beta * (log pi - log pi_ref)
    |c|, |r|  their lengths, response tokens
    m         margin, c - r - gamma
    b, e      beta and label smoothing
    s(x)      sigmoid; log s(x) its logarithm

They belong to the base level alone. The labels of synthesized comparisons were checked by rule, so
there is no noise to smooth, and the two sides of `intra` and `inter` are not two responses whose
likelihood should go one up and one down.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Numbers = TypeVar("Numbers")
log_sigmoid, sigmoid_of = jax.nn.log_sigmoid, jax.nn.sigmoid


class Pair(NamedTuple):
    """The two sides of base comparisons, elementwise.

    Attributes:
        chosen: c, reward of the chosen response.
        rejected: r, reward of the rejected one.
        gamma: what c - r should exceed.
        chosen_length: |c|, tokens.
        rejected_length: |r|, tokens.
    """

    chosen: Float[Array, "*n"]
    rejected: Float[Array, "*n"]
    gamma: Float[Array, "*n"]
    chosen_length: Float[Array, "*n"]
    rejected_length: Float[Array, "*n"]

    @property
    def margin(self) -> Float[Array, "*n"]:
        """m."""
        return self.chosen - self.rejected - self.gamma

    @property
    def normalized(self) -> Float[Array, "*n"]:
        """c / |c| - r / |r|."""
        # A place without a pair has no length; what it comes to is not used.
        chosen, rejected = (
            jnp.maximum(length, 1.0) for length in (self.chosen_length, self.rejected_length)
        )
        return self.chosen / chosen - self.rejected / rejected

    @property
    def swapped(self) -> "Pair":
        """The pair with its sides exchanged."""
        lengths = self.rejected_length, self.chosen_length
        return Pair(self.rejected, self.chosen, -self.gamma, *lengths)


PairLoss = Callable[[Pair, float, float], Float[Array, "*n"]]


def sigmoid(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """-(1 - e) log s(m) - e log s(-m).

    Without smoothing the loss of DPO (arXiv 2305.18290, equation 7); with it the conservative form
    of Mitchell (2023), where a label is wrong with probability e. TRL's `sigmoid` ignores e.
    """
    return -(1 - smoothing) * log_sigmoid(pair.margin) - smoothing * log_sigmoid(-pair.margin)


def sigmoid_norm(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """-log s(c / |c| - r / |r|): DPO of rewards per token."""
    return -log_sigmoid(pair.normalized)


def hinge(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """max(0, 1 - m) (SLiC, arXiv 2305.10425, in the form of arXiv 2309.06657)."""
    return jax.nn.relu(1 - pair.margin)


def ipo(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """((c / |c| - r / |r|) / b - 1 / (2 b))^2 (arXiv 2310.12036, equation 17, per token)."""
    return (pair.normalized / beta - 1 / (2 * beta)) ** 2


def robust(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """(-(1 - e) log s(m) + e log s(-m)) / (1 - 2 e), unbiased under flips (arXiv 2403.00409)."""
    kept = -(1 - smoothing) * log_sigmoid(pair.margin)
    return (kept + smoothing * log_sigmoid(-pair.margin)) / (1 - 2 * smoothing)


def exo_pair(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """s(m) (log s(m) - log(1 - e)) + s(-m) (log s(-m) - log e) (arXiv 2402.00856, equation 16)."""
    m = pair.margin
    right = sigmoid_of(m) * (log_sigmoid(m) - jnp.log1p(-smoothing))
    return right + sigmoid_of(-m) * (log_sigmoid(-m) - jnp.log(smoothing))


def nca_pair(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """-log s(c) - log s(-c) / 2 - log s(-r) / 2 (arXiv 2402.05369)."""
    both = log_sigmoid(-pair.chosen) + log_sigmoid(-pair.rejected)
    return -log_sigmoid(pair.chosen) - 0.5 * both


def bco_pair(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """-log s(c) - log s(-r) (arXiv 2404.04656), without the moving average of rewards."""
    return -log_sigmoid(pair.chosen) - log_sigmoid(-pair.rejected)


def sppo_hard(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """(c / b - 1 / (2 b))^2 + (r / b + 1 / (2 b))^2 (arXiv 2405.00675)."""
    half = 0.5 / beta
    return (pair.chosen / beta - half) ** 2 + (pair.rejected / beta + half) ** 2


def apo_zero(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """1 - s(c) + s(r): chosen up, rejected down (arXiv 2408.06266)."""
    return 1 - sigmoid_of(pair.chosen) + sigmoid_of(pair.rejected)


def apo_down(pair: Pair, beta: float, smoothing: float) -> Float[Array, "*n"]:
    """s(c) + 1 - s(c - r): both down, rejected further (arXiv 2408.06266)."""
    return sigmoid_of(pair.chosen) + 1 - sigmoid_of(pair.chosen - pair.rejected)


LOSSES: dict[str, PairLoss] = {
    loss.__name__: loss
    for loss in (
        sigmoid,
        sigmoid_norm,
        hinge,
        ipo,
        robust,
        exo_pair,
        nca_pair,
        bco_pair,
        sppo_hard,
        apo_zero,
        apo_down,
    )
}
# Functions of m alone: gamma means something in them, and prompt tokens cancel.
OF_MARGIN = ["sigmoid", "hinge", "robust", "exo_pair"]
# The smoothing each takes: (lowest, is it allowed, highest); the highest never is.
SMOOTHING = {"sigmoid": (0.0, True, 0.5), "robust": (0.0, True, 0.5), "exo_pair": (0.0, False, 1.0)}

_OWN = frozenset(LOSSES)


def register(loss: PairLoss, *, of_margin: bool = False) -> PairLoss:
    """Adds a loss under the name of its function, or replaces one that was added.

    Args:
        loss: from the pairs, beta and the label smoothing to the loss of each pair.
        of_margin: whether it is a function of the margin alone.

    Raises:
        ValueError: the name is one of the package's.

    Examples:
        >>> import jax.numpy as jnp
        >>> from mapl_jax import pair_losses
        >>> def square(pair, beta, smoothing):
        ...     return jnp.square(1 - pair.margin)
        >>> pair_losses.register(square, of_margin=True) is pair_losses.LOSSES["square"]
        True
        >>> pair_losses.unregister("square")
    """
    name = getattr(loss, "__name__", "")
    if not callable(loss) or not name.isidentifier():
        raise ValueError(f"{loss!r} is no function with a name to call it by")
    if name in _OWN:
        raise ValueError(f"{name} is a loss of mapl_jax; give yours another name")
    unregister(name)
    LOSSES[name] = loss
    OF_MARGIN.extend([name] * of_margin)
    return loss


def unregister(name: str) -> None:
    """Takes a loss away that was added."""
    if name in LOSSES.keys() - _OWN:
        del LOSSES[name]
        OF_MARGIN[:] = [other for other in OF_MARGIN if other != name]


def with_ties(
    loss: Callable[[Numbers], Array], tie: Bool[Array, "*n"], pair: Numbers, swapped: Numbers
) -> Float[Array, "*n"]:
    """A loss of pairs, and of ties the mean over both orders.

    Of a loss -log s(m) that is -1/2 [log s(m) + log s(-m)], which is least at m = 0.

    Args:
        loss: of a pair, or of its margin.
        tie: where both responses are equally good.
        pair: in one order.
        swapped: in the other.
    """
    of_order = loss(pair)
    return jnp.where(tie, (of_order + loss(swapped)) / 2, of_order)


def plackett_luce(
    margin: Float[Array, "R C"], winner: Int[Array, "R C"], among: Bool[Array, "R C"]
) -> Float[Array, "R C"]:
    """-log of the chance of a ranking (Plackett 1975, Luce 1959), spread over its comparisons.

    The chance that response i comes before all that it beats is exp(r_i) / (exp(r_i) + sum_j
    exp(r_j)), so -log of it is log(1 + sum over i's comparisons of exp(-m)). The ranking's is the
    sum over all i that beat another (arXiv 2305.18290, equation 18); of one pair it is -log s(m).

    Args:
        margin: m of the comparisons.
        winner: leaf of their better response; leaves of two rankings differ.
        among: which comparisons belong to rankings.

    Returns:
        The part of i, divided by i's comparisons, at each of them; anything where not `among`.
    """
    same = (winner[..., :, None] == winner[..., None, :]) & among[..., None, :]
    losing = jnp.where(same, -margin[..., None, :], -jnp.inf)
    beaten = jax.nn.logsumexp(jnp.where(among[..., None], losing, 0.0), axis=-1)
    return jnp.logaddexp(beaten, 0.0) / jnp.maximum(same.sum(-1), 1)


def combine(
    weights: Mapping[str, float], *, beta: float, smoothing: float = 0.0
) -> Callable[[Pair], Float[Array, "*n"]]:
    """A weighted sum of losses, as with TRL's `loss_type` and `loss_weights`.

    Args:
        weights: by names of `LOSSES`.
        beta: b, above 0.
        smoothing: e.

    Returns:
        A function from pairs to the loss of each.

    Raises:
        ValueError: a name is unknown, or a number means nothing.
    """
    if not 0 < beta < float("inf"):
        raise ValueError(f"beta is {beta}; it must be a number above 0")
    if not weights:
        raise ValueError(f"no preference loss given; choose from {', '.join(LOSSES)}")
    for name, weight in weights.items():
        if name not in LOSSES:
            raise ValueError(f"unknown loss {name!r}; choose from {', '.join(LOSSES)}")
        if not 0 < weight < float("inf"):
            raise ValueError(f"the weight of {name} is {weight}; it must be a number above 0")
    _check_smoothing(tuple(weights), smoothing)

    def loss(pair: Pair) -> Float[Array, "*n"]:
        values = [weight * LOSSES[name](pair, beta, smoothing) for name, weight in weights.items()]
        return jnp.sum(jnp.stack(values), axis=0)

    return loss


def _check_smoothing(names: Sequence[str], smoothing: float) -> None:
    if smoothing and not set(names) & set(SMOOTHING):
        raise ValueError(
            f"label smoothing is {smoothing}, but {', '.join(names)} does not use it; "
            f"{', '.join(SMOOTHING)} do"
        )
    for name in names:
        if name in SMOOTHING:
            lowest, closed, highest = SMOOTHING[name]
            if not (lowest < smoothing < highest or (closed and smoothing == lowest)):
                bracket = "[" if closed else "("
                raise ValueError(
                    f"label smoothing is {smoothing}; {name} needs it in "
                    f"{bracket}{lowest:g}, {highest:g})"
                )
