"""The two evaluations of a run: of comparisons, and of demonstrations."""

import dataclasses
import os
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

from mapl_jax.data.loader import Batches
from mapl_jax.evaluation import likelihood, preferences
from mapl_jax.evaluation.statistics import Summary
from mapl_jax.runtime.console import Table
from mapl_jax.training.objective import Kind
from mapl_jax.training.scoring import LeafFunction

S = TypeVar("S")  # what an evaluation scored: `preferences.Scored` or `likelihood.Scored`


@dataclasses.dataclass(frozen=True)
class Evaluator(Generic[S]):
    """Scores held-out tries, sums the scores up, and shows, writes and reads them, bit for bit.

    `score` scores what a plan holds, with arguments as for `leaf_numbers`; tables are of summaries
    before (None without one) and after training.
    """

    score: Callable[[LeafFunction, Batches, Collection[str]], S]
    summarize: Callable[..., Summary]
    tables: Callable[[Summary | None, Summary], list[Table]]
    write: Callable[[str | os.PathLike[str], S], None]
    read: Callable[[str | os.PathLike[str]], S]


PREFERENCES = Evaluator(
    preferences.score_comparisons,
    preferences.summarize,
    preferences.tables,
    preferences.write_scores,
    preferences.read_scores,
)
LIKELIHOOD = Evaluator(
    likelihood.score_responses,
    likelihood.summarize,
    likelihood.tables,
    likelihood.write_scores,
    likelihood.read_scores,
)


def evaluator_of(kind: Kind) -> Evaluator[Any]:
    """The evaluation of what a model learns from."""
    return PREFERENCES if kind == "comparisons" else LIKELIHOOD


def kind_of(summary: Summary) -> Kind:
    """What a summary is of."""
    return "demonstrations" if "perplexity" in summary else "comparisons"
