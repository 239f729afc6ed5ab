"""How the answer, or its sentences, begin and end."""

from collections.abc import Callable, Sequence

from mapl_jax.constraints.base import Demands, Fact, Family, Wordings, word_at
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
        plain: Wordings,
        negated: Wordings,
        quantity: str = "",
        **options: bool,
    ):
        super().__init__(id, [plain, negated], **options)
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
        [
            Wordings(
                (
                    "Finish {answer} with the exact phrase {phrase}.",
                    "The very last words of {answer} should be {phrase}.",
                    "End {answer} with {phrase} and nothing after it.",
                    "{Answer} must end with the phrase {phrase}.",
                    "Close with the words {phrase}.",
                    "Let {phrase} be the end of {answer}.",
                ),
                (
                    "I want {phrase} to be where {answer} stops.",
                    "No words may follow {phrase}, with which you conclude.",
                ),
            )
        ],
        beyond_ifeval=False,
    ),
    Flag(
        "startend:quotation",
        lambda text: len(text.stripped) > 1 and text.stripped[0] == '"' == text.stripped[-1],
        beyond_ifeval=False,
        plain=(
            (
                "Wrap the whole of {answer} in double quotation marks.",
                "Put {answer} in double quotation marks.",
                "{Answer} should start and end with a double quotation mark.",
                "Enclose everything you write in double quotation marks.",
                "Surround {answer} with double quotation marks.",
                "Double quotation marks should go around {answer}.",
            ),
            (
                "Open with a double quotation mark and close with one.",
                "I want {answer} set between double quotation marks.",
            ),
        ),
        negated=(
            (
                "Do not wrap {answer} in double quotation marks.",
                "Do not put quotation marks around {answer}.",
                "{Answer} should not start and end with a double quotation mark.",
                "Leave {answer} without quotation marks around it.",
                "Avoid enclosing {answer} in quotation marks.",
                "No quotation marks should go around {answer}.",
            ),
            (
                "Do not open with a double quotation mark and close with one.",
                "I do not want {answer} set between quotation marks.",
            ),
        ),
        plain_demands=Demands(
            bounds={"quotation marks": (2, float("inf"))},
            values={_AROUND: True, "ends with ?": False, "ends with .": False},
        ),
    ),
    Member(
        "startend:first_word",
        lambda text: _one(text.first_word),
        Wordings(
            (
                "Begin {answer} with the word {word}.",
                "The first word of {answer} should be {word}.",
                "Start with the word {word}.",
                "{Answer} must open with the word {word}.",
                "Let {word} be the first word of {answer}.",
                "Make {word} the word that {answer} starts with.",
            ),
            (
                "I want {answer} to lead off with the word {word}.",
                "Ahead of all others should stand the word {word}.",
            ),
        ),
        Wordings(
            (
                "Do not begin {answer} with the word {word}.",
                "The first word of {answer} should not be {word}.",
                "Do not start with the word {word}.",
                "{Answer} must not open with the word {word}.",
                "Avoid {word} as the first word of {answer}.",
                "Make any word but {word} the one that {answer} starts with.",
            ),
            (
                "I do not want {answer} to lead off with the word {word}.",
                "Ahead of all others should stand a word other than {word}.",
            ),
            NEGATED,
        ),
        quantity="first word",
    ),
    Member(
        "startend:last_word",
        lambda text: _one(text.last_word),
        Wordings(
            (
                "Finish {answer} with the word {word}.",
                "The last word of {answer} should be {word}.",
                "End on the word {word}.",
                "{Answer} must close with the word {word}.",
                "Let {word} be the last word of {answer}.",
                "Make {word} the word that {answer} ends with.",
            ),
            (
                "I want {answer} to come to its end with the word {word}.",
                "Behind all others should stand the word {word}.",
            ),
        ),
        Wordings(
            (
                "Do not finish {answer} with the word {word}.",
                "The last word of {answer} should not be {word}.",
                "Do not end on the word {word}.",
                "{Answer} must not close with the word {word}.",
                "Avoid {word} as the last word of {answer}.",
                "Make any word but {word} the one that {answer} ends with.",
            ),
            (
                "I do not want {answer} to come to its end with the word {word}.",
                "Behind all others should stand a word other than {word}.",
            ),
            NEGATED,
        ),
        quantity="last word",
    ),
    Member(
        "startend:sentence_opening",
        lambda text: text.sentence_openings,
        Wordings(
            (
                "Start at least one sentence with the word {word}.",
                "At least one sentence of {answer} should begin with the word {word}.",
                "Include a sentence that starts with the word {word}.",
                "{Answer} must have a sentence beginning with {word}.",
                "Open some sentence of {answer} with the word {word}.",
                "Let the word {word} begin one sentence or more.",
            ),
            (
                "I want to find a sentence that the word {word} leads.",
                "Of all your sentences, one or more must have {word} in front.",
            ),
        ),
        Wordings(
            (
                "Start no sentence with the word {word}.",
                "No sentence of {answer} should begin with the word {word}.",
                "Do not include a sentence that starts with the word {word}.",
                "{Answer} must not have a sentence beginning with {word}.",
                "Avoid opening a sentence of {answer} with the word {word}.",
                "Let the word {word} begin none of the sentences.",
            ),
            (
                "I do not want to find a sentence that the word {word} leads.",
                "Of all your sentences, none may have {word} in front.",
            ),
            NEGATED,
        ),
        held_out=True,
    ),
    Flag(
        "startend:full_stop_end",
        lambda text: text.stripped.rstrip(_CLOSERS).endswith("."),
        plain=(
            (
                "End {answer} with a full stop.",
                "Finish with a full stop.",
                "{Answer} should end in a full stop.",
                "Let the last mark of punctuation be a full stop, at the very end.",
                "Close {answer} by setting a full stop.",
                "The final sentence of {answer} must end with a full stop.",
            ),
            (
                "I want {answer} to leave off with a full stop.",
                "A full stop should be the last sign of all.",
            ),
        ),
        negated=(
            (
                "Do not end {answer} with a full stop.",
                "Do not finish with a full stop.",
                "{Answer} should not end in a full stop.",
                "Let the last mark of punctuation be anything but a full stop at the very end.",
                "Do not close {answer} by setting a full stop.",
                "The final sentence of {answer} must not end with a full stop.",
            ),
            (
                "I do not want {answer} to leave off with a full stop.",
                "A full stop should not be the last sign of all.",
            ),
        ),
        plain_demands=Demands(
            bounds={"character:.": (1, float("inf"))},
            values={"ends with .": True, "ends with ?": False},
        ),
        negated_demands=Demands(values={"ends with .": False}),
    ),
    Flag(
        "startend:question_end",
        lambda text: text.stripped.rstrip(_CLOSERS).endswith("?"),
        plain=(
            (
                "End {answer} with a question.",
                "Finish with a question mark.",
                "{Answer} should end in a question.",
                "Let the last sentence be a question.",
                "Close {answer} by asking something.",
                "The final sentence of {answer} must be a question.",
            ),
            (
                "I want {answer} to leave off with a question.",
                "A question mark should be the last sign of all.",
            ),
        ),
        negated=(
            (
                "Do not end {answer} with a question.",
                "Do not finish with a question mark.",
                "{Answer} should not end in a question.",
                "Let the last sentence be anything but a question.",
                "Do not close {answer} by asking something.",
                "The final sentence of {answer} must not be a question.",
            ),
            (
                "I do not want {answer} to leave off with a question.",
                "A question mark should not be the last sign of all.",
            ),
        ),
        plain_demands=Demands(
            bounds={"character:?": (1, float("inf"))},
            values={"ends with ?": True, "ends with .": False},
        ),
        negated_demands=Demands(values={"ends with ?": False}),
    ),
)
