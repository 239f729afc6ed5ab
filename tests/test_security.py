"""Nothing from data or a model can run, leave its folder, or become the code of a page."""

import ast
import base64
import dataclasses
import hashlib
import html.parser
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mapl_jax
from mapl_jax.data import records, samples, tokenization
from mapl_jax.evaluation import following, preferences
from mapl_jax.reports import model_card, run, synthesis
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis import pipeline, runners
from mapl_jax.synthesis.settings import Settings

PACKAGE = Path(mapl_jax.__file__).parent
TEMPLATES = PACKAGE / "reports" / "templates"
MODULES = sorted(PACKAGE.rglob("*.py"))
EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'><b onclick='x'>&amp;"


# The package's own code.

# Modules that run what they read, run other programs, or unpack archives.
FORBIDDEN_MODULES = {
    *("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"),
    *("subprocess", "pty", "commands", "code", "codeop"),
    *("tarfile", "zipfile"),
}
# This Python with a program of the package: the watcher of several processes, the trial of a chat
# template, which reads JSON and has little time and memory, and that of XLA_FLAGS, over which XLA
# ends its process.
ALLOWED = {
    "environment.py": {"subprocess"},
    "shutdown.py": {"subprocess"},
    "templates.py": {"subprocess"},
}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv"),
    *("torch.load", "torch.hub.load", "np.load", "numpy.load", "jnp.load", "yaml.load"),
    *("shutil.unpack_archive", "pd.read_pickle", "pandas.read_pickle"),
}
FORBIDDEN_ARGUMENTS = {"trust_remote_code", "allow_pickle", "shell"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_runs_what_it_reads(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            assert not names & FORBIDDEN_MODULES - ALLOWED.get(path.name, set()), node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert str(node.module).partition(".")[0] not in FORBIDDEN_MODULES, node.lineno
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS, node.lineno
            for keyword in node.keywords:
                if keyword.arg in FORBIDDEN_ARGUMENTS:
                    assert ast.unparse(keyword.value) == "False", node.lineno


def test_the_scan_sees_what_it_looks_for():
    found = [
        ast.unparse(n.func)
        for n in ast.walk(ast.parse("os.system('x')"))
        if isinstance(n, ast.Call)
    ]
    assert set(found) & FORBIDDEN_CALLS
    assert len(MODULES) > 80


# Pages.


class Page(html.parser.HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.scripts = set(), [], [], []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        (self.scripts if self.inside == "script" else self.text).append(data)


def check_page(path, shown):
    """Makes sure that a page has no code but its own and no address, and shows a text as it is."""
    page = Page(path.read_text(encoding="utf-8"))
    own = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    assert [script.strip() for script in page.scripts] == [own.strip()]
    digest = base64.b64encode(hashlib.sha256("".join(page.scripts).encode()).digest()).decode()
    (policy,) = (value for name, value in page.attributes if value and "script-src" in value)
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    assert not page.tags & {"iframe", "object", "embed", "link", "base", "form"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for name, value in page.attributes:
        if name in ("src", "href", "action", "data"):
            assert value.startswith(("data:image/png;base64,", "#"))
        if name == "style":
            assert "url" not in value and ";" not in value
    assert shown in "".join(page.text)


def scored():
    n = 6
    return preferences.Scored(
        sample_id=[EVIL] * n,
        level=["base", "intra", "inter"] * 2,
        margin=np.linspace(-1.0, 1.0, n),
        gamma=np.zeros(n),
        length_margin=np.ones(n),
        k=np.asarray([0, 2, 2] * 2),
        families=[(), (EVIL,), (EVIL,)] * 2,
        terms=[[(0, 0, 1, 0.5), (0, 1, -1, 0.25)]] * n,
    )


def test_the_report_of_a_run_shows_code_as_text(tmp_path):
    probe = following.Probe(
        EVIL, [{"role": "user", "content": EVIL}], [{"id": EVIL, "params": {}, "text": EVIL}]
    )
    answers = [following.Answer(probe, EVIL, False, (True,))]
    after = preferences.summarize(scored(), seed=0, resamples=10)
    kept = following.summarize(answers, answers, seed=0, resamples=0)
    run.write_report(
        tmp_path / "report.html",
        {
            "name": EVIL,
            "command": EVIL,
            "config": {EVIL: EVIL},
            "checkpoint": EVIL,
            "steps": 3,
            "seconds": 1.0,
            "train": {EVIL: {EVIL: 3}, "dropped": {EVIL: 1}},
            "eval": {"before": after, "after": after, "generation": kept},
        },
        {"before": scored(), "after": scored()},
        metrics=[{"step": 1, "split": "train", "base_loss": 0.7, "base_accuracy": 0.5}],
        device=EVIL,
        answers=[answers, answers],
    )
    check_page(tmp_path / "report.html", EVIL)


def test_the_report_of_a_synthesis_shows_code_as_text(tmp_path):
    pairs = [
        {
            "id": f"{EVIL} {i}",
            "prompt": [{"role": "user", "content": f"{EVIL} {i}?"}],
            "chosen": f"Yes, indeed! {EVIL} It has 3 parts: one, two and three.",
            "rejected": f"no {EVIL}",
            "margin": 0.0,
        }
        for i in range(8)
    ]
    settings = Settings(reference=0)
    summary = pipeline.synthesize(
        pairs,
        settings,
        tmp_path / "out",
        run=runners.local(1),
        report=lambda folder, *made: synthesis.write(folder / "report.html", *made),
    )
    assert summary["all_five"] > 0
    check_page(tmp_path / "out" / "report.html", EVIL)
    changed = {
        **summary,
        "dropped": {EVIL: 1},
        "uninformative": {EVIL: 1},
        "settings": {EVIL: EVIL},
        "comparisons": {**summary["comparisons"], "k": {EVIL: 1}, "constraint": {EVIL: 2}},
    }
    synthesis.write(tmp_path / "changed.html", changed, [])
    check_page(tmp_path / "changed.html", EVIL)


def test_a_model_card_keeps_to_its_header():
    config = {
        "name": "run\n---\nlicense: mine\n# Other",
        "model": {"path": "org/name\nlicense: mine"},
        "data": {"train": "org/data\nlicense: mine", "test": EVIL, "row_length": 8},
        "train": {"learning_rate": 1.0, "schedule": "|x|\n|y|", "rows_per_batch": 1},
        "loss": {},
        "lora": {"rank": 0},
    }
    text = model_card.write({}, config, step=3, adapter=False)
    head = text.split("---")[1]
    assert "license" not in head
    assert not [
        line for line in text.splitlines() if line.startswith(("license:", "# Other", "|y|"))
    ]
    assert "<script" not in text


# Paths.


def test_ids_that_look_like_paths_stay_ids(tmp_path):
    names = ("../../escaped", "/escaped", "a/b/c", "..", "C:\\escaped", "-rf", "$(touch escaped)")
    pairs = [
        {
            "id": name,
            "prompt": [{"role": "user", "content": f"Question {i}?"}],
            "chosen": "Yes, indeed! It has 3 parts: one, two and three.",
            "rejected": "no",
            "margin": 0.0,
        }
        for i, name in enumerate(names)
    ]
    folder = tmp_path / "a" / "b" / "out"
    pipeline.synthesize(pairs, Settings(reference=0), folder, run=runners.local(1))
    assert sorted(tmp_path.rglob("*escaped*")) == []
    assert {sample["id"] for sample in samples.read_samples(folder)} == set(names)


def test_a_summary_cannot_name_files_elsewhere(tmp_path):
    (tmp_path / "secret.jsonl").write_text("{}\n")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("../secret.jsonl", str(tmp_path / "secret.jsonl"), "", ".", 3):
        (folder / "summary.json").write_text(json.dumps({"files": [name], "fingerprint": "x"}))
        assert pipeline.summary_of(folder) is None


# Archives.


def archives():
    line = json.dumps({"prompt": "q", "chosen": "a", "rejected": "b"}).encode() + b"\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("../escaped.jsonl", line)
    taken = io.BytesIO()
    with tarfile.open(fileobj=taken, mode="w:gz") as file:
        info = tarfile.TarInfo("../escaped.jsonl")
        info.size = len(line)
        file.addfile(info, io.BytesIO(line))
    return {"zip": packed.getvalue(), "tar": taken.getvalue()}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.parquet", "a.zip"])
def test_archives_are_not_unpacked(kind, name, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_bytes(archives()[kind])
    with pytest.raises(UserError):
        records.read_pairs(folder / name)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [name]


# Chat templates.

ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__ }}{{ messages.append(1) }}",
    "{{ cycler.__init__.__globals__.os.system('touch escaped') }}",
    "{{ self.__init__.__globals__ }}{{ namespace.__init__.__globals__['os'] }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{{ messages[0].update({'content': 'x'}) }}",
)


@pytest.mark.parametrize("template", ESCAPES)
def test_a_chat_template_stays_in_its_sandbox(template, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tokenizer = tokenization.train(["some text to learn from"], 300)
    tokenizer.chat_template = template
    with pytest.raises(UserError, match="the chat template refuses"):
        tokenization.encode_prompts(tokenizer, [[{"role": "user", "content": "Hi"}]])
    assert list(tmp_path.iterdir()) == []


def test_dataclasses_of_answers_are_plain(tmp_path):
    """What a run keeps of answers is JSON and comes back as it was."""
    probe = following.Probe(EVIL, [{"role": "user", "content": EVIL}], [])
    answer = following.Answer(probe, EVIL, True, ())
    following.write(tmp_path / "answers.jsonl", [answer])
    (back,) = following.read(tmp_path / "answers.jsonl")
    assert dataclasses.asdict(back) == dataclasses.asdict(answer)
