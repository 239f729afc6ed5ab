"""How the answer, or its sentences, begin and end."""

import re
from collections.abc import Callable, Container, Sequence
from typing import Unpack

import numpy as np

from mapl_jax.constraints.base import (
    Demands,
    Fact,
    Family,
    Options,
    Proposer,
    Sides,
    spaced,
    word_at,
)
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Params, Phrase
from mapl_jax.constraints.shapes import Flag
from mapl_jax.constraints.text import marks, readings
from mapl_jax.constraints.text.sentences import may_be_given
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import bare, folded, is_simple, parts_of, root
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
STOCK_WORDS = (
    "so",
    "also",
    "yes",
    "sure",
    "certainly",
    "today",
    "first",
    "thanks",
    "perhaps",
    "indeed",
)

# What a chatty answer opens with, and what some call an opener as well.
CHATTY = frozenset("sure well oh ok okay great".split())
_CHATTY_TOO = CHATTY | frozenset(
    """
    yes yeah yep no hi hello hey thanks absolutely certainly definitely alright right ah hm hmm wow
    good cool awesome sorry so now actually haha ooh interesting happy glad sounds let of got that
    thats that's i'm nice perfect fair yup nope true right as
    """.split()
)

# What people ask no sentence to begin with.
SENTENCE_OPENERS = frozenset(
    "i you it this that these there they we the so and but if also".split()
)

# What people ask an answer to begin with without saying what to answer, and what they ask to leave
# out there.
OPENERS = frozenset("sure well ok okay great hi hello hey certainly absolutely thanks".split())
OPENERS_LEFT_OUT = OPENERS | frozenset(
    """
    yes no good sorry definitely unfortunately actually yeah ah oh hm hmm wow alright right maybe
    perhaps generally basically usually interesting glad let so it the you your my there this that
    these they i we he she if as in for to of when while how why here what which is are do can some
    one most many not
    """.split()
)

_PERSONS = {"first": ("i", "me", "my"), "second": ("you", "your")}
_CLOSER = 5  # words
_ENDS = (*marks.FULL_STOPS, *marks.QUESTION_MARKS, *marks.EXCLAMATION_MARKS)
_ABOUT_OPENERS = ("first word", "first sentence", *(f"word:{word}" for word in sorted(CHATTY)))
_AROUND = "quotation marks around everything"


class EndPhrase(Family):
    """The words the answer must end with, whatever their case."""

    phrase = Phrase("end_phrase", slot="phrase")
    parameters = (phrase,)

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        phrase = folded(self.phrase.of(params).strip()).rstrip('"\u201c\u201d').rstrip()
        return 1.0 if text.ending.endswith(phrase) else -1.0

    def proposer(self, sides: Sides) -> Proposer | None:
        """Gives the last sentence of the texts to keep; draws a stock one without any."""
        if not sides.kept:
            return self.checked(
                sides, lambda rng: self._unless_told(pick(STOCK_ENDINGS, rng), sides.prompt)
            )
        sentences = sides.kept[0].sentence_list
        last = sentences[-1].strip() if sentences else ""
        # Nobody asks for the tail of a sentence, or for a single word in this way.
        if not may_be_given(last) or not all(text.stripped.endswith(last) for text in sides.kept):
            return None
        if not _fits_any_answer(last) or self._unless_told(last, sides.prompt) is None:
            return None
        return self.checked(sides, lambda rng: {self.phrase.name: last})

    def _unless_told(self, phrase: str, prompt: Text | None) -> Params | None:
        """A phrase, unless it tells what to answer."""
        topic = map(root, prompt.content_words) if prompt else ()
        told = {*topic} & {*map(root, Text(phrase).content_words)}
        return None if told else {self.phrase.name: phrase}

    def demands(self, params: Params) -> Demands:
        """The phrase, and the last word it brings."""
        phrase = self.phrase.of(params).strip()
        values: dict[str, Fact] = {f"ends with {mark}": phrase.endswith(mark) for mark in ".?"}
        values |= word_at("last word", bare(phrase.split()[-1]))
        return Demands(exact=(phrase,), values={**values, _AROUND: False}, about=("last sentence",))


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
        asked: Container[str] | None = None,
        left_out: Container[str] | None = None,
        **options: Unpack[Options],
    ):
        super().__init__(id, **options)
        self.places = places
        self.quantity = quantity
        self.asked = asked
        self.left_out = left_out

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = bare(self.word.of(params)) in self._folded(text)
        return 1.0 if found != NEGATION.of(params) else -1.0

    def proposer(self, sides: Sides) -> Proposer:
        """Draws a word that all of one side have at the place and the other side has not."""
        words = self._words(sides.kept, sides.broken, self.asked)
        left_out = self._words(sides.broken, sides.kept, self.left_out)

        def draw(rng: np.random.Generator) -> Params | None:
            forms: list[tuple[list[str], Params]] = [(words, {}), (left_out, NEGATED)]
            if rng.random() < 0.5:
                forms.reverse()
            for choices, form in forms:
                if choices:
                    word = pick(choices, rng)
                    # "OK" would ask for capital letters, too.
                    return {"word": word.capitalize() if word.isupper() else word, **form}
            return None

        return self.checked(sides, draw)

    def demands(self, params: Params) -> Demands:
        """The word, and whether it is at its place."""
        word = bare(self.word.of(params))
        # "Don't begin with I", or with I'm, follows where there is no first person.
        start = re.split("['\u2019]", word)[0]
        about = tuple(f"{person} person" for person, words in _PERSONS.items() if start in words)
        if not self.quantity:
            phrases = () if NEGATION.of(params) else (self.word.of(params),)
            return Demands(phrases, about=("first word", f"word:{word}", *about))
        if NEGATION.of(params):
            return Demands(values={f"{self.quantity} is {word}": False}, about=about)
        return Demands((self.word.of(params),), values=word_at(self.quantity, word), about=about)

    def _folded(self, text: Text) -> frozenset[str]:
        """The words at the places as they are compared, which the text keeps."""
        if self not in text.values:
            text.values[self] = frozenset(map(folded, self.places(text)))
        return text.values[self]

    def _words(
        self, with_word: Sequence[Text], without: Sequence[Text], named: Container[str] | None
    ) -> list[str]:
        if not with_word:
            found = frozenset(STOCK_WORDS)
        else:
            found = frozenset.intersection(*(self.places(text) for text in with_word))
        if named is not None:
            found = frozenset(word for word in found if folded(word) in named)
        taken = {word for text in without for word in self._folded(text)} if found else frozenset()
        # Whether "I'm" begins with the word "I" is for nobody to tell.
        taken |= {part for word in taken for part in parts_of(word)}
        return sorted(
            word
            for word in found
            if folded(word) not in taken and len(word) <= 30 and is_simple(word)
        )


def _fits_any_answer(ending: str) -> bool:
    """Whether it is a few words without a name or a number, as "Good luck!" is."""
    _, *others = ending.split()
    return (
        len(others) < _CLOSER
        and not re.search(r"\d", ending)
        and not any(word[:1].isupper() for word in others)
    )


def _one(word: str) -> frozenset[str]:
    return frozenset((word,)) if word else frozenset()


def _ends_with_full_stop(text: Text) -> bool:
    """Whether its last mark is a full stop; an ellipsis is none."""
    last = text.last_character
    return (
        bool(last) and last in marks.FULL_STOPS and not text.ending.rstrip("\"')*_ ").endswith("..")
    )


def _is_quoted(text: Text) -> bool:
    """Whether one pair of double quotation marks holds the whole text."""
    body = text.stripped
    if len(body) < 2 or body[0] not in '"\u201c\u201e' or body[-1] not in '"\u201d\u201c':
        return False
    # '"Yes" and "no"' only begins and ends with one: the first mark inside closes the first pair.
    inside = re.search(r"(\S?)[\"\u201c\u201d]", body[1:-1])
    return inside is None or not inside[1]


FAMILIES: tuple[Family, ...] = (
    EndPhrase(
        "startend:end_checker",  # readers found that most endings dictate the answer
        beyond_ifeval=False,
        held_out=True,
    ),
    Flag(
        "startend:quotation",
        _is_quoted,
        beyond_ifeval=False,
        plain_demands=Demands(
            bounds={"quotation marks": (2, float("inf"))},
            values={_AROUND: True, "ends with ?": False, "ends with .": False},
        ),
        negated_demands=Demands(about=("quotation marks",)),
    ),
    Member(
        "startend:first_word",
        lambda text: _one(text.first_word),
        quantity="first word",
        asked=OPENERS,
        left_out=OPENERS_LEFT_OUT,
        suits=lambda text: spaced(text) and readings.opens_plainly(text),
        held_out=True,
    ),
    Flag(
        "startend:opener",
        lambda text: folded(text.first_word) in CHATTY,
        readings=(lambda text: folded(text.first_word) in _CHATTY_TOO,),
        suits=readings.opens_plainly,
        plain_demands=Demands(about=_ABOUT_OPENERS),
        negated_demands=Demands(about=_ABOUT_OPENERS),
        # Nobody wants an answer to open with "Sure"; left out it is, but then the other side asks.
        held_out=True,
    ),
    Member(
        "startend:last_word",
        lambda text: _one(text.last_word),
        quantity="last word",
        suits=spaced,
        held_out=True,
    ),
    Member(
        "startend:sentence_opening",
        lambda text: text.sentence_openings,
        # Which word to begin a sentence with is for the writer.
        asked=(),
        left_out=SENTENCE_OPENERS,
        suits=readings.clear_sentences,
        # Nobody minds a sentence that begins with "The".
        held_out=True,
    ),
    Flag(
        "startend:full_stop_end",
        _ends_with_full_stop,
        readings=(
            lambda text: text.last_character in (*marks.FULL_STOPS, "\u2026"),
            # Behind a quotation mark it is not at the very end.
            lambda text: text.stripped[-1:] in tuple(marks.FULL_STOPS),
        ),
        plain_demands=Demands(
            bounds={"character:.": (1, float("inf"))},
            values={"ends with .": True, "ends with ?": False},
        ),
        negated_demands=Demands(values={"ends with .": False}),
        held_out=True,
    ),
    Flag(
        "startend:question_end",
        lambda text: marks.count(text.last_character, marks.QUESTION_MARKS) > 0,
        # Where it breaks off, a question may have been to come.
        suits=lambda text: text.last_character in _ENDS,
        readings=(
            lambda text: any(mark in text.stripped[-8:] for mark in marks.QUESTION_MARKS),
            lambda text: text.stripped[-1:] in tuple(marks.QUESTION_MARKS),
        ),
        plain_demands=Demands(
            bounds={"character:?": (1, float("inf"))},
            values={"ends with ?": True, "ends with .": False},
        ),
        negated_demands=Demands(values={"ends with ?": False}, about=("character:?",)),
    ),
)
