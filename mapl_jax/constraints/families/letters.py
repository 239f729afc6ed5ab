"""Which letters the answer uses, and how often."""

import string

from mapl_jax.constraints.amounts import RELATIONS, between, propose
from mapl_jax.constraints.base import Demands, Family, Threshold, Wordings
from mapl_jax.constraints.families.keywords import WordFrequency
from mapl_jax.constraints.parameters import Choice, Params
from mapl_jax.constraints.shapes import Count
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import amount_slot, pick, text_slot


class InitialLetter(Family):
    """How many words start with a letter, compared with a threshold."""

    letter = Choice("letter", options=tuple(string.ascii_lowercase))
    threshold = Threshold.of()
    parameters = (letter, threshold.number, threshold.relation)

    def measure(self, params: Params, text: Text) -> float:
        """Distance of the count to the threshold."""
        return self.threshold.distance(text.initials[self.letter.of(params)], params)

    def derive(self, kept, broken, rng):
        """A letter whose counts part the two sides, and a threshold between them."""
        for place in rng.permutation(26):
            letter = string.ascii_lowercase[int(place)]
            found = propose(
                [text.initials[letter] for text in kept],
                [text.initials[letter] for text in broken],
                rng,
            )
            if found is None and not kept and not broken:
                found = pick(RELATIONS, rng), between(1, 4, rng)
            if found is not None:
                return {"letter": letter, "relation": found[0], "number": found[1]}
        return None

    def demands(self, params: Params) -> Demands:
        """Bounds on the count."""
        bounds = self.threshold.bounds(params)
        return Demands(bounds={f"initial:{self.letter.of(params)}": bounds})


FAMILIES: tuple[Family, ...] = (
    WordFrequency(
        "keywords:letter_frequency",
        "letter",
        "let_frequency",
        "let_relation",
        Wordings(
            (
                "The letter {word} should appear {amount} in {answer}.",
                "Use the letter {word} {amount}.",
                "In {answer}, let the letter {word} occur {amount}.",
                "{Answer} should contain the letter {word} {amount}.",
                "Write {answer} so that the letter {word} shows up {amount}.",
                "Make the letter {word} appear {amount}.",
            ),
            (
                "When I count the letter {word} I should find it {amount}.",
                "Have the letter {word} come up {amount}.",
            ),
        ),
        letters=True,
    ),
    InitialLetter(
        "keywords:initial_letter",
        [
            Wordings(
                (
                    "Use {amount} starting with the letter {letter}.",
                    "{Answer} should have {amount} that start with the letter {letter}.",
                    "Include {amount} beginning with the letter {letter}.",
                    "Write {answer} with {amount} that begin with the letter {letter}.",
                    "There should be {amount} in {answer} with the first letter {letter}.",
                    "Put {amount} with {letter} as first letter into {answer}.",
                ),
                (
                    "Counting those that start with {letter}, I want to see {amount}.",
                    "With {letter} at the front, {amount} should be used.",
                ),
            )
        ],
        {
            "letter": text_slot("letter"),
            "amount": amount_slot("number", "relation", ("word", "words")),
        },
    ),
    Count(
        "keywords:word_length",
        lambda text: text.longest_word,
        ("letter", "letters"),
        quantity="longest word",
        generic_wordings=False,
        train=(
            "The longest word of {answer} should have {amount}.",
            "Make the longest word you use one of {amount}.",
            "Your longest word must have {amount}.",
            "In {answer}, the longest word needs {amount}.",
            "Choose words such that the longest has {amount}.",
            "Write {answer} with a longest word of {amount}.",
        ),
        held_out_wordings=(
            "Measured in letters, the longest word must come to {amount}.",
            "I will look up the longest word, which should have {amount}.",
        ),
        held_out=True,
    ),
)
