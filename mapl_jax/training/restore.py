"""A trained model: from a run, one of its checkpoints, a model folder, or the hub."""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh
from jaxtyping import PyTree

from mapl_jax.data import cache, tokenization
from mapl_jax.data.loader import Batch
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.kernels.compute import Compute
from mapl_jax.models import axes, hub, initial, lora, peft, saving, tensors
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import Head, LogpHead, ScoreHead
from mapl_jax.models.layout import ADAPTER_CONFIG, CONFIG
from mapl_jax.models.parameters import Params
from mapl_jax.runtime import console, distributed, files, settings, storage
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import read_object
from mapl_jax.runtime.paths import shown
from mapl_jax.runtime.run_folder import Config, RunFolder, merged
from mapl_jax.training import sharding, step
from mapl_jax.training.checkpoints import Checkpoints, choose, saved_steps
from mapl_jax.training.settings import run_settings
from mapl_jax.training.trainer import first_parameters


@dataclasses.dataclass(frozen=True, repr=False)
class Trained:
    """A model and what is known of where it comes from.

    Attributes:
        params: its parameters on the mesh, adapters beside their base.
        run: folder of the run that made it; None for a model folder.
        step: of the run, if it comes from a checkpoint.
        held_out: fingerprint of the run's held-out tries, if it comes from a checkpoint.
        folder: of the model; None for a checkpoint.
        ended: of a run, its best checkpoint and why it ended early, for its summary.
    """

    model: DecoderConfig
    params: Params
    tokenizer: Tokenizer
    run: RunFolder | None = None
    step: int | None = None
    held_out: str | None = None
    folder: Path | None = None
    ended: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        kind = "reward model" if self.head else "policy"
        size = sum(x.size for x in jax.tree.leaves(self.params)) / 1e6
        place = self.run.path if self.run else self.folder
        parts = [f"{size:.2f} M parameters", *([str(place)] if place else [])]
        parts += [f"step {self.step}"] if self.step is not None else []
        return f"<{kind}: {', '.join(parts)}>"

    @property
    def mesh(self) -> Mesh:
        """The mesh that the parameters lie on."""
        return jax.tree.leaves(self.params)[0].sharding.mesh

    @property
    def head(self) -> bool:
        """Whether it is a reward model; else a policy."""
        return "score" in self.params

    def as_reward_model(self, name: object = "this") -> "Trained":
        """This model, if it is a reward model; else raises UserError."""
        if not self.head:
            raise UserError(f"{name} is a policy, which gives no rewards; give a reward model")
        return self

    def as_policy(self, name: object = "this") -> "Trained":
        """This model, if it is a policy; else raises UserError."""
        if self.head:
            raise UserError(f"{name} is a reward model, which cannot answer; give a policy")
        return self

    def fingerprint(self) -> str:
        """A hash that names the parameters of a checkpoint or a model folder."""
        if self.run and self.step is not None:
            sealed = self.run.checkpoints / str(self.step) / files.SEAL
            return f"{sealed.parent} {files.checksum(sealed) if sealed.exists() else ''}"
        folder = self.folder or (self.run and self.run.model)
        if folder and not (folder / CONFIG).exists():
            return Place(folder).digest
        return hub.fingerprint(folder) if folder else ""

    @property
    def config(self) -> Config:
        """The config of the run; empty for a model folder."""
        return config_of(self.run) if self.run else {}

    @property
    def summary(self) -> dict[str, Any]:
        """What the run says about its last step; empty before, or at another step."""
        summary = self.run.read_summary() if self.run else {}
        known = {"steps", "command"} <= summary.keys()
        return summary if known and self.step in (None, _reported(summary)) else {}


@dataclasses.dataclass(frozen=True)
class Place:
    """What lies at a path: the checkpoint of a run, a model folder, or adapters beside a base."""

    folder: Path  # of the model, of the adapters, or `model/` of a run
    run: RunFolder | None = None
    step: int | None = None  # of the checkpoint; None for a folder
    adapters: bool = False  # whether the folder holds adapters alone

    @property
    def digest(self) -> str:
        """Names the content of a checkpoint or of adapters."""
        if self.run and self.step is not None:
            parts = [self.run.checkpoints / str(self.step) / files.SEAL]
        else:
            parts = [self.folder / ADAPTER_CONFIG, self.folder / peft.WEIGHTS]
        sums = [files.checksum(part) if part.exists() else str(part) for part in parts]
        return cache.key(*sums)


def find(path: str, *, weights: bool = True) -> Place:
    """What lies at a path: a run, one of its checkpoints, adapters or a model; or on the hub."""
    folder = storage.folder(path, weights=weights)
    root, at = folder, None
    if re.fullmatch(r"\d+", folder.name) and folder.parent.name == "checkpoints":
        root, at = folder.parent.parent, int(folder.name)
    elif folder.name == "checkpoints":
        root = folder.parent
    run = RunFolder(root)
    if run.config.exists() and run.checkpoints.is_dir():
        return _of_run(path, run, at)
    if (folder / ADAPTER_CONFIG).exists() and tensors.weights_of(folder) is None:
        return Place(folder, adapters=True)
    if (run.model / CONFIG).exists() and run.config.exists():
        return Place(run.model, run)
    if not (folder / CONFIG).exists():
        raise UserError(f"{path} holds neither a run nor a model (no {CONFIG}){_instead(folder)}")
    around = RunFolder(folder.parent)
    return Place(folder, around if around.model == folder and around.config.exists() else None)


def _of_run(path: str, run: RunFolder, at: int | None) -> Place:
    if at is None:
        chosen = choose(run.checkpoints)
        at = chosen.step
        for step, flaw in sorted(chosen.flaws.items()):
            console.notice(f"checkpoint {step} of {path} is skipped: {flaw}")
        ended = _ended(run.read_summary())
        if at is not None and ended is not None and ended > max(at, *chosen.flaws, 0):
            console.notice(
                f"{path} ended at step {ended}, whose checkpoint is gone; that of step {at} is "
                f"used (what it ended with is in {shown(run.model)})"
            )
        at = _finished(run, at)
        if at is None and not (run.model / CONFIG).exists():
            raise UserError(f"{path} has no complete checkpoint yet")
    elif at not in saved_steps(run.checkpoints):
        raise UserError(f"{path} is no complete checkpoint")
    elif (sealed := run.checkpoints / str(at) / files.SEAL).exists():
        if damage := files.flaw(sealed.parent):
            raise UserError(f"{path} cannot be used: {damage}")
    if at is not None and not (run.checkpoints / str(at) / files.SEAL).exists():
        console.notice(f"checkpoint {at} of {path} has no checksums; it is used unchecked")
    return Place(run.model, run, at)


def _instead(folder: Path) -> str:
    """What a folder that holds no model holds, and what to do."""
    inner = [path.parent.name for path in sorted(folder.glob(f"*/{CONFIG}"))]
    inner += [path.parent.name for path in sorted(folder.glob(f"*/{ADAPTER_CONFIG}"))]
    if inner:
        return f"; give one of the folders in it: {', '.join(inner[:3])}"
    if tensors.weights_of(folder):
        return "; copy the config of these weights beside them"
    if any(folder.glob("*.gguf")):
        return "; a GGUF file is no model for training: give the model that it was made from"
    return ""


def load(path: str, mesh: Mesh, template_args: str = "") -> Trained:
    """Loads a model: of a run the newest checkpoint, or `model/` if there is none any more."""
    trained = _load(path, mesh)
    tokenizer = tokenization.with_template_args(trained.tokenizer, template_args)
    return dataclasses.replace(trained, tokenizer=tokenizer)


def _load(path: str, mesh: Mesh) -> Trained:
    place = find(path)
    if place.adapters:
        return _from_adapters(place.folder, mesh)
    if place.run and place.step is not None:
        return _from_step(place.run, place.step, mesh)
    return dataclasses.replace(_from_folder(place.folder, mesh), run=place.run)


def model_folder(path: str, kept: Path, mesh: Mesh) -> str:
    """The model at a path as a folder that `transformers` reads, or as a hub name.

    What a run made lies in its `model/`. A checkpoint, and adapters, are merged and written once.

    Args:
        kept: folder for what is written, under a name for its content.
    """
    if not path:
        return path
    place = find(path, weights=False)
    if not place.adapters and place.run is None:
        return path
    last = _reported(place.run.read_summary()) if place.run else None
    if place.run and (place.folder / CONFIG).exists() and place.step in (None, last):
        return str(place.folder)
    target = kept / place.digest
    if not distributed.broadcast_from_main((target / CONFIG).exists()):
        model = load(path, mesh)
        console.say(f"merged {path} into {shown(target)}")
        plain = dataclasses.replace(model.model, lora=None)
        params = lora.merge(model.params, model.model.lora)
        saving.save_params(target, plain, params, tokenizer=model.tokenizer)
    return str(target)


def _reported(summary: Mapping[str, Any]) -> int | None:
    """The step that the summary of a run is of: the best one, or else the last."""
    best = summary.get("best")
    return best["step"] if best else _ended(summary)


def _ended(summary: Mapping[str, Any]) -> int | None:
    """The step that training ended at."""
    stopped = summary.get("stopped")
    return stopped["step"] if stopped else summary.get("steps")


def _finished(run: RunFolder, newest: int | None) -> int | None:
    """The step of a run's model, where training has not gone on since; else the newest step."""
    summary = run.read_summary()
    step = _reported(summary) if newest == _ended(summary) else None
    return step if step in saved_steps(run.checkpoints) else newest


def with_folders(config: Config, run: RunFolder, mesh: Mesh) -> Config:
    """The config of a run with folders in place of runs, checkpoints and adapters to start from."""
    model = config.get("model", {})
    named = {key: model[key] for key in ("path", "reference") if model.get(key)}
    folders = {key: model_folder(path, run.start, mesh) for key, path in named.items()}
    return merged(config, {"model": folders}) if folders != named else config


def param_shardings(model: DecoderConfig, mesh: Mesh, head: bool) -> PyTree:
    """Shardings of the parameters of a reward model (with a head) or a policy."""
    shapes = (ScoreHead() if head else LogpHead()).abstract_params(model)
    return sharding.parameters(mesh, shapes, axes.logical_axes(shapes))


@functools.lru_cache(maxsize=8)
def scorer(
    model: DecoderConfig, mesh: Mesh, head: Head, compute: Compute
) -> Callable[[Params, Batch], jax.Array]:
    """Numbers of the leaves of a batch, by one program for all calls of the same shapes.

    Args:
        compute: type and attention of the model; how it lies over devices the mesh decides.
    """
    compute = dataclasses.replace(compute, spread=sharding.spread(mesh))
    leaves = functools.partial(head.leaves, model, compute=compute)
    return step.compile_scoring(leaves, mesh, param_shardings(model, mesh, head.scores))


def config_of(run: RunFolder) -> Config:
    """The config of a run as plain values, with the model that it made to start from."""
    return run.with_start(read_object(run.config))


def _from_folder(folder: Path, mesh: Mesh) -> Trained:
    model, head = hub.load_config(folder), hub.is_reward_model(folder)
    tokenizer = tokenization.load(str(folder), judges=True)
    initial.fitting(model, str(folder), tokenizer)
    places = param_shardings(model, mesh, head)
    params = hub.load_params(folder, model, head=head, seed=0, places=places)
    return Trained(model, params, tokenizer, folder=folder)


def _from_adapters(folder: Path, mesh: Mesh) -> Trained:
    base = load(peft.base_of(folder), mesh)
    plain = dataclasses.replace(base.model, lora=None)
    params = peft.merged(folder, plain, lora.merge(base.params, base.model.lora))
    params = jax.device_put(params, param_shardings(plain, mesh, "score" in params))
    own = any((folder / name).exists() for name in tokenization.VOCABULARIES)
    tokenizer = tokenization.load(str(folder)) if own else base.tokenizer
    initial.fitting(plain, str(folder), tokenizer)
    return Trained(plain, params, tokenizer, folder=folder)


def _from_step(run: RunFolder, at: int, mesh: Mesh) -> Trained:
    files.check_seal(run.tokenizer, tokenization.VOCABULARIES)
    tokenizer = tokenization.load(str(run.tokenizer))
    settings = run_settings(config_of(run))
    head: Head = ScoreHead() if settings.objective == "reward" else LogpHead()
    with Checkpoints(run.checkpoints, keep=None) as checkpoints:
        record = checkpoints.record(at)
        model = DecoderConfig.from_dict(record["model"])
        places = param_shardings(model, mesh, head.scores)
        shapes = sharding.with_shardings(head.abstract_params(model), places)
        targets, _ = lora.split(shapes, model.lora)
        params = checkpoints.restore_params(at, targets)
    if model.lora:
        settings = run_settings(with_folders(config_of(run), run, mesh))
        source = first_parameters(settings, tokenizer, head)
        if source.fingerprint != record["base"]:
            raise UserError(
                f"{settings.model.path or 'the base'} does not have the weights that the adapters "
                f"of {run.path} were trained on"
            )
        params = lora.join(params, lora.split(source.make(places), model.lora)[1])
    return Trained(model, params, tokenizer, run, at, record.get("held_out"))


Model = Trained | str | os.PathLike[str]

# Every device holds a part of the parameters, which suits a model of any size.
SPREAD = {"data": 1, "fsdp": -1, "tensor": 1}


@checked()
def load_model(
    path: str | os.PathLike[str], mesh: Mapping[str, int] | None = None, *, template_args: str = ""
) -> Trained:
    """Loads a model.

    Args:
        path: a run folder, one of its checkpoints/STEP, an exported model, adapters as PEFT writes
            them, or a hub name.
        mesh: how to spread it over the devices, such as {"data": -1, "fsdp": 1, "tensor": 1};
            None gives every device a part.
        template_args: arguments of the chat template, as JSON: '{"enable_thinking": false}'.

    Returns:
        The model; `model.head` tells a reward model from a policy.

    Raises:
        UserError: there is no model.

    Examples:
        >>> import mapl_jax, tempfile
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> built = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> folder = tempfile.mkdtemp() + "/model"
        >>> difference = mapl_jax.export_model(built, folder, pairs)
        >>> mapl_jax.load_model(folder).head
        True
    """
    sizes = settings.from_section(sharding.RowMeshSettings, mesh or SPREAD, "mesh")
    return load(os.fspath(path), sharding.make_mesh(sizes), template_args)


def loaded(model: Model) -> Trained:
    """A model that may be given by where it lies."""
    return model if isinstance(model, Trained) else load_model(model)
