"""The two evaluations of a run: of comparisons, and of demonstrations."""

import os
from collections.abc import Collection
from typing import Any, Protocol, TypeVar

from mapl_jax.data.loader import Batches
from mapl_jax.evaluation.likelihood import Likelihood
from mapl_jax.evaluation.preferences import Preferences
from mapl_jax.evaluation.statistics import Summary
from mapl_jax.training.objective import Kind
from mapl_jax.training.scoring import LeafFunction

# What an evaluation scored: `preferences.Scored` or `likelihood.Scored`.
S = TypeVar("S")


class Evaluator(Protocol[S]):
    """Scores held-out tries, sums the scores up, and shows, writes and reads them.

    Attributes:
        kind: what it is of.
        footnotes: what a reader of its table has to know.
    """

    kind: Kind
    footnotes: tuple[str, ...]

    def score(self, leaves: LeafFunction, batches: Batches, fields: Collection[str]) -> S:
        """Scores everything that a plan holds; arguments as for `leaf_numbers`."""

    def summarize(self, scored: S, *, seed: int, resamples: int) -> Summary:
        """The numbers of an evaluation, with bootstrap intervals."""

    def table(self, before: Summary | None, after: Summary) -> str:
        """Summaries before and after training as a text table."""

    def table_cells(self, before: Summary | None, after: Summary) -> list[list[str]]:
        """The table, cell by cell."""

    def write(self, path: str | os.PathLike[str], scored: S) -> None:
        """Writes scores, whole or not at all."""

    def read(self, path: str | os.PathLike[str]) -> S:
        """Reads scores, bit for bit."""


_EVALUATORS: dict[Kind, Evaluator[Any]] = {
    "comparisons": Preferences(),
    "demonstrations": Likelihood(),
}


def evaluator_of(kind: Kind) -> Evaluator[Any]:
    """The evaluation of what a model learns from."""
    return _EVALUATORS[kind]


def kind_of(summary: Summary) -> Kind:
    """What a summary is of."""
    return "demonstrations" if "perplexity" in summary else "comparisons"
