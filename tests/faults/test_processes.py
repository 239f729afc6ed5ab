"""Several processes are one run: they train together, stop together and end together."""

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from mapl_jax.runtime import distributed, shutdown
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import sharding

ROOT = Path(__file__).parents[2]

# What processes of a run do to each other, without training: one prepares a file, the others find
# it; then the victim is gone, and the others wait for it.
TALK = """
import dataclasses, os, signal, sys, time
from pathlib import Path
import jax
from orbax.checkpoint._src.multihost.multihost import reached_preemption
from mapl_jax.runtime import cli, distributed
from mapl_jax.runtime.settings import setting
from mapl_jax.training import callbacks
from mapl_jax.training.watch import Watch

class Five:
    def on_step(self, step, metrics):
        return "five is enough" if step == 5 else None

def ended():
    # The step after which a callback of process 0 ends a loop of which every step needs both.
    callbacks.register("five", Five)
    watch = Watch(callbacks=callbacks.Callbacks("five"))
    for done in range(1, 20):
        distributed.broadcast_from_main(done)
        if done > 1:
            watch.stepped(done - 1, {"loss": 1.0})
        if watch.ends(done):
            return done, watch.agreed()

def main(arguments):
    place, victim = Path(arguments.flags.place), arguments.flags.victim
    with distributed.main_process_first():
        if distributed.is_main_process():
            time.sleep(0.5)
            place.write_text("ready")
        assert place.read_text() == "ready"
    assert distributed.broadcast_from_main(jax.process_index() + 7) == 7
    print("agreed", flush=True)
    if victim == -1:
        print("ended", *ended(), flush=True)
        if not distributed.is_main_process():
            os.kill(os.getpid(), signal.SIGTERM)
        place = 0
        while not distributed.stops_at(place := place + 1):
            # What Orbax does with every checkpoint.
            assert not reached_preemption(2)
            time.sleep(0.05)
        print("stopped at", place, flush=True)
    if jax.process_index() == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    with distributed.main_process_first():
        pass
    distributed.broadcast_from_main(1)

@dataclasses.dataclass(frozen=True)
class Flags:
    place: str = setting("", "file")
    victim: int = setting(-1, "process")

cli.launch(main, name="talk", flags=Flags, distributed=True)
"""


# Processes that take a run folder with settings that may change, which differ from one another.
CLAIM = """
import dataclasses
from mapl_jax.runtime import cli, distributed
from mapl_jax.runtime.run_folder import RunFolder, claim
from mapl_jax.runtime.settings import setting
from mapl_jax.training.settings import RunSettings

def main(arguments):
    every = 2 + distributed.process_index() * arguments.flags.victim
    claim(RunFolder(arguments.flags.place), {"train": {"save_every": every}}, RunSettings)
    distributed.wait_for_all("the first checkpoint")
    print("saved", flush=True)

@dataclasses.dataclass(frozen=True)
class Flags:
    place: str = setting("", "folder")
    victim: int = setting(0, "how much they differ")

cli.launch(main, name="claim", flags=Flags, distributed=True)
"""


# One of two processes ends while the other waits for it: at a meeting that may take days, in a
# collective, in Python, or at the end.
END = """
import dataclasses, os, signal, time
from faults.happen import happen
from mapl_jax.runtime import cli, distributed
from mapl_jax.runtime.settings import setting

def main(arguments):
    kind, _, other = arguments.flags.place.rpartition("/")[2].partition(":")
    mine = distributed.process_index() == arguments.flags.victim
    distributed.wait_for_all("the test")
    print("joined", flush=True)
    if mine:
        time.sleep(0.5)
        happen(kind)
        time.sleep(60)
    elif other == "meets":
        distributed.meet()
    elif other == "computes":
        distributed.broadcast_from_main(1)
    elif other == "works":
        time.sleep(60)

@dataclasses.dataclass(frozen=True)
class Flags:
    place: str = setting("", "what happens, and what the other does")
    victim: int = setting(0, "process")

cli.launch(main, name="end", flags=Flags, distributed=True)
"""


def talk(place, victim, program=TALK):
    """Exit statuses and output of two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [f"--place={place}", f"--victim={victim}", "--num_processes=2"]
    command = [sys.executable, "-c", program, *arguments, f"--coordinator=127.0.0.1:{port}"]
    both = [
        subprocess.Popen(
            [*command, f"--process_id={index}", "--lost_after=5"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        )
        for index in range(2)
    ]
    said = [process.communicate(timeout=100)[0] for process in both]
    return [process.returncode for process in both], said


def test_processes_prepare_agree_and_stop_at_the_same_place(tmp_path):
    statuses, said = talk(tmp_path / "file", victim=-1)
    assert statuses == [0, 0], said
    assert all("agreed" in text and "error" not in text for text in said)
    assert all("ended 8 True" in text for text in said)
    places = [[x for x in text.splitlines() if x.startswith("stopped at")] for text in said]
    assert len(places[0]) == 1
    assert places[0] == places[1]


# What happens to a process, its exit status and its line, and those of the other one.
ENDS = {
    "mistake": (
        *(2, "error: a file of this process alone is bad"),
        *(2, "because process {victim} failed: a file of this process alone is bad"),
    ),
    "bug": (
        *(1, "RuntimeError: a bug"),
        *(1, "because process {victim} failed with RuntimeError: a bug (the traceback is in "),
    ),
    "refusal": (
        *(2, "error: /a/file: Permission denied; "),
        *(2, "because process {victim} failed: /a/file: Permission denied; "),
    ),
    "exit": (*(7, ""), *(7, "because process {victim} called sys.exit(7); see its output. To res")),
    "SIGINT": (
        *(130, "interrupted"),
        *(130, "because process {victim} was interrupted by Ctrl-C. To resume, start"),
    ),
    "SIGKILL": (
        *(-signal.SIGKILL, "error: process {victim} of 2 was killed or crashed without "),
        *(shutdown.EXIT_LOST, "because process {victim} no longer responds: "),
    ),
    "SIGSEGV": (
        *(-signal.SIGSEGV, "error: process {victim} of 2 was killed or crashed without "),
        *(shutdown.EXIT_LOST, "because process {victim} no longer responds: "),
    ),
}
FAST = {("mistake", 0, "meets"), ("mistake", 1, "computes"), ("SIGKILL", 0, "works")}


@pytest.mark.parametrize(
    ("kind", "victim", "other"),
    [
        pytest.param(*case, marks=[] if case in FAST else pytest.mark.slow)
        for case in itertools.product(ENDS, (0, 1), ("meets", "computes", "works", "leaves"))
    ],
)
def test_one_that_ends_ends_the_other_and_each_says_why_in_one_line(kind, victim, other):
    statuses, said = talk(f"{kind}:{other}", victim, END)
    own, line, others, reason = ENDS[kind]
    assert (statuses[victim], statuses[1 - victim]) == (own, others), said
    last = [text.partition("joined\n")[2].splitlines() for text in said]
    if line:
        assert last[victim][-1].startswith(line.format(victim=victim)), said
        assert len(last[victim]) == 1 or kind == "bug", said
    else:
        assert not last[victim]
    (told,) = last[1 - victim]
    stopped = f"error: process {1 - victim} of 2 stopped"
    assert told.startswith(f"{stopped} {reason.format(victim=victim)}")
    assert ("python -m mapl_jax.end" in told) == (own != 2)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.slow
def test_one_that_dies_before_the_end_ends_the_other(tmp_path, victim):
    statuses, said = talk(tmp_path / "file", victim)
    assert statuses[victim] == -signal.SIGKILL
    assert statuses[1 - victim] == shutdown.EXIT_LOST
    (line,) = [x for x in said[1 - victim].splitlines() if x.startswith("error: ")]
    assert line.startswith(f"error: process {1 - victim} of 2 stopped because process {victim} no ")
    assert "python -m mapl_jax.talk" in line


@pytest.mark.slow
def test_processes_of_different_settings_end(tmp_path):
    statuses, said = talk(tmp_path / "file", 0, CLAIM)
    assert statuses == [0, 0], said
    (tmp_path / "other").mkdir()
    statuses, said = talk(tmp_path / "other" / "file", 1, CLAIM)
    assert statuses == [2, 2], said
    assert "saved" not in said[0]
    (line,) = [x for x in said[1].splitlines() if x.startswith("error: ")]
    assert "process 1 was started with other settings than process 0 (train.save_every);" in line
    (line,) = [x for x in said[0].splitlines() if x.startswith("error: ")]
    assert line.startswith(
        "error: process 0 of 2 stopped because process 1 failed: process 1 was started"
    )


JOIN = """
from mapl_jax.runtime import cli
cli.launch(lambda _: print("joined"), name="join", distributed=True)
"""


@pytest.mark.parametrize(
    ("address", "process"),
    [
        pytest.param("127.0.0.1:{port}", 0, id="the others never start"),
        pytest.param("no.such.host.invalid:1", 1, id="no such address", marks=pytest.mark.slow),
    ],
)
def test_one_that_cannot_join_ends_in_one_line(address, process):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = address.format(port=free.getsockname()[1])
    flags = ["--num_processes=2", f"--process_id={process}", "--lost_after=1"]
    command = [sys.executable, "-c", JOIN, f"--coordinator={where}", *flags]
    found = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    (line,) = found.stderr.splitlines()
    missing = f"no connection to process 0 at {where} within 1 s"
    if process == 0:
        missing = f"process 0 waited 1 s at {where}, but not all the others joined"
    assert line.startswith(f"error: {missing}; check that all processes were started, ")
    assert found.returncode == 2


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGTERM, 143, "stopped because of SIGTERM; "),
        pytest.param(signal.SIGINT, 130, "interrupted", marks=pytest.mark.slow),
    ],
)
def test_a_signal_is_answered_while_the_others_are_waited_for(number, status, said):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = free.getsockname()
    flags = ["--coordinator={}:{}".format(*where), "--num_processes=2", "--process_id=0"]
    process = subprocess.Popen(
        [sys.executable, "-c", JOIN, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while process.poll() is None:
        time.sleep(0.1)
        with contextlib.suppress(OSError), socket.create_connection(where):
            break
    process.send_signal(number)
    (line,) = process.communicate(timeout=60)[0].decode().splitlines()
    assert line.startswith(said)
    assert process.returncode == status


def start(environment=None, **options):
    # `debug` leaves JAX's log as it is, which is that of all tests in this process.
    return distributed.start(distributed.Together(**options), environment or {}, debug=True)


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ({"coordinator": "here"}, {}, "--coordinator is 'here'"),
        ({"num_processes": 2, "process_id": 0}, {}, "--coordinator is ''"),
        ({"coordinator": "a:1", "num_processes": 2}, {}, "--process_id is -1"),
        ({"coordinator": "a:1", "num_processes": 2, "process_id": 2}, {}, "--process_id is 2"),
        ({}, {"JAX_PROCESS_ID": "one"}, "JAX_PROCESS_ID is 'one'"),
        ({}, {"JAX_COORDINATOR_ADDRESS": "a:1"}, "--num_processes -1"),
        ({"lost_after": 0}, {}, "--lost_after"),
    ],
)
def test_a_mistake_is_told(options, environment, message):
    with pytest.raises(UserError, match=message):
        start(environment, **options)


def test_one_process_is_alone_unless_it_is_told_otherwise(monkeypatch):
    asked = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **given: asked.append(given))
    batch_step = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
    for environment in ({}, {"TPU_WORKER_HOSTNAMES": "localhost"}, batch_step):
        assert not start(environment)
    assert not asked
    for environment in (
        {"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "n[1-4]"},
        {"OMPI_COMM_WORLD_SIZE": "2"},
        {"TPU_WORKER_HOSTNAMES": "a,b"},
        {"MEGASCALE_COORDINATOR_ADDRESS": "a"},
    ):
        start(environment)
        assert "coordinator_address" not in asked.pop()
    named = {"COORDINATOR_ADDRESS": "a:1", "NUM_PROCESSES": "3", "PROCESS_ID": "2"}
    start({f"JAX_{name}": value for name, value in named.items()})
    (given,) = asked
    assert (given["coordinator_address"], given["num_processes"], given["process_id"]) == (
        "a:1",
        3,
        2,
    )


class Device:
    def __init__(self, process):
        self.process_index = process


@pytest.mark.parametrize(
    ("shape", "owners", "expected"),
    [
        ((2, 2, 1, 1), (0, 0, 1, 1), [(0, 2), (1, 2)]),
        ((2, 1, 1, 2), (0, 0, 1, 1), [(0, 2), (1, 2)]),
        ((1, 1, 2, 2), (0, 0, 1, 1), [(0, 1), (0, 1)]),
        ((2, 1, 1, 4), (0, 0, 1, 1, 2, 2, 3, 3), [(0, 2), (0, 2), (1, 2), (1, 2)]),
        ((3, 1, 1, 2), (0, 0, 0, 1, 1, 1), None),
    ],
)
def test_processes_bring_the_rows_that_their_devices_hold(monkeypatch, shape, owners, expected):
    devices = sharding.np.empty(len(owners), object)
    devices[:] = [Device(owner) for owner in owners]
    mesh = type("Mesh", (), {"devices": devices.reshape(shape)})()
    mesh.shape = dict(zip(sharding.MESH_AXES, shape, strict=True))
    for process in range(max(owners) + 1):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        if expected is None:
            with pytest.raises(UserError, match="unequal shares"):
                sharding.host_of(mesh)
        else:
            assert sharding.host_of(mesh) == expected[process]


# Other devices add up in another order. Adam at the 2e-3 of the demonstration makes that last digit
# of the first step 4e-5 of the loss after ten steps, and at this 1e-6, whatever ran where.
CALM = "--config.train.learning_rate=3e-4"


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices_and_processes(runs, tools, tmp_path):
    alone, folder = tmp_path / "alone", tmp_path / "run"
    runs.finish(alone, CALM, record=alone.with_name("rows.jsonl"))
    records = []

    def named(count):
        records.extend(tmp_path / f"rows-{len(records) + i}.jsonl" for i in range(count))
        return records[-count:]

    def good():
        return {path.parent.name for path in folder.glob("checkpoints/*/checksums.json")}

    def until_saved(started):
        before = good()
        assert started[-1].wait_for(lambda: good() - before), started[0].output
        return started

    def said_by(running):
        return running.output.splitlines()

    # 8 devices of one process, killed.
    (eight,) = until_saved([runs.start(folder, CALM, devices=8, record=named(1)[0])])
    eight.kill()
    assert "on 8 x cpu" in eight.output

    # Two processes; one is asked to stop, and both do.
    two = until_saved(runs.start_two(folder, CALM, records=named(2)))
    two[1].stop()
    assert [running.wait() for running in two] == [0, 0], two[0].output + two[1].output
    assert "on 2 x cpu" in two[0].output
    assert said_by(two[0])[-1].startswith("stopped "), two[0].output

    # 4 devices of one process, killed.
    (four,) = until_saved([runs.start(folder, CALM, devices=4, record=named(1)[0])])
    four.kill()
    assert "going on from the checkpoint at step" in four.output

    # Two processes of 2 devices; one dies, the other ends.
    began = time.monotonic()
    two = runs.start_two(folder, CALM, records=named(2), devices=2)
    assert two[0].wait_for(lambda: "going on from" in two[0].output), two[0].output
    two[1].kill()
    assert two[0].wait(120) == shutdown.EXIT_LOST
    assert time.monotonic() - began < 300
    (line,) = [x for x in said_by(two[0]) if x.startswith("error: ")]
    assert line.startswith("error: process 0 of 2 stopped because process 1 no longer responds")

    # Two processes to the end: only the first reports.
    last = runs.finish_two(folder, CALM, records=named(2))
    assert "report:" in last[0]
    for printed in ("run folder:", "step 10/10", "report:", "model:"):
        assert printed not in last[1]

    tools.near(alone, folder)
    expected = tools.rows_of(alone.with_name("rows.jsonl"))
    assert {step for step, _ in expected} == set(range(10))
    assert tools.rows_of(*(path for path in records if path.exists())) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "kind", "victim"),
    [
        ("data", "mistake", 1),
        ("data", "SIGKILL", 0),
        ("training", "mistake", 0),
        ("training", "SIGKILL", 1),
        ("checkpoint", "refusal", 1),
        ("last evaluation", "SIGINT", 0),
        ("last evaluation", "SIGKILL", 0),
        ("report", "refusal", 0),
        ("model", "mistake", 1),
        ("model", "SIGKILL", 1),
    ],
)
def test_a_process_that_ends_anywhere_in_a_run_ends_the_other(runs, tmp_path, place, kind, victim):
    faults = ["", ""]
    faults[victim] = f"{place}:{kind}"
    two = runs.start_two(tmp_path / "run", faults=faults, lost_after=5)
    statuses = [running.wait(300) for running in two]
    own, line, others, reason = ENDS[kind]
    assert (statuses[victim], statuses[1 - victim]) == (own, others), two[0].output + two[1].output
    for index, running in enumerate(two):
        expected = line if index == victim else f"error: process {index} of 2 stopped {reason}"
        lines = running.output.splitlines()
        assert lines[-1].startswith(expected.format(victim=victim)), running.output
        assert not [x for x in lines[:-1] if re.match(r"[EF]\d{4} |error|terminate|Trace", x)]


@pytest.mark.slow
def test_two_processes_make_a_policy_and_let_it_answer(runs, tools, tmp_path):
    alone, folder = tmp_path / "alone", tmp_path / "two"
    settings = tools.policy_settings(generate=6)
    runs.finish(alone, config="dpo", settings=settings, devices=2)
    first, second = runs.finish_two(folder, config="dpo", settings=settings)
    assert "report:" in first and "report:" not in second
    for part in ("sft", "."):
        tools.near(alone / part, folder / part)
    for name in ("answers-before.jsonl", "answers-after.jsonl"):
        answers = (folder / "eval" / name).read_text()
        assert len(answers.splitlines()) == 6
        assert answers == (alone / "eval" / name).read_text()
