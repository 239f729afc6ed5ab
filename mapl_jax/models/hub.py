"""Model folders as `transformers` reads and writes them: config.json, safetensors, tokenizer files.

No pickle and no code from a folder; torch is not needed.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import transformers
from jax.experimental import multihost_utils
from safetensors.numpy import save_file

from mapl_jax.errors import UserError
from mapl_jax.models import families, policy, reward
from mapl_jax.models.decoder import DecoderConfig, Params
from mapl_jax.models.families import LM_HEAD, SCORE, Tensor

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
DTYPES = ("F32", "BF16", "F16")
SAMPLE = "It's 12:30, naïve café — 日本語 🙂?\n\n  if x_1 != 0:\n\treturn (x)  "
Folder = str | os.PathLike[str]


def load_config(folder: Folder) -> DecoderConfig:
    """The config of a model folder.

    Raises:
        UserError: there is none, or the model is of a kind that is not supported.
    """
    path = _existing(folder) / CONFIG
    return families.from_hf(_read_json(path), str(path))


def load_params(folder: Folder, config: DecoderConfig, *, head: bool, seed: int) -> Params:
    """The parameters in a model folder, fp32 numpy arrays.

    Call it outside of `jit`, which would make constants of the weights.

    Args:
        folder: with config.json and safetensors, in one file or in shards with an index.
        config: what `load_config` says.
        head: True for a reward model, with `score`: the folder's own, or a fresh one if the folder
            holds a language model. False for a policy.
        seed: of a fresh head.

    Raises:
        UserError: a file is missing or broken, or a tensor missing, unexpected, or of a wrong
            shape or type.
    """
    path = _existing(folder)
    raw = _read_json(path / CONFIG)
    files = _files_of_tensors(path)
    classifier = any("SequenceClassification" in name for name in raw.get("architectures") or ())
    fresh = head and SCORE.name not in files and not classifier
    abstract = reward.abstract_params(config) if head else policy.abstract_params(config)
    tensors = [t for t in _tensors(config, head) if not (fresh and t is SCORE)]
    _check_names(path, tensors, config, files, ignore_lm_head=head or config.tie_embeddings)
    params: Params = {}
    reader = _Reader(path, files)
    for tensor in tensors:
        shape = _get(abstract, tensor.path).shape
        if tensor.stacked:
            array = np.empty(shape, np.float32)
            for i in range(config.layers):
                name = tensor.name.format(i=i)
                array[i] = tensor.inward(reader.read(name, tensor.shape(shape[1:])))
        else:
            array = tensor.inward(reader.read(tensor.name, tensor.shape(shape)))
        _put(params, tensor.path, np.ascontiguousarray(array, np.float32))
    if fresh:
        normal = np.random.default_rng(seed).standard_normal(config.width)
        params["score"] = (normal * reward.head_scale(config)).astype(np.float32)
    return params


def fingerprint(folder: Folder) -> str:
    """A hash of the config and the weights in a model folder.

    Raises:
        UserError: a file is missing.
    """
    path = _existing(folder)
    about = json.dumps(_read_json(path / CONFIG), sort_keys=True)
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for name in sorted(set(_files_of_tensors(path).values())):
        with (path / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def save_params(
    folder: Folder, config: DecoderConfig, params: Mapping[str, Any], *, tokenizer: Any = None
) -> None:
    """Writes a model folder that `transformers` opens: a reward model if `params` has a score.

    All processes take part, the first one writes. The folder appears complete or not at all; one
    that is there is replaced.

    Args:
        folder: where to.
        config: of the model.
        params: its parameters, sharded or not.
        tokenizer: saved beside the weights; None to leave it out.

    Raises:
        UserError: the folder holds something other than a model, or the saved tokenizer would not
            read text as this one does.
    """
    target = Path(folder).expanduser().absolute()
    head = "score" in params
    writes = jax.process_index() == 0
    tensors: dict[str, np.ndarray] = {}
    for tensor in _tensors(config, head):
        array = _gather(_get(params, tensor.path))
        if writes and tensor.stacked:
            for i in range(config.layers):
                tensors[tensor.name.format(i=i)] = tensor.outward(array[i])
        elif writes:
            tensors[tensor.name] = tensor.outward(array)
    if writes:
        with _replacing(target) as temporary:
            save_file(tensors, temporary / WEIGHTS, metadata={"format": "pt"})
            os.chmod(temporary / WEIGHTS, 0o644)
            _save_config(temporary, config, head, tokenizer)
            if tokenizer is not None:
                tokenizer.save_pretrained(temporary)
                _check_saved_tokenizer(temporary, tokenizer)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"saved {target}")


def check_tokenizer(config: DecoderConfig, tokenizer: Any) -> None:
    """Makes sure, before any training, that `save_params` can save this tokenizer.

    Raises:
        UserError: saved in a folder of this family it would not read text as it does now.
    """
    with tempfile.TemporaryDirectory(prefix="mapl-") as folder:
        _save_config(Path(folder), config, True, tokenizer)
        tokenizer.save_pretrained(folder)
        _check_saved_tokenizer(Path(folder), tokenizer)


def _tensors(config: DecoderConfig, head: bool) -> list[Tensor]:
    tensors = list(families.get(config.family).tensors)
    if head:
        return [*tensors, SCORE]
    return tensors if config.tie_embeddings else [*tensors, LM_HEAD]


def _save_config(folder: Path, config: DecoderConfig, head: bool, tokenizer: Any) -> None:
    prefix = families.get(config.family).prefix
    pad, eos = config.pad_token, config.eos_token
    if tokenizer is not None:
        pad = pad if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        eos = eos if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    content = {
        "architectures": [f"{prefix}For{'SequenceClassification' if head else 'CausalLM'}"],
        **families.to_hf(config),
        "pad_token_id": pad,
        "eos_token_id": eos,
    }
    if head:
        # Without "regression", pipelines and servers return sigmoid(score).
        content |= {
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
            "problem_type": "regression",
        }
    (folder / CONFIG).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def _check_saved_tokenizer(folder: Path, tokenizer: Any) -> None:
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


def _check_names(
    path: Path,
    tensors: list[Tensor],
    config: DecoderConfig,
    files: Mapping[str, str],
    *,
    ignore_lm_head: bool,
) -> None:
    expected = {
        tensor.name.format(i=i)
        for tensor in tensors
        for i in range(config.layers if tensor.stacked else 1)
    }
    ignored = {LM_HEAD.name} if ignore_lm_head else set()
    found = {name for name in files if not name.endswith("rotary_emb.inv_freq")} - ignored
    if missing := sorted(expected - found):
        raise UserError(f"{path}: missing {_some(missing)}; is config.json that of these weights?")
    if unexpected := sorted(found - expected):
        raise UserError(
            f"{path}: unexpected {_some(unexpected)}; a {config.family} model has no such tensor"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"tensor{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"


def _files_of_tensors(path: Path) -> dict[str, str]:
    """The file of every tensor."""
    if (path / WEIGHTS).is_file():
        with _open(path / WEIGHTS) as file:
            return dict.fromkeys(file.keys(), WEIGHTS)
    if not (path / INDEX).is_file():
        raise UserError(f"{path}: no {WEIGHTS} and no {INDEX}; only safetensors are read")
    files = _read_json(path / INDEX).get("weight_map")
    if not isinstance(files, dict):
        raise UserError(f"{path / INDEX}: weight_map is missing")
    for name in sorted(set(files.values())):
        # A name from a file must not lead out of the folder.
        if Path(name).name != name or not (path / name).is_file():
            raise UserError(f"{path}: the file {name} is missing, which {INDEX} names")
    return files


class _Reader:
    """Reads tensors; opens each file once."""

    def __init__(self, path: Path, files: Mapping[str, str]):
        self._path, self._files = path, files
        self._open: dict[str, Any] = {}

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A tensor in fp32, checked."""
        path = self._path / self._files[name]
        if path.name not in self._open:
            self._open[path.name] = _open(path)
        file = self._open[path.name]
        if name not in file.keys():  # noqa: SIM118 a handle of safetensors is no dict
            raise UserError(f"{path}: missing tensor {name}, which {INDEX} places here")
        part = file.get_slice(name)
        if tuple(part.get_shape()) != shape:
            raise UserError(
                f"{path}: {name} has shape {tuple(part.get_shape())}, but config.json makes it "
                f"{shape}"
            )
        if part.get_dtype() not in DTYPES:
            raise UserError(f"{path}: {name} is of type {part.get_dtype()}, not fp32, bf16 or fp16")
        return file.get_tensor(name).astype(np.float32)


def _open(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="numpy")
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} is broken or cut off ({error}); copy it again") from error


def _existing(folder: Folder) -> Path:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(
            f"model folder {folder} does not exist; fetch a hub model with `hf download` first"
        )
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object")
    return content


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the target's place at the end."""
    if target.exists() and not target.is_dir():
        raise UserError(f"cannot save a model to {target}: a file is in the way")
    if target.is_dir() and any(target.iterdir()) and not (target / CONFIG).exists():
        raise UserError(f"cannot save a model to {target}: it holds other files")
    temporary = target.with_name(f".{target.name}.new-{os.getpid()}")
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _gather(array: Any) -> np.ndarray:
    """A parameter whole, on every process."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        array = multihost_utils.process_allgather(array, tiled=True)
    return np.asarray(array, np.float32)


def _get(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _put(tree: Params, path: tuple[str, ...], value: np.ndarray) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
