"""Writes a model for other libraries: python -m mapl_jax.export --checkpoint=DIR --output=DIR

The folder holds config, safetensors, tokenizer with its chat template, and a model card, as
transformers reads them (AutoModelForSequenceClassification, pipelines); vLLM and reward-bench read
them too. It is put in place only after it was read back and gave the rewards of the checkpoint on
held-out rows. --push=org/name writes it to the hub, with the token in HF_TOKEN or that of
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
from mapl_jax.runtime import cli, distributed, plugins, publish, settings
from mapl_jax.runtime.calls import checked
from mapl_jax.runtime.console import say
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.outputs import check_folder, made_with
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
    output: str = setting(
        "", "folder to write; a model that this command wrote there before is replaced"
    )
    push: str = setting("", "hub repository org/name to write to, beside or instead of a folder")
    private: bool = setting(False, "with --push: a new repository can be read by its owners only")
    dtype: str = setting(
        "float32", "data type of the weights: float32 or bfloat16", choices=tuple(TOLERANCE)
    )
    adapter: bool = setting(
        False, "write the adapters of a LoRA run in PEFT's form, instead of merging them"
    )
    data: str = setting("", "pairs or samples for the check; empty: the run's held-out rows")
    plugins: str = setting("", plugins.HELP)

    def __post_init__(self) -> None:
        settings.check(self, "--")
        if self.private and not self.push:
            raise UserError("--private is for the hub; give --push=org/name with it")


@checked(Flags)
def export_model(
    model: Model,
    folder: str | os.PathLike[str] = "",
    data: Source = "",
    *,
    push: str = "",
    private: bool = False,
    dtype: str = "float32",
    adapter: bool = False,
) -> float:
    """Writes a model for other libraries: what `python -m mapl_jax.export` does.

    The folder opens in `transformers` and has a model card. It appears, here and on the hub, only
    after it was read back and gave the same numbers.

    Args:
        model: any model, or where it lies.
        folder: to write; a model that this wrote, unchanged since, is replaced. May be left out
            with `push`.
        data: pairs or samples to check with; empty: the held-out rows of its run.
        push: org/name on the hub to write to as well, with the token in HF_TOKEN or that of
            `hf auth login`.
        private: with `push`: only its owners may read what is made.
        dtype: of the weights, "float32" or "bfloat16".
        adapter: write the adapters of a LoRA run as PEFT does, instead of merging them.

    Returns:
        The largest difference that the check found.

    Raises:
        UserError: the folder holds something else, there is nothing to check with, or the hub
            refuses it.

    Examples:
        >>> import mapl_jax, os, tempfile
        >>> pairs = mapl_jax.load_pairs("demo", limit=10)
        >>> model = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
        >>> folder = tempfile.mkdtemp() + "/reward-model"
        >>> difference = mapl_jax.export_model(model, folder, pairs)
        >>> {"config.json", "model.safetensors", "tokenizer.json"} <= set(os.listdir(folder))
        True
    """
    place = (model.run.path if model.run else model.folder) if isinstance(model, Trained) else model
    options = Flags(
        output=os.fspath(folder), push=push, private=private, dtype=dtype, adapter=adapter
    )
    check(options, [place or "", *local_names(data)], flag="")
    return write(options, loaded(model), data, flag="")


def main(arguments: cli.Arguments[Flags]) -> None:
    """Loads, writes, checks."""
    options = arguments.flags
    if not options.checkpoint:
        raise UserError("no checkpoint given; set --checkpoint=DIR")
    check(options, [options.checkpoint, *local_names(options.data)])
    mesh = sharding.make_mesh({"data": 1, "fsdp": -1, "tensor": 1})
    trained = restore.load(options.checkpoint, mesh)
    difference = write(options, trained, options.data)
    numbers = "rewards" if trained.head else "log-probabilities"
    say(
        f"checked on held-out rows: {numbers} differ from those before the export by at most "
        f"{difference:.2g}"
    )
    if options.output:
        say(f"model: {options.output}")


def check(options: Flags, inputs: list[str | os.PathLike[str]], flag: str = "--") -> None:
    """Makes sure, before the work, that a model can be written so.

    `flag` stands before the names of the options in messages.
    """
    if not options.output and not options.push:
        raise UserError(
            f"no output given; set {'--output=DIR' if flag else 'folder'}, or {flag}push=org/name"
        )
    if options.adapter and options.dtype != "float32":
        raise UserError(f"adapters are written as float32; leave out {flag}dtype")
    if options.output:
        check_folder(options.output, made_with("config.json", "adapter_config.json"), inputs)
    if options.push:
        publish.check(options.push)


def write(options: Flags, trained: Trained, data: Source, flag: str = "--") -> float:
    """Writes a model to a folder, to the hub or to both, checked with some data or held-out rows.

    Returns:
        The largest difference between what it computes and what it computes once read back.
    """
    if options.adapter and trained.model.lora is None:
        raise UserError(f"the model has no adapters; leave out {flag}adapter")
    with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
        output = Path(options.output or f"{cache}/model")
        difference = write_model(
            output,
            trained,
            rows(trained, data, cache),
            card=card_of(trained, adapter=options.adapter),
            dtype=options.dtype,
            adapter=options.adapter,
        )
        if options.push and distributed.is_main_process():
            address = publish.push(output, options.push, private=options.private)
            say(f"on the hub: {address}")
    return difference


def rows(trained: restore.Trained, data: Source, cache_dir: str) -> trie_set.TrieSet:
    """What an export is checked with: some data, or, without any, the held-out rows of the run."""
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
