"""What nobody would ask for along with a request, by its kinds."""

import pytest

from mapl_jax import constraints
from mapl_jax.constraints.base import Family
from mapl_jax.constraints.registry import FAMILIES
from mapl_jax.constraints.requests import Request
from mapl_jax.constraints.wording import EACH_ANSWER

AT_LEAST, LESS = {"relation": "at least"}, {"relation": "less than"}
THANKS = Request("Thanks for the help!", "How do I swim?", "Kick with your legs.")
ME = "detectable_content:first_person"
YOU = "detectable_content:second_person"
FILLERS = "detectable_content:fillers"
WORDS = "length_constraints:number_words"


@pytest.mark.parametrize(
    ("id", "params", "last"),
    [
        (ME, {}, "How is vodka made?"),
        (ME, {}, "Can you tell me where molasses comes from?"),
        (ME, {}, "Can you explain gravity?"),
        (ME, {}, "Give me a weekly meal plan."),
        (YOU, {}, "Who was Bob Dole?"),
        (YOU, {}, "What are the largest cartels?"),
        ("startend:question_end", {}, "When did the war end?"),
        (FILLERS, {}, "What are signs of suicide?"),
        ("punctuation:exclamation_marks", AT_LEAST | {"number": 1}, "How many people died there?"),
        (WORDS, AT_LEAST | {"num_words": 100}, "Did he go to Congress?"),
        (WORDS, LESS | {"num_words": 9}, "What are the dangers of gymnastics?"),
        ("detectable_content:examples", {}, "What year did it begin?"),
        ("detectable_content:examples", {"negated": True}, "What year did it begin?"),
        ("detectable_content:duties", {}, "Who wrote it?"),
        ("detectable_content:opinions", {}, "How are letters sorted by machines?"),
        ("detectable_content:contractions", {}, "Give me a recipe for bread."),
        ("detectable_content:contractions", {}, "When did the war end?"),
        (ME, {}, "How do I get to Rome?"),
        (YOU, {}, "What are good names for a cat?"),
        (ME, {}, "Replace one word of this text, which I wrote for you to read."),
        (WORDS, AT_LEAST | {"num_words": 85}, "Can you punctuate this text for me?"),
        ("detectable_content:reasons", {}, "Who wrote it?"),
    ],
)
def test_nobody_asks_for_it_there(id, params, last):
    assert constraints.unasked(id, params, Request(last))


@pytest.mark.parametrize(
    ("id", "params", "last"),
    [
        (ME, {"negated": True}, "How is vodka made?"),
        (ME, {}, "Would you rather live in Rome or in Paris?"),
        (ME, {}, "What is the best way to store tea?"),
        (YOU, {}, "How do I get to Rome?"),
        ("startend:question_end", {}, "My cat does not eat, what should I do?"),
        ("detectable_content:contrasts", {}, "How do I make a frappe?"),
        (FILLERS, {"negated": True}, "What are signs of suicide?"),
        (FILLERS, {}, "How do I make a frappe?"),
        (WORDS, AT_LEAST | {"num_words": 40}, "Did he go to Congress?"),
        (WORDS, LESS | {"num_words": 9}, "Did he go to Congress?"),
        ("detectable_content:contrasts", {}, "Is a lease better than a loan?"),
        ("detectable_content:opinions", {}, "Do you think that it will rain?"),
    ],
)
def test_people_do_ask_for_it_there(id, params, last):
    assert constraints.unasked(id, params, Request(last)) is None


@pytest.mark.parametrize(
    ("last", "asks"),
    [
        ("Thanks for the help!", False),
        ("I see what you mean now.", False),
        ("I would like to visit both of them one day.", False),
        ("Thanks. Please tell me more.", True),
        ("I would like to know more.", True),
        ("Thanks! And how deep is it?", True),
    ],
)
def test_thanks_and_remarks_ask_for_nothing(last, asks):
    assert Request(last, "How do I swim?", "Kick with your legs.").asks is asks


@pytest.mark.parametrize(
    ("id", "params"),
    [
        (WORDS, LESS | {"num_words": 7}),
        (WORDS, AT_LEAST | {"num_words": 60}),
        ("length_constraints:exact_sentences", {"number": 5}),
        ("detectable_content:duties", {}),
        ("detectable_content:reasons", {}),
        ("scope:first_sentence_question", {}),
    ],
)
def test_a_rule_for_all_answers_suits_any_of_them(id, params):
    assert constraints.unasked(id, params, THANKS)
    assert (
        constraints.unasked("punctuation:exclamation_marks", LESS | {"number": 1}, THANKS) is None
    )


class First:
    def random(self):
        return 0.0


def written(family: Family, params, held_out=False):
    form = family.form(params)
    return [each.write(params, First(), EACH_ANSWER) for each in (*form.train, *form.held_out)]


def test_no_in_a_quotation_makes_no_ban_of_a_sentence():
    plain = written(FAMILIES["detectable_content:contractions"], {})
    assert any(EACH_ANSWER in text for text in plain)
    assert not any("your answers" in text for text in plain)
    banned = written(FAMILIES["detectable_content:contractions"], {"negated": True})
    assert any("your answers" in text for text in banned)


def test_what_no_answer_may_do_is_said_of_all_of_them():
    banned = written(FAMILIES["detectable_content:contractions"], {"negated": True})
    assert not any(text.startswith("Each answer") for text in banned)
    bans = [text for text in banned if text.startswith("Your answers should not")]
    assert bans
    assert constraints.parse(bans[0]) == ("detectable_content:contractions", {"negated": True})


@pytest.mark.parametrize(
    ("id", "params", "last"),
    [
        ("startend:question_end", {}, "Show me the whole list, please."),
        (ME, {}, "Give me a list of extinct animals."),
        ("detectable_content:contractions", {}, "What are signs of suicide?"),
        ("startend:sentence_opening", {"word": "If", "negated": True}, "How do I swim?"),
        ("keywords:existence", {"keywords": ["boardwalk"]}, "Where do I look for diamonds?"),
    ],
)
def test_few_ask_for_it_there(id, params, last):
    assert constraints.unasked(id, params, Request(last), constraints.STRICTEST)


def test_who_has_answered_waits_for_the_answer_and_no_question():
    waits = Request("A thin one.", "How do I make pizza?", "Do you prefer thin or thick?")
    assert constraints.unasked("startend:question_end", {}, waits, constraints.STRICTEST)
    assert constraints.unasked("startend:question_end", {}, waits) is None


def test_who_is_in_distress_or_closes_gives_no_rules_of_form():
    reply = "What do the voices say?"
    assert not Request("I am hearing voices. Help me.", "I feel ill.", reply).asks
    assert not Request("I'll let you know if I need help.", "How do I swim?", "Kick.").asks


def test_of_a_paragraph_to_edit_the_length_is_the_writers():
    edit = Request("Can you edit this paragraph so that it is more concise?")
    assert constraints.unasked(WORDS, AT_LEAST | {"num_words": 40}, edit)
