"""IFEval's prompts answered by a policy, and a reward model that chooses."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax import evaluate
from mapl_jax.data import demo, tokenization
from mapl_jax.evaluation import ifeval, rewards
from mapl_jax.evaluation.ifeval import Followed
from mapl_jax.kernels.rows import Row
from mapl_jax.models import heads, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.runtime import cli
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import restore, sharding

from support import config_of, random_like, read_lines, write_lines

PROMPTS = [
    {
        "key": 1,
        "prompt": "Say it.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"relation": "less than", "num_words": 4}],
    },
    {
        "key": 2,
        "prompt": "Say more.",
        "instruction_id_list": ["length_constraints:number_words"],
        "kwargs": [{"relation": "at least", "num_words": 3}],
    },
]


def test_accuracies_by_number_of_instructions():
    samples = [
        [Followed(1, (True,), (True,))],
        [Followed(2, (False,), (True,))],
        [Followed(3, (True, False, True), (True, True, True))],
    ]
    summary = ifeval.summarize(samples, seed=0, resamples=50)
    assert list(summary["by_count"]) == ["1", "3"]
    one, three = summary["by_count"].values()
    assert (one["prompts"], one["prompt_strict"], one["prompt_loose"]) == (2, 1 / 2, 1)
    assert (three["prompt_strict"], three["instruction_strict"]) == (0, pytest.approx(2 / 3))
    assert summary["instruction_strict"] == pytest.approx(3 / 5)
    rows = [line.split() for line in ifeval.table(summary).splitlines()]
    assert ["1", "2", "50.0", "%"] in [row[:4] for row in rows]
    assert ["3", "1", "0.0", "%"] in [row[:4] for row in rows]


def test_samples_count_as_their_mean_a_choice_as_itself_and_the_best_is_a_bound():
    samples = [
        [Followed(1, (True, False), (True, False)), Followed(1, (True, True), (True, True))],
        [Followed(2, (False,), (True,)), Followed(2, (False,), (False,))],
    ]

    def strict(some):
        summary = ifeval.summarize(some, seed=0, resamples=0)
        return summary["prompt_strict"], summary["instruction_strict"], summary["prompt_loose"]

    assert strict(samples) == (0.25, pytest.approx(1.5 / 3), 0.5)
    assert strict(ifeval.picked(samples, [0, 1])) == (0, pytest.approx(1 / 3), 0)
    assert strict(ifeval.best(samples)) == (0.5, pytest.approx(2 / 3), 1)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train([pair["chosen"] for pair in demo.make_pairs(60)], 400)


@pytest.fixture(scope="module")
def models(tokenizer, tmp_path_factory):
    """Folders with a policy and a reward model, both random."""
    folder = tmp_path_factory.mktemp("models")
    config = DecoderConfig(448, 16, 2, 2, 1, 8, 24, tie_embeddings=False)
    for name, head in (("policy", LogpHead()), ("reward", ScoreHead())):
        params = random_like(head.abstract_params(config), 0.5)
        saving.save_params(folder / name, config, params, tokenizer=tokenizer)
    return folder


@pytest.fixture
def prompts(tmp_path):
    return str(write_lines(tmp_path / "prompts.jsonl", *PROMPTS))


def run(**fields):
    small = {"max_new_tokens": 8, "rows_per_batch": 8, "resamples": 20}
    given = {name: str(v) if isinstance(v, Path) else v for name, v in fields.items()}
    config = config_of("evaluate:ifeval", {**small, **given})
    evaluate.main(cli.Arguments(config.lock(), None, "evaluate", evaluate.Flags()))


def test_a_policy_answers_and_its_responses_score_the_same_again(models, prompts, tmp_path, capsys):
    run(prompts=prompts, checkpoint=models / "policy", output=tmp_path / "verdicts.jsonl")
    first = capsys.readouterr().out
    path = tmp_path / "verdicts.responses.jsonl"
    assert [line["key"] for line in read_lines(path)] == [1, 2]
    verdicts = read_lines(tmp_path / "verdicts.jsonl")
    assert [line["key"] for line in verdicts] == [1, 2]
    assert "prompt, strict" in first and "instructions of a prompt" in first
    run(prompts=prompts, responses=path, output=tmp_path / "again.jsonl")
    assert read_lines(tmp_path / "again.jsonl") == verdicts
    table = capsys.readouterr().out.split("\nverdicts")[0]
    assert table in first


def test_prompts_are_checked_before_a_policy_is_loaded(tmp_path):
    bad = {**PROMPTS[1], "instruction_id_list": ["count:words"]}
    path = write_lines(tmp_path / "p.jsonl", PROMPTS[0], bad)
    with pytest.raises(UserError, match=r"p.jsonl, record 2, key 2: .*'count:words' is no instr"):
        run(prompts=path, checkpoint=tmp_path / "nowhere")
    with pytest.raises(UserError, match="no such folder"):
        run(prompts=path, checkpoint=tmp_path / "nowhere", on_error="skip")


def test_a_file_with_prompts_and_responses_is_enough(tmp_path, capsys):
    path = write_lines(
        tmp_path / "samples_ifeval.jsonl",
        {"doc": PROMPTS[0], "filtered_resps": ["<think>a, b</think>Two words."]},
        {"doc": PROMPTS[1], "filtered_resps": [None]},
    )
    run(responses=path, output=tmp_path / "verdicts.jsonl")
    assert "responses without text, which follow nothing: 1" in capsys.readouterr().out
    verdicts = read_lines(tmp_path / "verdicts.jsonl")
    assert [line["follow_instruction_list_strict"] for line in verdicts] == [[True, True], [False]]


def test_a_reward_model_chooses_among_samples(models, prompts, tmp_path, capsys):
    run(
        prompts=prompts,
        checkpoint=models / "policy",
        selector=models / "reward",
        n=4,
        output=tmp_path / "verdicts.jsonl",
    )
    output = capsys.readouterr().out
    for way in (
        "one of 4, on average",
        "the selector's choice",
        "the best of 4",
        "by number of",
    ):
        assert way in output
    verdicts = read_lines(tmp_path / "verdicts.jsonl")
    assert [(line["key"], line["sample"]) for line in verdicts] == [
        (key, sample) for key in (1, 2) for sample in range(4)
    ]
    responses = read_lines(tmp_path / "verdicts.responses.jsonl")
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    found = restore.load(str(models / "reward"), mesh)
    alone = rewards.rewards(
        found,
        [[{"role": "user", "content": line["prompt"]}] for line in responses],
        [[line["response"]] for line in responses],
        rows_per_batch=8,
    )
    for (value,), verdict in zip(alone, verdicts, strict=True):
        assert value == pytest.approx(verdict["reward"], abs=1e-4)
    # Given responses with several to a prompt are samples as well.
    run(
        prompts=prompts,
        responses=tmp_path / "verdicts.responses.jsonl",
        selector=models / "reward",
        output=tmp_path / "again.jsonl",
    )
    assert read_lines(tmp_path / "again.jsonl") == verdicts
    assert "that keep" in capsys.readouterr().out, (
        "pairs of kept and broken, or that there are none"
    )


def test_a_reward_is_that_of_the_model_on_the_text_alone(models, tokenizer):
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    found = restore.load(str(models / "reward"), mesh)
    prompt, texts = [{"role": "user", "content": "Why?"}], ["Sure.", "Well, sure.", "Sure.", ""]
    ((*values,),) = rewards.rewards(found, [prompt], [texts], rows_per_batch=8)
    assert values[0] == values[2]
    paths = tokenization.encode_leaves(tokenizer, [(prompt, text) for text in texts])
    for path, value in zip(paths, values, strict=True):
        n = len(path)
        row = Row(*map(jnp.asarray, (path.tokens[None], np.arange(n)[None], np.full((1, n), n))))
        expected = heads.rewards(found.model, found.params, row, jnp.asarray([[n - 1]]))
        assert value == pytest.approx(float(expected[0, 0]), abs=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "set either"),
        ({"responses": "a.jsonl", "checkpoint": "policy"}, "set either"),
        ({"responses": "a.jsonl", "n": 2}, "n goes with a checkpoint"),
        ({"checkpoint": "policy", "selector": "reward"}, "set --config.n=8"),
        ({"checkpoint": "policy", "n": 2, "temperature": 0.0}, "are the same"),
        ({"checkpoint": "reward"}, "is a reward model"),
        (
            {"checkpoint": "policy", "selector": "policy", "n": 2},
            "is a policy, which gives no rewards",
        ),
        ({"checkpoint": "policy", "output": "/"}, "is a folder|holds the input"),
        ({"checkpoint": "policy", "prompts": ""}, "no prompts"),
    ],
)
def test_settings_that_do_not_go_together_give_one_line(models, prompts, fields, message):
    folders = {
        name: models / value for name, value in fields.items() if value in ("policy", "reward")
    }
    with pytest.raises(UserError, match=message):
        run(**{"prompts": prompts, **fields, **folders})
