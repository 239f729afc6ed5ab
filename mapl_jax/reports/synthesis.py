"""The report of a synthesis: what was made, in counts and in samples that one can read."""

import os
from collections.abc import Sequence

from mapl_jax import constraints
from mapl_jax.data.samples import Comparison, Sample, response_name
from mapl_jax.reports.pages import number, write_page
from mapl_jax.synthesis.pipeline import Summary


def write(path: str | os.PathLike[str], summary: Summary, shown: Sequence[Sample]) -> None:
    """Writes the report, with some samples to show, whole or not at all."""
    comparisons, pairs = summary["comparisons"], summary["pairs_in"]
    levels = [[level, number(count)] for level, count in comparisons["level"].items()]
    dropped = [[reason, number(count)] for reason, count in summary["dropped"].items()]
    write_page(
        path,
        "synthesis.html",
        title="Synthesized samples",
        summary=summary,
        total=sum(comparisons["level"].values()),
        complete=100 * summary["all_five"] / pairs if pairs else 0.0,
        levels=[["level", "comparisons"], *levels],
        numbers=[(name, count, "") for name, count in comparisons["k"].items()],
        families=_families(summary),
        dropped=[["reason", "count"], *dropped] if dropped else [],
        samples=[_sample(record) for record in shown],
    )


def _families(summary: Summary) -> list[tuple[str, int, str]]:
    """Name, number of prompts and a note of each family."""
    used, refused = summary["comparisons"]["constraint"], summary["uninformative"]
    held_out = set(constraints.ids(held_out=True))
    rows = []
    for name in dict.fromkeys([*used, *refused]):
        notes = ["held out"] if name in held_out else []
        if name in refused:
            notes.append(f"{number(refused[name])} left out")
        rows.append((name, used.get(name, 0), ", ".join(notes)))
    return rows


def _sample(record: Sample) -> dict[str, object]:
    """A sample as the template shows it."""
    first, *others = record["prompts"]
    count = len(record["responses"])
    names = [response_name(index, count) for index in range(count)]
    return {
        "id": record["id"],
        "prompt": "\n\n".join(f"{m['role']}: {m['content']}" for m in first["messages"]),
        "responses": list(zip(names, record["responses"], strict=True)),
        "prompts": [
            {
                "roles": ", ".join(_roles(record["comparisons"], index, names)),
                "instructions": prompt["constraints"],
            }
            for index, prompt in enumerate(others, 1)
        ],
    }


def _roles(comparisons: Sequence[Comparison], index: int, names: Sequence[str]) -> list[str]:
    """What a prompt is there for, such as "better for chosen"."""
    roles = []
    for entry in comparisons:
        terms = zip(entry["prompt"], entry["response"], entry["sign"], strict=True)
        used = [(response, sign) for prompt, response, sign in terms if prompt == index]
        if not used:
            continue
        response, sign = used[0]
        if entry["level"] == "intra":
            roles.append(f"{'better' if sign > 0 else 'worse'} for {names[response]}")
        else:
            roles.append(f"{'widens' if sign > 0 else 'narrows'} the gap")
    return roles
