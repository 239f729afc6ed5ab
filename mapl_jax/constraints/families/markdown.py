"""Markdown: bullets, highlights, headings, numbered lines, tables, bold text, blocks of code."""

from mapl_jax.constraints.amounts import AT_LEAST
from mapl_jax.constraints.base import Demands, Family, Wordings
from mapl_jax.constraints.parameters import NEGATED, NEGATION, Number, Params
from mapl_jax.constraints.shapes import Count, Exact, presence
from mapl_jax.constraints.text.statistics import Text


class Table(Family):
    """A Markdown table with a number of columns; as `negated`, none with so many."""

    columns = Number("columns", least=2)
    parameters = (columns, NEGATION)

    def measure(self, params: Params, text: Text) -> float:
        """+1 or -1."""
        found = self.columns.of(params) in text.tables
        return 1.0 if found != NEGATION.of(params) else -1.0

    def parts(self, one: Text, other: Text) -> bool:
        """Whether their tables differ in size."""
        return one.tables != other.tables

    def derive(self, kept, broken, rng):
        """Columns of a table that one side has, or a number neither has."""
        columns = sorted({n for text in (*kept, *broken) for n in text.tables}) or [2, 3, 4]
        for form in ({}, NEGATED) if rng.random() < 0.5 else (NEGATED, {}):
            for place in rng.permutation(len(columns)):
                params: Params = {"columns": columns[int(place)], **form}
                if self.fits(params, kept, broken):
                    return params
        return None

    def demands(self, params: Params) -> Demands:
        """Whether there is such a table."""
        return Demands(values={f"table of {self.columns.of(params)}": not NEGATION.of(params)})


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
    ),
    presence(
        "detectable_format:bold",
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
    presence(
        "detectable_format:code_block",
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
