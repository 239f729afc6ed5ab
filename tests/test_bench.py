"""What `python -m mapl_jax.bench` counts, prints and saves; and that it compares like with like."""

import importlib.util
import json
import os

import jax
import numpy as np
import pytest

from mapl_jax import bench
from mapl_jax.data.demo import make_pairs
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import decoder
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.lora import Lora
from mapl_jax.performance import lengths, measure
from mapl_jax.runtime import cli
from mapl_jax.runtime.errors import UserError

from support import config_of


def small(name, **fields):
    config = config_of(name)
    config.data.demo_pairs = 60
    config.data.num_proc = 1
    config.train.rows_per_batch = 16  # on eight simulated devices
    config.model.update({"width": 32, "layers": 1, "heads": 2, "kv_heads": 1, "mlp_width": 48})
    config.update(fields)
    return config


def arguments(config, **flags):
    return cli.Arguments(config.lock(), None, "bench", bench.Flags(**flags))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    output = tmp_path_factory.mktemp("bench") / "bench.json"
    bench.main(arguments(small("rm"), steps=2, output=str(output)))
    return json.loads(output.read_text())


def test_rates_are_those_of_one_step(measured):
    assert measured["step_seconds"] > 0 and measured["compile_seconds"] > 0
    assert measured["mfu"] == pytest.approx(measured["flops_per_second"] / measured["matmul_peak"])
    assert measured["model_flops"] == pytest.approx(
        measured["flops_per_second"] * measured["step_seconds"]
    )
    # Five comparisons a pair, unless a long sample was split.
    assert 3 < measured["comparisons_per_second"] / measured["samples_per_second"] <= 5
    assert measured["flat_tokens_per_second"] > 2 * measured["tokens_per_second"]
    assert 0 < measured["filled"] <= 1
    assert measured["peak_bytes"] > 0
    assert set(bench.table(measured).splitlines()[0].split()) >= {"parameters", "M"}


def test_model_flops_are_the_formula_counted_by_hand(measured):
    # One layer of width 32: q, k, v, o of 2 heads of 16 on 1, and three matrices of 48.
    work = measure.Work(1, 5, tokens=100, flat_tokens=300, predicted=7, pairs=2000, filled=1)
    config = small("rm")
    model = type("Model", (), {"width": 32, "vocab_size": 50, "heads": 2, "head_dim": 16})()
    model.layers, model.lora = config.model.layers, None
    model.experts = model.experts_per_token = 0
    kernels = [(32, 32), (32, 16), (32, 16), (32, 32), (32, 48), (32, 48), (48, 32)]
    shapes = {"layers": [{"kernel": np.zeros(shape)} for shape in kernels]}
    body = sum(a * b for a, b in kernels)
    by_hand = 3 * (2 * body * 100 + 2 * 32 * 50 * 7 + 4 * 2 * 16 * 1 * 2000)
    assert measure.model_flops(model, shapes, work) == by_hand


def test_frozen_matrices_have_no_gradients_in_model_flops():
    # Three layers, of which the last has adapters of rank 4.
    work = measure.Work(1, 5, tokens=100, flat_tokens=300, predicted=7, pairs=2000, filled=1)
    model = DecoderConfig(
        vocab_size=50, width=32, layers=3, heads=2, kv_heads=1, head_dim=16, mlp_width=48,
        lora=Lora(rank=4, layers=1),
    )  # fmt: skip
    shapes = jax.eval_shape(lambda: decoder.init(model, jax.random.key(0)))
    kernels = [(32, 32), (32, 16), (32, 16), (32, 32), (32, 48), (32, 48), (48, 32)]
    body = 2 * 100 * sum(a * b for a, b in kernels)
    adapters = 2 * 100 * sum(4 * (a + b) for a, b in kernels)
    output, attention = 2 * 32 * 50 * 7, 4 * 2 * 16 * 2000
    forward = 3 * (body + attention) + adapters + output
    backward = body + 2 * attention + 2 * adapters + output
    assert measure.model_flops(model, shapes, work) == pytest.approx(forward + backward)


def test_a_bench_without_steps_is_refused():
    with pytest.raises(UserError, match="--steps"):
        bench.main(arguments(small("rm"), steps=0))


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is here")
def test_without_torch_the_comparison_says_what_to_install():
    with pytest.raises(UserError, match=r"mapl_jax\[peers\]"):
        bench.main(arguments(small("rm"), versus="trl"))


@pytest.mark.peers
@pytest.mark.slow
def test_all_sides_compute_the_same_before_any_is_timed(tmp_path):
    pytest.importorskip("trl")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(pair) + "\n" for pair in make_pairs(40)))
    config = small("bench")
    config.data.train = os.fspath(pairs)
    output = tmp_path / "versus.json"
    bench.main(
        arguments(config, versus="trl", pairs=8, batch=4, repeats=1, output=os.fspath(output))
    )
    found = json.loads(output.read_text())
    for kind, peers in (
        ("reward", {"torch", "trl"}),
        ("dpo", {"torch", "trl"}),
        ("all", {"torch"}),
    ):
        checks = found[kind]["checks"]
        assert set(checks) == peers | {"ours"}
        for loss, norm in checks.values():
            assert (loss, norm) == pytest.approx(checks["ours"], rel=1e-5)
        assert found[kind]["tokens_computed"]["torch"] > 0
    # The first DPO loss is log 2 on every side.
    assert found["dpo"]["checks"]["trl"][0] == pytest.approx(np.log(2), abs=1e-5)
    assert {"ratio_rm", "ratio_dpo", "ratio_all"} <= set(found)


@pytest.mark.peers
@pytest.mark.slow
def test_sides_that_differ_are_not_timed(monkeypatch, tmp_path):
    pytest.importorskip("trl")
    from mapl_jax.performance.torch_sides import TorchLoop

    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(pair) + "\n" for pair in make_pairs(20)))
    config = small("bench")
    config.data.train = os.fspath(pairs)
    monkeypatch.setattr(TorchLoop, "check", lambda self: (1.0, 1.0))
    with pytest.raises(UserError, match="do not compute the same"):
        bench.main(arguments(config, versus="trl", pairs=8, batch=4, repeats=1))


@pytest.mark.parametrize(("prompt", "response"), lengths.LENGTHS)
def test_tokens_by_length_are_the_formula(prompt, response):
    base = lengths.count(lengths.BASE, prompt, response)
    assert base == (*[2 * (prompt + response)] * 2, *[prompt + 2 * response] * 2)
    # Fourteen sequences, eight of them with instructions; six leaves below three prompts.
    every = lengths.count(lengths.ALL, prompt, response)
    instructions, turn = lengths.INSTRUCTIONS, lengths.TURN
    assert every.sequences == 14 * (prompt + response) + 8 * instructions
    assert every.leaves == 6 * (prompt + response) + 4 * instructions
    shared = prompt + 2 * response
    with_instructions = instructions + shared
    between = prompt - turn + 2 * (instructions + turn + response)
    assert every.two_by_two == 3 * shared + 2 * with_instructions + 2 * between
    assert every.trie == prompt - turn + 3 * turn + 2 * instructions + 6 * response
    assert lengths.table().count("\n") == 2 * len(lengths.LENGTHS)


@pytest.mark.slow
def test_times_by_length_are_those_of_the_same_cases(monkeypatch):
    monkeypatch.setattr(lengths, "LENGTHS", ((16, 8),))
    model = DecoderConfig(64, width=16, layers=1, heads=2, kv_heads=1, head_dim=8, mlp_width=16)
    seconds = lengths.times(model, Compute(), repeats=1)
    assert len(seconds) == 2 and all(min(each) > 0 for each in seconds)
    assert lengths.time_table(seconds).count("\n") == 2
