"""What a config says of a study."""

import contextlib
import dataclasses
from collections.abc import Iterator

from mapl_jax import train
from mapl_jax.data.settings import SourceSettings
from mapl_jax.runtime import plugins, settings
from mapl_jax.runtime.config import load_config
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting
from mapl_jax.study import arms as all_arms
from mapl_jax.synthesis.settings import Settings as SynthesisSettings
from mapl_jax.training import trainer, trunk
from mapl_jax.training.settings import check_objectives


@dataclasses.dataclass(frozen=True)
class DataSettings(SourceSettings):
    """The section `data` of a study: its pairs, and which of them it uses."""

    test_pairs: int = setting(0, "number of held-out pairs to use; 0: all", least=0, most=10**9)
    max_words: int = setting(
        120,
        "longest prompt and longer response together, in words; longer pairs are left out; 0: no "
        "limit",
        least=0,
        most=10**6,
    )


@dataclasses.dataclass(frozen=True)
class Presets:
    """The presets that `reward` and `dpo` differ from, for the commands that are written down."""

    reward: str = setting("rm:small", "preset that reward models start from")
    dpo: str = setting("dpo:pretrained", "preset that policies start from")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a config of a study says: the runs of reward models and policies.

    `sft` is the run that makes the model to start from, unless `dpo.model.path` names one.
    """

    name: str = setting(
        "study", "name of the study; its folder is studies/NAME unless --workdir is set"
    )
    seed: int = setting(0, "seed for shares and for the bootstrap", least=0, most=2**32 - 1)
    arms: str = setting("", "names of arms, separated by semicolons; empty: all")
    seeds: int = setting(3, "number of runs of each arm, with different seeds", least=1, most=1000)
    once: str = setting("", "names of arms that get only one run, separated by semicolons")
    resamples: int = setting(1000, "number of bootstrap resamples", least=1, most=10**6)
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
        check_objectives(self)


def check(study: Settings) -> None:
    """Makes sure that the runs of a study mean something, before any work.

    Those of objectives that no chosen arm has are not looked at: their model may be elsewhere.
    """
    objectives = {arm.objective for arm in all_arms.chosen(study.arms)}
    # Policies start from the run `sft` where they name no model.
    runs = {
        "reward": study.reward,
        "sft": study.sft,
        "dpo": dataclasses.replace(study.dpo, sft=study.sft),
    }
    for name, run in runs.items():
        if ("dpo" if name == "sft" else name) not in objectives:
            continue
        with _within(name):
            trainer.check(run)
            trunk.check(run)
            trainer.check_models(run, trainer.objective_of(run).head)
    for name in settings.fields_of(Presets):
        with _within(f"presets.{name}"):
            preset = getattr(study.presets, name)
            found = load_config(preset).to_dict().get("objective")
            if found != name:
                raise UserError(f"{preset!r} has the objective {found}; name a preset of {name}")


@contextlib.contextmanager
def _within(section: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{section}: {error}") from None
