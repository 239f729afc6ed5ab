"""The first parameters of a run: of a model folder or from scratch, with adapters if it has any."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mapl_jax import cli
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.errors import UserError
from mapl_jax.models import decoder, hub, lora, published, reward
from mapl_jax.models.decoder import DecoderConfig

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def make_model(config: ConfigDict, tokenizer: Tokenizer) -> tuple[DecoderConfig, Any]:
    """The model's config, and a function that puts its first parameters where they belong.

    The function takes shardings of all parameters. With LoRA, the frozen ones it gives are of the
    type of the computation, which is all that they are used for.
    """
    base, start = _make_base(config, tokenizer)
    if not config.lora.rank:
        return base, start
    adapters = lora.Lora(config.lora.rank, config.lora.alpha, config.lora.targets)
    model = dataclasses.replace(base, lora=adapters)
    dtype = cli.choice("train.dtype", config.train.dtype, DTYPES)

    def with_adapters(places: Any) -> Any:
        head, frozen = lora.split(start(lora.base(places)), adapters)
        make = functools.partial(decoder.init_adapters, model, jax.random.key(config.seed))
        added = jax.jit(make, out_shardings=lora.adapters(places))()
        frozen = jax.tree.map(lambda x: x.astype(dtype), frozen)
        return lora.join(lora.join(added, head), frozen)

    return model, with_adapters


def _make_base(config: ConfigDict, tokenizer: Tokenizer) -> tuple[DecoderConfig, Any]:
    """The same without adapters."""
    fields = config.model
    if fields.path and fields.shape:
        raise UserError(
            "model.path names weights to start from and model.shape a shape to start from scratch; "
            "set one of them to nothing"
        )
    name = fields.path or fields.shape
    if name:
        model = hub.load_config(name) if fields.path else published.config(name)
        if len(tokenizer) > model.vocab_size:
            raise UserError(
                f"the tokenizer has {len(tokenizer)} tokens and the model {name} "
                f"only {model.vocab_size}; they do not belong together"
            )
    if fields.path:

        def load(places: Any) -> Any:
            return hub.load_params(fields.path, model, head=True, seed=config.seed, places=places)

        return model, load
    if not name:
        model = _from_scratch(fields, tokenizer)

    def init(places: Any) -> Any:
        # Made shard by shard, never whole on one device.
        make = functools.partial(reward.init, model, jax.random.key(config.seed))
        return jax.jit(make, out_shardings=places)()

    return model, init


def _from_scratch(fields: ConfigDict, tokenizer: Tokenizer) -> DecoderConfig:
    if fields.width % fields.heads or fields.heads % fields.kv_heads:
        raise UserError(
            f"model.width ({fields.width}) must be a multiple of model.heads ({fields.heads}), "
            f"and that of model.kv_heads ({fields.kv_heads})"
        )
    return DecoderConfig(
        # A multiple of 64 shards evenly and fills whole tiles.
        vocab_size=-(-len(tokenizer) // 64) * 64,
        width=fields.width,
        layers=fields.layers,
        heads=fields.heads,
        kv_heads=fields.kv_heads,
        head_dim=fields.width // fields.heads,
        mlp_width=fields.mlp_width,
        rope_theta=fields.rope_theta,
        norm_eps=1e-6,
        tie_embeddings=True,
        qkv_bias=True,
    )
