"""Templates that fit many families: counts of things, lengths, things that are there or not."""

from mapl_jax.constraints.forms import Form, form

_NONE = form(
    """
    Don't use any THINGS.
    Do not use any THINGS in {answer}.
    Please don't use any THINGS in {answer}.
    Avoid THINGS in {answer}.
    {Answer} should not contain any THINGS.
    Write {answer} without any THINGS.
    No THINGS in {answer}, please.
    Can you write {answer} without any THINGS?
    I don't want any THINGS in {answer}.
    Don't include any THINGS.
    """,
    """
    No THINGS, please.
    There should be no THINGS in {answer}.
    Could you avoid using THINGS in {answer}?
    Make sure {answer} has no THINGS.
    Please keep {answer} free of THINGS.
    """,
)
_LESS = form(
    """
    Use at most {m:THING|THINGS}.
    Use no more than {m:THING|THINGS} in {answer}.
    Use fewer than {n:THING|THINGS}.
    Please use fewer than {n:THING|THINGS} in {answer}.
    Don't use more than {m:THING|THINGS}.
    {Answer} should have no more than {m:THING|THINGS}.
    {Answer} must contain fewer than {n:THING|THINGS}.
    Don't go over {m:THING|THINGS}.
    Can you use no more than {m:THING|THINGS} in {answer}?
    I want at most {m:THING|THINGS} in {answer}.
    A maximum of {m:THING|THINGS}, please.
    Use {m:THING|THINGS} at most.
    """,
    """
    There should be fewer than {n:THING|THINGS} in {answer}.
    No more than {m:THING|THINGS}, please.
    Could you use fewer than {n:THING|THINGS} in {answer}?
    Please don't use more than {m:THING|THINGS} in {answer}.
    Write {answer} with at most {m:THING|THINGS}.
    {Answer} may have up to {m:THING|THINGS}, but no more.
    """,
    relation="less than",
)
_LEAST = form(
    """
    Use at least {n:THING|THINGS} in {answer}.
    Include at least {n:THING|THINGS}.
    Include at least {n:THING|THINGS} in {answer}.
    Please include at least {n:THING|THINGS} in {answer}.
    {Answer} should contain at least {n:THING|THINGS}.
    {Answer} must have {more} THINGS.
    Use more than {m:THING|THINGS}.
    Make sure to use at least {n:THING|THINGS}.
    Can you include at least {n:THING|THINGS} in {answer}?
    I'd like at least {n:THING|THINGS} in {answer}.
    A minimum of {n:THING|THINGS}, please.
    Write {answer} with {more} THINGS.
    """,
    """
    There should be at least {n:THING|THINGS} in {answer}.
    At least {n:THING|THINGS}, please.
    Could you use {more} THINGS in {answer}?
    Please use at least {n:THING|THINGS}.
    I want to see at least {n:THING|THINGS} in {answer}.
    {Answer} needs at least {n:THING|THINGS}.
    """,
    relation="at least",
)
_SOME = form(
    """
    Include at least one THING.
    Include A_THING in {answer}.
    {Answer} should contain at least one THING.
    {Answer} must include A_THING.
    Make sure to include at least one THING.
    Please include A_THING.
    Can you include at least one THING in {answer}?
    I'd like to see at least one THING in {answer}.
    Use at least one THING somewhere in {answer}.
    Work A_THING into {answer}.
    """,
    """
    There should be at least one THING in {answer}.
    At least one THING, please.
    Could you add A_THING somewhere?
    Please make sure {answer} has at least one THING.
    Don't forget to include A_THING.
    """,
)
_SHORT = form(
    """
    Keep {answer} under {n:THING|THINGS}NOTE.
    Answer in fewer than {n:THING|THINGS}NOTE.
    Use no more than {m:THING|THINGS}NOTE.
    {Answer} should have fewer than {n:THING|THINGS}NOTE.
    Please keep it to {m:THING|THINGS} at mostNOTE.
    Can you keep it under {n:THING|THINGS}NOTE?
    Limit {answer} to {m:THING|THINGS}NOTE.
    Write at most {m:THING|THINGS}NOTE.
    I need {answer} to stay under {n:THING|THINGS}NOTE.
    A maximum of {m:THING|THINGS}NOTE, please.
    Don't write more than {m:THING|THINGS}NOTE.
    Write no more than {m:THING|THINGS}NOTE.
    """,
    """
    Answer in at most {m:THING|THINGS}NOTE.
    Could you answer in fewer than {n:THING|THINGS}NOTE?
    {Answer} should stay under {n:THING|THINGS}NOTE.
    Please use fewer than {n:THING|THINGS}NOTE.
    No more than {m:THING|THINGS}NOTE, please.
    {Answer} may be up to {m:THING|THINGS} longNOTE.
    """,
    relation="less than",
)
_LONG = form(
    """
    Write at least {n:THING|THINGS}NOTE.
    Use at least {n:THING|THINGS}NOTE in {answer}.
    {Answer} should be at least {n:THING|THINGS} longNOTE.
    {Answer} must have {more} THINGSNOTE.
    Please write more than {m:THING|THINGS}NOTE.
    Can you write at least {n:THING|THINGS}NOTE?
    I need at least {n:THING|THINGS}NOTE.
    {Answer} should have at least {n:THING|THINGS}NOTE.
    Make {answer} at least {n:THING|THINGS} longNOTE.
    A minimum of {n:THING|THINGS}NOTE, please.
    Answer in {more} THINGSNOTE.
    Give me more than {m:THING|THINGS}NOTE.
    """,
    """
    Could you make it at least {n:THING|THINGS} longNOTE?
    At least {n:THING|THINGS}NOTE, please.
    Please answer in no fewer than {n:THING|THINGS}NOTE.
    {Answer} should be no shorter than {n:THING|THINGS}NOTE.
    I'd like at least {n:THING|THINGS}NOTE.
    {Answer} needs to be {n:THING|THINGS} or longerNOTE.
    """,
    relation="at least",
)

_EXACT = form(
    """
    Answer in exactly {n:THING|THINGS}.
    Write exactly {n:THING|THINGS}.
    {Answer} should have exactly {n:THING|THINGS}.
    Please answer in exactly {n:THING|THINGS}.
    {Answer} must be exactly {n:THING|THINGS} long.
    Keep {answer} to exactly {n:THING|THINGS}.
    Use exactly {n:THING|THINGS} in {answer}.
    Can you answer in exactly {n:THING|THINGS}?
    I want exactly {n:THING|THINGS}.
    Write {n:THING|THINGS}, no more and no fewer.
    """,
    """
    Exactly {n:THING|THINGS}, please.
    Could you say it in exactly {n:THING|THINGS}?
    Make {answer} exactly {n:THING|THINGS} long.
    Please write exactly {n:THING|THINGS}.
    There should be exactly {n:THING|THINGS} in {answer}.
    """,
)


def count(one: str, many: str, after: str = "") -> tuple[Form, ...]:
    """Forms for a number of things.

    Args:
        one: name of one thing.
        many: name of several.
        after: what follows either name; it may hold slots.
    """
    forms = (_NONE.where(relation="less than", number=1), _LESS, _LEAST)
    return _named(forms, one, many, after)


def length(one: str, many: str, note: str = "") -> tuple[Form, ...]:
    """Forms for how long an answer is.

    Args:
        one: name of the unit.
        many: its plural.
        note: what to say of the unit behind it.
    """
    forms = (_SHORT.replaced(NOTE=note), _LONG.replaced(NOTE=note))
    return _named(forms, one, many)


def thing(one: str, many: str) -> tuple[Form, ...]:
    """Forms for a thing that is there, or (negated) is not.

    Args:
        one: name of one thing.
        many: name of several.
    """
    return _named((_SOME, _NONE.where(negated=True)), one, many)


def _named(forms: tuple[Form, ...], one: str, many: str, after: str = "") -> tuple[Form, ...]:
    article = "an" if one[0] in "aeiou" else "a"
    names = {
        "THING|THINGS}": f"{one}|{many}}}{after}",
        "A_THING": f"{article} {one}{after}",
        "THINGS": many + after,
        "THING": one + after,
    }
    return tuple(each.replaced(**names) for each in forms)


def exact(one: str, many: str) -> tuple[Form, ...]:
    """The form for an exact number of something, which is written."""
    return (_EXACT.replaced(THINGS=many, THING=one),)
