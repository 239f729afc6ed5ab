"""Synthesizes samples from preference pairs: python -m mapl_jax.synthesize --config=FILE

Writes files of samples, summary.json, report.html and reference.json to the output folder. If it
is stopped, the same command continues it.
"""

import collections
import dataclasses
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mapl_jax import constraints
from mapl_jax.data import demo, forms, sources
from mapl_jax.data.messages import as_text
from mapl_jax.data.normalize import Pair
from mapl_jax.data.readers import read_entries
from mapl_jax.data.records import Tally, collect, iter_pairs
from mapl_jax.data.samples import Sample, responses_of
from mapl_jax.data.settings import ON_ERROR
from mapl_jax.data.sources import DEMO, Source
from mapl_jax.reports import synthesis as report
from mapl_jax.runtime import cli, plugins
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.console import progress, say, say_each
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.locks import held
from mapl_jax.runtime.paths import lock_of, shown
from mapl_jax.runtime.settings import from_section, setting
from mapl_jax.synthesis import draw, pipeline, prepare, runners
from mapl_jax.synthesis.corpus import Arguments, Corpus
from mapl_jax.synthesis.settings import Settings


@checked(limit=(0, 10**9))
def load_pairs(
    source: Source = DEMO,
    *,
    limit: int = 0,
    on_error: str = "raise",
    format: str = "",
    columns: str = "",
) -> list[Pair]:
    """Preference pairs, checked and brought to one form.

    Args:
        source: a .jsonl, .json, .csv or .parquet file, a folder of them, a hub name
            (`org/name:split`), records in memory (a list, a `datasets.Dataset`), all in the forms
            that TRL reads; or "demo", pairs made by rule.
        limit: only the first that many good ones, and nothing is read beyond them; 0 for all.
        on_error: "raise" stops at a bad record, "skip" leaves it out.
        format: a published form of records, such as "helpsteer3".
        columns: which column is which, "prompt=context,chosen=good,rejected=bad".

    Raises:
        UserError: the source cannot be read, a record is bad, or none is left.

    Examples:
        >>> import mapl_jax
        >>> pair, = mapl_jax.load_pairs(
        ...     [{"prompt": "Name a river.", "chosen": "The Nile.", "rejected": "Bread."}]
        ... )
        >>> pair["prompt"], pair["chosen"]
        ([{'role': 'user', 'content': 'Name a river.'}], 'The Nile.')
    """
    if not isinstance(source, str | os.PathLike):
        source = sources.rows_of(source)
    demo_pairs = max(limit, 10) if limit else 4000
    entries = sources.entries_of(source, split="train", demo_pairs=demo_pairs)
    form = forms.requested_form(format, columns)
    pairs = collect(iter_pairs, entries, limit=limit, on_error=on_error, form=form)
    from mapl_jax.data import encode, tokenization, trie_set  # the command does not need these

    counts: collections.Counter[str] = collections.Counter()
    marks = tokenization.marks()
    for pair in pairs.records:
        counts["samples"] += 1
        encode.count_flaws(pair["prompt"], responses_of(pair), (), marks, counts)
    say_each([*pairs.tally.notes(), *trie_set.flaws(counts)])
    return pairs.records


@checked()
def make_samples(pairs: Source, **settings: Any) -> list[Sample]:
    """Adds instructions to pairs: what `python -m mapl_jax.synthesize` does, in this process.

    Args:
        pairs: as `load_pairs` takes or gives them.
        **settings: fields of `synthesis.settings.Settings`, such as `k_max=3`, `seed=1`,
            `families="held_out"`.

    Returns:
        Samples in the schema of `mapl_jax.data.samples`: prompts with their instructions, the
        two responses, and the comparisons between them.

    Raises:
        UserError: a pair is bad or a setting is not possible.

    Examples:
        >>> import mapl_jax
        >>> sample, *_ = mapl_jax.make_samples(mapl_jax.load_pairs("demo", limit=10))
        >>> sorted({comparison["level"] for comparison in sample["comparisons"]})
        ['base', 'inter', 'intra']
        >>> instructions = sample["prompts"][1]["constraints"]
        >>> all(mapl_jax.check_instructions(instructions, sample["responses"][0]))
        True
        >>> any(mapl_jax.check_instructions(instructions, sample["responses"][1]))
        False
    """
    try:
        chosen = Settings(**settings)
    except TypeError as error:
        known = ", ".join(field.name for field in dataclasses.fields(Settings))
        raise UserError(f"{error}; settings are {known}") from None
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        split = prepare.samples_of(
            pairs, cache, seed=chosen.seed, synthesis=chosen, split="train", num_proc=1
        )
        return list(split.samples())


@checked(Settings, k=(1, 1000))
def propose_instructions(
    keeps: str,
    breaks: str | None = None,
    *,
    k: int = 3,
    families: str = "train",
    seed: int = 0,
    held_out_wordings: bool = False,
) -> list[dict[str, object]]:
    """Instructions that one text keeps and another breaks; no two conflict or ask for the same.

    Args:
        keeps: the text that keeps all of them.
        breaks: the text that breaks each of them; None for no such text.
        k: how many at most; fewer come back where the texts allow no more.
        families: "train", "held_out", "all", or ids of families with commas between them.
        seed: another one draws others.
        held_out_wordings: put them into the words kept for evaluation.

    Returns:
        For each its `id`, its `params` and its `text`.

    Raises:
        UserError: there is no such family.

    Examples:
        >>> import mapl_jax
        >>> found = mapl_jax.propose_instructions("Yes! It is, of course.", "no", k=2, seed=3)
        >>> len(found)
        2
        >>> mapl_jax.check_instructions(found, "no")
        [False, False]
    """
    as_text(keeps, "keeps")
    if breaks is not None:
        as_text(breaks, "breaks")
    rng = draw.generator(seed, f"{keeps}\n{breaks}", "propose_instructions")
    conditions = [(keeps, True)] + ([] if breaks is None else [(breaks, False)])
    ids = Settings(families=families, k_min=1, k_max=k).family_ids
    drawn = draw.Draw(ids, rng, Corpus())
    sides = drawn.sides(*conditions)

    def propose(id: str, _: bool) -> Arguments | None:
        one = drawn.instruction(constraints.family_of(id), sides)
        return None if one is None else (one, one)

    items, _ = drawn.twins(k, propose)
    return [
        {
            "id": id,
            "params": params,
            "text": constraints.render(id, params, rng, held_out=held_out_wordings),
        }
        for id, params in items
    ]


@checked()
def check_instructions(
    instructions: Sequence[str | Mapping[str, Any]], response: str
) -> list[bool]:
    """Whether a response keeps each of some instructions.

    Args:
        instructions: with `id` and `params`, as `propose_instructions` and samples have them; or
            sentences, in the package's wordings or in plain ones ("Keep it under 50 words").
        response: any text.

    Returns:
        Whether each is kept, in order.

    Raises:
        UserError: an instruction is unknown.

    Examples:
        >>> import mapl_jax
        >>> mapl_jax.check_instructions(["Use fewer than 3 commas."], "a, b, c")
        [True]
    """
    verdicts = []
    for item in instructions:
        try:
            if isinstance(item, str):
                id, params = constraints.parse(item)
            else:
                id, params = item["id"], item["params"]
            verdicts.append(constraints.check(id, params, response))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"no instruction {item!r}: {error}") from None
    return verdicts


REPORT = "report.html"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandSettings(Settings):
    """What a config of this command says: of synthesis itself, and of its input and output."""

    input: str = setting(
        "",
        "pairs: a file (.jsonl, .json, .csv, .parquet), a folder of these, a hub name "
        'org/name:split, or "demo", "demo:test"',
    )
    output: str = setting("", "folder for the samples")
    overwrite: bool = setting(False, "replace what is in the output folder")
    on_error: str = setting(
        "raise",
        'what to do with a bad record: "raise" an error, or "skip" and count it',
        choices=ON_ERROR,
    )
    columns: str = setting(
        "", "which column is which, or a published form of records (docs/data.md)"
    )
    demo_pairs: int = setting(2000, "number of pairs, if input is demo", least=1, most=10**8)
    format: str = setting(
        "jsonl", 'file format of the samples: "jsonl" or "parquet"', choices=pipeline.FORMATS
    )
    shard_size: int = setting(1024, "pairs per file, and per task of a worker", least=1, most=10**7)
    num_proc: int = setting(0, "number of processes; 0: one per core", least=0, most=1024)
    plugins: str = setting("", plugins.HELP)

    def of_samples(self) -> Settings:
        """What is said of the samples themselves."""
        names = [field.name for field in dataclasses.fields(Settings)]
        return Settings(**{name: getattr(self, name) for name in names})


@dataclasses.dataclass(frozen=True)
class Flags:
    """The plain flags of the command."""

    runner: str = setting(
        "",
        "make the samples with Apache Beam on this runner: DirectRunner, DataflowRunner, "
        "FlinkRunner, SparkRunner, ...; empty: with processes on this machine",
    )
    beam: str = setting("", 'options of Apache Beam: "--project=NAME --region=NAME"')


def main(arguments: cli.Arguments[Flags]) -> None:
    """Reads pairs, synthesizes, writes samples and summary, and prints what came out."""
    config = from_section(CommandSettings, arguments.config.to_dict())
    settings = config.of_samples()
    runner = arguments.flags.runner
    if runner:
        run = runners.beam(runner, _options(arguments.flags.beam))
    else:
        run = runners.local(config.num_proc)
    place = cli.one_of(arguments.workdir, config.output)
    place = _required(place, "output", "a folder to write to")
    output = pipeline.check_output(place, sources.local_names(config.input))
    tally = Tally()
    pairs = _pairs(config, tally)
    try:
        lock = held(lock_of(output), str(place), "--output")
        with lock, progress("synthesizing", "pairs") as show:
            summary = pipeline.synthesize(
                pairs,
                settings,
                output,
                run=run,
                format=config.format,
                shard_size=config.shard_size,
                overwrite=config.overwrite,
                progress=show,
                source=tally,
                report=lambda folder, *made: report.write(folder / REPORT, *made),
            )
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror or error}") from None
    if not summary["made"]:
        say(f"{shown(output)} is up to date")
        return
    say_each(tally.notes())
    say(
        _table(summary),
        f"wrote {len(summary['files'])} x {summary['files'][0]} to {shown(output)}",
        f"report: {shown(output / REPORT)}",
    )


def _options(text: str) -> list[str]:
    """The options for Apache Beam, as a shell splits them."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"--beam is {text!r}: {error}") from None


def _required(value: str, field: str, what: str) -> str:
    if not value:
        raise UserError(f"no {field} given; set --config.{field} to {what}")
    return value


def _pairs(config: CommandSettings, tally: Tally) -> Iterator[Pair]:
    """The pairs of `config.input`, counted as they are read."""
    name = _required(config.input, "input", "a file, a folder, a hub name, demo or demo:test")
    if name.split(":")[0] != DEMO:
        form = forms.requested_form(columns=config.columns)
        return iter_pairs(
            read_entries(name, seed=config.seed), tally, on_error=config.on_error, form=form
        )
    split = name.partition(":")[2] or "train"
    if split not in demo.SPLITS:
        raise UserError(f"input {name!r} is unknown; use {' or '.join(_demo_names())}")
    tally.read = config.demo_pairs
    return iter(demo.make_pairs(config.demo_pairs, config.seed, split))


def _demo_names() -> list[str]:
    return [f"demo:{split}" for split in demo.SPLITS]


def _table(summary: pipeline.Summary) -> str:
    """The summary as a few lines for people."""
    comparisons, records = summary["comparisons"], summary["records"]
    most = list(comparisons["constraint"].items())
    shown = ", ".join(f"{name} {count}" for name, count in most[:5])
    share = 100 * summary["all_five"] / summary["pairs_in"]
    refused = sum(summary["uninformative"].values())
    by_number = ", ".join(f"{count} with {k}" for k, count in comparisons["k"].items())
    lines = [
        ("pairs", f"{summary['pairs_in']} of {records['read']} records"),
        (
            "speed",
            f"{summary['pairs_per_second']:.0f} pairs per second, reading and statistics included",
        ),
        ("all five", f"{share:.1f} % of the pairs give all five comparisons"),
        ("comparisons", _counts(comparisons["level"])),
        ("instructions", by_number or "none"),
        ("families", f"{len(most)}; most: {shown or 'none'}"),
        ("uninformative", f"{refused} drawn instructions that nearly all or no responses follow"),
    ]
    for what, reasons in (("records", records["dropped"]), ("comparisons", summary["dropped"])):
        lines += [(f"{what} left out", f"{reason}: {count}") for reason, count in reasons.items()]
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


if __name__ == "__main__":
    cli.launch(
        main,
        name="synthesize",
        config="configs/synthesize.py",
        settings=[CommandSettings],
        flags=Flags,
    )
