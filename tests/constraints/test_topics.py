"""Things to mention and to leave out: what they are called, and where a reader may differ."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mapl_jax import constraints
from mapl_jax.constraints.requests import Request
from mapl_jax.constraints.text import things

FAMILIES = ("keywords:mention", "keywords:both", "keywords:either")


def proposed(id, kept, broken, prompt=None, tries=40):
    """All that is proposed for two texts, without what comes up again."""
    rng = np.random.default_rng(0)
    found = (
        constraints.propose(id, [(kept, True), (broken, False)], rng, prompt) for _ in range(tries)
    )
    return [dict(it) for it in {str(params): params for params in found if params}.values()]


def named(id, kept, broken, prompt=None):
    """All things that are proposed for two texts."""
    return {
        shown
        for params in proposed(id, kept, broken, prompt)
        for shown in (*params["things"], *params.get("without", ()))
    }


def test_a_thing_has_one_name_and_its_words_are_of_no_other():
    shown = [thing.shown for thing in {*things.OF_WORD.values()}]
    assert len({*shown}) == len(shown) > 1500
    assert all(things.named(name) is not None for name in shown)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("butter", "butter"),
        ("carrot", "carrots"),
        ("knife", "knives"),
        ("berries", "berries"),
        ("heart", "the heart"),
        ("church", "church"),
    ],
)
def test_a_thing_is_called_as_people_call_it(word, shown):
    assert things.OF_WORD[word].shown == shown


def test_a_thing_is_not_said_to_be_like_itself():
    assert not [it for it in things.OF_WORD.values() if it.forms & it.alike]


@pytest.mark.parametrize(
    ("kept", "broken"),
    [
        ("Give it to the kids.", "Give it to the toddlers."),
        ("Pay the rent.", "The rental is due."),
        ("Use cheese.", "Use mozzarella."),
        ("Spread peanut butter on it.", "Spread it on."),
        ("Ask Butter about it.", "Ask him about it."),
        ("It is a soap-free house rule.", "It is a rule."),
    ],
)
@pytest.mark.parametrize("id", FAMILIES)
def test_nothing_is_named_that_a_reader_may_find_or_miss(id, kept, broken):
    assert proposed(id, kept, broken) == []


def test_each_of_two_texts_can_be_told_to_mention_what_the_other_one_lacks():
    one, other = "Fry the rice with garlic in butter.", "Fry the rice with onions in butter."
    assert {"things": ["garlic"]} in proposed("keywords:mention", one, other)
    without = {"things": ["butter"], "without": ["garlic"], "negated": True}
    assert without in proposed("keywords:mention", other, one)
    assert named("keywords:both", one, other) == {"rice", "garlic", "butter", "onions"}


def test_of_a_text_that_holds_all_that_the_other_does_less_is_asked():
    more, less = "Fry the rice with garlic and an onion.", "Fry the rice."
    assert proposed("keywords:both", less, more) == []
    found = proposed("keywords:mention", less, more)
    assert all(it["things"] == ["rice"] and it["negated"] for it in found)
    assert {it["without"][0] for it in found} == {"garlic", "onions"}


def test_nobody_bans_what_the_request_is_about():
    more, less = "Fry the rice with garlic and an onion.", "Fry the rice."
    found = proposed("keywords:mention", less, more, "What goes with garlic?")
    assert {it["without"][0] for it in found} == {"onions"}


def test_what_the_texts_speak_of_again_comes_first():
    text = "Use soap. Soap cleans, and soap is cheap; rinse it in the sink with water."
    found = proposed("keywords:mention", text, "Ask them.")
    assert {it["things"][0] for it in found} == {"soap"}


def test_a_name_that_is_no_known_thing_stands_in_quotes():
    params = {"things": ["blue whales", "butter"]}
    rng = np.random.default_rng(0)
    text = constraints.render("keywords:both", params, rng)
    assert '"blue whales" and butter' in text
    assert constraints.parse(text) == ("keywords:both", params)
    assert constraints.parse("Mention a carrot.") == ("keywords:mention", {"things": ["carrots"]})
    with pytest.raises(ValueError, match="gadgetry"):
        constraints.parse("Mention gadgetry.")


@pytest.mark.parametrize(
    "params",
    [
        {"things": []},
        {"things": ["tea", "milk"]},
        {"things": ["tea"], "without": ["milk"]},
        {"things": ["tea"], "negated": True},
        {"things": ["tea"], "without": ["tea"], "negated": True},
    ],
)
def test_as_many_things_are_named_as_a_sentence_says(params):
    with pytest.raises(ValueError, match="keywords:mention"):
        constraints.validate("keywords:mention", params)


def test_of_thanks_nothing_is_to_be_mentioned():
    assert constraints.unasked(
        "keywords:mention", {"things": ["tea"]}, Request("Thanks!", "", "Tea")
    )


def redundant(*items):
    ready = [constraints.asked(*item) for item in items]
    return (
        constraints.redundant(*ready) if len(ready) == 2 else constraints.redundant_together(ready)
    )


MENTION = ("keywords:mention", {"things": ["tea"]})
BOTH = ("keywords:both", {"things": ["milk", "sugar"]})
USE = ("keywords:existence", {"keywords": ["water"]})
NEVER = ("keywords:forbidden_words", {"forbidden_words": ["very"]})


def test_a_prompt_is_no_list_of_words():
    assert redundant(MENTION, BOTH)
    assert redundant(USE, ("keywords:frequency", {"keyword": "tea", "frequency": 2} | AT_LEAST))
    assert redundant(MENTION, ("keywords:existence", {"keywords": ["tea"]}))
    assert not redundant(MENTION, USE)
    assert not redundant(MENTION, NEVER)
    assert redundant(MENTION, USE, NEVER)


def test_what_is_to_be_mentioned_is_not_banned_beside():
    banned = ("keywords:forbidden_words", {"forbidden_words": ["tea"]})
    assert constraints.conflict(MENTION, banned)
    left_out = ("keywords:mention", {"things": ["milk"], "without": ["tea"], "negated": True})
    assert constraints.conflict(left_out, ("keywords:existence", {"keywords": ["tea"]}))
    assert not constraints.conflict(left_out, USE)


AT_LEAST = {"relation": "at least"}


def test_sentences_that_are_long_on_average_are_not_counted_twice():
    average = ("length_constraints:average_sentence", {"number": 12} | AT_LEAST)
    assert redundant(average, ("length_constraints:exact_sentences", {"number": 1}))
    many = ("length_constraints:exact_sentences", {"number": 4})
    words = ("length_constraints:number_words", {"num_words": 40} | AT_LEAST)
    assert redundant(average, many, words)
    assert not redundant(average, many)


DRAWN = """
import numpy as np
from mapl_jax import constraints
from mapl_jax.constraints.requests import Request

tooth = constraints.known(
    constraints.family_of("keywords:mention"), {"things": ["teeth"], "without": ["feet"]}
)
print(tooth.demands, [constraints.unasked(tooth.family.id, tooth.params, Request(q), 2) for q in
      ("What is a tooth?", "What are teeth?", "Why do my feet hurt?")])
"""


def test_what_is_said_of_a_thing_does_not_hang_on_the_order_of_sets():
    said = {
        subprocess.run(
            [sys.executable, "-c", DRAWN],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(said) == 1
    assert "word:teeth" in said.pop()
