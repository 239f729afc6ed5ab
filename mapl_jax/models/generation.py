"""Responses token by token: keys and values of what was read are kept, each step reads one more.

Prompts of a batch end at the same place: they are padded on the left, so that every row writes its
next token beside those of the others. What is padding is known from lengths, never from ids.

    tokens  . . . a b c | d e ...        start 3: index of the first token
            a b c d e f | g h ...        start 0

One compiled program reads the prompts and then loops on the device until every row has ended.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import DictKey
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from mapl_jax.kernels.attention import MASKED
from mapl_jax.kernels.compute import Compute
from mapl_jax.kernels.rows import Row
from mapl_jax.kernels.softcap import softcapped
from mapl_jax.models import decoder, heads, layers
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.parameters import Params
from mapl_jax.models.rope import Rotary
from mapl_jax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How tokens are chosen, and when to stop."""

    max_new_tokens: int  # longest response, its end of turn included
    stops: tuple[int, ...]  # ids that end a response
    temperature: float = 0.0  # logits are divided by it; 0 takes the likeliest token
    # Tokens are drawn from the smallest set of likeliest ones that has this probability
    # (arXiv 1904.09751); 1 for all tokens.
    top_p: float = 1.0

    def __post_init__(self):
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature must be a number of 0 or more, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p}")


class Cache(NamedTuple):
    """Keys, turned by their angles, and values of all tokens read so far."""

    keys: Float[Array, "layers B K T H"]
    values: Float[Array, "layers B K T H"]


class Responses(NamedTuple):
    """What was generated; places behind the end of a response hold the end again."""

    tokens: Int[Array, "B M"]
    lengths: Int[Array, "B"]
    ended: Bool[Array, "B"]


Attend = Callable[[Array, Array, Array], tuple[Array, Cache]]
# Next place, last token, responses, which have ended, how long they are, keys and values.
State = tuple[Array, Array, Array, Array, Array, Cache]


def generate(
    config: DecoderConfig,
    params: Params,
    tokens: Int[Array, "B P"],
    lengths: Int[Array, "B"],
    draws: Int[Array, "B 2"],
    seed: Int[Array, ""],
    *,
    sampling: Sampling,
    compute: Compute = Compute(),
    place: Callable[[Array], Array] = lambda x: x,
) -> Responses:
    """Responses to prompts, for `jit`.

    Args:
        params: its parameters, adapters among them if the config has some.
        tokens: prompts, padded on the left.
        lengths: tokens of each prompt; 0 for a row that fills up the batch.
        draws: what the random numbers of a row depend on besides the seed: the number of the prompt
            and that of the sample. A response so never depends on what it is batched with.
        compute: type of the computation, and backend of attention over the prompts.
        place: puts the arrays of the cache where they should lie.
    """
    params = _cast(params, compute.dtype)
    batch, prompt = tokens.shape
    longest, stops = sampling.max_new_tokens, jnp.asarray(sampling.stops, jnp.int32)
    start = prompt - lengths
    keys = jax.vmap(lambda draw: _fold(jax.random.key(seed), draw))(draws)
    shape = (config.layers, batch, config.kv_heads, prompt + longest, config.head_dim)
    cache = Cache(*(place(jnp.zeros(shape, compute.dtype)) for _ in range(2)))
    states, cache = read(config, params, tokens, start, cache, compute)

    def next_token(states: Float[Array, "B D"], at: Int[Array, ""]) -> Int[Array, "B"]:
        return choose(heads.project(config, params, states), keys, at, sampling)

    def ends(token: Int[Array, "B"]) -> Bool[Array, "B"]:
        return jnp.any(token[:, None] == stops, axis=1)

    first = next_token(states[:, -1], jnp.int32(0))
    written = jnp.zeros((batch, longest), jnp.int32).at[:, 0].set(first)
    done = ends(first) | (lengths == 0)
    count = jnp.ones(batch, jnp.int32)

    def step(state: State) -> State:
        at, last, written, done, count, cache = state
        states, cache = extend(config, params, last, start, prompt + at - 1, cache, compute)
        token = jnp.where(done, last, next_token(states, at))
        written = jax.lax.dynamic_update_slice_in_dim(written, token[:, None], at, axis=1)
        return at + 1, token, written, done | ends(token), count + ~done, cache

    def unfinished(state: State) -> Bool[Array, ""]:
        at, _, _, done, _, _ = state
        return (at < longest) & ~jnp.all(done)

    begin = (jnp.int32(1), first, written, done, count, cache)
    _, _, written, done, count, _ = jax.lax.while_loop(unfinished, step, begin)
    return Responses(written, count, done)


def read(
    config: DecoderConfig,
    params: Params,
    tokens: Int[Array, "B P"],
    start: Int[Array, "B"],
    cache: Cache,
    compute: Compute = Compute(),
) -> tuple[Float[Array, "B P D"], Cache]:
    """Reads prompts, padded on the left, into a cache, from its first place on.

    Returns:
        Hidden states after the last norm, and the cache.
    """
    index = jnp.arange(tokens.shape[1])[None]
    real = index >= start[:, None]
    positions = jnp.where(real, index - start[:, None], 0)
    row = Row(tokens, positions, reach=jnp.where(real, tokens.shape[1], 0))
    # The cache says where rows lie.
    prompts = dataclasses.replace(compute, spread=None)
    of_kind = layers.attentions(config, row, prompts, positions)

    def context(kind: Array, number: Array, cache: Cache) -> tuple[Rotary, Attend]:
        rotary, attention = of_kind(kind)

        def attend(q: Array, k: Array, v: Array) -> tuple[Array, Cache]:
            return attention(q, k, v), _write(cache, number, 0, k, v)

        return rotary, attend

    model = decoder.bound(config, params, compute.dtype)
    return model.with_cache(tokens, layers.layer_kinds(config), context, cache)


def extend(
    config: DecoderConfig,
    params: Params,
    token: Int[Array, "B"],
    start: Int[Array, "B"],
    at: Int[Array, ""],
    cache: Cache,
    compute: Compute = Compute(),
) -> tuple[Float[Array, "B D"], Cache]:
    """Reads one more token of every row, at the same index of all.

    Returns:
        Hidden states after the last norm, and the cache.
    """
    of_layer = layers.by_layer(config, (at - start)[:, None])
    index = jnp.arange(cache.keys.shape[3])[None]
    before = (index >= start[:, None]) & (index <= at)

    def context(kind: Array, number: Array, cache: Cache) -> tuple[Rotary, Attend]:
        rotary, window = of_layer(kind)
        # Rows have no gaps, so that a difference of indices is one of positions.
        seen = before if window is None else before & (at - index < window)

        def attend(q: Array, k: Array, v: Array) -> tuple[Array, Cache]:
            left = _write(cache, number, at, k, v)
            keys, values = (jax.lax.dynamic_index_in_dim(x, number, keepdims=False) for x in left)
            return _attend(config, q, keys, values, seen), left

        return rotary, attend

    model = decoder.bound(config, params, compute.dtype)
    kinds = layers.layer_kinds(config)
    states, cache = model.with_cache(token[:, None], kinds, context, cache)
    return states[:, 0], cache


def choose(
    logits: Float[Array, "B V"], keys: Array, at: Int[Array, ""], sampling: Sampling
) -> Int[Array, "B"]:
    """The next token of every row, number `at` of its response; `keys` [B] are random ones."""
    if sampling.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = nucleus(logits / sampling.temperature, sampling.top_p)
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys, at)
    return jax.vmap(jax.random.categorical)(keys, logits).astype(jnp.int32)


def nucleus(logits: Float[Array, "B V"], top_p: float) -> Float[Array, "B V"]:
    """Logits with all tokens ruled out but the likeliest ones that together have `top_p`."""
    if top_p == 1:
        return logits
    ordered = -jnp.sort(-logits, axis=-1)
    probability = jax.nn.softmax(ordered, axis=-1)
    # A token stays if those before it do not have enough; the first one always does.
    stays = jnp.cumsum(probability, axis=-1) - probability < top_p
    least = jnp.min(jnp.where(stays, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, -jnp.inf)


def _attend(
    config: DecoderConfig,
    q: Float[Array, "B 1 N H"],
    keys: Float[Array, "B K T H"],
    values: Float[Array, "B K T H"],
    seen: Bool[Array, "B T"],
) -> Float[Array, "B 1 N H"]:
    """Attention of one token a row to what is kept; scores and softmax in fp32."""
    batch, kv_heads = keys.shape[:2]
    grouped = q.reshape(batch, kv_heads, -1, config.head_dim)
    scores = jnp.einsum("bkgh,bkth->bkgt", grouped, keys, preferred_element_type=jnp.float32)
    scores = softcapped(scores * config.score_scale, config.attention_softcap)
    weights = jax.nn.softmax(jnp.where(seen[:, None, None], scores, MASKED), axis=-1)
    output = jnp.einsum(
        "bkgt,bkth->bkgh", weights.astype(values.dtype), values, preferred_element_type=jnp.float32
    )
    return output.astype(q.dtype).reshape(q.shape)


def _write(cache: Cache, number: Array, at: int | Array, k: Array, v: Array) -> Cache:
    """Puts keys and values [B, S, K, H] of a layer at an index of the cache."""

    def put(kept: Array, new: Array) -> Array:
        new = jnp.swapaxes(new, 1, 2)[None].astype(kept.dtype)
        return jax.lax.dynamic_update_slice(kept, new, (number, 0, 0, at, 0))

    return Cache(put(cache.keys, k), put(cache.values, v))


def _cast(params: Params, dtype: DTypeLike) -> Params:
    """Parameters in the type of the computation, cast once; norms and routers stay fp32."""

    def cast(path: tuple[DictKey, ...], leaf: Array) -> Array:
        return leaf if path[-1].key in ("scale", "router") else leaf.astype(dtype)

    return jax.tree_util.tree_map_with_path(cast, params)


def _fold(key: Array, draw: Int[Array, "2"]) -> Array:
    return jax.random.fold_in(jax.random.fold_in(key, draw[0]), draw[1])
