"""Shapes that signatures name hold, and another shape is refused.

All calls of a module are checked with `--jaxtyping-packages=mapl_jax.losses,beartype.beartype`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

from mapl_jax import losses
from mapl_jax.kernels.logps import token_logps
from mapl_jax.kernels.rows import Row
from mapl_jax.models import heads
from mapl_jax.models.config import DecoderConfig

checked = jaxtyped(typechecker=beartype)
CONFIG = DecoderConfig(24, 16, 1, 2, 1, 8, 24)


def test_a_loss_refuses_tables_of_other_rows():
    leaf = jnp.zeros((2, 5, 4), jnp.int32)
    assert checked(losses.term_rewards)(jnp.zeros((2, 3)), leaf).shape == (2, 5, 4)
    with pytest.raises(TypeCheckError, match="term_leaf"):
        checked(losses.term_rewards)(jnp.zeros((1, 3)), leaf)


def test_a_head_refuses_indices_that_are_no_integers():
    params = jax.tree.map(
        lambda x: np.zeros(x.shape, x.dtype), heads.ScoreHead().abstract_params(CONFIG)
    )
    row = Row(*np.zeros((3, 1, 4), np.int32))
    assert checked(heads.rewards)(CONFIG, params, row, jnp.zeros((1, 2), jnp.int32)).shape == (1, 2)
    with pytest.raises(TypeCheckError, match="leaf_end"):
        checked(heads.rewards)(CONFIG, params, row, jnp.zeros((1, 2)))


def test_a_kernel_refuses_more_targets_than_states():
    states, matrix = jnp.zeros((1, 3, 4)), jnp.zeros((4, 7))
    assert checked(token_logps)(states, matrix, jnp.zeros((1, 3), jnp.int32)).shape == (1, 3)
    with pytest.raises(TypeCheckError, match="targets"):
        checked(token_logps)(states, matrix, jnp.zeros((1, 5), jnp.int32))
