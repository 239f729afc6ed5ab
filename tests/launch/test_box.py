"""One machine: installs once, starts again after a crash, passes on SIGTERM, tells how it ended."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def box(fake):
    fake.program("python3.13", fake.PYTHON)
    return fake


def trained(fake):
    return [line for line in fake.lines("python") if line.startswith("-m mapl_jax.")]


def installed(fake):
    return [line for line in fake.lines("python") if "pip install" in line]


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_installs_once_and_trains(box):
    box.plan(0, 0)
    arguments = (f"--venv={box.folder}/venv", "--extra=none", "--", "--config=a b.py", "--x=$(rm)")
    assert box.run("box.sh", *arguments).returncode == 0
    assert box.run("box.sh", *arguments).returncode == 0
    assert trained(box) == ["-m mapl_jax.train --config=a b.py --x=$(rm)"] * 2
    assert installed(box)[1:] == [f"-m pip install --quiet --editable {ROOT}"]


def test_an_extra_is_installed_beside_the_package(box):
    box.plan(0)
    assert box.run("box.sh", "--venv=v", "--extra=tpu", "--", "--config=c").returncode == 0
    assert installed(box)[-1].endswith(f"{ROOT}[tpu]")


def test_several_extras_are_installed_together(box):
    box.plan(0)
    given = "--extra=cuda", "--extra=gs,s3"
    assert box.run("box.sh", "--venv=v", *given, "--", "--config=c").returncode == 0
    assert installed(box)[-1].endswith(f"{ROOT}[cuda,gs,s3]")


def test_a_file_of_secrets_is_read_and_removed(box):
    box.plan(1, 0)
    file = box.folder / "env"
    file.write_text("HF_TOKEN=a\\ b\n")
    given = "--venv=v", "--extra=none", "--env-file=env"
    assert box.run("box.sh", *given, "--", "--config=c").returncode == 0
    assert box.lines("token") == ["a b", "a b"]
    assert not file.exists()


def test_a_crash_starts_it_again_and_a_mistake_does_not(box):
    box.plan(1, 139, 0)
    run = box.run("box.sh", "--venv=v", "--extra=none", "--", "--config=c")
    assert run.returncode == 0
    assert "ended with status 139; restart 2 of 3" in run.stderr
    box.plan(2, 0)
    assert box.run("box.sh", "--venv=v", "--extra=none", "--", "--config=c").returncode == 2
    box.plan(1, 1, 1, 0)
    run = box.run("box.sh", "--venv=v", "--extra=none", "--max-restarts=2", "--", "--config=c")
    assert run.returncode == 1
    assert box.lines("plan") == ["0"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_save_and_says_so(box, number):
    box.plan("long")
    process = subprocess.Popen(
        box.command("box.sh", "--venv=v", "--extra=none", "--", "--config=c"),
        env=box.environment,
        cwd=box.folder,
        stdout=subprocess.PIPE,
        text=True,
        # A shell that starts tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    wait_for(box.folder / "training")
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert "saved" in output
    assert process.returncode == 75


def test_a_detached_run_is_started_once_followed_and_stopped(box):
    box.plan("long", 0)
    arguments = ("--venv=v", "--extra=none", "--log=logs/run.log")
    assert box.run("box.sh", *arguments, "--running").returncode == 1
    assert box.run("box.sh", *arguments, "--detach", "--", "--config=c").returncode == 0
    wait_for(box.folder / "training")
    assert box.run("box.sh", *arguments, "--running").returncode == 0
    again = box.run("box.sh", *arguments, "--detach", "--", "--config=c")
    assert "running already" in again.stderr
    assert len(trained(box)) == 1
    follower = subprocess.Popen(
        box.command("box.sh", "--log=logs/run.log", "--follow"),
        env=box.environment,
        cwd=box.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert box.run("box.sh", *arguments, "--stop").returncode == 0
    output, _ = follower.communicate(timeout=30)
    assert follower.returncode == 75
    assert "training: long" in output
    assert (box.folder / "logs" / "run.log.status").read_text() == "75\n"
    assert box.run("box.sh", *arguments, "--running").returncode == 1


def test_a_dry_run_prints_what_would_run_and_runs_nothing(box):
    run = box.run("box.sh", "--dry-run", "--venv=new", "--extra=cuda", "--", "--a=b c", "--d=$(e)")
    new = f"{box.folder}/new"
    assert run.stdout.splitlines() == [
        f"python3.13 -m venv {new}",
        f"{new}/bin/python -m pip install --quiet --upgrade pip",
        f"{new}/bin/python -m pip install --quiet --editable {ROOT}\\[cuda\\]",
        f"cd {ROOT}",
        rf"{new}/bin/python -m mapl_jax.train --a=b\ c --d=\$\(e\)",
    ]
    assert not (box.folder / "new").exists()
    assert not installed(box)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vnev=x"], "unknown option --vnev=x"),
        (["--venv"], "--venv needs a value"),
        (["--max-restarts=two"], "--max-restarts must be a number, not two"),
        (["--config=c"], "unknown option --config=c (see --help); options of training follow"),
        (["train"], "unexpected argument train"),
        (["--command=train;ls"], "--command must be one word"),
        (["--extra=a b", "--", "--config=c"], "--extra has names of extras"),
        (["--detach", "--", "--config=c"], "--detach needs --log=FILE"),
        (["--a[$(touch pwned)]=1"], "unknown option"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(box, arguments, message):
    run = box.run("box.sh", *arguments)
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (box.folder / "pwned").exists()


@pytest.mark.parametrize("script", ["box.sh", "tpu_vm.sh", "slurm.sh", "mount_bucket.sh", "gke.py"])
def test_help_names_every_option(box, script):
    run = box.run(script, "--help")
    assert run.returncode == 0
    text = (ROOT / "launch" / script).read_text()
    options = set(re.findall(r"\bopt_([a-z_]+)=", text)) | set(
        re.findall(r'add\("--([a-z-]+)"', text)
    )
    assert options
    for option in options | {"dry-run"}:
        assert f"--{option.replace('_', '-')}" in run.stdout
