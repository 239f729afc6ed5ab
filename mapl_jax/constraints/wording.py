"""English sentences with slots: written from parameters and read back into them."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import AT_LEAST, LESS_THAN, Random
from mapl_jax.constraints.parameters import Character, Number, Parameter, Params, Phrase, Phrases


def pick(items: Sequence, rng: Random):
    """Draws one item. `rng.random` is ten times as fast as `rng.choice`."""
    return items[int(rng.random() * len(items))]


@dataclass(frozen=True)
class Slot:
    """A place in a sentence that shows a part of the parameters.

    Attributes:
        pattern: Regular expression, without groups, of all texts `write` can produce.
        write: Text for these parameters.
        read: The parameters back from the text; raises ValueError where there are none.
        openings: First words the slot may start with, where a sentence starts with it.
    """

    pattern: str
    write: Callable[[Params, Random], str]
    read: Callable[[str], Params]
    openings: tuple[str, ...] = ()


def _alternatives(*texts: str) -> Slot:
    return Slot(
        pattern="|".join(map(re.escape, texts)),
        write=lambda params, rng: pick(texts, rng),
        read=lambda text: {},
        openings=tuple({text.split()[0].lower() for text in texts}),
    )


_ANSWERS = ("your answer", "your response", "your reply", "the answer", "the response")
COMMON_SLOTS: Mapping[str, Slot] = {
    "answer": _alternatives(*_ANSWERS),
    "Answer": _alternatives(*(text.capitalize() for text in _ANSWERS)),
}


def write_number(number: int, rng: Random) -> str:
    """Writes a number in digits or, more often for small ones, in words."""
    if number < amounts.LIMIT and rng.random() < (0.4 if number <= 20 else 0.15):
        return amounts.spell(number)
    return str(number)


def number_slot(key: str) -> Slot:
    """A bare number."""
    return Slot(
        pattern=amounts.PATTERN,
        write=lambda params, rng: write_number(Number(key).of(params), rng),
        read=lambda text: {key: amounts.read(text)},
    )


# (phrase, what to add to the number shown to get the parameter)
_AT_LEAST_PHRASES = (
    ("at least {}", 0),
    ("{} or more", 0),
    ("no fewer than {}", 0),
    ("a minimum of {}", 0),
    ("more than {}", 1),
)
_LESS_THAN_PHRASES = (
    ("fewer than {}", 0),
    ("less than {}", 0),
    ("at most {}", 1),
    ("no more than {}", 1),
    ("a maximum of {}", 1),
)


def amount_slot(
    number_key: str,
    relation_key: str,
    unit: tuple[str, str],
    default_relation: str | None = None,
    zero: str = "",
) -> Slot:
    """A relation, a number and a unit: "at least 5 words", "no more than three commas".

    Args:
        number_key: Parameter that holds the number (1 or more).
        relation_key: Parameter that holds "less than" or "at least".
        unit: Singular and plural.
        default_relation: The relation that parameters leave out, if any.
        zero: What "less than 1" reads as; "no words" and the like unless given.
    """
    one, many = unit
    none = zero or f"no {many}"
    units = f"(?:{re.escape(many)}|{re.escape(one)})"

    # Only reading needs the patterns, and compiling those of all families takes seconds.
    @functools.cache
    def readers() -> list[tuple[re.Pattern[str], str, int]]:
        number = f"({amounts.PATTERN})"
        return [
            (re.compile(f"{phrase.format(number)} {units}", re.I), relation, offset)
            for relation, phrases in (
                (AT_LEAST, _AT_LEAST_PHRASES),
                (LESS_THAN, _LESS_THAN_PHRASES),
            )
            for phrase, offset in phrases
        ]

    def params_of(relation: str, number: int) -> Params:
        params: Params = {number_key: number}
        if relation != default_relation:
            params[relation_key] = relation
        return params

    def write(params: Params, rng: Random) -> str:
        relation = params.get(relation_key, default_relation)
        number = Number(number_key).of(params)
        if relation == LESS_THAN and number == 1:
            return none
        # "more than 0" is no English.
        some = 5 if number > 1 else 4
        phrases = (_AT_LEAST_PHRASES if relation == AT_LEAST else _LESS_THAN_PHRASES)[:some]
        phrase, offset = pick(phrases, rng)
        shown = number - offset
        # "one word", but "one or more words".
        single = shown == 1 and not phrase.endswith("or more")
        return f"{phrase.format(write_number(shown, rng))} {one if single else many}"

    def read(text: str) -> Params:
        if text.lower() == none.lower():
            return params_of(LESS_THAN, 1)
        for reader, relation, offset in readers():
            if match := reader.fullmatch(text):
                return params_of(relation, amounts.read(match[1]) + offset)
        raise ValueError(f"no amount: {text!r}")

    phrases = "|".join(
        phrase.format(amounts.PATTERN) for phrase, _ in (*_AT_LEAST_PHRASES, *_LESS_THAN_PHRASES)
    )
    return Slot(f"{re.escape(none)}|(?:{phrases}) {units}", write, read)


def exact_slot(key: str, unit: tuple[str, str]) -> Slot:
    """An exact number and a unit: "exactly three bullet points", "no bullet points"."""
    one, many = unit
    units = f"(?:{re.escape(many)}|{re.escape(one)})"

    def write(params: Params, rng: Random) -> str:
        number = Number(key).of(params)
        if number == 0:
            return f"no {many}"
        return f"exactly {write_number(number, rng)} {one if number == 1 else many}"

    def read(text: str) -> Params:
        if text.lower() == f"no {many}".lower():
            return {key: 0}
        match = re.match(rf"exactly ({amounts.PATTERN}) {units}", text, re.I)
        if match is None:
            raise ValueError(f"no exact number: {text!r}")
        return {key: amounts.read(match[1])}

    return Slot(f"no {re.escape(many)}|exactly {amounts.PATTERN} {units}", write, read)


_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_UNESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"'}


def _quote(text: str) -> str:
    return '"' + re.sub(r'[\n\t\r\\"]', lambda match: _UNESCAPES[match[0]], text) + '"'


def _unquote(text: str) -> str:
    unescape = lambda match: _ESCAPES.get(match[1], match[1])  # noqa: E731
    return re.sub(r"\\(.)", unescape, text[1:-1], flags=re.S)


# A word that stands on its own without quotes, and is not taken for the words around it.
_PLAIN = r"\b(?!(?:and|at|no|zero|a|less|fewer|more|exactly)\b)[A-Za-z]+\b"


def _write_text(text: str, rng: Random) -> str:
    """A text in quotes, or bare if it is a plain word."""
    if re.fullmatch(_PLAIN, text, re.I) and rng.random() < 0.6:
        return text
    return _quote(text)


def _read_text(text: str) -> str:
    return _unquote(text) if text.startswith('"') else text


def text_slot(key: str) -> Slot:
    """A text: a plain word bare or in double quotes, anything else in quotes.

    Quotes and line breaks inside are written with a backslash.
    """
    return Slot(
        pattern=f"{_QUOTED}|{_PLAIN}",
        write=lambda params, rng: _write_text(Phrase(key).of(params), rng),
        read=lambda text: {key: _read_text(text)},
    )


def text_list_slot(key: str) -> Slot:
    """Several texts, all bare or all in quotes: tea, milk and sugar; "a", "b" and "c"."""

    def write(params: Params, rng: Random) -> str:
        words = Phrases(key).of(params)
        bare = all(re.fullmatch(_PLAIN, word, re.I) for word in words) and rng.random() < 0.6
        *first, last = words if bare else map(_quote, words)
        return f"{', '.join(first)} and {last}" if first else last

    item = f"(?:{_QUOTED}|{_PLAIN})"
    return Slot(
        pattern=f"{item}(?:(?:, | and ){item})*",
        write=write,
        read=lambda text: {key: [_read_text(word) for word in re.findall(item, text, re.I | re.S)]},
    )


def plain_slots(parameters: Sequence[Parameter]) -> dict[str, Slot]:
    """Slots that show a number, a text or a list of texts as it is, by their names in templates."""
    slots: dict[str, Slot] = {}
    for parameter in parameters:
        name = parameter.slot or parameter.name
        if isinstance(parameter, Number):
            slots[name] = number_slot(parameter.name)
        elif isinstance(parameter, Phrase | Character):
            slots[name] = text_slot(parameter.name)
        elif isinstance(parameter, Phrases):
            slots[name] = text_list_slot(parameter.name)
    return slots


class Template:
    """One sentence with slots, such as "Use {amount} in {answer}."."""

    def __init__(self, text: str, slots: Mapping[str, Slot], fixed: Params):
        self.text = text
        self.fixed = fixed
        slots = {**COMMON_SLOTS, **slots}
        pieces = re.split(r"\{(\w+)\}", text)
        self._literals = pieces[::2]
        self._slots = [(name, slots[name]) for name in pieces[1::2]]

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = re.escape(self._literals[0])
        for (name, slot), literal in zip(self._slots, self._literals[1:], strict=True):
            pattern += f"(?P<{name}>{slot.pattern})" + re.escape(literal)
        return re.compile(pattern, re.I | re.S)

    @property
    def openings(self) -> tuple[str, ...]:
        """First words, in lower case, of the sentences this template makes."""
        if self._literals[0]:
            return (self._literals[0].split()[0].lower(),)
        return self._slots[0][1].openings

    def write(self, params: Params, rng: Random) -> str:
        """Fills the slots from `params`."""
        text = self._literals[0]
        for (_, slot), literal in zip(self._slots, self._literals[1:], strict=True):
            text += slot.write(params, rng) + literal
        return text

    def read(self, text: str) -> Params | None:
        """Parameters back from a sentence; None if it is not of this template."""
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        params = dict(self.fixed)
        try:
            for name, slot in self._slots:
                params |= slot.read(match[name])
        except ValueError:
            return None
        return params
