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
            One answer is enough, so don't write ****** and then a second one.
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
            Start {answer} with exactly this sentence: {text}.
            Begin with this sentence, word for word: {text}.
            {Answer} should start with this exact sentence: {text}.
            Please begin {answer} with the sentence {text}.
            The first sentence of {answer} must be {text}.
            Make {text} the first sentence of {answer}.
            Open with the sentence {text} and then go on.
            Can you start with the sentence {text}?
            I want {answer} to begin with this sentence: {text}.
            Use {text} as the first sentence of {answer}.
            """,
            """
            {Answer} must open with this sentence, word for word: {text}.
            Could you open with exactly this sentence: {text}?
            Put this sentence at the very beginning of {answer}: {text}.
            Please let {answer} start with the sentence {text}.
            I'd like the first sentence to be {text}.
            """,
        ),
        form(
            """
            Don't start {answer} with this sentence: {text}.
            Don't use {text} as the first sentence of {answer}.
            {Answer} should not begin with this sentence: {text}.
            Please don't begin with the sentence {text}.
            Don't open with the sentence {text}.
            {Answer} must not start with this sentence: {text}.
            Start {answer} with any sentence except {text}.
            I don't want {answer} to begin with this sentence: {text}.
            Can you start with a sentence other than {text}?
            The first sentence of {answer} should not be {text}.
            """,
            """
            The first sentence of {answer} must be something other than {text}.
            Could you avoid starting with the sentence {text}?
            Get to the point without starting with {text}.
            Please don't open {answer} with this sentence: {text}.
            Do not put this sentence at the beginning of {answer}: {text}.
            """,
            negated=True,
        ),
    ),
}
