"""Adapters as a folder that the `peft` library opens: adapter_config.json and safetensors."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import regex
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mapl_jax.models import families, layout, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.families import EMBED, SCORE
from mapl_jax.models.layout import Part
from mapl_jax.models.parameters import Params, at_path, with_value
from mapl_jax.models.tensors import INDEX, Json, TensorFiles, check_as_written, read_json
from mapl_jax.runtime import distributed, storage
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import brief, local
from mapl_jax.runtime.tokenizer import Tokenizer

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."


def save(
    folder: Path,
    config: DecoderConfig,
    params: Params,
    *,
    base: str,
    tokenizer: Tokenizer | None = None,
) -> None:
    """Writes the adapters and a reward head, fp32, into a folder that is there.

    All processes take part, the first one writes. A tokenizer is saved beside the weights.
    """
    head = SCORE.path[0] in params
    tensors = {}
    gathered: dict[tuple[str, ...], np.ndarray] = {}  # the last stack of layers
    for path, name, layer in _tensors(config, head):
        if path not in gathered:
            gathered = {path: saving.gather(at_path(params, path))}
        array = gathered[path]
        at = None if layer is None else layer - config.frozen_layers
        tensors[name] = np.ascontiguousarray(array[None] if at is None else array[at].T)
    if jax.process_index() == 0:
        saving.write_json(folder / layout.ADAPTER_CONFIG, _about(config, base, head))
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        os.chmod(folder / WEIGHTS, 0o644)
        if tokenizer is not None:
            saving.save_tokenizer(folder, tokenizer)
    distributed.wait_for_all("saved adapters")


def _about(config: DecoderConfig, base: str, head: bool) -> Json:
    """The content of adapter_config.json."""
    assert config.lora is not None
    content: Json = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if head else "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.lora.rank,
        "lora_alpha": config.lora.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "inference_mode": True,
        "target_modules": sorted({name.rsplit(".", 1)[-1] for name in _modules(config).values()}),
        "modules_to_save": list(SCORE.path) if head else None,
    }
    if config.frozen_layers:
        content["layers_to_transform"] = list(range(config.frozen_layers, config.layers))
    return content


def base_of(folder: Path) -> str:
    """The base of adapters: a folder, as PEFT finds it or beside the adapters, or a hub name."""
    path = folder / layout.ADAPTER_CONFIG
    name = read_json(path).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise UserError(f"{path} names no base (base_model_name_or_path); write it there")
    places = (local(name), local(folder / name), folder / layout.BASE)
    if found := next((place for place in places if place.is_dir()), None):
        return str(found)
    if not storage.HUB_NAME.fullmatch(name):
        raise UserError(
            f"{folder} holds adapters for {name}, which is not here; write where it is into "
            f"{path.name} (base_model_name_or_path)"
        )
    return name


def merged(folder: Path, config: DecoderConfig, params: Params) -> Params:
    """The parameters of a base with the adapters of a folder merged, and with its head.

    Every matrix that a tensor of the folder belongs to is changed, whichever were chosen, so that
    ranks and scales may differ between them. The arrays of the base are left alone.
    """
    check_as_written(folder)
    about = read_json(folder / layout.ADAPTER_CONFIG)
    _check(folder, about)
    tensors = _read(folder)
    head = SCORE.name in tensors or SCORE.path[0] in params
    if head:
        new = jnp.zeros((config.width,), jnp.float32)
        params = {SCORE.path[0]: new, **params}
        params.pop(families.LM_HEAD.path[0], None)
    elif config.tie_embeddings and EMBED.name in tensors:
        raise UserError(
            f"{folder}: an embedding of its own beside tied ones is not read; merge with PEFT "
            "(merge_and_unload) and save the model"
        )
    for name, parts in layout.stored_parts(config, head, params).items():
        if parts[0].tensor.by_expert:
            continue
        row = 0
        for part in parts:
            rows, row = slice(row, row + part.rows), row + part.rows
            old = at_path(params, part.tensor.path)
            layers = config.layers if part.tensor.stacked else 1
            keep = np.ones((layers, *(1 for _ in part.shape)), np.float32)
            added = np.zeros((layers, *part.shape), np.float32)
            changed = 0
            for i in range(layers):
                change = _change(about, tensors, name.format(i=i), rows, part)
                if change is not None:
                    keep[i], part.tensor.view(added[i])[...] = change
                    changed += 1
            if changed:
                new = _sum(old, *((keep, added) if part.tensor.stacked else (keep[0], added[0])))
                params = with_value(params, part.tensor.path, new)
        for i in range(config.layers):
            module = name.format(i=i).removesuffix("weight")
            sides = [f"{module}lora_{side}.weight" for side in "AB"]
            if sum(side in tensors for side in sides) == 1:
                raise UserError(f"{folder} has one of {' and '.join(sides)} alone; copy it again")
            for each in (f"{module}weight", *sides):
                tensors.pop(each, None)
    if tensors:
        raise UserError(
            f"{folder}: {min(tensors)} is no adapter that can be read here for a {config.family} "
            "model; merge with PEFT (merge_and_unload) and save the model"
        )
    return params


def _change(
    about: Mapping[str, object],
    tensors: Mapping[str, np.ndarray],
    name: str,
    rows: slice,
    part: Part,
) -> tuple[float, np.ndarray] | None:
    """What stays of rows of a tensor, 1 or 0, and what is added; None if nothing changes."""
    module = name.removesuffix(".weight")
    shape = part.tensor.shape(part.shape)
    if name in tensors:
        keep, added = 0.0, tensors[name]
    elif f"{module}.lora_A.weight" in tensors and f"{module}.lora_B.weight" in tensors:
        a, b = (tensors[f"{module}.lora_{side}.weight"].astype(np.float32) for side in "AB")
        keep, added = 1.0, _scale(about, module, len(a)) * (b @ a)
    else:
        return None
    if added[rows].shape != shape:
        raise UserError(
            f"the adapters of {module} have the shape {added.shape}, which does not fit the "
            "base; were they trained beside another one?"
        )
    return keep, added[rows]


def _scale(about: Mapping[str, Any], module: str, rank: int) -> float:
    patterns = about.get("alpha_pattern") or {}
    try:
        own = (value for key, value in patterns.items() if _is_of(key, module))
        alpha = float(next(own, about.get("lora_alpha", 8)))
    except (TimeoutError, regex.error, TypeError, ValueError, AttributeError):
        raise UserError(
            f"the alpha_pattern or lora_alpha of the adapters of {module} cannot be read "
            f"({brief(repr(patterns))}); write numbers, by names of modules"
        ) from None
    return alpha / (rank**0.5 if about.get("use_rslora") else rank)


# Seconds that a pattern may look at a name; one that backtracks would never end.
PATIENCE = 5.0


def _is_of(pattern: str, module: str) -> bool:
    """Whether a pattern of PEFT means a module; one that backtracks raises `TimeoutError`."""
    return regex.fullmatch(rf"(.*\.)?({pattern})", module, timeout=PATIENCE) is not None


# Keys of adapter_config.json by what they may say, if they say anything.
PLAIN = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),
    **dict.fromkeys(("use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"), (False,)),
    **dict.fromkeys(("layer_replication", "alora_invocation_tokens", "arrow_config"), ()),
}


def _check(folder: Path, about: Mapping[str, object]) -> None:
    for key, allowed in PLAIN.items():
        if about.get(key) is not None and about[key] not in allowed:
            raise UserError(
                f"{folder}: adapters with {key} = {about[key]!r} are not read; merge with PEFT "
                "(merge_and_unload) and save the model"
            )


def _read(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of a folder of adapters, by the names that models have."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError(
            f"{folder} has no {WEIGHTS}; save the adapters anew with PEFT, save_pretrained(FOLDER)"
        )
    try:
        loaded = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is broken or cut off ({error}); copy it again") from error

    def plain(name: str) -> str:
        short = name.replace(".modules_to_save.default.", ".").replace(".default.", ".")
        # What stands before is what wrappers left there.
        begin = re.search(r"(^|\.)(layers|embed_tokens|norm)\.", short)
        if begin:
            return "model." + short[begin.end() - len(begin[2]) - 1 :]
        return ".".join(short.split(".")[-2:])

    return {plain(name): tensor for name, tensor in loaded.items()}


def _sum(old: jax.Array, keep: np.ndarray, added: np.ndarray) -> jax.Array:
    """On the devices of the old value."""
    add = jax.jit(lambda x, keep, added: x * keep + added, out_shardings=old.sharding)
    return add(old.astype(jnp.float32), keep, added)


def check_base(base: str) -> None:
    """Makes sure that PEFT would find the modules of adapters beside a base."""
    kind = read_json(storage.folder(base, weights=False) / layout.CONFIG).get("model_type")
    if kind in families.WRAPPED:
        raise UserError(
            f"{base} is a {kind} model, of which only the text part was read; PEFT finds no place "
            "for its adapters there: export without --adapter, which merges them"
        )


def needs_base(base: str, tokenizer: Tokenizer) -> bool:
    """Whether a reward model's adapters need a base with another config for the same rewards.

    A base on the hub that pads as the tokenizer does stays a name, for others; PEFT is then to be
    given `num_labels=1`.
    """
    about = read_json(storage.folder(base, weights=False) / layout.CONFIG)
    alike = about.get("pad_token_id") == tokenizer.pad_token_id
    return not (alike and (len(about.get("id2label") or "no") == 1 or not Path(base).is_dir()))


def write_base(folder: Path, base: str, tokenizer: Tokenizer) -> None:
    """A base whose config says what a reward needs; its weights are linked if possible."""
    source = storage.folder(base)
    folder.mkdir()
    content = read_json(source / layout.CONFIG) | saving.ONE_LABEL
    content |= {"pad_token_id": tokenizer.pad_token_id}
    content.pop("auto_map", None)
    saving.write_json(folder / layout.CONFIG, content)
    saving.save_tokenizer(folder, tokenizer)
    names = TensorFiles(source).files
    for name in [*names, INDEX] if (source / INDEX).exists() else names:
        try:
            os.link((source / name).resolve(), folder / name)
        except OSError:  # on another disk
            shutil.copyfile(source / name, folder / name)


def load(folder: Path, config: DecoderConfig) -> Params:
    """The adapters and the head that `save` wrote."""
    tensors = load_file(folder / WEIGHTS)
    head = PREFIX + SCORE.name in tensors
    stacks: dict[tuple[str, ...], list[np.ndarray]] = {}
    for path, name, layer in _tensors(config, head):
        stacks.setdefault(path, []).append(tensors[name][0] if layer is None else tensors[name].T)
    values = {
        path: np.stack(arrays) if path[0] == "layers" else arrays[0]
        for path, arrays in stacks.items()
    }
    return traverse_util.unflatten_dict(values)


def _tensors(
    config: DecoderConfig, head: bool
) -> Iterator[tuple[tuple[str, ...], str, int | None]]:
    """Path of a parameter, its name in PEFT, and its layer (None: it has none)."""
    for path, module in _modules(config).items():
        for ours, theirs in (("a", "lora_A"), ("b", "lora_B")):
            for layer in range(config.frozen_layers, config.layers):
                name = module.format(i=layer)
                yield (*path, "lora", ours), f"{PREFIX}{name}.{theirs}.weight", layer
    if head:
        yield SCORE.path, PREFIX + SCORE.name, None


def _modules(config: DecoderConfig) -> dict[tuple[str, ...], str]:
    """Path of every adapted matrix -> the name of its module in `transformers`, with `{i}`."""
    assert config.lora is not None
    tensors = families.get(config.family).tensors
    sharing = Counter(tensor.name for tensor in tensors)
    modules = {
        tensor.path[:-1]: tensor.name.removesuffix(".weight")
        for tensor in tensors
        if tensor.path[-1] == "kernel" and sharing[tensor.name] == 1
    }
    wanted = {path: name for path, name in modules.items() if path[-1] in config.lora.names}
    adapted = {path[-1] for path in wanted}
    there = {tensor.path[-2] for tensor in tensors if tensor.path[-1] == "kernel"}
    if missing := [name for name in config.lora.names if name in there - adapted]:
        raise UserError(
            f"{config.family} models keep {', '.join(missing)} in one matrix with others, for "
            "which PEFT has no such adapters; export without --adapter, which merges them"
        )
    return wanted
