"""Which words and letters the answer uses, and how often.

Mended against IFEval: keywords are whole words, taken literally ("war" is not in "warning", and
"c++" is found); a letter may be any character and is never replaced by a random one.
"""

from collections.abc import Sequence

import numpy as np

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import RELATIONS
from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, Threshold, spaced
from mapl_jax.constraints.parameters import Character, Parameter, Params, Phrase, Phrases
from mapl_jax.constraints.shapes import Count
from mapl_jax.constraints.text import named, readings
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import forms, plain_word, root
from mapl_jax.constraints.wording import pick

# Enough repetitions of a word to see what it brings along.
_MANY = 100


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
        words, wanted = (
            named.fillers(holders, lackers)
            if self.forbidden
            else named.shared_things(holders, lackers, sides.prompt)
        )
        if not words:
            return None
        most = 2 if self.forbidden else 3
        written = {word: named.written(word, holders) for word in words}
        # Of a word that others split or join, one may stand where the other was looked for.
        plain = frozenset(map(plain_word, words))
        sure = (
            "" not in plain
            and all(plain <= text.word_counts.keys() for text in holders)
            and all(plain.isdisjoint(text.word_counts.keys()) for text in lackers)
        )

        def draw(rng: np.random.Generator) -> Params:
            count = 1 + int(most * rng.random())
            mixed = [*words]
            rng.shuffle(mixed)
            chosen: dict[str, str] = {}
            for word in filter(wanted.__contains__, mixed) if wanted else mixed[:1]:
                # "Breast" and "breasts" are one.
                chosen.setdefault(root(word), written[word])
                if len(chosen) == count:
                    break
            return {self.words.name: [*chosen.values()]}

        return draw if sure else self.checked(sides, draw)

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


def _plain_words(words: Sequence[str]) -> Sequence[str]:
    """Words as texts count them, or none where one of them has to be searched for."""
    plain = [plain_word(word) for word in words]
    return plain if all(plain) else ()


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

    def proposer(self, sides: Sides) -> Proposer:
        """Draws a word whose counts part the two sides, and a threshold between them.

        Words are things that the prompt speaks of.
        """
        texts = (*sides.kept, *sides.broken)
        words: Sequence[str] = _RARE_LETTERS if self.letters else named.STOCK
        if texts and not self.letters:
            words = named.things_to_count(texts[0], sides.prompt, texts[1:])
        # Whether a word is there at all is asked by families of their own.
        least, most = (1, _MOST_LETTERS) if self.letters else (2, _MOST_WORDS)

        def draw(rng: np.random.Generator) -> Params | None:
            for place in rng.permutation(len(words)):
                word = words[int(place)]
                counts, others = (
                    [count for text in side for count in self._counts(text, word)]
                    for side in (sides.kept, sides.broken)
                )
                if counts and others and max(others) >= min(counts) and max(counts) >= min(others):
                    continue
                found = amounts.propose(counts, others, rng, least, most)
                if found is None and not texts:
                    found = pick(RELATIONS, rng), amounts.between(2, 4, rng)
                if found is not None:
                    return {
                        self.word.name: word if self.letters else named.written(word, texts),
                        self.threshold.relation.name: found[0],
                        self.threshold.number.name: found[1],
                    }
            return None

        return self.checked(sides, draw)

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

    def proposer(self, sides: Sides) -> Proposer | None:
        """Draws two words of one text in order."""
        kept = sides.kept
        words = named.shared_words(kept) if kept else named.STOCK
        if len(words) < 2:
            return None

        def propose(rng: np.random.Generator) -> Params | None:
            for _ in range(8):
                left, right = (words[int(place)] for place in rng.permutation(len(words))[:2])
                if kept and kept[0].first_places[left] > kept[0].first_places[right]:
                    left, right = right, left
                params: Params = {self.first.name: left, self.second.name: right}
                if self.fits(params, kept, sides.broken):
                    return params
            return None

        return propose

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
