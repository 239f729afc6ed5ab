"""What a notebook or a script needs, as plain functions; all of them are `mapl_jax.NAME`.

    pairs = load_pairs("pairs.jsonl")                  what people prefer
    samples = make_samples(pairs)                      with instructions added
    model = train_model(load_config("rm:small"), pairs)
    print(evaluate_model(model, "held_out.jsonl"))
    score("Name three rivers.", ["The Nile.", "..."], model)
    export_model(model, "reward-model")

They do what the commands of the same verbs do, by the same code. Their names are longer, because
`mapl_jax.train`, `mapl_jax.evaluate`, ... are the commands' modules. A user's mistake raises
`UserError` with one line that says what to do.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from mapl_jax import (
    cli,
    configuration,
    constraints,
    export,
    inputs,
    judging,
    objectives,
    outputs,
    responses,
    results,
    train,
    trained,
    weights,
)
from mapl_jax.charts import Gallery
from mapl_jax.data.sources import Message, Pair
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.errors import UserError
from mapl_jax.evaluation import preferences
from mapl_jax.files import write_lines
from mapl_jax.inputs import Source
from mapl_jax.messages import set_verbosity
from mapl_jax.models.decoder import DecoderConfig
from mapl_jax.models.generation import Sampling
from mapl_jax.runs import RunFolder
from mapl_jax.synthesis import sets
from mapl_jax.synthesis.settings import Settings
from mapl_jax.trained import Trained
from mapl_jax.training import sharding

Prompt = str | Sequence[Message]
Model = Trained | str | os.PathLike[str]

# Every device holds a part of the parameters, which suits a model of any size.
SPREAD = {"data": 1, "fsdp": -1, "tensor": 1}


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation:
    """How a reward model did on held-out comparisons; shows itself as a table.

    Attributes:
        summary: accuracies, margins, ... by level, by number of instructions and by family, as
            `evaluation.preferences.summarize` names them.
        scored: every comparison with its rewards.
        counts: what was read, dropped and cut.
    """

    summary: dict[str, Any]
    scored: preferences.Scored
    counts: dict[str, Any]

    def __repr__(self) -> str:
        return preferences.table(None, self.summary)


def load_config(name: str = "rm", values: Mapping[str, Any] | None = None) -> ConfigDict:
    """The config of a file of `configs/`, with some fields set.

    Args:
        name: "rm", "sft", "dpo", a preset such as "rm:small", or the path of a config file.
        values: field -> value, such as {"train.steps": 100}.

    Raises:
        UserError: there is no such file, preset or field, or a value is of another type.

    Example:
        >>> import mapl_jax
        >>> config = mapl_jax.load_config("rm:small", {"train.learning_rate": 5e-4})
        >>> config.train.learning_rate, config.data.row_length
        (0.0005, 1024)
    """
    return configuration.load(name, values)


def load_pairs(
    source: Source = inputs.DEMO, *, limit: int = 0, on_error: str = "raise"
) -> list[Pair]:
    """Preference pairs, checked and brought to one form.

    Args:
        source: a .jsonl, .json, .csv or .parquet file, a folder of them, a hub name
            (`org/name:split`), records in memory (a list, a `datasets.Dataset`), all in the forms
            that TRL reads; or "demo", pairs made by rule.
        limit: only the first that many; 0 for all.
        on_error: "raise" stops at a bad record, "skip" leaves it out.

    Raises:
        UserError: the source cannot be read, a record is bad, or none is left.

    Example:
        >>> import mapl_jax
        >>> pair, = mapl_jax.load_pairs(
        ...     [{"prompt": "Name a river.", "chosen": "The Nile.", "rejected": "Bread."}]
        ... )
        >>> pair["prompt"], pair["chosen"]
        ([{'role': 'user', 'content': 'Name a river.'}], 'The Nile.')
    """
    if limit < 0:
        raise UserError(f"limit must be at least 0, not {limit}")
    if not isinstance(source, str | os.PathLike):
        return inputs.given_pairs(itertools.islice(source, limit or None), on_error).records
    found = inputs.read_pairs(
        os.fspath(source), on_error, 0, split="train", demo_pairs=max(limit, 10) if limit else 4000
    )
    return found.records[: limit or None]


def make_samples(pairs: Source, **settings: Any) -> list[dict[str, Any]]:
    """Adds instructions to pairs: what `python -m mapl_jax.synthesize` does, in this process.

    Args:
        pairs: as `load_pairs` takes or gives them.
        **settings: fields of `synthesis.settings.Settings`, such as `k_max=3`, `seed=1`,
            `families="held_out"`.

    Returns:
        Samples in the schema of `mapl_jax.synthesis.samples`: prompts with their instructions, the
        two responses, and the comparisons between them.

    Raises:
        UserError: a pair is bad or a setting is not possible.

    Example:
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
    if isinstance(pairs, str | os.PathLike):
        found = inputs.read_pairs(os.fspath(pairs), "raise", chosen.seed, split="train")
    else:
        found = inputs.given_pairs(pairs)
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        return [dict(s) for s in inputs.synthesize(found, chosen, cache, num_proc=1).samples()]


def propose_instructions(
    keeps: str,
    breaks: str | None = None,
    *,
    k: int = 3,
    families: str = "train",
    seed: int = 0,
    held_out_wordings: bool = False,
) -> list[dict[str, Any]]:
    """Instructions that one text keeps and another breaks, no two of which conflict.

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

    Example:
        >>> import mapl_jax
        >>> found = mapl_jax.propose_instructions("Yes! It is, of course.", "no", k=2, seed=3)
        >>> len(found)
        2
        >>> mapl_jax.check_instructions(found, "no")
        [False, False]
    """
    if k < 1:
        raise UserError(f"k must be at least 1, not {k}")
    rng = sets.generator(seed, f"{keeps}\n{breaks}", "propose_instructions")
    conditions = [(keeps, True)] + ([] if breaks is None else [(breaks, False)])
    items: list[constraints.Item] = []
    for family in rng.permutation(Settings(families=families, k_min=1, k_max=k).family_ids):
        params = constraints.propose(str(family), conditions, rng)
        if params is None:
            continue
        new = (str(family), params)
        if not any(constraints.conflict(new, item) for item in items):
            items.append(new)
        if len(items) == k:
            break
    return [
        {
            "id": id,
            "params": params,
            "text": constraints.render(id, params, rng, held_out=held_out_wordings),
        }
        for id, params in items
    ]


def check_instructions(
    instructions: Iterable[str | Mapping[str, Any]], response: str
) -> list[bool]:
    """Whether a response keeps each of some instructions.

    Args:
        instructions: with `id` and `params`, as `propose_instructions` and samples have them; or
            sentences in one of the wordings that the package writes.
        response: any text.

    Raises:
        UserError: an instruction is unknown.

    Example:
        >>> import mapl_jax
        >>> mapl_jax.check_instructions(["Use less than 3 commas in your answer."], "a, b, c")
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


def build_model(config: ConfigDict, data: Source | None = None) -> Trained:
    """The model that a config describes, as it is before training.

    Args:
        config: of a run: what it says of `model`, `tokenizer`, `lora`, `mesh` and `seed` counts.
        data: pairs or samples to learn a tokenizer from, where the config names none. With the
            samples of a run this is the very model that the run starts from.

    Raises:
        UserError: there is no such model, or nothing to learn a tokenizer from.

    Example:
        >>> import mapl_jax
        >>> config = mapl_jax.load_config("rm:tiny", {"model.width": 64})
        >>> model = mapl_jax.build_model(config, mapl_jax.load_pairs("demo", limit=10))
        >>> model.model.width, model.head
        (64, True)
    """
    mesh = sharding.make_mesh(config.mesh)
    objective = objectives.make(config, mesh)
    if data is None and not (config.tokenizer.path or config.model.path):
        raise UserError("no tokenizer is named; give data to learn one from")
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        split = inputs.Split((), "", {}) if data is None else inputs.load_any(data, cache)
        tokenizer = inputs.make_tokenizer(config, split, Path(cache) / "tokenizer")
    source = weights.first(config, tokenizer, objective)
    params = source.make(trained.placement(source.model, mesh, objective.head))
    return Trained(source.model, params, tokenizer)


def train_model(
    config: ConfigDict,
    train_data: Source | None = None,
    test_data: Source | None = None,
    *,
    workdir: str | os.PathLike[str] | None = None,
) -> Trained:
    """Trains a model: what `python -m mapl_jax.train` does, in this process.

    The same call again goes on where the last one stopped.

    Args:
        config: from `load_config`: "rm" trains a reward model, "sft" and "dpo" a policy.
        train_data: pairs or samples; None for what `config.data.train` says.
        test_data: held-out ones; None for what `config.data.test` says, or else a part of the
            training data.
        workdir: run folder, for checkpoints, report and model; it may be in a bucket (gs://,
            s3://). None for `runs/NAME`.

    Returns:
        The trained model; `model.run` is its folder on this machine.

    Raises:
        UserError: a setting means nothing, the data is bad, or the folder holds something else.

    Example:
        >>> import mapl_jax, tempfile
        >>> mapl_jax.set_verbosity("quiet")
        >>> samples = mapl_jax.make_samples(mapl_jax.load_pairs("demo", limit=20))
        >>> model = mapl_jax.train_model(
        ...     mapl_jax.load_config("rm:tiny"), samples[:16], samples[16:],
        ...     workdir=tempfile.mkdtemp(),
        ... )
        >>> model.step, model.run.report.exists()
        (4, True)
        >>> mapl_jax.set_verbosity("normal")
    """
    changed = ConfigDict(config.to_dict())
    with train.opened(config, workdir) as folder:
        for name, data in (("train", train_data), ("test", test_data)):
            if data is not None:
                changed.data[name] = _named(data, folder.given, name)
        return train.start(changed.lock(), folder, f"mapl_jax.train_model({config.name!r})")


def load_model(path: str | os.PathLike[str], mesh: Mapping[str, int] | None = None) -> Trained:
    """Loads a model.

    Args:
        path: a run folder, one of its checkpoints/STEP, an exported model, or a hub name.
        mesh: how to spread it over the devices, such as {"data": -1, "fsdp": 1, "tensor": 1};
            None gives every device a part.

    Returns:
        The model; `model.head` tells a reward model from a policy.

    Raises:
        UserError: there is no model.

    Example:
        >>> import mapl_jax, tempfile
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> built = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> folder = tempfile.mkdtemp() + "/model"
        >>> difference = mapl_jax.export_model(built, folder, pairs)
        >>> mapl_jax.load_model(folder).head
        True
    """
    return trained.load(os.fspath(path), sharding.make_mesh(mesh or SPREAD))


def evaluate_model(
    model: Model,
    data: Source,
    *,
    synthesis: Mapping[str, Any] | None = None,
    max_length: int = 0,
    rows_per_batch: int = 8,
    dtype: str = "float32",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """How often a reward model prefers what it should.

    Args:
        model: a reward model, or where it lies.
        data: pairs or samples.
        synthesis: settings to add instructions to pairs with, as `make_samples` takes them, {} for
            the usual ones; None for pairs as they are.
        max_length: longest prompt and response together, tokens; 0: that of the run, else 2048.
        rows_per_batch: rows of tokens at once.
        dtype: of the computation, "float32" or "bfloat16".
        resamples: of the bootstrap behind the 95 % intervals.
        seed: of the bootstrap.

    Raises:
        UserError: there is no reward model, or the data is bad.

    Example:
        >>> import mapl_jax
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> model = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> found = mapl_jax.evaluate_model(model, pairs)
        >>> found.summary["base_count"]
        10
    """
    found = _reward_model(model)
    settings = judging.encoding(found, max_length)
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        split = inputs.load_any(
            data, cache, synthesis=None if synthesis is None else Settings(**synthesis)
        )
        tries = inputs.encode_split(split, found.tokenizer, settings, cache)
        scored = judging.comparisons(
            found, tries, found.mesh, rows_per_batch=rows_per_batch, **_options(dtype)
        )
    summary = preferences.summarize(scored, seed=seed, resamples=resamples)
    return Evaluation(summary, scored, {**split.counts, "encoding": tries.counts})


def report_pictures(model: Model) -> dict[str, Gallery]:
    """The pictures of a finished run's report; a notebook shows one, or some side by side.

    Args:
        model: from `train_model`, or the folder of a run.

    Returns:
        "curves", and of comparisons "accuracy", "margins", "length" and "calibration".

    Raises:
        UserError: there is no finished run.

    Example:
        >>> import mapl_jax, tempfile
        >>> mapl_jax.set_verbosity("quiet")
        >>> samples = mapl_jax.make_samples(mapl_jax.load_pairs("demo", limit=20))
        >>> model = mapl_jax.train_model(
        ...     mapl_jax.load_config("rm:tiny"), samples[:16], samples[16:],
        ...     workdir=tempfile.mkdtemp(),
        ... )
        >>> [picture.title for picture in mapl_jax.report_pictures(model)["accuracy"]]
        ['Accuracy by level', 'Accuracy by number of instructions']
        >>> mapl_jax.set_verbosity("normal")
    """
    run = model.run if isinstance(model, Trained) else RunFolder(model)
    if run is None:
        raise UserError("this model comes from no run, and so has no report")
    return results.read_pictures(run)


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
        UserError: there is no reward model, or the prompt is too long for it.

    Example:
        >>> import mapl_jax
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> model = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> rewards = mapl_jax.score("Name a river.", ["The Nile.", "Bread.", "The Nile."], model)
        >>> len(rewards), rewards[0] == rewards[2]
        (3, True)
    """
    if isinstance(responses, str):
        raise UserError("responses must be a list of texts, and not one text")
    if not responses:
        return []
    found = _reward_model(model)
    ((*rewards,),) = judging.rewards(
        found,
        [as_messages(prompt)],
        [list(responses)],
        found.mesh,
        rows_per_batch=rows_per_batch,
        **_options(dtype),
    )
    return rewards


def generate_responses(
    prompts: Sequence[Prompt],
    model: Model,
    *,
    n: int = 1,
    max_new_tokens: int = 512,
    temperature: float | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    rows_per_batch: int = 16,
    dtype: str = "float32",
) -> list[list[str]]:
    """What a policy answers.

    Args:
        prompts: texts, or conversations that end with a user's turn.
        model: a policy from `load_model` or `train_model`, or where one lies.
        n: responses to each prompt.
        max_new_tokens: longest response, tokens.
        temperature: 0 always takes the likeliest token; None is 0 for one response and else 1.
        top_p: draw from the likeliest tokens that together have this probability.
        seed: of what is drawn.
        rows_per_batch: responses at once.
        dtype: of the computation, "float32" or "bfloat16".

    Returns:
        For each prompt its n responses.

    Raises:
        UserError: there is no policy, or a prompt leaves no room for a response.

    Example:
        >>> import mapl_jax
        >>> config = mapl_jax.load_config(
        ...     "sft", {"model.width": 32, "model.layers": 1, "tokenizer.vocab_size": 320}
        ... )
        >>> policy = mapl_jax.build_model(config, mapl_jax.load_pairs("demo", limit=10))
        >>> answers = mapl_jax.generate_responses(["Name a river."], policy, n=2, max_new_tokens=4)
        >>> [len(some) for some in answers]
        [2]
    """
    if isinstance(prompts, str):
        raise UserError("prompts must be a list of prompts, and not one text")
    if n < 1:
        raise UserError(f"n must be at least 1, not {n}")
    if n > 1 and temperature == 0:
        raise UserError(f"n={n} responses at temperature 0 are all the same")
    found = _loaded(model)
    if found.head:
        raise UserError("this is a reward model, which answers nothing")
    sampling = Sampling(
        max_new_tokens,
        responses.stops(found.tokenizer, found.folder),
        float(n > 1) if temperature is None else temperature,
        top_p,
    )
    respond = _responder(
        found.model,
        found.tokenizer,
        found.mesh,
        sampling,
        seed,
        rows_per_batch,
        **_options(dtype),
    )
    answers = respond(
        found.params, [as_messages(prompt) for prompt in prompts], samples=n, progress=True
    )
    return [[answer.text for answer in some] for some in answers]


def export_model(
    model: Model,
    folder: str | os.PathLike[str],
    data: Source = "",
    *,
    dtype: str = "float32",
    adapter: bool = False,
) -> float:
    """Writes a model for others: what `python -m mapl_jax.export` does.

    The folder opens in `transformers` and has a model card. It appears only after it was read back
    and gave the same numbers.

    Args:
        model: any model, or where it lies.
        folder: to write; a model that is there is replaced.
        data: pairs or samples to check with; empty: the held-out rows of its run.
        dtype: of the weights, "float32" or "bfloat16".
        adapter: write the adapters of a LoRA run as PEFT does, instead of merging them.

    Returns:
        The largest difference that the check found.

    Raises:
        UserError: the folder holds something else, or there is nothing to check with.

    Example:
        >>> import mapl_jax, os, tempfile
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> model = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> folder = tempfile.mkdtemp() + "/reward-model"
        >>> difference = mapl_jax.export_model(model, folder, pairs)
        >>> {"config.json", "model.safetensors", "tokenizer.json"} <= set(os.listdir(folder))
        True
    """
    export.check(dtype=dtype, adapter=adapter)
    found = _loaded(model)
    if adapter and found.model.lora is None:
        raise UserError("the model has no adapters; leave out adapter")
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        tries = export.rows(found, data, cache)
        return outputs.write_model(
            Path(folder), found, tries, found.mesh, dtype=dtype, adapter=adapter
        )


def _loaded(model: Model) -> Trained:
    return model if isinstance(model, Trained) else load_model(model)


def _reward_model(model: Model) -> Trained:
    found = _loaded(model)
    if not found.head:
        raise UserError("this is a policy, which has no score; give a reward model")
    return found


def as_messages(prompt: Prompt) -> list[Message]:
    if isinstance(prompt, str):
        return [Message(role="user", content=prompt)]
    return list(prompt)


def _options(dtype: str) -> dict[str, Any]:
    return {"dtype": cli.choice("dtype", dtype, weights.DTYPES), "backend": "auto"}


@functools.lru_cache(maxsize=8)
def _responder(
    model: DecoderConfig,
    tokenizer: Tokenizer,
    mesh: Mesh,
    sampling: Sampling,
    seed: int,
    rows_per_batch: int,
    **options: Any,
) -> responses.Responder:
    """One program for all calls that ask alike."""
    return responses.Responder(
        model,
        tokenizer,
        mesh,
        sampling=sampling,
        seed=seed,
        rows_per_batch=rows_per_batch,
        **options,
    )


def _named(data: Source, folder: Path, name: str) -> str:
    """Where data lies; what is in memory is written first, under a name made from its content."""
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    records = [dict(record) for record in data]
    lines = "".join(json.dumps(record, sort_keys=True) for record in records)
    digest = hashlib.blake2b(lines.encode(), digest_size=8).hexdigest()
    path = folder / f"{name}-{digest}.jsonl"
    if not path.exists():
        write_lines(path, records)
    return str(path)


__all__ = (
    "Evaluation",
    "UserError",
    "build_model",
    "check_instructions",
    "evaluate_model",
    "export_model",
    "generate_responses",
    "load_config",
    "load_model",
    "load_pairs",
    "make_samples",
    "propose_instructions",
    "report_pictures",
    "score",
    "set_verbosity",
    "train_model",
)
