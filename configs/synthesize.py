"""Synthesize samples from preference pairs.

    python -m mapl_jax.synthesize --config=configs/synthesize.py \
        --config.input=pairs.jsonl --config.output=out/samples

writes shards `out/samples/samples-00000-of-00004.jsonl`, ..., `report.html` to look at, and
`summary.json`. With `compact`, every pair that carries enough constraints gives 5 comparisons: 1
base, 2 intra, 2 inter. The same command again goes on where a run was stopped. The output is the
same, byte for byte, with any number of processes and on any runner of Apache Beam
(pip install 'mapl_jax[beam]'), where the output folder must be one that all workers reach:

    python -m mapl_jax.synthesize --config=configs/synthesize.py \
        --config.input=pairs.jsonl --config.output=/shared/samples \
        --runner=FlinkRunner --beam="--flink_master=HOST:8081"

Presets: `demo` needs no file: it makes 2,000 demonstration pairs and takes well under a minute:

    python -m mapl_jax.synthesize --config=configs/synthesize.py:demo --config.output=out/demo

`held_out` draws from families and wordings that training never sees, for evaluation.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError

PRESETS = ("demo", "held_out")


def get_config(preset: str = "") -> ConfigDict:
    """The settings of `mapl_jax.synthesize`."""
    config = ConfigDict()

    # A file (.jsonl, .json, .csv, .parquet), a folder of such, a hub name org/name:split,
    # or demo, demo:test.
    config.input = ""
    config.output = ""  # folder to write
    config.overwrite = False  # replace what the folder holds
    config.columns = ""  # which column is which, or a published form: docs/data.md
    config.on_error = "raise"  # what a bad record does: "raise" or "skip", which counts it
    config.demo_pairs = 2000  # how many, if input is demo

    # "compact", or "full": prompts of its own for every comparison.
    config.mode = "compact"
    config.seed = 0  # another one draws other instructions
    config.k_min = 2  # fewest instructions of a prompt, if the pair can have them
    config.k_max = 4  # most instructions of a prompt
    config.families = "train"  # "train", "held_out", "all", or ids with commas between
    config.wordings = "train"  # "train" or "held_out"
    # Shares of prompts whose instructions do not stand behind the request.
    config.places = "before=0.1,inside=0.04,system=0.15"
    config.lists = 0.4  # share of prompts that list their instructions, a line each
    config.woven = 0.5  # share of the others that say all in one sentence, where all are commands
    config.neutral = 0.0  # share of the pairs with instructions that both keep or both break
    # Of records with more than two responses.
    config.list_base = "all"  # base comparisons: "all", or of the "best" with the rest
    config.list_pairs = 1  # pairs of responses that get instructions

    # Pairs to learn from what responses of this data set are like: which instructions say nothing,
    # how to draw families evenly, and which way they lean. 0 learns nothing.
    config.reference = 512
    config.min_share = 0.05  # drop instructions that fewer of these responses keep
    config.min_share_named = 0.0  # the same for those that name words of the response
    config.max_share = 0.95  # drop instructions that more of them keep

    config.format = "jsonl"  # "jsonl" or "parquet"
    config.shard_size = 1024  # pairs of a file, and of a worker's task
    config.num_proc = 0  # processes; 0: one per core
    config.plugins = ""  # modules that register constraints of your own: docs/extending.md

    if preset == "demo":
        config.input = "demo"
    elif preset == "held_out":
        config.families = "held_out"
        config.wordings = "held_out"
    elif preset:
        raise UserError(f"unknown preset {preset!r}; known are {' and '.join(PRESETS)}")
    return config
