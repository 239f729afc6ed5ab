"""A Qwen2-shaped model, trained from scratch on your own pairs, to measure on a CPU:

    python -m mapl_jax.bench --config=configs/bench.py --config.data.train=pairs.jsonl
    python -m mapl_jax.bench --config=configs/bench.py --config.data.train=pairs.jsonl --versus=trl

24 M parameters, fp32. docs/speed.md says what to expect.

The shape of Qwen2.5-1.5B with random weights in bf16, for one GPU of 141 GB; planned to end within
8 minutes, but never run yet (needs torch for CUDA, and the extras cuda and peers):

    python -m mapl_jax.bench --config=configs/bench.py:h200 --config.data.train=pairs.jsonl \
        --versus=trl --pairs=64 --batch=8 --repeats=2
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.config import beside


def get_config(preset: str = "") -> ConfigDict:
    """The preset `small` of configs/rm.py with a larger model."""
    config = beside(__file__, "rm").get_config(preset if preset not in ("", "h200") else "small")
    config.name = "bench"
    config.data.max_length = 1024
    config.data.row_length = 2048
    if preset == "h200":
        config.model.shape = "Qwen/Qwen2.5-1.5B"
        config.train.dtype = "bfloat16"
        return config
    config.model.width = 512
    config.model.layers = 8
    config.model.heads = 8
    config.model.kv_heads = 2
    config.model.mlp_width = 1408
    return config
