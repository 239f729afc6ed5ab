#!/usr/bin/env python3
"""Trains on a GKE cluster: writes a JobSet and applies it with kubectl.

    launch/gke.py --name=rm --image=REGION-docker.pkg.dev/PROJECT/REPO/mapl_jax:TAG \
        --tpu=tpu-v6e-slice --topology=4x4 --bucket=my-bucket -- \
        --config=configs/rm.py:qwen2.5-7b --config.data.train=org/name:train \
        --workdir=/bucket/runs/rm

The image is that of launch/Dockerfile. JobSet (https://jobset.sigs.k8s.io) starts all pods anew, up
to --max-restarts times, when one of them ends with anything but success; a run then goes on from
its last checkpoint. A mistake in arguments or data (exit status 2) ends it at once. Called again
with the same arguments it changes nothing. Values of --env never pass through here: they lie in a
secret of the cluster, made once by `kubectl create secret generic mapl-jax --from-env-file=FILE`
with a line HF_TOKEN=... in the file. Needs Python alone, nothing of the package.
"""

import argparse
import json
import math
import re
import shlex
import subprocess
import sys
from typing import Any, NoReturn

EXIT_MISTAKE = 2
PORT = 8471
# Chips of a host, by what GKE calls the machines; a slice of one host may have fewer.
CHIPS = {
    "tpu-v4-podslice": 4,
    "tpu-v5-lite-podslice": 4,
    "tpu-v5-lite-device": 8,
    "tpu-v5p-slice": 4,
    "tpu-v6e-slice": 4,
    "tpu7x": 4,
}


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Ends with the status of a user's mistake."""
        print(f"error: {message}", file=sys.stderr)
        sys.exit(EXIT_MISTAKE)


def main(argv: list[str]) -> int:
    """Writes the manifest and applies it."""
    own, training = split(argv)
    options = parser().parse_args(own)
    check(options, training)
    text = json.dumps(manifest(options, training), indent=2)
    select = [f"--context={options.context}"] if options.context else []
    kubectl = ["kubectl", *select, f"--namespace={options.namespace}"]
    follow = [
        *kubectl,
        "logs",
        "--follow",
        "--selector",
        f"jobset.sigs.k8s.io/jobset-name={options.name}",
    ]
    commands = [[*kubectl, "apply", "--filename=-"]]
    if options.replace:
        commands.insert(0, [*kubectl, "delete", "jobset", options.name, "--ignore-not-found"])
    if options.dry_run:
        *before, last = map(shlex.join, commands)
        print("\n".join([*before, f"{last} <<'EOF'", text, "EOF"]))
        return 0
    for command in commands:
        given = text if "apply" in command else None
        try:
            done = subprocess.run(command, input=given, text=True, check=False)
        except FileNotFoundError:
            parser().error("kubectl is not installed")
        if done.returncode:
            return done.returncode
    print(f"logs: {shlex.join(follow)}")
    return 0


def split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Options of this script, and those of training, which follow after --."""
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def parser() -> Parser:
    """The options."""
    made = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--name", required=True, help="of the JobSet")
    add("--image", required=True, help="made by launch/Dockerfile")
    add("--tpu", default="", help=f"kind of TPU machine: {', '.join(CHIPS)}")
    add("--topology", default="", help="of a TPU slice, such as 4x4")
    add("--slices", type=int, default=1, help="TPU slices of the run (default: 1)")
    add("--gpu", default="", help="kind of GPU instead, such as nvidia-h100-80gb")
    add("--gpus", type=int, default=8, help="GPUs of a node (default: 8)")
    add("--nodes", type=int, default=1, help="GPU nodes (default: 1)")
    add("--bucket", default="", help="Cloud Storage bucket to mount as /bucket in every pod")
    add("--service-account", default="", help="Kubernetes account that may write to the bucket")
    add("--max-restarts", type=int, default=100, help="of the whole run (default: 100)")
    add(
        "--grace", type=int, default=300, help="seconds to save when a pod has to go (default: 300)"
    )
    add("--spot", action="store_true", help="on nodes that may be taken away")
    add(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="variable of every pod, such as HF_TOKEN, whose value the secret has under this name; "
        "may come several times",
    )
    add("--secret", default="mapl-jax", help="Kubernetes secret of --env (default: mapl-jax)")
    add("--queue", default="", help="local queue of Kueue, if the cluster has it")
    add("--namespace", default="default", help="of Kubernetes (default: default)")
    add("--context", default="", help="of kubectl (default: its current one)")
    add("--replace", action="store_true", help="delete the JobSet of this name first")
    add("--dry-run", action="store_true", help="print what would be run, and run nothing")
    return made


def check(options: argparse.Namespace, training: list[str]) -> None:
    """Ends with one line if the options do not fit together."""
    fail = parser().error
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", options.name):
        fail(f"--name has small letters, digits and -, at most 40, not {options.name!r}")
    if bool(options.tpu) == bool(options.gpu):
        fail("set either --tpu and --topology, or --gpu")
    if options.tpu and options.tpu not in CHIPS:
        fail(f"--tpu is {options.tpu!r}; choose one of {', '.join(CHIPS)}")
    if options.tpu and not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", options.topology):
        fail(f"--topology is {options.topology!r}; such as 2x4 or 4x4x8 is needed")
    if not all(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) for name in options.env):
        fail("--env takes the name of a variable; its value is in the secret, see --secret")
    for name in ("slices", "gpus", "nodes", "grace"):
        if getattr(options, name) < 1:
            fail(f"--{name} must be at least 1")
    if options.max_restarts < 0:
        fail("--max-restarts must be at least 0")
    if not training:
        fail("no options of training given; they follow after --")


def manifest(options: argparse.Namespace, training: list[str]) -> dict[str, Any]:
    """The JobSet: one job a slice, one pod a host."""
    hosts, chips, resource = size(options)
    jobs = options.slices if options.tpu else 1
    several = hosts * jobs > 1
    container: dict[str, Any] = {
        "name": "train",
        "image": options.image,
        # The shell script passes SIGTERM on, and tells by its status what Kubernetes cannot know.
        "command": ["bash", "launch/box.sh", "--no-install", "--max-restarts=0", "--"],
        # Kubernetes would replace $(NAME).
        "args": [
            *(argument.replace("$(", "$$(") for argument in training),
            *(["--distributed"] if options.tpu and several else []),
        ],
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
        "ports": [{"containerPort": PORT}],
        "resources": {"limits": {resource: str(chips)}, "requests": {resource: str(chips)}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": options.grace,
        "nodeSelector": nodes(options),
        "tolerations": [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [container],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    }
    annotations: dict[str, str] = {}
    if options.spot:
        pod["tolerations"].append(
            {"key": "cloud.google.com/gke-spot", "operator": "Exists", "effect": "NoSchedule"}
        )
    if options.service_account:
        pod["serviceAccountName"] = options.service_account
    if options.bucket:
        annotations["gke-gcsfuse/volumes"] = "true"
        container["volumeMounts"].append({"name": "bucket", "mountPath": "/bucket"})
        attributes = {"bucketName": options.bucket, "mountOptions": "implicit-dirs"}
        driver = {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": attributes}
        pod["volumes"].append({"name": "bucket", "csi": driver})
    container["env"] += [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": options.secret, "key": name}}}
        for name in options.env
    ]
    if options.gpu and several:
        container["env"] += joining(options.name, hosts)
    metadata: dict[str, Any] = {"name": options.name}
    if options.queue:
        metadata["labels"] = {"kueue.x-k8s.io/queue-name": options.queue}
    if options.tpu:
        # Each job has a slice to itself.
        metadata["annotations"] = {
            "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
        }
    job = {
        "parallelism": hosts,
        "completions": hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": "train",
                        "operator": "In",
                        "values": [EXIT_MISTAKE],
                    },
                }
            ]
        },
        "template": {"metadata": {"annotations": annotations}, "spec": pod},
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "network": {"enableDNSHostnames": True},
            "failurePolicy": {
                "maxRestarts": options.max_restarts,
                "rules": [{"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}],
            },
            "replicatedJobs": [{"name": "run", "replicas": jobs, "template": {"spec": job}}],
        },
    }


def size(options: argparse.Namespace) -> tuple[int, int, str]:
    """Hosts of a slice, chips of a host, and what Kubernetes calls the chips."""
    if options.gpu:
        return options.nodes, options.gpus, "nvidia.com/gpu"
    chips = math.prod(map(int, options.topology.split("x")))
    host = min(chips, CHIPS[options.tpu])
    if chips % host:
        parser().error(f"--topology={options.topology} does not divide into hosts of {host} chips")
    return chips // host, host, "google.com/tpu"


def nodes(options: argparse.Namespace) -> dict[str, str]:
    """Labels of the machines that will do."""
    if options.gpu:
        labels = {"cloud.google.com/gke-accelerator": options.gpu}
    else:
        labels = {
            "cloud.google.com/gke-tpu-accelerator": options.tpu,
            "cloud.google.com/gke-tpu-topology": options.topology,
        }
    return labels | ({"cloud.google.com/gke-spot": "true"} if options.spot else {})


def joining(name: str, hosts: int) -> list[dict[str, Any]]:
    """How pods without a TPU slice find each other: JobSet gives pod 0 a name of its own."""
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    return [
        {"name": "JAX_COORDINATOR_ADDRESS", "value": f"{name}-run-0-0.{name}:{PORT}"},
        {"name": "JAX_NUM_PROCESSES", "value": str(hosts)},
        {"name": "JAX_PROCESS_ID", "valueFrom": {"fieldRef": {"fieldPath": index}}},
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
