"""Eight simulated devices for every test, so that sharding is seen on a machine with one CPU.

XLA's compiler for CPU spends most of its time on making fast what a test runs once, so it is told
not to, here and in the commands that tests start. What compares with other libraries runs as users
run it: .ci/run sets the level itself. What one test has compiled, others find, also those of other
processes: `JAX_COMPILATION_CACHE_DIR` keeps it from one run of pytest to the next.
"""

import importlib.util
import os
from pathlib import Path

import jax
import pytest

LEVEL = "--xla_backend_optimization_level"
QUICK = [f"{LEVEL}=0"]
# XLA ends a process over a flag that it does not know, as later ones and that of libtpu may not.
if jax.__version_info__ < (0, 11) and importlib.util.find_spec("libtpu") is None:
    # Its older emitters compile in two thirds of the time.
    QUICK += ["--xla_cpu_use_fusion_emitters=false"]
if LEVEL not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *QUICK]).strip()
jax.config.update("jax_num_cpu_devices", 8)

TESTS = Path(__file__).parent
# Files that take longest come first, so that no process works alone at the end.
LONGEST = (
    "test_train.py",
    "golden/test_golden.py",
    "test_export.py",
    "synthesis/test_pipeline.py",
    "test_train_dpo.py",
    "faults/test_damage.py",
    "faults/test_numbers.py",
    "faults/test_processes.py",
    "faults/test_kills.py",
    "training/test_sharding.py",
    "training/test_objective.py",
    "training/test_step.py",
    "training/test_memory.py",
    "training/test_lora.py",
    "training/test_first_loss.py",
    "training/test_dpo_parity.py",
    "test_api.py",
    "models/test_reward.py",
    "models/test_lora.py",
    "models/test_generation.py",
    "models/test_policy.py",
    "models/test_decoder.py",
    "models/test_experts.py",
    "constraints/test_families.py",
    "test_notebooks.py",
    "test_generate.py",
    "test_plan.py",
    "test_bench.py",
    "test_list_losses.py",
    "launch/test_slurm.py",
    "synthesis/test_corpus.py",
    "training/test_row_lengths.py",
    "training/test_parity.py",
    "constraints/test_wordings.py",
    "constraints/test_ifeval.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders files, each of which stays together; see `--no-loadscope-reorder` in setup.cfg."""
    place = {TESTS / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory):
    """A folder that all processes of pytest share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def compiled_once(common_folder):
    """Tests and the commands that they start find what others of the same shapes have compiled."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(common_folder / "compiled"))
    seconds = "0.2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", seconds)
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", float(seconds))
        yield
