"""The first parameters of a run: from a folder, a hub name, or random."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import decoder, hub, lora, published
from mapl_jax.models.config import DTYPES, DecoderConfig
from mapl_jax.runtime import errors
from mapl_jax.runtime.errors import UserError
from mapl_jax.training.objective import Objective


def compute_in(dtype: str) -> Compute:
    """Computation in a type that is given by its name.

    Raises:
        UserError: there is no such type.
    """
    return Compute(errors.choice("dtype", dtype, DTYPES))


@dataclasses.dataclass(frozen=True)
class Source:
    """A model and where its parameters come from.

    Attributes:
        model: the model's config.
        make: puts the parameters where their shardings say. With LoRA, the frozen ones are of the
            type of the computation, which is all that they are used for.
        name: makes `fingerprint`.
    """

    model: DecoderConfig
    make: Callable[[Any], Any]
    name: Callable[[], str]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A name for the parameters, adapters left out; files are read whole for it."""
        return self.name()


def first(config: ConfigDict, tokenizer: Tokenizer, objective: Objective) -> Source:
    """The first parameters of a run: those of `model.path`, or random ones."""
    dtype = errors.choice("train.dtype", config.train.dtype, DTYPES)
    kind = dtype if config.lora.rank else jnp.float32
    fields = config.model
    if fields.path and fields.get("shape"):
        raise UserError(
            "model.path names weights to start from and model.shape a shape to start from scratch; "
            "set one of them to nothing"
        )
    if fields.path:
        base = from_folder(fields.path, tokenizer, objective, config.seed, kind)
    else:
        base = _from_scratch(fields, tokenizer, objective, config.seed, kind)
    if not config.lora.rank:
        return base
    adapters = lora.Lora(config.lora.rank, config.lora.alpha, config.lora.targets)
    model = dataclasses.replace(base.model, lora=adapters)

    def with_adapters(places: Any) -> Any:
        make = functools.partial(decoder.init_adapters, model, jax.random.key(config.seed))
        added = jax.jit(make, out_shardings=lora.adapters(places))()
        return lora.join(added, base.make(lora.base(places)))

    return Source(model, with_adapters, base.name)


def from_folder(
    path: str, tokenizer: Tokenizer, objective: Objective, seed: int, dtype: Any = jnp.float32
) -> Source:
    """The parameters in a model folder or of a hub name.

    Raises:
        UserError: there are none, or the tokenizer is not theirs.
    """
    model = fitting(hub.load_config(path), path, tokenizer)

    def make(places: Any) -> Any:
        return hub.load_params(
            path, model, head=objective.head.scores, seed=seed, places=places, dtype=dtype
        )

    return Source(model, make, functools.partial(hub.fingerprint, path))


def _from_scratch(
    fields: ConfigDict, tokenizer: Tokenizer, objective: Objective, seed: int, dtype: Any
) -> Source:
    """Random parameters, in the shape of a published model or in that which a config describes."""
    if fields.shape:
        model = fitting(published.config(fields.shape), fields.shape, tokenizer)
    else:
        model = described(fields, len(tokenizer))

    def init() -> Any:
        params = objective.head.init(model, jax.random.key(seed))
        heads, body = lora.split_heads(params)
        return lora.join(heads, jax.tree.map(lambda x: x.astype(dtype), body))

    def make(places: Any) -> Any:
        # Made shard by shard, never whole on one device.
        return jax.jit(init, out_shardings=places)()

    def name() -> str:
        about = json.dumps([model.to_dict(), seed], sort_keys=True)
        return hashlib.blake2b(about.encode(), digest_size=16).hexdigest()

    return Source(model, make, name)


def described(fields: ConfigDict, tokens: int) -> DecoderConfig:
    """The shape that a config describes, for a vocabulary of so many tokens."""
    if fields.width % fields.heads or fields.heads % fields.kv_heads:
        raise UserError(
            f"model.width ({fields.width}) must be a multiple of model.heads ({fields.heads}), "
            f"and that of model.kv_heads ({fields.kv_heads})"
        )
    if fields.width // fields.heads % 2:
        raise UserError(
            f"model.width ({fields.width}) over model.heads ({fields.heads}) must be even: rotary "
            "angles come in pairs"
        )
    return DecoderConfig(
        # A multiple of 64 shards evenly and fills whole tiles.
        vocab_size=-(-tokens // 64) * 64,
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


def fitting(model: DecoderConfig, name: str, tokenizer: Tokenizer) -> DecoderConfig:
    """The model, if it knows every token of a tokenizer.

    Raises:
        UserError: it does not.
    """
    if len(tokenizer) > model.vocab_size:
        raise UserError(
            f"the tokenizer has {len(tokenizer)} tokens and the model {name} "
            f"only {model.vocab_size}; they do not belong together"
        )
    return model
