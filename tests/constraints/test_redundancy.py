"""Instructions of which one adds nothing to the other stand in no prompt together."""

import pytest

from mapl_jax import constraints

AL, LT = "at least", "less than"


def count(id, number, relation=AL, key="number", relation_key="relation"):
    return (id, {key: number, relation_key: relation})


def words(number, relation=AL):
    return count("length_constraints:number_words", number, relation, "num_words")


def keywords(*names):
    return ("keywords:existence", {"keywords": list(names)})


NO_COMMA = ("punctuation:no_comma", {})
NOT_A_QUESTION = ("startend:question_end", {"negated": True})
QUESTION = ("startend:question_end", {})
FIRST = ("startend:first_word", {"word": "Well"})
NO_DIGITS = ("detectable_content:digits", {"negated": True})
START = ("combination:repeat_prompt", {"prompt_to_repeat": "I don't think it rains much there."})
REDUNDANT = [
    (NO_COMMA, count("punctuation:commas", 2, LT)),
    (("punctuation:no_comma", {"negated": True}), count("punctuation:commas", 2)),
    (QUESTION, count("punctuation:question_marks", 1)),
    (NOT_A_QUESTION, count("punctuation:question_marks", 1, LT)),
    (QUESTION, ("startend:full_stop_end", {"negated": True})),
    (QUESTION, ("startend:end_checker", {"end_phrase": "and you?"})),
    (words(50), count("length_constraints:characters", 200)),
    (words(50), ("length_constraints:word_range", {"min_words": 40, "max_words": 60})),
    (keywords("tea"), ("keywords:frequency", {"keyword": "tea", "frequency": 2, "relation": AL})),
    (keywords("tea"), ("startend:end_checker", {"end_phrase": "a cup of tea"})),
    (keywords("Well"), FIRST),
    (FIRST, ("combination:repeat_prompt", {"prompt_to_repeat": "Well, who knows?"})),
    (("startend:last_word", {"word": "tea"}), ("startend:end_checker", {"end_phrase": "of tea"})),
    (
        count("length_constraints:longest_sentence", 12),
        count("length_constraints:first_sentence", 12),
    ),
    (count("length_constraints:number_sentences", 3, AL, "num_sentences"), words(3)),
    (
        ("length_constraints:exact_sentences", {"number": 3}),
        count("length_constraints:number_sentences", 4, LT, "num_sentences"),
    ),
    (count("detectable_format:numbered_steps", 3), count("detectable_format:lines", 3)),
    (count("detectable_format:numbered_steps", 1), ("detectable_content:digits", {})),
    (NO_DIGITS, count("detectable_format:numbered_steps", 1, LT)),
    (("detectable_content:month", {}), ("detectable_content:dates", {})),
    (
        ("detectable_content:contrasts", {"negated": True}),
        ("startend:sentence_opening", {"word": "But", "negated": True}),
    ),
    (("startend:opener", {}), ("scope:first_sentence_question", {"negated": True})),
    (
        ("detectable_format:bold", {}),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 1}),
    ),
    (
        ("change_case:english_lowercase", {}),
        count("change_case:capital_word_frequency", 1, LT, "capital_frequency", "capital_relation"),
    ),
    (("change_case:english_capital", {}), ("language:response_language", {"language": "en"})),
    (
        ("detectable_content:contractions", {"negated": True}),
        count("punctuation:apostrophes", 1, LT),
    ),
]  # fmt: skip
REDUNDANT += [
    (START, count("length_constraints:first_sentence", 5)),
    (START, count("length_constraints:longest_paragraph", 6)),
    (START, count("punctuation:apostrophes", 1)),
    (START, ("detectable_content:first_person", {})),
    (START, words(10)),
    (
        count("length_constraints:characters", 50, LT),
        count("length_constraints:longest_sentence", 12, LT),
    ),
]
ONE_SENTENCE = count("length_constraints:number_sentences", 2, LT, "num_sentences")
ONE_LINE = count("detectable_format:lines", 2, LT)
FIRST_PERSON = ("scope:first_sentence_first_person", {})
REDUNDANT += [
    # Of what has one part only, nothing is said of that part.
    (ONE_SENTENCE, count("length_constraints:longest_sentence", 10, LT)),
    (ONE_SENTENCE, count("scope:sentence_commas", 2, LT)),
    (ONE_SENTENCE, QUESTION),
    (ONE_LINE, count("length_constraints:longest_paragraph", 30, LT)),
    # So short an answer stands on one line.
    (ONE_LINE, words(21, LT)),
    (ONE_LINE, count("length_constraints:characters", 151, LT)),
    (("startend:first_word", {"word": "I'm", "negated": True}), FIRST_PERSON),
]
NO_Y = count("keywords:letter_frequency", 1, LT, "let_frequency", "let_relation")
NO_Y[1]["letter"] = "y"
NONE_WITH_Y = ("keywords:initial_letter", {"letter": "y", "number": 1, "relation": LT})
NO_YOU = ("detectable_content:second_person", {"negated": True})
CLOSER = ("startend:end_checker", {"end_phrase": "Good luck with it!"})


def forbidden(*names):
    return ("keywords:forbidden_words", {"forbidden_words": list(names)})


REDUNDANT += [
    (NO_Y, NONE_WITH_Y),
    (NO_Y, NO_YOU),
    (NONE_WITH_Y, NO_YOU),
    (NO_Y, forbidden("tea", "easily")),
    (NONE_WITH_Y, forbidden("yes")),
    (NO_Y, ("keywords:frequency", {"keyword": "joy", "frequency": 2, "relation": LT})),
    (CLOSER, count("length_constraints:shortest_sentence", 5, LT)),
]
REDUNDANT += [
    # Of marks one rule is enough, of the length of the whole or of sentences as well.
    (QUESTION, count("punctuation:exclamation_marks", 1)),
    (NO_COMMA, NOT_A_QUESTION),
    (
        count("length_constraints:longest_sentence", 20, LT),
        count("length_constraints:first_sentence", 10, LT),
    ),
    # What is limited as a whole leaves its parts hardly more, and its parts little room.
    (words(50, LT), count("length_constraints:longest_paragraph", 40, LT)),
    (words(25, LT), count("length_constraints:first_sentence", 15)),
    (words(100), count("length_constraints:longest_sentence", 20)),
    (words(100), count("length_constraints:number_sentences", 4, AL, "num_sentences")),
    (forbidden("sure"), ("startend:first_word", {"word": "Sure", "negated": True})),
    # Of the length of the whole answer one limit is enough.
    (words(50), count("length_constraints:number_sentences", 3, AL, "num_sentences")),
    (words(200, LT), count("length_constraints:number_sentences", 3, LT, "num_sentences")),
    (
        count("length_constraints:characters", 200, LT),
        count("length_constraints:number_sentences", 5, LT, "num_sentences"),
    ),
    (words(20, LT), count("length_constraints:characters", 400)),
]
NOT_REDUNDANT = [
    (count("length_constraints:number_sentences", 3, LT, "num_sentences"), QUESTION),
    (ONE_LINE, words(41, LT)),
    (FIRST, FIRST_PERSON),
    (("scope:last_sentence_first_person", {}), ("startend:full_stop_end", {})),
    (NO_Y, forbidden("tea")),
    (NONE_WITH_Y, forbidden("easily")),
    (START, words(40)),
    (START, count("punctuation:apostrophes", 2)),
    (START, ("detectable_content:second_person", {})),
    (
        count("length_constraints:characters", 500, LT),
        count("length_constraints:longest_sentence", 12, LT),
    ),
    (NO_COMMA, words(50)),
    (keywords("tea"), ("keywords:forbidden_words", {"forbidden_words": ["milk"]})),
    (FIRST, ("startend:last_word", {"word": "tea"})),
    (QUESTION, ("detectable_content:first_person", {})),
    (count("detectable_format:headings", 2), ("detectable_content:links", {})),
]  # fmt: skip


def redundant(a, b):
    return constraints.redundant(constraints.asked(*a), constraints.asked(*b))


@pytest.mark.parametrize(("a", "b"), REDUNDANT)
def test_one_adds_nothing(a, b):
    assert redundant(a, b)
    assert redundant(b, a)


@pytest.mark.parametrize(("a", "b"), NOT_REDUNDANT)
def test_both_have_a_say(a, b):
    assert redundant(a, b) is None
    assert redundant(b, a) is None


def test_two_limits_of_one_side_are_enough():
    most = [
        words(100, LT),
        count("length_constraints:number_sentences", 5, LT, "num_sentences"),
        count("length_constraints:longest_sentence", 20, LT),
    ]
    assert constraints.redundant_together([constraints.asked(*it) for it in most])
    least = ("length_constraints:longest_sentence", {"number": 20, "relation": AL})
    assert not constraints.redundant_together([constraints.asked(*it) for it in (*most[:2], least)])


def test_of_two_sentences_a_long_one_and_a_short_one_are_all():
    long = count("length_constraints:longest_sentence", 15)
    short = count("length_constraints:shortest_sentence", 6, LT)

    def together(sentences):
        many = (count("length_constraints:number_sentences", sentences, AL, "num_sentences"),)
        return constraints.redundant_together(
            [constraints.asked(*it) for it in (*many, long, short)]
        )

    assert together(2)
    assert together(3) is None


@pytest.mark.parametrize(
    ("constraint", "natural"),
    [
        (words(50), True),
        (words(51), False),
        (words(51, LT), True),  # at most 50
        (words(52, LT), False),
        (words(105), False),
        (count("length_constraints:characters", 225), False),
        (count("length_constraints:characters", 250), True),
        (NO_COMMA, True),
    ],
)
def test_numbers_are_natural_that_people_choose(constraint, natural):
    assert constraints.is_natural(*constraint) is natural
