"""Synthesizes samples from preference pairs: `python -m mapl_jax.synthesize --config=...`.

Writes `samples.jsonl` and `summary.json` to the output folder.
"""

import json
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

from mapl_jax import cli
from mapl_jax.data import demo, sources
from mapl_jax.errors import UserError
from mapl_jax.synthesis import runners
from mapl_jax.synthesis.settings import Settings


def main(arguments: cli.Arguments) -> None:
    """Reads pairs, synthesizes, writes samples and summary, and prints what came out."""
    config = arguments.config
    settings = settings_from(config)
    if config.workers < 0:
        raise UserError(f"workers must not be negative, not {config.workers}")
    output = Path(_required(config.output or arguments.workdir, "output", "a folder to write to"))
    if output.exists() and not output.is_dir():
        raise UserError(f"output {output} is a file; give a folder")
    pairs = _pairs(config)
    name = runners.fingerprint(pairs.records, settings)
    target, summary_path = output / "samples.jsonl", output / "summary.json"
    if target.exists() and not config.overwrite:
        if _written_fingerprint(summary_path) == name:
            print(f"{target} is up to date")
            return
        raise UserError(
            f"{target} exists and was made from other pairs or settings; "
            "give another output, or --config.overwrite=true"
        )
    # A summary tells of the samples beside it, so the old one goes before they do.
    summary_path.unlink(missing_ok=True)
    stats = runners.Stats()
    samples = runners.synthesize(pairs.records, settings, workers=config.workers, stats=stats)
    try:
        runners.write_samples(tqdm(samples, total=pairs.kept, unit="pair", file=sys.stderr), target)
        summary = _summary(pairs, stats, name)
        runners.write_json(summary, summary_path)
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror or error}") from None
    print(_table(summary))
    print(f"wrote {target} and {summary_path}")


def settings_from(config: ConfigDict) -> Settings:
    """The synthesis settings of a config, checked."""
    return Settings(
        mode=config.mode,
        seed=config.seed,
        k_min=config.k_min,
        k_max=config.k_max,
        families=config.families,
        wordings=config.wordings,
    )


def _required(value: str | None, field: str, what: str) -> str:
    if not value:
        raise UserError(f"no {field} given; set --config.{field} to {what}")
    return value


def _pairs(config: ConfigDict) -> sources.Pairs:
    """The pairs of `config.input`, with repairs as `config.on_error` says."""
    name = _required(config.input, "input", "a file, a folder, a hub name, demo or demo:test")
    if name.split(":")[0] == "demo":
        split = name.partition(":")[2] or "train"
        if split not in demo.SPLITS:
            raise UserError(f"input {name!r} is unknown; use {' or '.join(_demo_names())}")
        if config.demo_pairs < 1:
            raise UserError(f"demo_pairs must be at least 1, not {config.demo_pairs}")
        records = demo.make_pairs(config.demo_pairs, config.seed, split)
        return sources.Pairs(records, len(records), {})
    return sources.read_pairs(name, on_error=config.on_error)


def _demo_names() -> list[str]:
    return [f"demo:{split}" for split in demo.SPLITS]


def _written_fingerprint(summary_path: Path) -> str | None:
    if not summary_path.is_file():
        return None
    try:
        return json.loads(summary_path.read_text(encoding="utf-8"))["fingerprint"]
    except (ValueError, KeyError, TypeError):
        return None


def _summary(pairs: sources.Pairs, stats: runners.Stats, name: str) -> dict[str, Any]:
    """What is written to summary.json: records read, comparisons made, and everything left out."""
    summary = {"records_read": pairs.read, **stats.to_json(), "fingerprint": name}
    summary["dropped"] = {
        "records": dict(pairs.dropped),
        "comparisons": summary["dropped"],
    }
    return summary


def _table(summary: dict[str, Any]) -> str:
    """The summary as a few lines for people."""
    comparisons = summary["comparisons"]
    most = list(comparisons["constraint"].items())
    shown = ", ".join(f"{name} {count}" for name, count in most[:5])
    lines = [
        ("pairs", f"{summary['pairs_in']} of {summary['records_read']} records"),
        ("samples", f"{summary['samples_out']} at {summary['pairs_per_second']:.0f} pairs/s"),
        ("comparisons", _counts(comparisons["level"])),
        ("by k", _counts(comparisons["k"])),
        ("constraints", f"{len(most)} families; most: {shown or 'none'}"),
    ]
    for what, reasons in summary["dropped"].items():
        lines += [(f"dropped {what}", f"{reason}: {count}") for reason, count in reasons.items()]
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


if __name__ == "__main__":
    cli.launch(main, name="synthesize", config="configs/synthesize.py")
