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
        plain=(
            (
                "Write {answer} in English and in all lowercase letters.",
                "Use only lowercase letters and write in English.",
                "{Answer} should be in English, without any capital letters.",
                "No capital letters are allowed; write in English.",
                "Answer in English using small letters only.",
                "Keep the whole of {answer} in lowercase English.",
            ),
            (
                "Leave the shift key alone: English text in small letters only.",
                "I want {answer} in English with every letter lowercase.",
            ),
        ),
        negated=(
            (
                "Do not write {answer} entirely in lowercase.",
                "Use at least one capital letter in {answer}.",
                "{Answer} should not be all in lowercase letters.",
                "Include capital letters where they belong.",
                "Avoid writing everything in small letters.",
                "{Answer} must contain at least one capital letter.",
            ),
            (
                "A text in small letters only is not acceptable.",
                "I expect to see a capital letter somewhere in {answer}.",
            ),
        ),
        plain_demands=Demands(letter_case="lower"),
    ),
    Flag(
        "change_case:english_capital",
        lambda text: text.raw.isupper() and _english(text),
        beyond_ifeval=False,
        plain=(
            (
                "Write {answer} in English and in all capital letters.",
                "Use only capital letters and write in English.",
                "{Answer} should be in English, without any lowercase letters.",
                "No lowercase letters are allowed; write in English.",
                "Answer in English using capitals only.",
                "Keep the whole of {answer} in uppercase English.",
            ),
            (
                "Hold the shift key down: English text in capitals only.",
                "I want {answer} in English with every letter uppercase.",
            ),
        ),
        negated=(
            (
                "Do not write {answer} entirely in capital letters.",
                "Use at least one lowercase letter in {answer}.",
                "{Answer} should not be all in capital letters.",
                "Include lowercase letters as usual.",
                "Avoid writing everything in capitals.",
                "{Answer} must contain at least one lowercase letter.",
            ),
            (
                "A text in capitals only is not acceptable.",
                "I expect to see a lowercase letter somewhere in {answer}.",
            ),
        ),
        plain_demands=Demands(letter_case="upper"),
    ),
    Count(
        "change_case:capital_word_frequency",
        lambda text: text.capital_words,
        ("word in all capital letters", "words in all capital letters"),
        number_key="capital_frequency",
        relation_key="capital_relation",
        quantity="capital words",
        beyond_ifeval=False,
        train=("Write {amount}.", "Among the words of {answer} should be {amount}."),
        held_out_wordings=("Put {amount} into {answer}.",),
    ),
)
