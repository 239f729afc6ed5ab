"""Code of others: modules that register something when they are imported.

A plugin is a module, or what an installed package offers under a name:

    [project.entry-points."mapl_jax.plugins"]
    poems = "my_package.poems"

`--config.plugins=poems` loads it in every process of a run, and its name and version go into the
names of what is prepared with it.
"""

import hashlib
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import comma_separated

GROUP = "mapl_jax.plugins"
HELP = "modules that register your own constraints, losses, ...; separated by commas"
VERSIONS: dict[str, str] = {}  # name of what is loaded -> version


def load(names: str) -> None:
    """Loads plugins, each once."""
    for name in comma_separated(names):
        if name not in VERSIONS:
            VERSIONS[name] = _version(_import(name))


def loaded() -> dict[str, str]:
    """What is loaded: name -> version."""
    return dict(sorted(VERSIONS.items()))


def load_as(versions: Mapping[str, str]) -> None:
    """Loads what another process has loaded."""
    load(",".join(versions))
    for name, version in versions.items():
        if VERSIONS[name] != version:
            raise UserError(
                f"plugin {name} has version {VERSIONS[name]} here and {version} in process 0"
            )


def _import(name: str) -> str:
    """Imports a plugin, also one of the current folder; gives the name of its module."""
    offered = {point.name: point.module for point in importlib.metadata.entry_points(group=GROUP)}
    module = offered.get(name, name)
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise UserError(f"plugin {name}: {error}") from error
        raise UserError(
            f"no plugin {name}; name a module that can be imported from here, or one of those that "
            f"installed packages offer ({', '.join(sorted(offered)) or 'none'})"
        ) from None
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"plugin {name}: {type(error).__name__}: {error}") from error
    return module


def _version(module: str) -> str:
    """The version of the package that a module is of, if it has one, and a hash of the module."""
    found = sys.modules[module]
    digest = hashlib.blake2b(digest_size=8)
    if file := found.__file__:
        whole = Path(file).name == "__init__.py"
        for path in sorted(Path(file).parent.rglob("*.py")) if whole else [Path(file)]:
            digest.update(path.read_bytes())
    packages = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
    versions = [importlib.metadata.version(package) for package in packages[:1]]
    return "-".join([*versions, digest.hexdigest()])
