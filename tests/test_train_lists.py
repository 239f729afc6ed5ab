"""Ranked lists from end to end: a policy learns them by the loss of Plackett and Luce."""

import json
import math

import numpy as np
import pytest

import mapl_jax
from mapl_jax.training.metrics import read_metrics

SIZE = {
    "model.width": 32,
    "model.layers": 1,
    "model.heads": 2,
    "model.kv_heads": 1,
    "model.mlp_width": 64,
    "tokenizer.vocab_size": 400,
}
FEWER = {
    "loss.lists": "plackett_luce",
    "train.steps": 2,
    "train.rows_per_batch": 16,
    "train.accumulation": 1,
    "train.dtype": "float32",
    "train.remat": "none",
    "train.log_every": 1,
    "train.learning_rate": 1e-3,
    "data.max_length": 256,
    "data.row_length": 1024,
    "data.num_proc": 1,
    "synthesis.reference": 10,
    "eval.resamples": 20,
}


def ranked(start, count):
    """Lists of three responses, each longer than the next better one."""
    return [
        {
            "id": f"list-{number}",
            "prompt": f"Tell me of buoy {number}.",
            "responses": [
                f"Buoy {number} is red, old and rings, every {number} days.",
                f"Buoy {number} is red, and rings!",
                f"Buoy {number} is red",
            ],
            "ranks": [3, 2, 1],
        }
        for number in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("lists")
    base = mapl_jax.build_model(mapl_jax.load_config("sft", SIZE), ranked(0, 8))
    mapl_jax.export_model(base, folder / "base", ranked(0, 8))
    config = mapl_jax.load_config(
        "dpo:pretrained", {**FEWER, "model.path": str(folder / "base"), "lora.rank": 0}
    )
    mapl_jax.train_model(config, ranked(0, 24), ranked(50, 8), workdir=folder / "run")
    return folder / "run"


def test_the_first_loss_of_a_ranking_counts_its_orders(run):
    """The policy is the reference at first, and of 3! orders each is as likely."""
    first = read_metrics(run / "metrics.jsonl")[0]["loss"]
    assert first == pytest.approx(math.log(6) + 2 * math.log(2), abs=1e-4)


def test_every_list_gets_instructions(run):
    (listed,) = (run / "cache").glob("samples-*/splits.json")
    counts = json.loads(listed.read_text())[0]["counts"]["comparisons"]["level"]
    assert counts["base"] == 3 * 24 and counts["intra"] and counts["inter"]


def test_the_policy_is_judged_by_the_reward_that_its_run_gave_it(run):
    """With the reference that the run keeps: every comparison of its held-out lists again."""
    (listed,) = (run / "cache").glob("samples-*/splits.json")
    (name,) = json.loads(listed.read_text())[1]["paths"]
    ended = json.loads((run / "summary.json").read_text())["eval"]["after"]
    kept = len(list((run / "cache").glob("reference-*")))
    samples = mapl_jax.evaluate_model(str(run), str(listed.parent / name), resamples=20).summary
    lists = mapl_jax.evaluate_model(str(run), ranked(50, 8), resamples=20).summary
    assert ended["base_count"] == samples["base_count"] == lists["base_count"] == 3 * 8
    for key in ("base_accuracy", "base_margin"):
        np.testing.assert_allclose([samples[key], lists[key]], ended[key], atol=2e-6)
    assert len(list((run / "cache").glob("reference-*"))) <= kept + 2  # one of each data
