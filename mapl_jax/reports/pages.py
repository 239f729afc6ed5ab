"""Pages for people: one HTML file that needs nothing else, no script and no network.

Everything that comes from data or from a config goes through `tag` or `escape`. Colors are CSS
variables, so that text and drawings follow the reader's light or dark theme.
"""

import html
import json
import os
import re
from collections.abc import Sequence
from typing import Any

from mapl_jax.runtime.files import write_text

# Okabe and Ito's colors, which people with any color vision can tell apart, darkened or lightened
# until text in them is readable on the page.
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "soft": "#59616b",
    "line": "#dfe3e8",
    "fill": "#f5f6f8",
    "base": "#0069a8",
    "intra": "#c2500a",
    "inter": "#008060",
    "fourth": "#a8467f",
    "good": "#00795c",
    "bad": "#c2410c",
}
DARK = {
    "paper": "#14171c",
    "ink": "#e4e7eb",
    "soft": "#a2abb6",
    "line": "#333a44",
    "fill": "#1d2128",
    "base": "#56b4e9",
    "intra": "#f0914d",
    "inter": "#35c79c",
    "fourth": "#dc8fbe",
    "good": "#3fcf9f",
    "bad": "#ff9166",
}


def _variables(colors: dict[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in colors.items())


# Classes of color, for text and drawings alike: what is drawn takes its color from --c.
COLOR_STYLE = (
    "".join(
        f".{name} {{ --c: var(--{name}); }}\n" for name in ("ink", "soft", "base", "intra", "inter")
    )
    + ".fourth { --c: var(--fourth); }\n"
)

DRAWING_STYLE = """
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--ink);
  font-variant-numeric: tabular-nums; }
svg text.soft { fill: var(--soft); }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .chance { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 4 3; }
svg .curve { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
svg .thin { stroke-width: 1; opacity: .35; }
svg .dotted { stroke-dasharray: 1 4; stroke-linecap: round; }
svg .bar { fill: var(--c); }
svg .pale { opacity: .4; }
svg .whisker { stroke: var(--ink); stroke-width: 1.6; }
svg .dot { fill: var(--c); stroke: var(--paper); stroke-width: 1; }
svg .hollow { fill: var(--paper); stroke: var(--c); stroke-width: 1.8; }
svg .cloud { fill: none; stroke: var(--c); stroke-width: 3.4; stroke-linecap: round; opacity: .42; }
svg .diamond { fill: var(--ink); stroke: var(--paper); stroke-width: 1; }
"""

_STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.25rem 1.5rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 3rem 0 .6rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.6rem 0 .3rem; }
p { margin: .5rem 0; max-width: 48rem; overflow-wrap: anywhere; }
p.small, figcaption { color: var(--soft); font-size: .9rem; }
p.meta { color: var(--soft); max-width: none; }
p.meta span { white-space: nowrap; margin-right: 1.1rem; }
a { color: var(--base); text-underline-offset: .15em; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .9rem 0 0; font-size: .93rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
table.full { width: 100%; }
th, td { padding: .4rem .8rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
thead th { border-bottom: 2px solid var(--soft); font-weight: 600; }
th[scope=row] { font-weight: 400; }
th.wrap, td.wrap { text-align: left; white-space: normal; overflow-wrap: anywhere; }
code, pre { font: .85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--fill); padding: .7rem .9rem; border-radius: 6px; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0; }
ul.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13.5rem), 1fr));
  gap: .9rem; padding: 0; margin: 1.2rem 0; list-style: none; }
ul.tiles li { border: 1px solid var(--line); border-top: 3px solid var(--c, var(--soft));
  border-radius: 6px; padding: .65rem .9rem .75rem; max-width: 24rem; }
ul.tiles b { display: block; font-size: 1.75rem; line-height: 1.25; font-weight: 650;
  font-variant-numeric: tabular-nums; }
ul.tiles small { display: block; line-height: 1.45; }
ul.findings { padding: 0; margin: 1rem 0; list-style: none; max-width: 56rem; }
ul.findings li { margin: .45rem 0; padding-left: 1.7rem; text-indent: -1.7rem; }
ul.findings li > b:first-child { display: inline-block; width: 1.7rem; text-indent: 0; }
div.figures { display: grid; gap: 1.4rem 2.2rem; margin: .8rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); align-items: start; }
div.figures.small { grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
figure { margin: 0; min-width: 0; max-width: 29rem; }
figure > b { display: block; margin-bottom: .15rem; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
figcaption { margin-top: .2rem; }
table.bars td { padding: .15rem .6rem; border: 0; }
table.bars td.bar { width: 45%; padding: .15rem 0; }
table.bars td.note { color: var(--soft); text-align: left; font-size: .85rem; }
td.bar i { display: block; height: .8rem; background: var(--base); border-radius: 2px; }
table.forest { width: 100%; font-size: .9rem; }
table.forest th, table.forest td { padding: .2rem .5rem; }
table.forest tbody th, table.forest tbody td { border-bottom-color: transparent; }
table.forest th:first-child { padding-left: 0; white-space: normal; }
table.forest tr.head th { padding-top: .9rem; font-weight: 600; text-align: left; }
table.forest td.track { width: 27%; min-width: 5.5rem; }
table.forest svg { display: block; width: 100%; height: 1.1rem; overflow: visible; }
table.configs td { min-width: 7rem; vertical-align: top; }
section.card { border: 1px solid var(--line); border-radius: 8px; padding: .2rem 1rem .8rem;
  margin: 1rem 0; }
section.card h3 { font-size: 1rem; margin: .6rem 0; overflow-wrap: anywhere; }
section.card h4 { font-size: .9rem; margin: .7rem 0 .2rem; color: var(--soft); font-weight: 600; }
section.card ul { margin: .3rem 0; padding-left: 0; list-style: none; }
section.card li { margin: .3rem 0; overflow-wrap: anywhere; }
section.card pre { margin: .2rem 0 .6rem; max-height: 16rem; overflow-y: auto; }
div.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
div.sides > div { min-width: 0; }
table.marks { font-size: .92rem; }
table.marks th, table.marks td { padding: .15rem .5rem; border: 0; text-align: center;
  white-space: normal; }
table.marks th:last-child, table.marks td:last-child { text-align: left; }
table.marks tr.head th { text-align: left; padding-top: .6rem; font-weight: 600; }
small { color: var(--soft); }
b.yes { color: var(--good); padding-right: .3rem; }
b.no { color: var(--bad); padding-right: .3rem; }
b.note { color: var(--soft); padding-right: .3rem; }
details { margin: .5rem 0; }
summary { cursor: pointer; font-weight: 600; }
@media (max-width: 40rem) {
  body { padding: 1.25rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  h2 { margin-top: 2.2rem; }
  th, td { padding: .35rem .5rem; }
  table.full:not(.forest) { font-size: .86rem; }
  table.full th { white-space: normal; }
  div.sides { grid-template-columns: 1fr; gap: 0; }
  table.bars td { padding: .15rem .3rem; font-size: .82rem; }
  table.bars td:first-child, table.bars td.note { white-space: normal; }
  table.bars td.bar { width: 25%; }
  table.forest { font-size: .82rem; }
  table.forest th, table.forest td { padding: .2rem .2rem; }
  table.forest td.track { width: 22%; min-width: 4rem; }
  table.forest small { display: block; line-height: 1; }
}
@media print { body { max-width: none; } figure, section.card { break-inside: avoid; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; {light} }}
@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_page(path: str | os.PathLike[str], title: str, parts: Sequence[str]) -> None:
    """Writes a page of HTML parts, whole or not at all."""
    page = _PAGE.format(
        title=html.escape(title),
        light=_variables(LIGHT),
        dark=_variables(DARK),
        style=_STYLE + COLOR_STYLE + DRAWING_STYLE,
        body="\n".join(parts),
    )
    # Half a surrogate pair, which JSON can hold, has no place in UTF-8.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))


escape = html.escape

KEPT, BROKEN = '<b class="yes" title="kept">✓</b>', '<b class="no" title="broken">✗</b>'


def mark(kept: bool) -> str:
    """A tick or a cross."""
    return KEPT if kept else BROKEN


def tag(name: str, text: str, kind: str = "") -> str:
    """An element with a text inside."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<{name}{attribute}>{html.escape(text)}</{name}>"


def section(title: str, parts: Sequence[str]) -> str:
    """A section that `contents` can lead to."""
    return f'<section id="{_anchor(title)}">{tag("h2", title)}{"".join(parts)}</section>'


def contents(titles: Sequence[str]) -> str:
    """Links to sections of these titles."""
    links = (f'<a href="#{_anchor(title)}">{html.escape(title)}</a>' for title in titles)
    return f'<nav aria-label="Contents">{"".join(links)}</nav>'


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def breakable(name: str) -> str:
    """An id such as `family:some_name`, escaped, that may break where its words end."""
    return re.sub(r"([:_/])", r"\1<wbr>", html.escape(name))


def table(cells: Sequence[Sequence[str]]) -> str:
    """A table of texts as wide as the page; the first row is the head."""
    head, *rows = (
        "<tr>" + "".join(tag("th" if not i else "td", cell) for cell in row) + "</tr>"
        for i, row in enumerate(cells)
    )
    return (
        f'<div class="wide"><table class="full"><thead>{head}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def number(value: Any) -> str:
    """A value as people write numbers; anything else as it prints."""
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


def details(title: str, value: Any) -> str:
    """A JSON value to fold out."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return f"<details>{tag('summary', title)}{tag('pre', text)}</details>"
