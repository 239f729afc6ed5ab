"""Several processes, one run: how they find each other and wait for each other.

Every process runs the same command and sees the same run folder. Process 0 prepares what is kept on
disk and writes the reports; all compute. JAX's coordination service, which process 0 holds, tells
the others when one is gone.

JAX is imported by the functions that use it: commands that need none begin at once.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import Stopped, Unjoined, UserError
from mapl_jax.runtime.settings import setting

# The longest wait for process 0 to prepare data. A process that is gone is noticed long before.
PATIENCE_MS = 7 * 24 * 3600 * 1000


@dataclasses.dataclass(frozen=True)
class Together:
    """The flags that tell one of several processes about the others."""

    coordinator: str = setting(
        "", "with several processes: address of process 0 and a free port there, HOST:PORT"
    )
    num_processes: int = setting(
        -1,
        "with several processes: how many there are; -1: not given",
        least=1,
        most=2**16,
        besides=-1,
    )
    process_id: int = setting(
        -1,
        "with several processes: the number of this one, from 0; -1: not given",
        least=0,
        most=2**16,
        besides=-1,
    )
    distributed: bool = setting(
        False, "this is one of several processes; the cluster tells JAX about the others"
    )
    lost_after: int = setting(
        100,
        "seconds without a sign of life after which a process counts as lost",
        least=1,
        most=10**6,
    )

    def __post_init__(self) -> None:
        settings.check(self, "--")


def start(
    together: Together, environment: Mapping[str, str] = os.environ, *, debug: bool = False
) -> bool:
    """Joins the other processes of a run, if there are any; says whether there are.

    To be called before any other use of JAX. What is not given is read from
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. Without these, JAX asks Slurm,
    Open MPI or the TPU slice where one of them started this process as one of several, or where
    `distributed` says so. What C++ logs about the others is left out, except with `debug`.
    """

    coordinator = together.coordinator or environment.get("JAX_COORDINATOR_ADDRESS", "")
    numbers = {"num_processes": together.num_processes, "process_id": together.process_id}
    for name, value in numbers.items():
        text = environment.get(f"JAX_{name.upper()}", "")
        if value == -1 and text:
            if not _is_number(text):
                raise UserError(f"JAX_{name.upper()} is {text!r}; it must be a number")
            numbers[name] = int(text)
    seconds = together.lost_after
    waits = {"heartbeat_timeout_seconds": seconds, "shutdown_timeout_seconds": seconds}
    if coordinator or set(numbers.values()) != {-1}:
        _check(coordinator, **numbers)
        _quiet(debug)
        _initialize(coordinator, seconds, **numbers, **waits)
    elif together.distributed or _in_cluster(environment):
        _quiet(debug)
        _initialize("", seconds, **waits)
    else:
        return False
    _take_preemption_sync()
    return place()[1] > 1


def _is_number(text: str) -> bool:
    """Whether a text is digits from 0 to 9."""
    return text.isascii() and text.isdecimal()


def _check(coordinator: str, num_processes: int, process_id: int) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not _is_number(port) or not 0 < int(port) < 2**16:
        raise UserError(
            f"--coordinator is {coordinator!r}; give the address of process 0 and a free port "
            "there, HOST:PORT, the same to all processes"
        )
    if num_processes < 1 or not 0 <= process_id < num_processes:
        raise UserError(
            f"--process_id is {process_id} and --num_processes {num_processes}; processes are "
            "numbered from 0, and each is given the number of all of them"
        )


def _in_cluster(environment: Mapping[str, str]) -> bool:
    """Whether a cluster started this process as one of several."""

    def several(name: str) -> bool:
        return _is_number(text := environment.get(name, "1")) and int(text) > 1

    slurm = several("SLURM_NTASKS") and "SLURM_STEP_NODELIST" in environment
    tpu = "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    slices = "MEGASCALE_COORDINATOR_ADDRESS" in environment
    return slurm or several("OMPI_COMM_WORLD_SIZE") or tpu or slices


def _quiet(debug: bool) -> None:
    """Leaves out what C++ logs: what it says of lost connections, an exception or a line says."""
    import jax

    if not debug:
        jax.config.update("jax_logging_level", "CRITICAL")


def _initialize(coordinator: str, seconds: int, **arguments: Any) -> None:
    """Joins the others at an address, or, without one, where the cluster says."""
    import jax
    from jax._src import distributed

    where = coordinator or "the address that its cluster gave"
    if coordinator:
        arguments["coordinator_address"] = coordinator
    try:
        with _raising():
            patiently(
                functools.partial(
                    jax.distributed.initialize, initialization_timeout=seconds, **arguments
                )
            )
    except (Stopped, KeyboardInterrupt):
        distributed.global_state.client = None  # it has not joined, and nothing must ask it
        raise
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) or "bad_cast" in str(error):
            missing = f"no connection to process 0 at {where} within {seconds} s"
            if arguments.get("process_id") == 0:
                missing = f"process 0 waited {seconds} s at {where}, but not all the others joined"
            raise Unjoined(
                f"{missing}; check that all processes were started, each with its own "
                "--process_id, and can reach that address; then start all of them again "
                f"(--lost_after={3 * seconds} waits {3 * seconds} s for those that start late)"
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        found = f"cannot connect to the other processes at {where} ({reason})"
        if not coordinator:
            found = f"JAX found no cluster that this process is part of ({reason})"
        raise UserError(
            f"{found}; outside a cluster, start each process with --coordinator, --num_processes "
            "and --process_id instead of --distributed"
        ) from error


@contextlib.contextmanager
def _raising() -> Iterator[None]:
    """Within, a process that cannot join raises, where JAX would abort it."""
    # `jax.distributed.initialize` takes no callback (tests/test_upstream.py).
    from jax._src.lib import _jax

    plain = _jax.get_distributed_runtime_client
    # JAX cannot pass its reason to a function of Python; that it tries is an error of `connect`,
    # and later one that ends the process (`shutdown`).
    _jax.get_distributed_runtime_client = functools.partial(
        plain, missed_heartbeat_callback=lambda _: None
    )
    try:
        yield
    finally:
        _jax.get_distributed_runtime_client = plain


def patiently(call: Callable[[], None]) -> None:
    """Calls what waits in C++ for others, so that signals are answered meanwhile."""
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            call()
        except BaseException as error:  # raised where `patiently` was called
            ended.put(error)
        else:
            ended.put(None)

    threading.Thread(target=run, daemon=True).start()
    if (error := ended.get()) is not None:
        raise error


# What JAX agrees with when a process is asked to stop (SIGTERM).
_preemption_sync: Any = None


def _take_preemption_sync() -> None:
    """Keeps JAX's agreement on where to stop for `stops_at` alone.

    It knows one count of how far a process is. Orbax tells it the step with every checkpoint, also
    from threads of its own, and two counts in one would name a place that nobody comes by again.
    Without it Orbax (since google/orbax#3458) takes it that nothing was asked.
    """
    global _preemption_sync
    # JAX has no public name for one manager beside another (tests/test_upstream.py).
    from jax._src import distributed

    state = distributed.global_state
    _preemption_sync, state.preemption_sync_manager = state.preemption_sync_manager, None


def stops_at(place: int) -> bool:
    """Whether all processes stop at this place, because one of them was asked to.

    Every process comes by the places, which are counted, in the same order.
    """
    return _preemption_sync is not None and bool(_preemption_sync.reached_sync_point(place))


def place() -> tuple[int, int]:
    """Number of this process, and how many there are, once it has joined the others.

    `process_index` and `process_count` ask the devices, which waits for all processes.
    """
    from jax._src import distributed

    return distributed.global_state.process_id, distributed.global_state.num_processes


def leave() -> None:
    """Parts from the others, which do so too."""
    import jax

    # Process 0 may have reports to write, for longer than JAX waits at its own last meeting.
    meet()
    if _preemption_sync is not None:
        _preemption_sync.shutdown()
    jax.distributed.shutdown()


def process_count() -> int:
    """How many processes run together."""
    import jax

    return jax.process_count()


def process_index() -> int:
    """Which of them this process is, from 0."""
    import jax

    return jax.process_index()


def is_main_process() -> bool:
    """Whether this is process 0, which writes what is written once."""
    return process_index() == 0


def check_joined() -> None:
    """Makes sure that processes which compute together can also wait for each other."""
    import jax

    if process_count() > 1 and not jax.distributed.is_initialized():
        raise UserError(
            f"these devices belong to {process_count()} hosts; add --distributed to the "
            "command on all of them"
        )


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Lets process 0 do something before the others do it: they then find what it left on disk."""
    if process_count() > 1 and not is_main_process():
        meet()
    yield
    if process_count() > 1 and is_main_process():
        meet()


_meetings = itertools.count()


def meet(what: str = "process 0") -> None:
    """Waits for all other processes, which come by the same meetings in the same order."""
    # No collective: those give up after minutes. JAX has no public barrier (test_upstream.py).
    name = f"mapl_jax {next(_meetings)}: {what}"
    patiently(lambda: client().wait_at_barrier(name, PATIENCE_MS))


def client() -> Any:
    """What speaks to JAX's coordination service."""
    from jax._src import distributed

    assert distributed.global_state.client is not None  # see check_joined
    return distributed.global_state.client


def broadcast_from_main(value: int) -> int:
    """The value of process 0, so that all decide alike; every process calls it.

    A file may be seen by one process and not yet by another, and processes that then do different
    things would wait for each other forever.
    """
    from jax.experimental import multihost_utils

    if process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def publish(key: str, value: int) -> None:
    """Publishes a number to all other processes, without waiting for them; each key once."""
    client().key_value_set(key, str(value))


def published(key: str) -> int | None:
    """The number that a process has published under a key; None as long as it has not."""
    import jax

    try:
        return int(client().key_value_try_get(key))
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" not in str(error):
            raise
        return None


def wait_for_all(what: str) -> None:
    """Waits until every process has come to the same place, however long that takes."""
    if process_count() > 1:
        meet(what)
