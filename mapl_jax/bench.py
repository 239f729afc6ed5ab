"""Measures the steps of a run: python -m mapl_jax.bench --config=configs/rm.py

Prints compile and step time; samples, comparisons and tokens per second; FLOP/s as a share of those
of a large matrix product in the same run (printed as MFU; formula in
`mapl_jax/performance/measure.py`); memory; the share of attention; and how much faster the loader
is than training. `--output=FILE` writes all of it as JSON.

    python -m mapl_jax.bench --config=configs/bench.py --config.data.train=FILE --versus=trl

trains a model of the same shape on base comparisons of the same pairs with TRL's RewardTrainer and
DPOTrainer and with a plain torch loop, taking turns, after checking that all have the same losses
and gradients (extra `peers`; see `mapl_jax/performance/peers.py`).
"""

import dataclasses
import os
import tempfile
from typing import Any

import jax
import numpy as np

from mapl_jax.data.sources import local_names
from mapl_jax.evaluation.statistics import percent
from mapl_jax.models import initial, lora
from mapl_jax.performance import lengths, measure
from mapl_jax.runtime import cli, environment, errors, files, outputs, settings
from mapl_jax.runtime.console import result, say
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.runtime.settings import from_section, setting
from mapl_jax.synthesis import run_data
from mapl_jax.train import Settings
from mapl_jax.training import reference as weights
from mapl_jax.training import sharding, trainer


@dataclasses.dataclass(frozen=True)
class Flags:
    """The plain flags of the command."""

    steps: int = setting(
        10, "number of measured steps, after two warm-up steps", least=1, most=10**6
    )
    versus: str = setting("", "library to compare with: trl; empty: none")
    pairs: int = setting(
        64, "with --versus: pairs that each side trains on in a repeat", least=1, most=10**7
    )
    batch: int = setting(
        8, "with --versus: pairs in a step of the other sides", least=1, most=2**20
    )
    repeats: int = setting(
        3,
        "with --versus or --times: number of repeats, in which the sides take turns",
        least=1,
        most=1000,
    )
    attention: bool = setting(False, "measure only attention, in rows of 1,024 and 8,192 tokens")
    lengths: bool = setting(False, "only count the tokens of a pair, for several lengths")
    times: bool = setting(
        False, "with --lengths: also measure the time of a trie and of one sequence per term"
    )
    output: str = setting("", "JSON file for all numbers; empty: print only")

    def __post_init__(self) -> None:
        settings.check(self, "--")
        kinds = ("versus", "attention", "lengths")
        if len(given := [f"--{name}" for name in kinds if getattr(self, name)]) > 1:
            raise errors.UserError(
                f"{' and '.join(given)} measure different things; give one of them"
            )
        if self.times and not self.lengths:
            raise errors.UserError("--times goes with --lengths; give both")


WARM = 2
GB = 1e9


def main(arguments: cli.Arguments[Flags]) -> None:
    """Measures, prints, saves."""
    config, flags = arguments.config, arguments.flags
    if flags.versus or flags.attention or flags.lengths:
        cli.no_workdir(arguments, "what measures no run", "leave it out")
    inputs = [*local_names(config.data.train, config.data.test), config.model.path]
    if flags.output:
        mark = outputs.lines("command", "device")
        outputs.check_file(flags.output, mark, inputs)
        outputs.check_apart(**{"--output": flags.output, "--workdir": arguments.workdir})
    own = from_section(Settings, config.to_dict())
    measured: dict[str, Any]
    if flags.attention:
        measured = {"attention_microseconds": measure.attention_by_length((1024, 8192), 1024)}
        for name, value in measured["attention_microseconds"].items():
            result(f"{name:<14}{value:>10.1f} microseconds a token")
    elif flags.lengths:
        measured = {"tokens": [(*rest, tokens._asdict()) for *rest, tokens in lengths.counts()]}
        result(lengths.table())
        if flags.times:
            model = initial.described(own.model, own.tokenizer.vocab_size)
            seconds = lengths.times(model, initial.compute_in(own.train.dtype), flags.repeats)
            measured["seconds"] = [each._asdict() for each in seconds]
            result("", lengths.time_table(seconds))
    elif flags.versus:
        errors.choice("--versus", flags.versus, ("trl",))
        # On a GPU JAX would take most of the memory at once, and torch needs some too.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        from mapl_jax.performance import peers

        measured = peers.compare(
            own,
            own.synthesis,
            pairs=flags.pairs,
            batch=flags.batch,
            repeats=flags.repeats,
            say=result,
        )
    else:
        with tempfile.TemporaryDirectory(prefix="mapl-") as cache:
            folder = RunFolder(arguments.workdir or cache)
            with folder.undone_on_mistake():
                folder.claim(config.to_dict(), inputs=inputs)
                measured = run(own, folder, flags.steps)
        result(table(measured))
    measured = {"command": arguments.command, "device": device(), **measured}
    if flags.output:
        files.write_json(flags.output, measured)
        say("", flags.output)


def device() -> str:
    """What this was measured on."""
    kind = jax.devices()[0].device_kind
    cores = f" ({environment.cores()} cores)" if kind == "cpu" else ""
    return f"{jax.device_count()} x {kind}{cores}"


def run(own: Settings, folder: RunFolder, steps: int) -> dict[str, object]:
    """Measures the steps of a run."""
    own = settings.replace(own, {"train": {"steps": steps + WARM}})
    mesh = sharding.make_mesh(own.mesh)
    objective = trainer.objective_of(own)
    data = run_data.load(folder, own, own.model.path, objective.kind)
    plan = trainer.make_plan(own, data.train, objective, mesh)
    source = trainer.first_parameters(own, data.tokenizer, objective.head)
    run_trainer = trainer.of_run(own, source.model, objective, mesh, plan.steps, data.tokenizer)
    compute = run_trainer.compute
    first, frozen = lora.split(source.make(run_trainer.param_shardings), source.model.lora)
    reference = weights.reference_of(own, source, data.tokenizer, objective)
    numbers = weights.reference_logps(
        run_trainer,
        reference,
        [data.train],
        params=lora.join(first, frozen) if reference is source else None,
        cache_dir=data.cache_dir,
        rows_per_batch=own.eval.rows_per_batch,
    )
    batches = run_trainer.batches(data.train, plan, reference=numbers[0])
    state = run_trainer.first_state(first)
    peak = measure.matmul_peak(compute.dtype)
    timed = measure.train_seconds(run_trainer, state, frozen, batches, warm=WARM, steps=steps)
    peak = max(peak, measure.matmul_peak(compute.dtype))
    work = measure.work_of(batches, steps + WARM, policy=not objective.head.scores)
    flops = measure.model_flops(source.model, run_trainer.shapes, work)
    attention = measure.attention_seconds(source.model, timed.pop("batch"), compute)
    reading = measure.loader_seconds(batches, steps, objective.fields)
    seconds = timed["step_seconds"]
    return {
        **timed,
        "parameters": sum(x.size for x in jax.tree.leaves(run_trainer.shapes)),
        "dtype": np.dtype(compute.dtype).name,
        "attention": trainer.attention_of(source.model, compute, own.data.row_length),
        "samples_per_second": work.samples / seconds,
        "comparisons_per_second": work.comparisons / seconds,
        "tokens_per_second": work.tokens / seconds,
        "flat_tokens_per_second": work.flat_tokens / seconds,
        "filled": work.filled,
        "model_flops": flops,
        "flops_per_second": flops / seconds,
        "matmul_peak": peak,
        "mfu": flops / seconds / peak,
        "attention_share": attention / seconds,
        "loader_over_training": seconds / reading,
    }


def table(measured: dict[str, Any]) -> str:
    """The numbers for their reader."""
    rows = [
        ("parameters", f"{measured['parameters'] / 1e6:.1f} M"),
        ("type, attention", f"{measured['dtype']}, {measured['attention']}"),
        ("compile", f"{measured['compile_seconds']:.1f} s"),
        ("step", f"{measured['step_seconds']:.3f} s"),
        ("samples/s", f"{measured['samples_per_second']:.2f}"),
        ("comparisons/s", f"{measured['comparisons_per_second']:.2f}"),
        ("trie tokens/s", f"{measured['tokens_per_second']:.0f}"),
        ("flat tokens they stand for/s", f"{measured['flat_tokens_per_second']:.0f}"),
        ("rows filled", percent(measured["filled"])),
        ("model FLOP/s", f"{measured['flops_per_second'] / 1e9:.1f} G"),
        ("matmul peak", f"{measured['matmul_peak'] / 1e9:.1f} G"),
        ("MFU", percent(measured["mfu"])),
        ("memory of the step", f"{measured['peak_bytes'] / GB:.2f} GB"),
        ("time in attention", percent(measured["attention_share"])),
        ("loader over training", f"{measured['loader_over_training']:.0f} x"),
    ]
    return "\n".join(f"{name:<30}{value:>16}" for name, value in rows)


if __name__ == "__main__":
    cli.launch(main, name="bench", config="configs/rm.py", settings=[Settings], flags=Flags)
