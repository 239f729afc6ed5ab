"""What the arguments of IFEval's instructions must be."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from mapl_jax.constraints.amounts import RELATIONS
from mapl_jax.constraints.families.language import NAMES

Arguments = Mapping[str, Any]


def whole(value: object) -> object:
    """A whole number that data frames wrote as 3.0, as 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_number(value: object) -> bool:
    return _is_integer(value) and cast(int, value) >= 0


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_some_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_words(value: object) -> bool:
    # The original takes one text for a list of its letters.
    return bool(value) and isinstance(value, list | tuple | str) and all(map(_is_text, value))


_ARGUMENTS: dict[str, tuple[Callable[[object], bool], str]] = {
    "keywords": (_is_words, "a list of texts"),
    "forbidden_words": (_is_words, "a list of texts"),
    "keyword": (_is_some_text, "a text"),
    "first_word": (_is_text, "a text"),
    "end_phrase": (_is_text, "a text"),
    "section_spliter": (_is_text, "a text"),
    "postscript_marker": (_is_text, "a text"),
    "prompt_to_repeat": (_is_some_text, "a text"),
    "letter": (lambda value: isinstance(value, str) and len(value.strip()) == 1, "one character"),
    "language": (lambda value: value in tuple(NAMES), f"one of {', '.join(NAMES)}"),
    "nth_paragraph": (lambda value: _is_number(value) and value != 0, "a whole number from 1"),
    # The only number of which the original takes a negative one as it is.
    "capital_frequency": (_is_integer, "a whole number"),
    **{
        name: (lambda value: value in RELATIONS, f"one of {', '.join(RELATIONS)}")
        for name in ("relation", "let_relation", "capital_relation")
    },
}


def validate(instruction_id: str, arguments: Arguments, wanted: tuple[str, ...]) -> None:
    """Makes sure that an instruction has the arguments that it wants, and no others."""
    missing = [name for name in wanted if name not in arguments]
    if missing:
        raise ValueError(f"{instruction_id} needs {', '.join(missing)}")
    unknown = sorted(arguments.keys() - set(wanted))
    if unknown:
        raise ValueError(f"{instruction_id} takes no {', '.join(unknown)}")
    for name, value in arguments.items():
        fits, what = _ARGUMENTS.get(name, (_is_number, "a whole number from 0"))
        if not fits(value):
            raise ValueError(f"{instruction_id}: {name} must be {what}, not {value!r}")
    if arguments.get("nth_paragraph", 0) > arguments.get("num_paragraphs", 0):
        raise ValueError(f"{instruction_id}: nth_paragraph must not exceed num_paragraphs")
