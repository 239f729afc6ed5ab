"""What a plan counts: memory, traffic, operations; and what it says to its reader."""

import functools
import importlib.util
import math
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from mapl_jax import plan
from mapl_jax.data import rows
from mapl_jax.performance import estimate, program
from mapl_jax.performance.estimate import Memory, parse_slice
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import from_section
from mapl_jax.training import sharding
from mapl_jax.training.settings import run_settings

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs the extra `tpu`"
)


@functools.cache
def config_module(name):
    spec = importlib.util.spec_from_file_location(name, f"configs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny():
    config = config_module("rm").get_config("demo")
    config.model.width, config.model.mlp_width = 64, 128
    config.data.long_rows = 1
    return config


def test_a_slice_has_as_many_chips_as_its_name_says():
    assert parse_slice("v5e:4x4").chips == 16
    assert parse_slice("v5p:2x2x4").chips == 16
    assert str(parse_slice("gpu:8")) == "gpu:8"
    for kind, chip in estimate.CHIPS.items():
        for chips, shape in chip.sizes.items():
            assert parse_slice(f"{kind}:{shape}").chips == chips


@pytest.mark.parametrize("text", ["", "v5e", "tpu:4x4", "v5e:4x", "gpu:0", "v5e:4x0"])
def test_a_slice_that_is_none_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="--topology"):
        parse_slice(text)


def test_products_count_as_often_as_loops_run():
    weight = jnp.zeros((5, 16, 16))

    def loss(weight, x):
        def layer(x, w):
            return jnp.tanh(x @ w), None

        return jnp.sum(jax.lax.scan(jax.checkpoint(layer), x, weight)[0])

    x = jnp.zeros((8, 16))
    one = 2 * 8 * 16 * 16 * 5
    assert estimate.product_flops(loss, weight, x) == one
    # Forward, forward again, and two products backward.
    assert estimate.product_flops(jax.grad(loss), weight, x) == 4 * one


def compiled(function, mesh, specs, *shapes, out):
    places = [NamedSharding(mesh, PartitionSpec(*spec)) for spec in specs]
    structs = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=place)
        for shape, place in zip(shapes, places, strict=True)
    ]
    out = NamedSharding(mesh, PartitionSpec(*out))
    return jax.jit(function, out_shardings=out).lower(*structs).compile().as_text()


def test_traffic_is_what_a_ring_brings_to_one_device():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    gathered = compiled(lambda a: a, mesh, [("x",)], (64, 32), out=())
    found = program.collective_bytes(gathered)
    assert found["all-gather"] == 64 * 32 * 4 * 7 / 8 and sum(found.values()) == found["all-gather"]
    summed = compiled(lambda a: a.sum(0), mesh, [("x",)], (64, 32), out=())
    assert program.collective_bytes(summed)["all-reduce"] == 2 * 32 * 4 * 7 / 8


def test_traffic_in_a_loop_counts_as_often_as_the_loop_runs():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))

    def layers(x, weights):
        def layer(x, w):
            whole = jax.lax.with_sharding_constraint(w, NamedSharding(mesh, PartitionSpec()))
            return jnp.tanh(x @ whole), None

        return jax.lax.scan(layer, x, weights)[0]

    text = compiled(layers, mesh, [("x",), (None, "x")], (64, 32), (6, 32, 32), out=("x",))
    found = program.collective_bytes(text)
    assert found["all-gather"] == pytest.approx(6 * 32 * 32 * 4 * 7 / 8)


def test_a_ring_that_counts_in_twos_brings_each_part_once():
    """As XLA for TPU passes a matrix around among 16 devices: 4 rounds, and 4 parts in each."""
    part = "bf16[8,64]{1,0}"
    passed = [
        f"  %p.{i} = {part} collective-permute(%x), channel_id={i}, source_target_pairs={{{{0,1}}}}"
        for i in range(4)
    ]
    text = "\n".join(
        [
            "%body (c: (bf16[8,64], u32[])) -> (bf16[8,64], u32[]) {",
            f"  %c = ({part}, u32[]) parameter(0)",
            f"  %x = {part} get-tuple-element(%c), index=0",
            "  %i = u32[] get-tuple-element(%c), index=1",
            "  %two = u32[] constant(2)",
            *passed,
            "  %next = u32[] add(%i, %two)",
            f"  ROOT %t = ({part}, u32[]) tuple(%p.3, %next)",
            "}",
            "",
            "%cond (c: (bf16[8,64], u32[])) -> pred[] {",
            "  %end = u32[] constant(8)",
            f"  %c = ({part}, u32[]) parameter(0)",
            "  %i = u32[] get-tuple-element(%c), index=1",
            "  ROOT %less = pred[] compare(%i, %end), direction=LT",
            "}",
            "",
            "ENTRY %main (x: (bf16[8,64], u32[])) -> (bf16[8,64], u32[]) {",
            f"  %x = ({part}, u32[]) parameter(0)",
            f"  ROOT %w = ({part}, u32[]) while(%x), condition=%cond, body=%body",
            "}",
        ]
    )
    assert program.collective_bytes(text)["collective-permute"] == 16 * 8 * 64 * 2


def test_pieces_of_one_collective_count_once():
    """As XLA for TPU writes a gather that goes on beside the products of three fusions."""
    gather = "bf16[16,64]{1,0} all-gather(%p), channel_id=7, replica_groups={{0,1,2,3}}"
    pieces = [
        f"%piece.{i} (p: bf16[4,64]) -> bf16[16,64] {{\n  ROOT %g.{i} = {gather}\n}}\n"
        for i in range(3)
    ]
    calls = "".join(
        f"  %f.{i} = bf16[16,64]{{1,0}} fusion(%p), kind=kCustom, calls=%piece.{i}\n"
        for i in range(3)
    )
    text = "".join(pieces) + f"ENTRY %main (p: bf16[4,64]) -> bf16[16,64] {{\n{calls}}}\n"
    assert program.collective_bytes(text)["all-gather"] == 16 * 64 * 2 * 3 / 4


def test_a_sum_of_which_a_fusion_keeps_a_slice_is_a_reduce_scatter():
    """As XLA for TPU sums gradients over devices that lie along one axis of a slice."""
    groups = "replica_groups={{0,1,2,3},{4,5,6,7}}"
    text = f"""%all-reduce-scatter.1 (p: bf16[64,32]) -> bf16[16,32] {{
  %p = bf16[64,32]{{1,0}} parameter(0)
  %sum.1 = bf16[64,32]{{1,0}} all-reduce(%p), channel_id=6, {groups}, to_apply=%add
  ROOT %part = bf16[16,32]{{1,0}} dynamic-slice(%sum.1, %at, %zero), dynamic_slice_sizes={{16,32}}
}}

ENTRY %main (p: bf16[64,32]) -> bf16[16,32] {{
  %p = bf16[64,32]{{1,0}} parameter(0)
  %sum.2 = bf16[64,32]{{1,0}} all-reduce(%p), channel_id=7, {groups}, to_apply=%add
  ROOT %f = bf16[16,32]{{1,0}} fusion(%sum.2), kind=kCustom, calls=%all-reduce-scatter.1
}}
"""
    found = program.collective_bytes(text)
    assert found["reduce-scatter"] == 64 * 32 * 2 * 3 / 4
    assert found["all-reduce"] == 2 * 64 * 32 * 2 * 3 / 4


def test_collectives_of_shard_map_count_though_all_have_one_channel():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))

    def twice(x):
        def gather(x):
            return jax.lax.all_gather(x, "x", tiled=True)

        def both(x):
            return gather(jnp.tanh(gather(x)[:8]))

        spec = PartitionSpec("x")
        return jax.shard_map(both, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)(x)

    text = compiled(twice, mesh, [("x",)], (64, 32), out=("x",))
    assert program.collective_bytes(text)["all-gather"] == 2 * 64 * 32 * 4 * 7 / 8


def test_the_complaint_of_a_compiler_says_how_much_would_be_needed():
    text = "XLA:TPU compile permanent error. Ran out of memory. Used 21.50G of 15.75G hbm."
    assert program.memory_of_failure(text) == 21.5 * 2**30
    assert program.memory_of_failure("Mosaic failed") is None


def test_a_step_is_compiled_and_its_text_is_what_jax_shows():
    mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2])
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    step = jax.jit(lambda x, y: (x @ y).sum(), in_shardings=(rows, None))
    traced = step.trace(jnp.zeros((8, 16)), jnp.zeros((16, 4)))
    text = traced.lower().compile().as_text()
    found = program.of_step(traced)
    assert found.products == program.product_flops(text) == 2 * 4 * 16 * 4
    assert found.traffic == program.collective_bytes(text)
    assert found.traffic["all-reduce"] == 4  # half of a number to the other device, and back
    assert found.bytes > 0


@pytest.mark.parametrize(
    "reason, found",
    [("Used 2.00G of 1.00G hbm", program.Program(2 * 2**30, None, 0.0)), ("Mosaic failed", None)],
)
def test_of_a_step_that_is_too_large_memory_alone_is_known(reason, found):
    def compile_with(compiler_options):
        raise jax.errors.JaxRuntimeError(f"INTERNAL: {reason}")

    lowered = types.SimpleNamespace(compile=compile_with)
    traced = types.SimpleNamespace(lower=lambda: lowered)
    if found is None:
        with pytest.raises(jax.errors.JaxRuntimeError, match="Mosaic"):
            program.of_step(traced)
    else:
        assert program.of_step(traced) == found


def test_smaller_and_larger_slices_are_those_that_would_do():
    where = parse_slice("v5e:4x4")
    memory = Memory(parameters=4e9, frozen=0, optimizer=8e9, batch=0, temporaries=5e9)
    assert estimate.scaled(memory, 16, 16) == memory.total
    smaller, larger = estimate.fitting(where, memory)
    assert smaller is None and str(larger) == "v5e:4x8"
    thin = Memory(parameters=1e9, frozen=0, optimizer=2e9, batch=0, temporaries=1e9)
    assert str(estimate.fitting(where, thin)[0]) == "v5e:2x2"


@pytest.mark.parametrize("rank", [0, 4])
def test_a_plan_for_simulated_devices_knows_what_lies_where(rank):
    config = tiny()
    config.lora.rank = rank
    config.mesh.data, config.mesh.fsdp = 1, -1
    config.train.rows_per_batch = 6
    found = plan.make(config, parse_slice("gpu:8"), trie=200)
    (step,) = found.steps
    assert (step.shape.rows, step.shape.parts) == (8, 1)
    state = step.memory.parameters + step.memory.frozen
    whole = 4 * found.parameters
    assert whole / 8 <= state <= 1.3 * whole / 8
    assert step.memory.optimizer == pytest.approx(2 * step.memory.parameters, abs=8)
    assert (step.memory.frozen > 0) == bool(rank)
    # Embeddings are looked up where they lie; the layers are brought together.
    layers = whole - 4 * 64 * math.ceil(config.tokenizer.vocab_size / 64) * 64
    assert rank or step.traffic["all-gather"] >= 0.9 * layers * 7 / 8
    text = plan.report(found)
    assert text.splitlines()[-1].startswith("fits: ")
    assert "--config.train.rows_per_batch=8" in text


@pytest.mark.parametrize(
    ("longest", "allowed", "lengths"),
    [(64, 4, [512]), (128, 4, [512, 1024]), (320, 1, [512]), (320, 3, [512, 1024, 2048])],
)
def test_no_row_is_planned_that_no_trie_can_need(longest, allowed, lengths):
    """Six leaves of 64 tokens have at most 384."""
    config = tiny()
    config.data.update({"row_length": 512, "max_length": longest, "long_rows": allowed})
    settings = from_section(plan.Settings, config.to_dict())
    mesh = sharding.make_mesh(settings.mesh, jax.devices()[:1])
    assert [shape.row_length for shape in plan.shapes_of(settings, mesh, 200)] == lengths


def test_a_trie_is_no_longer_than_a_row_unless_it_is_said_to_be():
    config = tiny()
    config.data.update({"row_length": 256, "max_length": 128, "long_rows": 1})
    where = parse_slice("gpu:1")
    assert plan.make(config, where) == plan.make(config, where, trie=256)
    with pytest.raises(UserError, match="--trie_tokens is 257; it must lie between 1 and"):
        plan.make(config, where, trie=257)


def test_operations_of_a_step_are_six_a_parameter_and_token_in_every_length_of_rows():
    config = tiny()
    config.data.update({"row_length": 256, "max_length": 128, "long_rows": 2})
    config.train.rows_per_batch = 4
    found = plan.make(config, parse_slice("gpu:1"), trie=100)
    assert [(s.shape.rows, s.shape.row_length) for s in found.steps] == [(4, 256), (2, 512)]
    body = found.parameters - 64 * math.ceil(config.tokenizer.vocab_size / 64) * 64
    model = plan.model_of(run_settings(config.to_dict()))
    for step in found.steps:
        tokens = step.shape.places
        attention = estimate.attention_flops(model, tokens, 100, tile=64, passes=3.5)
        assert step.flops - attention == pytest.approx(6 * body * tokens, rel=0.02)
        assert step.attention == attention
        assert step.memory.temporaries > 0
    assert found.largest.memory.total == max(step.memory.total for step in found.steps)
    text = plan.report(found)
    assert "  2 rows of 512 tokens in 1 part(s): " in text
    assert f"fits: {found.largest.memory.total / 1e9:.2f} GB" in text


def test_products_of_a_compiled_program_count_as_often_as_its_loops_run():
    """A product as XLA writes it for CPU, and one as it does for TPU, in a loop of 5 rounds."""
    text = """%layer (p: f32[8,16]) -> f32[8,32] {
  %a = f32[8,16]{1,0} parameter(0)
  %b = f32[32,16]{1,0} parameter(1)
  ROOT %c = f32[8,32]{1,0} convolution(%a, %b), dim_labels=bf_oi->bf
}

%body (p: f32[8,16]) -> f32[8,32] {
  ROOT %f = f32[8,32]{1,0} fusion(%p), kind=kOutput, calls=%layer
}

ENTRY %main (p: f32[8,16]) -> f32[8,32] {
  %x = f32[16,8]{1,0} parameter(0)
  %y = f32[16,4]{1,0} parameter(1)
  %z = f32[8,4]{1,0} dot(%x, %y), lhs_contracting_dims={0}, rhs_contracting_dims={0}
  ROOT %w = f32[8,32]{1,0} while(%x), body=%body, backend_config={"known_trip_count":{"n":"5"}}
}
"""
    assert program.product_flops(text) == 2 * 8 * 4 * 16 + 5 * 2 * 8 * 32 * 16


def test_places_of_a_window_in_the_padding_are_no_operations():
    """As XLA for TPU writes [8, 2 * 16] times [2 * 16, 3 * 4], and a join of two products."""
    text = """ENTRY %main (a: bf16[8,2,16,1], b: bf16[3,4,2,16]) -> bf16[8,3,4,1] {
  %a = bf16[8,2,16,1]{3,2,1,0} parameter(0)
  %b = bf16[3,4,2,16]{3,2,1,0} parameter(1)
  %c = bf16[1,8,16]{2,1,0} parameter(2)
  %d = bf16[2,4,16]{2,1,0} parameter(3)
  %e = bf16[2,8,4]{2,1,0} convolution(%c, %d), window={size=2 pad=1_1 rhs_reversal=1}, dim_labels=0bf_0oi->0bf
  ROOT %f = bf16[8,3,4,1]{3,2,1,0} convolution(%a, %b), window={size=3x2 pad=2_2x0_0 rhs_reversal=1x0}, dim_labels=b1f0_0o1i->b0f1
}
"""  # noqa: E501
    assert program.product_flops(text) == 2 * 8 * 32 * 12 + 2 * 2 * 8 * 4 * 16


def test_what_does_not_fit_is_said_in_the_last_line():
    where = parse_slice("v5e:4x4")
    memory = Memory(parameters=9e9, frozen=0, optimizer=18e9, batch=0, temporaries=2e9)
    found = plan.Plan(
        where=where,
        mesh={"data": 1, "fsdp": 16, "tensor": 1},
        parameters=int(36e9),
        attention="pallas_tpu",
        steps=(
            plan.Step(
                rows.Shape(4096, 16),
                memory,
                traffic=None,
                flops=1e15,
                products=0.0,
                a_place=0.0,
                attention=0.0,
                roofline=estimate.Roofline(1.0, 0.5, 0.2),
            ),
        ),
        samples=64.0,
    )
    lines = plan.report(found).splitlines()
    assert lines[-1].startswith("does not fit: 29.00 GB of 16.91")
    assert lines[-2] == "estimated to do: v5e:4x8"


def test_unknown_shapes_are_refused_with_those_that_are_known():
    config = config_module("rm").get_config("qwen2.5-0.5b")
    config.model.path = "someone/else"
    with pytest.raises(UserError, match=r"Qwen/Qwen2\.5-7B"):
        plan.model_of(run_settings(config.to_dict()))


# Large models take minutes to compile; the first alone is for every run of CI.
PLANS = [
    ("qwen2.5-0.5b", "v5e:2x2"),
    pytest.param("qwen2.5-7b", "v5e:4x4", marks=pytest.mark.slow),
    pytest.param("llama-3.1-8b", "v5p:2x2x4", marks=pytest.mark.slow),
    pytest.param("gemma-2-2b", "v6e:2x4", marks=pytest.mark.slow),
    pytest.param("llama-3.1-8b", "v5e:16x16", marks=pytest.mark.slow),
]


@pytest.mark.tpu
@needs_libtpu
@pytest.mark.parametrize(("preset", "topology"), PLANS)
def test_presets_compile_for_slices_that_are_not_here(preset, topology):
    command = [
        sys.executable,
        "-m",
        "mapl_jax.plan",
        f"--config=configs/rm.py:{preset}",
        f"--topology={topology}",
        "--config.data.long_rows=1",  # one length of rows is enough to compile here
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("fits: ")
    values = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("  ")}
    assert np.isclose(values["optimizer"], 2 * values["parameters"], atol=0.002)
    assert values["parameters"] > 0 and values["temporaries"] > 0
    assert values["all-gather"] > 0


@pytest.mark.tpu
@pytest.mark.slow
@needs_libtpu
def test_a_model_that_is_too_large_does_not_fit():
    command = [
        sys.executable,
        "-m",
        "mapl_jax.plan",
        "--config=configs/rm.py:qwen2.5-7b",
        "--topology=v5e:2x2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("does not fit: ")
    assert "estimated to do: v5e:" in done.stdout
