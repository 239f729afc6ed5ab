"""The folder of a run: what lies in it, and who may go on in it."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

from mapl_jax.runtime import distributed, storage
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import held, is_address, local, read_json, sweep, write_json

# A config as plain values: section -> field -> value.
Config = Mapping[str, Any]


class RunFolder:
    """A folder that belongs to one config.

    config.json, metrics.jsonl, tensorboard/, cache/, tokenizer/, checkpoints/STEP, eval/, model/,
    nonfinite/, summary.json, report.html; sft/, the run before, if this one makes the model it
    starts from; and data/, if the data came from memory.
    """

    def __init__(self, path: str | os.PathLike[str]):
        """Names the files of a folder, and makes nothing.

        Raises:
            UserError: the path is the address of a bucket.
        """
        self.path = local(path).expanduser().absolute()
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.cache = self.path / "cache"
        self.tokenizer = self.path / "tokenizer"
        self.checkpoints = self.path / "checkpoints"
        self.eval = self.path / "eval"
        self.nonfinite = self.path / "nonfinite"
        self.model = self.path / "model"
        self.summary = self.path / "summary.json"
        self.report = self.path / "report.html"
        self.sft = self.path / "sft"
        self.given = self.path / "data"

    def with_start(self, config: Config) -> Config:
        """The config of a run that makes its start: with what `sft/` made, and with `demo`.

        A config that names a model comes back as it is.
        """
        if not makes_start(config):
            return config
        start = {"model": {"path": str(RunFolder(self.sft).model)}}
        return merged(merged(config, config.get("demo", {})), start)

    @contextmanager
    def undone_on_mistake(self) -> Iterator[None]:
        """What a run does in a new folder, from the claim on.

        A user's mistake that ends it before its first step leaves the folder as it was, so that
        the same command goes through once the mistake is mended, whatever was mended.
        """
        new = not self.config.exists()
        before = set(self.path.iterdir()) if self.path.is_dir() else set()
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            yield
        except UserError:
            if new and self.config.exists() and not any(self.path.rglob(self.metrics.name)):
                for path in set(self.path.iterdir()) - before:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                for path in missing:
                    path.rmdir()
            raise

    def claim(self, config: Config) -> None:
        """Takes the folder for a config, or goes on in it.

        Raises:
            UserError: the folder holds the run of another config, or something else.
        """
        wanted = json.loads(json.dumps(config))
        if self.config.exists():
            found = read_json(self.config)
            differing = _differences(found, wanted)
            if differing:
                raise UserError(
                    f"{self.path} holds a run of another config ({'; '.join(differing)}); "
                    "choose another --workdir"
                )
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {self.path}: {error.strerror}") from error
        # A kill may have left the very first file half-written.
        own = f".{self.config.name}.part-"
        if any(x != self.given and not x.name.startswith(own) for x in self.path.iterdir()):
            raise UserError(f"{self.path} is not empty and holds no run; choose another --workdir")
        write_json(self.config, wanted)

    def sweep(self) -> None:
        """Removes what a killed run left half-written; nobody else may be writing."""
        for path in (self.path, self.cache, self.eval):
            sweep(path)


def makes_start(config: Config) -> bool:
    """Whether the run makes the model that it starts from."""
    return config.get("sft") is not None and not config["model"]["path"]


def merged(values: Config, other: Config) -> dict[str, Any]:
    """Nested values with other ones in place of those of the same names."""
    result = dict(values)
    for name, value in other.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)
        result[name] = value
    return result


def _differences(found: Any, wanted: Any, prefix: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            line
            for key in sorted(found.keys() | wanted.keys())
            for line in _differences(found.get(key), wanted.get(key), f"{prefix}.{key}")
        ]
    return [] if found == wanted else [f"{prefix[1:]} was {found!r}, now {wanted!r}"]


@contextlib.contextmanager
def opened(run: str, workdir: str | os.PathLike[str] | None) -> Iterator[RunFolder]:
    """The folder of a run while it is worked in, which may be in a bucket.

    Args:
        run: name of the run.
        workdir: its folder; None for `runs/NAME`.

    Raises:
        UserError: a run that is not part of this one works in it on this machine.
    """
    place = workdir or f"runs/{run}"
    alone = jax.process_count() == 1
    with contextlib.ExitStack() as stack:
        if alone:
            name = place if is_address(place) else os.path.realpath(os.path.expanduser(place))
            lock = storage.cache_path(name, "locks").with_suffix(".lock")
            stack.enter_context(held(lock, os.fspath(place)))
        yield RunFolder(stack.enter_context(storage.working(place, alone=alone)))


def undone_on_mistake(folder: RunFolder) -> contextlib.AbstractContextManager[None]:
    """Leaves no trace of a new run that a mistake ends, unless other processes write too."""
    return folder.undone_on_mistake() if jax.process_count() == 1 else contextlib.nullcontext()


def claim(folder: RunFolder, config: Config) -> None:
    """Takes a run folder, once for all processes.

    Raises:
        UserError: it belongs to another config, or this process does not see it.
    """
    with distributed.main_process_first():
        if not distributed.is_main_process() and not folder.config.exists():
            raise UserError(
                f"process {jax.process_index()} does not see what process 0 wrote to "
                f"{folder.path}; --workdir must lie on a file system that all processes share"
            )
        folder.claim(config)
        if distributed.is_main_process():
            folder.sweep()
