"""A name means a local folder or a model on the hub; whatever goes wrong is said in one line."""

import itertools

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from mapl_jax.runtime import storage
from mapl_jax.runtime.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


NUMBERS = itertools.count()


@pytest.fixture
def name():
    """Another model for each test: what was fetched once is remembered."""
    return f"org/name-{next(NUMBERS)}"


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """What HF_HUB_OFFLINE=1 and HF_HOME set when the hub's client is imported."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_folder_is_itself_also_when_it_looks_like_a_hub_name(name, tmp_path, monkeypatch):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert storage.folder(name).samefile(tmp_path / name)
    assert storage.folder(tmp_path) == tmp_path


def test_offline_the_cache_is_used(name, offline):
    repository = offline / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (snapshot / "config.json").write_text("{}")
    assert storage.folder(name, weights=False) == snapshot
    assert storage.folder(name) == snapshot


def test_only_data_is_asked_for_and_weights_only_when_needed(name, tmp_path, monkeypatch):
    asked = []

    def download(repository, revision, allow_patterns):
        asked.append((repository, revision, set(allow_patterns)))
        return str(tmp_path / COMMIT)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    storage.folder(name, weights=False)
    storage.folder(name)
    storage.folder(name)
    (_, first, small), (_, then, all_files) = asked
    assert first is None and then == COMMIT, "weights come from the snapshot of the config"
    assert all_files - small == {"model*.safetensors", "adapter_model.safetensors"}
    assert not [pattern for pattern in all_files if pattern.endswith((".py", ".bin", ".pt", "*"))]


def response(status):
    class Response:
        headers = {}
        request = None
        status_code = status

    return Response()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            errors.RepositoryNotFoundError("404", response=response(404)),
            "{name} is neither a local folder nor a model on the hub",
        ),
        (errors.GatedRepoError("403", response=response(403)), "{name} is gated: accept"),
        (errors.LocalEntryNotFoundError("no connection"), "the hub cannot be reached"),
        (ConnectionError("network is down"), "the hub cannot be reached"),
        (OSError(28, "No space left"), r"{name} could not be fetched from the hub: .*No space"),
        (RuntimeError(), "could not be fetched from the hub: RuntimeError"),
    ],
)
def test_what_goes_wrong_on_the_hub_is_said_in_one_line(name, monkeypatch, error, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(UserError, match=message.replace("{name}", name)) as raised:
        storage.folder(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["nowhere", "/no/such/folder", "./org/name", "a/b/c", "org/", "../name", "org/na me"]
)
def test_what_is_no_hub_name_is_not_asked_for(monkeypatch, name):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(UserError, match=f"no such folder: {name}"):
        storage.folder(name)


def test_without_network_a_model_that_is_not_in_the_cache_is_named(name, offline):
    with pytest.raises(UserError, match=rf"{name} is no local folder.*`hf download {name}`"):
        storage.folder(name)
