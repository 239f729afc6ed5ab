"""Which code made something, and when."""

import datetime
import importlib.metadata
import re
from functools import cache
from pathlib import Path

from mapl_jax.runtime import VERSION
from mapl_jax.runtime.files import parse_json

_SHA = re.compile(r"[0-9a-f]{40}")


def stamp() -> dict[str, str]:
    """Version, commit (where it is known) and today's date (UTC), as pages and summaries say it."""
    found = {"version": VERSION}
    if sha := commit():
        found["commit"] = sha[:12]
    return found | {"date": datetime.datetime.now(datetime.UTC).date().isoformat()}


@cache
def commit() -> str:
    """The commit that this package is at: of its clone, or what pip installed it from; or "".

    Changes that are not committed do not show.
    """
    folder = Path(__file__).parents[2] / ".git"
    try:
        if folder.is_file():  # of a worktree: "gitdir: ELSEWHERE"
            folder = Path(folder.read_text().removeprefix("gitdir:").strip())
        head = (folder / "HEAD").read_text().strip()
        if head.startswith("ref:"):
            head = _resolved(folder, head.removeprefix("ref:").strip())
        return head if _SHA.fullmatch(head) else ""
    except (OSError, ValueError):
        return _installed_from()


def _resolved(folder: Path, ref: str) -> str:
    """The commit of a branch, in a file of its own or packed with others."""
    common = folder / "commondir"
    folders = [folder, *([folder / common.read_text().strip()] if common.is_file() else [])]
    for place in folders:
        if (place / ref).is_file():
            return (place / ref).read_text().strip()
    for place in folders:
        packed = place / "packed-refs"
        for line in packed.read_text().splitlines() if packed.is_file() else ():
            if line.endswith(f" {ref}"):
                return line.split()[0]
    return ""


def _installed_from() -> str:
    """What pip wrote down of an installation from a repository (PEP 610)."""
    try:
        text = importlib.metadata.distribution("mapl_jax").read_text("direct_url.json")
        info = parse_json(text or "{}")
        return str(info.get("vcs_info", {}).get("commit_id", ""))
    except (importlib.metadata.PackageNotFoundError, AttributeError, ValueError):
        return ""
