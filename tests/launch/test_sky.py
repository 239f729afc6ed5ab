"""The SkyPilot task: its shape, and what its two scripts do on a node."""

import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
TASK = yaml.safe_load((LAUNCH / "sky.yaml").read_text())


def on_a_node(fake, script, **more):
    """Runs a script of the task as SkyPilot does, in the copied repository."""
    environment = {**fake.environment, **TASK["envs"], **TASK["secrets"], **more}
    nodes = {"SKYPILOT_NUM_NODES": "1", "SKYPILOT_NODE_IPS": "10.0.0.1", "SKYPILOT_NODE_RANK": "0"}
    return subprocess.run(
        ["bash", "-c", TASK[script]],
        cwd=fake.folder / "repository",
        env=nodes | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def node(fake):
    fake.program("python3.13", fake.PYTHON)
    here = fake.folder / "repository"
    here.mkdir()
    for name in ("setup.cfg", "pyproject.toml"):
        (here / name).write_bytes((ROOT / name).read_bytes())
    (here / "launch").mkdir()
    for path in LAUNCH.glob("*.sh"):
        (here / "launch" / path.name).write_bytes(path.read_bytes())
    return fake


def test_the_task_has_what_skypilot_knows_and_no_secret_of_its_own():
    known = {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts"}
    assert set(TASK) == known | {"setup", "run"}
    assert set(TASK["resources"]) <= {"accelerators", "use_spot"}
    assert not any(TASK["secrets"].values())
    assert TASK["file_mounts"]["/bucket"] == {"source": "${BUCKET}", "mode": "MOUNT"}


def test_a_node_installs_and_trains_in_the_bucket(node):
    node.plan(0)
    assert on_a_node(node, "setup").returncode == 0
    run = on_a_node(node, "run", RUN="rm", ARGS="--config=a --x=b", HF_TOKEN="hf_a")
    assert run.returncode == 0, run.stderr
    calls = node.lines("python")
    assert any(line.endswith("repository[cuda]") for line in calls)
    assert calls[-1] == "-m mapl_jax.train --config=a --x=b --workdir=/bucket/runs/rm"
    assert node.lines("token") == ["hf_a"]


def test_nodes_are_told_how_to_join(node):
    node.plan(0)
    on_a_node(node, "setup")
    several = {"SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2"}
    run = on_a_node(node, "run", SKYPILOT_NODE_RANK="1", **several)
    assert run.returncode == 0, run.stderr
    expected = "--coordinator=10.0.0.1:8471 --num_processes=2 --process_id=1"
    assert node.lines("python")[-1].endswith(expected)
