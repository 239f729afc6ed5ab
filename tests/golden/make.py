"""Runs the commands whose outputs are golden and keeps what people see of them.

    python tests/golden/make.py FOLDER

Run it into `tests/golden/` only in a commit that means to change an output and says so.
"""

import html
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

# Other ways to compile round otherwise.
FLAGS = "--xla_backend_optimization_level=0"
TIMED = re.compile(r"second|time")
# What time decides, marks of axes of speed, and records as JSON, which repeat what the page says.
MARK = re.compile(r">\s*[-+\d.,]+(?: ?[%kM])?\s*<")
# So do version, commit and date of the code.
UNTOLD = re.compile(
    r"\b[\d.]+ (?:(?:pairs/)?s|min)\b|^\d+,\d+\n|^\{ .* \}$"
    r"|^.*\b(?:by version|page written) .*(?:\n|\Z)|(?:, (?:version|commit|date) [-.\w]+)+",
    re.M,
)
DPO = [
    "data.demo_pairs=40", "data.num_proc=1", "train.steps=4", "train.log_every=1",
    "eval.generate=4", "eval.generate_rows=4", "eval.max_new_tokens=8", "eval.resamples=50",
    "sft.data.demo_pairs=40", "sft.model.width=32", "sft.model.layers=1", "sft.model.heads=2",
    "sft.model.kv_heads=1", "sft.model.mlp_width=64", "sft.tokenizer.vocab_size=320",
    "sft.train.steps=4", "sft.train.log_every=1", "sft.eval.resamples=50",
]  # fmt: skip


def make(folder: Path) -> None:
    """Writes the golden files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        rm, other, dpo, samples = (work / name for name in ("rm", "other", "dpo", "samples"))
        tiny = ["--config=configs/rm.py:tiny", "--config.train.log_every=1"]
        run("train", *tiny, f"--workdir={rm}")
        run("train", *tiny, "--config.train.learning_rate=1e-3", f"--workdir={other}")
        settings = [f"--config.{setting}" for setting in DPO]
        run("train", "--config=configs/dpo.py", *settings, f"--workdir={dpo}")
        run("synthesize", "--config=configs/synthesize.py:demo", "--config.demo_pairs=40",
            "--config.num_proc=1", f"--config.output={samples}")  # fmt: skip
        page = work / "compare.html"
        compared = run("evaluate", "--compare", rm, other, f"--output={page}")
        for name, path in (("rm", rm), ("sft", dpo / "sft"), ("dpo", dpo)):
            write_metrics(path / "metrics.jsonl", folder / f"{name}-metrics.jsonl")
        shutil.copyfile(samples / "samples-00000-of-00001.jsonl", folder / "samples.jsonl")
        for name, text in (
            ("rm-report", page_text(rm / "report.html")),
            ("dpo-report", page_text(dpo / "report.html")),
            ("samples-report", page_text(samples / "report.html")),
            ("compare-page", page_text(page)),
            ("compare", compared),
        ):
            text = UNTOLD.sub("", text.replace(str(work), "WORK"))
            (folder / f"{name}.txt").write_text(text + "\n")


def run(command: str, *arguments: object) -> str:
    """What a command prints; fails as it does."""
    import support  # pytest finds it; so does what comes last here

    with mock.patch.dict(os.environ, XLA_FLAGS=FLAGS):
        done = support.run(command, *arguments)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.rstrip()


def write_metrics(source: Path, target: Path) -> None:
    """Metrics without those that time a run."""
    with target.open("w") as file:
        for line in source.read_text().splitlines():
            values = {k: v for k, v in json.loads(line).items() if not TIMED.search(k)}
            file.write(json.dumps(values) + "\n")


def page_text(path: Path) -> str:
    """The words of a page, a line each piece of text."""
    text = re.sub(r"<(style|script).*?</\1>", "", path.read_text(), flags=re.S)
    # Where marks of an axis lie depends on the time a run took.
    text = re.sub(r"<svg.*?</svg>", lambda drawing: MARK.sub("><", drawing[0]), text, flags=re.S)
    pieces = (" ".join(html.unescape(piece).split()) for piece in re.split(r"<[^>]+>", text))
    return "\n".join(piece for piece in pieces if piece)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))
    make(Path(sys.argv[1]))
