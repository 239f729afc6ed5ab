"""Eight simulated devices for every test, so that sharding is seen on a machine with one CPU.

XLA's compiler for CPU spends most of its time on making fast what a test runs once, so it is told
not to, here and in the commands that tests start. What compares with other libraries runs as users
run it: .ci/run sets the level itself.
"""

import os

import jax
import pytest

LEVEL = "--xla_backend_optimization_level"
if LEVEL not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {LEVEL}=0".strip()
jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Commands that tests start find what another command of the same shapes has compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
        yield
