"""Pages for people: one HTML file that needs nothing else, no script and no network.

Everything that comes from data or from a config goes through `tag` or `escape`.
"""

import html
import json
import os
from collections.abc import Sequence
from typing import Any

from mapl_jax.files import write_text

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ margin: 0 auto; max-width: 54rem; padding: 2.5rem 1.25rem 4rem; background: #fff;
  color: #222; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
h1 {{ font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.2rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid #ddd; }}
p {{ margin: .5rem 0; }}
p.small, figcaption {{ color: #555; font-size: .9rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }}
table.full {{ width: 100%; }}
th, td {{ padding: .4rem .8rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e5e5e5; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
thead th {{ border-bottom: 2px solid #222; font-weight: 600; }}
td.wrap {{ text-align: left; white-space: normal; overflow-wrap: anywhere; }}
figure {{ margin: 0 0 1rem; }}
img {{ display: block; width: 100%; height: auto; }}
code, pre {{ font: .85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }}
pre {{ background: #f6f6f6; padding: .8rem 1rem; border-radius: 6px; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; }}
table.bars td {{ padding: .15rem .6rem; border: 0; }}
table.bars td.bar {{ width: 45%; padding: .15rem 0; }}
table.bars td.note {{ color: #555; text-align: left; font-size: .85rem; }}
@media (max-width: 40rem) {{ table.bars td {{ white-space: normal; overflow-wrap: anywhere;
  padding: .15rem .3rem; }} table.bars td.bar {{ width: 25%; }} }}
td.bar i {{ display: block; height: .8rem; background: #0072B2; border-radius: 2px; }}
section.card {{ border: 1px solid #ddd; border-radius: 8px; padding: .2rem 1rem .8rem;
  margin: 1.25rem 0; }}
section.card h3 {{ font-size: 1rem; margin: .6rem 0; color: #555; overflow-wrap: anywhere; }}
section.card ul {{ margin: .3rem 0; padding-left: 0; list-style: none; }}
section.card li {{ margin: .3rem 0; overflow-wrap: anywhere; }}
section.card pre {{ margin: .2rem 0 .8rem; max-height: 16rem; overflow-y: auto; }}
div.sides {{ display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }}
div.sides > div {{ min-width: 0; }}
table.marks th, table.marks td {{ padding: .15rem .5rem; border: 0; text-align: center; }}
table.marks th:last-child, table.marks td:last-child {{ text-align: left; }}
@media (max-width: 40rem) {{ div.sides {{ grid-template-columns: 1fr; gap: 0; }} }}
small {{ color: #555; }}
b.yes {{ color: #00795c; padding-right: .3rem; }}
b.no {{ color: #c2410c; padding-right: .3rem; }}
details {{ margin: .5rem 0; }}
summary {{ cursor: pointer; font-weight: 600; }}
@media print {{ body {{ max-width: none; }} figure {{ break-inside: avoid; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_page(path: str | os.PathLike[str], title: str, parts: Sequence[str]) -> None:
    """Writes a page of HTML parts, whole or not at all."""
    write_text(path, _PAGE.format(title=html.escape(title), body="\n".join(parts)))


escape = html.escape


def tag(name: str, text: str, kind: str = "") -> str:
    """An element with a text inside."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<{name}{attribute}>{html.escape(text)}</{name}>"


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
