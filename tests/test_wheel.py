"""What an installed package holds: no clone is beside it."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = ("rm", "rm:small", "configs/rm.py:small", "own.py:x", "synthesize")
# Loads configs by every name that a user may have for them.
LOADS = f"""
import mapl_jax, pathlib, sys
print(pathlib.Path(mapl_jax.__file__).parent)
for name in {NAMES!r}:
    print(mapl_jax.load_config(name).name if "synth" not in name else "")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The files of a wheel, in a folder by themselves."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "setup.py", "-q", "build_py", f"--build-lib={folder}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_a_wheel_holds_every_file_of_the_package_and_the_configs(installed):
    def files(folder):
        found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return {path for path in found if "__pycache__" not in path.parts}

    configs = {Path("configs") / name for name in files(ROOT / "configs")}
    assert files(installed / "mapl_jax") == files(ROOT / "mapl_jax") | configs


def test_an_installed_package_finds_its_configs_by_every_name(installed, tmp_path):
    (tmp_path / "own.py").write_text(
        "from ml_collections import ConfigDict\n\n\n"
        "def get_config(preset):\n    return ConfigDict({'name': f'own {preset}'})\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", LOADS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [str(installed / "mapl_jax"), "rm-demo", "rm-small", "rm-small", "own x", ""]
    assert process.stdout.splitlines() == expected


def test_the_command_is_called_mapl():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    assert "mapl = mapl_jax.__main__:main" in scripts
