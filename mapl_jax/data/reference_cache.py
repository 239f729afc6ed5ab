"""Log-probabilities under the reference, computed once and kept on disk.

A file holds one number a leaf, as two summands (see `policy.leaf_logps`), and is named by a
fingerprint of everything that decides them. What is read is checked against the tries it is read
for. A damaged file is computed again; one that belongs to something else is refused, never used and
never replaced unasked.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors
from jaxtyping import Float
from safetensors.numpy import save_file

from mapl_jax import files, messages
from mapl_jax.data.encode import TrieSet
from mapl_jax.errors import UserError

FORMAT = "3"


def fingerprint(tries: TrieSet, **decisive: str | bool) -> str:
    """Names the log-probabilities of the leaves of tries.

    Args:
        tries: their fingerprint covers data, instructions, tokenizer, template and truncation.
        decisive: what else decides the numbers: weights, which tokens count, type.
    """
    parts = [FORMAT, tries.fingerprint, sorted(decisive.items())]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()


def cached(
    tries: TrieSet,
    name: str,
    cache_dir: str | os.PathLike[str],
    compute: Callable[[], Float[np.ndarray, "n ..."]],
    *,
    writes: bool = True,
    agreed: Callable[[bool], bool] = bool,
) -> Float[np.ndarray, "n ..."]:
    """The log-probabilities from the cache, computed first if they are not there.

    Args:
        tries: whose leaves.
        name: what `fingerprint` says.
        cache_dir: folder of the caches.
        compute: makes them, trie after trie, fp32.
        writes: False leaves writing to another process.
        agreed: whether all processes compute, from whether this one would.

    Raises:
        UserError: the file belongs to something else, or a number is not finite.
    """
    path = Path(cache_dir) / f"reference-{name}.safetensors"
    kept = _read(path, tries, name, tells=writes) if path.exists() else None
    if not agreed(kept is None):
        if kept is None:
            raise UserError(f"{path} cannot be read here, but is read by process 0 of this run")
        return kept
    values = compute()
    if not np.isfinite(values).all():
        raise UserError(
            f"{np.sum(~np.isfinite(values))} of {len(values)} log-probabilities under the "
            "reference are not finite; look at its weights and at train.dtype"
        )
    if writes:
        arrays = {"logps": values, "leaves": tries.leaves.astype(np.int32)}
        about = {"format": FORMAT, "fingerprint": name, "samples": _samples(tries)}
        with files.replacing(path) as part:
            save_file(arrays, part, metadata={**about, "checksum": _checksum(arrays, about)})
    return values


def _read(
    path: Path, tries: TrieSet, name: str, *, tells: bool
) -> Float[np.ndarray, "n ..."] | None:
    """What a file holds; None if it is damaged."""

    def damaged(why: object) -> None:
        if tells:
            messages.notice(f"the cache {path} cannot be used ({why}) and is computed again")

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 no dict
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        damaged(error)
        return None
    if arrays.keys() != {"logps", "leaves"} or about.get("checksum") != _checksum(arrays, about):
        damaged("its checksum is another")
        return None
    expected = {"format": FORMAT, "fingerprint": name, "samples": _samples(tries)}
    differing = [key for key, value in expected.items() if about.get(key) != value]
    if differing or not np.array_equal(arrays["leaves"], tries.leaves):
        what = ", ".join(differing) or "leaves"
        raise UserError(f"{path} belongs to other data or weights (by its {what}); {_REMEDY}")
    return arrays["logps"]


_REMEDY = "delete it to have the reference computed again"


def _checksum(arrays: dict[str, np.ndarray], about: dict[str, str]) -> str:
    """Of everything in a file; a damaged name must not pass for another file's."""
    digest = hashlib.blake2b(digest_size=16)
    known = sorted((key, value) for key, value in about.items() if key != "checksum")
    digest.update(json.dumps(known).encode())
    for key in sorted(arrays):
        array = arrays[key]
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _samples(tries: TrieSet) -> str:
    """A hash of the ids in order."""
    ids = "\n".join(map(str, tries.dataset["id"]))
    return hashlib.blake2b(ids.encode(), digest_size=16).hexdigest()
