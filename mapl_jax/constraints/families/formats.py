"""The form of the answer: bullets, highlights, sections, JSON, titles, tables, code.

Mended against IFEval: a rule "---" or a number "-5" is no bullet, but "+" begins one; ***x*** is
one highlight, not two, and "2 * 3 * 4" none; sections are told apart by their numbers, so that
"Part 1" mentioned twice is one, and their name is no regular expression; JSON is an object or an
array, not a bare number; a title is not itself full of angular brackets.
"""

import json
import re

import numpy as np

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import AT_LEAST, LESS_THAN
from mapl_jax.constraints.base import Demands, Family, Proposer, Sides, Threshold
from mapl_jax.constraints.parameters import Params, Phrase
from mapl_jax.constraints.shapes import Count, presence
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import holds_word
from mapl_jax.constraints.wording import pick

FIXED_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCE = re.compile(r"```(?:json)?(.*?)(?:```)?", re.I | re.S)
_TITLE = re.compile(r"<<[^\n<>]*[^\s<>][^\n<>]*>>")
# No page is so narrow that it wraps such a line.
_SHORT = 60
_ONE_LINE = 60  # words, of which nobody would ask for more on a line
_SECTION = re.compile(r"\b([A-Z][A-Za-z]{2,})\s?\d")


def is_json(text: str) -> bool:
    """Whether the whole text, set in a code fence or not, is a JSON object or array."""
    body = text.strip()
    match = _FENCE.fullmatch(body)
    if match:
        body = match[1].strip()
    if body[:1] not in ("{", "["):
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


class Sections(Family):
    """Numbered sections, "Section 1" and so on, counted by different numbers.

    Parameters: section_spliter (IFEval's spelling), num_sections, and relation "less than" for the
    opposite of at least.
    """

    name = Phrase("section_spliter", slot="name")
    threshold = Threshold.of("num_sections", default=AT_LEAST)
    parameters = (name, threshold.number, threshold.relation)

    def measure(self, params: Params, text: Text) -> float:
        """Distance of the count to the threshold."""
        count = _sections(text, self.name.of(params))
        return self.threshold.distance(count, params)

    def parts(self, one: Text, other: Text) -> bool:
        """Whether one of them holds a number at all."""
        return bool(_SECTION.search(one.raw) or _SECTION.search(other.raw))

    def proposer(self, sides: Sides) -> Proposer:
        """Draws a name that some text numbers, and a threshold between the counts."""
        texts = (*sides.kept, *sides.broken)
        found = {word for text in texts for word in _SECTION.findall(text.raw)}
        names = sorted(found) or ["Section", "PART", "Chapter", "SECTION", "Day", "Step"]

        def draw(rng: np.random.Generator) -> Params | None:
            name = pick(names, rng)
            counts, others = (
                [_sections(text, name) for text in side] for side in (sides.kept, sides.broken)
            )
            choice = amounts.propose(counts, others, rng) if texts else (AT_LEAST, 2)
            if choice is None:
                return None
            params: Params = {"section_spliter": name, "num_sections": choice[1]}
            return params if choice[0] == AT_LEAST else params | {"relation": choice[0]}

        return self.checked(sides, draw)

    def demands(self, params: Params) -> Demands:
        """Bounds on the sections, and their name as it is written."""
        bounds = self.threshold.bounds(params)
        name = self.name.of(params)
        return Demands(bounds={f"sections {name}": bounds}, exact=(name,) if bounds[0] else ())


class Lines(Count):
    """Lines that are not blank."""

    def proposer(self, sides: Sides) -> Proposer | None:
        """Asks for a line break or for none; draws a number where no line is wrapped on a page."""
        kept, broken = sides.kept, sides.broken
        texts = [*kept, *broken]
        if len({len(text.lines) > 1 for text in texts}) == 2:
            more = len(kept[0].lines) > 1 if kept else len(broken[0].lines) < 2
            if not more and any(len(text.words) > _ONE_LINE for text in kept):
                return None
            form: Params = {"number": 2, "relation": AT_LEAST if more else LESS_THAN}
            return self.checked(sides, lambda rng: dict(form))
        if any(len(line) > _SHORT or not holds_word(line) for text in texts for line in text.lines):
            return None
        return super().proposer(sides)


def _sections(text: Text, name: str) -> int:
    return len(set(re.findall(rf"^{re.escape(name)}\s?(\d{{1,9}})", text.prose, re.M)))


FAMILIES: tuple[Family, ...] = (
    # Held out, as few answers have any.
    Sections("detectable_format:multiple_sections", beyond_ifeval=False, held_out=True),
    presence(
        "detectable_format:constrained_response",
        lambda text: any(answer in text.raw for answer in FIXED_ANSWERS),
        "set answer",
        beyond_ifeval=False,
    ),
    presence(
        "detectable_format:json_format", lambda text: is_json(text.raw), "JSON", beyond_ifeval=False
    ),
    presence(
        "detectable_format:title",
        lambda text: _TITLE.search(text.visible) is not None,
        "title",
        beyond_ifeval=False,
    ),
    Lines("detectable_format:lines", lambda text: len(text.lines), quantity="lines", held_out=True),
)
