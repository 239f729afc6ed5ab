"""Which letters the answer uses, and how often."""

import string
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import RELATIONS
from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, Threshold, spaced
from mapl_jax.constraints.families.keywords import WordFrequency
from mapl_jax.constraints.parameters import Choice, Params
from mapl_jax.constraints.shapes import Count
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import unmarked
from mapl_jax.constraints.wording import Slot, pick, text_slot


class InitialLetter(Family):
    """How many words start with a letter, compared with a threshold."""

    letter = Choice("letter", options=tuple(string.ascii_lowercase))
    slots: ClassVar[Mapping[str, Slot]] = {"letter": text_slot("letter")}
    threshold = Threshold.of()
    parameters = (letter, threshold.number, threshold.relation)

    def measure(self, params: Params, text: Text) -> float:
        """Distance of the count to the threshold."""
        return self.threshold.distance(text.initials[self.letter.of(params)], params)

    def proposer(self, sides: Sides) -> Proposer:
        """Draws a letter whose counts part the two sides, and a threshold between them."""
        initials, others = (
            [n for text in side for n in (text.initials, text.initials_of_runs)]
            for side in (sides.kept, sides.broken)
        )

        def propose(rng: np.random.Generator) -> Params | None:
            for place in rng.permutation(26):
                letter = string.ascii_lowercase[int(place)]
                counts = [[n.get(letter, 0) for n in side] for side in (initials, others)]
                found = amounts.propose(counts[0], counts[1], rng, most=1)
                if found is None and not initials and not others:
                    found = pick(RELATIONS, rng), amounts.between(1, 4, rng)
                if found is not None:
                    return {"letter": letter, "relation": found[0], "number": found[1]}
            return None

        return propose

    def demands(self, params: Params) -> Demands:
        """Bounds on the count."""
        bounds = self.threshold.bounds(params)
        return Demands(bounds={f"initial:{self.letter.of(params)}": bounds})


# Readers took rules about letters for games that nobody plays with an assistant: for evaluation.
FAMILIES: tuple[Family, ...] = (
    WordFrequency(
        "keywords:letter_frequency",
        "letter",
        "let_frequency",
        "let_relation",
        letters=True,
        held_out=True,
    ),
    InitialLetter("keywords:initial_letter", suits=spaced, held_out=True),
    Count(
        "keywords:word_length",
        lambda text: text.longest_word,
        suits=spaced,
        worth=4,
        readings=(lambda text: max((len(unmarked(word)) for word in text.words), default=0),),
        quantity="longest word",
        held_out=True,
    ),
)
