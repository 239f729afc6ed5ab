"""Verifiable constraints on a response: checked, derived from responses, put into words.

Everything goes through the functions of this module; a constraint is an id and its parameters.

    validate(id, params)                       whether there is such a constraint
    check(id, params, response) -> bool        whether the response keeps it
    margin(id, params, response) -> float      how far from the threshold, >= 0 if kept
    propose(id, conditions, rng) -> params     parameters that give these responses these verdicts
    render(id, params, rng) -> str             an English sentence
    parse(text) -> (id, params)                the sentence read back, or a plain one
    read(text) -> [(id, params), ...]          the sentences of a whole prompt read back
    conflict(a, b) -> reason                   why no answer can keep both
    redundant(asked(*a), asked(*b)) -> reason  why one adds nothing to the other
    unasked(id, params, request) -> reason     why nobody would ask for it with a request
    consistent(items, witness) -> bool         whether a response proves them, or none conflict
    register(family, *forms)                   adds a family of your own

Ids and parameters of 25 families are IFEval's (arXiv 2311.07911); the others are marked. The checks
here mean what the sentences say, so they mend what is plainly a slip in IFEval's: keywords are
whole words, for example. `verdict` judges as IFEval does, quirks included. One file a group of
families; a new family is one more entry of its `FAMILIES`.

May import: constraints.families, constraints.families.wordings, constraints.text.
"""

from collections.abc import Sequence

from mapl_jax.constraints.amounts import AT_LEAST, LESS_THAN, RELATIONS, Random
from mapl_jax.constraints.base import Family, Sides
from mapl_jax.constraints.ifeval import verdict
from mapl_jax.constraints.pool import Pool
from mapl_jax.constraints.reading import parse, read
from mapl_jax.constraints.registry import (
    Asked,
    asked,
    check,
    clash,
    conflict,
    consistent,
    family_of,
    group,
    ids,
    is_natural,
    known,
    margin,
    margins,
    propose,
    redundant,
    redundant_together,
    register,
    render,
    unregister,
    validate,
)
from mapl_jax.constraints.requests import LENIENT, STRICT, STRICTEST, Request, unasked, unasked_of

__all__: Sequence[str] = (
    "AT_LEAST",
    "LENIENT",
    "LESS_THAN",
    "RELATIONS",
    "STRICT",
    "STRICTEST",
    "Asked",
    "Family",
    "Pool",
    "Random",
    "Request",
    "Sides",
    "asked",
    "check",
    "clash",
    "conflict",
    "consistent",
    "family_of",
    "group",
    "ids",
    "is_natural",
    "known",
    "margin",
    "margins",
    "parse",
    "propose",
    "read",
    "redundant",
    "redundant_together",
    "register",
    "render",
    "unasked",
    "unasked_of",
    "unregister",
    "validate",
    "verdict",
)
