"""From text back to the instructions that it asks for."""

import contextlib
import itertools
import re

from mapl_jax.constraints.parameters import Params
from mapl_jax.constraints.plain import core
from mapl_jax.constraints.registry import Item, templates_for
from mapl_jax.constraints.wording import JOINED

_PLAIN = 200  # characters at most of a plain wording
_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\(?\w{1,3}[.)])\s+")
_END = re.compile(r"""[.!?]["'\u201d\u2019)*]*(?=\s|$)|$""")
_JOINT = re.compile(r",? and |, ")
_LONGEST = 12  # ends of sentences within an instruction, which may quote some; joints


def parse(text: str) -> tuple[str, Params]:
    """Reads a sentence made by `render` back, or another that clearly means the same (`plain`).

    Raises:
        ValueError: the sentence is of no family.
    """
    text = text.strip()
    for exact in (True, False):
        sentence = text if exact else core(text) if len(text) <= _PLAIN else ""
        found: list[tuple[bool, Item]] = []
        for family, template in templates_for(sentence, exact):
            params = template.read(sentence)
            if params is None:
                continue
            try:
                family.validate(params)
            except ValueError:
                continue
            if exact:
                return family.id, params
            # "One sentence" stands as such in one family, and in another as a number of them.
            reading = ("{" in template.text, (family.id, params))
            if reading not in found:
                found.append(reading)
        found = [each for each in found if not each[0]] or found
        if len(found) == 1:
            return found[0][1]
    raise ValueError(f"no constraint reads like this: {text!r}")


def read(text: str) -> list[Item]:
    """The constraints that a text asks for, in sentences that `parse` reads; others are
    passed over.

    They may stand anywhere in it, as prose or as lines of a list.
    """
    found: list[Item] = []
    for line in text.splitlines():
        left = _BULLET.sub("", line, count=1)
        while left := left.strip():
            ends = [match.end() for match in itertools.islice(_END.finditer(left), _LONGEST)]
            for end in reversed(ends):
                if items := _parsed(left[:end]) or _unwoven(left[:end]):
                    found += items
                    break
            left = left[end:]
    return found


def _parsed(sentence: str) -> list[Item]:
    with contextlib.suppress(ValueError):
        return [parse(sentence)]
    return []


def _unwoven(sentence: str) -> list[Item]:
    """Commands that were joined into one sentence; none if any part of it is none."""
    text = sentence.removeprefix(JOINED).removesuffix(".")
    joints = [match.span() for match in itertools.islice(_JOINT.finditer(text), _LONGEST)]
    # Parts hold "and" and commas of their own, so the longest that can be read comes first.
    for start, end in reversed(joints):
        first = _parsed(f"{text[0].upper()}{text[1:start]}.")
        rest = text[end:]
        if first and (others := _parsed(f"{rest[0].upper()}{rest[1:]}.") or _unwoven(rest)):
            return [*first, *others]
    return []
