"""Sentences say what is checked: they can be read back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapl_jax import constraints
from mapl_jax.constraints import amounts
from mapl_jax.constraints.families.language import NAMES
from mapl_jax.constraints.families.startend import Member
from mapl_jax.constraints.registry import FAMILIES, templates
from mapl_jax.constraints.shapes import Bound, Count, Exact, Flag

NUMBERS = st.one_of(st.integers(1, 30), st.integers(1, 2_000_000))
RELATIONS = st.sampled_from(amounts.RELATIONS)
WORDS = st.one_of(
    st.sampled_from(
        ["tea", "and", "at", "no", "zero", "five", "exactly", "times", "the word", "a, b", '"so"',
         "c++", "a\\", "\\n", "a\nb", "\r\n\tx", "(", "[x]", "{amount}", "$1", ".", "?", '"', "'",
         "“x”", "before", "first", "P.S.", "中文", "İ", "ß", "two words", " x ", "at least 5 words"]
    ),
    st.text(min_size=1, max_size=12).filter(str.strip),
)  # fmt: skip


def parameters(family):
    """Valid parameters of a family, made by hand and not proposed."""
    negated = st.sampled_from(({}, {"negated": True}))
    if isinstance(family, Count):
        relation = RELATIONS.map(
            lambda value: (
                {}
                if value == family.threshold.relation.default
                else {family.threshold.relation.name: value}
            )
        )
        return st.tuples(NUMBERS, relation).map(
            lambda got: {family.threshold.number.name: got[0], **got[1]}
        )
    if isinstance(family, Flag):
        return negated
    if isinstance(family, Exact):
        return st.fixed_dictionaries({family.number.name: st.integers(family.number.least, 400)})
    if isinstance(family, Bound):
        return st.fixed_dictionaries({"number": NUMBERS, "relation": RELATIONS})
    if isinstance(family, Member):
        return st.tuples(WORDS, negated).map(lambda got: {"word": got[0], **got[1]})
    lists = st.lists(WORDS, min_size=1, max_size=4)
    fixed = st.fixed_dictionaries
    by_id = {
        "combination:repeat_prompt": fixed({"prompt_to_repeat": WORDS}),
        "detectable_content:postscript": fixed(
            {"postscript_marker": st.sampled_from(["P.S.", "P.P.S"])}
        ),
        "detectable_format:multiple_sections": fixed(
            {"section_spliter": WORDS, "num_sections": NUMBERS}
        ),
        "detectable_format:table": fixed({"columns": st.integers(2, 99)}),
        "keywords:existence": fixed({"keywords": lists}),
        "keywords:forbidden_words": fixed({"forbidden_words": lists}),
        "keywords:frequency": fixed(
            {"keyword": WORDS, "frequency": NUMBERS, "relation": RELATIONS}
        ),
        "keywords:letter_frequency": fixed(
            {
                "letter": st.characters(exclude_categories=["Cs"]).filter(str.strip),
                "let_frequency": NUMBERS,
                "let_relation": RELATIONS,
            }
        ),
        "keywords:initial_letter": fixed(
            {"letter": st.sampled_from("abixyz"), "number": NUMBERS, "relation": RELATIONS}
        ),
        "keywords:word_order": st.tuples(WORDS, WORDS)
        .filter(lambda got: got[0].lower() != got[1].lower())
        .map(lambda got: {"first": got[0], "second": got[1]}),
        "language:response_language": fixed({"language": st.sampled_from(sorted(NAMES))}),
        "length_constraints:nth_paragraph_first_word": st.tuples(
            st.integers(1, 40), st.integers(1, 40), WORDS
        ).map(
            lambda got: {
                "num_paragraphs": max(got[:2]),
                "nth_paragraph": min(got[:2]),
                "first_word": got[2],
            }
        ),
        "length_constraints:word_range": st.tuples(NUMBERS, NUMBERS).map(
            lambda got: {"min_words": min(got), "max_words": max(got)}
        ),
        "startend:end_checker": fixed({"end_phrase": WORDS}),
    }
    if len(family.templates) == 1:
        return by_id[family.id]
    return st.tuples(by_id[family.id], negated).map(lambda got: got[0] | got[1])


def readings(text):
    """Every family and parameters that a sentence may be read as."""
    found = []
    for family, template in templates().get(text.split(maxsplit=1)[0].lower(), ()):
        params = template.read(text)
        try:
            if params is not None:
                family.validate(params)
                found.append((family.id, params))
        except ValueError:
            pass
    return found


@pytest.mark.parametrize("id", constraints.ids())
@settings(deadline=None, derandomize=True, max_examples=15)
@given(data=st.data())
def test_every_wording_reads_back_and_reads_in_one_way_only(id, data):
    family = FAMILIES[id]
    params = data.draw(parameters(family))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    family.validate(params)
    constraints.render(id, params, rng)
    written = 0
    for fixed, train, held_out in family.templates:
        shown = params.get("negated", False) == fixed.get("negated", False)
        if not shown or any(params.get(key) != value for key, value in fixed.items()):
            continue
        for template in (*train, *held_out):
            text = template.write(params, rng)
            assert constraints.parse(text) == (id, params)
            assert all(reading == (id, params) for reading in readings(text)), text
            written += 1
    assert written >= 8


@pytest.mark.parametrize("id", constraints.ids())
def test_a_family_has_enough_wordings_some_of_them_held_out(id):
    for _, train, held_out in FAMILIES[id].templates:
        assert len(held_out) >= 2
        assert len({template.text for template in (*train, *held_out)}) >= 8


def test_no_wording_is_trained_and_held_out():
    trained, held_out = set(), set()
    for family in FAMILIES.values():
        for _, train, kept_back in family.templates:
            trained |= {(family.id, template.text) for template in train}
            held_out |= {(family.id, template.text) for template in kept_back}
    assert not trained & held_out


@given(st.integers(0, amounts.LIMIT - 1))
def test_spelled_numbers_read_back(number):
    assert amounts.read(amounts.spell(number)) == number
    assert amounts.read(str(number)) == number


@pytest.mark.parametrize("text", ["", "twelve hundred", "two one", "hundred five", "1.5", "-3"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="no number"):
        amounts.read(text)


@settings(deadline=None, derandomize=True)
@given(
    number=st.integers(1, 2000),
    relation=st.sampled_from(amounts.RELATIONS),
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
