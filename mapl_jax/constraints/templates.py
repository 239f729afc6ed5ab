"""Sentences from the templates of a family: written, chosen and read back."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mapl_jax.constraints import plain
from mapl_jax.constraints.amounts import Random
from mapl_jax.constraints.forms import Form
from mapl_jax.constraints.parameters import Choice, Parameter, Params, Value
from mapl_jax.constraints.wording import (
    COMMON_SLOTS,
    EACH_ANSWER,
    YOUR_ANSWERS,
    Slot,
    always,
)

_SLOT = re.compile(r"\{(\w+)(?::([^{}|]+)\|([^{}|]+))?\}")
_NEGATION = re.compile(r"(?:\b(?:not|no|never|avoid|without|leave out|any)\b|n't\b)", re.I)
_QUOTED = re.compile(r'"[^"]*"')
_BANS = re.compile(" (?:should|must)(?: not|n't| never)")
# A quotation that ends a sentence, and so the sentence around it.
_CLOSED = re.compile(r"[.?!][\"']$")
# Letters that `re.I` takes for others, beside those that `lower` does.
_FOLDED = str.maketrans("\u0130\u0131\u017f\u212a", "iisk")


class Template:
    """One sentence with slots, such as "Use {n:word|words} in {answer}.".

    Attributes:
        text: as it stands in the tables (`forms`).
        terse: fit for a line of a list: no question, no request.
        conditional: cannot say all parameters; see `possible`.
    """

    def __init__(self, text: str, slots: Mapping[str, Slot], fixed: Mapping[str, Value | None]):
        self.text = text
        self._all_slots = slots
        self._fixed = {key: value for key, value in fixed.items() if value is not None}
        self.terse = not (
            text.endswith("?")
            or "please" in text.lower()
            or text.startswith(("I ", "I'", "Give me"))
        )
        pieces = _SLOT.split(text)
        self._literals = pieces[::4]
        self._names = pieces[1::4]
        self._slots = [
            _with_noun({**COMMON_SLOTS, **slots}[name], one, many)
            for name, one, many in zip(self._names, pieces[2::4], pieces[3::4], strict=True)
        ]
        self._conditions = [s.possible for s in self._slots if s.possible is not always]
        self.conditional = bool(self._conditions)

    @functools.cached_property
    def _longest(self) -> str:
        """Words that every sentence of it holds, in lower case: most others lack them."""
        return max((it for it in self._literals if it != "."), key=len, default="").lower()

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Only reading needs the patterns, and compiling those of all families takes seconds.
        pattern = re.escape(self._literals[0])
        for place, (slot, literal) in enumerate(zip(self._slots, self._literals[1:], strict=True)):
            pattern += f"(?P<slot{place}>{slot.pattern})"
            if literal == ".":
                pattern += r"(?:(?<=[.?!][\"'])|(?<![.?!][\"'])\.)"
            else:
                pattern += re.escape(literal)
        return re.compile(pattern, re.I | re.S)

    @functools.cached_property
    def core(self) -> "Template":
        """The same without what frames it (`plain`)."""
        return Template(plain.core(self.text), self._all_slots, self._fixed)

    @property
    def openings(self) -> tuple[str, ...]:
        """First words, in lower case, of the sentences this template makes; none if any."""
        if self._literals[0]:
            return (self._literals[0].split()[0].lower(),)
        return self._slots[0].openings

    def possible(self, params: Params) -> bool:
        """Whether it can say these parameters."""
        return all(condition(params) for condition in self._conditions)

    def write(self, params: Params, rng: Random, answer: str = "") -> str:
        """Fills the slots.

        Args:
            rng: decides what may be said in several ways.
            answer: what to call the answer, one of ANSWERS; drawn if there is none.
        """
        text = self._literals[0]
        for name, slot, literal in zip(self._names, self._slots, self._literals[1:], strict=True):
            if answer and name in COMMON_SLOTS:
                opens = name == "Answer"
                shown = answer
                if answer == EACH_ANSWER and (
                    (opens and _BANS.match(literal)) or _NEGATION.search(_QUOTED.sub("", text))
                ):
                    shown = YOUR_ANSWERS
                shown = shown.capitalize() if opens else shown
            else:
                shown = slot.write(params, rng)
            if not text and slot.capital:
                shown = shown[0].upper() + shown[1:]
            text += shown
            if literal != "." or not _CLOSED.search(shown):
                text += literal
        return text

    def read(self, text: str) -> Params | None:
        """Parameters back from a sentence; None if it is not of this template."""
        small = (text if text.isascii() else text.translate(_FOLDED)).lower()
        if self._longest not in small:
            return None
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        params = dict(self._fixed)
        try:
            for place, slot in enumerate(self._slots):
                params |= slot.read(match[f"slot{place}"])
        except ValueError:
            return None
        return params


def _with_noun(slot: Slot, one: str | None, many: str | None) -> Slot:
    if one is None or many is None or slot.noun is None:
        return slot
    return slot.noun(one, many)


@dataclass(frozen=True)
class Sentences:
    """What a family says of one kind of its parameters.

    Attributes:
        fixed: values that these parameters have; None where they leave one out.
        train: templates for training.
        held_out: templates kept for evaluation.
        rare: no response brings such parameters about.
    """

    fixed: Mapping[str, Value | None]
    train: Sequence[Template]
    held_out: Sequence[Template]
    rare: bool

    @classmethod
    def of(
        cls, form: Form, slots: Mapping[str, Slot], names: Mapping[str, Parameter]
    ) -> "Sentences":
        """Makes the templates of a form.

        Args:
            form: as it stands in the tables.
            names: "number" and "relation" -> the parameter of the family that is meant.
        """
        fixed: dict[str, Value | None] = {}
        for name, value in form.fixed.items():
            parameter = names.get(name)
            default = parameter.default if isinstance(parameter, Choice) else None
            fixed[parameter.name if parameter else name] = None if value == default else value
        train, held_out = (
            [Template(text, slots, fixed) for text in texts]
            for texts in (form.train, form.held_out)
        )
        return cls(fixed, train, held_out, form.rare)

    def fits(self, params: Params) -> bool:
        """Whether these are parameters of the kind."""
        return [params.get(name) for name in self.fixed] == [*self.fixed.values()]

    def choices(self, params: Params, held_out: bool, terse: bool) -> Sequence[Template]:
        """Templates that can say these parameters.

        Args:
            held_out: those kept for evaluation.
            terse: only those fit for a list, if there are any.
        """
        templates = self._chosen[held_out, terse]
        if self._conditional:
            possible = [it for it in templates if not it.conditional or it.possible(params)]
            templates = possible or templates
        return templates

    @functools.cached_property
    def _chosen(self) -> Mapping[tuple[bool, bool], Sequence[Template]]:
        return {
            (held_out, terse): [it for it in templates if it.terse or not terse] or templates
            for held_out, templates in ((False, self.train), (True, self.held_out))
            for terse in (False, True)
        }

    @functools.cached_property
    def _conditional(self) -> bool:
        return any(it.conditional for it in (*self.train, *self.held_out))
