"""Which language a text is in: langdetect, made repeatable."""

import threading
from collections import Counter

_LOCK = threading.Lock()
# Frequent English words that are hardly ever words of another language in Latin letters.
_ENGLISH = tuple(
    """
    the of and you that it is was for with they this have from by what were when your said there
    which their would about could these other into than been who its now find should because
    through where much before right too think also around another came come work three word does
    are be not but can will if do my we our has had how why them then some more want like know
    """.split()
)
_FEW_LETTERS = 20


def detect(text: str) -> str | None:
    """langdetect's opinion with a fixed seed; None for a text it cannot judge."""
    # Imported on first use, as few programs need it; its first use must not happen in two threads.
    import langdetect

    with _LOCK:
        langdetect.DetectorFactory.seed = 0
        try:
            return langdetect.detect(text)
        except langdetect.LangDetectException:
            return None


def language(lower: str, words: Counter[str], characters: Counter[str]) -> str | None:
    """The language of a text, or None if it is too short or too odd to tell.

    langdetect takes milliseconds, so it is asked only where the words do not show English. It skips
    words in capitals, so it is shown small letters.

    Args:
        lower: the text in lower case.
        words: how often each of its words occurs.
        characters: how often each of its characters occurs.
    """
    letters = sum(count for character, count in characters.items() if character.isalpha())
    if letters < _FEW_LETTERS:
        return None
    if sum(words[word] for word in _ENGLISH) >= max(3, 0.2 * words.total()):
        return "en"
    return detect(lower)
