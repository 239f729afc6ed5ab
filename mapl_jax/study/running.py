"""The runs of a study: one for every arm, seed and budget, each in a folder of its own.

Two budgets. With `tokens` every arm takes the same steps over batches of the same size in tokens,
so that what has few leaves sees more pairs. With `pairs` the steps are the same, and batches hold
about as many pairs as those of the arm `all`, so that what has few leaves computes less. Arms for
which the two are the same are run once.

Several processes may work on one study: whoever comes to a run that another has in hand leaves it,
and those that have nothing left to do wait for the last. A lock goes with its process, so that what
a killed one had in hand is free.
"""

import dataclasses
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock, Timeout
from ml_collections import ConfigDict

from mapl_jax import train
from mapl_jax.data import forms, sources, splits
from mapl_jax.data.fields import is_finite
from mapl_jax.data.records import Pairs, collect, iter_pairs
from mapl_jax.evaluation import following, preferences, stored
from mapl_jax.evaluation.evaluators import PREFERENCES
from mapl_jax.reports.pages import anchor
from mapl_jax.runtime.config import change, fields, load_config
from mapl_jax.runtime.console import say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.study import arms as all_arms
from mapl_jax.study.arms import Arm
from mapl_jax.study.corpora import Corpora
from mapl_jax.synthesis.settings import Settings
from mapl_jax.training import sharding
from mapl_jax.training.metrics import read_metrics

BUDGETS = ("tokens", "pairs")
# What a study takes from the summary of a run.
_NUMBERS = ("steps", "parameters", "seconds", "train", "eval")
# With this arm's batches others are made to agree in pairs.
MODEL = "all"


@dataclasses.dataclass(frozen=True)
class Job:
    """One run, under the budget "tokens" or "pairs", and a command that makes the same."""

    arm: Arm
    seed: int
    budget: str
    folder: RunFolder
    config: ConfigDict
    command: str

    @property
    def start(self) -> tuple[object, ...]:
        """Runs that agree in this score alike before training: of one seed, or one given model."""
        loss = self.config.loss
        seed = self.seed if self.arm.objective == "reward" else None
        return (self.arm.objective, seed, loss.inter_form, loss.get("joint_logp"))

    @property
    def done(self) -> bool:
        """Whether its numbers are there."""
        return self.folder.summary.exists()

    @property
    def summary(self) -> Mapping[str, Any]:
        """What the run wrote."""
        return _summary(self.folder)

    def scored(self) -> preferences.Scored:
        """Its comparisons."""
        return stored.read_scores(self.folder, "after", PREFERENCES)

    def answers(self) -> list[following.Answer]:
        """Its answers to prompts with instructions."""
        return stored.read_answers(self.folder, "after")


def corpora(config: ConfigDict, folder: Path) -> Corpora:
    """The data of a study."""
    data = config.data

    def read(name: str, split: str) -> Pairs:
        entries = sources.entries_of(
            name, split=split, demo_pairs=data.demo_pairs, seed=config.seed
        )
        form = forms.requested_form(data.format, data.columns)
        return collect(iter_pairs, entries, on_error=data.on_error, form=form)

    train_pairs = read(data.train, "train")
    if data.test or data.train == sources.DEMO:
        test_pairs = read(data.test or sources.DEMO, "test")
    else:
        train_pairs, test_pairs = splits.hold_out(train_pairs, data.test_fraction)
    train_pairs, test_pairs = (_short(pairs, data.max_words) for pairs in (train_pairs, test_pairs))
    if data.test_pairs:
        records = test_pairs.records[: data.test_pairs]
        test_pairs = dataclasses.replace(test_pairs, records=records)
    settings = Settings(**config.synthesis)
    return Corpora(folder / "data", settings, train_pairs, test_pairs, data.num_proc)


def _short(pairs: Pairs, most: int) -> Pairs:
    """Pairs whose prompt and longer response have no more words together; 0 for all of them.

    Words, so that every arm and every tokenizer has the same pairs.
    """

    def words(pair: Any) -> int:
        prompt = sum(len(message["content"].split()) for message in pair["prompt"])
        return prompt + max(len(pair[side].split()) for side in ("chosen", "rejected"))

    if not most:
        return pairs
    records = [pair for pair in pairs.records if words(pair) <= most]
    if not records:
        raise UserError(f"no pair has at most {most} words; raise data.max_words, or set it to 0")
    return dataclasses.replace(pairs, records=records)


def do_all(config: ConfigDict, arms: Sequence[Arm], data: Corpora, folder: Path) -> list[Job]:
    """Makes the runs of a study, or what is left of them; gives all of them, done.

    Reward models come first, and those of `pairs` after what they are measured by.
    """
    done: list[Job] = []
    for objective in dict.fromkeys(arm.objective for arm in arms):
        own = [arm for arm in arms if arm.objective == objective]
        for budget in BUDGETS:
            with FileLock(folder / "data.lock"):
                jobs = list(_jobs(config, own, budget, data, folder))
            _finish(jobs, done + jobs, keep=config.keep)
            done += jobs
    return done


def _jobs(
    config: ConfigDict, arms: Sequence[Arm], budget: str, data: Corpora, folder: Path
) -> Iterator[Job]:
    """The runs of arms of one objective under a budget, seed by seed."""
    once = all_arms.named(config.once)
    for seed in range(config.seeds):
        for arm in arms:
            if seed and arm in once:
                continue
            rows = _rows(config, arm, arms, folder) if budget == "pairs" else 0
            if rows is not None:
                yield _job(config, arm, seed, budget, data, folder, rows)


def _finish(jobs: Iterable[Job], known: Iterable[Job], *, keep: bool) -> None:
    """Makes the runs that are not done, and waits for those that another process is making."""
    left = [job for job in jobs if not job.done]
    while left:
        for job in left:
            try:
                with FileLock(f"{job.folder.path}.lock", timeout=0):
                    _do(job, known, keep=keep)
            except Timeout:
                continue
        left = [job for job in left if not job.done]
        if left:
            time.sleep(1)


def _do(job: Job, known: Iterable[Job], *, keep: bool) -> None:
    if job.done:
        return
    say(f"\n{job.arm.name}, seed {job.seed}, budget {job.budget}")
    job.folder.claim(job.config.to_dict())
    alike = next((other for other in known if other.done and other.start == job.start), None)
    if alike:
        stored.share_scores(alike.folder, job.folder, "before")
    train.start(job.config, job.folder, job.command)
    if not keep:
        for part in (job.folder.checkpoints, job.folder.cache):
            shutil.rmtree(part, ignore_errors=True)
    jax.clear_caches()


def start_of_policies(config: ConfigDict, data: Corpora, folder: Path) -> str:
    """The model that all policies start from; made by demonstrations if the config names none."""
    if config.dpo.model.path:
        return str(config.dpo.model.path)
    run = RunFolder(folder / "runs" / "sft")
    if not (run.model / "config.json").exists():
        say("\nthe model that policies start from")
        samples = data.of_arm(Arm("start", ""))
        values = {
            "data.train": str(samples),
            "data.test": "",
            "data.cache": str(data.cache),
            "data.instructions": True,
            "seed": config.seed,
        }
        start = _with(config.sft, values)
        train.start(start, run, _command("sft", start, run))
    return str(run.model)


def _job(
    config: ConfigDict, arm: Arm, seed: int, budget: str, data: Corpora, folder: Path, rows: int = 0
) -> Job:
    own = config[arm.objective]
    run = RunFolder(folder / "runs" / f"{anchor(arm.name)}-{budget}-{seed}")
    values: dict[str, object] = {
        "name": arm.name,
        "seed": seed,
        "data.cache": str(data.cache),
        "data.train": str(data.of_arm(arm)),
        "data.test": str(data.tests()),
        **{f"loss.{name}": value for name, value in arm.loss.items()},
    }
    if rows:
        values["train.rows_per_batch"] = rows
    if arm.objective == "dpo":
        values["model.path"] = start_of_policies(config, data, folder)
    else:
        values["tokenizer.path"] = data.tokenizer(own)
    run_config = _with(own, values)
    preset = config.presets[arm.objective]
    return Job(arm, seed, budget, run, run_config, _command(preset, run_config, run))


def _with(config: ConfigDict, values: dict[str, object]) -> ConfigDict:
    copied = ConfigDict(config.to_dict())
    change(copied, values)
    return copied.lock()


def _command(preset: str, config: ConfigDict, run: RunFolder) -> str:
    """The command line of a run: its preset, and what differs from that."""
    usual = dict(fields(load_config(preset)))
    name, _, rest = preset.partition(":")
    words = [f"--config=configs/{name}.py{':' if rest else ''}{rest}", f"--workdir={run.path}"]
    words += [
        f"--config.{field}={value}" for field, value in fields(config) if usual.get(field) != value
    ]
    return shlex.join(["python", "-m", "mapl_jax.train", *words])


def _rows(config: ConfigDict, arm: Arm, arms: Sequence[Arm], folder: Path) -> int | None:
    """Rows of a batch that hold as many pairs as the arm `all` has; None if that is no change."""
    own = config[arm.objective]
    models = (MODEL, f"DPO {MODEL}")
    model = next((a for a in arms if a.objective == arm.objective and a.name in models), None)
    if model is None or model is arm:
        return None
    sizes = [_tokens_of_a_pair(folder, one) for one in (arm, model)]
    mesh = sharding.make_mesh(own.mesh)
    step = own.train.accumulation * sharding.data_parts(mesh)
    rows = max(step, round(own.train.rows_per_batch * sizes[0] / sizes[1] / step) * step)
    return None if rows == own.train.rows_per_batch else rows


def _tokens_of_a_pair(folder: Path, arm: Arm) -> float:
    """Trie tokens of a training sample, from the arm's first run."""
    run = RunFolder(folder / "runs" / f"{anchor(arm.name)}-tokens-0")
    counts = _summary(run)["train"]["encoding"]
    return float(counts["trie_tokens"]) / _encoded(counts)


def _summary(run: RunFolder) -> dict[str, Any]:
    """The summary of a finished run, with all that a study takes from it."""
    summary = run.read_summary()
    if missing := [name for name in _NUMBERS if summary.get(name) is None]:
        raise UserError(
            f"{run.summary} is damaged: it has no {missing[0]}; remove it, and the same command "
            "makes the run again"
        )
    return summary


def _encoded(counts: Mapping[str, Any]) -> float:
    """Training samples that were not dropped on the way to tries."""
    dropped = (value for name, value in counts.items() if name.startswith("samples_dropped"))
    return float(counts["samples"]) - sum(dropped)


def seen(job: Job) -> dict[str, float]:
    """What a run saw: steps, places for tokens, and pairs."""
    steps, counts = job.summary["steps"], job.summary["train"]["encoding"]
    places = steps * job.config.train.rows_per_batch * job.config.data.row_length
    metrics = read_metrics(job.folder.metrics)
    known = {line["step"]: line["epoch"] for line in metrics if is_finite(line.get("epoch"))}
    if max(known, default=0) <= steps - job.config.train.log_every:
        raise UserError(
            f"{job.folder.metrics} is damaged: it does not reach step {steps}; remove "
            f"{job.folder.summary}, and the same command makes the run again"
        )
    pairs = _encoded(counts) * known[max(known)]
    return {"steps": steps, "tokens": float(places), "pairs": pairs}
