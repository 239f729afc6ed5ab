"""The runs of one folder: the run itself, and before it one that makes the model to start from."""

import json
from collections.abc import Iterator
from pathlib import Path

from mapl_jax.data.sources import DEMO, local_names
from mapl_jax.runtime import distributed, files, outputs, plugins
from mapl_jax.runtime.console import notice, say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import local, shown
from mapl_jax.runtime.run_folder import Config, RunFolder, claim
from mapl_jax.training import restore, sharding, trainer, trunk
from mapl_jax.training.settings import RunSettings


def check(settings: RunSettings) -> None:
    """Makes sure that the settings of all stages mean something, before anything is written."""
    first = settings.sft if settings.makes_start else None
    if first and settings.data.train != DEMO:
        raise UserError(
            "no model to start from, and only the demonstration makes one; set "
            "--config.model.path to a folder (configs/sft.py leaves one) or a hub name"
        )
    # Also what the demonstration has in its own words.
    for run in filter(None, (first, settings, settings.settled())):
        trainer.check(run)
        trunk.check(run)
    if first:
        trainer.check_models(settings, trainer.objective_of(settings).head)
    distributed.check_joined()


def _is_whole(model: Path) -> bool:
    """Whether a model is there as it was written; a notice names one that is damaged."""
    flaw = files.flaw(model)
    if flaw and model.exists() and distributed.is_main_process():
        notice(f"{shown(model)} cannot be used ({flaw}) and is made anew")
    return flaw is None


def inputs(folder: RunFolder, config: Config) -> list[str]:
    """What a run reads, but for records from memory, which lie in its folder."""
    names = local_names(config["data"]["train"], config["data"]["test"])
    names = [name for name in names if not local(name).absolute().is_relative_to(folder.given)]
    models = (config["model"]["path"], config["model"].get("reference"))
    return [*names, *filter(None, (*models, config["tokenizer"]["path"]))]


def stages(folder: RunFolder, config: Config) -> Iterator[tuple[RunFolder, Config]]:
    """Each run of a folder with its config, once its own folder is taken; the last is the run."""
    claim(folder, config, RunSettings, inputs(folder, config))
    outputs.check_folder(folder.model, outputs.named)
    if distributed.is_main_process():
        folder.begins_with(plugins={"fingerprint": json.dumps(plugins.loaded())})
    settled, mesh = folder.with_start(config), sharding.make_mesh(config["mesh"])
    if settled is not config:
        first = RunFolder(folder.sft)
        if distributed.broadcast_from_main(_is_whole(first.model)):
            say(f"starting from the model in {shown(first.model)}")
        else:
            claim(first, config["sft"], RunSettings)
            yield first, restore.with_folders(config["sft"], first, mesh)
            say()
        if "demo" in config:
            say(f"settings that the demonstration changes: `demo` in {shown(folder.config)}")
    yield folder, restore.with_folders(settled, folder, mesh)
