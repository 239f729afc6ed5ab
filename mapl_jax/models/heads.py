"""Heads on the decoder: the score of a reward model, and the log-probabilities of a policy.

A head says which parameters a model has besides those of the decoder, and gives one number for
each leaf of a trie: its reward, or its log-probability.
"""

import dataclasses
import functools
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.logps import token_logps
from mapl_jax.kernels.rows import AnyArray, Row
from mapl_jax.kernels.softcap import softcapped
from mapl_jax.models import decoder
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.parameters import Params

# Grid of the exact summands of log-probabilities, nats.
GRID = 2.0**-10


@runtime_checkable
class Paths(Protocol):
    """What a head reads of a batch: rows of tokens, and where the leaves of their tries lie."""

    @property
    def row(self) -> Row:
        """The tokens and who attends to whom."""

    @property
    def leaf_end(self) -> Int[AnyArray, "R L"]:
        """Index of each leaf's last token; -1 for an unused leaf."""

    @property
    def parent(self) -> Int[AnyArray, "R S"] | None:
        """Index of the token that predicts each token; -1 at a root. Only policies read it."""

    @property
    def scored_at(self) -> Int[AnyArray, "R P"] | None:
        """Indices of the tokens that count in log-probabilities; -1 where unused."""


class Head(Protocol):
    """What stands on the decoder; hashable."""

    scores: ClassVar[bool]  # whether the model is a reward model; else it is a policy

    def __hash__(self) -> int:
        return object.__hash__(self)  # of a dataclass: by its fields

    def init(self, config: DecoderConfig, key: Array) -> Params:
        """Random parameters of decoder and head."""

    def abstract_params(self, config: DecoderConfig) -> Params:
        """Shapes and types of the parameters."""
        return jax.eval_shape(lambda: self.init(config, jax.random.key(0)))

    def leaves(
        self, config: DecoderConfig, params: Params, batch: Paths, compute: Compute
    ) -> Float[Array, "R L *parts"]:
        """A number for each leaf; 0 for an unused one."""


@dataclasses.dataclass(frozen=True)
class ScoreHead(Head):
    """The head of a reward model: a score of the hidden state where a leaf ends."""

    scores = True

    def init(self, config: DecoderConfig, key: Array) -> Params:
        """Random parameters; the score is N(0, 1 / (D + 1)) (arXiv 2009.01325, p. 11)."""
        body, head = jax.random.split(key)
        score = jax.random.normal(head, (config.width,), jnp.float32) * score_scale(config)
        return {**decoder.init(config, body), "score": score}

    def leaves(
        self, config: DecoderConfig, params: Params, batch: Paths, compute: Compute
    ) -> Float[Array, "R L"]:
        """Rewards of the leaves of a batch."""
        return rewards(config, params, batch.row, batch.leaf_end, compute)


@dataclasses.dataclass(frozen=True)
class LogpHead(Head):
    """The head of a policy: logits of the next token, and the log-probabilities of leaves."""

    chunk: int = 256  # tokens of a row whose logits are in memory at once
    parts: bool = False  # gives each log-probability as two summands; see `leaf_logps`

    scores = False

    def init(self, config: DecoderConfig, key: Array) -> Params:
        """Random parameters; an output matrix, where the embedding does not serve as one."""
        body, head = jax.random.split(key)
        params = decoder.init(config, body)
        if config.tie_embeddings:
            return params
        shape = (config.width, config.vocab_size)
        lm_head = decoder.INIT_SCALE * jax.random.normal(head, shape, jnp.float32)
        return {**params, "lm_head": lm_head}

    def leaves(
        self, config: DecoderConfig, params: Params, batch: Paths, compute: Compute
    ) -> Float[Array, "R L *parts"]:
        """Log-probabilities of the leaves of a batch, or their summands [R, L, 2]."""
        if batch.parent is None or batch.scored_at is None:
            raise ValueError("the batch lacks what the head of a policy reads")
        return leaf_logps(
            config,
            params,
            batch.row,
            batch.parent,
            batch.scored_at,
            batch.leaf_end,
            compute,
            chunk=self.chunk,
            parts=self.parts,
        )


def score_scale(config: DecoderConfig) -> float:
    """Standard deviation of a fresh score head."""
    return (config.width + 1) ** -0.5


def rewards(
    config: DecoderConfig,
    params: Params,
    row: Row,
    leaf_end: Int[AnyArray, "R L"],
    compute: Compute = Compute(),
) -> Float[Array, "R L"]:
    """Rewards of leaves, fp32 from the last hidden state on; 0 for an unused leaf."""
    states = decoder.hidden(config, params, row, compute)
    used = leaf_end >= 0
    ends = jnp.take_along_axis(states, jnp.where(used, leaf_end, 0)[..., None], axis=1)
    scores = jnp.einsum(
        "rld,d->rl",
        ends.astype(jnp.float32),
        params["score"].astype(jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
    return jnp.where(used, scores, 0.0)


def logits(
    config: DecoderConfig, params: Params, row: Row, compute: Compute = Compute()
) -> Float[Array, "R S V"]:
    """Logits of the token that follows each token, summed in fp32."""
    return project(config, params, decoder.hidden(config, params, row, compute))


def project(
    config: DecoderConfig, params: Params, states: Float[AnyArray, "... D"]
) -> Float[Array, "... V"]:
    """Logits of hidden states, fp32, in the precision of the states, capped where the model is."""
    matrix = output_matrix(config, params).astype(states.dtype)
    states = _scaled(config, jnp.asarray(states))
    logits = jnp.einsum("...d,dv->...v", states, matrix, preferred_element_type=jnp.float32)
    return softcapped(logits, config.logit_softcap)


def _scaled(config: DecoderConfig, states: Array) -> Array:
    if config.logit_multiplier != 1:
        states = states * jnp.asarray(config.logit_multiplier, states.dtype)
    divisor = config.logit_divisor
    return states if divisor == 1 else states / jnp.asarray(divisor, states.dtype)


def output_matrix(config: DecoderConfig, params: Params) -> Float[AnyArray, "D V"]:
    """The matrix from hidden states to logits."""
    return params["embed"].T if config.tie_embeddings else params["lm_head"]


def leaf_logps(
    config: DecoderConfig,
    params: Params,
    row: Row,
    parent: Int[AnyArray, "R S"],
    scored_at: Int[AnyArray, "R P"],
    leaf_end: Int[AnyArray, "R L"],
    compute: Compute = Compute(),
    *,
    chunk: int = 256,
    parts: bool = False,
) -> Float[Array, "R L"] | Float[Array, "R L 2"]:
    """Log-probability of each leaf: the sum over the scored tokens on its path, fp32.

    Tokens that leaves share are predicted once, and a token after a branching point is predicted
    from the branching point itself, its parent.

    Args:
        params: parameters, with `lm_head` unless embeddings are tied.
        parent: index of the token that predicts each token; -1 at a root.
        scored_at: indices of the tokens that count, none of them a root; -1 where unused.
        leaf_end: index of each leaf's last token; -1 for an unused leaf, whose sum is 0.
        compute: how the decoder is computed; log-probabilities lie over devices as rows do.
        chunk: tokens of a row whose logits are in memory at once.
        parts: gives each sum as two summands, one exact and one small, [R, L, 2]. fp32 holds -200
            to 1e-5 only, but the difference of two such sums, part by part, to 1e-6.
    """
    states = decoder.hidden(config, params, row, compute)
    # Each of the devices that share a row takes as many.
    edge = -scored_at.shape[1] % compute.parts
    scored_at = jnp.pad(scored_at, ((0, 0), (0, edge)), constant_values=-1)
    used = scored_at >= 0
    at = jnp.where(used, scored_at, 0)
    source = jnp.maximum(jnp.take_along_axis(parent, at, axis=1), 0)
    logps = functools.partial(token_logps, chunk=chunk, softcap=config.logit_softcap)
    if compute.spread is not None:
        logps = compute.spread.over_tokens(logps)
    values = logps(
        # Logits are divided where the states are: by powers of two in most models, and so exactly.
        _scaled(config, jnp.take_along_axis(states, source[..., None], axis=1)),
        output_matrix(config, params),
        jnp.take_along_axis(row.tokens, at, axis=1),
    )
    until = jnp.take_along_axis(row.reach, at, axis=1)
    end = leaf_end[..., None]
    on_path = (at[:, None] <= end) & (end < until[:, None])
    values = jnp.where(used, values, 0.0)
    if not parts:
        return _path_sums(on_path, values)
    # Sums of multiples of the grid are exact in any order, as long as they need 24 bits (16,384).
    coarse = jax.lax.stop_gradient(jnp.round(values / GRID) * GRID)
    return jnp.stack([_path_sums(on_path, coarse), _path_sums(on_path, values - coarse)], axis=-1)


def _path_sums(on_path: Bool[Array, "R L P"], values: Float[Array, "R P"]) -> Float[Array, "R L"]:
    path = on_path.astype(jnp.float32)
    return jnp.einsum("rlp,rp->rl", path, values, precision=jax.lax.Precision.HIGHEST)
