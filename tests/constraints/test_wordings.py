"""Sentences say what is checked: English, whatever the parameters, that can be read back."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mapl_jax import constraints
from mapl_jax.constraints import amounts
from mapl_jax.constraints.families.language import NAMES
from mapl_jax.constraints.parameters import Character, Choice, Number, Phrase, Phrases, Switch
from mapl_jax.constraints.registry import FAMILIES, templates_for
from mapl_jax.constraints.templates import Template
from mapl_jax.constraints.wording import quote, unquote

every_family = pytest.mark.parametrize("id", constraints.ids())
PLAIN = ["tea", "weather", "Sure", "people", "first", "two words", "I hope this helps.", "And you?"]
HOSTILE = [
    "and", "or", "at", "no", "zero", "five", "once", "exactly", "times", "the", "the word", "words",
    "a, b", '"so"', "c++", "a\\", "\\n", "a\nb", "\r\n\tx", "(", "[x]", "{n}", "$1", ".", "?", '"',
    "'", "it's", "\"it's\"", "'x'", "“x”", "before", "P.S.", "中文", "İ", "ß", " x ", "please",
    "at least 5 words", "tea and milk", "tea, milk",
]  # fmt: skip
NUMBERS = st.one_of(st.integers(1, 30), st.sampled_from((100, 111, 300)), st.integers(1, 2_000_000))
WORDS = st.one_of(
    st.sampled_from(PLAIN),
    st.sampled_from(HOSTILE),
    # What is not quoted is a word of letters; a few of those are enough.
    st.text("ab \"'\\.,?!\n0\u4e2d(", min_size=1, max_size=12).filter(str.strip),
)
LETTERS = st.characters(exclude_categories=["Cs"]).filter(str.strip)


def things(family, negated):
    """Parameters of a family that names things to mention and others to leave out."""
    rule = family.rules[negated]
    size = rule.number + rule.without
    names = st.one_of(st.sampled_from(("butter", "carrots", "the heart", "tea")), WORDS)
    fixed = {"negated": True} if negated else {}
    return st.lists(names, min_size=size, max_size=size, unique=True).map(
        lambda drawn: (
            {"things": drawn[: rule.number], **fixed}
            | ({"without": drawn[rule.number :]} if rule.without else {})
        )
    )


def parameters(family):
    """Valid parameters of a family, as it declares them."""
    if hasattr(family, "rules"):
        drawn = st.booleans().flatmap(lambda negated: things(family, negated))
        return drawn.filter(lambda params: valid(family, params))
    kinds = {
        Number: lambda it: NUMBERS.map(lambda number: max(number, it.least)),
        Phrase: lambda it: WORDS,
        Phrases: lambda it: st.lists(WORDS, min_size=1, max_size=4),
        Character: lambda it: LETTERS,
        Choice: lambda it: st.sampled_from(it.options),
        Switch: lambda it: st.booleans(),
    }
    drawn = st.fixed_dictionaries({it.name: kinds[type(it)](it) for it in family.parameters})
    left_out = {it.name: it.default for it in family.parameters if it.default is not None}

    def tidied(params):
        if "nth_paragraph" in params:
            params["num_paragraphs"] = max(params["num_paragraphs"], params["nth_paragraph"])
        if "min_words" in params:
            low, high = sorted((params["min_words"], params["max_words"]))
            params |= {"min_words": low, "max_words": high}
        return {key: value for key, value in params.items() if value != left_out.get(key)}

    return drawn.map(tidied).filter(lambda params: valid(family, params))


def valid(family, params):
    try:
        family.validate(params)
    except ValueError:
        return False
    return True


def sentences(family, params, seed=0):
    """Every template that can say these parameters, and what it says."""
    rng = np.random.default_rng(seed)
    form = family.form(params)
    for template in (*form.train, *form.held_out):
        if template.possible(params):
            yield template, template.write(params, rng)


def readings(text):
    """Every family and parameters that a sentence may be read as."""
    found = []
    for family, template in templates_for(text):
        params = template.read(text)
        if params is not None and valid(family, params):
            found.append((family.id, params))
    return found


@every_family
@settings(deadline=None, derandomize=True, max_examples=15)
@given(data=st.data())
def test_every_wording_reads_back_and_reads_in_one_way_only(id, data):
    family = FAMILIES[id]
    params = data.draw(parameters(family))
    written = 0
    for _, text in sentences(family, params, data.draw(st.integers(0, 10_000))):
        assert constraints.parse(text) == (id, params)
        assert all(reading == (id, params) for reading in readings(text)), text
        written += 1
    assert written >= 3


# What English asks of a sentence ----------------------------------------------------------------

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|(?<!\w)\'(?:[^\'\\]|\\.)*\'(?!\w)', re.S)
PAIRS = {
    match.groups()
    for family in FAMILIES.values()
    for form in family.forms
    for template in (*form.train, *form.held_out)
    for match in re.finditer(r"\{\w+:([^{}|]+)\|([^{}|]+)\}", template.text)
}
NUMBER = rf"\b({amounts.PATTERN}) "
CAPITALS = {
    "I", "JSON", "Markdown", "English", "May", "March", "My", "Title", "A", "P", "S", "Wash", "The",
    "Start", "I'd", "I'm", *NAMES.values(),
}  # fmt: skip


def faults(text):
    """What is wrong with a sentence as English, the texts that it quotes aside."""
    bare = QUOTED.sub("Q", text).replace("Sure", "Q")
    if not re.match("[A-Z0-9]", text):
        yield "begins with no capital letter"
    if not re.search(r"[.?]$|[.?!][\"']$", text) or re.search(r"[^.]\.\.$|\?\.$", text):
        yield "has no end, or two"
    if re.search(r"[.?!][\"']\.$", text):
        yield "has a full stop behind a quotation that ends in one"
    if re.search(r"\b(\w+) \1\b", bare, re.I):
        yield "has a word twice"
    if re.search(r'["{}\n]|  | [,.?;:]|[,;:][,.;:?]|\( | \)', bare):
        yield "has stray marks"
    for opening, closing in ("()", "[]"):
        if bare.count(opening) != bare.count(closing):
            yield "has a bracket without its other half"
    if re.search(r"\b[Aa] (?!one\b|uni|use)[aeiou]|\b[Aa]n (?![aeiou])", bare):
        yield "has the wrong article"
    small = bare.lower()
    for one, many in PAIRS:
        for name, wrong in ((one, lambda n: n != 1), (many, lambda n: n == 1)):
            if name.lower() not in small:
                continue
            for match in re.finditer(rf"{NUMBER}{re.escape(name)}(?![\w-])", bare, re.I):
                try:
                    number = amounts.read(match[1])
                except ValueError:
                    continue
                if wrong(number):
                    yield f"says {match[0]!r}"
    words = re.findall(r"(?<![.?!] )(?<!^)\b[A-Z]\w*(?:'\w+)?", re.sub(r"<<.*?>>", "", bare))
    if odd := {word for word in words if word not in CAPITALS and word != "Q"}:
        yield f"has capital letters in {odd}"


@every_family
@settings(deadline=None, derandomize=True, max_examples=20)
@given(data=st.data())
def test_every_wording_is_english_whatever_the_parameters(id, data):
    family = FAMILIES[id]
    params = data.draw(parameters(family))
    shown = sum(len(str(value)) for value in params.values())
    for _, text in sentences(family, params, data.draw(st.integers(0, 10_000))):
        assert not [*faults(text)], text
        assert len(text) <= 260 + 3 * shown, text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("use a comma.", "capital letter"),
        ("Use a comma", "no end"),
        ('End with "So.".', "full stop behind"),
        ("Use the the comma.", "a word twice"),
        ('Use the word "tea.', "stray marks"),
        ("Use a emoji.", "wrong article"),
        ("Use an comma.", "wrong article"),
        ("Use at least one words.", "says"),
        ("Use at least two word.", "says"),
        ("Make Every word long.", "capital letters"),
    ],
)
def test_faults_are_seen(text, fault):
    assert any(fault in found for found in faults(text)), [*faults(text)]


@every_family
def test_a_family_has_enough_wordings_a_third_of_them_held_out(id):
    for form in FAMILIES[id].forms:
        texts = [template.text for template in (*form.train, *form.held_out)]
        assert len(set(texts)) == len(texts)
        # Parameters that no response brings about need few.
        if not form.rare:
            assert len(texts) >= 12
            assert 3 * len(form.held_out) >= len(texts)
        # Prompts that list their instructions take the terse ones.
        for templates in (form.train, form.held_out):
            terse = [template for template in templates if template.terse]
            assert len(terse) >= (1 if form.rare else 2)


def test_no_wording_is_trained_and_held_out():
    trained, held_out = (
        {
            template.text
            for family in FAMILIES.values()
            for form in family.forms
            for template in getattr(form, part)
        }
        for part in ("train", "held_out")
    )
    assert not trained & held_out


@pytest.mark.parametrize("held_out", [False, True])
def test_a_terse_wording_asks_and_begs_nothing(held_out):
    rng = np.random.default_rng(0)
    for _ in range(60):
        text = constraints.render("punctuation:no_comma", {}, rng, held_out=held_out, terse=True)
        assert not text.endswith("?")
        assert "lease" not in text


def test_the_answer_has_one_name_where_it_is_given():
    rng = np.random.default_rng(0)
    params = {"num_words": 7, "relation": "at least"}
    texts = [
        constraints.render("length_constraints:number_words", params, rng, answer="your reply")
        for _ in range(100)
    ]
    assert any("our reply" in text for text in texts)
    assert not any(re.search("answer |response", text) for text in texts if "Answer in" not in text)


@given(st.integers(0, amounts.LIMIT - 1))
def test_spelled_numbers_read_back(number):
    assert amounts.read(amounts.spell(number)) == number
    assert amounts.read(str(number)) == number


@pytest.mark.parametrize("text", ["", "twelve hundred", "two one", "hundred five", "1.5", "-3"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="no number"):
        amounts.read(text)


@given(st.text())
@example('He said "so."')
@example("it's")
@example('"it\'s"')
@example("a\\nb\n")
def test_quotations_read_back(text):
    assert unquote(quote(text)) == text


def test_a_quotation_that_ends_a_sentence_ends_the_one_around_it():
    def end(phrase):
        id = "startend:end_checker"
        texts = {
            template.text: text
            for template, text in sentences(FAMILIES[id], {"end_phrase": phrase})
        }
        return texts["End {answer} with {phrase}."]

    assert end("That is all.").endswith('with "That is all."')
    assert end("that is all").endswith('with "that is all".')
    assert end("Any questions?").endswith('with "Any questions?"')


def test_numbers_come_as_digits_and_as_words():
    params = {"num_sentences": 7, "relation": "at least"}
    texts = [
        constraints.render("length_constraints:number_sentences", params, np.random.default_rng(i))
        for i in range(200)
    ]
    assert any("seven" in text for text in texts)
    assert any("7" in text for text in texts)
    assert len(set(texts)) > 40


@pytest.mark.parametrize("text", ["", "Tell me a story.", "Use at least x words.", "Use"])
def test_other_text_is_no_constraint(text):
    with pytest.raises(ValueError, match="no constraint"):
        constraints.parse(text)


def test_a_template_without_its_slot_is_refused():
    with pytest.raises(KeyError):
        Template("Use {nothing}.", {}, {})


def test_behind_a_negation_each_answer_is_your_answers():
    texts = {
        constraints.render(
            "punctuation:no_comma", {}, np.random.default_rng(seed), answer="each answer"
        )
        for seed in range(40)
    }
    assert "Do not use commas in your answers." in texts
    assert not any(re.search(r"(not|any|Avoid|without) .*each answer", text) for text in texts)
    assert all(constraints.parse(text) == ("punctuation:no_comma", {}) for text in texts)
