"""How long the answer is: words, sentences, paragraphs.

Mended against IFEval: "e.g." and the like end no sentence; blank paragraphs are left out before the
nth is looked up, and marks around its first word (**Then**) do not count.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from mapl_jax.constraints.amounts import RELATIONS, holds
from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, spaced
from mapl_jax.constraints.parameters import NEGATION, Number, Params
from mapl_jax.constraints.shapes import Count, Exact
from mapl_jax.constraints.text import readings
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import Slot, always, number_slot, pick


class WordRange(Family):
    """Number of words between two bounds, both included; as `negated`, outside of them."""

    low = Number("min_words", slot="low")
    high = Number("max_words", slot="high")
    parameters = (low, high, NEGATION)

    def agree(self, params: Params) -> bool:
        """Whether min_words <= max_words."""
        return self.low.of(params) <= self.high.of(params)

    def measure(self, params: Params, text: Text) -> float:
        """Distance to the nearer bound."""
        count = len(text.words)
        inside = float(min(count - self.low.of(params), self.high.of(params) - count))
        return -inside - 1 if NEGATION.of(params) else inside

    def proposer(self, sides: Sides) -> Proposer:
        """Draws a range around one side that leaves out the other."""
        counts, others = (
            sorted(n for text in side for n in (len(text.words), len(text.runs), text.pieces))
            for side in (sides.kept, sides.broken)
        )
        return self.checked(sides, lambda rng: self._around(counts, others, rng))

    def _around(
        self, inside: list[int], outside: list[int], rng: np.random.Generator
    ) -> Params | None:
        negated = not inside or (bool(outside) and rng.random() < 0.3)
        if not inside and outside and rng.random() < 0.5:
            # A plain range that starts above or ends below the texts to break.
            low = int(outside[-1] * (1.05 + 0.3 * rng.random())) + 1
            return {"min_words": low, "max_words": low + max(10, low // 4)}
        if negated:
            inside, outside = outside, inside
        if not inside:
            inside = [int(30 + 170 * rng.random())]
        low, high = inside[0], inside[-1]
        if any(low <= count <= high for count in outside):
            return None
        floor = max((count + 1 for count in outside if count < low), default=1)
        ceiling = min((count - 1 for count in outside if count > high), default=2 * high + 10)
        slack = 3 + int((0.1 + 0.25 * rng.random()) * high)
        low, high = max(floor, 1, low - slack), min(ceiling, high + slack)
        low, high = _rounded(low, inside[0], True), _rounded(high, inside[-1], False)
        params: Params = {"min_words": low, "max_words": max(high, 1)}
        return params | {"negated": True} if negated else params

    def demands(self, params: Params) -> Demands:
        """Bounds on words, for the plain form."""
        if NEGATION.of(params):
            return Demands()
        return Demands(bounds={"words": (self.low.of(params), self.high.of(params))})


def _rounded(bound: int, count: int, upwards: bool) -> int:
    """The bound moved towards `count` to a multiple of 10 or 5, if there is one before it."""
    for step in (10, 5):
        moved = -(-bound // step) * step if upwards else bound // step * step
        if moved > 0 and (moved <= count if upwards else moved >= count):
            return moved
    return bound


class AverageSentence(Count):
    """Words of a sentence on average, rounded down, which is enough for whole numbers."""

    # "Under 111" and no "at most 110", which an average of 110.5 is not.
    slots: ClassVar[Mapping[str, Slot]] = {
        "under": dataclasses.replace(number_slot("number"), possible=always)
    }

    def __init__(self) -> None:
        super().__init__(
            "length_constraints:average_sentence",
            lambda text: _average(text.sentence_lengths),
            readings=readings.of_sentences(_average),
            suits=readings.clear_sentences,
            least=3,
            quantity="average sentence",
            # Short sentences are a wish; long ones, as the other side has them, are none.
            held_out=True,
        )

    def is_natural(self, params: Params) -> bool:
        """Whether it is a number that style guides give."""
        return self.threshold.number.of(params) in _AVERAGES

    def proposer(self, sides: Sides) -> Proposer | None:
        """Draws such a number between the averages of both sides."""
        averages, others = self.values(sides.kept), self.values(sides.broken)
        found: list[Params] = [
            {"number": number, "relation": relation}
            for number in _AVERAGES
            for relation in RELATIONS
            if all(holds(it, relation, number) for it in averages)
            and not any(holds(it, relation, number) for it in others)
        ]
        return (lambda rng: dict(pick(found, rng))) if found else None


_AVERAGES = (8, 10, 12, 14, 15, 16, 18, 20, 25)


def _average(lengths: Sequence[int]) -> int:
    return sum(lengths) // max(len(lengths), 1)


_SENTENCES: tuple[Callable[[Text], int], ...] = (
    lambda text: text.sentences_of_lines,
    lambda text: len(readings.ended_sentences(text)),
)

FAMILIES: tuple[Family, ...] = (
    Count(
        "length_constraints:number_words",
        lambda text: len(text.words),
        readings=(lambda text: len(text.runs), lambda text: text.pieces),
        suits=spaced,
        worth=5,
        number_key="num_words",
        quantity="words",
        beyond_ifeval=False,
    ),
    Count(
        "length_constraints:number_sentences",
        lambda text: text.sentences,
        # Whether "Sure!" is a sentence is for nobody to tell.
        readings=(*_SENTENCES, lambda text: sum(length > 1 for length in text.sentence_lengths)),
        number_key="num_sentences",
        quantity="sentences",
        beyond_ifeval=False,
    ),
    Exact(
        "length_constraints:exact_sentences",
        lambda text: text.sentences,
        "number",
        most=6,
        readings=_SENTENCES,
        suits=lambda text: all(length > 1 for length in text.sentence_lengths),
        quantity="sentences",
    ),
    Count(
        "length_constraints:characters",
        lambda text: text.graphemes,
        readings=(
            lambda text: len(text.stripped),
            lambda text: len(text.stripped) - text.stripped.count("\n"),
        ),
        worth=20,
        quantity="characters",
    ),
    Count(
        "length_constraints:longest_sentence",
        lambda text: max(text.sentence_lengths, default=0),
        readings=readings.of_sentences(lambda lengths: max(lengths, default=0)),
        suits=readings.has_sentences,
        worth=8,
        most=40,
        # Nobody asks for one long sentence.
        held_out=True,
    ),
    AverageSentence(),
    Count(
        "length_constraints:shortest_sentence",
        lambda text: min(text.sentence_lengths, default=0),
        readings=readings.of_sentences(lambda lengths: min(lengths, default=0)),
        suits=readings.has_sentences,
        worth=5,
        most=10,
        held_out=True,
    ),
    Count(
        "length_constraints:first_sentence",
        lambda text: next(iter(text.sentence_lengths), 0),
        readings=readings.of_sentences(lambda lengths: next(iter(lengths), 0)),
        suits=readings.opens_with_a_sentence,
        worth=5,
        most=20,
        quantity="first sentence",
        # Nobody asks for a least number of words in it.
        held_out=True,
    ),
    Count(
        "length_constraints:distinct_words",
        lambda text: len({*text.segments}),
        readings=(lambda text: len(text.lower_runs),),
        suits=spaced,
        worth=5,
        quantity="distinct words",
        # Close to a type of IFBench, which is for evaluation only.
        held_out=True,
    ),
    WordRange(
        "length_constraints:word_range",
        suits=spaced,
        # Close to a type of IFBench, which is for evaluation only.
        held_out=True,
    ),
)
