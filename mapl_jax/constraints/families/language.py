"""The language of the answer."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from mapl_jax.constraints.base import Demands, Family, Proposer, Sides
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Choice, Params
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import Slot, pick

# The languages IFEval asks for.
NAMES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "gu": "Gujarati",
    "he": "Hebrew",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "kn": "Kannada",
    "ko": "Korean",
    "ml": "Malayalam",
    "mr": "Marathi",
    "ne": "Nepali",
    "pa": "Punjabi",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
}
_CODES = {name.lower(): code for code, name in NAMES.items()}


class Language(Family):
    """One language for the whole answer; as `negated`, anything but it.

    IFEval counts a text that cannot be judged (digits, a word or two) as followed, and judges
    capitals badly; here such a text is in no language, and capitals are read as small letters.

    Parameters: language, one of IFEval's 30 codes.
    """

    code = Choice("language", options=tuple(NAMES))
    parameters = (code, NEGATION)
    slots: ClassVar[Mapping[str, Slot]] = {
        "name": Slot(
            pattern="|".join(NAMES.values()),
            write=lambda params, rng: NAMES[str(params["language"])],
            read=lambda text: {"language": _CODES[text.lower()]},
        )
    }

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = text.language == self.code.of(params)
        return 1.0 if found != NEGATION.of(params) else -1.0

    def parts(self, one: Text, other: Text) -> bool:
        """Whether they are in different languages."""
        return one.language != other.language

    def proposer(self, sides: Sides) -> Proposer:
        """Draws the language of one side that the other side is not in, or one that none is in."""
        kept, broken = ({text.language for text in side} for side in (sides.kept, sides.broken))

        def draw(rng: np.random.Generator) -> Params | None:
            forms: list[tuple] = [(kept, broken, {}), (broken, kept, NEGATED)]
            if rng.random() < 0.5:
                forms.reverse()
            for inside, outside, form in forms:
                code, *others = inside or {pick(tuple(NAMES), rng)}
                # A text too short to tell makes no fair example, of neither side.
                if not others and code in NAMES and code not in outside and None not in outside:
                    return {"language": code, **form}
            return None

        return self.checked(sides, draw)

    def demands(self, params: Params) -> Demands:
        """The language."""
        code = self.code.of(params)
        if NEGATION.of(params):
            return Demands(values={f"in {NAMES[code]}": False})
        return Demands(values={"language": code, f"in {NAMES[code]}": True})


FAMILIES: tuple[Family, ...] = (Language("language:response_language", beyond_ifeval=False),)
