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

Function = TypeVar("Function", bound=Callable[..., Array])


@dataclasses.dataclass(frozen=True)
class Spread:
    """How rows and heads lie over devices.

    Attributes:
        rows: axes of the mesh that rows are split over.
        heads: axis of the mesh that attention heads are split over.
    """

    mesh: Mesh
    rows: tuple[str, ...]
    heads: str

    @property
    def platform(self) -> str:
        """Platform of the devices, which may belong to another machine."""
        return str(self.mesh.devices.flat[0].platform)

    def by_row(self, x: Float[Array, "R ..."]) -> Float[Array, "R ..."]:
        """Keeps each row whole, on the device that holds it.

        Where parameters are split over the axes of rows, the compiler would otherwise split the
        rows themselves and bring all of them to every device.
        """
        return jax.lax.with_sharding_constraint(
            x, NamedSharding(self.mesh, PartitionSpec(self.rows))
        )

    def over_rows(self, function: Function) -> Function:
        """A function of (x [R, ...], a parameter, y [R, ...]), run on each device's own rows.

        The parameter is gathered over the axes of rows once, and its gradient summed once, however
        often the function loops over it; left to itself the compiler may do both in every round of
        a loop, or split the sum of a product and add up results instead. The axis of heads stays
        the compiler's.
        """
        if all(self.mesh.shape[axis] == 1 for axis in self.rows):
            # Every device has all rows: there is nothing to split.
            return function
        rows = PartitionSpec(self.rows)
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=(rows, PartitionSpec(), rows),
            out_specs=rows,
            axis_names=set(self.rows),
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
        spread: how rows and heads lie over devices; None for one device.
    """

    dtype: DTypeLike = jnp.float32
    remat: str = "none"
    backend: str = "auto"
    spread: Spread | None = None

    def __post_init__(self):
        # jnp.float32, np.float32 and "float32" are equal, but hash differently.
        object.__setattr__(self, "dtype", np.dtype(self.dtype))

    @property
    def platform(self) -> str:
        """Platform of the devices that compute."""
        return jax.default_backend() if self.spread is None else self.spread.platform
