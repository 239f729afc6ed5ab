"""How likely demonstrated responses are: perplexity, and its interval."""

import dataclasses
import os
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from mapl_jax import token_losses
from mapl_jax.data.loader import Batches
from mapl_jax.evaluation import statistics
from mapl_jax.evaluation.statistics import Summary
from mapl_jax.runtime.console import Table
from mapl_jax.runtime.files import read_lines, write_lines
from mapl_jax.training.scoring import LeafFunction, leaf_numbers

FOOTNOTES = ("Perplexity: exp of the mean of -log pi over all response tokens; lower is better.",)


@dataclasses.dataclass(frozen=True)
class Scored:
    """Responses with their log-probabilities (nats, float64), columns of one length [n]."""

    sample_id: list[str]
    logp: np.ndarray
    tokens: np.ndarray


def summarize(scored: Scored, *, seed: int, resamples: int) -> Summary:
    """Perplexity and mean loss per token, with 95 % percentile intervals over responses.

    Raises:
        NotFiniteError: a log-probability is not finite.
    """
    _check_finite(scored)
    loss = token_losses.token_loss(float(scored.logp.sum()), int(scored.tokens.sum()))
    summary: dict[str, object] = {
        "loss": loss,
        "perplexity": token_losses.perplexity(loss),
        "responses": len(scored.logp),
        "response_tokens": int(scored.tokens.sum()),
    }
    if resamples:
        resampled = statistics.ratios(
            -scored.logp[:, None], scored.tokens[:, None], seed=seed, resamples=resamples
        )
        low, high = np.exp(statistics.interval(resampled[:, 0]))
        summary |= {"perplexity_low": float(low), "perplexity_high": float(high)}
    return summary


def write_scores(path: str | os.PathLike[str], scored: Scored) -> None:
    """Writes one JSON line a response, or `NotFiniteError` if a log-probability is not finite."""
    _check_finite(scored)
    columns = zip(scored.sample_id, scored.logp.tolist(), scored.tokens.tolist(), strict=True)
    names = ("id", "logp", "tokens")
    write_lines(path, (dict(zip(names, values, strict=True)) for values in columns))


def read_scores(path: str | os.PathLike[str]) -> Scored:
    """Reads what `write_scores` wrote, bit for bit."""

    def make(record: Any) -> tuple[str, float, int]:
        return str(record["id"]), float(record["logp"]), int(np.int64(record["tokens"]))

    return _scored(read_lines(path, make))


def _scored(rows: Iterable[tuple[str, float, int]]) -> Scored:
    names, logp, tokens = list(zip(*rows, strict=True)) or [()] * 3
    return Scored(list(names), np.asarray(logp, np.float64), np.asarray(tokens, np.int64))


def tables(before: Summary | None, after: Summary) -> list[Table]:
    """Summaries as a table; without `before`, its column is left out."""
    interval = "perplexity_low" in after
    name = "perplexity" if before is None else "after"
    columns = [
        ("", "held out"),
        ("responses", str(after["responses"])),
        ("tokens", str(after["response_tokens"])),
        *([("perplexity before", f"{before['perplexity']:.2f}")] if before is not None else []),
        (
            f"{name} [95 % interval]" if interval else name,
            statistics.with_interval(after, "perplexity", ".2f"),
        ),
    ]
    return [Table(list(zip(*columns, strict=True)), FOOTNOTES)]


def _check_finite(scored: Scored) -> None:
    statistics.check_finite(
        scored.logp, lambda i: f"the log-probability of {scored.sample_id[i]}", ""
    )


def score_responses(logps: LeafFunction, batches: Batches, fields: Collection[str]) -> Scored:
    """Scores every demonstration of a plan; arguments as for `leaf_numbers`."""
    return _scored(
        (str(trie["id"]), float(values[0]), int(trie["response_tokens"][0]))
        for _, trie, values in leaf_numbers(logps, batches, fields)
    )
