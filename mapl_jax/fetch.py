"""Model and tokenizer folders by name: a local directory, or in a bucket, or on the hub."""

import functools
import os
import re
from pathlib import Path

import huggingface_hub
from huggingface_hub import errors

from mapl_jax import buckets
from mapl_jax.errors import UserError
from mapl_jax.files import is_address

Name = str | os.PathLike[str]
# No code, no pickle; weights only when they are asked for.
SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "model.safetensors.index.json",
)
WEIGHTS = ("model*.safetensors",)
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def folder(name: Name, *, weights: bool = True) -> Path:
    """The local folder of a model or tokenizer.

    What comes from the hub lies in its cache (`HF_HOME`), and with `HF_HUB_OFFLINE=1` nothing else
    is asked. Within a process a name always means the same snapshot.

    Args:
        name: directory, the address of one in a bucket, or `org/name` on the hub.
        weights: whether the weights are needed as well.

    Raises:
        UserError: there is no such thing, or the hub cannot be reached.
    """
    if is_address(name):
        return buckets.fetched(os.fspath(name))
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if not HUB_NAME.fullmatch(os.fspath(name)):
        raise UserError(
            f"no such folder: {name} (a local directory or a hub name, org/name, is needed)"
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
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"{name} could not be fetched from the hub: {reason}") from error
    return Path(found)
