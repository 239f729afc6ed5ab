"""Faults and gaps of other libraries that the package works around, each at its smallest.

A test here fails once its reason is gone; it says what can then go.
"""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

PACKAGE = Path(__file__).parents[1] / "mapl_jax"
# Module, what it takes from `jax._src`, and what it needs of it.
PRIVATE = {
    ("runtime/distributed.py", "jax._src.lib._jax"): "raise where JAX would abort the process",
    ("runtime/distributed.py", "jax._src.distributed"): "a barrier without a time limit, a count "
    "of places of its own for `stops_at`, and keys that all processes read",
}


def test_private_names_of_jax_are_used_where_there_is_a_reason_alone():
    found = {
        (path.relative_to(PACKAGE).as_posix(), f"{node.module}.{alias.name}")
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and "._src" in (node.module or "")
        for alias in node.names
    }
    assert found == set(PRIVATE)


def test_jax_has_no_public_names_for_what_runtime_distributed_needs():
    """Where one appears, `runtime/distributed.py` can use it instead of `jax._src`."""
    public = {name for name in dir(jax.distributed) if not name.startswith("_")}
    assert public == {"initialize", "is_initialized", "shutdown"}
    assert not [name for name in dir(multihost_utils) if "barrier" in name]
    parameters = inspect.signature(jax.distributed.initialize).parameters
    assert not [name for name in parameters if "callback" in name]


# In a process of its own, which leaves at once: what could not connect waits for ever at its end.
CONNECT = """
import os
from jax._src.lib import _jax
client = _jax.get_distributed_runtime_client(
    "127.0.0.1:1", 1, init_timeout=1, missed_heartbeat_callback=lambda _: None
)
try:
    client.connect()
except RuntimeError as error:
    print(error, flush=True)
os._exit(0)
"""


def test_jax_cannot_tell_a_function_of_python_why_it_ends_a_process():
    """Once it can, `runtime/shutdown.py` need not stand where C++ ends the process."""
    command = [sys.executable, "-c", CONNECT]
    found = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert found.stdout.strip() == "std::bad_cast"


def test_orbax_reads_nothing_from_a_folder_with_brackets_in_its_path(tmp_path):
    """Once it does, `runtime/run_folder.py` need not refuse such a --workdir."""
    folder, state = str(tmp_path / "run[1]"), {"params": {"x": jnp.ones(3)}}
    with ocp.training.Checkpointer(folder) as checkpoints:
        checkpoints.save_checkpointables(1, state)
        with pytest.raises(Exception, match="Failed to load"):
            checkpoints.load_checkpointables(1, state)


def test_xla_for_cpu_keeps_a_mask_of_all_numbers_that_are_only_counted():
    """Once it fuses both, `models/finite.py` can look at a stack of layers at once."""

    def temporary(check):
        stack = jax.ShapeDtypeStruct((8, 256, 256), jnp.float32)
        compiled = jax.jit(check).lower(stack).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    whole = temporary(lambda x: (jnp.abs(x) < 1e18).all())
    by_layer = temporary(lambda x: jax.lax.map(lambda y: (jnp.abs(y) < 1e18).all(), x).all())
    assert whole > 4 * by_layer
