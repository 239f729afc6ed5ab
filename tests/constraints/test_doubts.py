"""Where two readers of a text may differ, nothing is asked that depends on it."""

import numpy as np
import pytest

from mapl_jax import constraints
from mapl_jax.constraints.registry import FAMILIES

LENGTH, FORMAT, CONTENT = "length_constraints:", "detectable_format:", "detectable_content:"
PARAGRAPH = "One two three four. Five six seven eight nine ten eleven."
BROKEN_LINE = "One two three four.\nFive six seven eight nine ten eleven."
BLANK_LINE = BROKEN_LINE.replace("\n", "\n\n")
LONG = " ".join(["Some words go on and on in this line."] * 5)
# What is asked, of two texts that a careless reader would part, and one to put in the place of the
# first so that there is no doubt.
DOUBTS = [
    (LENGTH + "number_sentences", "Go home. You might also want to", "Go home.", "Go home. Do it."),
    (LENGTH + "number_sentences", "Sure! Go home.", "Go home.", "I am sure. Go home."),
    (LENGTH + "shortest_sentence", "I like tea very much. You may", "I like tea very much.", None),
    (LENGTH + "first_sentence", "A few things\n\n- a\n- b", "It is just a few things.", None),
    (LENGTH + "blank_line_paragraphs", BROKEN_LINE, BLANK_LINE, PARAGRAPH),
    (LENGTH + "blank_line_paragraphs", "It is so.\n\n[A recipe]", "It is so.", BLANK_LINE),
    (LENGTH + "longest_paragraph", BLANK_LINE, BROKEN_LINE, None),
    (LENGTH + "characters", "It is a very\n\n\nlong text.", "It is a very long text. ", None),
    (FORMAT + "lines", LONG + "\nIt is so.", LONG + "\nIt is so.\nSo it is.", "It is so."),
    (CONTENT + "second_person", 'It is "Touch You".', "It is so.", "It is for you."),
    (CONTENT + "second_person", "We saw While You Were Out.", "It is so.", "You were out."),
    (CONTENT + "first_person", 'He said "my word".', "It is so.", "It is my word."),
    (CONTENT + "digits", "It is gear4sale.", "It is so.", "It is 4 o'clock."),
    ("change_case:capital_word_frequency", "Henry VI came.", "Henry came.", "NASA came."),
    ("keywords:repeated_words", "A well-known day, a good well.", "A good day.", "Many, many."),
    ("punctuation:hyphens", "It is so -- or not.", "It is so.", "It is well-known."),
    ("punctuation:hyphens", "It is so \u2014 or not.", "It is so.", "It is well-known."),
    ("punctuation:no_comma", "It is 1,000.", "It is so.", "It is so, yes."),
    ("punctuation:colons", "It is 10:30.", "It is so.", "It is so: yes."),
    ("punctuation:semicolons", "It is so ;)", "It is so.", "It is so; yes."),
    ("startend:full_stop_end", 'He said "it is so."', "Is it so?", "It is so."),
    ("startend:first_word", "I'm here.", "I am here.", "We are here."),
    ("startend:first_word", "- Tea is good.", "It is so.", "Tea is good."),
    ("startend:end_checker", "It is so and that is", "It is so.", "Yes. So it is."),
    ("keywords:letter_frequency", "\u00e9\u00e9\u00e9", "eee", None),
]


def proposed(id, first, second, seeds=20):
    """What is asked in either direction."""
    return [
        params
        for seed in range(seeds)
        for texts in ((first, second), (second, first))
        if (
            params := constraints.propose(
                id, [(texts[0], True), (texts[1], False)], np.random.default_rng(seed)
            )
        )
        is not None
    ]


@pytest.mark.parametrize(("id", "doubtful", "other", "clear"), DOUBTS)
def test_nothing_is_asked_where_readers_may_differ(id, doubtful, other, clear):
    asked = proposed(id, doubtful, other)
    if id == "startend:first_word":
        # Of the other text, its first word may still be asked for.
        asked = [it for it in asked if it["word"] in ("I", "Tea", "I'm")]
    if id == "startend:end_checker":
        asked = [it for it in asked if it["end_phrase"] != other]
    assert asked == []
    assert clear is None or proposed(id, clear, other)


def test_the_end_that_is_asked_for_is_a_whole_sentence():
    text = "There are many ways. Movies by Law, Julia Roberts, and Natalie Portman. Good idea!"
    asked = proposed("startend:end_checker", text, "It is so.")
    assert {it["end_phrase"] for it in asked} == {"Good idea!", "It is so."}


def test_a_word_alone_on_a_line_is_no_tail_of_a_sentence():
    assert not proposed("startend:end_checker", "There are many ways. Yes.", "No.")


@pytest.mark.parametrize("number", [25, 26, 30, 31, 160, 161])
def test_a_sentence_shows_the_round_number(number):
    params = {"num_words": number, "relation": "less than"}
    for seed in range(60):
        for held_out in (False, True):
            text = constraints.render(
                LENGTH + "number_words", params, np.random.default_rng(seed), held_out=held_out
            )
            shown = int("".join(filter(str.isdigit, text)))
            assert shown % 5 == 0 or number % 5 not in (0, 1), text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((FORMAT + "lines", 3, "at least"), (LENGTH + "blank_line_paragraphs", 2, "less than")),
        ((LENGTH + "characters", 300, "at least"), (LENGTH + "longest_paragraph", 60, "at least")),
        (
            (LENGTH + "blank_line_paragraphs", 3, "at least"),
            (LENGTH + "characters", 70, "at least"),
        ),
        ((LENGTH + "characters", 50, "less than"), (LENGTH + "longest_sentence", 10, "less than")),
    ],
)
def test_nobody_asks_for_the_same_thing_twice(one, other):
    a, b = (
        constraints.asked(id, {"number": number, "relation": relation})
        for id, number, relation in (one, other)
    )
    assert constraints.redundant(a, b)


def test_an_answer_has_one_ending():
    for one, other in (
        (("startend:last_word", {"word": "negative"}), ("startend:full_stop_end", {})),
        (("startend:question_end", {}), ("startend:end_checker", {"end_phrase": "Is it so?"})),
    ):
        assert constraints.redundant(constraints.asked(*one), constraints.asked(*other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            ("startend:end_checker", {"end_phrase": "That is all."}),
            ("scope:last_sentence_words", {"number": 3, "relation": "at least"}),
        ),
        (
            ("combination:repeat_prompt", {"prompt_to_repeat": "Well, here it is."}),
            ("scope:first_sentence_comma", {}),
        ),
        (
            (LENGTH + "number_sentences", {"num_sentences": 5, "relation": "at least"}),
            (LENGTH + "number_words", {"num_words": 20, "relation": "at least"}),
        ),
        (
            (LENGTH + "characters", {"number": 700, "relation": "at least"}),
            (
                "keywords:letter_frequency",
                {"letter": "a", "let_frequency": 3, "let_relation": "at least"},
            ),
        ),
    ],
)
def test_what_a_given_sentence_or_length_brings_along_is_not_asked_for(one, other):
    assert constraints.redundant(constraints.asked(*one), constraints.asked(*other))


def test_links_and_colons_stand_in_no_prompt_together():
    links = constraints.asked(CONTENT + "links", {})
    colons = constraints.asked("punctuation:colons", {"number": 1, "relation": "less than"})
    assert constraints.redundant(links, colons)


def test_two_limits_bring_a_third_along():
    def ask(id, number, relation, key="number"):
        return constraints.asked(id, {key: number, "relation": relation})

    sentences = ask(LENGTH + "number_sentences", 3, "less than", "num_sentences")
    short = ask(LENGTH + "longest_sentence", 10, "less than")
    paragraph = ask(LENGTH + "longest_paragraph", 20, "less than")
    assert constraints.redundant_together([sentences, short, paragraph])
    assert not constraints.redundant_together([sentences, paragraph])
    many = ask(LENGTH + "number_sentences", 4, "at least", "num_sentences")
    long = ask(LENGTH + "shortest_sentence", 6, "at least")
    words = ask(LENGTH + "number_words", 24, "at least", "num_words")
    assert constraints.redundant_together([many, long, words])
    more = ask(LENGTH + "number_words", 40, "at least", "num_words")
    assert not constraints.redundant_together([many, long, more])


def test_every_doubt_is_of_a_family():
    assert {id for id, *_ in DOUBTS} <= {*FAMILIES}


def for_prompt(id, prompt, text, other, seeds=20):
    conditions = [(text, True), (other, False)]
    found = (
        constraints.propose(id, conditions, np.random.default_rng(seed), prompt)
        for seed in range(seeds)
    )
    return [params for params in found if params is not None]


@pytest.mark.parametrize(
    ("ending", "offered"),
    [
        ("Good luck!", True),
        ("Serve immediately.", True),
        ("Yes, heat can cause metal fatigue.", False),
        ("Metals tire.", False),
        ("Ask for Paul.", False),
        ("It takes 20 minutes.", False),
    ],
)
def test_an_ending_that_is_dictated_fits_any_answer(ending, offered):
    text = f"There are many ways. {ending}"
    found = for_prompt("startend:end_checker", "Why does metal tire?", text, "It is so.")
    assert bool(found) == offered


def test_words_to_use_are_of_the_topic():
    text = "The bakery has ovens, a whir, and a processor; the processor bakes, this processor."
    found = for_prompt("keywords:existence", "Where is there an oven?", text, "It is so.", 40)
    assert {word for params in found for word in params["keywords"]} == {"ovens", "processor"}
    assert not for_prompt("keywords:existence", "Hi!", "It has a whir.", "It is so.")
