"""Sentences of the families of words and letters."""

from mapl_jax.constraints.families.wordings.shared import count
from mapl_jax.constraints.forms import Form, form

# How often WHAT, a word or a letter, occurs.
_LESS = form(
    """
    Use WHAT fewer than {n:time|times}.
    Use WHAT no more than {times_m}.
    Please use WHAT at most {times_m}.
    Don't use WHAT more than {times_m}.
    WHAT should appear fewer than {n:time|times} in {answer}.
    WHAT may appear at most {times_m} in {answer}.
    {Answer} should contain WHAT no more than {times_m}.
    {Answer} must contain WHAT fewer than {n:time|times}.
    Can you use WHAT no more than {times_m} in {answer}?
    I want WHAT to appear at most {times_m}.
    """,
    """
    WHAT should not appear more than {times_m} in {answer}.
    Could you use WHAT fewer than {n:time|times}?
    Please don't use WHAT more than {times_m}.
    Limit the use of WHAT to fewer than {n:time|times}.
    In {answer}, use WHAT no more than {times_m}.
    """,
    relation="less than",
)
_LEAST = form(
    """
    Use WHAT at least {times}.
    Include WHAT at least {times}.
    Please use WHAT at least {times} in {answer}.
    WHAT should appear at least {times} in {answer}.
    WHAT must appear more than {times_m}.
    {Answer} should contain WHAT at least {times}.
    Make sure to use WHAT at least {times}.
    Can you use WHAT at least {times} in {answer}?
    I want WHAT to appear at least {times}.
    Use WHAT more than {times_m} in {answer}.
    """,
    """
    WHAT has to come up at least {times}.
    Could you include WHAT at least {times}?
    In {answer}, use WHAT at least {times}.
    Please make sure WHAT appears at least {times}.
    {Answer} must contain WHAT {times} or more.
    """,
    relation="at least",
)
_NEVER = form(
    """
    Use WHAT zero times.
    WHAT should appear zero times in {answer}.
    """,
    """
    WHAT must appear zero times in {answer}.
    """,
    rare=True,
    relation="less than",
    number=1,
)
_NO_LETTER = form(
    """
    Don't use WHAT.
    Do not use WHAT in {answer}.
    Please avoid WHAT.
    WHAT should not appear in {answer}.
    WHAT must not appear anywhere in {answer}.
    Write {answer} without using WHAT.
    {Answer} should not contain WHAT.
    Can you write {answer} without using WHAT?
    I don't want WHAT to appear in {answer}.
    Leave WHAT out of {answer}.
    """,
    """
    Avoid using WHAT altogether.
    Could you do without WHAT?
    Make sure WHAT never appears in {answer}.
    Please don't use WHAT at all.
    Keep {answer} free of WHAT.
    """,
    relation="less than",
    number=1,
)

FORMS: dict[str, tuple[Form, ...]] = {
    "keywords:existence": (
        form(
            """
            Include {the_words} in {answer}.
            Use {the_words} somewhere in {answer}.
            Please include {the_words}.
            {Answer} should include {the_words}.
            {Answer} must contain {the_words}.
            Make sure to use {the_words}.
            Can you work {the_words} into {answer}?
            Use {these_words} in {answer}: {listed}.
            I'd like {answer} to include {the_words}.
            Mention {the_words} at least once.
            """,
            """
            Don't forget to use {the_words}.
            Could you include {the_words} somewhere?
            Please make sure that {answer} contains {the_words}.
            Work {these_words} into {answer}: {listed}.
            I want to see {the_words} in {answer}.
            """,
        ),
    ),
    "keywords:forbidden_words": (
        form(
            """
            Don't use {the_words_or}.
            Do not use {the_words_or} in {answer}.
            Please don't use {the_words_or}.
            Avoid {the_words}.
            {Answer} should not contain {the_words_or}.
            {Answer} must not include {the_words_or}.
            Avoid {these_words} in {answer}: {listed}.
            Can you answer without using {the_words_or}?
            I don't want {the_words_or} in {answer}.
            Write {answer} without {the_words_or}.
            """,
            """
            Leave out {the_words}.
            Could you avoid using {the_words_or}?
            Please keep {the_words} out of {answer}.
            Never use {these_words}: {listed}.
            Make sure {answer} doesn't contain {the_words_or}.
            """,
        ),
    ),
    "keywords:frequency": tuple(
        each.replaced(WHAT="the word {word}") for each in (_LESS, _LEAST, _NEVER)
    ),
    "keywords:letter_frequency": tuple(
        each.replaced(WHAT="{the_letter}") for each in (_LESS, _LEAST, _NO_LETTER)
    ),
    "keywords:initial_letter": count("word", "words", " starting with {letter}"),
    "keywords:word_length": (
        form(
            """
            Don't use any word of {more} letters.
            Use only words with fewer than {n:letter|letters}.
            Keep every word shorter than {n:letter|letters}.
            Please don't use any word with {more} letters.
            Every word of {answer} should have fewer than {n:letter|letters}.
            No word of {answer} may have {more} letters.
            {Answer} must not contain any word of {more} letters.
            Can you use only words of fewer than {n:letter|letters}?
            I don't want any words with {more} letters.
            Use words of at most {m:letter|letters} only.
            """,
            """
            No words of {more} letters, please.
            Could you avoid words with {more} letters?
            Stick to words of at most {m:letter|letters}.
            Please keep each word of {answer} under {n:letter|letters}.
            The longest word of {answer} may have at most {m:letter|letters}.
            """,
            relation="less than",
        ),
        form(
            """
            Use at least one word of {more} letters.
            Include at least one word with at least {n:letter|letters}.
            Please use at least one word of {more} letters.
            {Answer} should contain a word with at least {n:letter|letters}.
            {Answer} must have at least one word of {more} letters.
            Make sure to include a word of at least {n:letter|letters}.
            Can you use a word with at least {n:letter|letters}?
            I'd like to see at least one word with {more} letters.
            Use a word with more than {m:letter|letters} somewhere in {answer}.
            The longest word of {answer} should have at least {n:letter|letters}.
            """,
            """
            At least one word of {more} letters, please.
            Could you include a word with {n:letter|letters} or more?
            There should be at least one word with {more} letters in {answer}.
            Please work in a word of at least {n:letter|letters}.
            {Answer} needs a word that has at least {n:letter|letters}.
            """,
            relation="at least",
        ),
    ),
    "keywords:repeated_words": (
        form(
            """
            Don't use any word of four or more letters more than once.
            Use each word of four or more letters only once.
            Please don't repeat any word of four or more letters.
            {Answer} should not repeat any word of four or more letters.
            No word of four or more letters may appear more than once.
            Avoid repeating words of four or more letters.
            Write {answer} without repeating any word of four or more letters.
            Can you answer without repeating any word of four or more letters?
            I don't want any word of four or more letters to appear twice.
            {Answer} must not use the same word of four or more letters twice.
            """,
            """
            No repeated words of four or more letters, please.
            Could you avoid using a word of four or more letters twice?
            Make sure that no word of four or more letters comes up again.
            Please use every word of four or more letters just once.
            There should be no repeated words of four or more letters in {answer}.
            """,
            relation="less than",
            number=1,
        ),
        form(
            """
            At most {m:word|words} of four or more letters may appear more than once.
            No more than {m:word|words} of four or more letters may be used more than once.
            Use fewer than {n:word|words} of four or more letters more than once.
            Don't use more than {m:word|words} of four or more letters more than once.
            Please use fewer than {n:word|words} of four or more letters more than once.
            {Answer} should use at most {m:word|words} of four or more letters more than once.
            In {answer}, at most {m:word|words} of four or more letters may come up again.
            Can you use at most {m:word|words} of four or more letters more than once?
            I want no more than {m:word|words} of four or more letters to appear more than once.
            Fewer than {n:word|words} of four or more letters should appear more than once.
            """,
            """
            Only {m:word|words} of four or more letters at most may be used twice or more.
            Could you let at most {m:word|words} of four or more letters appear twice or more?
            Fewer than {n:word|words} of four or more letters may be repeated in {answer}.
            Please let at most {m:word|words} of four or more letters come up twice or more.
            {Answer} may repeat up to {m:word|words} of four or more letters, but no more.
            """,
            relation="less than",
        ),
        form(
            """
            Use at least {n:word|words} of four or more letters more than once.
            At least {n:word|words} of four or more letters should appear more than once.
            Please use at least {n:word|words} of four or more letters more than once.
            {Answer} should use at least {n:word|words} of four or more letters more than once.
            {Answer} must use {more} words of four or more letters more than once.
            Make sure to use at least {n:word|words} of four or more letters more than once.
            Can you use at least {n:word|words} of four or more letters more than once?
            I want at least {n:word|words} of four or more letters to appear more than once.
            Use more than {m:word|words} of four or more letters more than once.
            In {answer}, let at least {n:word|words} of four or more letters appear more than once.
            """,
            """
            At least {n:word|words} of four or more letters must be used twice or more.
            Could you use at least {n:word|words} of four or more letters twice or more?
            Please let at least {n:word|words} of four or more letters come up twice or more.
            Be sure to use at least {n:word|words} of four or more letters twice or more.
            {Answer} must repeat at least {n:word|words} of four or more letters.
            """,
            relation="at least",
        ),
    ),
    "keywords:word_order": (
        form(
            """
            Use the word {first} and, after it, the word {second}.
            Mention {first} before {second}.
            Please use the word {first} before the word {second}.
            {Answer} should mention {first} before it mentions {second}.
            Use both words, {first} first and {second} later.
            The word {first} must come before the word {second} in {answer}.
            Can you mention {first} before you mention {second}?
            Include the words {first} and {second}, in that order.
            I want to see {first} before {second} in {answer}.
            {Answer} must use {first} and, later on, {second}.
            """,
            """
            Bring up {first} first and {second} afterwards.
            Could you use the word {first} and then the word {second}?
            The word {second} should come after the word {first} in {answer}.
            Please mention {first} first, then {second}.
            Use the words {first} and {second}, but {first} has to come first.
            """,
        ),
    ),
}
