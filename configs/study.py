"""What each part of the method does: arms that differ only in their comparisons.

The demonstration data:

    python -m mapl_jax.study --config=configs/study.py

Your own pairs (hours on 2 CPU cores; if it is stopped, the same command continues):

    python -m mapl_jax.study --config=configs/study.py \
        --config.data.train=hh_helpful_train.jsonl --config.data.test=hh_helpful_test.jsonl

SmolLM2-135M-Instruct, reward models with adapters on its last layers (docs/study.md):

    python -m mapl_jax.study --config=configs/study.py:smollm2 \
        --config.data.train=hh_helpful_train.jsonl --config.data.test=hh_helpful_test.jsonl

A published model on a GPU or a TPU; the fields of a run are in `reward`, `sft` and `dpo`:

    python -m mapl_jax.study --config=configs/study.py --config.data.train=pairs.jsonl \
        --config.reward.model.path=Qwen/Qwen2.5-0.5B --config.reward.train.learning_rate=1e-5 \
        --config.reward.mesh.fsdp=-1 --config.reward.mesh.data=1 --config.arms='base; all'

The arms are in mapl_jax/study/arms.py, the measures in mapl_jax/study/measures.py.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.config import beside
from mapl_jax.runtime.errors import UserError

# Families that a pretrained model can learn within an hour, besides those that any model can.
IN_REACH = (
    "keywords:existence",
    "keywords:forbidden_words",
    "detectable_content:examples",
)


def get_config(preset: str = "") -> ConfigDict:
    """The config of a preset; the empty name is the demonstration."""
    if preset not in ("", "smollm2"):
        raise UserError(f"unknown preset {preset!r} of configs/study.py; the only one is smollm2")
    config = ConfigDict()
    config.name = "study"  # its folder is studies/NAME unless --workdir is set
    config.seed = 0  # for shares and for the bootstrap
    config.arms = ""  # names separated by semicolons; empty: all
    config.seeds = 3  # runs of each arm, with different seeds
    config.once = ""  # names of arms that get only one run, separated by semicolons
    config.resamples = 1000  # number of bootstrap resamples
    config.keep = False  # keep checkpoints and caches of finished runs
    config.plugins = ""  # modules with your own constraints, losses, ...: docs/extending.md

    config.data = ConfigDict()
    config.data.train = "demo"  # pairs: a file, a folder, a hub name, or "demo"
    config.data.test = ""  # the same; empty: a part of train is held out
    config.data.test_fraction = 0.1  # that part, by prompt
    config.data.test_pairs = 0  # number of held-out pairs to use; 0: all
    # Longest prompt and longer response together, in words; longer pairs are left out; 0: no limit.
    config.data.max_words = 120
    config.data.demo_pairs = 2400  # number of pairs of the demonstration data
    config.data.format = ""  # the name of a published form of records: docs/data.md
    config.data.columns = ""  # which column is which: docs/data.md
    config.data.on_error = "raise"  # what to do with a bad record: "raise" an error or "skip" it
    config.data.num_proc = 0  # processes for synthesis; 0: one per core

    reward = beside(__file__, "rm").get_config("small")
    config.synthesis = reward.synthesis  # of all arms; see configs/rm.py

    # The presets that `reward` and `dpo` start from, for commands.txt.
    config.presets = ConfigDict()
    config.presets.reward = "rm:small"
    config.presets.dpo = "dpo:pretrained"
    config.reward = reward
    config.reward.train.update(
        {
            "steps": 180,
            "rows_per_batch": 4,
            "learning_rate": 2e-3,
            "eval_every": 0,
            "save_every": 90,
            "logger": "",
        }
    )

    # The model that policies start from, unless `dpo.model.path` names one.
    config.sft = beside(__file__, "sft").get_config()
    config.sft.data.update({"max_length": 384, "test_fraction": 0.05})
    config.sft.model.layers = 3
    config.sft.train.update({"steps": 250, "logger": ""})
    config.sft.eval.generate = 0

    config.dpo = beside(__file__, "dpo").get_config("pretrained")
    config.dpo.data.update({"max_length": 384, "row_length": 1024})
    config.dpo.train.update(
        {
            "steps": 100,
            "rows_per_batch": 4,
            "accumulation": 1,
            "learning_rate": 1e-3,
            "dtype": "float32",
            "remat": "none",
            "save_every": 50,
            "logger": "",
        }
    )
    # As for the demonstration of configs/dpo.py: good responses should stay likely.
    config.dpo.loss.update({"base": 0.2, "type": "sigmoid,sft", "weights": "1,5"})
    config.dpo.eval.update({"generate": 200, "generate_rows": 100, "max_new_tokens": 80})
    config.dpo.mesh.update({"data": -1, "fsdp": 1})
    if preset == "smollm2":
        _smollm2(config)
    for name in ("reward", "sft", "dpo"):
        config[name].plugins = config.get_ref("plugins")
    return config


def _smollm2(config: ConfigDict) -> None:
    """Reward models from a pretrained model, as two cores can train them."""
    config.name = "smollm2"
    config.arms = "base; all; base + intra; base + inter; one-ended"
    config.once = "base + intra; base + inter; one-ended"
    config.data.max_words = 100
    families = ",".join((*beside(__file__, "rm").SURFACE, *IN_REACH))
    config.synthesis.update({"families": families, "k_min": 1, "k_max": 3})
    config.presets.reward = "rm:smollm2-135m"
    config.reward = beside(__file__, "rm").get_config("smollm2-135m")
    config.reward.model.path = "HuggingFaceTB/SmolLM2-135M-Instruct"
    config.reward.data.update({"max_length": 384, "row_length": 1024})
    # The 24 layers below the adapters are computed once for all runs.
    config.reward.lora.update({"rank": 16, "layers": 6})
    config.reward.train.update(
        {
            "trunk": True,
            "steps": 232,  # about two passes of `all` over HH's short pairs
            "rows_per_batch": 4,
            "accumulation": 1,
            "learning_rate": 3e-3,
            "warmup": 0.1,
            "dtype": "bfloat16",  # half the time of fp32 on CPUs with matrix units (docs/speed.md)
            "remat": "none",
            "eval_every": 0,
            "save_every": 100,
            "logger": "",
        }
    )
    config.reward.eval.rows_per_batch = 4
    config.reward.mesh.update({"data": -1, "fsdp": 1})
