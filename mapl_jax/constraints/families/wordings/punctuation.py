"""Sentences of the families of punctuation."""

from mapl_jax.constraints.families.wordings.shared import count
from mapl_jax.constraints.forms import Form, form

# For one mark, people name what it is for.
_A_QUESTION = form(
    """
    Ask at least one question (with a question mark).
    Include at least one question, with a question mark.
    Please ask me at least one question (with a question mark).
    {Answer} should ask at least one question, with a question mark.
    {Answer} must include at least one question (with a question mark).
    Ask a question in {answer} (with a question mark).
    Make sure to ask at least one question, with a question mark.
    Can you ask me at least one question in {answer} (with a question mark)?
    I'd like {answer} to ask at least one question (with a question mark).
    Include a question in {answer}, with a question mark.
    """,
    """
    There should be at least one question in {answer}, with a question mark.
    At least one question, please, with a question mark.
    Could you include a question in {answer} (with a question mark)?
    Please make sure that {answer} asks at least one question (with a question mark).
    Somewhere in {answer}, ask a question (with a question mark).
    """,
    relation="at least",
    number=1,
)
_AN_EXCLAMATION = form(
    """
    Make {answer} lively with at least one exclamation mark.
    Show some enthusiasm with at least one exclamation mark.
    Please sound lively and use at least one exclamation mark.
    {Answer} should show some enthusiasm, with at least one exclamation mark.
    {Answer} must sound lively, with at least one exclamation mark.
    Use at least one exclamation mark.
    Use one or more exclamation marks in {answer}.
    Can you make {answer} sound enthusiastic, with at least one exclamation mark?
    I'd like some enthusiasm, with at least one exclamation mark.
    Put some energy into {answer} with at least one exclamation mark.
    """,
    """
    Some enthusiasm, please, with at least one exclamation mark.
    Could you make {answer} sound excited and use an exclamation mark?
    Make sure to sound lively, with at least one exclamation mark.
    Please use at least one exclamation mark in {answer}.
    There should be some excitement in {answer}, with at least one exclamation mark.
    """,
    relation="at least",
    number=1,
)

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
            Use a comma at least once in {answer}.
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
    "punctuation:question_marks": (_A_QUESTION, *count("question mark", "question marks")),
    "punctuation:exclamation_marks": (
        _AN_EXCLAMATION,
        *count("exclamation mark", "exclamation marks"),
    ),
    "punctuation:colons": count("colon", "colons"),
    "punctuation:hyphens": count("hyphen", "hyphens"),
    "punctuation:apostrophes": count("apostrophe", "apostrophes"),
    "punctuation:parentheses": count("opening parenthesis", "opening parentheses"),
    "punctuation:semicolons": count("semicolon", "semicolons"),
    "punctuation:quotation_marks": (
        form(
            """
            Put at least one word or phrase in double quotation marks.
            Use double quotation marks at least once in {answer}.
            Please use double quotation marks at least once.
            {Answer} should have at least one word or phrase in double quotation marks.
            {Answer} must have at least one word or phrase in double quotation marks.
            Include at least one quotation in double quotation marks.
            Make sure to put at least one word in double quotation marks.
            Can you put at least one word or phrase in double quotation marks?
            I want at least one word or phrase in double quotation marks.
            Use double quotation marks around at least one word or phrase.
            """,
            """
            At least one word in double quotation marks, please.
            Could you use double quotation marks at least once?
            There should be at least one word in double quotation marks.
            Please use double quotation marks somewhere in {answer}.
            Quote at least one word or phrase with double quotation marks.
            """,
            relation="at least",
            number=2,
        ),
        *count("double quotation mark", "double quotation marks"),
    ),
}
