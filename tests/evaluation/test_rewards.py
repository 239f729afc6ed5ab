"""A text gets the same reward alone, in any batch and in any file; a stopped file goes on."""

import itertools
import json

import jax
import numpy as np
import pytest

import mapl_jax
from mapl_jax import evaluate
from mapl_jax.data import tokenization
from mapl_jax.data.tries import TokenPath, arrange, build
from mapl_jax.evaluation import rewards, scored_file
from mapl_jax.evaluation.answers import Kept
from mapl_jax.models import saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import ScoreHead
from mapl_jax.runtime import cli
from mapl_jax.runtime.errors import UserError

from support import config_of, random_like, read_lines, write_lines

WORDS = "the river is long and cold but it was not deep where we sat".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small reward model with random weights that make rewards far apart."""
    path = tmp_path_factory.mktemp("reward") / "model"
    config = DecoderConfig(448, 16, 2, 2, 1, 8, 24, tie_embeddings=False)
    tokenizer = tokenization.train([" ".join(WORDS)] * 3, 400)
    params = random_like(ScoreHead().abstract_params(config), 0.5)
    saving.save_params(path, config, params, tokenizer=tokenizer)
    return path


@pytest.fixture(scope="module")
def found(folder):
    return mapl_jax.load_model(folder, {"data": 2, "fsdp": 2, "tensor": 2})


@pytest.fixture(scope="module")
def scorer(found):
    made = rewards.Scorer(found, max_length=512)
    made.warm_up()
    return made


def text(number, count):
    rng = np.random.default_rng(number)
    return " ".join(rng.choice(WORDS, count))


@pytest.fixture(scope="module")
def paths(found):
    """Texts of any length; some share a prompt, and the last are the same twice."""
    leaves = [
        ([{"role": "user", "content": text(number // 5, 3 + 7 * (number // 5))}], text(number, n))
        for number, n in enumerate([1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144] * 3)
    ]
    return tokenization.encode_leaves(found.tokenizer, [*leaves, leaves[-1]])


def test_a_text_scores_the_same_alone_and_in_any_batch(scorer, paths):
    alone = np.asarray([scorer([path])[0] for path in paths])
    assert np.ptp(alone) > 1
    rng = np.random.default_rng(0)
    orders = [np.arange(len(paths)), np.arange(len(paths))[::-1], rng.permutation(len(paths))]
    for order in [*orders, rng.choice(len(paths), 7), np.zeros(70, int), np.arange(3)]:
        together = scorer([paths[i] for i in order])
        np.testing.assert_allclose(together, alone[order], atol=2e-5)


def test_the_size_of_a_batch_and_the_devices_change_nothing(scorer, folder, paths):
    expected = scorer(paths)
    found = mapl_jax.load_model(folder, {"data": 8, "fsdp": 1, "tensor": 1})
    other = rewards.Scorer(found, max_length=512)
    assert (other.rows, scorer.rows) == (8, 4)
    np.testing.assert_allclose(other(paths), expected, atol=2e-5)


def test_nothing_is_compiled_after_the_warm_up(scorer, paths):
    assert scorer.lengths == [256, 512]
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr("logging.Logger.warning", lambda _, words, *rest: compiled.append(words))
        for some in (paths, paths[:1], paths[9:11], paths[:20] * 8, [paths[0]] * 300):
            assert len(scorer(some)) == len(some)
    assert not [words for words in compiled if "ompiling" in words]


def test_arranged_paths_take_the_tokens_that_their_trie_has(paths):
    order = list(arrange(paths))
    assert sorted(index for index, _ in order) == list(range(len(paths)))
    assert sum(fresh for _, fresh in order) == len(build(paths))
    same = [TokenPath(np.asarray([1, 2, 3]), 2)] * 3
    assert [fresh for _, fresh in arrange(same)] == [3, 0, 0]


def test_how_much_is_cut_of_a_text_hangs_on_no_other(found, capsys):
    prompt = text(0, 60)
    answers = [text(1, 4), text(2, 30)]
    few = {"rows_per_batch": 1, "max_length": 64}
    messages = [{"role": "user", "content": prompt}]
    (together,) = rewards.rewards(found, [messages], [answers], **few)
    assert "2 samples cut to max_length" in capsys.readouterr().out
    alone = [rewards.rewards(found, [messages], [[x]], **few)[0][0] for x in answers]
    np.testing.assert_allclose(together, alone, atol=2e-5)
    whole = mapl_jax.score(prompt, answers, found)
    assert abs(whole[0] - together[0]) > 1e-3, "something was cut"


# Files.


def score(folder, source, **fields):
    given = {"checkpoint": str(folder), "input": str(source), "rows_per_batch": 1}
    config = config_of("evaluate:score", {**given, **fields})
    evaluate.main(cli.Arguments(config.lock(), None, "evaluate", evaluate.Flags()))


RECORDS = [
    {"id": 7, "prompt": "Is it long?", "response": "It is.", "finish_reason": "stop"},
    {"prompt": [{"role": "user", "content": "Is it long?"}], "responses": ["It is.", "Not it."]},
    {"prompt": "Is it cold?", "completion": [{"role": "assistant", "content": "It was."}]},
    {
        "messages": [
            {"role": "user", "content": "Is it cold?"},
            {"role": "assistant", "content": "It was."},
        ]
    },
]


def test_every_record_comes_back_with_its_reward(folder, found, tmp_path, capsys):
    source = write_lines(tmp_path / "in.jsonl", *RECORDS)
    score(folder, source, output=str(tmp_path / "out.jsonl"))
    assert "rewards of 5 responses to 4 prompts" in capsys.readouterr().out
    lines = read_lines(tmp_path / "out.jsonl")
    for record, line in zip(RECORDS, lines, strict=True):
        assert {name: line[name] for name in record} == record
        assert line.keys() - record.keys() == {"reward"}
    expected = mapl_jax.score("Is it long?", ["It is.", "Not it."], found)
    np.testing.assert_allclose([lines[0]["reward"], lines[1]["reward"][1]], expected, atol=2e-5)
    assert lines[0]["reward"] == pytest.approx(lines[1]["reward"][0], abs=2e-5)
    assert lines[2]["reward"] == pytest.approx(lines[3]["reward"], abs=2e-5)
    # Without a file to write, the same lines are printed; one that is there is written again.
    score(folder, source)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["reward"] for line in printed] == [line["reward"] for line in lines]
    score(folder, source, output=str(tmp_path / "out.jsonl"))
    with pytest.raises(UserError, match="has a field 'reward' already"):
        score(folder, tmp_path / "out.jsonl")


def test_a_stopped_file_goes_on(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scored_file, "TOGETHER", 2)
    records = [{"prompt": "Is it?", "response": text(i, 3)} for i in range(5)]
    source, out = write_lines(tmp_path / "in.jsonl", *records), tmp_path / "out.jsonl"
    score(folder, source, output=str(tmp_path / "whole.jsonl"))
    add, calls = Kept.add, itertools.count(1)

    def stop(self, new):
        add(self, new)
        if next(calls) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Kept, "add", stop)
        score(folder, source, output=str(out))
    assert not out.exists()
    with pytest.raises(UserError, match="holds the rewards of a stopped command with another"):
        score(folder, source, output=str(out), max_length=64)
    score(folder, source, output=str(out))
    assert "going on after the 4 rewards" in capsys.readouterr().out
    found, whole = read_lines(out), read_lines(tmp_path / "whole.jsonl")
    np.testing.assert_allclose(
        [x["reward"] for x in found], [x["reward"] for x in whole], atol=2e-5
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.jsonl",
        "out.jsonl",
        "whole.jsonl",
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": "Is it?"}, "record 2: has no response"),
        ({"response": "It is."}, "record 2: has no 'prompt'"),
        ({"prompt": "Is it?", "response": 3}, "response must be text"),
        ({"prompt": "Is it?", "response": " "}, "response is empty"),
        ({"prompt": "Is it?", "responses": "It is."}, "responses must be a list, not text"),
        ({"prompt": "Is it?", "responses": []}, "responses is an empty list"),
        ({"prompt": "Is it?", "responses": ["It is.", None]}, r"responses\[1\] must be text"),
        (
            {"prompt": "Is it?", "response": "a", "responses": ["b"]},
            "has response and responses; k",
        ),
        ({"messages": [{"role": "user", "content": "Is it?"}]}, "must end with a turn of role"),
        ([], "must be an object"),
    ],
)
def test_a_bad_record_is_named(record, message, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", RECORDS[0], record)
    with pytest.raises(UserError, match=message):
        score("nowhere", source)
