"""Pages and summaries say which code made them."""

import datetime

from mapl_jax import __version__
from mapl_jax.runtime import provenance

SHA = "0123456789abcdef0123456789abcdef01234567"


def found(monkeypatch, root):
    """The commit of a package in a folder."""
    monkeypatch.setattr(provenance, "__file__", str(root / "mapl_jax" / "runtime" / "x.py"))
    provenance.commit.cache_clear()
    try:
        return provenance.commit()
    finally:
        provenance.commit.cache_clear()


def test_a_stamp_holds_version_and_date():
    stamp = provenance.stamp()
    assert stamp["version"] == __version__
    datetime.date.fromisoformat(stamp["date"])


def test_the_commit_of_a_clone_is_that_of_its_branch(tmp_path, monkeypatch):
    (tmp_path / ".git/refs/heads").mkdir(parents=True)
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git/refs/heads/main").write_text(f"{SHA}\n")
    assert found(monkeypatch, tmp_path) == SHA


def test_a_branch_may_be_packed_with_others(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git/packed-refs").write_text(f"# pack-refs\n{SHA} refs/heads/main\n")
    assert found(monkeypatch, tmp_path) == SHA


def test_a_worktree_asks_the_clone_that_it_belongs_to(tmp_path, monkeypatch):
    own = tmp_path / "clone/.git/worktrees/other"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/other\n")
    (own / "commondir").write_text("../..\n")
    (tmp_path / "clone/.git/packed-refs").write_text(f"{SHA} refs/heads/other\n")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/.git").write_text(f"gitdir: {own}\n")
    assert found(monkeypatch, tmp_path / "work") == SHA


def test_without_a_clone_it_is_what_pip_wrote_down(tmp_path, monkeypatch):
    class Installed:
        def read_text(self, name):
            return f'{{"vcs_info": {{"commit_id": "{SHA}"}}}}'

    monkeypatch.setattr(provenance.importlib.metadata, "distribution", lambda name: Installed())
    assert found(monkeypatch, tmp_path) == SHA


def test_a_head_that_is_no_commit_is_no_commit(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("something else\n")
    assert found(monkeypatch, tmp_path) == ""
