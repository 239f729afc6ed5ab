"""Commands as `python -m` runs them, but in this process: hundreds of mistakes in a minute."""

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import re
import runpy
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import grain  # noqa: F401  older ones define flags, which are not those of a command
import jax
import pytest
from absl import flags

from mapl_jax.data import demo, tokenization
from mapl_jax.models import saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.runtime import console

ROOT = Path(__file__).parents[2]
AT_ONCE = "os._exit"  # a public name, whatever it begins with


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command left: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str


def call(name: str, *arguments: object) -> Result:
    """Runs `python -m mapl_jax.NAME ARGUMENTS`, with flags of its own."""
    known, parsed = set(flags.FLAGS), flags.FLAGS.is_parsed()
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        # However slow this machine is, no progress beside the line that is looked at.
        patch.setattr(console, "PATIENCE", 1e6)
        # What a command ends at once is the command, not the process of the tests.
        patch.setattr(AT_ONCE, sys.exit)
        patch.setattr(sys, "argv", [f"mapl_jax/{name}.py", *map(str, arguments)])
        try:
            runpy.run_module(f"mapl_jax.{name}", run_name="__main__", alter_sys=False)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        finally:
            for flag in set(flags.FLAGS) - known - {"help", "helpfull", "helpshort", "helpxml"}:
                with contextlib.suppress(AttributeError):
                    delattr(flags.FLAGS, flag)
            # The config file of this command must not lend its names to that of the next.
            for module in [name for name in sys.modules if name.endswith("config_config")]:
                del sys.modules[module]
            flags.FLAGS.unparse_flags()
            if parsed:
                flags.FLAGS.mark_as_parsed()
    return Result(status, out.getvalue(), err.getvalue())


def config(text: str) -> str:
    """The argument for one of the configs of this repository, "rm" or "rm:small"."""
    file, _, preset = text.partition(":")
    return f"--config={ROOT / 'configs' / file}.py" + (f":{preset}" if preset else "")


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder: path -> hash, or what kind of thing it is."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        if path.is_file() and kind == "file":
            kind = hashlib.blake2b(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = kind
    return found


def one_line(result: Result) -> str:
    """The one line that a failed command prints."""
    assert result.status == 2, f"status {result.status}: {result.stderr or result.stdout}"
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


@dataclasses.dataclass(frozen=True)
class Workbench:
    """A folder to make bad things in, and the check of what a command says about them.

    Attributes:
        path: the folder, which is also the working directory.
        shared: good things, the same for all tests: `pairs.jsonl`, `reward/`, `policy/`.
    """

    path: Path
    shared: Path

    @property
    def out(self) -> Path:
        """Where commands write to; it must not appear."""
        return self.path / "out"

    def write(self, name: str, content: str | bytes) -> Path:
        """A file with such a content."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def lines(self, name: str, *values: object) -> Path:
        """A file of JSON lines."""
        return self.write(name, "".join(json.dumps(value) + "\n" for value in values))

    def refuses(self, pattern: str, command: str, *arguments: object) -> str:
        """Runs a command that must fail with one line, and leave everything as it was."""
        before = contents(self.path)
        line = one_line(call(command, *arguments))
        assert re.search(pattern, line), line
        assert contents(self.path) == before
        return line


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good data, and a small reward model and policy in folders."""
    folder = tmp_path_factory.mktemp("good")
    pairs = demo.make_pairs(24, 0, "train")
    text = "".join(json.dumps(pair) + "\n" for pair in pairs)
    (folder / "pairs.jsonl").write_text(text)
    texts = [pair["prompt"][0]["content"] + " " + pair["chosen"] for pair in pairs]
    tokenizer = tokenization.train(texts, 320)
    model = DecoderConfig(
        vocab_size=320,
        width=16,
        layers=2,
        heads=2,
        kv_heads=1,
        head_dim=8,
        mlp_width=24,
        rope_theta=10_000.0,
        norm_eps=1e-6,
        tie_embeddings=True,
        qkv_bias=True,
    )
    for name, head in (("reward", ScoreHead()), ("policy", LogpHead())):
        params = head.init(model, jax.random.key(0))
        saving.save_params(folder / name, model, params, tokenizer=tokenizer)
    return folder


@pytest.fixture
def bench(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    """A folder of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield Workbench(tmp_path, shared)


@pytest.fixture(scope="session")
def command() -> Callable[..., Result]:
    """Runs a command in this process."""
    return call


@pytest.fixture(scope="session")
def preset() -> Callable[[str], str]:
    """The argument for a config of this repository."""
    return functools.cache(config)
