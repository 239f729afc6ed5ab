"""Responses of a policy to prompts: from messages to tokens, in batches over the mesh, to text."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mapl_jax.data import tokenization
from mapl_jax.data.messages import Message
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.evaluation import following
from mapl_jax.evaluation.answers import Job, Kept, Response
from mapl_jax.evaluation.settings import CheckpointSettings
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import generation
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.generation import Sampling
from mapl_jax.models.parameters import Params
from mapl_jax.runtime import console, settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting
from mapl_jax.training import restore, sharding
from mapl_jax.training.settings import RunSettings

# Prompts of a batch are padded to the next power of two from here on: few programs to compile.
SHORTEST = 64


class Responder:
    """Answers with any parameters of a policy; compiles once."""

    def __init__(
        self,
        model: DecoderConfig,
        tokenizer: Tokenizer,
        mesh: Mesh,
        *,
        sampling: Sampling,
        seed: int = 0,
        rows_per_batch: int = 32,
        compute: Compute = Compute(),
    ):
        """Prepares; compiles nothing yet. Rows are made a multiple of the mesh's data parts."""
        if rows_per_batch < 1:
            raise UserError(f"rows_per_batch must be at least 1, not {rows_per_batch}")
        parts = sharding.data_parts(mesh)
        self.rows = -(-rows_per_batch // parts) * parts
        self.model, self.tokenizer, self.sampling = model, tokenizer, sampling
        self.seed = np.uint32(seed % 2**32)
        self.by_row = NamedSharding(mesh, PartitionSpec(sharding.DATA_AXES))
        self.alike = sharding.replicated(mesh)
        # The heads of a cache lie where those of the matrices do.
        heads = "tensor" if model.kv_heads % mesh.shape["tensor"] == 0 else None
        cache = NamedSharding(mesh, PartitionSpec(None, sharding.DATA_AXES, heads))
        self._generate = jax.jit(
            functools.partial(
                generation.generate,
                model,
                sampling=sampling,
                place=lambda x: jax.lax.with_sharding_constraint(x, cache),
                compute=compute,
            ),
            in_shardings=(
                restore.param_shardings(model, mesh, False),
                *(self.by_row,) * 3,
                self.alike,
            ),
            out_shardings=self.alike,
        )

    def __call__(
        self,
        params: Params,
        conversations: Sequence[Sequence[Message]],
        *,
        samples: int = 1,
        names: Callable[[int], str] = lambda number: f"prompt {number + 1}",
        progress: bool = False,
        kept: Kept[Response] | None = None,
    ) -> list[list[Response]]:
        """Answers conversations, each as often as wanted.

        A response depends on the seed, on its prompt and its number, and on nothing else. What a
        stopped command left is kept, and new ones as they come.
        """
        prompts = tokenization.encode_prompts(self.tokenizer, conversations, names)
        room = self.model.max_positions - self.sampling.max_new_tokens
        for number, prompt in enumerate(prompts):
            if len(prompt) > room:
                raise UserError(
                    f"{names(number)} has {len(prompt)} tokens; with max_new_tokens="
                    f"{self.sampling.max_new_tokens} the model has room for {max(room, 0)}"
                )
        # Longest first: a batch that is too big for the memory is the first one.
        order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
        jobs = [(number, sample) for number in order for sample in range(samples)]
        digests = [
            hashlib.blake2b(prompt.tobytes(), digest_size=8).hexdigest() for prompt in prompts
        ]
        known_responses = kept.resume({"prompts": digests, "n": samples}) if kept else {}
        # The same batches as without a stop: whole ones are left out.
        first = len(known_responses) // self.rows * self.rows
        with console.progress("answering", "responses", shown=progress) as show:
            for batch, result in self._batches(params, prompts, jobs[first:]):
                tokens, lengths, ended = map(np.asarray, result)
                new: dict[Job, Response] = {}
                for job, row, length, end in zip(batch, tokens, lengths, ended, strict=False):
                    answer = row[: length - bool(end)]
                    text = self.tokenizer.decode(answer, skip_special_tokens=True)
                    new[job] = Response(str(text).strip(), bool(end))
                if kept:
                    kept.add({job: new[job] for job in new if job not in known_responses})
                known_responses = new | known_responses
                show(len(known_responses), len(jobs))
        return [
            [known_responses[number, i] for i in range(samples)] for number in range(len(prompts))
        ]

    def _batches(
        self, params: Params, prompts: Sequence[np.ndarray], jobs: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[Sequence[tuple[int, int]], generation.Responses]]:
        """Batches with their results, each read while the next one is under way."""
        waiting: list[Any] = []
        for first in range(0, len(jobs), self.rows):
            batch = jobs[first : first + self.rows]
            result = self._start(params, [prompts[number] for number, _ in batch], batch)
            waiting.append((batch, result))
            if len(waiting) == 2:
                yield waiting.pop(0)
        yield from waiting

    def _start(
        self, params: Params, prompts: Sequence[np.ndarray], draws: Sequence[tuple[int, int]]
    ) -> generation.Responses:
        longest = max(map(len, prompts))
        width = max(SHORTEST, 1 << (longest - 1).bit_length())
        tokens = np.full((self.rows, width), self.tokenizer.pad_token_id or 0, np.int32)
        lengths, keys = np.zeros(self.rows, np.int32), np.zeros((self.rows, 2), np.int32)
        for row, (prompt, draw) in enumerate(zip(prompts, draws, strict=True)):
            tokens[row, width - len(prompt) :] = prompt
            lengths[row], keys[row] = len(prompt), draw
        batch = (jax.device_put(array, self.by_row) for array in (tokens, lengths, keys))
        return self._generate(params, *batch, jax.device_put(self.seed, self.alike))


def of_run(
    config: RunSettings, model: DecoderConfig, tokenizer: Tokenizer, mesh: Mesh, compute: Compute
) -> Responder:
    """Greedy responses of a run's policy."""
    return Responder(
        model,
        tokenizer,
        mesh,
        sampling=Sampling(config.eval.max_new_tokens, stops(tokenizer, model)),
        rows_per_batch=config.eval.generate_rows,
        compute=compute,
    )


def answers(
    respond: Responder, params: Params, probes: Sequence[following.Probe]
) -> list[following.Answer]:
    """Responses to prompts with instructions, and what they keep."""
    responses = respond(params, [probe.messages for probe in probes])
    return [
        following.judge(probe, answer.text, answer.ended)
        for probe, (answer,) in zip(probes, responses, strict=True)
    ]


def stops(tokenizer: Tokenizer, model: DecoderConfig) -> tuple[int, ...]:
    """Ids that end a response: those of the tokenizer, and those that the model's files name."""
    return tuple(sorted(tokenization.end_tokens(tokenizer) | {*model.eos_tokens}))


AUTO = -1.0


def temperature_of(n: int, temperature: float, top_p: float) -> float:
    """The temperature of n responses: by `AUTO` 0 for one, and else 1."""
    if n > 1 and temperature == 0:
        raise UserError(f"at temperature 0 all n={n} responses are the same; leave temperature out")
    found = float(n > 1) if temperature == AUTO else temperature
    if top_p < 1 and not found:
        raise UserError(
            f"top_p is {top_p}, and at temperature 0 nothing is drawn; set temperature as well, "
            "or leave top_p out"
        )
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplerSettings(CheckpointSettings):
    """What a config says of a policy that answers."""

    checkpoint: str = setting(
        "", "a policy: a run, one of its checkpoints/STEP, a model folder or a hub name"
    )
    n: int = setting(1, "number of responses to each prompt", least=1, most=10**6)
    max_new_tokens: int = setting(512, "longest response, in tokens", least=1, most=2**20)
    temperature: float = setting(
        AUTO,
        "sampling temperature; 0: greedy; -1: greedy for n = 1, else 1",
        least=1e-3,
        most=1e3,
        besides=(0, AUTO),
    )
    top_p: float = setting(
        1.0,
        "sample from the most likely tokens that together have this probability",
        least=1e-6,
        most=1,
    )
    rows_per_batch: int = setting(16, "responses generated at once", least=1, most=2**16)
    seed: int = setting(0, "seed for sampling", least=0, most=2**32 - 1)

    def __post_init__(self) -> None:
        settings.check(self, "")
        temperature_of(self.n, self.temperature, self.top_p)

    def sampling(self, stops: tuple[int, ...]) -> Sampling:
        """How tokens are chosen: greedily, but where there are several responses."""
        temperature = temperature_of(self.n, self.temperature, self.top_p)
        return Sampling(self.max_new_tokens, stops, temperature, self.top_p)


def load(
    config: SamplerSettings, *, rows_per_batch: int, output: str | os.PathLike[str] = ""
) -> tuple[Callable[..., list[list[Response]]], Kept[Response] | None]:
    """The policy of `config.checkpoint`, ready to answer, and where responses are kept."""
    settings.needed(config, checkpoint="DIR")
    mesh = sharding.make_mesh(config.mesh)
    loaded = restore.load(config.checkpoint, mesh, config.template_args)
    policy = loaded.as_policy(config.checkpoint)
    respond = Responder(
        policy.model,
        policy.tokenizer,
        mesh,
        sampling=config.sampling(stops(policy.tokenizer, policy.model)),
        seed=config.seed,
        rows_per_batch=rows_per_batch,
        compute=config.compute,
    )
    kept = None
    if output:
        names = ("max_new_tokens", "temperature", "top_p", "seed", "dtype")
        about = {name: getattr(config, name) for name in names}
        about |= {"checkpoint": policy.fingerprint(), "ends": respond.sampling.stops}
        kept = Kept(output, about, Response)
    return functools.partial(respond, policy.params, kept=kept), kept
