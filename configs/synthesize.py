"""Synthesizes samples from preference pairs.

    python -m mapl_jax.synthesize --config=configs/synthesize.py \
        --config.input=pairs.jsonl --config.output=out/samples

writes `out/samples/samples-00000-of-00004.jsonl`, ..., `report.html` to look at, and
`summary.json`. With mode `compact`, every pair that allows enough instructions gives 5 comparisons:
1 base, 2 intra, 2 inter. If the command is stopped, run it again and it continues. The output is
the same, byte for byte, with any number of processes and on any runner of Apache Beam
(pip install 'mapl_jax[beam]'), where all workers must be able to reach the output folder:

    python -m mapl_jax.synthesize --config=configs/synthesize.py \
        --config.input=pairs.jsonl --config.output=/shared/samples \
        --runner=FlinkRunner --beam="--flink_master=HOST:8081"

The preset `demo` needs no file: it makes 2,000 demonstration pairs and takes well under a minute:

    python -m mapl_jax.synthesize --config=configs/synthesize.py:demo --config.output=out/demo

The preset `held_out` draws families and wordings that training never sees, for evaluation.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError

PRESETS = ("demo", "held_out")


def get_config(preset: str = "") -> ConfigDict:
    """The settings of `mapl_jax.synthesize`."""
    config = ConfigDict()

    # A file (.jsonl, .json, .csv, .parquet), a folder of these, a hub name org/name:split,
    # or "demo", "demo:test".
    config.input = ""
    config.output = ""  # folder for the samples
    config.overwrite = False  # replace what is in the output folder
    config.columns = ""  # which column is which, or a published form: docs/data.md
    config.on_error = "raise"  # what to do with a bad record: "raise" an error, or "skip" it
    config.demo_pairs = 2000  # number of pairs, if input is demo

    # "compact", or "full": every comparison has its own prompts.
    config.mode = "compact"
    config.seed = 0  # for drawing instructions
    config.k_min = 2  # fewest instructions of a prompt, if the pair allows them
    config.k_max = 4  # most instructions of a prompt
    config.families = "train"  # "train", "held_out", "all", or ids separated by commas
    config.wordings = "train"  # "train" or "held_out"
    # Shares of prompts whose instructions are not after the request.
    config.places = "before=0.1,inside=0.04,system=0.15"
    config.lists = 0.4  # share of prompts that list their instructions, one per line
    config.woven = 0.5  # share of the others that join all in one sentence, if all are commands
    config.neutral = 0.0  # share of pairs with instructions that both follow or both break
    # For records with more than two responses.
    config.list_base = "all"  # base comparisons: "all", or the "best" with the others
    config.list_pairs = 1  # how many pairs of responses get instructions

    # Number of pairs from which synthesis learns what responses are like: which instructions nearly
    # all or none follow, how to draw families and directions evenly. 0: none.
    config.reference = 512
    config.min_share = 0.05  # leave out instructions that fewer of these responses follow
    config.min_share_named = 0.0  # the same, for those that name words
    config.max_share = 0.95  # leave out instructions that more of them follow

    config.format = "jsonl"  # "jsonl" or "parquet"
    config.shard_size = 1024  # pairs per file, and per task of a worker
    config.num_proc = 0  # number of processes; 0: one per core
    config.plugins = ""  # modules with your own constraints: docs/extending.md

    if preset == "demo":
        config.input = "demo"
    elif preset == "held_out":
        config.families = "held_out"
        config.wordings = "held_out"
    elif preset:
        raise UserError(f"unknown preset {preset!r}; known are {' and '.join(PRESETS)}")
    return config
