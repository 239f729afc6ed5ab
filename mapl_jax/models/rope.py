"""Rotary position embeddings (arXiv 2104.09864): angles, scalings, and their names in configs."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mapl_jax.kernels.rows import AnyArray
from mapl_jax.runtime.errors import UserError


class Rotary(NamedTuple):
    """How tokens are turned."""

    cos: Float[AnyArray, "R S 1 H/2"]  # cosine of the angles
    sin: Float[AnyArray, "R S 1 H/2"]  # sine of the angles
    # What queries are multiplied by, for models that have it.
    growth: Float[AnyArray, "R S 1 1"] | None = None


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How a model that was first trained on shorter texts turns more slowly."""

    # "linear" divides every frequency by the factor (arXiv 2306.15595); "llama3" divides low
    # ones, leaves high ones, and passes smoothly from one to the other (Llama 3.1); "yarn"
    # does so by index (arXiv 2309.00071); "dynamic" has a larger base for texts longer than
    # `positions`; "longrope" has a divisor for each frequency, and others for texts longer
    # than `positions` (arXiv 2402.13753).
    kind: str
    factor: float = 1.0  # how many times longer texts are
    # llama3: of `positions` / wavelength; up to it frequencies count as low. yarn: turns
    # within `positions` up to which they do.
    low: float = 1.0
    high: float = 4.0  # from it on they count as high
    positions: int = 8192  # longest text before
    attention_factor: float = 1.0  # of cosine and sine, and so the root of that of the scores
    truncate: bool = True  # yarn: the passage begins and ends at whole indices
    short: tuple[float, ...] = ()  # longrope: divisors of the frequencies
    long: tuple[float, ...] = ()  # longrope: those of longer texts
    # yarn: queries grow with their position by 1 + growth * log(1 + floor(position /
    # `positions`)) (Ministral 3).
    growth: float = 0.0

    def __post_init__(self) -> None:
        # JSON has lists; a config is a key of caches, so it holds none.
        object.__setattr__(self, "short", tuple(self.short))
        object.__setattr__(self, "long", tuple(self.long))

    def check(self, width: int) -> None:
        """Makes sure that it fits what turns of a head."""
        lengths = (len(self.short), len(self.long))
        if self.kind == "longrope" and lengths != (width // 2,) * 2:
            raise UserError(
                f"model: longrope needs {width // 2} short and as many long factors, not {lengths}"
            )


_ORIGINAL = {"original_max_position_embeddings": "positions"}
# Keys of each kind in a config.json, and the fields they are.
KEYS = {
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        "low_freq_factor": "low",
        "high_freq_factor": "high",
        **_ORIGINAL,
    },
    "dynamic": {"factor": "factor"},
    "yarn": {
        "factor": "factor",
        "beta_slow": "low",
        "beta_fast": "high",
        "attention_factor": "attention_factor",
        "truncate": "truncate",
        **_ORIGINAL,
    },
    "longrope": {
        "factor": "factor",
        "short_factor": "short",
        "long_factor": "long",
        "attention_factor": "attention_factor",
        **_ORIGINAL,
    },
}
GROWTH = "llama_4_scaling_beta"  # key of `growth`, in files of families that have it
# Of older files of yarn, in place of `attention_factor`: what it is computed from.
_MSCALES = {"mscale", "mscale_all_dim"}
# Only with these does it matter how long a text is.
BY_LENGTH = ("dynamic", "longrope")


def frequencies(
    width: int,
    theta: float,
    scaling: RopeScaling | None = None,
    lengths: Int[AnyArray, "R S 1 1"] | None = None,
) -> Float[Array, "... H/2"]:
    """Radians a position for each pair of the H numbers of a head that turn: theta^(-2i/H), scaled.

    Some scalings depend on the length of the text of each token.
    """
    exponents = jnp.arange(0, width, 2, dtype=jnp.float32) / width
    plain = theta**-exponents
    if scaling is None:
        return plain
    if scaling.kind == "linear":
        return plain / scaling.factor
    if scaling.kind in BY_LENGTH:
        assert lengths is not None
        if scaling.kind == "dynamic":
            longer = jnp.maximum(lengths / scaling.positions, 1.0)
            grown = scaling.factor * longer - (scaling.factor - 1)
            return (theta * grown ** (width / (width - 2))) ** -exponents
        long, short = (jnp.asarray(x, jnp.float32) for x in (scaling.long, scaling.short))
        return plain / jnp.where(lengths > scaling.positions, long, short)
    if scaling.kind == "llama3":
        turns = scaling.positions * plain / (2 * jnp.pi)
        fast = jnp.clip((turns - scaling.low) / (scaling.high - scaling.low), 0.0, 1.0)
    else:
        ends = (_index_of(turns, width, theta, scaling) for turns in (scaling.high, scaling.low))
        first, last = ends
        if scaling.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, width - 1)
        index = jnp.arange(width // 2, dtype=jnp.float32)
        fast = 1.0 - jnp.clip((index - first) / (last - first or 0.001), 0.0, 1.0)
    return (1.0 - fast) * plain / scaling.factor + fast * plain


def _index_of(turns: float, width: int, theta: float, scaling: RopeScaling) -> float:
    """The index of the frequency that turns so often within the longest text before."""
    return width * math.log(scaling.positions / (turns * 2 * math.pi)) / (2 * math.log(theta))


def rotary_angles(
    positions: Int[AnyArray, "R S"], width: int, theta: float, scaling: RopeScaling | None = None
) -> Rotary:
    """Cosine and sine of position times frequency, fp32, for `rotate`."""
    steps = jnp.asarray(positions)[..., None, None].astype(jnp.float32)
    if scaling is None:
        angles = steps * frequencies(width, theta)
        return Rotary(jnp.cos(angles), jnp.sin(angles))
    lengths = text_lengths(positions)[..., None, None] if scaling.kind in BY_LENGTH else None
    angles = steps * frequencies(width, theta, scaling, lengths)
    growth = None
    if scaling.growth:
        growth = 1 + scaling.growth * jnp.log1p(jnp.floor(steps / scaling.positions))
    factor = scaling.attention_factor
    return Rotary(factor * jnp.cos(angles), factor * jnp.sin(angles), growth)


def text_lengths(positions: Int[AnyArray, "R S"]) -> Int[Array, "R S"]:
    """For each token the number of positions of its trie, which begins where a position is 0.

    `transformers` asks for the longest text of a batch instead, so that a text's states depend on
    what stands beside it there; here the leaves of a trie are long together.
    """
    positions = jnp.asarray(positions)
    trie = jnp.cumsum(positions == 0, axis=-1)
    most = functools.partial(jax.ops.segment_max, num_segments=positions.shape[-1] + 1)
    deepest = jax.vmap(most)(positions, trie)
    return jnp.take_along_axis(deepest, trie, axis=-1) + 1


def rotate(
    x: Float[Array, "R S N H"],
    rotary: Rotary,
    *,
    neighbours: bool = False,
    queries: bool = False,
) -> Float[Array, "R S N H"]:
    """Turns each pair of a head by its angle, in fp32; what the angles do not reach stays.

    Pairs are (i, i + W/2) of the first W <= H, or neighbours, (2i, 2i + 1); queries may grow as
    well.
    """
    cos, sin, growth = rotary
    if queries and growth is not None:
        x = (x * growth).astype(x.dtype)
    width = 2 * cos.shape[-1]
    turning = x[..., :width].astype(jnp.float32)
    if neighbours:
        first, second = turning[..., ::2], turning[..., 1::2]
    else:
        first, second = jnp.split(turning, 2, axis=-1)
    pair = (first * cos - second * sin, second * cos + first * sin)
    if neighbours:
        turned = jnp.stack(pair, axis=-1).reshape(turning.shape).astype(x.dtype)
    else:
        turned = jnp.concatenate(pair, axis=-1).astype(x.dtype)
    if width == x.shape[-1]:
        return turned
    return jnp.concatenate([turned, x[..., width:]], axis=-1)


def from_hf(
    entry: object, where: str, *, theta: float, positions: int, longest: int, grows: bool = False
) -> tuple[float, RopeScaling | None]:
    """Base and scaling from `rope_parameters` of transformers 5, or the older `rope_scaling`.

    Args:
        where: its place, for messages.
        theta: base if the entry has none.
        positions: longest text before scaling if the entry has none.
        longest: text that the model is made for.
        grows: queries of the family grow with their position.
    """
    if not isinstance(entry, Mapping):
        raise UserError(f"{where} must be an object, not {entry!r}")
    kind = entry.get("rope_type", entry.get("type", "default"))
    kind = "longrope" if kind == "su" else kind
    if not isinstance(kind, str):
        raise UserError(f"{where}: rope_type must be a name, not {kind!r}")
    theta = entry.get("rope_theta", theta)
    if not is_positive(theta):
        raise UserError(f"{where}: rope_theta must be a positive number, not {theta!r}")
    keys = KEYS.get(kind, {}) | ({GROWTH: "growth"} if grows else {})
    known = {"rope_type", "type", "rope_theta", "partial_rotary_factor", *keys}
    if kind == "yarn" and set(entry) >= _MSCALES:
        known |= _MSCALES
    if grows:
        known |= {"max_position_embeddings"}  # as the model has it; nothing reads it here
    kinds = ("yarn",) if grows else ("default", *KEYS)
    if kind not in kinds or set(entry) - known:
        raise UserError(f"{where} = {dict(entry)} is not supported; RoPE may be {', '.join(kinds)}")
    if kind == "default":
        return float(theta), None
    given = {key: value for key, value in entry.items() if value is not None}
    values = {**_defaults(kind, positions, longest, given), **given}
    for key in keys:
        value = values.get(key)
        if isinstance(value, list) and key.endswith(("short_factor", "long_factor")):
            sound = all(map(is_positive, value)) and bool(value)
        else:
            sound = isinstance(value, bool) if key == "truncate" else is_positive(value)
        if not sound:
            raise UserError(
                f"{where} = {dict(entry)} is not supported; {kind} needs a positive number {key}"
            )
    scaling = RopeScaling(kind, **{field: values[key] for key, field in keys.items()})
    if kind == "dynamic":
        scaling = dataclasses.replace(scaling, positions=longest)
    if scaling.high <= scaling.low:
        named = {field: key for key, field in keys.items()}
        raise UserError(f"{where}: {named['high']} must be above {named['low']}")
    return float(theta), scaling


def _defaults(
    kind: str, positions: int, longest: int, entry: Mapping[str, Any]
) -> dict[str, object]:
    """What an entry may leave out, as `transformers` fills it in."""
    original = entry.get("original_max_position_embeddings", positions)
    values: dict[str, object] = {"original_max_position_embeddings": positions}
    if kind not in ("yarn", "longrope") or not is_positive(original):
        return values
    factor = entry.get("factor", longest / original)
    values |= {"factor": factor, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": True}
    if not is_positive(factor) or factor <= 1:
        return {**values, "attention_factor": 1.0}
    if kind == "longrope":
        return {**values, "attention_factor": math.sqrt(1 + math.log(factor) / math.log(original))}
    scales = [entry.get(key, 1.0) for key in ("mscale", "mscale_all_dim")]
    if not set(entry) >= _MSCALES or not all(map(is_positive, scales)):
        scales = [1.0, 0.0]
    scale, of_all = (0.1 * scale * math.log(factor) + 1.0 for scale in scales)
    return {**values, "attention_factor": scale / of_all}


def is_positive(value: Any) -> bool:
    """Whether a value of a config is a number above 0 that a float holds."""
    return type(value) in (int, float) and 0 < value < 1e300


def to_hf(theta: float, scaling: RopeScaling | None) -> dict[str, object]:
    """An entry that `from_hf` reads back."""
    if scaling is None:
        return {"rope_theta": theta, "rope_type": "default"}
    values = {key: getattr(scaling, field) for key, field in KEYS[scaling.kind].items()}
    values |= {GROWTH: scaling.growth} if scaling.growth else {}
    values = {key: list(x) if isinstance(x, tuple) else x for key, x in values.items()}
    return {"rope_theta": theta, "rope_type": scaling.kind, **values}
