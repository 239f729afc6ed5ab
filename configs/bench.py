"""A Qwen2-shaped model from scratch on pairs of your own, to be measured on CPU:

    python -m mapl_jax.bench --config=configs/bench.py --config.data.train=pairs.jsonl
    python -m mapl_jax.bench --config=configs/bench.py --config.data.train=pairs.jsonl --versus=trl

24 M parameters, fp32. What to expect stands in docs/speed.md.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.config import beside


def get_config(preset: str = "") -> ConfigDict:
    """The preset `small` of configs/rm.py with a larger model."""
    config = beside(__file__, "rm").get_config(preset or "small")
    config.name = "bench"
    config.data.max_length = 1024
    config.data.row_length = 2048
    config.model.width = 512
    config.model.layers = 8
    config.model.heads = 8
    config.model.kv_heads = 2
    config.model.mlp_width = 1408
    return config
