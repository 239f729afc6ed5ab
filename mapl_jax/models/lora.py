"""Low-rank adapters beside frozen matrices (arXiv 2106.09685): y = x W + (alpha / rank) (x A) B.

Adapters are part of the parameters, beside the kernel that they change:

    layers/attention/q    kernel [layers, in, out]
        lora              a [adapted, in, rank], b [adapted, rank, out]: of the last layers

B starts at zero, so a fresh model is its base. `split` parts what is trained (the adapters and a
reward head) from the frozen base, and `join` puts both together again, without a copy. The base
alone, `base`, is the reference of a policy at no extra memory: the same arrays, adapters left out.
"""

import dataclasses
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mapl_jax.kernels.products import product
from mapl_jax.models.parameters import Params
from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting

TARGETS = ("q", "k", "v", "o", "gate", "up", "down")
ALL = "all"
HEADS = ("score",)
# Standard deviation of random matrices.
INIT_SCALE = 0.02

Layer = TypeVar("Layer", bound=nnx.Module)


@dataclasses.dataclass(frozen=True)
class Lora:
    """Which matrices have adapters, and of what size: A [in, rank] and B [rank, out]."""

    rank: int = setting(
        0,
        "rank of LoRA adapters beside a frozen model; 0: train the whole model",
        least=0,
        most=2**16,
    )
    alpha: float = setting(32.0, "adapters are scaled by alpha / rank", least=1e-6, most=1e6)
    targets: str = setting(
        ALL, "matrices with adapters: all, or some of q,k,v,o,gate,up,down, separated by commas"
    )
    layers: int = setting(
        0,
        "only the last N layers have adapters, and no gradients are computed below them; 0: all "
        "layers",
        least=0,
        most=2**14,
    )

    def __post_init__(self) -> None:
        settings.check(self, "lora")
        if self.layers and not self.rank:
            raise UserError("lora.layers counts layers with adapters; set lora.rank as well")
        if self.targets != ALL and not self.rank:
            raise UserError("lora.targets names matrices with adapters; set lora.rank as well")
        if unknown := [name for name in self.names if name not in TARGETS]:
            raise UserError(
                f"lora.targets has {', '.join(map(repr, unknown))}; choose from "
                f"{', '.join(TARGETS)}, or {ALL}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The targets one by one."""
        if self.targets == ALL:
            return TARGETS
        return tuple(name.strip() for name in self.targets.split(","))

    @property
    def scale(self) -> float:
        """Of the adapters' part."""
        return self.alpha / self.rank


class Adapter(nnx.Module):
    """The second summand of a matrix product: two thin matrices, never multiplied together."""

    def __init__(self, inputs: int, outputs: int, lora: Lora, dtype: DTypeLike, *, rngs: nnx.Rngs):
        self.scale, self.dtype = lora.scale, dtype
        # As PEFT: He-uniform with slope sqrt(5), which is 1 / sqrt(inputs).
        bound = inputs**-0.5
        shape = (inputs, lora.rank)
        self.a = nnx.Param(
            jax.random.uniform(rngs.params(), shape, jnp.float32, minval=-bound, maxval=bound)
        )
        self.b = nnx.Param(jnp.zeros((lora.rank, outputs), jnp.float32))

    def __call__(self, x: Float[Array, "R S in"]) -> Float[Array, "R S out"]:
        """Applies it to every token."""
        a, b = self.a[...].astype(self.dtype), self.b[...].astype(self.dtype)
        return product(product(x.astype(self.dtype), a), b) * self.scale


class Linear(nnx.Linear):
    """A matrix product that may have an adapter beside it."""

    lora: Adapter | None = None

    def __call__(self, inputs: Array, out_sharding: PartitionSpec | None = None) -> Array:
        """Applies it to every token."""
        outputs = super().__call__(inputs, out_sharding)
        return outputs if self.lora is None else outputs + self.lora(inputs)


def linear(
    inputs: int, outputs: int, *, dtype: DTypeLike, rngs: nnx.Rngs, use_bias: bool = False
) -> Linear:
    """A matrix of a layer, without an adapter."""
    return Linear(
        inputs,
        outputs,
        use_bias=use_bias,
        dtype=dtype,
        kernel_init=nnx.initializers.normal(INIT_SCALE),
        dot_general=_product,
        rngs=rngs,
    )


def _product(x: Array, matrix: Array, *_: object, **__: object) -> Array:
    """What a linear layer asks for: the last axis of the states with the first of the matrix."""
    return product(x, matrix)


def adapt(layer: Layer, lora: Lora | None, dtype: DTypeLike, *, rngs: nnx.Rngs) -> Layer:
    """Gives the targets among a layer's matrices their adapters; returns the layer."""
    if lora is not None:
        for path, module in list(nnx.iter_modules(layer)):
            if isinstance(module, Linear) and path[-1] in lora.names:
                module.lora = Adapter(
                    module.in_features, module.out_features, lora, dtype, rngs=rngs
                )
    return layer


def adapters_of_last(layers: nnx.Module, count: int) -> None:
    """Leaves the adapters of a stack of layers to the last of them."""
    for _, module in nnx.iter_modules(layers):
        if isinstance(module, Adapter):
            module.a = nnx.Param(module.a[...][-count:])
            module.b = nnx.Param(module.b[...][-count:])


def without_adapters(layer: Layer) -> Layer:
    """A layer, or a stack of them, that has none."""
    plain = nnx.clone(layer)
    for _, module in nnx.iter_modules(plain):
        if isinstance(module, Linear):
            module.lora = None
    return plain


def split(params: Params, lora: Lora | None) -> tuple[Params, Params]:
    """Parameters as (trainable, frozen): adapters and heads, and the rest; all without LoRA."""
    if lora is None:
        return dict(params), {}
    return _part(params, ("lora", *HEADS)), _part(params, ("lora", *HEADS), named=False)


def split_heads(params: Params) -> tuple[Params, Params]:
    """Parameters as (heads that are always trained, the rest)."""
    return _part(params, HEADS), _part(params, HEADS, named=False)


def adapters(params: Params) -> Params:
    """The adapters alone."""
    return _part(params, ("lora",))


def join(trainable: Params, frozen: Params) -> Params:
    """What `split` parted, put together."""
    whole = traverse_util.flatten_dict(trainable) | traverse_util.flatten_dict(frozen)
    return traverse_util.unflatten_dict(whole)


def base(params: Params) -> Params:
    """The parameters without adapters: the same arrays."""
    return _part(params, ("lora",), named=False)


def merge(params: Params, lora: Lora | None) -> Params:
    """The parameters of a plain model that computes the same: W + (alpha / rank) A B, in fp32."""
    merged = {
        name: merge(value, lora) if isinstance(value, dict) else value
        for name, value in params.items()
        if name != "lora"
    }
    if lora is not None and "lora" in params:
        pair = params["lora"]
        merged["kernel"] = _fold(params["kernel"], pair["a"], pair["b"], lora.scale)
    return merged


@jax.jit
def _fold(kernel: Array, a: Array, b: Array, scale: float) -> Array:
    product = jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
    return kernel.astype(jnp.float32).at[-len(a) :].add(scale * product)


def _part(tree: Params, names: tuple[str, ...], *, named: bool = True) -> Params:
    """The subtrees of some names, or everything else."""
    leaves = traverse_util.flatten_dict(tree).items()
    part = {path: value for path, value in leaves if named == any(x in names for x in path)}
    return traverse_util.unflatten_dict(part)
