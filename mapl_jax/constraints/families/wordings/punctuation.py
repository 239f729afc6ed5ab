"""Sentences of the families of punctuation."""

from mapl_jax.constraints.families.wordings.shared import count
from mapl_jax.constraints.forms import Form, form

FORMS: dict[str, tuple[Form, ...]] = {
    "punctuation:no_comma": (
        form(
            """
            Don't use any commas.
            Do not use commas in {answer}.
            Please don't use any commas.
            Avoid commas in {answer}.
            {Answer} should not contain any commas.
            Write {answer} without using a single comma.
            No commas anywhere in {answer}, please.
            Can you write this without any commas?
            I don't want any commas in {answer}.
            Leave out all commas.
            """,
            """
            No commas, please.
            There should be no commas in {answer}.
            Could you do without commas?
            Make sure {answer} is free of commas.
            Please answer without commas.
            """,
        ),
        form(
            """
            Use at least one comma.
            Include a comma in {answer}.
            Please use at least one comma in {answer}.
            {Answer} should contain at least one comma.
            {Answer} must have a comma somewhere.
            Make sure to use at least one comma.
            Can you use at least one comma in {answer}?
            Write {answer} with at least one comma in it.
            I want to see at least one comma in {answer}.
            Put a comma somewhere in {answer}.
            """,
            """
            At least one comma, please.
            There should be at least one comma in {answer}.
            Could you include a comma somewhere?
            Please make sure there is a comma in {answer}.
            {Answer} needs at least one comma.
            """,
            negated=True,
        ),
    ),
    # From two on: whether there is a comma at all is what the family above asks.
    "punctuation:commas": count("comma", "commas"),
    "punctuation:question_marks": count("question mark", "question marks"),
    "punctuation:exclamation_marks": count("exclamation mark", "exclamation marks"),
    "punctuation:colons": count("colon", "colons"),
    "punctuation:hyphens": count("hyphen", "hyphens"),
    "punctuation:apostrophes": count("apostrophe", "apostrophes"),
    "punctuation:parentheses": count("opening parenthesis", "opening parentheses"),
    "punctuation:semicolons": count("semicolon", "semicolons"),
    "punctuation:quotation_marks": count("double quotation mark", "double quotation marks"),
}
