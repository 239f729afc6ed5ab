"""Whether a reward model prefers answers that keep all instructions to answers that do not.

Every two answers to a prompt of which the first keeps all of its instructions, strictly, and the
second does not, are a pair. Nobody who made the answers or the verdicts knew the reward model.
"""

from collections.abc import Sequence

import numpy as np

from mapl_jax.evaluation import statistics
from mapl_jax.evaluation.ifeval import Followed
from mapl_jax.evaluation.statistics import Summary, percent_with_interval
from mapl_jax.runtime.console import Table

# Two answers are about as long where the shorter has at least this share of the longer's words.
ALIKE = 0.8
WAYS = {"selector": "right", "prefer longer": "longer"}


def summarize(
    samples: Sequence[Sequence[Followed]],
    texts: Sequence[Sequence[str]],
    rewards: Sequence[Sequence[float]],
    *,
    seed: int,
    resamples: int,
) -> dict[str, Summary]:
    """Shares of pairs in which the reward, or the length, is on the side of the kept instructions.

    Of all pairs, of those with 1, 2, ... instructions, and of those about as long; with 95 %
    intervals of the bootstrap over prompts.

    Returns:
        Name of the pairs -> their number, and the shares `right` and `longer`. A tie is half of
        one where lengths are equal, and wrong where rewards are.
    """
    cells = [
        _pairs([all(one.strict) for one in kept], words, values)
        for kept, words, values in zip(
            samples, ([len(t.split()) for t in ts] for ts in texts), rewards, strict=True
        )
    ]
    counts = np.asarray([len(kept[0].strict) for kept in samples])
    parts = {"all pairs": (np.ones(len(counts), bool), False)}
    for count in sorted(set(counts.tolist())):
        name = f"{count} instruction{'s' if count > 1 else ''}"
        parts[name] = (counts == count, False)
    parts["about as long"] = (np.ones(len(counts), bool), True)
    return {
        name: _shares([cells[i] for i in np.flatnonzero(of)], alike, seed, resamples)
        for name, (of, alike) in parts.items()
    }


def table(summary: dict[str, Summary]) -> str:
    """The shares for people."""
    if not summary["all pairs"]["pairs"]:
        return (
            "no pairs to judge the reward model by: no prompt has both an answer that follows all "
            "its instructions and one that does not"
        )
    cells = [["answers that keep all, over others", "pairs", *WAYS]]
    for name, part in summary.items():
        if part["pairs"]:
            shares = [percent_with_interval(part, field) for field in WAYS.values()]
            cells.append([name, str(part["pairs"]), *shares])
    notes = [
        f"about as long: the shorter answer has at least {100 * ALIKE:.0f} % of the longer one's "
        "words."
    ]
    return str(Table(cells, notes))


def _pairs(
    kept: Sequence[bool], words: Sequence[int], rewards: Sequence[float]
) -> list[tuple[bool, bool, float]]:
    """Of every pair of a prompt: whether it is about as long, and what is right in it."""
    return [
        (
            min(words[i], words[j]) >= ALIKE * max(words[i], words[j]),
            rewards[i] > rewards[j],
            0.5 * (1 + np.sign(words[i] - words[j])),
        )
        for i in range(len(kept))
        for j in range(len(kept))
        if kept[i] and not kept[j]
    ]


def _shares(
    prompts: Sequence[Sequence[tuple[bool, bool, float]]], alike: bool, seed: int, resamples: int
) -> Summary:
    used = [[pair for pair in pairs if pair[0] or not alike] for pairs in prompts]
    used = [pairs for pairs in used if pairs]
    whole = np.asarray([len(pairs) for pairs in used], float)
    parts = {
        field: np.asarray([sum(pair[at] for pair in pairs) for pairs in used], float)
        for at, field in enumerate(WAYS.values(), start=1)
    }
    shares = statistics.shares(parts, whole, seed=seed, resamples=resamples) if used else {}
    return {"pairs": int(whole.sum()), **shares}
