"""Parameters: nested dicts with an array, or what says something of an array, at each end."""

from jaxtyping import PyTree

Params = dict[str, PyTree]


def at_path(tree: Params, path: tuple[str, ...]) -> PyTree:
    """What lies at a path."""
    for key in path:
        tree = tree[key]
    return tree


def with_value(tree: Params, path: tuple[str, ...], value: PyTree) -> Params:
    """The same with another value at a path."""
    first, *rest = path
    return {**tree, first: with_value(tree[first], tuple(rest), value) if rest else value}
