"""What a config says of a study."""

import dataclasses

from mapl_jax import train
from mapl_jax.data.settings import SourceSettings
from mapl_jax.runtime import plugins, settings
from mapl_jax.runtime.settings import setting
from mapl_jax.synthesis.settings import Settings as SynthesisSettings


@dataclasses.dataclass(frozen=True)
class DataSettings(SourceSettings):
    """The section `data` of a study: its pairs, and which of them it uses."""

    test_pairs: int = setting(0, "held-out pairs that are used; 0: all", least=0, most=10**9)
    max_words: int = setting(
        120,
        "most words of a prompt and the longer response together, longer pairs are left out; "
        "0: none are",
        least=0,
        most=10**6,
    )


@dataclasses.dataclass(frozen=True)
class Presets:
    """The presets that `reward` and `dpo` differ from, for the commands that are written down."""

    reward: str = setting("rm:small", "the preset behind reward")
    dpo: str = setting("dpo:pretrained", "the preset behind dpo")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a config of a study says.

    Attributes:
        reward: the runs of reward models.
        sft: the run that makes the model to start from, unless `dpo.model.path` names one.
        dpo: the runs of policies.
    """

    name: str = setting("study", "name; the study lies in studies/NAME unless --workdir is set")
    seed: int = setting(0, "seed of shares and of the bootstrap", least=0, most=2**32 - 1)
    arms: str = setting("", "names of arms with semicolons between them; empty: all")
    seeds: int = setting(3, "runs of every arm", least=1, most=1000)
    once: str = setting(
        "", "names of arms of which one run is enough, with semicolons between them"
    )
    resamples: int = setting(1000, "resamples of the bootstrap", least=1, most=10**6)
    keep: bool = setting(False, "keep checkpoints and caches of finished runs")
    plugins: str = setting("", plugins.HELP)
    data: DataSettings
    synthesis: SynthesisSettings
    presets: Presets
    reward: train.Settings
    sft: train.Settings
    dpo: train.Settings

    def __post_init__(self) -> None:
        settings.check(self, "")
