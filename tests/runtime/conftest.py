"""What tests of run folders in buckets share."""

import pytest

from mapl_jax.runtime import storage


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Cache folder of this machine; a function that names another one."""

    def use(name):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        storage.fetched.cache_clear()

    use("machine")
    return use
