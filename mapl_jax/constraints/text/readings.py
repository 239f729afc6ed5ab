"""Where two readers of a text may differ: what some take for a sentence, a paragraph, a word.

`statistics.Text` has the reading that checks go by, this module the others. Nothing is proposed of
a text whose verdict is another in any of them. Here alone it is decided what is in doubt:

    sentences    without a mark at the end: broken off, or a heading without a sign of it
    paragraphs   at a single line break; of nothing but a list, a heading or a scrap
    words        around a hyphen, a slash or an apostrophe; of a person in quotations and titles
    letters      with an accent

The marks that are in doubt (a comma within a number, two hyphens as a dash) are told in `marks`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from mapl_jax.constraints.text import markdown, marks, sentences, words
from mapl_jax.constraints.text.cached import MISSING
from mapl_jax.constraints.text.statistics import Text

T = TypeVar("T")
# Dots that end a sentence or not, and sentences within a quotation or brackets.
_ENDS_IN_DOUBT = re.compile(r"\.\.|\u2026|[\"\u201c][^\"\u201d\n]*[.?!]|\([^()\n]*[.?!][^()\n]*\)")


def cached_per_text(read: Callable[[Text], T]) -> Callable[[Text], T]:
    """A reading that is worked out once for each text."""

    def cached_read(text: Text) -> T:
        found = text.values.get(read, MISSING)
        if found is MISSING:
            found = text.values[read] = read(text)
        return found

    return cached_read


# What is read of several texts together, cached for those that were just looked at. If the texts
# kept it, two would keep each other, and only a collection of garbage would find them.
cached_for_texts = lru_cache(maxsize=64)


@cached_per_text
def ended_sentences(text: Text) -> list[str]:
    """The sentences with a mark at their end, which everyone takes for sentences."""
    return list(filter(sentences.is_ended, text.sentence_list))


@cached_per_text
def sentence_lengths(text: Text) -> Sequence[Sequence[int]]:
    r"""Words of each sentence, where other sentences or words (runs of `\w`) are found."""
    ended = ended_sentences(text)
    runs = [len(words.word_tokens(sentence)) for sentence in ended]
    if len(ended) == len(text.sentence_list):
        return text.joined_lengths, runs
    return text.joined_lengths, runs, [len(words.counted(sentence)) for sentence in ended]


def of_sentences(read: Callable[[Sequence[int]], int]) -> Sequence[Callable[[Text], int]]:
    """What is read of the lengths of sentences, in each of these readings."""
    return (
        lambda text: read(sentence_lengths(text)[0]),
        lambda text: read(sentence_lengths(text)[1]),
        lambda text: read(sentence_lengths(text)[-1]),
    )


def has_sentences(text: Text) -> bool:
    """Whether there are sentences whose words can be counted."""
    return bool(ended_sentences(text)) and not text.unspaced


def opens_with_a_sentence(text: Text) -> bool:
    """Whether it begins with one, and not with a heading or an item of a list."""
    return (
        opens_plainly(text)
        and not text.unspaced
        and bool(text.sentence_list)
        and sentences.is_ended(text.sentence_list[0])
    )


@cached_per_text
def clear_sentences(text: Text) -> bool:
    """Whether there are two sentences or more, and all readers find the same ones."""
    count = len(text.sentence_list)
    return (
        count > 1
        and count == len(ended_sentences(text)) == text.sentences
        and is_plain(text)
        and not text.unspaced
        and not _ENDS_IN_DOUBT.search(text.prose)
    )


@cached_per_text
def sure_order_of_lengths(text: Text) -> bool:
    """Whether all find the same sentences longer, and the same shorter, than the first one."""
    first, *others = zip(text.sentence_lengths, sentence_lengths(text)[1], strict=True)
    return all(
        (length < first[0]) == (runs < first[1]) and (length > first[0]) == (runs > first[1])
        for length, runs in others
    )


@cached_per_text
def sure_paragraphs(text: Text) -> int:
    """Paragraphs that nobody takes for a list, a heading or a scrap: those with a sentence."""
    return sum(
        any(
            sentences.is_ended(sentence)
            for line in run
            if line.kind == markdown.PLAIN
            for sentence in sentences.with_words(line.text)
        )
        for run in markdown.paragraphs(text.layout)
    )


def paragraphs(text: Text) -> tuple[int, ...]:
    """How many paragraphs there are in each reading."""
    return len(text.paragraphs), text.blocks, len(text.lines), sure_paragraphs(text)


@cached_per_text
def clear_paragraphs(text: Text) -> bool:
    """Whether there are two paragraphs or more, the same for all readers, all of sentences."""
    counts = {*paragraphs(text)}
    return len(counts) == 1 and min(counts) > 1 and clear_sentences(text)


@cached_per_text
def sentences_of_paragraphs(text: Text) -> list[int]:
    """How many sentences each paragraph has."""
    return [len(sentences.with_words(paragraph)) for paragraph in text.paragraphs]


@cached_per_text
def is_plain(text: Text) -> bool:
    """Whether there are no lists, headings, tables or code in it."""
    return all(line.kind in (markdown.PLAIN, markdown.BLANK) for line in text.layout)


def opens_plainly(text: Text) -> bool:
    """Whether it begins with prose."""
    kinds = (line.kind for line in text.layout if line.kind != markdown.BLANK)
    return next(kinds, None) == markdown.PLAIN


@cached_per_text
def unquoted(text: Text) -> str:
    """The prose that is the writer's own: without code and what quotation marks hold."""
    return marks.without_quotations(text.marked)


def surely(*pronouns: str) -> Callable[[Text], bool]:
    """Whether a pronoun is there, and in no quotation or title ("While You Were Away")."""
    pattern = re.compile(rf"\b(?:{'|'.join(pronouns)})\b")
    capitals = {word.capitalize() for word in pronouns}
    every = frozenset(pronouns)

    def found(text: Text) -> bool:
        if text.lacks(every):
            return False
        return bool(pattern.search(unquoted(text))) or not capitals.isdisjoint(
            words.unmarked(sentence.split(maxsplit=1)[0])
            for sentence in text.sentence_list
            if sentence[0] not in '"\u201c'
        )

    return found


def repeated_words(text: Text) -> int:
    """Different words of four letters or more that occur more than once; "well-known" is one."""
    counts = Counter(map(words.bare, text.words))
    return sum(count > 1 and len(word) > 3 for word, count in counts.items())


@cached_per_text
def letters(text: Text) -> Counter[str]:
    """How often each letter occurs if \u00e9 is an e."""
    if text.raw.isascii():
        return text.characters
    return Counter(unicodedata.normalize("NFD", text.raw).lower())
