"""What a reader sees of Markdown: every line of a response with its kind, its marks taken off.

Here alone it is decided what is prose:

    blocks of code        no prose; fenced by ``` or ~~~, closed or not
    code within a line    its words are words, its marks are no punctuation
    list markers          "-", "*", "+", "•", "1.", "1)" at the start of a line are no words and no
                          marks; an item is a unit of its own, and no sentence runs over its end
    headings              "#" goes; a heading is no sentence
    tables                rules go; rows are words, but no sentences
    emphasis              stars, underscores and tildes around words go
    links                 "[text](address)" is its text
    quotations            ">" goes
"""

import re
from typing import NamedTuple

BULLETS = "*+\u2022\u2023\u25e6\u25aa\u25cf-"
_BULLET = re.compile(rf"(?:[*+-][^\S\n]+|[{BULLETS[2:-1]}][^\S\n]*)(?:\[[ xX]\][^\S\n]+)?(?=\S)")
_NUMBERED = re.compile(r"\(?\d{1,3}[.)][^\S\n]+(?=\S)")
_LETTERED = re.compile(r"\(?(?:[a-zA-Z]|[ivx]{1,4})\)[^\S\n]+(?=\S)")
_HEADING = re.compile(r"#{1,6}[^\S\n]+(?=\S)")
_RULE = re.compile(r"(?:[*_=~-][^\S\n]*){3,}")
_TABLE_RULE = re.compile(r"\|?[^\S\n]*:?-{2,}:?(?:[^\S\n]*\|[^\S\n]*:?-{2,}:?)*[^\S\n]*\|?")
_FENCE = re.compile(r"(`{3,}|~{3,})")
_EMPHASIS = re.compile(
    r"(?<![\w*])\*{1,3}(?=[^\s*])|(?<=[^\s*])\*{1,3}(?![\w*])"
    r"|(?<![\w_])_{1,3}(?=[^\s_])|(?<=[^\s_])_{1,3}(?![\w_])|~~"
)
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")
_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]+)\1(?!`)")

PLAIN, BULLET, NUMBERED, LETTERED, HEADING, ROW, RULE, CODE, FENCE, BLANK = range(10)
ITEMS = (BULLET, NUMBERED, LETTERED)
SAID = (PLAIN, *ITEMS)
"""Kinds of lines that sentences are looked for in."""


class Line(NamedTuple):
    """One line of a response.

    Attributes:
        kind: what it is.
        text: what it says, without marks of Markdown.
        marked: the same without code that stands within the line.
    """

    kind: int
    text: str
    marked: str


_BLANK_LINE = Line(BLANK, "", "")


def lines(raw: str) -> list[Line]:
    """The lines of a response."""
    fence = ""
    found: list[Line] = []
    for line in raw.split("\n"):
        text = line.strip()
        if fence:
            if text.startswith(fence) and not text.strip(fence[0]):
                fence = ""
                found.append(Line(FENCE, "", ""))
            else:
                found.append(Line(CODE, line, ""))
        elif not text:
            found.append(_BLANK_LINE)
        else:
            match = _FENCE.match(text) if text[0] in "`~" else None
            if match and "`" not in text[match.end() :]:
                fence = match[0]
                found.append(Line(FENCE, "", ""))
            else:
                # Four spaces make a line code, or part of an item: no heading.
                found.append(_line(text, heading=not line.startswith(("    ", "\t"))))
    return found


def _line(text: str, heading: bool) -> Line:
    kind = PLAIN
    if not text[0].isalpha():
        while text[:1] == ">":
            text = text[1:].lstrip()
        if _RULE.fullmatch(text) or ("-" in text and _TABLE_RULE.fullmatch(text)):
            return Line(RULE, "", "")
        if heading and (match := _HEADING.match(text)):
            kind, text = HEADING, text[match.end() :].rstrip("# \t")
        elif match := _BULLET.match(text):
            kind, text = BULLET, text[match.end() :]
    if "`" in text:
        text, marked = _plain(_CODE.sub(r"\2", text)), _plain(_CODE.sub(" ", text))
    else:
        text = marked = _plain(text)
    if kind == PLAIN and text[:1] and not (text[0].isalpha() and text[1:2] != ")"):
        match = _NUMBERED.match(text) or _LETTERED.match(text)
        if match:
            numbered = any(map(str.isdigit, match[0]))
            kind = NUMBERED if numbered else LETTERED
            marked = marked[match.end() :] if marked.startswith(match[0]) else marked
            text = text[match.end() :]
        elif text[0] == "|":
            kind = ROW
            text, marked = text.replace("|", " ").strip(), marked.replace("|", " ").strip()
    return Line(kind, text, marked)


def _plain(text: str) -> str:
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "*" in text or "_" in text or "~" in text:
        text = _EMPHASIS.sub("", text)
    return text


def paragraphs(found: list[Line]) -> list[list[Line]]:
    """Lines in runs without a blank line between them; one within a block of code parts nothing."""
    runs: list[list[Line]] = []
    run: list[Line] = []
    for line in found:
        if line.kind != BLANK:
            run.append(line)
        elif run:
            runs.append(run)
            run = []
    return [*runs, run] if run else runs


def units(found: list[Line]) -> list[str]:
    """What sentences are looked for in: items of lists, and runs of plain lines."""
    units: list[str] = []
    run: list[str] = []
    for line in found:
        if line.kind == PLAIN:
            run.append(line.text)
            continue
        if run:
            units.append("\n".join(run))
            run = []
        if line.kind in ITEMS:
            units.append(line.text)
    return [*units, "\n".join(run)] if run else units


def without_code(raw: str, found: list[Line]) -> str:
    """A response as it is written, without its blocks of code and the code within its lines."""
    kept = zip(raw.split("\n"), found, strict=True)
    return _CODE.sub(" ", "\n".join(text for text, line in kept if line.kind not in (CODE, FENCE)))
