"""Samples become tries: what is cut, split and dropped is counted, and the cache is never wrong."""

import collections
import types
from typing import get_args

import numpy as np
import pytest
import safetensors.numpy

from mapl_jax.data import encode, tokenization, trie_set
from mapl_jax.data.samples import Level
from mapl_jax.data.settings import TrieSettings
from mapl_jax.losses import ALL_LEVELS
from mapl_jax.runtime import files
from mapl_jax.runtime.errors import UserError

QUESTION = "How do I bake bread at home?"
WIDE = TrieSettings(max_length=4096, row_length=8192)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train([QUESTION, "Use few words. Mix, wait, bake, cool, eat."] * 4, 330)


def prompt(text, turns=0, constraints=()):
    earlier = [
        {"role": role, "content": f"turn {i} {role}"}
        for i in range(turns)
        for role in ("user", "assistant")
    ]
    return {
        "messages": [*earlier, {"role": "user", "content": text}],
        "constraints": [{"id": name, "params": {}, "text": ""} for name in constraints],
    }


def comparison(level, prompt, response, sign, gamma=0.0, k=2):
    return {
        "level": level,
        "prompt": prompt,
        "response": response,
        "sign": sign,
        "gamma": gamma,
        "k": k,
    }


def sample(name="s", chosen="Mix and bake.", rejected="Do not know.", turns=0, margin=0.0):
    ids = ("a:b", "c:d")
    return {
        "id": name,
        "prompts": [
            prompt(QUESTION, turns),
            prompt(QUESTION + " Use few words.", turns, ids),
            prompt(QUESTION + " Use many words.", turns, ids),
        ],
        "responses": [chosen, rejected],
        "comparisons": [
            comparison("base", [0, 0], [0, 1], [1, -1], margin, k=0),
            comparison("intra", [1, 2], [0, 0], [1, -1]),
            comparison("intra", [2, 1], [1, 1], [1, -1]),
            comparison("inter", [1, 1, 0, 0], [0, 1, 0, 1], [1, -1, -1, 1]),
            comparison("inter", [2, 2, 0, 0], [0, 1, 0, 1], [-1, 1, 1, -1]),
        ],
    }


def encoded(samples, tokenizer, settings=WIDE):
    counts = collections.Counter()
    return list(encode.encode_samples(samples, tokenizer, settings, counts)), counts


def leaf_text(record, leaf, tokenizer):
    node, chain = record["leaf_end"][leaf], []
    while node >= 0:
        chain.append(node)
        node = record["parent"][node]
    return tokenizer.decode(record["tokens"][chain[::-1]])


def test_five_comparisons_read_six_leaves(tokenizer):
    (record,), counts = encoded([sample(margin=0.5)], tokenizer)
    assert len(record["leaf_end"]) == 6
    assert record["level"].tolist() == [0, 1, 1, 2, 2]
    assert record["k"].tolist() == [0, 2, 2, 2, 2]
    assert record["gamma"].tolist() == [0.5, 0, 0, 0, 0]
    assert record["families"] == ["", *["a:b c:d"] * 4]
    assert counts["trie_tokens"] == len(record["tokens"]) < counts["flat_tokens"]


def test_every_term_points_at_the_leaf_of_its_prompt_and_response(tokenizer):
    s = sample()
    (record,), _ = encoded([s], tokenizer)
    leaf, sign = record["term_leaf"].reshape(-1, 4), record["term_sign"].reshape(-1, 4)
    for row, comparison in enumerate(s["comparisons"]):
        for t, (p, y) in enumerate(zip(comparison["prompt"], comparison["response"], strict=True)):
            text = leaf_text(record, leaf[row, t], tokenizer)
            assert s["prompts"][p]["messages"][-1]["content"] + "<|im_end|>" in text
            assert text.endswith(s["responses"][y] + "<|im_end|>")
        n = len(comparison["sign"])
        assert sign[row].tolist() == comparison["sign"] + [0] * (4 - n)


def test_instructions_far_from_their_thresholds_are_further_apart(tokenizer):
    made = sample()
    # Of the chosen and the rejected response, in the units of two families.
    for place, margins in ((1, [(4.0, -1.0), (0.0, -1.0)]), (2, [(-5.0, 5.0), (-1.0, 0.0)])):
        for each, pair in zip(made["prompts"][place]["constraints"], margins, strict=True):
            each["margins"] = list(pair)
    (record,), _ = encoded([made], tokenizer)
    # Of intra d is 4 + 5 and 1 for the chosen response, 5 + 1 and 1 for the rejected one.
    expected = [0, (1 - 1 / 9) / 2, (1 - 1 / 6) / 2, (1 - 1 / 5) / 2, (1 - 1 / 10) / 2]
    np.testing.assert_allclose(record["apart"], expected, rtol=1e-6)


def test_samples_without_margins_are_not_apart(tokenizer):
    (record,), _ = encoded([sample()], tokenizer)
    assert record["apart"].tolist() == [0.0] * 5


def test_a_long_prompt_loses_its_beginning_and_keeps_its_end(tokenizer):
    settings = TrieSettings(max_length=120, row_length=2000)
    (record,), counts = encoded([sample(turns=30)], tokenizer, settings)
    assert counts["samples_truncated"] == 1
    assert max(record["leaf_tokens"]) == 120
    assert len(record["level"]) == 5
    for leaf in range(6):
        assert QUESTION in leaf_text(record, leaf, tokenizer)


def test_a_cut_response_keeps_only_the_base_comparison(tokenizer):
    settings = TrieSettings(max_length=100, row_length=2000)
    (record,), counts = encoded([sample(chosen="bake " * 200)], tokenizer, settings)
    assert record["level"].tolist() == [0]
    assert counts["comparisons_dropped_response_cut"] == 4
    assert leaf_text(record, 0, tokenizer).endswith("<|im_end|>")
    assert record["leaf_tokens"].max() == 100


def test_too_long_may_mean_dropped_or_an_error(tokenizer):
    samples = [sample("long", turns=60), sample("short")]
    settings = TrieSettings(max_length=200, row_length=2000, truncation="drop")
    records, counts = encoded(samples, tokenizer, settings)
    assert [r["id"] for r in records] == ["short"]
    assert counts["samples_dropped_too_long"] == 1
    settings = TrieSettings(max_length=200, row_length=2000, truncation="error")
    with pytest.raises(UserError, match="sample long has a leaf of"):
        encoded(samples, tokenizer, settings)


def test_a_trie_longer_than_a_row_is_split_by_comparison(tokenizer):
    (whole,), _ = encoded([sample()], tokenizer)
    shorter = len(whole["tokens"]) - 1
    settings = TrieSettings(max_length=min(shorter, 200), row_length=shorter, long_rows=1)
    records, counts = encoded([sample()], tokenizer, settings)
    assert len(records) > 1 and counts["samples_split"] == 1
    assert sum(len(r["level"]) for r in records) == 5
    assert all(len(r["tokens"]) <= shorter for r in records)
    assert counts["tokens_again"] == sum(len(r["tokens"]) for r in records) - shorter - 1 > 0


def test_a_trie_longer_than_a_row_stays_whole_where_rows_may_be_longer(tokenizer):
    (whole,), _ = encoded([sample()], tokenizer)
    length = len(whole["tokens"]) // 2 + 1
    records, counts = encoded([sample()], tokenizer, TrieSettings(length, length, long_rows=2))
    assert len(records) == 1 and not counts["samples_split"]


def test_a_comparison_that_fits_no_row_is_dropped_and_counted(tokenizer):
    settings = TrieSettings(max_length=300, row_length=300, long_rows=1)
    s = sample(chosen="bake " * 100, rejected="wait, " * 100)
    records, counts = encoded([s], tokenizer, settings)
    kept = sum(len(r["level"]) for r in records)
    assert counts["comparisons_dropped_longer_than_row"] + kept == 5
    assert counts["comparisons_dropped_longer_than_row"] > 0


def test_the_cache_gives_what_was_encoded(tokenizer, tmp_path):
    samples = [sample(f"s{i}", chosen=f"Mix {i} and bake.") for i in range(5)]
    records, _ = encoded(samples, tokenizer)
    tries = trie_set.encode_cached(samples, "f", tokenizer, WIDE, tmp_path)
    again = trie_set.encode_cached(iter(()), "f", tokenizer, WIDE, tmp_path)
    for found in (tries, again):
        assert found.lengths.tolist() == [len(r["tokens"]) for r in records]
        assert found.levels.tolist() == [[1, 2, 2, 0]] * 5
        for i, record in enumerate(records):
            for name, value in found[i].items():
                np.testing.assert_array_equal(value, record[name], err_msg=name)


@pytest.mark.parametrize(
    "name", ["tries.arrow", "sizes.safetensors", "counts.json", "checksums.json"]
)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_cache_is_named_and_made_anew(tokenizer, tmp_path, capsys, name, damage):
    expected = trie_set.encode_cached([sample()], "f", tokenizer, WIDE, tmp_path)
    path = tmp_path / f"tries-{expected.fingerprint}" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[:-9])
    # A checksum that is not what it was makes its file look damaged.
    named = "is damaged" if (name, damage) == ("checksums.json", "flip") else path.stem
    with pytest.raises(UserError, match=f"cannot be used .*{named}"):
        trie_set.open_cached(tmp_path, expected.fingerprint, WIDE.row_length)
    found = trie_set.encode_cached([sample()], "f", tokenizer, WIDE, tmp_path)
    told = capsys.readouterr().err
    assert f"the cache {path.parent} cannot be used" in told
    assert named in told
    for key, value in expected[0].items():
        np.testing.assert_array_equal(found[0][key], value)


def test_a_cache_of_a_version_with_other_levels_is_refused(tokenizer, tmp_path):
    made = trie_set.encode_cached([sample()], "f", tokenizer, WIDE, tmp_path)
    folder = tmp_path / f"tries-{made.fingerprint}"
    sizes = safetensors.numpy.load_file(folder / trie_set.SIZES)
    safetensors.numpy.save_file({**sizes, "mass": sizes["mass"][:, :3]}, folder / trie_set.SIZES)
    files.seal(folder)
    with pytest.raises(UserError, match="was written by another version of mapl_jax"):
        trie_set.open_cached(tmp_path, made.fingerprint, WIDE.row_length)


def test_the_first_tries_can_be_had_alone(tokenizer, tmp_path):
    samples = [sample(name, chosen=f"Bake it {name}.") for name in "abc"]
    tries = trie_set.encode_cached(samples, "f", tokenizer, WIDE, tmp_path)
    two = tries.first(2)
    assert len(two) == len(two.dataset) == len(two.levels) == 2
    assert two.fingerprint != tries.fingerprint
    for index in range(2):
        for key, value in tries[index].items():
            np.testing.assert_array_equal(two[index][key], value)


def test_another_setting_or_tokenizer_is_another_cache(tokenizer, tmp_path):
    other = tokenization.train(["other words entirely"] * 3, 310)
    found = {
        trie_set.encode_cached([sample()], name, tok, settings, tmp_path).fingerprint
        for name, tok, settings in [
            ("f", tokenizer, WIDE),
            ("g", tokenizer, WIDE),
            ("f", other, WIDE),
            ("f", tokenizer, TrieSettings(max_length=100, row_length=8192)),
        ]
    }
    assert len(found) == 4


def test_a_broken_encoding_leaves_no_cache(tokenizer, tmp_path):
    strict = TrieSettings(max_length=32, row_length=100, truncation="error")
    with pytest.raises(UserError):
        trie_set.encode_cached([sample()], "f", tokenizer, strict, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_left_is_an_error(tokenizer, tmp_path):
    settings = TrieSettings(max_length=32, row_length=100, truncation="drop")
    with pytest.raises(UserError, match="no comparison is left"):
        trie_set.encode_cached([sample()], "f", tokenizer, settings, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 8, "row_length": 100}, "at least 32"),
        ({"max_length": 200, "row_length": 100}, "fit no row"),
        ({"max_length": 100, "row_length": 100, "truncation": "left"}, "truncate, drop, error"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        TrieSettings(**options)


def test_the_levels_of_samples_are_those_of_the_losses():
    assert get_args(Level) == ALL_LEVELS


def test_a_split_is_told_in_a_line():
    counts = {"samples": 40, "trie_tokens": 9, "flat_tokens": 9}
    cut = {"samples_truncated": 3, "samples_split": 2}
    cut_short = {"comparisons_dropped_longer_than_row": 51, **cut}
    lost = {"trie_tokens": 5, "comparisons_dropped_response_cut": 12, **cut_short}

    def line(**more):
        return trie_set.describe("train", types.SimpleNamespace(counts=counts | more))

    assert line() == "train: 40 samples, 9 tokens"
    assert line(**cut_short) == (
        "train: 40 samples, 9 tokens; 51 comparisons longer than a row left out; "
        "2 samples split into several tries, 3 samples cut to max_length"
    )
    assert line(**lost) == (
        "train: 40 samples, 5 tokens (9 without shared prefixes); 63 comparisons left out: 51 "
        "longer than a row, 12 with a cut response; 2 samples split into several tries, "
        "3 samples cut to max_length"
    )
