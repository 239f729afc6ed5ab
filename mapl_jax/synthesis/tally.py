"""Counts of what was made; those of parts add up to those of the whole."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import TypedDict

from mapl_jax.synthesis.build import Outcome


class Comparisons(TypedDict):
    """Comparisons of each level, synthesized ones by number of instructions, and families."""

    level: dict[str, int]
    k: dict[str, int]
    constraint: dict[str, int]


class Counted(TypedDict):
    """The counts of `Stats` as people read them."""

    pairs_in: int
    samples_out: int
    all_five: int
    families_applied: int
    comparisons: Comparisons
    kept_by_chosen: dict[str, int]
    uninformative: dict[str, int]
    dropped: dict[str, int]


@dataclasses.dataclass
class Stats:
    """Counts over samples.

    Attributes:
        pairs: "in": pairs taken, each of which gives a sample; "complete": those that gave all
            five comparisons.
        level: comparisons of each level.
        k: synthesized comparisons by number of instructions.
        constraint: synthesized prompts that hold an instruction of the family.
        kept_by_chosen: of those, how many the chosen response keeps.
        refused: times that arguments of a family were left out because they say nothing.
        dropped: reason -> comparisons, or groups of them, that could not be built.
    """

    pairs: Counter[str] = dataclasses.field(default_factory=Counter)
    level: Counter[str] = dataclasses.field(default_factory=Counter)
    k: Counter[str] = dataclasses.field(default_factory=Counter)
    constraint: Counter[str] = dataclasses.field(default_factory=Counter)
    kept_by_chosen: Counter[str] = dataclasses.field(default_factory=Counter)
    refused: Counter[str] = dataclasses.field(default_factory=Counter)
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Counts one pair's outcome."""
        sample = outcome.sample
        self.pairs["in"] += 1
        levels = Counter(comparison["level"] for comparison in sample["comparisons"])
        self.pairs["complete"] += levels["intra"] + levels["inter"] >= 4
        self.dropped.update(outcome.dropped)
        self.refused.update(outcome.refused)
        for comparison in sample["comparisons"]:
            self.level[comparison["level"]] += 1
            if comparison["k"]:
                self.k[str(comparison["k"])] += 1
        for prompt in sample["prompts"]:
            for item in prompt["constraints"]:
                self.constraint[item["id"]] += 1
                self.kept_by_chosen[item["id"]] += item["margins"][0] >= 0

    def to_json(self) -> dict[str, dict[str, int]]:
        """The counts as plain dicts."""
        return {field.name: dict(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def update(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Adds the counts of another part, as `to_json` gives them."""
        for field in dataclasses.fields(self):
            getattr(self, field.name).update(counts[field.name])

    def summary(self) -> Counted:
        """The counts as people read them, the largest first."""
        return {
            "pairs_in": self.pairs["in"],
            "samples_out": self.pairs["in"],
            "all_five": self.pairs["complete"],
            "families_applied": len(self.constraint),
            "comparisons": {
                "level": dict(self.level),
                "k": {k: self.k[k] for k in sorted(self.k, key=int)},
                "constraint": dict(_largest_first(self.constraint)),
            },
            "kept_by_chosen": dict(sorted(self.kept_by_chosen.items())),
            "uninformative": dict(_largest_first(self.refused)),
            "dropped": dict(_largest_first(self.dropped)),
        }


def _largest_first(counts: Counter[str]) -> list[tuple[str, int]]:
    """In an order that does not depend on which part was added first."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
