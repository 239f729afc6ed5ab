"""Several processes, one run: how they find each other, wait for each other, and end together.

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
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import Stopped, Unjoined, UserError
from mapl_jax.runtime.settings import setting

EXIT_LOST = 3
# What JAX says when another process is gone: the sockets of collectives on CPUs, or its service.
_SIGNS = (
    *("Gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Socket closed"),
    *("heartbeat", "coordination service", "CoordinationService", "Barrier"),
)
# The longest wait for process 0 to prepare data. A process that is gone is noticed long before.
_PATIENCE_MS = 7 * 24 * 3600 * 1000


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


def start(together: Together, environment: Mapping[str, str] = os.environ) -> bool:
    """Joins the other processes of a run, if there are any; says whether there are.

    To be called before any other use of JAX. What is not given is read from
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. Without these, JAX asks Slurm,
    Open MPI or the TPU slice where one of them started this process as one of several, or where
    `distributed` says so.
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
        _initialize(coordinator, seconds, coordinator_address=coordinator, **numbers, **waits)
    elif together.distributed or _in_cluster(environment):
        _initialize("the cluster", seconds, **waits)
    else:
        return False
    _take_preemption_sync()
    return process_count() > 1


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


def _initialize(where: str, seconds: int, **arguments: Any) -> None:
    import jax

    try:
        with _raising(), _silent():
            jax.distributed.initialize(initialization_timeout=seconds, **arguments)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) or "bad_cast" in str(error):
            raise Unjoined(
                f"cannot join the other processes ({where}) within {seconds} seconds: one of them "
                "did not start, cannot reach that address, or has the --process_id of another; "
                "start all of them again, or give them longer with --lost_after"
            ) from error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"cannot join the other processes ({where}): {reason[0]}; or tell each process with "
            "--coordinator, --num_processes and --process_id"
        ) from error


@contextlib.contextmanager
def _raising() -> Iterator[None]:
    """Within, a process that cannot join raises, where JAX would abort it."""
    # `jax.distributed.initialize` takes no callback (tests/test_upstream.py).
    from jax._src.lib import _jax

    plain = _jax.get_distributed_runtime_client
    # JAX cannot pass its reason to a function of Python; that it tries is an error of `connect`.
    _jax.get_distributed_runtime_client = functools.partial(
        plain, missed_heartbeat_callback=lambda _: None
    )
    try:
        yield
    finally:
        _jax.get_distributed_runtime_client = plain


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Within, what C++ says of its connections is not printed; an exception says it."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


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
        _meet()
    yield
    if process_count() > 1 and is_main_process():
        _meet()


_meetings = itertools.count()


def _meet() -> None:
    """Waits for all other processes, which come by the same meetings in the same order."""
    # No collective: those give up after minutes. JAX has no public barrier (test_upstream.py).
    _client().wait_at_barrier(f"mapl_jax {next(_meetings)}", _PATIENCE_MS)


def _client() -> Any:
    """What speaks to JAX's coordination service."""
    from jax._src import distributed

    assert distributed.global_state.client is not None  # see check_joined
    return distributed.global_state.client


def _leave() -> None:
    # Process 0 may have reports to write, for longer than JAX waits at its own last meeting.
    import jax

    _meet()
    if _preemption_sync is not None:
        _preemption_sync.shutdown()
    jax.distributed.shutdown()


def broadcast_from_main(value: int) -> int:
    """The value of process 0, so that all decide alike; every process calls it.

    A file may be seen by one process and not yet by another, and processes that then do different
    things would wait for each other forever.
    """
    from jax.experimental import multihost_utils

    if process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def tell(key: str, value: int) -> None:
    """Tells all other processes a number, without waiting for them; each key once."""
    _client().key_value_set(key, str(value))


def told(key: str) -> int | None:
    """The number that a process has told under a key; None as long as it has not."""
    import jax

    try:
        return int(_client().key_value_try_get(key))
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" not in str(error):
            raise
        return None


def wait_for_all(what: str) -> None:
    """Waits until every process has come to the same place."""
    if process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)


def lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    return process_count() > 1 and any(sign in str(error) for sign in _SIGNS)


# JAX ends a process whose run is broken from a thread of its own, with a stack of C++ names and no
# way for Python to say a word; so does whoever kills it. This little process stays to say it.
_LAST_WORDS = """
import sys
if not sys.stdin.buffer.read():
    print(sys.argv[1], file=sys.stderr, flush=True)
"""


class Witness:
    """Says what happened and what to do if this process ends without having said so itself."""

    def __init__(self, command: str):
        """Starts to watch this process."""
        message = (
            f"error: process {process_index()} of {process_count()} ends: it was killed, "
            "or another process of this run is lost (each says why it ended, if it could). The "
            f"same command in all processes goes on from the last checkpoint: {command}"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAST_WORDS, message],
            stdin=subprocess.PIPE,
            # The signals of a terminal and of a scheduler are for the process that it watches.
            start_new_session=True,
        )

    def speak(self) -> None:
        """Lets it say so now, once, even if a thread of JAX ends this process meanwhile."""
        self._process.communicate()

    def dismiss(self) -> None:
        """This process ends by itself, and says why."""
        if self._process.poll() is None:
            self._process.communicate(b"dismissed")


def run_together(main: Callable[[], None], command: str) -> None:
    """Runs `main` in one of several processes, and parts from the others at its end.

    An error that another process's end causes ends this one with `EXIT_LOST`.
    """
    witness = Witness(command)
    try:
        main()
        _leave()
    except Stopped:
        _leave()
        raise
    except Exception as error:
        if not lost(error):
            raise
        witness.speak()
        # Not sys.exit: on its way out JAX would wait for the processes that are gone.
        os._exit(EXIT_LOST)
    finally:
        witness.dismiss()
