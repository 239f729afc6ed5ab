"""One synthesis for all arms of a study, and what they are tested on."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mapl_jax import constraints
from mapl_jax.data import run_tokenizer
from mapl_jax.data.records import Pairs
from mapl_jax.data.samples import Prompt, Sample, base, comparison
from mapl_jax.data.settings import TokenizerSettings
from mapl_jax.data.splits import Split
from mapl_jax.runtime.files import write_lines
from mapl_jax.runtime.settings import from_section
from mapl_jax.study.arms import Arm, changed
from mapl_jax.synthesis import draw, prepare
from mapl_jax.synthesis.prompts import write_instructions
from mapl_jax.synthesis.settings import Settings

# What differs from the study's own synthesis, by the name of a corpus.
TRAIN: Mapping[str, Mapping[str, object]] = {
    "compact": {"mode": "compact"},
    "full": {"mode": "full"},
    "neutral": {"mode": "compact", "neutral": 1.0},
    "length": {"families": "length_constraints:number_words", "k_min": 1, "k_max": 1},
}
TEST: Mapping[str, Mapping[str, object]] = {
    "test": {"mode": "compact"},
    # Families and wordings that no arm has seen; they are few, and so are asked for fewer at once.
    "held_out": {
        "mode": "compact",
        "families": "held_out",
        "wordings": "held_out",
        "k_min": 1,
        "k_max": 3,
    },
}
KEPT_BY_BOTH = "kept_by_both"
TESTS = (*TEST, KEPT_BY_BOTH)


@dataclasses.dataclass(frozen=True)
class Corpora:
    """Files of samples, made when they are asked for and found again afterwards."""

    folder: Path
    settings: Settings
    train: Pairs
    test: Pairs
    num_proc: int = 0

    @property
    def cache(self) -> Path:
        """Folder of what is made of samples, for all runs."""
        return self.folder / "cache"

    def of_arm(self, arm: Arm) -> Path:
        """Training samples of an arm."""
        split = self._split(self.train, self._settings(TRAIN[arm.corpus]))
        records = (changed(sample, arm, self.settings.seed) for sample in split.samples())
        return self._file(f"train-{arm.data}", lambda: records)

    def tests(self) -> Path:
        """Samples of all of `TESTS`, each with the name of its test before its id."""

        def records() -> Iterator[Sample]:
            for name in TESTS:
                for sample in self._test(name):
                    yield {**sample, "id": f"{name}:{sample['id']}"}

        return self._file("tests", records)

    def tokenizer(self, config: ConfigDict) -> str:
        """The folder of one tokenizer for all runs of a config, or its hub name.

        A config that names a tokenizer or a model keeps its own.
        """
        if config.tokenizer.path or config.model.path:
            return str(config.tokenizer.path)
        folder = self.folder / "tokenizer"
        if not (folder / "tokenizer.json").exists():
            split = self._split(self.train, self._settings(TRAIN["compact"]))
            settings = from_section(TokenizerSettings, config.tokenizer.to_dict(), "tokenizer")
            run_tokenizer.make_tokenizer(settings, config.model.path, split, folder)
        return str(folder)

    def _test(self, name: str) -> Iterator[Sample]:
        if name == KEPT_BY_BOTH:
            return _kept_by_both(self.test, self.settings)
        return self._split(self.test, self._settings(TEST[name])).samples()

    def _settings(self, values: Mapping[str, Any]) -> Settings:
        return dataclasses.replace(self.settings, **values)

    def _split(self, pairs: Pairs, settings: Settings) -> Split:
        return prepare.samples_of(
            pairs.records, self.cache, synthesis=settings, num_proc=self.num_proc
        )

    def _file(self, name: str, records: Callable[[], Iterator[Sample]]) -> Path:
        path = self.folder / f"{name}.jsonl"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_lines(path, records())
        return path


def _kept_by_both(pairs: Pairs, settings: Settings) -> Iterator[Sample]:
    """Samples whose instructions both responses keep, so that no gap should move."""
    for pair in pairs.records:
        rng = draw.generator(settings.seed, pair["id"], "kept by both")
        responses = (pair["chosen"], pair["rejected"])
        wanted = int(rng.integers(settings.k_min, settings.k_max + 1))
        items: list[draw.Item] = []
        conditions = [(response, True) for response in responses]
        propose = functools.partial(constraints.propose, conditions=conditions, rng=rng)
        for family in rng.permutation(settings.family_ids):
            params = propose(str(family))
            if params is None:
                continue
            item = (str(family), params)
            if not any(constraints.conflict(item, other) for other in items):
                items.append(item)
            if len(items) == wanted:
                break
        if len(items) < settings.k_min:
            continue
        (prompt,) = write_instructions(pair["prompt"], [items], responses, rng, settings)
        gap = comparison("inter", [1, 1, 0, 0], [0, 1, 0, 1], [1, -1, -1, 1], k=len(items))
        yield Sample(
            id=pair["id"],
            prompts=[Prompt(messages=pair["prompt"], constraints=[]), prompt],
            responses=list(responses),
            comparisons=[base(pair["margin"]), gap],
            synthesis=settings.record(),
        )
