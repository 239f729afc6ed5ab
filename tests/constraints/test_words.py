"""Words, graphemes and Markdown are read as Unicode's rules and people read them."""

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax.constraints.families import content
from mapl_jax.constraints.text import markdown, words
from mapl_jax.constraints.text.statistics import Text
from mapl_jax.constraints.text.words import AnyCase


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text("abZ019_.,;:'\"-? \n()@/", max_size=60))
def test_ascii_words_are_those_of_unicode(text):
    found = regex.findall(r"(?V1w)\w(?:\B.)*", text, regex.DOTALL)
    assert words.segments(text) == [word for word in found if word.strip("_")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You’re well-known.", ["You’re", "well-known."]),
        ("3.14 — 2.71", ["3.14", "2.71"]),
        ("one—two--three…four", ["one", "two", "three", "four"]),
        ("1990–2000", ["1990–2000"]),
        ("* - ** ***", []),
        ("北京 ok", ["北", "京", "ok"]),
        ("हिन्दी बोलना", ["हिन्दी", "बोलना"]),
    ],
)
def test_words_as_people_count_them(text, expected):
    assert words.counted(text) == expected


@pytest.mark.parametrize(
    ("text", "number"), [("abc", 3), ("e\u0301", 1), ("👩‍👩‍👧‍👦", 1), ("a\r\nb", 3)]
)
def test_characters_as_people_see_them(text, number):
    assert words.graphemes(text) == number


@pytest.mark.parametrize(
    ("raw", "kind", "text", "marked"),
    [
        ("- **a** b", markdown.BULLET, "a b", "a b"),
        ("1. Wash _it_", markdown.NUMBERED, "Wash it", "Wash it"),
        ("**1. Wash**", markdown.NUMBERED, "Wash", "Wash"),
        ("## Tea ##", markdown.HEADING, "Tea", "Tea"),
        ("#tag", markdown.PLAIN, "#tag", "#tag"),
        ("---", markdown.RULE, "", ""),
        ("|---|---|", markdown.RULE, "", ""),
        ("| a | b |", markdown.ROW, "a   b", "a   b"),
        ("> so [it](http://a.b) is", markdown.PLAIN, "so it is", "so it is"),
        ("use `a, b` here", markdown.PLAIN, "use a, b here", "use   here"),
        ("2*3*4 snake_case", markdown.PLAIN, "2*3*4 snake_case", "2*3*4 snake_case"),
        ("-5 degrees", markdown.PLAIN, "-5 degrees", "-5 degrees"),
        ("A plain line.", markdown.PLAIN, "A plain line.", "A plain line."),
    ],
)
def test_lines_of_markdown(raw, kind, text, marked):
    (line,) = markdown.lines(raw)
    assert line == (kind, text, marked)


def test_code_is_no_prose_and_a_fence_may_stay_open():
    kinds = [line.kind for line in markdown.lines("a\n```py\n# b\n\n```\nc\n~~~\nd")]
    plain, fence, code = markdown.PLAIN, markdown.FENCE, markdown.CODE
    assert kinds == [plain, fence, code, code, fence, plain, fence, code]


NEEDING = [it for it in vars(content).values() if isinstance(it, AnyCase) and it.needs]


@pytest.mark.parametrize(
    "text",
    [
        *"_but_ **So** `must` b[ut](x) bu~~t ~~Very~~ BUT e.g. need\tto".split(),
        'I think "just" so.',
        "On the other hand, we\u2019d need to. For example: http://x.io/should",
        "In my opinion_ it may\nbe; I would really suggest it, as such.",
        "Nothing of the kind.",
    ],
)
def test_a_text_is_left_unsearched_only_where_nothing_would_be_found(text):
    read = Text(text)
    for pattern in NEEDING:
        for view in (read.raw, read.marked, read.prose):
            assert content.says(read, pattern, view) == pattern.found(view), pattern.pattern
