"""What a compiled step takes on one device: memory, and from its text traffic and matrix products.

Bodies of loops count as often as the compiler says they run, or as their counters say: from 0 to a
constant, in steps of another. (The rings in which XLA for TPU passes matrices around take two.)
"""

import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_DTYPES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s64": 8}
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .*)?\{$")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPERATION = re.compile(r"[\])}] ([a-z][\w\-]*)\(")
_SHAPE = re.compile(r"\b(pred|[a-z]+\d+(?:e\d+m\d+\w*)?)\[([\d,]*)\]")
_TRIPS = re.compile(r'known_trip_count"?[:=]\{"?n"?[:=]"?(\d+)')
_BOUND = re.compile(r" constant\((\d+)\)")
_ITEM = re.compile(r" get-tuple-element\(.*?\), index=(\d+)")
_CALLED = re.compile(r"(?:body|to_apply|calls)=%?([\w.\-]+)|branch_computations=\{([^}]*)\}")


class Program(NamedTuple):
    """A compiled step on one device; of one that is too large for it, all that it would take.

    Attributes:
        bytes: of temporaries.
        traffic: bytes that are received, by kind of collective; None of a step that is too large.
        products: operations of matrix products; 0 of a step that is too large.
    """

    bytes: float
    traffic: dict[str, float] | None
    products: float


def of_step(traced: jax.stages.Traced) -> Program:
    """Compiles a traced step."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            compiled, text = _compiled(traced.lower(), Path(folder))
        except jax.errors.JaxRuntimeError as error:
            used = memory_of_failure(str(error))
            if used is None:
                raise
            return Program(used, None, 0.0)
    sizes = compiled.memory_analysis()
    assert sizes is not None  # CPUs and TPUs have it
    # What is not written over an old state is new.
    fresh = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    temporaries = float(sizes.temp_size_in_bytes + fresh + sizes.generated_code_size_in_bytes)
    return Program(temporaries, collective_bytes(text), product_flops(text))


def _compiled(lowered: jax.stages.Lowered, folder: Path) -> tuple[jax.stages.Compiled, str]:
    """The program, and its text as the compiler writes it to an empty folder.

    `Compiled.as_text` has the same text for most devices. For v5p and v6e it fails: libtpu 0.0.52
    writes async updates of three operands, and jaxlib 0.10.2 reads those of one.
    """
    options: dict[str, str | bool] = {"xla_dump_to": str(folder), "xla_dump_hlo_as_text": True}
    compiled = lowered.compile(compiler_options=options)
    (written,) = folder.glob("*after_optimizations.txt")
    return compiled, written.read_text("utf-8")


# What the compiler says of a program that is too large.
_TOO_MUCH = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def memory_of_failure(message: str) -> float | None:
    """Bytes that a program would have taken, from the compiler's complaint; None if it is none."""
    if match := _TOO_MUCH.search(message):
        return float(match[1]) * _UNITS[match[2].upper()]
    return None


class Instruction(NamedTuple):
    """A line of a program, which runs so many times.

    Attributes:
        name: of its result.
        kind: of its operation.
        shape: of its result, as text.
        text: all of it behind the name.
        before: name -> text of the lines of its computation.
        fusion: name of that computation, where a fusion runs it; else empty.
    """

    name: str
    kind: str
    shape: str
    text: str
    before: dict[str, str]
    times: float
    fusion: str = ""


def instructions(program: str) -> Iterator[Instruction]:
    """All that a program runs."""
    computations: dict[str, dict[str, str]] = {}
    entry = name = ""
    for line in program.splitlines():
        if line.rstrip().endswith("{") and (match := _COMPUTATION.match(line.rstrip())):
            name = match[1]
            computations[name] = {}
            entry = name if line.startswith("ENTRY") else entry
        elif name and (match := _INSTRUCTION.match(line)):
            computations[name][match[1]] = match[2]

    def lines_of(part: str, text: str) -> dict[str, str]:
        named = re.search(rf"{part}=%?([\w.\-]+)", text)
        return computations.get(named[1], {}) if named else {}

    def trips(text: str) -> int:
        """How often a loop runs whose counter is compared with a constant; 1 if with none."""
        condition, body = lines_of("condition", text), lines_of("body", text)
        most = max((int(x) for line in condition.values() for x in _BOUND.findall(line)), default=1)
        counter = [m[1] for line in condition.values() if (m := _ITEM.search(line))]
        last = list(body.values())[-1] if body else ""
        items = re.findall(r"%([\w.\-]+)", last.partition(" tuple(")[2].partition(")")[0])
        if not counter or int(counter[0]) >= len(items):
            return most
        added = re.search(
            r" add\(%?([\w.\-]+), %?([\w.\-]+)\)", body.get(items[int(counter[0])], "")
        )
        steps = [_BOUND.search(body.get(name, "")) for name in added.groups()] if added else []
        step = next((int(match[1]) for match in steps if match), 1)
        return -(-most // max(step, 1))

    def visit(name: str, times: float, fusion: str = "") -> Iterator[Instruction]:
        lines = computations.get(name, {})
        for result, text in lines.items():
            operation = _OPERATION.search(text)
            kind = operation[1] if operation else ""
            shape = text[: operation.start() + 1] if operation else ""
            yield Instruction(result, kind, shape, text, lines, times, fusion)
            inner = 1
            if kind == "while":
                known = _TRIPS.search(text)
                inner = int(known[1]) if known else trips(text)
            for one, several in _CALLED.findall(text):
                for other in (one or several).replace("%", "").split(","):
                    fused = other.strip() if kind == "fusion" else fusion
                    yield from visit(other.strip(), times * inner, fused)

    return visit(entry, 1.0)


# Traffic.


def collective_bytes(program: str) -> dict[str, float]:
    """Bytes that one device receives in a step, by kind of collective.

    Pieces of one collective, which the compiler for TPU spreads over fusions of products, share a
    channel and count once. (So do all collectives of `shard_map`, each of which counts.) A sum in a
    fusion that keeps a slice of it alone is how this compiler writes a reduce-scatter.
    """
    received: dict[tuple[str, str], float] = {}
    for number, each in enumerate(instructions(program)):
        kind = each.kind.removesuffix("-start")
        if kind in COLLECTIVES:
            channel = re.search(r"\bchannel_id=(\d+)", each.text) if each.fusion else None
            size = each.times * _received(kind, each.shape, each.text)
            if kind == "all-reduce" and _is_sliced(each):
                kind, size = "reduce-scatter", size / 2
            key = (kind, channel[1] if channel else f"none {number}")
            received[key] = max(received.get(key, 0.0), size)
    return {
        kind: sum(size for (other, _), size in received.items() if other == kind)
        for kind in COLLECTIVES
    }


def _is_sliced(each: Instruction) -> bool:
    """Whether a fusion makes a sum over devices and hands on a slice of it alone."""
    used = rf" dynamic-slice\(%?{re.escape(each.name)}[,)]"
    return bool(each.fusion) and bool(re.search(used, list(each.before.values())[-1]))


def _dims(shape: str) -> list[tuple[str, list[int]]]:
    return [
        (dtype, [int(n) for n in dims.split(",") if n]) for dtype, dims in _SHAPE.findall(shape)
    ]


def _received(kind: str, shape: str, text: str) -> float:
    """Bytes that one device receives in one collective, in a ring."""
    sizes = [math.prod(dims) * _DTYPES.get(dtype, 4) for dtype, dims in _dims(shape)]
    if not sizes:
        return 0.0
    # Asynchronous ones carry their operands along: the result of a gather is the largest.
    whole = max(sizes) if text.find("-start(") >= 0 else float(sum(sizes))
    members = _members(text)
    share = (members - 1) / members
    if kind == "all-reduce":
        return 2 * share * whole
    if kind == "reduce-scatter":
        return whole * (members - 1) if text.find("-start(") < 0 else whole * share
    return whole if kind == "collective-permute" else whole * share


def _members(text: str) -> int:
    """How many devices take part, from the groups of a collective."""
    if match := re.search(r"replica_groups=\[(\d+),(\d+)\]", text):
        return int(match[2])
    if match := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", text):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", match[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", match[2]))
    if match := re.search(r"replica_groups=\{\{([\d,]*)\}", text):
        return max(1, match[1].count(",") + 1)
    return 2


# Products.


def product_flops(program: str) -> float:
    """Operations of the matrix products that one device runs; kernels are left out.

    The compiler for TPU writes products as convolutions.
    """
    return sum(
        each.times * _product(each)
        for each in instructions(program)
        if each.kind in ("dot", "convolution")
    )


def _product(each: Instruction) -> float:
    """Operations of one product: two for each number of the result and each that is summed."""
    arguments = each.text.partition(f" {each.kind}(")[2].partition(")")[0]
    left, right = (_operand(text, each.before) for text in re.split(r", (?=[%\w])", arguments)[:2])
    result = _dims(each.shape)[0][1]
    if each.kind == "dot":
        summed = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", each.text)
        axes = [int(axis) for axis in summed[1].split(",") if axis] if summed else []
        return 2.0 * math.prod(result) * math.prod(left[axis] for axis in axes)
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", each.text)
    assert labels  # every convolution has them
    given, window, made = (
        dict(zip(names, dims, strict=True))
        for names, dims in zip(labels.groups(), (left, right, result), strict=True)
    )
    met = _within_window(each.text, given, made, window)
    return 2.0 * made["b"] * made["f"] * window["i"] * met


def _within_window(
    text: str, given: dict[str, int], made: dict[str, int], window: dict[str, int]
) -> int:
    """How often a place of a convolution's window meets a number, and not the padding around them.

    A product over several axes is written so too, with a window of which all but one place lies in
    the padding.

    Args:
        text: of the convolution.
        given: size of the input along each axis, by its label; `made` is the result.
    """
    fields = re.search(r"window=\{([^}]*)\}", text)
    parts = dict(part.split("=") for part in fields[1].split()) if fields else {}

    def met(axis: str) -> int:
        def field(name: str, default: str) -> str:
            return parts[name].split("x")[int(axis)] if name in parts else default

        step, apart, spread = (int(field(n, "1")) for n in ("stride", "rhs_dilate", "lhs_dilate"))
        before = int(field("pad", "0_0").split("_")[0])
        places = np.arange(made[axis])[:, None] * step + np.arange(window[axis]) * apart - before
        inside = (places >= 0) & (places <= (given[axis] - 1) * spread) & (places % spread == 0)
        return int(inside.sum())

    return math.prod(met(axis) for axis in given if axis.isdigit())


def _operand(text: str, before: dict[str, str]) -> list[int]:
    """Dimensions of an operand, which stand before its name or with its own line."""
    return _dims(text if "[" in text else before[text.strip().lstrip("%")])[0][1]
