"""Which files a source consists of: names, patterns, folders and their splits."""

import bz2
import contextlib
import glob
import gzip
import io
import lzma
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, TypeVar, cast

from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import reason
from mapl_jax.runtime.paths import distinct_ends, local
from mapl_jax.runtime.storage import system_of

P = TypeVar("P", bound=PurePath)
SUFFIXES = [
    ".jsonl",
    ".ndjson",
    ".json",
    ".csv",
    ".tsv",
    ".parquet",
    ".arrow",
    ".feather",
]  # `readers.register` adds
# What may stand behind the endings of text, and what opens it.
_OPENED: dict[str, Callable[[IO[bytes]], object]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".lzma": lzma.open,
    ".zst": lambda file: _by_arrow(file, "zstd"),
    ".lz4": lambda file: _by_arrow(file, "lz4"),
}
COMPRESSED = tuple(_OPENED)
# Data sets have fewer; a folder that has more is some other place.
MOST = 100_000
# Files of a folder that are no records and no mistake.
_BESIDE = (".md", ".txt", ".py", ".html", ".yaml", ".yml", ".lock", ".png", ".svg", ".pdf", "")
_METADATA = re.compile(
    r"dataset_infos?\.json|dataset_dict\.json|state\.json|summary\.json"
    r"|reference\.json|metadata\.json"
)
_SPLIT = re.compile(
    r"(?<![a-z])(train|test|validation|valid|val|dev|eval|(?:held|hold)[_-]?out)(?:ing|s)?(?![a-z])"
    r"(?:[_-](?!part|shard|chunk|split|data|of)([a-z]+))?",
    re.IGNORECASE,
)
OTHER_SPLITS = ("test", "validation", "valid", "val", "dev", "eval")
_NUMBERED = re.compile(r"(.+)-\d{4,}-of-(\d{4,})")
BUCKET = re.compile(r"[a-z][a-z0-9]*://")
_SHARD = re.compile(r"samples-\d{5,}-of-(\d{5,})\.(?:jsonl|parquet)")
HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?::([^?]+))?(?:\?(.+))?")
_PAGE = re.compile(
    r"https?://(?:huggingface|hf)\.co/datasets/([\w.-]+/[\w.-]+)(?:/(?!resolve/).*)?"
)
_WEIGHT = re.compile(r"(.+):([0-9]+\.?[0-9]*|\.[0-9]+)")


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """The local files that a source consists of; none for one on the hub."""
    files: list[Path] = []
    for name in (name for part, _ in parts(os.fspath(path)) for name in names(part)):
        local = Path(name)
        if local.is_dir():
            files += _below(local)
        files += [local] if local.is_file() else []
    return files


def parts(name: str) -> list[tuple[str, float]]:
    """The sources of a list with commas, each with the weight behind it or 1."""
    found = [part.strip() for part in name.split(",") if part.strip()]
    if os.path.exists(os.path.expanduser(name)) or not found:
        return [(name, 1.0)]
    if BUCKET.match(name) and not all(suffix(_weighted(part)[0]) for part in found):
        return [_weighted(name)]  # a comma may be part of an address
    return [_weighted(part) for part in found]


def _weighted(part: str) -> tuple[str, float]:
    match = _WEIGHT.fullmatch(part)
    if match is None or os.path.exists(os.path.expanduser(part)):
        return part, 1.0
    weight = float(match[2])
    if not 0 < weight <= 1:
        raise UserError(
            f"{part}: the weight {match[2]} is the share of {match[1]} that is read; it must be "
            "above 0 and at most 1"
        )
    return match[1], weight


def labels(found: list[str]) -> list[str]:
    """Short names of sources, which stay where a file is moved, packed or written in another form.

    Of each as much of the end of its path as sets it apart, without endings.
    """
    paths = [
        (name,)
        if looks_like_hub_name(name) and not os.path.exists(name)
        else _bare(name).removesuffix("/").split("/")
        for name in found
    ]
    return distinct_ends(paths)


def _bare(name: str) -> str:
    ends = "|".join(re.escape(end) for end in (*SUFFIXES, *COMPRESSED))
    return re.sub(rf"(?:{ends})+$", "", name, flags=re.IGNORECASE) or name


def names(part: str) -> list[str]:
    """The sources that one of `parts` stands for: itself, or those of a pattern."""
    name = os.path.expanduser(part)
    if page := _PAGE.fullmatch(name):
        raise UserError(f"{name} is a page of the hub; give the data set itself, {page[1]}:train")
    if BUCKET.match(name) and ("*" in name or not PurePosixPath(name).suffix):
        return _in_bucket(name)
    if os.path.exists(name) or BUCKET.match(name):
        return [name]
    if glob.has_magic(name) and not looks_like_hub_name(name):
        if not (found := sorted(glob.glob(name))):
            raise UserError(f"no file or folder matches {name}")
        return found
    return [str(local(name))]


def _in_bucket(address: str) -> list[str]:
    """The files of a pattern, or those to read of a folder, in a bucket."""
    with reached(address):
        system, root = system_of(address)
        found = system.glob(root) if "*" in root else system.find(root)
    files = sorted(map(PurePosixPath, found))
    if not files:
        raise UserError(
            f"no file matches {address}" if "*" in root else f"{address} holds no data files"
        )
    if "*" not in root:
        files = _to_read(files, PurePosixPath(root))
    return [system.unstrip_protocol(str(file)) for file in files]


@contextlib.contextmanager
def reached(address: str) -> Iterator[None]:
    """Errors of a bucket's service in one line; there are as many kinds as there are services."""
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except FileNotFoundError:
        raise UserError(f"{address}: cannot read it: no such file") from None
    except Exception as error:
        raise UserError(f"{address}: cannot read it: {reason(error)}") from None


def looks_like_hub_name(name: str) -> bool:
    """Whether it is written as a data set on the hub: org/name, org/name:split?config=en."""
    path = name.partition("?")[0]
    return bool(HUB_NAME.fullmatch(name)) and not name.startswith(".") and not suffix(path)


def kinds() -> str:
    """The known endings, in words."""
    ends = f"{', '.join(SUFFIXES)}, and {', '.join(COMPRESSED)} behind them"
    return f"{ends}; archives (.zip, .tar) have to be unpacked"


def suffix(name: str) -> str:
    """The known ending of a file name, without that of its compression, or an empty string."""
    name = name.lower()
    packed = next((suffix for suffix in COMPRESSED if name.endswith(suffix)), "")
    found = next((x for x in SUFFIXES if name.removesuffix(packed).endswith(x)), "")
    return "" if packed and found in (".parquet", ".arrow", ".feather") else found


def unpacked(name: str, file: IO[bytes]) -> IO[bytes]:
    """What a file holds, unpacked as its name says."""
    opened = next((_OPENED[end] for end in COMPRESSED if name.lower().endswith(end)), None)
    return cast(IO[bytes], opened(file)) if opened else file


def _by_arrow(file: IO[bytes], kind: str) -> io.BufferedReader:
    import pyarrow as pa

    return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), kind))


def data_files(folder: Path) -> list[Path]:
    """The files of a folder that hold records; of several splits, those of train alone."""
    try:
        return _to_read(_below(folder), folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None


def _below(folder: Path) -> list[Path]:
    """The files below the folder of a data set."""
    for place, what in (("~", "your home folder"), ("/", "the root of the file system")):
        if os.path.realpath(folder) == os.path.realpath(os.path.expanduser(place)):
            raise UserError(f"{folder} is {what}; give the file or the folder of the data in it")
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if name != "lost+found"]
        found += (Path(place, name) for name in files)
        if len(found) > MOST:
            raise UserError(
                f"{folder} holds more than {MOST:,} files; give the file or the folder of the "
                "data in it"
            )
    for file in found:
        if suffix(file.name) and not file.name.startswith(".") and not file.is_file():
            what = "no regular file" if file.exists() else "a link to a file that is not there"
            raise UserError(f"{file} is {what}; get it or remove it")
    return sorted(file for file in found if file.is_file())


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {error.strerror}")


def _to_read(files: list[P], folder: P) -> list[P]:
    """Those of the files of a folder that are read."""
    within = [
        file
        for file in files
        if not any(part.startswith((".", "__")) for part in file.relative_to(folder).parts)
        and not _METADATA.fullmatch(file.name)
    ]
    own = [file for file in within if file.parent == folder]
    below = [file for file in within if suffix(file.name) and file.parent != folder]
    files = [file for file in own if suffix(file.name)]
    if files and below:
        raise UserError(
            f"{folder} holds data files, and more in folders ({below[0].relative_to(folder)}); "
            "give the ones to read"
        )
    if below:  # as the hub leaves it: data/train-00000-of-00001.parquet
        own, files = within, below
    if strange := [x for x in own if not suffix(x.name) and x.suffix.lower() not in _BESIDE]:
        raise UserError(
            f"{folder} holds {strange[0].name}, which cannot be read; known endings: "
            f"{kinds()}. Remove it, or give the files to read"
        )
    if not files:
        raise UserError(f"{folder} holds no data files; looked for *{', *'.join(SUFFIXES)}")
    found = to_train_on(files, folder)
    _refuse_doubtful(found, folder)
    return found


def _refuse_doubtful(files: list[P], folder: P) -> None:
    """Refuses files of which some are missing, or that seem to hold the same records twice."""
    counts = Counter((m[1], int(m[2])) for file in files if (m := _NUMBERED.match(file.name)))
    for (name, wanted), count in counts.items():
        if count != wanted:
            raise UserError(
                f"{folder} holds {count} of the {wanted} files {name}-*; get the others"
            )
    stems: dict[P, P] = {}
    for file in files:
        stem = file.with_name(file.name.lower().partition(suffix(file.name))[0])
        if (other := stems.setdefault(stem, file)) != file:
            raise UserError(
                f"{folder} holds {other.name} and {file.name}, which may be the same records; give "
                "the one to read"
            )


def to_train_on(files: list[P], folder: P) -> list[P]:
    """Of files or folders of several splits below a folder, those of train.

    Raises:
        UserError: there is no such split, or more than one.
    """
    splits = {file: _split_of(file, folder) for file in sorted(files)}
    for file in files:  # hhtrain.jsonl beside hhtest.jsonl
        for split in OTHER_SPLITS:
            if (
                other := file.with_name(file.name.replace("train", split))
            ) != file and other in splits:
                splits |= {file: splits[file] or "train", other: splits[other] or split}
    if len(files) == 1 or len(set(splits.values())) == 1:
        return list(splits)
    train = [file for file in splits if splits[file].partition("_")[0] == "train"]
    # train_prefs and train_sft are not one split.
    if not train or not all(splits.values()) or len({splits[file] for file in train}) > 1:
        shown = ", ".join(str(file.relative_to(folder)) for file in splits)
        raise UserError(f"{folder} holds several splits ({shown}); give the one to read")
    return train


def held_out_among(found: list[str]) -> list[str]:
    """Of files that a pattern matches, those of other splits beside some of train."""
    if len(found) < 2:
        return []
    paths = [PurePosixPath(name) for name in found]
    above = PurePosixPath(os.path.commonpath([path.parent for path in paths]))
    splits = {path: _split_of(path, above).partition("_")[0] for path in paths}
    others = [path.name for path, split in splits.items() if split not in ("train", "")]
    return others if "train" in splits.values() else []


def _split_of(file: PurePath, folder: PurePath) -> str:
    """The split that the name of a file or of a folder above it says, such as "test" or
    "train_prefs"; empty if none does.
    """
    parts = (file.name, *reversed(file.relative_to(folder).parts[:-1]))
    found = (_SPLIT.search(part) for part in parts)
    return next(("_".join(filter(None, match.groups())).lower() for match in found if match), "")


def shards(folder: Path) -> list[Path]:
    """The files samples-00000-of-00004.jsonl and so on, which stand beside reports and summary."""
    counts = {
        file: int(match[1])
        for file in sorted(folder.iterdir())
        if (match := _SHARD.fullmatch(file.name))
    }
    if counts and set(counts.values()) != {len(counts)}:
        wanted = max(counts.values())
        raise UserError(f"{folder} holds {len(counts)} of {wanted} shards; synthesize it anew")
    return list(counts)
