"""Sentences say what is checked: they can be read back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax import constraints
from mapl_jax.constraints import _FAMILIES, spelling, thresholds


@pytest.mark.parametrize("id", constraints.ids())
def test_a_family_has_enough_wordings_some_of_them_held_out(id):
    for _, train, held_out in _FAMILIES[id].templates:
        assert len(held_out) >= 2
        assert len({template.text for template in (*train, *held_out)}) >= 8


def test_no_wording_is_trained_and_held_out():
    trained, held_out = set(), set()
    for family in _FAMILIES.values():
        for _, train, kept_back in family.templates:
            trained |= {(family.id, template.text) for template in train}
            held_out |= {(family.id, template.text) for template in kept_back}
    assert not trained & held_out


@given(st.integers(0, spelling.LIMIT - 1))
def test_spelled_numbers_read_back(number):
    assert spelling.read(spelling.spell(number)) == number
    assert spelling.read(str(number)) == number


@pytest.mark.parametrize("text", ["", "twelve hundred", "two one", "hundred five", "1.5", "-3"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="no number"):
        spelling.read(text)


@settings(deadline=None, derandomize=True)
@given(
    number=st.integers(1, 2000),
    relation=st.sampled_from(thresholds.RELATIONS),
    seed=st.integers(0, 10_000),
    held_out=st.booleans(),
)
def test_amounts_read_back_whatever_the_phrase(number, relation, seed, held_out):
    params = {"num_words": number, "relation": relation}
    id = "length_constraints:number_words"
    text = constraints.render(id, params, np.random.default_rng(seed), held_out=held_out)
    assert constraints.parse(text) == (id, params)


@settings(deadline=None, derandomize=True)
@given(
    words=st.lists(st.text(min_size=1, max_size=20).filter(str.strip), min_size=1, max_size=4),
    seed=st.integers(0, 10_000),
)
def test_quoted_words_read_back_whatever_they_hold(words, seed):
    for id, key in (
        ("keywords:existence", "keywords"),
        ("keywords:forbidden_words", "forbidden_words"),
    ):
        text = constraints.render(id, {key: words}, np.random.default_rng(seed))
        assert constraints.parse(text) == (id, {key: words})


def test_numbers_come_as_digits_and_as_words():
    params = {"num_sentences": 7, "relation": "at least"}
    texts = [
        constraints.render("length_constraints:number_sentences", params, np.random.default_rng(i))
        for i in range(200)
    ]
    assert any("seven" in text for text in texts)
    assert any("7" in text for text in texts)
    assert len(set(texts)) > 50


@pytest.mark.parametrize("text", ["", "Tell me a story.", "Use at least x words.", "Use"])
def test_other_text_is_no_constraint(text):
    with pytest.raises(ValueError, match="no constraint"):
        constraints.parse(text)
