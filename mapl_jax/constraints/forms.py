"""Forms of a family: the templates for one kind of its parameters, and the parameters it fixes.

A template is a sentence with slots:

    {answer} {Answer}   your answer, the response, ...
    {n} {m}             the number; the number less one, as in "at most {m}". A template with {m} is
                        left out where that would be nothing
    {n:word|words}      the number with a noun that agrees with it
    {more}              the number as in "three or more", where that is not one
    {times} {times_m}   once, twice, three times; the same of the number less one
    {word} {plain}      a text of the parameters in quotes; a plain word also without

Each family has further ones of its own (`wording`). The full stop that ends a template is left out
behind a quotation that itself ends a sentence: End with "That is all."
"""

import dataclasses
from collections.abc import Mapping

from mapl_jax.constraints.parameters import Value


@dataclasses.dataclass(frozen=True)
class Form:
    """Templates for one form of a family.

    Attributes:
        train: templates for training.
        held_out: templates kept for evaluation, paraphrases of the same meaning.
        fixed: parameters that the form stands for, shown in no slot. A count and its relation are
            called "number" and "relation" here, whatever the family calls them.
        rare: for parameters that no response brings about; a few templates are enough.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    fixed: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    rare: bool = False

    def where(self, **fixed: Value) -> "Form":
        """The same templates for other parameters."""
        return dataclasses.replace(self, fixed=fixed)

    def replaced(self, **names: str) -> "Form":
        """With words put in the place of names in capitals, in the order given."""
        train, held_out = self.train, self.held_out
        for name, text in names.items():
            train, held_out = (
                tuple(_capitalized(line.replace(name, text)) for line in lines)
                for lines in (train, held_out)
            )
        return dataclasses.replace(self, train=train, held_out=held_out)


def form(train: str, held_out: str, *, rare: bool = False, **fixed: Value) -> Form:
    """A form from two texts with a template on each line."""
    return Form(_lines(train), _lines(held_out), fixed, rare)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines() if line.strip())


def _capitalized(line: str) -> str:
    if line.startswith("{the_"):
        return "{The_" + line.removeprefix("{the_")
    return line[0].upper() + line[1:]
