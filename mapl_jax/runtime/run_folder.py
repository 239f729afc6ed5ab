"""The folder of a run: what lies in it, and who may go on in it."""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mapl_jax.runtime import distributed, outputs, settings, storage
from mapl_jax.runtime.console import say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import (
    SEAL,
    flaw,
    read_object,
    remove,
    seal,
    sweep,
    write_json,
)
from mapl_jax.runtime.locks import Sole, held
from mapl_jax.runtime.paths import local, lock_of, shown

# What Orbax (0.12) takes for a pattern, and finds nothing by: tests/test_upstream.py fails once it
# finds it. Then what `data.sources.as_file` writes.
_PATTERN = re.compile(r"[\[\]*?]")
_GIVEN = re.compile(r"\.?(?:train|test)-[0-9a-f]{16}\.jsonl(?:\.part-\d+)?")

# A config as plain values: section -> field -> value.
Config = Mapping[str, Any]
# What a run is made from, and what to say where that is something else than when it began.
ORIGINS = {
    "train": "the training data is not what the run was trained on",
    "test": "the held-out data is not what the run was evaluated on",
    "tokenizer": "the tokenizer, or its chat template, is not the one that the run began with",
    "base": "the weights of model.path are not those that the run was trained on",
    "plugins": "the run began with other plugins, or with other versions of them",
    "reference": "the weights of the reference are not those that the run was trained with",
}
# What a run says of itself at its end, as far as others go by it.
_SUMMARY = {
    "eval": {"after": dict},
    "held_out": dict,
    "train": {"encoding": {"samples": int, "trie_tokens": int}},
    "steps": int,
    "parameters": int,
    "seconds": float,
    "best": {"step": int},
    "stopped": {"step": int},
    "config": dict,
}
# Fields that a message names one by one.
NAMED = 3


class RunFolder:
    """A folder that belongs to one config.

    config.json, origin.json (what it is made from), metrics.jsonl, tensorboard/, cache/,
    tokenizer/, checkpoints/STEP, eval/, model/, nonfinite/, summary.json, checksums.json (of the
    summary), report.html; sft/, the run before, if this one makes the model it starts from; start/,
    models merged to start from; and data/, if the data came from memory.
    """

    def __init__(self, path: str | os.PathLike[str], further: Iterable[str] = ()):
        """Names the files of a folder, and `further` ones that its owner makes; makes nothing."""
        self.path = local(path).absolute()
        self.config = self.path / "config.json"
        self.origin = self.path / "origin.json"
        self.metrics = self.path / "metrics.jsonl"
        self.cache = self.path / "cache"
        self.tokenizer = self.path / "tokenizer"
        self.checkpoints = self.path / "checkpoints"
        self.eval = self.path / "eval"
        self.nonfinite = self.path / "nonfinite"
        self.model = self.path / "model"
        self.summary = self.path / "summary.json"
        self.seal = self.path / SEAL
        self.report = self.path / "report.html"
        self.sft = self.path / "sft"
        self.start = self.path / "start"
        own = {path.name for path in vars(self).values() if path.parent == self.path}
        self._own = {*own, "tensorboard", *further}
        self.given = self.path / "data"
        # What was there before this process took a folder that was free; None if it did not.
        self._before: set[Path] | None = None
        self._missing: list[Path] = []
        # What keeps others from the folder once it is this process's; None where others may work.
        self.sole: Sole | None = None

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
        """What a run does in a folder, from `take` or `claim` on.

        A user's mistake that ends a new one before its first step leaves the folder as it was, so
        that the same command goes through once the mistake is mended, whatever was mended. What
        several processes write to stays.
        """
        try:
            yield
        except UserError:
            before, alone = self._before, distributed.process_count() == 1
            # One that was refused may be the whole disk, and is not looked through.
            if before is not None and alone and not any(self.path.rglob(self.metrics.name)):
                for path in sorted(set(self.path.rglob("*")) - before, reverse=True):
                    if self._is_own(path):
                        remove(path)
                for path in (*({self.given} - before), *self._missing):
                    with contextlib.suppress(OSError):  # not empty, or not there
                        path.rmdir()
                self._missing, self._before = [], None  # who takes it again looks again
            raise

    def take(self, inputs: Iterable[str] = ()) -> "RunFolder":
        """Makes sure that the folder holds a run, or is free; then it is this process's.

        What the run reads must not lie in the folder nor around it.
        """
        if self._before is not None or self.config.exists():
            self._hold()
            return self
        if found := _PATTERN.search(str(self.path)):
            raise UserError(
                f"{self.path} has {found[0]} in it, which Orbax takes for a wildcard; choose "
                "another --workdir"
            )
        outputs.check_folder(self.path, self._is_free, inputs)
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {self.path}: {error.strerror}") from error
        self._hold()
        self._missing, self._before = missing, set(self.path.rglob("*"))
        return self

    def _hold(self) -> None:
        if self.sole:
            self.sole.take(self.path)

    def _is_own(self, path: Path) -> bool:
        """Whether something in the folder is of this package; others may write there too."""
        if path.parent == self.given and "data" not in self._own:
            return bool(_GIVEN.fullmatch(path.name))
        name = path.relative_to(self.path).parts[0]
        return re.sub(r"^\.(.+)\.part-\d+$", r"\1", name) in self._own

    def _is_free(self, folder: Path) -> bool:
        """Whether a folder holds nothing but what a kill leaves before it is claimed."""
        own = f".{self.config.name}.part-"
        rest = {path for path in folder.iterdir() if not path.name.startswith(own)}
        if self.given in rest and self.given.is_dir() and not self.given.is_symlink():
            rest -= {self.given}
            rest |= {path for path in self.given.iterdir() if not _GIVEN.fullmatch(path.name)}
        if rest:
            raise UserError(f"{self.path} is not empty and holds no run; choose another --workdir")
        return True

    def claim(self, config: Config, cls: type | None = None, inputs: Iterable[str] = ()) -> None:
        """Takes the folder for a config, or goes on in it.

        The settings class says what may change (`Setting.compared`); without one, nothing may.
        """
        wanted, new = json.loads(json.dumps(config)), not self.config.exists()
        self.take(inputs)
        if new:
            write_json(self.config, wanted)
            return
        changed = dict(_differences(read_object(self.config), wanted))
        if compared := [text for name, text in changed.items() if _compared(cls, name)]:
            raise UserError(
                f"{shown(self.path)} holds a run of another config ({_listed(compared)}); "
                f"choose another --workdir{self._further()}"
            )
        if changed:
            say(f"settings changed since the run began: {_listed(list(changed.values()))}")
            write_json(self.config, wanted)

    def check_alike(self, config: Config) -> None:
        """Makes sure, in another process than the first, that it has the settings of the first.

        Those that save or evaluate at other steps would wait for each other forever.
        """
        wanted = json.loads(json.dumps(config))
        if changed := list(dict(_differences(read_object(self.config), wanted))):
            raise UserError(
                f"process {distributed.process_index()} was started with other settings than "
                f"process 0 ({_listed(changed)}); start all processes with the same command"
            )

    def begins_with(self, **origins: Mapping[str, str]) -> None:
        """Notes what a run is made from, or makes sure that it is still the same.

        Args:
            origins: fingerprint, and size in words, of some of `ORIGINS`.
        """
        noted = self.read_origin()
        for name, now in origins.items():
            then = noted.get(name, now)
            if then["fingerprint"] == now["fingerprint"]:
                continue
            sizes = f" ({then['size']} then, {now['size']} now)" if now.get("size") else ""
            raise UserError(f"{ORIGINS[name]}{sizes}; choose another --workdir{self._further()}")
        if origins.keys() - noted.keys():
            write_json(self.origin, {**noted, **origins})

    def _further(self) -> str:
        """How to train the model of a finished run on, for messages."""
        if not (self.model / "config.json").exists():
            return ""
        model = shown(self.model)
        return f"; to train its model on: a new --workdir with --config.model.path={model}"

    def write_summary(self, summary: Mapping[str, object]) -> None:
        """Writes summary.json and its checksum."""
        self.seal.unlink(missing_ok=True)  # after a kill between the two nothing is told of it
        write_json(self.summary, summary)
        seal(self.path, [self.summary.name])

    def read_summary(self) -> dict[str, Any]:
        """What summary.json says, as it was written; empty where there is none."""
        if not self.summary.exists():
            return {}
        summary = read_object(self.summary, _SUMMARY)
        if self.seal.exists() and (damage := flaw(self.path, [self.summary.name])):
            raise UserError(
                f"{self.summary} is not as it was written ({damage}); the command that made it "
                f"makes it anew; if it was changed on purpose, remove {SEAL} beside it"
            )
        return summary

    def read_origin(self) -> dict[str, Any]:
        """What origin.json says; empty where there is none."""
        kinds = {name: {"fingerprint": str} for name in ORIGINS}
        return read_object(self.origin, kinds) if self.origin.exists() else {}

    def sweep(self) -> None:
        """Removes what a killed run left half-written; nobody else may be writing."""
        for path in (self.path, self.cache, self.eval):
            sweep(path)


def makes_start(config: Config) -> bool:
    """Whether the run makes the model that it starts from."""
    return config.get("sft") is not None and not config["model"]["path"]


def merged(values: Config, other: Config) -> dict[str, object]:
    """Nested values with other ones in place of those of the same names."""
    result = dict(values)
    for name, value in other.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merged(old, value)
        result[name] = value
    return result


def _differences(found: object, wanted: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names of the fields that differ, each with what it was and is."""
    if isinstance(found, dict) or isinstance(wanted, dict):
        old, new = (side if isinstance(side, dict) else {} for side in (found, wanted))
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{prefix}.{key}")
    elif found != wanted:
        yield prefix[1:], f"{prefix[1:]} was {_short(found)}, now {_short(wanted)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:28]}...{text[-28:]}"


def _listed(texts: list[str]) -> str:
    """The first of some texts, and how many more there are."""
    more = len(texts) - NAMED
    return "; ".join(texts[:NAMED]) + (f"; and {more} more" if more > 0 else "")


def _compared(cls: type | None, name: str) -> bool:
    field = cls and settings.find(cls, name)
    return not field or field.about.compared


@contextlib.contextmanager
def opened(run: str, workdir: str | os.PathLike[str] | None) -> Iterator[RunFolder]:
    """The folder of a run, `runs/NAME` or another, while it is worked in; it may be in a bucket."""
    place = workdir or f"runs/{run}"
    if not os.fspath(place).strip():
        raise UserError(f"the workdir is {os.fspath(place)!r}; give a folder that has a name")
    alone = distributed.process_count() == 1
    with contextlib.ExitStack() as stack:
        if alone:
            stack.enter_context(held(lock_of(place), os.fspath(place)))
        folder = RunFolder(stack.enter_context(storage.working(place, alone=alone)))
        if distributed.is_main_process():
            folder.sole = stack.enter_context(Sole())
        yield folder


def claim(folder: RunFolder, config: Config, cls: type, inputs: Iterable[str] = ()) -> None:
    """Takes a run folder, once for all processes, as `RunFolder.claim` does."""
    with distributed.main_process_first():
        if not distributed.is_main_process() and not folder.config.exists():
            raise UserError(
                f"process {distributed.process_index()} does not see what process 0 wrote to "
                f"{folder.path}; --workdir must lie on a file system that all processes share"
            )
        if not distributed.is_main_process():
            folder.check_alike(config)
        folder.claim(config, cls, inputs)
        if distributed.is_main_process():
            folder.sweep()
