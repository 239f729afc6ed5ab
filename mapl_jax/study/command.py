"""Compares the parts of the method: python -m mapl_jax.study --config=configs/study.py

One synthesis, many runs (arms, seeds, two budgets), one table. If it is stopped, the same command
continues with what is missing. Started several times at once (one process per GPU, or one per core
with taskset), the processes share the runs. The folder (`--workdir`, or studies/NAME) gets

    study.md, study.html, study-*.svg    tables and figures
    results.json                         every number, also by seed
    commands.txt                         the command of every run
    runs/                                the runs, each with its own report

`--quick` makes data and models tiny: it ends within minutes, and its figures mean nothing.
"""

import dataclasses
import functools
import itertools
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from mapl_jax.data import sources
from mapl_jax.runtime import cli, plugins, run_folder
from mapl_jax.runtime.console import result, say
from mapl_jax.runtime.files import write_json, write_text
from mapl_jax.runtime.settings import from_section, setting
from mapl_jax.study import arms as all_arms
from mapl_jax.study import measures, pages, running, tables
from mapl_jax.study.arms import Arm
from mapl_jax.study.measures import ANSWERED, LONGER, MEASURES, Measure, Test
from mapl_jax.study.running import Job
from mapl_jax.study.settings import Settings, check


@dataclasses.dataclass(frozen=True)
class Flags:
    """The plain flags of the command."""

    quick: bool = setting(
        False, "tiny data and models: takes minutes, and the figures mean nothing"
    )


TITLES = {"reward": "Reward models", "dpo": "Policies"}
BUDGETS = {
    "tokens": "the same steps, batches of the same number of tokens",
    "pairs": "the same steps, batches of about the same number of pairs",
}


def main(arguments: cli.Arguments[Flags]) -> None:
    """Runs what is missing, and writes what is known."""
    config = arguments.config
    if arguments.flags.quick:
        config = quick(config)
    folder = Path(arguments.workdir or f"studies/{config.name}")
    study(config, folder, arguments.command)


def quick(config: ConfigDict) -> ConfigDict:
    """A config with everything tiny."""
    copied = ConfigDict(config.to_dict())
    copied.seeds = min(copied.seeds, 2)
    copied.resamples = 100
    copied.data.demo_pairs, copied.data.test_pairs = 120, 24
    for name in ("reward", "sft"):
        part = copied[name]
        part.tokenizer.vocab_size = 400
        part.model.update({"width": 32, "layers": 1, "heads": 2, "kv_heads": 1, "mlp_width": 48})
    for name in ("reward", "sft", "dpo"):
        part = copied[name]
        part.data.max_length, part.data.row_length = 320, 512
        part.train.update({"steps": 4, "rows_per_batch": 8, "log_every": 2, "save_every": 100})
        part.train.eval_every = 0
        part.eval.resamples = 20
    copied.dpo.eval.update({"generate": 12, "generate_rows": 12, "max_new_tokens": 8})
    return copied.lock()


def study(config: ConfigDict, folder: Path, command: str) -> list[tables.Part]:
    """A whole study, or the rest of it; gives the numbers, as they were written."""
    check(from_section(Settings, config.to_dict()))
    arms = all_arms.chosen(config.arms)
    all_arms.named(config.once)
    own = run_folder.RunFolder(folder, ["data", "data.lock", "runs"])
    folder = own.path
    inputs = sources.local_names(config.data.train, config.data.test)
    with own.undone_on_mistake():
        own.claim(config.to_dict(), inputs=[*inputs, config.dpo.model.path])
        own.begins_with(plugins={"fingerprint": json.dumps(plugins.loaded())})
        data = running.corpora(config, folder)
        jobs = running.do_all(config, arms, data, folder)
    parts = summarize(config, arms, jobs)
    facts = _facts(config, jobs, command)
    write_json(folder / "results.json", {"facts": facts, "parts": tables.record(parts)})
    commands = [job.command for job in jobs]
    write_text(folder / "commands.txt", "".join(f"{command}\n" for command in commands))
    write_text(folder / "study.md", tables.markdown(parts, facts))
    settings = json.dumps(config.to_dict(), indent=2)
    pages.write_html(folder / "study.html", "What each part does", parts, facts, commands, settings)
    for index, part in enumerate(parts):
        pages.write_figure(folder / f"study-{index + 1}.svg", part)
        result("", tables.text(part))
    say("", f"page: {folder / 'study.html'}")
    return parts


def summarize(config: ConfigDict, arms: Sequence[Arm], jobs: Sequence[Job]) -> list[tables.Part]:
    """Numbers of all arms, by objective and budget.

    Arms whose batches are the same under both budgets show the same run in both tables.
    """
    parts = []
    for objective, title in TITLES.items():
        own = [arm for arm in arms if arm.objective == objective]
        if not own:
            continue
        for budget, says in BUDGETS.items():
            by_arm = {arm: _runs(jobs, arm, budget) for arm in own}
            every = itertools.chain(*by_arm.values())
            if budget == "pairs" and not any(job.budget == budget for job in every):
                continue
            rows = _rows(config, MEASURES[objective], by_arm)
            parts.append(tables.Part(f"{title}, equal {budget}", says, MEASURES[objective], rows))
    return parts


def _runs(jobs: Sequence[Job], arm: Arm, budget: str) -> list[Job]:
    """The runs of an arm under a budget, or those under equal tokens, which are then the same."""
    own = [job for job in jobs if job.arm is arm]
    return [j for j in own if j.budget == budget] or [j for j in own if j.budget == "tokens"]


def _rows(
    config: ConfigDict, wanted: Sequence[Measure], by_arm: dict[Arm, list[Job]]
) -> list[tables.Row]:
    tests = {arm: _tests(wanted, jobs) for arm, jobs in by_arm.items()}
    first = next(iter(by_arm))

    @functools.cache
    def drawn(arm: Arm, seeds: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {m.name: _drawn(config, m, tests[arm][m.test][:seeds]) for m in wanted}

    lengths = {LONGER.name: measures.estimate(*_drawn(config, LONGER, tests[first][LONGER.test]))}
    rows = [tables.Row("prefer longer", "always preferring the longer response", {}, lengths, {})]
    for arm, jobs in by_arm.items():
        own = drawn(arm, len(jobs))
        values = {name: measures.estimate(*both) for name, both in own.items()}
        # Seed by seed: an arm of fewer seeds is compared with the first one's runs of these.
        differences = {
            name: measures.estimate(own[name][0] - whole, own[name][1] - resampled)
            for name, (whole, resampled) in drawn(first, len(jobs)).items()
            if arm is not first
        }
        rows.append(tables.Row(arm.name, arm.says, running.seen(jobs[0]), values, differences))
    return rows


def _tests(wanted: Sequence[Measure], jobs: Sequence[Job]) -> dict[str, list[Test]]:
    """What the measures are taken of, for each run of an arm."""
    scored = [job.scored() for job in jobs]
    parts: dict[str, list[Test]] = {
        test: [measures.of_test(one, test) for one in scored]
        for test in {measure.test for measure in wanted} - {ANSWERED}
    }
    if any(measure.test == ANSWERED for measure in wanted):
        parts[ANSWERED] = [job.answers() for job in jobs]
    return parts


def _drawn(
    config: ConfigDict, measure: Measure, tests: Sequence[Test]
) -> tuple[np.ndarray, np.ndarray]:
    moments = [measure.moments(one) for one in tests]
    return measures.resampled(measure, moments, seed=config.seed, resamples=config.resamples)


def _facts(config: ConfigDict, jobs: Sequence[Job], command: str) -> list[str]:
    """What a reader has to know of the numbers."""
    sizes: dict[str, int] = {}
    for job in jobs:
        sizes[job.arm.objective] = job.summary["parameters"]
    models = ", ".join(f"{name}: {size / 1e6:.2f} M parameters" for name, size in sizes.items())
    seconds = sum(job.summary["seconds"] for job in jobs)
    return [
        command,
        f"runs: {len(jobs)}; seeds: {config.seeds}; {models}; data: {config.data.train}",
        f"{seconds / 60:.0f} minutes on {jax.device_count()} x {jax.devices()[0].device_kind}, "
        f"Python {platform.python_version()}, JAX {jax.__version__}",
    ]
