"""Writes a model for others: python -m mapl_jax.export --checkpoint=DIR --output=DIR

A folder with config, safetensors, tokenizer with its chat template and a model card, by the
conventions of transformers (AutoModelForSequenceClassification, pipelines), which vLLM and
reward-bench read too. It appears only after it was read back and gave the rewards of the checkpoint
on held-out rows. --push=org/name writes it to the hub, with the token in HF_TOKEN or that of
`hf auth login`.
"""

import dataclasses
import os
import tempfile
from pathlib import Path

from mapl_jax.data import cache, trie_set
from mapl_jax.data.settings import TrieSettings
from mapl_jax.data.sources import Source, local_names
from mapl_jax.data.trie_set import encode_split
from mapl_jax.reports.model_card import card_of
from mapl_jax.runtime import cli, distributed, errors, plugins, publish, settings
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.console import say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.outputs import check_folder, whole
from mapl_jax.runtime.settings import setting
from mapl_jax.synthesis import prepare
from mapl_jax.training import restore, sharding
from mapl_jax.training.export import TOLERANCE, write_model
from mapl_jax.training.restore import Model, Trained, loaded


@dataclasses.dataclass(frozen=True)
class Flags:
    """The plain flags of the command."""

    checkpoint: str = setting(
        "", "a run folder, one of its checkpoints/STEP, adapters, or a model folder"
    )
    output: str = setting("", "folder to write; a model that this command wrote is replaced")
    push: str = setting("", "org/name on the hub to write to as well, or instead of a folder")
    private: bool = setting(False, "with --push: only its owners may read what is made")
    dtype: str = setting(
        "float32", "type of the weights: float32 or bfloat16", choices=tuple(TOLERANCE)
    )
    adapter: bool = setting(False, "write a LoRA run's adapters as PEFT does, instead of merging")
    data: str = setting("", "pairs or samples to check with; empty: the run's held-out rows")
    plugins: str = setting("", plugins.HELP)

    def __post_init__(self) -> None:
        settings.check(self, "--")
        if self.private and not self.push:
            raise UserError("--private is for the hub; give --push=org/name with it")


@checked(Flags)
def export_model(
    model: Model,
    folder: str | os.PathLike[str],
    data: Source = "",
    *,
    dtype: str = "float32",
    adapter: bool = False,
) -> float:
    """Writes a model for others: what `python -m mapl_jax.export` does.

    The folder opens in `transformers` and has a model card. It appears only after it was read back
    and gave the same numbers.

    Args:
        model: any model, or where it lies.
        folder: to write; a model that this wrote, unchanged since, is replaced.
        data: pairs or samples to check with; empty: the held-out rows of its run.
        dtype: of the weights, "float32" or "bfloat16".
        adapter: write the adapters of a LoRA run as PEFT does, instead of merging them.

    Returns:
        The largest difference that the check found.

    Raises:
        UserError: the folder holds something else, or there is nothing to check with.

    Examples:
        >>> import mapl_jax, os, tempfile
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> model = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> folder = tempfile.mkdtemp() + "/reward-model"
        >>> difference = mapl_jax.export_model(model, folder, pairs)
        >>> {"config.json", "model.safetensors", "tokenizer.json"} <= set(os.listdir(folder))
        True
    """
    check(dtype=dtype, adapter=adapter)
    place = (model.run.path if model.run else model.folder) if isinstance(model, Trained) else model
    check_folder(folder, whole, [place or "", *local_names(data)])
    trained = loaded(model)
    if adapter and trained.model.lora is None:
        raise UserError("the model has no adapters; leave out adapter")
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        tries = rows(trained, data, cache)
        return write_model(
            Path(folder),
            trained,
            tries,
            trained.mesh,
            card=card_of(trained, adapter=adapter),
            dtype=dtype,
            adapter=adapter,
        )


def main(arguments: cli.Arguments[Flags]) -> None:
    """Loads, writes, checks."""
    options = arguments.flags
    if not options.checkpoint:
        raise UserError("no checkpoint given; set --checkpoint=DIR")
    if not options.output and not options.push:
        raise UserError("no output given; set --output=DIR, or --push=org/name")
    check(dtype=options.dtype, adapter=options.adapter, flag="--")
    if options.output:
        check_folder(options.output, whole, [options.checkpoint, *local_names(options.data)])
    if options.push:
        publish.check(options.push)
    mesh = sharding.make_mesh({"data": 1, "fsdp": -1, "tensor": 1})
    trained = restore.load(options.checkpoint, mesh)
    if options.adapter and trained.model.lora is None:
        raise UserError(f"{options.checkpoint} has no adapters; leave out --adapter")
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        output = Path(options.output or f"{cache}/model")
        difference = write_model(
            output,
            trained,
            rows(trained, options.data, cache),
            mesh,
            card=card_of(trained, adapter=options.adapter),
            dtype=options.dtype,
            adapter=options.adapter,
        )
        numbers = "rewards" if trained.head else "log-probabilities"
        say(f"{numbers} of held-out rows: the same to {difference:.2g}")
        if options.output:
            say(f"model: {options.output}")
        if options.push and distributed.is_main_process():
            address = publish.push(output, options.push, private=options.private)
            say(f"on the hub: {address}")


def check(*, dtype: str, adapter: bool, flag: str = "") -> None:
    """Makes sure that a model can be written so.

    Args:
        adapter: whether only the adapters are written.
        flag: what stands before the names of the options in messages.
    """
    errors.choice(f"{flag}dtype", dtype, TOLERANCE)
    if adapter and dtype != "float32":
        raise UserError(f"adapters are written as float32; leave out {flag}dtype")


def rows(trained: restore.Trained, data: Source, cache_dir: str) -> trie_set.TrieSet:
    """What an export is checked with: some data, or the held-out rows of the run.

    Args:
        data: pairs or samples; empty for the run's held-out rows.
    """
    lengths = trained.config.get("data", {"max_length": 2048, "row_length": 4096})
    if isinstance(data, str) and not data:
        if trained.run is None or trained.held_out is None:
            raise UserError("no held-out rows to check with; give some with --data=FILE")
        try:
            shared = lengths.get("cache")
            kept = cache.shared_folder(shared) if shared else trained.run.cache
            return trie_set.open_cached(kept, trained.held_out, lengths["row_length"])
        except UserError as error:
            raise UserError(f"{error}; give rows to check with by --data=FILE") from error
    encoding = TrieSettings(lengths["max_length"], lengths["row_length"])
    split = prepare.samples_of(data, cache_dir)
    return encode_split(split, trained.tokenizer, encoding, cache_dir)


if __name__ == "__main__":
    cli.launch(main, name="export", flags=Flags)
