"""Sentences of the families of answers made of parts."""

from mapl_jax.constraints.forms import Form, form

FORMS: dict[str, tuple[Form, ...]] = {
    "combination:two_responses": (
        form(
            """
            Give two different answers, separated by six asterisks (******).
            Give me two different responses with ****** between them.
            Write two different answers and separate them with six asterisks (******).
            {Answer} should consist of two different versions, separated by ******.
            Please provide two different responses, separated by ******.
            Answer twice, in two different ways, with ****** in between.
            Can you give me two different answers, separated by ******?
            I want two different responses with six asterisks (******) between them.
            Offer two different answers and put ****** between the first and the second.
            Write one answer, then ******, then a different answer.
            """,
            """
            Two different answers, please, with ****** between them.
            Could you write two different versions and separate them with six asterisks (******)?
            Let me choose between two different answers, separated by ******.
            Put six asterisks (******) between your two different answers.
            Please answer in two different ways and split them with ******.
            """,
        ),
        form(
            """
            Don't give two answers separated by six asterisks (******).
            Give just one answer, not two separated by ******.
            Please don't write two responses with ****** between them.
            {Answer} should not consist of two versions separated by ******.
            Don't answer twice with ****** in between.
            One answer is enough, so don't add a second one after ******.
            {Answer} must not contain two different responses separated by ******.
            I don't want two different answers with six asterisks (******) between them.
            Can you give one answer only, instead of two separated by ******?
            Do not provide two responses divided by ******.
            """,
            """
            A single answer, please, not two with ****** between them.
            Could you answer just once, without a second version after ******?
            Don't offer me two versions separated by six asterisks (******).
            Stick to one answer, not two split by ******.
            Please don't follow up with ****** and a second answer.
            """,
            negated=True,
        ),
    ),
    "combination:repeat_prompt": (
        form(
            """
            First repeat this sentence word for word, then give {answer}: {text}.
            Start {answer} by repeating this sentence exactly: {text}.
            Before you answer, repeat the following word for word: {text}.
            Begin by repeating {text} without changing anything, then go on.
            {Answer} should start by repeating this, word for word: {text}.
            Please repeat this first, without any changes: {text}.
            At the start of {answer}, repeat {text} exactly.
            Can you start by repeating {text} word for word?
            I want {answer} to begin with this sentence, unchanged: {text}.
            Copy this sentence to the very beginning of {answer}: {text}.
            """,
            """
            {Answer} must open with this sentence, repeated word for word: {text}.
            Could you first repeat {text} exactly, and only then answer?
            Say this again, word for word, before anything else: {text}.
            Please begin {answer} by copying this sentence exactly: {text}.
            Repeat the following before answering, and don't change a word of it: {text}.
            """,
        ),
        form(
            """
            Don't start {answer} by repeating this sentence: {text}.
            Don't repeat {text} at the beginning of {answer}.
            {Answer} should not begin by repeating this: {text}.
            Please don't repeat this sentence before you answer: {text}.
            Don't open by copying {text}.
            {Answer} must not start with this sentence: {text}.
            Just answer, without repeating {text} first.
            I don't want {answer} to begin with this sentence: {text}.
            Can you answer without repeating {text} first?
            Do not copy this sentence to the beginning of {answer}: {text}.
            """,
            """
            There's no need to repeat this first, so don't: {text}.
            Could you avoid repeating {text} at the start?
            Get to the point without repeating {text} first.
            Please don't begin {answer} by copying this: {text}.
            Don't say this again before you answer: {text}.
            """,
            negated=True,
        ),
    ),
}
