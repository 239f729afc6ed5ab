"""Constraints on paragraphs."""

import re

import numpy as np

from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, spaced, word_at
from mapl_jax.constraints.parameters import Number, Params, Phrase
from mapl_jax.constraints.shapes import Count, Exact
from mapl_jax.constraints.text import readings
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import bare, counted, is_simple, word_tokens
from mapl_jax.constraints.wording import pick

_DIVIDER = re.compile(r"\s?\*\*\*\s?")


def divided_paragraphs(text: str) -> int | None:
    """Number of parts between `***`; blank ends do not count, a blank middle gives None."""
    parts = _DIVIDER.split(text)
    if any(not part.strip() for part in parts[1:-1]):
        return None
    ends = parts[:1] + parts[1:][-1:]
    return len(parts) - sum(not part.strip() for part in ends)


class NthParagraph(Family):
    """A number of paragraphs between blank lines, one of which starts with a given word.

    Parameters: num_paragraphs, nth_paragraph (from 1) and first_word.
    """

    number = Number("num_paragraphs")
    place = Number("nth_paragraph", slot="ordinal")
    word = Phrase("first_word", slot="word")
    parameters = (number, place, word)

    def agree(self, params: Params) -> bool:
        """Whether there is such a paragraph."""
        return self.place.of(params) <= self.number.of(params)

    def measure(self, params: Params, text: Text) -> float:
        """+1 if met, else minus the paragraphs missing or too many, at least 1."""
        off = abs(len(text.paragraphs) - self.number.of(params))
        if off:
            return -float(off)
        word = text.paragraph_openings[self.place.of(params) - 1]
        return 1.0 if word.lower() == bare(self.word.of(params)) else -1.0

    def proposer(self, sides: Sides) -> Proposer | None:
        """Draws one of the paragraphs of a text to keep, with its first word."""
        if not sides.kept:
            return self.checked(sides, self._stock)
        kept = sides.kept[0]
        number, openings = len(kept.paragraphs), kept.paragraph_openings
        # Of a single paragraph, this is asking for the first word in a strange way.
        if number < 2 or len({*readings.paragraphs(kept)}) > 1:
            return None
        lines = [line for text in sides.broken for line in text.lines]
        places = [
            place
            for place, opening in enumerate(openings[:number], 1)
            if opening and is_simple(opening) and not any(_begins(it, opening) for it in lines)
        ]

        def draw(rng: np.random.Generator) -> Params:
            place = pick(places, rng)
            return self._params(number, place, openings[place - 1])

        return self.checked(sides, draw) if places else None

    def _stock(self, rng: np.random.Generator) -> Params:
        number = 2 + int(3 * rng.random())
        place = 1 + int(number * rng.random())
        word = pick(("first", "today", "finally", "people", "water"), rng)
        return self._params(number, place, word)

    def _params(self, number: int, place: int, word: str) -> Params:
        return {"num_paragraphs": number, "nth_paragraph": place, "first_word": word}

    def demands(self, params: Params) -> Demands:
        """Bounds on paragraphs, and the word at its place."""
        number, place = self.number.of(params), self.place.of(params)
        word = bare(self.word.of(params))
        values = word_at(f"first word of paragraph {place}", word)
        if place == 1:
            values |= word_at("first word", word)
        return Demands((self.word.of(params),), {"paragraphs": (number, number)}, values=values)


def _begins(line: str, word: str) -> bool:
    return word.lower() in word_tokens(line.lower())[:1]


FAMILIES: tuple[Family, ...] = (
    Exact(
        "length_constraints:number_paragraphs",
        lambda text: divided_paragraphs(text.raw),
        "num_paragraphs",
        quantity="divided paragraphs",
        beyond_ifeval=False,
    ),
    Count(
        "length_constraints:blank_line_paragraphs",
        lambda text: len(text.paragraphs),
        # A list belongs to what introduces it or not, a line break begins a paragraph or not.
        readings=(lambda text: text.blocks, lambda text: len(text.lines), readings.sure_paragraphs),
        quantity="paragraphs",
    ),
    # Held out, as it fits few pairs: only paragraphs that nobody doubts count.
    NthParagraph(
        "length_constraints:nth_paragraph_first_word",
        beyond_ifeval=False,
        suits=spaced,
        held_out=True,
    ),
    Count(
        "length_constraints:longest_paragraph",
        lambda text: text.longest_paragraph,
        readings=(
            lambda text: max((len(word_tokens(part)) for part in text.paragraphs), default=0),
            lambda text: max(map(len, map(counted, text.prose.split("\n"))), default=0),
        ),
        suits=lambda text: readings.is_plain(text) and spaced(text),
        worth=40,
        most=150,
        # Nobody asks for one long paragraph.
        held_out=True,
    ),
)
