"""Constraints on paragraphs."""

import re

from mapl_jax.constraints.base import Demands, Family, Wordings, word_at
from mapl_jax.constraints.parameters import Number, Params, Phrase
from mapl_jax.constraints.shapes import Bound, Count, Exact
from mapl_jax.constraints.text.statistics import Text, bare
from mapl_jax.constraints.wording import exact_slot, pick

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
    place = Number("nth_paragraph", slot="nth")
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

    def derive(self, kept, broken, rng):
        """The paragraphs of a text to keep, and the first word of one of them."""
        if not kept:
            number = 2 + int(3 * rng.random())
            place = 1 + int(number * rng.random())
            word = pick(("first", "today", "finally", "people", "water"), rng)
        else:
            number = len(kept[0].paragraphs)
            if number == 0:
                return None
            place = 1 + int(number * rng.random())
            word = kept[0].paragraph_openings[place - 1]
        if not word:
            return None
        return {"num_paragraphs": number, "nth_paragraph": place, "first_word": word}

    def demands(self, params: Params) -> Demands:
        """Bounds on paragraphs, and the word at its place."""
        number, place = self.number.of(params), self.place.of(params)
        word = bare(self.word.of(params))
        values = word_at(f"first word of paragraph {place}", word)
        if place == 1:
            values |= word_at("first word", word)
        return Demands((self.word.of(params),), {"paragraphs": (number, number)}, values=values)


FAMILIES: tuple[Family, ...] = (
    Exact(
        "length_constraints:number_paragraphs",
        lambda text: divided_paragraphs(text.raw),
        "num_paragraphs",
        ("paragraph", "paragraphs"),
        quantity="divided paragraphs",
        beyond_ifeval=False,
        train=(
            "Write {exactly}, separated by the divider ***.",
            "{Answer} should have {exactly}, with *** between them.",
            "Divide {answer} into {exactly} using ***.",
            "Use *** to separate paragraphs and write {exactly}.",
            "There should be {exactly} in {answer}, divided by ***.",
            "Give me {exactly}, each set apart from the next by ***.",
        ),
        held_out_wordings=(
            "Split {answer} with *** so that it has {exactly}.",
            "I want to read {exactly} with the mark *** in between.",
        ),
    ),
    Count(
        "length_constraints:blank_line_paragraphs",
        lambda text: len(text.paragraphs),
        ("paragraph", "paragraphs"),
        quantity="paragraphs",
        generic_wordings=False,
        train=(
            "Write {amount} separated by blank lines.",
            "{Answer} should have {amount}, with a blank line between them.",
            "Organize {answer} in {amount} set apart by blank lines.",
            "Use {amount}; leave an empty line between paragraphs.",
            "Please answer in {amount} with blank lines in between.",
            "Break {answer} up into {amount} using empty lines.",
        ),
        held_out_wordings=(
            "With an empty line after each one, compose {amount}.",
            "Lay {answer} out as {amount} parted by empty lines.",
        ),
    ),
    NthParagraph(
        "length_constraints:nth_paragraph_first_word",
        [
            Wordings(
                (
                    "There should be {exactly} separated by blank lines, and paragraph {nth} must "
                    "start with the word {word}.",
                    "Write {exactly} with blank lines in between; begin paragraph {nth} with the "
                    "word {word}.",
                    "{Answer} needs {exactly} set apart by empty lines. Paragraph {nth} starts "
                    "with the word {word}.",
                    "Use {exactly}, a blank line between them, and open paragraph {nth} with the "
                    "word {word}.",
                    "Divide {answer} by blank lines into {exactly} and let {word} be the first "
                    "word of paragraph {nth}.",
                    "Give me {exactly} with empty lines between them, where paragraph {nth} has "
                    "{word} as its first word.",
                ),
                (
                    "I want {exactly} parted by blank lines, number {nth} of which leads off with "
                    "the word {word}.",
                    "With {word} in front of paragraph {nth}, compose {exactly} that empty lines "
                    "keep apart.",
                ),
            )
        ],
        {
            "exactly": exact_slot("num_paragraphs", ("paragraph", "paragraphs")),
        },
        beyond_ifeval=False,
    ),
    Bound(
        "length_constraints:longest_paragraph",
        lambda text: text.longest_paragraph,
        less=(
            (
                "No paragraph may have {number} or more words.",
                "Keep every paragraph of {answer} below {number} words.",
                "Each paragraph of {answer} should have fewer than {number} words.",
                "Write paragraphs of less than {number} words only.",
                "All paragraphs must be shorter than {number} words.",
                "Do not let any paragraph reach {number} words.",
            ),
            (
                "I do not want to read a paragraph of {number} words or more.",
                "Under {number} words is where each paragraph has to stay.",
            ),
        ),
        more=(
            (
                "At least one paragraph must have {number} or more words.",
                "Let some paragraph of {answer} reach {number} words.",
                "Include a paragraph of at least {number} words.",
                "Write one paragraph or more with no fewer than {number} words.",
                "{Answer} needs a paragraph that is {number} words long or longer.",
                "Make at least one paragraph {number} words long or longer.",
            ),
            (
                "I want to read a paragraph of {number} words or more.",
                "Up to {number} words or beyond is where one paragraph has to go.",
            ),
        ),
    ),
)
