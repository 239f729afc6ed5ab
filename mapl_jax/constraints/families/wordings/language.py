"""Sentences of the family of languages."""

from mapl_jax.constraints.forms import Form, form

FORMS: dict[str, tuple[Form, ...]] = {
    "language:response_language": (
        form(
            """
            Answer in {name}.
            Write {answer} in {name}.
            Please answer in {name} only.
            {Answer} should be in {name}.
            Write {answer} entirely in {name}.
            Use only {name} in {answer}.
            Can you answer in {name}?
            I'd like {answer} to be in {name}.
            {Answer} must be written in {name}.
            Respond in {name}, with no other language.
            """,
            """
            Reply in {name}, please.
            Could you write {answer} in {name}?
            The language of {answer} should be {name}.
            Please stick to {name} throughout {answer}.
            Make {name} the only language of {answer}.
            """,
        ),
        form(
            """
            Don't answer in {name}.
            Do not write {answer} in {name}.
            Please answer in a language other than {name}.
            {Answer} should not be in {name}.
            Answer in any language except {name}.
            Use a language other than {name}.
            Can you answer in a language other than {name}?
            I don't want {answer} to be in {name}.
            {Answer} must not be written in {name}.
            Respond in a language that isn't {name}.
            """,
            """
            Any language but {name}, please.
            Could you use a language other than {name} for {answer}?
            The language of {answer} should be anything but {name}.
            Please don't write {answer} in {name}.
            Pick any language other than {name} for {answer}.
            """,
            negated=True,
        ),
    )
}
