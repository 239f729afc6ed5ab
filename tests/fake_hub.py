"""A hub on this machine: what the client of huggingface_hub needs to make and fill a model."""

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from huggingface_hub import constants

TOKEN = "hf_secret_of_the_tests"


class Hub(http.server.ThreadingHTTPServer):
    """Models by name, their files, and who may read them.

    Attributes:
        repos: name -> path -> content.
        private: name -> whether only its owners may read it.
        answers: path -> status that is answered whatever is asked.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos, self.private, self.answers = {}, {}, {}
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def reply(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if status := self.server.answers.get(path):
            return self.reply({"error": f"says {status}"}, status)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply({"error": "no token"}, 401)
        if path == "/api/whoami-v2":
            return self.reply({"name": "me", "type": "user"})
        if path == "/api/validate-yaml":
            return self.reply({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        name, _, what = path.removeprefix("/api/models/").partition("/")
        rest, _, what = what.partition("/")
        name = f"{name}/{rest}"
        files = self.server.repos.get(name)
        if files is None:
            return self.reply({"error": "none"}, 404)
        if what.startswith("preupload"):
            asked = [item["path"] for item in json.loads(body)["files"]]
            same = [{"path": it, "uploadMode": "regular", "shouldIgnore": False} for it in asked]
            return self.reply({"files": same})
        if what.startswith("commit"):
            return self.commit(name, [json.loads(line) for line in body.splitlines()])
        if what.startswith("tree"):
            listed = [
                {"type": "file", "path": it, "size": len(content), "oid": "0" * 40}
                for it, content in files.items()
            ]
            return self.reply(listed)
        return self.reply(
            {
                "id": name,
                "private": self.server.private[name],
                "sha": "0" * 40,
                "siblings": [{"rfilename": it} for it in files],
                "tags": [],
            }
        )

    def create(self, asked):
        name = f"{asked['organization']}/{asked['name']}" if "organization" in asked else ""
        name = name or asked["name"]
        url = {"url": f"{self.server.address}/{name}", "name": name, "id": name}
        if name in self.server.repos:
            return self.reply({"error": "is there", **url}, 409)
        self.server.repos[name] = {}
        hidden = asked.get("private") or asked.get("visibility") == "private"
        self.server.private[name] = bool(hidden)
        return self.reply(url)

    def commit(self, name, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.repos[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del self.server.repos[name][value["path"]]
        commit = {"commitOid": "1" * 40, "commitUrl": f"{self.server.address}/{name}/commit/1"}
        self.reply({**commit, "success": True, "hookOutput": ""})


@contextlib.contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, and a client that finds it, with a token."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with Hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
