"""Scores pairs or responses with a model, or judges responses by IFEval's rules.

python -m mapl_jax.evaluate --config=configs/evaluate.py --config.checkpoint=DIR --config.data=FILE
python -m mapl_jax.evaluate --config=configs/evaluate.py:score --config.input=FILE ...
python -m mapl_jax.evaluate --compare RUN OTHER_RUN
"""

import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax

from mapl_jax.data import trie_set
from mapl_jax.data.messages import Prompt, as_messages, as_text
from mapl_jax.data.settings import ON_ERROR, TRUNCATION
from mapl_jax.data.sources import Source, local_names
from mapl_jax.data.splits import Split, beside_training
from mapl_jax.evaluation import ifeval_run, implicit, preferences, scored_file, stored
from mapl_jax.evaluation import rewards as judging
from mapl_jax.evaluation.ifeval import IfevalSettings
from mapl_jax.evaluation.scored_file import ScoreSettings
from mapl_jax.evaluation.settings import RowSettings
from mapl_jax.evaluation.statistics import Summary
from mapl_jax.models.initial import compute_in
from mapl_jax.reports import comparison, run
from mapl_jax.runtime import cli, files
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.console import result, say, say_each
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import write_json
from mapl_jax.runtime.outputs import check_apart, check_file, check_folder, made_with, replacing
from mapl_jax.runtime.paths import local, shown
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.runtime.settings import from_section, needed, setting
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings as SynthesisSettings
from mapl_jax.training import restore, sharding
from mapl_jax.training.restore import Model, Trained, loaded

EVALUATION = made_with("report.html")


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation:
    """How a model did on held-out comparisons; shows itself as a table.

    Attributes:
        summary: accuracies, margins, ... by level, by number of instructions and by family, as
            `evaluation.preferences.summarize` names them.
        scored: every comparison with its rewards.
        counts: what was read, dropped and cut.
    """

    summary: Summary
    scored: preferences.Scored
    counts: dict[str, object]

    def __repr__(self) -> str:
        return "\n\n".join(map(str, preferences.tables(None, self.summary)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(RowSettings):
    """What a config says of the evaluation of a reward model, or of a policy by its reference."""

    reference: str = setting(
        "", "for a policy: what its log-probabilities are compared with; empty: its run's reference"
    )
    beta: float = setting(
        0.0,
        "for a policy: scale of its implicit reward; 0: as in its run, else 0.1",
        least=1e-6,
        most=1e6,
        besides=0,
    )
    data: str = setting("", 'pairs or samples: a file, a folder, a hub name, or "demo"')
    output: str = setting("", "folder for summary.json and report.html; empty: print only")
    scores: str = setting("", "file to write, one line per comparison; empty: none")
    on_error: str = setting(
        "raise", 'what to do with a bad record: "raise" an error or "skip" it', choices=ON_ERROR
    )
    columns: str = setting(
        "", "which column is which, or a published form of records (docs/data.md)"
    )
    synthesize: bool = setting(False, "add instructions to raw pairs")
    max_length: int = setting(
        0,
        "longest prompt and response together, in tokens; 0: as in the run, else 2048",
        least=32,
        most=2**20,
        besides=0,
    )
    row_length: int = setting(
        0, "tokens in a row; 0: as in the run, else twice max_length", least=0, most=2**20
    )
    truncation: str = setting(
        "truncate",
        'what to do with longer texts: "truncate" (from the left), "drop" or "error"',
        choices=TRUNCATION,
    )
    resamples: int = setting(1000, "number of bootstrap resamples", least=0, most=10**6)
    seed: int = setting(0, "seed for the bootstrap", least=0, most=2**32 - 1)
    synthesis: SynthesisSettings

    def __post_init__(self) -> None:
        if not self.synthesize and self.synthesis != SynthesisSettings():
            raise UserError(
                "synthesis says how pairs get instructions, and synthesize is False; set "
                "--config.synthesize=True, or leave synthesis as it is"
            )


@checked(Settings)
def evaluate_model(
    model: Model,
    data: Source,
    *,
    synthesis: Mapping[str, object] | None = None,
    reference: str | os.PathLike[str] = "",
    beta: float = 0.0,
    max_length: int = 0,
    rows_per_batch: int = 8,
    dtype: str = "float32",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """How often a reward model prefers what it should, or a policy by its implicit reward.

    Args:
        model: a reward model or a policy, or where it lies.
        data: pairs or samples.
        synthesis: settings to add instructions to pairs with, as `make_samples` takes them, {} for
            the usual ones; None for pairs as they are.
        reference: of a policy, where that lies which its log-probabilities are compared with; empty
            for that of the DPO run that made it.
        beta: of a policy, factor of its rewards; 0: that of its run, else 0.1.
        max_length: longest prompt and response together, tokens; 0: that of the run, else 2048.
        rows_per_batch: rows of tokens at once.
        dtype: of the computation, "float32" or "bfloat16".
        resamples: of the bootstrap behind the 95 % intervals.
        seed: of the bootstrap.

    Raises:
        UserError: there is no model, a policy has no reference, or the data is bad.

    Examples:
        >>> import mapl_jax
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> model = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> evaluation = mapl_jax.evaluate_model(model, pairs)
        >>> evaluation.summary["base_count"]
        10
    """
    trained = loaded(model)
    against = _reference(trained, os.fspath(reference), beta)
    settings = judging.encoding(trained, max_length)
    added = None
    if synthesis is not None:
        added = from_section(SynthesisSettings, synthesis, "synthesis")
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        split = prepare.samples_of(data, cache, synthesis=added, tokenizer=trained.tokenizer)
        split = beside_training(split, trained.run, trained.config)
        tries = trie_set.encode_split(split, trained.tokenizer, settings, cache)
        say_each(trie_set.flaws(tries.counts))
        compute = compute_in(dtype)
        scored = _scorer(against)(trained, tries, rows_per_batch=rows_per_batch, compute=compute)
    summary = preferences.summarize(scored, seed=seed, resamples=resamples)
    return Evaluation(summary, scored, {**split.counts, "encoding": tries.counts})


def _reference(trained: Trained, named: str, beta: float) -> implicit.Reference | None:
    """The reference of a policy; None of a reward model."""
    if not trained.head:
        return implicit.reference_of(trained, named, beta)
    if named or beta:
        raise UserError(
            "reference and beta apply to a policy, and this is a reward model; leave them out"
        )
    return None


def _scorer(against: implicit.Reference | None) -> Callable[..., preferences.Scored]:
    """Scores every comparison by a reward model, or by a policy against its reference."""
    if against:
        return functools.partial(implicit.comparisons, against=against)
    return judging.comparisons


@checked(Settings)
def score(
    prompt: Prompt,
    responses: Sequence[str],
    model: Model,
    *,
    rows_per_batch: int = 1,
    dtype: str = "float32",
) -> list[float]:
    """Rewards of responses to a prompt.

    All responses are read together with the prompt, which is read once. Calls with one loaded
    model compile once for texts of about the same length.

    Args:
        prompt: a text, or the messages of a conversation that ends with a user's turn.
        responses: any number of texts.
        model: a reward model from `load_model` or `train_model`, or where one lies (a run, an
            exported model, a hub name), which is then loaded for this call.
        rows_per_batch: rows of tokens at once.
        dtype: of the computation, "float32" or "bfloat16".

    Returns:
        A reward for each response; what it means against others is all that it means.

    Raises:
        UserError: there is no reward model, a text is empty, or the prompt is too long.

    Examples:
        >>> import mapl_jax
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> model = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> rewards = mapl_jax.score("Name a river.", ["The Nile.", "Bread.", "The Nile."], model)
        >>> len(rewards), rewards[0] == rewards[2]
        (3, True)
    """
    messages = as_messages(prompt)
    texts = [as_text(text, f"response {number}") for number, text in enumerate(responses, 1)]
    reward_model = loaded(model).as_reward_model()
    if not texts:
        return []
    ((*rewards,),) = judging.rewards(
        reward_model,
        [messages],
        [texts],
        rows_per_batch=rows_per_batch,
        compute=compute_in(dtype),
    )
    return rewards


@dataclasses.dataclass(frozen=True)
class Flags:
    """The plain flags of the command."""

    compare: tuple[str, ...] = setting(
        (), "folders of runs or evaluations to compare: --compare A B"
    )
    output: str = setting("compare.html", "with --compare: the page to write")


def main(arguments: cli.Arguments[Flags]) -> None:
    """Loads, scores, prints."""
    if arguments.flags.compare:
        cli.no_workdir(arguments, "--compare", "name the page to write: --output=FILE")
        if arguments.config.to_dict():
            raise UserError("--compare reads what runs left, and takes no --config; leave it out")
        result(comparison.compare_runs(arguments.flags.compare, arguments.flags.output))
        say("", f"page: {arguments.flags.output}")
        return
    values = arguments.config.to_dict()
    if "input" in values or "responses" in values:
        hint = "name the file to write: --config.output=FILE"
        cli.no_workdir(arguments, "this use of evaluate", hint)
    if "input" in values:
        scored_file.score(from_section(ScoreSettings, values))
        return
    if "responses" in values:
        ifeval_run.score(from_section(IfevalSettings, values))
        return
    config = from_section(Settings, values)
    needed(config, checkpoint="DIR", data="FILE")
    output = cli.one_of(arguments.workdir, config.output)
    inputs = [config.checkpoint, config.reference, *local_names(config.data)]
    if config.scores:
        check_file(config.scores, preferences.SCORES, inputs)
    if output:
        check_folder(output, EVALUATION, inputs)
    check_apart(output=output, scores=config.scores)
    mesh = sharding.make_mesh(config.mesh)
    trained = restore.load(config.checkpoint, mesh, config.template_args)
    against = _reference(trained, config.reference, config.beta)
    settings = judging.encoding(trained, config.max_length, config.row_length, config.truncation)
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        synthesis = config.synthesis if config.synthesize else None
        split = prepare.samples_of(
            config.data,
            cache,
            on_error=config.on_error,
            seed=config.seed,
            synthesis=synthesis,
            columns=config.columns,
            tokenizer=trained.tokenizer,
        )
        split = beside_training(split, trained.run, trained.config)
        tries = trie_set.encode_split(split, trained.tokenizer, settings, cache)
        say(trie_set.describe(str(config.data), tries))
        say_each([str(against)] if against else [])
        scored = _scorer(against)(
            trained, tries, rows_per_batch=config.rows_per_batch, compute=config.compute
        )
        if jax.process_index() == 0:
            _report(config, arguments, trained, against, split, tries.counts, scored)


def _report(
    config: Settings,
    arguments: cli.Arguments[Flags],
    trained: Trained,
    against: implicit.Reference | None,
    split: Split,
    encoding: Mapping[str, int],
    scored: preferences.Scored,
) -> None:
    """Prints the table, and writes what is asked for."""
    output = config.output or arguments.workdir
    summary = preferences.summarize(scored, seed=config.seed, resamples=config.resamples)
    say()
    result(Evaluation(summary, scored, {}))
    if config.scores:
        preferences.write_scores(Path(config.scores), scored)
        say("", f"scores: {config.scores}")
    if not output:
        return
    facts = {
        "name": f"{config.checkpoint} on {config.data}",
        "command": arguments.command,
        "checkpoint": str(config.checkpoint),
        **({"reference": against.name, "beta": against.beta} if against else {}),
        "data": {**split.counts, "encoding": encoding},
        "held_out": stored.digests(split.samples()),
        "config": json.loads(json.dumps(arguments.config.to_dict())),
        "eval": {"after": summary},
    }
    comparisons = trained.summary.get("train", {}).get("comparisons", {})
    with replacing(local(output), EVALUATION) as part:
        folder = RunFolder(part)
        write_json(folder.summary, facts)
        # As in the folder of a run, for --compare.
        preferences.write_scores(folder.eval / "after.jsonl", scored)
        files.seal(folder.eval, ["after.jsonl"])
        run.write_report(
            folder.report,
            {**facts, "trained_on": list(comparisons.get("constraint", ()))},
            {"after": scored},
            device=f"{trained.mesh.size} x {jax.devices()[0].device_kind}",
            samples=split.samples(),
        )
    say("", f"report: {shown(RunFolder(output).report)}")


if __name__ == "__main__":
    cli.launch(
        main,
        name="evaluate",
        config="configs/evaluate.py",
        settings=[Settings, IfevalSettings, ScoreSettings],
        flags=Flags,
    )
