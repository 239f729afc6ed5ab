"""What mkdocs does for this site beyond its settings.

README.md, launch/README.md and others lie outside of docs/, where GitHub shows them. Here they
become pages too, and links that leave the site lead to the repository. The page of the API is made
from the list of public names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from mapl_jax import PUBLIC

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
URL = re.search(r'^PROJECT_URL = "(.+)"', (ROOT / "setup.py").read_text(), re.MULTILINE).group(1)
# Page of the site -> file of the repository.
OUTSIDE = {
    "index.md": "README.md",
    "launch.md": "launch/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
PAGES = {file: page for page, file in OUTSIDE.items()}
MODULES = {
    "Losses": ("losses", "pair_losses", "token_losses"),
    "Instructions": ("constraints.registry",),
    "Judges, readers, callbacks": ("evaluation.judges", "data.readers", "training.callbacks"),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that do not lie in docs/."""
    from mkdocs.structure.files import File

    for page, name in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    files.append(File.generated(config, "api.md", content=api()))
    config.extra["social"] = [{"icon": "fontawesome/brands/github", "link": URL}]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page as it is on GitHub becomes one of the site."""
    return linked(plain_code(markdown), page.file.src_uri, files.src_uris)


def plain_code(markdown: str) -> str:
    """Code as the site reads it.

    Fences have no more than their language, or they would be no fences. A bar within a code span
    of a table is one without a backslash, which only GitHub needs.
    """
    markdown = re.sub(r"^(```\w+) .*$", r"\1", markdown, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]+`", lambda span: span[0].replace(r"\|", "|"), markdown)


def linked(markdown: str, page: str, pages: Container[str]) -> str:
    """A page with links to the pages and pictures of the site, and else to the repository."""
    folder = os.path.dirname(OUTSIDE.get(page, f"docs/{page}"))

    def link(found: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(folder, found[1]))
        inside = PAGES.get(target, os.path.relpath(target, "docs"))
        return f"]({inside if inside in pages else f'{URL}/blob/main/{target}'}{found[2] or ''})"

    return re.sub(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)", link, markdown)


def api() -> str:
    """Every public name, and the modules that are read or extended."""
    lines = ["# API", "", "`import mapl_jax` loads each of these names at its first use."]
    lines += ["", "## Functions and classes", ""]
    lines += [f"::: mapl_jax.{module}.{name}\n" for name, module in PUBLIC.items()]
    for title, modules in MODULES.items():
        there = [
            name for name in modules if (ROOT / f"mapl_jax/{name.replace('.', '/')}.py").exists()
        ]
        lines += [f"## {title}", "", *(f"::: mapl_jax.{name}\n" for name in there)]
    return "\n".join(lines)
