"""What JAX compiles, kept for the next command in the cache folder of the user."""

import os
import platform
import sys
from pathlib import Path

from mapl_jax.runtime.paths import cache_path

# Programs that were not used for longest go first.
BYTES = 4 * 2**30
SECONDS = 0.2


def keep() -> None:
    """Keeps what takes longer than `SECONDS` to compile, unless JAX was told where to keep it.

    `JAX_COMPILATION_CACHE_DIR` names another folder, `JAX_ENABLE_COMPILATION_CACHE=false` keeps
    nothing. Several machines may share a home folder, and what is compiled for one processor may
    not run on another, so each kind has a folder of its own. A command that has not imported JAX
    compiles nothing, and does not wait for it.
    """
    if "jax" not in sys.modules:
        return
    import jax

    if jax.config.values["jax_compilation_cache_dir"]:
        return
    folder = cache_path(f"{platform.machine()} {_features()}", "compiled")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # compiled anew each time
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return  # another user's, of whose files JAX would warn one by one
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SECONDS)


def _features() -> str:
    """What the processor of this machine can do, where the system says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    line = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return " ".join(line.split())
