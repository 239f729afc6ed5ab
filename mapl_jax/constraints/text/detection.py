"""Which language a text is in: langdetect, made repeatable."""

import re
import threading
from collections import Counter
from typing import Protocol

from mapl_jax.constraints.text.common_words import COMMON_WORDS

_LOCK = threading.Lock()
# Frequent English words that are hardly ever words of another language in Latin letters.
_ENGLISH = frozenset(
    """
    the and you that it with they this have from what were when your said there which their would
    about could these other into than been who its now find should because through where much before
    right too think also around another work three does are how why them then some more want like
    know make take help here any very good thing things people time just only even
    """.split()
)
_FEW_LETTERS = 40
_ASCII = re.compile(r"[\0-\x7f]+")
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_SURE = 0.9


class Opinion(Protocol):
    """A language, and how likely it is."""

    lang: str
    prob: float


def detect(text: str) -> str | None:
    """langdetect's opinion with a fixed seed, perhaps "unknown"; None where it has none."""
    found = _opinions(text)
    if found is None:
        return None
    return found[0].lang if found else "unknown"


def language(lower: str, words: Counter[str], text: str) -> str | None:
    """The language of a text, or None if it is too short or too odd to be sure.

    langdetect takes milliseconds, so it is asked only where the words do not show English. It skips
    words in capitals, so it is shown small letters.

    Args:
        lower: the text in lower case.
        words: how often each of its words occurs.
        text: the same with its marks of Markdown.
    """
    total, plain = letters(text)
    if total < _FEW_LETTERS:
        return None
    if plain > 0.9 * total:
        number = words.total()
        if sum([words[word] for word in words.keys() & _ENGLISH]) >= max(2, 0.1 * number):
            return "en"
        # Recipes and lists have few such words, but no other language shares so many others.
        if sum([words[word] for word in words.keys() & COMMON_WORDS]) >= 0.4 * number:
            return "en"
    found = _opinions(lower)
    return found[0].lang if found and found[0].prob >= _SURE else None


def letters(text: str) -> tuple[int, int]:
    """How many letters a text has, and how many of them are ASCII."""
    plain = len(text.encode("ascii", "ignore").translate(None, _NO_LETTERS))
    if text.isascii():
        return plain, plain
    return plain + sum(map(str.isalpha, _ASCII.sub("", text))), plain


def _opinions(text: str) -> list[Opinion] | None:
    """Languages with their probabilities, the likeliest first; None where nothing can be judged."""
    # Imported on first use, as few programs need it; its first use must not happen in two threads.
    import langdetect

    with _LOCK:
        langdetect.DetectorFactory.seed = 0
        try:
            return langdetect.detect_langs(text)
        except langdetect.LangDetectException:
            return None
