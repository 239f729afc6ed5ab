"""Punctuation marks: used or avoided, counted."""

from mapl_jax.constraints.base import Demands, Family
from mapl_jax.constraints.shapes import Count, Flag


def _mark(name: str, character: str, unit: tuple[str, str], held_out: bool = False) -> Count:
    return Count(
        f"punctuation:{name}",
        lambda text: text.raw.count(character),
        unit,
        quantity=f"character:{character}",
        held_out=held_out,
        train=("Punctuate {answer} with {amount}.", "{Answer} needs {amount}."),
        held_out_wordings=("Place {amount} in {answer}.",),
    )


FAMILIES: tuple[Family, ...] = (
    Flag(
        "punctuation:no_comma",
        lambda text: "," not in text.raw,
        beyond_ifeval=False,
        plain=(
            (
                "Do not use any commas.",
                "Avoid commas in {answer}.",
                "{Answer} should not contain any commas.",
                "Write {answer} without commas.",
                "Refrain from using commas.",
                "No commas are allowed in {answer}.",
            ),
            (
                "Get by without a single comma.",
                "I do not want to find a comma in {answer}.",
            ),
        ),
        negated=(
            (
                "Use at least one comma.",
                "{Answer} should not go without a comma.",
                "Include a comma in {answer}.",
                "Make use of commas in {answer}.",
                "Write {answer} with a comma somewhere.",
                "There should be commas in {answer}.",
            ),
            (
                "I want to find a comma in {answer}.",
                "Do not get by without a comma.",
            ),
        ),
        plain_demands=Demands(bounds={"character:,": (0, 0)}),
        negated_demands=Demands(bounds={"character:,": (1, float("inf"))}),
    ),
    _mark("question_marks", "?", ("question mark", "question marks")),
    _mark("exclamation_marks", "!", ("exclamation mark", "exclamation marks")),
    _mark("colons", ":", ("colon", "colons")),
    _mark("hyphens", "-", ("hyphen", "hyphens")),
    _mark("apostrophes", "'", ("straight apostrophe", "straight apostrophes")),
    _mark("parentheses", "(", ("opening parenthesis", "opening parentheses"), held_out=True),
    _mark("semicolons", ";", ("semicolon", "semicolons")),
    Count(
        "punctuation:quotation_marks",
        lambda text: text.quotation_marks,
        ("double quotation mark", "double quotation marks"),
        quantity="quotation marks",
        train=("Punctuate {answer} with {amount}.", "{Answer} needs {amount}."),
        held_out_wordings=("Place {amount} in {answer}.",),
    ),
    _mark("commas", ",", ("comma", "commas")),
)
