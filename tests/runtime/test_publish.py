"""A folder goes to the hub whole, and whatever goes wrong there is said in one line."""

import fake_hub
import pytest
from huggingface_hub import constants

from mapl_jax.runtime import files, publish
from mapl_jax.runtime.errors import UserError


@pytest.fixture
def hub(monkeypatch):
    with fake_hub.running(monkeypatch) as found:
        yield found


@pytest.fixture
def folder(tmp_path):
    for name in ("config.json", "README.md", "model.safetensors", files.SEAL):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_a_folder_is_written_without_its_seal_in_the_place_of_older_weights(hub, folder, capfd):
    publish.check("org/rm")
    assert publish.push(folder, "org/rm") == f"{hub.address}/org/rm"
    assert hub.repos["org/rm"].keys() == {"config.json", "README.md", "model.safetensors"}
    assert hub.private == {"org/rm": False}
    hub.repos["org/rm"] |= {"model-00001-of-00002.safetensors": b"old", "notes.txt": b"mine"}
    (folder / "config.json").write_text('{"new": 1}')
    publish.push(folder, "org/rm")
    files_there = hub.repos["org/rm"]
    assert files_there.keys() == {"config.json", "README.md", "model.safetensors", "notes.txt"}
    assert files_there["config.json"] == b'{"new": 1}'
    assert fake_hub.TOKEN not in "".join(capfd.readouterr())


def test_what_shall_be_private_is_not_written_where_all_may_read_it(hub, folder):
    publish.push(folder, "org/mine", private=True)
    assert hub.private["org/mine"]
    publish.push(folder, "org/mine", private=True)
    publish.push(folder, "org/open")
    (folder / "config.json").write_text("secret")
    with pytest.raises(UserError, match="org/open is there and public"):
        publish.push(folder, "org/open", private=True)
    assert hub.repos["org/open"]["config.json"] == b"{}"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/whoami-v2", 401, "does not accept the token; set HF_TOKEN"),
        ("/api/repos/create", 401, "does not accept the token; set HF_TOKEN"),
        ("/api/repos/create", 403, "may not write there"),
        ("/api/repos/create", 404, "no such account"),
        ("/api/models/org/rm/commit/main", 403, "may not write there"),
        ("/api/models/org/rm/commit/main", 409, "another command writes there"),
        ("/api/models/org/rm/commit/main", 400, "says 400"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(hub, folder, path, status, message, capfd):
    hub.answers[path] = status
    with pytest.raises(UserError, match=rf"org/rm cannot be written on the hub.*{message}") as told:
        publish.check("org/rm")
        publish.push(folder, "org/rm")
    text = str(told.value) + "".join(capfd.readouterr())
    assert "\n" not in str(told.value) and fake_hub.TOKEN not in text


def test_without_a_token_or_a_network(hub, folder, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match="there is no token; set HF_TOKEN"):
        publish.check("org/rm")
    monkeypatch.setenv("HF_TOKEN", fake_hub.TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="cannot be reached") as told:
        publish.check("org/rm")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        publish.push(folder, "org/rm")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["rm", "a/b/c", "../rm", "org/r m", ""])
def test_what_is_no_name_of_the_hub_is_refused(name):
    with pytest.raises(UserError, match="is not a name on the hub"):
        publish.check(name)
