"""Model folders as `transformers` reads and writes them: config.json, safetensors, tokenizer files.

No pickle and no code from a folder; torch is not needed.
"""

import dataclasses
import functools
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import transformers
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from mapl_jax.models import families, hf_config, tensors
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.decoder import Params
from mapl_jax.models.families import LM_HEAD, SCORE, Tensor
from mapl_jax.models.heads import LogpHead, ScoreHead, score_scale
from mapl_jax.models.tensors import TensorFiles
from mapl_jax.runtime import storage
from mapl_jax.runtime.console import progress
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import check_target

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
SAMPLE = "It's 12:30, naïve café — 日本語 🙂?\n\n  if x_1 != 0:\n\treturn (x)  "
SHARD_BYTES = 5 * 10**9
Folder = str | os.PathLike[str]


def load_config(folder: Folder) -> DecoderConfig:
    """The config of a model folder or of a hub name.

    Raises:
        UserError: there is none, or the model is of a kind that is not supported.
    """
    path = storage.folder(folder, weights=False) / CONFIG
    return hf_config.from_hf(tensors.read_json(path), str(path))


def is_reward_model(folder: Folder) -> bool:
    """Whether a model folder, or a hub name, says that it holds a classifier and not a language
    model.
    """
    path = storage.folder(folder, weights=False) / CONFIG
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
    places: Any = None,
    dtype: Any = jnp.float32,
) -> Params:
    """The parameters of a model folder or of a hub name, each from disk straight to its shards.

    A process reads what its devices hold, casts it on the way, and fills stacks of layers layer by
    layer; beside the parameters themselves it never holds more than two tensors of the checkpoint.

    Args:
        folder: with config.json and safetensors, in one file or in shards with an index.
        config: what `load_config` says.
        head: True for a reward model, with `score`: the folder's own, or a fresh one if the folder
            holds a language model. False for a policy.
        seed: of a fresh head.
        places: pytree of shardings like the parameters; None for the first device.
        dtype: of the parameters, but for `score`, which is fp32.

    Raises:
        UserError: a file is missing or broken, or a tensor missing, unexpected, or of a wrong
            shape or type.
    """
    path, files, stored, abstract = _opened(folder, config, head)
    fresh = head and SCORE.name not in stored
    if places is None:
        first = SingleDeviceSharding(jax.local_devices()[0])
        places = jax.tree.map(lambda _: first, abstract)
    params: Params = {}
    with progress("loading weights", "tensors") as show:
        for done, (name, parts) in enumerate(stored.items()):
            show(done, len(stored))
            row = 0
            for part in parts:
                place = _get(places, part.tensor.path)
                kind = jnp.float32 if part.tensor is SCORE else dtype
                read = functools.partial(_read, files, part, row, kind)
                _put(params, part.tensor.path, _placed(config, name, part, place, kind, read))
                row += part.rows
    if fresh:
        normal = np.random.default_rng(seed).standard_normal(config.width)
        score = (normal * score_scale(config)).astype(np.float32)
        place = _get(places, SCORE.path)
        params["score"] = jax.make_array_from_callback(score.shape, place, score.__getitem__)
    for key, finite in jax.tree.leaves_with_path(jax.device_get(_finite(params))):
        if not finite:
            where = jax.tree_util.keystr(key, simple=True, separator="/")
            raise UserError(f"{path}: weights of {where} are not finite; copy or train them anew")
    return params


def _placed(
    config: DecoderConfig, name: str, part: "_Part", place: Any, kind: Any, read: Any
) -> jax.Array:
    """A parameter on its devices, each of which reads what it holds; a stack layer by layer."""
    if not part.tensor.stacked:
        return jax.make_array_from_callback(part.shape, place, functools.partial(read, name))
    value = jnp.zeros((config.layers, *part.shape), kind, device=place)
    for i in range(config.layers):
        of_layer = functools.partial(read, name.format(i=i))
        layer = jax.make_array_from_callback(part.shape, _of_layer(place), of_layer)
        # Waiting keeps the disk from running ahead and holding many layers.
        value = jax.block_until_ready(_filler(place)(value, layer, i))
    return value


def check(folder: Folder, *, head: bool) -> DecoderConfig:
    """Makes sure that a folder can be loaded, without reading its weights; returns its config.

    Raises:
        UserError: as in `load_config` and `load_params`.
    """
    config = load_config(folder)
    _opened(folder, config, head)
    return config


def _opened(
    folder: Folder, config: DecoderConfig, head: bool
) -> tuple[Path, TensorFiles, dict[str, tuple["_Part", ...]], Params]:
    """The folder, its tensors, which parameters are in which of them, and the shapes of these."""
    path = storage.folder(folder)
    files = TensorFiles(path)
    _check_layers(path, files, config)
    abstract = (ScoreHead() if head else LogpHead()).abstract_params(config)
    stored = _stored(config, head, abstract)
    if head and SCORE.name not in files.names and not is_reward_model(path):
        del stored[SCORE.name]
    _check_tensors(path, files, config, stored, ignore_lm_head=head or config.tie_embeddings)
    return path, files, stored, abstract


def _check_layers(path: Path, files: TensorFiles, config: DecoderConfig) -> None:
    if config.layers > len(files.names):
        raise UserError(
            f"{path}: {CONFIG} says {config.layers} layers, and there are {len(files.names)} "
            "tensors in all; is it that of these weights?"
        )


def fingerprint(folder: Folder) -> str:
    """A hash of the config and the weights in a model folder.

    Raises:
        UserError: a file is missing.
    """
    path = storage.folder(folder)
    about = json.dumps(tensors.read_json(path / CONFIG), sort_keys=True)
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for name in TensorFiles(path).files:
        with (path / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def save_params(
    folder: Folder,
    config: DecoderConfig,
    params: Mapping[str, Any],
    *,
    tokenizer: Any = None,
    dtype: Any = jnp.float32,
    max_shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a model folder that `transformers` opens: a reward model if `params` has a score.

    All processes take part, the first one writes. The folder appears complete or not at all; one
    that is there is replaced.

    Args:
        folder: where to.
        config: of the model.
        params: its parameters, sharded or not.
        tokenizer: saved beside the weights; None to leave it out.
        dtype: of the weights in the files.
        max_shard_bytes: size of a file of weights; more are written in several, with an index.

    Raises:
        UserError: the folder holds something other than a model, or the saved tokenizer would not
            read text as this one does.
    """
    target = Path(folder).expanduser().absolute()
    head = "score" in params
    writes = jax.process_index() == 0
    dtype = jnp.dtype(dtype)
    outward = _outward(config, head, params, dtype)
    with replacing(target) as temporary:
        tensors.write(temporary, outward, max_bytes=max_shard_bytes, writes=writes)
        if writes:
            _save_config(temporary, config, head, tokenizer, dtype.name)
            if tokenizer is not None:
                tokenizer.save_pretrained(temporary)
                check_saved_tokenizer(temporary, tokenizer)


def check_tokenizer(config: DecoderConfig, tokenizer: Any) -> None:
    """Makes sure, before any training, that `save_params` can save this tokenizer.

    Raises:
        UserError: saved in a folder of this family it would not read text as it does now.
    """
    with tempfile.TemporaryDirectory(prefix="mapl-") as folder:
        _save_config(Path(folder), config, True, tokenizer, "float32")
        tokenizer.save_pretrained(folder)
        check_saved_tokenizer(Path(folder), tokenizer)


@dataclasses.dataclass(frozen=True)
class _Part:
    """A parameter as a part of a checkpoint's tensor: its shape (of one layer) in either form."""

    tensor: Tensor
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.tensor.shape(self.shape)[0]


def _stored(config: DecoderConfig, head: bool, params: Any) -> dict[str, tuple[_Part, ...]]:
    """The parameters in each tensor of a checkpoint; `{i}` in a name is the layer."""
    table = list(families.get(config.family).tensors)
    if head:
        table.append(SCORE)
    elif not config.tie_embeddings:
        table.append(LM_HEAD)

    def part(tensor: Tensor) -> _Part:
        shape = tuple(_get(params, tensor.path).shape)
        return _Part(tensor, shape[1:] if tensor.stacked else shape)

    grouped = families.by_name(table)
    return {name: tuple(map(part, members)) for name, members in grouped.items()}


def _shape(parts: tuple[_Part, ...]) -> tuple[int, ...]:
    """Shape of a checkpoint's tensor."""
    _, *others = parts[0].tensor.shape(parts[0].shape)
    return (sum(part.rows for part in parts), *others)


def _read(
    files: TensorFiles, part: _Part, row: int, dtype: Any, name: str, index: tuple[slice, ...]
) -> np.ndarray:
    """What a device holds of a parameter (of one layer), which begins at a row of a tensor."""
    index = tuple(slice(*s.indices(n)[:2]) for s, n in zip(index, part.shape, strict=True))
    out = np.empty([s.stop - s.start for s in index], dtype)
    first, *others = part.tensor.index(index)
    rows = slice(first.start + row, first.stop + row)
    files.read(name, (rows, *others), part.tensor.view(out))
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


@jax.jit
def _finite(params: Params) -> Any:
    """Of every parameter, whether it holds finite numbers alone."""
    return jax.tree.map(lambda x: _of_parts(x).all() if x.ndim > 2 else _known(x), params)


def _of_parts(stack: jax.Array) -> jax.Array:
    # Layer by layer: XLA for CPU takes as much memory again as what it looks at.
    return jax.lax.map(_known, stack)


def _known(x: jax.Array) -> jax.Array:
    # 0 * inf and 0 * NaN are NaN; a maximum may pass over a NaN.
    return (0 * x).sum() == 0


@jax.jit
def _layer(stack: jax.Array, i: int) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(stack, i, keepdims=False)


def _outward(
    config: DecoderConfig, head: bool, params: Mapping[str, Any], dtype: np.dtype[Any]
) -> list[tuple[str, int, Callable[[], np.ndarray]]]:
    """Name, bytes and maker of every tensor, those of a layer together."""
    stored = _stored(config, head, params)

    def make(parts: tuple[_Part, ...], i: int | None) -> np.ndarray:
        arrays = []
        for part in parts:
            value = _get(params, part.tensor.path)
            array = gather(value if i is None else _layer(value, i))
            arrays.append(part.tensor.view(array).astype(dtype))
        return np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))

    def entry(name: str, i: int | None) -> tuple[str, int, Callable[[], np.ndarray]]:
        parts = stored[name]
        size = math.prod(_shape(parts)) * dtype.itemsize
        return name.format(i=i), size, functools.partial(make, parts, i)

    stacked = [name for name, parts in stored.items() if parts[0].tensor.stacked]
    single = [name for name in stored if name not in stacked]
    layers = [entry(name, i) for i in range(config.layers) for name in stacked]
    return [entry(single[0], None), *layers, *(entry(name, None) for name in single[1:])]


def _save_config(
    folder: Path, config: DecoderConfig, head: bool, tokenizer: Any, dtype: str
) -> None:
    special = {key: getattr(config, field) for key, field in families.TOKENS.items()}
    for key in special:
        if getattr(tokenizer, key, None) is not None:
            special[key] = getattr(tokenizer, key)
    content = {
        "architectures": [families.get(config.family).architecture(head)],
        **hf_config.to_hf(config, dtype),
        **special,
    }
    if head:
        # Without "regression", pipelines and servers return sigmoid(score).
        content |= {
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
            "problem_type": "regression",
        }
    (folder / CONFIG).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def check_saved_tokenizer(folder: Path, tokenizer: Any) -> None:
    """By model_type, `transformers` may open a tokenizer as another class and ignore its rules."""
    reloaded = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    text = SAMPLE + "".join(tokenizer.all_special_tokens)
    before = tokenizer.encode(text, add_special_tokens=False)
    after = reloaded.encode(text, add_special_tokens=False)
    same = all(
        getattr(tokenizer, name) == getattr(reloaded, name)
        for name in ("pad_token_id", "eos_token_id", "chat_template")
    )
    if before != after or not same:
        raise UserError(
            f"saved with this model, the tokenizer would be opened as {type(reloaded).__name__} "
            "and read text differently; use a tokenizer made for the model's family"
        )


def _check_tensors(
    path: Path,
    files: TensorFiles,
    config: DecoderConfig,
    stored: Mapping[str, tuple[_Part, ...]],
    *,
    ignore_lm_head: bool,
) -> None:
    """All that can be wrong is found before anything is read."""
    expected = {
        name.format(i=i): _shape(parts)
        for name, parts in stored.items()
        for i in range(config.layers if parts[0].tensor.stacked else 1)
    }
    ignored = {LM_HEAD.name} if ignore_lm_head else set()
    found = {name for name in files.names if not name.endswith("rotary_emb.inv_freq")} - ignored
    if missing := sorted(expected.keys() - found):
        raise UserError(f"{path}: missing {_some(missing)}; is config.json that of these weights?")
    if unexpected := sorted(found - expected.keys()):
        raise UserError(
            f"{path}: unexpected {_some(unexpected)}; a {config.family} model has no such tensor"
        )
    files.check(expected)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"tensor{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the target's place at the end; nothing is left after an error.

    All processes see the same folder; the first one makes it and moves it, the others wait until
    it has its name.

    Raises:
        UserError: the target holds something other than a model.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"cannot save a model to {target}: a file is in the way")
    models = any((target / name).exists() for name in (CONFIG, ADAPTER_CONFIG))
    if target.is_dir() and any(target.iterdir()) and not models:
        raise UserError(f"cannot save a model to {target}: it holds other files")
    check_target(target / CONFIG)
    temporary = target.with_name(f".{target.name}.new")
    old = target.with_name(f".{target.name}.old")
    if jax.process_index() != 0:
        yield temporary
    else:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
                target.rename(old)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("a folder of a model has its name")


def gather(array: Any) -> np.ndarray:
    """An array whole, on every process."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        array = multihost_utils.process_allgather(array, tiled=True)
    return np.asarray(array)


def _get(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _put(tree: Params, path: tuple[str, ...], value: jax.Array) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
