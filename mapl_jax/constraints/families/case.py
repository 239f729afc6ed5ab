"""Capital and small letters.

Mended against IFEval: text in capitals is judged as if in small letters, since langdetect sees no
language in capitals, and what is too short to judge is taken by its letters; words in capitals are
those between white space, so that "DON'T" is one word and not two.
"""

from mapl_jax.constraints.base import Demands, Family
from mapl_jax.constraints.shapes import Count, Flag
from mapl_jax.constraints.text.statistics import Text


def _english(text: Text) -> bool:
    """Whether nine in ten letters are unaccented Latin ones, and the language is no other one.

    langdetect is poor and unstable on capitals and on short texts, so it only speaks on long ones,
    in small letters. `verdict` applies the original test.
    """
    letters = plain = 0
    for character, count in text.characters.items():
        if character.isalpha():
            letters += count
            plain += count if character.isascii() else 0
    return plain >= 0.9 * letters and text.language in ("en", None)


FAMILIES: tuple[Family, ...] = (
    Flag(
        "change_case:english_lowercase",
        lambda text: text.raw.islower() and _english(text),
        beyond_ifeval=False,
        plain_demands=Demands(letter_case="lower"),
    ),
    Flag(
        "change_case:english_capital",
        lambda text: text.raw.isupper() and _english(text),
        beyond_ifeval=False,
        plain_demands=Demands(letter_case="upper"),
    ),
    Count(
        "change_case:capital_word_frequency",
        lambda text: text.capital_words,
        number_key="capital_frequency",
        relation_key="capital_relation",
        quantity="capital words",
        beyond_ifeval=False,
    ),
)
