"""A Slurm job: submitted once, queued again when it should be; and two real processes train."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Runs a job at once, and again as long as it is queued again.
SBATCH = r"""#!python
import os, subprocess, sys
from pathlib import Path

fake = Path(os.environ["FAKE"])
with (fake / "sbatch").open("a") as log:
    print(*sys.argv[1:], sep="\n", file=log)
script = next(i for i, arg in enumerate(sys.argv) if i and not arg.startswith("--"))
options = dict(arg[2:].partition("=")[::2] for arg in sys.argv[1:script])
log = options["output"].replace("%x", options["job-name"]).replace("%j", "4242")
queued = fake / "queued"
queued.touch()
restarts, status = 0, 0
while queued.exists():
    queued.unlink()
    environment = {
        **os.environ,
        "SLURM_JOB_ID": "4242",
        "SLURM_RESTART_COUNT": str(restarts),
        "FAKE_TASKS": str(int(options["nodes"]) * int(options["ntasks-per-node"])),
    }
    with open(log, "a") as output:
        job = subprocess.Popen(
            ["bash", *sys.argv[script:]], env=environment, stdout=output, stderr=output
        )
        (fake / "job").write_text(str(job.pid))
        status = job.wait()
    restarts += 1
(fake / "status").write_text(str(status))
print("4242")
"""
# Starts the tasks of a step as processes, hands on SIGTERM, and ends as the worst of them.
SRUN = r"""#!python
import os, signal, subprocess, sys

arguments = sys.argv[1:]
options = {}
while arguments[0].startswith("--"):
    name, _, value = arguments.pop(0)[2:].partition("=")
    options[name] = value
tasks = int(options.get("ntasks", os.environ["FAKE_TASKS"]))
started = [
    subprocess.Popen(
        arguments,
        env={
            **os.environ,
            "SLURM_STEP_NODELIST": "127.0.0.1",
            "SLURM_NTASKS": str(tasks),
            "SLURM_PROCID": str(task),
            "SLURM_LOCALID": "0",
        },
    )
    for task in range(tasks)
]
signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in started])
sys.exit(max(task.wait() for task in started))
"""
SCONTROL = '#!/usr/bin/env bash\n[[ "$*" == "requeue 4242" ]] && touch "$FAKE/queued"\n'
SQUEUE = '#!/usr/bin/env bash\necho "$@" >>"$FAKE/squeue"\ncat "$FAKE/jobs" 2>/dev/null\nexit 0\n'


@pytest.fixture
def cluster(fake):
    for name, text in {
        "sbatch": SBATCH,
        "srun": SRUN,
        "scontrol": SCONTROL,
        "squeue": SQUEUE,
        "python3.13": fake.PYTHON,
    }.items():
        fake.program(name, text)
    return fake


def submit(cluster, *options, training=("--config=c", "--x=a b")):
    return cluster.run(
        "slurm.sh", f"--logs={cluster.folder}/logs", *options, "--", *training, timeout=300
    )


def status(cluster):
    return int((cluster.folder / "status").read_text())


def log(cluster):
    return (cluster.folder / "logs" / "mapl_jax-4242.log").read_text()


def test_a_job_installs_once_and_trains_in_every_task(cluster):
    cluster.plan(0, 0)
    run = submit(cluster, "--nodes=2", "--gpus-per-node=8", f"--venv={cluster.folder}/v")
    assert run.returncode == 0, run.stderr
    assert status(cluster) == 0, log(cluster)
    calls = cluster.lines("python")
    assert calls.count("-m mapl_jax.train --config=c --x=a b") == 2
    assert sum("--editable" in line for line in calls) == 1
    options = cluster.lines("sbatch")
    assert {"--nodes=2", "--gpus-per-node=8", "--requeue", "--signal=B:TERM@300"} <= set(options)


def test_a_job_is_submitted_once(cluster):
    (cluster.folder / "jobs").write_text("77\n")
    run = submit(cluster)
    assert run.returncode == 0
    assert "job 77 is there already" in run.stderr
    assert not cluster.lines("sbatch")
    assert cluster.lines("squeue") == ["--me --noheader --name=mapl_jax --format=%i"]


def test_a_crash_queues_it_again_and_a_mistake_does_not(cluster):
    venv = f"--venv={cluster.folder}/v"
    cluster.plan(134, 0)
    assert submit(cluster, venv).returncode == 0
    assert status(cluster) == 0
    assert "ended with status 134; the job is queued again" in log(cluster)
    cluster.plan(2, 0)
    submit(cluster, venv)
    assert status(cluster) == 2
    assert cluster.lines("plan") == ["0"]
    cluster.plan(1, 1, 1)
    submit(cluster, venv, "--max-restarts=1")
    assert status(cluster) == 1
    assert "gave up after 1 restarts" in log(cluster)


def test_the_signal_before_the_time_limit_saves_and_queues_again(cluster):
    cluster.plan("long", 0)
    process = subprocess.Popen(
        cluster.command(
            "slurm.sh",
            f"--logs={cluster.folder}/logs",
            f"--venv={cluster.folder}/v",
            "--",
            "--config=c",
        ),
        env=cluster.environment,
    )
    deadline = time.monotonic() + 60
    while not (cluster.folder / "training").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    subprocess.run(["kill", "-TERM", (cluster.folder / "job").read_text()], check=True)
    assert process.wait(timeout=60) == 0
    assert status(cluster) == 0
    assert "saved" in log(cluster)
    assert "stopped after saving; the job is queued again" in log(cluster)
    assert cluster.lines("python").count("-m mapl_jax.train --config=c") == 2


def test_a_dry_run_prints_what_would_be_submitted(cluster):
    run = submit(cluster, "--dry-run", "--nodes=4", "--time=1:00:00", training=("--a=b c",))
    folder, line = run.stdout.splitlines()
    assert folder == f"mkdir -p {cluster.folder}/logs"
    assert line.startswith("sbatch --parsable --job-name=mapl_jax --nodes=4")
    assert line.endswith(rf"{ROOT}/launch/slurm.sbatch {ROOT} 100 -- --a=b\ c")
    assert not cluster.lines("squeue")


def test_a_secret_is_passed_on_by_name(cluster):
    cluster.environment["HF_TOKEN"] = "hf_a"
    run = submit(cluster, "--dry-run", "--env=HF_TOKEN", "--extra=cuda,gs")
    assert "--export=ALL,HF_TOKEN" in run.stdout
    assert "--extra=cuda,gs" in run.stdout
    assert "hf_a" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("options", "training", "message"),
    [
        (["--nodes=two"], ["--config=c"], "--nodes must be a number, not two"),
        (["--name=a;b"], ["--config=c"], "--name has letters"),
        ([], [], "no options of training given"),
        (["--env=NOT_SET"], ["--config=c"], "--env=NOT_SET: it is not set"),
    ],
)
def test_a_mistake_is_one_line(cluster, options, training, message):
    run = submit(cluster, *options, training=training)
    assert run.returncode == 2
    assert message in run.stderr
    assert not cluster.lines("sbatch")


@pytest.mark.slow
def test_two_tasks_train_together_are_stopped_and_go_on(cluster):
    """The real package: two processes find each other through Slurm's variables."""
    workdir = cluster.folder / "run"
    # The python of these tests; one device a task.
    cluster.program("python", f'#!/usr/bin/env bash\nexec "{sys.executable}" "$@"\n')
    cluster.environment |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    training = (
        "--config=configs/rm.py:tiny",
        f"--workdir={workdir}",
        "--config.train.steps=40",
        "--config.train.save_every=5",
        "--config.eval.rows_per_batch=2",
    )
    process = subprocess.Popen(
        cluster.command(
            "slurm.sh",
            f"--logs={cluster.folder}/logs",
            "--nodes=2",
            "--no-install",
            "--",
            *training,
        ),
        env=cluster.environment,
    )
    deadline = time.monotonic() + 400
    while not list(Path(workdir).glob("checkpoints/5/commit_success.txt")):
        assert process.poll() is None, log(cluster)
        assert time.monotonic() < deadline, log(cluster)
        time.sleep(0.1)
    subprocess.run(["kill", "-TERM", (cluster.folder / "job").read_text()], check=True)
    assert process.wait(timeout=400) == 0
    assert status(cluster) == 0, log(cluster)
    assert "the job is queued again" in log(cluster)
    assert "going on from the checkpoint at step" in log(cluster)
    assert "2 x cpu" in log(cluster)
    assert json.loads((workdir / "summary.json").read_text())["steps"] == 40
