"""A policy that learns from comparisons on three levels: base, intra and inter.

A policy starts from a model that can already answer. The demonstration first trains one with
configs/sft.py, in the folder sft/ of the run. Nothing is downloaded, and 2 CPU cores are enough:

    python -m mapl_jax.train --config=configs/dpo.py

`config.demo` holds the settings of the demonstration; a field that you set by name overrides them.
With your own data and model (pairs in the forms TRL reads; JSONL, JSON, CSV, Parquet, a folder of
these, or a hub name), and the training settings of arXiv 2502.00814:

    python -m mapl_jax.train --config=configs/dpo.py:pretrained \
        --config.data.train=train.jsonl --config.model.path=FOLDER

The reward of a response is beta * (log pi - log pi_ref). The log-probabilities of the reference are
computed once and saved in the run folder. The run ends with accuracies by level on held-out pairs
and with `model/`, which opens in `transformers.AutoModelForCausalLM`. The demonstration also counts
the instructions followed in responses to held-out prompts, before and after (see README).

Losses of the base level, under TRL's names: sigmoid, sigmoid_norm, hinge, ipo, robust, exo_pair,
nca_pair, bco_pair, sppo_hard, apo_zero, apo_down, and sft beside one of them; formulas in
`mapl_jax/pair_losses.py`. Several at once: `--config.loss.type=sigmoid,sft
--config.loss.weights=1,0.1`. The levels intra and inter are always -log sigmoid of the margin.

This file sets what is different from the defaults of a run (configs/common.py). All fields are in
docs/configuration.md and in --help.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.config import beside
from mapl_jax.runtime.errors import UserError

PRESETS = ("demo", "pretrained")

# Families that a model from scratch learns within minutes: marks, lengths and endings.
SURFACE = (
    "detectable_format:number_bullet_lists",
    "length_constraints:number_sentences",
    "length_constraints:number_words",
    "punctuation:exclamation_marks",
    "punctuation:question_marks",
    "startend:question_end",
)


def get_config(preset: str = "") -> ConfigDict:
    """The config of a preset; the empty name is the demonstration."""
    preset = preset or "demo"
    if preset not in PRESETS:
        raise UserError(
            f"unknown preset {preset!r} of configs/dpo.py; choose one of {', '.join(PRESETS)}"
        )
    common = beside(__file__, "common")
    config = common.run(*common.FROM_SCRATCH, "data.instructions", "loss.center")
    config.name = f"dpo-{preset}"
    config.objective = "dpo"
    config.data.train = "demo"
    config.data.demo_pairs = 1600
    config.loss.beta = 0.1
    config.loss.type = "sigmoid"
    config.train.rows_per_batch = 8
    config.train.learning_rate = 3e-4
    config.train.warmup = 0.1
    config.train.b2 = 0.98
    # Held-out prompts with instructions, answered before and after.
    config.eval.generate = 200
    config.eval.generate_rows = 100
    config.eval.max_new_tokens = 80

    if preset == "pretrained":
        config.data.train = ""
        config.data.max_length = 2048
        config.data.row_length = 4096
        config.train.rows_per_batch = 16
        config.train.accumulation = 16  # one row at a time on one device; with 8 of them: 2
        config.train.learning_rate = 1e-6
        config.train.dtype = "bfloat16"
        config.train.remat = "full"
        config.train.log_every = 10
        config.eval.generate = 0
        config.eval.generate_rows = 16
        config.eval.max_new_tokens = 1024
        config.mesh.data = 1
        config.mesh.fsdp = -1  # every device holds a part of the state
        return config

    # Without a model to start from, these replace the fields of the same names above: they suit the
    # demonstration and its small model. Which response is better is learned at once there; it
    # should not drown the rest, and good responses should stay likely while the gap grows.
    config.demo = ConfigDict()
    config.demo.synthesis = ConfigDict()
    config.demo.synthesis.families = ",".join(SURFACE)
    config.demo.synthesis.k_max = 4
    config.demo.loss = ConfigDict()
    config.demo.loss.base = 0.2
    config.demo.loss.type = "sigmoid,sft"
    config.demo.loss.weights = "1,5"
    config.demo.train = ConfigDict()
    config.demo.train.learning_rate = 1e-3
    # The run before this one makes the model to start from.
    config.sft = beside(__file__, "sft").get_config()
    config.sft.seed = config.get_ref("seed")
    config.sft.data.instructions = True
    config.sft.model.layers = 3
    config.sft.data.demo_pairs = 2400
    for name in ("num_proc", "cache"):
        config.sft.data[name] = config.data.get_ref(name)
    for name in config.synthesis:
        part = config.demo.synthesis if name in config.demo.synthesis else config.synthesis
        config.sft.synthesis[name] = part.get_ref(name)
    for axis in config.mesh:
        config.sft.mesh[axis] = config.mesh.get_ref(axis)
    return config
