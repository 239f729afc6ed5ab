"""What the configs of commands that use a trained model have in common."""

import dataclasses

from mapl_jax.data.settings import TEMPLATE_ARGS
from mapl_jax.kernels.attention import BACKENDS
from mapl_jax.kernels.compute import Compute
from mapl_jax.models.config import DTYPES
from mapl_jax.runtime import plugins
from mapl_jax.runtime.settings import setting
from mapl_jax.training.sharding import MeshSettings, RowMeshSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """Which model a command uses, and how it computes it."""

    plugins: str = setting("", plugins.HELP)
    checkpoint: str = setting(
        "", "a model: a run, one of its checkpoints/STEP, a model folder or a hub name"
    )
    template_args: str = setting("", TEMPLATE_ARGS)
    rows_per_batch: int = setting(
        8, "rows of tokens computed at once, over all devices", least=1, most=2**20
    )
    dtype: str = setting(
        "float32", 'data type of the computation: "float32" or "bfloat16"', choices=tuple(DTYPES)
    )
    attention: str = setting(
        "auto",
        'attention backend: "auto", "dense", "blocks", "pallas_tpu" or "cudnn"',
        choices=BACKENDS,
    )
    mesh: MeshSettings = dataclasses.field(default_factory=MeshSettings)

    @property
    def compute(self) -> Compute:
        """Type and attention; how the model lies over devices the mesh decides."""
        return Compute(DTYPES[self.dtype], backend=self.attention)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowSettings(CheckpointSettings):
    """`CheckpointSettings` of commands that compute whole rows, not a token at a time."""

    mesh: RowMeshSettings = dataclasses.field(default_factory=RowMeshSettings)
