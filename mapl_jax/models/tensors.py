"""Tensors in a model folder: safetensors, in one file or in shards with an index.

Nothing is read but what is asked for, and no file stays mapped, so reading costs no more memory
than what it fills.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save_file

from mapl_jax.runtime.errors import UserError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
DTYPES = ("F32", "BF16", "F16")
CHUNK_BYTES = 2**24
# An object of a JSON file.
Json = dict[str, Any]


class TensorFiles:
    """The tensors of a folder, by name.

    Attributes:
        names: of all of them.
        files: that they are in, sorted.
    """

    def __init__(self, folder: Path):
        """Finds the tensors.

        Raises:
            UserError: there are none, or a file or the index is broken.
        """
        self._folder = folder
        self._files = self._find()
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
        pickles = sorted(
            path.name for path in self._folder.iterdir() if path.suffix in (".bin", ".pt", ".pth")
        )
        if not pickles:
            return ""
        return (
            f", and {pickles[0]} is a pickle, which can run any code; save the model anew with "
            "transformers, save_pretrained(FOLDER)"
        )

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Makes sure that tensors are where the index says, and of the right shapes and types.

        Raises:
            UserError: one is not.
        """
        for file_name in sorted({self._files[name] for name in shapes}):
            path = self._folder / file_name
            with _open(path) as file:
                there = frozenset(file.keys())
                for name, shape in shapes.items():
                    if self._files[name] != file_name:
                        continue
                    if name not in there:
                        raise UserError(f"{path}: missing tensor {name}, which {INDEX} places here")
                    part = file.get_slice(name)
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
        """Fills an array with a part of a tensor, cast to the type of the array.

        Args:
            name: of the tensor.
            index: the part, with start and stop in each dimension.
            out: of the part's shape.
        """
        rows, *others = index
        row_bytes = 4 * max(1, out[:1].size)
        step = max(1, CHUNK_BYTES // row_bytes)
        # Mapped anew each time: pages of a file that stays mapped count as this process's memory.
        with _open(self._folder / self._files[name]) as file:
            part = file.get_slice(name)
            for start in range(rows.start, rows.stop, step):
                stop = min(start + step, rows.stop)
                out[start - rows.start : stop - rows.start] = part[(slice(start, stop), *others)]


def write(
    folder: Path,
    tensors: Iterable[tuple[str, int, Callable[[], np.ndarray]]],
    *,
    max_bytes: int,
    writes: bool = True,
) -> None:
    """Writes tensors, in one file or in shards with an index; holds one file's at a time.

    Args:
        folder: where to; it exists.
        tensors: name, size in bytes, and a function that makes the tensor.
        max_bytes: a file holds no more, unless a single tensor does.
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
    """A JSON object.

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object")
    return content


def _open(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="numpy")
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} is broken or cut off ({error}); copy it again") from error
