"""Says whether a run fits given hardware, and how long a step takes at least.

    python -m mapl_jax.plan --config=configs/rm.py:qwen2.5-7b --topology=v5e:4x4

Compiles the train step of the config ahead of time for that TPU slice (v5e, v5p, v6e), without
weights, data or a TPU; this needs the extra `tpu`. `--topology=gpu:8` gives an estimate, from
compiling for CPU with as many simulated devices. If the batch cannot be split over the devices, the
plan changes its size and says so.
"""

import dataclasses
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mapl_jax.data import loader, rows, run_tokenizer
from mapl_jax.data.sources import Source
from mapl_jax.data.splits import Split
from mapl_jax.evaluation.statistics import percent
from mapl_jax.kernels import tiles
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import hub, initial, lora, published
from mapl_jax.models.config import DecoderConfig
from mapl_jax.performance import estimate, program
from mapl_jax.performance.estimate import GB, Memory, Slice
from mapl_jax.runtime import cli, storage
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.console import result
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import is_address, local
from mapl_jax.runtime.settings import from_section, replace, setting
from mapl_jax.synthesis.prepare import samples_of
from mapl_jax.train import Settings
from mapl_jax.training import restore, sharding, trainer, trunk
from mapl_jax.training.objective import Objective
from mapl_jax.training.restore import Trained
from mapl_jax.training.settings import RunSettings
from mapl_jax.training.step import Params


@dataclasses.dataclass(frozen=True)
class Flags:
    """The plain flags of the command."""

    topology: str = setting("", "hardware: v5e:4x4, v5p:2x2x4, v6e:2x4, gpu:8, ...")
    trie_tokens: int = setting(
        -1, "tokens of a sample; -1: 1000, or a row if shorter", least=1, most=2**20, besides=-1
    )


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step takes with rows of one length."""

    shape: rows.Shape  # of its batch
    memory: Memory
    # Bytes that one device receives, by kind of collective; None where the program did not
    # compile.
    traffic: dict[str, float] | None
    flops: float  # of all devices, by the traced step
    # Of matrix products that one device runs, by the compiled step; no kernels of attention.
    products: float
    a_place: float  # the same of all devices, by place of a token and parameter in a matrix
    attention: float  # operations of attention, a part of `flops`
    roofline: estimate.Roofline


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run takes on a slice: a step for each length of rows, the shortest first."""

    where: Slice
    mesh: dict[str, int]
    parameters: int
    attention: str
    steps: tuple[Step, ...]
    samples: float

    @property
    def largest(self) -> Step:
        """The step that takes most memory."""
        return max(self.steps, key=lambda step: step.memory.total)

    @property
    def fits(self) -> bool:
        """Whether a device has as much memory as every step takes."""
        compiled = all(step.traffic is not None for step in self.steps)
        return compiled and self.largest.memory.total <= self.where.chip.memory


def main(arguments: cli.Arguments[Flags]) -> None:
    """Compiles and reports."""
    cli.no_workdir(arguments, "plan", "it writes nothing; leave it out")
    where = estimate.parse_slice(arguments.flags.topology)
    prepare(where)
    result(report(make(arguments.config, where, arguments.flags.trie_tokens)))


def prepare(where: Slice) -> None:
    """Makes JAX look for no accelerator, and simulate as many devices as a GPU slice has."""
    # libtpu would ask a metadata server that is not there, and complain.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_WORKER_ID", "0")
    # No chip is used, so another process that has loaded it is no obstacle.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "true")
    jax.config.update("jax_platforms", "cpu")
    if where.kind != "gpu":
        # JAX keeps programs for devices that are not here, cannot load them again, and warns of it.
        jax.config.update("jax_enable_compilation_cache", False)
    if where.kind == "gpu" and where.chips > 1:
        jax.config.update("jax_num_cpu_devices", where.chips)


def devices_of(where: Slice) -> list[jax.Device]:
    """The devices of a slice, described for the compiler."""
    if where.kind == "gpu":
        return jax.devices()[: where.chips]
    from jax.experimental import topologies

    options: dict[str, list[int]] = {}
    if where.chips == 1:
        options = {"chips_per_host_bounds": [1, 1, 1]}
    try:
        topology = topologies.get_topology_desc(str(where), platform="tpu", **options)
    except Exception as error:
        text = str(error)
        if "libtpu" in text.lower() or "plugin" in text.lower():
            raise UserError(
                "compiling for TPU needs libtpu; pip install 'mapl_jax[tpu]'"
            ) from error
        raise UserError(
            f"--topology {where}: {text.splitlines()[0]}; slices are "
            + ", ".join(f"{where.kind}:{shape}" for shape in where.chip.sizes.values())
        ) from error
    return list(topology.devices)


def make(config: ConfigDict, where: Slice, trie: int = -1) -> Plan:
    """Compiles the train step of a config for a slice; `trie` as in `Flags.trie_tokens`."""
    settings = from_section(Settings, config.to_dict())
    trunk.check(settings)
    length = settings.data.row_length
    if trie == -1:
        trie = min(1000, length)
    if not 0 < trie <= length:
        raise UserError(
            f"--trie_tokens is {trie}; it must lie between 1 and data.row_length ({length})"
        )
    mesh = sharding.make_mesh(settings.mesh, devices_of(where))
    objective = trainer.objective_of(settings)
    model = model_of(settings)
    steps = settings.train.steps or 1000
    run = trainer.of_run(settings, model, objective, mesh, steps)
    frozen = _frozen(run)
    sharing = sharding.data_parts(mesh) * mesh.shape["context"]
    shapes = shapes_of(settings, mesh, trie)
    batches = [abstract_batch(shape, objective, mesh) for shape in shapes]
    state = {
        "parameters": estimate.bytes_here(run.abstract.params),
        "frozen": estimate.bytes_here(frozen),
        "optimizer": estimate.bytes_here(run.abstract.opt_state),
    }
    traced = [run.train_step.trace(run.abstract, batch, frozen) for batch in batches]
    with ThreadPoolExecutor() as pool:
        programs = list(pool.map(program.of_step, traced))

    def step(shape: rows.Shape, batch: loader.Batch, made: program.Program) -> Step:
        held = sum(state.values()) + (here := estimate.bytes_here(batch))
        beside = made.bytes if made.traffic is not None else max(made.bytes - held, 0.0)
        memory = Memory(**state, batch=here, temporaries=beside)
        again = run.compute.remat == "full"
        attention = _attention_flops(model, run.compute, shape, trie)
        flops = estimate.product_flops(run.train_step, run.abstract, batch, frozen) + attention
        weights = estimate.leading(run.shapes) / 4 * np.dtype(run.compute.dtype).itemsize
        reading = estimate.memory_traffic(
            memory,
            model,
            weights=weights / mesh.shape["tensor"],
            tokens=shape.places / shape.parts / sharing,
            parts=shape.parts,
            passes=2 + again,
        )
        chip, received = where.chip, sum((made.traffic or {}).values())
        line = estimate.Roofline(
            flops / where.chips / chip.flops, reading / chip.bandwidth, received / chip.links
        )
        each = shape.places * estimate.matrices(model, run.shapes, policy=not objective.head.scores)
        a_place = made.products * where.chips / each
        return Step(shape, memory, made.traffic, flops, made.products, a_place, attention, line)

    return Plan(
        where=where,
        mesh=dict(mesh.shape),
        parameters=run.sizes[0],
        attention=trainer.attention_of(model, run.compute, length),
        steps=tuple(map(step, shapes, batches, programs)),
        samples=shapes[0].places / trie,
    )


def shapes_of(settings: Settings, mesh: Mesh, trie: int) -> list[rows.Shape]:
    """Batches of every length of rows that a run may need, full of tries of one size.

    As near to the settings as the mesh can split them; no trie is longer than all its leaves.
    """
    train, data, each = settings.train, settings.data, sharding.data_parts(mesh)
    parts = train.accumulation
    if train.rows_per_batch % (parts * each):
        parts = max(1, train.rows_per_batch // each)
    count = max(train.rows_per_batch // (parts * each), 1) * parts * each
    leaves = 10 if settings.synthesis.mode == "full" else 6
    longest = min(leaves * data.max_length, data.row_length * data.long_rows)

    def shape(doublings: int) -> rows.Shape:
        empty = rows.shape_of(data.row_length, count, parts, each, doublings)
        length = empty.row_length
        tries = length // trie + 1
        starts = np.arange(0, length, trie)
        bound = tiles.bound(starts, np.minimum(starts + trie, length), length)
        return dataclasses.replace(
            empty,
            leaves=-(-leaves * tries // 8) * 8,
            comparisons=-(-5 * tries // 8) * 8,
            scored=length,
            tiles=-(-bound // 16) * 16,
        )

    return [shape(n) for n in range((-(-longest // data.row_length) - 1).bit_length() + 1)]


def _attention_flops(model: DecoderConfig, compute: Compute, shape: rows.Shape, trie: int) -> float:
    """Operations of attention in a step, by the tiles and products of its backend."""
    tile, backward = tiles.TILE, 2.5
    if trainer.attention_of(model, compute, shape.row_length) == "pallas_tpu":
        from mapl_jax.kernels import pallas_tpu

        # Two kernels, each of which finds the weights again: 7 products, to 2 of the forward pass.
        tile, backward = pallas_tpu.tile_of(model.heads // model.kv_heads), 3.5
    passes = 1 + backward + (compute.remat == "full")
    return estimate.attention_flops(model, shape.places, trie, tile=tile, passes=passes)


def _frozen(run: trainer.Trainer) -> Params:
    """Shapes of the frozen parameters, rounded to the type of the computation."""
    _, shapes = lora.split(run.shapes, run.model.lora)
    return sharding.with_shardings(shapes, run.frozen_shardings, run.compute.dtype)


@checked()
def build_model(config: ConfigDict, data: Source | None = None) -> Trained:
    """The model that a config describes, as it is before training.

    Args:
        config: of a run: what it says of `model`, `tokenizer`, `lora`, `mesh` and `seed` counts.
        data: pairs or samples to learn a tokenizer from, where the config names none. With the
            samples of a run this is the very model that the run starts from.

    Raises:
        UserError: there is no such model, or nothing to learn a tokenizer from.

    Examples:
        >>> import mapl_jax
        >>> config = mapl_jax.load_config("rm:tiny", {"model.width": 64})
        >>> model = mapl_jax.build_model(config, mapl_jax.load_pairs("demo", limit=10))
        >>> model.model.width, model.head
        (64, True)
    """
    settings = from_section(Settings, config.to_dict())
    mesh = sharding.make_mesh(settings.mesh)
    head = trainer.objective_of(settings).head
    if data is None and not (settings.tokenizer.path or settings.model.path):
        raise UserError("no tokenizer is named; give data to learn one from")
    path = settings.model.path
    path = restore.model_folder(path, storage.cache_path(path, "starts"), mesh)
    settings = replace(settings, {"model": {"path": path}})
    with tempfile.TemporaryDirectory(prefix="mapl-") as folder:
        split = Split((), "", {}) if data is None else samples_of(data, folder)
        tokenizer = run_tokenizer.make_tokenizer(
            settings.tokenizer, settings.model.path, split, Path(folder) / "tokenizer"
        )
    source = trainer.first_parameters(settings, tokenizer, head)
    places = restore.param_shardings(source.model, mesh, head.scores)
    shapes = sharding.with_shardings(head.abstract_params(source.model), places)
    sharding.check_memory(shapes, "this model")
    params = source.make(places)
    return Trained(source.model, params, tokenizer)


def model_of(settings: RunSettings) -> DecoderConfig:
    """The model of a run, by its shape alone."""
    fields = settings.model
    name = fields.shape or fields.path
    if name in published.SHAPES:
        model = published.config(name)
    elif name and (is_address(name) or local(name).is_dir()):
        model = hub.load_config(name)
    elif name:
        raise UserError(
            f"the shape of {name} is not known here; name a folder with its config.json, or one of "
            f"{', '.join(published.SHAPES)}"
        )
    else:
        model = initial.described(fields, settings.tokenizer.vocab_size)
    if settings.lora.rank:
        model = dataclasses.replace(model, lora=settings.lora)
    return model


def abstract_batch(shape: rows.Shape, objective: Objective, mesh: Mesh) -> loader.Batch:
    """Shapes of the arrays of a batch."""
    row = loader.empty_row(shape, reference=(2,) if objective.reference else None)
    place = sharding.rows(mesh)

    def described(x: np.ndarray) -> jax.ShapeDtypeStruct:
        leading = (shape.parts, shape.rows // shape.parts)
        return jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype, sharding=place)

    return jax.tree.map(described, row.keeping(objective.fields))


def report(plan: Plan) -> str:
    """The plan for its reader; the last line says whether it fits."""
    where, first, chip = plan.where, plan.steps[0], plan.where.chip
    shape, memory = first.shape, first.memory
    mesh = ", ".join(f"{name} {size}" for name, size in plan.mesh.items())
    lines = [
        f"{where.chips} x {chip.name} ({where}), mesh {mesh}",
        f"{plan.parameters / 1e9:.2f} B parameters; attention: {plan.attention}",
        f"{shape.rows} rows a step in {shape.parts} "
        f"part(s): --config.train.rows_per_batch={shape.rows} "
        f"--config.train.accumulation={shape.parts}",
        "",
        "memory of one device, GB" + (" (an estimate)" if where.kind == "gpu" else ""),
    ]
    for field in dataclasses.fields(Memory):
        value = getattr(memory, field.name)
        if value or field.name != "frozen":
            lines.append(f"  {field.name:<14}{value / GB:9.3f}")
    lines += [f"  {'all':<14}{memory.total / GB:9.3f}  of {chip.memory / GB:.1f}", ""]
    if first.traffic is not None:
        lines.append("received by one device in a step, GB")
        lines += [f"  {n:<20}{v / GB:9.3f}" for n, v in first.traffic.items() if v]
        lines += [f"  {'all':<20}{sum(first.traffic.values()) / GB:9.3f}", ""]
    line = first.roofline
    lines.append(
        f"operations of a step: {first.flops:.3g}, {first.flops / where.chips:.3g} on one device"
    )
    if first.a_place and where.kind != "gpu":
        lines.append(
            f"matrix products of the compiled step: {first.products:.3g} on one device, "
            f"{first.a_place:.2f} for each token and parameter in a matrix (of a model that is "
            "trained whole 6, and 8 with the forward pass again)"
        )
    attention = first.attention / where.chips / chip.flops
    lines += [
        f"attention: {attention:.3f} s at the peak, "
        f"{percent(attention / line.seconds)} of the step",
        f"a step takes at least {line.seconds:.3f} s: products {line.products:.3f} s, memory "
        f"{line.memory:.3f} s, links {line.links:.3f} s",
        f"at most {plan.samples / line.seconds:.1f} samples/s, {plan.samples:.0f} samples a step",
    ]
    if len(plan.steps) > 1:
        lines += ["", "tries that are longer than a row take longer ones (data.long_rows):"]
    for step in plan.steps[1:]:
        received = sum((step.traffic or {}).values()) / GB
        lines.append(
            f"  {step.shape.rows} rows of {step.shape.row_length} tokens in {step.shape.parts} "
            f"part(s): {step.memory.total / GB:.3f} GB on a device, {received:.3f} GB received, "
            f"at least {step.roofline.seconds:.3f} s"
        )
    memory = plan.largest.memory
    smaller, larger = estimate.fitting(where, memory)
    if smaller:
        lines.append(f"estimated to do as well: {smaller}")
    if not plan.fits and larger:
        lines.append(f"estimated to do: {larger}")
    sizes = f"{memory.total / GB:.2f} GB of {chip.memory / GB:.2f} on each of {where.chips}"
    lines.append(f"{'fits' if plan.fits else 'does not fit'}: {sizes} x {chip.name}")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.launch(
        main, name="plan", config="configs/rm.py:qwen2.5-7b", settings=[Settings], flags=Flags
    )
