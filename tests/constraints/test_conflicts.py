"""Two constraints conflict where no sensible answer keeps both, and only there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax import constraints

LOWER = ("change_case:english_lowercase", {})
UPPER = ("change_case:english_capital", {})
NO_COMMA = ("punctuation:no_comma", {})
JSON = ("detectable_format:json_format", {})
TITLE = ("detectable_format:title", {})


def words(relation, number):
    return ("length_constraints:number_words", {"num_words": number, "relation": relation})


def keywords(*values):
    return ("keywords:existence", {"keywords": list(values)})


def forbidden(*values):
    return ("keywords:forbidden_words", {"forbidden_words": list(values)})


def end(phrase):
    return ("startend:end_checker", {"end_phrase": phrase})


CONFLICTS = [
    (LOWER, UPPER),
    (LOWER, ("detectable_content:postscript", {"postscript_marker": "P.S."})),
    (LOWER, end("The End")),
    (
        LOWER,
        ("detectable_format:multiple_sections", {"section_spliter": "PART", "num_sections": 2}),
    ),
    (
        LOWER,
        (
            "change_case:capital_word_frequency",
            {"capital_frequency": 2, "capital_relation": "at least"},
        ),
    ),
    (NO_COMMA, end("well, goodbye")),
    (NO_COMMA, keywords("a, b")),
    (NO_COMMA, ("punctuation:commas", {"number": 2, "relation": "at least"})),
    (forbidden("tea"), keywords("green tea")),
    (
        forbidden("tea"),
        ("keywords:frequency", {"keyword": "Tea", "frequency": 2, "relation": "at least"}),
    ),
    (
        keywords("eerie"),
        (
            "keywords:letter_frequency",
            {"letter": "e", "let_frequency": 3, "let_relation": "less than"},
        ),
    ),
    (
        words("less than", 10),
        (
            "length_constraints:number_sentences",
            {"num_sentences": 10, "relation": "at least"},
        ),
    ),
    (words("less than", 5), ("detectable_format:number_bullet_lists", {"num_bullets": 5})),
    (
        words("at least", 300),
        ("length_constraints:characters", {"number": 100, "relation": "less than"}),
    ),
    (end("so it is"), ("startend:last_word", {"word": "was"})),
    (
        ("startend:first_word", {"word": "well"}),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "first"},
        ),
    ),
    (JSON, TITLE),
    (JSON, words("at least", 20)),
    (("detectable_format:constrained_response", {}), words("at least", 20)),
    (TITLE, ("startend:quotation", {})),
    (NO_COMMA, NO_COMMA),
]
NO_CONFLICTS = [
    (NO_COMMA, keywords("tea")),
    (("punctuation:no_comma", {"negated": True}), end("well, goodbye")),
    (NO_COMMA, ("punctuation:commas", {"number": 2, "relation": "less than"})),
    (LOWER, keywords("tea")),
    (("change_case:english_lowercase", {"negated": True}), end("The End")),
    (forbidden("tea"), keywords("steam")),
    (words("less than", 50), ("detectable_format:number_bullet_lists", {"num_bullets": 5})),
    (
        words("at least", 50),
        ("length_constraints:characters", {"number": 400, "relation": "less than"}),
    ),
    (JSON, keywords("tea")),
    (("detectable_format:json_format", {"negated": True}), TITLE),
    (end("so it was"), ("startend:last_word", {"word": "Was"})),
    (TITLE, words("at least", 20)),
]


@pytest.mark.parametrize(("a", "b"), CONFLICTS)
def test_these_conflict_and_say_why(a, b):
    assert constraints.conflict(a, b)


@pytest.mark.parametrize(("a", "b"), NO_CONFLICTS)
def test_these_do_not(a, b):
    assert constraints.conflict(a, b) is None


@pytest.mark.parametrize(("a", "b"), CONFLICTS + NO_CONFLICTS)
def test_the_order_does_not_matter(a, b):
    assert (constraints.conflict(a, b) is None) == (constraints.conflict(b, a) is None)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.data())
def test_any_two_are_symmetric(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    text = "Sure, I can help. My cat sleeps.\n\n- One\n- Two\n\nWill YOU?"
    items = []
    for _ in range(2):
        id = data.draw(st.sampled_from(constraints.ids()))
        params = constraints.propose(id, [(text, data.draw(st.booleans()))], rng)
        if params is None:
            return
        items.append((id, params))
    a, b = items
    assert (constraints.conflict(a, b) is None) == (constraints.conflict(b, a) is None)
