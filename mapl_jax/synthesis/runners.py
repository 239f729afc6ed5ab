"""Who makes the shards: this process, several of this machine, or an Apache Beam pipeline.

All of them map `shards.make` over the shards and do nothing else, so the output is the same.
"""

import functools
import gc
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection

from mapl_jax.runtime import environment
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis.shards import Runner, Shard, make

# Objects between two collections of garbage. Making samples leaves hardly any that only they find,
# and thousands for them to look through.
SELDOM = 50_000


def local(num_proc: int) -> Runner:
    """Processes of this machine.

    Args:
        num_proc: how many; 0 takes one per core, 1 works in this process.
    """
    if num_proc < 0:
        raise UserError(f"num_proc is {num_proc}; it must be 0 or more")
    return functools.partial(_run_local, num_proc or environment.cores())


def _run_local(num_proc: int, missing: Sequence[Shard]) -> Iterator[int]:
    num_proc = min(num_proc, len(missing))
    if num_proc <= 1:
        yield from map(make, missing)
        return
    # Spawned and not forked: JAX may have threads running in the process that calls this.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_proc, mp_context=spawn, initializer=_begin)
    try:
        for done in as_completed([pool.submit(make, shard) for shard in missing]):
            yield done.result()
    except BrokenProcessPool:
        raise UserError(
            "a process that makes samples ended too early; in a script of your own, let what calls "
            'this stand under `if __name__ == "__main__":`; if memory ran out, lower num_proc'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """What a process does before its first shard."""
    gc.freeze()
    gc.set_threshold(SELDOM)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the one that started it is killed, which nothing else tells it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def beam(runner: str, options: Sequence[str]) -> Runner:
    """A pipeline on whatever Apache Beam runs on.

    The output folder must be one that all workers reach, and mapl_jax must be installed there.

    Args:
        runner: Beam's name of it, such as DirectRunner, DataflowRunner, FlinkRunner, SparkRunner.
        options: Beam's own options, such as "--project=NAME".
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.runners import create_runner
    except ImportError:
        raise UserError(
            "--runner needs Apache Beam; install it with pip install 'mapl_jax[beam]'"
        ) from None
    try:
        create_runner(runner)
        pipeline_options = PipelineOptions([f"--runner={runner}", *options])
    except (ValueError, SystemExit) as error:
        raise UserError(f"Apache Beam refuses runner {runner!r} or its options: {error}") from None
    return functools.partial(_run_beam, pipeline_options)


def _run_beam(options: object, missing: Sequence[Shard]) -> Iterator[int]:
    import apache_beam

    if not missing:
        return
    with apache_beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | "shards" >> apache_beam.Create(list(missing))
            | "spread" >> apache_beam.Reshuffle()
            | "make" >> apache_beam.Map(make)
        )
    for shard in missing:
        yield shard.read_counts()["stats"]["pairs"]["in"]
