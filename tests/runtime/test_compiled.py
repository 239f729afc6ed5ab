"""What commands compile is kept in the user's cache folder, unless JAX was told otherwise."""

import sys

import jax
import pytest

from mapl_jax.runtime import compiled

NAMES = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, and JAX as if it had been told nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = {name: getattr(jax.config, name) for name in NAMES}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_folder_is_the_users(cache):
    compiled.keep()
    (folder,) = (cache / "mapl_jax" / "compiled").iterdir()
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert jax.config.jax_compilation_cache_max_size == compiled.BYTES


def test_another_processor_has_another_folder(cache, monkeypatch):
    compiled.keep()
    first = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr(compiled.platform, "machine", lambda: "riscv64")
    compiled.keep()
    assert jax.config.jax_compilation_cache_dir != first


def test_a_folder_that_jax_was_told_of_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compiled.keep()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


def test_without_a_cache_folder_programs_are_compiled_anew(cache):
    cache.write_text("not a folder")
    compiled.keep()
    assert jax.config.jax_compilation_cache_dir is None


def test_in_a_cache_folder_of_somebody_else_nothing_is_kept(cache, monkeypatch):
    # Root may write everywhere, so the system's answer stands in.
    monkeypatch.setattr(compiled.os, "access", lambda path, _: not path.is_relative_to(cache))
    compiled.keep()
    assert jax.config.jax_compilation_cache_dir is None


def test_a_command_without_jax_does_not_wait_for_it(cache, monkeypatch):
    monkeypatch.delitem(sys.modules, "jax")
    compiled.keep()
    assert "jax" not in sys.modules
    assert not cache.exists()
