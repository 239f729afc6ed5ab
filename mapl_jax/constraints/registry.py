"""The families of constraints and what can be asked of them."""

import dataclasses
import difflib
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from mapl_jax.constraints import conflicts, redundancy
from mapl_jax.constraints.amounts import Random
from mapl_jax.constraints.base import Conditions, Demands, Family, Sides
from mapl_jax.constraints.families import (
    case,
    combination,
    content,
    formats,
    keywords,
    language,
    length,
    letters,
    markdown,
    paragraphs,
    punctuation,
    scope,
    startend,
    topics,
)
from mapl_jax.constraints.families.wordings import FORMS
from mapl_jax.constraints.forms import Form
from mapl_jax.constraints.parameters import Params, Value
from mapl_jax.constraints.templates import Template
from mapl_jax.constraints.text.cached import cached
from mapl_jax.constraints.text.statistics import view

FAMILIES: dict[str, Family] = {
    family.id: family
    for module in (
        case,
        combination,
        content,
        formats,
        keywords,
        language,
        length,
        letters,
        markdown,
        paragraphs,
        punctuation,
        scope,
        startend,
        topics,
    )
    for family in module.FAMILIES
}

Item = tuple[str, Params]


def register(family: Family, *forms: Form) -> None:
    """Adds a family of constraints, or replaces one that was added.

    Args:
        family: with an id of its own, "group:name".
        forms: its sentences, made by `constraints.forms.form`.

    Raises:
        ValueError: the id is one of the package's, or there are no sentences.

    Examples:
        >>> from mapl_jax import constraints
        >>> from mapl_jax.constraints.forms import form
        >>> from mapl_jax.constraints.shapes import Flag
        >>> family = Flag("my:question", lambda text: "?" in text.raw)
        >>> constraints.register(
        ...     family,
        ...     form("Ask something back.", "Ask a question."),
        ...     form("Ask nothing back.", "Ask no question.", negated=True),
        ... )
        >>> constraints.check("my:question", {}, "Why?"), constraints.parse("Ask nothing back.")
        (True, ('my:question', {'negated': True}))
        >>> constraints.unregister("my:question")
    """
    if family.id in _OWN or ":" not in family.id or not forms:
        raise ValueError(f"{family.id!r}: give an id of its own, group:name, and sentences")
    FORMS[family.id] = forms
    FAMILIES[family.id] = family
    _templates.cache_clear()


def unregister(id: str) -> None:
    """Takes a family away that was added."""
    if id not in _OWN:
        FAMILIES.pop(id, None)
        FORMS.pop(id, None)
        _templates.cache_clear()


_OWN = frozenset(FAMILIES)


def ids(*, held_out: bool | None = None, beyond_ifeval: bool | None = None) -> tuple[str, ...]:
    """The ids of all families, sorted.

    Args:
        held_out: only families kept for evaluation (True), only the others (False), or all.
        beyond_ifeval: only families IFEval does not have (True), only IFEval's (False), or all.
    """
    return tuple(
        sorted(
            family.id
            for family in FAMILIES.values()
            if held_out in (None, family.held_out) and beyond_ifeval in (None, family.beyond_ifeval)
        )
    )


def validate(id: str, params: Params) -> None:
    """Makes sure that there is such a constraint.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    family_of(id).validate(params)


def check(id: str, params: Params, response: str) -> bool:
    """Whether a response keeps a constraint. Defined for every text.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    return family_of(id).check(params, response)


def margin(id: str, params: Params, response: str) -> float:
    """Signed distance of a response to the threshold, in the family's own unit; >= 0 if kept.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    return family_of(id).margin(params, response)


def margins(id: str, params: Params, responses: Iterable[str]) -> list[float]:
    """`margin` of each of several responses.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    return asked(id, params).margins(responses)


def propose(
    id: str, conditions: Conditions, rng: np.random.Generator, prompt: str | None = None
) -> Params | None:
    """Parameters derived from responses, for which `check` gives each its verdict, or None.

    Args:
        conditions: (response, whether it should keep the constraint), any number of them.
        rng: decides between the possible parameters.
        prompt: what the responses answer; words to use are of its topic then.

    Raises:
        ValueError: unknown id.
    """
    return family_of(id).propose(Sides(conditions, prompt), rng)


def is_natural(id: str, params: Params) -> bool:
    """Whether the number of a constraint, if it has one, is one that people would choose.

    Raises:
        ValueError: unknown id.
    """
    return family_of(id).is_natural(params)


def render(
    id: str,
    params: Params,
    rng: Random,
    *,
    held_out: bool = False,
    terse: bool = False,
    answer: str = "",
) -> str:
    """Puts a constraint into a sentence.

    Args:
        held_out: use the wordings kept for evaluation.
        terse: no question and no "please", as in a line of a list.
        answer: what to call the answer, one of `wording.ANSWERS`; drawn if there is none.

    Raises:
        ValueError: unknown id or bad parameters.
    """
    return family_of(id).render(params, rng, held_out=held_out, terse=terse, answer=answer)


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """A constraint, and what keeping it demands of a text; there is one of each (`known`)."""

    family: Family
    params: Params
    demands: Demands

    def margins(self, responses: Iterable[str]) -> list[float]:
        """`margin` of each of several responses."""
        measure, params = self.family.measure, self.params
        return [float(measure(params, view(response))) for response in responses]

    @cached
    def natural(self) -> bool:
        """Whether its number, if it has one, is one that people would choose."""
        return self.family.is_natural(self.params)

    @cached
    def touches(self) -> frozenset[str] | None:
        """What it has to do with; None: with anything."""
        return conflicts.touches(self.demands)

    @cached
    def topics(self) -> frozenset[str]:
        """What it speaks of."""
        return redundancy.topics(self.demands)


def asked(id: str, params: Params) -> Asked:
    """Makes a constraint ready to be compared with many others (`clash`).

    Raises:
        ValueError: unknown id or bad parameters.
    """
    family = family_of(id)
    family.validate(params)
    return known(family, params)


def known(family: Family, params: Params) -> Asked:
    """`asked` without validation, for parameters that the family itself proposed."""
    if not family.takes_lists:
        return _known(family, tuple(params.items()))
    items = [(name, tuple(it) if isinstance(it, list) else it) for name, it in params.items()]
    return _known(family, tuple(items))


@functools.lru_cache(maxsize=8192)
def _known(family: Family, items: tuple[tuple[str, Value | tuple[str, ...]], ...]) -> Asked:
    params = {name: list(it) if isinstance(it, tuple) else it for name, it in items}
    return Asked(family, params, family.demands(params))


@functools.lru_cache(maxsize=8192)
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


@functools.lru_cache(maxsize=8192)
def redundant(a: Asked, b: Asked) -> str | None:
    """Why one of two constraints has nothing to add to the other; None if both have a say."""
    if not a.topics.isdisjoint(b.topics):
        return f"both speak of {', '.join(sorted(a.topics & b.topics))}"
    for one, other in ((a, b), (b, a)):
        reason = redundancy.follows(one.demands, other.demands) or _kept_by(one, other)
        if reason:
            return reason
    return None


def redundant_together(many: Sequence[Asked]) -> str | None:
    """Why one of several constraints has nothing to add to all the others; None if each has."""
    return redundancy.brought_together([each.demands for each in many])


_OTHER_WORDS = "so it is said"


def _kept_by(a: Asked, b: Asked) -> str | None:
    """The text that must stand in the answer for `a` and already keeps `b`, as a reason."""
    for text in a.demands.exact:
        # Among other words, at either end: the text need not be a sentence of its own.
        if (
            _keeps(b, f"{_OTHER_WORDS} {text}")
            and _keeps(b, f"{text} {_OTHER_WORDS}")
            and not _keeps(b, _OTHER_WORDS)
        ):
            return f"{text!r}, which is required, already keeps it"
    return None


def _keeps(asked: Asked, text: str) -> bool:
    return asked.family.measure(asked.params, view(text)) >= 0


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
    return family_of(id).group


def family_of(id: str) -> Family:
    """The family of an id.

    Raises:
        ValueError: unknown id, with the nearest one there is.
    """
    if id not in FAMILIES:
        close = difflib.get_close_matches(id, FAMILIES, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown constraint {id!r}{hint}")
    return FAMILIES[id]


def templates_for(text: str, exact: bool = True) -> Iterator[tuple[Family, Template]]:
    """Families and those of their templates that may have made a sentence, by its first word.

    Args:
        exact: the sentence as it stands; otherwise its core.
    """
    if text:
        yield from _templates(exact).get(text.split(maxsplit=1)[0].lower(), ())
        yield from _templates(exact).get("", ())


@functools.cache
def _templates(exact: bool) -> dict[str, list[tuple[Family, Template]]]:
    """Templates by the first word of their sentences; "" has those that begin with any word."""
    found: dict[str, list[tuple[Family, Template]]] = {}
    for family in FAMILIES.values():
        for form in family.forms:
            templates = [*form.train, *form.held_out]
            if not exact:
                templates = list({each.core.text: each.core for each in templates}.values())
            for template in templates:
                for opening in template.openings or ("",):
                    found.setdefault(opening, []).append((family, template))
    return found
