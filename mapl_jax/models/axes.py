"""Names for the dimensions of parameters; what `training.sharding` places on the mesh."""

import jax
from jax.tree_util import DictKey

from mapl_jax.models.parameters import Params

# By the last names of a parameter's path, without the axis of layers.
TABLE: dict[tuple[str, ...], tuple[str | None, ...]] = {
    ("embed",): ("vocab", "embed"),
    ("lm_head",): ("embed", "vocab"),
    ("score",): ("embed",),
    ("q", "kernel"): ("embed", "heads"),
    ("q", "bias"): ("heads",),
    ("k", "kernel"): ("embed", "kv_heads"),
    ("k", "bias"): ("kv_heads",),
    ("v", "kernel"): ("embed", "kv_heads"),
    ("v", "bias"): ("kv_heads",),
    ("o", "kernel"): ("heads", "embed"),
    ("o", "bias"): ("embed",),
    ("gate", "kernel"): ("embed", "mlp"),
    ("up", "kernel"): ("embed", "mlp"),
    ("down", "kernel"): ("mlp", "embed"),
    ("gate", "bias"): ("mlp",),
    ("up", "bias"): ("mlp",),
    ("down", "bias"): ("embed",),
    ("scale",): (None,),
    ("alpha_p",): (None,),
    ("alpha_n",): (None,),
    ("router",): ("embed", None),
    ("mlp", "gate"): ("experts", "embed", "mlp"),
    ("mlp", "up"): ("experts", "embed", "mlp"),
    ("mlp", "down"): ("experts", "mlp", "embed"),
}


def logical_axes(params: Params) -> Params:
    """One tuple of names per parameter, one name per dimension.

    Norms are so small that they lie everywhere: their name is None.
    """

    def name(path: tuple[DictKey, ...], leaf: jax.ShapeDtypeStruct) -> tuple[str | None, ...]:
        keys = tuple(str(entry.key) for entry in path)
        found = TABLE.get(keys[-1:], TABLE.get(keys[-2:]))
        if keys[-2:-1] == ("lora",):
            # A lies as the kernel's rows do, B as its columns; a rank is too small to be cut.
            rows, columns = TABLE[(keys[-3], "kernel")]
            found = {"a": (rows, None), "b": (None, columns)}[keys[-1]]
        if found is None:
            raise ValueError(f"no logical axes are known for the parameter {'/'.join(keys)}")
        axes = ("layers", *found) if keys[0] == "layers" else found
        if len(axes) != len(leaf.shape):
            raise ValueError(f"{'/'.join(keys)} has shape {leaf.shape}, but the axes {axes}")
        return axes

    return jax.tree_util.tree_map_with_path(name, params)
