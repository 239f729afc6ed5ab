"""Values of libraries as values of JSON."""

from collections.abc import Mapping

import numpy as np


def plain(value: object) -> object:
    """A value of NumPy, pandas or Arrow as one of JSON; NaN is null."""
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    for method in ("as_py", "to_dict", "to_pylist"):
        if hasattr(value, method):
            return plain(getattr(value, method)())
    return value
