"""A file of responses with the reward of each: what a reward model says, from settings to lines."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import jax

from mapl_jax.data.fields import as_object, kind_of
from mapl_jax.data.messages import Message, replies_of, split_conversation
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.readers import read_entries
from mapl_jax.data.records import prompt_in_record
from mapl_jax.data.sources import local_names
from mapl_jax.data.values import plain
from mapl_jax.evaluation import rewards
from mapl_jax.evaluation.answers import REWARDS, Job, Kept, Reward
from mapl_jax.evaluation.settings import RowSettings
from mapl_jax.runtime import console, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.outputs import check_file
from mapl_jax.runtime.settings import needed, setting
from mapl_jax.training import sharding

# Columns of one response and of several; without them, `messages` ends with the response.
ONE, SEVERAL = ("response", "completion"), ("responses",)
REWARD = "reward"
# Responses that are scored together, and kept together.
TOGETHER = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreSettings(RowSettings):
    """What a config says of the rewards of a file of responses."""

    input: str = setting(
        "", "records with prompt and response or responses: a file, a folder or a hub name"
    )
    output: str = setting("", "JSONL file for the records with their rewards; empty: print")
    max_length: int = setting(
        0, "longest text, in tokens; 0: as in the run, else 2048", least=32, most=2**20, besides=0
    )


@dataclasses.dataclass(frozen=True)
class Scorable:
    """A record and the responses in it: a single one, or a list."""

    record: Mapping[str, object]
    messages: Sequence[Message]
    responses: Sequence[str]
    single: bool


def score(config: ScoreSettings) -> None:
    """Scores a file; one that was stopped goes on. `UserError`: no reward model, a bad record."""
    needed(config, checkpoint="DIR", input="FILE")
    if config.output:
        check_file(config.output, REWARDS, [config.checkpoint, *local_names(config.input)])
    records = read(config.input)
    mesh = sharding.make_mesh(config.mesh)
    trained = rewards.load(config.checkpoint, mesh, config.template_args)
    jobs = [(number, i) for number, it in enumerate(records) for i in range(len(it.responses))]
    texts = [(records[number].messages, records[number].responses[i]) for number, i in jobs]
    longest = rewards.encoding(trained, config.max_length).max_length

    def names(place: int) -> str:
        return f"{config.input}, record {jobs[place][0] + 1}"

    paths = rewards.encode_texts(trained, texts, longest, names)
    scorer = rewards.Scorer(
        trained,
        max_length=longest,
        rows_per_batch=config.rows_per_batch,
        compute=config.compute,
    )
    kept, known = None, dict[Job, Reward]()
    if config.output:
        about = {"checkpoint": trained.fingerprint(), "dtype": config.dtype, "max_length": longest}
        digest = hashlib.blake2b(b"".join(path.tokens.tobytes() + b"|" for path in paths))
        kept = Kept(config.output, about, Reward)
        known = kept.resume({"records": digest.hexdigest()})
    places = [place for place, job in enumerate(jobs) if job not in known]
    with console.progress("scoring", "responses") as show:
        for first in range(0, len(places), TOGETHER):
            show(len(known), len(jobs))
            part = places[first : first + TOGETHER]
            values = scorer([paths[place] for place in part])
            rewards.finite(values, [names(place) for place in part].__getitem__)
            new = {jobs[place]: Reward(value) for place, value in zip(part, values, strict=True)}
            known |= new
            if kept:
                kept.add(new)
    if jax.process_index() != 0:
        return
    lines = [
        {**it.record, REWARD: values[0] if it.single else values}
        for number, it in enumerate(records)
        for values in [[known[number, i].value for i in range(len(it.responses))]]
    ]
    if kept:
        kept.finish(lines)
        console.say(f"rewards of {len(jobs)} responses to {len(records)} prompts: {config.output}")
    else:
        for line in lines:
            console.result(files.as_json(line))


def read(path: str) -> list[Scorable]:
    """The records of a source, each with its responses."""
    records = []
    for where, value in read_entries(path):
        try:
            records.append(scorable(as_object(value)))
        except BadRecord as bad:
            raise UserError(f"{where}: {bad}") from None
    if not records:
        raise UserError(f"{path} holds no records; prompts with responses are needed")
    return records


def scorable(record: Mapping[str, object]) -> Scorable:
    """What there is to score in a record."""
    if REWARD in record:
        raise BadRecord("a reward", f"has a field {REWARD!r} already; rename it or take it out")
    given = [name for name in (*ONE, *SEVERAL) if record.get(name) is not None]
    if len(given) > 1:
        raise BadRecord("several", f"has {' and '.join(given)}; keep one of them")
    column = next(iter(given), None)
    if column is None and record.get("messages") is not None and not record.get("prompt"):
        messages, response = split_conversation(plain(record["messages"]), "messages")
        return Scorable(record, messages, [response], True)
    if column is None:
        known = ", ".join((*ONE, *SEVERAL))
        raise BadRecord("no response", f"has no response (known columns: {known}, messages)")
    value = plain(record[column])
    if column in SEVERAL and not isinstance(value, list):
        raise BadRecord(f"bad {column}", f"{column} must be a list, not {kind_of(value)}")
    if value == []:
        raise BadRecord(f"empty {column}", f"{column} is an empty list")
    several = value if column in SEVERAL and isinstance(value, list) else [value]
    sides = {column if len(several) == 1 else f"{column}[{i}]": x for i, x in enumerate(several)}
    messages, texts = replies_of(prompt_in_record(record), sides)
    return Scorable(record, messages, list(texts.values()), column in ONE)
