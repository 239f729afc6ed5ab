"""A policy that learns to answer from demonstrations, which DPO can start from.

The demonstration. Nothing is downloaded, and 2 CPU cores are enough:

    python -m mapl_jax.train --config=configs/sft.py

With your own data and model (`prompt` and `completion`, or `messages`, or the chosen side of
preference pairs; JSONL, JSON, CSV, Parquet, a folder of these, or a hub name):

    python -m mapl_jax.train --config=configs/sft.py \
        --config.data.train=train.jsonl --config.model.path=FOLDER

The loss is the mean over all response tokens of a batch; prompts are not learned. The run ends with
the perplexity of held-out responses before and after, and with `model/`, which opens in
`transformers.AutoModelForCausalLM` and from which configs/dpo.py can start. This file sets what is
different from the defaults of a run (configs/common.py); all fields are in docs/configuration.md.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.config import beside
from mapl_jax.runtime.errors import UserError


def get_config(preset: str = "") -> ConfigDict:
    """The config; there are no presets."""
    if preset:
        raise UserError(f"unknown preset {preset!r} of configs/sft.py; it has none")
    config = beside(__file__, "common").run("loss", "model.reference")
    config.name = "sft-demo"
    config.objective = "sft"
    config.data.train = "demo"
    # True: add instructions to pairs, and train responses as answers to the prompts whose
    # instructions they follow as well.
    config.data.instructions = False
    config.train.epochs = 3
    config.train.rows_per_batch = 8
    config.train.learning_rate = 3e-3
    config.train.warmup = 0.05
    config.train.weight_decay = 0.01
    config.train.b2 = 0.98
    return config
