"""Demonstrations of every form read the same, and become tries of one leaf."""

import collections
import json

import numpy as np
import pytest

from mapl_jax.data import encode, forms, tokenization, trie_set
from mapl_jax.data.loader import Batches
from mapl_jax.data.readers import read_entries
from mapl_jax.data.records import collect, iter_demonstrations
from mapl_jax.data.rows import make_plan
from mapl_jax.data.samples import base_sample
from mapl_jax.data.settings import DataSettings, TrieSettings
from mapl_jax.data.splits import write_split
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings

ASK, REPLY = "How do I bake bread?", "Mix, wait and bake."
USER, ASSISTANT = {"role": "user", "content": ASK}, {"role": "assistant", "content": REPLY}

FORMS = {
    "prompt and completion": {"prompt": ASK, "completion": REPLY},
    "both as messages": {"prompt": [USER], "completion": [ASSISTANT]},
    "a completion that repeats the prompt": {"prompt": [USER], "completion": [USER, ASSISTANT]},
    "messages": {"messages": [USER, ASSISTANT]},
    "a pair": {"prompt": ASK, "chosen": REPLY, "rejected": "No."},
    "a pair of conversations": {
        "chosen": [USER, ASSISTANT],
        "rejected": [USER, {"role": "assistant", "content": "No."}],
    },
    "a dialogue": {"chosen": f"\n\nHuman: {ASK}\n\nAssistant: {REPLY}", "rejected": "no matter"},
}


def read(path, **options):
    return collect(iter_demonstrations, read_entries(path), **options)


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_strength_that_is_no_number_is_nothing_to_a_demonstration(tmp_path):
    record = {"q": ASK, "a": REPLY, "level": "strong"}
    form = forms.requested_form(columns="prompt=q,chosen=a,strength=level")
    (found,) = read(write(tmp_path / "d.jsonl", record), form=form).records
    assert found["completion"] == REPLY


@pytest.mark.parametrize("name", FORMS)
def test_every_form_reads_the_same(tmp_path, name):
    (record,) = read(write(tmp_path / "d.jsonl", FORMS[name])).records
    assert (record["prompt"], record["completion"]) == ([USER], REPLY)
    assert record["id"]


@pytest.mark.parametrize(
    ("record", "columns"),
    [
        ({"question": ASK, "answer": REPLY}, "prompt=question,completion=answer"),
        ({"dialog": [USER, ASSISTANT]}, "conversation=dialog"),
        ({"q": ASK, "good": REPLY, "bad": "No."}, "prompt=q,chosen=good,rejected=bad"),
        ({"question": ASK, "good": REPLY}, "prompt=question,chosen=good"),
        ({"q": ASK, "completion": REPLY}, "prompt=q"),
        ({"prompt": ASK, "responses": ["No.", REPLY], "worth": [1, 2]},
         "prompt=prompt,responses=responses,scores=worth"),
    ],
)  # fmt: skip
def test_columns_may_be_said(tmp_path, record, columns):
    form = forms.requested_form(columns=columns)
    (found,) = read(write(tmp_path / "d.jsonl", record), form=form).records
    assert (found["prompt"], found["completion"]) == ([USER], REPLY)


def test_only_the_last_reply_is_learned(tmp_path):
    turns = [USER, ASSISTANT, {"role": "user", "content": "And then?"}]
    path = write(tmp_path / "d.jsonl", {"messages": [*turns, {**ASSISTANT, "content": "Eat."}]})
    (record,) = read(path).records
    assert record["prompt"] == turns
    assert record["completion"] == "Eat."


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": ASK}, "has no 'completion'"),
        ({"completion": REPLY}, "has no 'prompt'"),
        ({"messages": [USER]}, "must end with a turn of role 'assistant'"),
        ({"messages": [ASSISTANT]}, "the assistant's reply alone"),
        ({"messages": "text"}, "has no 'prompt'"),
        ({"prompt": ASK, "completion": " "}, "completion is empty"),
        ({"prompt": ASK, "completion": 3}, "completion must be text"),
        ({"comparisons": []}, "keep them apart"),
        ({"prompt": ASK, "completion": "No.", "label": False}, "a bad reply by its 'label'"),
        ({"prompt": ASK, "response": "No.", "is_correct": False}, "bad reply by its 'is_correct'"),
        ({"messages": [USER, {**ASSISTANT, "weight": 0}]}, "is not to be learned from"),
    ],
)
def test_a_bad_record_is_named_or_counted(tmp_path, record, message):
    path = write(tmp_path / "d.jsonl", FORMS["messages"], record)
    with pytest.raises(UserError, match=r"record 2|line 2") as caught:
        read(path)
    assert message in str(caught.value)
    skipped = read(path, on_error="skip")
    assert (skipped.tally.read, len(skipped.records), skipped.tally.dropped.total()) == (2, 1, 1)


def test_a_file_of_nothing_usable_says_what_it_should_hold(tmp_path):
    with pytest.raises(UserError, match="no demonstration of"):
        read(write(tmp_path / "d.jsonl", {"a": 1}), on_error="skip")


def config(path, **changes):
    data = {"train": str(path), "test": "", "test_fraction": 0.3, "on_error": "raise"}
    data["instructions"] = False
    return DataSettings(**{**data, "demo_pairs": 20, **changes})


def test_splits_part_by_prompt_whatever_the_source(tmp_path):
    demonstrations = [{"prompt": f"Say {i}", "completion": f"It is {i}."} for i in range(40)]
    pairs = [{"prompt": d["prompt"], "chosen": d["completion"], "rejected": "No."}
             for d in demonstrations]  # fmt: skip
    found = []
    for name, records in (("d", demonstrations), ("p", pairs)):
        path = write(tmp_path / f"{name}.jsonl", *records)
        sides = prepare.demonstrations(config(path), Settings(), 0, tmp_path / "cache")
        texts = [[(s["prompts"][0]["messages"][0]["content"], *s["responses"])
                  for s in side.samples()] for side in sides]  # fmt: skip
        assert all(texts) and sum(map(len, texts)) == 40
        assert not {text[0] for text in texts[0]} & {text[0] for text in texts[1]}
        found.append(texts)
    assert found[0] == found[1]


def test_samples_give_their_first_prompt_and_chosen_response(tmp_path):
    sample = {
        "id": "s",
        "prompts": [{"messages": [USER], "constraints": []}] * 2,
        "responses": [REPLY, "No."],
        "comparisons": [
            {"level": "base", "prompt": [0, 0], "response": [0, 1], "sign": [1, -1], "gamma": 0.0}
        ],
    }
    path = write(tmp_path / "s.jsonl", sample)
    data = config(path, test=str(path))
    train, test = prepare.demonstrations(data, Settings(), 0, tmp_path / "cache")
    for side in (train, test):
        (found,) = side.samples()
        assert found["prompts"][0]["messages"] == [USER]
        assert found["responses"] == [REPLY]
        assert found["comparisons"] == []


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train([ASK, REPLY] * 4, 330)


def demonstration(i, reply):
    return {
        "id": str(i),
        "prompts": [{"messages": [USER], "constraints": []}],
        "responses": [reply],
        "comparisons": [],
    }


def test_a_demonstration_is_one_leaf_without_comparisons(tokenizer):
    counts = collections.Counter()
    settings = TrieSettings(max_length=256, row_length=256)
    (record,) = encode.encode_samples([demonstration(0, REPLY)], tokenizer, settings, counts)
    assert len(record["leaf_end"]) == 1
    assert len(record["level"]) == 0
    assert record["response_tokens"][0] == record["scored"].sum()
    # Padding apart, the response is what follows the prompt.
    text = tokenizer.decode(record["tokens"][record["scored"]])
    assert text.startswith(REPLY) and ASK not in text
    assert counts["demonstrations"] == counts["tries"] == 1
    assert counts["flat_tokens"] == counts["trie_tokens"] == len(record["tokens"])


def test_a_demonstration_that_is_cut_stays(tokenizer):
    settings = TrieSettings(max_length=64, row_length=64)
    long = demonstration(0, "Mix and wait. " * 40)
    (record,) = encode.encode_samples([long], tokenizer, settings, collections.Counter())
    assert len(record["tokens"]) == 64


def test_weights_of_the_tokens_of_a_global_batch_add_up_to_one(tokenizer, tmp_path):
    samples = [demonstration(i, "Mix. " * (1 + i % 5)) for i in range(30)]
    settings = TrieSettings(max_length=64, row_length=128)
    tries = trie_set.encode_cached(samples, "f", tokenizer, settings, tmp_path)
    np.testing.assert_array_equal(tries.demonstrated, tries.response)
    plan = make_plan(
        tries.lengths,
        tries.leaves,
        tries.levels.sum(1),
        scored=tries.response,
        row_length=128,
        rows_per_batch=4,
        seed=0,
    )
    for step in range(plan.steps):
        parts = [Batches(tries, plan, host=host, hosts=2)[step] for host in range(2)]
        total = sum((part.sft_weight * part.response_tokens).sum() for part in parts)
        assert total == pytest.approx(1, rel=1e-6)


def test_held_out_prompts_that_are_trained_on_are_counted(tmp_path):
    def side(name, *prompts):
        made = [
            base_sample({"id": p, "prompt": [{"role": "user", "content": p}], "chosen": name,
                         "rejected": "no", "margin": 0.0})
            for p in prompts
        ]  # fmt: skip
        return write_split(made, tmp_path / name)

    train = side("train", "a", "b")
    assert side("test", "b", "c", "d").beside(train).notes == (
        "held-out samples whose prompt is also trained on: 1 of 3",
    )
    assert side("other", "c").beside(train).notes == ()
