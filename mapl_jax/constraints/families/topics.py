"""What the answer mentions and what it leaves out, of the things that people name (`text.things`).

A thing is mentioned where one of it or several are ("an oven", "ovens"). Nothing is proposed where
a reader may find it in other words: "rental" for rent, "toddlers" for kids.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Container, Mapping, Sequence
from typing import ClassVar

import numpy as np

from mapl_jax.constraints.amounts import Random
from mapl_jax.constraints.base import MENTIONED, Demands, Family, Proposer, Sides, in_english
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Params, Phrases
from mapl_jax.constraints.text import readings
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.things import OF_WORD, Thing, named
from mapl_jax.constraints.wording import QUOTED, Slot, pick, quote, unquote

_MANY = float("inf")
_STOCK = tuple(map(OF_WORD.__getitem__, "butter garlic tea coffee rain school money sleep".split()))


def mentions(text: Text, shown: str) -> bool:
    """Whether a text speaks of what an instruction calls so."""
    thing = named(shown)
    if thing is None:
        return text.count_word(shown) > 0
    return not thing.forms.isdisjoint(text.word_counts.keys())


@readings.cached_per_text
def _held(text: Text) -> frozenset[Thing]:
    """Things of a text that are surely in it: in small letters, and no part of "peanut butter"."""
    surface = text.surface
    found = [word for word in text.content_words if word in OF_WORD and surface[word] == word]
    parts = _parts_of_names(text) if found else ()
    return frozenset([OF_WORD[word] for word in found if word not in parts])


@readings.cached_per_text
def _again(text: Text) -> frozenset[Thing]:
    """Things that a text speaks of more than once."""
    counts = text.word_counts
    return frozenset(it for it in _held(text) if sum(counts[form] for form in it.forms) > 1)


@readings.cached_per_text
def _told(prompt: Text) -> frozenset[Thing]:
    """Things that a prompt speaks of."""
    return frozenset(OF_WORD[word] for word in prompt.runs if word in OF_WORD)


def _parts_of_names(text: Text) -> frozenset[str]:
    """Words of two things in a row, which are one with a longer name."""
    words = text.segments
    places = [place for place, word in enumerate(words) if word in OF_WORD]
    found = [words[one : one + 2] for one, other in itertools.pairwise(places) if other == one + 1]
    # "Butter, garlic" are two.
    return frozenset(word for two in found if " ".join(two) in text.lower for word in two)


@readings.cached_per_text
def _run_together(text: Text) -> str:
    return f" {' '.join(text.runs)} "


def _lacks(text: Text, thing: Thing) -> bool:
    """Whether it is surely not in a text, nor what one could take for it."""
    runs = text.lower_runs.keys()
    return (
        runs.isdisjoint(thing.forms)
        and runs.isdisjoint(thing.alike)
        and not (thing.start and f" {thing.start}" in _run_together(text))
    )


def _apart(texts: Sequence[Text], lackers: Sequence[Text]) -> Sequence[Thing]:
    """Things that some texts surely hold and others surely lack, in order."""
    held = frozenset.intersection(*map(_held, texts))
    return tuple(sorted([thing for thing in held if all(_lacks(it, thing) for it in lackers)]))


def _unlike(
    things: Sequence[Thing],
    rng: Random,
    count: int,
    found: Sequence[Thing],
    topic: Container[Thing],
) -> list[Thing]:
    """Those found and so many more, none another's kin; fewer where there are not as many.

    Those of the topic come first.
    """
    chosen = list(found)
    first: list[Thing] = []
    left: list[Thing] = []
    for thing in things:
        (first if thing in topic else left).append(thing)
    while (first or left) and len(chosen) < len(found) + count:
        pool = first or left
        one = pool.pop(int(rng.random() * len(pool)))
        if all(it.forms.isdisjoint(one.alike) and one.forms.isdisjoint(it.alike) for it in chosen):
            chosen.append(one)
    return chosen


@readings.cached_for_texts
def _untold(things: Sequence[Thing], prompt: Text | None) -> Sequence[Thing]:
    """Those that the prompt does not speak of: nobody bans what is asked about."""
    return things if prompt is None else [thing for thing in things if _lacks(prompt, thing)]


def _key(shown: str) -> str:
    thing = named(shown)
    return thing.shown if thing else shown.lower()


def _words(shown: str) -> Sequence[str]:
    thing = named(shown)
    return sorted(thing.forms, key=lambda word: (len(word), word)) if thing else [shown.lower()]


def _demands(wanted: Sequence[str], unwanted: Sequence[str], also: Sequence[str] = ()) -> Demands:
    """Those of things to mention, of things to leave out, and of others that are spoken of."""
    bounds = {f"word:{_words(it)[0]}": (1, _MANY) for it in wanted}
    bounds |= {f"word:{word}": (0, 0) for it in unwanted for word in _words(it)}
    told = (f"word:{word}" for it in (*wanted, *also) for word in _words(it))
    about = (MENTIONED, *(name for name in told if name not in bounds))
    return Demands(tuple(_words(it)[0] for it in wanted), bounds, about=about)


def _write_name(text: str) -> str:
    return text if named(text) else quote(text)


def _read_name(text: str) -> str:
    if text[:1] in ('"', "'"):
        return unquote(text)
    thing = OF_WORD.get(_ARTICLE.sub("", text.lower()))
    if thing is None:
        raise ValueError(f"no thing: {text!r}")
    return thing.shown


_ARTICLE = re.compile("^(?:the|an?) ")
_NAME = f"(?:{QUOTED}|(?:(?:the|an?) )?[a-z]{{3,}})"


def _names_slots(key: str, **joined_by: str) -> dict[str, Slot]:
    """Slots for the names of things, joined by a word: butter, carrots and the heart.

    What is none of `text.things` stands in quotes.
    """
    parameter = Phrases(key)

    def joined(conjunction: str) -> Slot:
        item = re.compile(f"(?:^|, | {conjunction} )({_NAME})", re.I | re.S)

        def write(params: Params, rng: Random) -> str:
            *first, last = map(_write_name, parameter.of(params))
            return f"{', '.join(first)} {conjunction} {last}" if first else last

        return Slot(
            f"{_NAME}(?:(?:, | {conjunction} ){_NAME})*",
            write,
            lambda text: {key: [_read_name(name) for name in item.findall(text)]},
        )

    return {name: joined(conjunction) for name, conjunction in joined_by.items()}


@dataclasses.dataclass(frozen=True)
class Rule:
    """How many things are named, and how many of them an answer mentions.

    Attributes:
        number: how many things there are of which some are mentioned.
        least: how many of them, at least.
        most: how many of them, at most.
        without: how many others are named that are left out.
    """

    number: int
    least: int
    most: int
    without: int = 0


class Mentions(Family):
    """How many of some things are mentioned, by one rule; as `negated`, by another one.

    The two are no opposites: a text may break both. Each is about something that few texts have,
    so that neither is kept by chance.
    """

    things = Phrases("things")
    without = Phrases("without", default=[])
    parameters = (things, without, NEGATION)
    slots: ClassVar[Mapping[str, Slot]] = {
        **_names_slots("things", all="and", any="or"),
        **_names_slots("without", unwanted="or", neither="nor", leave_out="and"),
    }

    def __init__(self, id: str, plain: Rule, negated: Rule, *, held_out: bool = False):
        super().__init__(id, suits=in_english, held_out=held_out)
        self.rules = (plain, negated)

    def shown(self, params: Params) -> Sequence[str]:
        """All things that parameters name."""
        return (*self.things.of(params), *self.without.of(params))

    def agree(self, params: Params) -> bool:
        """Whether they are as many different things as they should be."""
        rule = self.rules[NEGATION.of(params)]
        sizes = len(self.things.of(params)), len(self.without.of(params))
        names = {_key(it) for it in self.shown(params)}
        return sizes == (rule.number, rule.without) and len(names) == sum(sizes)

    def parts(self, one: Text, other: Text) -> bool:
        """Whether a thing is in one of them alone."""
        return _held(one) != _held(other)

    def measure(self, params: Params, text: Text) -> float:
        """+1, or minus what the numbers of those mentioned are off."""
        rule = self.rules[NEGATION.of(params)]
        found = sum(mentions(text, it) for it in self.things.of(params))
        wrong = max(rule.least - found, found - rule.most, 0)
        wrong += sum(mentions(text, it) for it in self.without.of(params))
        return -float(wrong) or 1.0

    def proposer(self, sides: Sides) -> Proposer | None:
        """Draws things of which those to keep mention so many, and those to break do not."""
        kept, broken, prompt = sides.kept, sides.broken, sides.prompt
        pools = _pools(kept, broken)
        if not pools[0] and not pools[1]:
            return None
        own, theirs, common = map(len, pools)
        topic = _topic((*kept, *broken), prompt)

        def draw(rng: np.random.Generator) -> Params | None:
            for negated in (False, True) if rng.random() < 0.5 else (True, False):
                rule = self.rules[negated]
                ways = [
                    way
                    for way in _ways(rule, bool(kept), bool(broken))
                    if way[0] <= own and way[1] <= theirs and way[2] <= common
                ]
                if not ways:
                    continue
                way = pick(ways, rng)
                found: list[Thing] = []
                for place in (1, 0, 2):
                    untold = place == 1 and rule.without
                    pool = _untold(pools[1], prompt) if untold else pools[place]
                    found = _unlike(pool, rng, way[place], found, topic)
                if len(found) == sum(way):
                    return self._params(found, negated, rng)
            return None

        return self.checked(sides, draw)

    def _params(self, found: Sequence[Thing], negated: bool, rng: np.random.Generator) -> Params:
        """Things as parameters: the first are left out, the others come in any order."""
        without = self.rules[negated].without
        names = [thing.shown for thing in found]
        left_out, names = names[:without], names[without:]
        names = [names[place] for place in rng.permutation(len(names)).tolist()]
        others: Params = {"without": left_out} if left_out else {}
        return {"things": names, **others} | (NEGATED if negated else {})

    def demands(self, params: Params) -> Demands:
        """All, or nothing certain of any."""
        rule, things = self.rules[NEGATION.of(params)], self.things.of(params)
        if rule.least == rule.number:
            return _demands(things, self.without.of(params))
        return _demands((), self.without.of(params), things)

    def about(self, params: Params) -> Sequence[str]:
        """All words for all of the things."""
        things = [named(it) for it in self.shown(params)]
        return [word for it in things if it for word in it.forms] if all(things) else ()


@readings.cached_for_texts
def _pools(kept: Sequence[Text], broken: Sequence[Text]) -> Sequence[Sequence[Thing]]:
    """Things of the ones alone, of the others alone, and of all; of any other nothing is sure."""
    if not kept and not broken:
        return _STOCK[:4], _STOCK[4:], ()
    own = _apart(kept, broken) if kept else ()
    theirs = _apart(broken, kept) if broken else ()
    common = _apart((*kept, *broken), ()) if kept and broken else ()
    return own, theirs, common


@readings.cached_for_texts
def _topic(texts: Sequence[Text], prompt: Text | None) -> frozenset[Thing]:
    """Things that a prompt speaks of, or one of some texts more than once."""
    return frozenset().union(*map(_again, texts), _told(prompt) if prompt else ())


@functools.cache
def _ways(rule: Rule, kept: bool, broken: bool) -> Sequence[tuple[int, int, int]]:
    """How many to take of each pool (`_pools`); those that are left out are of the second."""
    sizes = range(rule.number + rule.without + 1)
    return [
        (own, theirs, common)
        for own, theirs, common in itertools.product(sizes, repeat=3)
        if own + theirs + common == rule.number + rule.without
        and theirs >= rule.without
        and (not kept or rule.least <= own + common <= rule.most)
        and (not broken or rule.without or not rule.least <= theirs + common <= rule.most)
    ]


FAMILIES: tuple[Family, ...] = (
    # Readers found the things picked at random: 24 of the 27 sentences that they called odd.
    Mentions("keywords:mention", Rule(1, 1, 1), Rule(1, 1, 1, without=1), held_out=True),
    Mentions("keywords:both", Rule(2, 2, 2), Rule(2, 2, 2, without=1), held_out=True),
    Mentions("keywords:either", Rule(2, 1, 2), Rule(1, 1, 1, without=2), held_out=True),
)
