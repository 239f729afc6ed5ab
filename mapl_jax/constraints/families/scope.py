"""Instructions for a part of the answer, for every part of a kind, or under a condition.

They are asked only of texts whose parts nobody doubts (`readings.clear_sentences` and the like): of
one whose first line may be a heading, readers find different first sentences. All are held out for
evaluation: readers found most of them contrived in an everyday request, or they fit few texts.
"""

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, in_english
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Number, Params
from mapl_jax.constraints.shapes import Count, Flag, Statistic
from mapl_jax.constraints.text import markdown, marks, readings
from mapl_jax.constraints.text.statistics import Text, first_word
from mapl_jax.constraints.text.words import bare, counted, word_tokens

Verdicts = tuple[bool, bool]
# Lengths from which people call a sentence a long one.
_LONG = (8, 10, 12, 15, 20)


class Either(Statistic[Verdicts]):
    """Two opposites that a text may both keep, or both break.

    The statistic says whether it keeps the plain form, and whether it keeps the negated one.
    """

    parameters = (NEGATION,)

    def __init__(
        self,
        id: str,
        statistic: Callable[[Text], Verdicts],
        about: tuple[str, ...],
        suits: Callable[[Text], bool],
    ):
        super().__init__(id, suits=suits, held_out=True)
        self.statistic = statistic
        self._demands = Demands(about=about)

    def judge(self, params: Params, value: Verdicts) -> float:
        """+1 or -1."""
        return 1.0 if value[NEGATION.of(params)] else -1.0

    def proposer(self, sides: Sides) -> Proposer:
        """Gives the form that fits."""
        return self.form_proposer(sides)

    def demands(self, params: Params) -> Demands:
        """What it speaks of."""
        return self._demands


class LongSentenceCommas(Family):
    """A comma in every sentence of so many words; as `negated`, one such sentence without."""

    number = Number("number", least=2)
    parameters = (number, NEGATION)

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        number = self.number.of(params)
        sentences = zip(text.sentence_lengths, _commas_of_sentences(text), strict=True)
        kept = all(commas > 0 for length, commas in sentences if length >= number)
        return 1.0 if kept != NEGATION.of(params) else -1.0

    def proposer(self, sides: Sides) -> Proposer:
        """Draws a number for which each text has such a sentence, with the form that fits."""
        texts = [*sides.kept, *sides.broken]
        forms: list[Params] = [{}, dict(NEGATED)]

        def propose(rng: np.random.Generator) -> Params | None:
            for place in rng.permutation(len(_LONG)):
                number = _LONG[int(place)]
                if not all(_has_long(text, number) for text in texts):
                    continue
                for form in forms:
                    params = {self.number.name: number, **form}
                    if self.fits(params, sides.kept, sides.broken):
                        return params
            return None

        return propose

    def demands(self, params: Params) -> Demands:
        """What it speaks of."""
        return Demands(about=("character:,", "length_constraints:longest_sentence"))


def _has_long(text: Text, number: int) -> bool:
    """Whether a sentence has so many words, and none has as many to some readers only."""
    lengths = [*zip(text.sentence_lengths, readings.sentence_lengths(text)[1], strict=True)]
    return any(words >= number for words, _ in lengths) and all(
        (words >= number) == (runs >= number) for words, runs in lengths
    )


# What is looked at in clear texts ------------------------------------------------------------


def _commas(sentence: str) -> int:
    return marks.count(sentence, marks.COMMAS)


@readings.cached_per_text
def _commas_of_sentences(text: Text) -> list[int]:
    return [_commas(sentence) for sentence in text.sentence_list]


def _asks(sentence: str) -> bool:
    return marks.count(sentence, marks.QUESTION_MARKS) > 0


def _exclaims(sentence: str) -> bool:
    return marks.count(sentence, marks.EXCLAMATION_MARKS) > 0


# What all call the first person or the second, and what some do.
_ME = re.compile(r"\b(?:I|[Mm]e|[Mm]y)\b")
_US = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours|ourselves|let's)\b", re.I)
_YOU = re.compile(r"\byour?\b", re.I)
_YOURS = re.compile(r"\b(?:your?|yours|yourself|yourselves|ya|u)\b", re.I)
_NUMERAL = re.compile(r"\b[A-Z]\w+ I\b(?!')")


def _speaks_of(pronouns: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda sentence: pronouns.search(sentence) is not None


def _surely_speaks_of(pronouns: re.Pattern[str]) -> Callable[[str], bool]:
    """The same, what stands in quotation marks and the I of World War I left out."""
    return lambda sentence: (
        pronouns.search(_NUMERAL.sub("", marks.without_quotations(sentence))) is not None
    )


def _of_first(look: Callable[[str], object]) -> Callable[[Text], bool]:
    return lambda text: any(map(look, text.sentence_list[:1]))


def _of_last(look: Callable[[str], object]) -> Callable[[Text], bool]:
    return lambda text: any(map(look, text.sentence_list[-1:]))


def _openings_differ(text: Text) -> bool:
    openings = [bare(first_word(sentence)) for sentence in text.sentence_list]
    return len({*openings}) == len(openings)


def _first_is_shortest(text: Text) -> bool:
    first, *others = text.sentence_lengths or [0]
    return all(first < other for other in others)


def _has_one_shortest(text: Text) -> bool:
    """Whether the first sentence is not as short as another one that is the shortest."""
    first, *others = text.sentence_lengths or [0]
    return not others or first != min(others)


def _lengths_of_ends(text: Text) -> Verdicts:
    """Whether the last sentence is longer than the first, and whether it is shorter."""
    lengths = text.sentence_lengths or [0]
    return lengths[-1] > lengths[0], lengths[-1] < lengths[0]


def _places_of_questions(text: Text) -> Verdicts:
    """Whether no sentence but the last asks, and whether another one does if any does."""
    *others, end = text.sentence_list or [""]
    early, last = any(map(_asks, others)), _asks(end)
    return not early, early or not last


def _numbers_of_questions(text: Text) -> Verdicts:
    """Whether there is one question if there is any, and whether there are several."""
    questions = sum(map(_asks, text.sentence_list))
    return questions < 2, questions != 1


def _exclaims_late(text: Text) -> bool:
    return any(marks.count(each, marks.EXCLAMATION_MARKS) for each in text.sentence_list[1:])


def _marks_of_lists(text: Text) -> Verdicts:
    """Whether no list has bullets, and whether none has numbers."""
    numbers = text.kinds(markdown.NUMBERED) + text.kinds(markdown.LETTERED)
    return not text.kinds(markdown.BULLET), not numbers


def _items(text: Text) -> list[str]:
    return [line.text for line in text.layout if line.kind in markdown.ITEMS]


# Which texts they are asked of ----------------------------------------------------------------


def _all_of(*conditions: Callable[[Text], bool]) -> Callable[[Text], bool]:
    return lambda text: all(condition(text) for condition in conditions)


def _sure_commas(text: Text) -> bool:
    return marks.sure(text.marked, marks.COMMAS) == marks.count(text.raw, marks.COMMAS)


def _has_questions(text: Text) -> bool:
    return any(map(_asks, text.sentence_list))


def _has_list(text: Text) -> bool:
    return len(_items(text)) > 1


_CLEAR = readings.clear_sentences


def _count(
    name: str,
    statistic: Callable[[Text], int],
    suits: Callable[[Text], bool],
    quantity: str,
    about: tuple[str, ...],
    least: int = 1,
    worth: int = 1,
    most: float = math.inf,
    readings: Sequence[Callable[[Text], int]] = (),
) -> Count:
    return Count(
        f"scope:{name}",
        statistic,
        suits=suits,
        quantity=quantity,
        about=about,
        least=least,
        worth=worth,
        most=most,
        readings=readings,
        held_out=True,
    )


def _flag(
    name: str,
    statistic: Callable[[Text], bool],
    about: tuple[str, ...],
    suits: Callable[[Text], bool] = _CLEAR,
    readings: Sequence[Callable[[Text], bool]] = (),
    held_out: bool = True,
) -> Flag:
    demands = Demands(about=about)
    return Flag(
        f"scope:{name}",
        statistic,
        suits=suits,
        readings=readings,
        held_out=held_out,
        plain_demands=demands,
        negated_demands=demands,
    )


FAMILIES: tuple[Family, ...] = (
    _count(
        "last_sentence_words",
        lambda text: text.sentence_lengths[-1] if text.sentence_lengths else 0,
        _CLEAR,
        "last sentence",
        ("sentences",),
        worth=4,
        most=15,
        readings=readings.of_sentences(lambda lengths: lengths[-1] if lengths else 0),
    ),
    _count(
        "first_paragraph_sentences",
        lambda text: next(iter(readings.sentences_of_paragraphs(text)), 0),
        readings.clear_paragraphs,
        "sentences of the first paragraph",
        ("paragraphs",),
    ),
    _count(
        "last_paragraph_sentences",
        lambda text: readings.sentences_of_paragraphs(text)[-1] if text.paragraphs else 0,
        readings.clear_paragraphs,
        "sentences of the last paragraph",
        ("paragraphs",),
    ),
    _count(
        "paragraph_sentences",
        lambda text: max(readings.sentences_of_paragraphs(text), default=0),
        readings.clear_paragraphs,
        "sentences of a paragraph",
        ("paragraphs",),
        least=2,
    ),
    _count(
        "sentence_commas",
        lambda text: max(_commas_of_sentences(text), default=0),
        _all_of(_CLEAR, _sure_commas),
        "commas of a sentence",
        ("character:,",),
        least=2,
        most=2,
    ),
    _count(
        "list_item_words",
        lambda text: max((len(counted(item)) for item in _items(text)), default=0),
        _has_list,
        "words of an item",
        ("bullets", "numbered lines"),
        least=2,
        worth=3,
        readings=(lambda text: max((len(word_tokens(item)) for item in _items(text)), default=0),),
    ),
    LongSentenceCommas(
        "scope:long_sentence_commas", suits=_all_of(_CLEAR, _sure_commas), held_out=True
    ),
    *(
        _flag(
            f"{name}_sentence_comma",
            of(_commas),
            ("character:,", f"{name} sentence"),
            _all_of(_CLEAR, _sure_commas),
        )
        for name, of in (("first", _of_first), ("last", _of_last))
    ),
    _flag(
        "first_sentence_question",
        _of_first(_asks),
        ("character:?", "first sentence"),
        held_out=False,
    ),
    _flag("first_sentence_exclamation", _of_first(_exclaims), ("character:!", "first sentence")),
    _flag(
        "last_sentence_exclamation", _of_last(_exclaims), ("character:!", "last sentence", "ending")
    ),
    *(
        _flag(
            f"{name}_sentence_{who}_person",
            of(_speaks_of(pronouns)),
            (f"{who} person", f"{name} sentence"),
            _all_of(_CLEAR, in_english),
            readings=(of(_speaks_of(also)), of(_surely_speaks_of(pronouns))),
        )
        for name, of in (("first", _of_first), ("last", _of_last))
        for who, pronouns, also in (("first", _ME, _US), ("second", _YOU, _YOURS))
    ),
    _flag("sentence_openings", _openings_differ, ("first word", "sentences")),
    _flag(
        "first_sentence_shortest",
        _first_is_shortest,
        ("first sentence", "length_constraints:shortest_sentence", "sentences"),
        _all_of(_CLEAR, readings.sure_order_of_lengths, _has_one_shortest),
    ),
    _flag("late_exclamation", _exclaims_late, ("character:!", "sentences")),
    _flag(
        "sentence_full_stops",
        lambda text: all(
            each.rstrip("\"'\u201d\u2019) ")[-1:] in tuple(marks.FULL_STOPS)
            for each in text.sentence_list
        ),
        ("character:!", "character:?", "ending"),
    ),
    Either(
        "scope:last_sentence_longer",
        _lengths_of_ends,
        ("first sentence", "last sentence", "sentences"),
        _all_of(_CLEAR, readings.sure_order_of_lengths),
    ),
    Either(
        "scope:question_at_end",
        _places_of_questions,
        ("character:?", "ending"),
        _all_of(_CLEAR, _has_questions),
    ),
    Either(
        "scope:one_question",
        _numbers_of_questions,
        ("character:?",),
        _all_of(_CLEAR, _has_questions),
    ),
    Either(
        "scope:list_numbers",
        _marks_of_lists,
        ("bullets", "numbered lines"),
        _has_list,
    ),
)
