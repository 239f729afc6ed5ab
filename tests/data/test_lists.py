"""A list of responses is one sample: one trie, with the prompt and each response in it once."""

import collections
import itertools

import numpy as np
import pytest

from mapl_jax import constraints
from mapl_jax.data import encode, loader, tokenization, trie_set
from mapl_jax.data.normalize import pair_of
from mapl_jax.data.rows import make_plan
from mapl_jax.data.samples import base_comparisons, base_sample, check_sample
from mapl_jax.data.settings import TrieSettings
from mapl_jax.losses import BASE, INTER, INTRA
from mapl_jax.synthesis import build
from mapl_jax.synthesis.settings import Settings

QUESTION = "How do I bake bread at home?"
TEXTS = [
    "Mix flour, water, yeast and salt! Wait; then bake it for 40 minutes.",
    "Mix and bake.\n\n* flour\n* water\n* yeast",
    "I do not know. Ask a baker, or read a book about it: there are many.",
    "NO",
]
LIST = {"id": "q", "prompt": QUESTION, "responses": TEXTS, "scores": [4, 2, 2, 1], "subset": "food"}
PAIR = {"id": "p", "prompt": QUESTION, "chosen": TEXTS[0], "rejected": TEXTS[3]}
WIDE = TrieSettings(max_length=4096, row_length=8192)


def pair(record):
    found = pair_of(None, record, set())
    return {**found, "id": record["id"]}


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train([QUESTION, *TEXTS] * 4, 330)


def encoded(sample, tokenizer, settings=WIDE):
    return list(encode.encode_samples([sample], tokenizer, settings, collections.Counter()))


def test_all_comparisons_or_the_best_with_the_rest():
    every = base_comparisons(pair(LIST))
    assert [entry["response"] for entry in every] == [
        [0, 1],
        [0, 2],
        [0, 3],
        [1, 3],
        [2, 3],
        [1, 2],
    ]
    assert [bool(entry.get("tie")) for entry in every] == [False] * 5 + [True]
    best = base_comparisons(pair(LIST), best_only=True)
    assert [entry["response"] for entry in best] == [[0, 1], [0, 2], [0, 3]]
    of_two = {"id": "r", "prompt": "Q", "responses": ["a", "b", "c"], "scores": [2, 2, 1]}
    best = base_comparisons(pair(of_two), best_only=True)
    assert [entry["response"] for entry in best] == [[0, 2], [1, 2], [0, 1]]


def test_the_prompt_and_every_response_stand_in_the_trie_once(tokenizer):
    (record,) = encoded(base_sample(pair(LIST)), tokenizer)
    texts = [([{"role": "user", "content": QUESTION}], text) for text in TEXTS]
    paths = tokenization.encode_leaves(tokenizer, texts)
    assert len(record["leaf_end"]) == 4
    prompt = paths[0].prompt_length
    assert len(record["tokens"]) <= prompt + sum(len(path) - prompt for path in paths)
    assert record["subset"] == "food"
    np.testing.assert_allclose(record["share"], 1 / 6)
    assert record["tie"].tolist() == [False] * 5 + [True]


def test_a_pair_is_what_it_was(tokenizer):
    (record,) = encoded(base_sample(pair(PAIR)), tokenizer)
    assert (record["share"].tolist(), record["tie"].tolist(), record["subset"]) == (
        [1],
        [False],
        "",
    )


def test_a_list_that_is_split_still_counts_once(tokenizer):
    sample = base_sample(pair(LIST))
    (whole,) = encoded(sample, tokenizer)
    narrow = TrieSettings(max_length=64, row_length=len(whole["tokens"]) - 1, long_rows=1)
    records = encoded(sample, tokenizer, narrow)
    assert len(records) > 1
    assert sum(record["share"].sum() for record in records) == pytest.approx(1)


def test_a_list_weighs_as_much_as_a_pair_in_a_batch(tokenizer, tmp_path):
    samples = [build.build(pair(record), Settings()).sample for record in (LIST, PAIR)]
    tries = trie_set.encode_cached(samples, "x", tokenizer, WIDE, tmp_path)
    np.testing.assert_allclose(tries.mass, [[1, 2, 2, 0], [1, 2, 2, 0]], rtol=1e-6)
    plan = make_plan(
        tries.lengths, tries.leaves, tries.levels.sum(1), row_length=8192, rows_per_batch=1, seed=0
    )
    table = loader.Batches(tries, plan, weights=(0.5, 1.0, 2.0, 1.0))[0].comparisons
    weight, level = table.weight[0, 0], table.level[0, 0]
    for name, expected in ((BASE, 0.5), (INTRA, 1.0), (INTER, 2.0)):
        assert weight[level == name].sum() == pytest.approx(expected, rel=1e-6)
    assert np.sort(weight[level == BASE])[:6].tolist() == pytest.approx([0.25 / 6] * 6)
    assert table.tie.sum() == 1


@pytest.mark.parametrize("mode", ["compact", "full"])
@pytest.mark.parametrize("pairs", [1, 3])
def test_instructions_part_any_two_of_a_list(mode, pairs):
    settings = Settings(mode=mode, list_pairs=pairs, k_min=1)
    outcome = build.build(pair(LIST), settings)
    sample = check_sample(outcome.sample)
    assert sample["responses"] == TEXTS
    levels = collections.Counter(entry["level"] for entry in sample["comparisons"])
    assert levels["base"] == 6
    assert 0 < levels["inter"] <= 2 * pairs
    twos = set()
    for entry in sample["comparisons"]:
        if entry["level"] != "inter":
            continue
        better, worse = entry["response"][:2]
        twos.add((better, worse))
        asked = sample["prompts"][entry["prompt"][0]]["constraints"]
        keeps, breaks = (better, worse) if entry["sign"][0] > 0 else (worse, better)
        for item in asked:
            assert constraints.check(item["id"], item["params"], TEXTS[keeps])
            assert not constraints.check(item["id"], item["params"], TEXTS[breaks])
            kept = [margin >= 0 for margin in item["margins"]]
            assert kept == [constraints.check(item["id"], item["params"], text) for text in TEXTS]
    assert len(twos) == levels["inter"] / 2
    assert outcome.sample == build.build(pair(LIST), settings).sample


def test_over_many_lists_every_two_get_their_turn():
    settings = Settings(k_min=1)
    twos = {
        tuple(entry["response"][:2])
        for number in range(60)
        for entry in build.build({**pair(LIST), "id": str(number)}, settings).sample["comparisons"]
        if entry["level"] == "inter"
    }
    assert twos == set(itertools.combinations(range(4), 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tie": 1.5}, "tie must be true or false"),
        ({"tie": True, "gamma": 1.0}, "gamma of a tie"),
        ({"response": [0, 4]}, "response index is out of range"),
    ],
)
def test_what_a_sample_cannot_say(change, message):
    sample = base_sample(pair(LIST))
    broken = {**sample, "comparisons": [{**sample["comparisons"][0], **change}]}
    with pytest.raises(ValueError, match=message):
        check_sample(broken)
