"""Responses of a policy to a file of prompts, or to what is typed.

    python -m mapl_jax.generate --config=configs/generate.py \
        --config.checkpoint=runs/dpo-demo --config.input=prompts.jsonl --config.output=out.jsonl

A record has `prompt` as text or messages, or `messages`; its other fields (`key`) come out again,
beside `response` and `finish_reason`: "stop" at an end of turn, "length" where the response was
cut. IFEval's own input file does as it is, and configs/evaluate.py:ifeval scores what comes out.
Without output the lines go to the terminal. Without input questions are read from there, one a
line, as one conversation:

    python -m mapl_jax.generate --config=configs/generate.py --config.checkpoint=runs/dpo-demo

    Ask something. /new begins a new conversation, an empty line ends.
    > How do I begin with baking bread? Use less than 10 words.
    Begin like this: learn 20 common verbs.

The checkpoint is a run, one of its checkpoints/STEP, a model folder or a hub name. Responses depend
on the prompt, its number in the file and the seed, never on what else is in the batch. They are
written as they come to OUTPUT.partial; a stopped command goes on when it is given again.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError


def get_config(preset: str = "") -> ConfigDict:
    """The config; there are no presets."""
    if preset:
        raise UserError(f"unknown preset {preset!r} of configs/generate.py; it has none")
    config = ConfigDict()
    config.checkpoint = ""  # a run, one of its checkpoints/STEP, a model folder or a hub name
    config.input = ""  # prompts: a file, a folder or a hub name; empty: ask
    config.output = ""  # JSONL to write; empty: print
    config.n = 1  # responses to each prompt
    config.max_new_tokens = 512  # longest response, tokens
    config.temperature = -1.0  # 0: always the likeliest token; -1: that for n = 1, else 1
    config.top_p = 1.0  # draw from the likeliest tokens that together have this probability
    config.rows_per_batch = 16  # responses at once
    config.dtype = "float32"  # of the computation: "float32" or "bfloat16"
    config.attention = "auto"  # backend of the reach mask
    config.template_args = ""  # arguments of the chat template: '{"enable_thinking": false}'
    config.seed = 0  # of what is drawn
    config.plugins = ""  # modules that register something of your own: docs/extending.md

    config.mesh = ConfigDict()
    config.mesh.data = -1  # whatever the others leave
    config.mesh.fsdp = 1  # parts that parameters and rows are split into
    config.mesh.tensor = 1  # parts that matrices are split into
    return config
