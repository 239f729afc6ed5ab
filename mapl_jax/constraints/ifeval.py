"""The verdicts of IFEval's own checkers, quirks included (arXiv 2311.07911, release 83282e4).

The families of this package mean what their sentences say; these checks say what IFEval says, so
that scores can be compared with published ones. Where they differ, the quirk is named. The patterns
are written so that they take linear time and give the original's verdict all the same.

Where the original has no verdict of its own, this module says what it does instead:

* An argument that is missing, negative or otherwise of no use makes the original draw one at
  random. Here it is refused, but for a `letter` that is no letter (as in two of IFEval's prompts),
  which is counted like any other character.
* A keyword that is no regular expression makes the original fail. Here it is taken literally.
* A missing response follows nothing. langdetect is seeded.
"""

import contextlib
import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import regex

from mapl_jax.constraints.amounts import holds
from mapl_jax.constraints.families.formats import FIXED_ANSWERS
from mapl_jax.constraints.ifeval_arguments import Arguments, validate, whole
from mapl_jax.constraints.text import capitals, sentences
from mapl_jax.constraints.text.detection import detect

MODES = ("strict", "loose")

Check = Callable[[str, Arguments], bool]


def verdict(
    instruction_id: str,
    kwargs: Arguments | None,
    prompt: str,
    response: str | None,
    mode: str = "strict",
) -> bool:
    """Whether IFEval counts an instruction as followed. Defined for every response.

    Args:
        instruction_id: one of `IDS`.
        kwargs: its arguments, as in IFEval's input file; None stands for a missing one.
        prompt: of the response; what `combination:repeat_prompt` repeats if it names no text.
        mode: "strict", or "loose": any of eight texts may pass, namely the response with or
            without its first line, its last line and its asterisks.

    Raises:
        ValueError: unknown instruction or mode; a missing, unknown or impossible argument.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; choose strict or loose")
    if not isinstance(instruction_id, str) or instruction_id not in _CHECKS:
        raise ValueError(f"{instruction_id!r} is no instruction of IFEval")
    if not isinstance(kwargs or {}, Mapping):
        raise ValueError(f"{instruction_id}: kwargs must be an object, not {kwargs!r}")
    arguments = {name: whole(value) for name, value in (kwargs or {}).items() if value is not None}
    if instruction_id == "combination:repeat_prompt" and not arguments.get("prompt_to_repeat"):
        arguments["prompt_to_repeat"] = prompt
    check, wanted = _CHECKS[instruction_id]
    validate(instruction_id, arguments, wanted)
    response = response or ""
    texts = [response] if mode == "strict" else _loosened(response)
    return any(text.strip() and check(text, arguments) for text in texts)


def _loosened(response: str) -> list[str]:
    lines = response.split("\n")
    cut = ("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))
    texts = [response, *cut]
    return list(dict.fromkeys((*texts, *(text.replace("*", "") for text in texts))))


# Checks ---------------------------------------------------------------------------------------


def _compared(count: int, arguments: Arguments, number: str, relation: str) -> bool:
    return holds(count, arguments[relation], arguments[number])


# Seconds that a pattern of a file may look at a response; one that backtracks would never end.
PATIENCE = 5.0
Pattern: TypeAlias = "re.Pattern[str] | regex.Pattern[str]"


def _found(pattern: Pattern, method: str, text: str) -> Any:
    """What a method of a pattern finds in a text."""
    if isinstance(pattern, re.Pattern):
        return getattr(pattern, method)(text)
    try:
        return getattr(pattern, method)(text, timeout=PATIENCE)
    except TimeoutError:
        raise ValueError(
            f"the pattern {pattern.pattern!r} takes more than {PATIENCE:g} seconds on a response; "
            "write it without repetitions inside repetitions"
        ) from None


@functools.lru_cache(maxsize=4096)
def _pattern(before: str, word: str, after: str, literally: str, flags: int = 0) -> Pattern:
    """IFEval takes words for regular expressions; one that is none is taken literally.

    Args:
        before: pattern before the word.
        after: pattern behind it.
        literally: the whole pattern for a word that is no regular expression; `{}` is the word.
        flags: of `re`.
    """
    try:
        plain = re.compile(before + word + after, flags)
    except (re.error, OverflowError, RecursionError):
        return re.compile(literally.format(re.escape(word)), flags)
    if not re.search(r"[*+?{]", word):
        return plain
    # What repeats may backtrack without end. Braces around words are fuzzy matching in `regex`.
    literal = re.sub(r"(?<!\\)\{(?!\d*,?\d*\})", r"\\{", word)
    with contextlib.suppress(regex.error):
        return regex.compile(before + literal + after, flags)
    return plain


def _existence(text: str, arguments: Arguments) -> bool:
    # No word boundaries: "le" is found in "letter".
    return all(
        _found(_pattern("", word, "", "{}", re.I), "search", text) for word in arguments["keywords"]
    )


def _frequency(text: str, arguments: Arguments) -> bool:
    pattern = _pattern("", arguments["keyword"].strip(), "", "{}", re.I)
    return _compared(len(_found(pattern, "findall", text)), arguments, "frequency", "relation")


def _forbidden(text: str, arguments: Arguments) -> bool:
    # With word boundaries, unlike the two above.
    return not any(
        _found(_pattern(r"\b", word, r"\b", r"(?<!\w){}(?!\w)", re.I), "search", text)
        for word in arguments["forbidden_words"]
    )


def _letters(text: str, arguments: Arguments) -> bool:
    count = text.lower().count(arguments["letter"].strip().lower())
    return _compared(count, arguments, "let_frequency", "let_relation")


def _is_language(text: str, code: str) -> bool:
    # A text that langdetect cannot judge counts as followed.
    return detect(text) in (code, None)


def _paragraphs(text: str, arguments: Arguments) -> bool:
    parts = re.split(r"\s?\*\*\*\s?", text)
    count = len(parts)
    for place, part in enumerate(parts):
        if not part.strip():
            if place not in (0, len(parts) - 1):
                return False
            count -= 1
    return count == arguments["num_paragraphs"]


def _nth_paragraph(text: str, arguments: Arguments) -> bool:
    parts = text.split("\n\n")
    count = sum(bool(part.strip()) for part in parts)
    nth = arguments["nth_paragraph"]
    # Blank parts are not counted, but keep their place when the nth is looked up.
    if nth > count or not parts[nth - 1].strip():
        return False
    word = parts[nth - 1].split(maxsplit=1)[0].lstrip("'").lstrip('"')
    # Letter by letter: a capital sigma at the end of a word has a small form of its own.
    first = "".join(map(str.lower, re.split(r"[.,?!'\"]", word, maxsplit=1)[0]))
    return count == arguments["num_paragraphs"] and first == arguments["first_word"].lower()


def _words(text: str, arguments: Arguments) -> bool:
    return _compared(len(re.findall(r"\w+", text)), arguments, "num_words", "relation")


def _sentences(text: str, arguments: Arguments) -> bool:
    return _compared(
        sentences.count(text, sentences.NEWSPAPER_ABBREVIATIONS),
        arguments,
        "num_sentences",
        "relation",
    )


def _placeholders(text: str, arguments: Arguments) -> bool:
    # A bracket that is not closed on its line takes the rest of the line, so none is read twice.
    found = re.findall(r"\[[^\]\n]*(\]?)", text)
    return sum(map(bool, found)) >= arguments["num_placeholders"]


_POSTSCRIPTS = {"P.P.S": re.compile(r"p\.\s?p\.\s?s"), "P.S.": re.compile(r"p\.\s?s\.")}


def _postscript(text: str, arguments: Arguments) -> bool:
    # The original's pattern also covers the white space before and the line behind, which is where
    # it is found whenever the marker is.
    marker = arguments["postscript_marker"].strip()
    pattern = _POSTSCRIPTS.get(marker) or _pattern("", marker.lower(), "", "{}", re.M)
    return _found(pattern, "search", text.lower()) is not None


def _bullets(text: str, arguments: Arguments) -> bool:
    # The white space of the original's `^\s*` may span lines; what it counts is the same.
    stars = re.findall(r"^[^\S\n]*\*[^*].*$", text, re.M)
    dashes = re.findall(r"^[^\S\n]*-", text, re.M)
    return len(stars) + len(dashes) == arguments["num_bullets"]


def _set_answer(text: str, arguments: Arguments) -> bool:
    return any(answer in text for answer in FIXED_ANSWERS)


def _highlights(text: str, arguments: Arguments) -> bool:
    # A text between two stars on each side counts twice where three stand.
    single = (span.strip("*").strip() for span in re.findall(r"\*[^\n\*]*\*", text))
    double = (span[2:-2].strip() for span in re.findall(r"\*\*[^\n\*]*\*\*", text))
    return sum(map(bool, single)) + sum(map(bool, double)) >= arguments["num_highlights"]


def _sections(text: str, arguments: Arguments) -> bool:
    pattern = _pattern(
        r"\s?", arguments["section_spliter"].strip(), r"\s?\d+\s?", r"\s?{}\s?\d+\s?"
    )
    # Not the number of matches: groups of the pattern add to the parts.
    return len(_found(pattern, "split", text)) - 1 >= arguments["num_sections"]


def _json(text: str, arguments: Arguments) -> bool:
    body = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        body = body.removeprefix(fence)
    try:
        # Bare numbers, null and NaN pass.
        json.loads(body.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str, arguments: Arguments) -> bool:
    for line in text.split("\n"):
        # From the first << to the last >> of a line, and something between.
        start, stop = line.find("<<"), line.rfind(">>")
        if 0 <= start < stop - 2 and line[start : stop + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def _two_responses(text: str, arguments: Arguments) -> bool:
    parts = text.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    answers = [part.strip() for part in parts if part.strip()]
    return len(answers) == 2 and answers[0] != answers[1]


def _repeat(text: str, arguments: Arguments) -> bool:
    start = arguments["prompt_to_repeat"].strip().lower()
    return text.strip().lower().startswith(start)


def _end(text: str, arguments: Arguments) -> bool:
    return text.strip().strip('"').lower().endswith(arguments["end_phrase"].strip().lower())


def _capital_words(text: str, arguments: Arguments) -> bool:
    return _compared(capitals.count(text), arguments, "capital_frequency", "capital_relation")


def _capital(text: str, arguments: Arguments) -> bool:
    return text.isupper() and _is_language(text, "en")


def _lowercase(text: str, arguments: Arguments) -> bool:
    return text.islower() and _is_language(text, "en")


def _no_comma(text: str, arguments: Arguments) -> bool:
    return "," not in text


def _quotation(text: str, arguments: Arguments) -> bool:
    body = text.strip()
    return len(body) > 1 and body[0] == '"' == body[-1]


_CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {
    "keywords:existence": (_existence, ("keywords",)),
    "keywords:frequency": (_frequency, ("keyword", "frequency", "relation")),
    "keywords:forbidden_words": (_forbidden, ("forbidden_words",)),
    "keywords:letter_frequency": (_letters, ("letter", "let_frequency", "let_relation")),
    "language:response_language": (
        lambda text, arguments: _is_language(text, arguments["language"]),
        ("language",),
    ),
    "length_constraints:number_sentences": (_sentences, ("num_sentences", "relation")),
    "length_constraints:number_paragraphs": (_paragraphs, ("num_paragraphs",)),
    "length_constraints:number_words": (_words, ("num_words", "relation")),
    "length_constraints:nth_paragraph_first_word": (
        _nth_paragraph,
        ("num_paragraphs", "nth_paragraph", "first_word"),
    ),
    "detectable_content:number_placeholders": (_placeholders, ("num_placeholders",)),
    "detectable_content:postscript": (_postscript, ("postscript_marker",)),
    "detectable_format:number_bullet_lists": (_bullets, ("num_bullets",)),
    "detectable_format:constrained_response": (_set_answer, ()),
    "detectable_format:number_highlighted_sections": (_highlights, ("num_highlights",)),
    "detectable_format:multiple_sections": (_sections, ("section_spliter", "num_sections")),
    "detectable_format:json_format": (_json, ()),
    "detectable_format:title": (_title, ()),
    "combination:two_responses": (_two_responses, ()),
    "combination:repeat_prompt": (_repeat, ("prompt_to_repeat",)),
    "startend:end_checker": (_end, ("end_phrase",)),
    "change_case:capital_word_frequency": (
        _capital_words,
        ("capital_frequency", "capital_relation"),
    ),
    "change_case:english_capital": (_capital, ()),
    "change_case:english_lowercase": (_lowercase, ()),
    "punctuation:no_comma": (_no_comma, ()),
    "startend:quotation": (_quotation, ()),
}
IDS = tuple(_CHECKS)
