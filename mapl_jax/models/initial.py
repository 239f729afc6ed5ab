"""The first parameters of a run: from a folder, a hub name, or random."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sized

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from mapl_jax.kernels.compute import Compute
from mapl_jax.models import decoder, hub, lora, published
from mapl_jax.models.config import DTYPES, DecoderConfig, ModelSettings
from mapl_jax.models.heads import Head
from mapl_jax.models.parameters import Params
from mapl_jax.runtime import errors
from mapl_jax.runtime.errors import UserError


def compute_in(dtype: str) -> Compute:
    """Computation in a type that is given by its name."""
    return Compute(errors.choice("dtype", dtype, DTYPES))


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """A model and where its parameters come from; `name` makes their fingerprint.

    `make` puts them where their shardings say. With LoRA, the frozen ones are of the type of the
    computation, which is all that they are used for.
    """

    model: DecoderConfig
    make: Callable[[Params], Params]
    name: Callable[[], str]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A name for the parameters, adapters left out; files are read whole for it."""
        return self.name()


def first(
    settings: ModelSettings,
    adapters: lora.Lora,
    tokenizer: Sized,
    head: Head,
    *,
    seed: int,
    dtype: DTypeLike,
) -> InitialWeights:
    """The first parameters of a run: those of `model.path`, or random ones.

    Args:
        adapters: adapters beside them; of rank 0 for none.
        tokenizer: the model must know all of its tokens.
        dtype: type of the computation, which frozen ones have.
    """
    kind = dtype if adapters.rank else jnp.float32
    if settings.path:
        base = from_folder(settings.path, tokenizer, head, seed, kind)
    else:
        base = _from_scratch(settings, tokenizer, head, seed, kind)
    if not adapters.rank:
        return base
    model = dataclasses.replace(base.model, lora=adapters)

    def with_adapters(places: Params) -> Params:
        make = functools.partial(decoder.init_adapters, model, jax.random.key(seed))
        added = jax.jit(make, out_shardings=lora.adapters(places))()
        return lora.join(added, base.make(lora.base(places)))

    return InitialWeights(model, with_adapters, base.name)


def from_folder(
    path: str, tokenizer: Sized, head: Head, seed: int, dtype: DTypeLike = jnp.float32
) -> InitialWeights:
    """The parameters in a model folder or of a hub name."""
    model = fitting(hub.load_config(path), path, tokenizer)

    def make(places: Params) -> Params:
        return hub.load_params(path, model, head=head.scores, seed=seed, places=places, dtype=dtype)

    return InitialWeights(model, make, functools.partial(hub.fingerprint, path))


def _from_scratch(
    settings: ModelSettings, tokenizer: Sized, head: Head, seed: int, dtype: DTypeLike
) -> InitialWeights:
    """Random parameters, in the shape of a published model or as a config describes it."""
    if settings.shape:
        model = fitting(published.config(settings.shape), settings.shape, tokenizer)
    else:
        model = described(settings, len(tokenizer))

    def init() -> Params:
        params = head.init(model, jax.random.key(seed))
        heads, body = lora.split_heads(params)
        return lora.join(heads, jax.tree.map(lambda x: x.astype(dtype), body))

    def make(places: Params) -> Params:
        # Made shard by shard, never whole on one device.
        return jax.jit(init, out_shardings=places)()

    def name() -> str:
        about = json.dumps([model.to_dict(), seed], sort_keys=True)
        return hashlib.blake2b(about.encode(), digest_size=16).hexdigest()

    return InitialWeights(model, make, name)


def described(fields: ModelSettings, tokens: int) -> DecoderConfig:
    """The shape that settings describe, for a vocabulary of so many tokens."""
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
    )


def fitting(model: DecoderConfig, name: str, tokenizer: Sized) -> DecoderConfig:
    """The model, if it knows every token of a tokenizer."""
    if len(tokenizer) > model.vocab_size:
        raise UserError(
            f"the tokenizer has {len(tokenizer)} tokens and the model {name} "
            f"only {model.vocab_size}; they do not belong together"
        )
    return model
