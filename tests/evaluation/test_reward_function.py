"""Rewards as trainers of policies call them."""

import inspect
import json
import re

import numpy as np
import pytest

import mapl_jax
from mapl_jax import constraints
from mapl_jax.evaluation import judges
from mapl_jax.evaluation.reward_function import reward_function
from mapl_jax.runtime.errors import UserError

PROMPT = "Name a river. Use at least one comma. Write at most three words."
COMMA = {"id": "punctuation:no_comma", "params": {"negated": True, "number": None}}
TEXTS = ["The Nile.", "The Nile, I think it is.", "Nile, maybe.", "I think it is the Nile."]


def lengths(conversations, responses):
    """A judge that likes long responses, and wants each conversation once."""
    assert len({json.dumps(messages) for messages in conversations}) == len(conversations)
    return [[len(text) for text in some] for some in responses]


def chat(text, role="user"):
    return [{"role": role, "content": text}]


def called(function, texts=TEXTS, prompt=PROMPT, **columns):
    found = function(prompts=[prompt] * len(texts), completions=texts, **columns)
    assert all(type(value) is float for value in found)
    return found


def test_verifiers_alone_give_the_share_of_the_instructions_that_are_kept():
    reward = reward_function(constraints="prompt")
    assert called(reward) == [0.5, 0.5, 1.0, 0.0]
    assert called(reward, prompt="Name a river.") == [0.0] * 4


def test_a_gate_adds_one_where_the_reward_is_above_it_and_takes_a_half_where_not():
    reward = reward_function(lengths, constraints="prompt", gate=12)
    assert called(reward) == [0.0, 1.5, 0.5, 0.0]
    # A prompt without instructions is judged by the reward alone.
    assert called(reward, prompt="Name a river.") == [-0.5, 1.0, -0.5, 1.0]


def test_a_judge_alone_is_its_numbers_whatever_the_order_of_prompts():
    reward = reward_function(lengths)
    found = reward(prompts=["a", "b", "a"], completions=["1", "22", "333"])
    assert found == [1.0, 2.0, 3.0]


def test_texts_and_messages_are_the_same():
    reward = reward_function(lengths, constraints="prompt", gate=12)
    assert called(reward, [chat(text, "assistant") for text in TEXTS], chat(PROMPT)) == called(
        reward
    )


def test_trainers_pass_more_than_is_needed_and_read_the_name():
    reward = reward_function(constraints="prompt")
    more = {"completion_ids": [[1]] * 4, "trainer_state": None, "log_metric": print}
    assert called(reward, **more) == called(reward)
    assert reward.__name__ == "mapl_reward"


@pytest.mark.parametrize("written", [lambda value: value, json.dumps])
def test_instructions_of_a_column_are_those_of_samples(written):
    params = {"negated": True}
    listed = [{"id": "punctuation:no_comma", "params": params}]
    reward = reward_function(constraints="rules")
    assert called(reward, rules=[written(listed)] * 4) == [0.0, 1.0, 1.0, 0.0]
    # A data set fills with None what other records have.
    filled = [{"id": "punctuation:no_comma", "params": {**params, "number": None}}]
    assert called(reward, rules=[written(filled)] * 4) == [0.0, 1.0, 1.0, 0.0]
    assert called(reward, rules=[written([])] * 4) == [0.0] * 4


def test_instructions_of_ifeval_are_judged_by_its_rules():
    reward = reward_function(constraints="instruction_id_list")
    ids = ["punctuation:no_comma", "length_constraints:number_words"]
    kwargs = [{}, {"num_words": 3, "relation": "at least", "num_bullets": None}]
    columns = {"instruction_id_list": [ids] * 4, "kwargs": [kwargs] * 4}
    assert called(reward, **columns) == [0.5, 0.5, 0.0, 1.0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "give a model, constraints or both"),
        ({"constraints": "prompt", "gate": 1.0}, "gate goes with"),
        ({"model": lengths, "gate": 1.0}, "gate goes with"),
        ({"model": lengths, "constraints": "prompt"}, "gate goes with"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message):
    with pytest.raises(UserError, match=message):
        reward_function(**arguments)


@pytest.mark.parametrize(
    "columns, message",
    [
        ({}, "the data has no column 'rules'"),
        ({"rules": ["{"]}, "column 'rules': no instructions in '{'"),
        ({"rules": [[{"id": "no:such"}]]}, "column 'rules': no instructions in"),
        ({"rules": [[{"id": "no:such", "params": {}}]]}, "unknown constraint 'no:such'"),
    ],
)
def test_a_bad_column_is_named(columns, message):
    with pytest.raises(UserError, match=re.escape(message)):
        called(reward_function(constraints="rules"), TEXTS[:1], **columns)


def test_as_many_completions_as_prompts():
    with pytest.raises(UserError, match="1 prompts, but 2 completions"):
        reward_function(constraints="prompt")(prompts=["a"], completions=["b", "c"])


def test_every_instruction_of_a_prompt_is_read_back_wherever_it_stands():
    samples = mapl_jax.make_samples(mapl_jax.load_pairs("demo", limit=40))
    for sample in samples:
        for prompt in sample["prompts"]:
            wanted = [(entry["id"], entry["params"]) for entry in prompt["constraints"]]
            found = judges.instructions_in(prompt["messages"])
            key = lambda item: json.dumps(item, sort_keys=True)  # noqa: E731
            assert sorted(found, key=key) == sorted(wanted, key=key), prompt


@pytest.mark.parametrize(
    "text, ids",
    [
        ("(1) No commas, please.\n b) Use at most one colon.", ["no_comma", "colons"]),
        ("What is 2.5? Use at most one colon. Thank you! Bye.", ["colons"]),
        ("", []),
        ("* ", []),
        ('Bye. End your answer with "That is all. Bye."', ["end_checker"]),
    ],
)
def test_other_sentences_are_passed_over(text, ids):
    assert [id.partition(":")[2] for id, _ in constraints.read(text)] == ids


def test_tunix_calls_it_as_its_documentation_says():
    """`reward_fn(prompts=..., completions=..., **columns)` gives as many numbers as prompts.

    Tunix passes arrays as well as lists, the settings that the signature names, and every column
    of the data; it shows the name in its metrics (`SequenceRewardManager` of google-tunix 0.1.7,
    `tunix/rl/reward_manager.py`, takes the function as it is).
    """
    reward = reward_function(constraints="rules")
    named = inspect.signature(reward).parameters
    assert [name for name in named if name not in ("prompts", "completions")] == ["columns"]
    assert named["columns"].kind is inspect.Parameter.VAR_KEYWORD
    rules = [json.dumps([{"id": "punctuation:no_comma", "params": {"negated": True}}])] * 2
    values = reward(
        prompts=np.asarray([PROMPT] * 2),
        completions=TEXTS[1:3],
        mode="train",
        rules=np.asarray(rules, object),
        answer=np.asarray(["-", "-"]),
    )
    assert values == [1.0, 1.0] and isinstance(values, list)
    np.testing.assert_array_equal(np.asarray(values, np.float32), [1, 1])
    assert reward.__name__ == "mapl_reward"


ONE = {"prompts": ["Use no commas."], "completions": ["a"]}


@pytest.mark.parametrize(
    "given, message",
    [
        ({"prompts": None}, "prompts is None; it must be a list"),
        ({"prompts": "a"}, "prompts is 'a'; it must be a list"),
        ({"completions": []}, "1 prompts, but 0 completions"),
        ({"prompts": [5]}, "prompt 1 cannot be read"),
        *(
            ({"completions": [bad]}, "completion 1 is .*; it must be text or a list of messages")
            for bad in (5, None, [], [{"role": "assistant"}], [5], {"content": 5})
        ),
        ({"completions": ["a\ud800"]}, "completion 1 holds half of a surrogate pair"),
        ({"column": None}, "column is None; it must be a list"),
        ({"column": []}, "1 prompts, but 0 column"),
        ({"column": ["[" * 1000]}, "column 'column': no instructions"),
        ({"column": [[{"id": "punctuation:no_comma", "params": None}]]}, "no instructions in"),
    ],
)
def test_what_cannot_be_rewarded_is_named(given, message):
    reward = reward_function(constraints="column" if "column" in given else "prompt")
    with pytest.raises(UserError, match=message):
        reward(**ONE | given)


@pytest.mark.parametrize(
    "said", [None, [], [["x"]], [[float("nan")]], [[[1]]], [[1, 2]], [[10**400]], 5]
)
def test_a_judge_gives_a_finite_number_for_every_response(said):
    def judge(conversations, responses):
        return said

    with pytest.raises(UserError, match=r"the judge judge must give a finite number for every"):
        reward_function(judge)(**ONE)
    with pytest.raises(ValueError, match="give a function and a name"):
        judges.register("five", 5)
