"""Stopping when asked to: SIGTERM, which schedulers send before they take a machine away."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self

import jax

from mapl_jax.runtime import distributed
from mapl_jax.runtime.errors import Stopped


class Preemption:
    """Notices SIGTERM while it is open.

    Alone, a process stops at once where nothing would be lost (`Stopped` is raised where it is),
    and at the next step boundary while it trains.

    Several processes have to stop at the same place, or those that go on would wait for the rest.
    JAX's coordination service takes care of that: whoever is asked to stop tells it, it asks all
    processes how far they are and names the first place that none has passed. Until then
    `reached` looks at a number in memory, so asking after every step costs no message and no wait.
    Gathering a flag from all hosts instead would put a collective and a wait for the device into
    every step, or save late if it were done seldom.

    Attributes:
        where: what `Stopped` says of how far the run is.
        saved: whether all that it trained is saved by then.
    """

    def __init__(self) -> None:
        """Listens only once it is opened."""
        self.where, self.saved = "before training", False
        self._asked = False
        self._interrupts = True
        self._places = 0
        self._replaced: tuple[object] | None = None

    def __enter__(self) -> Self:
        # With several processes JAX listens to the signal; only the main thread may listen here.
        alone = not jax.distributed.is_initialized()
        if alone and threading.current_thread() is threading.main_thread():
            self._replaced = (signal.signal(signal.SIGTERM, self._note),)
        return self

    def __exit__(self, *_: object) -> None:
        if self._replaced:
            signal.signal(signal.SIGTERM, self._replaced[0])  # type: ignore[arg-type]

    def _note(self, _: int, __: FrameType | None) -> None:
        if self._asked:
            return
        self._asked = True
        if self._interrupts:
            raise Stopped(self.where, saved=self.saved)

    def reached(self) -> bool:
        """Whether to stop here; every process calls it at the same places, in the same order."""
        self._places += 1
        if jax.distributed.is_initialized():
            return distributed.stops_at(self._places)
        return self._asked

    def check(self) -> None:
        """A place to stop at, outside of training."""
        if self.reached():
            raise Stopped(self.where, saved=self.saved)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within, a request is noted and not acted on; only `reached` reports it."""
        self._interrupts = False
        try:
            yield
        finally:
            self._interrupts = True

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Within, and within `held`, a request is acted on at once."""
        self._interrupts = True
        try:
            if self._asked:
                raise Stopped(self.where, saved=self.saved)
            yield
        finally:
            self._interrupts = False
