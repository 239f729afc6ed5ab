"""Errors are read to their end, and a folder is worked on by one process at a time."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from mapl_jax.models import tensors
from mapl_jax.runtime import files, locks
from mapl_jax.runtime.errors import UserError, chain
from mapl_jax.training import metrics


def circle(*texts):
    """Errors of which each is the context of the one before, the first that of the last."""
    errors = [OSError(text) for text in texts]
    for error, behind in zip(errors, [*errors[1:], errors[0]], strict=True):
        error.__context__ = behind
    return errors[0]


def test_a_chain_of_errors_that_is_a_circle_ends():
    first, second = OSError("first"), ValueError("second")
    first.__context__, second.__cause__ = second, first
    assert list(chain(second)) == [second, first]
    assert not files.full(second)
    assert files.full(circle("one", "No space left on device", "three"))
    assert not files.full(circle("alone"))


HOLDS = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from mapl_jax.runtime.errors import UserError
    from mapl_jax.runtime.locks import held
    try:
        with held(Path(sys.argv[1]), "runs/rm"):
            print("held", flush=True)
            sys.stdin.read()
    except UserError as error:
        print(error, flush=True)
    """
)


@contextlib.contextmanager
def holding(lock):
    """A process that tries to hold a lock until it is told to end, and what it says."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(lock)], **pipes) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path):
    lock = tmp_path / "locks" / "a.lock"
    with holding(lock) as (first, said):
        assert said == "held"
        for _ in range(2):
            with holding(lock) as (_, refused):
                assert f"runs/rm is in use by another process (pid {first.pid});" in refused
        with pytest.raises(UserError, match=str(first.pid)), locks.held(lock, "runs/rm"):
            raise AssertionError
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with locks.held(lock, "runs/rm"), holding(lock) as (_, refused):
            assert f"(pid {os.getpid()})" in refused
        with holding(lock) as (_, said):
            assert said == "held"


def test_where_no_lock_can_be_written_none_is_held(tmp_path):
    (tmp_path / "file").touch()
    with locks.held(tmp_path / "file" / "a.lock", "runs/rm"):
        pass


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 200_000, "nested too deeply"),
        ("[" * 102 + "]" * 102, "nested too deeply"),
        ('{"a": NaN}', "not finite"),
        ("[1e999]", "not finite"),
        (r'{"\ud800": 1}', "half of a surrogate pair"),
        ("{'a': 1}", "Expecting property name"),
        (b"\xff", "can't decode"),
        ("1" * 5000, "Exceeds the limit"),
    ],
)
def test_small_json_has_bounds(text, why, tmp_path):
    with pytest.raises(ValueError, match=why):
        files.parse_json(text)
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=rf"a\.json cannot be read: .*{why}"):
        files.read_json(path)


def test_what_is_written_can_be_read(tmp_path):
    value = {"a": [1, 0.5, "é\n", None, True], "b": {"c": [[]]}}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    files.write_json(tmp_path / "a.json", {"a": (float("nan"), 1.0)})
    assert files.read_json(tmp_path / "a.json") == {"a": [None, 1.0]}
    files.write_lines(tmp_path / "a.jsonl", [{"a": float("inf")}, {"a": 0.5}])
    assert (tmp_path / "a.jsonl").read_text() == '{"a": null}\n{"a": 0.5}\n'


def test_a_seal_speaks_for_every_file(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    files.seal(tmp_path)
    known = files.read_json(tmp_path / files.SEAL)
    assert files.flaw(tmp_path) is None
    for seal, flaw in (
        ({"a": known["a"]}, "checksums.json says nothing of b"),
        ({}, "checksums.json says nothing of a"),
        ({**known, "b": known["a"]}, "b is damaged"),
        ({**known, "c": known["a"]}, "c is missing"),
        ({**known, "b": None}, "checksums.json is damaged"),
        ({**known, "../../x": known["a"]}, "checksums.json is damaged"),
        ({**known, "/etc/x": known["a"]}, "checksums.json is damaged"),
        ([], "checksums.json is damaged"),
    ):
        files.write_json(tmp_path / files.SEAL, seal)
        assert files.flaw(tmp_path) == flaw


def test_a_seal_that_names_files_elsewhere_does_not_outlive_the_next(tmp_path):
    for name in ("after.jsonl", "before.jsonl"):
        (tmp_path / name).write_text(name)
    files.write_json(tmp_path / files.SEAL, {"../../x": "0", "before.jsonl": "0"})
    files.seal(tmp_path, ["after.jsonl"])
    assert files.read_json(tmp_path / files.SEAL) == {
        "after.jsonl": files.checksum(tmp_path / "after.jsonl")
    }


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "text"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "no space left on the disk"),
        (ValueError("RESOURCE: Read-only file system: 'x'"), "the file system is read-only"),
        (OSError(errno.EFBIG, "File too large"), "a file would be larger than the system allows"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files; raise the limit"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "run/x"), "run/x: No such"),
        (circle("one", "two"), None),
    ],
)
def test_what_the_system_refused_is_said(error, said):
    refused = files.refused(error)
    assert refused is None if said is None else refused.startswith(said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("line one\nline two"), "line one"),
        (OSError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
        (PermissionError("Forbidden"), "access was refused (Forbidden); check your credentials "),
        (RuntimeError("Unable to locate credentials"), "there are no credentials for it on this "),
        (KeyError(), "KeyError"),
    ],
)
def test_a_reason_is_one_line(error, said):
    assert files.reason(error).startswith(said)


def test_nothing_waits_for_a_pipe(tmp_path):
    for name, read in (
        ("summary.json", files.read_json),
        ("config.json", tensors.read_json),
        ("metrics.jsonl", metrics.read_metrics),
    ):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match=f"{name} cannot be read: it is no regular file$"):
            read(tmp_path / name)
