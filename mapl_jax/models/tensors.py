"""Tensors in a model folder: safetensors, in one file or in shards with an index.

Nothing is read but what is asked for, and no file stays mapped, so reading costs no more memory
than what it fills.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save_file

from mapl_jax.runtime import console
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import SEAL, changed, check_seal, content, parse_json
from mapl_jax.runtime.run_folder import RunFolder

CARD = "README.md"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# What says where the names of a decoder begin, and what stands beside it there.
ANCHORS = ("embed_tokens.weight", "layers.0.self_attn.o_proj.weight")
DECODER = "model."
BODY = ("embed_tokens", "layers", "norm")
# Parts of names that wrappers of torch put in, anywhere.
WRAPPERS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
DTYPES = ("F32", "BF16", "F16")
CHUNK_BYTES = 2**24
# An object of a JSON file.
Json = dict[str, Any]


class TensorFiles:
    """The tensors of a folder, by the names that a model with a head has in `transformers`.

    What stands before the embedding's name in the files decides what is cut off or put before the
    names of all: `model.`, nothing, or what wrappers and PEFT leave there.
    """

    def __init__(self, folder: Path):
        """Finds the tensors."""
        self._folder = folder
        found = self._find()
        self._stored = plain_names(found, folder)
        self._files = {name: found[stored] for name, stored in self._stored.items()}
        self.names = frozenset(self._files)
        self.files = sorted(set(self._files.values()))

    def _find(self) -> dict[str, str]:
        """The file of every tensor."""
        if (self._folder / WEIGHTS).is_file():
            with _open(self._folder / WEIGHTS) as file:
                return dict.fromkeys(file.keys(), WEIGHTS)
        index = self._folder / INDEX
        if not index.is_file():
            raise UserError(
                f"{self._folder}: no {WEIGHTS} and no {INDEX}; only safetensors are read"
                + self._else()
            )
        files = read_json(index).get("weight_map")
        if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
            raise UserError(f"{index}: weight_map does not say which file each tensor is in")
        for name in sorted(set(files.values())):
            # A name from a file must not lead out of the folder.
            if Path(name).name != name:
                raise UserError(f"{index}: {name!r} is no file name; weights lie beside the index")
            if not (self._folder / name).is_file():
                raise UserError(f"{self._folder}: the file {name} is missing, which {INDEX} names")
        return files

    def _else(self) -> str:
        """What to do with weights of another kind that are there."""
        kinds = {".gguf": "of llama.cpp", ".msgpack": "of Flax", ".h5": "of TensorFlow"}
        kinds |= dict.fromkeys((".bin", ".pt", ".pth"), "a pickle, which can run any code")
        kinds[".safetensors"] = "in the names of another program"
        there = sorted(path.name for path in self._folder.iterdir() if path.suffix in kinds)
        if not there:
            return ""
        return (
            f", and {there[0]} is {kinds[Path(there[0]).suffix]}; save the model anew with "
            "transformers, save_pretrained(FOLDER)"
        )

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Makes sure that tensors are where the index says, and of the right shapes and types."""
        for file_name in sorted({self._files[name] for name in shapes}):
            path = self._folder / file_name
            with _open(path) as file:
                there = frozenset(file.keys())
                for name, shape in shapes.items():
                    if self._files[name] != file_name:
                        continue
                    stored = self._stored[name]
                    if stored not in there:
                        raise UserError(
                            f"{path}: missing tensor {stored}, which {INDEX} places here"
                        )
                    part = file.get_slice(stored)
                    if tuple(part.get_shape()) != shape:
                        raise UserError(
                            f"{path}: {name} has shape {tuple(part.get_shape())}, but config.json "
                            f"makes it {shape}"
                        )
                    if part.get_dtype() not in DTYPES:
                        raise UserError(
                            f"{path}: {name} is of type {part.get_dtype()}, not fp32, bf16 or fp16"
                        )

    def read(self, name: str, index: tuple[slice, ...], out: np.ndarray) -> None:
        """Fills an array with a part of a tensor, cast to the type of the array."""
        rows, *others = index
        row_bytes = 4 * max(1, out[:1].size)
        step = max(1, CHUNK_BYTES // row_bytes)
        # Mapped anew each time: pages of a file that stays mapped count as this process's memory.
        with _open(self._folder / self._files[name]) as file:
            part = file.get_slice(self._stored[name])
            for start in range(rows.start, rows.stop, step):
                stop = min(start + step, rows.stop)
                out[start - rows.start : stop - rows.start] = part[(slice(start, stop), *others)]

    def number(self, name: str) -> float:
        """The number in a tensor that has only one."""
        with _open(self._folder / self._files[name]) as file:
            found = np.asarray(file.get_tensor(self._stored[name]), np.float32)
        return float(found.ravel()[0]) if found.size == 1 else math.nan

    def alias(self, name: str, other: str) -> None:
        """Lets a name that is missing stand for another tensor."""
        self._stored[name], self._files[name] = self._stored[other], self._files[other]
        self.names |= {name}

    def same(self, one: str, other: str) -> bool:
        """Whether two tensors hold the same numbers."""
        with contextlib.ExitStack() as stack:
            parts = []
            for name in (one, other):
                file = stack.enter_context(_open(self._folder / self._files[name]))
                parts.append(file.get_slice(self._stored[name]))
            a, b = parts
            if a.get_shape() != b.get_shape() or a.get_dtype() != b.get_dtype():
                return False
            rows = a.get_shape()[0]
            step = max(1, CHUNK_BYTES // (4 * max(1, *a.get_shape()[1:])))
            blocks = (slice(start, min(start + step, rows)) for start in range(0, rows, step))
            return all(np.array_equal(a[block], b[block]) for block in blocks)


def weights_of(folder: Path) -> Path | None:
    """The file of weights in a folder, or their index; None if it has neither."""
    return next((folder / x for x in (WEIGHTS, INDEX) if (folder / x).is_file()), None)


def check_as_written(folder: Path) -> None:
    """Says what was changed in a model since a command wrote and sealed it.

    That of a run is refused, for it belongs to the run. One that was exported or copied belongs to
    its user, who may have changed its config or its weights: it is used as it is, with a notice.
    Its card is for people, who may write in it.

    Raises:
        UserError: it is the model of a run.
    """
    also = [path.name for path in folder.glob("*.safetensors")]
    run = RunFolder(folder.absolute().parent)
    if run.model == folder.absolute() and run.origin.is_file():
        check_seal(folder, also, [CARD])
    elif found := changed(folder, also, [CARD]):
        console.notice(
            f"{folder} is not as it was written ({found}, or was changed on purpose); it is used "
            f"as it is. To silence this notice, remove {SEAL} from it"
        )


def plain_names(stored: Iterable[str], folder: Path) -> dict[str, str]:
    """Name in a model with a head -> name in the files."""
    bare = {name: ".".join(x for x in name.split(".") if x not in WRAPPERS) for name in stored}
    if adapters := [name for name in stored if ".lora_" in name or ".base_layer." in name]:
        raise UserError(
            f"{folder}: {adapters[0]} belongs to adapters that are not merged; call "
            "merge_and_unload() of PEFT and save the model anew"
        )
    for anchor in ANCHORS:
        found = sorted({n for n in bare.values() if n == anchor or n.endswith(f".{anchor}")})
        if len(found) > 1:
            raise UserError(f"{folder}: holds several models ({', '.join(found[:3])}); save one")
        if found:
            break
    else:
        some = ", ".join(sorted(stored)[:3]) or "nothing"
        raise UserError(
            f"{folder}: no tensor is named {ANCHORS[0]}, with or without something before it; "
            f"these are not the weights of a decoder ({some}, ...)"
        )
    prefix = found[0].removesuffix(anchor)
    outer = prefix.removesuffix(DECODER)
    plain: dict[str, str] = {}
    for name, short in bare.items():
        rest = short.removeprefix(prefix if short.startswith(prefix) else outer)
        if short.startswith(prefix) and rest.split(".")[0] in BODY:
            rest = DECODER + rest
        if rest in plain:
            raise UserError(f"{folder}: {plain[rest]} and {name} are the same tensor of a model")
        plain[rest] = name
    return plain


def write(
    folder: Path,
    tensors: Iterable[tuple[str, int, Callable[[], np.ndarray]]],
    *,
    max_bytes: int,
    writes: bool = True,
) -> None:
    """Writes tensors, in one file or in shards with an index; holds one file's at a time.

    Args:
        tensors: name, size in bytes, and a function that makes the tensor.
        writes: False to make the tensors only, as processes must that hold parts of them.
    """
    shards: list[list[tuple[str, Callable[[], np.ndarray]]]] = [[]]
    files: dict[str, int] = {}
    total = room = 0
    for name, size, make in tensors:
        if shards[-1] and size > room:
            shards.append([])
        room = (room if shards[-1] else max_bytes) - size
        shards[-1].append((name, make))
        files[name] = len(shards)
        total += size

    def file_of(number: int) -> str:
        count = len(shards)
        return WEIGHTS if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"

    for number, shard in enumerate(shards, start=1):
        made = {}
        for name, make in shard:
            tensor = make()
            if writes:
                made[name] = tensor
        if writes:
            save_file(made, folder / file_of(number), metadata={"format": "pt"})
            (folder / file_of(number)).chmod(0o644)
    if writes and len(shards) > 1:
        weight_map = {name: file_of(number) for name, number in sorted(files.items())}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def read_json(path: Path) -> Json:
    """A JSON object."""
    try:
        found = parse_json(content(path))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object")
    return found


def _open(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="numpy")
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} is broken or cut off ({error}); copy it again") from error
