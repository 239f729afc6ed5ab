"""Folders in a bucket: gs://, s3://, and whatever else fsspec reads and writes.

Files of a run are appended to, renamed and mapped into memory, none of which a bucket can do. So a
run works in a folder of this machine, and a thread copies to the bucket what is finished there,
every few seconds and at the end. Another machine begins by fetching it. `cache/` stays behind, to
be made anew.

`contents.json` in the bucket names the files, with their checksums, and the machine's folder that
wrote them last. It is written after what it names and before anything goes, so that a reader finds
a whole run whenever the writer is killed.
"""

import contextlib
import functools
import json
import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import huggingface_hub
from fsspec.implementations.dirfs import DirFileSystem
from huggingface_hub import errors

from mapl_jax.runtime import console, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import brief, cache_path, is_address, local

CONTENTS = "contents.json"
# Between two copies.
SECONDS = 10.0
_STAYS = "cache"
# Their names with slashes need no folders, and making one would make a bucket that is not there.
_WITHOUT_FOLDERS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})


@contextlib.contextmanager
def working(path: str | os.PathLike[str], *, alone: bool = True) -> Iterator[Path]:
    """The local folder to work in; of one in a bucket, what is finished is copied there.

    A bucket is for a process that is alone; its folder begins with what the bucket holds.
    """
    if not is_address(path):
        yield Path(path)
        return
    if not alone:
        raise UserError(
            f"{path}: several processes need a folder that all of them see; mount the bucket "
            "(launch/mount_bucket.sh does) and give the folder"
        )
    with _Copier(_Bucket(os.fspath(path)), cache_path(path, "runs")) as folder:
        yield folder


@functools.cache
def fetched(path: str) -> Path:
    """A local copy of a folder in a bucket: of a run, a part of one, or any other.

    Within a process an address always means the same copy.
    """
    address, within = path.rstrip("/"), Path()
    # checkpoints/8 of a run is nothing without the run.
    for _ in range(3):
        bucket = _Bucket(address)
        contents = bucket.contents()
        if contents is not None:
            folder = cache_path(address, "copies")
            bucket.fetch(folder, contents["files"])
            return folder / within
        address, _, name = address.rpartition("/")
        if address.endswith(("/", ":")):
            break
        within = Path(name) / within
    bucket, folder = _Bucket(path), cache_path(path, "copies")
    if not (found := bucket.names()):
        raise UserError(f"no such folder: {path}")
    bucket.fetch(folder, dict.fromkeys(found, ""))
    return folder


def system_of(address: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system that an address lies in, and the path there."""
    # They log every try that failed, one with its traceback, before the last one is raised.
    for library in ("gcsfs", "google.auth"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return fsspec.core.url_to_fs(address)


class _Bucket:
    """The files below an address."""

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        if not address.partition("://")[2].strip("/"):
            raise UserError(f"{address} names no bucket; write gs://BUCKET/FOLDER")
        try:
            system, root = system_of(self.address)
        except Exception as error:  # a package is missing, or what each kind raises in its way
            raise UserError(f"{address} cannot be opened: {files.reason(error)}") from None
        self._files = DirFileSystem(root.rstrip("/"), system)
        kinds = system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)
        self._has_folders = not _WITHOUT_FOLDERS & {*kinds}

    @contextlib.contextmanager
    def as_user_error(self, what: str) -> Iterator[None]:
        """Errors of a service in one line; there are as many kinds as there are services."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{self.address} cannot be {what}: {files.reason(error)}") from error

    def contents(self) -> dict[str, Any] | None:
        """What `contents.json` says; None if there is none."""
        with self.as_user_error("read"):
            self._files.invalidate_cache()
            try:
                text = self._files.cat_file(CONTENTS)
            except FileNotFoundError:
                return None
        try:
            found = files.parse_json(text)
            named = {str(name): str(value) for name, value in found["files"].items()}
            return {"writer": str(found["writer"]), "files": named}
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UserError(f"{self.address}/{CONTENTS} is damaged") from None

    def names(self) -> list[str]:
        """All files below the address."""
        with self.as_user_error("read"):
            self._files.invalidate_cache()
            try:
                return sorted(self._files.find(""))
            except FileNotFoundError:  # a folder that is missing has no files, and is no error
                raise UserError(f"{self.address} cannot be read: no such bucket") from None

    def check_empty(self) -> None:
        """Refuses a folder that holds files and no run."""
        if found := self.names():
            raise UserError(
                f"{self.address} holds no run, but other files ({found[0]}); choose another folder"
            )

    def fetch(self, folder: Path, wanted: Mapping[str, str]) -> None:
        """Makes a folder hold the files named, and no others.

        Checksums are given by name, "" where one is not known.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{self.address}: the name {name!r} leads out of the folder")
        _keep(folder, wanted)
        with console.progress(f"fetching {self.address}", "files") as show:
            for done, (name, checksum) in enumerate(sorted(wanted.items())):
                show(done, len(wanted))
                target = folder / name
                if checksum and target.is_file() and files.checksum(target) == checksum:
                    continue
                with self.as_user_error("read"), files.replacing(target) as part:
                    self._files.get_file(name, str(part))

    def put(self, source: Path, name: str) -> None:
        """Copies a file; it appears whole."""
        try:
            with self.as_user_error("written"):
                self._make_folder(name.rpartition("/")[0])
                self._files.put_file(str(source), name)
        except UserError:
            if source.is_file():
                raise
            raise FileNotFoundError(source) from None  # it was removed meanwhile

    def put_contents(self, writer: str, named: Mapping[str, str]) -> None:
        with self.as_user_error("written"):
            self._make_folder("")
            value = {"writer": writer, "files": dict(sorted(named.items()))}
            self._files.pipe_file(CONTENTS, json.dumps(value, indent=1).encode())

    def _make_folder(self, name: str) -> None:
        if self._has_folders:
            self._files.makedirs(name, exist_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            with self.as_user_error("written"), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(name)


class _Copier:
    """Keeps a bucket's folder as one of this machine is."""

    def __init__(self, bucket: _Bucket, folder: Path):
        self._bucket, self._folder = bucket, folder
        # Which writer the bucket named when this machine last wrote there; empty for none.
        self._note = folder.with_suffix(".writer")
        self._named: dict[str, str] = {}
        # Size and time of files as they were copied: what has the same is the same.
        self._seen: dict[str, tuple[int, int]] = {}
        # What lies there and is not named: of a copy that did not end.
        self._loose: set[str] = set()
        self._writer = ""
        self._is_marked = False  # whether the bucket says that a run lies there
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="bucket", daemon=True)

    def __enter__(self) -> Path:
        contents = self._bucket.contents()
        found = contents["writer"] if contents else ""
        # What was written from here is here as new or newer, or was to be copied when it ended.
        last = self._note.read_text() if self._note.exists() else None
        if last != found or not self._folder.exists():
            if contents:
                self._bucket.fetch(self._folder, contents["files"])
            else:
                self._bucket.check_empty()
                # What an earlier run of this address left here was removed there.
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir(parents=True)
            found = ""
        self._named = contents["files"] if contents else {}
        self._writer = found or uuid.uuid4().hex
        files.write_text(self._note, self._writer if contents else "")
        if contents:
            self._bucket.put_contents(self._writer, self._named)
            # What a kill left of checkpoints on their way to the bucket, or on their way out.
            others = {*self._bucket.names()} - {*self._named}
            self._bucket.remove(name for name in others if "/checkpoints/" in f"/{name}")
        self._is_marked = contents is not None
        console.say(f"in the bucket: {self._bucket.address}; local copy: {self._folder}")
        self._thread.start()
        return self._folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        try:
            self.copy()
        except UserError as error:
            text = f"{error}; what is missing there is kept on this machine in {self._folder}"
            if kind is not None:
                console.warn(text)  # what went wrong before is what has to be told
                return
            raise UserError(f"the run has ended, but {text}; the same command copies it") from error

    def _repeat(self) -> None:
        warned = False
        while not self._ends.wait(SECONDS):
            try:
                self.copy()
                warned = False
            except UserError as error:
                if not warned:
                    console.warn(f"{error}; trying again")
                warned = True

    def copy(self) -> None:
        """Copies what is finished and new, and removes what is gone."""
        new: dict[str, str] = {}
        known = dict(self._seen)
        for name in finished(self._folder):
            source = self._folder / name
            try:
                stat = source.stat()
                seen = (stat.st_size, stat.st_mtime_ns)
                if known.get(name) == seen:
                    continue
                checksum = files.checksum(source)
                if self._named.get(name) != checksum:
                    if not new:
                        self._check_writer()
                        self._mark()
                    self._loose.add(name)
                    self._bucket.put(source, name)
                    new[name] = checksum
                known[name] = seen
            except FileNotFoundError:  # a checkpoint made room
                continue
        there = set(finished(self._folder, {*self._named, *new}))
        gone = {*self._named, *new, *self._loose} - there
        if new or gone:
            self._check_writer()
            named = {name: value for name, value in (self._named | new).items() if name in there}
            self._bucket.put_contents(self._writer, named)
            self._named, self._loose = named, gone
            self._bucket.remove(sorted(gone))
            self._loose = set()
        self._seen = {name: seen for name, seen in known.items() if name not in gone}

    def _mark(self) -> None:
        """Says that a run lies there before there is any of it."""
        if not self._is_marked:
            self._bucket.put_contents(self._writer, {})
            files.write_text(self._note, self._writer)
            self._is_marked = True

    def _check_writer(self) -> None:
        contents = self._bucket.contents()
        if contents and contents["writer"] != self._writer:
            raise UserError(
                f"{self._bucket.address} was taken over by another run, so this one writes no more "
                "there; let the other finish, or start this one with another --workdir"
            )


def finished(folder: Path, names: set[str] | None = None) -> list[str]:
    """Files of a run that are whole, all or some; those that vouch for others come last."""
    chosen = set(_names(folder)) & names if names is not None else set(_names(folder))
    found = [name for name in chosen if ".part-" not in name and _sealed(name, chosen)]
    return sorted(found, key=lambda name: (name.endswith(files.SEAL), name))


def _sealed(name: str, names: set[str]) -> bool:
    """Whether a file is of no checkpoint, or of one that is whole."""
    parts = name.split("/")
    if "checkpoints" not in parts:
        return True
    step = parts[: parts.index("checkpoints") + 2]
    return "/".join([*step, files.SEAL]) in names


def _names(folder: Path) -> list[str]:
    """All files below a folder but those that stay on this machine."""
    names = [os.path.relpath(path, folder) for path in fsspec.filesystem("file").find(str(folder))]
    return [name for name in names if _STAYS not in Path(name).parts[:-1]]


def _keep(folder: Path, wanted: Mapping[str, str]) -> None:
    """Removes all files but some, and the folders that are left empty."""
    for name in set(_names(folder)) - wanted.keys():
        (folder / name).unlink()
    for place, _, _ in os.walk(folder, topdown=False):
        if place != str(folder) and not os.listdir(place):
            os.rmdir(place)


# No code, no pickle; weights only when they are asked for.
SMALL_FILES = (
    "config.json", "generation_config.json", "model.safetensors.index.json", "adapter_config.json",
    "tokenizer*.json", "tokenizer.model", "vocab.json", "merges.txt",
    "special_tokens_map.json", "added_tokens.json", "chat_template.json", "chat_template.jinja",
)  # fmt: skip
WEIGHTS = ("model*.safetensors", "adapter_model.safetensors")
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def folder(name: str | os.PathLike[str], *, weights: bool = True) -> Path:
    """The local folder of a model or tokenizer: a directory, an address, or `org/name` on the hub.

    What comes from the hub lies in its cache (`HF_HOME`), and with `HF_HUB_OFFLINE=1` nothing else
    is asked. Within a process a name always means the same snapshot.
    """
    if is_address(name):
        return fetched(os.fspath(name))
    path = local(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise UserError(f"{brief(os.fspath(name))} is a file, and the folder of a model is needed")
    if not HUB_NAME.fullmatch(os.fspath(name)):
        raise UserError(
            f"no such folder: {brief(os.fspath(name))} (a local directory or a hub "
            "name, org/name, is needed)"
        )
    return _snapshot(os.fspath(name), weights)


@functools.cache
def _snapshot(name: str, weights: bool) -> Path:
    wanted = [*SMALL_FILES, *(WEIGHTS if weights else ())]
    # The snapshot of the small files, if there is one, so that both are of one revision.
    revision = _snapshot(name, False).name if weights else None
    try:
        found = huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=wanted)
    except errors.GatedRepoError:
        raise UserError(
            f"{name} is gated: accept its terms on the hub, then run `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{name} is neither a local folder nor a model on the hub (a private one needs "
            "`hf auth login`)"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError):
        raise UserError(
            f"{name} is no local folder, the hub cannot be reached (no network, or "
            "HF_HUB_OFFLINE is set), and the cache does not hold all of it; fetch it once with "
            f"`hf download {name}`"
        ) from None
    except Exception as error:  # the hub's client raises many kinds, none of them ours to mend
        said = files.reason(error)
        raise UserError(f"{name} could not be fetched from the hub: {said}") from error
    return Path(found)
