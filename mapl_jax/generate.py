"""Answers prompts: python -m mapl_jax.generate --config=configs/generate.py --config.checkpoint=DIR

From a file, or what is typed if there is none.
"""

import functools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from mapl_jax import cli, responses, trained, weights
from mapl_jax.data import sources
from mapl_jax.data.sources import Message
from mapl_jax.errors import UserError
from mapl_jax.files import check_target, write_lines
from mapl_jax.kernels import attention
from mapl_jax.messages import ask, result, say
from mapl_jax.models.generation import Sampling
from mapl_jax.responses import Responder, Response
from mapl_jax.training import sharding

NEW = "/new"
AUTO = -1.0


def main(arguments: cli.Arguments) -> None:
    """Loads, answers."""
    config = arguments.config
    check(config)
    if config.output and not config.input:
        raise UserError("output is set, but no input; set --config.input=FILE")
    if not config.input and (config.n > 1 or jax.process_count() > 1):
        raise UserError("one answer at a time and one process, please; or set --config.input=FILE")
    if config.output:
        check_target(config.output)
    records = sources.read_prompts(config.input) if config.input else []
    respond = load(config, rows_per_batch=config.rows_per_batch if config.input else 1)
    if not config.input:
        converse(respond, sys.stdin)
        return
    found = respond(
        [messages for _, messages in records],
        samples=config.n,
        names=lambda number: f"{config.input}, record {number + 1}:",
        progress=True,
    )
    if jax.process_index() != 0:
        return
    lines = list(with_responses(records, found))
    if config.output:
        write_lines(config.output, lines)
        say(f"{len(lines)} responses to {len(records)} prompts: {config.output}")
    else:
        for line in lines:
            result(json.dumps(line, ensure_ascii=False))


def check(config: ConfigDict) -> None:
    """Makes sure that the settings mean something, before anything is loaded.

    Raises:
        UserError: one does not.
    """
    if not config.checkpoint:
        raise UserError("no checkpoint given; set --config.checkpoint=DIR")
    if config.n < 1:
        raise UserError(f"n must be at least 1, not {config.n}")
    if config.n > 1 and config.temperature == 0:
        raise UserError(
            f"n={config.n} responses at temperature 0 are all the same; leave it out for 1"
        )
    cli.choice("dtype", config.dtype, weights.DTYPES)
    cli.choice("attention", config.attention, attention.BACKENDS)
    sampling(config, ())


def sampling(config: ConfigDict, stops: tuple[int, ...]) -> Sampling:
    """How a config wants tokens chosen: greedily, but where there are several responses."""
    temperature = float(config.n > 1) if config.temperature == AUTO else config.temperature
    return Sampling(config.max_new_tokens, stops, temperature, config.top_p)


def load(config: ConfigDict, *, rows_per_batch: int) -> Callable[..., list[list[Response]]]:
    """The policy of `config.checkpoint`, ready to answer.

    Raises:
        UserError: there is none.
    """
    mesh = sharding.make_mesh(config.mesh)
    found = trained.load(config.checkpoint, mesh)
    if found.head:
        raise UserError(f"{config.checkpoint} holds a reward model, which answers nothing")
    respond = Responder(
        found.model,
        found.tokenizer,
        mesh,
        sampling=sampling(config, responses.stops(found.tokenizer, found.folder)),
        seed=config.seed,
        rows_per_batch=rows_per_batch,
        dtype=weights.DTYPES[config.dtype],
        backend=config.attention,
    )
    return functools.partial(respond, found.params)


def with_responses(
    records: Sequence[tuple[Mapping[str, Any], Sequence[Message]]],
    found: Sequence[Sequence[Response]],
) -> Iterator[dict[str, Any]]:
    """A line for every response, with the fields of its prompt's record."""
    for (record, messages), answers in zip(records, found, strict=True):
        for number, answer in enumerate(answers):
            line = {
                **record,
                "prompt": record.get("prompt") or messages[-1]["content"],
                "response": answer.text,
                "finish_reason": "stop" if answer.ended else "length",
            }
            yield line | ({"sample": number} if len(answers) > 1 else {})


def converse(respond: Callable[..., list[list[Response]]], lines: Iterable[str]) -> None:
    """Answers line after line as one conversation, until an empty one or the end."""
    say(f"Ask something. {NEW} begins a new conversation, an empty line ends.")
    messages: list[Message] = []
    typed = iter(lines)
    try:
        while True:
            ask("> ")
            line = next(typed, "").strip()
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


if __name__ == "__main__":
    cli.launch(main, name="generate", config="configs/generate.py")
