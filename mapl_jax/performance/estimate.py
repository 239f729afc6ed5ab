"""What a compiled step will take on hardware that is not here: memory, traffic, operations, time.

Memory is what the compiler laid out. Traffic between devices is read from the compiled program, and
operations from the traced one; loops count as often as they run. Times are a roofline: none of the
three kinds of work overlaps another in itself, and the slowest is what a step takes at best.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import PyTree

from mapl_jax.models.config import EXPERT_MATRICES, DecoderConfig
from mapl_jax.models.parameters import Params
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import brief

GB = 1e9
MOST_CHIPS = 10_000


@dataclasses.dataclass(frozen=True)
class Chip:
    """One device, from its maker's data sheet.

    Attributes:
        name: what it is called.
        memory: bytes of HBM that a program may use.
        flops: peak of bf16 matrix products, operations a second.
        bandwidth: of HBM, bytes a second.
        links: to other devices, bytes a second and direction, all links together.
        sizes: slices that can be had, chips -> topology; empty if any number can.
    """

    name: str
    memory: float
    flops: float
    bandwidth: float
    links: float
    sizes: Mapping[int, str] = dataclasses.field(default_factory=dict)


_FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_CUBE = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8"}
CHIPS = {
    "v5e": Chip("TPU v5e", 15.75 * 2**30, 197e12, 819e9, 200e9, _FLAT),
    "v5p": Chip("TPU v5p", 95.74 * 2**30, 459e12, 2765e9, 600e9, _CUBE),
    "v6e": Chip("TPU v6e", 31.25 * 2**30, 918e12, 1640e9, 448e9, _FLAT),
    # The nodes that most people have: H100 SXM with 80 GB, of which the runtime keeps a part.
    "gpu": Chip("H100", 75e9, 989e12, 3350e9, 450e9),
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips of one of `CHIPS`; the shape is "4x4", say, of a TPU slice, and the number of GPUs."""

    kind: str
    chips: int
    shape: str

    @property
    def chip(self) -> Chip:
        """What it is made of."""
        return CHIPS[self.kind]

    def __str__(self) -> str:
        return f"{self.kind}:{self.shape}"

    def other(self, chips: int) -> "Slice | None":
        """A slice of another size, if there is one."""
        sizes = self.chip.sizes
        if sizes and chips not in sizes:
            return None
        return Slice(self.kind, chips, sizes.get(chips, str(chips)))


def parse_slice(text: str) -> Slice:
    """A slice from its name: "v5e:4x4", "v5p:2x2x4", "gpu:8"."""
    kind, _, shape = text.partition(":")
    if kind not in CHIPS or not re.fullmatch(r"[0-9]+(x[0-9]+)*", shape):
        raise UserError(
            f"--topology is {repr(text) if text else 'missing'}; write the kind of chip "
            f"({', '.join(CHIPS)}) and the slice, such as v5e:4x4, v5p:2x2x4 or gpu:8"
        )
    sizes = shape.split("x")
    chips = MOST_CHIPS + 1 if max(map(len, sizes)) > 9 else math.prod(map(int, sizes))
    if chips < 1:
        raise UserError(f"--topology is {text!r}, which has no chips")
    if chips > MOST_CHIPS:
        raise UserError(f"--topology is {brief(text)}, more than {MOST_CHIPS:,} chips")
    return Slice(kind, chips, str(chips) if kind == "gpu" else shape)


# Memory.


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one device while a step runs.

    Attributes:
        parameters: fp32 weights that are trained.
        frozen: weights beside them, with LoRA.
        optimizer: Adam's moments.
        batch: arrays of a batch.
        temporaries: gradients, activations and whatever else the step makes and forgets.
    """

    parameters: float
    frozen: float
    optimizer: float
    batch: float
    temporaries: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(dataclasses.astuple(self))


def bytes_here(tree: PyTree) -> float:
    """Bytes of abstract arrays on one device, from their shardings."""

    def size(x: jax.ShapeDtypeStruct) -> float:
        shape = x.shape if x.sharding is None else x.sharding.shard_shape(x.shape)
        return math.prod(shape) * x.dtype.itemsize

    return float(sum(size(x) for x in jax.tree.leaves(tree)))


# Operations.


def product_flops(function: Callable[..., object], *arguments: object) -> float:
    """Floating-point operations of the matrix products of a traced function, loops unrolled.

    Kernels and loops that end when their data does are left out, and so is what nobody reads, such
    as gradients of frozen matrices: the compiler drops it too.
    """
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    return _flops(dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0])


def _flops(jaxpr: Any, tensor: int = 1) -> float:
    """Operations of a device; `tensor` devices share the groups of a product of groups."""
    total = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[i] for i in contracted)
            total += 2.0 * inner * equation.outvars[0].aval.size
        elif name == "ragged_dot_general":
            # Every row of the left side meets one group of the right one.
            numbers = params["ragged_dot_dimension_numbers"]
            (contracted, _), _ = numbers.dot_dimension_numbers
            inner = math.prod(equation.invars[0].aval.shape[i] for i in contracted)
            groups = equation.invars[2].aval.size
            summed = set(numbers.lhs_ragged_dimensions) <= set(contracted)
            outputs = equation.outvars[0].aval.size / (groups if summed else 1)
            total += 2.0 * inner * outputs / tensor
        elif name == "scan":
            total += params["length"] * _flops(params["jaxpr"].jaxpr, tensor)
        elif name == "cond":
            # One branch runs: of a part of a batch that holds something, the larger one.
            total += max(_flops(branch.jaxpr, tensor) for branch in params["branches"])
        elif name not in ("while", "pallas_call"):
            axes = _axes(params) if name == "shard_map" else {}
            share = axes.get("tensor", tensor)
            inner = [x for x in params.values() if hasattr(x, "eqns") or hasattr(x, "jaxpr")]
            each = sum(_flops(getattr(x, "jaxpr", x), share) for x in inner)
            total += each * math.prod(axes.values())
    return total


def _axes(params: Mapping[str, Any]) -> dict[str, int]:
    """Axes whose devices each run the body of a `shard_map` on a part of their own, with sizes."""
    parts = {part for spec in params["in_specs"] for part in spec if part}
    names = {name for x in parts for name in (x if isinstance(x, tuple) else (x,))}
    return {name: params["mesh"].shape[name] for name in names}


def matrices(model: DecoderConfig, shapes: Params, *, policy: bool) -> float:
    """Parameters in the matrices of all layers, of experts those that a token takes.

    Args:
        policy: with the matrix of the output.
    """
    taken = model.experts_per_token / max(model.experts, 1)
    share = {"kernel": 1, "a": 1, "b": 1, "router": 1, **dict.fromkeys(EXPERT_MATRICES, taken)}
    layers = sum(
        x.size * share.get(path[-1].key, 0)
        for path, x in jax.tree_util.tree_leaves_with_path(shapes["layers"])
    )
    return layers + policy * model.width * model.vocab_size


def attention_flops(
    model: DecoderConfig, tokens: float, trie: float, *, tile: int, passes: float
) -> float:
    """Operations of attention over tiles, of tries that are packed into rows.

    A token of a trie of n tokens meets half of them, and a tile more.

    Args:
        tile: tokens of a tile.
        passes: products of the forward pass that one step does: 1, and 2.5 backward, and 1 more if
            the forward pass is computed again.
    """
    met = trie / 2 + tile
    return passes * 4.0 * tokens * met * model.heads * model.head_dim * model.layers


# Time.


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of a step on one device, by what it would have to wait for alone."""

    products: float
    memory: float
    links: float

    @property
    def seconds(self) -> float:
        """The slowest of them."""
        return max(self.products, self.memory, self.links)


def memory_traffic(
    memory: Memory, model: DecoderConfig, *, weights: float, tokens: float, parts: int, passes: int
) -> float:
    """Bytes of HBM that one device reads and writes in a step, estimated.

    Args:
        weights: bytes of the weights that a pass reads, whole, as they are computed with.
        tokens: of a part of the batch on one device.
        parts: of the batch, one after the other.
        passes: over the weights in a part: forward, backward, and forward again.
    """
    # The state is read and written once, the gradients three times.
    state = 2 * (memory.parameters + memory.optimizer) + 3 * memory.parameters
    # Of a layer: inputs and outputs of its products and norms, 2 bytes each.
    inner = model.mlp_width * max(model.experts_per_token, 1)
    layer = 2.0 * tokens * (8 * model.width + 4 * model.heads * model.head_dim + 3 * inner)
    return state + parts * passes * (2 * weights + layer * model.layers)


def scaled(memory: Memory, chips: int, other: int) -> float:
    """Bytes on one device of a slice of another size: what lies spread, lies thinner or thicker.

    Gradients, as large as the parameters, lie among the temporaries. Activations are those of the
    same number of rows on each device.
    """
    spread = memory.parameters + memory.frozen + memory.optimizer
    gradients = min(memory.temporaries, memory.parameters)
    rest = memory.temporaries - gradients + memory.batch
    return (spread + gradients) * chips / other + rest


def fitting(where: Slice, memory: Memory) -> tuple[Slice | None, Slice | None]:
    """The smallest slice that would do and, if this one does not, the next larger that would."""
    sizes = sorted(where.chip.sizes) or [2**i for i in range(11)]
    would = [
        n for n in sizes if n != where.chips and scaled(memory, where.chips, n) < where.chip.memory
    ]
    smaller = [n for n in would if n < where.chips]
    larger = [n for n in would if n > where.chips]
    return (
        where.other(smaller[0]) if smaller else None,
        where.other(larger[0]) if larger else None,
    )


def leading(values: PyTree) -> float:
    """Bytes of a tree of abstract arrays, whole."""
    return float(sum(np.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(values)))
