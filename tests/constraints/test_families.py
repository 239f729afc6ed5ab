"""Every family keeps its promises, on any text."""

import json
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mapl_jax import constraints
from mapl_jax.constraints import ifeval
from mapl_jax.constraints.base import Sides
from mapl_jax.constraints.shapes import Count

HOSTILE = [
    "",
    " \n\t ",
    "\x00\x01\x1f\x7f",
    "a" * 100_000,
    ". " * 20_000,
    "!" * 20_000,
    "* " * 20_000,
    "[" * 20_000 + "]" * 20_000,
    '{"a":' * 20_000,
    "<<" * 20_000,
    "```" * 10_000,
    "-" * 20_000 + "\n" + "|" * 20_000,
    "one\r\ntwo\r\n\r\nthree\r\n",
    "İstanbul ß ǅ ﬁ",
    "我们 说 中文。 ภาษาไทย हिन्दी العربية",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301",
    "\ud7ff\ue000\U0010ffff\u2028\u2029\x85",
    '"',
    "***" * 3,
    "******\n******",
    "1. 2. 3.\n1) a\n2) b",
    "9" * 5000,
    "\x0b\x0c\x1c\x1d\x85\u2028 odd\x0bwhite\x0cspace\x1c",
    "\u200bzero\u200dwidth\ufeff",
    "“curly ‘quotes’ «here»” )(][}{><",
]
# A megabyte each, of what patterns with a choice to go back on would take hours for.
HOSTILE_UNITS = [
    "a", "a*", "[", "<<", "{", "(", " \n", "***", "* ", "- ", "a ", "\n1. ", "|-",
    "\n|--", "**a", '"', "A' ", "``", "http://", "[a](", "p. ", "1,", "3 May ", "é", "\x1c", "😀",
]  # fmt: skip
TEXTS = [
    "Sure! Water boils at 100 degrees. My cat, your dog, and I know it.\n\nDo you?",
    "- Bring water\n- Heat it, slowly\n* Wait",
    "<<Tea>>\n\nSection 1\nBoil WATER.\n\nSection 2\nPour *it* over **leaves**.\n\nP.S. Enjoy.",
    '{"tea": ["water", "leaves"], "minutes": 3}',
    "MY ANSWER IS LOUD AND CLEAR.",
    "first answer here\n******\nsecond answer there",
    '"It is quoted, all of it."',
    "# Steps\n1. Wash [name]\n2. Dry\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx\n```\nhttps://a.b/c",
    "part one\n***\npart two",
    "My answer is no. On Tuesday in April we left. 😀",
    "it's so, it was so: it'll be (mostly) so, well-known",
    "Tea keeps for years. Water does not keep as long.",
    "On 3 March 2024 we said **hello** to the people there; they said it again, and again.",
    "The bakery on the hill has an oven, and the oven is older than the bakery. Every morning the "
    "baker lights the oven and puts in the bread, which takes so long that she reads the newspaper "
    "until the bakery smells of it and the neighbours come down to the door with their baskets.",
    "Bonjour à tous, voici une recette de cuisine qui est très facile à préparer ce soir.",
]
# In parts that nobody doubts, which instructions for parts are asked of.
PARTS = [
    "Do you like tea? We do, and we drink a lot of it. We like it.\n\nIt is good.",
    "It is tea, as far as I know.\n\nIt is hot! What is it that you like to drink? Say so.",
    "Tea is good. Some of us have always been drinking it with milk.\n\nDo you?",
    "Is it tea? Do you like it?",
    "1. Wash it\n2. Dry it for as long as it takes",
    "Tea it is, as it was for a long time and for all of us who came here to drink some of it at "
    "four. I had a cup. Have one!",
    "Tea is good. So say my friends.",
    "Tea is good. Have some milk with it, if you like.",
    "It might be tea. Some of us have it with milk, for example, and we like it.",
    "I think that you should really wait, but the tea is yours.",
]
texts = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from([text for text in HOSTILE if len(text) < 1000]),
    st.text(max_size=200),
    st.text("ab.,!?*-\n #1\"'<>[]()PS", max_size=60),
    st.lists(st.sampled_from(TEXTS), min_size=2, max_size=3).map("\n\n".join),
)
every_family = pytest.mark.parametrize("id", constraints.ids())
many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@every_family
@many
@given(
    conditions=st.lists(st.tuples(texts, st.booleans()), max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
@example(conditions=[(TEXTS[0], True), (TEXTS[1], False)], seed=0)
@example(conditions=[(TEXTS[1], False)], seed=1)
def test_what_is_proposed_is_confirmed(id, conditions, seed):
    rng = np.random.default_rng(seed)
    params = constraints.propose(id, conditions, rng)
    if params is None:
        return
    assert json.loads(json.dumps(params)) == params
    for text, wanted in conditions:
        assert constraints.check(id, params, text) is wanted
        assert (constraints.margin(id, params, text) >= 0) is wanted
    for held_out in (False, True):
        sentence = constraints.render(id, params, rng, held_out=held_out)
        assert constraints.parse(sentence) == (id, params)


@every_family
def test_no_text_is_too_odd_to_check(id):
    rng = np.random.default_rng(0)
    proposals = [constraints.propose(id, [(text, True)], rng) for text in TEXTS]
    proposals += [constraints.propose(id, [(text, False)], rng) for text in TEXTS]
    proposals = [params for params in proposals if params is not None]
    assert proposals
    for params in (proposals[0], proposals[-1]):
        for text in HOSTILE:
            assert constraints.check(id, params, text) in (True, False)


@pytest.mark.parametrize("unit", HOSTILE_UNITS)
def test_a_hostile_megabyte_is_checked_in_linear_time(unit):
    rng = np.random.default_rng(0)
    params = {
        id: next(filter(None, (constraints.propose(id, [(t, True)], rng) for t in TEXTS + PARTS)))
        for id in constraints.ids()
    }
    # A quadratic pattern takes far longer than this on the first, and hours on the second.
    for size, limit in ((50_000, 3), (1_000_000, 30)):
        text = unit * (size // len(unit))
        start = time.process_time()
        for id in constraints.ids():
            kept = constraints.check(id, params[id], text)
            assert size > 50_000 or kept is (constraints.margin(id, params[id], text) >= 0)
        assert time.process_time() - start < limit


@every_family
def test_both_verdicts_can_be_asked_of_some_text(id):
    rng = np.random.default_rng(0)
    for wanted in (True, False):
        texts = (*TEXTS, "It is so. Good luck!")
        found = [constraints.propose(id, [(text, wanted)], rng) for text in texts]
        assert any(params is not None for params in found)


@every_family
def test_some_pair_of_texts_is_told_apart_in_both_directions(id):
    rng = np.random.default_rng(0)
    for wanted in (True, False):
        assert any(
            constraints.propose(id, [(a, wanted), (b, not wanted)], rng) is not None
            for a in (*TEXTS, *PARTS)
            for b in (*TEXTS, *PARTS)
            if a != b
        )


@every_family
def test_nothing_is_proposed_that_a_text_both_keeps_and_breaks(id):
    rng = np.random.default_rng(0)
    for text in TEXTS:
        assert constraints.propose(id, [(text, True), (text, False)], rng) is None


@every_family
def test_the_same_seed_proposes_the_same(id):
    conditions = [(TEXTS[0], True), (TEXTS[2], False)]
    first, second = (
        constraints.propose(id, conditions, np.random.default_rng(7)) for _ in range(2)
    )
    assert first == second


@every_family
@pytest.mark.parametrize(
    "params", [{"unknown": 1}, {"negated": "yes"}, {"number": 0}, {"number": True}]
)
def test_bad_parameters_are_refused(id, params):
    with pytest.raises(ValueError, match="bad parameters"):
        constraints.check(id, params, "text")


# The 58 types of IFBench (arXiv 2507.02833), which is for evaluation only.
IFBENCH = """
    count:conjunctions count:keywords_multiple count:numbers count:person_names count:pronouns
    count:punctuation count:unique_word_count count:word_count_range count:words_japanese
    custom:character_reverse custom:csv_city custom:csv_quotes custom:csv_special_character
    custom:date_format_list custom:european_capitals_sort custom:mcq_count_length custom:multiples
    custom:reverse_newline custom:sentence_alphabet custom:word_reverse format:emoji
    format:line_indent format:list format:newline format:no_bullets_bullets format:no_whitespace
    format:options format:output_template format:parentheses format:quote_unquote format:quotes
    format:sub-bullets format:thesis format:title_case ratio:overlap ratio:sentence_balance
    ratio:sentence_type ratio:sentence_words ratio:stop_words repeat:repeat_change
    repeat:repeat_simple repeat:repeat_span sentence:alliteration_increment sentence:increment
    sentence:keyword words:alphabet words:consonants words:keywords_specific_position
    words:last_first words:no_consecutive words:odd_even_syllables words:palindrome
    words:paragraph_last_first words:prime_lengths words:repeats words:start_verb words:vowel
    words:words_position
""".split()
# Ours that ask for the same thing under another name.
SAME_AS_IFBENCH = {
    "length_constraints:word_range": "count:word_count_range",
    "length_constraints:distinct_words": "count:unique_word_count",
}


def test_no_family_meant_for_training_is_one_of_ifbench():
    assert len(IFBENCH) == 58
    assert {*SAME_AS_IFBENCH.values()} <= {*IFBENCH}
    assert not {*constraints.ids()} & {*IFBENCH}
    assert {*SAME_AS_IFBENCH} <= {*constraints.ids(held_out=True)}
    assert not {*SAME_AS_IFBENCH} & {*constraints.ids(held_out=False)}


def test_all_of_ifeval_and_more_than_twenty_families_of_our_own():
    assert constraints.ids(beyond_ifeval=False) == tuple(sorted(ifeval.IDS))
    assert len(constraints.ids(beyond_ifeval=True, held_out=False)) >= 20


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'punctuation:no_comma'"):
        constraints.check("punctuation:no_commas", {}, "text")


def test_ids_part_into_trained_and_held_out():
    trained, held_out = constraints.ids(held_out=False), constraints.ids(held_out=True)
    assert held_out
    assert sorted({*trained, *held_out}) == list(constraints.ids())
    assert not {*trained} & {*held_out}
    assert constraints.group("length_constraints:number_words") == "length_constraints"


AT_LEAST, LESS_THAN = "at least", "less than"


@pytest.mark.parametrize(
    ("id", "params", "text", "ifeval", "meant"),
    [
        ("keywords:existence", {"keywords": ["war"]}, "warning", True, False),
        ("keywords:existence", {"keywords": ["a.c"]}, "abc", True, False),
        ("keywords:frequency", {"keyword": "le", "frequency": 1, "relation": AT_LEAST},
         "letter", True, False),
        ("keywords:forbidden_words", {"forbidden_words": ["a.c"]}, "abc", False, True),
        ("length_constraints:number_sentences", {"num_sentences": 2, "relation": LESS_THAN},
         "Take e.g. salt.", False, True),
        ("length_constraints:nth_paragraph_first_word",
         {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
         "a\n\n\n\n**Then** b", False, True),
        ("change_case:capital_word_frequency",
         {"capital_frequency": 2, "capital_relation": AT_LEAST}, "DON'T go", True, False),
        ("change_case:english_capital", {}, "WATER BOILS AT ONE HUNDRED DEGREES", False, True),
        ("change_case:english_lowercase", {}, "yes, sure", False, True),
        ("detectable_content:number_placeholders", {"num_placeholders": 1}, "[]", True, False),
        ("detectable_content:number_placeholders", {"num_placeholders": 1}, "[a](b)", True, False),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, "a p.s. b", True, False),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, "P.P.S. b", True, False),
        ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "---", True, False),
        ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "+ a", False, True),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "***x***",
         True, False),
        ("detectable_format:multiple_sections", {"section_spliter": "Part", "num_sections": 2},
         "Part 1, Part 1", True, False),
        ("detectable_format:json_format", {}, "12", True, False),
        ("language:response_language", {"language": "fi"}, "1, 2, 3", True, False),
    ],
)  # fmt: skip
def test_plain_slips_of_ifeval_are_mended(id, params, text, ifeval, meant):
    assert constraints.verdict(id, params, "", text) is ifeval
    assert constraints.check(id, params, text) is meant


def test_what_is_one_language_is_told_apart_from_another():
    french, english = TEXTS[-1], TEXTS[-2]
    rng = np.random.default_rng(0)
    id = "language:response_language"
    assert constraints.check(id, {"language": "fr"}, french)
    assert constraints.check(id, {"language": "fr"}, french.upper())
    assert not constraints.check(id, {"language": "fr"}, english)
    assert constraints.check(id, {"language": "fr", "negated": True}, english)
    # Nothing is said of what is too short to tell, or where both are in one language.
    assert constraints.propose(id, [("Sure.", True)], rng) is None
    assert constraints.propose(id, [(english, True), (TEXTS[0], False)], rng) is None
    assert constraints.propose(id, [(french, True), (english, False)], rng) in (
        {"language": "fr"},
        {"language": "en", "negated": True},
    )


@pytest.mark.parametrize(
    ("id", "params", "kept", "broken"),
    [
        (
            "length_constraints:number_words",
            {"num_words": 3, "relation": AT_LEAST},
            ["a b c", "don't go there"],
            ["a b", "don't go", ""],
        ),
        (
            "length_constraints:number_words",
            {"num_words": 3, "relation": LESS_THAN},
            ["a b"],
            ["a b c"],
        ),
        (
            "length_constraints:number_sentences",
            {"num_sentences": 2, "relation": AT_LEAST},
            ["Mr. Fox ran. He hid!"],
            ["Mr. Fox ran", "one\ntwo\nthree"],
        ),
        (
            "length_constraints:number_paragraphs",
            {"num_paragraphs": 2},
            ["a\n***\nb", "***a***b"],
            ["a", "a***b***c", "a******b"],
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
            ["a\n\n**Then** b", "a\n\n\n\nThen, b"],
            ["a\n\nb", "then", "a\n\nthen\n\nc"],
        ),
        (
            "keywords:existence",
            {"keywords": ["war", "c++"]},
            ["War in C++.", "c++ war"],
            ["warning c++", "war c"],
        ),
        ("keywords:forbidden_words", {"forbidden_words": ["war"]}, ["warning"], ["War!"]),
        (
            "keywords:frequency",
            {"keyword": "tea", "frequency": 2, "relation": AT_LEAST},
            ["Tea, tea"],
            ["tea teacup"],
        ),
        (
            "keywords:letter_frequency",
            {"letter": "e", "let_frequency": 2, "let_relation": LESS_THAN},
            ["he", "x"],
            ["Eve"],
        ),
        ("change_case:english_lowercase", {}, ["all small."], ["Not", "123"]),
        ("change_case:english_capital", {}, ["ALL BIG."], ["Not", "123"]),
        (
            "change_case:capital_word_frequency",
            {"capital_frequency": 1, "capital_relation": AT_LEAST},
            ["It is NOT so"],
            ["I am", "Am i"],
        ),
        ("punctuation:no_comma", {}, ["a b"], ["a, b"]),
        ("punctuation:no_comma", {"negated": True}, ["a, b"], ["a b"]),
        (
            "startend:end_checker",
            {"end_phrase": "Any questions?"},
            ["So. any Questions?\n", '"Any questions?"'],
            ["Any questions? No."],
        ),
        ("startend:quotation", {}, ['"a"', ' "" '], ['"', "a", '"a'] ),
        (
            "detectable_format:number_bullet_lists",
            {"num_bullets": 2},
            ["* a\n- b", "text\n  * a\n  * b"],
            ["* a\n---\n-5", "* a\n* b\n* c", "**bold** text\n* a"],
        ),
        (
            "detectable_format:number_highlighted_sections",
            {"num_highlights": 2},
            ["*a* and **b**", "***x*** *y*"],
            ["***x***", "2 * 3 * 4 * 5", "*a"],
        ),
        ("detectable_format:title", {}, ["<<a>>\nb"], ["<< >>", "<<a\nb>>", "<a>"]),
        (
            "detectable_format:json_format",
            {},
            ['{"a": 1}', "```json\n[1]\n```"],
            ["12", "null", "{a}", "text"],
        ),
        (
            "detectable_format:multiple_sections",
            {"section_spliter": "Part", "num_sections": 2},
            ["Part 1\na\nPart 2\nb"],
            ["Part 1 and Part 1", "part 1 part 2"],
        ),
        (
            "detectable_content:number_placeholders",
            {"num_placeholders": 1},
            ["Dear [name]"],
            ["[a](b)", "[]"],
        ),
        (
            "detectable_content:postscript",
            {"postscript_marker": "P.S."},
            ["a\nP.S. b", "p. s. b"],
            ["the p.s. part", "P.P.S. b"],
        ),
        ("combination:two_responses", {}, ["a\n******\nb"], ["a", "a******a", "a******b******c"]),
        (
            "combination:repeat_prompt",
            {"prompt_to_repeat": "Say so."},
            [" say so. So."],
            ["So. Say so."],
        ),
        (
            "detectable_format:constrained_response",
            {},
            ["My answer is yes."],
            ["my answer is yes.", "yes"],
        ),
        ("detectable_format:table", {"columns": 2}, ["a|b\n--|--"], ["a|b", "--|--"]),
        ("startend:first_word", {"word": "well"}, ['"Well, no.'], ["Very well"]),
        ("startend:last_word", {"word": "now"}, ["Right now!*"], ["now then"]),
        ("startend:question_end", {}, ['You?"'], ["You? Yes."]),
        ("startend:full_stop_end", {}, ["So.", 'He said "so."'], ["So", "So!", "So. No"]),
        ("detectable_content:dates", {},
         ["on March 5", "the 5th of March", "2024-03-05"], ["in March", "5 marches", "1-03-05"]),
        ("detectable_format:bold", {}, ["a **b c** d"], ["*b*", "2 ** 3 ** 4", "**a\nb**"]),
        ("keywords:repeated_words", {"number": 1, "relation": AT_LEAST},
         ["Rain, rain"], ["the the", "rain"]),
        ("length_constraints:first_sentence", {"number": 3, "relation": LESS_THAN},
         ["Yes, sure. One two three."], ["One two three."]),
        ("length_constraints:longest_paragraph", {"number": 3, "relation": LESS_THAN},
         ["a b\n\nc d"], ["a b\nc d"]),
        ("punctuation:quotation_marks", {"number": 2, "relation": AT_LEAST}, ["“a” b"], ['"a b']),
        ("detectable_content:first_person", {"negated": True}, ["it is"], ["I'm"]),
        (
            "length_constraints:longest_sentence",
            {"number": 4, "relation": LESS_THAN},
            ["One two three. One."],
            ["One two three four."],
        ),
        (
            "keywords:word_order",
            {"first": "salt", "second": "pepper"},
            ["Salt and pepper"],
            ["Pepper and salt", "salt"],
        ),
    ],
)  # fmt: skip
def test_a_family_means_what_it_says(id, params, kept, broken):
    assert [text for text in kept if not constraints.check(id, params, text)] == []
    assert [text for text in broken if constraints.check(id, params, text)] == []


def test_what_a_family_draws_is_given_only_if_it_fits():
    class Seven(Count):
        def proposer(self, sides):
            return self.checked(sides, lambda rng: {"number": 7, "relation": "at least"})

    family = Seven("own:letters", lambda text: len(text.raw))
    rng = np.random.default_rng(0)
    drawn = [family.propose(Sides([("a" * 20, True), ("a", False)]), rng) for _ in range(5)]
    assert drawn == [{"number": 7, "relation": "at least"}] * 5
    assert family.propose(Sides([("a" * 6, True), ("a", False)]), rng) is None
