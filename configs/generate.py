"""Responses of a policy to a file of prompts, or to what you type.

    python -m mapl_jax.generate --config=configs/generate.py \
        --config.checkpoint=runs/dpo-demo --config.input=prompts.jsonl --config.output=out.jsonl

A record has `prompt` as text or messages, or `messages`. The output has its other fields too (such
as `key`), with `response` and `finish_reason`: "stop" at an end of turn, "length" if the response
was cut. IFEval's own input file can be used as it is, and configs/evaluate.py:ifeval scores the
output. Without output, the lines are printed. Without input, you type questions, one per line, in
one conversation:

    python -m mapl_jax.generate --config=configs/generate.py --config.checkpoint=runs/dpo-demo

    Ask something. /new begins a new conversation, an empty line ends.
    > How do I begin with baking bread? Use less than 10 words.
    Begin like this: learn 20 common verbs.

The checkpoint is a run, one of its checkpoints/STEP, a model folder or a hub name. Responses depend
on the prompt, its number in the file and the seed, never on what else is in the batch. They are
saved to OUTPUT.partial as they are made; if the command is stopped, run it again and it continues.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError


def get_config(preset: str = "") -> ConfigDict:
    """The config; there are no presets."""
    if preset:
        raise UserError(f"unknown preset {preset!r} of configs/generate.py; it has none")
    config = ConfigDict()
    config.checkpoint = ""  # a run, one of its checkpoints/STEP, a model folder or a hub name
    config.input = ""  # prompts: a file, a folder or a hub name; empty: type them in
    config.output = ""  # JSONL file to write; empty: print
    config.n = 1  # number of responses to each prompt
    config.max_new_tokens = 512  # longest response, in tokens
    config.temperature = -1.0  # 0: greedy; -1: greedy for n = 1, else 1
    config.top_p = 1.0  # sample from the most likely tokens with this probability
    config.rows_per_batch = 16  # responses generated at once
    config.dtype = "float32"  # data type of the computation: "float32" or "bfloat16"
    config.attention = "auto"  # attention backend: docs/speed.md
    config.template_args = ""  # arguments of the chat template: '{"enable_thinking": false}'
    config.seed = 0  # for sampling
    config.plugins = ""  # modules with your own constraints, losses, ...: docs/extending.md

    config.mesh = ConfigDict()
    config.mesh.data = -1  # all remaining devices
    config.mesh.fsdp = 1  # parts of both parameters and rows (FSDP)
    config.mesh.tensor = 1  # tensor parallelism: parts of matrices
    return config
