"""What a config says of a run: of training, of its evaluations, and of all its sections."""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from mapl_jax.data.settings import DataSettings, TokenizerSettings
from mapl_jax.kernels.attention import BACKENDS
from mapl_jax.models.config import DTYPES, ModelSettings
from mapl_jax.models.decoder import REMAT
from mapl_jax.models.lora import Lora
from mapl_jax.runtime import plugins, settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import changeable, setting
from mapl_jax.training.objective import OBJECTIVES, LossSettings
from mapl_jax.training.optimizers import OptimizerSettings
from mapl_jax.training.sharding import RowMeshSettings

Run = TypeVar("Run", bound="RunSettings")


@dataclasses.dataclass(frozen=True)
class TrainSettings(OptimizerSettings):
    """The section `train` of a run: how long it trains, and how, with the optimizer's settings."""

    epochs: int = setting(1, "passes over the training data", least=1, most=10**6)
    steps: int = setting(
        0, "number of steps, in place of epochs; 0: as many as the epochs take", least=0, most=10**9
    )
    rows_per_batch: int = setting(12, "rows in a batch, over all devices", least=1, most=2**20)
    accumulation: int = changeable(
        1, "number of parts of a batch that are computed one after the other", least=1, most=2**20
    )
    dtype: str = setting(
        "float32", 'data type of the computation: "float32" or "bfloat16"', choices=tuple(DTYPES)
    )
    remat: str = changeable(
        "none",
        'what the backward pass recomputes to save memory: "none", "dots" or "full"',
        choices=tuple(REMAT),
    )
    attention: str = changeable(
        "auto",
        'attention backend: "auto", "dense", "blocks", "pallas_tpu" or "cudnn"',
        choices=BACKENDS,
    )
    logp_chunk: int = changeable(
        256, "scored tokens of a row whose logits are in memory at once", least=1, most=2**20
    )
    log_every: int = changeable(5, "steps between lines of metrics.jsonl", least=1, most=10**9)
    logger: str = changeable(
        "tensorboard",
        '"tensorboard", "wandb", "trackio", or several separated by commas; empty: none',
    )
    eval_every: int = changeable(
        0, "steps between evaluations; 0: before and after training only", least=0, most=10**9
    )
    save_every: int = changeable(100, "steps between checkpoints", least=0, most=10**9)
    keep: int = changeable(2, "number of checkpoints to keep", least=1, most=10**6)
    best: str = changeable(
        "",
        "metric of the evaluations during training, such as inter_accuracy or loss: the "
        "checkpoint with its best value is kept, evaluated at the end and exported to model/; "
        "empty: the last checkpoint",
    )
    patience: int = changeable(
        0,
        "stop training after this many evaluations without an improvement of train.best; 0: never",
        least=0,
        most=10**6,
    )
    callbacks: str = changeable(
        "", "names of callbacks that plugins registered, separated by commas"
    )
    trunk: bool = changeable(
        False,
        "compute the hidden states below the layers with adapters (lora.layers) only once and "
        "keep them in the cache, for all runs that share it",
    )
    on_nonfinite: str = changeable(
        "stop",
        'what to do if loss or gradient of a step are not finite: "stop" the run or "skip" the '
        "step",
        choices=("stop", "skip"),
    )


@dataclasses.dataclass(frozen=True)
class EvalSettings:
    """The section `eval` of a run: its evaluations on held-out data."""

    rows_per_batch: int = changeable(
        8, "rows scored at once, over all devices", least=1, most=2**20
    )
    samples: int = changeable(
        200, "number of samples in an evaluation during training; 0: all", least=0, most=10**9
    )
    resamples: int = changeable(1000, "number of bootstrap resamples", least=0, most=10**6)
    generate: int = changeable(
        0,
        "number of held-out prompts with instructions that the policy answers; 0: none",
        least=0,
        most=10**6,
    )
    generate_rows: int = changeable(32, "responses generated at once", least=1, most=2**16)
    max_new_tokens: int = changeable(
        160, "longest generated response, in tokens", least=1, most=2**20
    )

    def __post_init__(self) -> None:
        settings.check(self, "eval")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a config says of a run; synthesis adds a section of its own where a command reads it.

    Attributes:
        sft: the run that makes the model to start from, where `model.path` names none.
        demo: section -> field -> value: what stands in for the fields of these names then.
    """

    name: str = changeable(
        "run", "name of the run; its folder is runs/NAME unless --workdir is set"
    )
    seed: int = setting(
        0, "seed for the data order, the initial weights and the bootstrap", least=0, most=2**32 - 1
    )
    objective: str = setting(
        "reward",
        'what is trained: "reward" for a reward model, "sft" or "dpo" for a policy',
        choices=tuple(OBJECTIVES),
    )
    plugins: str = setting("", plugins.HELP)
    data: DataSettings
    tokenizer: TokenizerSettings
    model: ModelSettings
    lora: Lora
    loss: LossSettings = dataclasses.field(default_factory=LossSettings)
    train: TrainSettings
    eval: EvalSettings
    mesh: RowMeshSettings
    demo: Mapping[str, object] = dataclasses.field(
        default_factory=dict, metadata=settings.OVERRIDES
    )
    sft: "RunSettings | None" = None

    def __post_init__(self) -> None:
        settings.check(self, "")
        check_objectives(self)

    @property
    def makes_start(self) -> bool:
        """Whether the run makes the model that it starts from."""
        return self.sft is not None and not self.model.path

    def settled(self: Run) -> Run:
        """These settings with the overrides of `demo`, if the run trains its own start."""
        return settings.replace(self, self.demo) if self.makes_start else self


def check_objectives(settings: object) -> None:
    """Makes sure that a section which is named after an objective trains just that."""
    for name in OBJECTIVES:
        run = getattr(settings, name, None)
        if isinstance(run, RunSettings) and run.objective != name:
            raise UserError(f"{name}.objective is {run.objective!r}; it must be {name!r} here")


def run_settings(config: Mapping[str, object]) -> RunSettings:
    """The settings of a run, from its config as plain values.

    The section `synthesis`, which nothing of training reads, is left out.
    """
    return settings.from_section(RunSettings, _without_synthesis(config))


def _without_synthesis(config: Mapping[str, object]) -> dict[str, object]:
    parts = ("sft", "demo")
    return {
        name: _without_synthesis(value) if name in parts and isinstance(value, Mapping) else value
        for name, value in config.items()
        if name != "synthesis"
    }
