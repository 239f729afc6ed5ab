"""What encoding leaves out or finds odd is counted, and said in the line about the data."""

import collections

import pytest

from mapl_jax.data import encode, tokenization, trie_set
from mapl_jax.data.records import Tally, iter_pairs
from mapl_jax.data.samples import base_sample
from mapl_jax.data.settings import TrieSettings
from mapl_jax.data.sources import entries_of
from mapl_jax.synthesize import load_pairs

THINKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train(["Which tide? The evening tide."], 300)


def counted(tokenizer, pair, **settings):
    counts = collections.Counter()
    samples = map(base_sample, iter_pairs(entries_of([pair]), Tally()))
    settings = TrieSettings(**{"max_length": 64, "row_length": 256, **settings})
    return len(list(encode.encode_samples(samples, tokenizer, settings, counts))), counts


def test_a_comparison_whose_sides_are_cut_to_the_same_is_left_out(tokenizer):
    long = "word " * 200
    tries, counts = counted(
        tokenizer, {"prompt": "All", "chosen": long + "a", "rejected": long + "b"}
    )
    assert (tries, counts["comparisons_dropped_alike"]) == (0, 1)


def test_a_template_that_leaves_out_thoughts_is_noticed(tokenizer, monkeypatch):
    pair = {"prompt": "Q", "chosen": "<think>a</think>It.", "rejected": "<think>b</think>It."}
    assert counted(tokenizer, pair)[1]["samples_shortened_by_template"] == 0
    monkeypatch.setattr(tokenizer, "chat_template", THINKS)
    tries, counts = counted(tokenizer, pair)
    assert (tries, counts["comparisons_dropped_alike"]) == (0, 1)
    assert trie_set.flaws(counts) == [
        "1 comparison whose two sides became the same tokens left out; "
        "1 sample of which the chat template leaves out a part (first: sample 1)"
    ]


def test_a_template_that_leaves_out_turns_of_the_prompt_is_noticed(tokenizer, monkeypatch):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
             {"role": "user", "content": "Q"}]  # fmt: skip
    pair = {"prompt": turns, "chosen": "A", "rejected": "B"}
    assert counted(tokenizer, pair)[1]["samples_shortened_by_template"] == 0
    last = "for m in messages if m.role == 'user' or m == messages[-1]"
    monkeypatch.setattr(tokenizer, "chat_template", THINKS.replace("for m in messages", last))
    assert counted(tokenizer, pair)[1]["samples_shortened_by_template"] == 1


@pytest.mark.parametrize(
    ("prompt", "chosen", "count"),
    [
        ("<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n", "A", 1),
        ("[INST] Q [/INST]", "A", 1),
        ("Q", "A<|im_end|>", 0),
        ("Q", "A</s>", 1),
        ("Q", "A<|eot_id|>\n", 1),
        ("Write <s>old</s> for what is struck.", "A", 0),
        ("USER: Q ASSISTANT:", "A", 1),
        ("Q", "Assistant: A", 1),
        ("Q", "<|channel|>final<|message|>A", 1),
        ("<image>\nQ", "A", 1),
        ("<extra_id_1>User\nQ", "A", 1),
        ("Write <video src=a></video>.", "A", 0),
        ("Who is an assistant?", "A", 0),
        ("Is 1 < 2?", "Yes", 0),
    ],
)
def test_text_with_marks_of_a_template_is_counted(tokenizer, prompt, chosen, count):
    pair = {"prompt": prompt, "chosen": chosen, "rejected": "No"}
    assert counted(tokenizer, pair)[1]["samples_with_marks"] == count


def test_pairs_that_hold_marks_are_said_as_they_are_read(capsys):
    rendered = {"prompt": "<|im_start|>user\nWhich?", "chosen": "This.", "rejected": "That."}
    load_pairs([{**rendered, "prompt": "Which?"}, rendered])
    said = capsys.readouterr()
    assert (
        "1 sample whose text holds marks of a chat template and is used as it is (first: sample 2)"
        in (said.out + said.err)
    )
