"""Sentences of the families of length: words, sentences, paragraphs."""

from mapl_jax.constraints.families.wordings.shared import count, exact, length
from mapl_jax.constraints.forms import Form, form

# The longest sentence or paragraph below a number of words, or the shortest at or above it.
_ALL_SHORT = form(
    """
    Keep every THING under {n:word|words}.
    No THING should have {more} words.
    Each THING of {answer} should have fewer than {n:word|words}.
    Please keep each THING under {n:word|words}.
    Every THING must be shorter than {n:word|words}.
    Don't write any THING of {more} words.
    Use only THINGS with fewer than {n:word|words}.
    Can you keep every THING under {n:word|words}?
    I don't want any THING of {more} words.
    Limit each THING to {m:word|words}.
    """,
    """
    No THING of {more} words, please.
    Could you write THINGS of no more than {m:word|words} each?
    All THINGS in {answer} should stay below {n:word|words}.
    Please don't let any THING run to {n:word|words} or more.
    Each THING may have at most {m:word|words}.
    """,
    relation="less than",
)
_ONE_LONG = form(
    """
    Include at least one THING of {more} words.
    Write at least one THING with {more} words.
    {Answer} should contain a THING of at least {n:word|words}.
    Please include a THING with at least {n:word|words}.
    At least one THING must have {more} words.
    Make at least one THING {n:word|words} long or longer.
    Make sure at least one THING has {more} words.
    Can you write at least one THING of {more} words?
    I want at least one THING to have {more} words.
    {Answer} must have at least one THING with {more} words.
    """,
    """
    At least one THING of {more} words, please.
    Could you include a THING that has at least {n:word|words}?
    There should be at least one THING of {more} words.
    Please write one or more THINGS of at least {n:word|words}.
    {Answer} needs a THING that is at least {n:word|words} long.
    """,
    relation="at least",
)
_ONE_SHORT = form(
    """
    Include at least one THING of fewer than {n:word|words}.
    Write at least one THING with at most {m:word|words}.
    {Answer} should contain a THING of fewer than {n:word|words}.
    Please include a THING with fewer than {n:word|words}.
    At least one THING must have fewer than {n:word|words}.
    Make at least one THING shorter than {n:word|words}.
    Use at least one THING with no more than {m:word|words}.
    Can you write at least one THING of fewer than {n:word|words}?
    I want at least one THING to have fewer than {n:word|words}.
    {Answer} must have at least one THING with fewer than {n:word|words}.
    """,
    """
    At least one THING of fewer than {n:word|words}, please.
    Could you include a THING that has fewer than {n:word|words}?
    There should be at least one THING under {n:word|words}.
    Please write one or more THINGS of at most {m:word|words}.
    {Answer} needs a THING that is shorter than {n:word|words}.
    """,
    relation="less than",
)
_ALL_LONG = form(
    """
    Every THING should have at least {n:word|words}.
    No THING should have fewer than {n:word|words}.
    Each THING of {answer} should have {more} words.
    Please make each THING at least {n:word|words} long.
    Every THING must be at least {n:word|words} long.
    Don't write any THING of fewer than {n:word|words}.
    Use only THINGS with {more} words.
    Can you make every THING at least {n:word|words} long?
    I don't want any THING of fewer than {n:word|words}.
    Write THINGS of at least {n:word|words} each.
    """,
    """
    No THING of fewer than {n:word|words}, please.
    Could you write only THINGS of {more} words?
    All THINGS in {answer} should have {more} words.
    Please don't let any THING be shorter than {n:word|words}.
    Each THING needs at least {n:word|words}.
    """,
    relation="at least",
)
_SENTENCES = {"THINGS": "sentences", "THING": "sentence"}
_PARAGRAPHS = {"THINGS": "paragraphs", "THING": "paragraph"}

_ONE_SENTENCE = form(
    """
    Answer in one sentence.
    Keep {answer} to a single sentence.
    Please answer in one sentence.
    {Answer} should be a single sentence.
    Use just one sentence.
    Can you answer in a single sentence?
    I want {answer} in one sentence.
    Don't write more than one sentence.
    Write just one sentence.
    {Answer} must not be longer than one sentence.
    """,
    """
    One sentence only, please.
    Could you keep it to one sentence?
    Put everything into one sentence.
    Please use no more than one sentence.
    Make {answer} a single sentence.
    """,
    relation="less than",
    number=2,
)

FORMS: dict[str, tuple[Form, ...]] = {
    "length_constraints:number_words": length("word", "words"),
    "length_constraints:number_sentences": (_ONE_SENTENCE, *length("sentence", "sentences")),
    "length_constraints:exact_sentences": exact("sentence", "sentences"),
    "length_constraints:characters": length("character", "characters", note=" (including spaces)"),
    "length_constraints:number_paragraphs": (
        form(
            """
            Don't divide {answer} with *** dividers.
            Do not use *** to separate paragraphs.
            Please don't split {answer} into parts with ***.
            {Answer} should not be divided by ***.
            Write {answer} without *** dividers.
            Avoid *** as a divider between paragraphs.
            {Answer} must not be split into parts by ***.
            Can you write {answer} without *** between paragraphs?
            I don't want *** dividers in {answer}.
            Leave out *** dividers.
            """,
            """
            No *** dividers, please.
            Could you avoid separating paragraphs with ***?
            There should be no *** dividers in {answer}.
            Make sure {answer} isn't divided by ***.
            Please don't put *** between paragraphs.
            """,
            number=1,
        ),
        form(
            """
            Write exactly {n:paragraph|paragraphs}, separated by ***.
            Divide {answer} into exactly {n:paragraph|paragraphs} with ***.
            Please write exactly {n:paragraph|paragraphs} with *** between them.
            {Answer} should have exactly {n:paragraph|paragraphs}, separated by ***.
            {Answer} must consist of exactly {n:paragraph|paragraphs} divided by ***.
            Use *** to separate exactly {n:paragraph|paragraphs}.
            Can you write exactly {n:paragraph|paragraphs}, separated by ***?
            I want exactly {n:paragraph|paragraphs} with *** between them.
            Split {answer} into exactly {n:paragraph|paragraphs}, using *** as the divider.
            Write {n:paragraph|paragraphs}, no more and no fewer, and separate them with ***.
            """,
            """
            Exactly {n:paragraph|paragraphs}, separated by ***, please.
            Could you divide {answer} into exactly {n:paragraph|paragraphs} using ***?
            There should be exactly {n:paragraph|paragraphs}, with *** between them.
            Please use *** to divide {answer} into exactly {n:paragraph|paragraphs}.
            Make it exactly {n:paragraph|paragraphs} and put *** between them.
            """,
        ),
    ),
    "length_constraints:blank_line_paragraphs": (
        form(
            """
            Write just one paragraph.
            Keep {answer} to a single paragraph.
            Please answer in one paragraph.
            {Answer} should be a single paragraph.
            Don't use more than one paragraph.
            {Answer} must not have more than one paragraph.
            Answer in a single paragraph, without blank lines.
            Can you keep it to one paragraph?
            I want {answer} in a single paragraph.
            Put everything in one paragraph.
            """,
            """
            One paragraph only, please.
            Could you answer in a single paragraph?
            There should be no more than one paragraph.
            Don't break {answer} up into several paragraphs.
            Please keep everything in one paragraph.
            """,
            relation="less than",
            number=2,
        ),
        form(
            """
            Use at most {m:paragraph|paragraphs}.
            Write no more than {m:paragraph|paragraphs}.
            Please use fewer than {n:paragraph|paragraphs}.
            Don't write more than {m:paragraph|paragraphs}.
            {Answer} should have at most {m:paragraph|paragraphs}.
            {Answer} must have fewer than {n:paragraph|paragraphs}.
            Limit {answer} to {m:paragraph|paragraphs}.
            Can you keep it under {n:paragraph|paragraphs}?
            I want no more than {m:paragraph|paragraphs}.
            Answer in fewer than {n:paragraph|paragraphs}.
            """,
            """
            No more than {m:paragraph|paragraphs}, please.
            Could you answer in at most {m:paragraph|paragraphs}?
            There should be fewer than {n:paragraph|paragraphs} in {answer}.
            Please keep {answer} to {m:paragraph|paragraphs} or fewer.
            {Answer} may have up to {m:paragraph|paragraphs}.
            """,
            relation="less than",
        ),
        form(
            """
            Write at least {n:paragraph|paragraphs}, separated by blank lines.
            Use {more} paragraphs, with a blank line between them.
            Please write at least {n:paragraph|paragraphs} with blank lines in between.
            Split {answer} into at least {n:paragraph|paragraphs}, separated by blank lines.
            {Answer} should have at least {n:paragraph|paragraphs}, separated by blank lines.
            {Answer} must have {more} paragraphs, with blank lines between them.
            Break {answer} up into at least {n:paragraph|paragraphs}, separated by blank lines.
            Can you write at least {n:paragraph|paragraphs}, separated by blank lines?
            I want at least {n:paragraph|paragraphs}, with a blank line between them.
            Use more than {m:paragraph|paragraphs} and leave a blank line between them.
            """,
            """
            At least {n:paragraph|paragraphs} with blank lines between them, please.
            Could you split {answer} into {more} paragraphs, separated by blank lines?
            There should be at least {n:paragraph|paragraphs}, with blank lines between them.
            Please organise {answer} into at least {n:paragraph|paragraphs}, separated by blank \
lines.
            Divide {answer} into at least {n:paragraph|paragraphs} and put blank lines between them.
            """,
            relation="at least",
        ),
    ),
    "length_constraints:nth_paragraph_first_word": (
        form(
            """
            Write exactly one paragraph and start it with the word {plain}.
            Write a single paragraph that starts with the word {plain}.
            Please answer in exactly one paragraph that begins with {word}.
            {Answer} should be one paragraph, and its first word should be {word}.
            """,
            """
            Could you write just one paragraph, starting with the word {plain}?
            Use exactly one paragraph and make {word} its first word.
            """,
            rare=True,
            num_paragraphs=1,
            nth_paragraph=1,
        ),
        form(
            """
            Write exactly {n:paragraph|paragraphs} separated by blank lines, and start the \
{ordinal} one with the word {plain}.
            Use exactly {n:paragraph|paragraphs}, separated by blank lines. The {ordinal} \
paragraph should start with the word {plain}.
            {Answer} should have exactly {n:paragraph|paragraphs} with blank lines between them, \
and the first word of the {ordinal} paragraph should be {word}.
            Please write exactly {n:paragraph|paragraphs} with blank lines in between, and begin \
the {ordinal} paragraph with {word}.
            Split {answer} into exactly {n:paragraph|paragraphs} with blank lines between. Start \
the {ordinal} paragraph with the word {plain}.
            {Answer} must have exactly {n:paragraph|paragraphs}, separated by blank lines, and \
the {ordinal} one must begin with the word {plain}.
            Can you write exactly {n:paragraph|paragraphs}, separated by blank lines, and start \
the {ordinal} one with {word}?
            I want exactly {n:paragraph|paragraphs} separated by blank lines, the {ordinal} of \
which starts with the word {plain}.
            Write {answer} in exactly {n:paragraph|paragraphs} with a blank line between them, \
and make {word} the first word of the {ordinal} one.
            Give me exactly {n:paragraph|paragraphs} with blank lines between them, and open the \
{ordinal} one with the word {plain}.
            """,
            """
            There should be exactly {n:paragraph|paragraphs}, separated by blank lines, and the \
{ordinal} paragraph should open with the word {plain}.
            Could you write exactly {n:paragraph|paragraphs} with blank lines between them, the \
{ordinal} one starting with {word}?
            Exactly {n:paragraph|paragraphs} separated by blank lines, please, with {word} as the \
first word of the {ordinal} one.
            Please divide {answer} into exactly {n:paragraph|paragraphs}, separated by blank \
lines, and let the {ordinal} one begin with the word {plain}.
            Organise {answer} into exactly {n:paragraph|paragraphs}, separated by blank lines, \
and begin the {ordinal} one with {word}.
            """,
        ),
    ),
    "length_constraints:longest_sentence": tuple(
        each.replaced(**_SENTENCES) for each in (_ALL_SHORT, _ONE_LONG)
    ),
    "length_constraints:shortest_sentence": tuple(
        each.replaced(**_SENTENCES) for each in (_ONE_SHORT, _ALL_LONG)
    ),
    "length_constraints:longest_paragraph": tuple(
        each.replaced(**_PARAGRAPHS) for each in (_ALL_SHORT, _ONE_LONG)
    ),
    "length_constraints:average_sentence": (
        form(
            """
            Keep your sentences under {under} words on average.
            Write short sentences, on average under {under} words.
            Your sentences should be shorter than {under} words on average.
            Please keep the sentences under {under} words on average.
            On average, the sentences of {answer} should have fewer than {under} words.
            Keep the average sentence under {under} words.
            The sentences of {answer} must average fewer than {under} words.
            Can you keep your sentences under {under} words on average?
            I'd like your sentences to be shorter than {under} words on average.
            Use sentences of fewer than {under} words on average.
            """,
            """
            Short sentences, please, under {under} words on average.
            Could you keep the average sentence under {under} words?
            The average sentence of {answer} should have fewer than {under} words.
            Please use sentences with fewer than {under} words on average.
            Make your sentences shorter than {under} words on average.
            """,
            relation="less than",
        ),
        form(
            """
            Write sentences of at least {n:word|words} on average.
            Write long sentences, on average at least {n:word|words}.
            Your sentences should be at least {n:word|words} long on average.
            Please write sentences of at least {n:word|words} on average.
            On average, the sentences of {answer} should have at least {n:word|words}.
            Make the average sentence at least {n:word|words} long.
            The sentences of {answer} must average at least {n:word|words}.
            Can you make your sentences at least {n:word|words} long on average?
            I'd like your sentences to be at least {n:word|words} long on average.
            Use sentences of {more} words on average.
            """,
            """
            Long sentences, please, at least {n:word|words} on average.
            Could you make the average sentence {more} words long?
            The average sentence of {answer} should have at least {n:word|words}.
            Please use sentences with at least {n:word|words} on average.
            Make your sentences {more} words long on average.
            """,
            relation="at least",
        ),
    ),
    "length_constraints:first_sentence": (
        form(
            """
            Keep the first sentence under {n:word|words}.
            The first sentence should have fewer than {n:word|words}.
            Start with a sentence of at most {m:word|words}.
            Please keep your first sentence under {n:word|words}.
            Limit the first sentence of {answer} to {m:word|words}.
            The first sentence of {answer} must have no more than {m:word|words}.
            Begin with a sentence of fewer than {n:word|words}.
            Can you keep the first sentence under {n:word|words}?
            I want the first sentence to be shorter than {n:word|words}.
            Don't use more than {m:word|words} in the first sentence.
            """,
            """
            No more than {m:word|words} in the first sentence, please.
            Could you open with a sentence of fewer than {n:word|words}?
            The opening sentence should be under {n:word|words} long.
            Please use at most {m:word|words} in the first sentence.
            Make the first sentence of {answer} shorter than {n:word|words}.
            """,
            relation="less than",
        ),
        form(
            """
            Make the first sentence at least {n:word|words} long.
            The first sentence should have at least {n:word|words}.
            Start with a sentence of {more} words.
            Please use at least {n:word|words} in your first sentence.
            The first sentence of {answer} must have {more} words.
            Begin with a sentence of at least {n:word|words}.
            Use more than {m:word|words} in the first sentence.
            Can you make the first sentence at least {n:word|words} long?
            I want the first sentence to have at least {n:word|words}.
            Your first sentence should be at least {n:word|words} long.
            """,
            """
            At least {n:word|words} in the first sentence, please.
            Could you open with a sentence of {more} words?
            The opening sentence should be at least {n:word|words} long.
            Please make the first sentence {more} words long.
            The first sentence of {answer} needs at least {n:word|words}.
            """,
            relation="at least",
        ),
    ),
    "length_constraints:distinct_words": count("different word", "different words"),
    "length_constraints:word_range": (
        form(
            """
            Write between {low} and {high:word|words}.
            Keep {answer} between {low} and {high:word|words}.
            {Answer} should have between {low} and {high:word|words}.
            Please write {low} to {high:word|words}.
            Answer in {low} to {high:word|words}.
            {Answer} must be between {low} and {high:word|words} long.
            Aim for {low} to {high:word|words}, no fewer and no more.
            Can you keep it between {low} and {high:word|words}?
            I want {answer} to be {low} to {high:word|words} long.
            Use at least {low} but no more than {high:word|words}.
            """,
            """
            Between {low} and {high:word|words}, please.
            Could you write {low} to {high:word|words}?
            The length of {answer} should be between {low} and {high:word|words}.
            Please stay between {low} and {high:word|words}.
            Make {answer} {low} to {high:word|words} long.
            """,
        ),
        form(
            """
            Write fewer than {low} or more than {high:word|words}.
            {Answer} should have fewer than {low} or more than {high:word|words}.
            Please don't write between {low} and {high:word|words}.
            Avoid a length of {low} to {high:word|words}.
            {Answer} must be either under {low} or over {high:word|words} long.
            Don't write {low} to {high:word|words}: go shorter or longer.
            {Answer} should not be between {low} and {high:word|words} long.
            Can you write either fewer than {low} or more than {high:word|words}?
            I don't want {answer} to be {low} to {high:word|words} long.
            Use either fewer than {low:word|words} or more than {high}.
            """,
            """
            Either fewer than {low} or more than {high:word|words}, please.
            Could you avoid a length of {low} to {high:word|words}?
            The length of {answer} should not be between {low} and {high:word|words}.
            Please stay below {low:word|words} or go above {high}.
            Make {answer} shorter than {low} or longer than {high:word|words}.
            """,
            negated=True,
        ),
    ),
}
