"""The verdicts of IFEval's own checkers, quirks included (arXiv 2311.07911, release 83282e4).

The families of this package mean what their sentences say; these checks say what IFEval says, so
that scores can be compared with published ones. Where they differ, the quirk is named.
"""

import functools
import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mapl_jax.constraints import sentences
from mapl_jax.constraints.formats import FIXED_ANSWERS

MODES = ("strict", "loose")
_LANGUAGE_LOCK = threading.Lock()

Check = Callable[[str, Mapping[str, Any]], bool]


def verdict(
    instruction_id: str, kwargs: Mapping[str, Any], prompt: str, response: str, mode: str = "strict"
) -> bool:
    """Whether IFEval counts an instruction as followed.

    Args:
        instruction_id: one of `IDS`.
        kwargs: its arguments, as in IFEval's input file; None stands for a missing one.
        prompt: of the response; what `combination:repeat_prompt` repeats if it names no text.
        response: to judge.
        mode: "strict", or "loose": any of eight texts may pass, namely the response with or
            without its first line, its last line and its asterisks.

    Raises:
        ValueError: unknown instruction or mode, or a missing argument.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; choose strict or loose")
    if instruction_id not in _CHECKS:
        raise ValueError(f"{instruction_id!r} is no instruction of IFEval")
    arguments = {name: value for name, value in kwargs.items() if value is not None}
    if instruction_id == "combination:repeat_prompt":
        arguments.setdefault("prompt_to_repeat", prompt)
    check, needed = _CHECKS[instruction_id]
    missing = [name for name in needed if name not in arguments]
    if missing:
        raise ValueError(f"{instruction_id} needs {', '.join(missing)}")
    texts = [response] if mode == "strict" else _loosened(response)
    return any(text.strip() and check(text, arguments) for text in texts)


def _loosened(response: str) -> list[str]:
    lines = response.split("\n")
    cut = ("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))
    texts = [response, *cut]
    return [*texts, *(text.replace("*", "") for text in texts)]


def _compared(count: int, arguments: Mapping[str, Any], number: str, relation: str) -> bool:
    if arguments[relation] == "less than":
        return count < arguments[number]
    if arguments[relation] == "at least":
        return count >= arguments[number]
    raise ValueError(f"{relation} must be 'less than' or 'at least', not {arguments[relation]!r}")


@functools.lru_cache(maxsize=4096)
def _pattern(text: str, flags: int) -> re.Pattern[str]:
    """IFEval takes keywords for regular expressions; what is none is taken literally here."""
    try:
        return re.compile(text, flags)
    except re.error:
        return re.compile(re.escape(text), flags)


def _existence(text: str, arguments: Mapping[str, Any]) -> bool:
    # No word boundaries: "le" is found in "letter".
    return all(_pattern(word, re.I).search(text) for word in arguments["keywords"])


def _frequency(text: str, arguments: Mapping[str, Any]) -> bool:
    count = len(_pattern(arguments["keyword"].strip(), re.I).findall(text))
    return _compared(count, arguments, "frequency", "relation")


def _forbidden(text: str, arguments: Mapping[str, Any]) -> bool:
    # With word boundaries, unlike the two above.
    return not any(
        _pattern(rf"\b{word}\b", re.I).search(text) for word in arguments["forbidden_words"]
    )


def _letters(text: str, arguments: Mapping[str, Any]) -> bool:
    # The original draws another letter at random where this is none; here it is counted.
    count = text.lower().count(arguments["letter"].strip().lower())
    return _compared(count, arguments, "let_frequency", "let_relation")


def _is_language(text: str, code: str) -> bool:
    """langdetect's opinion, made repeatable; a text it cannot judge counts as followed."""
    import langdetect

    with _LANGUAGE_LOCK:
        langdetect.DetectorFactory.seed = 0
        try:
            return langdetect.detect(text) == code
        except langdetect.LangDetectException:
            return True


def _paragraphs(text: str, arguments: Mapping[str, Any]) -> bool:
    parts = re.split(r"\s?\*\*\*\s?", text)
    count = len(parts)
    for place, part in enumerate(parts):
        if not part.strip():
            if place not in (0, len(parts) - 1):
                return False
            count -= 1
    return count == arguments["num_paragraphs"]


def _nth_paragraph(text: str, arguments: Mapping[str, Any]) -> bool:
    parts = text.split("\n\n")
    count = sum(bool(part.strip()) for part in parts)
    nth = arguments["nth_paragraph"]
    # Blank parts are not counted, but keep their place when the nth is looked up.
    if nth > count or not parts[nth - 1].strip():
        return False
    word = parts[nth - 1].split()[0].lstrip("'").lstrip('"')
    first = re.split(r"[.,?!'\"]", word, maxsplit=1)[0].lower()
    return count == arguments["num_paragraphs"] and first == arguments["first_word"].lower()


def _words(text: str, arguments: Mapping[str, Any]) -> bool:
    return _compared(len(re.findall(r"\w+", text)), arguments, "num_words", "relation")


def _sentences(text: str, arguments: Mapping[str, Any]) -> bool:
    return _compared(sentences.count(text), arguments, "num_sentences", "relation")


def _placeholders(text: str, arguments: Mapping[str, Any]) -> bool:
    return len(re.findall(r"\[.*?\]", text)) >= arguments["num_placeholders"]


def _postscript(text: str, arguments: Mapping[str, Any]) -> bool:
    marker = arguments["postscript_marker"].strip()
    patterns = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
    pattern = patterns.get(marker, r"\s*" + marker.lower() + r".*$")
    return _pattern(pattern, re.M).search(text.lower()) is not None


def _bullets(text: str, arguments: Mapping[str, Any]) -> bool:
    stars = re.findall(r"^\s*\*[^\*].*$", text, re.M)
    dashes = re.findall(r"^\s*-.*$", text, re.M)
    return len(stars) + len(dashes) == arguments["num_bullets"]


def _set_answer(text: str, arguments: Mapping[str, Any]) -> bool:
    return any(answer in text for answer in FIXED_ANSWERS)


def _highlights(text: str, arguments: Mapping[str, Any]) -> bool:
    # A text between two stars on each side counts twice where three stand.
    single = (span.strip("*").strip() for span in re.findall(r"\*[^\n\*]*\*", text))
    double = (span[2:-2].strip() for span in re.findall(r"\*\*[^\n\*]*\*\*", text))
    return sum(map(bool, single)) + sum(map(bool, double)) >= arguments["num_highlights"]


def _sections(text: str, arguments: Mapping[str, Any]) -> bool:
    pattern = r"\s?" + arguments["section_spliter"].strip() + r"\s?\d+\s?"
    return len(_pattern(pattern, 0).findall(text)) >= arguments["num_sections"]


def _json(text: str, arguments: Mapping[str, Any]) -> bool:
    body = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        body = body.removeprefix(fence)
    try:
        # Bare numbers, null and NaN pass.
        json.loads(body.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str, arguments: Mapping[str, Any]) -> bool:
    titles = re.findall(r"<<[^\n]+>>", text)
    return any(title.lstrip("<").rstrip(">").strip() for title in titles)


def _two_responses(text: str, arguments: Mapping[str, Any]) -> bool:
    parts = text.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    answers = [part.strip() for part in parts if part.strip()]
    return len(answers) == 2 and answers[0] != answers[1]


def _repeat(text: str, arguments: Mapping[str, Any]) -> bool:
    start = arguments["prompt_to_repeat"].strip().lower()
    return text.strip().lower().startswith(start)


def _end(text: str, arguments: Mapping[str, Any]) -> bool:
    return text.strip().strip('"').lower().endswith(arguments["end_phrase"].strip().lower())


def _capital_words(text: str, arguments: Mapping[str, Any]) -> bool:
    return _compared(count_capital_tokens(text), arguments, "capital_frequency", "capital_relation")


def count_capital_tokens(text: str) -> int:
    """Tokens of NLTK's word tokenizer that are all capitals: "I", "U.S." and "N'T" of "DON'T"."""
    tokenizer = _word_tokenizer()
    return sum(
        token.isupper()
        for sentence in sentences.split(text)
        for token in tokenizer.tokenize(sentence)
    )


@functools.cache
def _word_tokenizer() -> Any:
    # Imported on first use: most programs never count these.
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()


def _capital(text: str, arguments: Mapping[str, Any]) -> bool:
    return text.isupper() and _is_language(text, "en")


def _lowercase(text: str, arguments: Mapping[str, Any]) -> bool:
    return text.islower() and _is_language(text, "en")


def _no_comma(text: str, arguments: Mapping[str, Any]) -> bool:
    return "," not in text


def _quotation(text: str, arguments: Mapping[str, Any]) -> bool:
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
