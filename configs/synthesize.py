"""Synthesize samples from preference pairs.

    python -m mapl_jax.synthesize --config=configs/synthesize.py \
        --config.input=pairs.jsonl --config.output=out/samples

writes `out/samples/samples.jsonl` and `out/samples/summary.json`. With `compact`, every pair that
carries enough constraints gives 5 comparisons: 1 base, 2 intra, 2 inter.

Presets: `demo` needs no file: it makes 2,000 demonstration pairs and takes well under a minute:

    python -m mapl_jax.synthesize --config=configs/synthesize.py:demo --config.output=out/demo

`held_out` draws from families and wordings that training never sees, for evaluation.
"""

from ml_collections import ConfigDict

from mapl_jax.errors import UserError


def get_config(preset: str = "") -> ConfigDict:
    """The settings of `mapl_jax.synthesize`."""
    config = ConfigDict()

    # A file (.jsonl, .json, .csv, .parquet), a folder of such, a hub name org/name:split,
    # or demo, demo:test.
    config.input = ""
    config.output = ""
    config.overwrite = False
    config.on_error = "raise"  # "skip": leave bad records out and count them
    config.demo_pairs = 2000  # how many, if input is demo

    config.mode = "compact"  # or "full": prompts of its own for every comparison
    config.seed = 0
    config.k_min = 2
    config.k_max = 5
    config.families = "train"  # or "held_out", "all", or ids with commas between
    config.wordings = "train"  # or "held_out"
    config.workers = 0  # processes; 0 works in this one

    if preset == "demo":
        config.input = "demo"
    elif preset == "held_out":
        config.families = "held_out"
        config.wordings = "held_out"
    elif preset:
        raise UserError(f"unknown preset {preset!r}; known are demo and held_out")
    return config
