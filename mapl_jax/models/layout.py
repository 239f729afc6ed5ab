"""Which parameters are in which tensors of a model folder."""

import dataclasses

from mapl_jax.models import families
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.families import LM_HEAD, SCORE, Tensor
from mapl_jax.models.parameters import Params, at_path

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
ADAPTER_CONFIG = "adapter_config.json"
# Folder beside adapters, of a base whose config they need.
BASE = "base"


@dataclasses.dataclass(frozen=True)
class Part:
    """A parameter as a part of a checkpoint's tensor; the shape is that of one layer."""

    tensor: Tensor
    shape: tuple[int, ...]

    @property
    def stored(self) -> tuple[int, ...]:
        """Its shape in the checkpoint, of one expert."""
        return self.tensor.shape(self.shape[1:] if self.tensor.by_expert else self.shape)

    @property
    def rows(self) -> int:
        """How many rows of the tensor it takes."""
        return self.stored[0]


def stored_parts(config: DecoderConfig, head: bool, params: Params) -> dict[str, tuple[Part, ...]]:
    """The parameters in each tensor of a checkpoint; `{i}` is the layer, `{e}` the expert."""
    table = list(families.get(config.family).tensors)
    if head:
        table.append(SCORE)
    elif not config.tie_embeddings:
        table.append(LM_HEAD)

    def part(tensor: Tensor) -> Part:
        shape = tuple(at_path(params, tensor.path).shape)
        return Part(tensor, shape[1:] if tensor.stacked else shape)

    # Biases that some models of a family have, and others not.
    table = [tensor for tensor in table if tensor.path[-1] != "bias" or _has(params, tensor.path)]
    grouped = families.by_name(table)
    return {name: tuple(map(part, members)) for name, members in grouped.items()}


def _has(params: Params, path: tuple[str, ...]) -> bool:
    return path[-1] in at_path(params, path[:-1])


def stored_shape(parts: tuple[Part, ...]) -> tuple[int, ...]:
    """Shape of a checkpoint's tensor."""
    _, *others = parts[0].stored
    return (sum(part.rows for part in parts), *others)


def indices(config: DecoderConfig, tensor: Tensor) -> list[tuple[int, ...]]:
    """Where the tensors of one name lie in their parameter: (), of a layer, or of its expert."""
    if not tensor.stacked:
        return [()]
    if not tensor.by_expert:
        return [(i,) for i in range(config.layers)]
    return [(i, e) for i in range(config.layers) for e in range(config.experts)]


def named(name: str, at: tuple[int, ...]) -> str:
    """The name of a tensor at one of its `indices`."""
    return name.format(**dict(zip("ie", at, strict=False)))
