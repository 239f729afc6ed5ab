"""Words in capitals are counted as NLTK 3.8 cuts them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax.constraints.text import capitals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("I am", 1),
        ("U.S. and U.S.A.", 2),
        ("WELL-KNOWN", 1),
        ("WELL--KNOWN", 2),
        ("AI—BEST", 1),
        ("DON'T GO", 3),
        ("DON'T", 2),
        ("I'M, IT'S, WE'LL", 6),
        ("O'NEIL", 1),
        ("CANNOT GIMME", 4),
        ("'TIS", 2),
        ("A,B", 2),
        ("A,b", 1),
        ("1,000 A1", 1),
        ("3:4PM", 1),
        ("A/B", 1),
        ("A;B@C#D$E%F&G", 7),
        ("A...B", 2),
        ("(A)[B]{C}<D>", 4),
        ('"A" “B” \u2018C\u2019 «D» `E`', 5),
        ("*A* **B**", 2),
        ("WHAT?! NO!", 2),
        ("McDonald iPhone", 0),
        ("ÉTÉ ΣΑΣ", 2),
        ("中文 123 !", 0),
    ],
)
def test_tokens_in_capitals(text, expected):
    assert capitals.count(text) == expected


@settings(deadline=None, derandomize=True)
@given(st.text("Ab '\".,:-!?()\n", max_size=40))
def test_no_more_tokens_than_capitals(text):
    assert capitals.count(text) <= sum(map(str.isupper, text))
