"""The flags of `mapl_jax.serve`."""

import dataclasses

from mapl_jax.data.settings import TEMPLATE_ARGS
from mapl_jax.kernels.compute import Compute
from mapl_jax.models.config import DTYPES
from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting


@dataclasses.dataclass(frozen=True)
class ServeSettings:
    """What is served where, and how much of it at once."""

    model: str = setting(
        "", "a reward model: a run, one of its checkpoints/STEP, a model folder or a hub name"
    )
    name: str = setting("", "what clients call the model; empty: the last part of --model")
    host: str = setting(
        "127.0.0.1", "address to listen on; 0.0.0.0 accepts requests from other machines"
    )
    port: int = setting(
        8000, "port to listen on; 0: any free port, which is printed", least=0, most=65535
    )
    max_length: int = setting(
        0, "longest text, in tokens; 0: as in the run, else 2048", least=32, most=2**20, besides=0
    )
    max_texts: int = setting(256, "most texts in one request", least=1, most=2**16)
    max_waiting: int = setting(
        1024, "most texts in the queue; beyond that, requests get status 503", least=1, most=2**20
    )
    max_megabytes: int = setting(4, "largest request body, in MB", least=1, most=64)
    rows_per_batch: int = setting(
        1, "rows of tokens computed at once; a large accelerator can take more", least=1, most=2**16
    )
    dtype: str = setting(
        "float32", "data type of the computation: float32 or bfloat16", choices=tuple(DTYPES)
    )
    template_args: str = setting("", TEMPLATE_ARGS)

    @property
    def compute(self) -> Compute:
        """How the model is computed."""
        return Compute(DTYPES[self.dtype])

    def __post_init__(self) -> None:
        settings.check(self, "--")
        # To the system an empty one is every address of the machine.
        if not self.host:
            raise UserError("--host is empty; give an address to listen at, such as 127.0.0.1")
        if self.max_texts > self.max_waiting:
            raise UserError(
                f"--max_texts ({self.max_texts}) is more than may wait (--max_waiting, "
                f"{self.max_waiting}); give a smaller one"
            )
