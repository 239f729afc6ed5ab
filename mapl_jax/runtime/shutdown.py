"""How processes of one run end together: none is left behind, and each says why in one line.

A process that ends before the others tells them its reason and its exit status through JAX's
coordination service, and they end as it did. One that is killed tells nobody; the others notice, at
the latest `--lost_after` seconds later, and end with `EXIT_LOST`. The service lives in process 0,
which therefore leaves last.
"""

import contextlib
import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from mapl_jax.runtime import console, distributed
from mapl_jax.runtime.errors import EXIT_USER_ERROR, Stopped, UserError, chain

EXIT_BUG, EXIT_LOST = 1, 3
# What JAX says when another process is gone: the sockets of collectives on CPUs, or its service.
_SIGNS = (
    *("Gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Socket closed"),
    *("heartbeat", "coordination service", "CoordinationService", "Barrier", "bad_cast"),
)
# Keys of JAX's service: who ended first and how, and who has heard of it.
_ENDED, _HEARD = "mapl_jax ended", "mapl_jax heard"
# Seconds that one which ends waits for the others to acknowledge it, and that one which lost
# another waits to hear the reason.
_ACKNOWLEDGE, _REASON = 5.0, 2.0
# A process that is killed cannot report it. This little process, which outlives it, does.
_REPORTER = """
import sys
if not sys.stdin.buffer.read():
    print(sys.argv[1], file=sys.stderr, flush=True)
"""


class CrashReporter:
    """Reports what happened, and what to do, if this process ends without having reported it."""

    def __init__(self, message: str):
        """Starts to watch this process."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _REPORTER, f"error: {console.plain(message)}"],
            stdin=subprocess.PIPE,
            # The signals of a terminal and of a scheduler are for the process that it watches.
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ends the reporter: this process reports its end itself."""
        if self._process.poll() is None:
            self._process.communicate(b"stopped")


class PeerMonitor:
    """Watches for the end of another process of the run, and announces that of this one."""

    def __init__(self, command: str):
        """Begins to listen; the others run the same command."""
        self._index, self._count = distributed.place()
        self._client = distributed.client()
        self._again = f"start all processes again once they have ended, this one with: {command}"
        # Who takes it reports and ends the process; it is never released.
        self._ending = threading.Lock()
        self._reporter = CrashReporter(
            f"{self._name} was killed or crashed without giving a reason; often its machine ran "
            f"out of memory: check the system log, for example with dmesg. To resume, {self._again}"
        )
        self._restore = _on_terminate(self._exit_peer_lost)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def _name(self) -> str:
        return f"process {self._index} of {self._count}"

    def claim_exit(self) -> None:
        """From here on this thread ends the process; one that comes later waits for it."""
        if not self._ending.acquire(blocking=False):
            time.sleep(3 * _ACKNOWLEDGE)
            _exit(EXIT_LOST)
        self._reporter.stop()

    def _listen(self) -> None:
        told = None
        while told is None:
            try:
                told = self._client.blocking_key_value_get(_ENDED, distributed.PATIENCE_MS)
            except Exception as error:
                # The run is over; or process 0 is gone, which JAX notices as well.
                if "DEADLINE_EXCEEDED" not in str(error):
                    return
        other, status, reason = json.loads(told)
        self.claim_exit()
        again = ""
        if status != EXIT_USER_ERROR:
            first = "Fix that, then" if status == EXIT_BUG else "To resume,"
            again = f". {first} {self._again}"
        console.error(f"{self._name} stopped because process {other} {reason}{again}")
        self._acknowledge()
        _exit(status)

    def _exit_peer_lost(self) -> NoReturn:
        self.claim_exit()
        other, which = "another process", "the others to find which one"
        if self._count == 2:
            other = which = f"process {1 - self._index}"
        console.error(
            f"{self._name} stopped because {other} no longer responds: it was killed or crashed, "
            f"or its machine or the network failed; see the output of {which}. To resume, "
            f"{self._again}"
        )
        _exit(EXIT_LOST)

    def handle_error(self, error: BaseException) -> None:
        """Ends this process if an error comes from the end of another; else it may be reported."""
        if isinstance(error, Exception) and (
            is_peer_loss(error) or not isinstance(error, UserError)
        ):
            time.sleep(_REASON)  # for `_listen`, which knows more
        if is_peer_loss(error):
            self._exit_peer_lost()
        self.claim_exit()

    def announce(self, status: int, reason: str) -> None:
        """Tells the others that this process ends, and how: "failed: a file is bad"."""
        self._briefly(self._set, _ENDED, json.dumps([self._index, status, reason]))
        self._acknowledge()

    def _acknowledge(self) -> None:
        """Process 0 waits a little for the others to have heard of the end."""
        self._briefly(self._set, f"{_HEARD}/{self._index}", "heard")
        if self._index == 0:
            self._briefly(self._wait_for_others)

    def _wait_for_others(self) -> None:
        for other in range(1, self._count):
            self._client.blocking_key_value_get(f"{_HEARD}/{other}", int(1000 * _ACKNOWLEDGE))

    def _set(self, key: str, value: str) -> None:
        self._client.key_value_set(key, value)

    def _briefly(self, call: Callable[..., None], *arguments: str) -> None:
        """Calls what may fail, or wait for a process that is gone."""

        def run() -> None:
            with contextlib.suppress(Exception):
                call(*arguments)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(_ACKNOWLEDGE)

    def finish(self) -> None:
        """Disconnects from the others, which do so too: the command is done."""
        distributed.leave()
        self._restore()
        self._reporter.stop()


_monitor: PeerMonitor | None = None


def exit_now(status: int, reason: str) -> NoReturn:
    """Ends this process at once, after its own line; tells the other processes of a run, if any.

    What it tells them goes after its name: "was interrupted", "failed: a file is bad".

    Not sys.exit: on its way out JAX would wait for the others.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends already
    if _monitor is not None:
        _monitor.announce(status, reason)
    _exit(status)


def _exit(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


def run_together(main: Callable[[], None], command: str) -> None:
    """Runs `main` in one of several processes, and disconnects from the others at its end.

    An error of its own is raised, to be announced by `exit_now`. An error that comes from the end
    of another process ends this one.
    """
    global _monitor
    _monitor = PeerMonitor(command)
    try:
        try:
            main()
        except Stopped:
            _monitor.finish()
            raise
        _monitor.finish()
    except Stopped:
        _monitor = None
        raise
    except BaseException as error:
        _monitor.handle_error(error)
        if isinstance(error, SystemExit):  # of a callback or a plugin
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
            exit_now(status or 1, f"called sys.exit({error.code!r}); see its output")
        raise
    _monitor = None


def is_peer_loss(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    if _monitor is None:
        return False
    said = "\n".join(str(each) for each in chain(error) if not isinstance(each, UserError))
    return any(sign in said for sign in _SIGNS)


def _on_terminate(act: Callable[[], None]) -> Callable[[], object]:
    """Lets C++ call a function where it would abort this process; undone by what this gives.

    JAX tells of another process that is gone in a thread of its own, and cannot tell it to Python:
    it ends this process (tests/test_upstream.py).
    """
    for library in ("libstdc++.so.6", "libc++abi.dylib"):
        with contextlib.suppress(OSError, AttributeError):
            set_terminate: Any = ctypes.CDLL(library)._ZSt13set_terminatePFvvE
            set_terminate.argtypes, set_terminate.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler = ctypes.CFUNCTYPE(None)(act)
            before = set_terminate(ctypes.cast(handler, ctypes.c_void_p))
            _kept.append(handler)
            return functools.partial(set_terminate, before)
    return lambda: None


_kept: list[object] = []  # what C++ may call
