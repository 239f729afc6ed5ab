"""The slots of sentences: written from parameters and read back into them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mapl_jax.constraints import amounts
from mapl_jax.constraints.amounts import Random
from mapl_jax.constraints.parameters import Character, Number, Parameter, Params, Phrase, Phrases

Item = TypeVar("Item")


def pick(items: Sequence[Item], rng: Random) -> Item:
    """Draws one item. `rng.random` is ten times as fast as `rng.choice`."""
    return items[int(rng.random() * len(items))]


def always(params: Params) -> bool:
    """What a slot answers that can show any parameters."""
    return True


@dataclass(frozen=True)
class Slot:
    """A place in a sentence that shows a part of the parameters.

    Attributes:
        pattern: regular expression, without groups, of all texts `write` can produce.
        write: text for these parameters.
        read: the parameters back from the text; raises ValueError where there are none.
        openings: first words the slot may start with; none if they are many.
        possible: whether the slot can show these parameters.
        capital: written with a capital letter where it starts a sentence.
        noun: makes a slot that shows a noun as well, given as singular and plural.
    """

    pattern: str
    write: Callable[[Params, Random], str]
    read: Callable[[str], Params]
    openings: tuple[str, ...] = ()
    possible: Callable[[Params], bool] = always
    capital: bool = False
    noun: Callable[[str, str], "Slot"] | None = None


def _alternatives(*texts: str, read_too: tuple[str, ...]) -> Slot:
    return Slot(
        pattern="|".join(map(re.escape, (*texts, *read_too))),
        write=lambda params, rng: pick(texts, rng),
        read=lambda text: {},
        openings=tuple({text.split()[0].lower() for text in (*texts, *read_too)}),
    )


ANSWERS = ("your answer", "your response", "your reply", "the answer", "the response")
EACH_ANSWER = "each answer"
"""What rules for all answers to come say of them."""
YOUR_ANSWERS = "your answers"
"""The same of what must not be so: "Do not use commas in your answers."."""
COMMON_SLOTS: Mapping[str, Slot] = {
    "answer": _alternatives(*ANSWERS, read_too=(EACH_ANSWER, YOUR_ANSWERS, "any answer")),
    "Answer": _alternatives(
        *(text.capitalize() for text in ANSWERS),
        read_too=(EACH_ANSWER.capitalize(), YOUR_ANSWERS.capitalize()),
    ),
}


# Numbers --------------------------------------------------------------------------------------


# The share of numbers up to so many that people write in words.
_IN_WORDS = ((1, 1.0), (2, 0.8), (10, 0.5), (20, 0.2))


def write_number(number: int, rng: Random) -> str:
    """Writes a number in digits or, more often for small ones, in words."""
    share = next((share for most, share in _IN_WORDS if number <= most), 0.0)
    return amounts.spell(number) if rng.random() < share else str(number)


def number_slot(key: str, less: int = 0, *, digits: bool = False, behind: str = "") -> Slot:
    """A number, {n}, or with `less` = 1 the one before it, {m}.

    Args:
        key: parameter that holds the number.
        less: what to take away from it before it is shown.
        digits: never in words, where two numbers of a sentence should look alike.
        behind: words that follow it.
    """

    parameter = Number(key)

    def shown(params: Params, rng: Random) -> str:
        number = parameter.of(params) - less
        return (str(number) if digits else write_number(number, rng)) + behind

    def with_noun(one: str, many: str) -> Slot:
        return Slot(
            pattern=f"{amounts.PATTERN} (?:{re.escape(many)}|{re.escape(one)})",
            write=lambda params, rng: (
                f"{shown(params, rng)} {one if parameter.of(params) - less == 1 else many}"
            ),
            read=lambda text: {key: _first_number(text) + less},
            possible=possible,
            capital=True,
        )

    def possible(params: Params) -> bool:
        """Whether people say it so: not "one or more", "fewer than two", "more than one".

        Nor "at most 159": where the other number is round, that is shown.
        """
        number = parameter.of(params)
        at_most = amounts.LESS_THAN in params.values()
        if behind and number == 1:
            return False
        if not at_most:
            return not less or (number > 2 and (number <= 10 or not amounts.is_round(number)))
        if number == 2 and not less:
            return False
        shown, other = (number - 1, number) if less else (number, number - 1)
        return shown > 0 and (amounts.is_round(shown) or not amounts.is_round(other))

    return Slot(
        pattern=amounts.PATTERN + behind,
        write=shown,
        read=lambda text: {key: amounts.read(text.removesuffix(behind)) + less},
        possible=possible,
        capital=True,
        noun=with_noun,
    )


_NUMBER = re.compile(amounts.PATTERN, re.I)


def _first_number(text: str) -> int:
    match = _NUMBER.match(text)
    if match is None:
        raise ValueError(f"no number: {text!r}")
    return amounts.read(match[0])


_TIMES = {1: "once", 2: "twice"}


def times_slot(key: str, less: int = 0) -> Slot:
    """How often: once, twice, three times."""
    parameter = Number(key)

    def write(params: Params, rng: Random) -> str:
        number = parameter.of(params) - less
        return _TIMES.get(number) or f"{write_number(number, rng)} times"

    def read(text: str) -> Params:
        known = {word: number for number, word in _TIMES.items()}
        lower = text.lower()
        return {key: (known[lower] if lower in known else _first_number(text)) + less}

    return Slot(
        pattern=f"once|twice|{amounts.PATTERN} times?",
        write=write,
        read=read,
        possible=(lambda params: parameter.of(params) > less) if less else always,
    )


_ORDINALS = dict(
    enumerate("first second third fourth fifth sixth seventh eighth ninth tenth".split(), 1)
)


def ordinal_slot(key: str) -> Slot:
    """Which of several: first, second, 21st."""
    parameter = Number(key)

    def write(params: Params, rng: Random) -> str:
        number = parameter.of(params)
        ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
        if number % 100 in (11, 12, 13):
            ending = "th"
        return _ORDINALS.get(number) or f"{number}{ending}"

    def read(text: str) -> Params:
        known = {word: number for number, word in _ORDINALS.items()}
        return {key: known.get(text.lower()) or int(text[:-2])}

    return Slot("|".join(_ORDINALS.values()) + "|[0-9]{1,18}(?:st|nd|rd|th)", write, read)


# What begins commands that are joined into one sentence and do not name the answer.
JOINED = "When you answer, "

# Texts ----------------------------------------------------------------------------------------

QUOTED = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_UNESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}
# A word that stands on its own without quotes, and is not taken for the words around it.
_PLAIN = (
    r"\b(?!(?:once|twice|more|most|least|than|fewer|less|exactly|words?|before|after|times?|zero"
    r"|first|last|then|should|must)\b)[A-Za-z]{4,}\b"
)
_IS_PLAIN = re.compile(_PLAIN, re.I)
_ITEM = f"(?:{QUOTED}|{_PLAIN})"
_ITEMS = re.compile(_ITEM, re.I | re.S)


def quote(text: str) -> str:
    """A text in double quotes, or in single ones if it holds double ones; see `unquote`.

    Line breaks and the marks around it are written with a backslash.
    """
    mark = "'" if '"' in text and "'" not in text else '"'
    escape = _UNESCAPES | {mark: f"\\{mark}"}
    return mark + re.sub(r"[\n\t\r\\\"']", lambda m: escape.get(m[0], m[0]), text) + mark


def unquote(text: str) -> str:
    """The text that `quote` was given; a text without quotes as it is."""
    if text[:1] not in ('"', "'"):
        return text
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1], flags=re.S)


def text_slot(key: str, *, bare: bool = False) -> Slot:
    """A text in quotes.

    Args:
        key: parameter that holds it.
        bare: a plain word is also read without quotes, as in "the word tea".
    """
    parameter = Phrase(key)

    def write(params: Params, rng: Random) -> str:
        return quote(parameter.of(params))

    return Slot(
        pattern=_ITEM if bare else QUOTED, write=write, read=lambda text: {key: unquote(text)}
    )


def label_slot(key: str, number: int) -> Slot:
    """A text with a number behind it: "Section 1"."""

    def read(text: str) -> Params:
        label, ending = unquote(text), f" {number}"
        if not label.endswith(ending):
            raise ValueError(f"no label: {text!r}")
        return {key: label.removesuffix(ending)}

    return Slot(QUOTED, lambda params, rng: quote(f"{params[key]} {number}"), read)


def letter_slot(key: str, the: str = "the") -> Slot:
    """A letter, or another character: the letter "e", the character "#"."""
    parameter = Character(key)

    def write(params: Params, rng: Random) -> str:
        letter = parameter.of(params)
        return f"{the} {'letter' if letter.isalpha() else 'character'} {quote(letter)}"

    return Slot(
        pattern=f"the (?:letter|character) (?:{QUOTED})",
        write=write,
        read=lambda text: {key: unquote(text.split(" ", 2)[2])},
        openings=("the",),
    )


def _kind(words: Sequence[str]) -> str:
    """What to call some words or phrases: word, words, phrase, ..."""
    phrases = sum(len(word.split()) > 1 for word in words)
    if 0 < phrases < len(words):
        return "words and phrases"
    return ("phrase" if phrases else "word") + ("s" if len(words) > 1 else "")


_KINDS = "(?:words and phrases|words?|phrases?)"


def words_slots(key: str) -> dict[str, Slot]:
    """Slots for a list of words, `key` in the parameters.

    {the_words}     the word "tea"; the words "tea", "milk" and "sugar"
    {the_words_or}  the same with "or"
    {these_words}   this word; these words
    {listed}        "tea", "milk", "sugar"
    """
    parameter = Phrases(key)

    def joined(words: Sequence[str], conjunction: str) -> str:
        *first, last = map(quote, words)
        return f"{', '.join(first)}{conjunction}{last}" if first else last

    def the(conjunction: str) -> Slot:
        return Slot(
            pattern=f"the {_KINDS} {_ITEM}(?:(?:, | {conjunction} ){_ITEM})*",
            write=lambda params, rng: (
                f"the {_kind(parameter.of(params))} "
                f"{joined(parameter.of(params), f' {conjunction} ')}"
            ),
            read=lambda text: {key: items(re.sub(f"^the {_KINDS} ", "", text, flags=re.I))},
        )

    def items(text: str) -> list[str]:
        return [unquote(item) for item in _ITEMS.findall(text)]

    def these(params: Params, rng: Random) -> str:
        words = parameter.of(params)
        return f"{'these' if len(words) > 1 else 'this'} {_kind(words)}"

    return {
        "the_words": the("and"),
        "the_words_or": the("or"),
        "these_words": Slot(
            f"(?:this|these) {_KINDS}",
            these,
            lambda text: {},
            possible=lambda params: len(parameter.of(params)) > 1,  # A list of one is stiff.
        ),
        "listed": Slot(
            pattern=f"{_ITEM}(?:, {_ITEM})*",
            write=lambda params, rng: joined(parameter.of(params), ", "),
            read=lambda text: {key: items(text)},
        ),
    }


def slots_of(parameters: Sequence[Parameter]) -> dict[str, Slot]:
    """The slots that show declared parameters, by their names in templates (`forms`)."""
    slots: dict[str, Slot] = {}
    for parameter in parameters:
        name, slot = parameter.name, parameter.slot
        if isinstance(parameter, Number):
            slots |= _number_slots(name, slot)
        elif isinstance(parameter, Phrases):
            slots |= words_slots(name)
        elif isinstance(parameter, Character):
            slots |= {
                "the_letter": letter_slot(name),
                "The_letter": letter_slot(name, "The"),
                "letter": text_slot(name),
            }
        elif isinstance(parameter, Phrase):
            slots |= {
                slot or name: text_slot(name),
                "plain": text_slot(name, bare=True),
                "label1": label_slot(name, 1),
                "label2": label_slot(name, 2),
            }
    return slots


def _number_slots(name: str, slot: str) -> dict[str, Slot]:
    if slot == "ordinal":
        return {slot: ordinal_slot(name)}
    if slot:
        # One of two numbers in a sentence; both in digits, or both would have to be in words.
        return {slot: number_slot(name, digits=True)}
    return {
        "n": number_slot(name),
        "m": number_slot(name, 1),
        "more": number_slot(name, behind=" or more"),
        "times": times_slot(name),
        "times_m": times_slot(name, 1),
    }
