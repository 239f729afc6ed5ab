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

import importlib
import os
from typing import TYPE_CHECKING

from mapl_jax import runtime
from mapl_jax.runtime import environment, signals

if TYPE_CHECKING:
    from mapl_jax.evaluate import Evaluation as Evaluation
    from mapl_jax.evaluate import evaluate_model as evaluate_model
    from mapl_jax.evaluate import score as score
    from mapl_jax.evaluation.reward_function import reward_function as reward_function
    from mapl_jax.export import export_model as export_model
    from mapl_jax.generate import generate_responses as generate_responses
    from mapl_jax.plan import build_model as build_model
    from mapl_jax.reports.run import report_pictures as report_pictures
    from mapl_jax.runtime.config import load_config as load_config
    from mapl_jax.runtime.console import set_verbosity as set_verbosity
    from mapl_jax.runtime.errors import UserError as UserError
    from mapl_jax.synthesize import check_instructions as check_instructions
    from mapl_jax.synthesize import load_pairs as load_pairs
    from mapl_jax.synthesize import make_samples as make_samples
    from mapl_jax.synthesize import propose_instructions as propose_instructions
    from mapl_jax.train import train_model as train_model
    from mapl_jax.training.restore import load_model as load_model

signals.listen()
environment.listen()

# transformers says at its import that torch is missing, and nothing here needs torch. Set before
# any module of the package can import it.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

__version__ = runtime.VERSION

# Public name -> the module that it is loaded from at its first use; the imports above say the same
# to type checkers.
PUBLIC = {
    "Evaluation": "evaluate",
    "UserError": "runtime.errors",
    "build_model": "plan",
    "check_instructions": "synthesize",
    "evaluate_model": "evaluate",
    "export_model": "export",
    "generate_responses": "generate",
    "load_config": "runtime.config",
    "load_model": "training.restore",
    "load_pairs": "synthesize",
    "make_samples": "synthesize",
    "propose_instructions": "synthesize",
    "report_pictures": "reports.run",
    "reward_function": "evaluation.reward_function",
    "score": "evaluate",
    "set_verbosity": "runtime.console",
    "train_model": "train",
}

__all__ = tuple(PUBLIC)


def __getattr__(name: str) -> object:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"mapl_jax.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
