"""Constraints on paragraphs."""

import re

from mapl_jax.constraints.base import (
    Demands,
    Family,
    Params,
    is_count,
    is_text,
    only_keys,
    word_at,
)
from mapl_jax.constraints.text.statistics import Text, bare
from mapl_jax.constraints.wording import pick

_DIVIDER = re.compile(r"\s?\*\*\*\s?")


def divided_paragraphs(text: str) -> int | None:
    """Number of parts between `***`; blank ends do not count, a blank middle gives None."""
    parts = _DIVIDER.split(text)
    if any(not part.strip() for part in parts[1:-1]):
        return None
    ends = parts[:1] + parts[1:][-1:]
    return len(parts) - sum(not part.strip() for part in ends)


class NthParagraph(Family):
    """A number of paragraphs between blank lines, one of which starts with a given word.

    Parameters: num_paragraphs, nth_paragraph (from 1) and first_word.
    """

    def validate(self, params: Params) -> None:
        """Wants a place among the paragraphs and a word."""
        good = only_keys(params, "num_paragraphs", "nth_paragraph", "first_word")
        good = good and is_count(params.get("num_paragraphs"))
        good = good and is_count(params.get("nth_paragraph")) and is_text(params.get("first_word"))
        self.require(good and params["nth_paragraph"] <= params["num_paragraphs"], params)

    def measure(self, params: Params, text: Text) -> float:
        """+1 if met, else minus the paragraphs missing or too many, at least 1."""
        off = abs(len(text.paragraphs) - params["num_paragraphs"])
        if off:
            return -float(off)
        word = text.paragraph_openings[params["nth_paragraph"] - 1]
        return 1.0 if word.lower() == bare(params["first_word"]) else -1.0

    def derive(self, kept, broken, rng):
        """The paragraphs of a text to keep, and the first word of one of them."""
        if not kept:
            number = 2 + int(3 * rng.random())
            place = 1 + int(number * rng.random())
            word = pick(("first", "today", "finally", "people", "water"), rng)
        else:
            number = len(kept[0].paragraphs)
            if number == 0:
                return None
            place = 1 + int(number * rng.random())
            word = kept[0].paragraph_openings[place - 1]
        if not word:
            return None
        return {"num_paragraphs": number, "nth_paragraph": place, "first_word": word}

    def demands(self, params: Params) -> Demands:
        """Bounds on paragraphs, and the word at its place."""
        number, place = params["num_paragraphs"], params["nth_paragraph"]
        word = bare(params["first_word"])
        values = word_at(f"first word of paragraph {place}", word)
        if place == 1:
            values |= word_at("first word", word)
        return Demands((params["first_word"],), {"paragraphs": (number, number)}, values=values)
