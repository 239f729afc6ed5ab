"""Plugins are loaded by name, once, and by the same version in every process."""

import sys

import pytest

from mapl_jax.runtime import plugins
from mapl_jax.runtime.config import load_config
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.synthesis import pipeline, runners, shards
from mapl_jax.synthesis.settings import Settings
from mapl_jax.training.stages import stages

FAMILY = """
from mapl_jax import constraints
from mapl_jax.constraints.forms import form
from mapl_jax.constraints.shapes import Flag

constraints.register(Flag("its:own", lambda text: "!" in text.raw), form("Shout.", "Shout now."),
    form("Don't shout.", "Do not shout now.", negated=True))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes modules into the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setattr(plugins, "VERSIONS", {})

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)

    return write


def test_a_module_of_the_current_folder_is_loaded_once(module):
    module("its_mine", "import builtins\nbuiltins.times = getattr(builtins, 'times', 0) + 1")
    plugins.load(" its_mine,its_mine ,")
    plugins.load("its_mine")
    import builtins

    assert builtins.times == 1 and list(plugins.loaded()) == ["its_mine"]
    del builtins.times


def test_what_a_package_offers_is_loaded_by_its_name(module, monkeypatch, tmp_path):
    module("its_package", "")
    info = tmp_path / "offers-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offers\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("its_package\n")
    (info / "entry_points.txt").write_text("[mapl_jax.plugins]\noffered = its_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.load("offered")
    assert plugins.loaded()["offered"].startswith("1.2-")
    with pytest.raises(UserError, match=r"no plugin others; .* \(offered\)"):
        plugins.load("others")


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "no plugin its_bad; name a module that can be imported from here"),
        ("import nothing_such", "plugin its_bad: No module named 'nothing_such'"),
        ("1 / 0", "plugin its_bad: ZeroDivisionError: division by zero"),
        ("def", "plugin its_bad: SyntaxError"),
    ],
)
def test_a_plugin_that_fails_is_named(text, message, module):
    if text:
        module("its_bad", text)
    with pytest.raises(UserError, match=message):
        plugins.load("its_bad")


def test_another_version_has_another_name_and_is_refused_by_other_processes(module):
    module("its_new", "")
    plugins.load("its_new")
    first = plugins.loaded()
    name = shards.fingerprint([], Settings())
    module("its_new", "# changed")
    plugins.VERSIONS.clear()
    assert shards.fingerprint([], Settings()) != name
    with pytest.raises(UserError, match=r"plugin its_new has version .* here and .* in process 0"):
        plugins.load_as(first)


def test_workers_of_synthesis_load_plugins(module, tmp_path):
    from mapl_jax import constraints

    module("its_family", FAMILY)
    plugins.load("its_family")
    pairs = [
        {
            "id": str(i),
            "prompt": [{"role": "user", "content": "Well?"}],
            "chosen": "Yes!",
            "rejected": f"No {i}",
            "margin": None,
        }
        for i in range(2)
    ]
    made = pipeline.synthesize(
        pairs,
        Settings(families="its:own", k_min=1, k_max=1, reference=0),
        tmp_path / "out",
        run=runners.local(2),
        shard_size=1,
    )
    constraints.unregister("its:own")
    assert made["samples_out"] == 2
    assert '"its:own"' in (tmp_path / "out" / made["files"][1]).read_text()


def test_a_run_belongs_to_the_versions_that_it_began_with(module, tmp_path):
    folder = RunFolder(tmp_path / "run")
    config = load_config("rm").to_dict()
    module("its_later", "")
    next(stages(folder, config))
    next(stages(folder, config))
    plugins.load("its_later")
    with pytest.raises(UserError, match="the run began with other plugins"):
        next(stages(folder, config))
