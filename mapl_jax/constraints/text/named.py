"""Words of texts that people name: to use them, to leave them out, to count them."""

from collections.abc import Sequence
from functools import lru_cache

from mapl_jax.constraints.text import readings
from mapl_jax.constraints.text.common_words import COMMON_WORDS, FILLERS, FILLERS_TO_FEW
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.things import IN_QUOTES, OF_WORD
from mapl_jax.constraints.text.words import root

Choice = tuple[Sequence[str], frozenset[str]]
"""Some words, and which of them most would name."""

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


@readings.cached_for_texts
def shared_things(texts: Sequence[Text], lackers: Sequence[Text], prompt: Text | None) -> Choice:
    """Things that all texts hold, and those to break lack; and which of them most would name.

    Those are of the topic, or else things that people name; where there are none, one is enough.
    """
    words = (
        _things(shared_words(texts), prompt, texts, lackers)
        if texts
        else _unless_in(STOCK, lackers)
    )
    of_topic = [
        word
        for word in words
        if any(word in _again(it) for it in texts) or (prompt and prompt.has_form(word))
    ]
    return words, frozenset(of_topic or OF_WORD.keys() & words)


@readings.cached_for_texts
def fillers(texts: Sequence[Text], lackers: Sequence[Text]) -> Choice:
    """Words of their own in all texts that people of taste leave out, and which most would name."""
    shared = sorted(frozenset.intersection(*map(_own_fillers, texts))) if texts else STOCK
    words = _unless_in(shared, lackers)
    return words, FILLERS.intersection(words)


@readings.cached_per_text
def _own_fillers(text: Text) -> frozenset[str]:
    counts, runs = text.word_counts, text.lower_runs
    found = [word for word in _LEFT_OUT & counts.keys() if 0 < counts[word] == runs[word]]
    return frozenset(found) - text.compounds if found else frozenset()


@readings.cached_for_texts
def things_to_count(text: Text, prompt: Text | None, others: Sequence[Text]) -> Sequence[str]:
    """Things of some texts that the prompt speaks of; those that one holds several times first."""
    texts = (text, *others)
    # Words that occur more than once somewhere leave room for a threshold above one.
    often = [word for each in texts for word in each.content_words if each.word_counts[word] > 1]
    once = [word for each in texts for word in each.content_words[:20]]
    words = list(dict.fromkeys(often or once))
    return _things(words, prompt, texts)


def written(word: str, texts: Sequence[Text]) -> str:
    """A word as the texts write it; a common one has its capital from the sentence it opens."""
    forms = [text.surface[word] for text in texts[:1] if word in text.surface]
    return forms[0] if forms and word not in COMMON_WORDS else word


def shared_words(texts: Sequence[Text]) -> Sequence[str]:
    """Content words of the first text that all hold."""
    words: Sequence[str] = texts[0].content_words
    for text in texts[1:]:
        forms = text.surface
        words = [word for word in words if word in forms]
    return words


def _unless_in(words: Sequence[str], texts: Sequence[Text]) -> Sequence[str]:
    for text in texts:
        words = [word for word in words if not text.has_form(word)]
    return words


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


@readings.cached_per_text
def _again(text: Text) -> frozenset[str]:
    """Words that come up in a text again and again."""
    return frozenset(word for word, count in text.word_counts.items() if count > 2)


def _is_of(prompt: Text, word: str) -> bool:
    """Whether a word is a thing that a prompt speaks of."""
    stem = root(word)
    return stem in prompt.lower and stem in _topic(prompt)  # most do not hold it at all


@readings.cached_per_text
def _topic(prompt: Text) -> frozenset[str]:
    """Roots of the things that a prompt speaks of."""
    return frozenset(map(root, prompt.things - _GENERAL))
