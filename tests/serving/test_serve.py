"""Clients of every kind get the rewards that the library gives, alone and under load."""

import ast
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import re
import signal
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import mapl_jax
from mapl_jax import serve
from mapl_jax.data import tokenization
from mapl_jax.data.templates import render
from mapl_jax.evaluation import rewards
from mapl_jax.models import saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.runtime import cli
from mapl_jax.runtime.errors import UserError
from mapl_jax.serving import app
from mapl_jax.serving.settings import ServeSettings
from mapl_jax.training import restore
from mapl_jax.training.sharding import make_mesh

from support import ROOT, command, random_like

PROMPT = "Is the river long?"
ANSWERS = ["It is long.", "It is cold, and deep.", "No."]
TALK = [{"role": "user", "content": PROMPT}]
LIMIT = 256
PLAIN = {"use_activation": False, "add_special_tokens": False}  # as clients of vLLM send it
WORDS = "the river is long and cold but it was not deep where we sat".split()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A reward model and a policy, small and random."""
    folder = tmp_path_factory.mktemp("models")
    config = DecoderConfig(448, 16, 2, 2, 1, 8, 24, tie_embeddings=False)
    tokenizer = tokenization.train([" ".join(WORDS)] * 3, 400)
    for name, head in (("reward", ScoreHead()), ("policy", LogpHead())):
        params = random_like(head.abstract_params(config), 0.5)
        saving.save_params(folder / name, config, params, tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="module")
def found(folders):
    mesh = make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    return restore.load(str(folders / "reward"), mesh)


@pytest.fixture(scope="module")
def scorer(found):
    made = rewards.Scorer(found, max_length=LIMIT)
    made.warm_up()
    return made


@contextlib.contextmanager
def serving(scorer, tokenizer, **limits):
    """A server in a thread; gives its port."""
    settings = ServeSettings(**limits)
    server = app.server(app.create(scorer, tokenizer, settings, "reward", LIMIT))
    server.config.port = 0
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def port(scorer, found):
    with serving(scorer, found.tokenizer, max_texts=64, max_megabytes=1) as port:
        yield port


def ask(port, path, body=None, *, method="POST", headers=None):
    """Status, headers, and the one line of JSON that comes back."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    sent = {"Content-Type": "application/json"} if headers is None else headers
    connection.request(method, path, data, sent)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.getheader("Content-Type") == "application/json" and "\n" not in text
    return response.status, response.headers, json.loads(text)


def given(port, path, body):
    status, _, value = ask(port, path, body)
    assert status == 200, value
    return value


def near(values, expected):
    np.testing.assert_allclose(values, expected, atol=2e-5)


@pytest.fixture(scope="module")
def expected(found):
    return mapl_jax.score(PROMPT, ANSWERS, found)


@pytest.mark.smoke
@pytest.mark.parametrize("asked", [{"prompt": PROMPT}, {"prompt": TALK}, {"messages": TALK}])
def test_a_prompt_and_responses(port, asked, expected):
    value = given(port, "/score", {**asked, "responses": ANSWERS, "model": "reward"})
    assert value.keys() == {"model", "rewards", "usage"}
    near(value["rewards"], expected)


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank"])
def test_a_query_and_documents_come_back_best_first(port, path, expected):
    documents = [ANSWERS[0], {"text": ANSWERS[1]}, ANSWERS[2]]
    results = given(port, path, {"query": PROMPT, "documents": documents})["results"]
    order = [int(i) for i in np.argsort(expected)[::-1]]
    assert [result["index"] for result in results] == order
    near([result["relevance_score"] for result in results], [expected[i] for i in order])
    assert [result["document"]["text"] for result in results] == [ANSWERS[i] for i in order]
    few = {"query": PROMPT, "documents": documents, "top_n": 1, "return_documents": False}
    (only,) = given(port, path, few)["results"]
    assert only.keys() == {"index", "relevance_score"} and only["index"] == order[0]


def test_whole_conversations_as_messages_or_rendered(port, found, expected):
    talks = [[*TALK, {"role": "assistant", "content": text}] for text in ANSWERS]
    texts = [render(found.tokenizer, talk, add_generation_prompt=False) for talk in talks]
    assert texts[0].endswith("\n"), "white space behind the end counts for nothing"
    value = given(port, "/classify", {"input": texts, "model": "reward", **PLAIN})
    near([item["probs"][0] for item in value["data"]], expected)
    for i, item in enumerate(value["data"]):
        assert (item["index"], item["label"], item["num_classes"]) == (i, "LABEL_0", 1)
    one = given(port, "/v1/classify", {"messages": talks[1]})
    near(one["data"][0]["probs"], expected[1:2])
    near(given(port, "/classify", {"input": texts[2]})["data"][0]["probs"], expected[2:])
    several = given(port, "/classify", {"text": texts})
    near([item["embedding"][0] for item in several], expected)
    assert several[0]["meta_info"]["prompt_tokens"] > 3
    near(given(port, "/classify", {"text": texts[0]})["embedding"], expected[:1])


def test_health_and_models(port):
    assert ask(port, "/health", method="GET")[2] == {"status": "ok"}
    (model,) = ask(port, "/v1/models", method="GET")[2]["data"]
    assert (model["id"], model["max_model_len"]) == ("reward", LIMIT)


def test_under_load_every_client_gets_its_own_rewards_in_order(port, scorer, found):
    rng = np.random.default_rng(0)
    requests = [
        (f"Is it {number}?", [" ".join(rng.choice(WORDS, n)) for n in rng.integers(1, 60, count)])
        for number, count in enumerate(rng.integers(1, 17, 32))
    ]

    def client(request):
        prompt, texts = request
        return given(port, "/score", {"prompt": prompt, "responses": texts})["rewards"]

    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr("logging.Logger.warning", lambda _, words, *rest: compiled.append(words))
        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(client, requests))
    assert not [words for words in compiled if "ompiling" in words]
    for (prompt, texts), values in zip(requests, answers, strict=True):
        talk = [{"role": "user", "content": prompt}]
        paths = tokenization.encode_leaves(found.tokenizer, [(talk, text) for text in texts])
        near(values, scorer(paths))
        near(values[-1:], scorer(paths[-1:]))


# What cannot be answered.

SCORE = {"prompt": PROMPT, "responses": ANSWERS}
DOCUMENTS = {"query": PROMPT, "documents": ANSWERS}
LONG = [{"role": "assistant", "content": "c " * 15_000}]
DEEP = b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD = [
    ("/score", b"", None, "is no JSON"),
    ("/score", b"{", None, "is no JSON"),
    ("/score", b"\xff\xfe\x00", None, "is no JSON"),
    ("/score", b'{"prompt": "a", "responses": ["b"], "x": NaN}', None, "not finite"),
    ("/score", DEEP, None, "nested too deeply"),
    ("/score", b'{"prompt": "\\ud800", "responses": ["b"]}', None, "half of a surrogate"),
    ("/score", b'{"prompt": "a", "prompt": "b", "responses": ["c"]}', None, "names a field twice"),
    ("/score", [], None, "must be an object of JSON, not a list"),
    ("/score", "text", None, "must be an object"),
    ("/score", {**SCORE, "respones": []}, "respones", "did you mean responses?"),
    ("/score", {**SCORE, "a\r\nX-Evil: 1": 1}, "a\r\nX-Evil: 1", "unknown field"),
    ("/score", {"responses": ANSWERS}, "prompt", "prompt or messages is needed"),
    ("/score", {**SCORE, "messages": TALK}, "messages", "give only one of prompt, messages"),
    ("/score", {**SCORE, "prompt": 3}, "prompt", "must be text or messages"),
    ("/score", {**SCORE, "prompt": " "}, "prompt", "prompt is empty"),
    ("/score", {**SCORE, "prompt": []}, "prompt", "empty list"),
    ("/score", {**SCORE, "prompt": [{"role": "x", "content": "a"}]}, "prompt", "known are"),
    (
        "/score",
        {**SCORE, "prompt": [*TALK, {"role": "assistant", "content": "a"}]},
        "prompt",
        "end",
    ),
    ("/score", {"prompt": PROMPT}, "responses", "it is missing"),
    ("/score", {**SCORE, "responses": []}, "responses", "it is empty"),
    ("/score", {**SCORE, "responses": "No."}, "responses", "must be a list of texts"),
    ("/score", {**SCORE, "responses": ["No.", None]}, "responses[1]", "must be text"),
    ("/score", {**SCORE, "responses": ["No.", "\n"]}, "responses[1]", "is empty"),
    (
        "/score",
        {**SCORE, "responses": ["No."] * 65},
        "responses",
        "a request may have 64",
    ),
    ("/score", {**SCORE, "responses": ["No.", "x " * 300]}, "responses[1]", "256 are read here"),
    # What no tokenizer could make so short is not tokenized.
    (
        "/score",
        {**SCORE, "responses": [" " * 30_000 + "x"]},
        "responses[0]",
        "characters, too",
    ),
    ("/classify", {"messages": [*TALK, *LONG]}, "messages", "characters, too"),
    ("/classify", {"input": ["a", "b" * 30_000]}, "input[1]", "characters, too"),
    ("/rerank", {"documents": ANSWERS}, "query", "it is missing"),
    ("/rerank", {"query": PROMPT}, "documents", "it is missing"),
    ("/rerank", {**DOCUMENTS, "documents": [{"txt": "a"}]}, "documents[0]", "must be text"),
    ("/rerank", {**DOCUMENTS, "top_n": 0}, "top_n", "whole number"),
    ("/rerank", {**DOCUMENTS, "top_n": True}, "top_n", "whole number"),
    ("/rerank", {**DOCUMENTS, "return_documents": "no"}, "return_documents", "true or false"),
    ("/classify", {}, "input", "input or messages or text is needed"),
    ("/classify", {"input": PROMPT}, "input", "does not end in <|im_end|>"),
    ("/classify", {"input": [3]}, "input[0]", "must be text"),
    ("/classify", {"input": {"a": 1}}, "input", "must be a list of texts"),
    ("/classify", {"messages": TALK}, "messages", "must end with a turn of role 'assistant'"),
    ("/classify", {"messages": PROMPT}, "messages", "must be a list"),
    ("/classify", {"input": "a", "use_activation": True}, "use_activation", "no probability"),
    ("/score", b"null", None, "must be an object of JSON"),
    ("/score", b"3", None, "must be an object of JSON"),
    ("/score", b"true", None, "must be an object of JSON"),
    ("/score", b'{"prompt": "a", "responses": ["b"]} {}', None, "is no JSON"),
    ("/score", b'{"prompt": "a", "responses": ["b"],}', None, "is no JSON"),
    ("/score", b"{'prompt': 'a', 'responses': ['b']}", None, "is no JSON"),
    ("/score", b'\xef\xbb\xbf{"prompt": "a"', None, "is no JSON"),
    ("/score", b'{"prompt": "a", "responses": ["b"], "rid": 1e999}', None, "not finite"),
    ("/score", b'{"prompt": "a", "responses": [-Infinity]}', None, "not finite"),
    ("/score", b'{"prompt": "a", "responses": ["\\udc00"]}', None, "half of a surrogate"),
    ("/score", b'{"\\ud800": 1}', None, "half of a surrogate"),
    ("/score", {**SCORE, "": 1}, None, "unknown field ''"),
    ("/score", {**SCORE, "prompt": True}, "prompt", "must be text or messages"),
    ("/score", {**SCORE, "prompt": {"role": "user"}}, "prompt", "must be text or messages"),
    ("/score", {**SCORE, "prompt": [None]}, "prompt", "message 1"),
    ("/score", {**SCORE, "prompt": [[]]}, "prompt", "message 1"),
    ("/score", {**SCORE, "prompt": [{"role": "user"}]}, "prompt", "content"),
    ("/score", {**SCORE, "prompt": [{"role": "user", "content": None}]}, "prompt", "content"),
    ("/score", {**SCORE, "prompt": [{"role": "user", "content": 3}]}, "prompt", "content"),
    ("/score", {**SCORE, "prompt": [{"role": 3, "content": "a"}]}, "prompt", "role"),
    ("/score", {**SCORE, "prompt": [{"role": "system", "content": "a"}]}, "prompt", "user"),
    ("/score", {**SCORE, "responses": {"a": "b"}}, "responses", "must be a list of texts"),
    ("/score", {**SCORE, "responses": [["No."]]}, "responses[0]", "must be text"),
    ("/score", {**SCORE, "responses": [{"text": "No."}]}, "responses[0]", "must be text"),
    ("/score", {**SCORE, "responses": ["No.", 3]}, "responses[1]", "must be text"),
    ("/score", {**SCORE, "responses": ["No.", True]}, "responses[1]", "must be text"),
    ("/score", {**SCORE, "softmax": 1}, "softmax", "no probability"),
    ("/rerank", {**DOCUMENTS, "query": [3]}, "query", "message 1"),
    ("/rerank", {**DOCUMENTS, "query": {"a": 1}}, "query", "must be text or messages"),
    ("/rerank", {**DOCUMENTS, "documents": "a"}, "documents", "must be a list of texts"),
    ("/rerank", {**DOCUMENTS, "documents": [None]}, "documents[0]", "must be text"),
    ("/rerank", {**DOCUMENTS, "documents": [{"text": 3}]}, "documents[0]", "must be text"),
    ("/rerank", {**DOCUMENTS, "top_n": 1.5}, "top_n", "whole number"),
    ("/rerank", {**DOCUMENTS, "top_n": "2"}, "top_n", "whole number"),
    ("/rerank", {**DOCUMENTS, "return_documents": 1}, "return_documents", "true or false"),
    ("/v1/rerank", {**DOCUMENTS, "responses": ["a"]}, "responses", "unknown field"),
    ("/classify", {"input": []}, "input", "it is empty"),
    ("/classify", {"input": ["", "a"]}, "input[0]", "is empty"),
    ("/classify", {"text": [None]}, "text[0]", "must be text"),
    ("/classify", {"text": "a", "input": "b"}, "text", "give only one of"),
    ("/v1/classify", {"messages": []}, "messages", ""),
    ("/v1/classify", {"messages": [3]}, "messages", ""),
]


@pytest.mark.smoke
@pytest.mark.parametrize(("path", "body", "field", "message"), BAD)
def test_a_bad_request_is_told_which_field(port, path, body, field, message):
    status, _, value = ask(port, path, body)
    error = value["error"]
    assert (status, error["code"], error["param"]) == (400, 400, field), error
    assert message in error["message"] and error["type"] == "invalid_request_error"


def test_other_addresses_methods_models_and_kinds(port, capsys):
    status, _, value = ask(port, "/scores%0d%0aX-Evil:%201?a=%0d", SCORE)
    assert status == 404 and "/v1/rerank" in value["error"]["message"]
    status, headers, _ = ask(port, "/score", method="GET")
    assert (status, headers["Allow"]) == (405, "POST")
    status, _, value = ask(port, "/score", {**SCORE, "model": "other"})
    assert (status, value["error"]["param"]) == (404, "model")
    status, _, value = ask(port, "/score", SCORE, headers={"Content-Type": "text/plain"})
    assert status == 415 and "Content-Type: application/json" in value["error"]["message"]
    packed = gzip.compress(json.dumps(SCORE).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    status, _, value = ask(port, "/score", packed, headers=headers)
    assert status == 415 and "without a Content-Encoding" in value["error"]["message"]
    # No redirect to a host of the client's.
    status, headers, _ = ask(port, "/score/", SCORE)
    assert status == 404 and headers["Location"] is None
    assert "X-Evil" not in "".join(capsys.readouterr())


def test_a_body_that_is_too_large_is_not_read(port):
    body = json.dumps({"prompt": PROMPT, "responses": ["x" * (1 << 20)]}).encode()
    status, _, value = ask(port, "/score", body)
    assert status == 413 and "larger than 1 MB" in value["error"]["message"]
    # Also where nothing says how large it will be.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    parts = (body[i : i + 65536] for i in range(0, len(body), 65536))
    connection.request("POST", "/score", parts, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 413
    connection.close()


def test_a_file_that_a_request_names_is_text(port, tmp_path, found):
    """A path in any place of a request is scored like other text."""
    (tmp_path / "secret.txt").write_text("No.")
    name = str(tmp_path / "secret.txt")
    value = given(port, "/score", {"prompt": name, "responses": [f"file://{name}"]})
    near(value["rewards"], mapl_jax.score(name, [f"file://{name}"], found))


class Held:
    """A scorer that waits until it may go on, and says how many texts came together."""

    def __init__(self):
        self.go, self.counts = threading.Event(), []

    def __call__(self, paths):
        assert self.go.wait(60)
        self.counts.append(len(paths))
        if len(paths) == 3:
            raise RuntimeError("no memory\nX-Evil: 1")
        return [float("nan") if len(path) > 100 else float(len(path)) for path in paths]


def test_what_waits_is_scored_together_and_more_than_may_wait_is_sent_away(found, capsys):
    held = Held()
    with serving(held, found.tokenizer, max_texts=8, max_waiting=8) as port:
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            body = {"prompt": PROMPT, "responses": ["No."] * 4}
            first = clients.submit(ask, port, "/score", body)
            time.sleep(0.5)  # taken by the model
            others = [clients.submit(ask, port, "/score", body) for _ in range(2)]
            time.sleep(0.5)
            status, headers, value = ask(port, "/score", body)
            assert (status, headers["Retry-After"]) == (503, "1")
            assert value["error"]["type"] == "server_error"
            held.go.set()
            assert [future.result()[0] for future in (first, *others)] == [200] * 3
        assert held.counts == [4, 8]
        # What goes wrong with one request is that one's alone.
        status, _, value = ask(port, "/score", {"prompt": PROMPT, "responses": ["a", "b", "c"]})
        assert status == 500 and "output says why" in value["error"]["message"]
        texts = ["No.", "x " * 100]
        status, _, value = ask(port, "/score", {"prompt": PROMPT, "responses": texts})
        assert (status, value["error"]["param"]) == (500, "responses[1]")
        assert ask(port, "/score", {"prompt": PROMPT, "responses": ["No."]})[0] == 200
        assert ask(port, "/health", method="GET")[0] == 200
    printed = capsys.readouterr()
    assert "no memory" in printed.err and "\nX-Evil" not in printed.err + printed.out


def test_a_client_that_breaks_off_harms_nobody(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/score")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b'{"prompt": "a"')
    connection.close()
    assert ask(port, "/health", method="GET")[0] == 200


def test_a_client_that_sends_nothing_is_not_waited_for(port, monkeypatch):
    monkeypatch.setattr(app, "BODY_SECONDS", 0.2)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/score")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b'{"prompt": "a"')
    response = connection.getresponse()
    assert response.status == 408
    assert "did not come" in json.loads(response.read())["error"]["message"]
    connection.close()


def test_nothing_that_answers_requests_opens_files():
    """But for the JSON of a body, what a request holds is given to the tokenizer alone."""
    for path in Path(app.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in getattr(node, "names", ()) if isinstance(a, ast.alias)]
            assert not {"os", "io", "pathlib", "Path", "shutil", "storage"} & set(names), path
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func).rpartition(".")[2] not in ("open", "local"), path


# The command.


def test_the_command_prints_its_address_and_ends_well(folders):
    words = command("serve", f"--model={folders / 'reward'}", "--port=0", "--max_length=256")
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines = iter(process.stdout.readline, "")
        address = next(line for line in lines if "http://" in line)
        port = urllib.parse.urlsplit(re.search(r"^reward: (http://127\.0\.0\.1:\d+)$", address)[1])
        value = given(port.port, "/score", SCORE)
        assert len(value["rewards"]) == 3
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "every request was answered" in rest and "Traceback" not in errors


def test_a_mistake_is_said_before_anything_is_loaded(folders, port):
    def run(**flags):
        serve.main(cli.Arguments(ConfigDict(), None, "", ServeSettings(**flags)))

    with pytest.raises(UserError, match="no model given"):
        run()
    with pytest.raises(UserError, match=f"port {port}: .*in use; choose others"):
        run(model="nowhere", port=port)
    with pytest.raises(UserError, match=r"cannot listen at 192\.0\.2\.1"):
        run(model="nowhere", port=0, host="192.0.2.1")
    with pytest.raises(UserError, match="no such folder: nowhere"):
        run(model="nowhere", port=0)
    with pytest.raises(UserError, match="is a policy, which gives no rewards"):
        run(model=str(folders / "policy"), port=0)
    with pytest.raises(UserError, match="--max_texts"):
        ServeSettings(max_texts=9, max_waiting=8)
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(UserError, match=r"mapl_jax\[serve\]"),
    ):
        patch.setitem(__import__("sys").modules, "mapl_jax.serving.app", None)
        patch.delattr("mapl_jax.serving.app", raising=False)
        run(model="nowhere")
