"""Synthesizes samples from preference pairs: `python -m mapl_jax.synthesize --config=...`.

Writes shards of samples, summary.json, report.html and reference.json to the output folder. The
same command again goes on where a run was stopped.
"""

import shlex
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from mapl_jax import cli
from mapl_jax.data import demo, sources
from mapl_jax.data.sources import Pair, Tally
from mapl_jax.errors import UserError
from mapl_jax.files import local
from mapl_jax.messages import progress, say
from mapl_jax.synthesis import runners, shards
from mapl_jax.synthesis.settings import Settings

FLAGS = {
    "runner": cli.Flag(
        "",
        "Make the samples with Apache Beam on this runner: DirectRunner, DataflowRunner, "
        "FlinkRunner, SparkRunner, ... Without it, processes of this machine do.",
    ),
    "beam": cli.Flag(
        "", 'Options for Apache Beam, as it writes them: "--project=NAME --region=NAME".'
    ),
}


def main(arguments: cli.Arguments) -> None:
    """Reads pairs, synthesizes, writes samples and summary, and prints what came out."""
    config = arguments.config
    settings = settings_from(config)
    runner = arguments.flags.runner
    if runner:
        run = runners.beam(runner, shlex.split(arguments.flags.beam))
    else:
        run = runners.local(config.num_proc)
    output = local(_required(config.output or arguments.workdir, "output", "a folder to write to"))
    tally = Tally()
    pairs = _pairs(config, tally)
    try:
        with progress("synthesizing", "pairs") as shown:
            summary = shards.synthesize(
                pairs,
                settings,
                output,
                run=run,
                format=config.format,
                shard_size=config.shard_size,
                overwrite=config.overwrite,
                progress=shown,
                source=tally,
            )
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror or error}") from None
    if not summary["made"]:
        say(f"{output} is up to date")
        return
    say(
        _table(summary),
        f"wrote {len(summary['files'])} x {summary['files'][0]} to {output}",
        f"report: {output / shards.REPORT}",
    )


def settings_from(config: ConfigDict) -> Settings:
    """The synthesis settings of a config, checked."""
    return Settings(
        mode=config.mode,
        seed=config.seed,
        k_min=config.k_min,
        k_max=config.k_max,
        families=config.families,
        wordings=config.wordings,
        reference=config.reference,
        min_share=config.min_share,
        min_share_named=config.min_share_named,
        max_share=config.max_share,
    )


def _required(value: str | None, field: str, what: str) -> str:
    if not value:
        raise UserError(f"no {field} given; set --config.{field} to {what}")
    return value


def _pairs(config: ConfigDict, tally: Tally) -> Iterator[Pair]:
    """The pairs of `config.input`, counted as they are read."""
    name = _required(config.input, "input", "a file, a folder, a hub name, demo or demo:test")
    if name.split(":")[0] != "demo":
        return sources.iter_pairs(name, tally, on_error=config.on_error)
    split = name.partition(":")[2] or "train"
    if split not in demo.SPLITS:
        raise UserError(f"input {name!r} is unknown; use {' or '.join(_demo_names())}")
    if config.demo_pairs < 1:
        raise UserError(f"demo_pairs must be at least 1, not {config.demo_pairs}")
    tally.read = config.demo_pairs
    return iter(demo.make_pairs(config.demo_pairs, config.seed, split))


def _demo_names() -> list[str]:
    return [f"demo:{split}" for split in demo.SPLITS]


def _table(summary: dict[str, Any]) -> str:
    """The summary as a few lines for people."""
    comparisons, records = summary["comparisons"], summary["records"]
    most = list(comparisons["constraint"].items())
    shown = ", ".join(f"{name} {count}" for name, count in most[:5])
    share = 100 * summary["all_five"] / summary["pairs_in"]
    refused = sum(summary["uninformative"].values())
    lines = [
        ("pairs", f"{summary['pairs_in']} of {records['read']} records"),
        ("speed", f"{summary['pairs_per_second']:.0f} pairs/s, reading and learning included"),
        ("all five", f"{share:.1f} % of the pairs give all five comparisons"),
        ("comparisons", _counts(comparisons["level"])),
        ("by k", _counts(comparisons["k"])),
        ("constraints", f"{len(most)} families; most: {shown or 'none'}"),
        ("uninformative", f"{refused} arguments drawn and left out"),
    ]
    for what, reasons in (("records", records["dropped"]), ("comparisons", summary["dropped"])):
        lines += [(f"dropped {what}", f"{reason}: {count}") for reason, count in reasons.items()]
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


if __name__ == "__main__":
    cli.launch(main, name="synthesize", config="configs/synthesize.py", flags=FLAGS)
