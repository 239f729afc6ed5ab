"""Punctuation marks: used or avoided, counted."""

from mapl_jax.constraints.base import Demands, Family
from mapl_jax.constraints.shapes import Count, Flag


def _mark(name: str, character: str, *, least: int = 1, held_out: bool = False) -> Count:
    return Count(
        f"punctuation:{name}",
        lambda text: text.raw.count(character),
        least=least,
        quantity=f"character:{character}",
        held_out=held_out,
    )


FAMILIES: tuple[Family, ...] = (
    Flag(
        "punctuation:no_comma",
        lambda text: "," not in text.raw,
        beyond_ifeval=False,
        plain_demands=Demands(bounds={"character:,": (0, 0)}),
        negated_demands=Demands(bounds={"character:,": (1, float("inf"))}),
    ),
    _mark("question_marks", "?"),
    _mark("exclamation_marks", "!"),
    _mark("colons", ":"),
    _mark("hyphens", "-"),
    _mark("apostrophes", "'"),
    _mark("parentheses", "(", held_out=True),
    _mark("semicolons", ";"),
    Count(
        "punctuation:quotation_marks",
        lambda text: text.quotation_marks,
        quantity="quotation marks",
    ),
    # Whether there is any comma is asked above.
    _mark("commas", ",", least=2),
)
