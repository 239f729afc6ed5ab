"""Runs, models and data in a bucket, over HTTP: s3fs and gcsfs, and servers of this machine.

One talks as S3 does, the other as Google Cloud Storage.
"""

import base64
import contextlib
import email.parser
import gzip
import json
import signal
import socket
import subprocess
import sys
import time

import fsspec
import pytest

from mapl_jax import load_pairs
from mapl_jax.data import demo, tokenization
from mapl_jax.models import saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead
from mapl_jax.runtime.errors import UserError
from mapl_jax.training.metrics import TIMING_KEYS, read_metrics

from support import PAIR, ROOT, parquet, random_like, read_lines, run, write_lines

pytest.importorskip("s3fs")
pytest.importorskip("gcsfs")
s3 = pytest.importorskip("moto.server")
gs = pytest.importorskip("gcp_storage_emulator.server")
pytestmark = [pytest.mark.buckets, pytest.mark.usefixtures("machine")]

NO_NAME = {"s3://": "Cannot traverse all of S3", "gs://": "no such file"}
TRAIN = """
from mapl_jax import train
from mapl_jax.runtime import cli, storage
storage.SECONDS = 0.1
cli.launch(train.main, name="train", config="configs/rm.py")
"""


@contextlib.contextmanager
def s3_server(patch):
    """A server of S3, which everything finds by the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "test")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    served = s3.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    yield
    served.stop()


class Exact(email.parser.BytesParser):
    """Reads an upload in parts byte for byte.

    gcp-storage-emulator (2026.7) reads it as if it were a mail, which changes carriage returns.
    """

    def parsebytes(self, text, headersonly=False):
        message = super().parsebytes(text, headersonly)
        if message.get_content_type() == "multipart/related":
            mark = f"--{message.get_boundary()}".encode()
            content = text.split(mark, 2)[2].rpartition(b"\n" + mark)[0].partition(b"\n\n")[2]
            part = message.get_payload()[1]
            part["Content-Transfer-Encoding"] = "base64"
            part.set_payload(base64.b64encode(content).decode())
        return message


@contextlib.contextmanager
def gs_server(patch):
    """A server of Google Cloud Storage, which everything finds by the environment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    # Credentials are looked for nevertheless; those of this machine are not for it.
    patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    patch.setenv("NO_GCE_CHECK", "true")
    patch.setattr(gs, "BytesParser", Exact)
    with gs.create_server("127.0.0.1", port, in_memory=True):
        yield


SERVERS = {"s3": s3_server, "gs": gs_server}


@pytest.fixture(scope="module", params=SERVERS)
def bucket(request):
    """A file system with the bucket `bucket`."""
    with pytest.MonkeyPatch.context() as patch, SERVERS[request.param](patch):
        kind = fsspec.get_filesystem_class(request.param)
        kind.clear_instance_cache()
        system = kind(use_listings_cache=False)
        if not system.exists("bucket"):  # moto keeps what its last server held
            system.mkdir("bucket")
        yield system
        kind.clear_instance_cache()


@pytest.fixture
def scheme(bucket):
    """What an address there begins with."""
    return f"{bucket.protocol[0]}://"


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
    return f"{bucket.protocol[0]}://{folder}"


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
def test_data_is_read(data, scheme, source, count):
    assert len(load_pairs(source.replace("s3://", scheme))) == count


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://bucket/nothing", "s3://bucket/nothing holds no data files"),
        ("s3://bucket/data/*.csv", "no file matches s3://bucket/data/*.csv"),
        ("s3://bucket/no.jsonl", "s3://bucket/no.jsonl: cannot read it: no such file"),
        ("s3://none/no.jsonl", "s3://none/no.jsonl: cannot read it: no such file"),
        ("s3://none/data", "s3://none/data: cannot read it: no such file"),
    ],
)
def test_what_is_not_there_is_told(data, scheme, source, said):
    with pytest.raises(UserError) as told:
        load_pairs(source.replace("s3://", scheme))
    assert str(told.value) == said.replace("s3://", scheme)


def test_no_bucket_at_all_is_told(data, scheme):
    with pytest.raises(UserError) as told:
        load_pairs(scheme)
    assert str(told.value) == f"{scheme}: cannot read it: {NO_NAME[scheme]}"


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


def test_a_killed_run_goes_on_elsewhere_and_every_command_reads_it(
    data, scheme, bucket, machine, tmp_path
):
    sources = (f"--config.data.train={data}", f"--config.data.test={data}/test*")
    plain = tmp_path / "plain"
    assert train(plain, *sources).returncode == 0
    killed(f"{scheme}bucket/run", "bucket/run", bucket, *sources)
    machine("other")
    done = train(f"{scheme}bucket/run", *sources)
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
    checkpoint = f"--checkpoint={scheme}bucket/run"
    responses = write_lines(tmp_path / "answers.jsonl", {"prompt": "Why?", "response": "So."})
    bucket.put_file(str(responses), "bucket/answers.jsonl")
    answers, run_there = f"{scheme}bucket/answers.jsonl", f"{scheme}bucket/run"
    for name, config, arguments in (
        ("evaluate", "evaluate", (checkpoint, f"--data={held_out}")),
        ("evaluate", "evaluate", (f"{checkpoint}/checkpoints/12", f"--data={held_out}")),
        ("evaluate", "evaluate:score",
         (checkpoint, f"--input={answers}", f"--output={tmp_path}/rewards.jsonl")),
        ("export", "", (checkpoint, f"--data={held_out}", f"--output={tmp_path}/model")),
        ("evaluate", "", ("--compare", run_there, plain, f"--output={tmp_path}/page")),
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


def test_a_policy_in_a_bucket_answers_prompts_in_one(bucket, scheme, tmp_path):
    config = DecoderConfig(448, 16, 2, 2, 1, 8, 24, tie_embeddings=False, max_positions=512)
    params = random_like(LogpHead().abstract_params(config), 0.5)
    tokenizer = tokenization.train([pair["chosen"] for pair in demo.make_pairs(60)], 400)
    saving.save_params(tmp_path / "model", config, params, tokenizer=tokenizer)
    bucket.put(str(tmp_path / "model"), "bucket/policy", recursive=True)
    bucket.pipe_file("bucket/prompts.jsonl", b'{"prompt": "Why?"}\n{"prompt": "How?"}\n')
    output = tmp_path / "answers.jsonl"
    told = run(
        "generate",
        f"--checkpoint={scheme}bucket/policy",
        f"--input={scheme}bucket/prompts.jsonl",
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


def test_no_bucket_is_made_and_no_file_of_another_is_replaced(data, bucket, scheme, machine):
    before = {path: bucket.cat_file(path) for path in bucket.find("bucket/data")}
    foreign = train(data)
    assert foreign.returncode == 2
    assert "holds no run, but other files (test-00000-of-00001.jsonl)" in foreign.stderr
    assert {path: bucket.cat_file(path) for path in bucket.find("bucket/data")} == before
    missing = train(f"{scheme}none/run")
    assert (missing.returncode, missing.stderr) == (
        2,
        f"error: {scheme}none/run cannot be read: no such bucket\n",
    )
    assert not bucket.exists("none")


def test_samples_do_not_go_to_a_bucket(data, scheme):
    refused = run(
        "synthesize", "--config=synthesize", f"--input={data}", f"--output={scheme}bucket/out"
    )
    assert refused.returncode == 2
    assert "only runs and models may lie in a bucket; mount the bucket" in refused.stderr


@pytest.mark.parametrize(
    ("bucket", "changes", "said"),
    [
        ("s3", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
        ("s3", {"AWS_ACCESS_KEY_ID": None}, "Unable to locate credentials"),
        ("gs", {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}, "Cannot connect to host"),
    ],
    indirect=["bucket"],
)
def test_a_service_that_cannot_be_reached_is_one_line(
    bucket, scheme, monkeypatch, tmp_path, changes, said
):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    # gcsfs tries again for half a minute each time.
    for arguments in (
        (f"--workdir={scheme}bucket/elsewhere",),
        (f"--workdir={tmp_path / 'run'}", f"--data.train={scheme}bucket/data/a.jsonl"),
    ):
        refused = run("train", "--config=rm:tiny", *arguments)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1 and said in refused.stderr
