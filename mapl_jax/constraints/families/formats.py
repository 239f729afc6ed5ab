"""The form of the answer: bullets, highlights, sections, JSON, titles, tables, code.

Mended against IFEval: a rule "---" or a number "-5" is no bullet, but "+" begins one; ***x*** is
one highlight, not two, and "2 * 3 * 4" none; sections are told apart by their numbers, so that
"Part 1" mentioned twice is one, and their name is no regular expression; JSON is an object or an
array, not a bare number; a title is not itself full of angular brackets.
"""

import json
import re

from mapl_jax.constraints.amounts import AT_LEAST, propose
from mapl_jax.constraints.base import Demands, Family, Threshold, Wordings
from mapl_jax.constraints.parameters import Params, Phrase
from mapl_jax.constraints.shapes import Count, presence
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import amount_slot, pick

FIXED_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCE = re.compile(r"```(?:json)?(.*?)(?:```)?", re.I | re.S)
_TITLE = re.compile(r"<<[^\n<>]*[^\s<>][^\n<>]*>>")
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
        return bool(one.numbers or other.numbers)

    def derive(self, kept, broken, rng):
        """A name that some text numbers, and a threshold between the counts."""
        found = {word for text in (*kept, *broken) for word in _SECTION.findall(text.raw)}
        names = sorted(found) or ["Section", "PART", "Chapter", "SECTION", "Day", "Step"]
        name = pick(names, rng)
        counts = [[_sections(text, name) for text in side] for side in (kept, broken)]
        choice = propose(counts[0], counts[1], rng) if kept or broken else (AT_LEAST, 2)
        if choice is None:
            return None
        params: Params = {"section_spliter": name, "num_sections": choice[1]}
        return params if choice[0] == AT_LEAST else params | {"relation": choice[0]}

    def demands(self, params: Params) -> Demands:
        """Bounds on the sections, and their name as it is written."""
        bounds = self.threshold.bounds(params)
        name = self.name.of(params)
        return Demands(bounds={f"sections {name}": bounds}, exact=(name,) if bounds[0] else ())


def _sections(text: Text, name: str) -> int:
    return len(set(re.findall(rf"(?<!\w){re.escape(name)}\s?(\d{{1,9}})", text.raw)))


FAMILIES: tuple[Family, ...] = (
    Sections(
        "detectable_format:multiple_sections",
        [
            Wordings(
                (
                    "{Answer} should have {amount}; mark the start of each with {name} and its "
                    "number.",
                    "Divide {answer} so that it has {amount}, each opened by {name} and a number.",
                    "Write {amount} headed {name} with a number behind it.",
                    "Use {amount} in {answer}, numbered and called {name}.",
                    "Organize {answer} with {amount}, each under the name {name} and a number.",
                    "There must be {amount} in {answer} that start with {name} and a number.",
                ),
                (
                    "I want to leaf through {amount}, each titled {name} with its number.",
                    "With {name} and a number at the top of each, lay out {amount}.",
                ),
            )
        ],
        {
            "amount": amount_slot("num_sections", "relation", ("section", "sections"), AT_LEAST),
        },
        beyond_ifeval=False,
    ),
    presence(
        "detectable_format:constrained_response",
        lambda text: any(answer in text.raw for answer in FIXED_ANSWERS),
        (
            (
                f'Answer with one of these: "{FIXED_ANSWERS[0]}", "{FIXED_ANSWERS[1]}", '
                f'"{FIXED_ANSWERS[2]}"',
                'Say "My answer is yes.", "My answer is no." or "My answer is maybe."',
                "Choose your answer from: My answer is yes. My answer is no. My answer is maybe.",
                '{Answer} must be "My answer is" followed by yes, no or maybe and a full stop.',
                "Reply with My answer is yes., My answer is no. or My answer is maybe.",
                'Only "My answer is yes.", "My answer is no." and "My answer is maybe." are '
                "possible.",
            ),
            (
                'I take "My answer is yes.", "My answer is no." or "My answer is maybe." for a '
                "reply.",
                "Decide between My answer is yes., My answer is no. and My answer is maybe.",
            ),
        ),
        (
            (
                'Do not answer with "My answer is yes.", "My answer is no." or "My answer is '
                'maybe."',
                'Do not say "My answer is yes.", "My answer is no." or "My answer is maybe."',
                'Avoid the set answers "My answer is yes.", "My answer is no." and "My answer is '
                'maybe."',
                '{Answer} must not be "My answer is" followed by yes, no or maybe and a full stop.',
                "Reply with anything but My answer is yes., My answer is no. or My answer is "
                "maybe.",
                'None of "My answer is yes.", "My answer is no." and "My answer is maybe." is '
                "possible.",
            ),
            (
                'I do not take "My answer is yes.", "My answer is no." or "My answer is maybe." '
                "for a reply.",
                "Stay away from My answer is yes., My answer is no. and My answer is maybe.",
            ),
        ),
        "set answer",
        beyond_ifeval=False,
    ),
    presence(
        "detectable_format:json_format",
        lambda text: is_json(text.raw),
        (
            (
                "Give the whole of {answer} as JSON.",
                "Write {answer} in JSON format and nothing around it.",
                "{Answer} must be valid JSON.",
                "The entire output should be wrapped in JSON format.",
                "Use JSON for all of {answer}.",
                "Format everything you write as a JSON object or array.",
            ),
            (
                "I will parse {answer} as JSON, so it must be nothing else.",
                "JSON is the only form in which {answer} is accepted.",
            ),
        ),
        (
            (
                "Do not give {answer} as JSON.",
                "Write {answer} in any form but JSON.",
                "{Answer} must not be JSON.",
                "The output should not be wrapped in JSON format.",
                "Do not use JSON for {answer}.",
                "Do not format what you write as a JSON object or array.",
            ),
            (
                "I will not parse {answer} as JSON, so it must be something else.",
                "JSON is the one form in which {answer} is not accepted.",
            ),
        ),
        "JSON",
        beyond_ifeval=False,
    ),
    presence(
        "detectable_format:title",
        lambda text: _TITLE.search(text.raw) is not None,
        (
            (
                "{Answer} must have a title in double angular brackets, such as <<poem of joy>>.",
                "Give {answer} a title wrapped in double angular brackets, as in <<title>>.",
                "Include a title set between << and >>.",
                "Add a title in double angular brackets, like <<this>>.",
                "Write {answer} with a title inside << and >>.",
                "There should be a title in {answer}, wrapped as <<title>>.",
            ),
            (
                "I would like a heading in double angular brackets, <<so>>.",
                "Name {answer}, with the name between << and >>.",
            ),
        ),
        (
            (
                "{Answer} must not have a title in double angular brackets, such as <<poem of "
                "joy>>.",
                "Do not give {answer} a title wrapped in double angular brackets, as in <<title>>.",
                "Do not include a title set between << and >>.",
                "Leave out any title in double angular brackets, like <<this>>.",
                "Write {answer} without a title inside << and >>.",
                "There should be no title in {answer}, wrapped as <<title>>.",
            ),
            (
                "I would not like a heading in double angular brackets, <<so>>.",
                "Do not name {answer} with a name between << and >>.",
            ),
        ),
        "title",
        beyond_ifeval=False,
    ),
    Count(
        "detectable_format:lines",
        lambda text: len(text.lines),
        ("line", "lines"),
        quantity="lines",
        generic_wordings=False,
        train=(
            "Write {amount}, not counting empty ones.",
            "{Answer} should have {amount} that are not empty.",
            "Spread {answer} over {amount}, empty ones not counted.",
            "Use {amount} for {answer}, without counting empty ones.",
            "Break {answer} into {amount}, empty ones aside.",
            "Lay {answer} out on {amount} that hold text.",
        ),
        held_out_wordings=(
            "Counting only those with text, I want {amount}.",
            "Empty ones not included, {answer} should run over {amount}.",
        ),
    ),
)
