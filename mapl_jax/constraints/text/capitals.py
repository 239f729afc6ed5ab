"""Words in capitals as IFEval counts them: tokens of NLTK 3.8's word tokenizer.

The rules are those of the Penn Treebank tokenizer in NLTK's order. They are written out here since
later releases of NLTK changed some (dashes, apostrophes) and with them the verdicts. What only
parts marks from other marks is left out: a token without letters never counts.
"""

import re

from mapl_jax.constraints.text import sentences

_OPENING = re.compile(r"[«“‘„`]")
_OPENING_STRAIGHT = re.compile(r"(?<=[ ([{<])(?:\"|'')")
_LONE_LETTER = re.compile(r"'(?![mtsdn])(?=\w\b)", re.I)
_CLOSERS = "])}>\"'»”’ "
_PAUSE = re.compile(r"([:,])(\D)")
_FINAL_PAUSE = re.compile(r"[:,]$")
_APART = re.compile(r"\.{2,}|[;@#$%&?!]")
_APOSTROPHE = re.compile(r"([^'])' ")
_APART_LATER = re.compile(r"--|''|[][*(){}<>»”’\"]")
_ENDINGS = (
    re.compile(r"([^' ])('[sS]|'[mM]|'[dD]|') "),
    re.compile(r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) "),
)
_JOINED = re.compile(
    r"\b(can(?=not\b)|d(?='ye\b)|gim(?=me\b)|gon(?=na\b)|got(?=ta\b)|lem(?=me\b)|more(?='n\b)"
    r"|wan(?=na\s))(not|'ye|me|na|ta|'n)",
    re.I,
)
_IT = re.compile(r"(?<= )('t)(is|was)\b", re.I)


def count(text: str) -> int:
    """Tokens that are all capitals: "I", "U.S." and both of "DO" and "N'T" in "DON'T"."""
    parts = sentences.split(text, sentences.NEWSPAPER_ABBREVIATIONS)
    return sum(
        token.isupper() for part in parts if any(map(str.isupper, part)) for token in _tokens(part)
    )


def _tokens(sentence: str) -> list[str]:
    text = _OPENING.sub(r" \g<0> ", sentence)
    if text.startswith('"'):
        text = f" `` {text[1:]}"
    text = _OPENING_STRAIGHT.sub(" `` ", text)
    text = _LONE_LETTER.sub("' ", text)
    text = _without_final_stop(text)
    text = _PAUSE.sub(r" \1\2", text)
    text = _FINAL_PAUSE.sub(r" \g<0> ", text)
    text = _APART.sub(r" \g<0> ", text)
    text = _APOSTROPHE.sub(r"\1 ' ", text)
    text = " " + _APART_LATER.sub(r" \g<0> ", text) + " "
    for ending in _ENDINGS:
        text = ending.sub(r"\1 \2 ", text)
    text = _JOINED.sub(r" \1 \2 ", text)
    return _IT.sub(r"\1 \2 ", text).split()


def _without_final_stop(text: str) -> str:
    """Sets a full stop at the end, before closing marks, apart from the last word."""
    body = text.rstrip().rstrip(_CLOSERS)
    if len(body) < 2 or body[-1] != "." or body[-2] == ".":
        return text
    return f"{body[:-1]} . {text.rstrip()[len(body) :]} "
