"""Measures a run over many pairs: time to the first step, and memory while rows are read.

    python tests/load/measure.py --pairs=200000 --folder=/tmp/load

Writes the pairs once, then starts the same training command twice, each time until it has taken
some steps: first with nothing in its cache, then with everything. At last it reads one whole epoch
of rows without a model. Memory is what a process holds for itself (RssAnon); pages of mapped files,
which the system takes back when it likes, are told apart (RssFile).
"""

import argparse
import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from mapl_jax.data import demo, loader, run_tokenizer, trie_set
from mapl_jax.runtime.settings import from_section
from mapl_jax.synthesis import prepare
from mapl_jax.train import Settings
from mapl_jax.training import sharding, trainer

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "rm.py"
# A small model: what is measured is everything else.
SETTINGS = {
    "data.max_length": 320,
    "data.row_length": 512,
    "tokenizer.vocab_size": 1024,
    "model.width": 32,
    "model.layers": 1,
    "model.heads": 2,
    "model.kv_heads": 1,
    "model.mlp_width": 64,
    "train.rows_per_batch": 16,
    "train.save_every": 0,
    "train.log_every": 1,
    "eval.resamples": 0,
}


def memory(process: int | str = "self") -> dict[str, float]:
    """MB that a process holds for itself, and of files."""
    text = Path(f"/proc/{process}/status").read_text()
    return {
        name: int(re.search(rf"{name}:\s+(\d+)", text)[1]) / 1024 for name in ("RssAnon", "RssFile")
    }


def write_pairs(folder: Path, count: int) -> None:
    """Train and test files; a thousand pairs at a time."""
    for name, wanted in (("train", count), ("test", 200)):
        path = folder / f"{name}.jsonl"
        if path.exists():
            continue
        with path.with_suffix(".part").open("w") as file:
            for seed in range(-(-wanted // 1000)):
                for pair in demo.make_pairs(min(1000, wanted), seed, name):
                    # A pair may come again with another seed; id and prompt tell them apart.
                    pair["id"] = f"{seed}-{pair['id']}"
                    pair["prompt"][-1]["content"] += f" ({seed})"
                    file.write(json.dumps(pair) + "\n")
        path.with_suffix(".part").rename(path)


def start(folder: Path, steps: int) -> dict[str, object]:
    """Starts training, and stops it after some steps."""
    began = time.monotonic()
    run = folder / "run"
    arguments = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
    arguments += [f"--config.data.{name}={folder / name}.jsonl" for name in ("train", "test")]
    (run / "metrics.jsonl").unlink(missing_ok=True)  # of the start before
    log = (folder / "log.txt").open("w")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mapl_jax.train", f"--config={CONFIG}:small"),
            *(*arguments, f"--workdir={run}"),
        ],
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )
    metrics, most, held, first = run / "metrics.jsonl", 0.0, [], 0.0
    done = 0
    while process.poll() is None and done < steps:
        time.sleep(0.1)
        found = memory(process.pid)
        most = max(most, found["RssAnon"])
        lines = metrics.read_text().count("\n") if metrics.exists() else 0
        fresh = metrics.exists() and metrics.stat().st_mtime > time.time() - (
            time.monotonic() - began
        )
        if fresh and lines > done:
            done = lines
            first = first or time.monotonic() - began
            held.append(found)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if done < steps:
        raise SystemExit((folder / "log.txt").read_text())
    return {
        "seconds to the first step": round(first, 1),
        "steps": done,
        "most MB before and while training": round(most),
        "MB at step 10": held[min(10, len(held) - 1)],
        "MB at the last step": held[-1],
    }


def read_rows(folder: Path) -> dict[str, object]:
    """Reads an epoch of rows, ahead and by step as training does, and watches memory."""
    spec = importlib.util.spec_from_file_location("rm", CONFIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("small")
    config.update_from_flattened_dict(SETTINGS)
    config.data.train, config.data.test = (str(folder / f"{n}.jsonl") for n in ("train", "test"))
    config.train.epochs = 1
    settings = from_section(Settings, config.to_dict())
    mesh = sharding.make_mesh(settings.mesh)
    objective = trainer.objective_of(settings)
    cache = folder / "run" / "cache"
    split, _ = prepare.samples(settings.data, settings.synthesis, settings.seed, cache)
    tokenizer = run_tokenizer.make_tokenizer(
        settings.tokenizer, settings.model.path, split, folder / "run" / "tokenizer"
    )
    tries = trie_set.encode_split(split, tokenizer, settings.data, cache)
    began = time.monotonic()
    plan = trainer.make_plan(settings, tries, objective, mesh)
    planned = time.monotonic() - began
    batches = loader.Batches(tries, plan)
    held = []
    began = time.monotonic()
    for step, _ in enumerate(loader.stream(batches, fields=objective.fields)):
        if step % max(1, plan.steps // 10) == 0:
            held.append(memory())
    seconds = time.monotonic() - began
    return {
        "tries": len(tries),
        "steps": plan.steps,
        "seconds to plan": round(planned, 1),
        "tries a second": round(len(tries) / seconds),
        "MB for itself, by tenths": [round(found["RssAnon"]) for found in held],
        "MB of files, by tenths": [round(found["RssFile"]) for found in held],
    }


def measure(folder: Path, pairs: int, steps: int) -> dict[str, object]:
    """All of it."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, object] = {"pairs": pairs}
    write_pairs(folder, pairs)
    print("pairs written", flush=True)
    for name in ("cold", "warm"):
        found[name] = start(folder, steps)
        print(name, json.dumps(found[name]), flush=True)
    found["loader"] = read_rows(folder)
    print("loader", json.dumps(found["loader"]), flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    result = measure(given.folder, given.pairs, given.steps)
    (given.folder / "load.json").write_text(json.dumps(result, indent=2) + "\n")
