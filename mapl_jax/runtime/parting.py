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
# Seconds that one which ends waits for the others to hear of it, and that one which was left waits
# to hear why.
_FAREWELL, _NEWS = 5.0, 2.0
# Whoever kills a process leaves it no time for a word. This little process stays to say it.
_LAST_WORDS = """
import sys
if not sys.stdin.buffer.read():
    print(sys.argv[1], file=sys.stderr, flush=True)
"""


class Witness:
    """Says what happened and what to do if this process ends without having said so itself."""

    def __init__(self, message: str):
        """Starts to watch this process."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAST_WORDS, f"error: {console.plain(message)}"],
            stdin=subprocess.PIPE,
            # The signals of a terminal and of a scheduler are for the process that it watches.
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """This process ends by itself, and says why."""
        if self._process.poll() is None:
            self._process.communicate(b"dismissed")


class Parting:
    """What one of several processes does about the end of another, and tells them of its own."""

    def __init__(self, command: str):
        """Begins to listen; the others run the same command."""
        self._index, self._count = distributed.place()
        self._client = distributed.client()
        self._again = f"start all processes again once they have ended, this one with: {command}"
        # Who takes it speaks and ends the process; nobody gives it back.
        self._last_words = threading.Lock()
        self._witness = Witness(
            f"{self._name} was killed or crashed without giving a reason; often its machine ran "
            f"out of memory: check the system log, for example with dmesg. To resume, {self._again}"
        )
        self._restore = _on_terminate(self._left_alone)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def _name(self) -> str:
        return f"process {self._index} of {self._count}"

    def takes_the_word(self) -> None:
        """From here on this thread says how the process ends; one that comes later waits for it."""
        if not self._last_words.acquire(blocking=False):
            time.sleep(3 * _FAREWELL)
            _exit(EXIT_LOST)
        self._witness.dismiss()

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
        self.takes_the_word()
        again = ""
        if status != EXIT_USER_ERROR:
            first = "Fix that, then" if status == EXIT_BUG else "To resume,"
            again = f". {first} {self._again}"
        console.error(f"{self._name} stopped because process {other} {reason}{again}")
        self._bow_out()
        _exit(status)

    def _left_alone(self) -> NoReturn:
        self.takes_the_word()
        other, which = "another process", "the others to find which one"
        if self._count == 2:
            other = which = f"process {1 - self._index}"
        console.error(
            f"{self._name} stopped because {other} no longer responds: it was killed or crashed, "
            f"or its machine or the network failed; see the output of {which}. To resume, "
            f"{self._again}"
        )
        _exit(EXIT_LOST)

    def caused(self, error: BaseException) -> None:
        """Ends this process if another one's end is behind an error, and else gives it the word."""
        if isinstance(error, Exception) and (lost(error) or not isinstance(error, UserError)):
            time.sleep(_NEWS)  # for `_listen`, which knows more
        if lost(error):
            self._left_alone()
        self.takes_the_word()

    def tell(self, status: int, reason: str) -> None:
        """Tells the others that this process ends, and how: "failed: a file is bad"."""
        self._briefly(self._set, _ENDED, json.dumps([self._index, status, reason]))
        self._bow_out()

    def _bow_out(self) -> None:
        """Process 0 waits a little for the others to have heard of the end."""
        self._briefly(self._set, f"{_HEARD}/{self._index}", "heard")
        if self._index == 0:
            self._briefly(self._wait_for_others)

    def _wait_for_others(self) -> None:
        for other in range(1, self._count):
            self._client.blocking_key_value_get(f"{_HEARD}/{other}", int(1000 * _FAREWELL))

    def _set(self, key: str, value: str) -> None:
        self._client.key_value_set(key, value)

    def _briefly(self, call: Callable[..., None], *arguments: str) -> None:
        """Calls what may fail, or wait for a process that is gone."""

        def run() -> None:
            with contextlib.suppress(Exception):
                call(*arguments)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(_FAREWELL)

    def part(self) -> None:
        """Parts from the others, which do so too: the command is done."""
        distributed.leave()
        self._restore()
        self._witness.dismiss()


_parting: Parting | None = None


def leave(status: int, reason: str) -> NoReturn:
    """Ends this process at once, after its own line; tells the other processes of a run, if any.

    What it tells them goes after its name: "was interrupted", "failed: a file is bad".

    Not sys.exit: on its way out JAX would wait for the others.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends already
    if _parting is not None:
        _parting.tell(status, reason)
    _exit(status)


def _exit(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


def run_together(main: Callable[[], None], command: str) -> None:
    """Runs `main` in one of several processes, and parts from the others at its end.

    An error of its own is raised, to be told by `leave`. An error that another process's end causes
    ends this one.
    """
    global _parting
    _parting = Parting(command)
    try:
        try:
            main()
        except Stopped:
            _parting.part()
            raise
        _parting.part()
    except Stopped:
        _parting = None
        raise
    except BaseException as error:
        _parting.caused(error)
        if isinstance(error, SystemExit):  # of a callback or a plugin
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
            leave(status or 1, f"called sys.exit({error.code!r}); see its output")
        raise
    _parting = None


def lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    if _parting is None:
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
