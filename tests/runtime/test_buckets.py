"""Runs, models and data in a bucket, over HTTP: s3fs and a server of this machine that talks S3."""

import gzip
import json
import signal
import subprocess
import sys
import time

import pytest

from mapl_jax import load_pairs
from mapl_jax.data import demo, tokenization
from mapl_jax.models import saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead
from mapl_jax.runtime.errors import UserError
from mapl_jax.training.metrics import TIMING_KEYS, read_metrics

from support import PAIR, ROOT, parquet, random_like, read_lines, run, write_lines

s3fs = pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")
pytestmark = [pytest.mark.buckets, pytest.mark.usefixtures("machine")]

LINE = (json.dumps(PAIR) + "\n").encode()
TRAIN = """
from mapl_jax import train
from mapl_jax.runtime import cli, storage
storage.SECONDS = 0.1
cli.launch(train.main, name="train", config="configs/rm.py")
"""


@pytest.fixture(scope="module")
def bucket():
    """A file system with the bucket `bucket`, which everything finds by the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        served = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        served.start()
        host, port = served.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem.clear_instance_cache()
        system = s3fs.S3FileSystem(use_listings_cache=False)
        system.mkdir("bucket")
        yield system
        served.stop()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def data(bucket):
    """Files of pairs, of several kinds."""
    pairs = demo.make_pairs(60)
    lines = [(json.dumps(pair) + "\n").encode() for pair in pairs]
    folder = "bucket/data"
    bucket.pipe_file(f"{folder}/train-00000-of-00001.jsonl.gz", gzip.compress(b"".join(lines[:40])))
    bucket.pipe_file(f"{folder}/test-00000-of-00001.jsonl", b"".join(lines[40:]))
    bucket.pipe_file(
        "bucket/other/a [1] ü.parquet",
        parquet({key: [PAIR[key]] for key in ("prompt", "chosen", "rejected")}),
    )
    bucket.pipe_file("bucket/other/notes/b.json", json.dumps([PAIR]).encode())
    return f"s3://{folder}"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("s3://bucket/data", 40),
        ("s3://bucket/data/", 40),
        ("s3://bucket/data/test-00000-of-00001.jsonl", 20),
        ("s3://bucket/data/*", 60),
        ("s3://bucket/other/*.parquet", 1),
        ("s3://bucket/other/a [1] ü.parquet", 1),
        ("s3://bucket/other/notes", 1),
        ("s3://bucket/data/t*.jsonl:0.5,s3://bucket/other/*.parquet", 11),
    ],
)
def test_data_is_read(data, source, count):
    assert len(load_pairs(source)) == count


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://bucket/nothing", "s3://bucket/nothing holds no data files"),
        ("s3://bucket/data/*.csv", "no file matches s3://bucket/data/*.csv"),
        ("s3://bucket/no.jsonl", "s3://bucket/no.jsonl: cannot read it: no such file"),
        ("s3://none/no.jsonl", "s3://none/no.jsonl: cannot read it: no such file"),
        ("s3://none/data", "s3://none/data: cannot read it: no such file"),
        ("s3://", "s3://: cannot read it: Cannot traverse all of S3"),
    ],
)
def test_what_is_not_there_is_told(data, source, said):
    with pytest.raises(UserError) as told:
        load_pairs(source)
    assert str(told.value) == said


def train(address, *arguments):
    size = ("--train.steps=12", "--train.save_every=2")
    return run("train", "--config=rm:tiny", *size, f"--workdir={address}", *arguments)


def chosen(config):
    return (f"--config={config}",) if config else ()


def killed(address, path, bucket, *arguments):
    """A training that is killed when the bucket holds a checkpoint of it."""
    size = ("--config=configs/rm.py:tiny", "--config.train.steps=12", "--config.train.save_every=2")
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, *size, f"--workdir={address}", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 300
    there = f"{path}/contents.json"
    while not (bucket.exists(there) and b"checkpoints/" in bucket.cat_file(there)):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_run_goes_on_elsewhere_and_every_command_reads_it(data, bucket, machine, tmp_path):
    sources = (f"--config.data.train={data}", f"--config.data.test={data}/test*")
    plain = tmp_path / "plain"
    assert train(plain, *sources).returncode == 0
    killed("s3://bucket/run", "bucket/run", bucket, *sources)
    machine("other")
    done = train("s3://bucket/run", *sources)
    assert done.returncode == 0, done.stderr
    assert "going on from the checkpoint at step" in done.stdout

    weights = bucket.cat_file("bucket/run/model/model.safetensors")
    assert weights == (plain / "model" / "model.safetensors").read_bytes()
    (tmp_path / "metrics.jsonl").write_bytes(bucket.cat_file("bucket/run/metrics.jsonl"))
    assert timeless(tmp_path / "metrics.jsonl") == timeless(plain / "metrics.jsonl")
    # No part of a checkpoint is left that the kill cut off.
    contents = json.loads(bucket.cat_file("bucket/run/contents.json"))
    there = {path.removeprefix("bucket/run/") for path in bucket.find("bucket/run")}
    assert there == {"contents.json", *contents["files"]}

    machine("reader")
    held_out = f"{data}/test-00000-of-00001.jsonl"
    checkpoint = "--checkpoint=s3://bucket/run"
    responses = write_lines(tmp_path / "answers.jsonl", {"prompt": "Why?", "response": "So."})
    bucket.put_file(str(responses), "bucket/answers.jsonl")
    for name, config, arguments in (
        ("evaluate", "evaluate", (checkpoint, f"--data={held_out}")),
        ("evaluate", "evaluate", (f"{checkpoint}/checkpoints/12", f"--data={held_out}")),
        ("evaluate", "evaluate:score",
         (checkpoint, "--input=s3://bucket/answers.jsonl", f"--output={tmp_path}/rewards.jsonl")),
        ("export", "", (checkpoint, f"--data={held_out}", f"--output={tmp_path}/model")),
        ("evaluate", "", ("--compare", "s3://bucket/run", plain, f"--output={tmp_path}/page")),
    ):  # fmt: skip
        read = run(name, *chosen(config), *arguments)
        assert read.returncode == 0, read.stderr
    assert len(read_lines(tmp_path / "rewards.jsonl")) == 1
    assert weights == (tmp_path / "model" / "model.safetensors").read_bytes()


def timeless(path):
    return [
        {name: value for name, value in line.items() if name not in TIMING_KEYS}
        for line in read_metrics(path)
    ]


def test_a_policy_in_a_bucket_answers_prompts_in_one(bucket, tmp_path):
    config = DecoderConfig(448, 16, 2, 2, 1, 8, 24, tie_embeddings=False, max_positions=512)
    params = random_like(LogpHead().abstract_params(config), 0.5)
    tokenizer = tokenization.train([pair["chosen"] for pair in demo.make_pairs(60)], 400)
    saving.save_params(tmp_path / "model", config, params, tokenizer=tokenizer)
    bucket.put(str(tmp_path / "model"), "bucket/policy", recursive=True)
    bucket.pipe_file("bucket/prompts.jsonl", b'{"prompt": "Why?"}\n{"prompt": "How?"}\n')
    output = tmp_path / "answers.jsonl"
    told = run(
        "generate",
        "--checkpoint=s3://bucket/policy",
        "--input=s3://bucket/prompts.jsonl",
        f"--output={output}",
        "--max_new_tokens=3",
        config="generate",
    )
    assert told.returncode == 0, told.stderr
    assert len(read_lines(output)) == 2


def test_pairs_in_a_bucket_get_instructions(data, tmp_path):
    arguments = (f"--input={data}", f"--output={tmp_path / 'samples'}", "--num_proc=1")
    assert run("synthesize", *arguments, config="synthesize").returncode == 0
    assert (tmp_path / "samples" / "samples-00000-of-00001.jsonl").is_file()


def test_no_bucket_is_made_and_no_file_of_another_is_replaced(data, bucket, machine):
    before = {path: bucket.cat_file(path) for path in bucket.find("bucket/data")}
    foreign = train(data)
    assert foreign.returncode == 2
    assert "holds no run, but other files (test-00000-of-00001.jsonl)" in foreign.stderr
    assert {path: bucket.cat_file(path) for path in bucket.find("bucket/data")} == before
    missing = train("s3://none/run")
    assert (missing.returncode, missing.stderr) == (
        2,
        "error: s3://none/run cannot be read: The specified bucket does not exist\n",
    )
    assert not bucket.exists("none")


def test_samples_do_not_go_to_a_bucket(data):
    refused = run(
        "synthesize", "--config=synthesize", f"--input={data}", "--output=s3://bucket/out"
    )
    assert refused.returncode == 2
    assert "only runs and models may lie in a bucket; mount the bucket" in refused.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
        ({"AWS_ACCESS_KEY_ID": None}, "Unable to locate credentials"),
    ],
)
def test_a_service_that_cannot_be_reached_is_one_line(bucket, monkeypatch, tmp_path, changes, said):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    for arguments in (
        ("--workdir=s3://bucket/elsewhere",),
        (f"--workdir={tmp_path / 'run'}", "--data.train=s3://bucket/data/a.jsonl"),
    ):
        refused = run("train", "--config=rm:tiny", *arguments)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1 and said in refused.stderr
