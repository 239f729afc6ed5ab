"""How a model is computed: type, attention, rematerialization, and the layout over devices."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mapl_jax.kernels.rows import AnyArray

Function = TypeVar("Function", bound=Callable[..., Array])


@dataclasses.dataclass(frozen=True)
class Spread:
    """How rows, their tokens and heads lie over devices.

    Attributes:
        rows: axes of the mesh that rows are split over.
        heads: axis of the mesh that attention heads are split over.
        tokens: axis of the mesh that the tokens of a row are split over; None for none.
    """

    mesh: Mesh
    rows: tuple[str, ...]
    heads: str
    tokens: str | None = None

    @property
    def parts(self) -> int:
        """How many parts the tokens of a row are split into."""
        return 1 if self.tokens is None else self.mesh.shape[self.tokens]

    @property
    def states(self) -> PartitionSpec:
        """Where an array [R, S, ...] lies."""
        return PartitionSpec(self.rows, self.tokens)

    @property
    def platform(self) -> str:
        """Platform of the devices, which may belong to another machine."""
        return str(self.mesh.devices.flat[0].platform)

    def by_token(self, x: Float[AnyArray, "R S ..."]) -> Float[Array, "R S ..."]:
        """Keeps each token whole, on the device that holds its part of its row.

        Where parameters are split over the axes of rows, the compiler would otherwise split the
        tokens themselves and bring all of them to every device.
        """
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, self.states))

    def over_tokens(self, function: Function) -> Function:
        """A function of (x [R, S, ...], a parameter, y [R, S]), run on each device's own tokens.

        The parameter is gathered over these axes once, and its gradient summed once, however
        often the function loops over it; left to itself the compiler may do both in every round of
        a loop, or split the sum of a product and add up results instead. The axis of heads stays
        the compiler's.
        """
        axes = {*self.rows, self.tokens} - {None}
        if all(self.mesh.shape[axis] == 1 for axis in axes):
            # Every device has all rows: there is nothing to split.
            return function
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=(self.states, PartitionSpec(), self.states),
            out_specs=self.states,
            axis_names=axes,
            check_vma=False,
        )


@dataclasses.dataclass(frozen=True)
class Compute:
    """How a model is computed; hashable, so that it can be a static argument and a cache key.

    Attributes:
        dtype: type of the computation; norms, rotary angles and softmax are fp32 always.
        remat: what the backward pass computes again: "none", "dots" (all but matrix products with
            weights) or "full" (everything inside a layer).
        backend: of attention, one of `kernels.attention.BACKENDS`.
        spread: how rows, their tokens and heads lie over devices; None for one device.
    """

    dtype: DTypeLike = jnp.float32
    remat: str = "none"
    backend: str = "auto"
    spread: Spread | None = None

    def __post_init__(self):
        # jnp.float32, np.float32 and "float32" are equal, but hash differently.
        object.__setattr__(self, "dtype", np.dtype(self.dtype))

    @property
    def parts(self) -> int:
        """How many parts the tokens of a row are split into."""
        return 1 if self.spread is None else self.spread.parts

    @property
    def platform(self) -> str:
        """Platform of the devices that compute."""
        return jax.default_backend() if self.spread is None else self.spread.platform
