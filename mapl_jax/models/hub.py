"""Loads model folders as `transformers` writes them: config.json, safetensors.

No pickle and no code from a folder; torch is not needed.
"""

import dataclasses
import functools
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.sharding import NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from jax.typing import DTypeLike

from mapl_jax.models import families, finite, hf_config, layout, tensors
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.families import EMBED, LM_HEAD, SCORE
from mapl_jax.models.heads import LogpHead, ScoreHead, score_scale
from mapl_jax.models.layout import CONFIG, GENERATION_CONFIG, Part
from mapl_jax.models.parameters import Params, at_path
from mapl_jax.models.tensors import TensorFiles
from mapl_jax.runtime import console, storage
from mapl_jax.runtime.console import progress
from mapl_jax.runtime.errors import UserError

Folder = str | os.PathLike[str]
# Where other programs keep the head of a reward model, outside of the model's own weights.
HEADS_BESIDE = ("value_head.safetensors", "value_head.bin", "v_head.safetensors", "v_head.bin")


def load_config(folder: Folder) -> DecoderConfig:
    """The config of a model folder or of a hub name.

    Raises:
        UserError: there is none, or the model is of a kind that is not supported.
    """
    path = storage.folder(folder, weights=False)
    where = str(path / CONFIG)
    config = hf_config.from_hf(tensors.read_json(path / CONFIG), where)
    generation = path / GENERATION_CONFIG
    if generation.exists():
        ends = tensors.read_json(generation).get("eos_token_id")
        also = hf_config.token_ids(ends, "eos_token_id", str(generation))
        both = dict.fromkeys((*config.eos_tokens, *also))
        config = dataclasses.replace(config, eos_tokens=tuple(both))
    if config.tie_embeddings and has_own_output(path):
        config = dataclasses.replace(config, tie_embeddings=False)
    return config


def has_own_output(path: Path) -> bool:
    """Whether weights hold an output matrix that is another one than the embedding.

    `transformers` 5 uses it then, whatever `tie_word_embeddings` says.
    """
    weights = tensors.weights_of(path)
    return weights is not None and _has_own_output(path, weights.stat().st_mtime_ns)


@functools.lru_cache
def _has_own_output(path: Path, _: int) -> bool:
    files = TensorFiles(path)
    both = {EMBED.name, LM_HEAD.name} <= files.names
    return both and not files.same(EMBED.name, LM_HEAD.name)


def is_reward_model(folder: Folder) -> bool:
    """Whether a model folder, or a hub name, holds a reward model and not a language model.

    It does if config.json names a class for sequence classification, or the weights hold a score.
    """
    path = storage.folder(folder, weights=False)
    says = _says_reward_model(path / CONFIG)
    return says or (tensors.weights_of(path) is not None and SCORE.name in TensorFiles(path).names)


def _says_reward_model(path: Path) -> bool:
    names = tensors.read_json(path).get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: architectures must be a list of names, not {names!r}")
    return any("SequenceClassification" in name for name in names)


def load_params(
    folder: Folder,
    config: DecoderConfig,
    *,
    head: bool,
    seed: int,
    places: Params | None = None,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """The parameters of a model folder or of a hub name, each from disk straight to its shards.

    A process reads what its devices hold, casts it on the way, and fills stacks of layers layer by
    layer; beside the parameters themselves it never holds more than two tensors of the checkpoint.

    Args:
        folder: with config.json and safetensors, in one file or in shards with an index.
        head: True for a reward model, with `score`: the folder's own, or a fresh one if the folder
            holds a language model. False for a policy.
        places: pytree of shardings like the parameters; None for the first device.
        dtype: of the parameters, but for `score`, which is fp32.
    """
    families.get(config.family).architecture(head)  # or there is no such model
    path, files, stored, abstract = _open(folder, config, head)
    tensors.check_as_written(path)
    fresh = head and SCORE.name not in stored
    says = hf_config.from_hf(tensors.read_json(path / CONFIG), str(path / CONFIG))
    if not (head or config.tie_embeddings) and says.tie_embeddings:
        console.notice(
            f"{path} holds an {LM_HEAD.name} of its own, which is used as transformers does, "
            f"though {CONFIG} says tie_word_embeddings"
        )
    if places is None:
        first = SingleDeviceSharding(jax.local_devices()[0])
        places = jax.tree.map(lambda _: first, abstract)
    values: dict[tuple[str, ...], jax.Array] = {}
    with progress("loading weights", "tensors") as show:
        for done, (name, parts) in enumerate(stored.items()):
            show(done, len(stored))
            row = 0
            for part in parts:
                place = at_path(places, part.tensor.path)
                kind = jnp.float32 if part.tensor is SCORE else dtype
                read = functools.partial(_read, files, part, row, kind)
                values[part.tensor.path] = _placed(config, name, part, place, kind, read)
                row += part.rows
    if fresh:
        normal = np.random.default_rng(seed).standard_normal(config.width)
        score = (normal * score_scale(config)).astype(np.float32)
        place = at_path(places, SCORE.path)
        values[SCORE.path] = jax.make_array_from_callback(score.shape, place, score.__getitem__)
    params: Params = traverse_util.unflatten_dict(values)
    if where := finite.first_beyond(params, finite.LARGEST_WEIGHT):
        raise UserError(
            f"{path}: weights of {where} are not finite, or so large (beyond "
            f"{finite.LARGEST_WEIGHT:g}) that their products are not; copy or train them anew"
        )
    return params


def _placed(
    config: DecoderConfig,
    name: str,
    part: Part,
    place: Sharding,
    kind: DTypeLike,
    read: Callable[..., np.ndarray],
) -> jax.Array:
    """A parameter on its devices, each of which reads what it holds; a stack layer by layer."""
    if not part.tensor.stacked:
        return jax.make_array_from_callback(part.shape, place, functools.partial(read, name))
    value = jnp.zeros((config.layers, *part.shape), kind, device=place)
    for i in range(config.layers):
        of_layer = functools.partial(read, name.replace("{i}", str(i)))
        layer = jax.make_array_from_callback(part.shape, _of_layer(place), of_layer)
        # Waiting keeps the disk from running ahead and holding many layers.
        value = jax.block_until_ready(_filler(place)(value, layer, i))
    return value


def check(folder: Folder, *, head: bool) -> DecoderConfig:
    """Makes sure that a folder can be loaded, without reading its weights; returns its config."""
    storage.folder(folder)
    config = load_config(folder)
    _open(folder, config, head)
    return config


def _open(
    folder: Folder, config: DecoderConfig, head: bool
) -> tuple[Path, TensorFiles, dict[str, tuple[Part, ...]], Params]:
    """The folder, its tensors, which parameters are in which of them, and the shapes of these."""
    path = storage.folder(folder)
    files = TensorFiles(path)
    if beside := next((path / x for x in HEADS_BESIDE if (path / x).is_file()), None):
        raise UserError(
            f"{beside} is a reward head apart from its model, which is not read; store its weight "
            f"as {SCORE.name} among the others, or remove the file for the language model alone"
        )
    if EMBED.name not in files.names and config.tie_embeddings and LM_HEAD.name in files.names:
        files.alias(EMBED.name, LM_HEAD.name)
    if config.layers > len(files.names):
        raise UserError(
            f"{path}: {CONFIG} says {config.layers} layers, and there are {len(files.names)} "
            "tensors in all; does it belong to these weights?"
        )
    abstract = (ScoreHead() if head else LogpHead()).abstract_params(config)
    stored = layout.stored_parts(config, head, abstract)
    if head and SCORE.name not in files.names and not _says_reward_model(path / CONFIG):
        del stored[SCORE.name]
    _check_tensors(path, files, config, stored, ignore_lm_head=head or config.tie_embeddings)
    return path, files, stored, abstract


def fingerprint(folder: Folder) -> str:
    """A hash of the config and the weights in a model folder."""
    path = storage.folder(folder)
    about = json.dumps(tensors.read_json(path / CONFIG), sort_keys=True)
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for name in TensorFiles(path).files:
        with (path / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _read(
    files: TensorFiles, part: Part, row: int, dtype: DTypeLike, name: str, index: tuple[slice, ...]
) -> np.ndarray:
    """What a device holds of a parameter (of one layer), which begins at a row of a tensor."""
    index = tuple(slice(*s.indices(n)[:2]) for s, n in zip(index, part.shape, strict=True))
    out = np.empty([s.stop - s.start for s in index], dtype)
    pieces = [(name, out)]
    if part.tensor.by_expert:
        experts, index = index[0], index[1:]
        pieces = [(name.format(e=experts.start + e), each) for e, each in enumerate(out)]
    first, *others = part.tensor.index(index)
    rows = slice(first.start + row, first.stop + row)
    for each, piece in pieces:
        files.read(each, (rows, *others), part.tensor.view(piece))
    return out


def _of_layer(place: Sharding) -> Sharding:
    """Where one layer of a stack lies."""
    if isinstance(place, NamedSharding):
        return NamedSharding(place.mesh, PartitionSpec(*place.spec[1:]))
    return place


@functools.cache
def _filler(place: Sharding) -> Callable[[jax.Array, jax.Array, int], jax.Array]:
    """Puts a layer into a stack, in place."""
    put = functools.partial(jax.lax.dynamic_update_index_in_dim, axis=0)
    return jax.jit(put, donate_argnums=0, out_shardings=place)


def _check_tensors(
    path: Path,
    files: TensorFiles,
    config: DecoderConfig,
    stored: Mapping[str, tuple[Part, ...]],
    *,
    ignore_lm_head: bool,
) -> None:
    """All that can be wrong is found before anything is read."""
    expected = {
        layout.named(name, at): layout.stored_shape(parts)
        for name, parts in stored.items()
        for at in layout.indices(config, parts[0].tensor)
    }
    written = {
        name.format(i=i): value
        for name, value in families.get(config.family).written.items()
        for i in range(config.layers)
    }
    ignored = {*written, *((LM_HEAD.name,) if ignore_lm_head else ())}
    wrapped = tensors.read_json(path / CONFIG).get("model_type") in families.WRAPPED
    beside = families.BESIDE if wrapped else ()
    present = {
        name
        for name in files.names - ignored
        if not name.endswith("rotary_emb.inv_freq")
        and not name.removeprefix(tensors.DECODER).startswith(beside)
    }
    if missing := sorted(expected.keys() - present):
        raise UserError(
            f"{path}: missing {_listed(missing)}; does config.json belong to these weights?"
        )
    if unexpected := sorted(present - expected.keys()):
        if SCORE.name in unexpected:
            raise UserError(
                f"{path}: unexpected tensor {SCORE.name}; this is a reward model, and a policy is "
                "needed"
            )
        heads = any(re.search("head|score|reward|classifier", name) for name in unexpected)
        raise UserError(
            f"{path}: unexpected {_listed(unexpected)}; a {config.family} model has no such tensor"
            + (f", and the head of a reward model is {SCORE.name} alone" if heads else "")
        )
    files.check(expected)
    for name, value in written.items():
        found_value = files.number(name) if name in files.names else value
        if not math.isclose(found_value, value, rel_tol=0.01):
            raise UserError(f"{path}: {name} is {found_value:g}; only {value:g} is supported")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"tensor{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"
