"""Shell scripts pass shellcheck, manifests follow their schema, images have their files."""

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"

SCRIPTS = [*sorted(LAUNCH.glob("*.sh")), LAUNCH / "slurm.sbatch", ROOT / ".ci" / "run"]
SCHEMA = json.loads(Path(__file__).with_name("jobset.schema.json").read_text())
TPU = ["--tpu=tpu-v6e-slice", "--topology=4x4"]
GPU = ["--gpu=nvidia-h100-80gb", "--nodes=2"]


def shellcheck():
    beside = Path(sys.executable).with_name("shellcheck")
    return str(beside) if beside.exists() else shutil.which("shellcheck")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script):
    program = shellcheck()
    if program is None:
        pytest.skip("shellcheck is not installed; it comes with the extra `test`")
    run = subprocess.run(
        [program, "--external-sources", str(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_stops_at_the_first_error_and_runs_no_text(script):
    text = script.read_text()
    if script.name != "lib.sh":
        assert "set -euo pipefail" in text
    assert not re.search(r"\beval\b", text)


def manifest(fake, *options, training=("--config=c", "--x=$(HOSTNAME) b")):
    run = fake.run("gke.py", "--dry-run", "--name=rm", "--image=i:1", *options, "--", *training)
    assert run.returncode == 0, run.stderr
    command, *body, end = run.stdout.splitlines()
    assert command.startswith("kubectl ")
    assert end == "EOF"
    return json.loads("\n".join(body))


def only(found):
    (job,) = found["spec"]["replicatedJobs"]
    return job["replicas"], job["template"]["spec"]


@pytest.mark.parametrize(
    "options",
    [
        TPU,
        [*TPU, "--slices=4", "--spot", "--bucket=b", "--service-account=s", "--queue=q"],
        ["--tpu=tpu-v5-lite-device", "--topology=2x4"],
        GPU,
        ["--gpu=nvidia-l4", "--gpus=1"],
        [*GPU, "--env=HF_TOKEN"],
    ],
)
def test_a_manifest_has_the_shape_of_a_jobset(fake, options):
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest(fake, *options))


def test_the_schema_refuses_a_slip():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    good = {"name": "a", "image": "b"}
    schema = {**SCHEMA, "$ref": "#/$defs/container"}
    for name in ("type", "required", "properties", "additionalProperties"):
        schema.pop(name, None)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(good)
    for slip in ({"argz": []}, {"args": "text"}, {"env": [{"name": "X", "value": 1}]}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**good, **slip})


@pytest.mark.parametrize(
    ("options", "jobs", "hosts", "chips"),
    [
        (["--tpu=tpu-v6e-slice", "--topology=4x4"], 1, 4, {"google.com/tpu": "4"}),
        (["--tpu=tpu-v6e-slice", "--topology=2x2", "--slices=3"], 3, 1, {"google.com/tpu": "4"}),
        (["--tpu=tpu-v5-lite-device", "--topology=2x4"], 1, 1, {"google.com/tpu": "8"}),
        (["--tpu=tpu-v5p-slice", "--topology=2x2x4"], 1, 4, {"google.com/tpu": "4"}),
        (GPU, 1, 2, {"nvidia.com/gpu": "8"}),
    ],
)
def test_pods_are_the_hosts_and_ask_for_their_chips(fake, options, jobs, hosts, chips):
    replicas, job = only(manifest(fake, *options))
    assert replicas == jobs
    assert job["parallelism"] == job["completions"] == hosts
    (container,) = job["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == chips


def test_arguments_reach_training_as_they_are(fake):
    _, job = only(manifest(fake, *TPU))
    (container,) = job["template"]["spec"]["containers"]
    assert container["args"] == ["--config=c", "--x=$$(HOSTNAME) b", "--distributed"]


def test_gpu_nodes_are_told_how_to_join(fake):
    _, job = only(manifest(fake, *GPU))
    (container,) = job["template"]["spec"]["containers"]
    told = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert told["JAX_COORDINATOR_ADDRESS"] == "rm-run-0-0.rm:8471"
    assert told["JAX_NUM_PROCESSES"] == "2"
    assert "JAX_PROCESS_ID" in told
    assert "--distributed" not in container["args"]


def test_secrets_are_references(fake):
    _, job = only(manifest(fake, *TPU, "--env", "HF_TOKEN", "--env=WANDB_API_KEY", "--secret=mine"))
    (container,) = job["template"]["spec"]["containers"]
    for name in ("HF_TOKEN", "WANDB_API_KEY"):
        reference = {"secretKeyRef": {"name": "mine", "key": name}}
        assert {"name": name, "valueFrom": reference} in container["env"]


def test_crashes_restart_all_and_mistakes_end_all(fake):
    found = manifest(fake, *TPU, "--max-restarts=7")
    assert found["spec"]["failurePolicy"]["maxRestarts"] == 7
    _, job = only(found)
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name=a_b", *TPU], "--name has small letters"),
        (["--name=a"], "set either --tpu and --topology, or --gpu"),
        (["--name=a", "--tpu=tpu-v9", "--topology=2x2"], "choose one of tpu-v4-podslice"),
        (["--name=a", "--tpu=tpu-v6e-slice", "--topology=16"], "such as 2x4"),
        (["--name=a", "--tpu=tpu-v6e-slice", "--topology=3x2"], "does not divide into hosts"),
        (["--name=a", *GPU, "--env=A-B"], "--env takes the name of a variable"),
        (["--name=a", *GPU, "--gpus=0"], "--gpus must be at least 1"),
        (["--name=a", *GPU, "--nodez=2"], "unrecognized arguments: --nodez=2"),
    ],
)
def test_a_mistake_is_one_line(fake, options, message):
    run = fake.run("gke.py", "--image=i", *options, "--", "--config=c")
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_it_is_applied_with_kubectl(fake):
    kubectl = (
        '#!/usr/bin/env bash\necho "$@" >>"$FAKE/calls"\n[[ $* != *apply* ]] || cat >"$FAKE/in"\n'
    )
    fake.program("kubectl", kubectl)
    run = fake.run("gke.py", "--name=rm", "--image=i", *TPU, "--replace", "--", "--config=c")
    assert run.returncode == 0, run.stderr
    assert fake.lines("calls") == [
        "--namespace=default delete jobset rm --ignore-not-found",
        "--namespace=default apply --filename=-",
    ]
    assert json.loads((fake.folder / "in").read_text())["kind"] == "JobSet"
    assert "jobset.sigs.k8s.io/jobset-name=rm" in run.stdout


def test_the_image_takes_files_that_are_there_and_extras_that_exist():
    text = (LAUNCH / "Dockerfile").read_text().replace("\\\n", " ")
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (.*) \S+$", text, re.M):
        for name in line.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in ignored
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = set(setup["options.extras_require"])
    assert {"cuda", "tpu"} <= extras
    (default,) = re.findall(r"^ARG EXTRA=(\w+)$", text, re.M)
    assert default in extras
    (image,) = re.findall(r"^FROM (\S+)$", text, re.M)
    assert ":" in image
    assert not image.endswith(":latest")
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.M)
    assert (ROOT / json.loads(entry)[1]).exists()
