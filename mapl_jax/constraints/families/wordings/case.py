"""Sentences of the families of capital and small letters."""

from mapl_jax.constraints.families.wordings.shared import count
from mapl_jax.constraints.forms import Form, form

FORMS: dict[str, tuple[Form, ...]] = {
    "change_case:english_lowercase": (
        form(
            """
            Write {answer} in English, all in lowercase.
            Answer in English and use only lowercase letters.
            Use English and no capital letters at all.
            {Answer} should be in English, in lowercase letters only.
            Please write {answer} in English without any capital letters.
            Write in English and don't capitalize anything.
            Can you answer in English, all lowercase?
            I want {answer} in English and entirely in lowercase.
            English only, all lowercase, please.
            {Answer} must be in English, with every letter in lowercase.
            """,
            """
            Write in English and don't capitalise a single letter.
            Could you reply in English, using small letters only?
            Keep {answer} in English and all lowercase, even at the start of sentences.
            {Answer} has to be in English, with no uppercase letters.
            Please use English, and lowercase letters throughout.
            """,
        ),
        form(
            """
            Use a capital letter at least once in {answer}.
            Use at least one capital letter.
            {Answer} should contain at least one capital letter.
            Please use at least one capital letter in {answer}.
            {Answer} must contain at least one capital letter.
            Capitalize at least one letter.
            Can you use at least one capital letter?
            Include at least one capital letter in {answer}.
            Make sure {answer} has at least one uppercase letter.
            I want at least one capital letter in {answer}.
            """,
            """
            There should be at least one capital letter in {answer}.
            Could you include at least one uppercase letter?
            Capitalise at least one letter in {answer}.
            Please put in at least one capital letter.
            At least one capital letter, please.
            """,
            negated=True,
        ),
    ),
    "change_case:english_capital": (
        form(
            """
            Write {answer} in English, all in capital letters.
            Answer in English and use only capital letters.
            Use English and no lowercase letters at all.
            {Answer} should be in English, in capital letters only.
            Please write {answer} in English without any lowercase letters.
            Write in English and capitalize every letter.
            Can you answer in English, all caps?
            I want {answer} in English and entirely in capitals.
            English only, all caps, please.
            {Answer} must be in English, with every letter in uppercase.
            """,
            """
            Write in English and capitalise every single letter.
            Could you reply in English, using capitals only?
            Keep {answer} in English and in all caps from start to finish.
            {Answer} has to be in English, with no small letters.
            Please use English, and capital letters throughout.
            """,
        ),
        form(
            """
            Use a lowercase letter at least once in {answer}.
            Use at least one lowercase letter.
            {Answer} should contain at least one lowercase letter.
            Please use at least one lowercase letter in {answer}.
            {Answer} must contain at least one lowercase letter.
            Include at least one lowercase letter in {answer}.
            Can you use at least one lowercase letter?
            {Answer} needs at least one lowercase letter.
            Make sure {answer} has at least one lowercase letter.
            I want at least one lowercase letter in {answer}.
            """,
            """
            There should be at least one lowercase letter in {answer}.
            Could you include at least one small letter?
            Leave at least one letter in lowercase.
            Please put in at least one lowercase letter.
            At least one lowercase letter, please.
            """,
            negated=True,
        ),
    ),
    "change_case:capital_word_frequency": count(
        "word in all capital letters", "words in all capital letters"
    ),
}
