"""Shapes of published models, as their config.json has them: to plan and measure without network.

The keys are hub names. A model made from one of these has the published shape and random weights.
"""

import tomllib
from pathlib import Path

from mapl_jax.models import hf_config
from mapl_jax.models.config import DecoderConfig
from mapl_jax.runtime.errors import UserError

SHAPES: dict[str, dict[str, object]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)


def config(name: str) -> DecoderConfig:
    """The config of a published model."""
    if name not in SHAPES:
        raise UserError(f"no model shape is called {name!r}; choose {', '.join(SHAPES)}")
    return hf_config.from_hf(SHAPES[name], name)
