"""Two constraints conflict where no sensible answer keeps both, and only there."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax import constraints
from mapl_jax.constraints import conflicts

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


def count(id, number, relation="at least", key="number", relation_key="relation"):
    return (id, {key: number, relation_key: relation})


def sentences(relation, number):
    return ("length_constraints:number_sentences", {"num_sentences": number, "relation": relation})


def letters(letter, number):
    return (
        "keywords:letter_frequency",
        {"letter": letter, "let_frequency": number, "let_relation": "less than"},
    )


BULLETS = ("detectable_format:number_bullet_lists", {"num_bullets": 5})
POSTSCRIPT = ("detectable_content:postscript", {"postscript_marker": "P.S."})
QUOTATION = ("startend:quotation", {})
TWO = ("combination:two_responses", {})
DIVIDED = ("length_constraints:number_paragraphs", {"num_paragraphs": 3})
HIGHLIGHTS = ("detectable_format:number_highlighted_sections", {"num_highlights": 3})
SECTIONS = ("detectable_format:multiple_sections", {"section_spliter": "PART", "num_sections": 2})
FRENCH = ("language:response_language", {"language": "fr"})
NO_DIGITS = ("detectable_content:digits", {"negated": True})


def repeat(text):
    return ("combination:repeat_prompt", {"prompt_to_repeat": text})


CONFLICTS = [
    (NO_COMMA, repeat("Well, tell me.")),
    (NO_COMMA, ("keywords:frequency", {"keyword": "a,b", "frequency": 1, "relation": "at least"})),
    (LOWER, SECTIONS),
    (LOWER, keywords("NASA")),
    (UPPER, end("The End")),
    (
        UPPER,
        ("detectable_format:multiple_sections", {"section_spliter": "Part", "num_sections": 2}),
    ),
    (UPPER, keywords("McDonald")),
    (UPPER, end("so it is")),
    (
        UPPER,
        count(
            "change_case:capital_word_frequency",
            1,
            "less than",
            "capital_frequency",
            "capital_relation",
        ),
    ),
    (forbidden("well"), end("all is well")),
    (forbidden("tea"), repeat("Make tea.")),
    # Only together do the keywords hold too many letters.
    (keywords("eel", "tree"), letters("e", 4)),
    (
        ("keywords:frequency", {"keyword": "eel", "frequency": 3, "relation": "at least"}),
        letters("e", 6),
    ),
    (words("less than", 3), keywords("one two", "three four")),
    (words("less than", 4), sentences("at least", 5)),
    (words("less than", 2), SECTIONS),
    (words("less than", 3), HIGHLIGHTS),
    (
        words("less than", 10),
        ("length_constraints:longest_sentence", {"number": 12, "relation": "at least"}),
    ),
    (words("less than", 10), count("length_constraints:first_sentence", 12)),
    (words("less than", 10), count("length_constraints:distinct_words", 12)),
    (
        ("length_constraints:shortest_sentence", {"number": 9, "relation": "at least"}),
        ("length_constraints:longest_sentence", {"number": 9, "relation": "less than"}),
    ),
    (
        ("length_constraints:longest_sentence", {"number": 9, "relation": "at least"}),
        ("length_constraints:longest_paragraph", {"number": 9, "relation": "less than"}),
    ),
    (QUOTATION, POSTSCRIPT),
    (QUOTATION, end("so it is")),
    (QUOTATION, count("punctuation:quotation_marks", 2, "less than")),
    (DIVIDED, HIGHLIGHTS),
    (DIVIDED, TWO),
    (TWO, BULLETS),
    (
        TWO,
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "first"},
        ),
    ),
    (NO_DIGITS, SECTIONS),
    (NO_DIGITS, count("detectable_format:numbered_steps", 2)),
    (NO_DIGITS, end("since 1999")),
    (JSON, ("startend:question_end", {})),
    (JSON, count("detectable_format:headings", 2)),
    (JSON, ("detectable_format:table", {"columns": 2})),
    (("startend:question_end", {}), ("startend:full_stop_end", {})),
    (("startend:question_end", {}), end("so it is.")),
    (("startend:question_end", {"negated": True}), end("is it?")),
    (("startend:first_word", {"word": "Well"}), repeat("Tell me.")),
    (("startend:last_word", {"word": "was", "negated": True}), end("so it was")),
    (FRENCH, ("language:response_language", {"language": "de"})),
    (FRENCH, LOWER),
    (count("detectable_format:lines", 4, "less than"), BULLETS),
    (("detectable_content:links", {}), ("detectable_format:constrained_response", {})),
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
    (LOWER, (POSTSCRIPT[0], {"postscript_marker": "P.S.", "negated": True})),
    (UPPER, POSTSCRIPT),
    (UPPER, SECTIONS),
    (UPPER, keywords("tea")),
    (UPPER, keywords("NASA")),
    (keywords("eel", "tree"), letters("e", 5)),
    # One stands within the other.
    (keywords("tree", "apple tree"), letters("e", 4)),
    (words("less than", 5), keywords("one two", "three four")),
    (words("less than", 6), sentences("at least", 5)),
    (words("at least", 6), sentences("less than", 5)),
    (QUOTATION, ("startend:last_word", {"word": "was"})),
    (DIVIDED, BULLETS),
    (DIVIDED, ("detectable_format:bold", {"negated": True})),
    (TWO, TITLE),
    (TWO, NO_COMMA),
    (TWO, count("length_constraints:characters", 400)),
    (NO_DIGITS, end("so it is")),
    (JSON, count("punctuation:colons", 2)),
    (("startend:question_end", {}), end("is it?")),
    (("startend:first_word", {"word": "Tell"}), repeat("Tell me.")),
    (("startend:last_word", {"word": "is", "negated": True}), end("so it was")),
    (FRENCH, ("startend:first_word", {"word": "Bonjour"})),
    (count("detectable_format:lines", 6, "less than"), BULLETS),
    (HIGHLIGHTS, ("detectable_format:bold", {})),
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


def test_what_has_nothing_in_common_need_not_be_compared():
    rng = np.random.default_rng(0)
    texts = ("Sure. My cat sleeps.\n\n- One\n- Two\n\nWill YOU?", "no, 12 cats of 3 MEN: a (b)")
    items = [
        constraints.asked(id, params)
        for id in constraints.ids()
        for text in texts
        for wanted in (True, False)
        for _ in range(3)
        if (params := constraints.propose(id, [(text, wanted)], rng)) is not None
    ]
    apart = 0
    for a, b in itertools.combinations(items, 2):
        if None not in (a.touches, b.touches) and a.touches.isdisjoint(b.touches):
            apart += 1
            assert conflicts.demands(a.demands, b.demands) is None, (a, b)
    assert apart > len(items)


# IFEval's map of conflicts, with arguments that do not conflict for a reason of their own.
PLAIN = {
    "change_case:capital_word_frequency": {"capital_frequency": 3, "capital_relation": "at least"},
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "combination:repeat_prompt": {"prompt_to_repeat": "tell me"},
    "combination:two_responses": {},
    "detectable_content:number_placeholders": {"num_placeholders": 2},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:constrained_response": {},
    "detectable_format:json_format": {},
    "detectable_format:multiple_sections": {"section_spliter": "PART", "num_sections": 2},
    "detectable_format:number_bullet_lists": {"num_bullets": 3},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "detectable_format:title": {},
    "keywords:existence": {"keywords": ["tea"]},
    "keywords:forbidden_words": {"forbidden_words": ["coffee"]},
    "keywords:frequency": {"keyword": "milk", "frequency": 2, "relation": "at least"},
    "keywords:letter_frequency":
        {"letter": "e", "let_frequency": 40, "let_relation": "at least"},
    "language:response_language": {"language": "en"},
    "length_constraints:nth_paragraph_first_word":
        {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "then"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 3},
    "length_constraints:number_sentences": {"num_sentences": 5, "relation": "at least"},
    "length_constraints:number_words": {"num_words": 100, "relation": "at least"},
    "punctuation:no_comma": {},
    "startend:end_checker": {"end_phrase": "all is well"},
    "startend:quotation": {},
}  # fmt: skip
GOES_WITH = {
    "detectable_format:constrained_response": set(),
    "detectable_format:json_format": {"keywords:existence", "keywords:forbidden_words"},
    "combination:two_responses": {
        "keywords:existence", "keywords:forbidden_words", "language:response_language",
        "detectable_format:title", "punctuation:no_comma",
    },
    "combination:repeat_prompt": {
        "keywords:existence", "detectable_format:title", "punctuation:no_comma",
    },
}  # fmt: skip
OTHER_PAIRS = {
    frozenset(pair)
    for one, others in {
        "language:response_language": [
            "change_case:english_capital", "change_case:english_lowercase",
            "detectable_format:multiple_sections", "keywords:existence", "keywords:frequency",
            "keywords:forbidden_words", "startend:end_checker",
        ],
        "change_case:capital_word_frequency": [
            "change_case:english_capital", "change_case:english_lowercase",
        ],
        "change_case:english_capital": ["change_case:english_lowercase"],
        "detectable_format:number_highlighted_sections": ["detectable_format:multiple_sections"],
        "startend:quotation": ["detectable_format:title"],
        "length_constraints:number_paragraphs": [
            "length_constraints:nth_paragraph_first_word", "length_constraints:number_sentences",
        ],
    }.items()
    for pair in itertools.product([one], others)
}  # fmt: skip
# Real, but not in the map: the letters of one in the text of the other, or two uses of `*` or `"`.
MISSING_FROM_THE_MAP = {
    frozenset(pair)
    for pair in (
        ("change_case:english_lowercase", "detectable_format:multiple_sections"),
        ("change_case:english_lowercase", "detectable_content:postscript"),
        ("change_case:english_capital", "startend:end_checker"),
        ("startend:quotation", "startend:end_checker"),
        ("startend:quotation", "detectable_content:postscript"),
        ("length_constraints:number_paragraphs", "detectable_format:number_highlighted_sections"),
    )
}


def in_the_map(a, b):
    for one, other in ((a, b), (b, a)):
        if one in GOES_WITH and other not in GOES_WITH[one]:
            return True
    return frozenset((a, b)) in OTHER_PAIRS


def test_the_map_of_ifeval_is_kept():
    assert sorted(PLAIN) == list(constraints.ids(beyond_ifeval=False))
    pairs = list(itertools.combinations(sorted(PLAIN), 2))
    assert sum(in_the_map(*pair) for pair in pairs) == 94
    for a, b in pairs:
        reason = constraints.conflict((a, PLAIN[a]), (b, PLAIN[b]))
        expected = in_the_map(a, b) or frozenset((a, b)) in MISSING_FROM_THE_MAP
        assert bool(reason) is expected, (a, b, reason)
    for id, params in PLAIN.items():
        assert constraints.conflict((id, params), (id, params))


def test_a_real_response_proves_what_it_keeps():
    response = "One sentence. Two sentences. And a third, in <<brackets>>."
    # IFEval's own prompts ask for a range like this, of one family.
    span = [sentences("at least", 2), sentences("less than", 5)]
    assert constraints.conflict(*span)
    assert not constraints.consistent(span)
    assert constraints.consistent(span, response)
    assert not constraints.consistent(span, "One sentence.")
    quoted = [TITLE, QUOTATION]
    assert constraints.consistent(quoted, '"<<tea>>"')
    assert not constraints.consistent(quoted, response)
    assert constraints.consistent([TITLE, words("at least", 5), NO_COMMA])
    assert constraints.consistent([])


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_whatever_is_derived_from_one_response_is_consistent(seed):
    rng = np.random.default_rng(seed)
    response = "# Tea\n\nSure, I can help: **boil** WATER.\n\n- One\n- Two\n\nWill YOU drink it?"
    items = [
        (id, params)
        for id in constraints.ids()
        if (params := constraints.propose(id, [(response, True)], rng)) is not None
    ]
    assert len(items) > 40
    assert constraints.consistent(items, response)
