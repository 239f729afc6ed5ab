"""A folder on the Hugging Face hub, written there by its client with the token that this keeps."""

import contextlib
import os
from collections.abc import Iterator

import huggingface_hub
from huggingface_hub import errors

from mapl_jax.runtime import VERSION, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.storage import HUB_NAME

# What the hub answers, and what to do.
_STATUS = {
    401: "the hub does not accept the token; set HF_TOKEN, or run `hf auth login`",
    403: "the token may not write there; take one with the right to write, or another name",
    404: "there is no such account, or the token does not see it",
    409: "another command writes there, or something else has that name; try again",
    429: "the hub asks for a pause; try again later",
}
# Weights of an older model would lie beside those that are written.
_REPLACED = ["*.safetensors", "*.safetensors.index.json"]


def check(name: str) -> None:
    """Makes sure, before the work, that the hub can be reached and knows who writes."""
    if not HUB_NAME.fullmatch(name):
        raise UserError(f"{name!r} is not a name on the hub; give org/name")
    with _as_user_error(name):
        huggingface_hub.HfApi().whoami()


def push(folder: str | os.PathLike[str], name: str, *, private: bool = False) -> str:
    """Writes a folder as a model of the hub, made if it is not there; gives its address.

    Older commits stay.
    """
    api = huggingface_hub.HfApi()
    with _as_user_error(name):
        address = api.create_repo(name, private=private or None, exist_ok=True)
        if private and not api.repo_info(name).private:
            raise UserError(
                f"{name} is there and public; make it private on the hub, or leave out --private"
            )
        api.upload_folder(
            repo_id=name,
            folder_path=os.fspath(folder),
            commit_message=f"Exported by mapl_jax {VERSION}",
            ignore_patterns=[files.SEAL],
            delete_patterns=_REPLACED,
        )
    return str(address)


@contextlib.contextmanager
def _as_user_error(name: str) -> Iterator[None]:
    """Errors of the hub's client in one line."""
    try:
        yield
    except UserError:
        raise
    except errors.LocalTokenNotFoundError:
        raise UserError(
            f"{name} cannot be written on the hub: there is no token; set HF_TOKEN, or run "
            "`hf auth login`"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        why = _STATUS.get(status) or error.server_message or files.reason(error)
        raise UserError(f"{name} cannot be written on the hub ({status}): {why}") from None
    except Exception as error:  # of the network; each version of the client has its own kinds
        raise UserError(
            f"{name} cannot be written: the hub cannot be reached (no network, or HF_HUB_OFFLINE "
            f"is set): {files.reason(error)}"
        ) from None
