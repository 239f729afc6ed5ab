"""Multi-level aware preference learning (MAPL) in JAX.

Data flows one way: pairs -> samples -> tries -> rows -> rewards -> loss.

Axis letters, used in einsum strings and in the array annotations of public functions:

    R  rows of a batch             S  tokens of a row
    L  leaves of a row             C  comparisons of a row       T  terms of a comparison (4)
    P  scored tokens of a row, those whose log-probabilities count
    D  model width                 F  width of the feed-forward layer
    N  attention heads             K  key/value heads            H  width of one head
    V  vocabulary

Words with one meaning throughout:

    pair        an ordinary preference (prompt, chosen, rejected), perhaps with a margin
    sample      prompts x_0, x_1, ... and responses y_0 = chosen, y_1 = rejected with comparisons
    leaf        one (prompt, response) whose reward is used
    comparison  a signed sum of leaf rewards that should be positive; its sum is the margin
    level       base, intra or inter: which things a comparison sets side by side
    trie        the leaves of one sample as a prefix tree of tokens, depth first
    row         tries side by side, S tokens long
    reach       per token: index just past the last token that may attend to it
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mapl_jax.api import (
        Evaluation,
        build_model,
        check_instructions,
        evaluate_model,
        export_model,
        generate_responses,
        load_config,
        load_model,
        load_pairs,
        make_samples,
        propose_instructions,
        report_pictures,
        score,
        set_verbosity,
        train_model,
    )
    from mapl_jax.errors import UserError

__version__ = "0.1.0"

__all__ = (
    "Evaluation",
    "UserError",
    "build_model",
    "check_instructions",
    "evaluate_model",
    "export_model",
    "generate_responses",
    "load_config",
    "load_model",
    "load_pairs",
    "make_samples",
    "propose_instructions",
    "report_pictures",
    "score",
    "set_verbosity",
    "train_model",
)


def __getattr__(name: str) -> Any:
    """The functions of `mapl_jax.api`, which is loaded at the first use of one of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("mapl_jax.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
