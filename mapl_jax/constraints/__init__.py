"""Verifiable constraints on a response: checked, derived from responses, put into words.

Everything goes through the functions of this module; a constraint is an id and its parameters.

    validate(id, params)                       whether there is such a constraint
    check(id, params, response) -> bool        whether the response keeps it
    margin(id, params, response) -> float      how far from the threshold, >= 0 if kept
    propose(id, conditions, rng) -> params     parameters that give these responses these verdicts
    render(id, params, rng) -> str             an English sentence
    parse(text) -> (id, params)                the sentence read back
    conflict(a, b) -> reason                   why no answer can keep both
    consistent(items, witness) -> bool         whether a response proves them, or none conflict

Ids and parameters of 25 families are IFEval's (arXiv 2311.07911); the others are marked. The checks
here mean what the sentences say, so they mend what is plainly a slip in IFEval's: keywords are
whole words, for example. `verdict` judges as IFEval does, quirks included. One file a group of
families; a new family is one more entry of its `FAMILIES`.
"""

import dataclasses
import difflib
import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mapl_jax.constraints import (
    case,
    combination,
    conflicts,
    content,
    formats,
    keywords,
    language,
    length,
    punctuation,
    startend,
)
from mapl_jax.constraints.base import Conditions, Demands, Family, Params, Statistic
from mapl_jax.constraints.ifeval import verdict
from mapl_jax.constraints.text import Text
from mapl_jax.constraints.thresholds import AT_LEAST, LESS_THAN, RELATIONS, Random

_FAMILIES: dict[str, Family] = {
    family.id: family
    for module in (
        case,
        combination,
        content,
        formats,
        keywords,
        language,
        length,
        punctuation,
        startend,
    )
    for family in module.FAMILIES
}

Item = tuple[str, Params]
_ENOUGH = 48


def ids(*, held_out: bool | None = None, beyond_ifeval: bool | None = None) -> tuple[str, ...]:
    """The ids of all families, sorted.

    Args:
        held_out: only families kept for evaluation (True), only the others (False), or all.
        beyond_ifeval: only families IFEval does not have (True), only IFEval's (False), or all.
    """
    return tuple(
        sorted(
            family.id
            for family in _FAMILIES.values()
            if held_out in (None, family.held_out) and beyond_ifeval in (None, family.beyond_ifeval)
        )
    )


def validate(id: str, params: Params) -> None:
    """Makes sure that there is such a constraint.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    _family(id).validate(params)


def check(id: str, params: Params, response: str) -> bool:
    """Whether a response keeps a constraint. Defined for every text.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    return _family(id).check(params, response)


def margin(id: str, params: Params, response: str) -> float:
    """Signed distance of a response to the threshold, in the family's own unit; >= 0 if kept.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    return _family(id).margin(params, response)


def propose(id: str, conditions: Conditions, rng: np.random.Generator) -> Params | None:
    """Parameters derived from responses, so that each has the wanted verdict.

    Args:
        id: of the family.
        conditions: (response, whether it should keep the constraint), any number of them.
        rng: decides between the possible parameters.

    Returns:
        Parameters for which `check` gives every response its verdict, or None if the family finds
        none.

    Raises:
        ValueError: unknown id.
    """
    return _family(id).propose(conditions, rng)


def render(id: str, params: Params, rng: Random, *, held_out: bool = False) -> str:
    """Puts a constraint into a sentence.

    Args:
        id: of the family.
        params: its parameters.
        rng: decides the wording.
        held_out: use the wordings kept for evaluation.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    return _family(id).render(params, rng, held_out)


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Reads a sentence made by `render` back.

    Raises:
        ValueError: the sentence is of no family.
    """
    text = text.strip()
    opening = text.split(maxsplit=1)[0].lower() if text else ""
    for family, template in _templates().get(opening, ()):
        params = template.read(text)
        if params is None:
            continue
        try:
            family.validate(params)
        except ValueError:
            continue
        return family.id, params
    raise ValueError(f"no constraint reads like this: {text!r}")


@dataclasses.dataclass(frozen=True)
class Asked:
    """A constraint, and what keeping it demands of a text."""

    family: Family
    params: Params
    demands: Demands
    touches: frozenset[str] | None


def asked(id: str, params: Params) -> Asked:
    """Makes a constraint ready to be compared with many others (`clash`).

    Raises:
        ValueError: unknown id or bad parameters.
    """
    family = _family(id)
    family.validate(params)
    demands = family.demands(params)
    return Asked(family, params, demands, conflicts.touches(demands))


def clash(a: Asked, b: Asked) -> str | None:
    """Why no sensible answer keeps both constraints; None if nothing speaks against it."""
    if a.family.id == b.family.id:
        return f"two constraints of the same family, {a.family.id}"
    if not a.params.get("negated") and not b.params.get("negated"):
        beyond = a.family.beyond_ifeval or b.family.beyond_ifeval
        reason = conflicts.types(a.family.id, b.family.id, beyond)
        if reason:
            return reason
    if a.touches is not None and b.touches is not None and a.touches.isdisjoint(b.touches):
        return None
    return conflicts.demands(a.demands, b.demands)


def conflict(a: Item, b: Item) -> str | None:
    """Why no sensible answer keeps both constraints; None if nothing speaks against it.

    Args:
        a: id and parameters.
        b: the same of the other; the order does not matter.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    return clash(asked(*a), asked(*b))


def consistent(items: Sequence[Item], witness: str | None = None) -> bool:
    """Whether constraints can be asked for together.

    A real response that keeps all of them proves that they can, whatever the table of types says:
    IFEval's own prompts ask for two sentence counts, a range, which are of one family. Without
    such a witness no two of them may conflict.

    Args:
        items: ids and parameters.
        witness: a response that may keep all of them.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    if witness is not None and all(check(id, params, witness) for id, params in items):
        return True
    ready = [asked(*item) for item in items]
    return not any(clash(a, b) for a, b in itertools.combinations(ready, 2))


def group(id: str) -> str:
    """The part of an id before the colon, such as "length_constraints"."""
    return _family(id).group


_EMPTY = Text("")


class Pool:
    """Responses that tell how common it is to keep a constraint."""

    def __init__(self, responses: Sequence[str]):
        self._texts = [Text(response) for response in responses]
        self._known: dict[Any, bool] = {}
        self._values: dict[str, Counter[Any]] = {}
        self._holders: dict[str, list[int]] = {}
        for place, text in enumerate(self._texts):
            for word in text.word_counts:
                self._holders.setdefault(word, []).append(place)

    def share_within(self, id: str, params: Params, low: float, high: float) -> bool:
        """Whether at least `low` and at most `high` of the responses keep a constraint.

        Where the first 48 all keep it, or all break it, the others are not asked. A constraint on
        words is asked of those that hold one.

        Raises:
            ValueError: unknown id or bad parameters.
        """
        names = (tuple(v) if isinstance(v, list) else v for v in params.values())
        key = (id, low, high, *params, *names)
        if key not in self._known:
            if len(self._known) >= 100_000:
                self._known.clear()
            self._known[key] = self._count(_family(id), params, low, high)
        return self._known[key]

    def _values_of(self, family: Statistic) -> Counter[Any]:
        """How many of the responses have each value of the family's statistic."""
        if family.id not in self._values:
            self._values[family.id] = Counter(map(family.statistic, self._texts))
        return self._values[family.id]

    def _count(self, family: Family, params: Params, low: float, high: float) -> bool:
        family.validate(params)
        total = len(self._texts)
        kept_needed, broken_needed = math.ceil(low * total), math.ceil((1 - high) * total)
        words = family.about(params)
        kept = broken = 0
        if isinstance(family, Statistic):
            kept = sum(
                times
                for value, times in self._values_of(family).items()
                if family.judge(params, value) >= 0
            )
            return kept >= kept_needed and total - kept >= broken_needed
        if words:
            holders = {place for word in words for place in self._holders.get(word, ())}
            if family.measure(params, _EMPTY) >= 0:
                kept = total - len(holders)
            else:
                broken = total - len(holders)
            left = len(holders)
            for place in holders:
                if kept >= kept_needed and broken >= broken_needed:
                    return True
                if kept + left < kept_needed or broken + left < broken_needed:
                    return False
                keeps = family.measure(params, self._texts[place]) >= 0
                kept, broken, left = kept + keeps, broken + (not keeps), left - 1
            return kept >= kept_needed and broken >= broken_needed
        for seen, text in enumerate(self._texts, 1):
            kept += family.measure(params, text) >= 0
            # Most constraints are settled after a few responses.
            if kept >= kept_needed and seen - kept >= broken_needed:
                return True
            # So many alike leave no doubt worth the time.
            if seen >= _ENOUGH and ((not kept and kept_needed) or (kept == seen and broken_needed)):
                return False
        return False


def _family(id: str) -> Family:
    if id not in _FAMILIES:
        close = difflib.get_close_matches(id, _FAMILIES, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown constraint {id!r}{hint}")
    return _FAMILIES[id]


@functools.cache
def _templates() -> dict[str, list[tuple[Family, Any]]]:
    """Templates by the first word of their sentences."""
    found: dict[str, list[tuple[Family, Any]]] = {}
    for family in _FAMILIES.values():
        for _, train, held_out in family.templates:
            for template in (*train, *held_out):
                for opening in template.openings:
                    found.setdefault(opening, []).append((family, template))
    return found


__all__: Sequence[str] = (
    "AT_LEAST",
    "LESS_THAN",
    "RELATIONS",
    "Asked",
    "Pool",
    "Random",
    "asked",
    "check",
    "clash",
    "conflict",
    "consistent",
    "group",
    "ids",
    "margin",
    "parse",
    "propose",
    "render",
    "validate",
    "verdict",
)
