"""Answers prompts: python -m mapl_jax.generate --config=configs/generate.py --config.checkpoint=DIR

Reads prompts from a file (--config.input=FILE), or what you type if there is none.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

import jax

from mapl_jax.data.messages import Message, Prompt, as_messages
from mapl_jax.data.records import read_prompts
from mapl_jax.data.sources import local_names
from mapl_jax.evaluation import sampler
from mapl_jax.evaluation.answers import RESPONSES, Response, with_responses
from mapl_jax.evaluation.sampler import SamplerSettings
from mapl_jax.models.generation import Sampling
from mapl_jax.models.initial import compute_in
from mapl_jax.runtime import cli, files
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.console import ask, result, say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.outputs import check_file
from mapl_jax.runtime.settings import from_section, needed, setting
from mapl_jax.training.restore import Model, loaded


@checked(SamplerSettings)
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

    Examples:
        >>> import mapl_jax
        >>> config = mapl_jax.load_config(
        ...     "sft", {"model.width": 32, "model.layers": 1, "tokenizer.vocab_size": 320}
        ... )
        >>> policy = mapl_jax.build_model(config, mapl_jax.load_pairs("demo", limit=10))
        >>> answers = mapl_jax.generate_responses(["Name a river."], policy, n=2, max_new_tokens=4)
        >>> [len(some) for some in answers]
        [2]
    """
    chosen = sampler.AUTO if temperature is None else temperature
    chosen = sampler.temperature_of(n, chosen, top_p)
    conversations = [as_messages(x, f"prompt {number}") for number, x in enumerate(prompts, 1)]
    policy = loaded(model).as_policy()
    stops = sampler.stops(policy.tokenizer, policy.model)
    sampling = Sampling(max_new_tokens, stops, chosen, top_p)
    respond = _responder(
        policy.model,
        policy.tokenizer,
        policy.mesh,
        sampling=sampling,
        seed=seed,
        rows_per_batch=rows_per_batch,
        compute=compute_in(dtype),
    )
    answers = respond(policy.params, conversations, samples=n, progress=True)
    return [[answer.text for answer in responses] for responses in answers]


# One program for all calls that ask alike.
_responder = functools.lru_cache(maxsize=8)(sampler.Responder)
NEW = "/new"
LONGEST = 1 << 20  # characters of what is typed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(SamplerSettings):
    """What a config of this command says."""

    input: str = setting("", "prompts: a file, a folder or a hub name; empty: type them in")
    output: str = setting("", "JSONL file to write; empty: print")


def main(arguments: cli.Arguments[cli.NoFlags]) -> None:
    """Loads, answers."""
    config = from_section(Settings, arguments.config.to_dict())
    needed(config, checkpoint="DIR")
    cli.no_workdir(arguments, "generate", "name the file to write: --config.output=FILE")
    if config.output and not config.input:
        raise UserError("output is set, but no input; set --config.input=FILE")
    if not config.input and (config.n > 1 or jax.process_count() > 1):
        raise UserError(
            "typed questions get one answer each, in one process; for more set --config.input=FILE"
        )
    if config.output:
        check_file(config.output, RESPONSES, [config.checkpoint, *local_names(config.input)])
    records = read_prompts(config.input) if config.input else []
    rows = config.rows_per_batch if config.input else 1
    respond, kept = sampler.load(config, rows_per_batch=rows, output=config.output)
    if not config.input:
        converse(respond, sys.stdin)
        return
    answers = respond(
        [messages for _, messages in records],
        samples=config.n,
        names=lambda number: f"{config.input}, record {number + 1}:",
        progress=True,
    )
    if jax.process_index() != 0:
        return
    lines = list(with_responses(records, answers))
    if kept:
        kept.finish(lines)
        say(f"{len(lines)} responses to {len(records)} prompts: {config.output}")
    else:
        for line in lines:
            result(files.as_json(line))


def converse(respond: Callable[..., list[list[Response]]], stream: TextIO | None) -> None:
    """Answers line after line as one conversation, until an empty one or the end."""
    say(f"Ask something. {NEW} begins a new conversation, an empty line ends.")
    messages: list[Message] = []
    typed = _lines(stream)
    try:
        while True:
            ask("> ")
            try:
                line = next(typed, "").strip()
                line.encode()  # where the locale is not UTF-8, Python lets any byte in
            except UnicodeError:
                raise UserError("what was typed is not UTF-8 text") from None
            if not line:
                break
            if line == NEW:
                messages = []
                continue
            messages.append(Message(role="user", content=line))
            try:
                ((answer,),) = respond([messages])
            except UserError as error:
                result(f"{error}; {NEW} begins a new conversation")
                messages.pop()
                continue
            result(answer.text + ("" if answer.ended else " ..."))
            messages.append(Message(role="assistant", content=answer.text))
    except KeyboardInterrupt:
        pass
    result()


def _lines(stream: TextIO | None) -> Iterator[str]:
    """Lines of a stream; none where Python has none, as without standard input."""
    while stream is not None and (line := stream.readline(LONGEST + 1)):
        if len(line) > LONGEST:
            raise UserError(f"a line has more than {LONGEST:,} characters; set --config.input=FILE")
        yield line


if __name__ == "__main__":
    cli.launch(main, name="generate", config="configs/generate.py", settings=[Settings])
