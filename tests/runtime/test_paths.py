"""A path is expanded and checked in one place."""

import os

import pytest

from mapl_jax.runtime import paths
from mapl_jax.runtime.errors import UserError

BAD = {
    "~nosuchuser/run": "no such user",
    "a" * 5000: r"aa\.\.\.aa.* cannot be used: File name too long",
    "/".join(["a" * 200] * 30): "cannot be used: File name too long",
    "a\0b": "holds a control character",
    "a\nb": "holds a control character",
    "a\x1b[31m": "holds a control character",
    "\udcff": "holds a control character",
    "gs://bucket/run": "mount the bucket",
    "loop": "cannot be used: Too many levels of symbolic links",
}


@pytest.mark.parametrize("path", BAD)
def test_what_is_no_path_is_said(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink("loop", "loop")
    with pytest.raises(UserError, match=BAD[path]) as refused:
        paths.local(path)
    assert len(str(refused.value)) < 300


def test_a_path_is_expanded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert paths.local("~/run") == tmp_path / "home" / "run"
    assert paths.local("new/../run") == tmp_path.resolve() / "run"
    assert str(paths.local("runs/a b'\"é")) == "runs/a b'\"é"


def test_a_working_folder_that_is_gone_is_said(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UserError, match="the folder this was started in was removed"):
        paths.here()
    monkeypatch.chdir(tmp_path)
