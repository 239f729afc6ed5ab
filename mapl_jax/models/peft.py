"""Adapters as a folder that the `peft` library opens: adapter_config.json and safetensors."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerBase

from mapl_jax.models import families, layout, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.families import SCORE
from mapl_jax.models.parameters import Params, at_path
from mapl_jax.runtime.errors import UserError

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."


def save(
    folder: Path,
    config: DecoderConfig,
    params: Params,
    *,
    base: str,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    """Writes the adapters and a reward head, fp32, into a folder that is there.

    All processes take part, the first one writes.

    Args:
        folder: where to.
        config: of the model, with its adapters.
        params: its parameters; the base among them is left alone.
        base: folder or hub name of the base, for the config.
        tokenizer: saved beside the weights; None to leave it out.

    Raises:
        UserError: a matrix of the family is cut otherwise in `transformers`, or the saved tokenizer
            would not read text as this one does.
    """
    head = SCORE.path[0] in params
    tensors = {}
    for path, name, layer in _tensors(config, head):
        array = saving.gather(at_path(params, path))
        at = None if layer is None else layer - config.frozen_layers
        tensors[name] = np.ascontiguousarray(array[None] if at is None else array[at].T)
    if jax.process_index() == 0:
        _write(folder, config, tensors, head=head, base=base, tokenizer=tokenizer)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("saved adapters")


def _write(
    folder: Path,
    config: DecoderConfig,
    tensors: dict[str, np.ndarray],
    *,
    head: bool,
    base: str,
    tokenizer: PreTrainedTokenizerBase | None,
) -> None:
    assert config.lora is not None
    content: dict[str, object] = {
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
    (folder / layout.ADAPTER_CONFIG).write_text(
        json.dumps(content, indent=2, sort_keys=True) + "\n"
    )
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    os.chmod(folder / WEIGHTS, 0o644)
    if tokenizer is not None:
        saving.save_tokenizer(folder, tokenizer)


def load(folder: Path, config: DecoderConfig) -> Params:
    """The adapters and the head that `save` wrote."""
    tensors = load_file(folder / WEIGHTS)
    head = PREFIX + SCORE.name in tensors
    stacks: dict[tuple[str, ...], list[np.ndarray]] = {}
    for path, name, layer in _tensors(config, head):
        stacks.setdefault(path, []).append(tensors[name][0] if layer is None else tensors[name].T)
    params: Params = {}
    for path, arrays in stacks.items():
        inner = params
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = np.stack(arrays) if path[0] == "layers" else arrays[0]
    return params


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
    found = {path[-1] for path in wanted}
    if missing := [name for name in config.lora.names if name not in found]:
        raise UserError(
            f"{config.family} models keep {', '.join(missing)} in one matrix with others, for "
            "which PEFT has no such adapters; export without --adapter, which merges them"
        )
    return wanted
