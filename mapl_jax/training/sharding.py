"""One mesh and one table: which logical axis of a parameter lies on which axis of the mesh."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import PyTree

from mapl_jax.kernels.compute import Spread
from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import changeable

Tree = TypeVar("Tree")
MESH_AXES = ("data", "fsdp", "context", "tensor")
DATA_AXES = ("data", "fsdp")
ROWS = PartitionSpec(None, DATA_AXES)
STATES = PartitionSpec(None, DATA_AXES, "context")
RULES: dict[str | None, str | None] = {
    "vocab": "tensor",
    "embed": "fsdp",
    "heads": "tensor",
    "kv_heads": "tensor",
    "experts": "tensor",
    "mlp": "tensor",
}


def _parts(default: int, help: str) -> int:
    return changeable(default, help, least=1, most=2**20, besides=-1)


@dataclasses.dataclass(frozen=True)
class MeshSettings:
    """The section `mesh` of a config: sizes of axes of `MESH_AXES`; those not named have 1."""

    data: int = _parts(
        -1, "data parallelism: into how many parts rows are split; -1: all remaining devices"
    )
    fsdp: int = _parts(
        1,
        "into how many parts both parameters and rows are split (FSDP); -1: all remaining devices",
    )
    tensor: int = _parts(
        1, "tensor parallelism: into how many parts matrices are split; -1: all remaining devices"
    )

    def __post_init__(self) -> None:
        settings.check(self, "mesh")
        sizes = dataclasses.asdict(self)
        if list(sizes.values()).count(-1) > 1:
            raise UserError(f"mesh sizes must be positive, one of them may be -1; got {sizes}")


@dataclasses.dataclass(frozen=True)
class RowMeshSettings(MeshSettings):
    """A mesh with an axis for context parallelism, where whole rows are computed."""

    context: int = _parts(
        1,
        "context parallelism: into how many parts the tokens of a row are split, if rows are too "
        "long for one device; -1: all remaining devices",
    )


def make_mesh(
    shape: MeshSettings | Mapping[str, int], devices: list[jax.Device] | None = None
) -> Mesh:
    """A mesh over devices, None for all of this run.

    Axes of `MESH_AXES` that are not named have size 1; one may be -1, whatever is left.
    """
    devices = jax.devices() if devices is None else devices
    shape = dataclasses.asdict(shape) if isinstance(shape, MeshSettings) else shape
    sizes = [int(shape.get(axis, 1)) for axis in MESH_AXES]
    if sizes.count(-1) > 1 or any(size < 1 and size != -1 for size in sizes):
        raise UserError(f"mesh sizes must be positive, one of them may be -1; got {dict(shape)}")
    known = int(np.prod([size for size in sizes if size != -1]))
    if len(devices) % known or (-1 not in sizes and known != len(devices)):
        raise UserError(f"the mesh {dict(shape)} does not fit {len(devices)} device(s)")
    sizes = [len(devices) // known if size == -1 else size for size in sizes]
    return jax.make_mesh(
        tuple(sizes), MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES), devices=devices
    )


def describe(mesh: Mesh) -> str:
    """Version and backend of JAX, and the sizes of a mesh."""
    return f"jax {jax.__version__} on {jax.default_backend()}, mesh {dict(mesh.shape)}"


def data_parts(mesh: Mesh) -> int:
    """How many parts the rows of a batch are split into."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def host_of(mesh: Mesh) -> tuple[int, int]:
    """Which share of the rows of every batch this process brings, and how many shares there are.

    Processes whose devices hold the same rows, where the axes context or tensor go over several,
    bring the same share.
    """
    parts = data_parts(mesh)
    held: dict[int, set[int]] = {}
    for part, devices in enumerate(mesh.devices.reshape(parts, -1)):
        for device in devices:
            held.setdefault(device.process_index, set()).add(part)
    size = parts // len({min(share) for share in held.values()})
    if any(
        share != {*range(min(share) // size * size, min(share) // size * size + size)}
        for share in held.values()
    ):
        raise UserError(
            f"the mesh {dict(mesh.shape)} gives processes unequal shares of a batch's rows; "
            "make mesh.context times mesh.tensor a divisor or a multiple of a process's devices"
        )
    return min(held[jax.process_index()]) // size, parts // size


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def rows(mesh: Mesh) -> NamedSharding:
    """Batch arrays [A, R, ...]: rows over all data axes."""
    return NamedSharding(mesh, ROWS)


def states(mesh: Mesh) -> NamedSharding:
    """Arrays of tokens [A, R, S, ...] within a step: tokens of a row over the axis context."""
    return NamedSharding(mesh, STATES)


def parameters(mesh: Mesh, abstract: PyTree, logical: PyTree) -> PyTree:
    """Shardings of parameters.

    Args:
        abstract: pytree of shapes.
        logical: pytree of tuples of logical axis names, one a dimension; an axis of the table is
            sharded where its size divides evenly, and replicated where it does not.
    """

    def place(leaf: jax.ShapeDtypeStruct, names: tuple[str | None, ...]) -> NamedSharding:
        spec: list[str | None] = []
        for size, name in zip(leaf.shape, names, strict=True):
            axis = RULES.get(name)
            fits = axis is not None and axis not in spec and size % mesh.shape[axis] == 0
            spec.append(axis if fits else None)
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(place, abstract, logical)


def with_shardings(shapes: PyTree, places: PyTree, dtype: DTypeLike | None = None) -> PyTree:
    """Shapes with their shardings, of their own types or of one for all."""
    return jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, dtype or x.dtype, sharding=place),
        shapes,
        places,
    )


def spread(mesh: Mesh) -> Spread | None:
    """How states and attention lie over the devices of a mesh; None for one device that is here."""
    spread_over = Spread(mesh, DATA_AXES, "tensor", "context")
    return spread_over if mesh.size > 1 or spread_over.platform != jax.default_backend() else None


def to_device(batch: Tree, mesh: Mesh) -> Tree:
    """Puts this host's part [A, R, ...] of a global batch on its devices, as global arrays."""
    sharding = rows(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def check_memory(arrays: PyTree, what: str) -> None:
    """Makes sure that arrays have room on the devices of this process, before they are made.

    Args:
        arrays: shapes with their shardings; there must be room for at least these.
        what: names them in the message.
    """
    needed = sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
        for x in jax.tree.leaves(arrays)
    )
    device = jax.local_devices()[0]
    there = (device.memory_stats() or {}).get("bytes_limit", 0)
    if device.platform == "cpu":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        there = memory // jax.local_device_count()
    if there and needed > there:
        raise UserError(
            f"{what} takes at least {needed / 1e9:,.0f} GB of a device's memory, and there are "
            f"{there / 1e9:.0f}; make it smaller (model.width, model.layers, model.mlp_width, "
            "tokenizer.vocab_size, lora.rank, train.rows_per_batch, data.row_length), or split it "
            "over more devices with mesh.fsdp, and long rows with mesh.context"
        )
