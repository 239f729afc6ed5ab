"""The form of the answer: bullets, highlights, sections, JSON, titles, tables, code.

Mended against IFEval: a rule "---" or a number "-5" is no bullet, but "+" begins one; ***x*** is
one highlight, not two, and "2 * 3 * 4" none; sections are told apart by their numbers, so that
"Part 1" mentioned twice is one, and their name is no regular expression; JSON is an object or an
array, not a bare number; a title is not itself full of angular brackets.
"""

import json
import re

from mapl_jax.constraints.amounts import AT_LEAST, RELATIONS, distance, propose
from mapl_jax.constraints.base import (
    NEGATED,
    Count,
    Demands,
    Family,
    Flag,
    Params,
    Wordings,
    count_bounds,
    is_count,
    is_text,
    only_keys,
)
from mapl_jax.constraints.families.length import Exact
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.wording import amount_slot, number_slot, pick, text_slot

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

    def validate(self, params: Params) -> None:
        """Wants the name of a section and a number."""
        good = only_keys(params, "section_spliter", "num_sections", "relation")
        good = good and is_text(params.get("section_spliter"))
        good = good and is_count(params.get("num_sections"))
        self.require(good and params.get("relation", AT_LEAST) in RELATIONS, params)

    def measure(self, params: Params, text: Text) -> float:
        """Distance of the count to the threshold."""
        count = _sections(text, params["section_spliter"])
        return distance(count, params.get("relation", AT_LEAST), params["num_sections"])

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
        params = {"section_spliter": name, "num_sections": choice[1]}
        return params if choice[0] == AT_LEAST else params | {"relation": choice[0]}

    def demands(self, params: Params) -> Demands:
        """Bounds on the sections, and their name as it is written."""
        bounds = count_bounds(params.get("relation", AT_LEAST), params["num_sections"])
        exact = (params["section_spliter"],) if bounds[0] else ()
        return Demands(bounds={f"sections {params['section_spliter']}": bounds}, exact=exact)


def _sections(text: Text, name: str) -> int:
    return len(set(re.findall(rf"(?<!\w){re.escape(name)}\s?(\d{{1,9}})", text.raw)))


class Table(Family):
    """A Markdown table with a number of columns; as `negated`, none with so many."""

    def validate(self, params: Params) -> None:
        """Wants a number of columns of 2 or more."""
        good = only_keys(params, "columns", "negated") and is_count(params.get("columns"), 2)
        self.require(good and isinstance(params.get("negated", False), bool), params)

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = params["columns"] in text.tables
        return 1.0 if found != params.get("negated", False) else -1.0

    def parts(self, one: Text, other: Text) -> bool:
        """Whether their tables differ in size."""
        return one.tables != other.tables

    def derive(self, kept, broken, rng):
        """Columns of a table that one side has, or a number neither has."""
        columns = sorted({n for text in (*kept, *broken) for n in text.tables}) or [2, 3, 4]
        for form in ({}, NEGATED) if rng.random() < 0.5 else (NEGATED, {}):
            for place in rng.permutation(len(columns)):
                params = {"columns": columns[int(place)], **form}
                if self.fits(params, kept, broken):
                    return params
        return None

    def demands(self, params: Params) -> Demands:
        """Whether there is such a table."""
        return Demands(values={f"table of {params['columns']}": not params.get("negated", False)})


def _flag(name: str, statistic, plain, negated, value: str, *, beyond_ifeval=True) -> Flag:
    return Flag(
        f"detectable_format:{name}",
        statistic,
        beyond_ifeval=beyond_ifeval,
        plain=plain,
        negated=negated,
        plain_demands=Demands(values={value: True}),
        negated_demands=Demands(values={value: False}),
    )


FAMILIES: tuple[Family, ...] = (
    Exact(
        "detectable_format:number_bullet_lists",
        lambda text: text.bullets,
        "num_bullets",
        ("bullet point", "bullet points"),
        least=0,
        quantity="bullets",
        beyond_ifeval=False,
        train=(
            "{Answer} must contain {exactly}, such as: * This is a point.",
            "Use {exactly} in {answer}.",
            "Write {answer} with {exactly}.",
            "Give me {exactly} in Markdown, each on a line that begins with * or -.",
            "There should be {exactly} in {answer}.",
            "Structure {answer} with {exactly}.",
        ),
        held_out_wordings=(
            "I want to count {exactly} in {answer}.",
            "As for lists, {exactly} are asked for.",
        ),
    ),
    Count(
        "detectable_format:number_highlighted_sections",
        lambda text: text.highlights,
        (
            "part highlighted with asterisks, *like this*",
            "parts highlighted with asterisks, *like this*",
        ),
        number_key="num_highlights",
        default_relation=AT_LEAST,
        quantity="highlights",
        beyond_ifeval=False,
    ),
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
            "name": text_slot("section_spliter"),
            "amount": amount_slot("num_sections", "relation", ("section", "sections"), AT_LEAST),
        },
        beyond_ifeval=False,
    ),
    _flag(
        "constrained_response",
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
    _flag(
        "json_format",
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
    _flag(
        "title",
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
        "detectable_format:numbered_steps",
        lambda text: text.steps,
        ("numbered line, such as 1. Wash it", "numbered lines, such as 1. Wash it"),
        quantity="numbered lines",
    ),
    Count(
        "detectable_format:headings",
        lambda text: text.headings,
        ("Markdown heading that starts with #", "Markdown headings that start with #"),
        quantity="headings",
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
    Table(
        "detectable_format:table",
        [
            Wordings(
                (
                    "Include a Markdown table with {columns} columns.",
                    "{Answer} should contain a Markdown table of {columns} columns.",
                    "Present something as a Markdown table with {columns} columns.",
                    "Use a Markdown table that has {columns} columns.",
                    "There must be a Markdown table of {columns} columns in {answer}.",
                    "Put a Markdown table with {columns} columns into {answer}.",
                ),
                (
                    "I would like to see a Markdown table, {columns} columns wide.",
                    "Draw up a Markdown table over {columns} columns.",
                ),
            ),
            Wordings(
                (
                    "Do not include a Markdown table with {columns} columns.",
                    "{Answer} should not contain a Markdown table of {columns} columns.",
                    "Present nothing as a Markdown table with {columns} columns.",
                    "Do not use a Markdown table that has {columns} columns.",
                    "There must be no Markdown table of {columns} columns in {answer}.",
                    "Put no Markdown table with {columns} columns into {answer}.",
                ),
                (
                    "I would not like to see a Markdown table, {columns} columns wide.",
                    "Draw up no Markdown table over {columns} columns.",
                ),
                NEGATED,
            ),
        ],
        {"columns": number_slot("columns")},
    ),
    _flag(
        "bold",
        lambda text: text.bold > 0,
        (
            (
                "Set something in bold with two asterisks on each side, **like this**.",
                "Use **bold** text in {answer}.",
                "{Answer} should contain text in bold, between ** and **.",
                "Put some words in bold by means of **.",
                "There must be **bold** text in {answer}.",
                "Write {answer} with a part of it in Markdown bold.",
            ),
            ("I would like to see some **bold** text.", "Let Markdown bold stress a few words."),
        ),
        (
            (
                "Set nothing in bold with two asterisks on each side, **like this**.",
                "Do not use **bold** text in {answer}.",
                "{Answer} should not contain text in bold, between ** and **.",
                "Put no words in bold by means of **.",
                "There must be no **bold** text in {answer}.",
                "Write {answer} without any part of it in Markdown bold.",
            ),
            ("I would not like to see any **bold** text.", "Let Markdown bold stress no words."),
        ),
        "bold text",
    ),
    _flag(
        "code_block",
        lambda text: text.fences > 0,
        (
            (
                "Include a fenced code block.",
                "Use a code block set off by ``` in {answer}.",
                "{Answer} should contain a fenced code block.",
                "Put some code between lines of ```.",
                "There must be a fenced code block in {answer}.",
                "Write {answer} with a code block marked by ```.",
            ),
            ("I would like to see a fenced block of code.", "Show code between fences of ```."),
        ),
        (
            (
                "Do not include a fenced code block.",
                "Do not use a code block set off by ``` in {answer}.",
                "{Answer} should not contain a fenced code block.",
                "Put no code between lines of ```.",
                "There must be no fenced code block in {answer}.",
                "Write {answer} without a code block marked by ```.",
            ),
            (
                "I would not like to see a fenced block of code.",
                "Show no code between fences of ```.",
            ),
        ),
        "code block",
    ),
)
