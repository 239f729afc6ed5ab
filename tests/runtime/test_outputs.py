"""What a command may write: whatever lies where, nothing of its user is lost."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mapl_jax.runtime import files, outputs
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import local

NAMES = ("a", "b", "out", ".out.part", "checksums.json", "config.json", "samples-0.jsonl")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
SAMPLES = outputs.lines("prompt", "response")


def tree(folder):
    """Everything below a folder, byte for byte: links, files and folders."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


def arrange(root, entries):
    """Makes what can be made of files, folders and links, in order."""
    for name, content in entries:
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir(exist_ok=True)
            elif content.startswith("->"):
                path.symlink_to(root / content[2:])
            elif not path.exists():
                path.write_text(content)
        except OSError:
            continue


CONTENTS = st.sampled_from([None, "mine", "{}", '{"prompt": "x"}', "->a", "->b", "->gone"])
SPELLED = ("{}", "{}/", "./{}", "new/../{}", "a/../{}")


@settings(max_examples=150, deadline=None)
@example(entries=[("a/checksums.json", "{}")], output="a", spelled="{}", inputs=[])
@given(
    entries=st.lists(st.tuples(PATHS, CONTENTS), max_size=6),
    output=PATHS,
    spelled=st.sampled_from(SPELLED),
    inputs=st.lists(PATHS, max_size=2),
)
def test_whatever_lies_where_all_that_was_there_stays(entries, output, spelled, inputs):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        arrange(root, entries)
        before = tree(root)
        path = f"{root}/{spelled.format(output)}"
        read = [str(root / each) for each in inputs]
        for write in (_file, _folder):
            now = tree(root)
            try:
                write(path, read)
            except UserError:
                assert tree(root) == now
            assert before.items() <= tree(root).items()


def _file(path, inputs):
    outputs.check_file(path, SAMPLES, inputs)
    for _ in range(2):
        files.write_lines(outputs.check_file(path, SAMPLES), [{"prompt": "p", "response": "r"}])
    os.unlink(os.path.realpath(local(path)))


def _folder(path, inputs):
    target = outputs.check_folder(path, outputs.whole, inputs)
    empty = target.is_dir()
    for text in ("first", "second"):
        with outputs.replacing(target) as part:
            (part / "model").write_text(text)
        assert (target / "model").read_text() == text
    for name in ("model", files.SEAL):
        (target / name).unlink()
    if not empty:
        target.rmdir()


def test_what_a_command_wrote_it_writes_again_until_somebody_changes_it(tmp_path):
    with outputs.replacing(tmp_path / "out") as part:
        (part / "card.md").write_text("theirs")
    outputs.check_folder(tmp_path / "out", outputs.whole)
    (tmp_path / "out" / "card.md").write_text("mine")
    with pytest.raises(UserError, match="or they were changed"):
        outputs.check_folder(tmp_path / "out", outputs.whole)
    outputs.check_folder(tmp_path / "out", outputs.named)
    (tmp_path / "out" / "notes.md").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        outputs.check_folder(tmp_path / "out", outputs.named)


def test_an_error_leaves_nothing_and_what_a_kill_left_goes(tmp_path):
    (tmp_path / ".out.part-123").mkdir()
    (tmp_path / ".out.part-mine").write_text("mine")
    with pytest.raises(ZeroDivisionError), outputs.replacing(tmp_path / "out") as part:
        (part / "half").write_text("")
        raise ZeroDivisionError
    assert list(tree(tmp_path)) == [".out.part-mine"]


def test_what_is_no_regular_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(UserError, match="is no regular file"):
            outputs.check_file(place, SAMPLES)
    with pytest.raises(UserError, match="is a folder"):
        outputs.check_file("/", SAMPLES)
    with pytest.raises(UserError, match="holds other files"):
        outputs.check_folder("/", outputs.whole)


def test_marks_of_files(tmp_path):
    path = tmp_path / "file"
    path.write_text('{"prompt": 1, "response": 2, "more": 3}\n{"no": 1}\n')
    assert SAMPLES(path)
    path.write_text('{\n  "prompt": 1,\n  "response": 2\n}\n')
    assert SAMPLES(path)
    for text in ("", "mine\n", '["prompt", "response"]', '{"prompt": 1}', "[" * 9999, "\xff"):
        path.write_text(text)
        assert not SAMPLES(path)
    assert not outputs.page(path)
    path.write_text(f"<!doctype html>\n{outputs.PAGE}\n")
    assert outputs.page(path)


KILLED = """
import os, sys
from pathlib import Path
from mapl_jax.runtime import distributed, files, outputs

alone = {"broadcast_from_main": int, "is_main_process": lambda: True, "wait_for_all": str}
vars(distributed).update(alone)
left = iter(range(int(sys.argv[2])))

def dies(function):
    def call(*arguments, **options):
        if next(left, None) is None:
            os._exit(9)
        return function(*arguments, **options)
    return call

Path.mkdir, Path.rename = dies(Path.mkdir), dies(Path.rename)
files.seal, outputs.shutil.rmtree = dies(files.seal), dies(outputs.shutil.rmtree)
with outputs.replacing(Path(sys.argv[1])) as part:
    (part / "model").write_text("new")
"""


def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    def refuse(path, **options):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r"^cannot write .*out: Input/output error$"):
        outputs.replacing(tmp_path / "out").__enter__()
    for name in ("", " "):
        with pytest.raises(UserError, match="there is no place to write to"):
            outputs.check_folder(name, outputs.whole)


@pytest.mark.parametrize("steps", range(6))
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_one(tmp_path, steps):
    """What `export` and the model of a run go through; the next command finds one of them."""
    target = tmp_path / "out"
    with outputs.replacing(target) as part:
        (part / "model").write_text("old")
    command = [sys.executable, "-c", KILLED, target, str(steps)]
    assert subprocess.run(command).returncode == 9
    with pytest.raises(ZeroDivisionError), outputs.replacing(target):
        raise ZeroDivisionError  # a next command, which fails
    assert outputs.whole(target) and (target / "model").read_text() in ("old", "new")
    with outputs.replacing(target) as part:
        (part / "model").write_text("next")
    assert outputs.whole(target) and [path.name for path in tmp_path.iterdir()] == ["out"]
