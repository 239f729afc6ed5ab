"""Training runs as processes of their own, which tests kill, damage and start again."""

import contextlib
import dataclasses
import itertools
import json
import os
import random
import signal
import socket
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import filelock
import forked
import numpy as np
import pytest
from faults import recorded
from forked import PATIENCE
from safetensors.numpy import load_file

from mapl_jax.training.metrics import TIMING_KEYS, read_metrics

SHAPE = [
    "--config.model.width=32",
    "--config.model.layers=1",
    "--config.model.heads=2",
    "--config.model.kv_heads=1",
    "--config.model.mlp_width=64",
]
TINY = [
    "--config.data.demo_pairs=40",
    "--config.tokenizer.vocab_size=512",
    *SHAPE,
    "--config.train.rows_per_batch=8",
    "--config.train.steps=10",
    "--config.train.log_every=1",
    "--config.train.save_every=2",
    "--config.train.eval_every=4",
    "--config.eval.samples=4",
    "--config.eval.resamples=20",
]


# Of a demonstration of DPO, which makes the model it starts from.
OFTEN = {"steps": 4, "log_every": 1, "save_every": 1, "eval_every": 2, "rows_per_batch": 8}


def policy_settings(generate=0):
    """Arguments of a small one that lets so many prompts be answered."""
    both = {"data.demo_pairs": 24, "eval.resamples": 20, "eval.samples": 4}
    both |= {f"train.{name}": value for name, value in OFTEN.items()}
    sides = [
        f"--config.{part}{key}={value}" for part in ("", "sft.") for key, value in both.items()
    ]
    made = [text.replace("--config.", "--config.sft.") for text in SHAPE]
    own = [f"--config.eval.generate={generate}", "--config.eval.max_new_tokens=8"]
    return [
        *sides,
        *made,
        *own,
        "--config.sft.eval.generate=0",
        "--config.sft.tokenizer.vocab_size=512",
    ]


@dataclasses.dataclass
class Running:
    """A process of a run and what it says."""

    process: BaseProcess
    log: Path

    @property
    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait(self, timeout=PATIENCE):
        """The exit status."""
        self.process.join(timeout)
        ended = self.process.exitcode
        self.kill()
        assert ended is not None, self.output
        return ended

    def stop(self):
        """SIGTERM."""
        self.process.terminate()

    def kill(self):
        """SIGKILL, to it and to the workers it started."""
        if self.process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):  # it leads no group yet
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.join()

    def wait_for(self, happens, pause=0.005):
        """Waits until something is the case; False if the run ends before."""
        deadline = time.monotonic() + PATIENCE
        while not happens():
            if self.process.exitcode is not None:
                return False
            assert time.monotonic() < deadline, self.output
            time.sleep(pause)
        return True


class Runs:
    """Starts runs, each forked off a process that has imported what they import."""

    tiny = TINY

    def __init__(self, folder):
        self.folder = folder
        self.logs = itertools.count()
        self.started = []

    def start(
        self,
        workdir,
        *arguments,
        config="rm",
        settings=TINY,
        devices=1,
        record=None,
        pace=None,
        killed="",
        fault="",
    ):
        """A process of a training run.

        Args:
            workdir: of the run.
            arguments: of the command.
            config: name of the config file.
            settings: more arguments.
            devices: simulated devices.
            record: file that is told which samples are in the rows that the process brings.
            pace: seconds that it rests after every line of its log.
            killed: pattern of a path; it is killed when that is about to get its name.
            fault: what happens to it where, see `recorded.py`.
        """
        command = [f"--config=configs/{config}.py", *settings, f"--workdir={workdir}"]
        log = self.folder / f"log-{next(self.logs)}.txt"
        flags = os.environ["XLA_FLAGS"]  # of tests/conftest.py, which make the compiler quick
        environment = {
            "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={devices}",
            "RECORD": str(record or ""),
            "PACE": str(pace or ""),
            "KILLED": killed,
            "FAULT": fault,
            "SPOILED": os.environ.get("SPOILED", ""),
        }
        process = forked.context().Process(
            target=recorded.run, args=([*map(str, [*command, *arguments])], log, environment)
        )
        process.start()
        running = Running(process, log)
        self.started.append(running)
        return running

    def start_two(
        self,
        workdir,
        *arguments,
        lost_after=20,
        records=(None, None),
        faults=("", ""),
        **options,
    ):
        """Two processes of one run; the second one reaches its folder by another path."""
        alias = self.folder / f"alias-{next(self.logs)}"
        alias.symlink_to(workdir.parent, target_is_directory=True)
        paths = (workdir, alias / workdir.name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return [
            self.start(
                paths[index],
                f"--coordinator=127.0.0.1:{port}",
                "--num_processes=2",
                f"--process_id={index}",
                f"--lost_after={lost_after}",
                *arguments,
                record=records[index],
                fault=faults[index],
                **options,
            )
            for index in range(2)
        ]

    def finish(self, workdir, *arguments, **options):
        """A whole run; what it says."""
        running = self.start(workdir, *arguments, **options)
        assert running.wait() == 0, running.output
        return running.output

    def finish_two(self, workdir, *arguments, **options):
        """A whole run of two processes; what they say."""
        both = self.start_two(workdir, *arguments, **options)
        for running in both:
            assert running.wait() == 0, both[0].output + both[1].output
        return [running.output for running in both]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Starts runs, and leaves none behind."""
    found = Runs(tmp_path_factory.mktemp("logs"))
    yield found
    for running in found.started:
        running.kill()


@pytest.fixture(scope="session")
def undisturbed(runs, common_folder):
    """A run from first to last, on one device; whichever process of pytest comes first makes it."""
    folder = common_folder / "undisturbed" / "run"
    folder.parent.mkdir(exist_ok=True)
    with filelock.FileLock(folder.with_name("lock")):
        if not (folder / "summary.json").exists():
            runs.finish(folder, record=folder.with_name("rows.jsonl"))
    return folder


def rows_of(*records):
    """The samples of every row of every global batch, from what the processes of a run noted."""
    found = {}
    for record in records:
        for line in map(json.loads, record.read_text().splitlines()):
            for row, (ids, tokens) in enumerate(zip(line["rows"], line["tokens"], strict=True)):
                if not ids:
                    continue  # more devices need more rows
                place = (line["step"], line["first"] + row)
                # A step that is read twice, before an interruption and after, has the same rows.
                assert found.setdefault(place, (ids, tokens)) == (ids, tokens)
    return found


def near(expected, found):
    """Checks that the losses of a run on other devices are those of another, to 1e-5."""
    ours, theirs = (
        [line["loss"] for line in metrics_of(folder) if line["split"] == "train"]
        for folder in (found, expected)
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def metrics_of(folder):
    """The log of a run, without times."""
    return [
        {key: value for key, value in line.items() if key not in TIMING_KEYS}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def same(expected, found):
    """Checks that two runs end with the same parameters, log and scores, bit for bit."""
    tensors, others = (load_file(p / "model" / "model.safetensors") for p in (expected, found))
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(others[name], tensor)
    assert metrics_of(found) == metrics_of(expected)
    for path in (expected / "eval").glob("*.jsonl"):
        assert (found / "eval" / path.name).read_bytes() == path.read_bytes()


def moments(running, folder, evaluates=4, steps=10):
    """Moments of a run that was just started: name -> whether it is that moment now.

    Args:
        running: the run.
        folder: of the run.
        evaluates: a step after which it evaluates.
        steps: its last step.
    """

    def entries(pattern):
        found = set()
        for path in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                found.add((path, path.stat().st_ino))
        return found

    def new(pattern):
        before = entries(pattern)
        return lambda: bool(entries(pattern) - before)

    def said(text):
        return lambda: text in running.output.rpartition(f"run folder: {folder}\n")[2]

    return {
        "synthesis": new("cache/samples-*"),
        "tokenizer": new("*tokenizer*"),
        "encoding": new("cache/tries-*"),
        # Of a policy, the log-probabilities of its reference come right after this line.
        "before training": said("; attention: "),
        "a checkpoint": new("checkpoints/*"),
        "its checksums": new("checkpoints/*/commit_success.txt"),
        "a good checkpoint": new("checkpoints/*/checksums.json"),
        "training": said("\nstep "),
        "evaluation": said(f"\nstep {evaluates}/{steps} "),
        "evaluation after": said(f"\nstep {steps}/{steps} "),
        "the model": new("*model*"),
    }


DELAYS = [0.0, 0.01, 0.1, 1.0]


def killed(runs, workdir, aim, rng, folder=None, where=None, delays=DELAYS, **options):
    """Starts a run and kills it a little after a moment.

    Args:
        runs: starts it.
        workdir: of the run.
        aim: the moment, see `moments`.
        rng: draws how long after.
        folder: of the part of the run that is meant.
        where: more arguments of `moments`.
        delays: one of them, or less, passes after the moment, in seconds.
        options: of `Runs.start`.

    Returns:
        Whether it was killed then. A run that is past that moment is killed all the same, while it
        writes its model, or at once if that is done; one that has ended before is left.
    """
    folder = folder or workdir
    running = runs.start(workdir, **options)
    found = moments(running, folder, **(where or {}))

    def past():
        done = (folder / "summary.json").exists() and folder != workdir
        return found["the model"]() or (done and f"run folder: {workdir}\n" in running.output)

    try:
        if running.wait_for(lambda: found[aim]() or past()):
            hit = found[aim]()
            time.sleep(rng.choice(delays) * rng.random())
            if running.process.exitcode is None:
                return hit
        assert running.wait() == 0, running.output
        return False
    finally:
        running.kill()


@pytest.fixture(scope="session")
def tools():
    """What tests of faults share."""
    return Tools()


class Tools:
    """Functions of this file, for tests that cannot import it."""

    policy_settings = staticmethod(policy_settings)
    metrics_of = staticmethod(metrics_of)
    rows_of = staticmethod(rows_of)
    near = staticmethod(near)
    same = staticmethod(same)
    moments = staticmethod(moments)
    killed = staticmethod(killed)
    random = random.Random
