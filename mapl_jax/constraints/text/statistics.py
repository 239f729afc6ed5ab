"""What can be counted in a response, computed once per text.

Every pattern here runs in linear time: responses may be long, odd or hostile. What is prose and
what is a mark of Markdown is decided in `markdown`, what is a word in `words`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Set
from functools import lru_cache
from operator import itemgetter
from typing import Any

from mapl_jax.constraints.text import detection, markdown, marks, sentences, words
from mapl_jax.constraints.text.cached import cached
from mapl_jax.constraints.text.common_words import COMMON_WORDS, STOPWORDS
from mapl_jax.constraints.text.markdown import Line
from mapl_jax.constraints.text.words import (
    folded,
    is_capital,
    plain_word,
    unmarked,
    whole_word,
    word_tokens,
)

_LETTERS = re.compile(r"[^\W\d_]+")
_CLOSING = "\"')*_]\u201d\u2019\u00bb\u300d\u300f\uff09"
_TAIL = re.compile(r"'(?<=\w')\w+")


def first_word(text: str) -> str:
    """The first word of a text as it stands there, marks around it included."""
    for piece in text.split(maxsplit=8):
        found = words.counted(piece.split(maxsplit=1)[0])
        if found:
            return found[0]
    return ""


class Text:
    """Statistics of one response; each is computed on first use and kept."""

    def __init__(self, raw: str):
        self.raw = raw if raw.isascii() else unicodedata.normalize("NFC", raw)
        self.values: dict[object, Any] = {}
        """What families found in it and do not want to look for again."""

    # Views ------------------------------------------------------------------------------------

    @cached
    def stripped(self) -> str:
        """The text without white space around it."""
        return self.raw.strip()

    @cached
    def layout(self) -> list[Line]:
        """Its lines as `markdown` reads them."""
        return markdown.lines(self.raw)

    @cached
    def prose(self) -> str:
        """The text without blocks of code and marks of Markdown."""
        return "\n".join(
            [line.text for line in self.layout if line.text and line.kind != markdown.CODE]
        )

    @cached
    def marked(self) -> str:
        """Prose in which punctuation counts: without code, web addresses and list markers."""
        return marks.without_addresses("\n".join([line.marked for line in self.layout]))

    @cached
    def lower(self) -> str:
        """The prose as words are looked for in it."""
        return self.folded if self.prose == self.raw else folded(self.prose)

    @cached
    def folded(self) -> str:
        """The whole text as words are compared: in small letters, with straight apostrophes."""
        return folded(self.raw)

    @cached
    def opening(self) -> str:
        """The text in lower case from its first visible character on."""
        return folded(self.stripped)

    @cached
    def ending(self) -> str:
        """The prose in lower case up to its last visible character that is no quotation mark."""
        return self.lower.rstrip().rstrip('"\u201c\u201d').rstrip()

    @cached
    def last_character(self) -> str:
        """The last letter, digit or mark of the prose; closing marks and emoji are left out."""
        for character in reversed(self.prose):
            if character.isalnum():
                return character
            symbol = unicodedata.category(character) in ("So", "Sk", "Mn", "Cf")
            if not (symbol or character.isspace() or character in _CLOSING):
                return character
        return ""

    @cached
    def visible(self) -> str:
        """The text as it is written, without code."""
        if "`" not in self.raw and "~~~" not in self.raw:
            return self.raw
        return markdown.without_code(self.raw, self.layout)

    # Words ------------------------------------------------------------------------------------

    @cached
    def words(self) -> list[str]:
        """The words of the prose as people count them."""
        return words.counted(self.prose)

    @cached
    def runs(self) -> list[str]:
        r"""Runs of `\w` in the whole text in lower case, as IFEval counts its words."""
        return word_tokens(self.folded)

    @cached
    def lower_runs(self) -> Counter[str]:
        """How often each run occurs."""
        return Counter(self.runs)

    def has_form(self, word: str) -> bool:
        """Whether a word or another form of it is among them: "trucks" is one of "truck"."""
        # Most texts do not hold what all forms begin with.
        return words.root(word) in self.folded and not self.lower_runs.keys().isdisjoint(
            words.forms(word)
        )

    @cached
    def _is_smooth(self) -> bool:
        """Whether no mark of Markdown within a word makes other words of its prose."""
        return not any(mark in self.raw for mark in "_~[`")

    def lacks(self, words: Set[str]) -> bool:
        """True only if none of some words, in small letters, occurs; False where unsure."""
        return self._is_smooth and self.lower_runs.keys().isdisjoint(words)

    @cached
    def things(self) -> frozenset[str]:
        """Words used as nouns, as far as what stands around them tells."""
        return words.things(self.lower)

    @cached
    def pieces(self) -> int:
        """Pieces between white space in the whole text, as a word processor counts."""
        return len(self.raw.split())

    @cached
    def unspaced(self) -> bool:
        """Whether some of it is in a script without spaces, whose words a dictionary must find."""
        return words.is_unspaced(self.raw)

    @cached
    def english(self) -> bool:
        """Whether English is the language, as far as can be told."""
        if not self.raw.isascii():
            letters, plain = detection.letters(self.raw.lower())
            if plain < 0.9 * letters:
                return False
        if self.language is not None:
            return self.language == "en"
        counts = self.word_counts
        known = sum([counts[word] for word in counts.keys() & COMMON_WORDS])
        return 3 * known >= self.word_counts.total()

    @cached
    def segments(self) -> list[str]:
        """The words of the prose by UAX 29, in lower case."""
        if self.prose.isascii():
            return list(map(str.lower, self._segments))
        return [word.lower() if word.isascii() else folded(word) for word in self._segments]

    @cached
    def _segments(self) -> list[str]:
        return words.segments(self.prose)

    @cached
    def _segment_counts(self) -> Counter[str]:
        return Counter(self.segments)

    @cached
    def word_counts(self) -> Counter[str]:
        """How often each lower-cased word occurs; "you're" is also a "you"."""
        if "'" not in self.lower:
            return self._segment_counts
        counts = self._segment_counts.copy()
        for word, count in self._segment_counts.items():
            if "'" in word and (stem := words.stem(word)):
                counts[stem] += count
        return counts

    @cached
    def spoken(self) -> Counter[str]:
        """The same of prose without code: the "i" of a loop is no person."""
        if "`" not in self.raw:
            return self.word_counts
        return Text(self.marked).word_counts

    @cached
    def surface(self) -> dict[str, str]:
        """Lower-cased word -> how it is written, in lower case if it is so anywhere."""
        forms: dict[str, str] = {}
        for word, lower in zip(self._segments, self.segments, strict=True):
            if lower not in forms or word == lower:
                forms[lower] = word
        return forms

    @cached
    def content_words(self) -> tuple[str, ...]:
        """Different lower-cased words of three ASCII letters or more, stop words left out.

        Only those that occur as words of their own wherever they occur: "well" of "well-known" is
        a word to some and none to others.
        """
        counts, runs, compounds = self.word_counts, self.lower_runs, self.compounds
        return tuple(
            word
            for word in self._segment_counts
            if len(word) >= 3
            and word not in STOPWORDS
            and word not in compounds
            and word.isalpha()
            and word.isascii()
            and counts[word] == runs[word]
        )

    @cached
    def compounds(self) -> frozenset[str]:
        """Parts, in lower case, of words with a hyphen, an apostrophe or another mark inside."""
        return frozenset(
            run
            for piece in {*self.words}
            # Most are words alone, or have a mark behind them only.
            if not piece.isalnum() and not (piece[:-1].isalnum() and piece.isascii())
            for run in words.parts_of(piece)
        )

    @cached
    def characters(self) -> Counter[str]:
        """How often each character of the lower-cased text occurs."""
        lower = self.raw.lower()
        if lower.isascii():
            return Counter({character: lower.count(character) for character in {*lower}})
        return Counter(lower)

    @cached
    def graphemes(self) -> int:
        """Characters as people see them, white space around the text left out."""
        return words.graphemes(self.stripped)

    @cached
    def language(self) -> str | None:
        """Code of the language, such as "en"; None if that cannot be told."""
        if self.visible is self.raw:
            return detection.language(self.lower, self.lower_runs, self.raw.lower())
        return detection.language(self.lower, Counter(word_tokens(self.lower)), self.lower)

    @cached
    def first_word(self) -> str:
        """The first word without marks around it; may be empty."""
        return unmarked(first_word(self.prose))

    @cached
    def last_word(self) -> str:
        """The last word without marks around it; may be empty."""
        return unmarked(self.words[-1]) if self.words else ""

    @cached
    def longest_word(self) -> int:
        """Letters of the longest run of letters."""
        return max(map(len, _LETTERS.findall(self.prose)), default=0)

    @cached
    def initials(self) -> Counter[str]:
        """How many words start with each letter, lower-cased."""
        initials = Counter(map(words.initial, self.words))
        return Counter({letter: n for letter, n in initials.items() if letter.isalpha()})

    @cached
    def initials_of_runs(self) -> Counter[str]:
        r"""The same of runs of `\w`, the tails of contractions left out."""
        tails = _TAIL.sub("", self.lower)
        initials = Counter(map(itemgetter(0), word_tokens(tails)))
        return Counter({letter: n for letter, n in initials.items() if letter.isalpha()})

    @cached
    def repeated_words(self) -> int:
        """Different words of four letters or more that occur more than once."""
        return sum([count > 1 and len(word) > 3 for word, count in self._segment_counts.items()])

    @cached
    def first_places(self) -> dict[str, int]:
        """Lower-cased word -> index of its first occurrence among the words."""
        return {word: place for place, word in reversed([*enumerate(self.segments)])}

    @cached
    def capital_words(self) -> int:
        """Words with two letters or more, all of them capitals."""
        return sum(is_capital(word) for word in self.words if word.isupper())

    def count_word(self, word: str) -> int:
        """How often `word` (or a phrase) occurs as a whole word, whatever its case."""
        plain = plain_word(word)
        if plain:
            return self.word_counts.get(plain, 0)
        return sum(1 for _ in whole_word(folded(word)).finditer(self.lower))

    # Sentences, lines, paragraphs -------------------------------------------------------------

    @cached
    def sentences(self) -> int:
        """Number of sentences: no list item, heading or table row runs on into the next line."""
        return sum(len(sentences.with_words(unit)) for unit in self._units)

    @cached
    def sentences_of_lines(self) -> int:
        """The same if every line break ended a sentence."""
        return len(self.sentence_list)

    @cached
    def _units(self) -> list[str]:
        return markdown.units(self.layout)

    @cached
    def sentence_list(self) -> list[str]:
        """The sentences, each line break ending one too, without those that hold no word."""
        return [
            sentence
            for line in self.layout
            if line.kind in markdown.SAID
            for sentence in sentences.with_words(line.text)
        ]

    @cached
    def sentence_lengths(self) -> list[int]:
        """Number of words of each sentence."""
        return [len(words.counted(sentence)) for sentence in self.sentence_list]

    @cached
    def joined_lengths(self) -> list[int]:
        r"""The same in runs of `\w`, sentences going on over the ends of plain lines."""
        return [
            len(word_tokens(sentence))
            for unit in self._units
            for sentence in sentences.with_words(unit)
        ]

    @cached
    def sentence_openings(self) -> frozenset[str]:
        """First words of the sentences."""
        return frozenset(unmarked(first_word(sentence)) for sentence in self.sentence_list) - {""}

    @cached
    def lines(self) -> list[str]:
        """Lines that are not blank, stripped."""
        return [line for line in map(str.strip, self.raw.split("\n")) if line]

    @cached
    def paragraphs(self) -> list[str]:
        """The prose of each part between blank lines."""
        runs = markdown.paragraphs(self.layout)
        return ["\n".join(line.text for line in run if line.kind != markdown.CODE) for run in runs]

    @cached
    def blocks(self) -> int:
        """Paragraphs if a heading or a list is one with what it belongs to."""
        total, loose = 0, False
        for run in markdown.paragraphs(self.layout):
            kinds = {line.kind for line in run}
            item = kinds <= {*markdown.ITEMS, markdown.HEADING, markdown.RULE}
            total += not (item and loose)
            loose = item
        return total

    @cached
    def paragraph_openings(self) -> list[str]:
        """First word of each paragraph; empty where there is none."""
        return [unmarked(first_word(paragraph)) for paragraph in self.paragraphs]

    @cached
    def longest_paragraph(self) -> int:
        """Words of the longest paragraph."""
        return max((len(words.counted(part)) for part in self.paragraphs), default=0)

    def kinds(self, kind: int) -> int:
        """Number of lines of a kind of `markdown`."""
        return [line.kind for line in self.layout].count(kind)


@lru_cache(maxsize=128)
def view(text: str) -> Text:
    """The statistics of `text`, shared by all families that look at it in turn."""
    return Text(text)
