"""Which words and letters the answer uses, and how often.

Mended against IFEval: keywords are whole words, taken literally ("war" is not in "warning", and
"c++" is found); a letter may be any character and is never replaced by a random one.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mapl_jax.constraints.amounts import RELATIONS, between, propose
from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, Threshold, spaced
from mapl_jax.constraints.parameters import Character, Parameter, Params, Phrase, Phrases
from mapl_jax.constraints.shapes import Count
from mapl_jax.constraints.text import readings
from mapl_jax.constraints.text.common_words import COMMON_WORDS, FILLERS, FILLERS_TO_FEW
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.things import IN_QUOTES, OF_WORD
from mapl_jax.constraints.text.words import forms, plain_word, root
from mapl_jax.constraints.wording import pick

_Choice = tuple[Sequence[str], frozenset[str]]
# Enough repetitions of a word to see what it brings along.
_MANY = 100

# Words of everyday answers, for instructions about words that no given response holds.
STOCK = tuple(
    """
    answer balance bread bridge budget careful century choice circle city clear coffee color common
    corner country culture daily depend design detail early easy effort energy evening example
    family field finish flower forest friend garden habit health history honest idea island journey
    kitchen lesson letter light listen market method minute moment morning music nature number
    ocean option paper patience people picture plan practice price problem quiet reason recipe
    result river road school science season simple skill spring story strong summer system table
    teacher theory thought travel useful value village water weather weekend window winter wonder
    """.split()
)


class Words(Family):
    """Several words that must all appear, or that must all stay away."""

    def __init__(self, id: str, key: str, forbidden: bool):
        self.words = Phrases(key, slot="words")
        self.parameters = (self.words,)
        super().__init__(id, beyond_ifeval=False)
        self.forbidden = forbidden

    def measure(self, params: Params, text: Text) -> float:
        """Minus the number of words missing or found too many."""
        counts = [text.count_word(word) for word in self.words.of(params)]
        if self.forbidden:
            return -float(sum(counts)) if any(counts) else 1.0
        missing = counts.count(0)
        return -float(missing) if missing else float(min(counts))

    def proposer(self, sides: Sides) -> Proposer | None:
        """Words that all of one side hold and the other side lacks.

        Those to use are of the prompt, or come up in the text again and again.
        """
        kept, broken = sides.kept, sides.broken
        holders, lackers = (broken, kept) if self.forbidden else (kept, broken)
        # One side must lack every word, or else at least one; lacking all makes both sure.
        # To do without a word of the topic is a game.
        words, named = (
            _fillers(holders, lackers)
            if self.forbidden
            else _shared_things(holders, lackers, sides.prompt)
        )
        if not words:
            return None
        most = 2 if self.forbidden else 3
        written = {word: _written(word, holders) for word in words}
        # Of a word that others split or join, one may stand where the other was looked for.
        sure = all(all(map(text.count_word, words)) for text in holders) and not any(
            any(map(text.count_word, words)) for text in lackers
        )

        def propose(rng: np.random.Generator) -> Params | None:
            count = 1 + int(most * rng.random())
            mixed = [*words]
            rng.shuffle(mixed)
            chosen: dict[str, str] = {}
            for word in filter(named.__contains__, mixed) if named else mixed[:1]:
                # "Breast" and "breasts" are one.
                chosen.setdefault(root(word), written[word])
                if len(chosen) == count:
                    break
            params: Params = {self.words.name: [*chosen.values()]}
            return params if sure or self.fits(params, kept, broken) else None

        return propose

    def demands(self, params: Params) -> Demands:
        """Words that must or must not appear."""
        if self.forbidden:
            return Demands(
                bounds={f"word:{word.lower()}": (0, 0) for word in self.words.of(params)},
                about=("words left out",),
            )
        return Demands(
            phrases=tuple(self.words.of(params)),
            bounds={f"word:{word.lower()}": (1, float("inf")) for word in self.words.of(params)},
            about=("keyword",),
        )

    def about(self, params: Params) -> Sequence[str]:
        """All of the words."""
        return _plain_words(self.words.of(params))


def _written(word: str, texts: Sequence[Text]) -> str:
    """A word as the texts write it; a common one has its capital from the sentence it opens."""
    forms = [text.surface[word] for text in texts[:1] if word in text.surface]
    return forms[0] if forms and word not in COMMON_WORDS else word


_GENERAL = frozenset(
    """
    thing things time times way ways people lots kind kinds type types sort idea ideas example
    examples question questions information help year years days part parts place places name
    names list answer answers lots more most some other others good best right sure anything
    something everything number well back want wants need needs use uses
    problem problems reason reasons point advice tips last next first second factor factors
    instance instances
    """.split()
)
_LEFT_OUT = FILLERS | FILLERS_TO_FEW
_NAMED = IN_QUOTES.union(OF_WORD)
_NO_THINGS = tuple("ly ing ed ive ful ous able ible less ish ic ical".split())
_COMMON_ROOTS = frozenset(map(root, COMMON_WORDS))


def _things(
    words: Sequence[str],
    prompt: Text | None,
    texts: Sequence[Text],
    lackers: Sequence[Text] = (),
) -> Sequence[str]:
    """Those that people name as what an answer should mention (`text.things`), and some texts lack.

    Of other words, rare ones that the prompt and the text use as nouns; no names, of which one word
    alone is half of one.
    """
    words = [word for word in words if word in _NAMED or _is_rare(word)]
    for text in texts:
        surface = text.surface
        words = [word for word in words if surface.get(word, word).islower()]
    words = _unless_in(words, lackers)
    return [
        word
        for word in words
        if word in _NAMED
        or (
            (not prompt or _is_of(prompt, word) or any(word in _again(it) for it in texts))
            and any(word in text.things for text in texts)
        )
    ]


@lru_cache(maxsize=65536)
def _is_rare(word: str) -> bool:
    """Whether few texts have such a word, and it may be a thing."""
    return (
        len(word) > 3
        and not word.endswith(_NO_THINGS)
        and word not in _GENERAL
        and root(word) not in _COMMON_ROOTS
    )


@readings.noted
def _again(text: Text) -> frozenset[str]:
    """Words that come up in a text again and again."""
    return frozenset(word for word, count in text.word_counts.items() if count > 2)


def _is_of(prompt: Text, word: str) -> bool:
    """Whether a word is a thing that a prompt speaks of."""
    stem = root(word)
    return stem in prompt.lower and stem in _topic(prompt)  # most do not hold it at all


@readings.noted
def _topic(prompt: Text) -> frozenset[str]:
    """Roots of the things that a prompt speaks of."""
    return frozenset(map(root, prompt.things - _GENERAL))


@readings.noted_together
def _shared_things(texts: Sequence[Text], lackers: Sequence[Text], prompt: Text | None) -> _Choice:
    """Things that all texts hold, and those to break lack; and which of them most would name.

    Those are of the topic, or else things that people name; where there are none, one is enough.
    """
    words = (
        _things(_shared_words(texts), prompt, texts, lackers)
        if texts
        else _unless_in(STOCK, lackers)
    )
    of_topic = [
        word
        for word in words
        if any(word in _again(it) for it in texts) or (prompt and prompt.has_form(word))
    ]
    return words, frozenset(of_topic or OF_WORD.keys() & words)


@readings.noted_together
def _fillers(texts: Sequence[Text], lackers: Sequence[Text]) -> _Choice:
    """Words of their own in all texts that people of taste leave out, and which most would name."""
    shared = sorted(frozenset.intersection(*map(_own_fillers, texts))) if texts else STOCK
    words = _unless_in(shared, lackers)
    return words, FILLERS.intersection(words)


@readings.noted
def _own_fillers(text: Text) -> frozenset[str]:
    counts, runs = text.word_counts, text.lower_runs
    found = [word for word in _LEFT_OUT & counts.keys() if 0 < counts[word] == runs[word]]
    return frozenset(found) - text.compounds if found else frozenset()


def _plain_words(words: Sequence[str]) -> Sequence[str]:
    """Words as texts count them, or none where one of them has to be searched for."""
    plain = [plain_word(word) for word in words]
    return plain if all(plain) else ()


def _shared_words(texts: Sequence[Text]) -> Sequence[str]:
    words: Sequence[str] = texts[0].content_words
    for text in texts[1:]:
        forms = text.surface
        words = [word for word in words if word in forms]
    return words


def _unless_in(words: Sequence[str], texts: Sequence[Text]) -> Sequence[str]:
    for text in texts:
        words = [word for word in words if not text.has_form(word)]
    return words


_RARE_LETTERS = "bcfgjkmpqvwxyz"  # of which people write texts without
# Nobody asks for, or counts, more of a letter or a word.
_MOST_LETTERS, _MOST_WORDS = 1, 3


class WordFrequency(Family):
    """How often one word or letter occurs, compared with a threshold."""

    def __init__(
        self,
        id: str,
        word_key: str,
        number_key: str,
        relation_key: str,
        *,
        letters: bool,
        held_out: bool = False,
    ):
        self.word: Parameter[str] = (Character if letters else Phrase)(word_key, slot="word")
        self.threshold = Threshold.of(number_key, relation_key)
        self.parameters = (self.word, self.threshold.number, self.threshold.relation)
        super().__init__(id, beyond_ifeval=False, held_out=held_out)
        self.letters = letters

    def measure(self, params: Params, text: Text) -> float:
        """Distance of the count to the threshold."""
        count = self._count(text, self.word.of(params))
        return self.threshold.distance(count, params)

    def derive(self, kept, broken, rng):
        """A word whose counts part the two sides, and a threshold between them."""
        return self.derive_for(None, kept, broken, rng)

    def derive_for(self, prompt, kept, broken, rng):
        """The same of a thing that the prompt speaks of."""
        texts = (*kept, *broken)
        words: Sequence[str] = _RARE_LETTERS if self.letters else STOCK
        if texts and not self.letters:
            words = _things_to_count(texts[0], prompt, texts[1:])
        for place in rng.permutation(len(words)):
            word = words[int(place)]
            counts, others = (
                [count for text in side for count in self._counts(text, word)]
                for side in (kept, broken)
            )
            if counts and others and max(others) >= min(counts) and max(counts) >= min(others):
                continue
            # Whether a word is there at all is asked by families of their own.
            found = propose(
                counts,
                others,
                rng,
                1 if self.letters else 2,
                _MOST_LETTERS if self.letters else _MOST_WORDS,
            )
            if found is None and not kept and not broken:
                found = pick(RELATIONS, rng), between(2, 4, rng)
            if found is not None:
                return {
                    self.word.name: word if self.letters else _written(word, texts),
                    self.threshold.relation.name: found[0],
                    self.threshold.number.name: found[1],
                }
        return None

    def demands(self, params: Params) -> Demands:
        """Bounds on the count."""
        name = "character" if self.letters else "word"
        bounds = self.threshold.bounds(params)
        times = 0 if self.letters else min(int(bounds[0]), _MANY)
        phrases = times * (self.word.of(params),)
        about = () if self.letters else ("keyword",)
        return Demands(phrases, {f"{name}:{self.word.of(params).lower()}": bounds}, about=about)

    def about(self, params: Params) -> Sequence[str]:
        """The word."""
        return () if self.letters else _plain_words([self.word.of(params)])

    def _count(self, text: Text, word: str) -> int:
        return text.characters[word.lower()] if self.letters else text.count_word(word)

    def _counts(self, text: Text, word: str) -> Sequence[int]:
        """The count, and others that one might come to: parts of compounds, words of code, and
        other forms of the word.
        """
        if self.letters:
            return (self._count(text, word), readings.letters(text)[word])
        runs = text.lower_runs
        return self._count(text, word), runs[word], sum(runs[form] for form in forms(word))


@readings.noted_together
def _things_to_count(text: Text, prompt: Text | None, others: Sequence[Text]) -> Sequence[str]:
    """Things of some texts that the prompt speaks of; those that one holds several times first."""
    texts = (text, *others)
    # Words that occur more than once somewhere leave room for a threshold above one.
    often = [word for each in texts for word in each.content_words if each.word_counts[word] > 1]
    once = [word for each in texts for word in each.content_words[:20]]
    words = list(dict.fromkeys(often or once))
    return _things(words, prompt, texts)


class WordOrder(Family):
    """One word before another, judged by their first occurrences; both must appear."""

    first = Phrase("first")
    second = Phrase("second")
    parameters = (first, second)

    def agree(self, params: Params) -> bool:
        """Whether they are different words."""
        return self.first.of(params).lower() != self.second.of(params).lower()

    def measure(self, params: Params, text: Text) -> float:
        """Words between the two; below 0 if in the wrong order or missing."""
        places = text.first_places
        first = places.get(self.first.of(params).lower())
        second = places.get(self.second.of(params).lower())
        if first is None or second is None:
            return -float(len(places) + 1)
        return float(second - first)

    def derive(self, kept, broken, rng):
        """Two words of one text in order."""
        words = _shared_words(kept) if kept else STOCK
        if len(words) < 2:
            return None
        for _ in range(8):
            left, right = (words[int(place)] for place in rng.permutation(len(words))[:2])
            if kept and kept[0].first_places[left] > kept[0].first_places[right]:
                left, right = right, left
            params: Params = {"first": left, "second": right}
            if self.fits(params, kept, broken):
                return params
        return None

    def demands(self, params: Params) -> Demands:
        """Both words, and their order."""
        words = (self.first.of(params), self.second.of(params))
        pair = tuple(sorted(word.lower() for word in words))
        return Demands(
            phrases=words,
            bounds={f"word:{word.lower()}": (1, float("inf")) for word in words},
            values={f"order of {pair[0]} and {pair[1]}": words[0].lower()},
        )


FAMILIES: tuple[Family, ...] = (
    Words("keywords:existence", "keywords", False),
    Words("keywords:forbidden_words", "forbidden_words", True),
    WordFrequency(
        "keywords:frequency",
        "keyword",
        "frequency",
        "relation",
        letters=False,
        # People want a word, hardly ever so many of it.
        held_out=True,
    ),
    Count(
        "keywords:repeated_words",  # readers found its sentences hard to follow
        lambda text: text.repeated_words,
        held_out=True,
        suits=spaced,
        readings=(
            lambda text: sum(n > 1 and len(w) > 3 for w, n in text.lower_runs.items()),
            readings.repeated_words,
        ),
        quantity="repeated words",
    ),
    WordOrder("keywords:word_order", held_out=True),
)
