"""Plain wordings: what people write instead of a template, and mean the same by.

`core` takes the frame off a sentence, a person's or a template's, and puts bounds into one form;
sentences with the same core mean the same.

    Your answer must not exceed 50 words.       fewer than 51 words
    Use at most {m:word|words} in {answer}.     fewer than {n:word|words}
"""

import re

from mapl_jax.constraints import amounts

_ANSWER = r"(?:\{answer\}|(?:your|the|each|any) (?:(?:whole|entire) )?(?:answer|response|reply))"
_N = rf"(?:\{{[nm](?::[^}}]*)?\}}|\b{amounts.PATTERN}\b)"
_HAVE = "have|contain|include|use|consist of"
_IT = rf"(?:{_ANSWER}|it|this|that|everything|yourself|me)"
_WRITE = r"(?:write|give|make|keep|answer|reply|respond|explain|describe|summari[sz]e)"
_BOUND = r"(?=(?:under|below|less|fewer|shorter|at|no|not|up|max\w*|min\w*|a m\w+imum|over|above"
_BOUND += rf"|more|within|between|exactly|{_N})\b|\{{(?:n|m|more|low)\b)"
_LETTERS = {"lowercase": "lower ?case|small", "capital": "upper ?case|capitals?|caps"}

# One after the other: a pattern, and what stands in its place.
_FRAME: tuple[tuple[str, str], ...] = (
    ("n't\\b", " not"),
    (r"\bcan not\b", "do not"),
    (r"\bi(?:'d like| would like| need)\b", "i want"),
    (r"^(?:please|kindly),? |,? please$|\bplease ", ""),
    (r"^(?:when you answer, |(?:can|could|would|will) you )", ""),
    (r"^(?:make sure|be sure|ensure|remember)(?: that| to)? ", ""),
    (r"^i do not want", "no"),
    (r"^(?:there (?:should|must) be|i want(?: to see)?) (?=an? |at least one )", "with "),
    (r"^i want (?:to (?:see|read) )?(?:you to )?", ""),
    (r"^there (?:should|must) be ", ""),
    (rf"^{_IT} (?:should|must|may|does|is|has) not (?:(?:be|stay|{_HAVE}) )?", "no "),
    (rf"^{_IT} (?:(?:should|must|may|can|has to|needs to|to) (?:{_HAVE})|has|needs) ", "with "),
    (rf"^{_IT} (?:(?:should|must|may|can|has to|needs to|to) (?:be |stay )?|is )", ""),
    (r"^(?:do not|never|no) (?:exceed|go (?:over|above|beyond))\b", "at most"),
    (rf"^(?:(?:do|{_WRITE}) (?:{_IT} )?)?(?:without|avoid|free of|leave out|do not|never)\b", "no"),
    (
        r"^no (?:us(?:e|ing)|writ(?:e|ing)|includ(?:e|ing)|add(?:ing)?|mention(?:ing)?|contain"
        r"|having|have|put in)\b",
        "no",
    ),
    (r"^no (?:any|a single)\b", "no"),
    (r"^(?:use|include|add|mention|have|contain|put in) ", "with "),
    # "Limit it to 3 sentences" is at most 3; "answer in 3 sentences" is not.
    (rf"^(?:keep|limit|restrict)(?: {_IT})? (?:down )?to (?={_N})", "at most "),
    # A verb that can be a request of its own goes only before a bound.
    (rf"^with (?=no )|^{_WRITE}(?: {_IT})? (?:(?:to|in|with|using|stay|be) )?{_BOUND}", ""),
    (rf"^(?:write|answer|reply|respond)(?: {_IT})? (?=(?:only |entirely )?in\b)", ""),
    (rf"(?: (?:in|of|for|to|throughout))? {_ANSWER}(?= |$)", ""),
    (r" (?:somewhere|anywhere|in total|in all|altogether|overall|long|in length)$", ""),
    (rf"^(?:in|with) (?:(?=just |only |a single |lower|upper|capitals)|{_BOUND})", ""),
)
_BOUNDS: tuple[tuple[str, str], ...] = (
    (
        r"\bup to\b|^within\b|\b(?:a )?max(?:imum)?(?: of)?(?= )"
        r"|\b(?:no|not) (?:more|longer) than\b",
        "at most",
    ),
    (r"\b(?:a )?min(?:imum)?(?: of)?(?= )|\b(?:no|not) (?:fewer|less|shorter) than\b", "at least"),
    (r"\b(?:under|below|(?:less|shorter) than)\b", "fewer than"),
    (r"\b(?:over|above|longer than)\b", "more than"),
    (r"^(at most .*?),? (?:or (?:fewer|less)|at most|max(?:imum)?)$", r"\1"),
    (rf"^({_N}.*?),? (?:or (?:fewer|less|shorter)|at most|max(?:imum)?)$", r"at most \1"),
    (rf"^({_N}.*?),? (?:or (?:more|longer)|at least|min(?:imum)?)$", r"at least \1"),
    (rf"^({_N}) or (?:fewer|less)\b", r"at most \1"),
    (rf"^({_N})(?: or more\b|\+)", r"at least \1"),
    (r"^(?:between )?([0-9]+) ?(?:[-\u2013]|to|and) ?([0-9]+)(?= words$)", r"between \1 and \2"),
    (r"^(?:just |only )?(?:a |one )?(?:single|(?:just|only) one)\b", "one"),
    (rf"^(?:just |only )?({_N}.*?)(?: only)?$", r"exactly \1"),
)
_NAMES: tuple[tuple[str, str], ...] = (
    (r"\b(?:finish|close|conclude)\b", "end"),
    (r"\b(?:begin|open)\b", "start"),
    (r"\bexclamation points?\b", "exclamation marks"),
    (r"\bdouble quotes\b", "double quotation marks"),
    (r"\bno emoji$", "no emojis"),
    (r"\bbullets$", "bullet points"),
    (r"\b(a|no|at least one) code block", r"\1 fenced code block"),
    (
        r"^(?:(?:(?:format )?(?:as|in)|entirely in|only) )?(?:valid )?json(?: only| format)?$",
        "json",
    ),
    *(
        (
            rf"^(?:in )?(?:english, )?(?:entirely |only |all )*(?:in )?(?:all )?(?:{kind}|{others})"
            r"(?: letters)?(?: only)?$",
            f"{kind} throughout",
        )
        for kind, others in _LETTERS.items()
    ),
)
_RULES = [(re.compile(pattern, re.I), text) for pattern, text in (*_FRAME, *_BOUNDS, *_NAMES)]
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)")
# Hints such as "(with a question mark)"; those of exact words to use say what the sentence means.
_HINT = re.compile(
    r" \((?:like|with|lines?|blank|between|including|\"|<<|\*)[^)]*\)"
    r"|,? (?:separated by|with) (?:a )?blank lines?(?: between them| in between)?(?=$|[.?])"
    r"|, (?:blank ones aside|not counting blank ones)(?=$|[.?])"
)
_MORE = re.compile(rf"\b(at most|more than) ({_N})", re.I)
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")


def core(sentence: str) -> str:
    """What a sentence asks, without its frame; of a template with the slots that it has."""
    text = " ".join(_HINT.sub("", sentence.translate(_QUOTES)).split()).rstrip(".!? ")
    quoted = _QUOTED.findall(text)
    text = _QUOTED.sub("\0", text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text, count=1)
    text = _MORE.sub(_one_more, text)
    return re.sub("\0", lambda match: quoted.pop(0), text)


def _one_more(match: re.Match[str]) -> str:
    """At most 3 is fewer than 4; more than 3 is at least 4."""
    bound, number = match.groups()
    if number.startswith("{n"):
        return match[0]
    try:
        number = f"{{n{number[2:]}" if number.startswith("{") else str(amounts.read(number) + 1)
    except ValueError:
        return match[0]
    return f"{'fewer than' if bound.lower() == 'at most' else 'at least'} {number}"
