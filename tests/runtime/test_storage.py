"""A run whose folder is in a bucket: what is there is a whole run, whenever the machine goes away.

fsspec's `memory://` and `file://` stand for the bucket; a machine is a cache folder.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest

import mapl_jax
from mapl_jax.runtime import storage
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import seal
from mapl_jax.training.metrics import TIMING_KEYS, read_metrics

pytestmark = pytest.mark.usefixtures("machine")
ROOT = Path(__file__).parents[2]
TINY = ["--config=configs/rm.py:tiny", "--config.train.steps=12", "--config.train.save_every=2"]


@pytest.fixture
def address():
    """Of an empty folder in a bucket."""
    fsspec.filesystem("memory").mkdirs("/bucket", exist_ok=True)
    yield "memory://bucket/run"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def stored(address):
    """What lies below an address, by name."""
    system, root = fsspec.core.url_to_fs(address)
    return {
        path.removeprefix(root).lstrip("/"): system.cat_file(path) for path in system.find(root)
    }


def named(address):
    return set(json.loads(stored(address)["contents.json"])["files"])


def put(folder, **contents):
    for name, text in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def checkpoint(folder, step):
    put(folder / "checkpoints" / str(step), state="s" * step, more__commit_success="")
    seal(folder / "checkpoints" / str(step))


def test_a_local_folder_is_worked_in_where_it_is(tmp_path):
    with storage.working(tmp_path / "run") as folder:
        assert folder == tmp_path / "run"


def test_what_is_finished_is_copied_and_what_is_gone_is_removed(address):
    with storage.working(address) as folder:
        put(folder, config="1", metrics="a", cache__tries="big", eval__x="2")
        checkpoint(folder, 2)
    assert stored(address)["config"] == b"1"
    assert "checkpoints/2/state" in named(address)
    assert not any("cache" in name for name in stored(address))

    with storage.working(address) as folder:
        put(folder, metrics="ab")
        checkpoint(folder, 4)
        shutil.rmtree(folder / "checkpoints" / "2")
    assert stored(address)["metrics"] == b"ab"
    assert set(stored(address)) - {"contents.json"} == named(address)
    assert not any(name.startswith("checkpoints/2") for name in named(address))


def test_files_of_another_are_no_run(address):
    fsspec.filesystem("memory").pipe_file("/bucket/run/config.json", b"mine")
    refused = pytest.raises(UserError, match="holds no run, but other files")
    with refused, storage.working(address):
        pass
    assert stored(address) == {"config.json": b"mine"}


def test_a_kill_before_the_first_file_is_named_leaves_a_run(address, machine, monkeypatch):
    killed = pytest.raises(UserError, match="killed")
    with monkeypatch.context() as patch, killed, storage.working(address) as folder:
        put(folder, config="1", metrics="a")
        patch.setattr(type(fsspec.filesystem("memory")), "put_file", put_once())
    assert set(stored(address)) == {"contents.json", "config"}
    machine("other")
    with storage.working(address) as folder:
        put(folder, config="2")
    assert stored(address)["config"] == b"2"


def put_once():
    """Copies a file, and no second one."""
    real, done = type(fsspec.filesystem("memory")).put_file, []

    def put_file(self, *arguments, **options):
        if done:
            raise OSError("killed")
        done.append(real(self, *arguments, **options))

    return put_file


def test_what_a_kill_left_of_a_checkpoint_is_swept(address):
    with storage.working(address) as folder:
        put(folder, config="1")
        checkpoint(folder, 2)
    system = fsspec.filesystem("memory")
    for name in ("checkpoints/4/state", "notes.txt"):
        system.pipe_file(f"/bucket/run/{name}", b"x")
    with storage.working(address):
        pass
    assert set(stored(address)) == {*named(address), "contents.json", "notes.txt"}


def wait_for(done):
    until = time.monotonic() + 60
    while not done:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_was_put_before_a_copy_failed_is_named_by_the_next(address, monkeypatch, capsys):
    kind, failed = type(fsspec.filesystem("memory")), []
    real = kind.put_file

    def put_file(self, source, *arguments, **options):
        if source.endswith("metrics") and not failed:
            failed.append(source)
            raise OSError("busy")
        return real(self, source, *arguments, **options)

    monkeypatch.setattr(storage, "SECONDS", 0.01)
    monkeypatch.setattr(kind, "put_file", put_file)
    with storage.working(address) as folder:
        put(folder, config="1", metrics="a")
        wait_for(failed)
    assert "busy; trying again" in capsys.readouterr().err
    assert set(stored(address)) - {"contents.json"} == named(address) == {"config", "metrics"}


def test_a_checkpoint_that_goes_while_it_is_copied_leaves_nothing(address, monkeypatch, capsys):
    kind, gone = type(fsspec.filesystem("memory")), []
    real = kind.put_file

    def put_file(self, source, *arguments, **options):
        if "checkpoints/2/state" in source and not gone:  # its other files are there by now
            shutil.rmtree(Path(source).parent)
            gone.append(source)
        return real(self, source, *arguments, **options)

    monkeypatch.setattr(storage, "SECONDS", 0.01)
    monkeypatch.setattr(kind, "put_file", put_file)
    with storage.working(address) as folder:
        put(folder, config="1")
        checkpoint(folder, 2)
        wait_for(gone)
        checkpoint(folder, 4)
    assert "trying again" not in capsys.readouterr().err
    assert set(stored(address)) - {"contents.json"} == named(address)
    assert not any(name.startswith("checkpoints/2") for name in named(address))


def test_what_is_half_written_is_not_copied(address):
    with storage.working(address) as folder:
        put(folder, **{"config": "1", ".model.part-7__weights": "half"})
        put(folder / "checkpoints" / "2", state="no checksums yet")
    assert named(address) == {"config"}


def test_another_machine_finds_it_all(address, machine):
    with storage.working(address) as folder:
        put(folder, config="1", gone="x")
        checkpoint(folder, 2)
    machine("other")
    with storage.working(address) as folder:
        assert (folder / "config").read_text() == "1"
        (folder / "gone").unlink()
        checkpoint(folder, 4)
    # The first machine comes back: what it has is older.
    machine("machine")
    with storage.working(address) as folder:
        assert not (folder / "gone").exists()
        assert (folder / "checkpoints" / "4" / "state").read_text() == "ssss"


def test_the_same_machine_goes_on_with_what_was_not_copied(address):
    with storage.working(address) as folder:
        put(folder, config="1")
    # A kill before the next copy.
    put(folder, metrics="newer")
    with storage.working(address) as again:
        assert again == folder
        assert (again / "metrics").read_text() == "newer"
    assert stored(address)["metrics"] == b"newer"


def test_what_an_emptied_bucket_had_is_forgotten(address):
    with storage.working(address) as folder:
        put(folder, config="1")
    fsspec.filesystem("memory").rm("/bucket/run", recursive=True)
    with storage.working(address) as folder:
        assert not any(folder.iterdir())
        put(folder, config="2")


def test_a_run_that_was_taken_over_writes_no_more(address, machine):
    taken_over = pytest.raises(UserError, match="was taken over by another run")
    with taken_over, storage.working(address) as folder:
        put(folder, config="1")
        machine("other")
        with storage.working(address) as other:
            put(other, config="2")
    assert stored(address)["config"] == b"2"


def test_an_error_of_the_run_is_what_is_told(address, monkeypatch, capsys):
    def fails(*_, **__):
        raise OSError("no route to host")

    with pytest.raises(ZeroDivisionError), storage.working(address) as folder:
        put(folder, config="1")
        monkeypatch.setattr(type(fsspec.filesystem("memory")), "put_file", fails)
        raise ZeroDivisionError
    assert "no route to host" in capsys.readouterr().err


def test_a_service_that_fails_is_one_line(address, monkeypatch):
    def full(*_, **__):
        raise OSError("quota\nmore")

    with monkeypatch.context() as patch:
        with pytest.raises(UserError) as told, storage.working(address) as folder:
            put(folder, config="1")
            patch.setattr(type(fsspec.filesystem("memory")), "put_file", full)
        assert str(told.value) == (
            f"the run has ended, but {address} cannot be written: quota; what is missing there "
            f"is kept on this machine in {folder}; the same command copies it"
        )
    with storage.working(address):
        pass
    assert named(address) == {"config"}


@pytest.mark.parametrize(
    "error",
    [
        PermissionError("Forbidden"),
        RuntimeError("Anonymous caller does not have storage.objects.list access, 401"),
        RuntimeError("An error occurred (AccessDenied) when calling the ListObjectsV2 operation"),
    ],
)
def test_a_service_that_refuses_access_is_said_to_have_answered(address, monkeypatch, error):
    def refuses(*_, **__):
        raise error

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", refuses)
    with pytest.raises(UserError) as told, storage.working(address):
        pass
    assert str(told.value) == (
        f"{address} cannot be read: access was refused ({error}); check your credentials and "
        "their permissions"
    )


def test_several_processes_are_told_to_mount_it(address):
    refused = pytest.raises(UserError, match="mount the bucket")
    with refused, storage.working(address, alone=False):
        pass
    assert not stored(address)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside"])
def test_no_name_leads_out_of_the_folder(address, name, tmp_path):
    contents = {"writer": "w", "files": {name: "0"}}
    fsspec.filesystem("memory").pipe_file(
        "/bucket/run/contents.json", json.dumps(contents).encode()
    )
    with pytest.raises(UserError, match="leads out of the folder"):
        storage.fetched(address)
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("text", [b"", b"[]", b'{"writer": "w"}', b'{"files": 1, "writer": 2}'])
def test_damaged_contents_are_named(address, text):
    fsspec.filesystem("memory").pipe_file("/bucket/run/contents.json", text)
    with pytest.raises(UserError) as told:
        storage.fetched(address)
    assert str(told.value) == "memory://bucket/run/contents.json is damaged"


TRAIN = """
from mapl_jax import train
from mapl_jax.runtime import cli, storage
storage.SECONDS = 0.1
cli.launch(train.main, name="train", config="configs/rm.py")
"""


def command(address):
    return [sys.executable, "-c", TRAIN, *TINY, f"--workdir={address}"]


@pytest.mark.slow
def test_a_killed_run_goes_on_elsewhere_and_ends_as_the_one_that_was_not(tmp_path, machine):
    plain = tmp_path / "plain"
    subprocess.run(command(plain), cwd=ROOT, check=True, capture_output=True, timeout=300)

    bucket = tmp_path / "bucket" / "run"
    killed = subprocess.Popen(
        command(bucket.as_uri()),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 300
    while not (
        (bucket / "contents.json").exists()
        and "checkpoints/" in (bucket / "contents.json").read_text()
    ):
        assert killed.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()

    machine("other")
    done = subprocess.run(
        command(bucket.as_uri()), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "going on from the checkpoint at step" in done.stdout
    assert f"in the bucket: {bucket.as_uri()}" in done.stdout
    weights = "model/model.safetensors"
    assert (bucket / weights).read_bytes() == (plain / weights).read_bytes()
    assert _lines(bucket) == _lines(plain)

    machine("reader")
    model = mapl_jax.load_model(f"{bucket.as_uri()}/checkpoints/12")
    assert model.step == 12
    assert mapl_jax.load_model(f"{bucket.as_uri()}/model").head


def _lines(folder):
    return [
        {name: value for name, value in line.items() if name not in TIMING_KEYS}
        for line in read_metrics(folder / "metrics.jsonl")
    ]
