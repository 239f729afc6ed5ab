"""A TPU VM is made or taken, filled, started on all workers, followed, and made anew when lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

# Two workers are two folders of this machine; a TPU is there as long as its state is.
GCLOUD = r"""#!python
import os, shutil, subprocess, sys
from pathlib import Path

fake = Path(os.environ["FAKE"])
assert sys.argv[1:3] == ["compute", "tpus"] and sys.argv[3] in ("tpu-vm", "queued-resources")
queued = sys.argv[3] == "queued-resources"
verb, *rest = sys.argv[4:]
with (fake / ("queue-log" if queued else "gcloud")).open("a") as log:
    print(verb, *rest, file=log)
options = dict(arg[2:].partition("=")[::2] for arg in rest if arg.startswith("--"))
names = [arg for arg in rest if not arg.startswith("--")]
assert options["zone"] == "zone-a"
state, homes = fake / "state", [fake / "worker-0", fake / "worker-1"]
# A request passes through the states of the file `queue`, one at each look, and stays in the last.
queue, requests = fake / "queue", fake / "requests"
if queued and verb == "describe":
    if not queue.exists():
        print("ERROR: NOT_FOUND: Resource was not found", file=sys.stderr)
        sys.exit(1)
    if state.exists() and state.read_text().strip() == "PREEMPTED":
        queue.write_text("SUSPENDED\n")
    now, *later = queue.read_text().split()
    queue.write_text("\n".join(later or [now]))
    print(now)
    if now == "ACTIVE" and not state.exists():
        for home in homes:
            home.mkdir()
        state.write_text("READY\n")
elif queued and verb == "create":
    assert options["node-id"] == names[0] and options["runtime-version"]
    waits = requests.read_text().splitlines() if requests.exists() else []
    queue.write_text(waits.pop(0) if waits else "ACTIVE")
    requests.write_text("".join(f"{line}\n" for line in waits))
elif queued:
    assert verb == "delete" and "force" in options and "quiet" in options
    queue.unlink()
    if state.exists():
        state.unlink()
        for home in homes:
            shutil.rmtree(home)
elif verb == "describe":
    if not state.exists():
        print("ERROR: NOT_FOUND: Resource was not found", file=sys.stderr)
        sys.exit(1)
    print(state.read_text().strip())
elif verb == "create":
    full = fake / "full"
    if full.exists():
        full.unlink()
        sys.exit("ERROR: no more capacity in the zone")
    for home in homes:
        home.mkdir()
    state.write_text("READY\n")
elif verb == "delete":
    state.unlink()
    for home in homes:
        shutil.rmtree(home)
elif verb in ("scp", "ssh"):
    assert state.read_text().strip() == "READY" or verb == "ssh"
    if state.read_text().strip() != "READY":
        sys.exit(255)
    which = homes if options["worker"] == "all" else [homes[int(options["worker"])]]
    worst = 0
    for home in which:
        if verb == "scp":
            shutil.copy(names[0], home / names[1].partition(":")[2])
            continue
        environment = {**os.environ, "HOME": str(home), "FAKE": str(home)}
        # The environment here does not reach a host by itself.
        environment.pop("HF_TOKEN", None)
        # What a slice tells its hosts.
        environment |= {
            "JAX_COORDINATOR_ADDRESS": os.environ.get("FAKE_COORDINATOR", ""),
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(homes.index(home)),
        }
        run = subprocess.run(["bash", "-c", options["command"]], cwd=home, env=environment)
        worst = max(worst, run.returncode)
    sys.exit(worst)
else:
    sys.exit(f"unknown verb {verb}")
"""
NAME = ("--name=rm", "--zone=zone-a")
SHARED = "--workdir=bucket/r"
OWN = ("--type=v6e-16", "--poll=0.05", "--bucket=b")
UP = ("up", *NAME, *OWN, "--", "--config=c", "--x=a b;c", SHARED)


@pytest.fixture
def cloud(fake):
    fake.program("gcloud", GCLOUD)
    for name, text in (("mountpoint", "exit 1"), ("gcsfuse", "true")):
        fake.program(name, f"#!/usr/bin/env bash\n{text}\n")
    # Each worker has its own plan, and the TPU one state.
    plan = fake.PYTHON.replace("$FAKE/plan", "$FAKE/../plan-${FAKE##*/}")
    fake.program("python3.13", plan.replace("$FAKE/state", "$FAKE/../state"))
    return fake


def plan(cloud, *statuses):
    for worker in (0, 1):
        (cloud.folder / f"plan-worker-{worker}").write_text("".join(f"{s}\n" for s in statuses))


def verbs(cloud):
    return [line.split()[0] for line in cloud.lines("gcloud")]


def test_up_makes_the_tpu_and_trains_on_all_workers(cloud):
    plan(cloud, 0)
    run = cloud.run("tpu_vm.sh", *UP)
    assert run.returncode == 0, run.stderr
    assert verbs(cloud).count("create") == 1
    for worker in (0, 1):
        calls = cloud.lines(f"worker-{worker}/python")
        assert calls[-1] == f"-m mapl_jax.train --config=c --x=a b;c {SHARED} --distributed"
        assert any(line.endswith("mapl_jax[tpu]") for line in calls)
        assert (cloud.folder / f"worker-{worker}" / "mapl_jax" / "configs" / "rm.py").exists()
    assert "training: 0" in run.stdout
    assert "launch/tpu_vm.sh delete --name=rm --zone=zone-a" in run.stderr


def test_a_zone_without_room_is_asked_again(cloud):
    plan(cloud, 0)
    (cloud.folder / "full").touch()
    assert cloud.run("tpu_vm.sh", *UP).returncode == 0
    assert verbs(cloud).count("create") == 2
    cloud.run("tpu_vm.sh", "delete", *NAME)
    (cloud.folder / "full").touch()
    run = cloud.run("tpu_vm.sh", "up", "--max-restarts=0", *UP[1:])
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == "error: gave up making the TPU"


def test_a_tpu_that_is_there_is_taken(cloud):
    plan(cloud, 0, 0)
    for _ in range(2):
        assert cloud.run("tpu_vm.sh", *UP).returncode == 0
    assert verbs(cloud).count("create") == 1


def test_a_tpu_that_is_taken_away_is_made_anew_and_the_run_goes_on(cloud):
    plan(cloud, "taken", 0)
    run = cloud.run("tpu_vm.sh", *UP, timeout=120)
    assert run.returncode == 0, run.stderr
    assert verbs(cloud).count("create") == 2
    assert verbs(cloud).count("delete") == 1
    assert "the TPU was taken away" in run.stderr
    assert "restart 1 of 100" in run.stderr


def test_a_mistake_ends_it_and_a_crash_is_tried_again_so_often(cloud):
    plan(cloud, 2)
    assert cloud.run("tpu_vm.sh", *UP).returncode == 2
    plan(cloud, 1, 1, 1)
    run = cloud.run("tpu_vm.sh", "up", "--max-restarts=1", *UP[1:])
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == "error: gave up after 1 restarts"


def test_up_again_joins_the_run_and_stop_ends_it(cloud):
    plan(cloud, "long", 0)
    followers = [follow_up(cloud)]
    deadline = time.monotonic() + 60
    while not all((cloud.folder / f"worker-{i}" / "training").exists() for i in (0, 1)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    followers.append(follow_up(cloud))
    try:
        assert followers[1].stderr.readline() == "the run is going on\n"
    finally:
        # Whoever follows would start anew what is stopped here; the run needs no one who follows.
        for process in followers:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert cloud.run("tpu_vm.sh", "stop", *NAME).returncode == 0
    logs = cloud.run("tpu_vm.sh", "logs", *NAME)
    assert "saved" in logs.stdout
    assert logs.returncode == 75
    assert cloud.run("tpu_vm.sh", "delete", *NAME).returncode == 0
    assert cloud.run("tpu_vm.sh", "delete", *NAME).returncode == 0
    assert verbs(cloud).count("delete") == 1


def follow_up(cloud):
    return subprocess.Popen(
        cloud.command("tpu_vm.sh", *UP),
        env=cloud.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_dry_run_prints_every_command_and_runs_none(cloud):
    run = cloud.run("tpu_vm.sh", "up", "--dry-run", "--spot", *UP[1:])
    assert run.returncode == 0, run.stderr
    assert not cloud.lines("gcloud")
    lines = run.stdout.splitlines()
    assert all(line.startswith("gcloud compute tpus tpu-vm ") for line in lines)
    assert lines[1] == (
        "gcloud compute tpus tpu-vm create rm --accelerator-type=v6e-16 "
        "--version=v2-alpha-tpuv6e --spot --zone=zone-a"
    )
    assert [line.split()[4] for line in lines] == ["describe", "create", "scp", *["ssh"] * 7]
    assert any("mount_bucket.sh" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--zone=z"], "no name given; set --name=NAME"),
        (["--name=a"], "no zone given"),
        (["--name=a;b", "--zone=z"], "--name has small letters"),
        ([*NAME, "--", "--config=c"], "the TPU rm is not there; set --type=TYPE"),
        ([*NAME, "--tpye=v6e-8"], "unknown option --tpye=v6e-8"),
        (["up", *NAME, "--type=v6e-16", "--", "--config=c", SHARED], "set --bucket=NAME"),
        (["up", *NAME, *OWN, "--", "--config=c"], "--workdir=bucket/runs/rm after --"),
        (["up", *NAME, "--type=v5p-16", "--", "--workdir=runs/a"], "v5p-16 has several hosts"),
        ([*NAME, "--env=NOT_SET"], "--env=NOT_SET: it is not set"),
        ([*NAME, "--env"], "--env needs a value"),
        ([*NAME, "--extra=a b"], "--extra has names of extras"),
        (["delete", *NAME, "--dry-run=true"], "--dry-run takes no value"),
    ],
)
def test_a_mistake_is_one_line(cloud, arguments, message):
    run = cloud.run("tpu_vm.sh", *arguments)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("error: ")
    assert message in run.stderr
    assert not {"create", "scp", "delete"} & set(verbs(cloud))


def test_one_host_needs_no_bucket(cloud):
    for kind in ("v6e-8", "v5litepod-4", "v4-8"):
        run = cloud.run("tpu_vm.sh", "up", *NAME, f"--type={kind}", "--dry-run", "--", "--config=c")
        assert run.returncode == 0, run.stderr


def test_a_queued_tpu_is_waited_for_and_given_back_with_its_request(cloud):
    plan(cloud, 0)
    (cloud.folder / "requests").write_text(
        "WAITING_FOR_RESOURCES FAILED\nACCEPTED PROVISIONING ACTIVE\n"
    )
    run = cloud.run("tpu_vm.sh", "up", "--queued", "--spot", *UP[1:])
    assert run.returncode == 0, run.stderr
    assert "the TPU is WAITING_FOR_RESOURCES" in run.stderr
    assert "the request failed" in run.stderr
    assert "launch/tpu_vm.sh delete --name=rm --zone=zone-a --queued" in run.stderr
    created = [line for line in cloud.lines("queue-log") if line.startswith("create")]
    assert created == 2 * [
        "create rm --node-id=rm --accelerator-type=v6e-16 "
        "--runtime-version=v2-alpha-tpuv6e --spot --zone=zone-a"
    ]
    assert "create" not in verbs(cloud)
    assert cloud.run("tpu_vm.sh", "delete", "--queued", *NAME).returncode == 0
    assert not (cloud.folder / "queue").exists()


def test_a_queued_tpu_that_is_taken_away_is_asked_for_again(cloud):
    plan(cloud, "taken", 0)
    run = cloud.run("tpu_vm.sh", "up", "--queued", *UP[1:], timeout=120)
    assert run.returncode == 0, run.stderr
    assert "the TPU was taken away" in run.stderr
    asked = [line.split()[0] for line in cloud.lines("queue-log")]
    assert (asked.count("create"), asked.count("delete")) == (2, 1)


def test_secrets_reach_training_and_nothing_that_others_can_read(cloud):
    plan(cloud, 0)
    value = "hf_a b'$(c)\"d\\e"
    run = cloud.run("tpu_vm.sh", "up", "--env", "HF_TOKEN", *UP[1:], HF_TOKEN=value)
    assert run.returncode == 0, run.stderr
    for worker in (0, 1):
        home = cloud.folder / f"worker-{worker}"
        assert cloud.lines(f"worker-{worker}/token") == [value]
        assert (home / "mapl_jax.private").stat().st_mode & 0o077 == 0
        assert not list((home / "mapl_jax.private").iterdir())
        assert "hf_a" not in (home / "python").read_text() + (home / "mapl_jax.log").read_text()
    assert "hf_a" not in (cloud.folder / "gcloud").read_text() + run.stdout + run.stderr
    assert not list(cloud.folder.glob("mapl_jax.*"))


@pytest.mark.parametrize("script", ["tpu_vm.sh", "slurm.sh", "gke.py"])
def test_a_value_in_place_of_a_name_is_refused_and_not_repeated(cloud, script):
    given = "--image=i", "--gpu=h100"
    options = {"tpu_vm.sh": NAME, "slurm.sh": (), "gke.py": ("--name=a", *given)}[script]
    run = cloud.run(script, *options, "--env=HF_TOKEN=hf_a", "--", "--config=c", HF_TOKEN="hf_a")
    assert run.returncode == 2
    assert run.stderr.startswith("error: --env takes")
    assert "hf_a" not in run.stdout + run.stderr


def test_extras_are_installed_beside_that_of_the_tpu(cloud):
    run = cloud.run("tpu_vm.sh", "up", "--dry-run", "--extra=gs", "--extra", "beam", *UP[1:])
    assert run.stdout.replace("\\", "").count("--extra=tpu,gs,beam") == 2


def test_a_bucket_is_mounted_once(fake):
    run = fake.run("mount_bucket.sh", "--bucket=my-bucket", "--folder=x y", "--dry-run")
    assert run.stdout.splitlines()[-2:] == [
        r"mkdir -p x\ y",
        r"gcsfuse --implicit-dirs my-bucket x\ y",
    ]
    fake.program("mountpoint", "#!/usr/bin/env bash\n[[ $2 == there ]]\n")
    fake.program("gcsfuse", '#!/usr/bin/env bash\necho "$@" >>"$FAKE/calls"\n')
    for folder in ("there", "new"):
        assert fake.run("mount_bucket.sh", "--bucket=b1", f"--folder={folder}").returncode == 0
    assert fake.lines("calls") == ["--implicit-dirs b1 new"]
    assert fake.run("mount_bucket.sh", "--bucket=gs://b", "--folder=f").returncode == 2


REAL = """
"-m mapl_jax."*)
    export PYTHONPATH="$PWD" JAX_PLATFORMS=cpu
    exec "REAL" "$@"
    ;;
"""


@pytest.mark.slow
def test_two_workers_train_lose_their_tpu_and_go_on_on_a_new_one(cloud):
    """The real package on both workers; the bucket is a folder that outlives them."""
    start, end = '"-m mapl_jax."*)', "*) exit 99"
    before, _, rest = cloud.PYTHON.partition(start)
    training = REAL.replace("REAL", sys.executable).strip()
    cloud.program("python3.13", f"{before}{training}\n{end}{rest.partition(end)[2]}")
    bucket = cloud.folder / "storage"
    bucket.mkdir()
    # Mounts are links here.
    cloud.program("mountpoint", "#!/usr/bin/env bash\n[[ -L $2 ]]\n")
    link = '#!/usr/bin/env bash\nrmdir "$3" && ln -s "$STORAGE" "$3"\n'
    cloud.program("gcsfuse", link)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cloud.environment |= {"FAKE_COORDINATOR": f"127.0.0.1:{port}", "STORAGE": str(bucket)}
    process = subprocess.Popen(
        cloud.command(
            "tpu_vm.sh",
            "up",
            *NAME,
            *OWN,
            "--bucket=storage",
            "--",
            "--config=configs/rm.py:tiny",
            "--workdir=bucket/run",
            "--config.train.steps=40",
            "--config.train.save_every=5",
        ),
        env=cloud.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 300
        while not (bucket / "run" / "checkpoints" / "5" / "commit_success.txt").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # The TPU is gone, and with it everything that ran there.
        (cloud.folder / "state").write_text("PREEMPTED\n")
        for worker in (0, 1):
            keeper = int((cloud.folder / f"worker-{worker}" / "mapl_jax.log.pid").read_text())
            os.killpg(os.getpgid(keeper), signal.SIGKILL)
        output, _ = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    assert "the TPU was taken away" in output
    assert "going on from the checkpoint at step" in output
    assert verbs(cloud).count("create") == 2
    assert json.loads((bucket / "run" / "summary.json").read_text())["steps"] == 40
