"""Sentences of the families of things that the answer holds or leaves out."""

from mapl_jax.constraints.families.wordings.shared import count, thing
from mapl_jax.constraints.forms import Form, form


def _person(name: str, example: str, address: str) -> tuple[Form, ...]:
    """Forms for a person of verbs.

    Args:
        name: "first" or "second".
        example: words of it.
        address: what one does who uses it.
    """
    forms = (
        form(
            """
            ADDRESS (EXAMPLE).
            Use the PERSON person (EXAMPLE).
            {Answer} should use the PERSON person (EXAMPLE).
            Please use the PERSON person (EXAMPLE) in {answer}.
            Use the PERSON person (EXAMPLE) in {answer}.
            {Answer} must use the PERSON person (EXAMPLE).
            Make sure to use the PERSON person (EXAMPLE).
            Can you write {answer} in the PERSON person (EXAMPLE)?
            I'd like {answer} to use the PERSON person (EXAMPLE).
            Write {answer} using the PERSON person (EXAMPLE).
            """,
            """
            In {answer}, ADDRESS (EXAMPLE).
            Could you use the PERSON person (EXAMPLE) in {answer}?
            Please put {answer} in the PERSON person (EXAMPLE).
            {Answer} has to use the PERSON person (EXAMPLE).
            Please ADDRESS (EXAMPLE).
            """,
        ),
        form(
            """
            Don't use the PERSON person (EXAMPLE).
            Avoid the PERSON person (EXAMPLE) in {answer}.
            Please don't use any PERSON-person pronouns (EXAMPLE).
            {Answer} should not use the PERSON person (EXAMPLE).
            Write {answer} without the PERSON person (EXAMPLE).
            {Answer} must not contain any PERSON-person pronouns (EXAMPLE).
            Leave out all PERSON-person pronouns (EXAMPLE).
            Can you avoid the PERSON person (EXAMPLE) in {answer}?
            I don't want any PERSON-person pronouns (EXAMPLE) in {answer}.
            Do not write in the PERSON person (EXAMPLE).
            """,
            """
            No PERSON-person pronouns (EXAMPLE), please.
            Could you write {answer} without the PERSON person (EXAMPLE)?
            Make sure {answer} never uses the PERSON person (EXAMPLE).
            Please keep the PERSON person (EXAMPLE) out of {answer}.
            There should be no PERSON-person pronouns (EXAMPLE) in {answer}.
            """,
            negated=True,
        ),
    )
    return tuple(each.replaced(ADDRESS=address, PERSON=name, EXAMPLE=example) for each in forms)


def _one_of(kind: str, words: str) -> tuple[Form, ...]:
    """Forms for some words or phrases of which one is enough, and for none of them.

    Args:
        kind: "words" or "phrases".
        words: all of them.
    """
    forms = (
        form(
            """
            Use at least one of the KIND WORDS.
            Please use one of the KIND WORDS.
            {Answer} should use at least one of the KIND WORDS.
            {Answer} must include one of the KIND WORDS.
            Include at least one of the KIND WORDS.
            Can you use one of the KIND WORDS in {answer}?
            I want {answer} to use one of the KIND WORDS.
            I'd like you to use one of the KIND WORDS.
            Make sure to use at least one of the KIND WORDS.
            Use one of the KIND WORDS somewhere in {answer}.
            """,
            """
            Could you use at least one of the KIND WORDS in {answer}?
            Please include one of the KIND WORDS in {answer}.
            Somewhere in {answer}, use one of the KIND WORDS.
            {Answer} has to use one of the KIND WORDS.
            Don't forget to use one of the KIND WORDS.
            """,
        ),
        form(
            """
            Don't use any of the KIND WORDS.
            Do not use any of the KIND WORDS in {answer}.
            Please don't use any of the KIND WORDS.
            {Answer} should not use any of the KIND WORDS.
            {Answer} must not include any of the KIND WORDS.
            Use none of the KIND WORDS.
            Can you avoid the KIND WORDS in {answer}?
            I don't want any of the KIND WORDS in {answer}.
            Don't include any of the KIND WORDS.
            Answer without using any of the KIND WORDS.
            """,
            """
            Could you write {answer} without any of the KIND WORDS?
            Please keep the KIND WORDS out of {answer}.
            Make sure {answer} uses none of the KIND WORDS.
            I'd rather you used none of the KIND WORDS.
            None of the KIND WORDS should be in {answer}.
            """,
            negated=True,
        ),
    )
    return tuple(each.replaced(KIND=kind, WORDS=words) for each in forms)


def _marked(once: str, never: str, words: str) -> tuple[Form, ...]:
    """Forms for what certain words show, which the sentences name.

    Args:
        once: what to do once.
        never: what not to do at all.
        words: all that show it.
    """
    forms = (
        form(
            """
            ONCE at least once (use WORDS).
            Please ONCE at least once (use WORDS).
            {Answer} should ONCE at least once (use WORDS).
            {Answer} must ONCE at least once, using WORDS.
            Make sure to ONCE at least once (use WORDS).
            Can you ONCE at least once (use WORDS)?
            I'd like {answer} to ONCE at least once (use WORDS).
            ONCE somewhere in {answer} (use WORDS).
            Remember to ONCE at least once (use WORDS).
            In {answer}, ONCE at least once (use WORDS).
            """,
            """
            Could you ONCE somewhere (use WORDS)?
            Don't forget to ONCE (use WORDS).
            Please make sure that you ONCE at least once (use WORDS).
            Somewhere in {answer}, ONCE (use WORDS).
            I want {answer} to ONCE at least once (use WORDS).
            """,
        ),
        form(
            """
            Don't NEVER (no WORDS).
            Do not NEVER in {answer} (no WORDS).
            Please don't NEVER (no WORDS).
            {Answer} should not NEVER (no WORDS).
            {Answer} must not NEVER anywhere (no WORDS).
            Don't NEVER anywhere in {answer} (no WORDS).
            Make sure not to NEVER (no WORDS).
            Can you answer this, but not NEVER (no WORDS)?
            I don't want {answer} to NEVER (no WORDS).
            Never NEVER in {answer} (no WORDS).
            """,
            """
            Could you answer, but not NEVER (no WORDS)?
            {Answer} shouldn't NEVER at all (no WORDS).
            Please make sure that you don't NEVER (no WORDS).
            Make sure that {answer} doesn't NEVER (no WORDS).
            I'd rather you didn't NEVER (no WORDS).
            """,
            negated=True,
        ),
    )
    return tuple(each.replaced(ONCE=once, NEVER=never, WORDS=words) for each in forms)


FORMS: dict[str, tuple[Form, ...]] = {
    "detectable_content:number_placeholders": count(
        "placeholder in square brackets (like [name])",
        "placeholders in square brackets (like [name])",
    ),
    "detectable_content:postscript": (
        form(
            """
            Add a postscript that starts with {marker}.
            End {answer} with a postscript starting with {marker}.
            Please add a postscript that begins with {marker} at the end.
            {Answer} should have a postscript starting with {marker}.
            Include a {marker} postscript at the end of {answer}.
            {Answer} must include a postscript that starts with {marker}.
            Can you add a postscript beginning with {marker}?
            I'd like a postscript at the end, starting with {marker}.
            Finish with a postscript that begins with {marker}.
            Don't forget to add a {marker} postscript.
            """,
            """
            A postscript starting with {marker}, please.
            Could you put a {marker} postscript at the end of {answer}?
            There should be a postscript that starts with {marker}.
            Please close {answer} with a {marker} postscript.
            Make sure to add a postscript, marked {marker}.
            """,
        ),
        form(
            """
            Don't add a postscript that starts with {marker}.
            Do not end {answer} with a {marker} postscript.
            Please don't add a postscript starting with {marker}.
            {Answer} should not have a postscript starting with {marker}.
            Leave out any {marker} postscript.
            {Answer} must not include a postscript that begins with {marker}.
            Can you leave out the {marker} postscript?
            I don't want a postscript starting with {marker}.
            Finish without a {marker} postscript.
            Write {answer} without a postscript that starts with {marker}.
            """,
            """
            No postscript starting with {marker}, please.
            Could you answer without adding a {marker} postscript?
            There should be no postscript that starts with {marker}.
            Please skip the {marker} postscript.
            Make sure not to add a postscript, marked {marker}.
            """,
            negated=True,
        ),
    ),
    "detectable_content:digits": (
        form(
            """
            Give at least one number in digits.
            Please give at least one number in digits.
            {Answer} should give at least one number in digits.
            {Answer} must name at least one number, written in digits.
            Name at least one number, in digits, in {answer}.
            Back {answer} up with at least one number in digits.
            Make sure to give at least one number in digits.
            Can you give me at least one number in digits?
            I'd like at least one number in digits.
            Support {answer} with at least one number in digits.
            """,
            """
            At least one number in digits, please.
            There should be at least one number in digits in {answer}.
            Could you back this up with at least one number in digits?
            Please name at least one number, in digits, in {answer}.
            {Answer} needs to give at least one number in digits.
            """,
        ),
        *thing("number written in digits", "digits")[1:],
    ),
    "detectable_content:links": thing("link to a web page", "links to web pages"),
    "detectable_content:dates": thing(
        "date with a day and a month (like March 5)", "dates with a day and a month (like March 5)"
    ),
    "detectable_content:emoji": thing("emoji", "emojis"),
    "detectable_content:month": thing("month name other than May", "month names other than May"),
    "detectable_content:hedges": _one_of(
        "words", '"maybe", "perhaps", "probably", "possibly" or "might"'
    ),
    "detectable_content:fillers": _one_of("words", '"very", "really", "just" or "actually"'),
    "detectable_content:opinions": _one_of("phrases", '"I think", "I believe" or "in my opinion"'),
    "detectable_content:contrasts": _one_of("words", '"but", "however" or "although"'),
    "detectable_content:reasons": _one_of("words", '"because", "since" or "so"'),
    "detectable_content:duties": _one_of("words", '"should", "must" or "need to"'),
    "detectable_content:examples": _marked(
        "give an example", "give examples", '"for example", "for instance" or "such as"'
    ),
    "detectable_content:contractions": (
        form(
            """
            Use contractions, such as "don't" or "it's".
            Write the way people talk, with contractions ("don't", "it's").
            Please use contractions like "don't" or "it's" in {answer}.
            {Answer} should use contractions, such as "don't" or "it's".
            Use contractions ("don't", "it's") in {answer}.
            {Answer} must use contractions like "don't" or "it's".
            Make sure to use contractions ("don't", "it's").
            Can you use contractions like "don't" or "it's" in {answer}?
            I'd like you to use contractions ("don't", "it's").
            Write {answer} with contractions, such as "don't" or "it's".
            """,
            """
            Contractions like "don't" or "it's", please.
            Could you use contractions such as "don't" or "it's" in {answer}?
            There should be contractions ("don't", "it's") in {answer}.
            Please write it with contractions ("don't", "it's").
            Put contractions like "don't" or "it's" in {answer}.
            """,
        ),
        form(
            """
            Don't use contractions like "don't" or "it's".
            Do not use any contractions ("don't", "it's") in {answer}.
            Please don't use any contractions, such as "don't" or "it's".
            Avoid contractions ("don't", "it's") in {answer}.
            {Answer} should not contain any contractions ("don't", "it's").
            Write {answer} without contractions ("don't", "it's").
            {Answer} must not use contractions such as "don't" or "it's".
            Can you avoid contractions like "don't" or "it's" in {answer}?
            I don't want any contractions ("don't", "it's") in {answer}.
            Avoid using contractions like "don't" or "it's".
            """,
            """
            No contractions ("don't", "it's"), please.
            Could you write {answer} without contractions like "don't" or "it's"?
            There should be no contractions ("don't", "it's") in {answer}.
            Please avoid contractions such as "don't" or "it's".
            Make sure {answer} has no contractions ("don't", "it's").
            """,
            negated=True,
        ),
    ),
    "detectable_content:first_person": _person(
        "first", '"I", "me", "my"', "write in the first person"
    ),
    "detectable_content:second_person": _person(
        "second", '"you", "your"', "write in the second person"
    ),
}
