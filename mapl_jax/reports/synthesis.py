"""The report of a synthesis: what was made, in counts and in samples that one can read."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mapl_jax import constraints
from mapl_jax.reports.pages import breakable, details, escape, mark, number, table, tag, write_page

Summary = Mapping[str, Any]
_LONGEST = 1500  # characters shown of a text


def write(
    path: str | os.PathLike[str], summary: Summary, shown: Sequence[Mapping[str, Any]]
) -> None:
    """Writes the report, whole or not at all.

    Args:
        path: of the HTML file.
        summary: of the synthesis.
        shown: samples to show, in the schema of `mapl_jax.data.samples`.
    """
    made, pairs = summary["comparisons"], summary["pairs_in"]
    complete = summary["all_five"] / pairs if pairs else 0.0
    parts = [
        tag("h1", "Synthesized samples"),
        tag(
            "p",
            f"{number(pairs)} pairs gave {number(sum(made['level'].values()))} comparisons; "
            f"{100 * complete:.1f} % of the pairs gave all five. "
            f"{number(summary['pairs_per_second'])} pairs/s.",
        ),
        tag("h2", "Comparisons"),
        table(
            [
                ["level", "comparisons"],
                *([level, number(count)] for level, count in made["level"].items()),
            ]
        ),
        tag("h2", "Instructions of a prompt"),
        _bars(made["k"]),
        tag("h2", "Families"),
        tag(
            "p",
            "Prompts that hold an instruction of the family. Lines on the right tell how often "
            "arguments were drawn and left out, because nearly all or nearly none of the data "
            "set's responses keep them.",
            kind="small",
        ),
        _families(summary),
    ]
    if summary["dropped"]:
        rows = [[reason, number(count)] for reason, count in summary["dropped"].items()]
        parts += [tag("h2", "Left out"), table([["reason", "count"], *rows])]
    if shown:
        parts += [
            tag("h2", f"{len(shown)} samples"),
            tag(
                "p",
                "Every instruction is marked for the chosen response first, for the rejected one "
                "second; in parentheses how far each is from the threshold.",
                kind="small",
            ),
            *(_sample(record) for record in shown),
        ]
    parts += [tag("h2", "Everything"), details("summary.json", summary)]
    write_page(path, "Synthesized samples", parts)


def _bars(counts: Mapping[str, int]) -> str:
    return _grid([(name, count, "") for name, count in counts.items()])


def _families(summary: Summary) -> str:
    used, refused = summary["comparisons"]["constraint"], summary["uninformative"]
    held_out = set(constraints.ids(held_out=True))
    names = [*used, *(name for name in refused if name not in used)]
    rows = []
    for name in names:
        notes = ["held out"] if name in held_out else []
        if name in refused:
            notes.append(f"{number(refused[name])} left out")
        rows.append((name, used.get(name, 0), ", ".join(notes)))
    return _grid(rows)


def _grid(rows: Sequence[tuple[str, int, str]]) -> str:
    """Bars with a name, a count and a note."""
    most = max((count for _, count, _ in rows), default=0) or 1
    lines = "".join(
        f"<tr><td>{breakable(name)}</td>"
        f'<td class="bar"><i style="width:{100 * count / most:.1f}%"></i></td>'
        f"{tag('td', number(count))}{tag('td', note, kind='note')}</tr>"
        for name, count, note in rows
    )
    return f'<div class="wide"><table class="full bars"><tbody>{lines}</tbody></table></div>'


def _sample(record: Mapping[str, Any]) -> str:
    first, *others = record["prompts"]
    question = "\n\n".join(f"{m['role']}: {m['content']}" for m in first["messages"])
    body = [_text("prompt", question)]
    body += [
        _text(name, response)
        for name, response in zip(("chosen", "rejected"), record["responses"], strict=True)
    ]
    for place, prompt in enumerate(others, 1):
        lines = "".join(
            f"<li>{''.join(mark(margin >= 0) for margin in entry['margins'])} "
            f"{escape(entry['text'])} <small>{escape(entry['id'])} "
            f"({', '.join(f'{margin:+g}' for margin in entry['margins'])})</small></li>"
            for entry in prompt["constraints"]
        )
        roles = ", ".join(_roles(record["comparisons"], place))
        body.append(
            f'<p class="small">added in prompt {place} ({escape(roles)})</p><ul>{lines}</ul>'
        )
    return f'<section class="card">{tag("h3", record["id"])}{"".join(body)}</section>'


def _roles(comparisons: Sequence[Mapping[str, Any]], place: int) -> list[str]:
    """What a prompt is there for, such as "better for chosen"."""
    names = ("chosen", "rejected")
    found = []
    for entry in comparisons:
        terms = zip(entry["prompt"], entry["response"], entry["sign"], strict=True)
        used = [(response, sign) for prompt, response, sign in terms if prompt == place]
        if not used:
            continue
        response, sign = used[0]
        if entry["level"] == "intra":
            found.append(f"{'better' if sign > 0 else 'worse'} for {names[response]}")
        else:
            found.append(f"{'widens' if sign > 0 else 'narrows'} the gap")
    return found


def _text(name: str, text: str) -> str:
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
    return f'<div class="text">{tag("b", name)}{tag("pre", cut)}</div>'
