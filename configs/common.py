"""What configs/rm.py, configs/sft.py and configs/dpo.py share: every field of a run.

The fields have the defaults of their settings classes, which also say what they mean and may be
(docs/configuration.md, or --help of a command). Each file sets what is different in its runs.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime import settings
from mapl_jax.train import Settings

# Fields that mean nothing to a reward model.
OF_POLICIES = (
    "data.instructions",
    "model.reference",
    "loss.beta",
    "loss.type",
    "loss.weights",
    "loss.label_smoothing",
    "loss.joint_logp",
    "train.logp_chunk",
    "eval.generate",
    "eval.generate_rows",
    "eval.max_new_tokens",
)
# Fields that mean nothing to a run that starts from a model and its tokenizer.
FROM_SCRATCH = (
    "tokenizer.vocab_size",
    "model.shape",
    "model.width",
    "model.layers",
    "model.heads",
    "model.kv_heads",
    "model.mlp_width",
    "model.rope_theta",
)


def run(*without: str) -> ConfigDict:
    """A config with every field of a run at its default.

    Args:
        without: fields and sections that mean nothing to the run, `section.field` or `section`.
    """
    config = ConfigDict(settings.defaults(Settings))
    for name in without:
        section, _, field = name.rpartition(".")
        del (config[section] if section else config)[field]
    return config
