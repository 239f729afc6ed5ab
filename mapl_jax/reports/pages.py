"""Pages from templates: one HTML file that needs nothing else, and no network.

The templates escape every text, and a page allows no script but its own (by its digest). Colors are
CSS variables, so that text and drawings follow the reader's light or dark theme.
"""

import base64
import hashlib
import html
import json
import os
import re

import jinja2

from mapl_jax.runtime.files import write_text
from mapl_jax.runtime.provenance import stamp


def write_page(path: str | os.PathLike[str], template: str, **values: object) -> None:
    """Writes a page from a template such as "run.html", whole or not at all."""
    digest = hashlib.sha256(_SCRIPT.encode()).digest()
    page = _ENVIRONMENT.get_template(template).render(
        values, script=_SCRIPT, digest=base64.b64encode(digest).decode(), stamp=stamp()
    )
    # Half a surrogate pair, which JSON can hold, has no place in UTF-8.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))


def drawing_style(*, dark: bool = False) -> str:
    """The style of drawings that stand alone; with `dark` they follow the reader's dark theme."""
    names = ("drawing.css", "dark.css") if dark else ("drawing.css",)
    return f"<style>\n{''.join(_ENVIRONMENT.get_template(name).render() for name in names)}</style>"


def anchor(title: str) -> str:
    """The id of the section of a title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def breakable(name: str) -> str:
    """HTML of an id such as `family:some_name`, which may break where its words end."""
    return re.sub(r"([:_/.])", r"\1<wbr>", html.escape(name))


def whole(cell: str, intervals: bool = True) -> str:
    """A cell in which a share such as 10.0 % does not break, nor an interval such as [1.0, 2.0]."""
    cell = cell.replace(" %", "\N{NO-BREAK SPACE}%")
    return cell.replace(", ", ",\N{NO-BREAK SPACE}") if intervals and "[" in cell else cell


def number(value: object) -> str:
    """A number as people write it; anything else as it prints."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("mapl_jax.reports"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    anchor=anchor, breakable=breakable, number=number, whole=whole, json=_json
)
# A template without variables; escaping would break it.
_SCRIPT = _ENVIRONMENT.get_template("page.js").render()
