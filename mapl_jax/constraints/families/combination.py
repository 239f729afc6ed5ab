"""Answers made of parts: two responses, the request repeated first."""

import numpy as np

from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, word_at
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Params, Phrase
from mapl_jax.constraints.shapes import Flag
from mapl_jax.constraints.text.sentences import may_be_given
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import bare
from mapl_jax.constraints.wording import pick

_DIVIDER = "******"
_STOCK_REQUESTS = (
    "Write an answer to the question above.",
    "Tell me what you know about this.",
    "Give me advice on the matter.",
)


def has_two_responses(text: Text) -> bool:
    """Whether `******` parts the text in two different answers; it may also begin or end it."""
    parts = [part.strip() for part in text.raw.split(_DIVIDER)]
    if parts and not parts[0]:
        parts = parts[1:]
    if parts and not parts[-1]:
        parts = parts[:-1]
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


class RepeatPrompt(Family):
    """A text that must be repeated, word for word, before anything else; as `negated`, must not.

    Parameters: prompt_to_repeat.
    """

    text = Phrase("prompt_to_repeat", slot="text")
    parameters = (text, NEGATION)

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        start = self.text.of(params).strip().lower()
        found = text.opening.startswith(start)
        return 1.0 if found != NEGATION.of(params) else -1.0

    def proposer(self, sides: Sides) -> Proposer:
        """Draws the first sentence of a text, to begin with or not; a stock text without texts."""
        kept, broken = sides.kept, sides.broken

        def propose(rng: np.random.Generator) -> Params | None:
            forms = [({}, kept), (NEGATED, broken)]
            if rng.random() < 0.5:
                forms.reverse()
            for form, texts in forms:
                # Only texts that start the same can all repeat something.
                phrase = _opening(texts[0]) if texts else pick(_STOCK_REQUESTS, rng)
                params = {self.text.name: phrase, **form}
                if phrase and self.fits(params, kept, broken):
                    return params
            return None

        return propose

    def demands(self, params: Params) -> Demands:
        """The text, at the start."""
        about = ("first sentence",)
        if NEGATION.of(params):
            return Demands(about=about)
        text = self.text.of(params).strip()
        return Demands(
            exact=(text,), values=word_at("first word", bare(text.split()[0])), about=about
        )


def _opening(text: Text) -> str:
    """The first sentence of a text, where a person might ask for it; else nothing."""
    phrase = text.sentence_list[0].strip() if text.sentence_list else ""
    # Nobody asks for "Hmm." word for word, for much more, or for all of the answer.
    return phrase if len(text.sentence_list) > 1 and may_be_given(phrase) else ""


FAMILIES: tuple[Family, ...] = (
    Flag(
        "combination:two_responses",
        has_two_responses,
        beyond_ifeval=False,
        plain_demands=Demands(values={"two responses": True}),
        negated_demands=Demands(values={"two responses": False}),
    ),
    # Held out, as few answers begin with a sentence that a person could ask for.
    RepeatPrompt("combination:repeat_prompt", beyond_ifeval=False, held_out=True),
)
