"""Sentences end where the Punkt rules end them."""

import pytest

from mapl_jax.constraints.text import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("   \n ", []),
        ("No end", ["No end"]),
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Fox met Mrs. Hen. They ate.", ["Dr. Fox met Mrs. Hen.", "They ate."]),
        ("See J. Smith. He knows.", ["See J. Smith.", "He knows."]),
        ("It cost 3.50 in all. Good.", ["It cost 3.50 in all.", "Good."]),
        ("We use e.g. salt. Yes.", ["We use e.g. salt.", "Yes."]),
        ('He said "Go." She went.', ['He said "Go."', "She went."]),
        ("Well... maybe. So", ["Well... maybe.", "So"]),
        ("What?! No.", ["What?!", "No."]),
        ("line one\nline two\nline three", ["line one\nline two\nline three"]),
        ("1. Wash.\n2. Dry.", ["1.", "Wash.\n2.", "Dry."]),
        ("Chapter 3. and so on. End.", ["Chapter 3. and so on.", "End."]),
        ("(It rains.) We stay.", ["(It rains.)", "We stay."]),
        ("The answer is no. He left.", ["The answer is no.", "He left."]),
    ],
)
def test_sentences(text, expected):
    assert sentences.split(text) == expected
    assert sentences.count(text) == len(expected)


@pytest.mark.parametrize(
    ("text", "fuller", "newspaper"),
    [
        ("We use e.g. salt. Yes.", 2, 3),
        ("Bring salt, pepper, etc. and go.", 1, 2),
        ("He met Mr. Fox. Yes.", 2, 2),
    ],
)
def test_ifeval_knows_the_abbreviations_of_newspapers_only(text, fuller, newspaper):
    assert sentences.count(text) == fuller
    assert sentences.count(text, sentences.NEWSPAPER_ABBREVIATIONS) == newspaper


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In the U.S. The rest follows.", ["In the U.S.", "The rest follows."]),
        ("In the U.S. Army it is.", ["In the U.S. Army it is."]),
        ("Wait... It works.", ["Wait...", "It works."]),
        ("Take vitamin D. The rest helps.", ["Take vitamin D. The rest helps."]),
        ("one.\x1ctwo. three", ["one.\x1ctwo.", "three"]),
    ],
)
def test_words_that_often_begin_sentences_do_so_behind_abbreviations(text, expected):
    assert sentences.split(text) == expected


def test_a_megabyte_of_marks_takes_no_time_to_speak_of():
    for text in ("." * 1_000_000, "! " * 500_000, "a." * 500_000, ") " * 500_000):
        assert sentences.count(text) >= 1
