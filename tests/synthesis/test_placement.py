"""Instructions stand where people put them, and the request stays as it was."""

import collections

import numpy as np
import pytest

from mapl_jax.synthesis.placement import (
    AFTER,
    BEFORE,
    INSIDE,
    PLACES,
    SYSTEM,
    TURNS,
    Style,
    can_weave,
    draw_style,
)

SENTENCES = ["Use at least one comma.", "Don't use any hyphens."]


def user(content):
    return {"role": "user", "content": content}


def system(content):
    return {"role": "system", "content": content}


REPLY = {"role": "assistant", "content": "Yes."}
SHORT = [user("Why?")]
LONG = [user("I have a dog. Why does it bark?")]
TALK = [system("Be kind."), user("Do dogs bark?"), REPLY, user("Why?")]


def drawn(messages, shares, count=2, lists=0.5, held_out=False, number=300, woven=0.0):
    rng = np.random.default_rng(0)
    return [
        draw_style(messages, count, shares, lists, woven, rng, held_out=held_out)
        for _ in range(number)
    ]


@pytest.mark.parametrize("messages", [SHORT, LONG, TALK])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("held_out", [False, True])
def test_nothing_is_lost_and_the_last_turn_is_the_users(messages, place, held_out):
    for style in drawn(messages, {place: 1.0}, held_out=held_out):
        made = style.put(messages, SENTENCES)
        text = "\n".join(message["content"] for message in made)
        assert all(sentence in text for sentence in SENTENCES)
        assert made[-1]["role"] == "user"
        left = text
        for part in "\n".join(message["content"] for message in messages).split():
            assert part in left
            left = left[left.index(part) + len(part) :] if part in left else left
        assert [m for m in made if m["role"] == "assistant"] == [
            m for m in messages if m["role"] == "assistant"
        ]
        assert "  " not in text


def test_each_place_gets_its_share():
    shares = {BEFORE: 0.2, INSIDE: 0.1, SYSTEM: 0.1, TURNS: 0.1}
    talk = [user("Do dogs bark?"), *LONG]
    found = collections.Counter(style.place for style in drawn(talk, shares, number=4000))
    for place, share in {**shares, AFTER: 0.5}.items():
        assert found[place] / 4000 == pytest.approx(share, abs=0.03)


def test_a_turn_that_answers_a_reply_begins_with_its_own_words():
    """Rules in front of "It must have started long ago." would be what "it" speaks of."""
    talk = [*TALK[:-1], *LONG]
    assert {style.place for style in drawn(talk, {BEFORE: 0.5, INSIDE: 0.5})} == {AFTER}


def test_without_room_they_stand_behind_the_request():
    assert {style.place for style in drawn(SHORT, {INSIDE: 1.0})} == {AFTER}
    assert {style.place for style in drawn(SHORT, {TURNS: 1.0})} == {AFTER}
    assert {style.place for style in drawn(TALK, {TURNS: 1.0}, count=1)} == {AFTER}
    # A text to work on is not parted from the request that introduces it.
    material = [user("Shorten this:\n\nDogs bark. Cats do not.")]
    assert {style.place for style in drawn(material, {INSIDE: 1.0})} == {AFTER}


def test_behind_a_pasted_text_the_rules_have_a_paragraph_of_their_own():
    pasted = [user("Please shorten this.\n\nDogs bark at night. Cats hardly ever do.")]
    assert not any(style.inline for style in drawn(pasted, {}, lists=0.0))
    assert any(style.inline for style in drawn(LONG, {}, lists=0.0))


def test_the_places_are_what_they_are_called():
    def put(place, messages, **options):
        return Style(place, None, **options).put(messages, ["No commas, please."])

    assert put(AFTER, SHORT) == [user("Why?\n\nNo commas, please.")]
    assert put(AFTER, SHORT, inline=True) == [user("Why? No commas, please.")]
    assert put(BEFORE, SHORT) == [user("No commas, please.\n\nWhy?")]
    assert put(INSIDE, LONG) == [user("I have a dog. No commas, please. Why does it bark?")]
    assert put(INSIDE, [user("A dog.\n\nWhy?")]) == [user("A dog.\n\nNo commas, please.\n\nWhy?")]
    assert put(SYSTEM, SHORT) == [system("No commas, please."), *SHORT]
    assert put(SYSTEM, TALK) == [system("Be kind.\n\nNo commas, please."), *TALK[1:]]
    two = Style(TURNS, None, earlier=(1, "From now on:")).put(TALK, SENTENCES)
    assert [message["content"] for message in two] == [
        "Be kind.",
        "Do dogs bark? From now on: Use at least one comma.",
        "Yes.",
        "Why?\n\nDon't use any hyphens.",
    ]


def test_a_list_has_a_line_for_each_and_one_instruction_is_no_list():
    style = Style(AFTER, "#. ", "Requirements:")
    assert style.text(SENTENCES) == (
        "Requirements:\n1. Use at least one comma.\n2. Don't use any hyphens."
    )
    assert not any(style.is_list for style in drawn(SHORT, {}, count=1, lists=1.0))
    assert all(style.is_list for style in drawn(SHORT, {}, lists=1.0))
    assert not any(style.is_list for style in drawn(SHORT, {}, lists=0.0))


def test_commands_are_woven_into_one_sentence():
    style = Style(AFTER, None, woven=True)
    assert style.text(SENTENCES) == (
        "When you answer, use at least one comma and don't use any hyphens."
    )
    three = [*SENTENCES, 'Use the word "tea" in your reply.']
    assert style.text(three) == (
        'Use at least one comma, don\'t use any hyphens, and use the word "tea" in your reply.'
    )
    assert can_weave(three)
    for other in (
        "No commas, please.", "Can you use a comma?", "The answer needs a comma.",
        'End with "That is all."', "Use two paragraphs. Start the second with \"Tea\".",
    ):  # fmt: skip
        assert not can_weave([*SENTENCES, other])
    assert not can_weave(SENTENCES[:1])


def test_a_share_of_the_prose_is_woven():
    styles = drawn(SHORT, {}, lists=0.0, woven=0.25, number=2000)
    assert sum(style.woven for style in styles) / 2000 == pytest.approx(0.25, abs=0.03)
    assert not any(style.woven for style in drawn(SHORT, {}, lists=1.0, woven=1.0))


def test_leads_and_marks_of_evaluation_are_kept_apart():
    def forms(held_out):
        styles = [
            style
            for place in (BEFORE, SYSTEM, AFTER)
            for style in drawn(SHORT, {place: 1.0} if place != AFTER else {}, 2, 1.0, held_out)
        ]
        return {(style.lead, style.mark) for style in styles}

    assert not forms(False) & forms(True)
