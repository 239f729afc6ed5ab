"""Capital and small letters.

Mended against IFEval: text in capitals is judged as if in small letters, since langdetect sees no
language in capitals, and what is too short to judge is taken by its letters; words in capitals are
those between white space, so that "DON'T" is one word and not two.
"""

import re
from collections.abc import Callable

from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, in_english
from mapl_jax.constraints.parameters import NEGATION, Params
from mapl_jax.constraints.shapes import Count
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import is_capital, unmarked, word_tokens

_NUMERAL = re.compile("[IVXLC]+")


class Case(Family):
    """English text without capital letters (or without small ones); as `negated`, with one.

    The negation is that of the letters alone: a text without any letters breaks both.
    """

    parameters = (NEGATION,)

    def __init__(self, id: str, other: Callable[[str], bool], letter_case: str):
        super().__init__(id, beyond_ifeval=False, suits=in_english)
        self.other = other
        self.letter_case = letter_case

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        if self not in text.values:
            found = any(map(self.other, text.raw))
            lettered = text.raw.lower() != text.raw.upper()
            text.values[self] = not found and lettered and text.english, found
        return 1.0 if text.values[self][NEGATION.of(params)] else -1.0

    def proposer(self, sides: Sides) -> Proposer:
        """Gives the form that fits."""
        return self.form_proposer(sides)

    def demands(self, params: Params) -> Demands:
        """One case for all letters."""
        letter_case = None if NEGATION.of(params) else self.letter_case
        return Demands(letter_case=letter_case, about=("capital words", "language"))


def _numerals(text: Text) -> set[str]:
    return {word for word in text.words if _NUMERAL.fullmatch(unmarked(word))}


FAMILIES: tuple[Family, ...] = (
    Case("change_case:english_lowercase", str.isupper, "lower"),
    Case("change_case:english_capital", str.islower, "upper"),
    Count(
        "change_case:capital_word_frequency",
        lambda text: text.capital_words,
        number_key="capital_frequency",
        relation_key="capital_relation",
        quantity="capital words",
        most=2,
        # Numerals (VI), parts of words (TV's) and a word used again are some to some.
        readings=(
            lambda text: sum(is_capital(word) for word in text.raw.split() if word.isupper()),
            lambda text: sum(map(is_capital, word_tokens(text.raw))),
            lambda text: len({word for word in text.words if is_capital(word)} - _numerals(text)),
        ),
        held_out=True,
        beyond_ifeval=False,
    ),
)
