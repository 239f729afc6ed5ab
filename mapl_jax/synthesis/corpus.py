"""What the responses of a data set are like, learned from a part of it before any sample is made.

Three things are learned, all from the same pairs:

* which instructions say nothing: those that nearly all responses keep, or nearly none. A word that
  no one uses is no loss when it is forbidden. Instructions that name words of the response itself
  (a keyword, a last phrase) are rare by nature and still cannot be kept by accident, so for them
  only the upper bound counts.
* how to draw families evenly: most pairs differ in length, few in their links, so families that
  seldom fit are tried first.
* which way instructions lean. Where chosen responses are mostly the longer ones, x' would mostly
  say "at least" and x'' "less than", and the prompt alone would tell them apart. The more frequent
  direction is thinned until both are as frequent.

The pairs are those whose hash is smallest, so they do not depend on the order of the input or on
who reads it; what is learned from them depends on nothing else.
"""

import dataclasses
import functools
import hashlib
import heapq
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mapl_jax import constraints
from mapl_jax.data.normalize import Pair
from mapl_jax.data.samples import Params, responses_of
from mapl_jax.synthesis.placement import request_of
from mapl_jax.synthesis.settings import Settings

# Of one family, for the two prompts that are set side by side.
Arguments = tuple[constraints.Asked, constraints.Asked]

RESPONSES = 128  # that shares are measured on; a share of 5 % is then known to 2 points
_PRIOR = 20  # pairs assumed of either direction, so that a handful of pairs decides nothing
_REPEATS = 4
_ROUNDS = 40
_STEP = 0.7
_SEEN = 256  # pairs that tell which families go together

_ENCODER = json.JSONEncoder()  # `json.dumps` takes as long to find its own


class Subset:
    """The n pairs whose hashes are smallest, in whatever order they come."""

    def __init__(self, n: int, seed: int):
        self._n, self._seed = n, seed
        self._heap: list[tuple[int, str, Pair]] = []

    def add(self, pair: Pair) -> None:
        """Takes one more pair into account."""
        rank = -hash_of(self._seed, pair["id"], "reference")
        if len(self._heap) < self._n:
            heapq.heappush(self._heap, (rank, pair["id"], pair))
        elif self._heap and rank > self._heap[0][0]:
            heapq.heapreplace(self._heap, (rank, pair["id"], pair))

    def pairs(self) -> list[Pair]:
        """The pairs kept, smallest hash first."""
        return [pair for _, _, pair in sorted(self._heap, key=lambda entry: -entry[0])]


def hash_of(seed: int, sample_id: str, purpose: str) -> int:
    """A number that depends on nothing but what it is for."""
    key = _ENCODER.encode([seed, sample_id, purpose]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=16).digest())


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Statistics of the responses; the empty one has none and refuses nothing.

    Attributes:
        responses: of other pairs, to measure shares on.
        weights: family -> how much sooner than others it is tried.
        keep: family -> chance that it is taken where x' asks for less, and where it asks for more.
        min_share: smallest share of responses that may keep an instruction.
        min_share_named: the same for instructions that name words of the response.
        max_share: largest share.
    """

    responses: tuple[str, ...] = ()
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    keep: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    min_share: float = 0.0
    min_share_named: float = 0.0
    max_share: float = 1.0

    @functools.cached_property
    def _share_within(self) -> Callable[[constraints.Asked], bool]:
        pool = constraints.Pool(self.responses)

        def share_within(one: constraints.Asked) -> bool:
            low = self.min_share_named if names_words(one.params) else self.min_share
            return pool.share_within(one, low, self.max_share)

        return functools.lru_cache(maxsize=65536)(share_within)

    @functools.cached_property
    def _negative_weights_of(self) -> Callable[[tuple[str, ...]], np.ndarray]:
        return functools.lru_cache(maxsize=8)(
            lambda families: np.array([-self.weights.get(family, 1.0) for family in families])
        )

    def informative(self, one: constraints.Asked) -> bool:
        """Whether enough responses keep the instruction, and enough break it."""
        return self._share_within(one) if self.responses else True

    def order(self, families: Sequence[str], rng: np.random.Generator) -> list[str]:
        """Families in a random order, those of more weight sooner (Efraimidis and Spirakis)."""
        keys = np.log(rng.random(len(families))) / self._negative_weights_of(tuple(families))
        return [families[place] for place in keys.argsort(kind="stable").tolist()]

    def takes(self, family: str, arguments: Arguments, rng: np.random.Generator) -> bool:
        """Draws whether arguments that lean to one side are taken."""
        first, second = arguments
        side = lean(first.params, second.params) if family in self.keep else 0
        if side == 0:
            return True
        return bool(rng.random() < self.keep[family][side > 0])

    def to_json(self) -> dict[str, object]:
        """As plain lists and numbers; everything that samples depend on besides their pair."""
        return dataclasses.asdict(self) | {"responses": list(self.responses)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Corpus":
        """The inverse of `to_json`."""
        keep = {family: (low, high) for family, (low, high) in record["keep"].items()}
        return cls(**{**record, "responses": tuple(record["responses"]), "keep": keep})


def names_words(params: Params) -> bool:
    """Whether an instruction names words that a response holds: a keyword, a phrase.

    The name of a language is none: it has to fit as many responses as other instructions.
    """
    for name, value in params.items():
        words = isinstance(value, list) or (
            isinstance(value, str) and value not in constraints.RELATIONS
        )
        if words and name != "language":
            return True
    return False


def lean(first: Params, second: Params) -> int:
    """+1 if the first arguments ask for more than the second, -1 if for less, 0 if neither.

    "At least" asks for more than "less than", and a plain form for more than its negation; within
    one form larger numbers and longer texts do.
    """
    form = _sign(_form(first) - _form(second))
    return form or _sign(_size(first) - _size(second))


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _form(params: Params) -> int:
    total = 0
    for value in params.values():
        if value is True or value == constraints.LESS_THAN:
            total -= 1
        elif value == constraints.AT_LEAST:
            total += 1
    return total


def _size(params: Params) -> int:
    total = 0
    for value in params.values():
        if isinstance(value, list):
            total += sum(map(len, value))
        elif isinstance(value, str):
            total += len(value) if value not in constraints.RELATIONS else 0
        elif not isinstance(value, bool):
            total += value
    return total


def learn_corpus(
    pairs: Sequence[Pair],
    settings: Settings,
    draw: Callable[[Pair, Corpus], Sequence[Arguments | None]],
) -> Corpus:
    """Learns from pairs what a `Corpus` holds.

    Args:
        pairs: as `Subset` gives them.
        draw: (pair, corpus) -> for each family of the settings arguments of x' and x'', or None
            where it cannot part the responses.

    Returns:
        A corpus that draws families evenly and no direction more often than the other.
    """
    if not pairs:
        return Corpus()
    families = settings.family_ids
    responses = list(itertools.chain.from_iterable(map(responses_of, pairs)))
    bare = Corpus(
        responses=tuple(responses[:RESPONSES]),
        min_share=settings.min_share,
        min_share_named=settings.min_share_named,
        max_share=settings.max_share,
    )
    seen: list[Sequence[Arguments | None]] = []
    leans = np.full((len(pairs), len(families)), np.nan)
    for row, pair in enumerate(pairs):
        drawn = draw(pair, bare)
        for column, arguments in enumerate(drawn):
            if arguments is not None:
                leans[row, column] = lean(*(one.params for one in arguments))
        if row < _SEEN:
            seen.append(drawn)
    less, more = (_PRIOR + (leans == side).sum(0) for side in (-1, 1))
    chances = np.stack([np.minimum(1.0, more / less), np.minimum(1.0, less / more)], 1)
    fits = np.where(leans == 0, 1.0, np.where(leans < 0, chances[:, 0], chances[:, 1]))
    fits = np.where(np.isnan(leans), 0.0, fits)
    keep = {
        family: (float(f"{low:.4g}"), float(f"{high:.4g}"))
        for family, (low, high) in zip(families, chances, strict=True)
    }
    asks = np.array([request_of(pair["prompt"]).asks for pair in pairs])
    weights = _even_weights(fits, _apart(seen), asks, settings)
    return dataclasses.replace(bare, weights=dict(zip(families, weights, strict=True)), keep=keep)


def _apart(seen: Sequence[Sequence[Arguments | None]]) -> np.ndarray:
    """How often two families that fit a pair stand in no prompt together [families, families]."""
    both, apart = np.zeros((2, len(seen[0]), len(seen[0])))
    for of_pair in seen:
        fitting = [(place, sides) for place, sides in enumerate(of_pair) if sides]
        for (one, ones), (other, others) in itertools.combinations(fitting, 2):
            both[one, other] += 1
            apart[one, other] += any(
                constraints.clash(a, b) or constraints.redundant(a, b)
                for a, b in zip(ones, others, strict=True)
            )
    share = apart / np.maximum(both, 1)
    return share + share.T


def _even_weights(
    fits: np.ndarray, apart: np.ndarray, asks: np.ndarray, settings: Settings
) -> list[float]:
    """Weights under which the families come up equally often, as far as they fit.

    Args:
        fits: chance that a family fits a pair [pairs, families].
        apart: chance that two families are not taken together [families, families].
        asks: whether a pair's last turn asks something; others get one instruction [pairs].
        settings: with the numbers of instructions.
    """
    rng = np.random.default_rng(0)
    # Every pair several times, drawn anew each time: chance weighs less.
    fits = np.tile(fits, (_REPEATS, 1))
    pairs, families = fits.shape
    possible = rng.random(fits.shape) < fits
    uniform = np.log(rng.random(fits.shape))
    chance = rng.random((settings.k_max, *fits.shape), dtype=np.float32)
    drawn = rng.integers(settings.k_min, settings.k_max + 1, pairs)
    k = np.minimum(np.where(np.tile(asks, _REPEATS), drawn, 1), possible.sum(1))
    often = possible.mean(0)
    # The level under which the families that fit often enough share what the others leave.
    low, high = 0.0, 1.0
    for _ in range(50):
        level = (low + high) / 2
        low, high = (level, high) if np.minimum(often, level).sum() < k.mean() else (low, level)
    goal = np.minimum(often, high)
    weights, rows = np.ones(families), np.arange(pairs)
    for _ in range(_ROUNDS):
        keys = np.where(possible, uniform / weights, -np.inf)
        used = np.zeros(families)
        for taken in range(settings.k_max):
            best = keys.argmax(1)
            new = (keys[rows, best] > -np.inf) & (taken < k)
            used += np.bincount(best[new], minlength=families)
            keys[rows, best] = -np.inf
            keys[chance[taken] < apart[best]] = -np.inf
        usage = used / pairs
        weights *= ((goal + 1e-3) / (usage + 1e-3)) ** _STEP
        weights = np.clip(weights / np.median(weights), 1e-6, 1e6)
    return [float(f"{weight:.4g}") for weight in weights]
