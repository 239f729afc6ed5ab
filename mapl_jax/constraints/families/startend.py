"""How the answer, or its sentences, begin and end."""

from collections.abc import Callable, Sequence

from mapl_jax.constraints.base import Demands, Fact, Family, word_at
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Params, Phrase
from mapl_jax.constraints.shapes import Flag
from mapl_jax.constraints.text.statistics import Text, bare
from mapl_jax.constraints.wording import pick

# Endings for instructions that no given answer keeps.
STOCK_ENDINGS = (
    "Is there anything else I can help with?",
    "I hope this helps.",
    "Let me know if you have more questions.",
    "That is all there is to it.",
    "Good luck with it.",
    "Any more questions?",
)
STOCK_WORDS = ("yes", "sure", "certainly", "today", "first", "thanks", "perhaps", "indeed")


# Marks that may close a sentence after its full stop or question mark.
_CLOSERS = "\"')*_ \u201d\u2019"
_AROUND = "quotation marks around everything"


class EndPhrase(Family):
    """The words the answer must end with, whatever their case."""

    phrase = Phrase("end_phrase", slot="phrase")
    parameters = (phrase,)

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        return 1.0 if text.ending.endswith(self.phrase.of(params).strip().lower()) else -1.0

    def derive(self, kept, broken, rng):
        """The last words of the texts to keep."""
        if not kept:
            return {"end_phrase": pick(STOCK_ENDINGS, rng)}
        line = kept[0].stripped.strip('"').rstrip().rpartition("\n")[2]
        words = line.split()
        # Longer phrases are tried too, for texts whose last words are the same.
        for count in (2 + int(5 * rng.random()), 8):
            phrase = " ".join(words[-count:]) if words else ""
            if phrase and line.endswith(phrase) and len(phrase) <= 80:
                params: Params = {"end_phrase": phrase}
                if all(self.measure(params, text) < 0 for text in broken):
                    return params
        return None

    def demands(self, params: Params) -> Demands:
        """The phrase, and the last word it brings."""
        phrase = self.phrase.of(params).strip()
        values: dict[str, Fact] = {f"ends with {mark}": phrase.endswith(mark) for mark in ".?"}
        values |= word_at("last word", bare(phrase.split()[-1]))
        return Demands(exact=(phrase,), values={**values, _AROUND: False})


class Member(Family):
    """One word that is, or is not, among the words at certain places.

    Parameters: a word, and {"negated": True} for the opposite.
    """

    word = Phrase("word")
    parameters = (word, NEGATION)

    def __init__(
        self,
        id: str,
        places: Callable[[Text], frozenset[str]],
        quantity: str = "",
        **options: bool,
    ):
        super().__init__(id, **options)
        self.places = places
        self.quantity = quantity

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = bare(self.word.of(params)) in {word.lower() for word in self.places(text)}
        return 1.0 if found != NEGATION.of(params) else -1.0

    def derive(self, kept, broken, rng):
        """A word that all of one side have at the place and the other side has not."""
        forms = [(kept, broken, {}), (broken, kept, dict(NEGATED))]
        if rng.random() < 0.5:
            forms.reverse()
        for with_word, without, form in forms:
            words = self._words(with_word, without)
            if words:
                return {"word": pick(words, rng), **form}
        return None

    def demands(self, params: Params) -> Demands:
        """The word, and whether it is at its place."""
        word = bare(self.word.of(params))
        if not self.quantity:
            return Demands(() if NEGATION.of(params) else (self.word.of(params),))
        if NEGATION.of(params):
            return Demands(values={f"{self.quantity} is {word}": False})
        return Demands((self.word.of(params),), values=word_at(self.quantity, word))

    def _words(self, with_word: Sequence[Text], without: Sequence[Text]) -> list[str]:
        if not with_word:
            found = frozenset(STOCK_WORDS)
        else:
            found = frozenset.intersection(*(self.places(text) for text in with_word))
        taken = {word.lower() for text in without for word in self.places(text)}
        return sorted(word for word in found if word.lower() not in taken and len(word) <= 30)


def _one(word: str) -> frozenset[str]:
    return frozenset((word,)) if word else frozenset()


FAMILIES: tuple[Family, ...] = (
    EndPhrase(
        "startend:end_checker",
        beyond_ifeval=False,
    ),
    Flag(
        "startend:quotation",
        lambda text: len(text.stripped) > 1 and text.stripped[0] == '"' == text.stripped[-1],
        beyond_ifeval=False,
        plain_demands=Demands(
            bounds={"quotation marks": (2, float("inf"))},
            values={_AROUND: True, "ends with ?": False, "ends with .": False},
        ),
    ),
    Member(
        "startend:first_word",
        lambda text: _one(text.first_word),
        quantity="first word",
    ),
    Member(
        "startend:last_word",
        lambda text: _one(text.last_word),
        quantity="last word",
    ),
    Member(
        "startend:sentence_opening",
        lambda text: text.sentence_openings,
        held_out=True,
    ),
    Flag(
        "startend:full_stop_end",
        lambda text: text.stripped.rstrip(_CLOSERS).endswith("."),
        plain_demands=Demands(
            bounds={"character:.": (1, float("inf"))},
            values={"ends with .": True, "ends with ?": False},
        ),
        negated_demands=Demands(values={"ends with .": False}),
    ),
    Flag(
        "startend:question_end",
        lambda text: text.stripped.rstrip(_CLOSERS).endswith("?"),
        plain_demands=Demands(
            bounds={"character:?": (1, float("inf"))},
            values={"ends with ?": True, "ends with .": False},
        ),
        negated_demands=Demands(values={"ends with ?": False}),
    ),
)
