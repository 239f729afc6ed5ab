"""Sentences of the families that speak of a part of the answer, or of a condition."""

from mapl_jax.constraints.forms import Form, form

# How many UNITs the PART has; the part is one: the last sentence, the first paragraph.
_SMALL_PART = form(
    """
    Keep the PART to {m:UNIT|UNITS} or fewer.
    The PART should have fewer than {n:UNIT|UNITS}.
    Use at most {m:UNIT|UNITS} in the PART.
    Please use fewer than {n:UNIT|UNITS} in the PART.
    Limit the PART of {answer} to {m:UNIT|UNITS}.
    The PART of {answer} must have no more than {m:UNIT|UNITS}.
    Don't use more than {m:UNIT|UNITS} in the PART.
    Can you keep the PART under {n:UNIT|UNITS}?
    I want the PART to have at most {m:UNIT|UNITS}.
    Make the PART no longer than {m:UNIT|UNITS}.
    """,
    """
    No more than {m:UNIT|UNITS} in the PART, please.
    Could you make the PART shorter than {n:UNIT|UNITS}?
    The PART may have up to {m:UNIT|UNITS}, but no more.
    Please keep the PART of {answer} under {n:UNIT|UNITS}.
    The PART needs to be shorter than {n:UNIT|UNITS}.
    """,
    relation="less than",
)
_LARGE_PART = form(
    """
    Make the PART at least {n:UNIT|UNITS} long.
    The PART should have at least {n:UNIT|UNITS}.
    Use at least {n:UNIT|UNITS} in the PART.
    Please use {more} UNITS in the PART.
    Use more than {m:UNIT|UNITS} in the PART.
    The PART of {answer} must have at least {n:UNIT|UNITS}.
    Write {more} UNITS in the PART.
    Can you make the PART at least {n:UNIT|UNITS} long?
    I want the PART to have {more} UNITS.
    The PART must be at least {n:UNIT|UNITS} long.
    """,
    """
    At least {n:UNIT|UNITS} in the PART, please.
    Could you make the PART {more} UNITS long?
    The PART of {answer} needs at least {n:UNIT|UNITS}.
    Please write a PART with at least {n:UNIT|UNITS}.
    The PART must be no shorter than {n:UNIT|UNITS}.
    """,
    relation="at least",
)
# How many UNITs any of the THINGs has: every sentence, each item of a list.
_ALL_FEW = form(
    """
    No THING should have more than {m:UNIT|UNITS}.
    Use at most {m:UNIT|UNITS} in each THING.
    Each THING should have fewer than {n:UNIT|UNITS}.
    Please use no more than {m:UNIT|UNITS} in any THING.
    Every THING of {answer} must have at most {m:UNIT|UNITS}.
    Don't use more than {m:UNIT|UNITS} in a THING.
    Limit every THING to {m:UNIT|UNITS}.
    Can you keep every THING to {m:UNIT|UNITS} at most?
    I don't want any THING to have more than {m:UNIT|UNITS}.
    Don't put {more} UNITS into one THING.
    """,
    """
    No more than {m:UNIT|UNITS} in any THING, please.
    Could you use fewer than {n:UNIT|UNITS} in each THING?
    Each THING may have up to {m:UNIT|UNITS}, but no more.
    Please keep each THING to {m:UNIT|UNITS} or fewer.
    There should be no THING with {more} UNITS.
    """,
    relation="less than",
)
_ONE_MANY = form(
    """
    At least one THING should have {more} UNITS.
    Include a THING with at least {n:UNIT|UNITS}.
    Write at least one THING that has {more} UNITS.
    Please include at least one THING with more than {m:UNIT|UNITS}.
    {Answer} must contain a THING with at least {n:UNIT|UNITS}.
    Use at least {n:UNIT|UNITS} in one of the THINGS.
    Make sure that one THING has {more} UNITS.
    Can you write at least one THING with {more} UNITS?
    I want at least one THING with more than {m:UNIT|UNITS}.
    {Answer} should have a THING with {more} UNITS.
    """,
    """
    At least one THING with {more} UNITS, please.
    Could you include a THING that has more than {m:UNIT|UNITS}?
    There should be a THING with at least {n:UNIT|UNITS}.
    Please write one or more THINGS with at least {n:UNIT|UNITS}.
    {Answer} needs a THING with {more} UNITS.
    """,
    relation="at least",
)


_ONE_SENTENCE = form(
    """
    The PART should be a single sentence.
    Write only one sentence in the PART.
    Keep the PART to one sentence.
    Please use just one sentence for the PART.
    The PART of {answer} must be one sentence.
    Don't write more than one sentence in the PART.
    Make the PART a single sentence.
    Can you keep the PART to a single sentence?
    I want the PART to be one sentence.
    Use no more than one sentence in the PART.
    """,
    """
    Just one sentence in the PART, please.
    Could you make the PART a single sentence?
    There should be only one sentence in the PART.
    Please make the PART one sentence long.
    A single sentence is enough for the PART.
    """,
    relation="less than",
    number=2,
)


# WHAT stands in the PART, or does not.
_IN_PART = form(
    """
    Use WHAT in the PART.
    The PART should contain WHAT.
    Include WHAT in the PART.
    Please use WHAT in the PART of {answer}.
    The PART of {answer} must contain WHAT.
    Put WHAT in the PART.
    Make sure the PART has WHAT.
    Can you use WHAT in the PART?
    I want to see WHAT in the PART.
    {Answer} should have WHAT in the PART.
    """,
    """
    Could you include WHAT in the PART?
    Please make sure the PART contains WHAT.
    The PART has to contain WHAT.
    The PART of {answer} needs to have WHAT.
    Please put WHAT somewhere in the PART.
    """,
)
_NOT_IN_PART = form(
    """
    Don't use WHAT in the PART.
    The PART should not contain WHAT.
    Avoid using WHAT in the PART.
    Please don't use WHAT in the PART of {answer}.
    The PART of {answer} must not contain WHAT.
    Write the PART without WHAT.
    Do not put WHAT in the PART.
    Can you write the PART without WHAT?
    I don't want to see WHAT in the PART.
    {Answer} should not have WHAT in the PART.
    """,
    """
    Could you avoid WHAT in the PART?
    Please make sure the PART doesn't contain WHAT.
    Please write the PART without using WHAT.
    The PART of {answer} should do without WHAT.
    Do not include WHAT in the PART.
    """,
    negated=True,
)


def _in_part(part: str, what: str) -> tuple[Form, ...]:
    return tuple(each.replaced(WHAT=what, PART=part) for each in (_IN_PART, _NOT_IN_PART))


def _part(part: str, one: str, many: str) -> tuple[Form, ...]:
    return tuple(
        each.replaced(PART=part, UNITS=many, UNIT=one) for each in (_SMALL_PART, _LARGE_PART)
    )


def _each(things: str, thing: str, one: str, many: str) -> tuple[Form, ...]:
    return tuple(
        each.replaced(THINGS=things, THING=thing, UNITS=many, UNIT=one)
        for each in (_ALL_FEW, _ONE_MANY)
    )


FORMS: dict[str, tuple[Form, ...]] = {
    "scope:last_sentence_words": _part("last sentence", "word", "words"),
    "scope:last_paragraph_sentences": (
        _ONE_SENTENCE.replaced(PART="last paragraph"),
        *_part("last paragraph", "sentence", "sentences"),
    ),
    "scope:first_paragraph_sentences": (
        _ONE_SENTENCE.replaced(PART="first paragraph"),
        *_part("first paragraph", "sentence", "sentences"),
    ),
    "scope:paragraph_sentences": _each("paragraphs", "paragraph", "sentence", "sentences"),
    "scope:sentence_commas": _each("sentences", "sentence", "comma", "commas"),
    "scope:list_item_words": _each("list items", "list item", "word", "words"),
    **{
        f"scope:{part}_sentence_{name}": _in_part(f"{part} sentence", what)
        for part in ("first", "last")
        for name, what in (
            ("comma", "a comma"),
            ("exclamation", "an exclamation mark"),
            ("first_person", 'the word "I", "me" or "my"'),
            ("second_person", 'the word "you" or "your"'),
        )
    },
    "scope:first_sentence_question": (
        form(
            """
            Start with a question.
            The first sentence of {answer} should be a question.
            Begin {answer} with a question.
            Please open {answer} with a question.
            Your first sentence must be a question.
            Make the first sentence of {answer} a question.
            Ask a question in the first sentence.
            Can you start {answer} with a question?
            I want {answer} to start with a question.
            Open with a question.
            """,
            """
            Could you open {answer} with a question?
            The opening sentence should be a question.
            Please make your first sentence a question.
            A question for the first sentence, please.
            {Answer} has to begin with a question.
            """,
        ),
        form(
            """
            Don't start with a question.
            Please don't make the first sentence of {answer} a question.
            Do not begin {answer} with a question.
            Please don't open {answer} with a question.
            The first sentence of {answer} must not be a question.
            Don't open with a question.
            Don't ask a question in the first sentence.
            Can you answer without starting with a question?
            I don't want {answer} to start with a question.
            Avoid opening with a question.
            """,
            """
            Could you answer without opening with a question?
            The opening sentence should not be a question.
            Please make sure your first sentence isn't a question.
            No question for the first sentence, please.
            {Answer} shouldn't begin with a question.
            """,
            negated=True,
        ),
    ),
    "scope:long_sentence_commas": (
        form(
            """
            If a sentence has {more} words, use a comma in it.
            Use a comma in every sentence of {more} words.
            Every sentence of {more} words should have a comma.
            Please put at least one comma into each sentence of {more} words.
            Each sentence of {answer} that has {more} words must contain a comma.
            Don't write any sentence of {more} words without a comma.
            No sentence of {more} words should be without a comma.
            If a sentence has {more} words, can you put a comma in it?
            I want a comma in every sentence that has {more} words.
            Sentences of {more} words must have at least one comma.
            """,
            """
            A comma in every sentence of {more} words, please.
            Could you use a comma in each sentence that has {more} words?
            There should be a comma in every sentence of {more} words.
            If a sentence runs to {more} words, please give it a comma.
            Any sentence of {more} words needs a comma.
            """,
        ),
        form(
            """
            Write at least one sentence of {more} words without a comma.
            Include a sentence of {more} words that has no comma.
            At least one sentence of {more} words should have no commas.
            Please include at least one sentence of {more} words without commas.
            {Answer} must contain a sentence of {more} words that has no comma.
            Use no comma in at least one sentence of {more} words.
            Make sure one sentence of {more} words has no commas.
            Can you write a sentence of {more} words without a comma?
            I want at least one sentence of {more} words without a comma.
            {Answer} should have a sentence of {more} words with no comma in it.
            """,
            """
            At least one sentence of {more} words without a comma, please.
            Could you include a sentence that has {more} words and no comma?
            There should be a sentence of {more} words with no commas.
            Please write one or more sentences of {more} words without commas.
            {Answer} needs a sentence of {more} words that does without commas.
            """,
            negated=True,
        ),
    ),
    "scope:first_sentence_shortest": (
        form(
            """
            Make the first sentence the shortest one.
            The first sentence should be the shortest one.
            Start with the shortest sentence of all.
            Please make your first sentence shorter than all the others.
            The first sentence of {answer} must be shorter than every other sentence.
            Use fewer words in the first sentence than in any other.
            Begin {answer} with its shortest sentence.
            Can you make the first sentence the shortest?
            I want the first sentence to have fewer words than any other sentence.
            All the other sentences should be longer than the first one.
            """,
            """
            The shortest sentence first, please.
            Could you open with the shortest sentence?
            The opening sentence should have fewer words than all the others.
            Please let {answer} begin with its shortest sentence.
            No other sentence may be as short as the first one.
            """,
        ),
        form(
            """
            Don't make the first sentence the shortest one.
            The first sentence should not be the shortest one.
            The shortest sentence should not come first.
            Please don't start with the shortest sentence.
            Put the shortest sentence of {answer} anywhere but first.
            Don't let the first sentence be the shortest of all.
            Do not begin {answer} with the shortest sentence of all.
            Can you start with a sentence that isn't the shortest?
            I don't want the first sentence to be the shortest one.
            Don't put the shortest sentence first.
            """,
            """
            Not the shortest sentence first, please.
            Could you open with something other than the shortest sentence?
            The opening sentence should not be shorter than all the others.
            Please put the shortest sentence anywhere but first.
            {Answer} should not begin with its shortest sentence.
            """,
            negated=True,
        ),
    ),
    "scope:late_exclamation": (
        form(
            """
            Use an exclamation mark somewhere after the first sentence.
            Use at least one exclamation mark after the first sentence.
            A sentence after the first one should have an exclamation mark.
            Please use an exclamation mark in one of the sentences after the first.
            {Answer} must have an exclamation mark in a sentence other than the first.
            Put an exclamation mark into a later sentence than the first one.
            Make sure a sentence after the first one has an exclamation mark.
            Can you use an exclamation mark somewhere after the first sentence?
            I want an exclamation mark in at least one sentence after the first.
            After the first sentence, use at least one exclamation mark.
            """,
            """
            At least one exclamation mark after the first sentence, please.
            Could you end a later sentence than the first with an exclamation mark?
            There should be an exclamation mark somewhere after the first sentence.
            Please put an exclamation mark somewhere after the first sentence of {answer}.
            {Answer} needs an exclamation mark after its first sentence.
            """,
        ),
        form(
            """
            If you use exclamation marks, use them in the first sentence only.
            Use exclamation marks in the first sentence only, if at all.
            Don't use any exclamation marks after the first sentence.
            Please use no exclamation marks after the first sentence.
            {Answer} must not have any exclamation marks after the first sentence.
            Only the first sentence may have an exclamation mark.
            No sentence except the first should have an exclamation mark.
            Can you leave out exclamation marks after the first sentence?
            I don't want any exclamation marks after the first sentence.
            After the first sentence, avoid exclamation marks.
            """,
            """
            No exclamation marks after the first sentence, please.
            Could you use exclamation marks in the first sentence only?
            There should be no exclamation marks after the first sentence.
            Please keep exclamation marks to the first sentence.
            {Answer} should do without exclamation marks after its first sentence.
            """,
            negated=True,
        ),
    ),
    "scope:sentence_full_stops": (
        form(
            """
            End every sentence with a period.
            Every sentence should end with a full stop.
            Each sentence of {answer} should end with a period.
            Please end each sentence with a full stop.
            Every sentence of {answer} must end with a period.
            Use a period at the end of every sentence.
            Use nothing but full stops to end your sentences.
            Can you end every sentence with a period?
            I want every sentence to end with a full stop.
            All of your sentences should end with a period.
            """,
            """
            A period at the end of every sentence, please.
            Could you end each sentence with a full stop?
            There should be a full stop at the end of every sentence.
            Please let all sentences end with a period.
            All sentences in {answer} should end with a full stop.
            """,
        ),
        form(
            """
            Include at least one question or exclamation.
            At least one sentence should end with a question mark or an exclamation mark.
            End at least one sentence of {answer} with an exclamation mark or a question mark.
            Please end at least one sentence with an exclamation mark or a question mark.
            At least one sentence of {answer} must end with an exclamation mark or a question mark.
            Use a question mark or an exclamation mark to end at least one sentence.
            Include a sentence that ends with an exclamation mark or a question mark.
            Can you end at least one sentence with a question mark or an exclamation mark?
            I want at least one sentence to end with a question mark or an exclamation mark.
            {Answer} should have at least one question or exclamation.
            """,
            """
            A question mark or an exclamation mark at the end of at least one sentence, please.
            Could you end one or more sentences with a question mark or an exclamation mark?
            There should be at least one question or exclamation in {answer}.
            Please let at least one sentence end with a question mark or an exclamation mark.
            {Answer} needs at least one question or exclamation.
            """,
            negated=True,
        ),
    ),
    "scope:one_question": (
        form(
            """
            If you ask questions, ask only one.
            Ask one question at most.
            If there are questions in {answer}, there should be just one.
            Please ask no more than one question.
            {Answer} must not contain more than one question.
            Don't ask more than one question.
            If you ask me something, ask just one question.
            If you need to ask something, can you keep it to one question?
            I don't want more than one question in {answer}.
            Limit yourself to one question, if you ask any.
            """,
            """
            No more than one question, please.
            Could you ask a single question at most?
            There should be at most one question in {answer}.
            If you have questions, please ask only one of them.
            {Answer} may have one question, but no more.
            """,
        ),
        form(
            """
            If you ask questions, ask more than one.
            If you ask a question, ask a second one too.
            If there are questions in {answer}, there should be at least two.
            Please ask at least two questions if you ask any.
            If {answer} has a question, it must have another one.
            Don't ask just one question.
            If you ask me something, ask two questions or more.
            If you need to ask something, can you ask two questions or more?
            I don't want just a single question in {answer}.
            Ask two or more questions, or none at all.
            """,
            """
            At least two questions if there are any, please.
            Could you ask at least two questions if you ask any?
            There should not be just one question in {answer}.
            If you have a question, please ask another one as well.
            {Answer} may have no questions or several, but not just one.
            """,
            negated=True,
        ),
    ),
    "scope:sentence_openings": (
        form(
            """
            Start every sentence with a different word.
            Don't start any two sentences with the same word.
            Every sentence should begin with a different word.
            Please begin each sentence of {answer} with a different word.
            No two sentences of {answer} should start with the same word.
            Never use the same word to start two sentences.
            Each sentence must start with a word that no other sentence starts with.
            Can you start each sentence with a different word?
            I don't want two sentences to start with the same word.
            Avoid starting two sentences with the same word.
            """,
            """
            A different first word for every sentence, please.
            Could you begin every sentence with a different word?
            There should be no two sentences that start with the same word.
            Please don't let two sentences begin with the same word.
            All sentences in {answer} should have different first words.
            """,
        ),
        form(
            """
            Start at least two sentences with the same word.
            At least two sentences should begin with the same word.
            Use the same word to start at least two sentences.
            Please begin two or more sentences of {answer} with the same word.
            At least two sentences of {answer} must start with the same word.
            Let two or more sentences start with the same word.
            Make sure that at least two sentences begin with the same word.
            Can you start at least two sentences with the same word?
            I want two or more sentences to start with the same word.
            Write at least two sentences that have the same first word.
            """,
            """
            The same first word for at least two sentences, please.
            Could you begin two or more sentences with the same word?
            There should be at least two sentences that start with the same word.
            Please have at least two sentences begin with the same word.
            Two or more sentences in {answer} should share their first word.
            """,
            negated=True,
        ),
    ),
    "scope:last_sentence_longer": (
        form(
            """
            Make the last sentence longer than the first one.
            The last sentence should have more words than the first.
            The last sentence should be longer than the first sentence.
            Please make the last sentence longer than the first.
            End with a sentence that has more words than the first one.
            The last sentence of {answer} must be longer than the first one.
            Use more words in the last sentence than in the first.
            Can you make the last sentence longer than the first one?
            I want the last sentence to be longer than the first.
            Finish {answer} with a longer sentence than you start it with.
            """,
            """
            A last sentence that is longer than the first, please.
            Could you give the last sentence more words than the first one?
            The final sentence should be longer than the opening one.
            Please close with a sentence that is longer than the first one.
            The last sentence needs more words than the first sentence.
            """,
        ),
        form(
            """
            Make the last sentence shorter than the first one.
            The last sentence should have fewer words than the first.
            The last sentence should be shorter than the first sentence.
            Please make the last sentence shorter than the first.
            End with a sentence that has fewer words than the first one.
            The last sentence of {answer} must be shorter than the first one.
            Use fewer words in the last sentence than in the first.
            Can you make the last sentence shorter than the first one?
            I want the last sentence to be shorter than the first.
            Finish {answer} with a shorter sentence than you start it with.
            """,
            """
            A last sentence that is shorter than the first, please.
            Could you give the last sentence fewer words than the first one?
            The final sentence should be shorter than the opening one.
            Please close with a sentence that is shorter than the first one.
            The last sentence needs to have fewer words than the first sentence.
            """,
            negated=True,
        ),
    ),
    "scope:question_at_end": (
        form(
            """
            If you ask a question, ask it in the last sentence.
            Ask questions in the last sentence only, if at all.
            If there is a question in {answer}, it should be the last sentence.
            Please ask nothing before the last sentence.
            Don't ask any questions before the last sentence.
            If {answer} contains a question, it must come at the very end.
            Only the last sentence may be a question.
            If you want to ask something, can you save it for the last sentence?
            I don't want any questions before the last sentence.
            No sentence except the last may be a question.
            """,
            """
            No questions before the last sentence, please.
            Could you save any question for the last sentence?
            If there is a question, the last sentence is the place for it.
            Please keep any question for the very last sentence.
            There should be no questions except in the last sentence.
            """,
        ),
        form(
            """
            If you ask a question, ask it before the last sentence.
            Ask at least one question before the last sentence, if you ask any.
            If there is a question in {answer}, don't leave it for the last sentence alone.
            Please don't leave your only question for the last sentence.
            If you ask anything, don't wait until the last sentence.
            If {answer} contains a question, there must be one before the last sentence.
            The last sentence must not be the only one that asks a question.
            If you want to ask something, can you do it before the last sentence?
            I don't want the only question to be in the last sentence.
            If you have questions, don't save all of them for the last sentence.
            """,
            """
            If there are questions, one before the last sentence, please.
            Could you ask any question before the last sentence?
            If there is a question, don't keep it for the very end.
            If you ask questions, please ask at least one before the last sentence.
            Not all the questions should come in the last sentence.
            """,
            negated=True,
        ),
    ),
    "scope:list_numbers": (
        form(
            """
            If you use a list, number it.
            If you make a list, number its items.
            If {answer} contains a list, use numbers and no bullet points.
            Please number the items of any list.
            If there is a list in {answer}, it should be numbered.
            Any list in {answer} must be numbered.
            Use numbers instead of bullet points if you write a list.
            If you use a list, can you number it?
            I want the items of any list to be numbered.
            Number the items if you write a list.
            """,
            """
            Please number the list, if there is one.
            Could you number the items if you use a list?
            Lists in {answer}, if any, should be numbered.
            Please use numbers, not bullets, for any list.
            Should you need a list, number its items.
            """,
        ),
        form(
            """
            If you use a list, don't number it.
            If you make a list, use bullet points for its items.
            If {answer} contains a list, use bullet points and no numbers.
            Please use bullet points for the items of any list.
            If there is a list in {answer}, it should have bullet points, not numbers.
            Any list in {answer} must have bullet points instead of numbers.
            Use bullet points instead of numbers if you write a list.
            If you use a list, can you give it bullet points instead of numbers?
            I want the items of any list to have bullet points, not numbers.
            Don't number the items if you write a list.
            """,
            """
            Please use bullet points for the list, if there is one.
            Could you use bullet points, not numbers, if you use a list?
            Lists in {answer}, if any, should have bullet points.
            Please use bullets, not numbers, for any list.
            Should you need a list, use bullet points for its items.
            """,
            negated=True,
        ),
    ),
}
